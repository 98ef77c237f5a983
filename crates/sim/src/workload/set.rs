//! A set without an index, so that a value that was added twice is seen, and names with one, so that adding a name
//! again fails, for certain.

use bellwether_types::Statement;

use super::{IntoValue, sql};
use crate::random::Random;

pub(crate) const TABLE: &str = "CREATE TABLE member(value INTEGER)";
pub(crate) const NAMES: &str = "CREATE TABLE name(name TEXT UNIQUE COLLATE NOCASE, value INTEGER)";

/// What is done to the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Adds a value, under a name that may be taken.
    Add {
        /// Unique in the run.
        value: i64,
        /// Not unique.
        name: String,
    },
    /// Counts it.
    Count,
}

impl Action {
    pub(crate) fn add(random: &mut Random, value: i64) -> Action {
        let taken = random.per_mille(250);
        let name = if taken {
            random.range(0, value as u64 + 1)
        } else {
            value as u64
        };
        Action::Add {
            value,
            name: format!("Name-{name}"),
        }
    }

    pub(crate) fn statements(&self) -> Vec<Statement> {
        match self {
            Action::Add { value, name } => vec![
                sql("INSERT INTO member VALUES ($1)", [value.into_value()]),
                sql(
                    "INSERT INTO name VALUES ($1, $2)",
                    [name.clone().into_value(), value.into_value()],
                ),
            ],
            Action::Count => vec![sql("SELECT count(*), count(DISTINCT value) FROM member", [])],
        }
    }
}
