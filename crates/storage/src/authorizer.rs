//! What clients' statements may touch: SQLite asks here, while it compiles a statement, about each thing that the
//! statement would do.
//!
//! Promises: a client reaches nothing outside its database and none of our own tables, and changes nothing that
//! capture would not see. Does not know roles: who may do what is another room's question.
//!
//! Statements are compiled and compiled anew (after a schema change) in the thread that uses the connection, so
//! what is asked about is told by a thread-local: our own statements are not asked about. Neither are ANALYZE and
//! REINDEX, which go over every table, ours included, and answer nothing.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};

use bellwether_types::{ErrorKind, SqlError};
use rusqlite::ffi;

use crate::files::MAIN_NAMESPACE;
use crate::kind::StatementKind;

/// Names that begin so are ours.
pub(crate) const INTERNAL_PREFIX: &str = "_bellwether_";

/// SQL functions that reach files or memory. Absent from this build; refused in case a build has them.
const FORBIDDEN_FUNCTIONS: [&str; 6] = [
    "load_extension",
    "fts3_tokenizer",
    "readfile",
    "writefile",
    "edit",
    "sqlite_dbdata",
];

/// Virtual tables over raw pages: they would show our tables, and one of them writes.
const FORBIDDEN_TABLES: [&str; 2] = ["sqlite_dbpage", "dbstat"];

/// Virtual tables whose content is in shadow tables, which are captured like any other.
const MODULES: [&str; 7] = [
    "fts3",
    "fts4",
    "fts4aux",
    "fts5",
    "fts5vocab",
    "rtree",
    "rtree_i32",
];

/// PRAGMAs that only tell, with or without an argument.
const TELLING_PRAGMAS: [&str; 17] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "foreign_key_check",
    "integrity_check",
    "quick_check",
    "compile_options",
    "function_list",
    "collation_list",
    "module_list",
    "pragma_list",
    "database_list",
    "data_version",
];

/// PRAGMAs that tell without an argument, and would set something with one.
const READABLE_PRAGMAS: [&str; 12] = [
    "encoding",
    "page_size",
    "page_count",
    "freelist_count",
    "max_page_count",
    "auto_vacuum",
    "schema_version",
    "journal_mode",
    "synchronous",
    "query_only",
    "busy_timeout",
    "cache_size",
];

/// PRAGMAs that clients may set: of the session, or of the database (then captured as schema statements).
const SETTABLE_PRAGMAS: [&str; 7] = [
    "foreign_keys",
    "defer_foreign_keys",
    "recursive_triggers",
    "user_version",
    "application_id",
    "bellwether_log_format",
    "bellwether_slot",
];

thread_local! {
    /// Of the client's statement being compiled or run in this thread; `None`: our own.
    static ASKED: Cell<Option<StatementKind>> = const { Cell::new(None) };
    static DENIAL: RefCell<Option<SqlError>> = const { RefCell::new(None) };
}

/// While it lives, statements compiled in this thread are a client's.
pub(crate) struct ClientScope {
    before: Option<StatementKind>,
}

impl ClientScope {
    pub(crate) fn enter(kind: StatementKind) -> ClientScope {
        DENIAL.take();
        ClientScope {
            before: ASKED.replace(Some(kind)),
        }
    }
}

impl Drop for ClientScope {
    fn drop(&mut self) {
        ASKED.set(self.before);
    }
}

/// While it lives, statements compiled in this thread are our own: those that a client's statement makes us run.
pub(crate) struct OwnScope {
    before: Option<StatementKind>,
}

impl OwnScope {
    pub(crate) fn enter() -> OwnScope {
        OwnScope {
            before: ASKED.replace(None),
        }
    }
}

impl Drop for OwnScope {
    fn drop(&mut self) {
        ASKED.set(self.before);
    }
}

/// Whether the statement in this thread is a client's.
pub(crate) fn is_clients() -> bool {
    ASKED.get().is_some()
}

/// A function that the client's statement calls fails with more than words.
pub(crate) fn fail(error: SqlError) {
    if ASKED.get().is_some() {
        DENIAL.set(Some(error));
    }
}

/// Why the client's statement in this thread was refused, if that is why it failed.
pub(crate) fn take_denial() -> Option<SqlError> {
    DENIAL.take()
}

/// # Safety
/// `db` is open, and used by one thread at a time.
pub(crate) unsafe fn install(db: *mut ffi::sqlite3) {
    // SAFETY: per contract; the callback needs no context.
    unsafe { ffi::sqlite3_set_authorizer(db, Some(authorize), std::ptr::null_mut()) };
}

unsafe extern "C" fn authorize(
    _context: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    database: *const c_char,
    _trigger: *const c_char,
) -> c_int {
    let Some(kind) = ASKED.get() else {
        return ffi::SQLITE_OK;
    };
    let text = |pointer: *const c_char| {
        if pointer.is_null() {
            return None;
        }
        // SAFETY: SQLite hands in NUL-terminated strings that live during the call.
        Some(unsafe { CStr::from_ptr(pointer) }.to_str().unwrap_or_default())
    };
    match check(kind, action, text(first), text(second), text(database)) {
        Ok(()) => ffi::SQLITE_OK,
        Err(denial) => {
            DENIAL.set(Some(denial));
            ffi::SQLITE_DENY
        }
    }
}

fn check(
    kind: StatementKind,
    action: c_int,
    first: Option<&str>,
    second: Option<&str>,
    database: Option<&str>,
) -> Result<(), SqlError> {
    let name = first.unwrap_or_default();
    match action {
        ffi::SQLITE_READ => check_table(name),
        ffi::SQLITE_INSERT | ffi::SQLITE_UPDATE | ffi::SQLITE_DELETE => {
            if kind == StatementKind::Write && name.starts_with("sqlite_stat") {
                return Err(forbidden(format!("table \"{name}\" is written by ANALYZE only")));
            }
            // ALTER TABLE looks at the temporary schema, too.
            if database != Some("temp") {
                check_database(database)?;
            }
            check_table(name)
        }
        ffi::SQLITE_CREATE_TEMP_INDEX
        | ffi::SQLITE_CREATE_TEMP_TABLE
        | ffi::SQLITE_CREATE_TEMP_TRIGGER
        | ffi::SQLITE_CREATE_TEMP_VIEW => Err(temporary()),
        ffi::SQLITE_CREATE_TABLE
        | ffi::SQLITE_CREATE_VIEW
        | ffi::SQLITE_DROP_TABLE
        | ffi::SQLITE_DROP_VIEW
        | ffi::SQLITE_REINDEX
        | ffi::SQLITE_DROP_VTABLE
        | ffi::SQLITE_ANALYZE => check_database(database).and_then(|()| check_table(name)),
        ffi::SQLITE_CREATE_INDEX
        | ffi::SQLITE_CREATE_TRIGGER
        | ffi::SQLITE_DROP_INDEX
        | ffi::SQLITE_DROP_TRIGGER => {
            check_database(database)?;
            check_table(name)?;
            check_table(second.unwrap_or_default())
        }
        // The database's name comes first here.
        ffi::SQLITE_ALTER_TABLE => {
            check_database(first).and_then(|()| check_table(second.unwrap_or_default()))
        }
        ffi::SQLITE_CREATE_VTABLE => {
            check_database(database)?;
            check_table(name)?;
            check_module(second.unwrap_or_default())
        }
        ffi::SQLITE_FUNCTION => check_function(second.unwrap_or_default()),
        ffi::SQLITE_PRAGMA => check_temporary(database).and_then(|()| check_pragma(name, second)),
        ffi::SQLITE_ATTACH | ffi::SQLITE_DETACH => {
            Err(forbidden("ATTACH and DETACH reach outside the database"))
        }
        _ => Ok(()),
    }
}

fn forbidden(message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::Forbidden, message)
}

fn temporary() -> SqlError {
    SqlError::new(ErrorKind::NotSupported, "temporary objects are not supported")
        .with_hint("Use a common table expression (WITH), or an ordinary table.")
}

fn check_temporary(database: Option<&str>) -> Result<(), SqlError> {
    match database {
        Some("temp") => Err(temporary()),
        _ => Ok(()),
    }
}

/// Only the database itself is changed.
fn check_database(database: Option<&str>) -> Result<(), SqlError> {
    match database {
        None | Some("main" | MAIN_NAMESPACE) => Ok(()),
        Some("temp") => Err(temporary()),
        Some(other) => Err(forbidden(format!("permission denied for schema {other}"))
            .with_detail("System catalog modifications are not allowed.")),
    }
}

/// Also for names that clients give: a table of theirs must not look like one of ours.
pub(crate) fn check_table(name: &str) -> Result<(), SqlError> {
    let starts = name.get(..INTERNAL_PREFIX.len());
    let internal = starts.is_some_and(|start| start.eq_ignore_ascii_case(INTERNAL_PREFIX));
    if internal
        || FORBIDDEN_TABLES
            .iter()
            .any(|table| name.eq_ignore_ascii_case(table))
    {
        return Err(forbidden(format!("permission denied for table {name}")));
    }
    Ok(())
}

fn check_module(module: &str) -> Result<(), SqlError> {
    if MODULES.iter().any(|known| module.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(SqlError::new(
        ErrorKind::NotSupported,
        format!("virtual table module \"{module}\" is not supported"),
    )
    .with_hint("Only modules that keep their content in tables are: fts5, fts4, fts3, rtree."))
}

fn check_function(name: &str) -> Result<(), SqlError> {
    if FORBIDDEN_FUNCTIONS
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
    {
        return Err(forbidden(format!("function {name} is not allowed")));
    }
    Ok(())
}

fn check_pragma(name: &str, argument: Option<&str>) -> Result<(), SqlError> {
    let is_in = |list: &[&str]| list.iter().any(|known| name.eq_ignore_ascii_case(known));
    if is_in(&TELLING_PRAGMAS) || is_in(&SETTABLE_PRAGMAS) || (is_in(&READABLE_PRAGMAS) && argument.is_none())
    {
        return Ok(());
    }
    if is_in(&READABLE_PRAGMAS) {
        return Err(
            forbidden(format!("PRAGMA {name} cannot be set")).with_hint("Each replica sets it for itself.")
        );
    }
    if name.eq_ignore_ascii_case("optimize") {
        return Err(
            SqlError::new(ErrorKind::NotSupported, "PRAGMA optimize is not supported")
                .with_hint("Use ANALYZE."),
        );
    }
    Err(SqlError::new(
        ErrorKind::NotSupported,
        format!("PRAGMA {name} is not supported"),
    ))
}
