//! What a driver is given with each event, and what it hands back.

use bellwether_node::FetchPurpose;
use bellwether_types::{Configuration, LogIndex, NodeId, Position, RequestId, SessionId};

use crate::bug::Bug;
use crate::clock::Time;
use crate::fault::CrashPoint;
use crate::observation::{ClientId, Observation, OperationId, Outcome};
use crate::peer::PeerMessage;
use crate::random::Random;
use crate::workload::Operation;

/// What happens to a node.
#[derive(Debug, Clone)]
pub enum NodeEvent {
    /// One tick of its clock.
    Tick,
    /// What the machine owes the others is told, unless it has been meanwhile.
    AnnounceDue,
    /// A message arrived.
    Peer {
        /// From whom.
        from: NodeId,
        /// What.
        message: PeerMessage,
    },
    /// A client wants something.
    Request(Request),
    /// The log's thread is done with its sync.
    LogSynced,
    /// The log's reader is done.
    LogRead {
        /// For whom.
        purpose: FetchPurpose,
        /// From here.
        from: LogIndex,
        /// To before here.
        to: LogIndex,
        /// At most so many bytes.
        max_bytes: usize,
    },
    /// The writer's thread is done with its job.
    WriterDone,
    /// SQLite found no space for what is committed: the pause until it is tried again is over.
    Starved,
    /// The transaction that holds the writer should have gone on.
    HolderIdle {
        /// What it had done then.
        activity: u64,
    },
    /// The client of an interactive transaction has thought, or has waited too long for an answer.
    Talk {
        /// Which.
        request: RequestId,
        /// What it waited for then.
        number: u32,
    },
    /// A client left, or went to another node.
    SessionOver {
        /// Its session here.
        session: SessionId,
    },
    /// An operator wants another leader.
    Transfer {
        /// The heir.
        to: NodeId,
    },
    /// What the group is wanted to be.
    Wanted(Configuration),
    /// A reader is done with the first, or the last, part of a read.
    ReadStep {
        /// Which read.
        ticket: u64,
    },
    /// Time to look whether the rows are what they should be.
    ScrubDue,
    /// Time for a checkpoint.
    CheckpointDue,
    /// The checkpoint's thread is done.
    CheckpointDone {
        /// Not past here.
        upto: Position,
    },
    /// A piece of a snapshot was read.
    SnapshotPiece {
        /// For whom.
        peer: NodeId,
        /// Which: of this image, at this offset.
        next: Option<(u128, u64)>,
    },
    /// A piece of a snapshot asked for should have arrived.
    SnapshotOverdue {
        /// Which attempt.
        attempt: u64,
        /// What was there then.
        received: Option<u64>,
    },
}

/// An operation of a client, at the node that it is connected to.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whose.
    pub client: ClientId,
    /// Which.
    pub operation: OperationId,
    /// What.
    pub what: Operation,
    /// The client's session on this connection.
    pub session: u128,
    /// Of the session's transactions, from 1.
    pub sequence: u64,
    /// What the client has seen.
    pub token: Position,
    /// After this the client is told whatever is known.
    pub deadline: Time,
}

/// What the world must do.
#[derive(Debug)]
pub enum Action {
    /// Give this event back after so many microseconds, if the process is still the same.
    After(u64, NodeEvent),
    /// Send.
    Send(NodeId, PeerMessage),
    /// Tell a client.
    Answer(ClientId, OperationId, Outcome),
    /// Show the checkers.
    Observe(Observation),
    /// The power fails here and now: the crash point that was armed is reached.
    LosePower,
    /// The process stops itself, as duty demands.
    Stop(String),
    /// A duty, or the machine, was broken: the run is over.
    Broken(String),
}

/// Given with each event.
pub struct Context<'a> {
    /// The time.
    pub now: Time,
    /// The node's wall clock.
    pub wall_ms: u64,
    /// The node's chance.
    pub random: &'a mut Random,
    /// How many times slower than usual its disk is.
    pub disk_factor: u64,
    /// What is planted.
    pub bug: Option<Bug>,
    /// Where the power fails, if it is reached.
    pub armed: Option<CrashPoint>,
    /// To be done.
    pub actions: Vec<Action>,
    /// SQLite's file was found damaged: the driver tells the machine.
    pub damaged: Option<String>,
}

impl Context<'_> {
    /// Whether this is planted.
    pub fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Here the power may fail. Whether it did: nothing that is done after that matters, as long as it is not written.
    pub fn crash_point(&mut self, point: CrashPoint) -> bool {
        let is_hit = self.armed == Some(point);
        if is_hit {
            self.armed = None;
            self.actions.push(Action::LosePower);
        }
        is_hit
    }

    /// See [`Action::After`].
    pub fn after(&mut self, delay_us: u64, event: NodeEvent) {
        self.actions.push(Action::After(delay_us.max(1), event));
    }

    /// See [`Action::Observe`].
    pub fn observe(&mut self, observation: Observation) {
        self.actions.push(Action::Observe(observation));
    }

    /// See [`Action::Stop`].
    pub fn stop(&mut self, why: impl Into<String>) {
        self.actions.push(Action::Stop(why.into()));
    }

    /// SQLite cannot do its part: the replica is seeded anew when its file is damaged, else the process stops.
    pub fn fail_storage(&mut self, is_damage: bool, error: impl std::fmt::Display) {
        match is_damage {
            true => self.damaged = Some(error.to_string()),
            false => self.stop(format!("SQLite: {error}")),
        }
    }

    /// How long an fsync takes: 0.5 ms as on a common SSD, seldom much longer.
    pub fn sync_us(&mut self) -> u64 {
        self.random.latency_us(500) * self.disk_factor
    }
}
