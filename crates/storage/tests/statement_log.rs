//! A log of statements: what a follower runs, with what the leader gave it, makes it equal; what might not is refused, or
//! sent as rows. The traps are those that others' statement replication fell into.

mod support;

use bellwether_storage::{Reader, Unsafe};
use bellwether_types::format::statement::{Executed, Step};
use bellwether_types::{Decoder, Environment, ErrorKind, Format, LogFormat, Statement, Value};
use support::{Pair, query, text};

/// When the statements of these tests run: 1970-01-01 00:16:40.125.
const NOW_MS: i64 = 1_000_125;

fn pair(format: LogFormat, schema: &[&str]) -> Pair {
    let mut pair = Pair::new();
    pair.run(schema);
    pair.write_log(format);
    pair
}

/// At [`NOW_MS`], with chance of its own.
fn at_now(sql: &str, parameters: Vec<Value>) -> Statement {
    Statement {
        environment: Some(Environment {
            transaction_ms: NOW_MS,
            statement_ms: NOW_MS,
            seed: [7; 32],
        }),
        ..Statement::bound(sql, parameters)
    }
}

/// Runs it as a transaction, which must stand in the log as the statement that it is.
fn runs_as_statement(pair: &mut Pair, statement: Statement) {
    let sql = statement.sql.clone();
    pair.try_run(&[statement])
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    assert_eq!(statements(pair).join("; "), sql);
    assert_eq!(pair.last_record().format, Format::Statement, "{sql}");
}

/// Of the last record.
fn statements(pair: &Pair) -> Vec<String> {
    let record = pair.last_record();
    let mut body = Decoder::new(&record.body);
    let mut found = Vec::new();
    while body.remaining() > 0 {
        if let Step::Statement(executed) = Step::decode(&mut body).expect("a body") {
            let Executed { sql, .. } = *executed;
            found.push(sql.map_or("again", |sql| sql).to_owned());
        }
    }
    found
}

fn follower(pair: &Pair, sql: &str) -> Vec<String> {
    query(
        &mut Reader::open(&pair.files("follower")).expect("a replica"),
        sql,
    )
}

/// The reasons that a log of statements refuses it for, after which a mixed log sends its rows.
fn refused(pair: &mut Pair, sql: &str) -> Vec<Unsafe> {
    let before = pair.leader.safety_counts().by_reason;
    let error = pair.fail(&[sql]);
    assert_eq!(error.kind, ErrorKind::NotSupported, "{sql}: {error:?}");
    assert!(
        error.hint.as_ref().is_some_and(|hint| hint.contains("mixed")),
        "{error:?}"
    );
    let after = pair.leader.safety_counts().by_reason;
    let is_new = |(reason, (refused, _)): (&Unsafe, &(u64, u64))| {
        (*refused > before.get(reason).map_or(0, |(refused, _)| *refused)).then_some(*reason)
    };
    let reasons: Vec<Unsafe> = after.iter().filter_map(is_new).collect();
    for reason in &reasons {
        assert!(
            error
                .detail
                .as_ref()
                .is_some_and(|detail| detail.contains(reason.flag())),
            "{error:?}"
        );
    }
    pair.write_log(LogFormat::Mixed);
    pair.run(&[sql]);
    assert_eq!(pair.last_record().format, Format::Row, "{sql}");
    for reason in &reasons {
        let (_, as_rows) = pair.leader.safety_counts().by_reason[reason];
        assert!(as_rows > 0, "{sql}: {reason:?}");
    }
    pair.write_log(LogFormat::Statement);
    reasons
}

#[test]
fn trap_1_the_present_that_a_function_implies() {
    let mut pair = pair(LogFormat::Statement, &["CREATE TABLE t(a, b, c, d, e)"]);
    let sql = "INSERT INTO t VALUES (datetime(), date(), julianday() > 2440587, unixepoch(), strftime('%s'))";
    runs_as_statement(&mut pair, at_now(sql, Vec::new()));
    assert_eq!(
        follower(&pair, "SELECT * FROM t"),
        [r#""1970-01-01 00:16:40"|"1970-01-01"|1|1000|"1000""#]
    );
}

#[test]
fn trap_2_now_and_the_length_of_chance_as_parameters() {
    let mut pair = pair(LogFormat::Statement, &["CREATE TABLE t(a, b)"]);
    let sql = "INSERT INTO t VALUES (datetime($1), randomblob($2 + 1))";
    runs_as_statement(&mut pair, at_now(sql, vec![text("now"), Value::Integer(4)]));
    assert_eq!(
        follower(&pair, "SELECT a, length(b) FROM t"),
        [r#""1970-01-01 00:16:40"|5"#]
    );
}

#[test]
fn trap_3_calls_however_they_are_written() {
    let mut pair = pair(LogFormat::Statement, &["CREATE TABLE t(a, b)"]);
    let sql = "insert into t values (RANDOM /* of all things */ (), \"date\" ( ) )\nRETURNING\na";
    runs_as_statement(&mut pair, at_now(sql, Vec::new()));
    runs_as_statement(
        &mut pair,
        at_now("INSERT INTO t(a) VALUES (CURRENT_TIMESTAMP)", Vec::new()),
    );
    assert_eq!(follower(&pair, "SELECT b FROM t LIMIT 1"), [r#""1970-01-01""#]);
}

#[test]
fn trap_4_statements_that_a_parser_of_ours_cannot_read() {
    let mut pair = pair(
        LogFormat::Statement,
        &[
            "CREATE TABLE t(a, b)",
            "CREATE INDEX i ON t(a)",
            "INSERT INTO t VALUES (1, 1)",
        ],
    );
    runs_as_statement(
        &mut pair,
        at_now("UPDATE t INDEXED BY i SET b = random() WHERE a = 1", Vec::new()),
    );
    let deep = format!(
        "UPDATE t SET b = {}1{} WHERE a = 1",
        "(".repeat(80),
        ")".repeat(80)
    );
    runs_as_statement(&mut pair, at_now(&deep, Vec::new()));
}

#[test]
fn trap_5_chance_is_drawn_for_every_row() {
    let mut pair = pair(
        LogFormat::Statement,
        &[
            "CREATE TABLE t(k INTEGER PRIMARY KEY, a)",
            "INSERT INTO t(k) VALUES (1), (2), (3), (4)",
        ],
    );
    runs_as_statement(&mut pair, at_now("UPDATE t SET a = random()", Vec::new()));
    assert_eq!(follower(&pair, "SELECT count(DISTINCT a) FROM t"), ["4"]);
}

#[test]
fn trap_6_time_is_read_once_and_to_the_millisecond() {
    let mut pair = pair(LogFormat::Statement, &["CREATE TABLE t(a, b)"]);
    let sql = "INSERT INTO t VALUES (strftime('%f', 'now'), strftime('%f', 'now'))";
    runs_as_statement(&mut pair, at_now(sql, Vec::new()));
    assert_eq!(follower(&pair, "SELECT * FROM t"), [r#""40.125"|"40.125""#]);
}

#[test]
fn trap_8_now_in_defaults_triggers_views_and_generated_columns_is_that_of_the_statement() {
    let mut pair = pair(
        LogFormat::Statement,
        &[
            "CREATE TABLE t(a, b DEFAULT CURRENT_TIMESTAMP, c DEFAULT (random()))",
            "CREATE TABLE log(at, what)",
            "CREATE VIEW v AS SELECT datetime('now') AS at",
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN
                INSERT INTO log VALUES (datetime('now'), random());
                UPDATE log SET what = (SELECT at FROM v) WHERE what IS NULL;
             END",
        ],
    );
    runs_as_statement(&mut pair, at_now("INSERT INTO t(a) VALUES (1)", Vec::new()));
    runs_as_statement(&mut pair, at_now("INSERT INTO t(a) SELECT at FROM v", Vec::new()));
    assert_eq!(
        follower(&pair, "SELECT DISTINCT b FROM t UNION SELECT at FROM log"),
        [r#""1970-01-01 00:16:40""#]
    );
}

#[test]
fn trap_9_every_statement_of_a_transaction_counts() {
    let mut pair = pair(LogFormat::Statement, &["CREATE TABLE t(a)"]);
    pair.run(&[
        "INSERT INTO t VALUES (random())",
        "INSERT INTO t VALUES (random())",
        "DELETE FROM t WHERE a = 3",
    ]);
    assert_eq!(
        statements(&pair),
        ["INSERT INTO t VALUES (random())", "again"],
        "the third changes nothing"
    );
    assert_eq!(follower(&pair, "SELECT count(DISTINCT a) FROM t"), ["2"]);
}

#[test]
fn trap_10_what_a_session_remembers() {
    let mut pair = pair(
        LogFormat::Statement,
        &[
            "CREATE TABLE t(k INTEGER PRIMARY KEY, a)",
            "CREATE TABLE child(t, n, total, version)",
        ],
    );
    pair.run(&["INSERT INTO t(a) VALUES (1), (2), (3)"]);
    // In the session's next transaction, too.
    pair.run(&["UPDATE t SET a = 9 WHERE k < 3"]);
    let sql = "INSERT INTO child VALUES (last_insert_rowid(), changes(), total_changes(), sqlite_version())";
    runs_as_statement(&mut pair, Statement::new(sql));
    assert_eq!(
        follower(&pair, "SELECT t, n, version = sqlite_version() FROM child"),
        ["3|2|1"]
    );
}

#[test]
fn trap_10_the_version_is_the_leaders() {
    let mut pair = pair(LogFormat::Statement, &["CREATE TABLE t(version)"]);
    runs_as_statement(
        &mut pair,
        Statement::new("INSERT INTO t VALUES (sqlite_version())"),
    );
    let record = pair.last_record();
    let mut body = Decoder::new(&record.body);
    let Step::Statement(executed) = Step::decode(&mut body).expect("a statement") else {
        panic!("no statement");
    };
    assert!(
        executed
            .sqlite_version
            .is_some_and(|version| version.starts_with("3."))
    );
}

#[test]
fn trap_10_rowids_that_sqlite_draws_by_chance() {
    let mut pair = pair(
        LogFormat::Statement,
        &[
            "CREATE TABLE t(k INTEGER PRIMARY KEY, a)",
            "INSERT INTO t VALUES (9223372036854775807, 1)",
        ],
    );
    assert_eq!(
        refused(&mut pair, "INSERT INTO t(a) VALUES (2)"),
        [Unsafe::RowidsExhausted]
    );
    // The largest may come and go within the statement.
    pair.run(&["DELETE FROM t"]);
    let both = "INSERT INTO t(k, a) VALUES (9223372036854775807, 1), (NULL, 2)";
    assert_eq!(refused(&mut pair, both), [Unsafe::RowidsExhausted]);
}

#[test]
fn trap_10_limits_and_what_is_proven_of_them() {
    let mut pair = pair(
        LogFormat::Statement,
        &[
            "CREATE TABLE t(k INTEGER PRIMARY KEY, u TEXT NOT NULL UNIQUE, n UNIQUE, a)",
            "CREATE TABLE w(k TEXT COLLATE NOCASE NOT NULL, a, PRIMARY KEY(k COLLATE BINARY)) WITHOUT ROWID",
            "CREATE TABLE got(a)",
            "INSERT INTO t VALUES (1, 'x', 1, 5), (2, 'y', 2, 5), (3, 'z', NULL, 5)",
            "INSERT INTO w VALUES ('a', 1), ('A', 2)",
        ],
    );
    for ordered in ["k", "rowid", "u DESC", "a, k", "t.k"] {
        let sql = format!("UPDATE t SET a = a + 1 WHERE k IN (SELECT k FROM t ORDER BY {ordered} LIMIT 2)");
        runs_as_statement(&mut pair, Statement::new(sql));
    }
    for (ordered, columns) in [
        ("a", "k"),
        ("n", "k"),
        ("u COLLATE NOCASE", "k"),
        ("k", "k, a AS k"),
        ("1", "k"),
    ] {
        let sql = format!(
            "UPDATE t SET a = a + 1 WHERE EXISTS (SELECT {columns} FROM t ORDER BY {ordered} LIMIT 2)"
        );
        assert_eq!(refused(&mut pair, &sql), [Unsafe::Limit], "{sql}");
    }
    let sql = "UPDATE w SET a = a + 1 WHERE a IN (SELECT a FROM w ORDER BY k LIMIT 1)";
    assert_eq!(
        refused(&mut pair, sql),
        [Unsafe::Limit],
        "the key is finer than the column's order"
    );
    let sql = "WITH t AS (SELECT a AS k FROM w) UPDATE got SET a = (SELECT k FROM t ORDER BY k LIMIT 1)";
    pair.run(&["INSERT INTO got VALUES (0)"]);
    assert_eq!(
        refused(&mut pair, sql),
        [Unsafe::Limit],
        "a name that stands for a query"
    );
    pair.run(&["CREATE VIEW two AS SELECT k FROM t LIMIT 2"]);
    let sql = "UPDATE t SET a = 0 WHERE k IN (SELECT k FROM two)";
    assert_eq!(refused(&mut pair, sql), [Unsafe::Limit], "in a view");
}

#[test]
fn trap_11_text_that_breaks_a_parser_breaks_nothing() {
    let mut pair = pair(
        LogFormat::Statement,
        &["CREATE TABLE t(a)", "INSERT INTO t VALUES (1)"],
    );
    let sql = format!("UPDATE t SET a = {} 1", "- ".repeat(400));
    runs_as_statement(&mut pair, Statement::new(sql));
}

#[test]
fn rows_that_are_given_rowids_in_the_order_of_a_scan_are_refused() {
    let mut pair = pair(
        LogFormat::Statement,
        &[
            "CREATE TABLE t(k INTEGER PRIMARY KEY, a)",
            "CREATE TABLE copy(a)",
            "CREATE TABLE keyed(a PRIMARY KEY) WITHOUT ROWID",
            "INSERT INTO t(a) VALUES (3), (1), (2)",
        ],
    );
    assert_eq!(
        refused(&mut pair, "INSERT INTO copy SELECT a FROM t"),
        [Unsafe::ScanOrderRowids]
    );
    for sql in [
        "INSERT INTO copy SELECT a FROM t ORDER BY k",
        "INSERT INTO copy VALUES (1), (2), ((SELECT max(a) FROM t))",
        "INSERT INTO keyed SELECT a FROM t",
        "INSERT INTO t(k, a) SELECT k + 10, a FROM t ORDER BY k",
    ] {
        runs_as_statement(&mut pair, Statement::new(sql));
    }
    pair.run(&["CREATE TRIGGER g AFTER UPDATE ON t BEGIN INSERT INTO copy VALUES (new.a); END"]);
    assert_eq!(
        refused(&mut pair, "UPDATE t SET a = a + 1"),
        [Unsafe::ScanOrderRowids]
    );
    runs_as_statement(&mut pair, Statement::new("UPDATE t SET a = a + 1 WHERE k = 2"));
}

#[test]
fn conflicts_that_are_met_in_the_order_of_a_scan_are_refused() {
    let mut pair = pair(
        LogFormat::Statement,
        &[
            "CREATE TABLE t(k INTEGER PRIMARY KEY, a)",
            "CREATE TABLE u(a, b UNIQUE, PRIMARY KEY(a)) WITHOUT ROWID",
            "INSERT INTO t VALUES (1, 1), (2, 1), (3, 2)",
        ],
    );
    for sql in [
        "INSERT OR REPLACE INTO u SELECT k, a FROM t",
        "INSERT OR IGNORE INTO u SELECT k, a FROM t",
        "INSERT INTO u SELECT k, a FROM t WHERE true ON CONFLICT(b) DO UPDATE SET a = excluded.a + 100",
        "UPDATE OR IGNORE t SET k = k + 1",
    ] {
        assert_eq!(refused(&mut pair, sql), [Unsafe::ScanOrderConflicts], "{sql}");
    }
    for sql in [
        "REPLACE INTO u SELECT k, a FROM t ORDER BY k",
        "INSERT OR REPLACE INTO u VALUES (7, 1), (7, 2), (8, 2)",
        "INSERT INTO u VALUES (9, 2) ON CONFLICT DO UPDATE SET a = 10",
    ] {
        runs_as_statement(&mut pair, Statement::new(sql));
    }
}

#[test]
fn functions_whose_answer_depends_on_the_order_of_rows_are_refused() {
    let mut pair = pair(
        LogFormat::Statement,
        &[
            "CREATE TABLE t(k INTEGER PRIMARY KEY, a)",
            "INSERT INTO t VALUES (1, 1.5), (2, 2)",
        ],
    );
    for (function, reason) in [
        ("group_concat(a)", Unsafe::OrderDependentFunction),
        ("json_group_array(a)", Unsafe::OrderDependentFunction),
        ("row_number() OVER ()", Unsafe::OrderDependentFunction),
        ("sum(a)", Unsafe::RealSum),
        ("avg(a)", Unsafe::RealSum),
        ("sqlite_source_id()", Unsafe::NodeFunction),
    ] {
        let sql = format!("UPDATE t SET a = (SELECT {function} FROM t) WHERE k = 1");
        assert_eq!(refused(&mut pair, &sql), [reason], "{sql}");
    }
    runs_as_statement(
        &mut pair,
        Statement::new("UPDATE t SET a = (SELECT max(k) + count(*) FROM t) WHERE k = 1"),
    );
}

#[test]
fn virtual_tables_are_sent_as_rows() {
    let mut pair = pair(
        LogFormat::Statement,
        &["CREATE VIRTUAL TABLE f USING fts5(words)", "CREATE TABLE t(a)"],
    );
    assert_eq!(
        refused(&mut pair, "INSERT INTO f VALUES ('one two')"),
        [Unsafe::VirtualTable]
    );
    pair.write_log(LogFormat::Mixed);
    pair.run(&[
        "INSERT INTO f VALUES ('three')",
        "INSERT INTO t VALUES (random())",
        "INSERT INTO f VALUES ('four')",
    ]);
    assert_eq!(statements(&pair), ["INSERT INTO t VALUES (random())"]);
    assert_eq!(follower(&pair, "SELECT words FROM f('three OR four')").len(), 2);
    let sql = "INSERT INTO t SELECT words FROM f('four')";
    pair.run(&[sql]);
    assert_eq!(pair.last_record().format, Format::Row);
}

#[test]
fn triggers_and_foreign_keys_do_at_the_follower_what_they_did_at_the_leader() {
    let mut pair = pair(
        LogFormat::Statement,
        &[
            "CREATE TABLE parent(k INTEGER PRIMARY KEY)",
            "CREATE TABLE child(k INTEGER PRIMARY KEY, parent REFERENCES parent ON DELETE CASCADE)",
            "CREATE TABLE seen(k INTEGER PRIMARY KEY AUTOINCREMENT, what)",
            "CREATE TRIGGER g AFTER DELETE ON parent BEGIN INSERT INTO seen(what) VALUES (old.k); END",
            "INSERT INTO parent VALUES (1), (2)",
            "INSERT INTO child VALUES (10, 1), (11, 1), (12, 2)",
        ],
    );
    runs_as_statement(&mut pair, Statement::new("DELETE FROM parent WHERE k = 1"));
    assert_eq!(follower(&pair, "SELECT k FROM child"), ["12"]);
    pair.session.foreign_keys = false;
    runs_as_statement(&mut pair, Statement::new("DELETE FROM parent WHERE k = 2"));
    assert_eq!(
        follower(&pair, "SELECT k FROM child"),
        ["12"],
        "the session has turned them off"
    );
    assert_eq!(follower(&pair, "SELECT k, what FROM seen"), ["1|1", "2|2"]);
}

#[test]
fn foreign_keys_that_later_statements_settle() {
    let schema = [
        "CREATE TABLE parent(k INTEGER PRIMARY KEY)",
        "CREATE TABLE child(k INTEGER PRIMARY KEY, p REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
    ];
    let deferring = ["INSERT INTO child VALUES (1, 5)", "INSERT INTO parent VALUES (5)"];
    let mut statement = pair(LogFormat::Statement, &schema);
    statement.run(&deferring);
    assert_eq!(statements(&statement).len(), 2);
    let error = statement.fail(&["INSERT INTO child VALUES (2, 6)", "DROP TABLE child"]);
    let counts = statement.leader.safety_counts().by_reason;
    assert_eq!(counts[&Unsafe::ForeignKeysPending], (1, 0), "{error:?}");
    let mut mixed = pair(LogFormat::Mixed, &schema);
    mixed.run(&deferring);
    let counts = mixed.leader.safety_counts().by_reason;
    assert_eq!(
        counts[&Unsafe::ForeignKeysPending],
        (0, 2),
        "rows are not counted by foreign keys"
    );
    let switched = [
        "PRAGMA defer_foreign_keys = 1",
        "INSERT INTO child VALUES (2, 6)",
        "INSERT INTO parent VALUES (6)",
    ];
    let immediate = [
        "CREATE TABLE parent(k INTEGER PRIMARY KEY)",
        "CREATE TABLE child(k, p REFERENCES parent)",
    ];
    let mut statement = pair(LogFormat::Statement, &immediate);
    statement.run(&switched);
    assert_eq!(statements(&statement).len(), 2);
}

#[test]
fn a_hundred_thousand_rows_are_a_few_bytes() {
    let mut pair = pair(
        LogFormat::Statement,
        &[
            "CREATE TABLE t(k INTEGER PRIMARY KEY, a)",
            "WITH RECURSIVE n(k) AS (VALUES (1) UNION ALL SELECT k + 1 FROM n WHERE k < 100000)
             INSERT INTO t SELECT k, 0 FROM n",
        ],
    );
    pair.run(&["UPDATE t SET a = a + 1"]);
    let bytes = pair.log.last().expect("a record").payload.len();
    assert!(bytes <= 1024, "{bytes} bytes");
}

#[test]
fn a_switch_is_undone_with_its_transaction() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a UNIQUE)", "INSERT INTO t VALUES (1)"]);
    pair.fail(&[
        "PRAGMA bellwether_log_format = statement",
        "INSERT INTO t VALUES (1)",
    ]);
    assert_eq!(pair.leader.log_format(), LogFormat::Row);
    let error = pair.fail(&["PRAGMA bellwether_log_format = morse"]);
    assert_eq!(error.kind, ErrorKind::InvalidSetting);
    pair.write_log(LogFormat::Statement);
    pair.swap();
    pair.run(&["INSERT INTO t VALUES (2)"]);
    assert_eq!(statements(&pair).len(), 1, "the next leader goes on in it");
}
