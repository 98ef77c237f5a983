//! What the members of a group tell each other, and its codec.

use bellwether_types::codec::{DecodeError, Decoder, Encoder};
use bellwether_types::{Entry, LogIndex, NodeId, Payload, Position, Term};
use bytes::Bytes;
use raft::eraftpb::{self, EntryType};

/// What a message asks or answers. Numbers are frozen: they are on the wire between versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum MessageKind {
    /// Leader to follower: entries after `log`; empty entries probe or move the commit index.
    Append = 1,
    /// Follower to leader: `log.index` is the last matching index, or (rejected) where the probe failed.
    AppendReply = 2,
    /// Candidate to all: `log` is its last entry. A non-empty context marks a leader transfer.
    Vote = 3,
    /// The answer; `reject` is no.
    VoteReply = 4,
    /// Leader to follower: `log` is the snapshot's position. Metadata only; the content is fetched apart.
    Snapshot = 5,
    /// Leader to follower, every [`crate::HEARTBEAT_TICKS`]; the context carries a read's id.
    Heartbeat = 6,
    /// The answer, echoing the context.
    HeartbeatReply = 7,
    /// Follower to leader: hand over to `from`.
    TransferLeader = 8,
    /// Leader to the chosen follower: stand for election at once.
    TimeoutNow = 9,
    /// Follower to leader: from which index on is a read linearizable; its id is the payload of the one entry.
    ReadIndex = 10,
    /// The answer in `log.index`.
    ReadIndexReply = 11,
    /// As `Vote`, without raising terms: would you vote for me?
    PreVote = 12,
    /// The answer.
    PreVoteReply = 13,
    /// Follower to leader, when an append asked for it: `log.index` is the last entry received, on disk or not; and again
    /// when that is applied.
    Progress = 14,
}

impl MessageKind {
    /// Those that the core knows.
    const ALL: [(MessageKind, eraftpb::MessageType); 13] = {
        use MessageKind::*;
        use eraftpb::MessageType::*;
        [
            (Append, MsgAppend),
            (AppendReply, MsgAppendResponse),
            (Vote, MsgRequestVote),
            (VoteReply, MsgRequestVoteResponse),
            (Snapshot, MsgSnapshot),
            (Heartbeat, MsgHeartbeat),
            (HeartbeatReply, MsgHeartbeatResponse),
            (TransferLeader, MsgTransferLeader),
            (TimeoutNow, MsgTimeoutNow),
            (ReadIndex, MsgReadIndex),
            (ReadIndexReply, MsgReadIndexResp),
            (PreVote, MsgRequestPreVote),
            (PreVoteReply, MsgRequestPreVoteResponse),
        ]
    };

    fn from_number(number: u8) -> Result<MessageKind, DecodeError> {
        let of_core = MessageKind::ALL.iter().map(|(kind, _)| *kind);
        of_core
            .chain([MessageKind::Progress])
            .find(|kind| *kind as u8 == number)
            .ok_or(DecodeError::UnknownTag {
                what: "message kind",
                tag: u64::from(number),
            })
    }

    fn of_core(kind: eraftpb::MessageType) -> Option<MessageKind> {
        MessageKind::ALL
            .iter()
            .find(|(_, core)| *core == kind)
            .map(|(kind, _)| *kind)
    }

    fn to_core(self) -> eraftpb::MessageType {
        let found = MessageKind::ALL.iter().find(|(kind, _)| *kind == self);
        found.expect("the core gets no message of our own").1
    }
}

/// One message. Fields that a kind does not name are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What.
    pub kind: MessageKind,
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The sender's term (in `PreVote`: the term it would stand in). Zero for a forwarded `ReadIndex`.
    pub term: Term,
    /// A place in the log; see the kinds.
    pub log: Position,
    /// `Append`: consecutive, the first at `log.index + 1`. `ReadIndex` and its reply: one, whose payload is the id.
    pub entries: Vec<Entry>,
    /// The sender's commit index (at most what it knows the receiver to have, in heartbeats).
    pub commit: LogIndex,
    /// `Append`, `Heartbeat`: the leader's commit index, whatever the receiver has; for telling how far it is behind.
    pub leader_commit: LogIndex,
    /// Votes: the term at `commit`.
    pub commit_term: Term,
    /// Replies: no.
    pub reject: bool,
    /// `AppendReply`, rejected: the receiver's best guess where the logs agree.
    pub reject_hint: LogIndex,
    /// `AppendReply`, `HeartbeatReply`: the sender's log finds no space; it takes no entries until it says otherwise.
    pub is_full: bool,
    /// `Append`: the receiver is to tell by [`MessageKind::Progress`] what becomes of these entries.
    pub asks_progress: bool,
    /// `AppendReply`, `HeartbeatReply`, `Progress`: the last entry applied at the sender.
    pub applied: LogIndex,
    /// `AppendReply`: the receiver needs a snapshot at least as new as this; 0 otherwise.
    pub request_snapshot: LogIndex,
    /// Opaque to the receiver.
    pub context: Vec<u8>,
}

/// The longest context: ids of reads are 8 bytes, the transfer mark fewer than 32.
const MAX_CONTEXT_BYTES: usize = 64;

impl Message {
    /// Whether it may be large and slow, or must not overtake what is: such messages go in a stream of their own, so
    /// that heartbeats do not wait for them. An empty append that overtook entries would be rejected for want of them,
    /// and the leader would send them all again.
    pub fn is_bulk(&self) -> bool {
        self.kind == MessageKind::Append
    }

    /// One that says no more than this; what else it says is for whoever makes it to fill in.
    pub fn new(kind: MessageKind, from: NodeId, to: NodeId, term: Term) -> Message {
        Message {
            kind,
            from,
            to,
            term,
            log: Position::ZERO,
            entries: Vec::new(),
            commit: LogIndex(0),
            leader_commit: LogIndex(0),
            commit_term: Term(0),
            reject: false,
            reject_hint: LogIndex(0),
            is_full: false,
            asks_progress: false,
            applied: LogIndex(0),
            request_snapshot: LogIndex(0),
            context: Vec::new(),
        }
    }

    /// Of our own making: the core knows nothing of it.
    pub(crate) fn progress(from: NodeId, to: NodeId, log: Position, applied: LogIndex) -> Message {
        Message {
            log,
            applied,
            ..Message::new(MessageKind::Progress, from, to, log.term)
        }
    }

    /// Whether it says that entries were taken.
    pub(crate) fn is_acceptance(&self) -> bool {
        self.kind == MessageKind::AppendReply && !self.reject
    }

    /// Whether the receiver's log must find room for it. A new leader's first entry, which is empty, fits the margin
    /// that every log keeps: without it a leader answers no reads.
    pub fn needs_room(&self) -> bool {
        self.kind == MessageKind::Append && self.entries.iter().any(|entry| !entry.payload.is_empty())
    }

    /// Bytes it counts for in bounds.
    pub fn size_bytes(&self) -> usize {
        self.entries.iter().map(Entry::size_bytes).sum::<usize>() + 64
    }

    /// Appends all fields.
    pub fn encode(&self, out: &mut Encoder) {
        out.u8(self.kind as u8);
        out.u64(self.from.0);
        out.u64(self.to.0);
        out.u64(self.term.0);
        self.log.encode(out);
        out.u64(self.commit.0);
        out.u64(self.leader_commit.0);
        out.u64(self.commit_term.0);
        out.bool(self.reject);
        out.u64(self.reject_hint.0);
        out.bool(self.is_full);
        out.bool(self.asks_progress);
        out.u64(self.applied.0);
        out.u64(self.request_snapshot.0);
        out.bytes(&self.context);
        out.u64(self.entries.len() as u64);
        for entry in &self.entries {
            entry.encode(out);
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Message, DecodeError> {
        let kind = MessageKind::from_number(input.u8()?)?;
        let from = NodeId(input.u64()?);
        let to = NodeId(input.u64()?);
        let term = Term(input.u64()?);
        let log = Position::decode(input)?;
        let commit = LogIndex(input.u64()?);
        let leader_commit = LogIndex(input.u64()?);
        let commit_term = Term(input.u64()?);
        let reject = input.bool()?;
        let reject_hint = LogIndex(input.u64()?);
        let is_full = input.bool()?;
        let asks_progress = input.bool()?;
        let applied = LogIndex(input.u64()?);
        let request_snapshot = LogIndex(input.u64()?);
        let context = input.bytes()?;
        if context.len() > MAX_CONTEXT_BYTES {
            return Err(DecodeError::OutOfRange {
                what: "context bytes",
                value: context.len() as u64,
            });
        }
        let context = context.to_vec();
        let entries = (0..input.count()?)
            .map(|_| Entry::decode(input))
            .collect::<Result<_, _>>()?;
        Ok(Message {
            kind,
            from,
            to,
            term,
            log,
            entries,
            commit,
            leader_commit,
            commit_term,
            reject,
            reject_hint,
            is_full,
            asks_progress,
            applied,
            request_snapshot,
            context,
        })
    }

    /// Of the core's message; `None` for the kinds that a core only sends to itself.
    pub(crate) fn of_core(message: eraftpb::Message) -> Option<Message> {
        let kind = MessageKind::of_core(message.msg_type)?;
        let log = if kind == MessageKind::Snapshot {
            let metadata = message.get_snapshot().get_metadata();
            Position::new(metadata.term, metadata.index)
        } else {
            Position::new(message.log_term, message.index)
        };
        let (from, to) = (NodeId(message.from), NodeId(message.to));
        Some(Message {
            log,
            commit: LogIndex(message.commit),
            commit_term: Term(message.commit_term),
            reject: message.reject,
            reject_hint: LogIndex(message.reject_hint),
            request_snapshot: LogIndex(message.request_snapshot),
            context: message.context.to_vec(),
            entries: message.entries.into_iter().map(entry_of_core).collect(),
            ..Message::new(kind, from, to, Term(message.term))
        })
    }

    pub(crate) fn into_core(self) -> eraftpb::Message {
        let mut message = eraftpb::Message {
            msg_type: self.kind.to_core(),
            from: self.from.0,
            to: self.to.0,
            term: self.term.0,
            commit: self.commit.0,
            commit_term: self.commit_term.0,
            reject: self.reject,
            reject_hint: self.reject_hint.0,
            request_snapshot: self.request_snapshot.0,
            context: self.context.into(),
            ..Default::default()
        };
        if self.kind == MessageKind::Snapshot {
            let metadata = message.mut_snapshot().mut_metadata();
            metadata.index = self.log.index.0;
            metadata.term = self.log.term.0;
        } else {
            message.log_term = self.log.term.0;
            message.index = self.log.index.0;
        }
        message.entries = self.entries.into_iter().map(entry_into_core).collect();
        message
    }
}

pub(crate) fn entry_of_core(entry: eraftpb::Entry) -> Entry {
    let is_configure = entry.entry_type == EntryType::EntryConfChangeV2;
    Entry {
        position: Position::new(entry.term, entry.index),
        payload: if is_configure { entry.context } else { entry.data },
    }
}

pub(crate) fn entry_into_core(entry: Entry) -> eraftpb::Entry {
    eraftpb::Entry {
        term: entry.position.term.0,
        index: entry.position.index.0,
        ..payload_into_core(entry.payload)
    }
}

/// An entry without a place. The core need know of one that configures only that it does: it reads the data of those
/// that are proposed to it, and looks for nothing there but a change.
pub(crate) fn payload_into_core(payload: Bytes) -> eraftpb::Entry {
    let mut entry = eraftpb::Entry::default();
    if Payload::configuration_in(&payload).is_some() {
        entry.entry_type = EntryType::EntryConfChangeV2;
        entry.data = ANY_CHANGE.into();
        entry.context = payload;
    } else {
        entry.data = payload;
    }
    entry
}

/// A `ConfChangeV2` with one empty change in it, as protobuf: field 2, length 0.
const ANY_CHANGE: &[u8] = &[0x12, 0x00];
