//! The leader's side: client transactions, each in a savepoint, join one SQLite transaction, which becomes one
//! record; its COMMIT is held until the record is committed by the quorum.
//!
//! The order of calls: `begin_group`, then any number of `begin` … `finish` (or `abandon`), then `seal`,
//! `next_payload` until `None`, and `commit` or `rollback`. `rollback` is always allowed and ends the group.

use std::collections::HashMap;

use bellwether_types::record::{KEPT_RESULTS_BYTES_MAX, Transaction};
use bellwether_types::{
    Column, CommandTag, Durability, ErrorKind, KeptResult, NodeId, Position, RequestId, SessionId, SqlError,
    Statement, StatementResult, Timestamp, Value, ValueRef,
};
use bytes::Bytes;

use crate::capture::Purpose;
use crate::cursor::Cursor;
use crate::database::Database;
use crate::error::{StorageError, group_lost};
use crate::execute::run_statement;
use crate::outcome::is_ruled_out;
use crate::seal::SealedGroup;
use crate::session::SessionState;
use crate::statement::Prepared;
use crate::transaction::{OpenTransaction, internal, without_traces};
use crate::writer::{Phase, WriteConnection, Writer};

/// Sessions that ended are told with the next record that has another reason; so many are a reason.
const ENDED_SESSIONS_WAITING_MAX: usize = 256;

/// What a group's record will say of its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupStart {
    /// The node that executes it.
    pub origin: NodeId,
    /// Its time, greater than that of every record before.
    pub timestamp: Timestamp,
}

/// Whether a request is to be executed.
#[derive(Debug, Clone, PartialEq)]
pub enum Begin {
    /// A client transaction is open now.
    Fresh,
    /// It was executed before; this is what it answered. Nothing is open.
    Executed(Transaction),
    /// Somebody was told that it never would be. Nothing is open.
    RuledOut,
}

/// What there is to propose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// Nothing was changed: the group is ended, nothing is to be proposed.
    Empty,
    /// So many entries, at consecutive positions; the last is the record.
    Payloads(u64),
}

/// Where rows go.
pub trait RowSink {
    /// Once, before the first row, when the statement answers rows at all.
    fn columns(&mut self, columns: &[Column]) -> Result<(), SqlError>;
    /// A row; text is UTF-8. The connection is held meanwhile. An error ends the statement.
    fn row(&mut self, values: &[ValueRef<'_>]) -> Result<(), SqlError>;
}

/// Of statements that answer no rows.
pub struct NoRows;

impl RowSink for NoRows {
    fn columns(&mut self, _columns: &[Column]) -> Result<(), SqlError> {
        Err(SqlError::new(
            ErrorKind::Internal,
            "rows of a statement that has none",
        ))
    }

    fn row(&mut self, _values: &[ValueRef<'_>]) -> Result<(), SqlError> {
        Err(SqlError::new(
            ErrorKind::Internal,
            "a row of a statement that has none",
        ))
    }
}

/// An open group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) start: GroupStart,
    /// Those that changed something, in order.
    pub(crate) transactions: Vec<Transaction>,
    /// Last place in `transactions`, by session.
    last_by_session: HashMap<SessionId, usize>,
    /// What they changed.
    captured_bytes: u64,
    /// Of their kept results.
    kept_bytes: usize,
    open: Option<OpenTransaction>,
    is_lost: bool,
}

impl Writer {
    /// Opens a group. Whoever leads has applied all that is committed: chunks whose record did not come are abandoned.
    pub fn begin_group(&mut self, start: GroupStart) -> Result<(), StorageError> {
        self.discard();
        if !matches!(self.phase, Phase::Idle) {
            return Err(StorageError::OutOfOrder("begin_group while something is open"));
        }
        self.turn_to(Purpose::Lead)?;
        let database = self.connection.database.clone();
        let _gate = database.enter();
        self.connection.internal.begin.run()?;
        self.connection.group_time = start.timestamp;
        self.connection.hook.capture().begin(Purpose::Lead);
        self.phase = Phase::Group(Box::new(Group {
            start,
            transactions: Vec::new(),
            last_by_session: HashMap::new(),
            captured_bytes: 0,
            kept_bytes: 0,
            open: None,
            is_lost: false,
        }));
        Ok(())
    }

    /// Opens a client transaction, unless its request was executed before. Only requests that changed something are
    /// remembered: to execute another one again is harmless.
    pub fn begin(&mut self, request: RequestId, session: SessionState) -> Result<Begin, SqlError> {
        let database = self.connection.database.clone();
        let _gate = database.enter();
        let group = running(&mut self.phase)?;
        if group.open.is_some() {
            return Err(SqlError::new(
                ErrorKind::TransactionState,
                "a transaction is open already",
            ));
        }
        if let Some(executed) = find_executed(group, &mut self.connection, request)? {
            return Ok(match is_ruled_out(&executed.tag) {
                true => Begin::RuledOut,
                false => Begin::Executed(executed),
            });
        }
        self.connection.internal.savepoint.run().map_err(internal)?;
        self.connection.hook.capture().push();
        self.connection
            .take_session(&session)
            .map_err(StorageError::into_sql_error)?;
        group.open = Some(OpenTransaction::new(request, session));
        Ok(Begin::Fresh)
    }

    /// When the client of the open transaction is to be answered; its record says so.
    pub fn set_durability(&mut self, durability: Durability) -> Result<(), SqlError> {
        opened(&mut self.phase)?.durability = durability;
        Ok(())
    }

    /// What all statements of the open transaction answered, for whoever asks again; where there is no room for it,
    /// its rows are not known then.
    pub(crate) fn keep_results(&mut self, results: &[StatementResult]) -> Result<(), SqlError> {
        opened(&mut self.phase)?.result = KeptResult::of(results);
        Ok(())
    }

    /// Runs one statement of the open client transaction. After an error only `rollback_to` and `abandon` help, unless
    /// the text could not be compiled: then the transaction is as it was.
    pub fn execute(&mut self, statement: &Statement, rows: &mut dyn RowSink) -> Result<CommandTag, SqlError> {
        let database = self.connection.database.clone();
        let _gate = database.enter();
        let open = healthy(&mut self.phase)?;
        let result = run_statement(&mut self.connection, open, statement, rows);
        if let Ok(tag) = &result {
            open.tag = tag.clone();
            open.is_failed = false;
        }
        self.note_loss(&database);
        result
    }

    /// A query whose rows are fetched one by one. Its errors do not fail the transaction by themselves.
    pub fn open_cursor(&mut self, statement: &Statement) -> Result<Cursor, SqlError> {
        healthy(&mut self.phase)?;
        Cursor::open(&self.connection.database, statement)
    }

    /// All rows of a query, if it has no more than so many, of so many bytes; else `None`, and nothing was done. Its
    /// errors do not fail the transaction by themselves.
    pub fn query(
        &mut self,
        statement: &Statement,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Option<StatementResult>, SqlError> {
        let database = self.connection.database.clone();
        let request = healthy(&mut self.phase)?.request;
        let mut cursor = Cursor::open(&database, statement)?;
        let _running = database.run_for(request);
        let mut rows = Vec::new();
        let mut bytes = 0;
        while cursor.step()? {
            let values = (0..cursor.columns().len()).map(|column| cursor.value(column).to_value());
            let row: Vec<Value> = values.collect::<Result<_, _>>()?;
            bytes += row.iter().map(Value::size_bytes).sum::<usize>();
            if rows.len() >= rows_max || bytes > bytes_max {
                return Ok(None);
            }
            rows.push(row);
        }
        Ok(Some(StatementResult {
            columns: cursor.columns().to_vec(),
            tag: CommandTag::counted("SELECT", rows.len() as u64),
            rows,
        }))
    }

    /// The client's SAVEPOINT. A name may be given again: the inner one hides the outer.
    pub fn savepoint(&mut self, name: &str) -> Result<(), SqlError> {
        let database = self.connection.database.clone();
        let _gate = database.enter();
        let open = healthy(&mut self.phase)?;
        let depth = open.savepoints.len();
        // FTS5 writes what it held back before a savepoint begins: that is the outer one's change.
        let result = without_traces(&database, || {
            database.execute(&format!("SAVEPOINT client_{depth}"))
        });
        result.map_err(internal)?;
        self.connection.hook.finish_blob_writes().map_err(internal)?;
        self.connection.hook.capture().push();
        open.savepoints.push(name.to_owned());
        Ok(())
    }

    /// The client's ROLLBACK TO: what came after the savepoint did not happen; the savepoint stays.
    pub fn rollback_to(&mut self, name: &str) -> Result<(), SqlError> {
        let database = self.connection.database.clone();
        let _gate = database.enter();
        let open = opened(&mut self.phase)?;
        let depth = open.find_savepoint(name)?;
        database
            .execute(&format!("ROLLBACK TO client_{depth}"))
            .map_err(internal)?;
        let mut capture = self.connection.hook.capture();
        for _ in depth..open.savepoints.len() {
            capture.discard();
        }
        capture.push();
        open.savepoints.truncate(depth + 1);
        open.is_failed = false;
        Ok(())
    }

    /// The client's RELEASE SAVEPOINT: the savepoint and those inside it are forgotten, their changes stay.
    pub fn release(&mut self, name: &str) -> Result<(), SqlError> {
        let database = self.connection.database.clone();
        let _gate = database.enter();
        let open = healthy(&mut self.phase)?;
        let depth = open.find_savepoint(name)?;
        without_traces(&database, || database.execute(&format!("RELEASE client_{depth}")))
            .map_err(internal)?;
        self.connection.hook.finish_blob_writes().map_err(internal)?;
        let mut capture = self.connection.hook.capture();
        for _ in depth..open.savepoints.len() {
            capture.merge();
        }
        open.savepoints.truncate(depth);
        Ok(())
    }

    /// The client's COMMIT: the transaction joins the group. When it fails, it is rolled back and nothing is open.
    pub fn finish(&mut self) -> Result<SessionState, SqlError> {
        self.finish_as(None)
    }

    /// With a tag it is remembered under that one, though it changed nothing.
    pub(crate) fn finish_as(&mut self, tag: Option<CommandTag>) -> Result<SessionState, SqlError> {
        let database = self.connection.database.clone();
        let _gate = database.enter();
        let open = opened(&mut self.phase)?;
        let result = if open.is_failed {
            Err(SqlError::new(
                ErrorKind::TransactionFailed,
                "current transaction is aborted, commands ignored until end of transaction block",
            ))
        } else {
            self.connection.leave(open)
        };
        match result {
            Ok((session, is_changed)) => {
                if let Phase::Group(group) = &mut self.phase
                    && let Some(mut open) = group.open.take()
                    && (is_changed || tag.is_some())
                {
                    open.tag = tag.unwrap_or(open.tag);
                    group.join(open, self.connection.hook.capture().buffer.len());
                }
                Ok(session)
            }
            Err(error) => {
                self.take_back(&database);
                Err(error)
            }
        }
    }

    /// The client's ROLLBACK: the open transaction did not happen; the group goes on. What the session sees of it
    /// (`changes()` and the like) stays, as in SQLite.
    pub fn abandon(&mut self) -> SessionState {
        let database = self.connection.database.clone();
        let _gate = database.enter();
        self.take_back(&database)
    }

    /// Whether an error rolled back the whole SQLite transaction: every client transaction of the group, finished or
    /// not, did not happen. Only `rollback` helps; then the finished ones can be executed again.
    pub fn is_group_lost(&self) -> bool {
        matches!(&self.phase, Phase::Group(group) if group.is_lost)
    }

    /// Whether a client transaction is open.
    pub fn is_in_transaction(&self) -> bool {
        matches!(&self.phase, Phase::Group(group) if group.open.is_some())
    }

    /// A session is gone: its line in the request table goes with this group or a later one.
    pub fn end_session(&mut self, session: SessionId) {
        if !self.ended_sessions.contains(&session) {
            self.ended_sessions.push(session);
        }
    }

    /// Sessions whose last request was committed before `before` are taken for gone, up to `at_most`: their ends were
    /// told to a leader that was lost. The answer is how many. The caller knows that nobody asks for
    /// so old a request any more: it would be executed again.
    pub fn forget_sessions(&mut self, before: Timestamp, at_most: u32) -> Result<usize, StorageError> {
        let database = self.connection.database.clone();
        let _gate = database.enter();
        let sql = "SELECT session FROM _bellwether_request WHERE timestamp < ?1 ORDER BY timestamp LIMIT ?2";
        let mut lines = Prepared::internal(&database, sql)?;
        lines.bind(1, ValueRef::Integer(before.0.cast_signed()))?;
        lines.bind(2, ValueRef::Integer(i64::from(at_most)))?;
        let mut found = 0;
        while lines.step()? {
            if let ValueRef::Blob(id) = lines.value(0)
                && let Ok(id) = id.try_into()
            {
                self.end_session(SessionId(u128::from_le_bytes(id)));
                found += 1;
            }
        }
        Ok(found)
    }

    /// Ends the group's execution: writes position, sums and requests into the same SQLite transaction. `next` is the
    /// position of the first entry to be proposed; the record's is as many places later as there are chunks.
    pub fn seal(&mut self, next: Position) -> Result<Sealed, StorageError> {
        let group = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Group(group) if group.open.is_none() && !group.is_lost => group,
            other => {
                let is_lost = matches!(&other, Phase::Group(group) if group.is_lost);
                self.phase = other;
                return Err(if is_lost {
                    StorageError::GroupLost
                } else {
                    StorageError::OutOfOrder("seal without a group, or while a transaction is open")
                });
            }
        };
        if group.transactions.is_empty() && self.ended_sessions.len() < ENDED_SESSIONS_WAITING_MAX {
            self.phase = Phase::Group(group);
            self.rollback()?;
            return Ok(Sealed::Empty);
        }
        let database = self.connection.database.clone();
        let _gate = database.enter();
        // Should what follows fail, the group is still there to be rolled back.
        let sealed = SealedGroup::new(&mut self.connection, &group, &self.ended_sessions, next);
        match sealed {
            Ok(sealed) => {
                let count = sealed.count();
                self.phase = Phase::Sealed(sealed);
                Ok(Sealed::Payloads(count))
            }
            Err(error) => {
                self.phase = Phase::Group(group);
                Err(error)
            }
        }
    }

    /// The next entry's payload: chunks, then the record; `None` after it. At most one is in memory at a time.
    pub fn next_payload(&mut self) -> Result<Option<Bytes>, StorageError> {
        match &mut self.phase {
            Phase::Sealed(sealed) => sealed.next_payload(&mut self.connection.hook.capture().buffer),
            _ => Err(StorageError::OutOfOrder("next_payload without a sealed group")),
        }
    }

    /// The held COMMIT: the record is committed by the quorum.
    pub fn commit(&mut self) -> Result<(), StorageError> {
        let Phase::Sealed(sealed) = &self.phase else {
            return Err(StorageError::OutOfOrder("commit without a sealed group"));
        };
        let database = self.connection.database.clone();
        let _gate = database.enter();
        let captured = self.connection.hook.capture().buffer.len();
        self.connection.internal.commit.run()?;
        let mut capture = self.connection.hook.capture();
        capture.check()?;
        if capture.buffer.len() != captured {
            return Err(StorageError::ChangedAfterSeal);
        }
        self.notifications = capture.commit();
        self.position = sealed.position();
        self.timestamp = sealed.timestamp();
        self.ended_sessions.drain(..sealed.ended_sessions());
        drop(capture);
        self.phase = Phase::Idle;
        Ok(())
    }

    /// Ends the group without a trace: leadership was lost, or the group was. Also when none is open.
    pub fn rollback(&mut self) -> Result<(), StorageError> {
        if !matches!(self.phase, Phase::Group(_) | Phase::Sealed(_)) {
            return Ok(());
        }
        let database = self.connection.database.clone();
        let _gate = database.enter();
        if !database.is_autocommit() {
            self.connection.internal.rollback.run()?;
        }
        self.connection.hook.capture().roll_back();
        self.phase = Phase::Idle;
        Ok(())
    }

    /// Notes when SQLite rolled back everything.
    fn note_loss(&mut self, database: &Database) {
        if let Phase::Group(group) = &mut self.phase
            && !group.is_lost
            && database.is_autocommit()
        {
            group.is_lost = true;
            self.connection.hook.capture().roll_back();
        }
    }

    fn take_back(&mut self, database: &Database) -> SessionState {
        self.note_loss(database);
        let Phase::Group(group) = &mut self.phase else {
            return SessionState::default();
        };
        let Some(open) = group.open.take() else {
            return SessionState::default();
        };
        let session = self.connection.session(&open);
        if group.is_lost {
            return session;
        }
        self.connection.stop_deferring(&open);
        let connection = &mut self.connection;
        let undone = connection
            .internal
            .rollback_to
            .run()
            .and_then(|()| connection.internal.release.run());
        if undone.is_err() {
            // SQLite could not roll back the part: the whole goes.
            group.is_lost = true;
            if !database.is_autocommit() {
                let _ = connection.internal.rollback.run();
            }
            connection.hook.capture().roll_back();
            return session;
        }
        let mut capture = connection.hook.capture();
        while capture.depth() > 1 {
            capture.discard();
        }
        // What the hook complained about was taken back.
        let _ = capture.check();
        session
    }
}

impl Group {
    fn join(&mut self, open: OpenTransaction, captured_bytes: u64) {
        let body_bytes = captured_bytes.saturating_sub(self.captured_bytes);
        self.captured_bytes = captured_bytes;
        let mut result = open.result;
        if self.kept_bytes + result.size_bytes() > KEPT_RESULTS_BYTES_MAX {
            result = KeptResult::TooLarge;
        }
        self.kept_bytes += result.size_bytes();
        self.last_by_session
            .insert(open.request.session, self.transactions.len());
        self.transactions.push(Transaction {
            request: open.request,
            tag: open.tag,
            result,
            durability: open.durability,
            body_bytes,
        });
    }
}

fn running(phase: &mut Phase) -> Result<&mut Group, SqlError> {
    match phase {
        Phase::Group(group) if group.is_lost => Err(group_lost()),
        Phase::Group(group) => Ok(group),
        _ => Err(SqlError::new(ErrorKind::Internal, "no group is open")),
    }
}

fn opened(phase: &mut Phase) -> Result<&mut OpenTransaction, SqlError> {
    let none = || SqlError::new(ErrorKind::TransactionState, "there is no transaction in progress");
    running(phase)?.open.as_mut().ok_or_else(none)
}

fn healthy(phase: &mut Phase) -> Result<&mut OpenTransaction, SqlError> {
    let open = opened(phase)?;
    if open.is_failed {
        return Err(SqlError::new(
            ErrorKind::TransactionFailed,
            "current transaction is aborted, commands ignored until end of transaction block",
        ));
    }
    Ok(open)
}

/// Looks in this group, then in the request table.
fn find_executed(
    group: &Group,
    connection: &mut WriteConnection,
    request: RequestId,
) -> Result<Option<Transaction>, SqlError> {
    let last = match group.last_by_session.get(&request.session) {
        Some(place) => Some(group.transactions[*place].clone()),
        None => connection.internal.find_request(request).map_err(internal)?,
    };
    match last {
        Some(last) if last.request.sequence == request.sequence => Ok(Some(last)),
        Some(last) if last.request.sequence > request.sequence => Err(SqlError::new(
            ErrorKind::UnknownOutcome,
            format!("transaction {request} is older than its session's last one"),
        )
        .with_detail(format!("The last one is {}.", last.request))),
        _ => Ok(None),
    }
}
