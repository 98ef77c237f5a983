//! What members are known to have beyond what the core knows: received and not yet on disk, applied; and what a follower
//! owes to a leader that asked.

use std::collections::BTreeMap;

use bellwether_types::{Entry, LogIndex, NodeId, Term};
use raft::{Progress, ProgressState};

use crate::message::{Message, MessageKind};
use crate::timing::ELECTION_TICKS;

/// How a member is sent the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// It is asked how far its log agrees.
    Probing,
    /// Entries as they come.
    Streaming,
    /// It has to get a snapshot first.
    Seeding,
}

/// Another member, as its leader knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standby {
    /// Which.
    pub node: NodeId,
    /// Whether it was heard of within an election timeout.
    pub is_there: bool,
    /// How it is sent the log.
    pub sending: Sending,
    /// The last entry sent.
    pub sent: LogIndex,
    /// The last entry that it has received, on disk or not.
    pub received: LogIndex,
    /// The last entry on its disk.
    pub durable: LogIndex,
    /// The last entry applied there.
    pub applied: LogIndex,
}

/// What a leader asked this follower to tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owed {
    pub leader: NodeId,
    pub term: Term,
    /// It hears again when this is applied.
    pub through: LogIndex,
}

#[derive(Debug, Default)]
pub(crate) struct Standbys {
    /// At the leader, in its reign.
    heard: BTreeMap<NodeId, Heard>,
    /// At the leader: entries through here are asked about.
    pub asks_through: LogIndex,
    /// At this node.
    pub applied: LogIndex,
    owed: Option<Owed>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    at_tick: u64,
    received: LogIndex,
    applied: LogIndex,
}

impl Standbys {
    /// At the leader: anything of its term.
    pub fn heard(&mut self, message: &Message, now: u64) {
        let heard = self.heard.entry(message.from).or_insert(Heard {
            at_tick: now,
            received: LogIndex(0),
            applied: LogIndex(0),
        });
        heard.at_tick = now;
        heard.applied = heard.applied.max(message.applied);
        if message.is_acceptance() || message.kind == MessageKind::Progress {
            heard.received = heard.received.max(message.log.index);
        }
    }

    /// Ticks since anything was heard of that member; `None`: nothing was in this reign.
    pub fn silent_for(&self, node: NodeId, now: u64) -> Option<u64> {
        self.heard.get(&node).map(|heard| now - heard.at_tick)
    }

    /// This node leads no more.
    pub fn forget(&mut self) {
        self.heard.clear();
        self.asks_through = LogIndex(0);
    }

    pub fn of(&self, node: NodeId, progress: &Progress, now: u64) -> Standby {
        let heard = self.heard.get(&node);
        let durable = LogIndex(progress.matched);
        Standby {
            node,
            is_there: heard.is_some_and(|heard| heard.at_tick + ELECTION_TICKS as u64 > now),
            sending: match progress.state {
                ProgressState::Probe => Sending::Probing,
                ProgressState::Replicate => Sending::Streaming,
                ProgressState::Snapshot => Sending::Seeding,
            },
            sent: LogIndex(progress.next_idx.saturating_sub(1)).max(durable),
            received: heard.map_or(durable, |heard| heard.received.max(durable)),
            durable,
            applied: heard.map_or(LogIndex(0), |heard| heard.applied),
        }
    }

    /// Whether these entries are asked about.
    pub fn asks(&self, entries: &[Entry]) -> bool {
        entries
            .first()
            .is_some_and(|first| first.position.index <= self.asks_through)
    }

    /// At a follower.
    pub fn owe(&mut self, owed: Owed) {
        self.owed = Some(owed);
    }

    /// At a follower: whom it owes word of the entries that it accepts hereby.
    pub fn owed_to(&self, reply: &Message) -> Option<&Owed> {
        self.owed
            .as_ref()
            .filter(|owed| owed.leader == reply.to && owed.term == reply.term)
    }

    /// Who is to be told of it.
    pub fn set_applied(&mut self, applied: LogIndex) -> Option<Owed> {
        self.applied = applied;
        self.owed.take_if(|owed| applied >= owed.through)
    }
}
