//! Slots: made, moved and dropped by records, so that every replica has the same; while there is one, changes have images.
//! And what old records are told like when their tables are called otherwise since.

mod support;

use std::sync::Arc;

use bellwether_storage::{Decoded, Decoding, Reader, Writer};
use bellwether_types::{ErrorKind, LogFormat, Payload, Position, Statement};
use support::Pair;

fn slot(change: &str) -> String {
    format!("PRAGMA bellwether_slot = '{change}'")
}

fn change(pair: &mut Pair, change: &str) {
    pair.run(&[&slot(change)]);
    assert_eq!(pair.leader.slots(), pair.follower.slots());
}

/// The position that a slot's reader has confirmed.
fn confirmed(writer: &Writer, name: &str) -> Option<Position> {
    writer.slots().get(name).copied()
}

/// Of the record with this number in the log, from 0.
fn told(pair: &Pair, number: usize) -> Vec<String> {
    let reader = Reader::open(&pair.files("leader")).expect("a replica");
    let relations = Arc::new(reader.relations().expect("readable"));
    let Ok(Payload::Record(record)) = Payload::from_bytes(&pair.log[number].payload) else {
        panic!("no record");
    };
    let mut decoding = Decoding::new(relations, record.position.index);
    let mut told = Vec::new();
    let decoded = decoding.feed(&record.body, |decoded| {
        told.push(match decoded {
            Decoded::Schema(sql) => sql,
            Decoded::Statement { sql, has_images, .. } => format!("{sql} (images: {has_images})"),
            Decoded::Row(change) => {
                let names: Vec<&str> = change.values.iter().map(|(name, _)| &**name).collect();
                format!(
                    "{:?} {}({})",
                    change.operation,
                    change.relation.name,
                    names.join(", ")
                )
            }
        });
    });
    decoded.expect("a body");
    decoding.finish().expect("whole");
    told
}

#[test]
fn a_slot_begins_after_the_record_that_makes_it_and_goes_forward_only() {
    let mut pair = Pair::new();
    change(&mut pair, "create s");
    let born = pair.position;
    assert_eq!(confirmed(&pair.leader, "s"), Some(born));
    pair.run(&["CREATE TABLE t(a)"]);
    let later = pair.position;
    change(&mut pair, &format!("advance s {later}"));
    assert_eq!(confirmed(&pair.leader, "s"), Some(later));
    change(&mut pair, &format!("advance s {born}"));
    assert_eq!(confirmed(&pair.follower, "s"), Some(later), "told late");
    let reopened = Writer::open(&pair.files("follower")).expect("a replica");
    assert_eq!(confirmed(&reopened, "s"), Some(later));
    change(&mut pair, "drop s");
    assert!(pair.follower.slots().is_empty());
}

#[test]
fn what_is_no_slot_is_refused_with_postgresqls_codes() {
    let mut pair = Pair::new();
    change(&mut pair, "create s");
    for (change, kind) in [
        ("create s", ErrorKind::DuplicateSlot),
        ("create S", ErrorKind::InvalidName),
        ("create ", ErrorKind::InvalidName),
        ("drop t", ErrorKind::UndefinedSlot),
        ("advance t 0/1", ErrorKind::UndefinedSlot),
        ("advance s here", ErrorKind::InvalidSetting),
        ("advance s 0/1 0/2", ErrorKind::InvalidSetting),
        ("forget s", ErrorKind::InvalidSetting),
    ] {
        assert_eq!(pair.fail(&[&slot(change)]).kind, kind, "{change:?}");
    }
    let long = format!("create {}", "a".repeat(64));
    assert_eq!(pair.fail(&[&slot(&long)]).kind, ErrorKind::InvalidName);
    for number in 1..10 {
        change(&mut pair, &format!("create s{number}"));
    }
    assert_eq!(pair.fail(&[&slot("create s10")]).kind, ErrorKind::TooManySlots);
}

#[test]
fn a_slot_of_a_transaction_that_fails_never_was() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a NOT NULL)"]);
    pair.fail(&[&slot("create s"), "INSERT INTO t VALUES (NULL)"]);
    assert!(pair.leader.slots().is_empty());
    pair.run(&["INSERT INTO t VALUES (1)"]);
    pair.run(&["DELETE FROM t"]);
    assert!(pair.last_changes()[0].contains("before: None"));
}

#[test]
fn rows_have_images_while_there_is_a_slot_and_statements_have_their_rows_too() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(k TEXT PRIMARY KEY, v)",
        "INSERT INTO t VALUES ('x', 1)",
    ]);
    change(&mut pair, "create s");
    pair.run(&["UPDATE t SET v = 2"]);
    assert!(pair.last_changes()[0].contains("before: Some([Text([120]), Integer(1)])"));
    pair.write_log(LogFormat::Mixed);
    pair.run(&["UPDATE t SET v = 3"]);
    assert_eq!(
        told(&pair, pair.log.len() - 1),
        ["Update t(v)", "UPDATE t SET v = 3 (images: true)"]
    );
    pair.run(&["DELETE FROM t WHERE k IN (SELECT k FROM t LIMIT 1)"]);
    assert_eq!(
        told(&pair, pair.log.len() - 1),
        ["Delete t()"],
        "unsafe: only its rows"
    );
    change(&mut pair, "drop s");
    pair.run(&["INSERT INTO t VALUES ('y', 1)", "UPDATE t SET v = 4"]);
    assert!(told(&pair, pair.log.len() - 1).contains(&"UPDATE t SET v = 4 (images: false)".to_owned()));
}

#[test]
fn a_statement_with_images_larger_than_memory_is_applied_once() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(id INTEGER PRIMARY KEY, v)"]);
    pair.write_log(LogFormat::Mixed);
    change(&mut pair, "create s");
    pair.run(&[
        "INSERT INTO t SELECT value, printf('%.*c', 10000, 'z') FROM json_each('[1,2,3,4,5,6,7,8,9]')",
    ]);
    for _ in 0..7 {
        let next = "INSERT INTO t SELECT id + (SELECT max(id) FROM t), v FROM t";
        pair.run(&[next]);
    }
    let before = pair.log.len();
    // Twice 9 MiB and more: beyond what stays in memory, and safe as it stands; then unsafe, when its mark is in the file.
    pair.run(&["UPDATE t SET v = v || 'y'"]);
    assert!(pair.log.len() - before > 10, "in chunks");
    pair.run(&["UPDATE t SET v = v || random() WHERE id IN (SELECT id FROM t LIMIT 10000)"]);
    assert!(pair.last_record().chunks > 10);
}

#[test]
fn old_records_are_told_in_the_words_of_their_time() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)"]);
    pair.run(&["INSERT INTO t VALUES (1)"]);
    pair.run(&[
        "INSERT INTO t VALUES (2)",
        "ALTER TABLE t ADD COLUMN b",
        "INSERT INTO t VALUES (3, 4)",
        "ALTER TABLE t RENAME TO u",
        "UPDATE u SET b = 5",
    ]);
    pair.run(&["ALTER TABLE u DROP COLUMN a", "DELETE FROM u", "DROP TABLE u"]);
    assert_eq!(told(&pair, 1), ["Insert t(a)"]);
    assert_eq!(
        told(&pair, 2),
        [
            "Insert t(a)",
            "ALTER TABLE t ADD COLUMN b",
            "Insert t(a, b)",
            "ALTER TABLE t RENAME TO u",
            "Update u(b)",
            "Update u(b)",
            "Update u(b)",
        ]
    );
    assert_eq!(told(&pair, 3)[1], "Delete u()");
    // As a replica has it that came by an image, or was opened again.
    pair.swap();
    pair.run(&["CREATE TABLE t(x)", "INSERT INTO t VALUES (1)"]);
    assert_eq!(told(&pair, 4)[1], "Insert t(x)");
}

#[test]
fn statements_of_clients_cannot_change_slots_by_the_way() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)"]);
    let error = pair.try_run(&[Statement::new("INSERT INTO _bellwether_slot VALUES ('s', 0, 0)")]);
    assert!(error.is_err());
}
