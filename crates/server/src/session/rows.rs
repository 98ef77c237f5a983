//! A result on its way to the client, pulled row by row, wherever it comes from.

use std::sync::Arc;

use bellwether_storage::{Cursor, RowDigest, SessionState};
use bellwether_types::{
    Column, CommandTag, ErrorKind, Position, SqlError, Statement, StatementResult, Term, Value, ValueRef,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::told;
use crate::patience::with_patience;
use crate::replica::{Answered, Fate, Piece, PooledReader, Refusal, Reign, ReplicaHandle};

/// Steps of a cursor are cheap; a long query must not keep the other sessions of this thread waiting.
const STEPS_BETWEEN_YIELDS: u32 = 256;

/// What a session may have in rows that were read before they were fetched.
pub(crate) const PARKED_BYTES: usize = 64 << 20;

/// See the module.
pub(crate) struct Rows {
    source: Source,
    count: u64,
    tag: Option<CommandTag>,
}

enum Source {
    /// This node's replica.
    Replica(Box<OfReplica>),
    /// This node's replica, in a transaction that may write later.
    Snapshot(Box<OfSnapshot>),
    /// The writer.
    Streamed {
        pieces: Pieces,
        ended: Option<oneshot::Receiver<Result<CommandTag, Refusal>>>,
        fate: Fate,
        watch: Watch,
    },
    /// A reader at the leader.
    Leader {
        pieces: Pieces,
        ended: Option<oneshot::Receiver<Result<(CommandTag, Position), Refusal>>>,
        position: Option<Position>,
    },
    /// Everything is here.
    Buffered {
        pieces: Pieces,
        session: Option<SessionState>,
        position: Option<Position>,
    },
}

/// Sees when another reign than the transaction's begins: its leader may be frozen, and never answer.
pub(crate) struct Watch {
    pub reign: watch::Receiver<Reign>,
    pub term: Term,
}

impl Watch {
    async fn superseded(&mut self) {
        let later = self
            .reign
            .wait_for(|reign| reign.term > self.term && reign.leader.is_some());
        if later.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A query of a transaction's snapshot, and what of it was fetched.
struct OfSnapshot {
    cursor: Cursor,
    statement: Statement,
    digest: RowDigest,
    whole: bool,
}

impl OfSnapshot {
    fn step(&mut self) -> Result<bool, SqlError> {
        let more = with_patience(|| self.cursor.step())?;
        if more {
            self.digest.add_current(&self.cursor);
        }
        self.whole = !more;
        Ok(more)
    }

    fn into_answered(self) -> Answered {
        Answered {
            statement: self.statement,
            seen: self.digest.seen(self.whole),
        }
    }
}

/// A query of this node's replica.
struct OfReplica {
    // Dropped before the reader that it reads with goes back to the pool.
    cursor: Cursor,
    _reader: PooledReader,
    replica: Arc<ReplicaHandle>,
    position: Option<Position>,
}

/// Rows that come in pieces.
#[derive(Default)]
struct Pieces {
    receiver: Option<mpsc::Receiver<Piece>>,
    columns: Vec<Column>,
    rows: std::vec::IntoIter<Vec<Value>>,
    current: Vec<Value>,
}

impl Pieces {
    fn of(receiver: mpsc::Receiver<Piece>) -> Pieces {
        Pieces {
            receiver: Some(receiver),
            ..Pieces::default()
        }
    }

    async fn next(&mut self) -> bool {
        loop {
            if let Some(row) = self.rows.next() {
                self.current = row;
                return true;
            }
            match &mut self.receiver {
                None => return false,
                Some(receiver) => match receiver.recv().await {
                    Some(Piece::Columns(columns)) => self.columns = columns,
                    Some(Piece::Rows(rows)) => self.rows = rows.into_iter(),
                    None => self.receiver = None,
                },
            }
        }
    }
}

impl Rows {
    fn of(source: Source) -> Rows {
        Rows {
            source,
            count: 0,
            tag: None,
        }
    }

    pub fn empty(tag: CommandTag) -> Rows {
        Rows::whole(Vec::new(), Vec::new(), tag)
    }

    /// All there is, of statements that are done.
    pub fn whole(columns: Vec<Column>, rows: Vec<Vec<Value>>, tag: CommandTag) -> Rows {
        let pieces = Pieces {
            columns,
            rows: rows.into_iter(),
            ..Pieces::default()
        };
        let mut rows = Rows::of(Source::Buffered {
            pieces,
            session: None,
            position: None,
        });
        rows.tag = Some(tag);
        rows
    }

    pub fn of_replica(cursor: Cursor, reader: PooledReader, replica: Arc<ReplicaHandle>) -> Rows {
        Rows::of(Source::Replica(Box::new(OfReplica {
            cursor,
            _reader: reader,
            replica,
            position: None,
        })))
    }

    pub fn of_snapshot(cursor: Cursor, statement: Statement) -> Rows {
        Rows::of(Source::Snapshot(Box::new(OfSnapshot {
            cursor,
            statement,
            digest: RowDigest::default(),
            whole: false,
        })))
    }

    pub fn streamed(
        pieces: mpsc::Receiver<Piece>,
        ended: oneshot::Receiver<Result<CommandTag, Refusal>>,
        fate: Fate,
        watch: Watch,
    ) -> Rows {
        Rows::of(Source::Streamed {
            pieces: Pieces::of(pieces),
            ended: Some(ended),
            fate,
            watch,
        })
    }

    pub fn of_leader(
        pieces: mpsc::Receiver<Piece>,
        ended: oneshot::Receiver<Result<(CommandTag, Position), Refusal>>,
    ) -> Rows {
        Rows::of(Source::Leader {
            pieces: Pieces::of(pieces),
            ended: Some(ended),
            position: None,
        })
    }

    pub fn buffered(result: StatementResult, session: SessionState, position: Position) -> Rows {
        let pieces = Pieces {
            columns: result.columns,
            rows: result.rows.into_iter(),
            ..Pieces::default()
        };
        let mut rows = Rows::of(Source::Buffered {
            pieces,
            session: Some(session),
            position: Some(position),
        });
        rows.tag = Some(result.tag);
        rows
    }

    /// To the next row; false at the end, when the statement has succeeded.
    pub async fn next(&mut self) -> Result<bool, SqlError> {
        let more = match &mut self.source {
            Source::Replica(query) => {
                if self.count % u64::from(STEPS_BETWEEN_YIELDS) == u64::from(STEPS_BETWEEN_YIELDS) - 1 {
                    tokio::task::yield_now().await;
                }
                let more = with_patience(|| query.cursor.step())?;
                if query.position.is_none() {
                    // The snapshot is taken by the first step; whatever it shows was visible by now.
                    query.position = Some(query.replica.published.visible());
                }
                more
            }
            Source::Snapshot(query) => query.step()?,
            Source::Streamed {
                pieces,
                ended,
                fate,
                watch,
            } => {
                let more = tokio::select! {
                    more = pieces.next() => more,
                    () = watch.superseded() => return Err(crate::replica::leader_lost()),
                };
                if !more && let Some(ended) = ended.take() {
                    let result = tokio::select! {
                        result = ended => result.unwrap_or_else(|_| Err(fate.lost())),
                        () = watch.superseded() => return Err(crate::replica::leader_lost()),
                    };
                    self.tag = Some(result.map_err(told)?);
                }
                more
            }
            Source::Leader {
                pieces,
                ended,
                position,
            } => {
                let more = pieces.next().await;
                if !more && let Some(ended) = ended.take() {
                    let (tag, at) = ended
                        .await
                        .unwrap_or(Err(Refusal::Unknown))
                        .map_err(read_refused)?;
                    self.tag = Some(tag);
                    *position = Some(at);
                }
                more
            }
            Source::Buffered { pieces, .. } => pieces.next().await,
        };
        self.count += u64::from(more);
        Ok(more)
    }

    /// Reads what is left into memory, at most `budget_bytes` of it: so that the transaction's next statement finds the
    /// writer free, or so that all that was read can be compared when the writer is taken. `has_row`: there is a
    /// current row, which stays the current one. The answer is the read for that comparison, and what it takes.
    pub async fn park(
        &mut self,
        has_row: bool,
        budget_bytes: usize,
    ) -> Result<(Option<Answered>, usize), SqlError> {
        if matches!(self.source, Source::Buffered { .. }) {
            return Ok((None, 0));
        }
        let count = self.count;
        let columns = self.columns().to_vec();
        let row = |rows: &Rows| -> Result<Vec<Value>, SqlError> {
            (0..columns.len())
                .map(|column| rows.value(column).to_value())
                .collect::<Result<_, _>>()
        };
        let current = row(self)?;
        let mut rest = Vec::new();
        let mut bytes = 0;
        while has_row && self.next().await? {
            let row = row(self)?;
            bytes += row.iter().map(Value::size_bytes).sum::<usize>();
            if bytes > budget_bytes {
                return Err(too_much_left());
            }
            rest.push(row);
        }
        self.count = count;
        let parked = Source::Buffered {
            pieces: Pieces {
                receiver: None,
                columns,
                rows: rest.into_iter(),
                current,
            },
            session: None,
            position: None,
        };
        let prior = match std::mem::replace(&mut self.source, parked) {
            Source::Snapshot(query) => Some(query.into_answered()),
            _ => None,
        };
        Ok((prior, bytes))
    }

    /// With another word for what was done; nothing is counted.
    pub fn tagged(mut self, tag: CommandTag) -> Rows {
        if let Source::Streamed { .. } | Source::Leader { .. } | Source::Buffered { .. } = self.source {
            self.tag = Some(tag);
        }
        self
    }

    /// Nobody wants the rest, but the statement is done whole: a write for its own sake, and what the writer streams
    /// because the answer to the transaction's next statement comes after it.
    pub async fn discard_rest(&mut self) -> Result<(), SqlError> {
        if matches!(self.source, Source::Streamed { .. }) {
            while self.next().await? {}
        }
        Ok(())
    }

    /// Known for certain only after the first `next`.
    pub fn columns(&self) -> &[Column] {
        match &self.source {
            Source::Replica(query) => query.cursor.columns(),
            Source::Snapshot(query) => query.cursor.columns(),
            Source::Streamed { pieces, .. }
            | Source::Leader { pieces, .. }
            | Source::Buffered { pieces, .. } => &pieces.columns,
        }
    }

    /// Of the current row.
    pub fn value(&self, column: usize) -> ValueRef<'_> {
        match &self.source {
            Source::Replica(query) => query.cursor.value(column),
            Source::Snapshot(query) => query.cursor.value(column),
            Source::Streamed { pieces, .. }
            | Source::Leader { pieces, .. }
            | Source::Buffered { pieces, .. } => {
                pieces.current.get(column).map_or(ValueRef::Null, Value::as_ref)
            }
        }
    }

    pub(super) fn finish(
        self,
    ) -> (
        CommandTag,
        Option<Answered>,
        Option<Position>,
        Option<SessionState>,
    ) {
        let counted = |verb: &str| match verb {
            "SELECT" | "VALUES" => CommandTag::counted("SELECT", self.count),
            other => CommandTag::plain(other),
        };
        let unknown = || CommandTag::counted("SELECT", self.count);
        match self.source {
            Source::Replica(query) => (counted(query.cursor.verb()), None, query.position, None),
            Source::Snapshot(query) => (
                counted(query.cursor.verb()),
                Some(query.into_answered()),
                None,
                None,
            ),
            Source::Streamed { .. } => (self.tag.unwrap_or_else(unknown), None, None, None),
            Source::Leader { position, .. } => (self.tag.unwrap_or_else(unknown), None, position, None),
            Source::Buffered {
                session, position, ..
            } => (self.tag.unwrap_or_else(unknown), None, position, session),
        }
    }
}

fn too_much_left() -> SqlError {
    SqlError::new(
        ErrorKind::ProgramLimit,
        "too many rows are left in open cursors and portals for another statement of the transaction",
    )
    .with_detail(format!("At most {PARKED_BYTES} bytes are kept for a session."))
    .with_hint("Fetch them all first, or read them in a transaction that does not write.")
}

/// A read at the leader that got no answer changed nothing.
fn read_refused(refusal: Refusal) -> SqlError {
    match refusal {
        Refusal::Failed(error) => error,
        Refusal::NotLeader | Refusal::Unknown => crate::forward::no_leader(),
    }
}
