//! What nodes send each other, besides the consensus messages.

use std::fmt;

use bellwether_node::Message;
use bellwether_storage::snapshot::SnapshotInfo;
use bellwether_storage::{Seen, SessionState};
use bellwether_types::{
    Configuration, Decoder, Durability, Encoder, Position, RequestId, SessionId, SqlError, Statement, Term,
};
use bytes::Bytes;

use crate::workload::Rows;

/// One attempt to have a transaction executed.
///
/// The term fences it: a leader of another one does not take it. The attempt number fences it within the term: a
/// leader that has seen a later one does not execute an earlier one. So when an attempt's failure is reported, no
/// other attempt can succeed any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Of the leader that it is for.
    pub term: Term,
    /// Which transaction.
    pub request: RequestId,
    /// The how-manieth attempt, from 1.
    pub number: u32,
    /// The whole transaction, or which part of an interactive one.
    pub part: Part,
    /// What to execute.
    pub statements: Vec<Statement>,
    /// What the client was answered to the first of them.
    pub seen: Vec<Seen>,
    /// The session's state.
    pub session: SessionState,
    /// When its client is to be answered.
    pub durability: Durability,
}

/// What an attempt is of its transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// All of it.
    Whole,
    /// It comes to its first write, and takes the writer.
    Open {
        /// What it has done before, elsewhere: must still be answered so.
        answered: Vec<(Statement, Seen)>,
    },
    /// One statement of an open one.
    Step {
        /// The how-manieth, from 1.
        index: u32,
    },
    /// COMMIT.
    Commit,
    /// ROLLBACK.
    Rollback,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Executed, now or by an earlier attempt, and committed unless less is asked for.
    Done {
        /// What the statements answered; nothing when it was an earlier attempt.
        answer: Vec<Rows>,
        /// Contains it.
        position: Position,
        /// The session's state.
        session: SessionState,
        /// It was executed before: by an earlier attempt.
        deduplicated: bool,
    },
    /// It failed against committed state, and has no effect.
    Failed(SqlError),
    /// Not executed, or executed and perhaps not committed: ask the leader that there is now.
    NotLeader,
}

impl Reply {
    /// The same, telling of this position, if it tells of none.
    #[must_use]
    pub fn at(mut self, there: Position) -> Reply {
        if let Reply::Done {
            position: position @ Position::ZERO,
            ..
        } = &mut self
        {
            *position = there;
        }
        self
    }
}

/// What travels.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerMessage {
    /// Of the group, encoded as on a real wire.
    Consensus(Bytes),
    /// A write, from the node that has the client to the leader.
    Forward(Box<Attempt>),
    /// To the leader: a session is over, and so are all attempts of it.
    EndSession {
        /// Whom it is for.
        term: Term,
        /// Which.
        session: SessionId,
    },
    /// The leader's answer.
    Reply {
        /// Which transaction.
        request: RequestId,
        /// Which attempt.
        number: u32,
        /// How it ended.
        reply: Reply,
    },
    /// A copy of the database is wanted.
    AskSnapshot {
        /// At this position or a later one.
        at_least: Position,
        /// What comes next: of this image, from this offset on. Absent: an image.
        next: Option<(u128, u64)>,
    },
    /// Some of it.
    Snapshot(Piece),
}

/// A piece of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Which image.
    pub id: u128,
    /// Its length.
    pub bytes: u64,
    /// Where this piece begins.
    pub offset: u64,
    /// None in the first, which only tells of the image.
    pub content: Bytes,
    /// With the last, which has no content: what the image must come to, and the group that is stored in it.
    pub end: Option<(SnapshotInfo, Configuration)>,
}

impl PeerMessage {
    /// Of the machine's message.
    pub fn of_consensus(message: &Message) -> PeerMessage {
        let mut out = Encoder::new();
        message.encode(&mut out);
        PeerMessage::Consensus(Bytes::from(out.into_vec()))
    }

    /// How long it keeps a link busy.
    pub fn size_bytes(&self) -> usize {
        match self {
            PeerMessage::Consensus(bytes) => bytes.len(),
            PeerMessage::Snapshot(piece) => 64 + piece.content.len(),
            PeerMessage::Forward(_)
            | PeerMessage::EndSession { .. }
            | PeerMessage::Reply { .. }
            | PeerMessage::AskSnapshot { .. } => 256,
        }
    }
}

/// The machine's message in the bytes of a [`PeerMessage::Consensus`].
pub fn decode_consensus(bytes: &[u8]) -> Option<Message> {
    let mut input = Decoder::new(bytes);
    let message = Message::decode(&mut input).ok()?;
    input.finish().ok()?;
    Some(message)
}

/// For the trace: short, and the same in each run.
impl fmt::Display for PeerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerMessage::Consensus(bytes) => match decode_consensus(bytes) {
                Some(message) => {
                    let Message {
                        kind,
                        term,
                        log,
                        commit,
                        reject,
                        ref entries,
                        ..
                    } = message;
                    write!(f, "{kind:?} term {term} log {log} commit {commit}")?;
                    if reject {
                        write!(f, " rejected")?;
                    }
                    match entries.last() {
                        Some(last) => write!(f, " entries {} through {}", entries.len(), last.position),
                        None => Ok(()),
                    }
                }
                None => f.write_str("garbage"),
            },
            PeerMessage::Forward(attempt) => {
                write!(
                    f,
                    "forward {} #{} term {}",
                    attempt.request.sequence, attempt.number, attempt.term
                )?;
                match &attempt.part {
                    Part::Whole => Ok(()),
                    Part::Open { answered } => write!(f, " open after {} statements", answered.len()),
                    other => write!(f, " {other:?}"),
                }
            }
            PeerMessage::EndSession { term, .. } => write!(f, "end of a session, term {term}"),
            PeerMessage::Reply {
                request,
                number,
                reply,
            } => {
                let reply = match reply {
                    Reply::Done { position, .. } => format!("done at {position}"),
                    Reply::Failed(error) => format!("failed: {:?}", error.kind),
                    Reply::NotLeader => "not leader".to_owned(),
                };
                write!(f, "reply {} #{number}: {reply}", request.sequence)
            }
            PeerMessage::AskSnapshot { at_least, next } => match next {
                Some((id, offset)) => write!(f, "ask for {offset} of {id:x}"),
                None => write!(f, "ask for a snapshot at {at_least}"),
            },
            PeerMessage::Snapshot(piece) => match &piece.end {
                Some((info, _)) => write!(f, "snapshot {:x} ends, at {}", piece.id, info.position),
                None => write!(f, "snapshot {:x}, {} of {}", piece.id, piece.offset, piece.bytes),
            },
        }
    }
}
