//! NOTIFY: what a committed record tells, at the leader and at whoever applies it.

mod support;

use std::sync::{Arc, LazyLock};

use bellwether_storage::{ClientTransaction, Extended, Files, Reader, RowSink, SessionState, Writer};
use bellwether_types::record::NOTIFICATIONS_BYTES_MAX;
use bellwether_types::{
    Arity, Call, Column, ErrorKind, Extension, Facts, Notification, RequestId, ScalarFunction, SessionId,
    SqlError, Statement, ValueRef,
};
use support::{Pair, files};

static EXTENSION: LazyLock<Extension> = LazyLock::new(|| Extension {
    functions: vec![FUNCTIONS],
    tables: Vec::new(),
});

const FUNCTIONS: &[ScalarFunction] = &[ScalarFunction {
    name: "tell",
    arguments: Arity::exactly(2),
    call: Call::Notify(tell),
}];

fn tell(arguments: &[ValueRef<'_>], facts: &Facts) -> Result<Notification, SqlError> {
    let text = |value: &ValueRef<'_>| match value {
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Integer(number) => number.to_string(),
        _ => String::new(),
    };
    Ok(Notification {
        sender: facts.backend_pid,
        channel: text(&arguments[0]),
        payload: text(&arguments[1]),
    })
}

fn extended(files: Files) -> Files {
    Files {
        extended: Extended::by(&EXTENSION),
        damage: Default::default(),
        ..files
    }
}

/// A leader and a follower that know the function.
fn pair() -> Pair {
    let mut pair = Pair::new();
    for name in ["leader", "follower"] {
        let writer = Writer::open(&extended(files(&pair.directory, name))).expect("a new file");
        if name == "leader" {
            pair.leader = writer;
        } else {
            pair.follower = writer;
        }
    }
    pair
}

/// What both sides tell of the last record, which must be the same.
fn told(pair: &mut Pair) -> Vec<String> {
    let at_leader = pair.leader.take_notifications();
    assert_eq!(pair.follower.take_notifications(), at_leader);
    assert_eq!(pair.leader.take_notifications(), [], "told once");
    let print = |notification: Notification| format!("{}: {}", notification.channel, notification.payload);
    at_leader.into_iter().map(print).collect()
}

#[test]
fn what_is_committed_is_told_everywhere_in_order_with_its_sender() {
    let mut pair = pair();
    let transaction = |session, payload: &str| ClientTransaction {
        durability: Default::default(),
        seen: Vec::new(),
        request: RequestId {
            session: SessionId(session),
            sequence: 1,
        },
        statements: vec![Statement::new(format!("SELECT tell('jobs', '{payload}')"))],
        session: SessionState::default(),
        facts: Arc::new(Facts {
            backend_pid: session as i32,
            ..Facts::default()
        }),
    };
    pair.run_group(&[transaction(8, "second to none"), transaction(7, "first")]);
    let senders: Vec<i32> = pair
        .last_record()
        .notifications
        .iter()
        .map(|notification| notification.sender)
        .collect();
    assert_eq!(senders, [8, 7]);
    assert_eq!(told(&mut pair), ["jobs: second to none", "jobs: first"]);
}

#[test]
fn a_transaction_tells_the_same_thing_once_and_another_one_again() {
    let mut pair = pair();
    pair.run(&[
        "SELECT tell('a', 1), tell('b', 1), tell('a', 1)",
        "SELECT tell('a', 1), tell('a', 2)",
    ]);
    assert_eq!(told(&mut pair), ["a: 1", "b: 1", "a: 2"]);
    pair.run(&["SELECT tell('a', 1)"]);
    assert_eq!(told(&mut pair), ["a: 1"]);
}

#[test]
fn a_trigger_tells_of_rows() {
    let mut pair = pair();
    pair.run(&[
        "CREATE TABLE t(a)",
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT tell('t', new.a); END",
    ]);
    pair.run(&["INSERT INTO t VALUES (1), (2)"]);
    assert_eq!(told(&mut pair), ["t: 1", "t: 2"]);
}

struct Nowhere;

impl RowSink for Nowhere {
    fn columns(&mut self, _columns: &[Column]) -> Result<(), SqlError> {
        Ok(())
    }

    fn row(&mut self, _values: &[ValueRef<'_>]) -> Result<(), SqlError> {
        Ok(())
    }
}

#[test]
fn what_is_rolled_back_is_not_told() {
    let mut pair = pair();
    pair.run(&["CREATE TABLE t(a UNIQUE)"]);
    let start = pair.start();
    pair.leader.begin_group(start).expect("a group");
    let request = pair.request();
    let writer = &mut pair.leader;
    let run = |writer: &mut Writer, sql: &str| writer.execute(&Statement::new(sql), &mut Nowhere).expect(sql);
    writer
        .begin(request, SessionState::default())
        .expect("a transaction");
    run(writer, "SELECT tell('kept', 1)");
    writer.savepoint("s").expect("a savepoint");
    run(writer, "SELECT tell('gone', 1)");
    writer.rollback_to("s").expect("it is there");
    run(writer, "SELECT tell('kept', 2)");
    writer.release("s").expect("it is there");
    writer.finish().expect("finished");
    let request = pair.request();
    let writer = &mut pair.leader;
    writer
        .begin(request, SessionState::default())
        .expect("a transaction");
    run(writer, "SELECT tell('gone', 2)");
    writer.abandon();
    pair.replicate();
    assert_eq!(told(&mut pair), ["kept: 1", "kept: 2"]);
}

#[test]
fn a_statement_that_fails_tells_nothing() {
    let mut pair = pair();
    pair.run(&["CREATE TABLE t(a UNIQUE)", "INSERT INTO t VALUES (1)"]);
    pair.fail(&["SELECT tell('a', 1)", "INSERT INTO t VALUES (1)"]);
    assert_eq!(told(&mut pair), [""; 0]);
    pair.run(&["INSERT INTO t VALUES (2)"]);
    assert_eq!(told(&mut pair), [""; 0]);
}

#[test]
fn more_than_a_record_takes_is_refused_and_leaves_the_group_whole() {
    let mut pair = pair();
    let row = 1000 + 16 + 1;
    let endless = |count: usize| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             SELECT tell('a', printf('%01000d', i)) FROM n"
        )
    };
    let error = pair.fail(&[&endless(NOTIFICATIONS_BYTES_MAX / row + 1)]);
    assert_eq!(error.kind, ErrorKind::ProgramLimit);
    pair.run(&[&endless(NOTIFICATIONS_BYTES_MAX / row)]);
    assert_eq!(told(&mut pair).len(), NOTIFICATIONS_BYTES_MAX / row);
    // Over several statements, too.
    let half = endless(NOTIFICATIONS_BYTES_MAX / row / 2 + 1);
    let other = half.replace("'a'", "'b'");
    assert_eq!(pair.fail(&[&half, &other]).kind, ErrorKind::ProgramLimit);
}

#[test]
fn a_statement_that_only_reads_cannot_tell() {
    let mut pair = pair();
    pair.run(&["CREATE VIEW v AS SELECT tell('a', 1)"]);
    let mut reader = Reader::open(&extended(files(&pair.directory, "leader"))).expect("it opens");
    let mut cursor = reader
        .open_cursor(&Statement::new("SELECT * FROM v"))
        .expect("it compiles");
    assert_eq!(
        cursor.step().expect_err("it only reads").kind,
        ErrorKind::ReadOnly
    );
}
