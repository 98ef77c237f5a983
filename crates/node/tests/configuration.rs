//! The machine alone, while nodes come and go.

mod support;

use bellwether_node::{Event, Role};
use bellwether_types::{Configuration, NodeId};
use support::{Cluster, Disk};

fn of(voters: &[u64], learners: &[u64]) -> Configuration {
    Configuration {
        voters: voters.iter().copied().map(NodeId).collect(),
        learners: learners.iter().copied().map(NodeId).collect(),
    }
}

/// Proposes it at the leader and lets everybody hear of it.
fn configure(cluster: &mut Cluster, configuration: &Configuration) {
    let leader = cluster.leader();
    cluster.propose_configuration(leader, configuration.clone());
    cluster.run_ms(200);
    let refused = cluster.nodes[&leader].refusals_seen;
    assert_eq!(refused, 0, "{configuration:?}");
}

fn led(voters: u64) -> Cluster {
    let mut cluster = Cluster::new(voters);
    cluster.run_ms(1_000);
    let founding = Configuration::of_voters((1..=voters).map(NodeId));
    configure(&mut cluster, &founding);
    cluster
}

/// A node that has nothing, and is told nothing.
fn join(cluster: &mut Cluster, id: u64) {
    cluster.start(NodeId(id), Disk::default(), Configuration::default());
}

#[test]
fn one_node_grows_to_five_and_each_that_joins_gets_the_whole_log() {
    let mut cluster = led(1);
    cluster.propose(NodeId(1), "alone");
    let mut group = of(&[1], &[]);
    for id in 2..=5 {
        join(&mut cluster, id);
        group = group.with_learner(NodeId(id));
        configure(&mut cluster, &group);
        assert_eq!(cluster.applied(id), ["alone"], "node {id} as a learner");
        group = group.with_voter(NodeId(id));
        configure(&mut cluster, &group);
    }
    let leader = cluster.leader();
    cluster.propose(leader, "together");
    cluster.run_ms(200);
    for (id, node) in &cluster.nodes {
        assert_eq!(cluster.applied(id.0), ["alone", "together"], "node {id}");
        assert_eq!(node.disk.configuration, Some(group.clone()), "node {id}");
        assert_eq!(node.configured, Some(group.clone()), "node {id}");
    }
    // Two of five may go now.
    cluster
        .cut
        .extend([leader, NodeId(if leader.0 == 5 { 4 } else { 5 })]);
    cluster.run_ms(2_000);
    let next = cluster.leader();
    cluster.propose(next, "without two");
    assert_eq!(cluster.applied(next.0), ["alone", "together", "without two"]);
}

#[test]
fn a_learner_gets_everything_and_has_no_say() {
    let mut cluster = led(3);
    join(&mut cluster, 4);
    configure(&mut cluster, &of(&[1, 2, 3], &[4]));
    let leader = cluster.leader();
    cluster.cut.insert(NodeId(4));
    cluster.propose(leader, "committed without it");
    cluster.cut.clear();
    cluster.run_ms(200);
    assert_eq!(cluster.applied(4), ["committed without it"]);
    // With the leader and one voter gone it neither elects nor is elected.
    let others = (1..=3).map(NodeId).filter(|id| *id != leader);
    cluster.cut.extend([leader]);
    cluster.cut.extend(others.take(1));
    cluster.run_ms(5_000);
    let roles = cluster.nodes.values().map(|node| node.replica.status().role);
    assert!(
        roles.filter(|role| *role == Role::Leader).count() <= 1,
        "the old one at most"
    );
    assert!(cluster.nodes[&NodeId(4)].leads_at.is_none());
}

#[test]
fn a_dead_node_is_replaced_and_its_vote_does_not_count_any_more() {
    let mut cluster = led(3);
    let leader = cluster.leader();
    let dead = (1..=3).map(NodeId).find(|id| *id != leader).expect("another");
    cluster.nodes.remove(&dead);
    join(&mut cluster, 4);
    let group = of(&[1, 2, 3], &[4]);
    configure(&mut cluster, &group);
    let group = group.with_voter(NodeId(4));
    configure(&mut cluster, &group);
    let group = group.without(dead);
    configure(&mut cluster, &group);
    // Three voters again: one of them may go.
    cluster.cut.insert(leader);
    cluster.run_ms(2_000);
    let next = cluster.leader();
    assert_ne!(next, leader);
    cluster.propose(next, "after it");
    assert_eq!(cluster.applied(next.0), ["after it"]);
}

#[test]
fn a_node_knows_its_group_again_after_a_restart() {
    let mut cluster = led(3);
    join(&mut cluster, 4);
    configure(&mut cluster, &of(&[1, 2, 3], &[4]));
    let group = of(&[1, 2, 3, 4], &[]);
    configure(&mut cluster, &group);
    for id in (1..=4).map(NodeId) {
        cluster.restart(id);
        assert_eq!(*cluster.nodes[&id].replica.configuration(), group, "node {id}");
    }
    cluster.run_ms(1_000);
    let leader = cluster.leader();
    cluster.propose(leader, "and on");
    cluster.run_ms(200);
    assert_eq!(cluster.applied(4), ["and on"]);
    // What the applied state has not heard of, the log has.
    for node in cluster.nodes.values_mut() {
        node.disk.configuration = Some(of(&[1, 2, 3], &[]));
    }
    cluster.restart(NodeId(1));
    assert_eq!(*cluster.nodes[&NodeId(1)].replica.configuration(), group);
}

#[test]
fn a_configuration_that_is_no_step_is_refused_and_the_leader_leads_on() {
    let mut cluster = led(3);
    let leader = cluster.leader();
    let without_leader = of(&[1, 2, 3], &[]).with_learner(leader);
    for wrong in [of(&[1, 2, 3, 4, 5], &[]), without_leader] {
        cluster.propose_configuration(leader, wrong.clone());
        cluster.run_ms(100);
        assert!(cluster.nodes[&leader].leads_at.is_some(), "{wrong:?}");
        assert_eq!(
            *cluster.nodes[&leader].replica.configuration(),
            of(&[1, 2, 3], &[])
        );
    }
    assert_eq!(cluster.nodes[&leader].refusals_seen, 2);
    cluster.propose(leader, "still here");
    assert_eq!(cluster.applied(leader.0), ["still here"]);
}

#[test]
fn a_configuration_that_was_never_committed_is_forgotten() {
    let mut cluster = led(3);
    let old = cluster.leader();
    cluster.cut.insert(old);
    cluster.propose_configuration(old, of(&[1, 2, 3, 4], &[]));
    cluster.run_ms(2_000);
    let next = cluster.leader();
    cluster.propose(next, "instead");
    cluster.cut.clear();
    cluster.run_ms(1_000);
    for (id, node) in &cluster.nodes {
        assert_eq!(*node.replica.configuration(), of(&[1, 2, 3], &[]), "node {id}");
        assert_eq!(cluster.applied(id.0), ["instead"], "node {id}");
    }
}

#[test]
fn a_leader_goes_after_it_has_handed_over() {
    let mut cluster = led(3);
    let old = cluster.leader();
    let heir = (1..=3).map(NodeId).find(|id| *id != old).expect("another");
    cluster.handle(old, Event::Transfer { to: heir });
    cluster.deliver();
    cluster.run_ms(200);
    let group = of(&[1, 2, 3], &[]).without(old);
    configure(&mut cluster, &group);
    // Two voters: both are needed, and the one that is gone disturbs nobody.
    cluster.run_ms(5_000);
    assert_eq!(cluster.leader(), heir);
    cluster.propose(heir, "two");
    cluster.run_ms(200);
    for id in group.members() {
        assert_eq!(cluster.applied(id.0), ["two"], "node {id}");
    }
    assert_eq!(cluster.applied(old.0), [""; 0]);
}
