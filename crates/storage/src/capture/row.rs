//! The row format's capture: SQLite's pre-update hook, told of each row just before it changes.
//!
//! Promises: values are encoded straight from SQLite's memory. What the hook cannot report (CREATE TABLE AS,
//! ALTER, DROP, `sqlite_sequence`) is not done here.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use bellwether_types::format::row::{Change, RowKey};
use bellwether_types::{Fingerprint, TableId, ValueRef};
use rusqlite::ffi;

use crate::authorizer::INTERNAL_PREFIX;
use crate::capture::{Capture, Hook, Purpose};
use crate::catalog::{Key, Table};
use crate::database::Database;
use crate::error::{SqliteError, StorageError};
use crate::fingerprint;
use crate::statement::{Prepared, slice};

/// Vectors that are used again for each row.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    old: Vec<ValueRef<'static>>,
    new: Vec<ValueRef<'static>>,
    changed: Vec<(u32, ValueRef<'static>)>,
}

/// A row in which FTS5 writes a blob in place: SQLite reports it as a deletion, before the new bytes are known.
#[derive(Debug)]
pub(crate) struct BlobWrite {
    table: Arc<Table>,
    rowid: i64,
    /// Stored columns by place.
    places: Vec<u32>,
}

/// An empty vector with the allocation of `vector`, whose values may have borrowed from what is gone.
fn emptied<'a>(mut vector: Vec<ValueRef<'_>>) -> Vec<ValueRef<'a>> {
    vector.clear();
    vector.into_iter().map(|_| ValueRef::Null).collect()
}

fn emptied_pairs<'a>(mut vector: Vec<(u32, ValueRef<'_>)>) -> Vec<(u32, ValueRef<'a>)> {
    vector.clear();
    vector
        .into_iter()
        .map(|(place, _)| (place, ValueRef::Null))
        .collect()
}

/// The value that SQLite answers for a column which a stored row does not have: always the same address.
pub(crate) fn missing_value(database: &Database) -> *const ffi::sqlite3_value {
    match Prepared::internal(database, "SELECT 1") {
        Ok(statement) => statement.missing_value(),
        Err(_) => ptr::null(),
    }
}

/// SQLite's callback.
///
/// # Safety
/// `context` is the `Mutex<Capture>` given at registration; the rest is SQLite's word.
pub(crate) unsafe extern "C" fn on_change(
    context: *mut c_void,
    db: *mut ffi::sqlite3,
    operation: c_int,
    _database: *const c_char,
    table: *const c_char,
    old_rowid: i64,
    new_rowid: i64,
) {
    // SAFETY: per contract; names are NUL-terminated.
    let (capture, name) = unsafe { (&*context.cast::<Mutex<Capture>>(), CStr::from_ptr(table)) };
    let name = name.to_str().unwrap_or_default();
    if name.starts_with(INTERNAL_PREFIX) {
        return;
    }
    let mut capture = capture.lock().unwrap_or_else(PoisonError::into_inner);
    if name.starts_with("sqlite_") {
        if name == "sqlite_sequence" {
            capture.sequence_written = true;
            capture.count_in_window();
        }
        return;
    }
    let event = Event {
        db,
        operation,
        old_rowid,
        new_rowid,
    };
    capture.row_changes(name, event);
}

/// One call of the hook.
#[derive(Clone, Copy)]
struct Event {
    db: *mut ffi::sqlite3,
    operation: c_int,
    old_rowid: i64,
    new_rowid: i64,
}

impl Event {
    /// # Safety
    /// Inside the hook. The value lives until the hook returns.
    unsafe fn raw(&self, is_new: bool, column: usize) -> Result<*mut ffi::sqlite3_value, SqliteError> {
        let mut value = ptr::null_mut();
        let column = c_int::try_from(column).unwrap_or(c_int::MAX);
        // SAFETY: per contract.
        unsafe {
            let code = if is_new {
                ffi::sqlite3_preupdate_new(self.db, column, &mut value)
            } else {
                ffi::sqlite3_preupdate_old(self.db, column, &mut value)
            };
            if code == ffi::SQLITE_OK && !value.is_null() {
                Ok(value)
            } else {
                Err(SqliteError::last(self.db, code))
            }
        }
    }
}

/// # Safety
/// `value` is a protected value that lives for `'a`.
pub(crate) unsafe fn read<'a>(value: *mut ffi::sqlite3_value) -> ValueRef<'a> {
    // SAFETY: per contract. `text` comes before `bytes`, as SQLite asks.
    unsafe {
        match ffi::sqlite3_value_type(value) {
            ffi::SQLITE_INTEGER => ValueRef::Integer(ffi::sqlite3_value_int64(value)),
            ffi::SQLITE_FLOAT => ValueRef::Real(ffi::sqlite3_value_double(value)),
            ffi::SQLITE_TEXT => {
                let text = ffi::sqlite3_value_text(value);
                ValueRef::Text(slice(text, ffi::sqlite3_value_bytes(value)))
            }
            ffi::SQLITE_BLOB => {
                let blob = ffi::sqlite3_value_blob(value);
                ValueRef::Blob(slice(blob.cast(), ffi::sqlite3_value_bytes(value)))
            }
            _ => ValueRef::Null,
        }
    }
}

/// Equal down to the sign of zero.
fn is_same(old: ValueRef<'_>, new: ValueRef<'_>) -> bool {
    match (old, new) {
        (ValueRef::Real(old), ValueRef::Real(new)) => old.to_bits() == new.to_bits(),
        (old, new) => old == new,
    }
}

impl Capture {
    fn row_changes(&mut self, name: &str, event: Event) {
        let table = match &self.last {
            Some(table) if table.name == name => table.clone(),
            _ => match self.catalog.by_name(name) {
                Some(table) => table.clone(),
                None if self.in_schema_statement => return,
                None => {
                    let text = format!("a row of unknown table {name:?} changed");
                    return self.fail(StorageError::Malformed(text));
                }
            },
        };
        // SAFETY: inside the hook.
        let blob_column = unsafe { ffi::sqlite3_preupdate_blobwrite(event.db) };
        if let Ok(column) = usize::try_from(blob_column) {
            if let Err(error) = self.blob_is_written(&table, event, column) {
                self.fail(StorageError::Sqlite(error));
            }
            return;
        }
        if !self.blob_writes.is_empty()
            && event.operation != ffi::SQLITE_INSERT
            && let Err(error) = self.end_blob_write(&table, event)
        {
            return self.fail(StorageError::Sqlite(error));
        }
        self.count_in_window();
        if let Some(window) = &mut self.window {
            window.met_last_rowid |= [event.old_rowid, event.new_rowid].contains(&i64::MAX);
        }
        let result = match event.operation {
            ffi::SQLITE_INSERT => self.insert(&table, event),
            ffi::SQLITE_UPDATE => self.update(&table, event),
            _ => self.delete(&table, event),
        };
        if let Err(error) = result {
            self.fail(StorageError::Sqlite(error));
        }
        self.last = Some(table);
        if let Err(error) = self.buffer.maybe_spill() {
            self.fail(StorageError::Spill(error.to_string()));
        }
    }

    /// Appends the values of all stored columns.
    fn values<'a>(
        &self,
        table: &'a Table,
        event: Event,
        is_new: bool,
        values: &mut Vec<ValueRef<'a>>,
    ) -> Result<(), SqliteError> {
        for place in &table.stored {
            // SAFETY: inside the hook; the values are gone from the scratch before it returns.
            let value = unsafe { event.raw(is_new, *place)? };
            // SAFETY: as above.
            let mut read = unsafe { read(value) };
            if ptr::eq(value, self.missing) && table.columns[*place].default.is_some() {
                // A row copied raw from a table with the same columns, of which ALTER TABLE added some.
                read = fingerprint::decoded(table.short_row_value(*place)?);
            }
            if let ValueRef::Integer(value) = read
                && table.columns[*place].is_real
            {
                // The hook answers so for the default of a column that an old row is too short to have.
                read = ValueRef::Real(value as f64);
            }
            values.push(read);
        }
        Ok(())
    }

    fn insert(&mut self, table: &Table, event: Event) -> Result<(), SqliteError> {
        self.note_insert(table.id);
        let mut values = emptied(std::mem::take(&mut self.scratch.new));
        self.values(table, event, true, &mut values)?;
        let sum = self.hasher.hash(table, event.new_rowid, &values);
        self.add(table.id, sum);
        values = self.encode_insert(table, event.new_rowid, values);
        self.scratch.new = emptied(values);
        Ok(())
    }

    /// Appends the change; gives the vector back.
    fn encode_insert<'a>(
        &mut self,
        table: &Table,
        rowid: i64,
        values: Vec<ValueRef<'a>>,
    ) -> Vec<ValueRef<'a>> {
        if !self.encodes() {
            return values;
        }
        let change = Change::Insert {
            table: table.id,
            rowid: (!matches!(table.key, Key::Primary(_))).then_some(rowid),
            values,
        };
        change.encode(self.buffer.encoder());
        match change {
            Change::Insert { values, .. } => values,
            _ => Vec::new(),
        }
    }

    /// A row that SQLite did not report: of CREATE TABLE AS.
    pub(crate) fn unseen_insert(&mut self, table: &Table, rowid: i64, values: Vec<ValueRef<'_>>) {
        let sum = self.hasher.hash(table, rowid, &values);
        self.add(table.id, sum);
        self.encode_insert(table, rowid, values);
        if let Err(error) = self.buffer.maybe_spill() {
            self.fail(StorageError::Spill(error.to_string()));
        }
    }

    fn update(&mut self, table: &Table, event: Event) -> Result<(), SqliteError> {
        let mut old = emptied(std::mem::take(&mut self.scratch.old));
        let mut new = emptied(std::mem::take(&mut self.scratch.new));
        self.values(table, event, false, &mut old)?;
        self.values(table, event, true, &mut new)?;
        let before = self.hasher.hash(table, event.old_rowid, &old);
        let after = self.hasher.hash(table, event.new_rowid, &new);
        self.add(table.id, after.minus(before));
        if self.encodes() {
            self.encode_update(table, event, &old, &new);
        }
        self.scratch.old = emptied(old);
        self.scratch.new = emptied(new);
        Ok(())
    }

    fn encode_update(&mut self, table: &Table, event: Event, old: &[ValueRef<'_>], new: &[ValueRef<'_>]) {
        let shown = match &table.key {
            Key::IntegerPrimary(place) => *place,
            _ => usize::MAX,
        };
        let mut columns = emptied_pairs(std::mem::take(&mut self.scratch.changed));
        for (place, (old, new)) in old.iter().zip(new).enumerate() {
            if place != shown && !is_same(*old, *new) {
                columns.push((u32::try_from(place).unwrap_or(u32::MAX), *new));
            }
        }
        let has_rowid = !matches!(table.key, Key::Primary(_));
        let moved_to = (has_rowid && event.old_rowid != event.new_rowid).then_some(event.new_rowid);
        if columns.is_empty() && moved_to.is_none() {
            self.scratch.changed = emptied_pairs(columns);
            return;
        }
        let change = Change::Update {
            table: table.id,
            key: key_of(table, event.old_rowid, old),
            moved_to,
            columns,
            before: self.has_readers().then(|| old.to_vec()),
        };
        change.encode(self.buffer.encoder());
        if let Change::Update { columns, .. } = change {
            self.scratch.changed = emptied_pairs(columns);
        }
    }

    fn delete(&mut self, table: &Table, event: Event) -> Result<(), SqliteError> {
        let mut old = emptied(std::mem::take(&mut self.scratch.old));
        self.values(table, event, false, &mut old)?;
        let sum = self.hasher.hash(table, event.old_rowid, &old);
        self.add(table.id, Fingerprint::default().minus(sum));
        if self.encodes() {
            let change = Change::Delete {
                table: table.id,
                key: key_of(table, event.old_rowid, &old),
                before: self.has_readers().then(|| old.clone()),
            };
            change.encode(self.buffer.encoder());
        }
        self.scratch.old = emptied(old);
        Ok(())
    }

    fn blob_is_written(
        &mut self,
        table: &Arc<Table>,
        event: Event,
        column: usize,
    ) -> Result<(), SqliteError> {
        let place = table
            .stored
            .iter()
            .position(|stored| *stored == column)
            .unwrap_or(usize::MAX);
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let is_same_row =
            |write: &&mut BlobWrite| write.table.id == table.id && write.rowid == event.old_rowid;
        if let Some(write) = self.blob_writes.iter_mut().find(is_same_row) {
            if !write.places.contains(&place) {
                write.places.push(place);
                write.places.sort_unstable();
            }
            return Ok(());
        }
        let mut old = Vec::new();
        self.values(table, event, false, &mut old)?;
        let sum = self.hasher.hash(table, event.old_rowid, &old);
        self.add(table.id, Fingerprint::default().minus(sum));
        self.blob_writes.push(BlobWrite {
            table: table.clone(),
            rowid: event.old_rowid,
            places: vec![place],
        });
        Ok(())
    }

    /// The row changes otherwise: its old values are what the blob's writing left.
    fn end_blob_write(&mut self, table: &Table, event: Event) -> Result<(), SqliteError> {
        let is_same_row = |write: &BlobWrite| write.table.id == table.id && write.rowid == event.old_rowid;
        if let Some(place) = self.blob_writes.iter().position(is_same_row) {
            let write = self.blob_writes.swap_remove(place);
            let mut values = Vec::new();
            self.values(table, event, false, &mut values)?;
            self.blob_was_written(&write, &values);
        }
        Ok(())
    }

    /// A blob's writing ended; the row is so now.
    pub(crate) fn blob_was_written(&mut self, write: &BlobWrite, values: &[ValueRef<'_>]) {
        let sum = self.hasher.hash(&write.table, write.rowid, values);
        self.add(write.table.id, sum);
        if !self.encodes() {
            return;
        }
        let change = Change::Update {
            table: write.table.id,
            key: RowKey::Rowid(write.rowid),
            moved_to: None,
            columns: write
                .places
                .iter()
                .map(|place| (*place, values[*place as usize]))
                .collect(),
            // It is not there any more.
            before: None,
        };
        change.encode(self.buffer.encoder());
    }

    /// Blob writes whose rows are still to be read.
    pub(crate) fn take_blob_writes(&mut self) -> Vec<BlobWrite> {
        std::mem::take(&mut self.blob_writes)
    }

    /// A schema statement that every replica runs.
    pub(crate) fn schema_statement(&mut self, sql: &str) {
        if self.purpose == Purpose::Lead {
            Change::Schema { sql }.encode(self.buffer.encoder());
            self.count_schema_statement();
        }
    }

    /// A table's line in `sqlite_sequence` is another.
    pub(crate) fn sequence(&mut self, table: TableId, value: Option<i64>) {
        let before = fingerprint::of_sequence(table, self.known_sequence(table));
        self.add(table, fingerprint::of_sequence(table, value).minus(before));
        self.set_known_sequence(table, value);
        if self.purpose == Purpose::Lead {
            Change::Sequence { table, value }.encode(self.buffer.encoder());
        }
    }
}

impl Hook {
    /// Reads the rows in which blobs were written. Called when a statement has ended.
    pub(crate) fn finish_blob_writes(&self) -> Result<(), SqliteError> {
        let writes = self.capture().take_blob_writes();
        for write in writes {
            let scan = fingerprint::scan_statement(&write.table);
            let name = write.table.rowid_name().unwrap_or_default();
            let mut row = Prepared::internal(&self.database, &format!("{scan} WHERE {name} = ?1"))?;
            row.bind(1, ValueRef::Integer(write.rowid))?;
            if row.step()? {
                let values: Vec<ValueRef<'_>> =
                    (1..row.column_count()).map(|place| row.value(place)).collect();
                self.capture().blob_was_written(&write, &values);
            }
        }
        Ok(())
    }
}

fn key_of<'a>(table: &Table, rowid: i64, values: &[ValueRef<'a>]) -> RowKey<'a> {
    match &table.key {
        Key::Primary(columns) => RowKey::Primary(columns.iter().map(|column| values[column.place]).collect()),
        _ => RowKey::Rowid(rowid),
    }
}
