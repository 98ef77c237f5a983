//! What checkers see: the clients' history, and facts about nodes that the world took down itself. Never what a
//! replica believes about itself, unless that is what is checked.

use std::collections::BTreeMap;

use bellwether_types::{
    Configuration, Durability, Entry, ErrorKind, Fingerprint, Format, HardState, LogIndex, NodeId, Payload,
    Position, SessionId, Term,
};

use crate::workload::{Operation, Rows};

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// One operation of a client; unique in the run, in the order of invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(pub u64);

/// How an operation ended, as its client was told.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was done.
    Done {
        /// What each statement answered; of a retry that answers no rows, nothing.
        answer: Vec<Rows>,
        /// What the client has now seen.
        position: Position,
    },
    /// It has no effect: the statement failed.
    Failed(ErrorKind),
    /// It has no effect: it was never executed.
    Refused,
    /// It has no effect: what its session was answered before, earlier than it was committed, is lost, or nobody knows.
    /// The session is over.
    SessionLost,
    /// It may have been done, or be done later.
    Unknown,
}

/// Position and content of a log entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Where.
    pub position: Position,
    /// Of the payload.
    pub hash: u64,
    /// What it says of the group.
    pub configuration: Option<Configuration>,
    /// Whether statements stand in it as they were executed.
    pub has_statements: bool,
}

impl Logged {
    /// Of an entry.
    pub fn of(entry: &Entry) -> Logged {
        Logged::at(entry.position, &entry.payload)
    }

    /// Of a payload at its position.
    pub fn at(position: Position, payload: &[u8]) -> Logged {
        Logged {
            position,
            hash: hash(payload),
            configuration: Payload::configuration_in(payload),
            has_statements: Payload::format_in(payload) == Some(Format::Statement),
        }
    }
}

/// A promise that a node makes by a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// It has this term and vote.
    Vote {
        /// In this term.
        term: Term,
        /// For this candidate.
        candidate: NodeId,
    },
    /// It has the log through this index.
    Holds {
        /// The last one.
        through: LogIndex,
    },
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// A client began an operation.
    Invoked {
        /// Which.
        operation: OperationId,
        /// Whose.
        client: ClientId,
        /// On which connection.
        session: SessionId,
        /// What.
        what: Operation,
    },
    /// A client was told how it ended.
    Returned {
        /// Which.
        operation: OperationId,
        /// Whose.
        client: ClientId,
        /// How.
        outcome: Outcome,
    },
    /// A node's disk holds this, after its repair.
    Started {
        /// Which.
        node: NodeId,
        /// Of the log.
        hard_state: HardState,
        /// Just before the first entry.
        base: Position,
        /// All entries.
        entries: Vec<Logged>,
        /// SQLite's position.
        applied: Position,
        /// SQLite's content.
        fingerprint: Fingerprint,
        /// SQLite was ahead of the log, or lost, as a crash while a snapshot is put in place leaves it; the log was
        /// made to fit, or a snapshot is asked for.
        reseeded: bool,
        /// Its file was damaged and set aside: it begins anew.
        is_empty: bool,
    },
    /// A node puts a snapshot in SQLite's place.
    Installing {
        /// Which.
        node: NodeId,
        /// The snapshot's.
        position: Position,
    },
    /// A node's disk has made this durable.
    Durable {
        /// Which.
        node: NodeId,
        /// The log starts anew after this.
        reset: Option<Position>,
        /// As written.
        hard_state: Option<HardState>,
        /// As appended; the first replaces what was there.
        entries: Vec<Logged>,
    },
    /// A node has these in its log, on disk or not yet.
    Received {
        /// Which.
        node: NodeId,
        /// It has an image of all that goes before, too.
        base: Option<Position>,
        /// In order.
        positions: Vec<Position>,
    },
    /// A leader heard of a member in its term.
    Heard {
        /// The leader.
        node: NodeId,
        /// Whom.
        from: NodeId,
    },
    /// A leader answers that a transaction is done.
    Acknowledged {
        /// The leader.
        node: NodeId,
        /// Contains it.
        position: Position,
        /// As asked for.
        durability: Durability,
    },
    /// A node removed the front of its log.
    LogCut {
        /// Which.
        node: NodeId,
        /// The last that may be gone.
        through: LogIndex,
    },
    /// A node sent a message that promises something.
    Promised {
        /// Which.
        node: NodeId,
        /// What.
        promise: Promise,
    },
    /// A node calls itself leader.
    Elected {
        /// Which.
        node: NodeId,
        /// In this term.
        term: Term,
    },
    /// A leader begins to execute, with this log.
    Leads {
        /// Which.
        node: NodeId,
        /// In this term.
        term: Term,
        /// Just before the first entry.
        base: Position,
        /// All entries.
        log: Vec<Position>,
    },
    /// A node took these for committed, and SQLite has them.
    Applied {
        /// Which.
        node: NodeId,
        /// In order.
        entries: Vec<Logged>,
    },
    /// SQLite committed, so that readers see it.
    Visible {
        /// Where.
        node: NodeId,
        /// SQLite's position.
        position: Position,
        /// SQLite's content.
        fingerprint: Fingerprint,
    },
    /// Listeners are told what a record tells.
    Told {
        /// Where.
        node: NodeId,
        /// The record's.
        position: Position,
        /// What.
        marks: Vec<i64>,
    },
    /// A read was answered from a snapshot.
    ReadFrom {
        /// Where.
        node: NodeId,
        /// Its position.
        position: Position,
    },
    /// A byte of a node's database on disk is not what was written. From now on copies may have it too.
    Rotted {
        /// Which.
        node: NodeId,
    },
    /// A replica found itself different from the leader, or its files damaged.
    Damaged {
        /// Its rows were compared and are others. Rot is met before that, at the read of its page.
        is_divergence: bool,
        /// Which.
        node: NodeId,
        /// In its words.
        words: String,
    },
    /// How full queues and disks are.
    Load {
        /// Where.
        node: NodeId,
        /// Transactions that wait for the writer.
        waiting: usize,
        /// Bytes on disk.
        disk_bytes: u64,
    },
    /// The end: all is quiet, all nodes were restarted after a power loss.
    Final {
        /// Where.
        node: NodeId,
        /// The log's end and the applied index.
        position: Position,
        /// As kept.
        fingerprint: Fingerprint,
        /// As computed from all rows.
        recomputed: Fingerprint,
        /// Of each audit.
        tables: BTreeMap<&'static str, Rows>,
    },
}

/// Stands for a payload.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64 ^ 0xCBF2_9CE4_8422_2325;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(29);
    }
    hash
}
