//! VACUUM on a leader and on a follower.

mod support;

use bellwether_storage::ApplyError;
use bellwether_types::record::Transaction;
use bellwether_types::{
    CommandTag, Entry, KeptResult, NodeId, Payload, Position, RequestId, SessionId, Timestamp,
};
use support::Pair;

fn vacuum(pair: &mut Pair) -> Position {
    let (position, applied) = try_vacuum(pair);
    applied.expect("the follower vacuums");
    position
}

fn try_vacuum(pair: &mut Pair) -> (Position, Result<(), ApplyError>) {
    pair.position.index = pair.position.index.next();
    let position = pair.position;
    let request = RequestId {
        session: SessionId(77),
        sequence: 1,
    };
    let transaction = Transaction {
        request,
        tag: CommandTag::plain("VACUUM"),
        result: KeptResult::TagAlone,
        durability: Default::default(),
        body_bytes: 0,
    };
    let timestamp = Timestamp(pair.leader.timestamp().0 + 1);
    pair.leader
        .vacuum(position, timestamp, &transaction)
        .expect("the leader vacuums");
    let payload = Payload::Vacuum {
        position,
        timestamp,
        origin: NodeId(1),
        transaction,
    }
    .to_bytes();
    (position, pair.follower.apply(&Entry { position, payload }))
}

#[test]
fn replicas_are_equal_after_vacuum_also_where_rowids_change() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE bare(a)",
        "CREATE TABLE keyed(id INTEGER PRIMARY KEY, b TEXT)",
    ]);
    pair.run(&[
        "INSERT INTO bare VALUES (1), (2), (3), (4)",
        "INSERT INTO keyed VALUES (7, 'x'), (9, 'y')",
    ]);
    pair.run(&["DELETE FROM bare WHERE a IN (1, 3)"]);
    let position = vacuum(&mut pair);
    assert_eq!(pair.leader.position(), position);
    assert_eq!(pair.follower.position(), position);
    assert_eq!(pair.leader.fingerprints(), pair.follower.fingerprints());
    let recomputed = pair
        .follower
        .recompute_fingerprints()
        .expect("the follower can be read");
    assert_eq!(pair.follower.fingerprints(), recomputed);
    pair.run(&["UPDATE bare SET a = a + 10", "DELETE FROM keyed WHERE id = 7"]);
    assert_eq!(pair.leader.fingerprint(), pair.follower.fingerprint());
}

#[test]
fn vacuum_run_again_after_a_crash_changes_nothing_more() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE bare(a)",
        "INSERT INTO bare VALUES (1), (2), (3)",
        "DELETE FROM bare WHERE a = 1",
    ]);
    vacuum(&mut pair);
    let once = pair.leader.fingerprint();
    vacuum(&mut pair);
    assert_eq!(pair.leader.fingerprint(), once);
    assert_eq!(pair.follower.fingerprint(), once);
}

#[test]
fn rows_changed_behind_a_replicas_back_do_not_become_right_by_vacuum() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE keyed(id INTEGER PRIMARY KEY, b TEXT)",
        "INSERT INTO keyed VALUES (7, 'x'), (9, 'y')",
    ]);
    let path = pair.files("follower").path;
    let other = rusqlite::Connection::open(path).expect("the file opens");
    other
        .execute("UPDATE keyed SET b = 'z' WHERE id = 9", [])
        .expect("it can be changed");
    drop(other);
    let (position, applied) = try_vacuum(&mut pair);
    let error = applied.expect_err("it differs");
    assert!(error.is_damage(), "{error}");
    assert!(matches!(error, ApplyError::Diverged { ref table, .. } if table == "keyed"));
    assert!(pair.follower.position() < position);
}
