//! A connection that reads: what statements are, what they answer, in snapshots of committed records.

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};

use bellwether_types::{
    Column, DecodeError, Decoder, Encoder, Facts, Position, RequestId, SqlError, Statement, StatementResult,
};
use rusqlite::ffi;

use crate::alteration::Alteration;
use crate::cursor::Cursor;
use crate::database::Database;
use crate::error::StorageError;
use crate::files::{ConnectionRole, Files, OpenError};
use crate::internal;
use crate::kind::{self, StatementKind};
use crate::session::SessionState;
use crate::statement::Prepared;
use crate::workspace::Workspace;
use crate::writer::{not_opened, open_error};

/// A `query_only` connection. It sees what was committed when its snapshot (or, without one, its statement) began.
pub struct Reader {
    /// Dropped while the gate is held: a cursor may be stepping in another thread.
    statements: ManuallyDrop<ReaderStatements>,
    database: Arc<Database>,
    /// Foreign keys and recursive triggers, as they are set now; `None`: not set yet.
    switches: Option<(bool, bool)>,
    /// Of the file that it reads, for the workspace.
    files: Files,
}

/// Our own, compiled once.
struct ReaderStatements {
    position: Prepared,
    begin: Prepared,
    commit: Prepared,
    /// Opened when one is needed first. It reads with a statement of this connection.
    workspace: Option<Workspace>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _gate = self.database.enter();
        // SAFETY: not used after this.
        unsafe { ManuallyDrop::drop(&mut self.statements) };
    }
}

/// What a statement is, told without running it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// What it answers; empty for none.
    pub columns: Vec<Column>,
    /// The highest parameter number: so many values must be bound.
    pub parameter_count: usize,
    /// The numbers that stand in it, ascending, each once.
    pub parameters: Vec<u32>,
    /// Whether running it writes nothing.
    pub reads_only: bool,
    /// EXPLAIN or EXPLAIN QUERY PLAN.
    pub is_explain: bool,
    /// As PostgreSQL's command tag names it.
    pub verb: String,
}

impl Description {
    /// Appends what a peer needs to know; the kind is derived again there.
    pub fn encode(&self, out: &mut Encoder) {
        out.u64(self.columns.len() as u64);
        for column in &self.columns {
            column.encode(out);
        }
        out.u64(self.parameter_count as u64);
        out.u64(self.parameters.len() as u64);
        for number in &self.parameters {
            out.u64(u64::from(*number));
        }
        out.bool(self.reads_only);
        out.bool(self.is_explain);
        out.str(&self.verb);
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Description, DecodeError> {
        let columns = (0..input.count()?)
            .map(|_| Column::decode(input))
            .collect::<Result<_, _>>()?;
        let parameter_count = input.u32("parameter count")? as usize;
        let parameters = (0..input.count()?)
            .map(|_| input.u32("parameter"))
            .collect::<Result<_, _>>()?;
        Ok(Description {
            columns,
            parameter_count,
            parameters,
            reads_only: input.bool()?,
            is_explain: input.bool()?,
            verb: input.str()?.to_owned(),
        })
    }
}

impl Reader {
    /// Opens a replica's file, which a [`crate::Writer`] has created.
    pub fn open(files: &Files) -> Result<Reader, OpenError> {
        let connection = files.connect(ConnectionRole::Reader)?;
        let sqlite = |error| open_error(files, error);
        let database = Database::new(connection, &files.extended, ConnectionRole::Reader).map_err(sqlite)?;
        let statements = ReaderStatements {
            position: Prepared::internal(&database, internal::SELECT_POSITION).map_err(sqlite)?,
            begin: Prepared::internal(&database, "BEGIN").map_err(sqlite)?,
            commit: Prepared::internal(&database, "COMMIT").map_err(sqlite)?,
            workspace: None,
        };
        Ok(Reader {
            statements: ManuallyDrop::new(statements),
            database,
            switches: None,
            files: files.clone(),
        })
    }

    /// Statements see one state from here on: that of the position answered.
    pub fn begin_snapshot(&mut self) -> Result<Position, StorageError> {
        let database = self.database.clone();
        let _gate = database.enter();
        if !database.is_autocommit() {
            return Err(StorageError::OutOfOrder("begin_snapshot within a snapshot"));
        }
        self.statements.begin.run()?;
        Ok(internal::read_position(&mut self.statements.position)?.0)
    }

    /// Ends the snapshot; cursors still open keep it to themselves. Also when there is none.
    pub fn end_snapshot(&mut self) {
        let database = self.database.clone();
        let _gate = database.enter();
        if let Some(workspace) = &mut self.statements.workspace {
            workspace.end();
        }
        if !database.is_autocommit() {
            // A COMMIT of a transaction that wrote nothing has nothing to fail at.
            let _ = self.statements.commit.run();
        }
    }

    /// From here on [`Reader::run_apart`] works on a private copy of the snapshot, which ends with it.
    pub fn begin_workspace(
        &mut self,
        session: &SessionState,
        facts: &Arc<Facts>,
    ) -> Result<(), StorageError> {
        let database = self.database.clone();
        let _gate = database.enter();
        if database.is_autocommit() {
            return Err(StorageError::OutOfOrder("begin_workspace without a snapshot"));
        }
        let workspace = match &mut self.statements.workspace {
            Some(workspace) => workspace,
            none => none.insert(Workspace::open(&self.files, &database).map_err(not_opened)?),
        };
        Ok(workspace.begin(session, facts)?)
    }

    /// Runs a statement in the workspace, where only those after it see what it changed. `None`: it answers rows and
    /// writes, is long, changes much, fails or needs more than data; then the workspace is over.
    pub fn run_apart(&mut self, statement: &Statement) -> Option<StatementResult> {
        let database = self.database.clone();
        let _gate = database.enter();
        self.statements.workspace.as_mut()?.run(statement)
    }

    /// Of the snapshot; without one, of the last record committed in SQLite.
    pub fn position(&mut self) -> Result<Position, StorageError> {
        let database = self.database.clone();
        let _gate = database.enter();
        Ok(internal::read_position(&mut self.statements.position)?.0)
    }

    /// What `changes()`, `last_insert_rowid()` and the session's PRAGMAs answer from here on.
    pub fn set_session(&mut self, session: &SessionState) {
        let database = &self.database;
        let _gate = database.enter();
        database.set_last_insert_rowid(session.last_insert_rowid);
        database
            .counters()
            .begin(database, session.changes, session.total_changes);
        let switches = (session.foreign_keys, session.recursive_triggers);
        if self.switches.replace(switches) == Some(switches) {
            // Setting them again would make SQLite compile every cached statement anew.
            return;
        }
        database.set_switch(ffi::SQLITE_DBCONFIG_ENABLE_FKEY, session.foreign_keys);
        // Only shown here: nothing is written through this connection.
        let _ = database.execute(match session.recursive_triggers {
            true => "PRAGMA recursive_triggers = 1",
            false => "PRAGMA recursive_triggers = 0",
        });
    }

    /// Whose statements run from here on.
    pub fn set_facts(&mut self, facts: &Arc<Facts>) {
        let _gate = self.database.enter();
        self.database.set_facts(facts);
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    #[cfg(test)]
    pub(crate) fn attached(&self) -> &crate::extension::Attached {
        self.database
            .attached()
            .expect("the file's connections are extended")
    }

    /// Compiles without running; works for writes, too.
    pub fn describe(&mut self, sql: &str) -> Result<Description, SqlError> {
        describe(&self.database, sql)
    }

    /// Calls back about every so many steps of SQLite's virtual machine, on the thread that runs the query.
    pub fn on_progress(&mut self, steps: i32, callback: impl FnMut() + Send + 'static) {
        self.database.on_progress(steps, callback);
    }

    /// A running query. Statements that write are refused.
    pub fn open_cursor(&mut self, statement: &Statement) -> Result<Cursor, SqlError> {
        Cursor::open(&self.database, statement)
    }

    /// Stops what runs on this connection, from another thread.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        InterruptHandle::of_reader(&self.database)
    }
}

/// What SQLite does not know: it is read when it runs. Constraints that it drops itself, too.
fn is_ours(sql: &str, verb: &str) -> bool {
    verb == "ALTER TABLE" && Alteration::read(sql).is_some()
}

/// Compiles without running.
pub(crate) fn describe(database: &Arc<Database>, sql: &str) -> Result<Description, SqlError> {
    let (verb, kind) = kind::classify(sql)?;
    if matches!(
        kind,
        StatementKind::SessionPragma | StatementKind::Transaction | StatementKind::Vacuum
    ) || is_ours(sql, &verb)
    {
        return Ok(Description {
            columns: Vec::new(),
            parameter_count: 0,
            parameters: Vec::new(),
            reads_only: matches!(kind, StatementKind::SessionPragma | StatementKind::Transaction),
            is_explain: false,
            verb,
        });
    }
    let _gate = database.enter();
    let mut prepared = database.client_statement(sql)?;
    let mut parameters = prepared.numbers().to_vec();
    parameters.sort_unstable();
    parameters.dedup();
    let description = Description {
        columns: prepared.columns().to_vec(),
        parameter_count: parameters.last().map_or(0, |highest| *highest as usize),
        parameters,
        reads_only: prepared.is_read_only(),
        is_explain: prepared.is_explain(),
        verb,
    };
    database.give_back(prepared);
    Ok(description)
}

/// Stops the statements that run on a connection. Harmless when none does, or when the connection is closed.
pub struct InterruptHandle {
    handle: rusqlite::InterruptHandle,
    /// Of a writer's: whose statement runs. Our own, above all a held COMMIT, are not to be stopped.
    running: Option<Arc<Mutex<Option<RequestId>>>>,
}

impl InterruptHandle {
    pub(crate) fn of_reader(database: &Database) -> InterruptHandle {
        InterruptHandle {
            handle: database.owner().get_interrupt_handle(),
            running: None,
        }
    }

    pub(crate) fn of_writer(database: &Database) -> InterruptHandle {
        InterruptHandle {
            running: Some(database.running().clone()),
            ..InterruptHandle::of_reader(database)
        }
    }

    /// The client's statement that runs now, whoever's, ends with [`bellwether_types::ErrorKind::Cancelled`] soon.
    pub fn interrupt(&self) {
        self.interrupt_when(|_| true);
    }

    /// As `interrupt`, if the statement is of this request: on a writer's connection another's may run already.
    /// Answers whether it is.
    pub fn interrupt_request(&self, request: RequestId) -> bool {
        self.interrupt_when(|running| running == request)
    }

    fn interrupt_when(&self, is_meant: impl FnOnce(RequestId) -> bool) -> bool {
        let Some(running) = &self.running else {
            self.handle.interrupt();
            return true;
        };
        // Held until SQLite was told: the statement cannot end and another begin meanwhile.
        let running = running.lock().unwrap_or_else(PoisonError::into_inner);
        let is_hit = running.is_some_and(is_meant);
        if is_hit {
            self.handle.interrupt();
        }
        is_hit
    }
}
