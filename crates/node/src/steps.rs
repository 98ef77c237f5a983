//! From the group as it is to the group as it is wanted, a step at a time.
//!
//! Whoever leads takes the steps, from what it knows at that moment; a new leader goes on where the one before stopped.

use bellwether_types::{Configuration, NodeId};

/// What a leader does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Proposes this.
    Configure(Configuration),
    /// Hands over to a voter that stays: it is not to have a vote any more itself.
    HandOver(NodeId),
}

/// The next step of the leader `node`; `None`: nothing is to be done, or can be yet. `is_current`: a node that is there and
/// misses next to nothing, so that a majority with it commits as quickly as one without.
///
/// Nodes are added first, as learners; then those that are current get their votes; then votes are taken, one by one, and
/// last of all go those that are not wanted. So while one replaces another there are rather more voters than fewer. No
/// step is taken after which there would be no majority of current voters.
pub fn next_step(
    node: NodeId,
    present: &Configuration,
    wanted: &Configuration,
    is_current: impl Fn(NodeId) -> bool,
) -> Option<Step> {
    let missing = wanted.members().filter(|member| !present.contains(*member));
    let added = missing.fold(present.clone(), Configuration::with_learner);
    if added != *present {
        return Some(Step::Configure(added));
    }
    let is_current = |member: &NodeId| *member == node || is_current(*member);
    let has_quorum =
        |next: &Configuration| next.voters.iter().filter(|voter| is_current(voter)).count() >= next.quorum();
    let promoted = wanted.voters.intersection(&present.learners);
    let promoted = promoted.filter(|member| is_current(member));
    let mut promoted = promoted.map(|member| present.clone().with_voter(*member));
    if let Some(next) = promoted.find(has_quorum) {
        return Some(Step::Configure(next));
    }
    if !wanted.voters.contains(&node) && present.voters.contains(&node) {
        let mut staying = wanted.voters.intersection(&present.voters);
        let heir = staying.find(|member| is_current(member));
        return heir.map(|heir| Step::HandOver(*heir));
    }
    // Those that are not wanted at all go as learners, in the last step.
    let leaving = present.voters.difference(&wanted.voters);
    let mut left = leaving.map(|leaving| present.clone().with_learner(*leaving));
    if let Some(next) = left.find(has_quorum) {
        return Some(Step::Configure(next));
    }
    let unwanted = present
        .learners
        .iter()
        .filter(|member| !wanted.contains(**member));
    let rest = unwanted.fold(present.clone(), |rest, member| rest.without(*member));
    (rest != *present).then_some(Step::Configure(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(voters: &[u64], learners: &[u64]) -> Configuration {
        Configuration {
            voters: voters.iter().copied().map(NodeId).collect(),
            learners: learners.iter().copied().map(NodeId).collect(),
        }
    }

    /// All steps that node 1, or whom it hands over to, takes.
    fn path(mut present: Configuration, wanted: &Configuration, dead: &[u64]) -> Vec<Step> {
        let (mut leader, mut steps) = (NodeId(1), Vec::new());
        while let Some(step) = next_step(leader, &present, wanted, |node| !dead.contains(&node.0)) {
            match &step {
                Step::Configure(next) => {
                    assert!(present.is_step_to(next), "{present:?} to {next:?}");
                    assert!(next.voters.contains(&leader));
                    present = next.clone();
                }
                Step::HandOver(heir) => leader = *heir,
            }
            steps.push(step);
            assert!(steps.len() < 20, "{steps:?}");
        }
        steps
    }

    fn configure(voters: &[u64], learners: &[u64]) -> Step {
        Step::Configure(of(voters, learners))
    }

    #[test]
    fn nodes_that_join_learn_first_and_vote_when_they_are_current() {
        let steps = path(of(&[1], &[]), &of(&[1, 2, 3], &[4]), &[]);
        let wanted = [
            configure(&[1], &[2, 3, 4]),
            configure(&[1, 2], &[3, 4]),
            configure(&[1, 2, 3], &[4]),
        ];
        assert_eq!(steps, wanted);
        let steps = path(of(&[1], &[]), &of(&[1, 2, 3], &[]), &[2]);
        assert_eq!(steps, [configure(&[1], &[2, 3]), configure(&[1, 3], &[2])]);
    }

    #[test]
    fn a_dead_node_is_replaced_before_it_goes_and_goes_without_a_replacement_too() {
        let steps = path(of(&[1, 2, 3], &[]), &of(&[1, 2, 4], &[]), &[3]);
        let wanted = [
            configure(&[1, 2, 3], &[4]),
            configure(&[1, 2, 3, 4], &[]),
            configure(&[1, 2, 4], &[3]),
            configure(&[1, 2, 4], &[]),
        ];
        assert_eq!(steps, wanted);
        let steps = path(of(&[1, 2, 3], &[]), &of(&[1, 2], &[]), &[3]);
        assert_eq!(steps, [configure(&[1, 2], &[3]), configure(&[1, 2], &[])]);
    }

    #[test]
    fn a_leader_hands_over_before_it_goes_and_stays_where_nobody_can() {
        let steps = path(of(&[1, 2, 3, 4], &[]), &of(&[2, 3, 4], &[1]), &[2]);
        let wanted = [Step::HandOver(NodeId(3)), configure(&[2, 3, 4], &[1])];
        assert_eq!(steps, wanted);
        assert_eq!(path(of(&[1, 2], &[]), &of(&[2], &[]), &[2]), []);
    }

    #[test]
    fn no_vote_is_taken_or_given_that_leaves_no_majority_of_current_voters() {
        assert_eq!(path(of(&[1, 2, 3], &[]), &of(&[1, 2], &[]), &[2]), []);
        assert_eq!(path(of(&[1, 2, 3], &[4]), &of(&[1, 2, 3, 4], &[]), &[2, 3]), []);
        let steps = path(of(&[1, 2, 3], &[4]), &of(&[1, 4], &[]), &[2]);
        let wanted = [
            configure(&[1, 2, 3, 4], &[]),
            configure(&[1, 3, 4], &[2]),
            configure(&[1, 4], &[2, 3]),
            configure(&[1, 4], &[]),
        ];
        assert_eq!(steps, wanted);
    }

    #[test]
    fn what_is_as_wanted_stays() {
        assert_eq!(path(of(&[1, 2, 3], &[4]), &of(&[1, 2, 3], &[4]), &[]), []);
    }
}
