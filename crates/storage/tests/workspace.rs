//! Transactions that run apart from others first, and then for good.

mod support;

use bellwether_storage::{ClientTransaction, Reader, Seen, SessionState};
use bellwether_types::{Environment, ErrorKind, SqlError, Statement, StatementResult, Value};
use support::Pair;

/// A client whose transaction runs in a workspace.
struct Apart {
    reader: Reader,
    statements: Vec<Statement>,
    seen: Vec<Seen>,
}

impl Apart {
    fn new(pair: &Pair) -> Apart {
        let mut reader = Reader::open(&pair.files("leader")).expect("a reader");
        reader.begin_snapshot().expect("a snapshot");
        reader
            .begin_workspace(&SessionState::default(), &Default::default())
            .expect("a workspace");
        Apart {
            reader,
            statements: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn try_run(&mut self, statement: Statement) -> Option<StatementResult> {
        let result = self.reader.run_apart(&statement)?;
        self.statements.push(statement);
        self.seen.push(Seen::of(&result));
        Some(result)
    }

    fn run_statement(&mut self, statement: Statement) -> StatementResult {
        let sql = statement.sql.clone();
        self.try_run(statement)
            .unwrap_or_else(|| panic!("{sql} is given up"))
    }

    fn run(&mut self, sql: &str) -> StatementResult {
        self.run_statement(Statement::new(sql))
    }

    fn read(&mut self, sql: &str) -> Vec<Vec<Value>> {
        self.run(sql).rows
    }

    fn commit(self, pair: &mut Pair) -> Result<(), SqlError> {
        let transaction = ClientTransaction {
            durability: Default::default(),
            request: pair.request(),
            statements: self.statements,
            seen: self.seen,
            session: SessionState::default(),
            facts: Default::default(),
        };
        let answer = pair.run_group(&[transaction]).pop().expect("one answer");
        answer.map(|answer| assert!(answer.results.is_empty(), "they were answered before"))
    }
}

fn integers(rows: &[Vec<Value>]) -> Vec<i64> {
    rows.iter()
        .map(|row| match row[..] {
            [Value::Integer(value)] => value,
            ref other => panic!("one integer, not {other:?}"),
        })
        .collect()
}

fn accounts() -> Pair {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, name TEXT UNIQUE)",
        "CREATE TABLE entry(account INTEGER REFERENCES account, amount INTEGER)",
        "INSERT INTO account WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
         SELECT i, 100, 'name ' || i FROM n",
    ]);
    pair
}

const TOTAL: &str = "SELECT sum(balance) FROM account";

#[test]
fn a_workspace_sees_its_own_changes_and_nobody_else_does() {
    let mut pair = accounts();
    let mut apart = Apart::new(&pair);
    let changed = apart.run("UPDATE account SET balance = balance + 5 WHERE id = 4711");
    assert_eq!(changed.tag.to_string(), "UPDATE 1");
    apart.run("INSERT INTO entry VALUES (4711, 5)");
    assert_eq!(
        integers(&apart.read("SELECT balance FROM account WHERE id = 4711")),
        [105]
    );
    assert_eq!(
        integers(&apart.read("SELECT changes() UNION ALL SELECT last_insert_rowid()")),
        [1, 1]
    );
    assert_eq!(integers(&pair.run(&[TOTAL]).rows), [500_000]);
    let mut other = Apart::new(&pair);
    assert_eq!(integers(&other.read("SELECT count(*) FROM entry")), [0]);
    apart.commit(&mut pair).expect("nothing has changed since");
    assert_eq!(
        integers(&pair.run(&[TOTAL]).rows),
        [500_005],
        "and the follower is equal"
    );
}

#[test]
fn a_workspace_keeps_its_snapshot_while_others_commit() {
    let mut pair = accounts();
    let mut apart = Apart::new(&pair);
    apart.run("UPDATE account SET balance = 0 WHERE id = 1");
    for round in 0..20 {
        // Pages that the workspace has read, and pages that it reads only later.
        pair.run(&[&format!(
            "UPDATE account SET balance = balance + 1 WHERE id % 20 = {round}"
        )]);
    }
    let before = [
        ("SELECT balance FROM account WHERE id = 1", 0),
        ("SELECT balance FROM account WHERE id = 4999", 100),
        (
            "SELECT count(*) FROM account WHERE id < 200 AND balance = 100",
            198,
        ),
    ];
    for (sql, expected) in before {
        assert_eq!(integers(&apart.read(sql)), [expected], "{sql}");
    }
    let error = apart.commit(&mut pair).expect_err("it saw what is no more");
    assert_eq!(error.kind, ErrorKind::Serialization);
}

#[test]
fn changes_that_do_not_depend_on_each_other_all_commit() {
    let mut pair = accounts();
    let mut apart: Vec<Apart> = (0..4).map(|_| Apart::new(&pair)).collect();
    for (id, apart) in (1..).zip(&mut apart) {
        apart.run(&format!(
            "UPDATE account SET balance = balance + 1 WHERE id = {id}"
        ));
        apart.read(&format!("SELECT balance FROM account WHERE id = {id}"));
        // All of them write this one, and nobody has seen what it was.
        apart.run("UPDATE account SET balance = balance + 10 WHERE id = 5000");
    }
    for apart in apart {
        apart.commit(&mut pair).expect("its answers are the same again");
    }
    assert_eq!(
        integers(&pair.run(&["SELECT balance FROM account WHERE id = 5000"]).rows),
        [140]
    );
}

#[test]
fn who_saw_what_another_changed_must_try_again() {
    let read = "SELECT balance FROM account WHERE id = 7";
    let write = "UPDATE account SET balance = balance + 1 WHERE id = 7";
    for statements in [
        vec![write, read],
        // Rows that come into being count, too.
        vec!["DELETE FROM entry", "SELECT count(*) FROM entry"],
        // And counts.
        vec!["UPDATE account SET balance = 1 WHERE balance > 100"],
        // What succeeded fails.
        vec!["INSERT INTO account VALUES (6000, 0, 'new')"],
        vec!["UPDATE account SET name = 'new' WHERE id = 8"],
    ] {
        let mut pair = accounts();
        let mut apart = Apart::new(&pair);
        for sql in &statements {
            apart.run(sql);
        }
        pair.run(&[
            write,
            "INSERT INTO entry VALUES (7, 1)",
            "INSERT INTO account VALUES (6000, 0, 'new')",
        ]);
        let before = pair.leader.fingerprint();
        let error = apart
            .commit(&mut pair)
            .expect_err("it cannot be as if it ran now");
        assert_eq!(error.kind, ErrorKind::Serialization, "{statements:?}");
        assert_eq!(pair.leader.fingerprint(), before, "nothing of it remains");
    }
}

#[test]
fn what_a_workspace_cannot_do_ends_it_without_a_trace() {
    for sql in [
        // Rows of a write.
        "UPDATE account SET balance = 0 RETURNING id",
        // Schema, switches, transactions.
        "CREATE TABLE other(a)",
        "PRAGMA defer_foreign_keys = on",
        "COMMIT",
        "VACUUM",
        // Failures, which are for the writer to tell.
        "INSERT INTO account VALUES (1, 1, 'one')",
        "INSERT INTO account VALUES (9999, NULL, 'none')",
        "SELECT * FROM nowhere",
        "SELECT * FROM _bellwether_position",
        "SELECT data FROM sqlite_dbpage",
        // More than fits: rows, steps, pages.
        "SELECT id FROM account",
        "SELECT count(*) FROM account a, account b WHERE a.balance = b.balance + 1",
        "UPDATE account SET name = 'a much longer name ' || id",
        "INSERT INTO account VALUES (9999, 1, hex(randomblob(2000000)))",
    ] {
        let mut pair = accounts();
        let mut apart = Apart::new(&pair);
        apart.run("INSERT INTO entry VALUES (1, 1)");
        assert_eq!(apart.try_run(Statement::new(sql)), None, "{sql}");
        assert_eq!(apart.try_run(Statement::new("SELECT 1")), None, "after {sql}");
        assert_eq!(integers(&pair.run(&["SELECT count(*) FROM entry"]).rows), [0]);
        // Its reader serves on, and the next workspace is as good as new.
        apart.reader.end_snapshot();
        apart.reader.begin_snapshot().expect("a snapshot");
        apart
            .reader
            .begin_workspace(&SessionState::default(), &Default::default())
            .expect("a workspace");
        assert_eq!(integers(&apart.read("SELECT count(*) FROM entry")), [0], "{sql}");
        assert_eq!(
            integers(&apart.read("SELECT balance FROM account WHERE id = 1")),
            [100]
        );
    }
}

#[test]
fn a_workspace_used_again_sees_the_new_snapshot_and_schema() {
    let mut pair = accounts();
    let mut apart = Apart::new(&pair);
    for round in 1..=30 {
        apart.run("UPDATE account SET balance = -1 WHERE id = 3");
        apart.reader.end_snapshot();
        pair.run(&["UPDATE account SET balance = balance + 1 WHERE id = 3"]);
        if round % 10 == 0 {
            pair.run(&[&format!("ALTER TABLE account ADD COLUMN extra_{round}")]);
            pair.run(&["DELETE FROM entry", "INSERT INTO entry VALUES (3, 3)"]);
        }
        apart.reader.begin_snapshot().expect("a snapshot");
        apart
            .reader
            .begin_workspace(&SessionState::default(), &Default::default())
            .expect("a workspace");
        assert_eq!(
            integers(&apart.read("SELECT balance FROM account WHERE id = 3")),
            [100 + round]
        );
    }
    apart.run("UPDATE account SET extra_30 = 1, extra_10 = 2 WHERE id = 3");
}

#[test]
fn foreign_keys_and_triggers_act_in_a_workspace_as_at_the_writer() {
    let mut pair = accounts();
    pair.run(&[
        "CREATE TABLE child(parent INTEGER REFERENCES account(id) ON DELETE CASCADE)",
        "INSERT INTO child VALUES (1), (1), (2)",
        "CREATE TABLE audit(id)",
        "CREATE TRIGGER audited AFTER DELETE ON account BEGIN INSERT INTO audit VALUES (old.id); END",
    ]);
    let mut apart = Apart::new(&pair);
    apart.run("DELETE FROM account WHERE id = 1");
    assert_eq!(integers(&apart.read("SELECT count(*) FROM child")), [1]);
    assert_eq!(integers(&apart.read("SELECT id FROM audit")), [1]);
    apart.commit(&mut pair).expect("nothing has changed since");
    assert_eq!(integers(&pair.run(&["SELECT id FROM audit"]).rows), [1]);
    let mut apart = Apart::new(&pair);
    assert_eq!(
        apart.try_run(Statement::new("INSERT INTO child VALUES (77777)")),
        None,
        "there is no such parent"
    );
}

#[test]
fn time_and_chance_are_the_same_when_a_transaction_runs_for_good() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(id INTEGER PRIMARY KEY, at TEXT DEFAULT CURRENT_TIMESTAMP, lot INTEGER DEFAULT (random()))",
        "CREATE TABLE seen(at REAL, lot BLOB)",
        "CREATE TRIGGER notes AFTER INSERT ON t BEGIN
             INSERT INTO seen VALUES (julianday('now'), randomblob(5)); END",
    ]);
    let mut apart = Apart::new(&pair);
    let mut environment = Environment {
        transaction_ms: 981_173_106_789,
        statement_ms: 981_173_107_000,
        seed: [7; 32],
    };
    let mut answers = Vec::new();
    for sql in [
        "SELECT datetime('now'), strftime('%f'), CURRENT_DATE, random(), hex(randomblob(3)), count(*) FROM t",
        "SELECT datetime('now'), strftime('%f'), CURRENT_DATE, random(), hex(randomblob(3)), count(*) FROM t",
        "INSERT INTO t(id) VALUES (1), (2)",
        "SELECT at, lot FROM t ORDER BY id",
        "SELECT at, lot FROM seen ORDER BY random()",
        "SELECT statement_epoch()",
    ] {
        environment.seed[0] += 1;
        environment.statement_ms += 1;
        let mut statement = Statement::new(sql);
        statement.environment = Some(environment);
        answers.push(apart.run_statement(statement).rows);
    }
    assert_eq!(answers[0][0][0], Value::Text("2001-02-03 04:05:06".to_owned()));
    assert_eq!(answers[0][0][1], Value::Text("06.789".to_owned()));
    assert_eq!(answers[1][0][..3], answers[0][0][..3], "one time for all");
    assert_ne!(answers[1][0][3], answers[0][0][3], "to each its own chance");
    assert_ne!(answers[3][0][1], answers[3][1][1], "nor is it one for two rows");
    assert_eq!(answers[5][0][0], Value::Real(981_173_107.006));
    apart.commit(&mut pair).expect("it is answered the same");
    assert_eq!(pair.run(&["SELECT at, lot FROM t ORDER BY id"]).rows, answers[3]);
}
