//! Tables of every shape, and DDL: what comes and goes while rows are written. Nothing is asserted about the
//! answers; the replicas must agree on the outcome.

use bellwether_types::Statement;

use super::{IntoValue, sql};
use crate::random::Random;

/// Tables that come and go.
const PASSING: u64 = 3;

pub(crate) const TABLES: &[&str] = &[
    "CREATE VIRTUAL TABLE note USING fts5(body)",
    "CREATE TABLE parent(id INTEGER PRIMARY KEY, name TEXT DEFAULT 'none')",
    "CREATE TABLE child(id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent(id) \
     ON DELETE CASCADE ON UPDATE CASCADE, double INTEGER GENERATED ALWAYS AS (id * 2) STORED)",
    "CREATE TABLE serial(id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT UNIQUE, b TEXT UNIQUE)",
    "CREATE TABLE audit(what TEXT, at TEXT DEFAULT CURRENT_TIMESTAMP)",
    "CREATE TRIGGER child_deleted AFTER DELETE ON child BEGIN \
     INSERT INTO audit(what) VALUES ('child ' || old.id); UPDATE parent SET name = name || '.' WHERE id = old.parent; END",
];

/// What is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// One transaction.
    Change(Vec<Statement>),
    /// Reads across the tables.
    Look,
}

impl Action {
    pub(crate) fn draw(random: &mut Random, mark: i64) -> Action {
        let small = random.range(0, 12) as i64;
        let passing = format!("passing_{}", random.range(0, PASSING));
        let id = mark.into_value();
        Action::Change(match random.range(0, 14) {
            0 => vec![sql(
                "INSERT INTO note VALUES ($1)",
                [format!("words of mark {mark} and {small}").into_value()],
            )],
            1 => vec![sql(
                "DELETE FROM note WHERE rowid IN (SELECT rowid FROM note LIMIT 1)",
                [],
            )],
            2 | 3 => vec![
                sql("INSERT INTO parent(id) VALUES ($1)", [id.clone()]),
                sql(
                    "INSERT INTO child(id, parent) VALUES ($1, $1), ($1 + 1000000, $1)",
                    [id],
                ),
            ],
            4 => vec![sql(
                "DELETE FROM parent WHERE id IN (SELECT id FROM parent LIMIT 1)",
                [],
            )],
            5 => vec![sql(
                "UPDATE parent SET id = id + 5000000 WHERE id % 12 = $1 AND id < 5000000",
                [small.into_value()],
            )],
            6 => vec![sql(
                "INSERT OR IGNORE INTO serial(a, b) VALUES ($1, $2)",
                [format!("a{small}").into_value(), format!("b{mark}").into_value()],
            )],
            7 => vec![sql(
                "REPLACE INTO serial(a, b) VALUES ($1, $2)",
                [
                    format!("a{small}").into_value(),
                    format!("b{}", small / 2).into_value(),
                ],
            )],
            8 => vec![Statement::new(format!(
                "CREATE TABLE {passing}(k TEXT, v REAL, PRIMARY KEY(k, v))"
            ))],
            9 => vec![Statement::new(format!(
                "ALTER TABLE {passing} ADD COLUMN extra_{small} TEXT DEFAULT 'x'"
            ))],
            10 => vec![Statement::new(format!("DROP TABLE {passing}"))],
            11 => vec![Statement::new(format!(
                "CREATE INDEX {passing}_by_v ON {passing}(v)"
            ))],
            12 => vec![Statement::new(format!("UPDATE {passing} SET v = v + 1.5"))],
            _ => vec![Statement::new(format!(
                "INSERT INTO {passing}(k, v) VALUES ('{mark}', {small}.25), (NULL, 1)"
            ))],
        })
    }

    pub(crate) fn statements(&self) -> Vec<Statement> {
        match self {
            Action::Change(statements) => statements.clone(),
            Action::Look => vec![
                sql("SELECT count(*) FROM note WHERE note MATCH 'words'", []),
                sql(
                    "SELECT count(*), sum(double) FROM child JOIN parent ON parent.id = child.parent",
                    [],
                ),
                sql("SELECT count(*), max(id) FROM serial", []),
            ],
        }
    }
}
