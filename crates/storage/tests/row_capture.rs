//! What the leader captures and the follower applies, feature by feature of SQLite. Each `run` replicates and then
//! compares sums, recomputed sums and whole contents.

mod support;

use bellwether_storage::{ClientTransaction, SessionState};
use bellwether_types::{ErrorKind, RequestId, SessionId, Statement, Value};
use support::{Pair, text};

#[test]
fn a_table_without_a_declared_key_is_replicated_by_rowid() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a, b)"]);
    pair.run(&["INSERT INTO t VALUES (1, 'x'), (1, 'x'), (NULL, NULL)"]);
    pair.run(&["DELETE FROM t WHERE rowid = 2"]);
    pair.run(&["INSERT INTO t(rowid, a) VALUES (77, 2.5), (-3, x'00ff')"]);
    pair.run(&["UPDATE t SET b = 'changed' WHERE a = 2.5"]);
    assert_eq!(
        pair.last_changes(),
        [
            "Update { table: TableId(1), key: Rowid(77), moved_to: None, columns: [(1, Text([99, 104, 97, 110, 103, 101, 100]))], before: None }"
        ]
    );
}

#[test]
fn an_integer_primary_key_is_among_the_values_and_may_move() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(b TEXT, id INTEGER PRIMARY KEY)"]);
    pair.run(&["INSERT INTO t(b) VALUES ('x')"]);
    assert_eq!(
        pair.last_changes(),
        ["Insert { table: TableId(1), rowid: Some(1), values: [Text([120]), Integer(1)] }"]
    );
    pair.run(&["UPDATE t SET id = 50, b = 'y' WHERE id = 1"]);
    assert_eq!(
        pair.last_changes(),
        [
            "Update { table: TableId(1), key: Rowid(1), moved_to: Some(50), columns: [(0, Text([121]))], before: None }"
        ]
    );
    pair.run(&[
        "CREATE TABLE u(a)",
        "INSERT INTO u VALUES (1)",
        "UPDATE u SET rowid = 9",
    ]);
}

#[test]
fn tables_without_rowid_are_replicated_by_key_under_the_keys_collation() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(v, b TEXT COLLATE NOCASE, a INT, PRIMARY KEY(a, b COLLATE BINARY)) WITHOUT ROWID",
    ]);
    pair.run(&["INSERT INTO t VALUES (1, 'x', 1), (2, 'X', 1), (3, 'x', 2)"]);
    pair.run(&["UPDATE t SET v = 9 WHERE v = 2"]);
    pair.run(&["UPDATE t SET a = 5, v = 8 WHERE v = 9"]);
    pair.run(&["DELETE FROM t WHERE v = 1"]);
    pair.run(&["REPLACE INTO t VALUES (4, 'x', 2)"]);
    pair.run(&["CREATE TABLE n(k TEXT PRIMARY KEY COLLATE NOCASE, v) WITHOUT ROWID"]);
    pair.run(&[
        "INSERT INTO n VALUES ('Key', 1)",
        "UPDATE n SET k = 'KEY'",
        "UPDATE n SET v = v + 1",
    ]);
}

#[test]
fn composite_keys_with_nulls_and_duplicates_of_null_are_replicated() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(a TEXT, b INT, v, PRIMARY KEY(a, b))"]);
    pair.run(&["INSERT INTO t VALUES (NULL, 1, 'x'), (NULL, 1, 'y'), ('k', NULL, 'z')"]);
    pair.run(&[
        "UPDATE t SET v = 'u' WHERE v = 'y'",
        "DELETE FROM t WHERE v = 'x'",
    ]);
}

#[test]
fn generated_columns_are_computed_anew() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(v AS (a + 1), a INT, s AS (a * 2) STORED, b TEXT, id INTEGER PRIMARY KEY, w AS (b || a))"]);
    pair.run(&["CREATE INDEX i ON t(w)"]);
    pair.run(&["INSERT INTO t(a, b) VALUES (1, 'x'), (2, 'y')"]);
    assert_eq!(
        pair.last_changes()[1],
        "Insert { table: TableId(1), rowid: Some(2), values: [Integer(2), Text([121]), Integer(2)] }"
    );
    pair.run(&["UPDATE t SET a = 10 WHERE id = 1"]);
    pair.run(&["DELETE FROM t WHERE id = 2"]);
    pair.run(&[
        "CREATE TABLE k(s AS (a || 'x') STORED, a TEXT, v AS (a), b, PRIMARY KEY(b, a)) WITHOUT ROWID",
    ]);
    pair.run(&["INSERT INTO k(a, b) VALUES ('p', 1), ('q', 2)"]);
    pair.run(&["UPDATE k SET a = 'r' WHERE b = 2", "DELETE FROM k WHERE b = 1"]);
}

#[test]
fn adding_and_renaming_columns_costs_no_sum_and_old_rows_answer_the_default() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(id INTEGER PRIMARY KEY, a)"]);
    pair.run(&["INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')"]);
    let before = pair.leader.fingerprints()[1].clone();
    pair.run(&["ALTER TABLE t ADD COLUMN d INT NOT NULL DEFAULT '7'"]);
    pair.run(&["ALTER TABLE t ADD COLUMN e REAL DEFAULT 1"]);
    pair.run(&["ALTER TABLE t ADD COLUMN n"]);
    pair.run(&["ALTER TABLE t ADD COLUMN g AS (d + 1)"]);
    pair.run(&["ALTER TABLE t RENAME COLUMN a TO \"a b\""]);
    pair.run(&["ALTER TABLE t RENAME TO \"u\"\"v\""]);
    let after = pair.leader.fingerprints()[1].clone();
    assert_eq!((before.0, before.2), (after.0, after.2));
    assert_eq!(after.1, "u\"v");
    pair.run(&["UPDATE \"u\"\"v\" SET \"a b\" = 'short row' WHERE id = 1"]);
    pair.run(&["UPDATE \"u\"\"v\" SET d = 8 WHERE id = 2"]);
    pair.run(&["DELETE FROM \"u\"\"v\" WHERE id = 3"]);
    pair.run(&["INSERT INTO \"u\"\"v\"(id, d, e) VALUES (4, 7, 1.0), (5, 9, -0.0)"]);
    pair.run(&["ALTER TABLE \"u\"\"v\" ADD COLUMN empty_added DEFAULT 5"]);
    pair.run(&["DELETE FROM \"u\"\"v\""]);
}

#[test]
fn dropping_a_column_counts_the_table_anew() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(a, b, c DEFAULT 3)",
        "INSERT INTO t VALUES (1, 2, 3), (4, 5, 6)",
    ]);
    pair.run(&["ALTER TABLE t DROP COLUMN b", "UPDATE t SET c = 9 WHERE a = 1"]);
    pair.run(&["ALTER TABLE t ADD COLUMN b DEFAULT 'again'"]);
    pair.run(&["UPDATE t SET b = 'x' WHERE a = 4"]);
}

#[test]
fn rows_copied_raw_between_tables_are_seen_whole() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(a INTEGER PRIMARY KEY)",
        "INSERT INTO t VALUES (1), (2)",
    ]);
    pair.run(&["ALTER TABLE t ADD COLUMN b TEXT DEFAULT 5"]);
    pair.run(&["ALTER TABLE t ADD COLUMN c REAL DEFAULT 5"]);
    pair.run(&["INSERT INTO t VALUES (3, 'x', NULL)"]);
    pair.run(&["CREATE TABLE u(a INTEGER PRIMARY KEY, b TEXT DEFAULT 5, c REAL DEFAULT 5)"]);
    pair.run(&["INSERT INTO u SELECT * FROM t"]);
    assert_eq!(pair.last_changes().len(), 3);
    assert!(
        pair.last_changes()[0].ends_with("[Integer(1), Text([53]), Real(5.0)] }"),
        "{:?}",
        pair.last_changes()
    );
    pair.run(&["DELETE FROM u WHERE a = 1", "UPDATE u SET b = 'y' WHERE a = 2"]);
    pair.run(&[
        "CREATE TABLE w(a, b)",
        "INSERT INTO w SELECT a, b FROM t",
        "INSERT INTO w SELECT * FROM w",
    ]);
}

#[test]
fn replace_upsert_and_ignore_are_captured_as_what_they_did() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a UNIQUE, b UNIQUE ON CONFLICT REPLACE, n INT DEFAULT 0)",
    ]);
    pair.run(&["INSERT INTO t(id, a, b) VALUES (1, 'a', 'b'), (2, 'c', 'd'), (3, 'e', 'f')"]);
    pair.run(&["REPLACE INTO t(id, a, b) VALUES (1, 'c', 'f')"]);
    assert_eq!(pair.last_changes().len(), 4);
    pair.run(&[
        "INSERT INTO t(id, a, b) VALUES (1, 'zz', 'z') ON CONFLICT(id) DO UPDATE SET n = n + 1, a = 'up'",
    ]);
    pair.run(&["INSERT OR IGNORE INTO t(id, a, b) VALUES (1, 'p', 'q'), (9, 'p', 'q')"]);
    assert_eq!(pair.last_changes().len(), 1);
    pair.run(&["INSERT INTO t(id, a, b) VALUES (4, 'r', 'q')"]);
    pair.run(&["UPDATE OR REPLACE t SET a = 'r'"]);
    pair.run(&["UPDATE OR IGNORE t SET a = 'r', n = 5"]);
}

#[test]
fn keys_that_swap_places_are_applied_in_the_leaders_order() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a UNIQUE)",
        "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
    ]);
    pair.run(&[
        "UPDATE t SET a = -a",
        "UPDATE t SET a = 4 + a",
        "UPDATE t SET id = id + 100",
    ]);
    pair.run(&["DELETE FROM t"]);
    assert_eq!(pair.last_changes().len(), 3);
}

#[test]
fn real_columns_hash_alike_before_and_after_storage() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(id INTEGER PRIMARY KEY, r REAL, n NUMERIC, i INTEGER, b BLOB, s TEXT, x)"]);
    pair.run(&["INSERT INTO t VALUES (1, 1, 1.0, 2.0, 3.0, 4.0, 5.0), (2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)"]);
    pair.run(&["INSERT INTO t VALUES (3, -0.0, -0.0, -0.0, -0.0, -0.0, -0.0), (4, '1e3', '1e3', '12', '12', 12, '12')"]);
    pair.run(&["INSERT INTO t VALUES (5, 9007199254740993, 1e300, '9e99', 1e15, 1e15, 1e400)"]);
    pair.run(&["UPDATE t SET r = r + 1, n = n + 0.5, b = -b, x = -x"]);
    pair.run(&["UPDATE t SET r = -0.0, x = -0.0, b = -0.0"]);
    pair.run(&["UPDATE t SET r = 0.0, x = 0.0, b = 0.0"]);
    pair.run(&["UPDATE t SET r = 3, n = '7', i = '8'"]);
    pair.run(&[
        "CREATE TABLE s(a REAL, b INT, c ANY, d TEXT) STRICT",
        "INSERT INTO s VALUES (1, 2, 3.0, 'x')",
    ]);
    pair.run(&["DELETE FROM t", "UPDATE s SET a = 2, c = '5'"]);
}

#[test]
fn text_that_is_not_utf8_and_zero_bytes_are_replicated_byte_by_byte() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(k TEXT PRIMARY KEY, b) WITHOUT ROWID"]);
    pair.run(&["INSERT INTO t VALUES (CAST(x'ff00fe' AS TEXT), zeroblob(10)), ('a' || char(0) || 'b', x'')"]);
    pair.run(&["UPDATE t SET b = zeroblob(3)"]);
    let error = pair.fail(&["INSERT INTO t VALUES ('q', 1) RETURNING CAST(x'ff' AS TEXT)"]);
    assert_eq!(error.kind, ErrorKind::NotUtf8);
    pair.run(&["DELETE FROM t"]);
}

#[test]
fn cascades_and_triggers_are_captured_where_they_write_and_not_repeated() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE p(id INTEGER PRIMARY KEY)",
        "CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE)",
        "CREATE TABLE n(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE SET NULL)",
        "CREATE TABLE d(id INTEGER PRIMARY KEY, p DEFAULT 3 REFERENCES p ON DELETE SET DEFAULT)",
        "CREATE TABLE log(what)",
        "CREATE TRIGGER t1 AFTER INSERT ON p BEGIN INSERT INTO log VALUES ('p' || NEW.id); END",
        "CREATE TRIGGER t2 AFTER DELETE ON c BEGIN INSERT INTO log VALUES ('c' || OLD.id); END",
        "CREATE TRIGGER t3 BEFORE UPDATE ON n BEGIN UPDATE log SET what = what || '!'; END",
    ]);
    pair.run(&[
        "INSERT INTO p VALUES (1), (2), (3)",
        "INSERT INTO c VALUES (10, 1), (11, 1), (12, 2)",
    ]);
    pair.run(&[
        "INSERT INTO n VALUES (20, 1), (21, 2)",
        "INSERT INTO d VALUES (30, 1)",
    ]);
    pair.run(&["DELETE FROM p WHERE id = 1"]);
    pair.run(&["UPDATE p SET id = 200 WHERE id = 2 AND NOT EXISTS (SELECT 1 FROM n WHERE p = 2)"]);
    pair.run(&[
        "CREATE VIEW v AS SELECT id FROM p",
        "CREATE TRIGGER t4 INSTEAD OF INSERT ON v BEGIN INSERT INTO p VALUES (NEW.id); END",
    ]);
    pair.run(&["INSERT INTO v VALUES (77)"]);
}

#[test]
fn dropping_a_parent_table_captures_what_it_did_to_the_children() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE p(id INTEGER PRIMARY KEY)",
        "CREATE TABLE c(p REFERENCES p ON DELETE SET NULL, a)",
    ]);
    pair.run(&[
        "INSERT INTO p VALUES (1), (2)",
        "INSERT INTO c VALUES (1, 'x'), (2, 'y')",
    ]);
    pair.run(&["DROP TABLE p"]);
    pair.run(&["DROP TABLE c", "CREATE TABLE c(a)", "INSERT INTO c VALUES (1)"]);
    assert_eq!(pair.leader.fingerprints().last().expect("a table").0.0, 3);
}

#[test]
fn create_table_as_is_captured_as_a_table_and_its_rows() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(a, \"b c\" TEXT)",
        "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
    ]);
    pair.run(&["CREATE TABLE u AS SELECT a + 1 AS n, \"b c\", random() AS r FROM t"]);
    assert_eq!(pair.last_changes().len(), 3);
    pair.run(&[
        "CREATE TABLE IF NOT EXISTS u AS SELECT 1",
        "INSERT INTO u VALUES (1, 2, 3)",
    ]);
    pair.run(&["CREATE TABLE IF NOT EXISTS w(a)", "INSERT INTO w VALUES (1)"]);
    pair.run(&["UPDATE w SET a = 2"]);
}

#[test]
fn indexes_views_triggers_and_header_numbers_are_captured_as_text() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(a, b)",
        "INSERT INTO t VALUES (1, 2), (3, 4)",
        "CREATE UNIQUE INDEX i ON t(a) WHERE b > 1",
    ]);
    pair.run(&[
        "CREATE INDEX IF NOT EXISTS i ON t(a)",
        "DELETE FROM t WHERE a = 1",
    ]);
    pair.run(&["PRAGMA user_version = 42", "PRAGMA application_id = 7"]);
    pair.run(&[
        "ANALYZE",
        "REINDEX",
        "CREATE VIEW v AS SELECT a FROM t",
        "DROP INDEX i",
        "DROP VIEW v",
    ]);
    let rows = pair.run(&["PRAGMA user_version"]).rows;
    assert_eq!(rows, [[Value::Integer(42)]]);
}

#[test]
fn autoincrement_values_are_captured_also_when_no_row_was_kept() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a UNIQUE)"]);
    pair.run(&[
        "INSERT INTO t(a) VALUES ('x'), ('y')",
        "DELETE FROM t WHERE a = 'y'",
    ]);
    pair.run(&["INSERT OR IGNORE INTO t(a) VALUES ('x')"]);
    pair.run(&[
        "INSERT INTO t(id, a) VALUES (100, 'z')",
        "UPDATE sqlite_sequence SET seq = 2",
    ]);
    pair.run(&[
        "UPDATE sqlite_sequence SET seq = 50",
        "INSERT INTO t(id, a) VALUES (90, 'p')",
        "UPDATE sqlite_sequence SET seq = 2",
    ]);
    pair.run(&["ALTER TABLE t RENAME TO u", "INSERT INTO u(a) VALUES ('q')"]);
    pair.run(&["DELETE FROM sqlite_sequence"]);
    pair.run(&["DELETE FROM u", "INSERT INTO u(a) VALUES ('r')"]);
    pair.run(&[
        "ALTER TABLE u ADD COLUMN c",
        "ALTER TABLE u DROP COLUMN c",
        "INSERT INTO u(a) VALUES ('s')",
    ]);
    pair.run(&[
        "DROP TABLE u",
        "CREATE TABLE u(id INTEGER PRIMARY KEY AUTOINCREMENT)",
        "INSERT INTO u VALUES (NULL)",
    ]);
}

#[test]
fn full_text_tables_are_replicated_through_their_shadow_tables() {
    let mut pair = Pair::new();
    pair.run(&["CREATE VIRTUAL TABLE f USING fts5(title, body)"]);
    pair.run(&["INSERT INTO f VALUES ('one', 'the quick brown fox'), ('two', 'lazy dogs')"]);
    pair.run(&[
        "UPDATE f SET body = 'a slow fox' WHERE rowid = 1",
        "DELETE FROM f WHERE rowid = 2",
    ]);
    pair.run(&["INSERT INTO f(f) VALUES ('optimize')"]);
    pair.run(&["INSERT INTO f(f) VALUES ('rebuild')"]);
    pair.run(&["INSERT INTO f(f, rank) VALUES ('pgsz', 64)"]);
    pair.run(&[
        "INSERT INTO f VALUES ('three', 'pending')",
        "ALTER TABLE f RENAME TO g",
    ]);
    pair.swap();
    pair.run(&["INSERT INTO g VALUES ('four', 'fox after a failover')"]);
    let found = pair.run(&["SELECT title FROM g WHERE g MATCH 'fox' ORDER BY rowid"]);
    assert_eq!(found.rows, [[text("one")], [text("four")]]);
    pair.swap();
    pair.run(&[
        "INSERT INTO g VALUES ('five', 'fox after another')",
        "DELETE FROM g WHERE g MATCH 'pending'",
    ]);
    let found = pair.run(&["SELECT count(*) FROM g WHERE g MATCH 'fox'"]);
    assert_eq!(found.rows, [[Value::Integer(3)]]);
    pair.run(&["INSERT INTO g(g) VALUES ('integrity-check')"]);
    pair.run(&["DROP TABLE g"]);
}

#[test]
fn full_text_rows_of_several_transactions_in_one_group_are_captured() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE VIRTUAL TABLE f USING fts5(a)",
        "CREATE VIRTUAL TABLE o USING fts4(a)",
        "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1)",
    ]);
    let transactions: Vec<ClientTransaction> = (0..5u64)
        .map(|place| ClientTransaction {
            durability: Default::default(),
            seen: Vec::new(),
            request: RequestId {
                session: SessionId(100 + u128::from(place)),
                sequence: 1,
            },
            statements: vec![
                Statement::new(format!("INSERT INTO f VALUES ('word{place} common')")),
                Statement::new(format!("INSERT INTO o VALUES ('word{place} common')")),
                Statement::new(format!("INSERT INTO r VALUES ({place}, {place}, {place} + 1)")),
                Statement::new(if place == 2 { "SELECT nonsense" } else { "SELECT 1" }),
            ],
            session: SessionState::default(),
            facts: Default::default(),
        })
        .collect();
    let answers = pair.run_group(&transactions);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 4);
    let found = pair.run(&["SELECT count(*) FROM f WHERE f MATCH 'common'"]);
    assert_eq!(found.rows, [[Value::Integer(4)]]);
    pair.run(&[
        "DELETE FROM o WHERE a MATCH 'word1'",
        "DELETE FROM r WHERE id = 3",
        "DROP TABLE o",
        "DROP TABLE r",
    ]);
}

#[test]
fn a_change_larger_than_a_chunk_travels_in_pieces() {
    let mut pair = Pair::new();
    pair.run(&["CREATE TABLE t(id INTEGER PRIMARY KEY, b)"]);
    pair.run(&[
        "INSERT INTO t VALUES (1, randomblob(5000000))",
        "INSERT INTO t VALUES (2, 'small')",
    ]);
    assert!(pair.log.len() >= 5, "{} entries", pair.log.len());
    pair.run(&[
        "INSERT INTO t SELECT value + 10, randomblob(20000) FROM json_each('[1,2,3,4,5]'), (SELECT 1)",
    ]);
    pair.run(&[
        "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                INSERT INTO t SELECT i, randomblob(20000) FROM n",
    ]);
    pair.run(&["DELETE FROM t WHERE id > 5"]);
}

#[test]
fn what_cannot_be_replicated_is_refused_at_once() {
    let mut pair = Pair::new();
    assert_eq!(
        pair.fail(&["CREATE TABLE t(rowid, oid, _rowid_)"]).kind,
        ErrorKind::NotSupported
    );
    pair.run(&[
        "CREATE TABLE t(rowid INTEGER PRIMARY KEY, oid, _rowid_)",
        "INSERT INTO t VALUES (1, 2, 3)",
    ]);
    pair.run(&[
        "CREATE TABLE u(rowid, _rowid_ TEXT)",
        "INSERT INTO u VALUES (1, 2)",
        "UPDATE u SET rowid = 5",
    ]);
    pair.fail(&[
        "ALTER TABLE u ADD COLUMN x",
        "ALTER TABLE u RENAME COLUMN x TO oid",
    ]);
    assert_eq!(
        pair.fail(&["CREATE TEMP TABLE x(a)"]).kind,
        ErrorKind::NotSupported
    );
    // It is a record of its own.
    assert_eq!(pair.fail(&["VACUUM"]).kind, ErrorKind::TransactionState);
    assert_eq!(pair.fail(&["BEGIN"]).kind, ErrorKind::TransactionState);
    assert_eq!(
        pair.fail(&["ALTER TABLE u RENAME TO _bellwether_u"]).kind,
        ErrorKind::Forbidden
    );
    pair.run(&["DELETE FROM u"]);
}

#[test]
fn a_reopened_writer_goes_on_where_it_was() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a)",
        "INSERT INTO t(a) VALUES (1), (2)",
    ]);
    pair.run(&["ALTER TABLE t ADD COLUMN d DEFAULT 'x'"]);
    let files = pair.files("leader");
    let reopened = bellwether_storage::Writer::open(&files).expect("the same file");
    assert_eq!(reopened.position(), pair.position);
    assert_eq!(reopened.fingerprints(), pair.leader.fingerprints());
    pair.leader = reopened;
    pair.run(&[
        "INSERT INTO t(a) VALUES (3)",
        "UPDATE t SET d = 'y' WHERE id = 1",
        "CREATE TABLE u(a)",
    ]);
}
