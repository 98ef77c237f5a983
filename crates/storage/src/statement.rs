//! A prepared statement of SQLite's, raw but owned, and the cache of them that each connection keeps.
//!
//! Promises: `$n`, `?n` and `?` bind by their number; columns are looked up again when SQLite compiled the
//! statement anew. Does not lock: whoever uses a [`Prepared`] holds its connection's gate.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use bellwether_types::lexer::{self, TokenKind};
use bellwether_types::{Column, Environment, ErrorKind, Fingerprint, SqlError, Statement, ValueRef};
use rusqlite::ffi;

use crate::authorizer::ClientScope;
use crate::catalog::Catalog;
use crate::database::Database;
use crate::environment::{self, Running};
use crate::error::SqliteError;
use crate::kind::{self, StatementKind};
use crate::safety::{self, Verdict};

/// Statements that a connection keeps compiled. A pool's clients share few distinct texts; each costs some 5 KiB.
const CACHED_STATEMENTS_MAX: usize = 256;

/// What an error repeats of a parameter's name, in characters: PostgreSQL's longest identifier.
const NAME_CHARS_MAX: usize = 63;

/// A compiled statement. Must be dropped before its connection is closed.
pub(crate) struct Prepared {
    raw: NonNull<ffi::sqlite3_stmt>,
    text: Arc<str>,
    /// As PostgreSQL's command tag names it; empty for our own.
    verb: Box<str>,
    kind: StatementKind,
    /// By SQLite's parameter index less one: the number that the client knows it by.
    numbers: Box<[u32]>,
    columns: Option<(Arc<[Column]>, c_int)>,
    /// Of the execution under way.
    running: Option<Running>,
    /// Whether it does the same everywhere, for the schema and the switches that this was asked for.
    judged: Option<((Fingerprint, Switches), Arc<Verdict>)>,
}

/// PRAGMA foreign_keys, PRAGMA recursive_triggers.
pub(crate) type Switches = (bool, bool);

// SAFETY: SQLite's statements may be used by any thread, one at a time (the gate of their connection).
unsafe impl Send for Prepared {}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: ours, and its connection is still open.
        unsafe { ffi::sqlite3_finalize(self.raw.as_ptr()) };
    }
}

impl Prepared {
    /// Of our own: not asked about by the authorizer, parameters by place.
    pub(crate) fn internal(database: &Database, sql: &str) -> Result<Prepared, SqliteError> {
        Prepared::on(database.handle(), sql)
    }

    /// As `internal`, within a statement that runs: its thread has the connection.
    pub(crate) fn on(handle: *mut ffi::sqlite3, sql: &str) -> Result<Prepared, SqliteError> {
        let raw = prepare(handle, sql)?;
        Ok(Prepared {
            raw,
            text: sql.into(),
            verb: "".into(),
            kind: StatementKind::Query,
            numbers: Box::default(),
            columns: None,
            running: None,
            judged: None,
        })
    }

    /// Of a client's.
    pub(crate) fn client(database: &Database, sql: &str) -> Result<Prepared, SqlError> {
        let (verb, kind) = kind::classify(sql)?;
        if kind == StatementKind::SessionPragma {
            return Err(SqlError::new(
                ErrorKind::Internal,
                "a session's switch is not a statement",
            ));
        }
        let _scope = scope(&verb, kind);
        let raw = prepare(database.handle(), sql).map_err(|error| error.into_sql_error(sql))?;
        let mut prepared = Prepared {
            raw,
            text: sql.into(),
            verb: verb.into(),
            kind,
            numbers: Box::default(),
            columns: None,
            running: None,
            judged: None,
        };
        prepared.numbers = prepared.parameter_numbers()?;
        Ok(prepared)
    }

    fn parameter_numbers(&self) -> Result<Box<[u32]>, SqlError> {
        // SAFETY: a live statement; names live as long as it does.
        let count = unsafe { ffi::sqlite3_bind_parameter_count(self.raw.as_ptr()) };
        let mut numbers = Vec::new();
        for index in 1..=count {
            // SAFETY: as above.
            let name = unsafe { ffi::sqlite3_bind_parameter_name(self.raw.as_ptr(), index) };
            let number = if name.is_null() {
                // A bare `?`, or a number that `?n` leaves out.
                index.unsigned_abs()
            } else {
                // SAFETY: NUL-terminated, lives with the statement.
                let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
                name.strip_prefix(['$', '?'])
                    .and_then(|digits| digits.parse().ok())
                    .filter(|number| (1..=u32::from(u16::MAX)).contains(number))
                    .ok_or_else(|| {
                        SqlError::new(
                            ErrorKind::NotSupported,
                            format!("parameter {name:.NAME_CHARS_MAX$} is not supported"),
                        )
                        .with_hint("Number the parameters: $1, $2.")
                    })?
            };
            numbers.push(number);
        }
        Ok(numbers.into())
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn verb(&self) -> &str {
        &self.verb
    }

    pub(crate) fn kind(&self) -> StatementKind {
        self.kind
    }

    /// By SQLite's index; the numbers that clients bind.
    pub(crate) fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// Whether running it writes nothing. To explain a write is to read.
    pub(crate) fn is_read_only(&self) -> bool {
        // SAFETY: a live statement.
        self.is_explain() || unsafe { ffi::sqlite3_stmt_readonly(self.raw.as_ptr()) != 0 }
    }

    pub(crate) fn is_explain(&self) -> bool {
        // SAFETY: a live statement.
        unsafe { ffi::sqlite3_stmt_isexplain(self.raw.as_ptr()) != 0 }
    }

    /// Binds by place, from 1. The bytes are copied.
    pub(crate) fn bind(&mut self, index: usize, value: ValueRef<'_>) -> Result<(), SqliteError> {
        // SAFETY: SQLite copies the bytes before the call returns.
        unsafe { self.bind_with(index, value, ffi::SQLITE_TRANSIENT()) }
    }

    /// Binds by place, from 1, without copying.
    ///
    /// # Safety
    /// The bytes of `value` live until the statement is bound anew, cleared or finalised.
    pub(crate) unsafe fn bind_borrowed(
        &mut self,
        index: usize,
        value: ValueRef<'_>,
    ) -> Result<(), SqliteError> {
        // SAFETY: per contract.
        unsafe { self.bind_with(index, value, ffi::SQLITE_STATIC()) }
    }

    unsafe fn bind_with(
        &mut self,
        index: usize,
        value: ValueRef<'_>,
        destructor: ffi::sqlite3_destructor_type,
    ) -> Result<(), SqliteError> {
        let raw = self.raw.as_ptr();
        let index = c_int::try_from(index).unwrap_or(c_int::MAX);
        // SAFETY: pointers and lengths come from slices; an empty slice's pointer is not null.
        let code = unsafe {
            match value {
                ValueRef::Null => ffi::sqlite3_bind_null(raw, index),
                ValueRef::Integer(value) => ffi::sqlite3_bind_int64(raw, index, value),
                ValueRef::Real(value) => ffi::sqlite3_bind_double(raw, index, value),
                ValueRef::Text(value) => ffi::sqlite3_bind_text64(
                    raw,
                    index,
                    value.as_ptr().cast::<c_char>(),
                    value.len() as u64,
                    destructor,
                    ffi::SQLITE_UTF8 as u8,
                ),
                ValueRef::Blob(value) => ffi::sqlite3_bind_blob64(
                    raw,
                    index,
                    value.as_ptr().cast(),
                    value.len() as u64,
                    destructor,
                ),
            }
        };
        self.check(code)
    }

    /// Binds a client's parameters, by number, and its environment.
    ///
    /// # Safety
    /// With `borrowed`: as [`Prepared::bind_borrowed`].
    pub(crate) unsafe fn bind_client(
        &mut self,
        statement: &Statement,
        borrowed: bool,
    ) -> Result<(), SqlError> {
        self.running = statement.environment.map(Running::new);
        let parameters = &statement.parameters;
        let highest = self.numbers.iter().copied().max().unwrap_or(0) as usize;
        if parameters.len() != highest {
            return Err(SqlError::new(
                ErrorKind::WrongParameterCount,
                format!(
                    "the statement has {highest} parameters, {} were given",
                    parameters.len()
                ),
            ));
        }
        for place in 0..self.numbers.len() {
            let value = parameters[self.numbers[place] as usize - 1].as_ref();
            // SAFETY: per contract.
            let bound = unsafe {
                if borrowed {
                    self.bind_borrowed(place + 1, value)
                } else {
                    self.bind(place + 1, value)
                }
            };
            bound.map_err(|error| error.into_sql_error(""))?;
        }
        Ok(())
    }

    /// In place of the one that it was bound with, or was not.
    pub(crate) fn set_environment(&mut self, environment: Environment) {
        self.running = Some(Running::new(environment));
    }

    /// What `sqlite_version()` answers in it; `None`: the version that runs.
    pub(crate) fn set_sqlite_version(&mut self, version: Option<&str>) {
        if let (Some(running), Some(version)) = (&mut self.running, version) {
            running.set_sqlite_version(version);
        }
    }

    /// See [`safety::judge`]; asked once for a schema.
    pub(crate) fn judged(
        &mut self,
        database: &Database,
        catalog: &Catalog,
        switches: Switches,
    ) -> Result<Arc<Verdict>, SqliteError> {
        let of = (catalog.schema, switches);
        if let Some((known, verdict)) = &self.judged
            && *known == of
        {
            return Ok(Arc::clone(verdict));
        }
        let verdict = Arc::new(safety::judge(database, catalog, &self.text)?);
        self.judged = Some((of, Arc::clone(&verdict)));
        Ok(verdict)
    }

    /// To the next row; `false` at the end.
    pub(crate) fn step(&mut self) -> Result<bool, SqliteError> {
        // SAFETY: a live statement, used by one thread.
        let code = unsafe { ffi::sqlite3_step(self.raw.as_ptr()) };
        match code {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            code => self.check(code).map(|()| false),
        }
    }

    /// As [`Prepared::step`], should SQLite compile it anew: as a client's.
    pub(crate) fn step_client(&mut self) -> Result<bool, SqlError> {
        let stepped = self.step_replayed();
        stepped.map_err(|error| error.into_sql_error(&self.text))
    }

    /// As [`Prepared::step_client`], for a replica that runs what the leader ran.
    pub(crate) fn step_replayed(&mut self) -> Result<bool, SqliteError> {
        let _scope = scope(&self.verb, self.kind);
        let mut running = self.running.take();
        let result = environment::step(&mut running, || self.step());
        self.running = running;
        result
    }

    /// Runs to the end and makes ready for the next run. For our own statements.
    pub(crate) fn run(&mut self) -> Result<(), SqliteError> {
        let result = loop {
            match self.step() {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.reset();
        result
    }

    /// Ends the run; bindings stay.
    pub(crate) fn reset(&mut self) {
        // SAFETY: a live statement. The code answered is the last step's, reported there.
        unsafe { ffi::sqlite3_reset(self.raw.as_ptr()) };
    }

    /// Forgets bound values.
    pub(crate) fn clear(&mut self) {
        // SAFETY: a live statement.
        unsafe { ffi::sqlite3_clear_bindings(self.raw.as_ptr()) };
    }

    fn check(&self, code: c_int) -> Result<(), SqliteError> {
        if code == ffi::SQLITE_OK {
            return Ok(());
        }
        // SAFETY: a live statement's connection is open, and used by this thread.
        Err(unsafe { SqliteError::last(ffi::sqlite3_db_handle(self.raw.as_ptr()), code) })
    }

    pub(crate) fn column_count(&self) -> usize {
        // SAFETY: a live statement.
        usize::try_from(unsafe { ffi::sqlite3_column_count(self.raw.as_ptr()) }).unwrap_or(0)
    }

    /// The value in a column of the current row. Valid until the next step or reset.
    pub(crate) fn value(&self, column: usize) -> ValueRef<'_> {
        let raw = self.raw.as_ptr();
        let column = c_int::try_from(column).unwrap_or(c_int::MAX);
        // SAFETY: a live statement; SQLite answers NULL for columns out of range. Asked in this order, bytes
        // matches the pointer.
        unsafe {
            match ffi::sqlite3_column_type(raw, column) {
                ffi::SQLITE_INTEGER => ValueRef::Integer(ffi::sqlite3_column_int64(raw, column)),
                ffi::SQLITE_FLOAT => ValueRef::Real(ffi::sqlite3_column_double(raw, column)),
                ffi::SQLITE_TEXT => {
                    let text = ffi::sqlite3_column_text(raw, column);
                    ValueRef::Text(slice(text, ffi::sqlite3_column_bytes(raw, column)))
                }
                ffi::SQLITE_BLOB => {
                    let blob = ffi::sqlite3_column_blob(raw, column);
                    ValueRef::Blob(slice(blob.cast(), ffi::sqlite3_column_bytes(raw, column)))
                }
                _ => ValueRef::Null,
            }
        }
    }

    /// An integer column of our own statements; anything else reads as 0.
    pub(crate) fn integer(&self, column: usize) -> i64 {
        match self.value(column) {
            ValueRef::Integer(value) => value,
            _ => 0,
        }
    }

    /// A text column of our own statements; anything else, NULL too, is `None`.
    pub(crate) fn string(&self, column: usize) -> Option<&str> {
        self.value(column).as_str()
    }

    /// The address that SQLite answers for a column out of range: the same as for a column that a row lacks.
    pub(crate) fn missing_value(&self) -> *const ffi::sqlite3_value {
        // SAFETY: a live statement.
        unsafe { ffi::sqlite3_column_value(self.raw.as_ptr(), c_int::MAX) }
    }

    /// Names and declared types of the result.
    pub(crate) fn columns(&mut self) -> Arc<[Column]> {
        // SAFETY: a live statement; the counter is not reset.
        let compilations =
            unsafe { ffi::sqlite3_stmt_status(self.raw.as_ptr(), ffi::SQLITE_STMTSTATUS_REPREPARE, 0) };
        if let Some((columns, seen)) = &self.columns
            && *seen == compilations
        {
            return columns.clone();
        }
        let columns: Arc<[Column]> = (0..self.column_count())
            .map(|column| self.column(column))
            .collect();
        self.columns = Some((columns.clone(), compilations));
        columns
    }

    fn column(&self, column: usize) -> Column {
        let column = c_int::try_from(column).unwrap_or(c_int::MAX);
        let text = |pointer: *const c_char| {
            // SAFETY: NUL-terminated, lives until the next call about this column.
            (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
        };
        // SAFETY: a live statement.
        unsafe {
            Column {
                name: text(ffi::sqlite3_column_name(self.raw.as_ptr(), column)).unwrap_or_default(),
                declared_type: text(ffi::sqlite3_column_decltype(self.raw.as_ptr(), column)),
            }
        }
    }
}

/// What the authorizer is asked about.
fn scope(verb: &str, kind: StatementKind) -> Option<ClientScope> {
    (!matches!(verb, "ANALYZE" | "REINDEX")).then(|| ClientScope::enter(kind))
}

/// # Safety
/// `pointer` is null or points to `len` bytes that live for `'a`.
pub(crate) unsafe fn slice<'a>(pointer: *const u8, len: c_int) -> &'a [u8] {
    match usize::try_from(len) {
        // SAFETY: per contract.
        Ok(len) if len > 0 && !pointer.is_null() => unsafe { std::slice::from_raw_parts(pointer, len) },
        _ => &[],
    }
}

fn prepare(handle: *mut ffi::sqlite3, sql: &str) -> Result<NonNull<ffi::sqlite3_stmt>, SqliteError> {
    let mut raw = ptr::null_mut();
    let sql = if is_analyze_of_all(sql) {
        "ANALYZE main"
    } else {
        sql
    };
    let len = c_int::try_from(sql.len()).unwrap_or(c_int::MAX);
    // SAFETY: the connection is open; the text is handed over with its length.
    let code = unsafe {
        ffi::sqlite3_prepare_v3(
            handle,
            sql.as_ptr().cast(),
            len,
            ffi::SQLITE_PREPARE_PERSISTENT,
            &mut raw,
            ptr::null_mut(),
        )
    };
    if code != ffi::SQLITE_OK {
        // SAFETY: as above.
        return Err(unsafe { SqliteError::last(handle, code) });
    }
    NonNull::new(raw).ok_or_else(|| SqliteError {
        code: ffi::SQLITE_ERROR,
        message: "incomplete input".to_owned(),
        offset: None,
    })
}

/// ANALYZE alone is about every attached database, also those that hold only the catalog and cannot be written.
fn is_analyze_of_all(sql: &str) -> bool {
    let mut tokens = lexer::significant(sql);
    tokens.next().is_some_and(|first| first.is_word("ANALYZE"))
        && tokens.all(|token| token.kind == TokenKind::Semicolon)
}

/// Clients' statements that are not running, by text; the least recently used goes first.
#[derive(Default)]
pub(crate) struct StatementCache {
    statements: HashMap<Arc<str>, (Prepared, u64)>,
    uses: u64,
}

impl StatementCache {
    /// Takes it out: a statement runs for one user at a time.
    pub(crate) fn take(&mut self, sql: &str) -> Option<Prepared> {
        self.statements.remove(sql).map(|(prepared, _)| prepared)
    }

    /// Puts it back, reset.
    pub(crate) fn put(&mut self, mut prepared: Prepared) {
        prepared.reset();
        prepared.clear();
        self.uses += 1;
        if self.statements.len() >= CACHED_STATEMENTS_MAX {
            let oldest = self.statements.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(text) = oldest.map(|(text, _)| text.clone()) {
                self.statements.remove(&text);
            }
        }
        self.statements
            .insert(prepared.text.clone(), (prepared, self.uses));
    }
}
