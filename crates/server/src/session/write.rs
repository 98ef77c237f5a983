//! Writes: to the leader wherever it is, held during a failover, executed at most once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_session::Settings;
use bellwether_storage::{ClientTransaction, ruled_out};
use bellwether_types::result::KEPT_RESULT_BYTES_MAX;
use bellwether_types::{Durability, ErrorKind, NodeId, Outcome, Position, RequestId, SqlError, Statement};

use super::{Open, Rows, Session, Stage, told};
use crate::forward::{Stop, no_leader};
use crate::replica::desk::Claim;
use crate::replica::{Attempt, Done, OpenTransaction, Opening, Refusal, how_to_ask};

/// How long a statement waits for a leader: a failover takes about one second, ten leave room for several.
pub(crate) const FAILOVER_WAIT: Duration = Duration::from_secs(10);

/// NOWAIT waits so long all the same: a leader that is there answers in less.
const WAY_TO_LEADER: Duration = Duration::from_millis(100);

/// Between attempts at a leader that does not take transactions (yet, or any more).
const RETRY_PAUSE: Duration = Duration::from_millis(10);

impl Session {
    /// A transaction of one statement.
    pub(super) async fn write(
        &mut self,
        statement: Statement,
        settings: &mut Settings,
    ) -> Result<Rows, SqlError> {
        let request = self.next_request();
        let transaction = ClientTransaction {
            seen: Vec::new(),
            request,
            statements: vec![statement],
            session: self.state,
            facts: self.facts.current(settings),
            durability: settings.values().synchronous_commit,
        };
        let done = self.write_at_leader(request, &transaction, settings).await?;
        let Done { mut answer, position } = done;
        self.note_answer(request, position, transaction.durability);
        let result = answer.results.pop().ok_or_else(|| rows_lost(request))?;
        if answer.deduplicated && answer.rows_lost {
            self.saw(settings, position);
            return Err(rows_lost(request));
        }
        Ok(Rows::buffered(result, answer.session, position))
    }

    /// Several statements as one transaction, whose rows nobody reads. Of the server's own making: no rights are
    /// asked for.
    pub async fn change(
        &mut self,
        statements: Vec<Statement>,
        settings: &Settings,
    ) -> Result<Position, SqlError> {
        let request = self.next_request();
        let transaction = ClientTransaction {
            seen: Vec::new(),
            request,
            statements,
            session: self.state,
            facts: self.facts.current(settings),
            durability: Durability::On,
        };
        let done = self.write_at_leader(request, &transaction, settings).await?;
        Ok(done.position)
    }

    pub(super) async fn write_at_leader(
        &self,
        request: RequestId,
        transaction: &ClientTransaction,
        settings: &Settings,
    ) -> Result<Done, SqlError> {
        self.write_with(request, transaction, Patience::new(settings))
            .await
    }

    pub(super) async fn write_with(
        &self,
        request: RequestId,
        transaction: &ClientTransaction,
        mut patience: Patience,
    ) -> Result<Done, SqlError> {
        let deadline = Instant::now() + FAILOVER_WAIT;
        let mut sent_and_lost = false;
        let mut number = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let leader = tokio::select! {
                leader = self.replica.wait_leader(left) => leader.ok_or_else(no_leader),
                () = self.cancel.cancelled() => Err(Interruption::Cancelled.into_error()),
                () = self.cancel.ended() => Err(Interruption::Cancelled.into_error()),
            };
            let (leader, term) = match leader {
                Ok(leader) => leader,
                Err(_) if sent_and_lost => return Err(unknown_outcome(request)),
                Err(error) => return Err(error),
            };
            number += 1;
            let attempt = Attempt { term, number };
            let transaction = transaction.clone();
            let result = tokio::select! {
                result = self.try_write((leader, attempt), transaction, &mut patience) => result,
                () = self.cancel.ended() => Err(Refusal::Unknown),
            };
            match result {
                Ok(done) => return Ok(done),
                // An attempt before may have been committed, and nobody looked.
                Err(Refusal::Failed(error)) if sent_and_lost && may_be_unread(error.kind) => {
                    return Err(unknown_outcome(request));
                }
                Err(Refusal::Failed(error)) => return Err(error),
                Err(Refusal::Unknown) => sent_and_lost = true,
                Err(Refusal::NotLeader) => {}
            }
            if Instant::now() >= deadline || self.cancel.is_over() {
                return Err(if sent_and_lost {
                    unknown_outcome(request)
                } else {
                    no_leader()
                });
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// One attempt, at whoever leads.
    async fn try_write(
        &self,
        (leader, attempt): (NodeId, Attempt),
        transaction: ClientTransaction,
        patience: &mut Patience,
    ) -> Result<Done, Refusal> {
        if leader == self.node.identity.node {
            self.node.metrics.statements_local.increment();
            return self.write_here(transaction, attempt, patience).await;
        }
        self.node.metrics.statements_forwarded.increment();
        tokio::select! {
            result = self.write_there(leader, transaction, attempt, patience) => result,
            () = self.replica.superseded(attempt.term) => Err(Refusal::Unknown),
        }
    }

    /// At another node.
    async fn write_there(
        &self,
        leader: NodeId,
        transaction: ClientTransaction,
        attempt: Attempt,
        patience: &mut Patience,
    ) -> Result<Done, Refusal> {
        let database = self.replica.database;
        let why = std::sync::OnceLock::new();
        let interruption = async {
            let interruption = self.interruption(patience).await;
            // Set once: it is awaited once.
            let _ = why.set(interruption);
            interruption.stop()
        };
        let forwarded = self
            .node
            .forward
            .autocommit(leader, database, transaction, attempt, interruption);
        match (forwarded.await, why.get()) {
            // The leader does not know which of the two it was.
            (Err(Refusal::Failed(error)), Some(why)) if error.kind == ErrorKind::Cancelled => {
                Err(Refusal::Failed(why.into_error()))
            }
            (result, _) => result,
        }
    }

    /// At this node. A client that gives up while its transaction is still queued knows that it was not executed.
    async fn write_here(
        &self,
        transaction: ClientTransaction,
        attempt: Attempt,
        patience: &mut Patience,
    ) -> Result<Done, Refusal> {
        let request = transaction.request;
        let claim = Arc::new(Claim::default());
        let mut work = std::pin::pin!(self.replica.autocommit(transaction, attempt, Arc::clone(&claim)));
        loop {
            let interruption = tokio::select! {
                done = &mut work => return done,
                interruption = self.interruption(patience) => interruption,
            };
            let given_up = match interruption {
                Interruption::Cancelled => self.replica.cancel(request, &claim),
                Interruption::LockTimeout => claim.give_up(),
            };
            if given_up {
                return Err(Refusal::Failed(interruption.into_error()));
            }
        }
    }

    /// Resolves when the wait for the writer should end: cancelled, or (once) `lock_timeout`.
    async fn interruption(&self, patience: &mut Patience) -> Interruption {
        let until = patience.until;
        let lock_timeout = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.cancel.cancelled() => Interruption::Cancelled,
            () = lock_timeout => {
                patience.until = None;
                Interruption::LockTimeout
            }
        }
    }

    /// The open transaction has it from here on: at its first write, or when it writes no longer apart.
    pub(super) async fn take_writer(
        &mut self,
        patience: Patience,
        settings: &Settings,
    ) -> Result<(), SqlError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let stage = std::mem::replace(&mut open.stage, Stage::Ended);
        let answered = match stage {
            Stage::Apart(apart) => apart.into_answered(),
            _ => Vec::new(),
        };
        open.facts = self.facts.current(settings);
        let opening = Opening {
            request: open.request,
            session: self.state,
            facts: Arc::clone(&open.facts),
            answered,
            savepoints: open.savepoints.clone(),
            idle_timeout_ms: u64::from(settings.values().idle_in_transaction_session_timeout.0),
        };
        let opened = self.open_at_leader(opening, patience).await;
        self.must_hold |= matches!(&opened, Err(error) if error.kind == ErrorKind::Serialization);
        let transaction = opened?;
        if let Some(Open { stage, .. }) = &mut self.open {
            *stage = Stage::Writing(transaction);
        }
        Ok(())
    }

    async fn open_at_leader(
        &self,
        opening: Opening,
        mut patience: Patience,
    ) -> Result<OpenTransaction, SqlError> {
        let deadline = Instant::now() + FAILOVER_WAIT;
        let mut number = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (leader, term) = self.replica.wait_leader(left).await.ok_or_else(no_leader)?;
            number += 1;
            let attempt = Attempt { term, number };
            let opening = opening.clone();
            let result = if leader == self.node.identity.node {
                self.open_here(opening, attempt, &mut patience).await
            } else {
                let opened = self
                    .node
                    .forward
                    .open(leader, self.replica.database, opening, attempt);
                tokio::select! {
                    opened = opened => opened.map(|route| OpenTransaction::there(route, term)),
                    why = self.interruption(&mut patience) => Err(Refusal::Failed(why.into_error())),
                    () = self.replica.superseded(term) => Err(Refusal::Unknown),
                }
            };
            match result {
                Ok(transaction) => return Ok(transaction),
                Err(Refusal::Failed(error)) => return Err(error),
                // Nothing of it can have been committed.
                Err(Refusal::Unknown | Refusal::NotLeader) => {}
            }
            if Instant::now() >= deadline {
                return Err(no_leader());
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn open_here(
        &self,
        opening: Opening,
        attempt: Attempt,
        patience: &mut Patience,
    ) -> Result<OpenTransaction, Refusal> {
        let claim = Arc::new(Claim::default());
        let mut work = std::pin::pin!(self.replica.open(opening, attempt, Arc::clone(&claim)));
        loop {
            let interruption = tokio::select! {
                opened = &mut work => return opened,
                interruption = self.interruption(patience) => interruption,
            };
            if claim.give_up() {
                return Err(Refusal::Failed(interruption.into_error()));
            }
        }
    }

    /// Where its record stands. An answer that was lost is looked up at whoever leads then.
    pub(super) async fn commit_at_leader(
        &mut self,
        request: RequestId,
        transaction: OpenTransaction,
        durability: Durability,
    ) -> Result<Position, SqlError> {
        let term = transaction.term();
        let committed = tokio::select! {
            committed = transaction.commit(durability, self.cancel.cancelled()) => committed,
            () = self.replica.superseded(term) => Err(Refusal::Unknown),
            () = self.cancel.ended() => Err(Refusal::Unknown),
        };
        match committed {
            Ok((state, position)) => {
                self.state = state;
                Ok(position)
            }
            Err(Refusal::Failed(error)) => Err(error),
            Err(refusal @ Refusal::NotLeader) => Err(told(refusal)),
            Err(Refusal::Unknown) => self.look_up(request, durability).await,
        }
    }

    async fn look_up(&self, request: RequestId, durability: Durability) -> Result<Position, SqlError> {
        let deadline = Instant::now() + FAILOVER_WAIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let leader = tokio::select! {
                leader = self.replica.wait_leader(left) => leader,
                () = self.cancel.cancelled() => None,
                () = self.cancel.ended() => None,
            };
            let Some((leader, term)) = leader else {
                return Err(unknown_outcome(request));
            };
            let outcome = tokio::select! {
                outcome = self.node.outcome(leader, &self.replica, request, durability) => outcome,
                () = self.replica.superseded(term) => Err(Refusal::Unknown),
                // It may be standbys that are waited for.
                () = self.cancel.cancelled() => return Err(unknown_outcome(request)),
                () = self.cancel.ended() => Err(Refusal::Unknown),
            };
            match outcome {
                Ok(Outcome::Committed(_, position)) => return Ok(position),
                Ok(Outcome::RuledOut(_)) => return Err(ruled_out(request)),
                // It was never proposed anew, and is lost with its leader.
                Ok(Outcome::Open { .. } | Outcome::GoneOn) => return Err(crate::replica::leader_lost()),
                Err(Refusal::Failed(error)) => return Err(error),
                Err(Refusal::Unknown | Refusal::NotLeader) => {}
            }
            if Instant::now() >= deadline || self.cancel.is_over() {
                return Err(unknown_outcome(request));
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// Failures that are also told without a look at what was executed before: while the transaction waited, or for want
/// of space.
fn may_be_unread(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::DiskFull | ErrorKind::Cancelled | ErrorKind::LockTimeout | ErrorKind::StatementTimeout
    )
}

/// How long a statement waits for the writer, over all attempts.
pub(super) struct Patience {
    /// Until `lock_timeout` has passed; `None`: for ever.
    until: Option<tokio::time::Instant>,
}

impl Patience {
    pub(super) fn new(settings: &Settings) -> Patience {
        let timeout = Duration::from_millis(u64::from(settings.values().lock_timeout.0));
        let until = (!timeout.is_zero()).then(|| tokio::time::Instant::now() + timeout);
        Patience { until }
    }

    /// For so long and no longer.
    pub(super) fn until(limit: Duration) -> Patience {
        Patience {
            until: Some(tokio::time::Instant::now() + limit),
        }
    }

    /// For who does not wait for another session: the way to the leader and back, and no more.
    pub(super) fn none() -> Patience {
        Patience {
            until: Some(tokio::time::Instant::now() + WAY_TO_LEADER),
        }
    }
}

/// Why a client does not wait any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interruption {
    /// It asked for it: also what runs is stopped.
    Cancelled,
    /// It waited too long for the writer: what runs is left alone.
    LockTimeout,
}

impl Interruption {
    fn stop(self) -> Stop {
        match self {
            Interruption::Cancelled => Stop::Cancel,
            Interruption::LockTimeout => Stop::GiveUp,
        }
    }

    fn into_error(self) -> SqlError {
        match self {
            Interruption::Cancelled => {
                SqlError::new(ErrorKind::Cancelled, "canceling statement due to user request")
            }
            Interruption::LockTimeout => {
                SqlError::new(ErrorKind::LockTimeout, "canceling statement due to lock timeout")
                    .with_detail("Another transaction holds the writer.")
            }
        }
    }
}

/// 57014.
pub(super) fn cancelled() -> SqlError {
    Interruption::Cancelled.into_error()
}

/// 40003.
fn unknown_outcome(request: RequestId) -> SqlError {
    SqlError::new(
        ErrorKind::UnknownOutcome,
        "it is not known whether the transaction was committed",
    )
    .with_detail(format!(
        "The leader was lost, or did not answer in time, while the transaction {request} was being committed."
    ))
    .with_hint(how_to_ask(request))
}

/// 40003: committed, and not to be tried again.
fn rows_lost(request: RequestId) -> SqlError {
    SqlError::new(
        ErrorKind::UnknownOutcome,
        "the transaction was committed, but its result was lost",
    )
    .with_detail(format!(
        "The transaction {request} is committed. The leader that executed it was lost before it could answer, \
         and no more than {} KiB of rows are kept.",
        KEPT_RESULT_BYTES_MAX >> 10
    ))
    .with_hint("Do not try again: read what it has written.")
}
