//! What breaks, or is changed on purpose, and how it is chosen. A fault is struck, lasts a while, and is healed before
//! the next.

mod strike;

pub use strike::{Struck, strike};

use std::collections::VecDeque;
use std::str::FromStr;

use crate::random::Random;

/// One way to break a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// `kill -9` of the leader.
    KillLeader,
    /// `kill -9` of any node.
    KillNode,
    /// `kill -9` of as many nodes as may be missing.
    KillMinority,
    /// `kill -9` of all nodes at once.
    KillAll,
    /// `kill -9` of the leader, and of the next one as soon as there is one.
    KillSuccessors,
    /// SIGSTOP of the leader.
    PauseLeader,
    /// SIGSTOP of any node.
    PauseNode,
    /// A minority and a majority, with nothing between them.
    PartHalves,
    /// The leader by itself.
    PartLeader,
    /// A node that hears nothing, or is not heard.
    PartOneWay,
    /// Two sides that do not see each other, and a node that sees both.
    PartBridge,
    /// Each node sees its two neighbours alone. Of three nodes that is everybody.
    PartRing,
    /// Everything between nodes is late.
    SlowNetwork,
    /// Clients' requests arrive; instead of the answer their connection ends.
    LoseAnswers,
    /// No space for the leader's data, or another node's.
    FillDisk,
    /// Leadership goes round, by order, several times in a row.
    Switchover,
    /// A node has no vote meanwhile.
    MemberDemote,
    /// A further node joins, and is removed again.
    MemberJoin,
}

impl Fault {
    /// All of them, with their names.
    pub const NAMES: [(&'static str, Fault); 18] = [
        ("kill-leader", Fault::KillLeader),
        ("kill-node", Fault::KillNode),
        ("kill-minority", Fault::KillMinority),
        ("kill-all", Fault::KillAll),
        ("kill-successors", Fault::KillSuccessors),
        ("pause-leader", Fault::PauseLeader),
        ("pause-node", Fault::PauseNode),
        ("partition-halves", Fault::PartHalves),
        ("partition-leader", Fault::PartLeader),
        ("partition-one-way", Fault::PartOneWay),
        ("partition-bridge", Fault::PartBridge),
        ("partition-ring", Fault::PartRing),
        ("slow-network", Fault::SlowNetwork),
        ("lose-answers", Fault::LoseAnswers),
        ("fill-disk", Fault::FillDisk),
        ("switchover", Fault::Switchover),
        ("member-demote", Fault::MemberDemote),
        ("member-join", Fault::MemberJoin),
    ];

    /// As on the command line and in histories.
    pub fn name(self) -> &'static str {
        let named = Fault::NAMES.iter().find(|(_, fault)| *fault == self);
        named.map_or("", |(name, _)| name)
    }

    /// Why it cannot be struck at such a cluster.
    pub fn impossible_because(self, nodes: u16, can_fill_disks: bool) -> Option<&'static str> {
        match self {
            Fault::PartRing if nodes < 4 => Some("in a ring of three everybody is everybody's neighbour"),
            Fault::PartBridge | Fault::PartHalves | Fault::PartLeader | Fault::PartOneWay if nodes < 3 => {
                Some("it needs three nodes")
            }
            Fault::Switchover if nodes < 2 => Some("there is nobody else to lead"),
            Fault::MemberDemote if nodes < 2 => Some("the last vote cannot be taken"),
            Fault::FillDisk if !can_fill_disks => {
                Some("it mounts a small file system for each node, which needs root's rights on Linux")
            }
            _ => None,
        }
    }
}

/// Faults by name, or by the word before the first hyphen for all that begin with it; `all`; `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Faults, String> {
        let mut faults = Vec::new();
        for word in text.split(',').filter(|word| *word != "none") {
            let is_meant = |name: &str| name == word || word == "all" || name.split('-').next() == Some(word);
            let meant = Fault::NAMES.iter().filter(|(name, _)| is_meant(name));
            let before = faults.len();
            faults.extend(meant.map(|(_, fault)| *fault));
            if faults.len() == before {
                let names: Vec<&str> = Fault::NAMES.iter().map(|(name, _)| *name).collect();
                return Err(format!(
                    "no fault is called {word:?}: there are {}; kill, pause, partition and member for all of a kind, all, none",
                    names.join(", ")
                ));
            }
        }
        faults.sort();
        faults.dedup();
        Ok(Faults(faults))
    }
}

/// Deals faults: each once, in any order, before one comes again.
#[derive(Debug)]
pub struct Deck {
    faults: Vec<Fault>,
    left: VecDeque<Fault>,
    random: Random,
}

impl Deck {
    /// Of some faults.
    pub fn new(faults: Vec<Fault>, random: Random) -> Deck {
        Deck {
            faults,
            left: VecDeque::new(),
            random,
        }
    }

    /// The next; `None` of an empty deck.
    pub fn deal(&mut self) -> Option<Fault> {
        if self.left.is_empty() {
            let mut faults = self.faults.clone();
            self.random.shuffle(&mut faults);
            self.left = faults.into();
        }
        self.left.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_by_themselves_and_by_kind() {
        let faults = |text: &str| text.parse::<Faults>().map(|faults| faults.0);
        assert_eq!(faults("pause-node"), Ok(vec![Fault::PauseNode]));
        assert_eq!(
            faults("pause,pause-node"),
            Ok(vec![Fault::PauseLeader, Fault::PauseNode])
        );
        assert_eq!(faults("all").map(|all| all.len()), Ok(Fault::NAMES.len()));
        assert_eq!(faults("none"), Ok(Vec::new()));
        let wrong = faults("kill,earthquake").expect_err("there is none");
        assert!(
            wrong.contains("earthquake") && wrong.contains("kill-leader"),
            "{wrong}"
        );
    }

    #[test]
    fn every_fault_has_a_name_of_its_own() {
        for (name, fault) in Fault::NAMES {
            assert_eq!(fault.name(), name);
        }
    }

    #[test]
    fn each_is_dealt_before_one_comes_again() {
        let faults = vec![Fault::KillLeader, Fault::PauseNode, Fault::PartRing];
        let mut deck = Deck::new(faults.clone(), Random::new(3));
        for _ in 0..5 {
            let mut dealt: Vec<Fault> = (0..3).filter_map(|_| deck.deal()).collect();
            dealt.sort();
            assert_eq!(dealt, faults);
        }
        assert_eq!(Deck::new(Vec::new(), Random::new(3)).deal(), None);
    }
}
