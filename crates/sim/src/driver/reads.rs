//! Reads at one node: each waits for what its guarantee asks, then runs in a snapshot of a pooled connection, in two
//! steps with a pause between, so that commits and checkpoints happen under an open snapshot.

use std::collections::BTreeMap;

use bellwether_storage::files::Files;
use bellwether_storage::{Cursor, Reader};
use bellwether_types::{NodeId, Position, SqlError, Statement, Value, ValueRef};

use super::context::{Action, Context, NodeEvent, Request};
use crate::bug::Bug;
use crate::clock::Time;
use crate::observation::{Observation, Outcome};
use crate::workload::Rows;

/// Connections for reads.
const READERS: usize = 3;

/// How long a read waits for its token, or for the leader's word.
const WAIT_US: u64 = 1_500_000;

enum Stage {
    /// For this node to have applied the token's position.
    Token,
    /// For the machine to answer its ticket.
    Index,
    /// For a connection.
    Ready,
    /// Runs on this one; what it has read so far.
    Running {
        reader: usize,
        position: Position,
        answer: Vec<Rows>,
    },
}

struct Pending {
    request: Request,
    stage: Stage,
    until: Time,
}

/// A connection, and the snapshot that a planted bug keeps open on it.
struct Pooled {
    reader: Reader,
    is_free: bool,
    kept: Option<Position>,
}

/// The reads of one node.
pub(super) struct Reads {
    node: NodeId,
    pool: Vec<Pooled>,
    pending: BTreeMap<u64, Pending>,
}

impl Reads {
    pub fn new(node: NodeId) -> Reads {
        Reads {
            node,
            pool: Vec::new(),
            pending: BTreeMap::new(),
        }
    }

    /// Opens the connections.
    pub fn open(&mut self, files: &Files, context: &mut Context<'_>) {
        for _ in 0..READERS {
            match Reader::open(files) {
                Ok(reader) => self.pool.push(Pooled {
                    reader,
                    is_free: true,
                    kept: None,
                }),
                Err(error) => context.fail_storage(error.is_damage(), error),
            }
        }
    }

    /// Closes them; reads that run are refused.
    pub fn close(&mut self, context: &mut Context<'_>) {
        let running = |(_, pending): &(&u64, &Pending)| matches!(pending.stage, Stage::Running { .. });
        let tickets: Vec<u64> = self
            .pending
            .iter()
            .filter(running)
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in tickets {
            self.end(ticket, Outcome::Refused, context);
        }
        self.pool.clear();
    }

    /// A read that may run when `applied` reaches its token.
    pub fn push_session(&mut self, ticket: u64, request: Request, context: &Context<'_>) {
        self.insert(ticket, request, Stage::Token, context.now);
    }

    /// A read that may run when the machine says so.
    pub fn push_strong(&mut self, ticket: u64, request: Request, context: &Context<'_>) {
        self.insert(ticket, request, Stage::Index, context.now);
    }

    /// A read that may run at once.
    pub fn push_ready(&mut self, ticket: u64, request: Request, context: &Context<'_>) {
        self.insert(ticket, request, Stage::Ready, context.now);
    }

    fn insert(&mut self, ticket: u64, request: Request, stage: Stage, now: Time) {
        let until = now.plus_us(WAIT_US).min(request.deadline);
        self.pending.insert(
            ticket,
            Pending {
                request,
                stage,
                until,
            },
        );
    }

    /// The machine answered. Whether the ticket was a read's.
    pub fn handle_index(&mut self, ticket: u64, is_confirmed: bool, context: &mut Context<'_>) -> bool {
        let Some(pending) = self.pending.get_mut(&ticket) else {
            return false;
        };
        match is_confirmed {
            true if context.has(Bug::ForgetEarlyPosition) => pending.stage = Stage::Ready,
            // What its client was answered early may be after what is committed.
            true => pending.stage = Stage::Token,
            false => self.end(ticket, Outcome::Refused, context),
        }
        true
    }

    /// Starts what may run; refuses what waited too long. `applied` is absent while the replica does not serve.
    pub fn advance(&mut self, applied: Option<Position>, context: &mut Context<'_>) {
        let mut over = Vec::new();
        for (ticket, pending) in &mut self.pending {
            let serves = applied.is_some_and(|applied| applied.index >= pending.request.token.index);
            if matches!(pending.stage, Stage::Token) && serves {
                pending.stage = Stage::Ready;
            }
            if !matches!(pending.stage, Stage::Running { .. }) && context.now >= pending.until {
                over.push(*ticket);
            }
        }
        for ticket in over {
            self.end(ticket, Outcome::Refused, context);
        }
        if applied.is_none() {
            return;
        }
        while let Some(free) = self.pool.iter().position(|pooled| pooled.is_free) {
            let ready = self
                .pending
                .iter()
                .find(|(_, pending)| matches!(pending.stage, Stage::Ready));
            let Some(ticket) = ready.map(|(ticket, _)| *ticket) else {
                return;
            };
            self.start(ticket, free, context);
        }
    }

    fn start(&mut self, ticket: u64, reader: usize, context: &mut Context<'_>) {
        let pooled = &mut self.pool[reader];
        let begun = match pooled.kept.filter(|_| context.has(Bug::ReadFromOldSnapshot)) {
            Some(position) => Ok(position),
            None => pooled.reader.begin_snapshot(),
        };
        let position = match begun {
            Ok(position) => position,
            Err(error) => {
                self.end(ticket, Outcome::Refused, context);
                return context.fail_storage(error.is_damage(), error);
            }
        };
        pooled.is_free = false;
        let pending = self.pending.get_mut(&ticket).expect("the caller found it");
        context.observe(Observation::ReadFrom {
            node: self.node,
            position,
        });
        let first = pending.request.what.statements().remove(0);
        match query(&mut pooled.reader, &first) {
            Ok(rows) => {
                pending.stage = Stage::Running {
                    reader,
                    position,
                    answer: vec![rows],
                }
            }
            Err(error) => {
                pending.stage = Stage::Running {
                    reader,
                    position,
                    answer: Vec::new(),
                };
                return self.end(ticket, Outcome::Failed(error.kind), context);
            }
        }
        let delay_us = context.random.latency_us(300);
        context.after(delay_us, NodeEvent::ReadStep { ticket });
    }

    /// The pause is over: the rest of the statements, in the same snapshot.
    pub fn handle_step(&mut self, ticket: u64, context: &mut Context<'_>) {
        let Some(Pending {
            request,
            stage:
                Stage::Running {
                    reader,
                    position,
                    answer,
                },
            ..
        }) = self.pending.get_mut(&ticket)
        else {
            return;
        };
        let mut answer = std::mem::take(answer);
        let position = *position;
        for statement in &request.what.statements()[1..] {
            match query(&mut self.pool[*reader].reader, statement) {
                Ok(rows) => answer.push(rows),
                Err(error) => return self.end(ticket, Outcome::Failed(error.kind), context),
            }
        }
        self.end(ticket, Outcome::Done { answer, position }, context);
    }

    fn end(&mut self, ticket: u64, outcome: Outcome, context: &mut Context<'_>) {
        let Some(pending) = self.pending.remove(&ticket) else {
            return;
        };
        if let Stage::Running { reader, position, .. } = pending.stage
            && let Some(pooled) = self.pool.get_mut(reader)
        {
            pooled.is_free = true;
            match context.has(Bug::ReadFromOldSnapshot) && context.random.per_mille(100) {
                true => pooled.kept = Some(position),
                false => {
                    pooled.kept = None;
                    pooled.reader.end_snapshot();
                }
            }
        }
        context.actions.push(Action::Answer(
            pending.request.client,
            pending.request.operation,
            outcome,
        ));
    }
}

/// All rows.
pub(super) fn query(reader: &mut Reader, statement: &Statement) -> Result<Rows, SqlError> {
    query_cursor(reader.open_cursor(statement)?)
}

/// All rows that are left.
pub(super) fn query_cursor(mut cursor: Cursor) -> Result<Rows, SqlError> {
    let columns = cursor.columns().len();
    let mut rows = Rows::new();
    while cursor.step()? {
        rows.push((0..columns).map(|column| owned(cursor.value(column))).collect());
    }
    Ok(rows)
}

pub(super) fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}
