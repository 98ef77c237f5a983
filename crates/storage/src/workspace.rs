//! A private copy of a reader's snapshot, in which statements write and nobody sees it: the first phase of optimistic
//! concurrency control (Kung and Robinson, "On Optimistic Methods for Concurrency Control", ACM TODS 6(2), 1981, §2).
//!
//! It is a connection of its own to a file that is none: pages come from the reader's snapshot, changed ones stay in
//! the connection's cache, and its transaction is always rolled back. So it needs no lock, no log and no disk, and
//! cannot disturb the write connection. What does not fit its bounds it does not do: the writer is there for that.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bellwether_types::{CommandTag, Facts, SqlError, Statement, StatementResult, Value, ValueRef};
use rusqlite::ffi;

use crate::authorizer::OwnScope;
use crate::database::Database;
use crate::error::SqliteError;
use crate::files::{ConnectionRole, Files, OpenError};
use crate::kind::StatementKind;
use crate::pages::PAGE_BYTES;
use crate::session::SessionState;
use crate::statement::Prepared;
use crate::vfs::workspace::PageSource;
use crate::writer::open_error;

/// Steps of SQLite's virtual machine after which a statement is given up: between one and two times so many. It runs
/// again at COMMIT, so a long one had better run once; a statement by key takes some dozens.
const STEPS_MAX: i32 = 20_000;

/// An answer with more than this is given up.
const ROWS_MAX: usize = 256;
const ROWS_BYTES_MAX: usize = 64 << 10;

/// Distinguishes the names of files that are none.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// See the module. Used by whoever has its reader, under that one's gate.
pub(crate) struct Workspace {
    // Statements are dropped before the connection that compiled them.
    begin: Prepared,
    rollback: Prepared,
    database: Arc<Database>,
    snapshot: Arc<Snapshot>,
    /// Calls of the progress handler since a statement began.
    looks: Arc<AtomicU32>,
    foreign_keys: Option<bool>,
    recursive_triggers: bool,
    /// A transaction is open, and nothing was given up in it.
    is_open: bool,
}

/// The reader's pages.
struct Snapshot {
    pages: Mutex<Pages>,
}

struct Pages {
    /// Of the reader's connection.
    fetch: Prepared,
    /// As its file shows it: see `dress`.
    first: Box<[u8; PAGE_BYTES]>,
    /// How often it was read.
    generation: u32,
}

impl Workspace {
    /// Over the snapshot that the reader's connection has.
    pub(crate) fn open(files: &Files, reader: &Database) -> Result<Workspace, OpenError> {
        let sqlite = |error| open_error(files, error);
        let mut pages = Pages {
            fetch: Prepared::internal(reader, "SELECT data FROM sqlite_dbpage WHERE pgno = ?1")
                .map_err(sqlite)?,
            first: Box::new([0; PAGE_BYTES]),
            generation: 0,
        };
        pages.renew().map_err(sqlite)?;
        let snapshot = Arc::new(Snapshot {
            pages: Mutex::new(pages),
        });
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let connection = files.connect_workspace(number, Arc::clone(&snapshot) as Arc<dyn PageSource>)?;
        let database =
            Database::new(connection, &files.extended, ConnectionRole::Workspace).map_err(sqlite)?;
        let looks = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&looks);
        database.interrupt_if(STEPS_MAX, move || counted.fetch_add(1, Ordering::Relaxed) > 0);
        Ok(Workspace {
            begin: Prepared::internal(&database, "BEGIN").map_err(sqlite)?,
            rollback: Prepared::internal(&database, "ROLLBACK").map_err(sqlite)?,
            database,
            snapshot,
            looks,
            foreign_keys: None,
            recursive_triggers: false,
            is_open: false,
        })
    }

    /// A new transaction over the snapshot that the reader has now.
    pub(crate) fn begin(&mut self, session: &SessionState, facts: &Arc<Facts>) -> Result<(), SqliteError> {
        self.end();
        self.snapshot.pages().renew()?;
        self.begin.run()?;
        let database = &self.database;
        database.set_last_insert_rowid(session.last_insert_rowid);
        database
            .counters()
            .begin(database, session.changes, session.total_changes);
        if self.foreign_keys.replace(session.foreign_keys) != Some(session.foreign_keys) {
            database.set_switch(ffi::SQLITE_DBCONFIG_ENABLE_FKEY, session.foreign_keys);
        }
        if std::mem::replace(&mut self.recursive_triggers, session.recursive_triggers)
            != session.recursive_triggers
        {
            let on = u8::from(session.recursive_triggers);
            database.execute(&format!("PRAGMA recursive_triggers = {on}"))?;
        }
        database.set_facts(facts);
        self.is_open = true;
        Ok(())
    }

    /// Forgets everything.
    pub(crate) fn end(&mut self) {
        self.is_open = false;
        if !self.database.is_autocommit() {
            // What is in the cache is not used again: the next transaction sees another version of the file.
            let _ = self.rollback.run();
        }
    }

    /// `None`: it was not done and can not be, nor anything after it.
    pub(crate) fn run(&mut self, statement: &Statement) -> Option<StatementResult> {
        if !self.is_open {
            return None;
        }
        // Whatever is wrong, the writer meets it too, and tells what it is.
        let result = self.try_run(statement).unwrap_or(None);
        if result.is_none() {
            self.end();
        }
        result
    }

    fn try_run(&mut self, statement: &Statement) -> Result<Option<StatementResult>, SqlError> {
        let database = &self.database;
        let mut prepared = database.client_statement(&statement.sql)?;
        let fits = match prepared.kind() {
            StatementKind::Query => prepared.is_read_only() && !prepared.is_explain(),
            StatementKind::Write => prepared.column_count() == 0,
            _ => false,
        };
        if !fits {
            database.give_back(prepared);
            return Ok(None);
        }
        // SAFETY: the parameters live until `give_back` has forgotten them, or the statement is finalised.
        unsafe { prepared.bind_client(statement, true)? };
        database.begin_statement();
        self.looks.store(0, Ordering::Relaxed);
        // What a trigger tells is told when it runs for good. A query that tells is a write, which answers rows.
        database.take_notified(prepared.kind() == StatementKind::Write);
        let rows = collect(&mut prepared);
        database.take_notified(false);
        let rows = rows?;
        prepared.reset();
        let result = rows.map(|rows| {
            let tag = match prepared.kind() {
                StatementKind::Write => {
                    database.counters().changed();
                    CommandTag::counted(prepared.verb(), u64::try_from(database.changes()).unwrap_or(0))
                }
                _ => CommandTag::counted("SELECT", rows.len() as u64),
            };
            StatementResult {
                columns: prepared.columns().to_vec(),
                rows,
                tag,
            }
        });
        database.give_back(prepared);
        Ok(result)
    }
}

/// `None`: there are too many.
fn collect(prepared: &mut Prepared) -> Result<Option<Vec<Vec<Value>>>, SqlError> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    while prepared.step_client()? {
        let row: Vec<Value> = (0..prepared.column_count())
            .map(|column| prepared.value(column).to_value())
            .collect::<Result<_, _>>()?;
        bytes += row.iter().map(Value::size_bytes).sum::<usize>();
        if rows.len() >= ROWS_MAX || bytes > ROWS_BYTES_MAX {
            return Ok(None);
        }
        rows.push(row);
    }
    Ok(Some(rows))
}

impl Snapshot {
    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PageSource for Snapshot {
    /// As its header says, which SQLite keeps true (sqlite.org/fileformat2.html §1.3.7).
    fn count(&self) -> u32 {
        let pages = self.pages();
        u32::from_be_bytes(*pages.first[28..].first_chunk().expect("a page is longer"))
    }

    fn read(&self, number: u32, take: &mut dyn FnMut(&[u8])) -> c_int {
        let mut pages = self.pages();
        if number == 1 {
            take(&pages.first[..]);
            return ffi::SQLITE_OK;
        }
        match pages.fetch(number, take) {
            Ok(()) => ffi::SQLITE_OK,
            Err(_) => ffi::SQLITE_IOERR_READ,
        }
    }
}

impl Pages {
    fn fetch(&mut self, number: u32, take: &mut dyn FnMut(&[u8])) -> Result<(), SqliteError> {
        // A client's statement may be what wants the page.
        let _scope = OwnScope::enter();
        self.fetch.bind(1, ValueRef::Integer(i64::from(number)))?;
        let found = self.fetch.step().map(|_| match self.fetch.value(0) {
            ValueRef::Blob(page) if page.len() == PAGE_BYTES => {
                take(page);
                true
            }
            _ => false,
        });
        self.fetch.reset();
        match found {
            Ok(true) => Ok(()),
            Ok(false) => Err(SqliteError {
                code: ffi::SQLITE_CORRUPT,
                message: format!("page {number} is missing"),
                offset: None,
            }),
            Err(error) => Err(error),
        }
    }

    /// Reads the first page anew.
    fn renew(&mut self) -> Result<(), SqliteError> {
        let mut first = [0; PAGE_BYTES];
        self.fetch(1, &mut |page| first.copy_from_slice(page))?;
        self.generation = self.generation.wrapping_add(1);
        dress(&mut first, self.generation);
        *self.first = first;
        Ok(())
    }
}

/// The first page of a file that is not in WAL mode, and that has changed since it was seen last: SQLite compares the
/// change counter (sqlite.org/fileformat2.html §1.3.3, §1.3.6), which in WAL mode it does not keep.
fn dress(first: &mut [u8; PAGE_BYTES], generation: u32) {
    first[18..20].fill(1);
    for place in [24, 92] {
        first[place..place + 4].copy_from_slice(&generation.to_be_bytes());
    }
}
