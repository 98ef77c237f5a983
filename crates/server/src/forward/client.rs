//! The asking side.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_http::{NodeStatus, Verified};
use bellwether_storage::ClientTransaction;
use bellwether_types::{
    CommandTag, DatabaseId, Durability, NodeId, Outcome, Position, RequestId, SessionId, SqlError,
};
use tokio::sync::{Notify, mpsc, oneshot};

use super::message::{Request, Response};
use crate::lock::Stream;
use crate::peer::{Caller, FRAME_BYTES_MAX, FrameError, FrameReader, Purpose, write_frame};
use crate::replica::{Attempt, Done, Finished, Opening, Piece, ReadAtLeader, Refusal, Step};
use crate::verify::{SILENCE_MAX, Scope};

/// Connections kept for the next forwarded statement, per peer.
const IDLE_MAX: usize = 256;

/// Connections to leaders, kept while idle.
pub(crate) struct ForwardPool {
    caller: Arc<Caller>,
    idle: Mutex<BTreeMap<NodeId, Vec<Connection>>>,
}

/// A connection between requests.
struct Connection {
    stream: Stream,
    reader: FrameReader,
}

impl Connection {
    async fn ask(&mut self, request: &Request) -> Result<(), FrameError> {
        Ok(write_frame(&mut self.stream, &request.encode()).await?)
    }

    /// Nobody closed it or spoke out of turn while it was idle.
    fn is_quiet(&mut self) -> bool {
        self.stream.is_quiet()
    }

    async fn answer(&mut self) -> Result<Response, FrameError> {
        decode(self.reader.next(&mut self.stream, FRAME_BYTES_MAX).await)
    }
}

fn decode(frame: Result<Option<bytes::Bytes>, FrameError>) -> Result<Response, FrameError> {
    match frame? {
        Some(frame) => Ok(Response::decode(&frame)?),
        None => Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()),
    }
}

/// What a refused or failed answer means; `None` for an answer that belongs to the request.
fn refusal(response: Result<Response, FrameError>) -> Result<Response, Refusal> {
    match response {
        Ok(Response::NotLeader) => Err(Refusal::NotLeader),
        Ok(Response::Unknown) => Err(Refusal::Unknown),
        Ok(Response::Failed(error)) => Err(Refusal::Failed(error)),
        Ok(response) => Ok(response),
        Err(error) => {
            tracing::debug!(%error, "a forwarding connection broke");
            Err(Refusal::Unknown)
        }
    }
}

/// A peer that answers something else than what was asked: its connection is of no use.
fn nonsense(response: &Response) -> Refusal {
    tracing::warn!(?response, "a peer's answer does not belong to what it was asked");
    Refusal::Unknown
}

/// How a forwarded transaction is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Also while it runs.
    Cancel,
    /// Unless it runs.
    GiveUp,
}

impl Stop {
    fn request(self) -> Request {
        match self {
            Stop::Cancel => Request::Cancel,
            Stop::GiveUp => Request::GiveUp,
        }
    }
}

/// Pieces of a result, and how it ended.
pub(crate) type Streamed = (
    mpsc::Receiver<Piece>,
    oneshot::Receiver<Result<(CommandTag, Position), Refusal>>,
);

/// Pieces under way to a client; each is at most a few hundred rows.
const PIECES_MAX: usize = 4;

impl ForwardPool {
    pub fn new(caller: Arc<Caller>) -> Arc<ForwardPool> {
        Arc::new(ForwardPool {
            caller,
            idle: Mutex::default(),
        })
    }

    /// Sends a request; nothing was executed when this fails.
    async fn start(&self, node: NodeId, request: &Request) -> Result<Connection, Refusal> {
        let idle = self.lock().get_mut(&node).and_then(Vec::pop);
        if let Some(mut connection) = idle
            && connection.is_quiet()
            && connection.ask(request).await.is_ok()
        {
            return Ok(connection);
        }
        let connected = async {
            let stream = self.caller.connect(node, Purpose::Forward).await?;
            let mut connection = Connection {
                stream,
                reader: FrameReader::default(),
            };
            connection.ask(request).await?;
            Ok::<Connection, FrameError>(connection)
        };
        connected.await.map_err(|error| {
            tracing::debug!(%node, %error, "cannot forward");
            Refusal::NotLeader
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Vec<Connection>>> {
        self.idle.lock().expect("no holder of this lock panics")
    }

    fn keep(&self, node: NodeId, connection: Connection) {
        let mut idle = self.lock();
        let kept = idle.entry(node).or_default();
        if kept.len() < IDLE_MAX {
            kept.push(connection);
        }
    }

    /// A request with one answer. A connection on which something is wrong is closed.
    async fn call(&self, node: NodeId, request: &Request) -> Result<Response, Refusal> {
        let mut connection = self.start(node, request).await?;
        let response = connection.answer().await;
        let healthy = response.is_ok();
        let response = refusal(response);
        if healthy {
            self.keep(node, connection);
        }
        response
    }

    pub async fn autocommit(
        &self,
        node: NodeId,
        database: DatabaseId,
        transaction: ClientTransaction,
        attempt: Attempt,
        interruption: impl Future<Output = Stop>,
    ) -> Result<Done, Refusal> {
        let request = Request::Autocommit {
            database,
            transaction,
            attempt,
        };
        let mut connection = self.start(node, &request).await?;
        let stopped = {
            let mut answer = std::pin::pin!(connection.answer());
            tokio::select! {
                answer = &mut answer => Err(answer),
                stop = interruption => Ok(stop),
            }
        };
        let answer = match stopped {
            Err(answer) => answer,
            // The leader tells in time what became of it.
            Ok(stop) => match connection.ask(&stop.request()).await {
                Ok(()) => connection.answer().await,
                Err(error) => Err(error),
            },
        };
        let healthy = answer.is_ok();
        let response = refusal(answer);
        if healthy {
            self.keep(node, connection);
        }
        match response? {
            Response::Done { answer, position } => Ok(Done { answer, position }),
            other => Err(nonsense(&other)),
        }
    }

    pub async fn outcome(
        &self,
        node: NodeId,
        database: DatabaseId,
        request: RequestId,
        durability: Durability,
    ) -> Result<Outcome, Refusal> {
        let request = Request::Outcome {
            database,
            request,
            durability,
        };
        match self.call(node, &request).await? {
            Response::Outcome(outcome) => Ok(outcome),
            other => Err(nonsense(&other)),
        }
    }

    /// Lets another node than this one lead; who leads then.
    pub async fn hand_over(
        &self,
        node: NodeId,
        database: DatabaseId,
        to: Option<NodeId>,
        drain: Duration,
    ) -> Result<NodeId, Refusal> {
        let request = Request::HandOver {
            database,
            to,
            drain_ms: drain.as_millis() as u64,
        };
        match self.call(node, &request).await? {
            Response::HandedOver(leader) => Ok(leader),
            other => Err(nonsense(&other)),
        }
    }

    /// What it finds in its replicas; an error for people. Waits as long as it gives signs of life.
    pub async fn verify(&self, node: NodeId, scope: Scope) -> Result<Vec<Verified>, String> {
        let started = tokio::time::timeout(SILENCE_MAX, self.start(node, &Request::Verify(scope))).await;
        let Ok(Ok(mut connection)) = started else {
            return Err("cannot be reached".to_owned());
        };
        loop {
            let answer = tokio::time::timeout(SILENCE_MAX, connection.answer()).await;
            match answer {
                Ok(Ok(Response::Verifying)) => {}
                Ok(Ok(Response::Verified(json))) => {
                    self.keep(node, connection);
                    return serde_json::from_str(&json).map_err(|error| format!("answers nonsense: {error}"));
                }
                Ok(Ok(other)) => return Err(format!("refuses: {other:?}")),
                Ok(Err(error)) => return Err(format!("was lost while it looked: {error}")),
                Err(_) => return Err("has stopped answering".to_owned()),
            }
        }
    }

    /// What a node says of itself; `None`: it does not answer, or nonsense.
    pub async fn status(&self, node: NodeId) -> Option<NodeStatus> {
        match self.call(node, &Request::Status).await {
            Ok(Response::Status(json)) => serde_json::from_str(&json).ok(),
            _ => None,
        }
    }

    /// Tells the leader that a session is over. Best effort: its request line also goes by age.
    pub async fn end_session(&self, node: NodeId, database: DatabaseId, session: SessionId) {
        if let Ok(connection) = self.start(node, &Request::EndSession { database, session }).await {
            self.keep(node, connection);
        }
    }

    /// Takes the writer at the leader; the answer takes the transaction's steps.
    pub async fn open(
        self: &Arc<Self>,
        node: NodeId,
        database: DatabaseId,
        opening: Opening,
        attempt: Attempt,
    ) -> Result<(mpsc::Sender<Step>, Arc<Notify>), Refusal> {
        let mut connection = self
            .start(
                node,
                &Request::Open {
                    database,
                    opening,
                    attempt,
                },
            )
            .await?;
        match refusal(connection.answer().await)? {
            Response::Opened => {}
            other => return Err(nonsense(&other)),
        }
        let (sender, steps) = mpsc::channel(1);
        let cancel = Arc::new(Notify::new());
        tokio::spawn(run_transaction(
            Arc::clone(self),
            node,
            connection,
            steps,
            Arc::clone(&cancel),
        ));
        Ok((sender, cancel))
    }

    /// A read at the leader.
    pub fn read(self: &Arc<Self>, node: NodeId, database: DatabaseId, read: ReadAtLeader) -> Streamed {
        let (pieces, received) = mpsc::channel(PIECES_MAX);
        let (reply, ended) = oneshot::channel();
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            let request = Request::Read { database, read };
            let result = match pool.start(node, &request).await {
                Err(refusal) => Err(refusal),
                Ok(mut connection) => {
                    let never = std::future::pending();
                    let result = stream_rows(&mut connection, &pieces, never).await;
                    if let Ok(_) | Err(Refusal::Failed(_) | Refusal::NotLeader) = result {
                        pool.keep(node, connection);
                    }
                    result
                }
            };
            // The client may have left.
            let _ = reply.send(result);
        });
        (received, ended)
    }
}

/// Hands on rows until the statement's end. A client that left ends the connection, and with it the statement; one that
/// cancels hears from the leader what came of that.
async fn stream_rows(
    connection: &mut Connection,
    pieces: &mpsc::Sender<Piece>,
    cancelled: impl Future<Output = ()>,
) -> Result<(CommandTag, Position), Refusal> {
    let mut cancelled = std::pin::pin!(cancelled);
    let mut is_cancelled = false;
    loop {
        let answer = tokio::select! {
            answer = connection.reader.next(&mut connection.stream, FRAME_BYTES_MAX) => answer,
            () = &mut cancelled, if !is_cancelled => {
                is_cancelled = true;
                if connection.ask(&Request::Cancel).await.is_err() {
                    return Err(Refusal::Unknown);
                }
                continue;
            }
            () = pieces.closed() => return Err(Refusal::Unknown),
        };
        let piece = match refusal(decode(answer))? {
            Response::Columns(columns) => Piece::Columns(columns),
            Response::Rows(rows) => Piece::Rows(rows),
            Response::Executed { tag, position } => return Ok((tag, position)),
            other => return Err(nonsense(&other)),
        };
        if pieces.send(piece).await.is_err() {
            return Err(Refusal::Unknown);
        }
    }
}

/// Carries an open transaction's steps to the leader, until it ends or its session drops it.
async fn run_transaction(
    pool: Arc<ForwardPool>,
    node: NodeId,
    mut connection: Connection,
    mut steps: mpsc::Receiver<Step>,
    cancel: Arc<Notify>,
) {
    while let Some(step) = steps.recv().await {
        match step {
            Step::Execute {
                statement,
                facts,
                pieces,
                reply,
            } => {
                let request = Request::Execute { statement, facts };
                if connection.ask(&request).await.is_err() {
                    return; // the dropped reply tells
                }
                let result = stream_rows(&mut connection, &pieces, cancel.notified()).await;
                let broken = matches!(result, Err(Refusal::Unknown | Refusal::NotLeader));
                let _ = reply.send(result.map(|(tag, _)| tag));
                if broken {
                    return;
                }
            }
            Step::Describe { sql, reply } => {
                let Some(response) = exchange(&mut connection, &Request::Describe { sql }).await else {
                    return;
                };
                let result = match refusal(Ok(response)) {
                    Ok(Response::Described(description)) => Ok(description),
                    Ok(other) => Err(nonsense(&other)),
                    Err(refusal) => Err(refusal),
                };
                let _ = reply.send(result);
            }
            Step::Savepoint { name, action, reply } => {
                let Some(response) = exchange(&mut connection, &Request::Savepoint { name, action }).await
                else {
                    return;
                };
                let _ = reply.send(refusal(Ok(response)).map(|_| ()));
            }
            Step::Commit { durability, reply } => {
                let response = commit(&mut connection, durability, &cancel).await;
                let result = refusal(response).and_then(finished);
                if matches!(result, Ok(_) | Err(Refusal::Failed(_))) {
                    pool.keep(node, connection);
                }
                let _ = reply.send(result);
                return;
            }
            Step::Rollback { reply } => {
                let response = exchange(&mut connection, &Request::Rollback).await;
                if let Some(Response::RolledBack { session }) = response {
                    pool.keep(node, connection);
                    if let Some(reply) = reply {
                        let _ = reply.send(session);
                    }
                }
                return;
            }
        }
    }
    // Dropped without an end: closing the connection rolls back.
}

fn finished(response: Response) -> Result<Finished, Refusal> {
    match response {
        Response::Committed { session, position } => Ok(Finished {
            session,
            position,
            // The leader has waited for it.
            is_written: false,
        }),
        other => Err(nonsense(&other)),
    }
}

/// Who cancels stops waiting, and hears what is known.
async fn commit(
    connection: &mut Connection,
    durability: Durability,
    cancel: &Notify,
) -> Result<Response, FrameError> {
    connection.ask(&Request::Commit { durability }).await?;
    {
        let mut answer = std::pin::pin!(connection.answer());
        tokio::select! {
            answer = &mut answer => return answer,
            () = cancel.notified() => {}
        }
    }
    connection.ask(&Request::Cancel).await?;
    connection.answer().await
}

async fn exchange(connection: &mut Connection, request: &Request) -> Option<Response> {
    connection.ask(request).await.ok()?;
    connection.answer().await.ok()
}

/// Why a statement could not be forwarded, for the client.
pub(crate) fn no_leader() -> SqlError {
    SqlError::new(
        bellwether_types::ErrorKind::NoLeader,
        "no leader is known at the moment",
    )
    .with_detail("An election may be under way, or this node is cut off from the majority.")
    .with_hint("Nothing was executed. Try again.")
}
