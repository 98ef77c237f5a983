//! Time and chance as a client's statement is given them ([`Environment`]): the same however often it is executed.
//!
//! While a statement takes a step, its thread has them here. From here answer: `now`, CURRENT_TIMESTAMP and all else that
//! SQLite asks its VFS for ([`crate::vfs::checked`]); `random()` and `randomblob()`, which take the places of SQLite's;
//! `statement_epoch()`. SQLite's own draws (a rowid when the largest is taken) are not from here, nor what is ours.

use std::cell::RefCell;
use std::ffi::{CStr, c_int};

use bellwether_types::Environment;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use rusqlite::{Connection, ffi};

/// A statement's, while it runs: what was drawn already is not drawn again.
pub(crate) struct Running {
    environment: Environment,
    /// From the first draw on.
    chance: Option<Box<ChaCha20Rng>>,
    /// Of where it ran first, if that matters.
    sqlite_version: Option<Box<str>>,
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

impl Running {
    pub(crate) fn new(environment: Environment) -> Running {
        Running {
            environment,
            chance: None,
            sqlite_version: None,
        }
    }

    pub(crate) fn set_sqlite_version(&mut self, version: &str) {
        self.sqlite_version = Some(version.into());
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        let seed = self.environment.seed;
        let chance = self
            .chance
            .get_or_insert_with(|| Box::new(ChaCha20Rng::from_seed(seed)));
        chance.fill_bytes(bytes);
    }
}

/// A step of a statement's with its own, in place of that of the statement within which it runs.
pub(crate) fn step<T>(running: &mut Option<Running>, step: impl FnOnce() -> T) -> T {
    if running.is_none() {
        return step();
    }
    let outer = RUNNING.replace(running.take());
    let result = step();
    *running = RUNNING.replace(outer);
    result
}

/// SQL's `now`, in ms since 1970, for the statement that runs in this thread.
pub(crate) fn now_ms() -> Option<i64> {
    RUNNING.with_borrow(|running| running.as_ref().map(|running| running.environment.transaction_ms))
}

/// Random bytes: the running statement's, else as SQLite draws them.
fn fill(bytes: &mut [u8]) {
    RUNNING.with_borrow_mut(|running| match running {
        Some(running) => running.fill(bytes),
        // SAFETY: a buffer of that length; a length below 2^30, as `randomblob` has it.
        None => unsafe { ffi::sqlite3_randomness(bytes.len() as c_int, bytes.as_mut_ptr().cast()) },
    });
}

type Callback = unsafe extern "C" fn(*mut ffi::sqlite3_context, c_int, *mut *mut ffi::sqlite3_value);

const FUNCTIONS: [(&CStr, c_int, Callback); 4] = [
    (c"sqlite_version", 0, sqlite_version),
    (c"random", 0, random),
    (c"randomblob", 1, randomblob),
    (c"statement_epoch", 0, statement_epoch),
];

/// The functions, for a connection that runs clients' statements, or the expressions of their tables.
pub(crate) fn register(connection: &Connection) -> rusqlite::Result<()> {
    for (name, arguments, callback) in FUNCTIONS {
        // SAFETY: an open connection, a static name, a callback of SQLite's type without a context.
        let code = unsafe {
            ffi::sqlite3_create_function_v2(
                connection.handle(),
                name.as_ptr(),
                arguments,
                ffi::SQLITE_UTF8 | ffi::SQLITE_INNOCUOUS,
                std::ptr::null_mut(),
                Some(callback),
                None,
                None,
                None,
            )
        };
        if code != ffi::SQLITE_OK {
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        }
    }
    Ok(())
}

/// As SQLite's (lang_corefunc.html#random): any integer but the least, so that `abs(random())` never fails.
unsafe extern "C" fn random(context: *mut ffi::sqlite3_context, _: c_int, _: *mut *mut ffi::sqlite3_value) {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    let drawn = i64::from_ne_bytes(bytes);
    let drawn = if drawn < 0 { -(drawn & i64::MAX) } else { drawn };
    // SAFETY: SQLite's own context.
    unsafe { ffi::sqlite3_result_int64(context, drawn) };
}

/// As SQLite's: at least one byte.
unsafe extern "C" fn randomblob(
    context: *mut ffi::sqlite3_context,
    _: c_int,
    values: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: SQLite hands in one value, and its own context; the blob is copied.
    unsafe {
        let wanted = ffi::sqlite3_value_int64(*values).max(1);
        let database = ffi::sqlite3_context_db_handle(context);
        let limit = ffi::sqlite3_limit(database, ffi::SQLITE_LIMIT_LENGTH, -1);
        if wanted > i64::from(limit) {
            return ffi::sqlite3_result_error_toobig(context);
        }
        let mut bytes = vec![0; wanted as usize];
        fill(&mut bytes);
        ffi::sqlite3_result_blob64(
            context,
            bytes.as_ptr().cast(),
            bytes.len() as u64,
            ffi::SQLITE_TRANSIENT(),
        );
    }
}

/// As SQLite's, unless the statement ran under another version first.
unsafe extern "C" fn sqlite_version(
    context: *mut ffi::sqlite3_context,
    _: c_int,
    _: *mut *mut ffi::sqlite3_value,
) {
    let known = RUNNING.with_borrow(|running| {
        running
            .as_ref()
            .and_then(|running| running.sqlite_version.clone())
    });
    let version = known.as_deref().unwrap_or_else(|| rusqlite::version());
    let len = c_int::try_from(version.len()).unwrap_or(c_int::MAX);
    // SAFETY: SQLite's own context; the text is copied.
    unsafe {
        ffi::sqlite3_result_text(context, version.as_ptr().cast(), len, ffi::SQLITE_TRANSIENT());
    }
}

/// Seconds since 1970 when the client's statement arrived; NULL within what is no client's.
unsafe extern "C" fn statement_epoch(
    context: *mut ffi::sqlite3_context,
    _: c_int,
    _: *mut *mut ffi::sqlite3_value,
) {
    let now = RUNNING.with_borrow(|running| running.as_ref().map(|running| running.environment.statement_ms));
    // SAFETY: SQLite's own context.
    unsafe {
        match now {
            Some(ms) => ffi::sqlite3_result_double(context, ms as f64 / 1000.0),
            None => ffi::sqlite3_result_null(context),
        }
    }
}
