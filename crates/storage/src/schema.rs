//! What follows a schema statement, at the leader and at followers alike: ids for new tables, sums for rows that
//! changed unseen.

use bellwether_types::{ErrorKind, Fingerprint, LogFormat, SqlError, TableId, ValueRef, lexer};
use rusqlite::ffi;

use crate::authorizer;
use crate::capture::Hook;
use crate::catalog::{Catalog, CatalogChange, Key, Table};
use crate::database::Database;
use crate::error::{SqliteError, StorageError};
use crate::fingerprint;
use crate::internal;
use crate::kind;
use crate::relations;
use crate::slots::{self, SLOT};
use crate::statement::Prepared;

/// Compares the catalog with the schema after a statement, and brings sums and sequences in step. With
/// `is_captured_whole` the rows of a new table are left to the caller.
fn follow(database: &Database, hook: &Hook, is_captured_whole: bool) -> Result<CatalogChange, SqliteError> {
    let before = hook.capture().catalog().clone();
    let change = before.change(database)?;
    let ordinal = hook.capture().schema_statements() + 1;
    relations::note(database, &before, &change.after, ordinal)?;
    let mut sums = vec![(TableId(0), change.after.schema)];
    for id in &change.created {
        let rows = match is_captured_whole {
            true => Fingerprint::default(),
            false => fingerprint::of_rows(database, &change.after.tables[id])?,
        };
        sums.push((*id, rows));
    }
    for id in &change.rewritten {
        let rows = fingerprint::of_rows(database, &change.after.tables[id])?;
        let known = hook.capture().known_sequence(*id);
        sums.push((*id, rows.plus(fingerprint::of_sequence(*id, known))));
    }
    let mut capture = hook.capture();
    for id in &change.dropped {
        sums.push((*id, Fingerprint::default()));
        capture.set_known_sequence(*id, None);
    }
    for (id, sum) in sums {
        capture.set_sum(id, sum);
    }
    capture.set_catalog(change.after.clone());
    Ok(change)
}

/// A follower runs a schema statement of the leader's.
pub(crate) fn apply(database: &Database, hook: &Hook, sql: &str) -> Result<(), SqliteError> {
    let setting = kind::pragma_setting(sql);
    match setting.as_ref().map(|setting| setting.name.as_str()) {
        Some(LOG_FORMAT) => {
            let value = setting.map(|setting| setting.value).unwrap_or_default();
            let format = value.parse().map_err(|_| SqliteError {
                code: ffi::SQLITE_ERROR,
                message: format!("{value:?} is no log format"),
                offset: None,
            })?;
            set_log_format(database, hook, format)?;
        }
        Some(SLOT) => {
            let value = setting.map(|setting| setting.value).unwrap_or_default();
            slots::apply(database, hook, &value)?;
        }
        _ => run(database, hook, sql)?,
    }
    hook.capture().count_schema_statement();
    Ok(())
}

fn run(database: &Database, hook: &Hook, sql: &str) -> Result<(), SqliteError> {
    hook.capture().set_in_schema_statement(true);
    let result = database.execute(sql);
    hook.capture().set_in_schema_statement(false);
    result?;
    follow(database, hook, false).map(drop)
}

/// The leader captures what a client's schema statement did, after it ran.
pub(crate) fn capture(database: &Database, hook: &Hook, sql: &str, verb: &str) -> Result<(), SqlError> {
    let internal = |error: SqliteError| StorageError::Sqlite(error).into_sql_error();
    if verb == "PRAGMA"
        && let Some(setting) = kind::pragma_setting(sql)
        && [LOG_FORMAT, SLOT].contains(&setting.name.as_str())
    {
        let value = &setting.value;
        if setting.name == SLOT {
            slots::change(database, hook, value)?;
        } else {
            let format = value.parse().map_err(|_| unknown_log_format(value))?;
            set_log_format(database, hook, format).map_err(internal)?;
        }
        hook.capture().schema_statement(sql);
        return Ok(());
    }
    let before = hook.capture().catalog().clone();
    let is_plain_table = verb == "CREATE TABLE"
        && !lexer::significant(sql)
            .nth(1)
            .is_some_and(|token| token.is_word("VIRTUAL"));
    let change = follow(database, hook, is_plain_table).map_err(internal)?;
    check_reachable(&before, &change.after)?;
    if is_plain_table {
        // CREATE TABLE AS, too: the table as the schema has it now, then its rows.
        for id in &change.created {
            hook.capture()
                .schema_statement(change.after.create_statement(*id).unwrap_or_default());
            capture_rows(database, hook, &change.after.tables[id]).map_err(internal)?;
        }
        return Ok(());
    }
    let runs_everywhere = matches!(verb, "ANALYZE" | "REINDEX" | "PRAGMA");
    if runs_everywhere || before.schema != change.after.schema {
        hook.capture().schema_statement(sql);
    }
    Ok(())
}

/// The PRAGMA that sets in what the log is written. SQLite knows nothing of it.
pub(crate) const LOG_FORMAT: &str = "bellwether_log_format";

fn unknown_log_format(value: &str) -> SqlError {
    let names: Vec<&str> = LogFormat::ALL.into_iter().map(LogFormat::name).collect();
    let message = format!("invalid value for parameter \"bellwether.log_format\": \"{value}\"");
    SqlError::new(ErrorKind::InvalidSetting, message)
        .with_hint(format!("Available values: {}.", names.join(", ")))
}

/// In SQLite's file and in memory, both until the group is rolled back.
fn set_log_format(database: &Database, hook: &Hook, format: LogFormat) -> Result<(), SqliteError> {
    internal::write_log_format(database, format)?;
    hook.capture().set_log_format(format);
    Ok(())
}

fn capture_rows(database: &Database, hook: &Hook, table: &Table) -> Result<(), SqliteError> {
    let mut rows = Prepared::internal(database, &fingerprint::scan_statement(table))?;
    while rows.step()? {
        let values: Vec<ValueRef<'_>> = (1..rows.column_count())
            .map(|column| rows.value(column))
            .collect();
        hook.capture().unseen_insert(table, rows.integer(0), values);
    }
    Ok(())
}

/// Rows must have a name by which an update finds them.
fn check_reachable(before: &Catalog, after: &Catalog) -> Result<(), SqlError> {
    let unreachable = |catalog: &Catalog, id| {
        catalog
            .tables
            .get(id)
            .is_some_and(|table| table.key == Key::Unreachable)
    };
    match after
        .tables
        .keys()
        .find(|id| unreachable(after, id) && !unreachable(before, id))
    {
        None => Ok(()),
        Some(id) => {
            let mut error = SqlError::new(
                ErrorKind::NotSupported,
                "a table whose columns are named rowid, oid and _rowid_ needs an INTEGER PRIMARY KEY",
            )
            .with_hint("Declare an INTEGER PRIMARY KEY, or rename one of the columns.");
            error.table = Some(after.tables[id].name.clone());
            Err(error)
        }
    }
}

/// ALTER TABLE … RENAME TO a name of ours is nothing that the authorizer sees.
pub(crate) fn check_names(sql: &str, verb: &str) -> Result<(), SqlError> {
    if verb != "ALTER TABLE" {
        return Ok(());
    }
    lexer::significant(sql).try_for_each(|token| authorizer::check_table(&token.unquoted()))
}
