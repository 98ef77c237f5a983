//! A connection to a replica's SQLite file, shared by its owner and the cursors open on it.
//!
//! Promises: one thread at a time uses the connection, whoever holds a handle (the gate); it is closed when the
//! last handle is gone; clients' statements are asked about (see `authorizer`) and cached.

use std::ffi::{c_int, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwether_types::{Call, Facts, Notification, RequestId, SqlError};
use rusqlite::{Connection, ffi};

use crate::authorizer;
use crate::error::SqliteError;
use crate::extension::{Attached, Extended};
use crate::files::{ConnectionRole, sqlite_facts};
use crate::session::Counters;
use crate::statement::{Prepared, StatementCache};

/// The largest value and row, in bytes. A change of one row must fit the memory of every replica a few times
/// over; a blob of 100 MB fits with room.
pub const VALUE_BYTES_MAX: i32 = 256 << 20;
/// The longest statement, in bytes: parameters are the place for large values.
pub const STATEMENT_BYTES_MAX: i32 = 64 << 20;
/// Depth of expressions and of triggers: SQLite's own defaults are for trusted text; parsing recurses.
const EXPRESSION_DEPTH_MAX: i32 = 1000;
/// As PostgreSQL: parameters are counted in 16 bits on the wire.
const PARAMETERS_MAX: i32 = 65_535;

/// The connection. Fields are dropped in this order: statements before the connection that compiled them, the
/// contexts of its callbacks after it.
pub(crate) struct Database {
    cache: Mutex<StatementCache>,
    handle: *mut ffi::sqlite3,
    gate: Mutex<()>,
    owner: Mutex<Connection>,
    counters: Arc<Counters>,
    running: Arc<Mutex<Option<RequestId>>>,
    attached: Option<Arc<Attached>>,
}

/// While it lives, a client's statement runs, which may be interrupted.
pub(crate) struct Running<'a>(&'a Database);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

// SAFETY: SQLite's connections may be used by any thread, one at a time: that is what the gate is for.
unsafe impl Send for Database {}
// SAFETY: as above.
unsafe impl Sync for Database {}

impl Database {
    /// Takes a connection over: limits, authorizer, the functions that tell about a session.
    pub(crate) fn new(
        connection: Connection,
        extended: &Extended,
        role: ConnectionRole,
    ) -> Result<Arc<Database>, SqliteError> {
        // Before the limits: nothing else is ever attached.
        let attached = extended.attach(&connection, role).map_err(|error| {
            let (code, message) = sqlite_facts(&error);
            SqliteError {
                code,
                message,
                offset: None,
            }
        })?;
        // SAFETY: the handle is used only while `owner` keeps the connection open.
        let handle = unsafe { connection.handle() };
        let counters = Arc::new(Counters::default());
        let database = Database {
            cache: Mutex::default(),
            handle,
            gate: Mutex::new(()),
            owner: Mutex::new(connection),
            counters,
            running: Arc::default(),
            attached,
        };
        for (limit, value) in [
            (ffi::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
            (ffi::SQLITE_LIMIT_SQL_LENGTH, STATEMENT_BYTES_MAX),
            (ffi::SQLITE_LIMIT_EXPR_DEPTH, EXPRESSION_DEPTH_MAX),
            (ffi::SQLITE_LIMIT_VARIABLE_NUMBER, PARAMETERS_MAX),
            (ffi::SQLITE_LIMIT_ATTACHED, 0),
            (ffi::SQLITE_LIMIT_WORKER_THREADS, 0),
        ] {
            // SAFETY: open connection.
            unsafe { ffi::sqlite3_limit(handle, limit, value) };
        }
        // SAFETY: open connection; `counters` outlives it.
        unsafe {
            ffi::sqlite3_extended_result_codes(handle, 1);
            authorizer::install(handle);
        }
        database.counters.install(&database)?;
        Ok(Arc::new(database))
    }

    /// Held while the connection is used.
    pub(crate) fn enter(&self) -> MutexGuard<'_, ()> {
        // The gate guards no data that a panic could leave half-written.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose statement runs now, if a client's does on the write connection.
    pub(crate) fn running(&self) -> &Arc<Mutex<Option<RequestId>>> {
        &self.running
    }

    /// A client's statement runs from here on.
    pub(crate) fn run_for(&self, request: RequestId) -> Running<'_> {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
        Running(self)
    }

    pub(crate) fn handle(&self) -> *mut ffi::sqlite3 {
        self.handle
    }

    /// Statements are of this session from here on.
    pub(crate) fn set_facts(&self, facts: &Arc<Facts>) {
        if let Some(attached) = &self.attached {
            attached.set_facts(facts);
        }
    }

    /// Whose statements run.
    pub(crate) fn facts(&self) -> Option<Arc<Facts>> {
        self.attached.as_ref().map(|attached| attached.facts())
    }

    /// What a function of the extension sees, if it is one.
    pub(crate) fn extended_call(&self, name: &str) -> Option<Call> {
        let attached = self.attached.as_ref()?;
        attached.call(name)
    }

    /// A client's statement begins.
    pub(crate) fn begin_statement(&self) {
        if let Some(attached) = &self.attached {
            attached.begin_statement();
        }
    }

    /// Whether what runs next may notify; what was told since the last call.
    pub(crate) fn take_notified(&self, may_go_on: bool) -> Vec<Notification> {
        let attached = self.attached.as_ref();
        attached
            .map(|attached| attached.take_notified(may_go_on))
            .unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn attached(&self) -> Option<&Arc<Attached>> {
        self.attached.as_ref()
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// For the few calls that the bindings wrap well.
    pub(crate) fn owner(&self) -> MutexGuard<'_, Connection> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client's statement, from the cache or compiled.
    pub(crate) fn client_statement(&self, sql: &str) -> Result<Prepared, SqlError> {
        let cached = self.cached().take(sql);
        match cached {
            Some(prepared) => Ok(prepared),
            None => Prepared::client(self, sql),
        }
    }

    /// Back into the cache.
    pub(crate) fn give_back(&self, prepared: Prepared) {
        self.cached().put(prepared);
    }

    fn cached(&self) -> MutexGuard<'_, StatementCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls back now and then while a statement runs.
    pub(crate) fn on_progress(&self, steps: i32, mut callback: impl FnMut() + Send + 'static) {
        self.interrupt_if(steps, move || {
            callback();
            false
        });
    }

    /// Asks now and then while a statement runs whether it is to be interrupted.
    pub(crate) fn interrupt_if(&self, steps: i32, must_end: impl FnMut() -> bool + Send + 'static) {
        // Only a closed connection refuses a handler.
        let _ = self.owner().progress_handler(steps, Some(must_end));
    }

    /// Compiles and runs one statement of our own.
    pub(crate) fn execute(&self, sql: &str) -> Result<(), SqliteError> {
        Prepared::internal(self, sql)?.run()
    }

    /// Whether no transaction is open.
    pub(crate) fn is_autocommit(&self) -> bool {
        // SAFETY: open connection.
        unsafe { ffi::sqlite3_get_autocommit(self.handle) != 0 }
    }

    /// Sets a switch by `sqlite3_db_config`, which unlike the PRAGMA works inside a transaction.
    pub(crate) fn set_switch(&self, switch: c_int, on: bool) {
        // SAFETY: open connection; these switches take an int and an optional out pointer.
        unsafe {
            ffi::sqlite3_db_config(
                self.handle,
                switch,
                c_int::from(on),
                std::ptr::null_mut::<c_int>(),
            );
        }
    }

    /// Whether a foreign key is violated now, deferred ones included.
    pub(crate) fn has_unresolved_foreign_keys(&self) -> bool {
        let (mut current, mut highest) = (0, 0);
        // SAFETY: open connection, valid out pointers.
        unsafe {
            ffi::sqlite3_db_status(
                self.handle,
                ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
                &mut current,
                &mut highest,
                0,
            );
        }
        current != 0
    }

    pub(crate) fn last_insert_rowid(&self) -> i64 {
        // SAFETY: open connection.
        unsafe { ffi::sqlite3_last_insert_rowid(self.handle) }
    }

    pub(crate) fn set_last_insert_rowid(&self, rowid: i64) {
        // SAFETY: open connection.
        unsafe { ffi::sqlite3_set_last_insert_rowid(self.handle, rowid) };
    }

    /// Rows changed by the last INSERT, UPDATE or DELETE, ours included.
    pub(crate) fn changes(&self) -> i64 {
        // SAFETY: open connection.
        unsafe { ffi::sqlite3_changes64(self.handle) }
    }

    pub(crate) fn total_changes(&self) -> i64 {
        // SAFETY: open connection.
        unsafe { ffi::sqlite3_total_changes64(self.handle) }
    }

    /// Registers a function without arguments whose context outlives the connection.
    ///
    /// # Safety
    /// `context` stays valid until the connection is closed.
    pub(crate) unsafe fn register(
        &self,
        name: &std::ffi::CStr,
        context: *mut c_void,
        function: unsafe extern "C" fn(*mut ffi::sqlite3_context, c_int, *mut *mut ffi::sqlite3_value),
    ) -> Result<(), SqliteError> {
        // SAFETY: per contract.
        unsafe {
            let code = ffi::sqlite3_create_function_v2(
                self.handle,
                name.as_ptr(),
                0,
                ffi::SQLITE_UTF8 | ffi::SQLITE_INNOCUOUS,
                context,
                Some(function),
                None,
                None,
                None,
            );
            if code == ffi::SQLITE_OK {
                Ok(())
            } else {
                Err(SqliteError::last(self.handle, code))
            }
        }
    }
}
