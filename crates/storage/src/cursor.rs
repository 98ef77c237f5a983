//! Rows of a running query, one at a time.

use std::sync::Arc;

use bellwether_types::{Column, ErrorKind, SqlError, Statement, ValueRef};

use crate::database::Database;
use crate::kind::StatementKind;
use crate::statement::Prepared;

/// A running query that owns what it needs: it keeps the connection open and may be moved between threads. While
/// it lives, so does its read transaction, which holds back checkpoints.
pub struct Cursor {
    database: Arc<Database>,
    /// `None` only while it is dropped.
    prepared: Option<Prepared>,
    columns: Arc<[Column]>,
    row: Vec<RawValue>,
    is_done: bool,
}

/// A value of the current row: memory of the statement's, which only its next step or its end changes.
#[derive(Clone, Copy)]
enum RawValue {
    Null,
    Integer(i64),
    Real(f64),
    Text(*const u8, usize),
    Blob(*const u8, usize),
}

// SAFETY: the pointers are to memory of the statement, which moves with the cursor.
unsafe impl Send for Cursor {}

impl Cursor {
    /// Compiles, binds, and steps to the first row lazily. The caller holds no gate.
    pub(crate) fn open(database: &Arc<Database>, statement: &Statement) -> Result<Cursor, SqlError> {
        let _gate = database.enter();
        let mut prepared = database.client_statement(&statement.sql)?;
        if matches!(
            prepared.kind(),
            StatementKind::Transaction | StatementKind::Vacuum
        ) {
            let text = format!("{} is not a query", prepared.verb());
            return Err(SqlError::new(ErrorKind::TransactionState, text));
        }
        if !prepared.is_read_only() {
            return Err(SqlError::new(
                ErrorKind::ReadOnly,
                format!("cannot execute {} in a read-only transaction", prepared.verb()),
            ));
        }
        // SAFETY: not borrowed: the bytes are copied.
        unsafe { prepared.bind_client(statement, false)? };
        database.begin_statement();
        let columns = prepared.columns();
        Ok(Cursor {
            database: database.clone(),
            prepared: Some(prepared),
            columns,
            row: Vec::new(),
            is_done: false,
        })
    }

    /// To the next row; `false` at the end, and from then on. Text that is not UTF-8 is an error here.
    pub fn step(&mut self) -> Result<bool, SqlError> {
        if self.is_done {
            return Ok(false);
        }
        let database = self.database.clone();
        let _gate = database.enter();
        self.row.clear();
        let prepared = self.prepared.as_mut().expect("taken only by drop");
        match prepared.step_client() {
            Ok(true) => {}
            ended => {
                self.is_done = true;
                prepared.reset();
                return ended;
            }
        }
        for column in 0..prepared.column_count() {
            let value = match prepared.value(column) {
                ValueRef::Null => RawValue::Null,
                ValueRef::Integer(value) => RawValue::Integer(value),
                ValueRef::Real(value) => RawValue::Real(value),
                ValueRef::Text(text) => {
                    check_utf8(text)?;
                    RawValue::Text(text.as_ptr(), text.len())
                }
                ValueRef::Blob(bytes) => RawValue::Blob(bytes.as_ptr(), bytes.len()),
            };
            self.row.push(value);
        }
        if self.row.len() != self.columns.len() {
            // Compiled anew before its first row.
            self.columns = prepared.columns();
        }
        Ok(true)
    }

    /// Names and declared types.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The value in a column of the current row, from 0; NULL when there is no such column or row. Text is UTF-8.
    pub fn value(&self, column: usize) -> ValueRef<'_> {
        // SAFETY: the memory is the statement's, untouched until the next step or the drop, which need `&mut`.
        unsafe {
            match self.row.get(column) {
                None | Some(RawValue::Null) => ValueRef::Null,
                Some(RawValue::Integer(value)) => ValueRef::Integer(*value),
                Some(RawValue::Real(value)) => ValueRef::Real(*value),
                Some(RawValue::Text(pointer, len)) => {
                    ValueRef::Text(std::slice::from_raw_parts(*pointer, *len))
                }
                Some(RawValue::Blob(pointer, len)) => {
                    ValueRef::Blob(std::slice::from_raw_parts(*pointer, *len))
                }
            }
        }
    }

    /// The command, as PostgreSQL's tag names it.
    pub fn verb(&self) -> &str {
        self.prepared.as_ref().expect("taken only by drop").verb()
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let _gate = self.database.enter();
        if let Some(prepared) = self.prepared.take() {
            self.database.give_back(prepared);
        }
    }
}

/// SQLite lets any bytes into text; clients are promised UTF-8.
pub(crate) fn check_utf8(text: &[u8]) -> Result<(), SqlError> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(
            SqlError::new(ErrorKind::NotUtf8, "invalid byte sequence for encoding \"UTF8\"")
                .with_detail(format!("The text is valid up to byte {}.", error.valid_up_to())),
        ),
    }
}
