//! The world of one run: nodes, network, clients and faults on one queue of events, in one thread, from one seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_storage::vfs;
use bellwether_types::{ErrorKind, NodeId};

use crate::bug::Bug;
use crate::checker::{Checkers, Violation};
use crate::client::{Client, outcome_of_silence};
use crate::clock::{Time, WallClock};
use crate::disk::SimDisk;
use crate::driver::{self, Action, Context, Driver, NodeEvent, Request, Settings};
use crate::fault::{self, CrashPoint, Planned};
use crate::network::{Link, Network, Quality};
use crate::observation::{ClientId, Observation, OperationId, Outcome};
use crate::peer::PeerMessage;
use crate::random::Random;
use crate::report::Counts;
use crate::trace::Trace;
use crate::workload::{Mix, Operation, SETUP};

/// Faults are over, and everything is made whole.
const HEALED: Time = Time::from_secs(53);
/// Clients begin nothing more.
const LAST_CALL: Time = Time::from_secs(58);
/// All should have been quiet for long.
const FIRST_CHECK: Time = Time::from_secs(60);
/// A cluster that is whole and not at rest by then will never be.
const PATIENCE_US: u64 = 40_000_000;
const CHECK_EVERY_US: u64 = 100_000;
const CLIENTS: u64 = 11;
const PROBERS: u64 = 2;

/// What happens next.
#[derive(Debug, Clone)]
pub(crate) enum WorldEvent {
    /// To a process; not to one that replaced it.
    Node {
        node: NodeId,
        incarnation: u64,
        event: Box<NodeEvent>,
    },
    /// A message arrives.
    Packet {
        from: NodeId,
        to: NodeId,
        message: PeerMessage,
    },
    /// A process starts.
    Start(NodeId),
    Resume(NodeId),
    PowerLoss(NodeId),
    DiskHasRoom(NodeId),
    DiskIsFast(NodeId),
    Mend(Vec<Link>),
    Fault(Planned),
    /// A client does its next operation.
    Wake(ClientId),
    /// A client hears how its operation ended.
    Answer {
        client: ClientId,
        operation: OperationId,
        outcome: Outcome,
    },
    /// A client gives up, if it still waits.
    GiveUp {
        client: ClientId,
        operation: OperationId,
    },
    /// Everything is whole from now on.
    Heal,
    /// Is all at rest?
    Check,
    /// How full is everything?
    Measure,
}

struct Node {
    disk: SimDisk,
    disk_factor: u64,
    clock: WallClock,
    random: Random,
    driver: Option<Driver>,
    vfs: Option<String>,
    /// Grows with each start and stop.
    incarnation: u64,
    /// While paused: what waits.
    deferred: Option<Vec<NodeEvent>>,
    starts: u64,
}

/// Which part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Tables are created, one transaction after the other.
    Setup {
        step: usize,
    },
    Running,
    /// Clients are done; waiting for rest, until then.
    Settling {
        until: Time,
    },
    /// The same after the last power loss.
    LastSettling {
        until: Time,
    },
    Over,
}

/// One run.
pub(crate) struct World {
    now: Time,
    queue: BTreeMap<(Time, u64), WorldEvent>,
    queued: u64,
    pub(crate) random: Random,
    pub(crate) network: Network,
    nodes: BTreeMap<NodeId, Node>,
    clients: BTreeMap<ClientId, Client>,
    mix: Mix,
    operations: u64,
    retained: u64,
    segment_bytes: u32,
    checkpoint_every_us: u64,
    bug: Option<Bug>,
    armed: Option<CrashPoint>,
    phase: Phase,
    checkers: Checkers,
    trace: Trace,
    counts: Counts,
    violation: Option<Violation>,
}

impl World {
    /// Everything from the seed.
    pub(crate) fn new(seed: u64, bug: Option<Bug>, promises: bool, trace: Trace) -> World {
        let mut random = Random::new(seed);
        let count = if random.per_mille(120) { 5 } else { 3 };
        let quality = Quality {
            loss_per_mille: random.range(0, 20),
            doubled_per_mille: random.range(0, 20),
            delay_us: random.range(100, 3_000),
        };
        let bulk = random.per_mille(250);
        let mut world = World {
            now: Time(0),
            queue: BTreeMap::new(),
            queued: 0,
            network: Network::new(random.fork(), quality),
            nodes: BTreeMap::new(),
            clients: BTreeMap::new(),
            mix: Mix::new(random.fork(), bulk),
            operations: 0,
            retained: *random.pick(&[20, 200, 100_000]),
            segment_bytes: *random.pick(&[16 << 10, 64 << 10, 256 << 10]),
            checkpoint_every_us: *random.pick(&[100_000, 500_000, 2_000_000]),
            bug,
            armed: None,
            phase: Phase::Setup { step: 0 },
            checkers: Checkers::new(count, promises),
            trace,
            counts: Counts {
                nodes: count as u64,
                ..Counts::default()
            },
            violation: None,
            random,
        };
        world.populate(count as u64);
        world
    }

    fn populate(&mut self, count: u64) {
        for id in 1..=count {
            let wrong_ms = self.random.range(0, 120_000) as i64 - 60_000;
            let node = Node {
                disk: SimDisk::default(),
                disk_factor: 1,
                clock: WallClock::new(wrong_ms),
                random: self.random.fork(),
                driver: None,
                vfs: None,
                incarnation: 0,
                deferred: None,
                starts: 0,
            };
            self.nodes.insert(NodeId(id), node);
            self.at(Time(id * 1_000), WorldEvent::Start(NodeId(id)));
        }
        for id in 0..CLIENTS {
            let client = Client::new(ClientId(id), id >= CLIENTS - PROBERS, self.random.fork());
            self.clients.insert(ClientId(id), client);
        }
        let mut random = self.random.fork();
        for planned in fault::draw(&mut random) {
            self.at(planned.at, WorldEvent::Fault(planned));
        }
        self.at(Time(700_000), WorldEvent::Wake(ClientId(0)));
        self.at(HEALED, WorldEvent::Heal);
        self.at(FIRST_CHECK, WorldEvent::Check);
        self.at(Time(1_000_000), WorldEvent::Measure);
    }

    /// Runs to the end.
    pub(crate) fn run(mut self) -> (Counts, u64, Option<Violation>) {
        while self.phase != Phase::Over && self.violation.is_none() {
            let Some(((at, _), event)) = self.queue.pop_first() else {
                self.fail("simulator", "nothing is left to happen");
                break;
            };
            self.now = at;
            self.handle(event);
        }
        for node in self.node_ids() {
            self.stop_node(node, "the run is over");
        }
        self.counts.seconds = self.now.0 / 1_000_000;
        self.counts.messages = self.network.delivered;
        (self.counts, self.trace.hash(), self.violation)
    }

    pub(crate) fn now(&self) -> Time {
        self.now
    }

    pub(crate) fn at(&mut self, at: Time, event: WorldEvent) {
        self.queued += 1;
        self.queue.insert((at.max(self.now), self.queued), event);
    }

    fn fail(&mut self, checker: &'static str, what: impl Into<String>) {
        let (at, what) = (self.now, what.into());
        self.violation.get_or_insert(Violation { checker, at, what });
    }

    fn handle(&mut self, event: WorldEvent) {
        match event {
            WorldEvent::Node {
                node,
                incarnation,
                event,
            } => {
                if self.nodes[&node].incarnation == incarnation {
                    self.give(node, *event);
                }
            }
            WorldEvent::Packet { from, to, message } => {
                if !self.network.is_cut(from, to) {
                    self.trace
                        .note(self.now, format_args!("{from} -> {to} {message}"));
                    self.give(to, NodeEvent::Peer { from, message });
                }
            }
            WorldEvent::Start(node) => self.start_node(node),
            WorldEvent::Resume(node) => self.resume(node),
            WorldEvent::PowerLoss(node) => self.lose_power(node),
            WorldEvent::DiskHasRoom(node) => self.disk(node).set_full(false),
            WorldEvent::DiskIsFast(node) => self.slow_disk(node, 1),
            WorldEvent::Mend(links) => self.network.mend(&links),
            WorldEvent::Fault(planned) => {
                self.counts.faults += 1;
                self.trace.note(
                    self.now,
                    format_args!("fault {:?} until {}", planned.fault, planned.until),
                );
                self.begin_fault(planned);
            }
            WorldEvent::Wake(client) => self.wake(client),
            WorldEvent::Answer {
                client,
                operation,
                outcome,
            } => self.answer(client, operation, outcome),
            WorldEvent::GiveUp { client, operation } => self.give_up(client, operation),
            WorldEvent::Heal => self.heal(),
            WorldEvent::Check => self.check(),
            WorldEvent::Measure => self.measure(),
        }
    }

    fn observe(&mut self, observation: &Observation) {
        match observation {
            Observation::Leads { node, .. } => {
                self.trace.note(self.now, format_args!("{node} leads"));
                self.counts.leader_changes += 1;
            }
            Observation::Installing { .. } => self.counts.snapshots += 1,
            Observation::Visible {
                node,
                position,
                fingerprint,
            } => {
                self.trace
                    .note(self.now, format_args!("{node} at {position} {fingerprint}"));
            }
            Observation::Started {
                node,
                applied,
                fingerprint,
                base,
                entries,
                ..
            } => {
                let entries = entries.len();
                self.trace.note(
                    self.now,
                    format_args!("{node} started at {applied} {fingerprint}, log after {base}: {entries}"),
                );
            }
            _ => {}
        }
        if let Err(violation) = self.checkers.observe(self.now, observation) {
            self.violation.get_or_insert(violation);
        }
    }
}

/// Nodes.
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

    fn node(&mut self, node: NodeId) -> &mut Node {
        self.nodes.get_mut(&node).expect("nodes are never removed")
    }

    pub(crate) fn slow_disk(&mut self, node: NodeId, factor: u64) {
        self.node(node).disk_factor = factor;
    }

    pub(crate) fn jump_clock(&mut self, node: NodeId, by_ms: i64) {
        self.node(node).clock.jump_ms(by_ms);
    }

    pub(crate) fn arm(&mut self, point: CrashPoint) {
        self.armed = Some(point);
    }

    pub(crate) fn pause(&mut self, node: NodeId) {
        self.trace.note(self.now, format_args!("{node} paused"));
        self.node(node).deferred.get_or_insert_default();
    }

    fn resume(&mut self, node: NodeId) {
        let Some(events) = self.node(node).deferred.take() else {
            return;
        };
        self.trace
            .note(self.now, format_args!("{node} goes on with {}", events.len()));
        for event in events {
            self.give(node, event);
        }
    }

    fn start_node(&mut self, id: NodeId) {
        static VFS_NAMES: AtomicU64 = AtomicU64::new(0);
        if self.nodes[&id].driver.is_some() {
            return;
        }
        let settings = Settings {
            node: id,
            voters: self.node_ids(),
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
        let registered = vfs::register(
            &name,
            Arc::new(mount.clone()),
            node.random.next(),
            node.clock.shown(),
        );
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
            let outcome = outcome_of_silence(underway.kind);
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

    /// After a failed sync the kernel shows bytes that it will never write: nobody can trust what is read until the
    /// machine was rebooted.
    fn maybe_reboot(&mut self, id: NodeId) {
        if self.disk(id).take_has_lied() {
            self.lose_power(id);
        }
    }

    fn give(&mut self, id: NodeId, event: NodeEvent) {
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

    fn act(&mut self, id: NodeId, actions: Vec<Action>) {
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
                    self.maybe_reboot(id);
                    let again = self.now.plus_us(self.random.range(200_000, 1_500_000));
                    self.at(again, WorldEvent::Start(id));
                    return;
                }
            }
        }
    }

    fn measure(&mut self) {
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
    fn context(&mut self, now: Time, bug: Option<Bug>, armed: Option<CrashPoint>) -> Context<'_> {
        Context {
            now,
            wall_ms: self.clock.read_ms(now),
            random: &mut self.random,
            disk_factor: self.disk_factor,
            bug,
            armed,
            actions: Vec::new(),
        }
    }
}

/// Clients.
impl World {
    fn client(&mut self, id: ClientId) -> &mut Client {
        self.clients.get_mut(&id).expect("clients are never removed")
    }

    fn wake(&mut self, id: ClientId) {
        if self.now >= LAST_CALL {
            return;
        }
        let up: Vec<(NodeId, u64)> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.driver.is_some())
            .map(|(id, node)| (*id, node.incarnation))
            .collect();
        let client = self.client(id);
        if client.maybe_moves() || client.connection.is_none() {
            if up.is_empty() {
                let delay_us = client.waits_us();
                return self.at(self.now.plus_us(delay_us), WorldEvent::Wake(id));
            }
            client.connect(&up);
        }
        let is_prober = client.is_prober;
        let what = match self.phase {
            Phase::Setup { step } => self.mix.setup(step),
            _ if is_prober => self.mix.probe(),
            _ => self.mix.next(),
        };
        self.begin(id, what);
    }

    fn begin(&mut self, id: ClientId, what: Operation) {
        self.operations += 1;
        let operation = OperationId(self.operations);
        self.trace.note(
            self.now,
            format_args!("client {} begins {}: {:?}", id.0, operation.0, what.action),
        );
        self.observe(&Observation::Invoked {
            operation,
            client: id,
            what: what.clone(),
        });
        let now = self.now;
        let client = self.client(id);
        let request: Request = client.begin(operation, what, now);
        let (node, incarnation) = client.connection.expect("it just connected");
        let delay_us = self.random.latency_us(100);
        let event = Box::new(NodeEvent::Request(request));
        self.at(
            now.plus_us(delay_us),
            WorldEvent::Node {
                node,
                incarnation,
                event,
            },
        );
        self.at(
            Client::gives_up_at(now),
            WorldEvent::GiveUp {
                client: id,
                operation,
            },
        );
    }

    fn give_up(&mut self, id: ClientId, operation: OperationId) {
        let client = self.client(id);
        let Some(underway) = client
            .underway
            .clone()
            .filter(|underway| underway.operation == operation)
        else {
            return;
        };
        client.connection = None;
        self.answer(id, operation, outcome_of_silence(underway.kind));
    }

    fn answer(&mut self, id: ClientId, operation: OperationId, outcome: Outcome) {
        let client = self.client(id);
        if client
            .underway
            .as_ref()
            .is_none_or(|underway| underway.operation != operation)
        {
            return;
        }
        let is_write = client
            .underway
            .as_ref()
            .is_some_and(|underway| outcome_of_silence(underway.kind) == Outcome::Unknown);
        client.end(&outcome);
        let delay_us = client.thinks_us();
        let counter = match (&outcome, is_write) {
            (Outcome::Done { .. }, true) => &mut self.counts.writes,
            (Outcome::Done { .. }, false) => &mut self.counts.reads,
            (Outcome::Failed(_), _) => &mut self.counts.failed,
            (Outcome::Refused, _) => &mut self.counts.refused,
            (Outcome::Unknown, _) => &mut self.counts.unknown,
        };
        *counter += 1;
        self.trace.note(
            self.now,
            format_args!("client {} ends {}: {outcome:?}", id.0, operation.0),
        );
        if let Phase::Setup { step } = self.phase {
            self.setup_step(step, &outcome);
        }
        self.observe(&Observation::Returned {
            operation,
            client: id,
            outcome,
        });
        self.at(self.now.plus_us(delay_us), WorldEvent::Wake(id));
    }

    /// Tables that are there already were made by an attempt whose outcome was unknown.
    fn setup_step(&mut self, step: usize, outcome: &Outcome) {
        if !matches!(
            outcome,
            Outcome::Done { .. } | Outcome::Failed(ErrorKind::DuplicateTable)
        ) {
            return;
        }
        self.phase = Phase::Setup { step: step + 1 };
        if step + 1 == SETUP.len() {
            self.phase = Phase::Running;
            for id in 1..CLIENTS {
                let at = self.now.plus_us(id * 5_000);
                self.at(at, WorldEvent::Wake(ClientId(id)));
            }
        }
    }
}

/// The end.
impl World {
    fn heal(&mut self) {
        self.trace.note(self.now, format_args!("all is made whole"));
        self.armed = None;
        self.network.mend_all();
        for node in self.node_ids() {
            self.disk(node).set_full(false);
            self.disk(node).fail_syncs(0, Random::new(0));
            self.slow_disk(node, 1);
            self.resume(node);
            self.start_node(node);
        }
    }

    /// All nodes are up, and have applied all that there is.
    fn is_at_rest(&self) -> bool {
        let statuses: Vec<_> = self
            .nodes
            .values()
            .filter_map(|node| node.driver.as_ref().map(Driver::status))
            .collect();
        let is_settled = |status: &bellwether_node::Status| {
            !status.seeding && status.applied == status.last.index && status.last == statuses[0].last
        };
        statuses.len() == self.nodes.len()
            && statuses.iter().filter(|status| status.leading).count() == 1
            && statuses.iter().all(is_settled)
    }

    fn check(&mut self) {
        let is_at_rest = self.is_at_rest() && self.clients.values().all(|client| client.underway.is_none());
        self.phase = match (self.phase, is_at_rest) {
            (Phase::Setup { .. }, _) => return self.fail("progress", "the tables were never created"),
            (Phase::Running, _) => Phase::Settling {
                until: self.now.plus_us(PATIENCE_US),
            },
            (Phase::Settling { .. }, true) => {
                for node in self.node_ids() {
                    self.lose_power(node);
                }
                for node in self.node_ids() {
                    self.start_node(node);
                }
                Phase::LastSettling {
                    until: self.now.plus_us(PATIENCE_US),
                }
            }
            (Phase::LastSettling { .. }, true) => {
                self.audit();
                Phase::Over
            }
            (Phase::Settling { until } | Phase::LastSettling { until }, false) if self.now > until => {
                let statuses: Vec<_> = self
                    .nodes
                    .values()
                    .map(|node| node.driver.as_ref().map(Driver::status))
                    .collect();
                return self.fail(
                    "progress",
                    format!("the whole cluster does not come to rest: {statuses:?}"),
                );
            }
            (phase, _) => phase,
        };
        self.at(self.now.plus_us(CHECK_EVERY_US), WorldEvent::Check);
    }

    fn audit(&mut self) {
        for id in self.node_ids() {
            let audit = self.node(id).driver.as_mut().map(Driver::audit);
            match audit {
                Some(Ok(observation)) => self.observe(&observation),
                Some(Err(error)) => self.fail("audit", format!("node {id}: {error}")),
                None => self.fail("audit", format!("node {id} is not there")),
            }
        }
        if self.violation.is_none()
            && let Err(violation) = self.checkers.finish(self.now)
        {
            self.violation = Some(violation);
        }
        self.counts.leader_changes = self.counts.leader_changes.saturating_sub(1);
    }
}
