//! The machine alone: three replicas, a log and a writer that are vectors, messages delivered at once unless cut.

mod support;

use std::collections::VecDeque;

use bellwether_node::{Effect, Event, Message, MessageKind, Replica};
use bellwether_types::{Configuration, Entry, LogIndex, NodeId, Position, Term};
use bytes::Bytes;
use support::Cluster;

#[test]
fn a_leader_is_elected_and_its_groups_are_applied_in_the_same_order_everywhere() {
    let mut cluster = Cluster::new(3);
    cluster.run_ms(1_000);
    let leader = cluster.leader();
    cluster.propose(leader, "a");
    cluster.propose(leader, "b");
    cluster.run_ms(100);
    for id in 1..=3 {
        assert_eq!(cluster.applied(id), ["a", "b"], "node {id}");
    }
}

#[test]
fn how_far_the_log_is_committed_travels_with_the_next_entry_or_is_announced() {
    let mut cluster = Cluster::new(3);
    cluster.run_ms(1_000);
    let leader = cluster.leader();
    let follower = (1..=3).find(|id| NodeId(*id) != leader).expect("two others");
    cluster.propose(leader, "a");
    assert_eq!(cluster.applied(leader.0), ["a"]);
    assert_eq!(cluster.applied(follower), [""; 0], "no word of it yet");
    assert!(cluster.nodes[&leader].replica.owes_announcement());
    cluster.propose(leader, "b");
    assert_eq!(cluster.applied(follower), ["a"], "told with the entry");
    cluster.handle(leader, Event::Announce);
    cluster.deliver();
    assert_eq!(cluster.applied(follower), ["a", "b"]);
    // Once for all: a member that cannot be reached hears it with a later message.
    cluster.cut.insert(NodeId(follower));
    cluster.propose(leader, "c");
    cluster.handle(leader, Event::Announce);
    cluster.deliver();
    assert!(!cluster.nodes[&leader].replica.owes_announcement());
    cluster.cut.clear();
    cluster.run_ms(1_000);
    assert_eq!(cluster.applied(follower), ["a", "b", "c"]);
    assert!(
        !cluster.nodes[&NodeId(follower)].replica.owes_announcement(),
        "it follows"
    );
}

#[test]
fn a_single_node_leads_itself() {
    let mut cluster = Cluster::new(1);
    cluster.run_ms(1_000);
    cluster.propose(NodeId(1), "alone");
    assert_eq!(cluster.applied(1), ["alone"]);
}

#[test]
fn a_leader_that_is_cut_off_rolls_back_and_takes_what_the_others_decided() {
    let mut cluster = Cluster::new(3);
    cluster.run_ms(1_000);
    let old = cluster.leader();
    cluster.cut.insert(old);
    cluster.propose(old, "lost");
    cluster.run_ms(2_000);
    let new = cluster.leader();
    assert_eq!(
        cluster.nodes[&old].follows_seen, 1,
        "it steps down without a quorum"
    );
    cluster.propose(new, "kept");
    cluster.cut.clear();
    cluster.run_ms(1_000);
    for id in 1..=3 {
        assert_eq!(cluster.applied(id), ["kept"], "node {id}");
    }
}

#[test]
fn a_leader_that_hands_over_commits_the_group_in_flight_first() {
    let mut cluster = Cluster::new(3);
    cluster.run_ms(1_000);
    let old = cluster.leader();
    let heir = *cluster.nodes.keys().find(|id| **id != old).expect("another");
    cluster.propose(old, "before");
    cluster.handle(old, Event::Transfer { to: heir });
    cluster.deliver();
    cluster.run_ms(200);
    assert_eq!(cluster.leader(), heir);
    cluster.propose(heir, "after");
    cluster.run_ms(100);
    for id in 1..=3 {
        assert_eq!(cluster.applied(id), ["before", "after"], "node {id}");
    }
}

#[test]
fn a_read_at_a_follower_is_confirmed_by_the_leader_and_refused_without_one() {
    let mut cluster = Cluster::new(3);
    cluster.run_ms(1_000);
    let leader = cluster.leader();
    let follower = *cluster.nodes.keys().find(|id| **id != leader).expect("another");
    cluster.handle(follower, Event::ReadIndex { ticket: 7 });
    cluster.deliver();
    cluster.run_ms(100);
    assert!(cluster.nodes[&follower].ready_reads.contains(&7));
    cluster.cut.insert(follower);
    cluster.handle(follower, Event::ReadIndex { ticket: 8 });
    cluster.run_ms(3_000);
    assert!(!cluster.nodes[&follower].ready_reads.contains(&8));
}

fn message(kind: MessageKind, term: u64) -> Message {
    Message::new(kind, NodeId(2), NodeId(1), Term(term))
}

fn snapshot_staged(position: Position) -> Event {
    Event::SnapshotStaged {
        position,
        configuration: Configuration::of_voters((1..=3).map(NodeId)),
    }
}

#[test]
fn a_message_that_would_break_the_core_is_dropped() {
    let entry = |term, index| Entry {
        position: Position::new(term, index),
        payload: Bytes::new(),
    };
    let at = |kind, term, log| Message {
        log,
        ..message(kind, term)
    };
    let cases = [
        (
            "no such commit",
            Message {
                commit: LogIndex(999),
                ..message(MessageKind::Heartbeat, 5)
            },
        ),
        ("a vote of no term", message(MessageKind::Vote, 0)),
        ("a read of some term", message(MessageKind::ReadIndex, 3)),
        (
            "a place of no term",
            Message {
                commit: LogIndex(3),
                ..at(MessageKind::Append, 5, Position::new(0, 3))
            },
        ),
        (
            "an entry of no term",
            Message {
                entries: vec![entry(0, 1)],
                ..message(MessageKind::Append, 5)
            },
        ),
        (
            "the last index there is",
            at(MessageKind::Append, 5, Position::new(1, u64::MAX)),
        ),
        ("the last term there is", message(MessageKind::Vote, u64::MAX)),
        (
            "a snapshot of nothing",
            at(MessageKind::Snapshot, 5, Position::new(1, 0)),
        ),
        (
            "a snapshot of no term",
            at(MessageKind::Snapshot, 5, Position::new(0, 4)),
        ),
        (
            "a message for another",
            Message {
                to: NodeId(3),
                ..message(MessageKind::Heartbeat, 5)
            },
        ),
        (
            "a message of its own",
            Message {
                from: NodeId(1),
                ..message(MessageKind::Heartbeat, 5)
            },
        ),
    ];
    for (what, message) in cases {
        let mut cluster = Cluster::new(3);
        let node = cluster.nodes.get_mut(&NodeId(1)).expect("a member");
        let effects = node.replica.handle(Event::Message(message), 0);
        let is_dropped = matches!(effects.as_slice(), [Effect::Dropped { .. }]);
        assert!(is_dropped, "{what}: {effects:?}");
    }
}

#[test]
fn a_group_of_several_payloads_is_proposed_one_by_one_and_committed_at_its_end() {
    let mut cluster = Cluster::new(1);
    cluster.run_ms(1_000);
    let id = NodeId(1);
    let node = cluster.nodes.get_mut(&id).expect("a member");
    let first = node.leads_at.expect("it leads");
    let mut at = first;
    let mut wanted = 1;
    for remaining in (0..20).rev() {
        assert!(wanted > 0, "the machine asks for the next payload");
        wanted -= 1;
        let event = Event::Propose {
            asks_progress: false,
            at,
            payload: Bytes::from_static(b"x"),
            remaining,
        };
        let mut effects = VecDeque::from(node.replica.handle(event, 2_000));
        at.index = at.index.next();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::NextPayload => wanted += 1,
                Effect::Persist(persist) => {
                    let event = Event::Persisted {
                        ticket: persist.ticket,
                    };
                    effects.extend(node.replica.handle(event, 2_000));
                }
                Effect::Commit { position, .. } => {
                    assert_eq!(remaining, 0);
                    assert_eq!(position.index.0, first.index.0 + 19);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_node_stands_for_election_after_a_snapshot_and_not_while_it_is_put_in_place() {
    let mut cluster = Cluster::new(3);
    let replica = &mut cluster.nodes.get_mut(&NodeId(1)).expect("a member").replica;
    let position = Position::new(4, 10);
    let offer = Message {
        log: position,
        ..message(MessageKind::Snapshot, 5)
    };
    let effects = replica.handle(Event::Message(offer), 0);
    assert!(
        matches!(effects.as_slice(), [Effect::FetchSnapshot { .. }]),
        "{effects:?}"
    );
    let effects = replica.handle(snapshot_staged(position), 0);
    let ticket = effects.iter().find_map(|effect| match effect {
        Effect::Persist(persist) if persist.reset == Some(position) => Some(persist.ticket),
        _ => None,
    });
    let ticket = ticket.expect("the log is reset");
    let stands = |replica: &mut Replica| {
        let effects = (0..200)
            .flat_map(|_| replica.handle(Event::Tick, 0))
            .collect::<Vec<_>>();
        let asks =
            |effect: &Effect| matches!(effect, Effect::Send(message) if message.kind == MessageKind::PreVote);
        effects.iter().any(asks)
    };
    assert!(!stands(replica), "the log is not there yet");
    replica.handle(Event::SnapshotInstalled { position }, 0);
    replica.handle(Event::Persisted { ticket }, 0);
    assert!(stands(replica));
    assert_eq!(replica.status().applied, position.index);
}

#[test]
fn a_snapshot_that_is_offered_late_is_not_put_in_place_again() {
    let mut cluster = Cluster::new(3);
    let replica = &mut cluster.nodes.get_mut(&NodeId(1)).expect("a member").replica;
    let position = Position::new(4, 10);
    let offer = Message {
        log: position,
        ..message(MessageKind::Snapshot, 5)
    };
    replica.handle(Event::Message(offer.clone()), 0);
    let effects = replica.handle(snapshot_staged(position), 0);
    let ticket = effects.iter().find_map(|effect| match effect {
        Effect::Persist(persist) => Some(persist.ticket),
        _ => None,
    });
    let ticket = ticket.expect("the log is reset");
    replica.handle(Event::SnapshotInstalled { position }, 0);
    replica.handle(Event::Persisted { ticket }, 0);
    let effects = replica.handle(Event::Message(offer), 0);
    assert!(
        matches!(effects.as_slice(), [Effect::Send(reply)] if reply.log.index == position.index),
        "the leader hears that it is there: {effects:?}"
    );
    assert!(!replica.status().seeding);
}

#[test]
fn an_apply_that_finds_damage_is_never_answered_and_the_replica_is_seeded_all_the_same() {
    let (mut cluster, leader, [follower, _]) = Cluster::of_three();
    cluster.disk(follower).is_damaged = true;
    cluster.propose(leader, "one");
    cluster.run_ms(1_000);
    assert_eq!(cluster.disk(follower).snapshot_asked_of, Some(leader));
    let position = cluster.nodes[&leader].replica.status().last;
    cluster.disk(follower).is_damaged = false;
    cluster.disk(follower).applied_through = position.index;
    cluster.handle(follower, snapshot_staged(position));
    cluster.handle(follower, Event::SnapshotInstalled { position });
    cluster.propose(leader, "two");
    cluster.run_ms(1_000);
    let status = |id| cluster.nodes[&id].replica.status();
    assert!(!status(follower).seeding);
    assert_eq!(status(follower).applied, status(leader).applied);
}

#[test]
fn a_damaged_replica_whose_log_is_cut_off_takes_the_snapshot_that_it_has_when_the_leader_offers_one() {
    for (staged, is_enough) in [(12, true), (9, false)] {
        let mut cluster = Cluster::new(3);
        let replica = &mut cluster.nodes.get_mut(&NodeId(1)).expect("a member").replica;
        replica.handle(Event::Damaged, 0);
        let effects = replica.handle(Event::Message(message(MessageKind::Heartbeat, 5)), 0);
        let asks = |effect: &Effect| matches!(effect, Effect::FetchSnapshot { .. });
        assert!(effects.iter().any(asks), "{effects:?}");
        let position = Position::new(4, staged);
        let effects = replica.handle(snapshot_staged(position), 0);
        let installs = |effect: &Effect| matches!(effect, Effect::InstallSnapshot { .. });
        assert!(!effects.iter().any(installs), "it is not known to be committed");
        let offer = Message {
            log: Position::new(4, 10),
            ..message(MessageKind::Snapshot, 5)
        };
        let effects = replica.handle(Event::Message(offer), 0);
        assert_eq!(effects.iter().any(installs), is_enough, "{effects:?}");
        assert_eq!(effects.iter().any(asks), !is_enough, "{effects:?}");
    }
}

#[test]
fn a_follower_without_room_takes_no_entries_hears_of_its_leader_and_catches_up_when_it_has() {
    let (mut cluster, leader, [full, _]) = Cluster::of_three();
    cluster.disk(full).log_is_full = true;
    let before = cluster.nodes[&full].disk.log.len();
    for text in ["a", "b", "c"] {
        cluster.propose(leader, text);
        cluster.run_ms(200);
    }
    assert_eq!(cluster.nodes[&full].disk.log.len(), before);
    let status = cluster.nodes[&full].replica.status();
    assert!(!status.has_room);
    assert_eq!(
        status.known_commit.0,
        status.commit.0 + 3,
        "it knows what it misses"
    );
    cluster.run_ms(5_000);
    assert_eq!(cluster.leader(), leader, "a full disk elects nobody");
    cluster.find_room(full);
    cluster.run_ms(1_000);
    assert_eq!(cluster.applied(full.0), ["a", "b", "c"]);
}

#[test]
fn a_leader_without_room_hands_over_to_a_node_that_has_some() {
    let (mut cluster, leader, _) = Cluster::of_three();
    cluster.disk(leader).log_is_full = true;
    cluster.propose(leader, "not here");
    cluster.run_ms(200);
    let heir = cluster.leader();
    assert_ne!(heir, leader);
    assert_eq!(cluster.nodes[&leader].refusals_seen, 0);
    cluster.propose(heir, "here");
    assert_eq!(cluster.applied(heir.0), ["here"]);
}

#[test]
fn without_a_quorum_that_has_room_a_group_is_refused_and_later_ones_are_not() {
    let (mut cluster, leader, others) = Cluster::of_three();
    for id in others {
        cluster.disk(id).log_is_full = true;
    }
    // Nobody knows of it yet: the group waits for its quorum.
    cluster.propose(leader, "held");
    cluster.run_ms(200);
    assert_eq!(cluster.applied(leader.0), [""; 0]);
    cluster.find_room(others[0]);
    cluster.run_ms(200);
    assert_eq!(cluster.applied(leader.0), ["held"]);

    cluster.disk(others[0]).log_is_full = true;
    cluster.disk(leader).log_is_full = true;
    cluster.handle(others[0], Event::LogRoom { has_room: false });
    cluster.run_ms(200);
    for _ in 0..3 {
        cluster.propose(leader, "refused");
    }
    assert_eq!(
        cluster.nodes[&leader].refusals_seen, 3,
        "and it leads on between them"
    );
    cluster.find_room(others[0]);
    cluster.find_room(leader);
    cluster.run_ms(200);
    cluster.propose(leader, "taken");
    assert_eq!(cluster.applied(leader.0), ["held", "taken"]);
}

#[test]
fn what_sqlite_had_no_space_for_is_applied_once_it_has() {
    let (mut cluster, leader, others) = Cluster::of_three();
    for id in [leader, others[0], others[1]] {
        cluster.disk(id).sqlite_is_full = true;
    }
    cluster.propose(leader, "committed");
    cluster.run_ms(200);
    assert_eq!(cluster.applied(leader.0), [""; 0]);
    assert!(!cluster.nodes[&leader].replica.status().has_room);
    for id in [leader, others[0], others[1]] {
        cluster.disk(id).sqlite_is_full = false;
        let applied = cluster.nodes[&id].disk.applied_through;
        cluster.handle(id, Event::ApplyFailed { applied });
    }
    cluster.run_ms(2_000);
    for id in 1..=3 {
        assert_eq!(cluster.applied(id), ["committed"], "node {id}");
        assert!(cluster.nodes[&NodeId(id)].replica.status().has_room);
    }
    let leader = cluster.leader();
    cluster.propose(leader, "and on");
    assert_eq!(cluster.applied(leader.0), ["committed", "and on"]);
}
