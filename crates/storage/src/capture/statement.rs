//! The statement format's capture: while a statement runs, its rows are summed for the fingerprints and, unless they may
//! be needed after all, not encoded; when it has run, it stands in the log itself.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use bellwether_types::format::statement::{Executed, IMAGES, NO_IMAGES};
use bellwether_types::lexer::quoted_name;
use bellwether_types::{Environment, LogFormat, SqlError, Statement, TableId, Value, ValueRef};

use crate::capture::{Capture, Purpose};
use crate::catalog::{Key, Table};
use crate::database::VALUE_BYTES_MAX;
use crate::error::{SqliteError, StorageError};
use crate::safety::{self, Unsafe, Verdict};
use crate::statement::Prepared;
use crate::transaction::{OpenTransaction, internal, without_traces};
use crate::writer::WriteConnection;

/// Text and parameters of a statement that stands in the log itself: no more than a row may have.
const EXECUTED_BYTES_MAX: usize = VALUE_BYTES_MAX as usize;

/// A statement that is to stand in the log itself runs.
#[derive(Debug)]
pub(crate) struct Window {
    /// Of the buffer, when it began.
    start: u64,
    /// Its rows are encoded, too: somebody reads them, or, should it not be safe, they are what is sent.
    pub(super) keeps_rows: bool,
    /// They stand behind the mark of images.
    has_images: bool,
    /// Rows that changed, those of `sqlite_sequence` by a client's hand included.
    changes: u64,
    /// A row with the largest rowid came or went.
    pub(super) met_last_rowid: bool,
    /// Tables that got rows, ascending.
    pub(super) inserted: Vec<TableId>,
}

/// How a statement is to be written.
pub(crate) struct Plan {
    verdict: Arc<Verdict>,
    /// What the session has before.
    last_insert_rowid: i64,
    changes: i64,
    total_changes: i64,
    had_pending_keys: bool,
    defers_foreign_keys: bool,
    environment: Environment,
}

impl Capture {
    pub(crate) fn log_format(&self) -> LogFormat {
        self.log_format
    }

    /// Of committed state, or of the transaction that is open.
    pub(crate) fn set_log_format(&mut self, format: LogFormat) {
        self.log_format = format;
    }

    /// Whether somebody outside reads the log: then it has whole rows.
    pub(super) fn has_readers(&self) -> bool {
        !self.slots().is_empty()
    }

    fn open_window(&mut self) {
        let start = self.buffer.len();
        let has_images = self.has_readers();
        if has_images {
            self.buffer.encoder().u8(IMAGES);
        }
        self.window = Some(Window {
            start,
            keeps_rows: self.log_format == LogFormat::Mixed || has_images,
            has_images,
            changes: 0,
            met_last_rowid: false,
            inserted: Vec::new(),
        });
    }

    /// The statement ended.
    pub(crate) fn close_window(&mut self) -> Option<Window> {
        self.window.take()
    }

    /// Whether rows that change now are written to the log.
    pub(super) fn encodes(&self) -> bool {
        self.purpose == Purpose::Lead && self.window.as_ref().is_none_or(|window| window.keeps_rows)
    }

    /// Something changes.
    pub(super) fn count_in_window(&mut self) {
        if let Some(window) = &mut self.window {
            window.changes += 1;
        }
    }

    /// A row came.
    pub(super) fn note_insert(&mut self, table: TableId) {
        if let Some(window) = &mut self.window
            && let Err(place) = window.inserted.binary_search(&table)
        {
            window.inserted.insert(place, table);
        }
    }

    /// The statement's rows are what is written.
    fn keep_rows(&mut self, window: &Window) -> Result<(), SqlError> {
        if !window.has_images {
            return Ok(());
        }
        let replaced = self.buffer.replace(window.start, NO_IMAGES);
        replaced.map_err(|error| StorageError::Spill(error.to_string()).into_sql_error())
    }

    fn write_statement(
        &mut self,
        window: &Window,
        sql: &str,
        mut executed: Executed<'_>,
    ) -> Result<(), StorageError> {
        if !window.has_images {
            self.buffer.truncate(window.start);
        }
        if self.last_statement.as_deref() == Some(sql) {
            executed.sql = None;
        } else {
            self.last_statement = Some(sql.into());
        }
        executed.encode(self.buffer.encoder());
        if let Some(frame) = self.frames.last_mut() {
            frame.statements += 1;
        }
        let spilled = self.buffer.maybe_spill();
        spilled.map_err(|error| StorageError::Spill(error.to_string()))
    }

    /// Statements in the group's body.
    pub(crate) fn statements(&self) -> u64 {
        self.frames.iter().map(|frame| frame.statements).sum()
    }
}

impl WriteConnection {
    /// Before a client's INSERT, UPDATE or DELETE runs: `None` when its rows are written. The statement that is to run may
    /// be given an environment, which it must have to do the same again.
    pub(crate) fn plan(
        &mut self,
        open: &OpenTransaction,
        prepared: &mut Prepared,
        statement: &Statement,
    ) -> Result<Option<Plan>, SqlError> {
        let format = self.hook.capture().log_format();
        if format == LogFormat::Row || self.sends_rows {
            return Ok(None);
        }
        let database = self.database.clone();
        let catalog = self.hook.capture().catalog().clone();
        let switches = (self.foreign_keys, self.recursive_triggers);
        // To explain a statement resets SQLite's counters.
        let verdict = without_traces(&database, || prepared.judged(&database, &catalog, switches));
        let verdict = verdict.map_err(internal)?;
        let had_pending_keys = database.has_unresolved_foreign_keys();
        let mut reasons = verdict.reasons.clone();
        let parameters = statement.parameters.iter().map(Value::size_bytes);
        if statement.sql.len() + parameters.sum::<usize>() > EXECUTED_BYTES_MAX {
            reasons.push(Unsafe::TooLarge);
        }
        if had_pending_keys && format == LogFormat::Mixed {
            reasons.push(Unsafe::ForeignKeysPending);
        }
        if !reasons.is_empty() {
            self.count_unsafe(format, &reasons)?;
            return Ok(None);
        }
        if catalog.has_virtual_tables {
            // FTS5 holds rows back until a savepoint begins: those of statements before stand before this one.
            let flushed = without_traces(&database, || {
                database.execute("SAVEPOINT flush_")?;
                database.execute("RELEASE flush_")
            });
            flushed.map_err(internal)?;
            self.hook.finish_blob_writes().map_err(internal)?;
        }
        let session = self.session(open);
        let environment = match statement.environment {
            Some(environment) => environment,
            None => {
                let environment = self.own_environment(open);
                prepared.set_environment(environment);
                environment
            }
        };
        self.hook.capture().open_window();
        Ok(Some(Plan {
            verdict,
            last_insert_rowid: session.last_insert_rowid,
            changes: session.changes,
            total_changes: session.total_changes,
            had_pending_keys,
            defers_foreign_keys: open.defers_foreign_keys,
            environment,
        }))
    }

    /// Followers change the schema without foreign keys: what DROP TABLE settles by the way would stay unsettled there.
    pub(crate) fn check_settled(&mut self) -> Result<(), SqlError> {
        let format = self.hook.capture().log_format();
        match format == LogFormat::Statement && self.database.has_unresolved_foreign_keys() {
            true => self.count_unsafe(format, &[Unsafe::ForeignKeysPending]),
            false => Ok(()),
        }
    }

    fn count_unsafe(&mut self, format: LogFormat, reasons: &[Unsafe]) -> Result<(), SqlError> {
        let is_refused = format == LogFormat::Statement;
        let mut capture = self.hook.capture();
        capture.safety_is_new = true;
        for reason in reasons {
            let (refused, as_rows) = capture.safety.by_reason.entry(*reason).or_default();
            *if is_refused { refused } else { as_rows } += 1;
        }
        match is_refused {
            true => Err(safety::refusal(reasons)),
            false => Ok(()),
        }
    }

    /// Of a statement that came without: the group's time, and chance that no other statement has.
    fn own_environment(&mut self, open: &OpenTransaction) -> Environment {
        self.environments += 1;
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&open.request.session.0.to_le_bytes());
        seed[16..24].copy_from_slice(&open.request.sequence.to_le_bytes());
        seed[24..].copy_from_slice(&self.environments.to_le_bytes());
        let now = self.group_time.unix_ms().cast_signed();
        Environment {
            transaction_ms: now,
            statement_ms: now,
            seed,
        }
    }

    /// After the statement ran: it is written, or its rows are.
    pub(crate) fn write(&mut self, plan: Option<&Plan>, statement: &Statement) -> Result<(), SqlError> {
        let window = self.hook.capture().close_window();
        if let (Some(plan), Some(window)) = (plan, window) {
            if self.write_if_safe(plan, &window, statement)? {
                return Ok(());
            }
            self.hook.capture().keep_rows(&window)?;
        }
        let format = self.hook.capture().log_format();
        match format {
            LogFormat::Row => Ok(()),
            // The statement after it may go on from there.
            LogFormat::Statement | LogFormat::Mixed => self.capture_sequences(),
        }
    }

    /// False when its rows stay.
    fn write_if_safe(
        &mut self,
        plan: &Plan,
        window: &Window,
        statement: &Statement,
    ) -> Result<bool, SqlError> {
        // Without changing a row, INSERT OR IGNORE moves AUTOINCREMENT on.
        if window.changes == 0 && !plan.verdict.gives_sequence {
            self.hook.capture().buffer.truncate(window.start);
            return Ok(true);
        }
        let format = self.hook.capture().log_format();
        let mut reasons = Vec::new();
        if plan.verdict.gives_rowids && (window.met_last_rowid || self.has_last_rowid(window)?) {
            reasons.push(Unsafe::RowidsExhausted);
        }
        let has_pending_keys = self.database.has_unresolved_foreign_keys();
        if format == LogFormat::Mixed && (plan.had_pending_keys || has_pending_keys) {
            reasons.push(Unsafe::ForeignKeysPending);
        }
        if !reasons.is_empty() {
            self.count_unsafe(format, &reasons)?;
            return Ok(false);
        }
        {
            let mut capture = self.hook.capture();
            capture.safety.safe += 1;
            capture.safety_is_new = true;
        }
        let verdict = &plan.verdict;
        let facts = verdict.asks_facts.then(|| self.database.facts()).flatten();
        let executed = Executed {
            sql: Some(&statement.sql),
            parameters: statement.parameters.iter().map(|value| value.as_ref()).collect(),
            transaction_ms: plan.environment.transaction_ms,
            statement_ms: plan.environment.statement_ms,
            seed: verdict.draws.then_some(plan.environment.seed),
            sqlite_version: verdict.asks_version.then(rusqlite::version),
            facts: facts.as_deref().cloned(),
            last_insert_rowid: plan.last_insert_rowid,
            changes: plan.changes,
            total_changes: plan.total_changes,
            foreign_keys: self.foreign_keys,
            recursive_triggers: self.recursive_triggers,
            defers_foreign_keys: plan.defers_foreign_keys,
        };
        let mut capture = self.hook.capture();
        let written = capture.write_statement(window, &statement.sql, executed);
        written.map_err(StorageError::into_sql_error)?;
        Ok(true)
    }

    /// Whether a table that got rows has one with the largest rowid: then SQLite draws rowids by chance
    /// (<https://sqlite.org/autoinc.html>).
    fn has_last_rowid(&mut self, window: &Window) -> Result<bool, SqlError> {
        let catalog = self.hook.capture().catalog().clone();
        if self.last_rowids_of != catalog.schema {
            self.last_rowids.clear();
            self.last_rowids_of = catalog.schema;
        }
        for id in &window.inserted {
            let Some(table) = catalog.tables.get(id) else {
                continue;
            };
            if table.is_autoincrement || matches!(table.key, Key::Primary(_) | Key::Unreachable) {
                continue;
            }
            if self.last_rowid(table).map_err(internal)? == Some(i64::MAX) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn last_rowid(&mut self, table: &Table) -> Result<Option<i64>, SqliteError> {
        let last = match self.last_rowids.entry(table.id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let rowid = table.rowid_name().unwrap_or_default();
                let sql = format!("SELECT max({rowid}) FROM main.{}", quoted_name(&table.name));
                entry.insert(Prepared::internal(&self.database, &sql)?)
            }
        };
        let has_row = last.step()?;
        let rowid = match last.value(0) {
            ValueRef::Integer(rowid) if has_row => Some(rowid),
            _ => None,
        };
        last.reset();
        Ok(rowid)
    }
}
