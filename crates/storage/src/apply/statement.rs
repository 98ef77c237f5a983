//! The statement format's apply: what the leader ran is run here, with what it was run with. Triggers fire, foreign keys
//! act and constraints are asked, as there.
//!
//! The hook sums what changes, and the sums are compared with the record's: a statement that did something else is found
//! with the record that has it.

use std::sync::Arc;

use bellwether_types::format::statement::Executed;
use bellwether_types::{Environment, SqlError, Statement};
use rusqlite::ffi;

use crate::error::{ApplyError, Divergence, SqliteError, StorageError};
use crate::kind::StatementKind;
use crate::session::SessionState;
use crate::statement::Prepared;
use crate::writer::WriteConnection;

/// Of a statement that fails, so much is told.
const SQL_CHARS_TOLD: usize = 200;

/// What a run of chunks and their record has executed so far.
#[derive(Default)]
pub(crate) struct Before {
    /// The last statement's text; `None`: there was none.
    pub(crate) sql: Option<Arc<str>>,
    /// Changes are images of the statement to come.
    pub(crate) skips: bool,
    /// Until COMMIT or ROLLBACK.
    defers_foreign_keys: bool,
}

/// Runs it.
pub(crate) fn replay(
    connection: &mut WriteConnection,
    executed: &Executed<'_>,
    before: &mut Before,
) -> Result<(), ApplyError> {
    let sql: Arc<str> = match (executed.sql, &before.sql) {
        (Some(sql), _) => sql.into(),
        (None, Some(sql)) => Arc::clone(sql),
        (None, None) => return Err(ApplyError::Nonsense("a statement without its text".to_owned())),
    };
    before.sql = Some(Arc::clone(&sql));
    connection.set_replays(true)?;
    connection.take_session(&SessionState {
        last_insert_rowid: executed.last_insert_rowid,
        changes: executed.changes,
        total_changes: executed.total_changes,
        foreign_keys: executed.foreign_keys,
        recursive_triggers: executed.recursive_triggers,
    })?;
    let database = connection.database.clone();
    if before.defers_foreign_keys != executed.defers_foreign_keys {
        let on = u8::from(executed.defers_foreign_keys);
        database.execute(&format!("PRAGMA defer_foreign_keys = {on}"))?;
        before.defers_foreign_keys = executed.defers_foreign_keys;
    }
    if let Some(facts) = &executed.facts {
        database.set_facts(&Arc::new(facts.clone()));
    }
    let mut prepared = database
        .client_statement(&sql)
        .map_err(|error| uncompiled(&sql, error))?;
    if prepared.kind() != StatementKind::Write {
        return Err(ApplyError::Nonsense(format!(
            "{:?} as a statement that writes",
            prepared.verb()
        )));
    }
    let statement = statement_of(executed, &sql)?;
    // SAFETY: the parameters live until `give_back` has forgotten them.
    let bound = unsafe { prepared.bind_client(&statement, true) };
    bound.map_err(|error| ApplyError::Nonsense(error.message))?;
    prepared.set_sqlite_version(executed.sqlite_version);
    database.begin_statement();
    // Listeners hear of it by the record.
    database.take_notified(true);
    let run = run(&mut prepared);
    database.take_notified(false);
    prepared.reset();
    database.counters().changed();
    database.give_back(prepared);
    run.map_err(|error| refused(&sql, error))?;
    Ok(connection.hook.finish_blob_writes()?)
}

fn run(prepared: &mut Prepared) -> Result<(), SqliteError> {
    while prepared.step_replayed()? {}
    Ok(())
}

fn statement_of(executed: &Executed<'_>, sql: &str) -> Result<Statement, ApplyError> {
    let values = executed.parameters.iter().map(|value| value.to_value());
    let values: Result<Vec<_>, SqlError> = values.collect();
    Ok(Statement {
        sql: sql.to_owned(),
        parameters: values.map_err(|error| ApplyError::Nonsense(error.message))?,
        environment: Some(Environment {
            transaction_ms: executed.transaction_ms,
            statement_ms: executed.statement_ms,
            seed: executed.seed.unwrap_or_default(),
        }),
    })
}

/// It was compiled at the leader.
fn uncompiled(sql: &str, error: SqlError) -> ApplyError {
    let error = SqliteError {
        code: ffi::SQLITE_ERROR,
        message: error.message,
        offset: None,
    };
    refused(sql, error)
}

/// It ran at the leader: that it does not here is this replica's content being another, or a failure of this node.
fn refused(sql: &str, error: SqliteError) -> ApplyError {
    match error.code & 0xFF {
        ffi::SQLITE_CONSTRAINT | ffi::SQLITE_ERROR | ffi::SQLITE_MISMATCH | ffi::SQLITE_AUTH => {
            ApplyError::Diverged {
                table: String::new(),
                divergence: Divergence::Statement {
                    sql: sql.chars().take(SQL_CHARS_TOLD).collect(),
                    error,
                },
            }
        }
        _ => ApplyError::Storage(StorageError::Sqlite(error)),
    }
}

impl WriteConnection {
    /// Whether what comes next is run as at the leader, or applied row by row.
    pub(crate) fn set_replays(&mut self, replays: bool) -> Result<(), SqliteError> {
        if self.replays == replays {
            return Ok(());
        }
        self.replays = replays;
        let database = &self.database;
        if !replays && self.foreign_keys {
            database.set_switch(ffi::SQLITE_DBCONFIG_ENABLE_FKEY, false);
            self.foreign_keys = false;
        }
        database.set_switch(ffi::SQLITE_DBCONFIG_ENABLE_TRIGGER, replays);
        let ignores = u8::from(!replays);
        database.execute(&format!("PRAGMA ignore_check_constraints = {ignores}"))?;
        Ok(())
    }
}
