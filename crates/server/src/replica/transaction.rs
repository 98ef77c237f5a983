//! The leader's services to one client, wherever that client is connected: a transaction executed at once, or an
//! open one stepped through.

use std::sync::Arc;
use std::time::Duration;

use bellwether_storage::{ClientTransaction, Description, SessionState};
use bellwether_types::{
    CommandTag, Durability, ErrorKind, Facts, Outcome, Position, RequestId, SessionId, SqlError, Statement,
    StatementResult, Term,
};
use tokio::sync::{Notify, mpsc, oneshot};

use super::ReplicaHandle;
use super::acknowledge::{Acknowledger, Awaited, wait_cancelled};
use super::desk::{
    Attempt, Claim, Desk, Done, Executed, Opening, Piece, Refusal, SavepointAction, Step, Work,
};
use super::lease::NotHere;

/// Rows handed on at a time.
const PIECE_ROWS: usize = 256;

/// A transaction that was taken for execution may have others before it in its group.
const CANCEL_TRIES: u32 = 500;
const CANCEL_PAUSE: Duration = Duration::from_millis(2);

/// What a session has seen is waited for so long.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// A read that another replica cannot answer.
#[derive(Debug, Clone)]
pub(crate) struct ReadAtLeader {
    pub statement: Statement,
    /// By the session: no less is answered.
    pub seen: Position,
    pub session: SessionState,
    pub facts: Arc<Facts>,
}

/// The writer dropped the reply: it stopped, or ended the transaction.
fn ended(_: oneshot::error::RecvError) -> Refusal {
    Refusal::Unknown
}

impl ReplicaHandle {
    /// Executes at this node, if it leads.
    pub async fn autocommit(
        &self,
        transaction: ClientTransaction,
        attempt: Attempt,
        claim: Arc<Claim>,
    ) -> Result<Done, Refusal> {
        let (reply, executed) = oneshot::channel();
        let (request, durability) = (transaction.request, transaction.durability);
        let stopped = Arc::clone(&claim);
        self.desk
            .submit(Work::Autocommit {
                transaction,
                attempt,
                claim,
                reply,
            })
            .await;
        let mut stopped = std::pin::pin!(stopped.stopped());
        let Executed { done, is_written } = tokio::select! {
            executed = executed => executed.unwrap_or_else(|error| Err(ended(error)))?,
            () = &mut stopped => return Err(Refusal::Failed(wait_cancelled(request, false))),
        };
        if is_written {
            let awaited = Awaited {
                request,
                term: attempt.term,
                index: done.position.index,
                durability,
            };
            self.acknowledger.wait(awaited, stopped).await?;
        }
        Ok(done)
    }

    /// Takes the writer of this node, if it leads.
    pub async fn open(
        &self,
        opening: Opening,
        attempt: Attempt,
        claim: Arc<Claim>,
    ) -> Result<OpenTransaction, Refusal> {
        let number = self.desk.number_transaction();
        let (reply, opened) = oneshot::channel();
        let transaction = OpenTransaction::here(
            self,
            number,
            opening.request,
            self.published.applied(),
            attempt.term,
        );
        self.desk
            .submit(Work::Open {
                opening,
                transaction: number,
                attempt,
                claim,
                reply,
            })
            .await;
        match opened.await {
            Ok(Ok(())) => Ok(transaction),
            Ok(Err(refusal)) => Err(refusal),
            Err(_) => Err(Refusal::NotLeader),
        }
    }

    /// A client wants its transaction stopped: at once while it waits for the writer, else as soon as it runs. Once it has run
    /// only the waiting ends, and the outcome is not known.
    pub fn cancel(&self, request: RequestId, claim: &Arc<Claim>) -> bool {
        if claim.give_up() {
            return true;
        }
        let (desk, claim) = (Arc::clone(&self.desk), Arc::clone(claim));
        tokio::spawn(async move {
            for _ in 0..CANCEL_TRIES {
                if desk.interrupt(request) {
                    return;
                }
                if claim.is_executed() {
                    return claim.stop();
                }
                tokio::time::sleep(CANCEL_PAUSE).await;
            }
        });
        false
    }

    /// What became of a request, if this node leads; and that durably, if it is committed.
    pub async fn outcome(&self, request: RequestId, durability: Durability) -> Result<Outcome, Refusal> {
        let term = self.reign.borrow().term;
        let (reply, outcome) = oneshot::channel();
        self.desk.submit(Work::Outcome { request, reply }).await;
        let outcome = outcome.await.unwrap_or_else(|error| Err(ended(error)))?;
        if let Some(position) = outcome.position() {
            let awaited = Awaited {
                request,
                term,
                index: position.index,
                durability,
            };
            self.acknowledger.wait(awaited, std::future::pending()).await?;
        }
        Ok(outcome)
    }

    /// Its request line goes with the next group.
    pub async fn end_session(&self, session: SessionId) {
        self.desk.submit(Work::EndSession { session }).await;
    }

    /// A read for a peer's client: linearizable, since this node confirms first that it leads.
    pub async fn read_at_leader(
        &self,
        read: ReadAtLeader,
        pieces: mpsc::Sender<Piece>,
    ) -> Result<(CommandTag, Position), Refusal> {
        let ReadAtLeader {
            statement,
            seen,
            session,
            facts,
        } = read;
        if !self.reign.borrow().leading || !self.confirm_read().await {
            return Err(Refusal::NotLeader);
        }
        // Answered early, it may not be committed yet.
        if !self.wait_applied(seen, SEEN_WITHIN).await {
            return Err(Refusal::NotLeader);
        }
        let mut reader = self
            .readers
            .get()
            .await
            .map_err(|error| Refusal::Failed(unreadable(&error)))?;
        reader.set_session(&session);
        reader.set_facts(&facts);
        let mut cursor = reader.open_cursor(&statement)?;
        let gone = |_| Refusal::Failed(SqlError::new(ErrorKind::Cancelled, "the client is gone"));
        pieces
            .send(Piece::Columns(cursor.columns().to_vec()))
            .await
            .map_err(gone)?;
        let mut count = 0;
        loop {
            let rows = tokio::task::block_in_place(|| take_rows(&mut cursor))?;
            if rows.is_empty() {
                let tag = CommandTag::counted(cursor.verb(), count);
                return Ok((tag, self.published.visible()));
            }
            count += rows.len() as u64;
            pieces.send(Piece::Rows(rows)).await.map_err(gone)?;
        }
    }
}

fn take_rows(cursor: &mut bellwether_storage::Cursor) -> Result<Vec<Vec<bellwether_types::Value>>, SqlError> {
    let mut rows = Vec::new();
    while rows.len() < PIECE_ROWS && cursor.step()? {
        let values = (0..cursor.columns().len()).map(|column| cursor.value(column).to_value());
        rows.push(values.collect::<Result<_, _>>()?);
    }
    Ok(rows)
}

/// A replica's file cannot be opened for reading.
pub(crate) fn unreadable(error: &bellwether_storage::OpenError) -> SqlError {
    let kind = match error.is_damage() {
        true => ErrorKind::DataCorrupted,
        false => ErrorKind::Io,
    };
    SqlError::new(kind, "cannot read this node's replica").with_detail(error.to_string())
}

/// Where an open transaction's steps go.
enum Route {
    Here {
        desk: Arc<Desk>,
        acknowledger: Arc<Acknowledger>,
        number: u64,
        request: RequestId,
    },
    There {
        steps: mpsc::Sender<Step>,
        cancel: Arc<Notify>,
    },
}

/// A transaction that holds the writer, here or at another node. Dropped, it is rolled back.
pub(crate) struct OpenTransaction {
    route: Route,
    /// What was committed when it took the writer, at least.
    base: Position,
    /// The reign in which it took the writer.
    term: Term,
}

impl OpenTransaction {
    fn here(
        replica: &ReplicaHandle,
        number: u64,
        request: RequestId,
        base: Position,
        term: Term,
    ) -> OpenTransaction {
        OpenTransaction {
            route: Route::Here {
                desk: Arc::clone(&replica.desk),
                acknowledger: Arc::clone(&replica.acknowledger),
                number,
                request,
            },
            base,
            term,
        }
    }

    /// At another node, which takes its steps from this channel.
    pub fn there((steps, cancel): (mpsc::Sender<Step>, Arc<Notify>), term: Term) -> OpenTransaction {
        OpenTransaction {
            route: Route::There { steps, cancel },
            base: Position::ZERO,
            term,
        }
    }

    /// What stops the statement that runs in it.
    pub fn canceller(&self) -> Canceller {
        match &self.route {
            Route::Here { desk, request, .. } => Canceller::Here(Arc::clone(desk), *request),
            Route::There { cancel, .. } => Canceller::There(Arc::clone(cancel)),
        }
    }

    /// The reign in which it took the writer.
    pub fn term(&self) -> Term {
        self.term
    }

    pub fn base(&self) -> Position {
        self.base
    }

    async fn send(&self, step: Step) {
        match &self.route {
            Route::Here { desk, number, .. } => desk.step(*number, step),
            // A closed channel drops the step and its reply, which tells.
            Route::There { steps, .. } => drop(steps.send(step).await),
        }
    }

    /// Why a step was not answered.
    fn lost(&self) -> Refusal {
        self.fate().lost()
    }

    /// Where it is told why a step was not answered.
    pub fn fate(&self) -> Fate {
        match &self.route {
            Route::Here { desk, number, .. } => Fate::Here(Arc::clone(desk), *number),
            Route::There { .. } => Fate::There,
        }
    }

    pub async fn execute(
        &self,
        statement: Statement,
        facts: Option<Arc<Facts>>,
        pieces: mpsc::Sender<Piece>,
    ) -> Result<CommandTag, Refusal> {
        let (reply, done) = oneshot::channel();
        self.start(statement, facts, pieces, reply).await;
        done.await.unwrap_or_else(|_| Err(self.lost()))
    }

    /// As `execute`, answered through the channel; dropped unanswered when the transaction was lost.
    pub async fn start(
        &self,
        statement: Statement,
        facts: Option<Arc<Facts>>,
        pieces: mpsc::Sender<Piece>,
        reply: oneshot::Sender<Result<CommandTag, Refusal>>,
    ) {
        if let Route::Here { desk, number, .. } = &self.route {
            match desk.lease.run(*number, &statement, facts.as_ref()) {
                Ok(short) => return answer_short(short, &pieces, reply),
                Err(NotHere::Failed { error, lost }) => {
                    if lost {
                        desk.step(*number, Step::Rollback { reply: None });
                    }
                    // The client may have left.
                    let _ = reply.send(Err(Refusal::Failed(error)));
                    return;
                }
                Err(NotHere::Elsewhere) => {}
            }
        }
        self.send(Step::Execute {
            statement,
            facts,
            pieces,
            reply,
        })
        .await;
    }

    /// Columns and parameters, as the transaction sees the schema.
    pub async fn describe(&self, sql: String) -> Result<Description, Refusal> {
        let (reply, done) = oneshot::channel();
        self.send(Step::Describe { sql, reply }).await;
        done.await.unwrap_or_else(|_| Err(self.lost()))
    }

    pub async fn savepoint(&self, name: String, action: SavepointAction) -> Result<(), Refusal> {
        let (reply, done) = oneshot::channel();
        self.send(Step::Savepoint { name, action, reply }).await;
        done.await.unwrap_or_else(|_| Err(self.lost()))
    }

    /// `Unknown` when the answer was lost. `stop`: the client waits no longer for its durability.
    pub async fn commit(
        self,
        durability: Durability,
        stop: impl Future<Output = ()>,
    ) -> Result<(SessionState, Position), Refusal> {
        let (reply, mut done) = oneshot::channel();
        self.send(Step::Commit { durability, reply }).await;
        let finished = match &self.route {
            Route::Here {
                acknowledger,
                request,
                ..
            } => {
                // The writer had ended it before: it never came to be proposed.
                let mut stop = std::pin::pin!(stop);
                let finished = tokio::select! {
                    finished = done => finished.unwrap_or_else(|_| Err(self.lost()))?,
                    () = &mut stop => {
                        return Err(Refusal::Failed(wait_cancelled(*request, false)));
                    }
                };
                if finished.is_written {
                    let awaited = Awaited {
                        request: *request,
                        term: self.term,
                        index: finished.position.index,
                        durability,
                    };
                    acknowledger.wait(awaited, stop).await?;
                }
                finished
            }
            Route::There { cancel, .. } => {
                let finished = tokio::select! {
                    finished = &mut done => finished,
                    () = stop => {
                        cancel.notify_one();
                        done.await
                    }
                };
                finished.unwrap_or(Err(Refusal::Unknown))?
            }
        };
        Ok((finished.session, finished.position))
    }

    pub async fn rollback(self) -> Result<SessionState, Refusal> {
        let (reply, done) = oneshot::channel();
        self.send(Step::Rollback { reply: Some(reply) }).await;
        done.await.map_err(|_| self.lost())
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        // `There`: closing the channel closes the connection, which rolls back.
        if let Route::Here { desk, number, .. } = &self.route {
            desk.step(*number, Step::Rollback { reply: None });
            desk.forget_ended(*number);
        }
    }
}

/// To a client that may have left. The channel is fresh: there is room for two pieces.
fn answer_short(
    short: StatementResult,
    pieces: &mpsc::Sender<Piece>,
    reply: oneshot::Sender<Result<CommandTag, Refusal>>,
) {
    if !short.columns.is_empty() {
        let _ = pieces.try_send(Piece::Columns(short.columns));
    }
    if !short.rows.is_empty() {
        let _ = pieces.try_send(Piece::Rows(short.rows));
    }
    let _ = reply.send(Ok(short.tag));
}

/// What became of an open transaction whose step was not answered.
pub(crate) enum Fate {
    Here(Arc<Desk>, u64),
    There,
}

impl Fate {
    /// As the writer gave it; else the leader was lost.
    pub fn lost(&self) -> Refusal {
        let why = match self {
            Fate::Here(desk, number) => desk.why_ended(*number),
            Fate::There => None,
        };
        Refusal::Failed(why.unwrap_or_else(leader_lost))
    }
}

/// Stops the statement that runs in an open transaction.
pub(crate) enum Canceller {
    Here(Arc<Desk>, RequestId),
    There(Arc<Notify>),
}

impl Canceller {
    /// Whether something was there to stop, as far as this node knows.
    pub fn cancel(&self) -> bool {
        match self {
            Canceller::Here(desk, request) => desk.interrupt(*request),
            Canceller::There(cancel) => {
                cancel.notify_one();
                true
            }
        }
    }
}

/// 40001: the transaction was not committed, and may be tried again.
pub(crate) fn leader_lost() -> SqlError {
    SqlError::new(
        ErrorKind::Serialization,
        "the leader was lost while the transaction was open",
    )
    .with_detail("Nothing of the transaction was committed.")
    .with_hint("Retry the transaction.")
}
