//! The answering side: what a peer asks is done as for a client of this node's own.

use std::sync::Arc;
use std::time::Duration;

use bellwether_storage::ClientTransaction;
use bellwether_types::{CommandTag, DatabaseId, ErrorKind, Position, SqlError};
use tokio::sync::{Notify, mpsc};

use super::client::Stop;
use super::message::{Request, Response};
use crate::lock::Stream;
use crate::node::Node;
use crate::peer::{FRAME_BYTES_MAX, FrameError, FrameReader, write_frame};
use crate::replica::desk::Claim;
use crate::replica::{Attempt, OpenTransaction, Piece, Refusal, ReplicaHandle};
use crate::verify::{SIGN_OF_LIFE, Scope, verify_here};

/// Pieces of a result under way to the socket.
const PIECES_MAX: usize = 4;

struct Peer {
    reader: FrameReader,
    stream: Stream,
}

/// The connection ended, or what came over it was nonsense.
enum Gone {
    Closed,
    Broken(FrameError),
}

impl From<FrameError> for Gone {
    fn from(error: FrameError) -> Gone {
        Gone::Broken(error)
    }
}

impl Peer {
    async fn next(&mut self) -> Result<Request, Gone> {
        match self.reader.next(&mut self.stream, FRAME_BYTES_MAX).await? {
            Some(frame) => Ok(Request::decode(&frame).map_err(FrameError::from)?),
            None => Err(Gone::Closed),
        }
    }

    async fn send(&mut self, response: &Response) -> Result<(), Gone> {
        write_frame(&mut self.stream, &response.encode())
            .await
            .map_err(FrameError::from)?;
        Ok(())
    }

    /// Waits for work done on this peer's behalf, and hears meanwhile when the peer wants it stopped or hangs up.
    /// `on_stop` tells whether the work was given up before it began.
    async fn attend<T>(
        &mut self,
        work: impl Future<Output = Result<T, Refusal>>,
        mut on_stop: impl FnMut(Stop) -> bool,
    ) -> Result<Result<T, Refusal>, Gone> {
        let mut work = std::pin::pin!(work);
        loop {
            let heard = tokio::select! {
                done = &mut work => return Ok(done),
                heard = self.next() => heard,
            };
            let given_up = on_stop(Stop::heard(&heard));
            match heard {
                Ok(Request::Cancel | Request::GiveUp) if given_up => return Ok(Err(given_up_early())),
                Ok(Request::Cancel | Request::GiveUp) => {}
                // Speaking out of turn is no better than hanging up.
                Ok(_) => return Err(Gone::Closed),
                Err(gone) => return Err(gone),
            }
        }
    }
}

impl Stop {
    /// Whoever hangs up wants what runs stopped, too.
    fn heard(request: &Result<Request, Gone>) -> Stop {
        match request {
            Ok(Request::GiveUp) => Stop::GiveUp,
            _ => Stop::Cancel,
        }
    }
}

/// What became of work that was given up before it began.
fn given_up_early() -> Refusal {
    SqlError::new(ErrorKind::Cancelled, "canceling statement due to user request").into()
}

/// Until the peer hangs up or the node stops.
pub(crate) async fn serve(node: Arc<Node>, reader: FrameReader, stream: Stream) -> Result<(), FrameError> {
    let mut peer = Peer { reader, stream };
    let result = tokio::select! {
        () = node.stop.asked() => return Ok(()),
        result = serve_requests(&node, &mut peer) => result,
    };
    match result {
        Ok(()) | Err(Gone::Closed) => Ok(()),
        Err(Gone::Broken(error)) => Err(error),
    }
}

async fn serve_requests(node: &Node, peer: &mut Peer) -> Result<(), Gone> {
    loop {
        let mut request = peer.next().await?;
        fill_in(node, &mut request);
        if let Some(response) = answer(node, peer, request).await? {
            peer.send(&response).await?;
        }
    }
}

/// What is not sent along.
fn fill_in(node: &Node, request: &mut Request) {
    if let Some(facts) = request.facts_mut() {
        Arc::make_mut(facts).roles = node.lock.book.facts();
    }
}

/// The last word on a request; `None` for those that are not answered.
async fn answer(node: &Node, peer: &mut Peer, request: Request) -> Result<Option<Response>, Gone> {
    let database = match &request {
        Request::Autocommit { database, .. }
        | Request::Open { database, .. }
        | Request::Outcome { database, .. }
        | Request::EndSession { database, .. }
        | Request::HandOver { database, .. }
        | Request::Read { database, .. } => *database,
        Request::Status => {
            let status = serde_json::to_string(&node.status()).expect("it has only text keys");
            return Ok(Some(Response::Status(status)));
        }
        Request::Verify(scope) => return verify(node, peer, *scope).await.map(Some),
        Request::Cancel | Request::GiveUp => return Ok(None),
        _ => {
            let error = SqlError::new(ErrorKind::TransactionState, "no transaction is open");
            return Ok(Some(Response::Failed(error)));
        }
    };
    let replica = match find(node, database) {
        Ok(replica) => replica,
        Err(response) => return Ok(Some(response)),
    };
    let response = match request {
        Request::Autocommit {
            transaction, attempt, ..
        } => autocommit(peer, replica, transaction, attempt).await?,
        Request::Open { opening, attempt, .. } => {
            let claim = Arc::new(Claim::default());
            let work = replica.open(opening, attempt, Arc::clone(&claim));
            match peer.attend(work, |_| claim.give_up()).await? {
                Ok(transaction) => {
                    peer.send(&Response::Opened).await?;
                    serve_transaction(node, peer, transaction).await?
                }
                Err(refusal) => refused(refusal),
            }
        }
        Request::Outcome {
            request, durability, ..
        } => {
            let outcome = replica.outcome(request, durability).await;
            outcome.map_or_else(refused, Response::Outcome)
        }
        Request::HandOver { to, drain_ms, .. } => {
            match replica.hand_over(to, Duration::from_millis(drain_ms)).await {
                Ok(leader) => Response::HandedOver(leader),
                Err(error) => Response::Failed(error),
            }
        }
        Request::EndSession { session, .. } => {
            replica.end_session(session).await;
            return Ok(None);
        }
        Request::Read { read, .. } => {
            let (pieces, mut received) = mpsc::channel(PIECES_MAX);
            let read = replica.read_at_leader(read, pieces);
            executed(stream(peer, read, &mut received, |_| false).await?)
        }
        other => unreachable!("answered above: {other:?}"),
    };
    Ok(Some(response))
}

/// For as long as it takes; a peer that hangs up ends it.
async fn verify(node: &Node, peer: &mut Peer, scope: Scope) -> Result<Response, Gone> {
    let mut work = std::pin::pin!(verify_here(node, scope));
    let mut signs = tokio::time::interval(SIGN_OF_LIFE);
    loop {
        tokio::select! {
            verified = &mut work => {
                let json = serde_json::to_string(&verified).expect("it has only text keys");
                return Ok(Response::Verified(json));
            }
            _ = signs.tick() => peer.send(&Response::Verifying).await?,
            heard = peer.next() => return heard.and(Err(Gone::Closed)),
        }
    }
}

async fn autocommit(
    peer: &mut Peer,
    replica: &ReplicaHandle,
    transaction: ClientTransaction,
    attempt: Attempt,
) -> Result<Response, Gone> {
    let (request, claim) = (transaction.request, Arc::new(Claim::default()));
    let work = replica.autocommit(transaction, attempt, Arc::clone(&claim));
    let done = peer.attend(work, |stop| match stop {
        Stop::Cancel => replica.cancel(request, &claim),
        Stop::GiveUp => claim.give_up(),
    });
    Ok(match done.await? {
        Ok(done) => Response::Done {
            answer: done.answer,
            position: done.position,
        },
        Err(refusal) => refused(refusal),
    })
}

fn find(node: &Node, database: DatabaseId) -> Result<&ReplicaHandle, Response> {
    node.replicas.get(database).map(Arc::as_ref).ok_or_else(|| {
        let message = format!("this node has no replica of database {database}");
        Response::Failed(SqlError::new(ErrorKind::UndefinedDatabase, message))
    })
}

fn executed(result: Result<(CommandTag, Position), Refusal>) -> Response {
    match result {
        Ok((tag, position)) => Response::Executed { tag, position },
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::NotLeader => Response::NotLeader,
        Refusal::Unknown => Response::Unknown,
        Refusal::Failed(error) => Response::Failed(error),
    }
}

/// The answer to the request that ended the transaction. When the peer goes, dropping it rolls back.
async fn serve_transaction(
    node: &Node,
    peer: &mut Peer,
    transaction: OpenTransaction,
) -> Result<Response, Gone> {
    loop {
        let mut request = peer.next().await?;
        fill_in(node, &mut request);
        let response = match request {
            Request::Execute { statement, facts } => {
                let (pieces, mut received) = mpsc::channel(PIECES_MAX);
                let position = transaction.base();
                let canceller = transaction.canceller();
                let work = transaction.execute(statement, facts, pieces);
                match stream(peer, work, &mut received, |_| canceller.cancel()).await? {
                    Ok(tag) => Response::Executed { tag, position },
                    Err(refusal) => refused(refusal),
                }
            }
            Request::Describe { sql } => match peer.attend(transaction.describe(sql), |_| false).await? {
                Ok(description) => Response::Described(description),
                Err(refusal) => refused(refusal),
            },
            Request::Savepoint { name, action } => {
                match peer
                    .attend(transaction.savepoint(name, action), |_| false)
                    .await?
                {
                    Ok(()) => Response::Saved,
                    Err(refusal) => refused(refusal),
                }
            }
            Request::Commit { durability } => {
                let stop = Notify::new();
                let on_stop = |_| {
                    stop.notify_one();
                    false
                };
                let committed = transaction.commit(durability, stop.notified());
                return Ok(match peer.attend(committed, on_stop).await? {
                    Ok((session, position)) => Response::Committed { session, position },
                    Err(refusal) => refused(refusal),
                });
            }
            Request::Rollback => {
                return Ok(match transaction.rollback().await {
                    Ok(session) => Response::RolledBack { session },
                    Err(refusal) => refused(refusal),
                });
            }
            _ => {
                let error = SqlError::new(ErrorKind::TransactionState, "a transaction is open");
                Response::Failed(error)
            }
        };
        peer.send(&response).await?;
    }
}

/// Hands pieces on as they come, until the statement has ended and all are sent.
async fn stream<T>(
    peer: &mut Peer,
    work: impl Future<Output = Result<T, Refusal>>,
    pieces: &mut mpsc::Receiver<Piece>,
    mut on_stop: impl FnMut(Stop) -> bool,
) -> Result<Result<T, Refusal>, Gone> {
    let mut work = std::pin::pin!(work);
    let mut result = None;
    loop {
        let heard = tokio::select! {
            biased;
            piece = pieces.recv() => match piece {
                Some(Piece::Columns(columns)) => {
                    peer.send(&Response::Columns(columns)).await?;
                    continue;
                }
                Some(Piece::Rows(rows)) => {
                    peer.send(&Response::Rows(rows)).await?;
                    continue;
                }
                None => return match result {
                    Some(result) => Ok(result),
                    None => peer.attend(work, on_stop).await,
                },
            },
            done = &mut work, if result.is_none() => {
                result = Some(done);
                continue;
            }
            heard = peer.next() => heard,
        };
        on_stop(Stop::heard(&heard));
        match heard {
            Ok(Request::Cancel | Request::GiveUp) => {}
            Ok(_) => return Err(Gone::Closed),
            Err(gone) => return Err(gone),
        }
    }
}
