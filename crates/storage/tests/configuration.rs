//! The group, as records say it and replicas keep it.

mod support;

use bellwether_storage::snapshot::Snapshot;
use bellwether_storage::{ApplyError, Writer};
use bellwether_types::{Configuration, Entry, NodeId, Payload, Position, Timestamp};
use support::Pair;

fn group() -> Configuration {
    Configuration::of_voters([NodeId(1), NodeId(300)]).with_learner(NodeId(2))
}

fn entry(at: Position, says: Position, configuration: Configuration) -> Entry {
    let payload = Payload::Configure {
        position: says,
        timestamp: Timestamp(at.index.0 + 1),
        origin: NodeId(1),
        configuration,
    };
    Entry {
        position: at,
        payload: payload.to_bytes(),
    }
}

#[test]
fn a_replica_keeps_the_group_that_the_last_record_said_and_an_image_of_it_too() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)"]);
    assert_eq!(pair.follower.configuration().expect("sound"), None);
    let before = pair.follower.fingerprint();
    for configuration in [group().with_voter(NodeId(9)), group()] {
        let at = Position {
            index: pair.position.index.next(),
            ..pair.position
        };
        pair.position = at;
        let entry = entry(at, at, configuration);
        pair.leader.apply(&entry).expect("applied");
        pair.follower.apply(&entry).expect("applied");
    }
    assert_eq!(pair.follower.position(), pair.position);
    assert_eq!(pair.follower.fingerprint(), before, "no table has changed");
    let files = pair.files("follower");
    let snapshot = Snapshot::start(&files).expect("a snapshot");
    assert_eq!(*snapshot.configuration(), group());
    drop(snapshot);
    let again = Writer::open(&files).expect("the replica");
    assert_eq!(again.configuration().expect("sound"), Some(group()));
    drop(again);
    pair.run(&["INSERT INTO t VALUES (1)"]);
    pair.check();
}

#[test]
fn a_configuration_that_stands_elsewhere_is_refused() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)"]);
    let at = Position {
        index: pair.position.index.next(),
        ..pair.position
    };
    let error = pair
        .follower
        .apply(&entry(at, pair.position, group()))
        .expect_err("misplaced");
    assert!(matches!(error, ApplyError::Misplaced { .. }), "{error}");
    assert_eq!(pair.follower.configuration().expect("sound"), None);
    pair.run(&["INSERT INTO t VALUES (1)"]);
}
