//! What a message must be so that it may reach the core.

use bellwether_types::LogIndex;

use crate::drop_reason::DropReason;
use crate::group::Group;
use crate::message::{Message, MessageKind};

impl Group {
    /// Why a message must not reach the core: it would panic.
    pub fn check(&self, message: &Message) -> Result<(), DropReason> {
        check_numbers(message)?;
        if message.to != self.node() {
            return Err(DropReason::WrongAddressee);
        }
        // Whether the sender is a member is not asked: it may have become one by entries that this node does not have.
        if message.from == self.node() {
            let is_read = message.kind == MessageKind::ReadIndex;
            return Err(match is_read {
                true => DropReason::ReadCameBack,
                false => DropReason::OwnMessage,
            });
        }
        let last = LogIndex(self.core.raft.raft_log.last_index());
        match message.kind {
            MessageKind::Append => self.check_append(message),
            MessageKind::Heartbeat if message.term >= self.term() && message.commit > last => {
                Err(DropReason::CommitBeyondLog)
            }
            MessageKind::AppendReply if !message.reject && message.log.index > last => {
                Err(DropReason::AcknowledgesTooMuch)
            }
            MessageKind::Snapshot if message.log.index.0 == 0 => Err(DropReason::EmptySnapshot),
            MessageKind::TransferLeader => Err(DropReason::NotAMembersToAsk),
            MessageKind::TimeoutNow if self.resetting.is_some() => Err(DropReason::BeingSeeded),
            MessageKind::VoteReply if self.persisted() < last => Err(DropReason::UnaskedVote),
            _ => Ok(()),
        }
    }

    /// Appends follow each other.
    fn check_append(&self, message: &Message) -> Result<(), DropReason> {
        let mut previous = message.log;
        for entry in &message.entries {
            let follows =
                entry.position.index == previous.index.next() && entry.position.term >= previous.term;
            if !follows || entry.position.term.0 == 0 {
                return Err(DropReason::NotConsecutive);
            }
            if entry.position.term > message.term {
                return Err(DropReason::EntryOfLaterTerm);
            }
            let committed = entry.position.index <= self.commit();
            let known = self.term_at(entry.position.index);
            if committed
                && message.term >= self.term()
                && known.is_some_and(|term| term != entry.position.term)
            {
                return Err(DropReason::ContradictsCommitted);
            }
            previous = entry.position;
        }
        Ok(())
    }
}

/// Far above what a log reaches ([`Position::to_lsn`]), and far below where adding one overflows.
const NUMBER_MAX: u64 = 1 << 60;

/// Numbers that the core takes for something else, or computes with unchecked: term 0 marks its own messages, and is
/// what it answers for places beyond the log.
fn check_numbers(message: &Message) -> Result<(), DropReason> {
    let numbers = [
        message.term.0,
        message.log.term.0,
        message.log.index.0,
        message.commit.0,
        message.leader_commit.0,
        message.commit_term.0,
        message.reject_hint.0,
        message.request_snapshot.0,
        message.applied.0,
    ];
    if numbers.iter().any(|number| *number > NUMBER_MAX) {
        return Err(DropReason::NumberTooLarge);
    }
    if (message.term.0 == 0) != (message.kind == MessageKind::ReadIndex) {
        return Err(DropReason::WrongTerm);
    }
    let carries = match message.kind {
        MessageKind::Append => true,
        MessageKind::ReadIndex | MessageKind::ReadIndexReply => message.entries.len() == 1,
        _ => message.entries.is_empty(),
    };
    if !carries {
        return Err(DropReason::WrongEntries);
    }
    let places = matches!(message.kind, MessageKind::Append | MessageKind::Snapshot);
    if places && (message.log.term.0 == 0) != (message.log.index.0 == 0) {
        return Err(DropReason::WrongPlace);
    }
    if places && message.log.term > message.term {
        return Err(DropReason::WrongPlace);
    }
    Ok(())
}
