//! Why a message does not reach the core.

use std::fmt;

/// What is wrong with a message that is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// It is addressed to another node.
    WrongAddressee,
    /// It says that this node sent it.
    OwnMessage,
    /// This node's own read: who was taken for the leader took this node for it, and passed it on.
    ReadCameBack,
    /// A number is beyond what any log reaches.
    NumberTooLarge,
    /// A term where there is none, or none where there is one.
    WrongTerm,
    /// Entries where there are none, or none where there is one.
    WrongEntries,
    /// A place in the log without a term, a term without a place, or a term later than the message's.
    WrongPlace,
    /// Its entries do not follow each other.
    NotConsecutive,
    /// An entry is of a later term than the message.
    EntryOfLaterTerm,
    /// It replaces an entry that is committed here.
    ContradictsCommitted,
    /// Its commit index is beyond this log, which the sender knows to be longer: has it lost its end?
    CommitBeyondLog,
    /// It acknowledges entries that this log does not have: of a log that was replaced since.
    AcknowledgesTooMuch,
    /// A snapshot of nothing.
    EmptySnapshot,
    /// An order that no member gives.
    NotAMembersToAsk,
    /// A snapshot is being put in place, and the core cannot stand for election meanwhile.
    BeingSeeded,
    /// The log finds no space for its entries.
    NoRoom,
    /// An answer to a vote that was not asked for yet.
    UnaskedVote,
    /// The core refused it.
    RefusedByCore,
}

impl DropReason {
    /// Whether messages are dropped for this among correct members too, because they come late or twice. Any other
    /// reason says that a member, or this node's disk, is wrong.
    pub fn is_innocent(self) -> bool {
        matches!(
            self,
            DropReason::ReadCameBack
                | DropReason::AcknowledgesTooMuch
                | DropReason::BeingSeeded
                | DropReason::NoRoom
                | DropReason::UnaskedVote
                | DropReason::RefusedByCore
        )
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DropReason::WrongAddressee => "addressed to another node",
            DropReason::OwnMessage => "in the name of this node itself",
            DropReason::ReadCameBack => "this node's own read came back",
            DropReason::NumberTooLarge => "a number beyond any log",
            DropReason::WrongTerm => "a term where there is none, or none where there is one",
            DropReason::WrongEntries => "entries where there are none, or none where there is one",
            DropReason::WrongPlace => "a place and a term that do not go together",
            DropReason::NotConsecutive => "entries are not consecutive",
            DropReason::EntryOfLaterTerm => "an entry is of a later term than its message",
            DropReason::ContradictsCommitted => "contradicts a committed entry",
            DropReason::CommitBeyondLog => "a commit index beyond this log: has it lost its end?",
            DropReason::AcknowledgesTooMuch => "acknowledges entries that this log does not have",
            DropReason::EmptySnapshot => "a snapshot of nothing",
            DropReason::NotAMembersToAsk => "not a member's to ask",
            DropReason::BeingSeeded => "a snapshot is being put in place",
            DropReason::NoRoom => "the log finds no space for its entries",
            DropReason::UnaskedVote => "an answer to a vote that was not asked for yet",
            DropReason::RefusedByCore => "the core refused it",
        })
    }
}
