//! Groups: what transactions in one share, and what they must not.

mod support;

use bellwether_storage::{
    Begin, ClientTransaction, Reader, RowSink, SessionState, StorageError, Writer, run_group,
};
use bellwether_types::{
    Column, ErrorKind, Outcome, Position, RequestId, SessionId, SqlError, Statement, Value, ValueRef,
};
use support::{Pair, query};

/// Rows, as text.
#[derive(Default)]
struct Rows(Vec<String>);

impl RowSink for Rows {
    fn columns(&mut self, _columns: &[Column]) -> Result<(), SqlError> {
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> Result<(), SqlError> {
        self.0.push(
            values
                .iter()
                .map(|value| format!("{value:?}"))
                .collect::<Vec<_>>()
                .join("|"),
        );
        Ok(())
    }
}

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

fn execute(writer: &mut Writer, sql: &str) -> Result<Vec<String>, SqlError> {
    let mut rows = Rows::default();
    writer.execute(&Statement::new(sql), &mut rows)?;
    Ok(rows.0)
}

#[test]
fn one_failed_transaction_leaves_the_others_of_its_group() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a UNIQUE)"]);
    let answers = pair.run_group(&[
        transaction(1, 10, &["INSERT INTO t VALUES (1)"]),
        transaction(
            2,
            1,
            &["INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3), (1)"],
        ),
        transaction(3, 1, &["INSERT INTO t VALUES (2)"]),
    ]);
    let kinds: Vec<Option<ErrorKind>> = answers
        .iter()
        .map(|answer| answer.as_ref().err().map(|error| error.kind))
        .collect();
    assert_eq!(kinds, [None, Some(ErrorKind::UniqueViolation), None]);
    assert_eq!(pair.last_record().transactions.len(), 2);
    assert_eq!(pair.last_changes().len(), 2);
}

#[test]
fn a_transaction_that_loses_the_group_does_not_take_the_others_along() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a UNIQUE)", "INSERT INTO t VALUES (0)"]);
    pair.run(&["CREATE TRIGGER g BEFORE DELETE ON t BEGIN SELECT RAISE(ROLLBACK, 'no deletions'); END"]);
    let answers = pair.run_group(&[
        transaction(1, 10, &["INSERT INTO t VALUES (1)"]),
        transaction(2, 1, &["INSERT OR ROLLBACK INTO t VALUES (0)"]),
        transaction(3, 1, &["INSERT INTO t VALUES (2)"]),
        transaction(4, 1, &["DELETE FROM t"]),
        transaction(5, 1, &["INSERT INTO t VALUES (3)"]),
    ]);
    let kinds: Vec<Option<ErrorKind>> = answers
        .iter()
        .map(|answer| answer.as_ref().err().map(|error| error.kind))
        .collect();
    let (unique, integrity) = (
        Some(ErrorKind::UniqueViolation),
        Some(ErrorKind::IntegrityViolation),
    );
    assert_eq!(kinds, [None, unique, None, integrity, None]);
    assert_eq!(answers[3].as_ref().expect_err("RAISE").message, "no deletions");
    assert_eq!(pair.run(&["SELECT count(*) FROM t"]).rows, [[Value::Integer(4)]]);
}

#[test]
fn an_interactive_transaction_in_a_lost_group_is_told_to_try_again() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a UNIQUE)", "INSERT INTO t VALUES (0)"]);
    let start = pair.start();
    let request = pair.request();
    pair.leader.begin_group(start).expect("a group");
    pair.leader
        .begin(request, SessionState::default())
        .expect("a transaction");
    execute(&mut pair.leader, "INSERT INTO t VALUES (1)").expect("a row");
    let error = execute(&mut pair.leader, "INSERT OR ROLLBACK INTO t VALUES (0)").expect_err("a duplicate");
    assert_eq!(error.kind, ErrorKind::UniqueViolation);
    assert!(pair.leader.is_group_lost());
    let error = execute(&mut pair.leader, "SELECT 1").expect_err("the group is lost");
    assert_eq!(error.kind, ErrorKind::Serialization);
    assert_eq!(
        pair.leader.seal(Position::new(1, 9)),
        Err(StorageError::GroupLost)
    );
    pair.leader.rollback().expect("rolled back");
    pair.run(&["INSERT INTO t VALUES (1)"]);
}

#[test]
fn a_request_executes_once_however_often_it_comes() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)"]);
    let insert = transaction(7, 3, &["INSERT INTO t VALUES (1) RETURNING a"]);
    let answers = pair.run_group(&[insert.clone(), insert.clone()]);
    let deduplicated: Vec<bool> = answers
        .iter()
        .map(|answer| answer.as_ref().expect("an answer").deduplicated)
        .collect();
    assert_eq!(deduplicated, [false, true]);
    // Also at the next leader.
    pair.swap();
    let answer = pair
        .run_group(std::slice::from_ref(&insert))
        .pop()
        .expect("one")
        .expect("an answer");
    assert!(answer.deduplicated);
    assert_eq!(answer.results[0].tag.to_string(), "INSERT 0 1");
    let older = transaction(7, 2, &["INSERT INTO t VALUES (1)"]);
    let error = pair
        .run_group(&[older])
        .pop()
        .expect("one")
        .expect_err("older than the last");
    assert_eq!(error.kind, ErrorKind::UnknownOutcome);
    assert_eq!(pair.run(&["SELECT count(*) FROM t"]).rows, [[Value::Integer(1)]]);
}

#[test]
fn an_ended_session_is_forgotten_with_the_next_record() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)"]);
    pair.run_group(&[transaction(7, 1, &["INSERT INTO t VALUES (1)"])]);
    pair.leader.end_session(SessionId(7));
    pair.run(&["INSERT INTO t VALUES (2)"]);
    assert_eq!(pair.last_record().ended_sessions, [SessionId(7)]);
    for writer in [&mut pair.leader, &mut pair.follower] {
        let request = RequestId {
            session: SessionId(7),
            sequence: 1,
        };
        let outcome = writer.outcome(request).expect("readable");
        assert_eq!(outcome, Outcome::Open { is_known: false });
    }
}

#[test]
fn a_session_whose_end_was_lost_is_forgotten_once_its_last_request_is_old() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)"]);
    pair.run_group(&[transaction(7, 1, &["INSERT INTO t VALUES (1)"])]);
    let before = pair.start().timestamp;
    pair.run_group(&[transaction(8, 1, &["INSERT INTO t VALUES (2)"])]);
    assert_eq!(pair.leader.forget_sessions(before, 9).expect("readable"), 2);
    pair.run_group(&[transaction(7, 2, &["INSERT INTO t VALUES (3)"])]);
    let gone = &pair.last_record().ended_sessions;
    assert_eq!(gone, &[SessionId(1_000_000), SessionId(7)], "8 asked later");
    let request = RequestId {
        session: SessionId(7),
        sequence: 2,
    };
    let outcome = pair.follower.outcome(request).expect("readable");
    assert!(
        matches!(outcome, Outcome::Committed(..)),
        "it was not gone after all"
    );
}

#[test]
fn what_was_ruled_out_is_never_executed_and_what_was_executed_is_not_ruled_out() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)"]);
    let insert = |sequence| transaction(7, sequence, &["INSERT INTO t VALUES (1)"]);
    let ruling_out = |sequence| ClientTransaction::ruling_out(insert(sequence).request);
    // In one group as over several.
    for (sequence, is_split) in [(1, false), (2, true)] {
        let both = [ruling_out(sequence), insert(sequence)];
        let mut answers = match is_split {
            false => pair.run_group(&both),
            true => both.chunks(1).flat_map(|one| pair.run_group(one)).collect(),
        };
        let error = answers.pop().expect("two").expect_err("it was ruled out");
        assert_eq!(error.kind, ErrorKind::Serialization);
        let first = answers.pop().expect("two").expect("it is");
        assert!(first.results.is_empty() && !first.deduplicated);
        let again = pair.run_group(&[ruling_out(sequence)]).pop().expect("one");
        let again = again.expect("as before");
        assert!(again.results.is_empty() && again.deduplicated);
    }
    let both = pair.run_group(&[insert(3), ruling_out(3)]);
    let late = both[1].as_ref().expect("what it answered");
    assert!(late.deduplicated);
    assert_eq!(late.results[0].tag.to_string(), "INSERT 0 1");
    assert_eq!(pair.run(&["SELECT count(*) FROM t"]).rows, [[Value::Integer(1)]]);
    for writer in [&mut pair.leader, &mut pair.follower] {
        let mut outcome = |sequence| writer.outcome(insert(sequence).request).expect("readable");
        assert_eq!(outcome(2), Outcome::GoneOn);
        assert!(matches!(outcome(3), Outcome::Committed(..)));
        assert_eq!(outcome(4), Outcome::Open { is_known: true });
    }
    pair.run_group(&[ruling_out(4)]);
    for writer in [&mut pair.leader, &mut pair.follower] {
        let outcome = writer.outcome(insert(4).request).expect("readable");
        assert!(matches!(outcome, Outcome::RuledOut(_)), "{outcome:?}");
    }
}

#[test]
fn a_group_that_changes_nothing_proposes_nothing() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)", "INSERT INTO t VALUES (1)"]);
    let before = pair.position;
    for sql in [
        "SELECT 1",
        "UPDATE t SET a = 1",
        "DELETE FROM t WHERE a = 5",
        "CREATE TABLE IF NOT EXISTS t(b)",
        "PRAGMA foreign_keys = 0",
    ] {
        pair.run(&[sql]);
        assert_eq!(pair.position, before, "{sql}");
    }
}

#[test]
fn a_rolled_back_group_leaves_no_trace() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a)",
        "INSERT INTO t(a) VALUES (1)",
    ]);
    let sums = pair.leader.fingerprints();
    let start = pair.start();
    let lost = [transaction(
        9,
        1,
        &[
            "INSERT INTO t(a) VALUES (2)",
            "CREATE TABLE u(a)",
            "ALTER TABLE t ADD COLUMN b DEFAULT 1",
        ],
    )];
    run_group(&mut pair.leader, start, &lost).expect("the group runs")[0]
        .as_ref()
        .expect("an answer");
    assert_eq!(pair.propose().len(), 1);
    pair.leader.rollback().expect("rolled back");
    assert_eq!(pair.leader.fingerprints(), sums);
    pair.check();
    pair.run(&[
        "INSERT INTO t(a) VALUES (3)",
        "CREATE TABLE u(x)",
        "INSERT INTO u VALUES (1)",
    ]);
}

#[test]
fn nobody_sees_a_group_before_its_commit() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)"]);
    let mut reader = Reader::open(&pair.files("leader")).expect("a replica");
    let before = reader.begin_snapshot().expect("a snapshot");
    reader.end_snapshot();
    let start = pair.start();
    run_group(
        &mut pair.leader,
        start,
        &[transaction(3, 1, &["INSERT INTO t VALUES (1)"])],
    )
    .expect("the group runs");
    assert_eq!(pair.propose().len(), 1);
    assert_eq!(query(&mut reader, "SELECT count(*) FROM t"), ["0"]);
    assert_eq!(reader.position().expect("readable"), before);
    pair.leader.commit().expect("committed");
    assert_eq!(query(&mut reader, "SELECT count(*) FROM t"), ["1"]);
    assert_eq!(reader.position().expect("readable").index, before.index.next());
}

#[test]
fn what_a_session_sees_of_itself_does_not_leak_into_another() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a)",
        "CREATE TABLE c(p REFERENCES t DEFERRABLE)",
    ]);
    let told = "SELECT last_insert_rowid(), changes(), total_changes()";
    let mut no_foreign_keys = transaction(4, 1, &["INSERT INTO c VALUES (999)"]);
    no_foreign_keys.session.foreign_keys = false;
    let mut third = transaction(3, 1, &[told, "UPDATE t SET a = 0 WHERE id < 0", told]);
    third.session = SessionState {
        last_insert_rowid: 70,
        changes: 71,
        total_changes: 72,
        ..SessionState::default()
    };
    let answers = pair.run_group(&[
        transaction(10, 1, &["INSERT INTO t VALUES (40, 'x'), (41, 'y')", told]),
        transaction(2, 1, &[told]),
        third,
        no_foreign_keys,
        transaction(5, 1, &["INSERT INTO c VALUES (998)"]),
        transaction(
            6,
            1,
            &[
                "PRAGMA defer_foreign_keys = 1",
                "CREATE TABLE e(p REFERENCES t)",
                "INSERT INTO e VALUES (500)",
                "DELETE FROM e",
            ],
        ),
        transaction(
            8,
            1,
            &["CREATE TABLE e2(p REFERENCES t)", "INSERT INTO e2 VALUES (500)"],
        ),
    ]);
    let rows = |place: usize, statement: usize| match &answers[place] {
        Ok(answer) => answer.results[statement].rows[0].clone(),
        Err(error) => panic!("{place}: {error}"),
    };
    let numbers = |values: [i64; 3]| values.map(Value::Integer).to_vec();
    assert_eq!(rows(0, 1), numbers([41, 2, 2]));
    assert_eq!(rows(1, 0), numbers([0, 0, 0]));
    assert_eq!(rows(2, 0), numbers([70, 71, 72]));
    assert_eq!(rows(2, 2), numbers([70, 0, 72]));
    assert!(answers[3].is_ok());
    assert_eq!(
        answers[4].as_ref().expect_err("a dangling key").kind,
        ErrorKind::ForeignKeyViolation
    );
    assert!(answers[5].is_ok(), "{:?}", answers[5]);
    // Immediate again: the statement itself fails.
    assert_eq!(
        answers[6].as_ref().expect_err("a dangling key").kind,
        ErrorKind::ForeignKeyViolation
    );
    let session = answers[0].as_ref().expect("an answer").session;
    assert_eq!(
        (session.last_insert_rowid, session.changes, session.total_changes),
        (41, 2, 2)
    );
}

#[test]
fn defer_foreign_keys_ends_with_its_transaction() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE p(id INTEGER PRIMARY KEY)",
        "CREATE TABLE c(p REFERENCES p)",
    ]);
    let start = pair.start();
    pair.leader.begin_group(start).expect("a group");
    for (session, ends_well) in [(21, true), (22, false)] {
        let request = RequestId {
            session: SessionId(session),
            sequence: 1,
        };
        pair.leader
            .begin(request, SessionState::default())
            .expect("a transaction");
        execute(&mut pair.leader, "PRAGMA defer_foreign_keys = on").expect("a switch");
        execute(&mut pair.leader, "INSERT INTO c VALUES (1)").expect("deferred");
        if ends_well {
            execute(&mut pair.leader, "DELETE FROM c").expect("satisfied again");
            pair.leader.finish().expect("satisfied");
        } else {
            assert_eq!(
                pair.leader.finish().expect_err("violated").kind,
                ErrorKind::ForeignKeyViolation
            );
        }
        let request = RequestId {
            session: SessionId(session),
            sequence: 2,
        };
        pair.leader
            .begin(request, SessionState::default())
            .expect("a transaction");
        let error = execute(&mut pair.leader, "INSERT INTO c VALUES (1)").expect_err("immediate again");
        assert_eq!(error.kind, ErrorKind::ForeignKeyViolation);
        pair.leader.abandon();
    }
    pair.replicate();
}

#[test]
fn recursive_triggers_follow_their_session() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(a)",
        "CREATE TRIGGER g AFTER INSERT ON t WHEN NEW.a < 3 BEGIN INSERT INTO t VALUES (NEW.a + 1); END",
    ]);
    let mut recursive = transaction(2, 1, &["INSERT INTO t VALUES (0)", "SELECT count(*) FROM t"]);
    recursive.session.recursive_triggers = true;
    let plain = transaction(
        3,
        1,
        &[
            "DELETE FROM t",
            "INSERT INTO t VALUES (0)",
            "SELECT count(*) FROM t",
        ],
    );
    let switched = transaction(
        4,
        1,
        &[
            "PRAGMA recursive_triggers = 1",
            "DELETE FROM t",
            "INSERT INTO t VALUES (0)",
            "SELECT count(*) FROM t",
        ],
    );
    let answers = pair.run_group(&[recursive, plain, switched]);
    let counts: Vec<Value> = answers
        .into_iter()
        .map(|answer| answer.expect("an answer").results.pop().expect("a count").rows[0][0].clone())
        .collect();
    assert_eq!(counts, [Value::Integer(4), Value::Integer(2), Value::Integer(4)]);
}

#[test]
fn savepoints_have_the_names_rules_of_postgresql() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a PRIMARY KEY)"]);
    let start = pair.start();
    let request = pair.request();
    pair.leader.begin_group(start).expect("a group");
    assert_eq!(
        pair.leader.begin(request, SessionState::default()),
        Ok(Begin::Fresh)
    );
    let writer = &mut pair.leader;
    execute(writer, "INSERT INTO t VALUES (1)").expect("a row");
    writer.savepoint("s").expect("a savepoint");
    execute(writer, "INSERT INTO t VALUES (2)").expect("a row");
    writer.savepoint("s").expect("an inner one of the same name");
    execute(writer, "CREATE TABLE u(a)").expect("a table");
    execute(writer, "INSERT INTO t VALUES (1)").expect_err("a duplicate");
    let error = execute(writer, "SELECT 1").expect_err("the transaction failed");
    assert_eq!(error.kind, ErrorKind::TransactionFailed);
    writer.rollback_to("s").expect("the inner one");
    execute(writer, "INSERT INTO t VALUES (3)").expect("a row");
    writer.release("s").expect("the inner one");
    execute(writer, "INSERT INTO t VALUES (4)").expect("a row");
    writer.savepoint("other").expect("a savepoint");
    execute(writer, "DELETE FROM t").expect("deleted");
    assert_eq!(
        writer.rollback_to("none").expect_err("unknown").kind,
        ErrorKind::UndefinedSavepoint
    );
    writer.rollback_to("other").expect("known");
    assert_eq!(
        execute(writer, "SELECT sum(a) FROM t"),
        Ok(vec!["Integer(10)".to_owned()])
    );
    writer.finish().expect("joins the group");
    pair.replicate();
    assert_eq!(pair.last_changes().len(), 4);
}

#[test]
fn a_cursor_streams_within_an_interactive_transaction() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)", "INSERT INTO t VALUES (1), (2), (3)"]);
    let start = pair.start();
    let request = pair.request();
    pair.leader.begin_group(start).expect("a group");
    pair.leader
        .begin(request, SessionState::default())
        .expect("a transaction");
    execute(&mut pair.leader, "INSERT INTO t VALUES (4)").expect("a row");
    let select = Statement::bound("SELECT a FROM t WHERE a > $1 ORDER BY a", vec![Value::Integer(1)]);
    let mut cursor = pair.leader.open_cursor(&select).expect("a query");
    assert!(cursor.step().expect("a row"));
    execute(&mut pair.leader, "INSERT INTO t VALUES (9)").expect("a row beside the cursor");
    assert_eq!(cursor.value(0), ValueRef::Integer(2));
    let write = pair.leader.open_cursor(&Statement::new("DELETE FROM t"));
    assert!(write.is_err_and(|error| error.kind == ErrorKind::ReadOnly));
    pair.leader.finish().expect("joins the group");
    drop(cursor);
    pair.replicate();
}

#[test]
fn parameters_bind_by_their_number_wherever_they_stand() {
    let mut pair = Pair::new();
    let run = |pair: &mut Pair, sql: &str, parameters: &[i64]| {
        let statement = Statement::bound(
            sql,
            parameters.iter().map(|value| Value::Integer(*value)).collect(),
        );
        pair.try_run(&[statement])
            .map(|mut answer| answer.results.pop().expect("one").rows.pop().expect("a row"))
    };
    let numbers = |values: &[i64]| {
        values
            .iter()
            .map(|value| Value::Integer(*value))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        run(&mut pair, "SELECT $2, $1, $2", &[1, 2]),
        Ok(numbers(&[2, 1, 2]))
    );
    assert_eq!(run(&mut pair, "SELECT ?2, ?1", &[1, 2]), Ok(numbers(&[2, 1])));
    assert_eq!(run(&mut pair, "SELECT ?, ?", &[1, 2]), Ok(numbers(&[1, 2])));
    assert_eq!(run(&mut pair, "SELECT $3", &[1, 2, 3]), Ok(numbers(&[3])));
    let error = run(&mut pair, "SELECT $2", &[1]).expect_err("too few");
    assert_eq!(error.kind, ErrorKind::WrongParameterCount);
    let error = run(&mut pair, "SELECT :name", &[1]).expect_err("a name");
    assert_eq!(error.kind, ErrorKind::NotSupported);
    let long = format!("SELECT :{}", "name".repeat(1000));
    let error = run(&mut pair, &long, &[1]).expect_err("a long name");
    assert_eq!(error.kind, ErrorKind::NotSupported);
    assert!(error.message.len() < 200, "the name is cut: {}", error.message);
}

#[test]
fn errors_name_what_postgresql_would_name() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT NOT NULL, b UNIQUE, CONSTRAINT small CHECK (id < 100))"]);
    pair.run(&[
        "CREATE UNIQUE INDEX by_lower ON t(lower(a))",
        "INSERT INTO t VALUES (1, 'x', 1)",
    ]);
    let error = pair.fail(&["INSERT INTO t VALUES (1, 'y', 2)"]);
    assert_eq!(
        (error.kind, error.constraint.as_deref()),
        (ErrorKind::UniqueViolation, Some("t_pkey"))
    );
    assert_eq!(
        error.message,
        "duplicate key value violates unique constraint \"t_pkey\""
    );
    let error = pair.fail(&["INSERT INTO t VALUES (2, 'y', 1)"]);
    assert_eq!(
        (error.table.as_deref(), error.constraint.as_deref()),
        (Some("t"), Some("t_b_key"))
    );
    let error = pair.fail(&["INSERT INTO t VALUES (2, 'X', 3)"]);
    assert_eq!(error.constraint.as_deref(), Some("by_lower"));
    let error = pair.fail(&["INSERT INTO t VALUES (2, NULL, 3)"]);
    assert_eq!(
        (error.kind, error.column.as_deref()),
        (ErrorKind::NotNullViolation, Some("a"))
    );
    let error = pair.fail(&["INSERT INTO t VALUES (200, 'z', 3)"]);
    assert_eq!(
        (error.kind, error.constraint.as_deref()),
        (ErrorKind::CheckViolation, Some("small"))
    );
    let error = pair.fail(&["SELECT 'é', nonsense FROM t"]);
    assert_eq!(
        (error.kind, error.position),
        (ErrorKind::UndefinedColumn, Some(13))
    );
    let error = pair.fail(&["SELECT * FROM nowhere"]);
    assert_eq!(
        (error.kind, error.table.as_deref()),
        (ErrorKind::UndefinedTable, Some("nowhere"))
    );
    assert_eq!(
        pair.fail(&["SELEC 1"]).message,
        "syntax error at or near \"SELEC\""
    );
    assert_eq!(
        pair.fail(&["SELECT nonsense(1)"]).kind,
        ErrorKind::UndefinedFunction
    );
    assert_eq!(pair.fail(&["CREATE TABLE t(a)"]).kind, ErrorKind::DuplicateTable);
    assert_eq!(pair.fail(&["SELECT 1; SELECT 2"]).kind, ErrorKind::Syntax);
}

#[test]
fn clients_reach_nothing_but_their_database() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)", "CREATE VIRTUAL TABLE f USING fts5(a)"]);
    for sql in [
        "ATTACH 'x' AS x",
        "SELECT * FROM _bellwether_position",
        "UPDATE _BELLWETHER_position SET term = 9",
        "CREATE TABLE _bellwether_mine(a)",
        "CREATE TABLE c AS SELECT * FROM _bellwether_request",
        "SELECT * FROM sqlite_dbpage",
        "SELECT * FROM dbstat",
        "SELECT load_extension('x')",
        "PRAGMA journal_mode = delete",
        "PRAGMA writable_schema = 1",
        "PRAGMA optimize",
        "DELETE FROM sqlite_schema",
        "DELETE FROM f_data",
        "VACUUM INTO 'x'",
        "SAVEPOINT s",
        "COMMIT",
        "CREATE VIRTUAL TABLE temp.x USING fts5(a)",
    ] {
        let error = pair.fail(&[sql]);
        assert_ne!(error.kind, ErrorKind::Internal, "{sql}: {error}");
    }
    pair.run(&["ANALYZE"]);
    assert_eq!(
        pair.fail(&["DELETE FROM sqlite_stat1"]).kind,
        ErrorKind::Forbidden
    );
    pair.run(&["SELECT * FROM pragma_table_info('t')"]);
    pair.run(&["PRAGMA foreign_key_check"]);
}

#[test]
fn a_reader_describes_without_running() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(id INTEGER PRIMARY KEY, a VARCHAR(10))"]);
    let mut reader = Reader::open(&pair.files("follower")).expect("a replica");
    let described = reader
        .describe("SELECT id, a, a || $2 FROM t WHERE id = $4")
        .expect("a query");
    let types: Vec<Option<&str>> = described
        .columns
        .iter()
        .map(|column| column.declared_type.as_deref())
        .collect();
    assert_eq!(types, [Some("INTEGER"), Some("VARCHAR(10)"), None]);
    assert_eq!(
        (described.parameter_count, described.parameters.as_slice()),
        (4, &[2, 4][..])
    );
    assert!(described.reads_only);
    let described = reader
        .describe("INSERT INTO t(a) VALUES ($1) RETURNING id")
        .expect("a write");
    assert!(!described.reads_only && described.columns.len() == 1 && described.verb == "INSERT");
    assert!(
        reader
            .describe("EXPLAIN QUERY PLAN SELECT 1")
            .expect("a query")
            .is_explain
    );
    assert_eq!(
        reader
            .describe("PRAGMA foreign_keys = off")
            .expect("a switch")
            .verb,
        "PRAGMA"
    );
    assert_eq!(
        query(&mut reader, "PRAGMA foreign_keys"),
        ["1"],
        "describing sets nothing"
    );
    reader.set_session(&SessionState {
        last_insert_rowid: 5,
        changes: 6,
        total_changes: 7,
        foreign_keys: false,
        recursive_triggers: true,
    });
    assert_eq!(
        query(
            &mut reader,
            "SELECT last_insert_rowid(), changes(), total_changes()"
        ),
        ["5|6|7"]
    );
    assert_eq!(query(&mut reader, "PRAGMA foreign_keys"), ["0"]);
    assert_eq!(query(&mut reader, "PRAGMA recursive_triggers"), ["1"]);
}

#[test]
fn a_snapshot_stays_while_records_are_applied() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a)"]);
    let mut reader = Reader::open(&pair.files("follower")).expect("a replica");
    let at = reader.begin_snapshot().expect("a snapshot");
    pair.run(&["INSERT INTO t VALUES (1)"]);
    assert_eq!(query(&mut reader, "SELECT count(*) FROM t"), ["0"]);
    assert_eq!(reader.position().expect("readable"), at);
    reader.end_snapshot();
    assert_eq!(query(&mut reader, "SELECT count(*) FROM t"), ["1"]);
    assert_eq!(reader.position().expect("readable"), pair.position);
}

#[test]
fn an_interrupt_ends_a_statement_with_cancelled() {
    let pair = Pair::new();
    let mut reader = Reader::open(&pair.files("leader")).expect("a replica");
    let handle = reader.interrupt_handle();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let mut cursor = reader.open_cursor(&Statement::new(endless)).expect("a query");
    assert!(cursor.step().expect("a row"));
    handle.interrupt();
    assert_eq!(cursor.step().expect_err("interrupted").kind, ErrorKind::Cancelled);
    assert_eq!(cursor.step(), Ok(false));
}
