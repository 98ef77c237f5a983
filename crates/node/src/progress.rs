//! When a commit may be answered: what is known of who has it, against the durability asked for.

use bellwether_consensus::Standby;
use bellwether_types::{Configuration, Durability, LogIndex, NodeId, StandbyRule, Term};

/// A leader's view of its log: how far it is here and at the others. Of one reign.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The term in which this node leads; `None`: it does not, and the rest is of the last time that it did.
    pub reign: Option<Term>,
    /// The last entry of the log here, durable or not.
    pub last: LogIndex,
    /// The last entry durable here.
    pub persisted: LogIndex,
    /// The last entry that a quorum has durably.
    pub commit: LogIndex,
    /// The group.
    pub configuration: Configuration,
    /// The other members.
    pub standbys: Vec<Standby>,
}

impl Progress {
    /// Whether a transaction whose record is this entry of the log here may be answered. `rule`: whom to wait for besides
    /// the quorum; without one, `remote_write` and `remote_apply` wait for as many voters as make a quorum with this node.
    pub fn allows(&self, index: LogIndex, durability: Durability, rule: &StandbyRule) -> bool {
        let here = match durability {
            Durability::Off => self.last >= index,
            Durability::Local | Durability::RemoteWrite => self.persisted >= index,
            Durability::On | Durability::RemoteApply => self.commit >= index,
        };
        here && match durability {
            Durability::Off | Durability::Local => true,
            Durability::RemoteWrite => self.chosen_have(rule, |standby| standby.received >= index),
            Durability::On => rule.is_empty() || self.is_met(rule, |standby| standby.durable >= index),
            Durability::RemoteApply => self.chosen_have(rule, |standby| standby.applied >= index),
        }
    }

    /// Whether the standbys that a rule waits for miss so many committed entries at most.
    pub fn is_current(&self, rule: &StandbyRule, missing_max: u64) -> bool {
        self.is_met(rule, |standby| standby.durable.0 + missing_max >= self.commit.0)
    }

    fn chosen_have(&self, rule: &StandbyRule, has: impl Fn(&Standby) -> bool) -> bool {
        if !rule.is_empty() {
            return self.is_met(rule, has);
        }
        let is_voter = |node: &NodeId| self.configuration.voters.contains(node);
        let voters = self.standbys.iter().filter(|standby| is_voter(&standby.node));
        voters.filter(|standby| has(standby)).count() + 1 >= self.configuration.quorum()
    }

    fn is_met(&self, rule: &StandbyRule, has: impl Fn(&Standby) -> bool) -> bool {
        let standbys: Vec<(NodeId, bool, bool)> = self
            .standbys
            .iter()
            .map(|standby| (standby.node, standby.is_there, has(standby)))
            .collect();
        rule.is_met(&standbys)
    }
}

#[cfg(test)]
mod tests {
    use bellwether_consensus::Sending;

    use super::*;

    const AT: LogIndex = LogIndex(10);

    fn standby(node: u64, received: u64, durable: u64, applied: u64) -> Standby {
        Standby {
            node: NodeId(node),
            is_there: true,
            sending: Sending::Streaming,
            sent: AT,
            received: LogIndex(received),
            durable: LogIndex(durable),
            applied: LogIndex(applied),
        }
    }

    /// Of three voters, and a learner.
    fn progress(last: u64, persisted: u64, commit: u64, standbys: [Standby; 3]) -> Progress {
        Progress {
            reign: Some(Term(1)),
            last: LogIndex(last),
            persisted: LogIndex(persisted),
            commit: LogIndex(commit),
            configuration: Configuration::of_voters([1, 2, 3].map(NodeId)).with_learner(NodeId(4)),
            standbys: standbys.to_vec(),
        }
    }

    /// From weak to strong: which of them may be answered.
    fn answers(progress: &Progress, rule: &str) -> [bool; 5] {
        let rule = rule.parse().expect("a rule");
        Durability::ALL.map(|durability| progress.allows(AT, durability, &rule))
    }

    const NOBODY: [Standby; 3] = [Standby {
        node: NodeId(2),
        is_there: true,
        sending: Sending::Streaming,
        sent: AT,
        received: LogIndex(0),
        durable: LogIndex(0),
        applied: LogIndex(0),
    }; 3];

    #[test]
    fn each_durability_waits_for_its_step_on_the_way_of_a_record() {
        let three = |second| [second, standby(3, 0, 0, 0), standby(4, 0, 0, 0)];
        let steps = [
            (progress(9, 9, 9, NOBODY), [false; 5]),
            (progress(10, 9, 9, NOBODY), [true, false, false, false, false]),
            (progress(10, 10, 9, NOBODY), [true, true, false, false, false]),
            (
                progress(10, 10, 9, three(standby(2, 10, 9, 9))),
                [true, true, true, false, false],
            ),
            (
                progress(10, 10, 10, three(standby(2, 10, 10, 9))),
                [true, true, true, true, false],
            ),
            (progress(10, 10, 10, three(standby(2, 10, 10, 10))), [true; 5]),
        ];
        for (progress, expected) in steps {
            assert_eq!(answers(&progress, ""), expected, "{progress:?}");
        }
    }

    #[test]
    fn learners_make_no_quorum() {
        let standbys = [standby(2, 0, 0, 0), standby(3, 0, 0, 0), standby(4, 10, 10, 10)];
        let progress = progress(10, 10, 9, standbys);
        assert_eq!(answers(&progress, ""), [true, true, false, false, false]);
        assert_eq!(
            answers(&progress, "ANY 1 (node_4)"),
            [true, true, true, false, false],
            "but may be waited for"
        );
    }

    #[test]
    fn a_rule_is_waited_for_besides_the_quorum() {
        let standbys = [standby(2, 10, 10, 10), standby(3, 10, 9, 9), standby(4, 0, 0, 0)];
        let progress = progress(10, 10, 10, standbys);
        assert_eq!(answers(&progress, "ANY 1 (*)"), [true; 5]);
        assert_eq!(
            answers(&progress, "ANY 2 (*)"),
            [true, true, true, false, false],
            "all voters: fully synchronous"
        );
        assert_eq!(answers(&progress, "ANY 3 (*)"), [true, true, false, false, false]);
        assert_eq!(
            answers(&progress, "FIRST 1 (node_3, node_2)"),
            [true, true, true, false, false]
        );
    }

    #[test]
    fn standbys_are_current_when_they_miss_little() {
        let standbys = [standby(2, 8, 8, 8), standby(3, 0, 0, 0), standby(4, 0, 0, 0)];
        let progress = progress(10, 10, 10, standbys);
        let rule = "ANY 1 (*)".parse().expect("a rule");
        assert!(progress.is_current(&rule, 2));
        assert!(!progress.is_current(&rule, 1));
    }
}
