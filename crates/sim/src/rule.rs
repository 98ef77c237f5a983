//! Whom a run's commits wait for besides the quorum: one of a few rules, each with what it means in the checkers' own
//! words.

use bellwether_types::{NodeId, StandbyRule};

use crate::random::Random;

/// Drawn for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// For nobody.
    Nobody,
    /// For one of the others.
    AnyOne,
    /// For two of the others: with three nodes, for all.
    AnyTwo,
    /// For node 2, or node 3 while node 2 is not there. While neither is, nothing is acknowledged.
    SecondOrThird,
}

/// Of [`Rule::SecondOrThird`], in its order.
const NAMED: [NodeId; 2] = [NodeId(2), NodeId(3)];

impl Rule {
    /// Half of all runs have none.
    pub fn draw(random: &mut Random) -> Rule {
        random.weighted(&[
            (6, Rule::Nobody),
            (2, Rule::AnyOne),
            (2, Rule::AnyTwo),
            (2, Rule::SecondOrThird),
        ])
    }

    /// As `synchronous_standby_names` spells it.
    pub fn text(self) -> &'static str {
        match self {
            Rule::Nobody => "",
            Rule::AnyOne => "ANY 1 (*)",
            Rule::AnyTwo => "ANY 2 (*)",
            Rule::SecondOrThird => "FIRST 1 (node_2, node_3)",
        }
    }

    /// As a cluster has it.
    pub fn parsed(self) -> StandbyRule {
        self.text().parse().expect("each text is a rule")
    }

    /// Why those of the standbys that have something are not those that are asked for; `is_there`: who was just heard of,
    /// for certain.
    pub fn lacks(
        self,
        standbys: &[NodeId],
        has: impl Fn(NodeId) -> bool,
        is_there: impl Fn(NodeId) -> bool,
    ) -> Option<String> {
        let having = standbys.iter().filter(|node| has(**node)).count();
        let at_least = |count| (having < count).then(|| format!("{having} of the others have it"));
        match self {
            Rule::Nobody => None,
            Rule::AnyOne => at_least(1),
            Rule::AnyTwo => at_least(2),
            Rule::SecondOrThird => {
                let mut named = NAMED.into_iter().filter(|node| standbys.contains(node));
                let first = named.find(|node| has(*node) || is_there(*node));
                match first {
                    Some(node) if has(node) => None,
                    Some(node) => Some(format!("node {node} is there and has it not")),
                    None => Some("neither of those named has it".to_owned()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_one_that_a_cluster_can_have() {
        for rule in [Rule::Nobody, Rule::AnyOne, Rule::AnyTwo, Rule::SecondOrThird] {
            assert_eq!(rule.parsed().to_string(), rule.text());
        }
    }

    #[test]
    fn the_second_goes_before_the_third_while_it_is_there() {
        let standbys = [1, 2, 3].map(NodeId);
        let lacks = |has: &[u64], there: &[u64]| {
            let is_in = |nodes: &[u64], node: NodeId| nodes.contains(&node.0);
            let rule = Rule::SecondOrThird;
            rule.lacks(&standbys, |node| is_in(has, node), |node| is_in(there, node))
                .is_some()
        };
        assert!(!lacks(&[2], &[1, 2, 3]));
        assert!(lacks(&[1, 3], &[1, 2, 3]));
        assert!(!lacks(&[3], &[1, 3]));
        assert!(lacks(&[1], &[1]));
    }
}
