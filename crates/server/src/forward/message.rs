//! What is said on a forwarding connection: one request, then its answers, then the next request.

use std::sync::Arc;

use bellwether_storage::{Answer, ClientTransaction, Description, Seen, SessionState};
use bellwether_types::codec::{DecodeError, Decoder, Encoder};
use bellwether_types::result::{decode_columns, decode_rows, encode_columns, encode_rows};
use bellwether_types::{
    Column, CommandTag, DatabaseId, Durability, Facts, NodeId, Outcome, Position, RequestId, SessionId,
    SqlError, Statement, StatementResult, Term, Value,
};

use crate::replica::{Answered, Attempt, Opening, ReadAtLeader, SavepointAction};
use crate::verify::Scope;

/// From the node that holds the client.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// Execute as one transaction. Answered by `Done`, `Failed` or `Refused`.
    Autocommit {
        database: DatabaseId,
        transaction: ClientTransaction,
        attempt: Attempt,
    },
    /// Take the writer. Answered by `Opened`, `Failed` or `Refused`. Until `Commit` or `Rollback` the connection is
    /// this transaction's.
    Open {
        database: DatabaseId,
        opening: Opening,
        attempt: Attempt,
    },
    /// In the open transaction. Answered by any number of `Columns` and `Rows`, then `Executed` or `Failed`.
    Execute {
        statement: Statement,
        /// When they have changed since the one before.
        facts: Option<Arc<Facts>>,
    },
    /// In the open transaction. Answered by `Described` or `Failed`.
    Describe { sql: String },
    /// In the open transaction. Answered by `Saved` or `Failed`.
    Savepoint { name: String, action: SavepointAction },
    /// Ends it. Answered by `Committed`, `Failed` or `Refused`.
    Commit { durability: Durability },
    /// Ends it. Answered by `RolledBack`.
    Rollback,
    /// What became of a request. Answered by `Outcome` or `Refused`.
    Outcome {
        database: DatabaseId,
        request: RequestId,
        durability: Durability,
    },
    /// A session is over. Not answered.
    EndSession {
        database: DatabaseId,
        session: SessionId,
    },
    /// A read at the leader, which first confirms that it leads. Answered as `Execute`.
    Read {
        database: DatabaseId,
        read: ReadAtLeader,
    },
    /// Let another node lead. Answered by `HandedOver` or `Failed`.
    HandOver {
        database: DatabaseId,
        to: Option<NodeId>,
        drain_ms: u64,
    },
    /// What the node says of itself. Answered by `Status`.
    Status,
    /// Look at what the node has on its disk. Answered by any number of `Verifying`, then `Verified`.
    Verify(Scope),
    /// Stop what runs on this connection. Not answered by itself.
    Cancel,
    /// Execute what was asked only if that has begun. Not answered by itself.
    GiveUp,
}

/// From the leader, or from a node that was taken for it.
#[derive(Debug, Clone)]
pub(crate) enum Response {
    Done {
        answer: Answer,
        position: Position,
    },
    Opened,
    Columns(Vec<Column>),
    Rows(Vec<Vec<Value>>),
    Executed {
        tag: CommandTag,
        position: Position,
    },
    Described(Description),
    Saved,
    Committed {
        session: SessionState,
        position: Position,
    },
    RolledBack {
        session: SessionState,
    },
    Outcome(Outcome),
    /// Who leads now.
    HandedOver(NodeId),
    /// As JSON, for it is told on.
    Status(String),
    /// It is at it; told every second.
    Verifying,
    /// As JSON.
    Verified(String),
    Failed(SqlError),
    /// This node does not lead; nothing was executed.
    NotLeader,
    /// Leadership was lost meanwhile; it may be committed.
    Unknown,
}

/// Frozen.
mod tag {
    pub const AUTOCOMMIT: u8 = 1;
    pub const OPEN: u8 = 2;
    pub const EXECUTE: u8 = 3;
    pub const SAVEPOINT: u8 = 4;
    pub const COMMIT: u8 = 5;
    pub const ROLLBACK: u8 = 6;
    pub const OUTCOME: u8 = 7;
    pub const END_SESSION: u8 = 8;
    pub const READ: u8 = 9;
    pub const CANCEL: u8 = 10;
    pub const DESCRIBE: u8 = 11;
    pub const GIVE_UP: u8 = 12;
    pub const STATUS: u8 = 13;
    pub const HAND_OVER: u8 = 14;
    pub const VERIFY: u8 = 16;

    pub const DONE: u8 = 1;
    pub const OPENED: u8 = 2;
    pub const COLUMNS: u8 = 3;
    pub const ROWS: u8 = 4;
    pub const EXECUTED: u8 = 5;
    pub const SAVED: u8 = 6;
    pub const COMMITTED: u8 = 7;
    pub const ROLLED_BACK: u8 = 8;
    pub const OUTCOME_IS: u8 = 9;
    pub const FAILED: u8 = 10;
    pub const NOT_LEADER: u8 = 11;
    pub const UNKNOWN: u8 = 12;
    pub const DESCRIBED: u8 = 13;
    pub const STATUS_IS: u8 = 14;
    pub const HANDED_OVER: u8 = 15;
    pub const VERIFYING: u8 = 16;
    pub const VERIFIED: u8 = 17;
}

fn put_request_id(out: &mut Encoder, request: RequestId) {
    out.u128(request.session.0);
    out.u64(request.sequence);
}

fn request_id(input: &mut Decoder<'_>) -> Result<RequestId, DecodeError> {
    Ok(RequestId {
        session: SessionId(input.u128()?),
        sequence: input.u64()?,
    })
}

fn database(input: &mut Decoder<'_>) -> Result<DatabaseId, DecodeError> {
    input.u32("database").map(DatabaseId)
}

fn put_attempt(out: &mut Encoder, attempt: Attempt) {
    out.u64(attempt.term.0);
    out.u64(attempt.number);
}

fn attempt(input: &mut Decoder<'_>) -> Result<Attempt, DecodeError> {
    Ok(Attempt {
        term: Term(input.u64()?),
        number: input.u64()?,
    })
}

fn put_transaction(out: &mut Encoder, transaction: &ClientTransaction) {
    put_request_id(out, transaction.request);
    out.u64(transaction.statements.len() as u64);
    for statement in &transaction.statements {
        statement.encode(out);
    }
    out.u64(transaction.seen.len() as u64);
    for seen in &transaction.seen {
        seen.encode(out);
    }
    transaction.session.encode(out);
    transaction.facts.encode(out);
    transaction.durability.encode(out);
}

fn transaction(input: &mut Decoder<'_>) -> Result<ClientTransaction, DecodeError> {
    let request = request_id(input)?;
    let statements = (0..input.count()?)
        .map(|_| Statement::decode(input))
        .collect::<Result<_, _>>()?;
    let seen = (0..input.count()?)
        .map(|_| Seen::decode(input))
        .collect::<Result<_, _>>()?;
    Ok(ClientTransaction {
        request,
        statements,
        seen,
        session: SessionState::decode(input)?,
        facts: Arc::new(Facts::decode(input)?),
        durability: Durability::decode(input)?,
    })
}

fn put_opening(out: &mut Encoder, opening: &Opening) {
    put_request_id(out, opening.request);
    opening.session.encode(out);
    opening.facts.encode(out);
    out.u64(opening.answered.len() as u64);
    for Answered { statement, seen } in &opening.answered {
        statement.encode(out);
        seen.encode(out);
    }
    out.u64(opening.savepoints.len() as u64);
    for name in &opening.savepoints {
        out.str(name);
    }
    out.u64(opening.idle_timeout_ms);
}

fn opening(input: &mut Decoder<'_>) -> Result<Opening, DecodeError> {
    let request = request_id(input)?;
    let session = SessionState::decode(input)?;
    let facts = Arc::new(Facts::decode(input)?);
    let answered = (0..input.count()?)
        .map(|_| {
            Ok(Answered {
                statement: Statement::decode(input)?,
                seen: Seen::decode(input)?,
            })
        })
        .collect::<Result<_, DecodeError>>()?;
    let savepoints = (0..input.count()?)
        .map(|_| input.str().map(str::to_owned))
        .collect::<Result<_, _>>()?;
    Ok(Opening {
        request,
        session,
        facts,
        answered,
        savepoints,
        idle_timeout_ms: input.u64()?,
    })
}

impl SavepointAction {
    fn from_number(number: u8) -> Result<SavepointAction, DecodeError> {
        match number {
            0 => Ok(SavepointAction::Set),
            1 => Ok(SavepointAction::RollbackTo),
            2 => Ok(SavepointAction::Release),
            other => Err(DecodeError::UnknownTag {
                what: "savepoint action",
                tag: u64::from(other),
            }),
        }
    }
}

/// What is asked of one database begins so.
fn put_addressed(out: &mut Encoder, tag: u8, database: DatabaseId) {
    out.u8(tag);
    out.u64(u64::from(database.0));
}

impl Request {
    /// Whose statement it is.
    pub fn facts_mut(&mut self) -> Option<&mut Arc<Facts>> {
        match self {
            Request::Autocommit { transaction, .. } => Some(&mut transaction.facts),
            Request::Open { opening, .. } => Some(&mut opening.facts),
            Request::Read { read, .. } => Some(&mut read.facts),
            Request::Execute { facts, .. } => facts.as_mut(),
            _ => None,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        match self {
            Request::Autocommit {
                database,
                transaction,
                attempt,
            } => {
                put_addressed(&mut out, tag::AUTOCOMMIT, *database);
                put_attempt(&mut out, *attempt);
                put_transaction(&mut out, transaction);
            }
            Request::Open {
                database,
                opening,
                attempt,
            } => {
                put_addressed(&mut out, tag::OPEN, *database);
                put_attempt(&mut out, *attempt);
                put_opening(&mut out, opening);
            }
            Request::Execute { .. }
            | Request::Describe { .. }
            | Request::Savepoint { .. }
            | Request::Commit { .. }
            | Request::Rollback => self.encode_step(&mut out),
            Request::Outcome {
                database,
                request,
                durability,
            } => {
                put_addressed(&mut out, tag::OUTCOME, *database);
                put_request_id(&mut out, *request);
                durability.encode(&mut out);
            }
            Request::EndSession { database, session } => {
                put_addressed(&mut out, tag::END_SESSION, *database);
                out.u128(session.0);
            }
            Request::Read { database, read } => {
                put_addressed(&mut out, tag::READ, *database);
                read.statement.encode(&mut out);
                read.seen.encode(&mut out);
                read.session.encode(&mut out);
                read.facts.encode(&mut out);
            }
            Request::Status => out.u8(tag::STATUS),
            Request::Verify(scope) => {
                out.u8(tag::VERIFY);
                scope.encode(&mut out);
            }
            Request::HandOver {
                database,
                to,
                drain_ms,
            } => {
                put_addressed(&mut out, tag::HAND_OVER, *database);
                out.option(*to, |out, to| out.u64(to.0));
                out.u64(*drain_ms);
            }
            Request::Cancel => out.u8(tag::CANCEL),
            Request::GiveUp => out.u8(tag::GIVE_UP),
        }
        out.into_vec()
    }

    /// Of an open transaction.
    fn encode_step(&self, out: &mut Encoder) {
        match self {
            Request::Execute { statement, facts } => {
                out.u8(tag::EXECUTE);
                statement.encode(out);
                out.option(facts.as_ref(), |out, facts| facts.encode(out));
            }
            Request::Describe { sql } => {
                out.u8(tag::DESCRIBE);
                out.str(sql);
            }
            Request::Savepoint { name, action } => {
                out.u8(tag::SAVEPOINT);
                out.u8(*action as u8);
                out.str(name);
            }
            Request::Commit { durability } => {
                out.u8(tag::COMMIT);
                durability.encode(out);
            }
            Request::Rollback => out.u8(tag::ROLLBACK),
            other => unreachable!("no step: {other:?}"),
        }
    }

    pub fn decode(bytes: &[u8]) -> Result<Request, DecodeError> {
        let input = &mut Decoder::new(bytes);
        let request = match input.u8()? {
            tag::AUTOCOMMIT => Request::Autocommit {
                database: database(input)?,
                attempt: attempt(input)?,
                transaction: transaction(input)?,
            },
            tag::OPEN => Request::Open {
                database: database(input)?,
                attempt: attempt(input)?,
                opening: opening(input)?,
            },
            tag::EXECUTE => Request::Execute {
                statement: Statement::decode(input)?,
                facts: input.option(Facts::decode)?.map(Arc::new),
            },
            tag::DESCRIBE => Request::Describe {
                sql: input.str()?.to_owned(),
            },
            tag::SAVEPOINT => Request::Savepoint {
                action: SavepointAction::from_number(input.u8()?)?,
                name: input.str()?.to_owned(),
            },
            tag::COMMIT => Request::Commit {
                durability: Durability::decode(input)?,
            },
            tag::ROLLBACK => Request::Rollback,
            tag::OUTCOME => Request::Outcome {
                database: database(input)?,
                request: request_id(input)?,
                durability: Durability::decode(input)?,
            },
            tag::END_SESSION => Request::EndSession {
                database: database(input)?,
                session: SessionId(input.u128()?),
            },
            tag::READ => Request::Read {
                database: database(input)?,
                read: ReadAtLeader {
                    statement: Statement::decode(input)?,
                    seen: Position::decode(input)?,
                    session: SessionState::decode(input)?,
                    facts: Arc::new(Facts::decode(input)?),
                },
            },
            tag::STATUS => Request::Status,
            tag::VERIFY => Request::Verify(Scope::decode(input)?),
            tag::HAND_OVER => Request::HandOver {
                database: database(input)?,
                to: input.option(|input| input.u64().map(NodeId))?,
                drain_ms: input.u64()?,
            },
            tag::CANCEL => Request::Cancel,
            tag::GIVE_UP => Request::GiveUp,
            other => {
                return Err(DecodeError::UnknownTag {
                    what: "request",
                    tag: u64::from(other),
                });
            }
        };
        input.clone().finish()?;
        Ok(request)
    }
}

fn put_answer(out: &mut Encoder, answer: &Answer) {
    out.u64(answer.results.len() as u64);
    for result in &answer.results {
        result.encode(out);
    }
    answer.session.encode(out);
    out.bool(answer.deduplicated);
    out.bool(answer.rows_lost);
}

fn answer(input: &mut Decoder<'_>) -> Result<Answer, DecodeError> {
    let results = (0..input.count()?)
        .map(|_| StatementResult::decode(input))
        .collect::<Result<_, _>>()?;
    let session = SessionState::decode(input)?;
    Ok(Answer {
        results,
        session,
        deduplicated: input.bool()?,
        rows_lost: input.bool()?,
    })
}

impl Response {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        match self {
            Response::Done { answer, position } => {
                out.u8(tag::DONE);
                put_answer(&mut out, answer);
                position.encode(&mut out);
            }
            Response::Opened => out.u8(tag::OPENED),
            Response::Columns(columns) => {
                out.u8(tag::COLUMNS);
                encode_columns(columns, &mut out);
            }
            Response::Rows(rows) => {
                out.u8(tag::ROWS);
                encode_rows(rows, &mut out);
            }
            Response::Executed { tag, position } => {
                out.u8(tag::EXECUTED);
                tag.encode(&mut out);
                position.encode(&mut out);
            }
            Response::Described(description) => {
                out.u8(tag::DESCRIBED);
                description.encode(&mut out);
            }
            Response::Saved => out.u8(tag::SAVED),
            Response::Committed { session, position } => {
                out.u8(tag::COMMITTED);
                session.encode(&mut out);
                position.encode(&mut out);
            }
            Response::RolledBack { session } => {
                out.u8(tag::ROLLED_BACK);
                session.encode(&mut out);
            }
            Response::Outcome(outcome) => {
                out.u8(tag::OUTCOME_IS);
                outcome.encode(&mut out);
            }
            Response::HandedOver(node) => {
                out.u8(tag::HANDED_OVER);
                out.u64(node.0);
            }
            Response::Status(json) => {
                out.u8(tag::STATUS_IS);
                out.str(json);
            }
            Response::Verifying => out.u8(tag::VERIFYING),
            Response::Verified(json) => {
                out.u8(tag::VERIFIED);
                out.str(json);
            }
            Response::Failed(error) => {
                out.u8(tag::FAILED);
                error.encode(&mut out);
            }
            Response::NotLeader => out.u8(tag::NOT_LEADER),
            Response::Unknown => out.u8(tag::UNKNOWN),
        }
        out.into_vec()
    }

    pub fn decode(bytes: &[u8]) -> Result<Response, DecodeError> {
        let input = &mut Decoder::new(bytes);
        let response = match input.u8()? {
            tag::DONE => Response::Done {
                answer: answer(input)?,
                position: Position::decode(input)?,
            },
            tag::OPENED => Response::Opened,
            tag::COLUMNS => Response::Columns(decode_columns(input)?),
            tag::ROWS => Response::Rows(decode_rows(input)?),
            tag::EXECUTED => Response::Executed {
                tag: CommandTag::decode(input)?,
                position: Position::decode(input)?,
            },
            tag::DESCRIBED => Response::Described(Description::decode(input)?),
            tag::SAVED => Response::Saved,
            tag::COMMITTED => Response::Committed {
                session: SessionState::decode(input)?,
                position: Position::decode(input)?,
            },
            tag::ROLLED_BACK => Response::RolledBack {
                session: SessionState::decode(input)?,
            },
            tag::OUTCOME_IS => Response::Outcome(Outcome::decode(input)?),
            tag::HANDED_OVER => Response::HandedOver(NodeId(input.u64()?)),
            tag::STATUS_IS => Response::Status(input.str()?.to_owned()),
            tag::VERIFYING => Response::Verifying,
            tag::VERIFIED => Response::Verified(input.str()?.to_owned()),
            tag::FAILED => Response::Failed(SqlError::decode(input)?),
            tag::NOT_LEADER => Response::NotLeader,
            tag::UNKNOWN => Response::Unknown,
            other => {
                return Err(DecodeError::UnknownTag {
                    what: "response",
                    tag: u64::from(other),
                });
            }
        };
        input.clone().finish()?;
        Ok(response)
    }
}
