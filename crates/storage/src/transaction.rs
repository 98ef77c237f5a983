//! A client transaction on the shared connection: what it takes along, and what it must leave behind.

use bellwether_types::{CommandTag, Durability, ErrorKind, KeptResult, RequestId, SqlError};
use rusqlite::ffi;

use crate::database::Database;
use crate::error::{SqliteError, StorageError, foreign_key_violation};
use crate::session::SessionState;
use crate::writer::WriteConnection;

/// The client transaction that has the connection.
#[derive(Debug)]
pub(crate) struct OpenTransaction {
    pub(crate) request: RequestId,
    pub(crate) session: SessionState,
    pub(crate) tag: CommandTag,
    /// For whoever asks again.
    pub(crate) result: KeptResult,
    pub(crate) durability: Durability,
    /// The client's savepoints, innermost last.
    pub(crate) savepoints: Vec<String>,
    /// An error came: only rolling back helps.
    pub(crate) is_failed: bool,
    pub(crate) defers_foreign_keys: bool,
    pub(crate) has_written: bool,
}

impl OpenTransaction {
    /// Nothing was run yet.
    pub(crate) fn new(request: RequestId, session: SessionState) -> OpenTransaction {
        OpenTransaction {
            request,
            session,
            tag: CommandTag::plain(""),
            result: KeptResult::TagAlone,
            durability: Durability::default(),
            savepoints: Vec::new(),
            is_failed: false,
            defers_foreign_keys: false,
            has_written: false,
        }
    }

    /// The depth of the innermost savepoint of a name.
    pub(crate) fn find_savepoint(&self, name: &str) -> Result<usize, SqlError> {
        self.savepoints
            .iter()
            .rposition(|known| known == name)
            .ok_or_else(|| {
                SqlError::new(
                    ErrorKind::UndefinedSavepoint,
                    format!("savepoint \"{name}\" does not exist"),
                )
            })
    }
}

/// One of our own statements failed while a client's was served.
pub(crate) fn internal(error: SqliteError) -> SqlError {
    StorageError::Sqlite(error).into_sql_error()
}

/// What FTS5 writes by itself must not show in the session's counters.
pub(crate) fn without_traces<T>(database: &Database, run: impl FnOnce() -> T) -> T {
    let rowid = database.last_insert_rowid();
    let (changes, total) = (database.changes(), database.total_changes());
    let counters = database.counters();
    let (seen, seen_total) = (counters.changes(changes, total), counters.total_changes(total));
    let result = run();
    database.set_last_insert_rowid(rowid);
    if database.total_changes() != total || database.changes() != changes {
        counters.begin(database, seen, seen_total);
    }
    result
}

impl WriteConnection {
    /// Sets what belongs to the session.
    pub(crate) fn take_session(&mut self, session: &SessionState) -> Result<(), StorageError> {
        let database = &self.database;
        database.set_last_insert_rowid(session.last_insert_rowid);
        database
            .counters()
            .begin(database, session.changes, session.total_changes);
        if self.foreign_keys != session.foreign_keys {
            // Expires every compiled statement, so only when it differs.
            database.set_switch(ffi::SQLITE_DBCONFIG_ENABLE_FKEY, session.foreign_keys);
            self.foreign_keys = session.foreign_keys;
        }
        if self.recursive_triggers != session.recursive_triggers {
            let sql = format!(
                "PRAGMA recursive_triggers = {}",
                u8::from(session.recursive_triggers)
            );
            database.execute(&sql)?;
            self.recursive_triggers = session.recursive_triggers;
        }
        Ok(())
    }

    /// What the session takes along.
    pub(crate) fn session(&self, open: &OpenTransaction) -> SessionState {
        let (changes, total) = (self.database.changes(), self.database.total_changes());
        let counters = self.database.counters();
        SessionState {
            last_insert_rowid: self.database.last_insert_rowid(),
            changes: counters.changes(changes, total),
            total_changes: counters.total_changes(total),
            ..open.session
        }
    }

    pub(crate) fn stop_deferring(&self, open: &OpenTransaction) {
        if open.defers_foreign_keys {
            // A switch of the connection until the next COMMIT, which is the group's.
            let _ = self.database.execute("PRAGMA defer_foreign_keys = 0");
        }
    }

    /// The client's COMMIT, within the group. Answers whether anything was changed.
    pub(crate) fn leave(&mut self, open: &OpenTransaction) -> Result<(SessionState, bool), SqlError> {
        let session = self.session(open);
        if self.hook.capture().catalog().has_virtual_tables {
            // FTS5 holds rows back until a savepoint begins.
            self.database.execute("SAVEPOINT flush_").map_err(internal)?;
            self.database.execute("RELEASE flush_").map_err(internal)?;
        }
        self.hook.finish_blob_writes().map_err(internal)?;
        self.hook
            .capture()
            .check()
            .map_err(StorageError::into_sql_error)?;
        if self.database.has_unresolved_foreign_keys() {
            return Err(foreign_key_violation());
        }
        if open.has_written {
            self.capture_sequences()?;
        }
        self.stop_deferring(open);
        self.internal.release.run().map_err(internal)?;
        let mut is_changed = false;
        let mut capture = self.hook.capture();
        while capture.depth() > 1 {
            is_changed |= capture.merge();
        }
        capture.check().map_err(StorageError::into_sql_error)?;
        Ok((session, is_changed))
    }

    /// `sqlite_sequence` is not reported: INSERT OR IGNORE moves it without a row.
    pub(crate) fn capture_sequences(&mut self) -> Result<(), SqlError> {
        let catalog = self.hook.capture().catalog().clone();
        if !catalog.has_autoincrement {
            return Ok(());
        }
        let found = self.internal.read_sequences(&self.database).map_err(internal)?;
        let mut capture = self.hook.capture();
        let is_forced = capture.take_sequence_written();
        for table in catalog.tables.values().filter(|table| table.is_autoincrement) {
            let value = found.get(&table.name).copied();
            if is_forced || capture.known_sequence(table.id) != value {
                capture.sequence(table.id, value);
            }
        }
        Ok(())
    }
}
