//! COPY through a connection: rows in are INSERTs of many rows in one transaction, rows out a SELECT.

use std::sync::Arc;

use bellwether_types::lexer::quoted_name;
use bellwether_types::{CommandTag, ErrorKind, SqlError, Statement, Value};

use super::{Connection, Purpose, Request, Step, Transaction, Waiting};
use crate::copy::{Copy, Decoder, Direction};
use crate::frontend::Frontend;
use crate::row::{Field, Formats};
use crate::types::Format;

/// Rows in one INSERT: more save little, and take longer to compile.
const BATCH_ROWS: usize = 500;
/// Values in one INSERT: SQLite's limit of parameters is 32,766.
const BATCH_VALUES: usize = 10_000;
/// Bytes of values in one INSERT, but for the last row of it.
const BATCH_BYTES: usize = 1 << 20;

/// Rows on their way in.
#[derive(Debug)]
pub(super) struct CopyIn {
    decoder: Decoder,
    /// `INSERT INTO t (a, b) VALUES`.
    insert: String,
    columns: usize,
    /// Row after row.
    batch: Vec<Value>,
    batch_rows: usize,
    batch_bytes: usize,
    /// Of the batch's first row, for errors.
    batch_line: u64,
    rows: u64,
    /// There may be whole rows that were not looked at.
    has_input: bool,
    /// The client has sent everything.
    is_ended: bool,
    target: String,
}

impl CopyIn {
    fn new(copy: &Copy, fields: &Arc<[Field]>) -> CopyIn {
        let names: Vec<String> = fields.iter().map(|field| quoted_name(&field.name)).collect();
        CopyIn {
            decoder: Decoder::new(copy.layout.clone(), Arc::clone(fields), copy.target()),
            insert: format!("INSERT INTO {} ({}) VALUES", copy.target(), names.join(", ")),
            columns: fields.len(),
            batch: Vec::new(),
            batch_rows: 0,
            batch_bytes: 0,
            batch_line: 0,
            rows: 0,
            has_input: false,
            is_ended: false,
            target: copy.target().to_owned(),
        }
    }

    fn is_batch_full(&self) -> bool {
        self.batch_rows >= BATCH_ROWS
            || self.batch.len() + self.columns > BATCH_VALUES
            || self.batch_bytes >= BATCH_BYTES
    }

    /// Decodes up to a full batch; false when the input is used up first.
    fn fill_batch(&mut self) -> Result<bool, SqlError> {
        while !self.is_batch_full() {
            let Some(row) = self.decoder.next()? else {
                return Ok(false);
            };
            if self.batch_rows == 0 {
                self.batch_line = self.decoder.line();
            }
            self.batch_rows += 1;
            self.batch_bytes += row.iter().map(Value::size_bytes).sum::<usize>();
            self.batch.extend(row);
        }
        Ok(true)
    }

    fn take_batch(&mut self) -> Statement {
        let parameters = std::mem::take(&mut self.batch);
        let mut sql = self.insert.clone();
        for row in 0..self.batch_rows {
            sql.push_str(if row == 0 { " (" } else { ", (" });
            for column in 0..self.columns {
                if column > 0 {
                    sql.push_str(", ");
                }
                sql.push('$');
                sql.push_str(&(row * self.columns + column + 1).to_string());
            }
            sql.push(')');
        }
        self.rows += self.batch_rows as u64;
        (self.batch_rows, self.batch_bytes) = (0, 0);
        Statement::bound(sql, parameters)
    }

    /// Where in the data an INSERT failed.
    fn placed(&self, error: SqlError) -> SqlError {
        if error.detail.is_some() {
            return error;
        }
        let (first, last) = (self.batch_line, self.decoder.line());
        error.with_detail(format!("COPY {}, lines {first} to {last}", self.target))
    }
}

impl Connection {
    /// COPY, either way.
    pub(super) fn copy(&mut self, copy: &Copy, is_last: bool) -> Result<Step, SqlError> {
        match copy.direction {
            Direction::In => self.copy_in(copy),
            Direction::Out => Ok(self.copy_out(copy, is_last)),
        }
    }

    fn copy_out(&mut self, copy: &Copy, is_last: bool) -> Step {
        if self.transaction == Transaction::None && !is_last {
            return Step::AskFirst(self.begin_implicit());
        }
        let mut run = self.run(Statement::new(copy.select()), "SELECT");
        if copy.layout.is_binary() {
            run.formats = Formats::Binary;
        }
        Step::Ask(self.ask_rows(run, Purpose::Copy(copy.layout.clone())))
    }

    fn copy_in(&mut self, copy: &Copy) -> Result<Step, SqlError> {
        if self.settings.values().read_only() {
            let message = "cannot execute COPY FROM in a read-only transaction";
            return Err(SqlError::new(ErrorKind::ReadOnly, message));
        }
        let Some(description) = self.description.take() else {
            return Ok(self.ask_description(&copy.select(), None));
        };
        let fields = description.fields.clone().unwrap_or_default();
        let format = match copy.layout.is_binary() {
            true => Format::Binary,
            false => Format::Text,
        };
        self.output.copy_in_response(format, fields.len());
        self.must_flush = true;
        self.copying = Some(Box::new(CopyIn::new(copy, &fields)));
        Ok(Step::Done)
    }

    /// A message while rows come in.
    pub(super) fn copy_message(&mut self, message: &Frontend<'_>) -> Result<Step, SqlError> {
        let copying = self.copying.as_mut().expect("seen by the caller");
        match message {
            Frontend::CopyData(bytes) => {
                copying.decoder.push(bytes);
                copying.has_input = true;
            }
            Frontend::CopyDone => {
                copying.decoder.end();
                (copying.is_ended, copying.has_input) = (true, true);
            }
            Frontend::CopyFail(reason) => {
                let message = format!("COPY from stdin failed: {reason}");
                return Err(SqlError::new(ErrorKind::Cancelled, message));
            }
            // A driver that pipelines has sent these before it knew that there would be rows to send.
            Frontend::Flush | Frontend::Sync => {}
            _ => {
                let message = "unexpected message during COPY from stdin";
                return Err(SqlError::new(ErrorKind::Protocol, message));
            }
        }
        Ok(Step::Done)
    }

    /// Whether there are rows to be inserted, or an end to be told, before the next message.
    pub(super) fn has_rows_to_copy(&self) -> bool {
        self.copying.as_ref().is_some_and(|copying| copying.has_input)
    }

    pub(super) fn step_copy(&mut self) -> Step {
        self.try_step_copy().unwrap_or_else(|error| {
            self.failed(error);
            Step::Done
        })
    }

    fn try_step_copy(&mut self) -> Result<Step, SqlError> {
        let copying = self.copying.as_mut().expect("seen by the caller");
        let is_full = copying.fill_batch()?;
        if is_full || copying.is_ended && copying.batch_rows > 0 {
            if self.transaction == Transaction::None {
                self.settings.begin();
                return Ok(Step::AskFirst(self.begin_implicit()));
            }
            self.waiting = Waiting::Copy;
            let batch = copying.take_batch();
            return Ok(Step::Ask(Request::Run(self.run(batch, "INSERT"))));
        }
        copying.has_input = false;
        if copying.is_ended {
            let rows = copying.rows;
            self.copying = None;
            self.complete_command(CommandTag::counted("COPY", rows));
        }
        Ok(Step::Done)
    }

    /// A batch could not be inserted.
    pub(super) fn copy_failed(&mut self, error: SqlError) {
        let error = match &self.copying {
            Some(copying) => copying.placed(error),
            None => error,
        };
        self.failed(error);
    }
}
