//! Tables that are built anew under their names: what ALTER TABLE of SQLite's lacks, at the leader and at a follower.

mod support;

use bellwether_types::{ErrorKind, Value};
use support::{Pair, text};

fn rows(pair: &mut Pair, sql: &str) -> Vec<Vec<Value>> {
    pair.run(&[sql]).rows
}

/// A table with everything that may hang on one.
fn flock() -> Pair {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE shepherd(id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
        "CREATE TABLE sheep(id INTEGER PRIMARY KEY AUTOINCREMENT, shepherd INT, name TEXT DEFAULT 'none', weight, \
         twice AS (weight * 2), CONSTRAINT heavy CHECK (weight > 0), UNIQUE (name, weight))",
        "CREATE TABLE lamb(mother INTEGER NOT NULL REFERENCES sheep ON DELETE CASCADE)",
        "CREATE TABLE shorn(sheep INT)",
        "CREATE INDEX by_name ON sheep(name COLLATE NOCASE) WHERE weight > 1",
        "CREATE VIEW fat AS SELECT * FROM sheep WHERE weight > 50",
        "CREATE VIEW fattest AS SELECT max(weight) AS most FROM fat",
        "CREATE TRIGGER shear AFTER UPDATE ON sheep BEGIN INSERT INTO shorn VALUES (new.id); END",
        "CREATE TRIGGER shave INSTEAD OF DELETE ON fat BEGIN INSERT INTO shorn VALUES (old.id); END",
    ]);
    pair.run(&["INSERT INTO shepherd VALUES (1, 'Bo')"]);
    pair.run(&["INSERT INTO sheep(id, shepherd, name, weight) VALUES (3, 1, 'Dolly', 60), (7, NULL, 'Shaun', 20), (90, 1, 'x', 1)"]);
    pair.run(&[
        "DELETE FROM sheep WHERE id = 90",
        "INSERT INTO lamb VALUES (3), (3)",
    ]);
    pair
}

/// What hangs on the table is there, and does what it did.
fn assert_whole(pair: &mut Pair) {
    let names = "SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE '_bell%' ORDER BY name)";
    let all = "by_name fat fattest lamb shave shear sheep shepherd shorn sqlite_sequence";
    assert_eq!(rows(pair, names), [[text(all)]]);
    assert_eq!(
        rows(pair, "SELECT CAST(most AS INT) FROM fattest"),
        [[Value::Integer(60)]]
    );
    assert_eq!(
        rows(pair, "SELECT count(*) FROM lamb"),
        [[Value::Integer(2)]],
        "no cascade ran"
    );
    pair.run(&[
        "DELETE FROM shorn",
        "UPDATE sheep SET weight = 61 WHERE id = 3",
        "DELETE FROM fat",
    ]);
    assert_eq!(rows(pair, "SELECT count(*) FROM shorn"), [[Value::Integer(2)]]);
    pair.run(&["UPDATE sheep SET weight = 60 WHERE id = 3"]);
    let next = "INSERT INTO sheep(name, weight) VALUES ('new', 5) RETURNING id > 90, CAST(twice AS INT)";
    assert_eq!(
        rows(pair, next),
        [[Value::Integer(1), Value::Integer(10)]],
        "numbers never come again"
    );
    pair.run(&["DELETE FROM sheep WHERE name = 'new'"]);
    let violated = pair.fail(&[
        "DELETE FROM shepherd WHERE id = 1",
        "INSERT INTO lamb VALUES (1000)",
    ]);
    assert_eq!(violated.kind, ErrorKind::ForeignKeyViolation, "they are enforced");
}

#[test]
fn every_alteration_keeps_rows_and_what_hangs_on_the_table() {
    for alteration in [
        "ALTER TABLE sheep ADD CONSTRAINT led FOREIGN KEY (shepherd) REFERENCES shepherd(id) ON DELETE SET NULL",
        "ALTER TABLE sheep ALTER COLUMN weight TYPE REAL",
        "ALTER TABLE Sheep ALTER name SET DEFAULT 'Shaun'",
        "ALTER TABLE sheep ALTER COLUMN name DROP DEFAULT",
        "ALTER TABLE sheep DROP CONSTRAINT heavy",
        "ALTER TABLE sheep DROP CONSTRAINT sheep_name_weight_key",
        "ALTER TABLE sheep DROP CONSTRAINT IF EXISTS nosuch",
    ] {
        let mut pair = flock();
        pair.run(&[alteration]);
        let all = "SELECT group_concat(id || name, ' ') FROM (SELECT * FROM sheep ORDER BY id)";
        assert_eq!(rows(&mut pair, all), [[text("3Dolly 7Shaun")]], "{alteration}");
        assert_whole(&mut pair);
        pair.swap();
        assert_whole(&mut pair);
    }
}

#[test]
fn what_was_altered_holds_from_then_on() {
    let mut pair = flock();
    let refused = pair.fail(&[
        "UPDATE sheep SET shepherd = 5 WHERE id = 7",
        "ALTER TABLE sheep ADD FOREIGN KEY (shepherd) REFERENCES shepherd",
    ]);
    assert_eq!(refused.kind, ErrorKind::ForeignKeyViolation);
    assert_eq!(refused.table.as_deref(), Some("sheep"));
    pair.run(&[
        "ALTER TABLE sheep ADD FOREIGN KEY (shepherd) REFERENCES shepherd ON DELETE CASCADE",
        "ALTER TABLE sheep ALTER weight TYPE TEXT USING 'about ' || weight",
        "ALTER TABLE sheep DROP CONSTRAINT heavy",
        "DELETE FROM shepherd",
    ]);
    assert_eq!(rows(&mut pair, "SELECT weight FROM sheep"), [[text("about 20")]]);
    assert_eq!(
        rows(&mut pair, "SELECT count(*) FROM lamb"),
        [[Value::Integer(0)]]
    );
}

#[test]
fn a_failed_alteration_leaves_the_session_enforcing_foreign_keys() {
    let mut pair = flock();
    let error = pair.fail(&["ALTER TABLE sheep ALTER COLUMN weight TYPE INTEGER USING nosuch + 1"]);
    assert_eq!(error.kind, ErrorKind::UndefinedColumn);
    let error = pair.fail(&["ALTER TABLE sheep ALTER COLUMN nosuch TYPE INTEGER"]);
    assert_eq!(error.kind, ErrorKind::UndefinedColumn);
    let error = pair.fail(&["ALTER TABLE sheep ALTER weight SET DEFAULT now()"]);
    assert_eq!(error.kind, ErrorKind::Syntax);
    let error = pair.fail(&["ALTER TABLE nosuch ALTER COLUMN a TYPE INTEGER"]);
    assert_ne!(error.kind, ErrorKind::Internal);
    assert_whole(&mut pair);
}

#[test]
fn a_column_goes_with_its_indexes_and_keys() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE t(a TEXT UNIQUE, b REFERENCES t(a), c, CHECK (b <> c))",
        "CREATE INDEX by_c ON t(c, a)",
        "CREATE INDEX by_a ON t(a)",
        "INSERT INTO t(rowid, a, b, c) VALUES (5, 'x', NULL, 1), (9, 'y', 'x', 2)",
    ]);
    pair.run(&["ALTER TABLE t DROP COLUMN b"]);
    pair.run(&["ALTER TABLE t DROP COLUMN c"]);
    let schema = "SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE '_bell%' ORDER BY name)";
    assert_eq!(rows(&mut pair, schema), [[text("by_a t")]]);
    let all = "SELECT group_concat(rowid || a, ' ') FROM t";
    assert_eq!(rows(&mut pair, all), [[text("5x 9y")]]);
}

#[test]
fn tables_without_rowid_and_those_whose_columns_take_its_names_are_built_anew() {
    let mut pair = Pair::new();
    pair.run(&[
        "CREATE TABLE k(a TEXT, b INT, PRIMARY KEY (b, a)) WITHOUT ROWID, STRICT",
        "CREATE TABLE r(rowid TEXT, b)",
        "INSERT INTO k VALUES ('x', 1)",
        "INSERT INTO r(_rowid_, rowid, b) VALUES (77, 'y', 2)",
    ]);
    pair.run(&[
        "ALTER TABLE k ALTER b TYPE ANY",
        "ALTER TABLE r ALTER b SET DEFAULT (1 + 1)",
    ]);
    assert_eq!(
        rows(&mut pair, "SELECT a, b FROM k"),
        [[text("x"), Value::Integer(1)]]
    );
    assert_eq!(
        rows(&mut pair, "SELECT _rowid_, rowid, b FROM r"),
        [[Value::Integer(77), text("y"), Value::Integer(2)]]
    );
}
