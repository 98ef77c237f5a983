//! What a follower makes of entries: whole ones, cut ones, damaged ones, nonsense.

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;

use bellwether_storage::pages::PAGE_BYTES;
use bellwether_storage::{
    ApplyError, Checkpointer, ClientTransaction, Divergence, Files, Reader, Sealed, SessionState, Writer,
    run_group,
};
use bellwether_types::{Entry, LogFormat, Position, RequestId, SessionId, Statement, Value, ValueRef};
use support::{Pair, text};

fn transaction(session: u128, sequence: u64, statements: &[&str]) -> ClientTransaction {
    ClientTransaction {
        durability: Default::default(),
        seen: Vec::new(),
        request: RequestId {
            session: SessionId(session),
            sequence,
        },
        statements: statements.iter().map(|sql| Statement::new(*sql)).collect(),
        session: SessionState::default(),
        facts: Default::default(),
    }
}

/// Entries of one transaction whose record has chunks.
fn large_transaction(pair: &mut Pair) -> Vec<Entry> {
    pair.run(&["CREATE TABLE big(id INTEGER PRIMARY KEY, b)"]);
    let start = pair.start();
    let large = [transaction(
        50,
        1,
        &["INSERT INTO big VALUES (1, randomblob(3000000)), (2, 'x')"],
    )];
    run_group(&mut pair.leader, start, &large).expect("the group runs")[0]
        .as_ref()
        .expect("an answer");
    let entries = pair.propose();
    assert!(entries.len() > 2);
    entries
}

/// A leader's log had room for the first two chunks and for no more: they are committed, and nothing follows them.
fn abandoned_run() -> (Pair, Vec<Entry>) {
    let mut pair = Pair::new();
    let mut entries = large_transaction(&mut pair);
    entries.truncate(2);
    pair.leader.rollback().expect("rolled back");
    for entry in &entries {
        pair.follower.apply(entry).expect("a chunk");
        pair.position = entry.position;
    }
    (pair, entries)
}

#[test]
fn an_abandoned_run_of_chunks_changes_nothing() {
    let (mut pair, _) = abandoned_run();
    // The next leader's first entry.
    pair.swap();
    pair.check();
    pair.run(&["INSERT INTO big VALUES (1, 'small')"]);
}

#[test]
fn a_leader_whose_group_was_refused_after_some_chunks_goes_on() {
    let (mut pair, entries) = abandoned_run();
    for entry in &entries {
        pair.leader.apply(entry).expect("a chunk of its own");
    }
    pair.run(&["INSERT INTO big VALUES (1, 'small')"]);
    pair.check();
}

#[test]
fn a_run_with_a_hole_is_refused() {
    let mut pair = Pair::new();
    let entries = large_transaction(&mut pair);
    pair.follower.apply(&entries[0]).expect("a chunk");
    let error = pair.follower.apply(&entries[2]).expect_err("a chunk is missing");
    assert!(
        matches!(error, ApplyError::Nonsense(_)) && error.is_fatal(),
        "{error}"
    );
    for entry in &entries {
        pair.follower.apply(entry).expect("from the front it goes");
    }
}

#[test]
fn entries_that_were_applied_are_skipped() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)"]);
    pair.run(&["INSERT INTO t VALUES (1)"]);
    for entry in pair.log.clone() {
        pair.follower.apply(&entry).expect("skipped");
    }
    pair.check();
}

#[test]
fn a_replica_changed_behind_its_back_is_found_at_the_record_that_touches_the_row() {
    let tampered = [
        (
            "UPDATE t SET b = 'tampered' WHERE a = 1",
            "UPDATE t SET b = 'z' WHERE a = 1",
        ),
        ("DELETE FROM t WHERE a = 2", "DELETE FROM t WHERE a = 2"),
        ("INSERT INTO t VALUES (9, 'x')", "INSERT INTO t VALUES (9, 'x')"),
        ("CREATE INDEX stray ON t(b)", "CREATE INDEX i ON t(a)"),
    ];
    let in_formats = LogFormat::ALL
        .into_iter()
        .flat_map(|format| tampered.map(|(tamper, sql)| (format, tamper, sql)));
    for (format, tamper, sql) in in_formats {
        let mut pair = Pair::new();
        pair.write_log(format);
        pair.run(&[
            "CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
            "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
        ]);
        let files = pair.files("follower");
        let connection = rusqlite::Connection::open(&files.path).expect("the follower's file");
        connection.execute_batch(tamper).expect("tampered");
        drop(connection);
        pair.follower = Writer::open(&files).expect("the same file");
        let start = pair.start();
        run_group(&mut pair.leader, start, &[transaction(60, 1, &[sql])]).expect("the group runs");
        let entries = pair.propose();
        let before = pair.follower.position();
        let error = pair.follower.apply(&entries[0]).expect_err(tamper);
        assert!(
            matches!(error, ApplyError::Diverged { .. }) && error.is_fatal(),
            "{tamper}: {error}"
        );
        if tamper.starts_with("UPDATE") {
            let is_sum = |error: &ApplyError| matches!(error, ApplyError::Diverged { table, divergence: Divergence::Fingerprint { .. } } if table == "t");
            assert!(is_sum(&error), "{error}");
        }
        assert_eq!(pair.follower.position(), before);
    }
}

#[test]
fn a_payload_that_is_damaged_or_of_another_version_is_refused() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)"]);
    let entry = pair.log.last().expect("a record").clone();
    let mut fresh = Pair::new();
    for place in 0..entry.payload.len() {
        let mut damaged = entry.payload.to_vec();
        damaged[place] ^= 1;
        let damaged = Entry {
            position: entry.position,
            payload: damaged.into(),
        };
        let error = fresh.follower.apply(&damaged).expect_err("damaged");
        assert!(matches!(error, ApplyError::Unreadable(_)), "{error}");
    }
    let misplaced = Entry {
        position: Position::new(1, 77),
        payload: entry.payload.clone(),
    };
    assert!(matches!(
        fresh.follower.apply(&misplaced),
        Err(ApplyError::Misplaced { .. })
    ));
    fresh.follower.apply(&entry).expect("undamaged, in its place");
    assert_eq!(text("x"), Value::Text("x".to_owned()));
}

#[test]
fn ended_sessions_alone_are_a_reason_for_a_record_only_when_many() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)"]);
    for session in 0..300 {
        let start = pair.start();
        pair.leader.end_session(SessionId(session));
        pair.leader.begin_group(start).expect("a group");
        let next = Position::new(1, pair.position.index.0 + 1);
        match pair.leader.seal(next).expect("sealed") {
            Sealed::Empty => assert!(session < 255),
            Sealed::Payloads(count) => {
                assert_eq!((session, count), (255, 1));
                return pair.leader.commit().expect("committed");
            }
        }
    }
    panic!("never told");
}

#[test]
fn nonsense_from_a_peer_is_refused_and_never_a_panic() {
    use bellwether_types::format::row::{Change, RowKey};
    use bellwether_types::{Encoder, Format, NodeId, Payload, Record, TableId, Timestamp};
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a)",
        "CREATE TABLE k(a PRIMARY KEY, b) WITHOUT ROWID",
        "INSERT INTO t VALUES (1, 2)",
        "INSERT INTO k VALUES (1, 2)",
    ]);
    let one = ValueRef::Integer(1);
    let update = |table, key, moved_to, columns| Change::Update {
        table: TableId(table),
        key,
        moved_to,
        columns,
        before: None,
    };
    let insert = |table, rowid, values| Change::Insert {
        table: TableId(table),
        rowid,
        values,
    };
    let nonsense = [
        insert(1, None, vec![one, one]),
        insert(1, Some(5), vec![one]),
        insert(1, Some(5), vec![one; 3]),
        insert(2, Some(5), vec![one, one]),
        insert(99, Some(5), vec![one, one]),
        insert(0, None, vec![]),
        update(1, RowKey::Rowid(1), None, vec![(7, one)]),
        update(1, RowKey::Rowid(1), None, vec![]),
        update(1, RowKey::Primary(vec![one]), None, vec![(1, one)]),
        update(2, RowKey::Primary(vec![one]), Some(3), vec![(1, one)]),
        update(2, RowKey::Primary(vec![]), None, vec![(1, one)]),
        update(2, RowKey::Rowid(1), None, vec![(1, one)]),
        Change::Delete {
            table: TableId(1),
            key: RowKey::Rowid(77),
            before: None,
        },
        Change::Schema { sql: "" },
        Change::Schema { sql: "nonsense" },
        Change::Schema { sql: "COMMIT" },
        Change::Sequence {
            table: TableId(1),
            value: Some(1),
        },
    ];
    let mut position = pair.position;
    position.index = position.index.next();
    let mut apply = |body: Vec<u8>| {
        let record = Record {
            notifications: Vec::new(),
            position,
            origin: NodeId(1),
            timestamp: Timestamp(9),
            format: Format::Row,
            transactions: Vec::new(),
            ended_sessions: Vec::new(),
            fingerprints: Vec::new(),
            chunks: 0,
            body: body.into(),
        };
        let payload = Payload::Record(Box::new(record)).to_bytes();
        pair.follower.apply(&Entry { position, payload })
    };
    for change in nonsense {
        let mut out = Encoder::new();
        change.encode(&mut out);
        let whole = out.into_vec();
        apply(whole.clone()).expect_err(&format!("{change:?}"));
        for end in 1..whole.len() {
            apply(whole[..end].to_vec()).expect_err("cut");
        }
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] = damaged[place].wrapping_add(3);
            // Some are changes that make sense; then the sums do not.
            let _ = apply(damaged).expect_err("damaged");
        }
    }
    pair.check();
    pair.run(&["UPDATE t SET a = 3", "UPDATE k SET b = 3"]);
}

#[test]
fn a_transactions_command_is_no_query() {
    let mut pair = Pair::new();
    let start = pair.start();
    let request = pair.request();
    pair.leader.begin_group(start).expect("a group");
    pair.leader
        .begin(request, SessionState::default())
        .expect("a transaction");
    for sql in ["COMMIT", "ROLLBACK", "SAVEPOINT s", "VACUUM"] {
        assert!(pair.leader.open_cursor(&Statement::new(sql)).is_err(), "{sql}");
    }
    pair.leader.abandon();
    pair.leader.rollback().expect("rolled back");
    let mut reader = Reader::open(&pair.files("leader")).expect("a replica");
    for sql in ["BEGIN", "COMMIT", "SAVEPOINT s"] {
        assert!(reader.open_cursor(&Statement::new(sql)).is_err(), "{sql}");
    }
    assert!(
        reader
            .describe("EXPLAIN CREATE TABLE t(a)")
            .expect("an explanation")
            .reads_only
    );
}

#[test]
fn what_differs_after_a_rotten_page_was_met_is_damage_and_no_divergence() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
        "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
    ]);
    let files = pair.files("follower");
    let connection = rusqlite::Connection::open(&files.path).expect("the follower's file");
    connection
        .execute_batch("DELETE FROM t WHERE a = 2")
        .expect("tampered");
    drop(connection);
    pair.follower = Writer::open(&files).expect("the same file");
    let start = pair.start();
    run_group(
        &mut pair.leader,
        start,
        &[transaction(60, 1, &["DELETE FROM t WHERE a = 2"])],
    )
    .expect("the group runs");
    let entries = pair.propose();
    pair.leader.rollback().expect("it is only proposed");
    let differs = |error: &ApplyError| matches!(error, ApplyError::Diverged { .. });
    assert!(differs(
        &pair.follower.apply(&entries[0]).expect_err("a row is missing")
    ));
    // A page of another file of the replica's connections, which is met while nothing is applied.
    let other = Files {
        damage: files.damage.clone(),
        ..pair.files("leader")
    };
    Checkpointer::open(&other)
        .map(|mut checkpointer| checkpointer.restart(pair.position).expect("a checkpoint"))
        .expect("a checkpointer");
    let file = File::options().write(true).open(&other.path).expect("the file");
    let pages = file.metadata().expect("a length").len() / PAGE_BYTES as u64;
    for page in 1..pages {
        let place = page * PAGE_BYTES as u64 + 1234;
        file.write_all_at(b"rot", place).expect("a write");
    }
    let mut reader = Reader::open(&other).expect("the schema is sound");
    reader.begin_snapshot().expect_err("a page is met");
    let error = pair.follower.apply(&entries[0]).expect_err("a row is missing");
    assert!(error.is_damage() && !differs(&error), "{error}");
}
