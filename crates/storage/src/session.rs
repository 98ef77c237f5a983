//! What belongs to a session and must follow it: from replica to leader, from one client transaction in a group to
//! the session's next, and to no other session.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use bellwether_types::{DecodeError, Decoder, Encoder, SqlError};
use rusqlite::ffi;

use crate::database::Database;
use crate::error::SqliteError;
use crate::kind::{self, PragmaSetting};

/// The state of a session that SQL can see or set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionState {
    /// What `last_insert_rowid()` answers.
    pub last_insert_rowid: i64,
    /// What `changes()` answers.
    pub changes: i64,
    /// What `total_changes()` answers.
    pub total_changes: i64,
    /// PRAGMA foreign_keys: on unless the session turned it off.
    pub foreign_keys: bool,
    /// PRAGMA recursive_triggers.
    pub recursive_triggers: bool,
}

impl Default for SessionState {
    fn default() -> SessionState {
        SessionState {
            last_insert_rowid: 0,
            changes: 0,
            total_changes: 0,
            foreign_keys: true,
            recursive_triggers: false,
        }
    }
}

impl SessionState {
    /// Appends all fields.
    pub fn encode(&self, out: &mut Encoder) {
        out.i64(self.last_insert_rowid);
        out.i64(self.changes);
        out.i64(self.total_changes);
        out.bool(self.foreign_keys);
        out.bool(self.recursive_triggers);
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<SessionState, DecodeError> {
        Ok(SessionState {
            last_insert_rowid: input.i64()?,
            changes: input.i64()?,
            total_changes: input.i64()?,
            foreign_keys: input.bool()?,
            recursive_triggers: input.bool()?,
        })
    }

    /// Runs `sql` if it is a switch of the session (`PRAGMA foreign_keys = …` and the like): the session layer need
    /// not ask a replica. `None`: it is something else. As in SQLite, `defer_foreign_keys` does nothing outside
    /// of a transaction, and a value that is no boolean turns the switch off.
    pub fn run_pragma(&mut self, sql: &str) -> Option<Result<(), SqlError>> {
        let setting = kind::pragma_setting(sql)?;
        self.set(&setting).then_some(Ok(()))
    }

    /// Whether the setting is one of the session's.
    pub(crate) fn set(&mut self, setting: &PragmaSetting) -> bool {
        match setting.name.as_str() {
            "foreign_keys" => self.foreign_keys = setting.is_on(),
            "recursive_triggers" => self.recursive_triggers = setting.is_on(),
            "defer_foreign_keys" => {}
            _ => return false,
        }
        true
    }
}

/// What `changes()` and `total_changes()` answer on a connection that many sessions share.
///
/// SQLite's own counters go on while other sessions' and our own statements run. A session's numbers are those it
/// came with until it has changed something itself.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Nothing was changed by this session's statements since it took the connection.
    is_fresh: AtomicBool,
    /// The session's.
    changes: AtomicI64,
    total_changes: AtomicI64,
    /// SQLite's, when the session took the connection.
    changes_before: AtomicI64,
    total_changes_before: AtomicI64,
}

impl Counters {
    /// Overrides the two functions.
    pub(crate) fn install(&self, database: &Database) -> Result<(), SqliteError> {
        let context = (&raw const *self).cast_mut().cast::<c_void>();
        // SAFETY: the database keeps the counters until after it closed the connection.
        unsafe {
            database.register(c"changes", context, changes)?;
            database.register(c"total_changes", context, total_changes)
        }
    }

    /// A session takes the connection.
    pub(crate) fn begin(&self, database: &Database, changes: i64, total_changes: i64) {
        self.is_fresh.store(true, Relaxed);
        self.changes.store(changes, Relaxed);
        self.total_changes.store(total_changes, Relaxed);
        self.changes_before.store(database.changes(), Relaxed);
        self.total_changes_before.store(database.total_changes(), Relaxed);
    }

    /// The session ran an INSERT, UPDATE or DELETE.
    pub(crate) fn changed(&self) {
        self.is_fresh.store(false, Relaxed);
    }

    pub(crate) fn changes(&self, current: i64, current_total: i64) -> i64 {
        let untouched = current == self.changes_before.load(Relaxed)
            && current_total == self.total_changes_before.load(Relaxed);
        if self.is_fresh.load(Relaxed) && untouched {
            self.changes.load(Relaxed)
        } else {
            current
        }
    }

    pub(crate) fn total_changes(&self, current_total: i64) -> i64 {
        self.total_changes.load(Relaxed) + (current_total - self.total_changes_before.load(Relaxed))
    }
}

/// # Safety
/// Called by SQLite with the context given at registration: living counters.
unsafe extern "C" fn changes(
    context: *mut ffi::sqlite3_context,
    _count: c_int,
    _values: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: per contract.
    unsafe {
        let counters = &*ffi::sqlite3_user_data(context).cast::<Counters>();
        let db = ffi::sqlite3_context_db_handle(context);
        let value = counters.changes(ffi::sqlite3_changes64(db), ffi::sqlite3_total_changes64(db));
        ffi::sqlite3_result_int64(context, value);
    }
}

/// # Safety
/// As `changes`.
unsafe extern "C" fn total_changes(
    context: *mut ffi::sqlite3_context,
    _count: c_int,
    _values: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: per contract.
    unsafe {
        let counters = &*ffi::sqlite3_user_data(context).cast::<Counters>();
        let db = ffi::sqlite3_context_db_handle(context);
        ffi::sqlite3_result_int64(context, counters.total_changes(ffi::sqlite3_total_changes64(db)));
    }
}
