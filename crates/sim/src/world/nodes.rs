//! Nodes: their processes start, stop, pause; events are given to them, and their actions are done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_storage::vfs;
use bellwether_types::NodeId;
use bellwether_types::disk::Disk;

use super::{Node, World, WorldEvent};
use crate::bug::Bug;
use crate::client::{Client, outcome_of_silence};
use crate::clock::Time;
use crate::disk::{Forged, SimDisk};
use crate::driver::{self, Action, Context, DATABASE, Driver, NodeEvent, Settings};
use crate::fault::CrashPoint;
use crate::observation::Observation;

impl World {
    pub(crate) fn node_ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// Whoever executes groups; with several, the one of the latest term.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let status = |node: &Node| node.driver.as_ref().map(Driver::status);
        let leading = self.nodes.iter().filter_map(|(id, node)| {
            let status = status(node)?;
            status.leading.then_some((status.term, *id))
        });
        leading.max().map(|(_, id)| id)
    }

    pub(crate) fn disk(&self, node: NodeId) -> &SimDisk {
        &self.nodes[&node].disk
    }

    pub(super) fn node(&mut self, node: NodeId) -> &mut Node {
        self.nodes.get_mut(&node).expect("nodes are never removed")
    }

    pub(crate) fn slow_disk(&mut self, node: NodeId, factor: u64) {
        self.node(node).disk_factor = factor;
    }

    pub(crate) fn jump_clock(&mut self, node: NodeId, by_ms: i64) {
        self.node(node).clock.jump_ms(by_ms);
    }

    pub(crate) fn transfer(&mut self, leader: NodeId, to: NodeId) {
        self.give(leader, NodeEvent::Transfer { to });
    }

    pub(crate) fn arm(&mut self, point: CrashPoint) {
        self.armed = Some(point);
    }

    pub(crate) fn pause(&mut self, node: NodeId) {
        self.trace.note(self.now, format_args!("{node} paused"));
        self.node(node).deferred.get_or_insert_default();
    }

    pub(super) fn resume(&mut self, node: NodeId) {
        let Some(events) = self.node(node).deferred.take() else {
            return;
        };
        self.trace
            .note(self.now, format_args!("{node} goes on with {}", events.len()));
        for event in events {
            self.give(node, event);
        }
    }

    pub(super) fn start_node(&mut self, id: NodeId) {
        static VFS_NAMES: AtomicU64 = AtomicU64::new(0);
        if self.nodes[&id].driver.is_some() {
            return;
        }
        let settings = Settings {
            node: id,
            founding: self.founding_of(id),
            rule: self.rule.parsed(),
            retained: self.retained,
            segment_bytes: self.segment_bytes,
            checkpoint_every_us: self.checkpoint_every_us,
            vfs: format!("bellwether-sim-{}", VFS_NAMES.fetch_add(1, Ordering::Relaxed)),
        };
        let (now, bug, armed) = (self.now, self.bug, self.armed);
        let node = self.node(id);
        node.incarnation += 1;
        node.starts += 1;
        let is_restart = node.starts > 1;
        let mount = node.disk.mount();
        let name = settings.vfs.clone();
        let disk: Arc<dyn Disk> = match bug {
            Some(Bug::IgnorePageChecksums) => Arc::new(Forged {
                mount: mount.clone(),
                database: DATABASE.into(),
            }),
            _ => Arc::new(mount.clone()),
        };
        let registered = vfs::register(&name, disk, node.random.bits(), node.clock.shown());
        node.vfs = Some(name);
        let mut context = node.context(now, bug, armed);
        let started = driver::start(settings, &mount, &mut context);
        let actions = context.actions;
        match (registered, started) {
            (Err(error), _) => self.fail("simulator", error.to_string()),
            (Ok(()), Ok(driver)) => {
                self.counts.restarts += u64::from(is_restart);
                self.node(id).driver = Some(driver);
                self.act(id, actions);
                self.give(id, NodeEvent::Wanted(self.wanted.clone()));
            }
            // As it should: it is tried again until the log is whole.
            (Ok(()), Err(error)) if error.is_damage_of_log() && !self.nodes[&id].rot.is_empty() => {
                self.stop_node(id, &error.to_string());
                let again = self.now.plus_us(500_000);
                self.at(again, WorldEvent::Start(id));
            }
            (Ok(()), Err(error)) if error.is_damage() => {
                self.act(id, actions);
                self.fail("recovery", format!("node {id} cannot start: {error}"));
            }
            (Ok(()), Err(error)) => {
                self.stop_node(id, &error.to_string());
                let again = self.now.plus_us(500_000);
                self.at(again, WorldEvent::Start(id));
            }
        }
    }

    /// The process ends, at whatever it is.
    pub(crate) fn stop_node(&mut self, id: NodeId, why: &str) {
        self.trace.note(self.now, format_args!("{id} stops: {why}"));
        let node = self.node(id);
        node.incarnation += 1;
        node.deferred = None;
        node.disk.kill();
        node.driver = None;
        if let Some(name) = node.vfs.take() {
            vfs::unregister(&name);
        }
        let connected = |client: &&mut Client| client.connection.is_some_and(|(node, _)| node == id);
        let mut broken = Vec::new();
        for client in self.clients.values_mut().filter(connected) {
            client.connection = None;
            broken.extend(
                client
                    .underway
                    .as_ref()
                    .map(|underway| (client.id, underway.clone())),
            );
        }
        for (client, underway) in broken {
            let at = self.now.plus_us(self.random.range(100, 3_000));
            let outcome = outcome_of_silence(underway.what.kind);
            self.at(
                at,
                WorldEvent::Answer {
                    client,
                    operation: underway.operation,
                    outcome,
                },
            );
        }
    }

    pub(crate) fn lose_power(&mut self, id: NodeId) {
        self.stop_node(id, "power lost");
        let node = self.node(id);
        node.disk_factor = 1;
        node.disk.lose_power(&mut node.random);
    }

    pub(super) fn give(&mut self, id: NodeId, event: NodeEvent) {
        let (now, bug, armed) = (self.now, self.bug, self.armed);
        let node = self.nodes.get_mut(&id).expect("nodes are never removed");
        if let Some(deferred) = &mut node.deferred {
            deferred.push(event);
            return;
        }
        let Some(mut driver) = node.driver.take() else {
            return;
        };
        let mut context = node.context(now, bug, armed);
        driver.handle(event, &mut context);
        let actions = context.actions;
        node.driver = Some(driver);
        self.act(id, actions);
    }

    pub(super) fn act(&mut self, id: NodeId, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::After(delay_us, event) => {
                    let incarnation = self.nodes[&id].incarnation;
                    let event = Box::new(event);
                    self.at(
                        self.now.plus_us(delay_us),
                        WorldEvent::Node {
                            node: id,
                            incarnation,
                            event,
                        },
                    );
                }
                Action::Send(to, message) => {
                    for delay_us in self.network.send(id, to, message.size_bytes()) {
                        let message = message.clone();
                        self.at(
                            self.now.plus_us(delay_us),
                            WorldEvent::Packet {
                                from: id,
                                to,
                                message,
                            },
                        );
                    }
                }
                Action::Answer(client, operation, outcome) => {
                    let delay_us = self.random.latency_us(100);
                    self.at(
                        self.now.plus_us(delay_us),
                        WorldEvent::Answer {
                            client,
                            operation,
                            outcome,
                        },
                    );
                }
                Action::Observe(observation) => self.observe(&observation),
                Action::Broken(what) => self.fail("duties", format!("node {id}: {what}")),
                Action::LosePower => {
                    self.armed = None;
                    self.lose_power(id);
                    let again = self.now.plus_us(self.random.range(100_000, 2_000_000));
                    self.at(again, WorldEvent::Start(id));
                    return;
                }
                Action::Stop(why) => {
                    self.stop_node(id, &why);
                    let again = self.now.plus_us(self.random.range(200_000, 1_500_000));
                    self.at(again, WorldEvent::Start(id));
                    return;
                }
            }
        }
    }

    pub(super) fn measure(&mut self) {
        let loads: Vec<Observation> = self
            .nodes
            .values()
            .filter_map(|node| Some(node.driver.as_ref()?.load(node.disk.live_bytes())))
            .collect();
        for load in loads {
            self.observe(&load);
        }
        self.at(self.now.plus_us(1_000_000), WorldEvent::Measure);
    }
}

impl Node {
    pub(super) fn context(&mut self, now: Time, bug: Option<Bug>, armed: Option<CrashPoint>) -> Context<'_> {
        Context {
            now,
            wall_ms: self.clock.read_ms(now),
            random: &mut self.random,
            disk_factor: self.disk_factor,
            bug,
            armed,
            actions: Vec::new(),
            damaged: None,
        }
    }
}
