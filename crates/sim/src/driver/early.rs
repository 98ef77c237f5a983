//! Sessions that were answered before their transaction was committed. Each waits for its position before its next
//! statement; one whose transaction was lost with its leader is over: what it did next would stand on nothing.

use std::collections::BTreeMap;

use bellwether_node::Replica;
use bellwether_types::{Position, SessionId};

use super::context::{Action, Context, Request};
use crate::bug::Bug;
use crate::observation::Outcome;
use crate::workload::Kind;

/// The clients of one node.
#[derive(Default)]
pub(super) struct EarlySessions {
    /// Answered early, and where, as long as nobody knows what became of it.
    positions: BTreeMap<SessionId, Position>,
    waiting: Vec<Request>,
}

enum Fate {
    Open,
    Kept,
    /// Or nobody knows any more: the log here was cut.
    Lost,
}

fn fate(position: Position, replica: &Replica) -> Fate {
    match replica.status() {
        status if status.seeding || status.applied < position.index => Fate::Open,
        _ if replica.position_at(position.index).term == position.term => Fate::Kept,
        _ => Fate::Lost,
    }
}

impl EarlySessions {
    /// A session's write was answered.
    pub fn answered(&mut self, request: &Request, position: Position) {
        if let Kind::Write { durability, .. } = request.what.kind
            && durability.is_early()
        {
            self.positions.insert(SessionId(request.session), position);
        }
    }

    pub fn end_session(&mut self, session: SessionId) {
        self.positions.remove(&session);
    }

    /// A session's next statement: handed back when it need not wait.
    pub fn admit(&mut self, request: Request, context: &Context<'_>) -> Option<Request> {
        let waits =
            self.positions.contains_key(&SessionId(request.session)) && request.what.kind.is_ordered();
        if !waits || context.has(Bug::ForgetEarlyPosition) {
            return Some(request);
        }
        self.waiting.push(request);
        None
    }

    /// Those that go on now. Tells those that cannot, and those that waited too long.
    pub fn poll(&mut self, replica: &Replica, context: &mut Context<'_>) -> Vec<Request> {
        let mut ready = Vec::new();
        for request in std::mem::take(&mut self.waiting) {
            let session = SessionId(request.session);
            let fate = self
                .positions
                .get(&session)
                .map(|position| fate(*position, replica));
            let outcome = match fate {
                Some(Fate::Open) if context.now < request.deadline => {
                    self.waiting.push(request);
                    continue;
                }
                Some(Fate::Open) => Outcome::Refused,
                Some(Fate::Lost) => Outcome::SessionLost,
                Some(Fate::Kept) | None => {
                    self.positions.remove(&session);
                    ready.push(request);
                    continue;
                }
            };
            let Request {
                client, operation, ..
            } = request;
            context.actions.push(Action::Answer(client, operation, outcome));
        }
        ready
    }
}
