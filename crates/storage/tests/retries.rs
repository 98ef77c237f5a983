//! A request that comes again is answered what it was answered, by whoever leads then.

mod support;

use std::path::Path;

use bellwether_storage::snapshot::{Copying, restore};
use bellwether_storage::{Answer, ClientTransaction, GroupStart, SessionState, Writer, run_group};
use bellwether_types::record::KEPT_RESULTS_BYTES_MAX;
use bellwether_types::result::KEPT_RESULT_BYTES_MAX;
use bellwether_types::{
    KeptResult, NodeId, RequestId, SessionId, SqlError, Statement, StatementResult, Timestamp, Value,
};
use support::{Pair, files, text};

const TABLE: &str = "CREATE TABLE t(i INTEGER PRIMARY KEY, n NUMERIC(7, 2), f REAL, s VARCHAR(9), b BLOB, x)";

/// Every kind of value, and what is easily lost of it.
const INSERT: &str = "INSERT INTO t(n, f, s, b, x) VALUES \
    (1.5, -0.0, 'ä', x'00ff', NULL), (NULL, 1e300, '', x'', 9223372036854775807), (3, 0.1, 'a', NULL, 'text') \
    RETURNING *, f AS half, i + 1, typeof(x) AS \"kind of\"";

fn transaction(session: u128, statements: &[&str]) -> ClientTransaction {
    ClientTransaction {
        durability: Default::default(),
        seen: Vec::new(),
        request: RequestId {
            session: SessionId(session),
            sequence: 1,
        },
        statements: statements.iter().map(|sql| Statement::new(*sql)).collect(),
        session: SessionState::default(),
        facts: Default::default(),
    }
}

/// Of so many transactions, none of which failed.
fn all<const N: usize>(answers: Vec<Result<Answer, SqlError>>) -> [Answer; N] {
    let answers: Vec<Answer> = answers
        .into_iter()
        .map(|answer| answer.expect("an answer"))
        .collect();
    answers.try_into().expect("so many")
}

fn run(pair: &mut Pair, transaction: &ClientTransaction) -> Answer {
    let [answer] = all(pair.run_group(std::slice::from_ref(transaction)));
    answer
}

/// At a replica on its own, which does not propose it.
fn retry(writer: &mut Writer, transaction: &ClientTransaction) -> Answer {
    let start = GroupStart {
        origin: NodeId(3),
        timestamp: Timestamp(1 << 40),
    };
    let answers = run_group(writer, start, std::slice::from_ref(transaction)).expect("the group runs");
    writer.rollback().expect("rolled back");
    let [answer] = all(answers);
    answer
}

/// By its text, which tells -0.0 from 0.0.
#[track_caller]
fn assert_recalled(first: &[StatementResult], again: &Answer) {
    assert!(again.deduplicated && !again.rows_lost);
    assert_eq!(format!("{:?}", again.results), format!("{first:?}"));
}

#[test]
fn the_rows_of_a_write_are_answered_again_with_their_names_and_types() {
    let mut pair = Pair::new();
    pair.run(&[TABLE]);
    let insert = transaction(1, &[INSERT]);
    // In one group, in a later one, and at the next leader.
    let [first, again] = all(pair.run_group(&[insert.clone(), insert.clone()]));
    assert!(!first.deduplicated);
    assert_eq!(first.results[0].rows.len(), 3);
    assert_recalled(&first.results, &again);
    assert_recalled(&first.results, &run(&mut pair, &insert));
    pair.swap();
    assert_recalled(&first.results, &run(&mut pair, &insert));
    assert_eq!(pair.run(&["SELECT count(*) FROM t"]).rows, [[Value::Integer(3)]]);
}

#[test]
fn rows_are_kept_over_a_restart_and_in_an_image() {
    let mut pair = Pair::new();
    pair.run(&[TABLE]);
    let insert = transaction(1, &[INSERT]);
    let first = run(&mut pair, &insert).results;
    let image = pair.directory.path().join("image");
    let mut copying = Copying::start(&pair.files("follower"), Path::new(&image)).expect("a snapshot");
    let info = copying
        .step(usize::MAX / 2)
        .expect("a copy")
        .expect("in one step");
    let Pair {
        directory,
        leader,
        follower,
        ..
    } = pair;
    drop((copying, leader, follower));
    restore(&files(&directory, "third"), &image, info).expect("a new replica");
    for name in ["leader", "follower", "third"] {
        let mut writer = Writer::open(&files(&directory, name)).expect("a replica");
        assert_recalled(&first, &retry(&mut writer, &insert));
    }
}

#[test]
fn of_several_statements_all_results_are_kept() {
    let mut pair = Pair::new();
    pair.run(&[TABLE]);
    let several = transaction(
        1,
        &[
            INSERT,
            "UPDATE t SET s = 'b' WHERE i > 1",
            "DELETE FROM t WHERE i = 9 RETURNING i",
            "SELECT i, s FROM t",
            "DELETE FROM t WHERE i = 1",
        ],
    );
    let first = run(&mut pair, &several).results;
    assert_eq!(first.len(), 5);
    pair.swap();
    assert_recalled(&first, &run(&mut pair, &several));
    // Without rows the last tag is all there is.
    let silent = transaction(2, &["UPDATE t SET s = 'c'", "DELETE FROM t WHERE i = 2"]);
    let first = run(&mut pair, &silent).results;
    let record = pair.last_record();
    assert_eq!(record.transactions[0].result, KeptResult::TagAlone);
    assert_recalled(&first[1..], &run(&mut pair, &silent));
}

#[test]
fn rows_beyond_the_bound_are_lost_and_said_to_be() {
    let mut pair = Pair::new();
    pair.run(&[TABLE]);
    let insert = |session, bytes: usize| {
        let sql = format!("INSERT INTO t(b) VALUES (zeroblob({bytes})) RETURNING b");
        transaction(session, &[&sql])
    };
    let fits = insert(1, KEPT_RESULT_BYTES_MAX - 100);
    let first = run(&mut pair, &fits).results;
    let beyond = insert(2, KEPT_RESULT_BYTES_MAX);
    run(&mut pair, &beyond);
    // Each of its statements would fit.
    let half = "INSERT INTO t(b) VALUES (zeroblob(40000)) RETURNING b";
    let halves = transaction(3, &[half, half]);
    run(&mut pair, &halves);
    pair.swap();
    assert_recalled(&first, &run(&mut pair, &fits));
    for (lost, tag) in [(beyond, "INSERT 0 1"), (halves, "INSERT 0 1")] {
        let again = run(&mut pair, &lost);
        assert!(again.deduplicated && again.rows_lost);
        assert!(again.results[0].rows.is_empty());
        assert_eq!(again.results[0].tag.to_string(), tag);
    }
    assert_eq!(pair.run(&["SELECT count(*) FROM t"]).rows, [[Value::Integer(4)]]);
}

#[test]
fn what_a_group_keeps_is_bounded_and_the_others_of_it_are_not_harmed() {
    let mut pair = Pair::new();
    pair.run(&[TABLE]);
    let large = "INSERT INTO t(b) VALUES (randomblob(60000)) RETURNING b";
    let small = "INSERT INTO t(s) VALUES ('small') RETURNING s";
    let mut group: Vec<ClientTransaction> = (1..=40).map(|session| transaction(session, &[large])).collect();
    group.push(transaction(41, &[small]));
    group.push(transaction(42, &["INSERT INTO t(s) VALUES ('none')"]));
    let first = pair.run_group(&group);
    let kept: Vec<usize> = pair
        .last_record()
        .transactions
        .iter()
        .map(|transaction| transaction.result.size_bytes())
        .collect();
    assert!(kept.iter().sum::<usize>() <= KEPT_RESULTS_BYTES_MAX, "{kept:?}");
    pair.swap();
    let mut lost = 0;
    for (transaction, first) in group.iter().zip(first) {
        let first = first.expect("an answer").results;
        let again = run(&mut pair, transaction);
        assert!(again.deduplicated);
        match again.rows_lost {
            true => lost += 1,
            false => assert_recalled(&first, &again),
        }
    }
    // Seventeen of them are a mebibyte.
    assert_eq!(lost, 40 - 17);
}

#[test]
fn the_next_request_of_a_session_takes_the_place_of_the_last() {
    let mut pair = Pair::new();
    pair.run(&[TABLE]);
    let mut insert = transaction(1, &[INSERT]);
    run(&mut pair, &insert);
    insert.request.sequence = 2;
    insert.statements = vec![Statement::new("INSERT INTO t(s) VALUES ('next') RETURNING s")];
    run(&mut pair, &insert);
    let again = run(&mut pair, &insert);
    assert_eq!(again.results[0].rows, [[text("next")]]);
    let kept = &pair.last_record().transactions[0].result;
    assert!(kept.size_bytes() < 50, "of the last one alone");
}
