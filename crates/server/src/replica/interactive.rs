//! An interactive transaction that has taken the writer: it holds it until it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_storage::{Begin, RowSink, ruled_out};
use bellwether_types::{
    Column, CommandTag, Durability, ErrorKind, SqlError, Statement, Value, ValueRef, lexer,
};
use tokio::sync::{mpsc, oneshot};

use super::desk::{Command, Finished, NextStep, Opening, Piece, Refusal, SavepointAction, Step};
use super::flight::Flight;
use super::writer::{Halt, WriterThread, answer};

/// Rows collected before they are handed on.
const PIECE_ROWS: usize = 256;
const PIECE_BYTES: usize = 64 << 10;

/// How a transaction on the writer ended without its client's asking.
type Ended = SqlError;

impl WriterThread {
    /// Opens, steps, ends. The group is this transaction alone.
    pub(super) fn run_interactive(
        &mut self,
        opening: Opening,
        transaction: u64,
        reply: oneshot::Sender<Result<(), Refusal>>,
    ) -> Result<(), Halt> {
        let idle = Duration::from_millis(opening.idle_timeout_ms);
        match self.open(opening)? {
            Ok(()) => {}
            Err(error) => {
                self.writer().rollback()?;
                self.metrics.transactions_failed.increment();
                answer(reply, Err(Refusal::Failed(error)));
                return Ok(());
            }
        }
        self.desk.hold(transaction);
        if reply.send(Ok(())).is_err() {
            self.desk.release();
            return Ok(self.writer().rollback()?);
        }
        let result = self.run_steps(transaction, idle);
        self.desk.release();
        result
    }

    /// Lends the connection to the transaction's session until there is something that it cannot do itself.
    fn next_step(&mut self, transaction: u64, idle: Duration) -> NextStep {
        let mut last = Instant::now();
        loop {
            let writer = self
                .writer
                .take()
                .expect("absent only while the file is replaced, or lent");
            self.desk.lease.lend(transaction, writer, last);
            let next = self.desk.next_step((!idle.is_zero()).then(|| last + idle));
            let (writer, lent_last) = self.desk.lease.take_back();
            self.writer = Some(writer);
            last = lent_last;
            match next {
                // It was not silent to its session.
                NextStep::Silence if last.elapsed() < idle => {}
                next => return next,
            }
        }
    }

    fn open(&mut self, opening: Opening) -> Result<Result<(), Ended>, Halt> {
        let start = self.start_group();
        match self.writer().begin_group(start) {
            Ok(()) => {}
            Err(error) if !self.survives(&error) => return Err(error.into()),
            Err(error) => return Ok(Err(error.into_sql_error())),
        }
        self.writer().set_facts(&opening.facts);
        match self.writer().begin(opening.request, opening.session) {
            Ok(Begin::Fresh) => {}
            Ok(Begin::RuledOut) => {
                return Ok(Err(ruled_out(opening.request)));
            }
            Ok(Begin::Executed(_)) => {
                return Ok(Err(SqlError::new(
                    ErrorKind::Internal,
                    "this transaction was executed before",
                )));
            }
            Err(error) => return Ok(Err(error)),
        }
        // Answered as before, it is as if it had run now.
        let mut answered = opening.answered.iter();
        let repeated = answered.try_for_each(|one| self.writer().repeat(&one.statement, &one.seen));
        Ok(repeated.and_then(|()| {
            opening
                .savepoints
                .iter()
                .try_for_each(|name| self.writer().savepoint(name))
        }))
    }

    fn run_steps(&mut self, transaction: u64, idle: Duration) -> Result<(), Halt> {
        loop {
            match self.next_step(transaction, idle) {
                NextStep::Step(Step::Execute {
                    statement,
                    facts,
                    pieces,
                    reply,
                }) => {
                    if let Some(facts) = facts {
                        self.writer().set_facts(&facts);
                    }
                    let result = self.execute_step(&statement, pieces, idle);
                    let lost = self.writer().is_group_lost();
                    answer(reply, result.map_err(Refusal::Failed));
                    if lost {
                        return Ok(self.writer().rollback()?);
                    }
                }
                NextStep::Step(Step::Describe { sql, reply }) => {
                    let result = self.writer().describe(&sql);
                    answer(reply, result.map_err(Refusal::Failed));
                }
                NextStep::Step(Step::Savepoint { name, action, reply }) => {
                    let result = match action {
                        SavepointAction::Set => self.writer().savepoint(&name),
                        SavepointAction::RollbackTo => self.writer().rollback_to(&name),
                        SavepointAction::Release => self.writer().release(&name),
                    };
                    answer(reply, result.map_err(Refusal::Failed));
                }
                NextStep::Step(Step::Commit { durability, reply }) => {
                    return self.commit_step(durability, reply);
                }
                NextStep::Step(Step::Rollback { reply }) => {
                    let session = self.writer().abandon();
                    self.writer().rollback()?;
                    self.metrics.transactions_rolled_back.increment();
                    if let Some(reply) = reply {
                        answer(reply, session);
                    }
                    return Ok(());
                }
                NextStep::Silence => {
                    tracing::warn!(
                        database = self.name,
                        ?idle,
                        "an idle transaction held the writer: ended"
                    );
                    return self.end_by_force(idle_too_long());
                }
                NextStep::Drained => return self.end_by_force(drained()),
                NextStep::Command(Command::Stop) => {
                    self.writer().rollback()?;
                    return Err(Halt::Stopped);
                }
                NextStep::Command(command) => {
                    self.writer().rollback()?;
                    return self.handle_command(command);
                }
            }
        }
    }

    fn end_by_force(&mut self, why: SqlError) -> Result<(), Halt> {
        self.desk.end_holder(why);
        self.metrics.transactions_rolled_back.increment();
        Ok(self.writer().rollback()?)
    }

    fn execute_step(
        &mut self,
        statement: &Statement,
        pieces: mpsc::Sender<Piece>,
        idle: Duration,
    ) -> Result<CommandTag, SqlError> {
        let mut sink = PieceSink {
            pieces,
            rows: Vec::new(),
            bytes: 0,
            patience: idle,
            is_write: !matches!(
                lexer::verb(&statement.sql).as_deref(),
                Some("SELECT" | "VALUES" | "EXPLAIN")
            ),
        };
        let tag = self.writer().execute(statement, &mut sink)?;
        sink.flush()?;
        Ok(tag)
    }

    fn commit_step(
        &mut self,
        durability: Durability,
        reply: oneshot::Sender<Result<Finished, Refusal>>,
    ) -> Result<(), Halt> {
        let finished = self.writer().set_durability(durability);
        let session = match finished.and_then(|()| self.writer().finish()) {
            Ok(session) => session,
            Err(error) => {
                self.writer().rollback()?;
                self.metrics.transactions_failed.increment();
                answer(reply, Err(Refusal::Failed(error)));
                return Ok(());
            }
        };
        let metrics = Arc::clone(&self.metrics);
        let finish = move |position, is_written| {
            metrics.transactions_committed.increment();
            Ok(Finished {
                session,
                position,
                is_written,
            })
        };
        let mut reply = Some(reply);
        let answer_early = |position| {
            if let Some(reply) = reply.take() {
                answer(reply, finish(position, true));
            }
        };
        let waits = self.waits_of([durability]);
        let flight = self.seal_and_fly(waits, answer_early)?;
        let outcome = match flight {
            Ok(Flight::Committed { position, is_written }) => finish(position, is_written),
            Ok(Flight::Lost) => Err(Refusal::Unknown),
            Err(error) => Err(Refusal::Failed(error)),
        };
        if let Some(reply) = reply {
            answer(reply, outcome);
        }
        Ok(())
    }
}

fn idle_too_long() -> SqlError {
    SqlError::new(
        ErrorKind::IdleInTransaction,
        "terminating transaction due to idle-in-transaction timeout",
    )
    .with_detail("It held the writer, and other transactions waited for it.")
    .with_hint("See idle_in_transaction_session_timeout.")
}

fn drained() -> SqlError {
    SqlError::new(
        ErrorKind::Serialization,
        "terminating transaction because another node is to lead",
    )
    .with_detail("It held the writer for longer than the switchover waits.")
    .with_hint("Nothing of it was done. Try again. See bellwether.drain_timeout.")
}

/// Hands rows on to the client's session, which may be slow; but not slower than the idle timeout.
struct PieceSink {
    pieces: mpsc::Sender<Piece>,
    rows: Vec<Vec<Value>>,
    bytes: usize,
    patience: Duration,
    /// A write is done whole, whoever looks at what it returns.
    is_write: bool,
}

impl PieceSink {
    fn flush(&mut self) -> Result<(), SqlError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        self.push(Piece::Rows(rows))
    }

    fn push(&mut self, piece: Piece) -> Result<(), SqlError> {
        let is_write = self.is_write;
        let closed = || match is_write {
            true => Ok(()),
            false => Err(SqlError::new(
                ErrorKind::Cancelled,
                "nobody reads the result any more",
            )),
        };
        let mut piece = match self.pieces.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return closed(),
            Err(mpsc::error::TrySendError::Full(piece)) => piece,
        };
        let deadline = (!self.patience.is_zero()).then(|| Instant::now() + self.patience);
        loop {
            // The channel has no blocking send with a deadline; a client this slow does not notice 1 ms.
            std::thread::park_timeout(Duration::from_millis(1));
            piece = match self.pieces.try_send(piece) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Closed(_)) => return closed(),
                Err(mpsc::error::TrySendError::Full(piece)) => piece,
            };
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(SqlError::new(
                    ErrorKind::IdleInTransaction,
                    "terminating transaction due to idle-in-transaction timeout",
                )
                .with_detail("The client did not read its result while its transaction held the writer."));
            }
        }
    }
}

impl RowSink for PieceSink {
    fn columns(&mut self, columns: &[Column]) -> Result<(), SqlError> {
        self.push(Piece::Columns(columns.to_vec()))
    }

    fn row(&mut self, row: &[ValueRef<'_>]) -> Result<(), SqlError> {
        let row = row
            .iter()
            .map(|value| value.to_value())
            .collect::<Result<Vec<Value>, _>>()?;
        self.bytes += row.iter().map(Value::size_bytes).sum::<usize>();
        self.rows.push(row);
        if self.rows.len() >= PIECE_ROWS || self.bytes >= PIECE_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }
}
