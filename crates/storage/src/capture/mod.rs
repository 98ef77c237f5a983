//! What changes in a group, as it changes: encoded for the record, and summed for the fingerprints.
//!
//! SQLite reports rows that a later ROLLBACK TO takes back, so every savepoint has a [`Frame`]: its place in the
//! buffer, its own sums, and the catalog as it was.

use std::collections::{BTreeMap, HashSet};
use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwether_types::record::NOTIFICATIONS_BYTES_MAX;
use bellwether_types::replication::Slots;
use bellwether_types::{Fingerprint, LogFormat, Notification, SqlError, TableId};
use rusqlite::ffi;

use crate::catalog::{Catalog, Table};
use crate::database::Database;
use crate::error::StorageError;
use crate::extension::too_many_notifications;
use crate::files::Spill;
use crate::fingerprint::RowHasher;
use crate::safety::SafetyCounts;

pub(crate) mod buffer;
pub(crate) mod row;
pub(crate) mod statement;

use buffer::ChangeBuffer;
use statement::Window;

/// What reported row changes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Leader: encode and sum.
    Lead,
    /// Follower: sum only; the changes come from the log.
    Apply,
}

/// What a savepoint has changed so far.
#[derive(Debug)]
struct Frame {
    /// Of the buffer when it began.
    start: u64,
    /// How much was told to listeners when it began.
    notified: usize,
    /// As they were when it began.
    catalog: Arc<Catalog>,
    sequences: Arc<Sequences>,
    log_format: LogFormat,
    slots: Arc<Slots>,
    /// Of its body, those that are statements.
    statements: u64,
    /// Of its body, those that changed the schema.
    schema_statements: u64,
    /// What its changes add to tables' sums. Few tables: searched in order.
    deltas: Vec<(TableId, Fingerprint)>,
}

/// `sqlite_sequence` as last captured: the largest rowid ever given out, by AUTOINCREMENT table.
pub(crate) type Sequences = BTreeMap<TableId, i64>;

/// Changes of the open group, by frame. Frame 0 is the group.
#[derive(Debug)]
pub(crate) struct Capture {
    purpose: Purpose,
    catalog: Arc<Catalog>,
    sequences: Arc<Sequences>,
    log_format: LogFormat,
    /// While there are any, changes have images.
    slots: Arc<Slots>,
    /// A statement is to be written, not its rows.
    window: Option<Window>,
    /// Of the client's transaction that is open, what it was.
    last_statement: Option<Box<str>>,
    pub(crate) safety: SafetyCounts,
    /// Since it was asked for.
    pub(crate) safety_is_new: bool,
    pub(crate) buffer: ChangeBuffer,
    frames: Vec<Frame>,
    /// What the group tells to listeners.
    notifications: Vec<Notification>,
    spare: Vec<Vec<(TableId, Fingerprint)>>,
    /// Committed.
    sums: BTreeMap<TableId, Fingerprint>,
    hasher: RowHasher,
    /// A client wrote `sqlite_sequence` itself since the flag was taken.
    sequence_written: bool,
    /// While a schema statement runs, rows of tables that are not known yet are its own doing.
    in_schema_statement: bool,
    /// Rows in which a blob is being written; their old values are taken from the sums already.
    blob_writes: Vec<row::BlobWrite>,
    /// The table of the last change: changes come in runs.
    last: Option<Arc<Table>>,
    failure: Option<StorageError>,
    scratch: row::Scratch,
    /// SQLite's way to say that a stored row is shorter than its table.
    missing: *const ffi::sqlite3_value,
}

// SAFETY: `missing` is the address of a constant of SQLite's, only compared.
unsafe impl Send for Capture {}

impl Capture {
    pub(crate) fn new(
        spill: Spill,
        catalog: Catalog,
        sequences: Sequences,
        sums: BTreeMap<TableId, Fingerprint>,
        log_format: LogFormat,
        slots: Slots,
    ) -> Capture {
        Capture {
            purpose: Purpose::Lead,
            catalog: Arc::new(catalog),
            sequences: Arc::new(sequences),
            log_format,
            slots: Arc::new(slots),
            window: None,
            last_statement: None,
            safety: SafetyCounts::default(),
            safety_is_new: false,
            buffer: ChangeBuffer::new(spill),
            frames: Vec::new(),
            notifications: Vec::new(),
            spare: Vec::new(),
            sums,
            hasher: RowHasher::default(),
            sequence_written: false,
            in_schema_statement: false,
            blob_writes: Vec::new(),
            last: None,
            failure: None,
            scratch: row::Scratch::default(),
            missing: std::ptr::null(),
        }
    }

    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    pub(crate) fn set_catalog(&mut self, catalog: Catalog) {
        self.catalog = Arc::new(catalog);
        self.last = None;
    }

    /// What was captured last of a table's line in `sqlite_sequence`.
    pub(crate) fn known_sequence(&self, table: TableId) -> Option<i64> {
        self.sequences.get(&table).copied()
    }

    pub(crate) fn set_known_sequence(&mut self, table: TableId, value: Option<i64>) {
        if self.known_sequence(table) == value {
            return;
        }
        let sequences = Arc::make_mut(&mut self.sequences);
        match value {
            Some(value) => sequences.insert(table, value),
            None => sequences.remove(&table),
        };
    }

    /// Whether a client wrote `sqlite_sequence` itself: then a table's line may be what was captured last although
    /// the rows captured since move it at followers.
    pub(crate) fn take_sequence_written(&mut self) -> bool {
        std::mem::take(&mut self.sequence_written)
    }

    /// Those that there are, committed or of the group that is open.
    pub(crate) fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }

    pub(crate) fn set_slots(&mut self, slots: Slots) {
        self.slots = Arc::new(slots);
    }

    /// How many of the open group's changes were of the schema.
    pub(crate) fn schema_statements(&self) -> u64 {
        self.frames.iter().map(|frame| frame.schema_statements).sum()
    }

    pub(crate) fn count_schema_statement(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.schema_statements += 1;
        }
    }

    /// Frame 0.
    pub(crate) fn begin(&mut self, purpose: Purpose) {
        debug_assert!(self.frames.is_empty(), "the last group was ended");
        self.purpose = purpose;
        self.failure = None;
        self.window = None;
        self.buffer.clear();
        self.notifications.clear();
        self.push();
    }

    /// A statement of the innermost savepoint has told this.
    pub(crate) fn notify(&mut self, notified: Vec<Notification>) -> Result<(), SqlError> {
        if notified.is_empty() {
            return Ok(());
        }
        // Frame 1 is the client's transaction, which tells the same thing once.
        let first = self.frames.get(1).map_or(0, |frame| frame.notified);
        let mut known: HashSet<Notification> = self.notifications[first..].iter().cloned().collect();
        for notification in notified {
            if known.insert(notification.clone()) {
                self.notifications.push(notification);
            }
        }
        let size_bytes: usize = self.notifications.iter().map(Notification::size_bytes).sum();
        if size_bytes > NOTIFICATIONS_BYTES_MAX {
            return Err(too_many_notifications());
        }
        Ok(())
    }

    /// What the group tells.
    pub(crate) fn notifications(&self) -> &[Notification] {
        &self.notifications
    }

    /// A savepoint begins.
    pub(crate) fn push(&mut self) {
        // A client's transaction must be readable by itself.
        self.last_statement = None;
        self.frames.push(Frame {
            start: self.buffer.len(),
            notified: self.notifications.len(),
            catalog: self.catalog.clone(),
            sequences: self.sequences.clone(),
            log_format: self.log_format,
            slots: self.slots.clone(),
            statements: 0,
            schema_statements: 0,
            deltas: self.spare.pop().unwrap_or_default(),
        });
    }

    pub(crate) fn depth(&self) -> usize {
        self.frames.len()
    }

    /// The innermost savepoint was released: its changes are the outer one's. Answers whether there were any.
    pub(crate) fn merge(&mut self) -> bool {
        let Some(mut frame) = self.frames.pop() else {
            return false;
        };
        for (table, delta) in frame.deltas.drain(..) {
            self.add(table, delta);
        }
        self.spare.push(frame.deltas);
        if let Some(outer) = self.frames.last_mut() {
            outer.statements += frame.statements;
            outer.schema_statements += frame.schema_statements;
        }
        self.buffer.len() > frame.start || self.notifications.len() > frame.notified
    }

    /// The innermost savepoint was rolled back: nothing of it happened.
    pub(crate) fn discard(&mut self) {
        if let Some(mut frame) = self.frames.pop() {
            self.buffer.truncate(frame.start);
            self.notifications.truncate(frame.notified);
            self.catalog = frame.catalog;
            self.sequences = frame.sequences;
            self.log_format = frame.log_format;
            self.slots = frame.slots;
            self.window = None;
            self.last_statement = None;
            self.blob_writes.clear();
            self.last = None;
            frame.deltas.clear();
            self.spare.push(frame.deltas);
        }
    }

    /// The whole group was rolled back.
    pub(crate) fn roll_back(&mut self) {
        while !self.frames.is_empty() {
            self.discard();
        }
        self.buffer.clear();
        self.failure = None;
    }

    /// The group was committed. The answer is what it tells.
    pub(crate) fn commit(&mut self) -> Vec<Notification> {
        for (table, sum) in self.touched() {
            if self.catalog.tables.contains_key(&table) || table == TableId(0) {
                self.sums.insert(table, sum);
            } else {
                self.sums.remove(&table);
            }
        }
        self.frames.clear();
        self.buffer.clear();
        std::mem::take(&mut self.notifications)
    }

    /// Adds to a table's sum in the innermost frame.
    pub(crate) fn add(&mut self, table: TableId, delta: Fingerprint) {
        let Some(frame) = self.frames.last_mut() else {
            self.failure = Some(StorageError::OutOfOrder("a row changed outside of a group"));
            return;
        };
        match frame.deltas.iter_mut().find(|(known, _)| *known == table) {
            Some((_, sum)) => *sum = sum.plus(delta),
            None => frame.deltas.push((table, delta)),
        }
    }

    /// A table's sum now.
    pub(crate) fn sum(&self, table: TableId) -> Fingerprint {
        let committed = self.sums.get(&table).copied().unwrap_or_default();
        let deltas = self.frames.iter().flat_map(|frame| &frame.deltas);
        deltas
            .filter(|(known, _)| *known == table)
            .fold(committed, |sum, (_, delta)| sum.plus(*delta))
    }

    /// A table's sum was computed anew.
    pub(crate) fn set_sum(&mut self, table: TableId, sum: Fingerprint) {
        let delta = sum.minus(self.sum(table));
        self.add(table, delta);
    }

    /// Tables that the group touched, with their sums after it, ascending.
    pub(crate) fn touched(&self) -> Vec<(TableId, Fingerprint)> {
        let mut tables: Vec<TableId> = self
            .frames
            .iter()
            .flat_map(|frame| &frame.deltas)
            .map(|(table, _)| *table)
            .collect();
        tables.sort_unstable();
        tables.dedup();
        tables.into_iter().map(|table| (table, self.sum(table))).collect()
    }

    /// Committed sums, by table.
    pub(crate) fn sums(&self) -> &BTreeMap<TableId, Fingerprint> {
        &self.sums
    }

    pub(crate) fn set_in_schema_statement(&mut self, is_in: bool) {
        self.in_schema_statement = is_in;
    }

    pub(crate) fn fail(&mut self, failure: StorageError) {
        self.failure.get_or_insert(failure);
    }

    /// What went wrong inside the hook, where SQLite cannot be told.
    pub(crate) fn check(&mut self) -> Result<(), StorageError> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

/// The capture of a connection, shared with SQLite's pre-update hook while it lives.
pub(crate) struct Hook {
    capture: Arc<Mutex<Capture>>,
    database: Arc<Database>,
}

impl Hook {
    /// Starts to report `database`'s changes to `capture`.
    pub(crate) fn install(database: Arc<Database>, capture: Arc<Mutex<Capture>>) -> Hook {
        let context = Arc::as_ptr(&capture).cast_mut().cast::<c_void>();
        {
            let mut capture = capture.lock().unwrap_or_else(PoisonError::into_inner);
            capture.missing = row::missing_value(&database);
        }
        // SAFETY: open connection; the context lives until the hook is taken off by `drop`.
        unsafe { ffi::sqlite3_preupdate_hook(database.handle(), Some(row::on_change), context) };
        Hook { capture, database }
    }

    pub(crate) fn capture(&self) -> MutexGuard<'_, Capture> {
        self.capture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shared(&self) -> Arc<Mutex<Capture>> {
        self.capture.clone()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        let _gate = self.database.enter();
        // SAFETY: the connection is open as long as `database` lives.
        unsafe { ffi::sqlite3_preupdate_hook(self.database.handle(), None, std::ptr::null_mut()) };
    }
}
