//! Operators: they let nodes join, learn, vote and leave, whatever else goes wrong meanwhile.

use bellwether_types::{Configuration, NodeId};

use super::{Node, World, WorldEvent};
use crate::clock::WallClock;
use crate::disk::SimDisk;
use crate::driver::NodeEvent;
use crate::fault::{Change, Who};
use crate::observation::Logged;

/// Operators let nobody join beyond this.
const MEMBERS_MAX: usize = 7;

/// Nor do they let the cluster become smaller.
const VOTERS_MIN: usize = 3;

impl World {
    /// A machine that was never used.
    pub(super) fn create_node(&mut self, id: NodeId) {
        let wrong_ms = self.random.range(0, 120_000) as i64 - 60_000;
        let node = Node {
            disk: SimDisk::default(),
            disk_factor: 1,
            rot: Vec::new(),
            database_rot: Vec::new(),
            clock: WallClock::new(wrong_ms),
            random: self.random.fork(),
            driver: None,
            vfs: None,
            incarnation: 0,
            deferred: None,
            starts: 0,
        };
        self.nodes.insert(id, node);
    }

    /// What a node is told when it has nothing: those who join learn from the others who is there.
    pub(super) fn founding_of(&self, id: NodeId) -> Configuration {
        match self.founding.contains(id) {
            true => self.founding.clone(),
            false => Configuration::default(),
        }
    }

    /// An operator's order; one that is not sensible is not given.
    pub(crate) fn order(&mut self, change: Change) {
        let (voters, members) = (self.wanted.voters.len(), self.wanted.members().count());
        let wanted = self.wanted.clone();
        self.wanted = match change {
            Change::Join if members < MEMBERS_MAX => wanted.with_voter(self.new_node()),
            Change::JoinToLearn if members < MEMBERS_MAX => wanted.with_learner(self.new_node()),
            Change::Replace(who) if members < MEMBERS_MAX => match self.choose_voter(who) {
                Some(old) => wanted.without(old).with_voter(self.new_node()),
                None => wanted,
            },
            Change::Leave(who) if voters > VOTERS_MIN => match self.choose_voter(who) {
                Some(node) => wanted.without(node),
                None => wanted,
            },
            Change::Demote(who) if voters > VOTERS_MIN => match self.choose_voter(who) {
                Some(node) => wanted.with_learner(node),
                None => wanted,
            },
            Change::Promote => match wanted.learners.first().copied() {
                Some(node) => wanted.with_voter(node),
                None => wanted,
            },
            _ => wanted,
        };
        for id in self.node_ids() {
            self.give(id, NodeEvent::Wanted(self.wanted.clone()));
        }
    }

    fn choose_voter(&mut self, who: Who) -> Option<NodeId> {
        let node = self.choose(who);
        self.wanted.voters.contains(&node).then_some(node)
    }

    /// Its number was nobody's before.
    fn new_node(&mut self) -> NodeId {
        let last = self.nodes.last_key_value().expect("there are always nodes").0;
        let id = NodeId(last.0 + 1);
        self.create_node(id);
        let at = self.now.plus_us(self.random.range(1_000, 500_000));
        self.at(at, WorldEvent::Start(id));
        self.counts.nodes += 1;
        id
    }

    /// Each once, whoever applies it first.
    pub(super) fn count_records(&mut self, entries: &[Logged]) {
        for entry in entries {
            if entry.position.index > self.counted {
                self.counted = entry.position.index;
                self.counts.configurations += u64::from(entry.configuration.is_some());
                self.counts.of_statements += u64::from(entry.has_statements);
            }
        }
    }
}
