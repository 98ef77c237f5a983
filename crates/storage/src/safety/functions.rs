//! Functions that a compiled statement calls, and what their answers depend on.

use std::collections::BTreeMap;

use bellwether_types::Call;
use rusqlite::ffi;

use super::Unsafe;
use super::program::Program;
use crate::database::Database;
use crate::error::SqliteError;
use crate::statement::Prepared;

/// Draw chance, which is the statement's own (see `environment`).
const DRAWING: [&str; 2] = ["random", "randomblob"];

/// Not deterministic to SQLite, but answered out of what the record says: of the session's counters, and of time. The
/// other functions that ask for time count as deterministic.
const GIVEN: [&str; 7] = [
    "last_insert_rowid",
    "changes",
    "total_changes",
    "statement_epoch",
    "current_timestamp",
    "current_date",
    "current_time",
];

/// Aggregates that answer the same in whatever order their rows come, and window functions that treat peers alike.
const ORDERLESS: [&str; 7] = [
    "count",
    "min",
    "max",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
];

const REAL_SUMS: [&str; 3] = ["sum", "avg", "total"];

/// About this build, which may be another elsewhere.
const OF_BUILD: [&str; 3] = [
    "sqlite_source_id",
    "sqlite_compileoption_used",
    "sqlite_compileoption_get",
];

/// What they amount to.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) reasons: Vec<Unsafe>,
    pub(super) draws: bool,
    pub(super) asks_facts: bool,
    pub(super) asks_version: bool,
}

impl Seen {
    pub(super) fn of(database: &Database, program: &Program) -> Result<Seen, SqliteError> {
        let mut seen = Seen::default();
        let mut deterministic: Option<BTreeMap<String, bool>> = None;
        for name in &program.functions {
            let name = name.as_str();
            match database.extended_call(name) {
                Some(Call::Pure(_) | Call::Notify(_)) => {}
                Some(Call::Session(_)) => seen.asks_facts = true,
                Some(Call::Node(_) | Call::Schema(_) | Call::Size(_)) => {
                    seen.reasons.push(Unsafe::NodeFunction)
                }
                None if DRAWING.contains(&name) => seen.draws = true,
                None if GIVEN.contains(&name) => {}
                None if name == "sqlite_version" => seen.asks_version = true,
                None if OF_BUILD.contains(&name) => seen.reasons.push(Unsafe::NodeFunction),
                None => {
                    if deterministic.is_none() {
                        deterministic = Some(listed(database)?);
                    }
                    let known = deterministic.as_ref().and_then(|known| known.get(name));
                    if known != Some(&true) {
                        seen.reasons.push(Unsafe::UnknownFunction);
                    }
                }
            }
        }
        for name in &program.aggregates {
            let name = name.as_str();
            if REAL_SUMS.contains(&name) {
                seen.reasons.push(Unsafe::RealSum);
            } else if !ORDERLESS.contains(&name) {
                seen.reasons.push(Unsafe::OrderDependentFunction);
            }
        }
        Ok(seen)
    }
}

/// SQLite's functions, by whether it calls them deterministic.
fn listed(database: &Database) -> Result<BTreeMap<String, bool>, SqliteError> {
    let mut listed = BTreeMap::new();
    let mut lines = Prepared::internal(
        database,
        "SELECT name, flags FROM pragma_function_list WHERE type = 's'",
    )?;
    while lines.step()? {
        let is_deterministic = lines.integer(1) & i64::from(ffi::SQLITE_DETERMINISTIC) != 0;
        let name = lines.string(0).unwrap_or_default().to_owned();
        let known = listed.entry(name).or_insert(true);
        *known &= is_deterministic;
    }
    Ok(listed)
}
