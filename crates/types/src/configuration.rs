//! Who is in a group: Raft's configuration (Ongaro's dissertation, §4).

use std::collections::BTreeSet;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::id::NodeId;

/// The most members of one group.
pub const MEMBERS_MAX: usize = 64;

/// The members of a group, from some position of its log on. It takes effect at a node when that is committed and durable
/// there. Changes go in steps of one voter ([`Configuration::is_step_to`]), so that any two majorities of neighbours meet.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Configuration {
    /// They elect, and a majority of them commits.
    pub voters: BTreeSet<NodeId>,
    /// They get the log, and have no say. None of them is a voter.
    pub learners: BTreeSet<NodeId>,
}

impl Configuration {
    /// Voters alone.
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Configuration {
        Configuration {
            voters: voters.into_iter().collect(),
            learners: BTreeSet::new(),
        }
    }

    /// All, voters first.
    pub fn members(&self) -> impl Iterator<Item = NodeId> {
        self.voters.iter().chain(&self.learners).copied()
    }

    /// Whether it is a voter or a learner.
    pub fn contains(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.learners.contains(&node)
    }

    /// Whether nobody is in it: of a node that has not joined.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty() && self.learners.is_empty()
    }

    /// How many voters commit: more than half.
    pub fn quorum(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// With this node as a voter, whatever it was.
    pub fn with_voter(mut self, node: NodeId) -> Configuration {
        self.learners.remove(&node);
        self.voters.insert(node);
        self
    }

    /// With this node as a learner, whatever it was.
    pub fn with_learner(mut self, node: NodeId) -> Configuration {
        self.voters.remove(&node);
        self.learners.insert(node);
        self
    }

    /// Without this node.
    pub fn without(mut self, node: NodeId) -> Configuration {
        self.voters.remove(&node);
        self.learners.remove(&node);
        self
    }

    /// Whether `next` may follow: it has voters, and differs in one of them at most.
    pub fn is_step_to(&self, next: &Configuration) -> bool {
        !next.voters.is_empty() && self.voters.symmetric_difference(&next.voters).count() <= 1
    }

    /// Appends voters, then learners.
    pub fn encode(&self, out: &mut Encoder) {
        for nodes in [&self.voters, &self.learners] {
            out.u64(nodes.len() as u64);
            for node in nodes {
                out.u64(node.0);
            }
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Configuration, DecodeError> {
        let configuration = Configuration {
            voters: decode_nodes(input)?,
            learners: decode_nodes(input)?,
        };
        let wrong = configuration.learners.intersection(&configuration.voters).next();
        let members = configuration.members().count();
        match wrong {
            Some(node) => Err(out_of_range("learner", node.0)),
            None if members > MEMBERS_MAX => Err(out_of_range("number of members", members as u64)),
            None => Ok(configuration),
        }
    }
}

/// Ascending.
fn decode_nodes(input: &mut Decoder<'_>) -> Result<BTreeSet<NodeId>, DecodeError> {
    let mut nodes = BTreeSet::new();
    for _ in 0..input.count()? {
        let node = input.u64()?;
        if node == 0 || nodes.last().is_some_and(|NodeId(last)| *last >= node) {
            return Err(out_of_range("member", node));
        }
        nodes.insert(NodeId(node));
    }
    Ok(nodes)
}

fn out_of_range(what: &'static str, value: u64) -> DecodeError {
    DecodeError::OutOfRange { what, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().map(|id| NodeId(*id)).collect()
    }

    fn configuration(voters: &[u64], learners: &[u64]) -> Configuration {
        Configuration {
            voters: nodes(voters),
            learners: nodes(learners),
        }
    }

    fn decoded(configuration: &Configuration) -> Result<Configuration, DecodeError> {
        let mut out = Encoder::new();
        configuration.encode(&mut out);
        Configuration::decode(&mut Decoder::new(out.as_slice()))
    }

    #[test]
    fn a_configuration_reads_back_and_one_that_contradicts_itself_does_not() {
        for sound in [
            configuration(&[], &[]),
            configuration(&[1, 2, 3], &[]),
            configuration(&[2, 400], &[1, 9]),
        ] {
            assert_eq!(decoded(&sound), Ok(sound));
        }
        assert!(decoded(&configuration(&[1, 2], &[2])).is_err(), "both at once");
        assert!(decoded(&configuration(&[0], &[])).is_err(), "no node is zero");
        let many: Vec<u64> = (1..=MEMBERS_MAX as u64 + 1).collect();
        assert!(decoded(&configuration(&many, &[])).is_err(), "too many");
    }

    #[test]
    fn a_step_changes_one_voter_and_leaves_one() {
        let three = configuration(&[1, 2, 3], &[4]);
        for next in [
            three.clone(),
            three.clone().with_voter(NodeId(4)),
            three.clone().with_learner(NodeId(3)),
            three.clone().without(NodeId(1)),
            three.clone().with_learner(NodeId(7)).without(NodeId(4)),
        ] {
            assert!(three.is_step_to(&next), "{next:?}");
        }
        let replaced = three.clone().without(NodeId(1)).with_voter(NodeId(4));
        assert!(!three.is_step_to(&replaced), "two voters at once");
        assert!(!configuration(&[1], &[2]).is_step_to(&configuration(&[], &[2])));
    }

    #[test]
    fn a_quorum_is_more_than_half() {
        let quorums = [1, 2, 3, 4, 5].map(|count| Configuration::of_voters((1..=count).map(NodeId)).quorum());
        assert_eq!(quorums, [1, 2, 2, 3, 3]);
    }
}
