//! Replicas whose log and writer are vectors, and messages that are delivered at once unless cut.

#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bellwether_node::{Effect, Event, Message, Recovered, RecoveredLog, Replica, TICK_MS};
use bellwether_types::{Configuration, Entry, HardState, LogIndex, NodeId, Payload, Position, Timestamp};
use bytes::Bytes;

#[derive(Default)]
pub struct Disk {
    pub log: Vec<Entry>,
    pub hard_state: HardState,
    pub configuration: Option<Configuration>,
    pub applied: Vec<Bytes>,
    pub applied_through: LogIndex,
    pub log_is_full: bool,
    pub sqlite_is_full: bool,
    pub is_damaged: bool,
    pub snapshot_asked_of: Option<NodeId>,
}

pub struct Node {
    pub replica: Replica,
    pub disk: Disk,
    pub leads_at: Option<Position>,
    pub follows_seen: usize,
    pub refusals_seen: usize,
    pub ready_reads: BTreeSet<u64>,
    pub held: Option<Bytes>,
    /// As last told.
    pub configured: Option<Configuration>,
}

pub struct Cluster {
    pub nodes: BTreeMap<NodeId, Node>,
    pub cut: BTreeSet<NodeId>,
    pub inbox: VecDeque<Message>,
    pub now_ms: u64,
}

impl Cluster {
    pub fn new(count: u64) -> Cluster {
        let founding = Configuration::of_voters((1..=count).map(NodeId));
        let mut cluster = Cluster {
            nodes: BTreeMap::new(),
            cut: BTreeSet::new(),
            inbox: VecDeque::new(),
            now_ms: 0,
        };
        for id in founding.members() {
            cluster.start(id, Disk::default(), founding.clone());
        }
        cluster
    }

    /// A node with this disk; `founding`: as it was told when it had nothing.
    pub fn start(&mut self, id: NodeId, disk: Disk, founding: Configuration) {
        let last = disk.log.last().map_or(Position::ZERO, |entry| entry.position);
        let position = |index: LogIndex| match index.0 {
            0 => Position::ZERO,
            index => disk.log[index as usize - 1].position,
        };
        let recovered = Recovered {
            log: RecoveredLog {
                founding,
                configuration: disk.configuration.clone(),
                configurations: configurations(&disk.log),
                hard_state: disk.hard_state,
                last: last.index,
                terms: disk
                    .log
                    .iter()
                    .map(|entry| (entry.position.index, entry.position.term))
                    .collect(),
                tail: disk.log[disk.applied_through.0 as usize..].to_vec(),
                ..RecoveredLog::default()
            },
            applied: position(disk.applied_through),
        };
        let node = Node {
            replica: Replica::new(id, recovered),
            disk,
            leads_at: None,
            follows_seen: 0,
            refusals_seen: 0,
            ready_reads: BTreeSet::new(),
            held: None,
            configured: None,
        };
        self.nodes.insert(id, node);
    }

    /// Kills it and starts it with what it had on disk.
    pub fn restart(&mut self, id: NodeId) {
        let node = self.nodes.remove(&id).expect("a member");
        self.start(id, node.disk, Configuration::default());
    }

    pub fn propose_configuration(&mut self, id: NodeId, configuration: Configuration) {
        let at = self.nodes[&id].leads_at.expect("it leads");
        let payload = Payload::Configure {
            position: at,
            timestamp: Timestamp(at.index.0),
            origin: id,
            configuration,
        };
        self.propose_payload(id, payload.to_bytes());
    }

    pub fn handle(&mut self, id: NodeId, event: Event) {
        let has_entries = match &event {
            Event::Propose { .. } => true,
            Event::Message(message) => message.needs_room(),
            _ => false,
        };
        let mut events = VecDeque::from([event]);
        if has_entries {
            let has_room = !self.nodes[&id].disk.log_is_full;
            events.push_front(Event::LogRoom { has_room });
        }
        while let Some(event) = events.pop_front() {
            let node = self.nodes.get_mut(&id).expect("a member");
            for effect in node.replica.handle(event, self.now_ms) {
                if let Effect::Send(message) = effect {
                    self.inbox.push_back(message);
                } else {
                    events.extend(node.perform(effect));
                }
            }
        }
    }

    pub fn deliver(&mut self) {
        while let Some(message) = self.inbox.pop_front() {
            let is_cut = |id| self.cut.contains(id) || !self.nodes.contains_key(id);
            if !is_cut(&message.from) && !is_cut(&message.to) {
                self.handle(message.to, Event::Message(message));
            }
        }
    }

    pub fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms / TICK_MS {
            self.now_ms += TICK_MS;
            for id in self.nodes.keys().copied().collect::<Vec<_>>() {
                self.handle(id, Event::Tick);
            }
            self.deliver();
        }
    }

    pub fn leader(&self) -> NodeId {
        let leads = |(_, node): &(&NodeId, &Node)| node.leads_at.is_some();
        *self
            .nodes
            .iter()
            .filter(|(id, _)| !self.cut.contains(id))
            .find(leads)
            .expect("a leader")
            .0
    }

    pub fn propose(&mut self, id: NodeId, text: &'static str) {
        self.propose_payload(id, Bytes::from(text));
    }

    fn propose_payload(&mut self, id: NodeId, payload: Bytes) {
        let node = self.nodes.get_mut(&id).expect("a member");
        let at = node.leads_at.expect("it leads");
        node.held = Some(payload.clone());
        self.handle(
            id,
            Event::Propose {
                asks_progress: false,
                at,
                payload,
                remaining: 0,
            },
        );
        self.deliver();
    }

    pub fn applied(&self, id: u64) -> Vec<&str> {
        let node = &self.nodes[&NodeId(id)];
        node.disk
            .applied
            .iter()
            .map(|bytes| std::str::from_utf8(bytes).expect("text"))
            .collect()
    }

    pub fn of_three() -> (Cluster, NodeId, [NodeId; 2]) {
        let mut cluster = Cluster::new(3);
        cluster.run_ms(2_000);
        let leader = cluster.leader();
        let others: Vec<NodeId> = cluster.nodes.keys().copied().filter(|id| *id != leader).collect();
        (cluster, leader, others.try_into().expect("two others"))
    }

    pub fn disk(&mut self, id: NodeId) -> &mut Disk {
        &mut self.nodes.get_mut(&id).expect("a member").disk
    }

    /// What the driver finds when it looks again.
    pub fn find_room(&mut self, id: NodeId) {
        self.disk(id).log_is_full = false;
        self.handle(id, Event::LogRoom { has_room: true });
    }
}

impl Node {
    fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Persist(persist) => {
                if let Some(first) = persist.entries.first() {
                    self.disk.log.truncate(first.position.index.0 as usize - 1);
                }
                self.disk.log.extend(persist.entries);
                self.disk.hard_state = persist.hard_state.unwrap_or(self.disk.hard_state);
                Some(Event::Persisted {
                    ticket: persist.ticket,
                })
            }
            Effect::Apply { .. } if self.disk.sqlite_is_full => None,
            Effect::Apply { .. } if self.disk.is_damaged => Some(Event::Damaged),
            Effect::FetchSnapshot { from, .. } => {
                self.disk.snapshot_asked_of = Some(from);
                None
            }
            Effect::Apply { entries } => {
                let through = entries.last().expect("not empty").position.index;
                for entry in entries {
                    let is_fresh = entry.position.index > self.disk.applied_through;
                    if is_fresh && !entry.payload.is_empty() {
                        self.disk.apply(entry.payload);
                    }
                }
                self.disk.applied_through = through;
                Some(Event::Applied { through })
            }
            Effect::Lead { next } => {
                self.leads_at = Some(next);
                None
            }
            Effect::Commit { .. } if self.disk.sqlite_is_full => {
                (self.leads_at, self.held) = (None, None);
                Some(Event::ApplyFailed {
                    applied: self.disk.applied_through,
                })
            }
            Effect::Commit { position, next } => {
                self.disk.apply(self.held.take().expect("a group is held"));
                self.disk.applied_through = position.index;
                self.leads_at = Some(next);
                Some(Event::Applied {
                    through: position.index,
                })
            }
            Effect::Follow => {
                (self.leads_at, self.held) = (None, None);
                self.follows_seen += 1;
                None
            }
            Effect::Refuse => {
                (self.leads_at, self.held) = (None, None);
                self.refusals_seen += 1;
                None
            }
            Effect::Fetch { purpose, fetch } => {
                let from = fetch.from.0 as usize - 1;
                let to = fetch.to.0 as usize - 1;
                Some(Event::Fetched {
                    purpose,
                    entries: self.disk.log[from..to].to_vec(),
                })
            }
            Effect::ReadReady { ticket } => {
                self.ready_reads.insert(ticket);
                None
            }
            Effect::Configured(configuration) => {
                self.configured = Some(configuration);
                None
            }
            _ => None,
        }
    }
}

impl Disk {
    fn apply(&mut self, payload: Bytes) {
        match Payload::configuration_in(&payload) {
            Some(configuration) => self.configuration = Some(configuration),
            None => self.applied.push(payload),
        }
    }
}

fn configurations(log: &[Entry]) -> Vec<(LogIndex, Configuration)> {
    log.iter()
        .filter_map(|entry| Some((entry.position.index, Payload::configuration_in(&entry.payload)?)))
        .collect()
}
