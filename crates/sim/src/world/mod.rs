//! The world of one run: nodes, network, clients and faults on one queue of events, in one thread, from one seed.

mod clients;
mod ending;
mod members;
mod nodes;
mod rot;

use std::collections::{BTreeMap, BTreeSet};

use bellwether_types::{Configuration, LogIndex, NodeId};

use crate::bug::Bug;
use crate::checker::{Checkers, Violation};
use crate::client::Client;
use crate::clock::{Time, WallClock};
use crate::disk::{Rot, SimDisk};
use crate::driver::{Driver, NodeEvent};
use crate::fault::{CrashPoint, Faults, Planned};
use crate::network::{Link, Network, Quality};
use crate::observation::{ClientId, Observation, OperationId, Outcome};
use crate::peer::PeerMessage;
use crate::random::Random;
use crate::report::Counts;
use crate::rule::Rule;
use crate::trace::Trace;
use crate::workload::Mix;

/// Faults are over, and everything is made whole.
const HEALED: Time = Time::from_secs(53);
/// Clients begin nothing more.
const LAST_CALL: Time = Time::from_secs(58);
/// All should have been quiet for long.
const FIRST_CHECK: Time = Time::from_secs(60);
const CLIENTS: u64 = 12;
/// So many of them only read, what was written last.
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
    RotHealed(NodeId),
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
    /// Of its log.
    rot: Vec<Rot>,
    /// In its database, as long as it was not noticed.
    database_rot: Vec<Rot>,
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
    /// The group as it was founded.
    founding: Configuration,
    /// As its operators want it to be.
    wanted: Configuration,
    /// The last entry applied anywhere.
    counted: LogIndex,
    clients: BTreeMap<ClientId, Client>,
    mix: Mix,
    operations: u64,
    /// Marks of writes that were answered early.
    early: BTreeSet<i64>,
    /// Whom commits wait for besides the quorum.
    rule: Rule,
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
    pub(crate) fn new(seed: u64, faults: Faults, bug: Option<Bug>, promises: bool, trace: Trace) -> World {
        let mut random = Random::new(seed);
        let count: u64 = if random.per_mille(120) { 5 } else { 3 };
        let founding = Configuration::of_voters((1..=count).map(NodeId));
        let quality = Quality {
            loss_per_mille: random.range(0, 20),
            doubled_per_mille: random.range(0, 20),
            delay_us: random.range(100, 3_000),
        };
        let bulk = random.per_mille(250);
        let rule = Rule::draw(&mut Random::new(!seed));
        let mut world = World {
            now: Time(0),
            queue: BTreeMap::new(),
            queued: 0,
            network: Network::new(random.fork(), quality),
            nodes: BTreeMap::new(),
            clients: BTreeMap::new(),
            mix: Mix::new(random.fork(), bulk),
            operations: 0,
            early: BTreeSet::new(),
            rule,
            retained: *random.pick(&[20, 200, 100_000]),
            segment_bytes: *random.pick(&[16 << 10, 64 << 10, 256 << 10]),
            checkpoint_every_us: *random.pick(&[100_000, 300_000, 1_000_000]),
            bug,
            armed: None,
            phase: Phase::Setup { step: 0 },
            checkers: Checkers::new(founding.clone(), rule, promises),
            wanted: founding.clone(),
            founding,
            counted: LogIndex(0),
            trace,
            counts: Counts {
                nodes: count,
                rule: rule.text(),
                ..Counts::default()
            },
            violation: None,
            random,
        };
        world.populate(faults);
        world
    }

    fn populate(&mut self, faults: Faults) {
        for id in self.founding.clone().members() {
            self.create_node(id);
            self.at(Time(id.0 * 1_000), WorldEvent::Start(id));
        }
        for id in 0..CLIENTS {
            let client = Client::new(ClientId(id), id >= CLIENTS - PROBERS, self.random.fork());
            self.clients.insert(ClientId(id), client);
        }
        let mut random = self.random.fork();
        for planned in faults.of_run(&mut random) {
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
            WorldEvent::RotHealed(node) => self.heal_rot(node),
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
            Observation::Acknowledged {
                node,
                position,
                durability,
            } => {
                self.trace.note(
                    self.now,
                    format_args!("{node} acknowledges {position} at {durability}"),
                );
            }
            Observation::Installing { .. } => self.counts.snapshots += 1,
            Observation::Applied { entries, .. } => self.count_records(entries),
            Observation::Final { tables, .. } => self.count_lost(tables),
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
