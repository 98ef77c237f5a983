//! The one write connection of a replica: the leader executes groups with it (`group`), a follower applies
//! records with it (`apply`).
//!
//! Promises: what is committed in SQLite is what a committed record says, with its position, fingerprints and
//! requests in the same transaction. Turning from applying to leading, or back, opens a new connection: nothing that
//! one role left in SQLite's caches (FTS5 keeps its index's structure) reaches the other.

use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex};

use bellwether_types::replication::Slots;
use bellwether_types::{
    Facts, Fingerprint, LogFormat, Notification, Position, SessionId, TableId, Timestamp,
};
use rusqlite::ffi;

use crate::apply::Run;
use crate::apply::row::ApplyStatements;
use crate::capture::{Capture, Hook, Purpose, Sequences};
use crate::catalog::Catalog;
use crate::database::Database;
use crate::error::{SqliteError, StorageError};
use crate::files::{ConnectionRole, Files, OpenError};
use crate::fingerprint;
use crate::group::Group;
use crate::internal::{self, InternalStatements};
use crate::reader::InterruptHandle;
use crate::safety::SafetyCounts;
use crate::seal::SealedGroup;
use crate::slots;
use crate::statement::Prepared;

/// The write connection, and all that is known of the replica's committed state.
pub struct Writer {
    pub(crate) connection: WriteConnection,
    pub(crate) phase: Phase,
    pub(crate) position: Position,
    pub(crate) timestamp: Timestamp,
    /// Sessions that ended; told to the others with the next record.
    pub(crate) ended_sessions: Vec<SessionId>,
    /// Of the last record, until they are taken.
    pub(crate) notifications: Vec<Notification>,
    pub(crate) files: Files,
}

/// What the writer is in the middle of.
pub(crate) enum Phase {
    /// Nothing is open.
    Idle,
    /// Leader: transactions join.
    Group(Box<Group>),
    /// Leader: proposed, COMMIT waits.
    Sealed(SealedGroup),
    /// Follower: chunks were applied, their record is to come.
    Run(Run),
}

/// A connection with what is compiled on it.
pub(crate) struct WriteConnection {
    /// Dropped while the gate is held: a cursor may be stepping in another thread.
    pub(crate) internal: ManuallyDrop<InternalStatements>,
    pub(crate) apply: ApplyStatements,
    pub(crate) hook: Hook,
    pub(crate) database: Arc<Database>,
    pub(crate) purpose: Purpose,
    /// As they are set now.
    pub(crate) foreign_keys: bool,
    pub(crate) recursive_triggers: bool,
    /// Of a follower's: statements are run as at the leader, instead of rows applied.
    pub(crate) replays: bool,
    /// Rows are written whatever the log's format: of a table that is built anew.
    pub(crate) sends_rows: bool,
    /// Of the group that is open.
    pub(crate) group_time: Timestamp,
    /// Given to statements that came without.
    pub(crate) environments: u64,
    /// The schema for which they were compiled, and the statements that ask for a table's largest rowid.
    pub(crate) last_rowids: HashMap<TableId, Prepared>,
    pub(crate) last_rowids_of: Fingerprint,
}

impl WriteConnection {
    fn open(
        files: &Files,
        purpose: Purpose,
        capture: Arc<Mutex<Capture>>,
    ) -> Result<WriteConnection, OpenError> {
        let database = connect(files)?;
        WriteConnection::over(database, purpose, capture).map_err(|error| open_error(files, error))
    }

    fn over(
        database: Arc<Database>,
        purpose: Purpose,
        capture: Arc<Mutex<Capture>>,
    ) -> Result<WriteConnection, SqliteError> {
        let is_leading = purpose == Purpose::Lead;
        database.set_switch(ffi::SQLITE_DBCONFIG_ENABLE_FKEY, is_leading);
        database.set_switch(ffi::SQLITE_DBCONFIG_ENABLE_TRIGGER, is_leading);
        // Rows of FTS5's shadow tables are applied like any others.
        database.set_switch(ffi::SQLITE_DBCONFIG_DEFENSIVE, is_leading);
        if !is_leading {
            // What held at the leader is not asked again.
            database.execute("PRAGMA ignore_check_constraints = 1")?;
        }
        Ok(WriteConnection {
            internal: ManuallyDrop::new(InternalStatements::prepare(&database)?),
            apply: ApplyStatements::default(),
            hook: Hook::install(database.clone(), capture),
            database,
            purpose,
            foreign_keys: is_leading,
            recursive_triggers: false,
            replays: false,
            sends_rows: false,
            group_time: Timestamp::default(),
            environments: 0,
            last_rowids: HashMap::new(),
            last_rowids_of: Fingerprint::default(),
        })
    }
}

impl Drop for WriteConnection {
    fn drop(&mut self) {
        let database = self.database.clone();
        let _gate = database.enter();
        self.apply = ApplyStatements::default();
        self.last_rowids.clear();
        // SAFETY: not used after this.
        unsafe { ManuallyDrop::drop(&mut self.internal) };
    }
}

fn connect(files: &Files) -> Result<Arc<Database>, OpenError> {
    let connection = files.connect(ConnectionRole::Writer)?;
    Database::new(connection, &files.extended, ConnectionRole::Writer)
        .map_err(|error| open_error(files, error))
}

pub(crate) fn open_error(files: &Files, error: SqliteError) -> OpenError {
    OpenError::Sqlite {
        path: files.path.clone(),
        code: error.code,
        message: error.message,
    }
}

/// A connection more to a file that is in use.
pub(crate) fn not_opened(error: OpenError) -> StorageError {
    let (code, message) = match error {
        OpenError::Sqlite { code, message, .. } => (code, message),
        other => (ffi::SQLITE_CANTOPEN, other.to_string()),
    };
    StorageError::Sqlite(SqliteError {
        code,
        message,
        offset: None,
    })
}

impl Writer {
    /// Opens the replica's file and reads its committed state; creates our tables when they are not there. Tables
    /// that an imported file brings along get ids and fingerprints.
    pub fn open(files: &Files) -> Result<Writer, OpenError> {
        let database = connect(files)?;
        let sqlite = |error| open_error(files, error);
        if !internal::exists(&database).map_err(sqlite)? {
            database.execute("BEGIN IMMEDIATE").map_err(sqlite)?;
            found(&database).map_err(sqlite)?;
            database.execute("COMMIT").map_err(sqlite)?;
        }
        let catalog = Catalog::load(&database)
            .map_err(sqlite)?
            .map_err(|what| OpenError::NotAReplica {
                path: files.path.clone(),
                what,
            })?;
        let sums = internal::read_fingerprints(&database).map_err(sqlite)?;
        let sequences = known_sequences(&database, &catalog).map_err(sqlite)?;
        let log_format = internal::read_log_format(&database).map_err(sqlite)?;
        let slots = slots::read(&database).map_err(sqlite)?;
        let capture = Capture::new(files.spill.clone(), catalog, sequences, sums, log_format, slots);
        let capture = Arc::new(Mutex::new(capture));
        let mut line = Prepared::internal(&database, internal::SELECT_POSITION).map_err(sqlite)?;
        let (position, timestamp) = internal::read_position(&mut line).map_err(sqlite)?;
        drop(line);
        Ok(Writer {
            connection: WriteConnection::over(database, Purpose::Lead, capture).map_err(sqlite)?,
            phase: Phase::Idle,
            position,
            timestamp,
            ended_sessions: Vec::new(),
            notifications: Vec::new(),
            files: files.clone(),
        })
    }

    /// Of the last record committed in SQLite.
    pub fn position(&self) -> Position {
        self.position
    }

    /// In what the log is written, as of the last record committed in SQLite or of the group that is open.
    pub fn log_format(&self) -> LogFormat {
        self.connection.hook.capture().log_format()
    }

    /// As [`Writer::log_format`]: how far readers of the log from outside have confirmed it.
    pub fn slots(&self) -> Arc<Slots> {
        self.connection.hook.capture().slots().clone()
    }

    /// How often statements were written as such since the replica was opened, and why not.
    pub fn safety_counts(&self) -> SafetyCounts {
        self.connection.hook.capture().safety.clone()
    }

    /// As [`Writer::safety_counts`], if there is anything new since this was asked last.
    pub fn new_safety_counts(&self) -> Option<SafetyCounts> {
        let mut capture = self.connection.hook.capture();
        let is_new = std::mem::take(&mut capture.safety_is_new);
        is_new.then(|| capture.safety.clone())
    }

    /// Of the last record committed in SQLite.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Committed sums by table id, with the tables' names as they are now; `TableId(0)`, without a name, is the
    /// schema.
    pub fn fingerprints(&self) -> Vec<(TableId, String, Fingerprint)> {
        let capture = self.connection.hook.capture();
        let name = |table| {
            capture
                .catalog()
                .tables
                .get(table)
                .map_or(String::new(), |table| table.name.clone())
        };
        capture
            .sums()
            .iter()
            .map(|(table, sum)| (*table, name(table), *sum))
            .collect()
    }

    /// Of the database: the sum over its tables and the schema.
    pub fn fingerprint(&self) -> Fingerprint {
        let capture = self.connection.hook.capture();
        capture
            .sums()
            .values()
            .fold(Fingerprint::default(), |sum, table| sum.plus(*table))
    }

    /// Reads everything and computes all sums anew, as [`Writer::fingerprints`] lists them. For tests and for whoever
    /// doubts; takes as long as the database is large. Between groups.
    pub fn recompute_fingerprints(&mut self) -> Result<Vec<(TableId, String, Fingerprint)>, StorageError> {
        let database = self.connection.database.clone();
        let _gate = database.enter();
        let catalog = self.connection.hook.capture().catalog().clone();
        Ok(fingerprint::of_database(&database, &catalog)?)
    }

    /// What the last record committed or applied tells to listeners, once; to be taken after each.
    pub fn take_notifications(&mut self) -> Vec<Notification> {
        std::mem::take(&mut self.notifications)
    }

    /// Whose statements run from here on.
    pub fn set_facts(&mut self, facts: &Arc<Facts>) {
        let database = &self.connection.database;
        let _gate = database.enter();
        database.set_facts(facts);
    }

    /// Stops a client's statement that runs on this connection, from another thread. Of the connection as it is now:
    /// to be asked for again after the replica changed its role.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        InterruptHandle::of_writer(&self.connection.database)
    }

    /// Calls back about every so many steps of SQLite's virtual machine, on the thread that runs the statement. Of the
    /// connection as it is now, as [`Writer::interrupt_handle`].
    pub fn on_progress(&mut self, steps: i32, callback: impl FnMut() + Send + 'static) {
        self.connection.database.on_progress(steps, callback);
    }

    /// Makes the connection fit for leading or applying. Only between groups and records.
    pub(crate) fn turn_to(&mut self, purpose: Purpose) -> Result<(), StorageError> {
        if self.connection.purpose == purpose {
            return Ok(());
        }
        let capture = self.connection.hook.shared();
        self.connection = WriteConnection::open(&self.files, purpose, capture).map_err(not_opened)?;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let database = self.connection.database.clone();
        let _gate = database.enter();
        // A cursor may keep the connection open: what was not committed goes now.
        if !database.is_autocommit() {
            let _ = self.connection.internal.rollback.run();
        }
    }
}

/// Our tables, and lines for what an imported file holds already.
fn found(database: &Database) -> Result<(), SqliteError> {
    internal::create(database)?;
    let change = Catalog::default().change(database)?;
    let mut statements = InternalStatements::prepare(database)?;
    for (table, _, sum) in fingerprint::of_database(database, &change.after)? {
        statements.write_fingerprint(table, Some(sum))?;
    }
    Ok(())
}

fn known_sequences(database: &Database, catalog: &Catalog) -> Result<Sequences, SqliteError> {
    let mut known = Sequences::new();
    for table in catalog.tables.values().filter(|table| table.is_autoincrement) {
        if let Some(value) = fingerprint::read_sequence(database, &table.name)? {
            known.insert(table.id, value);
        }
    }
    Ok(known)
}
