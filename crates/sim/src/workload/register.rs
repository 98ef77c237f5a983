//! Registers: each key holds a value, unique in the run, and counts its versions. Triggers keep the history, so that
//! at the end the order of all writes is known.

use bellwether_types::{Statement, Value};

use super::{IntoValue, Rows, integer, sql};
use crate::random::Random;

/// Keys are few, so that clients meet.
const KEYS: u64 = 6;

pub(crate) const TABLE: &str =
    "CREATE TABLE register(key INTEGER PRIMARY KEY, value INTEGER NOT NULL, version INTEGER NOT NULL)";
pub(crate) const HISTORY: &str = "CREATE TABLE register_history(key INTEGER, version INTEGER, value INTEGER UNIQUE, PRIMARY KEY(key, version)) \
     WITHOUT ROWID";
pub(crate) const INSERTED: &str = "CREATE TRIGGER register_inserted AFTER INSERT ON register BEGIN \
     INSERT INTO register_history VALUES (new.key, new.version, new.value); END";
pub(crate) const UPDATED: &str = "CREATE TRIGGER register_updated AFTER UPDATE ON register BEGIN \
     INSERT INTO register_history VALUES (new.key, new.version, new.value); END";

/// What is done to one register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Sets it.
    Write {
        /// Which.
        key: i64,
        /// Unique in the run.
        value: i64,
    },
    /// Reads it.
    Read {
        /// Which.
        key: i64,
    },
}

/// A register's content as a read or a write saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its value.
    pub value: i64,
    /// How often it has been written.
    pub version: i64,
}

impl Action {
    pub(crate) fn read(random: &mut Random, recent: i64) -> Action {
        Action::Read {
            key: if random.per_mille(700) {
                recent
            } else {
                random.range(0, KEYS) as i64
            },
        }
    }

    pub(crate) fn write(random: &mut Random, value: i64) -> Action {
        Action::Write {
            key: random.range(0, KEYS) as i64,
            value,
        }
    }

    /// Which register.
    pub fn key(&self) -> i64 {
        match self {
            Action::Write { key, .. } | Action::Read { key } => *key,
        }
    }

    pub(crate) fn statements(&self) -> Vec<Statement> {
        vec![match self {
            Action::Write { key, value } => sql(
                "INSERT INTO register VALUES ($1, $2, 1) ON CONFLICT(key) DO UPDATE \
                 SET value = excluded.value, version = version + 1 RETURNING value, version",
                [key.into_value(), value.into_value()],
            ),
            Action::Read { key } => sql(
                "SELECT value, version FROM register WHERE key = $1",
                [key.into_value()],
            ),
        }]
    }

    /// What the answer shows; `None` for a register never written.
    pub fn seen(answer: &[Rows]) -> Option<Seen> {
        let row = answer.first()?.first()?;
        Some(Seen {
            value: integer(row, 0)?,
            version: integer(row, 1)?,
        })
    }
}

impl IntoValue for &i64 {
    fn into_value(self) -> Value {
        Value::Integer(*self)
    }
}
