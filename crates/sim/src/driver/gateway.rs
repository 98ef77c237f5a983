//! The front side of a node: it holds its clients' writes until they are done, sends each to whoever leads, again
//! when that changes, and tells the truth when time is up.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_node::{Role, Status};
use bellwether_storage::{Seen, SessionState};
use bellwether_types::{ErrorKind, NodeId, RequestId, SessionId, Statement, Term};

use super::context::{Action, Context, Request};
use super::early::EarlySessions;
use crate::bug::Bug;
use crate::clock::Time;
use crate::observation::Outcome;
use crate::peer::{Attempt, Part, Reply};
use crate::workload::Rows;

/// An attempt unanswered for so long is made again: a few round trips under load.
const RETRY_US: u64 = 400_000;

/// A write that waits for its outcome.
struct Pending {
    request: Request,
    id: RequestId,
    attempts: u32,
    /// To whom the last attempt went, and when; absent when the next should go at once.
    sent: Option<(NodeId, Term, Time)>,
    /// Its statements were answered before, apart from others.
    apart: Option<Apart>,
}

/// What an optimistic transaction did before its COMMIT.
pub(super) struct Apart {
    pub statements: Vec<Statement>,
    pub seen: Vec<Seen>,
    pub answers: Vec<Rows>,
}

/// The clients' writes of one node.
#[derive(Default)]
pub(super) struct Gateway {
    pending: BTreeMap<RequestId, Pending>,
    /// Of each session, as its last transaction left it.
    sessions: BTreeMap<SessionId, SessionState>,
    /// Sessions whose clients have gone, and whose last transaction may not be over.
    over: BTreeSet<SessionId>,
}

impl Gateway {
    /// A client's write. It is sent with the next [`Gateway::poll_attempts`].
    pub fn push(&mut self, request: Request, apart: Option<Apart>) {
        let id = RequestId {
            session: SessionId(request.session),
            sequence: request.sequence,
        };
        let pending = Pending {
            request,
            id,
            attempts: 0,
            sent: None,
            apart,
        };
        self.pending.insert(id, pending);
    }

    /// A client has gone.
    pub fn end_session(&mut self, session: SessionId) {
        self.over.insert(session);
    }

    /// Sessions of which nothing more will come, but for those that `is_talking`.
    pub fn poll_ended(
        &mut self,
        is_talking: impl Fn(SessionId) -> bool,
        context: &Context<'_>,
    ) -> Vec<SessionId> {
        let pending: BTreeSet<SessionId> = self.pending.keys().map(|id| id.session).collect();
        let is_free = |session: &SessionId| {
            context.has(Bug::EndSessionTooEarly) || (!pending.contains(session) && !is_talking(*session))
        };
        let (ended, waiting): (BTreeSet<_>, BTreeSet<_>) =
            std::mem::take(&mut self.over).into_iter().partition(is_free);
        self.over = waiting;
        for session in &ended {
            self.sessions.remove(session);
        }
        ended.into_iter().collect()
    }

    /// Attempts to be made now, by leader.
    pub fn poll_attempts(
        &mut self,
        status: &Status,
        me: NodeId,
        context: &Context<'_>,
    ) -> Vec<(NodeId, Attempt)> {
        let leader = match status.role {
            Role::Leader => me,
            Role::Follower { leader: Some(leader) } => leader,
            Role::Follower { leader: None } | Role::Candidate => return Vec::new(),
        };
        let mut attempts = Vec::new();
        if context.has(Bug::EndSessionTooEarly) {
            let retried = self.pending.values().filter(|pending| pending.attempts > 0);
            self.over.extend(retried.map(|pending| pending.id.session));
        }
        for pending in self.pending.values_mut() {
            let is_underway = pending.sent.is_some_and(|(to, term, at)| {
                to == leader && term == status.term && context.now.since_us(at) < RETRY_US
            });
            if is_underway {
                continue;
            }
            pending.attempts += 1;
            pending.sent = Some((leader, status.term, context.now));
            let mut request = pending.id;
            if pending.attempts > 1 && context.has(Bug::ExecuteRetryTwice) {
                request.session.0 ^= u128::from(pending.attempts) << 96;
            }
            let (statements, seen) = match &pending.apart {
                Some(apart) => (apart.statements.clone(), apart.seen.clone()),
                None => (pending.request.what.statements(), Vec::new()),
            };
            attempts.push((
                leader,
                Attempt {
                    term: status.term,
                    request,
                    number: pending.attempts,
                    part: Part::Whole,
                    statements,
                    seen,
                    durability: pending.request.what.durability(),
                    session: self
                        .sessions
                        .get(&pending.id.session)
                        .copied()
                        .unwrap_or_default(),
                },
            ));
        }
        attempts
    }

    /// A leader answered. What is not the last attempt's counts only as success: a later attempt may still succeed
    /// where an earlier one failed.
    pub fn handle_reply(
        &mut self,
        request: RequestId,
        number: u32,
        reply: Reply,
        early: &mut EarlySessions,
        context: &mut Context<'_>,
    ) {
        let mut id = request;
        if number > 1 && context.has(Bug::ExecuteRetryTwice) {
            id.session.0 ^= u128::from(number) << 96;
        }
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        let is_last = number == pending.attempts;
        let outcome = match reply {
            Reply::Done {
                answer,
                position,
                session,
                ..
            } => {
                self.sessions.insert(id.session, session);
                early.answered(&pending.request, position);
                let answer = match pending.apart.take() {
                    // Nothing is left to answer, unless it was executed before: of that only the tag is known.
                    Some(apart) if answer.is_empty() => apart.answers,
                    Some(_) => Vec::new(),
                    None => answer,
                };
                Outcome::Done { answer, position }
            }
            Reply::Failed(error) if is_last => Outcome::Failed(error.kind),
            Reply::NotLeader if is_last => {
                pending.sent = None;
                return;
            }
            Reply::Failed(_) | Reply::NotLeader => return,
        };
        self.end(id, outcome, context);
    }

    /// Tells those whose time is up.
    pub fn expire(&mut self, context: &mut Context<'_>) {
        let is_over = |pending: &&Pending| context.now >= pending.request.deadline;
        let over: Vec<(RequestId, u32)> = self
            .pending
            .values()
            .filter(is_over)
            .map(|pending| (pending.id, pending.attempts))
            .collect();
        for (id, attempts) in over {
            let outcome = match attempts {
                0 => Outcome::Refused,
                _ if context.has(Bug::UnknownReportedAsFailed) => Outcome::Failed(ErrorKind::NoLeader),
                _ => Outcome::Unknown,
            };
            self.end(id, outcome, context);
        }
    }

    fn end(&mut self, id: RequestId, outcome: Outcome, context: &mut Context<'_>) {
        if let Some(Pending { request, .. }) = self.pending.remove(&id) {
            context
                .actions
                .push(Action::Answer(request.client, request.operation, outcome));
        }
    }
}

/// At the leader: which attempts may still be executed.
#[derive(Default)]
pub(super) struct Fence {
    term: Term,
    latest: BTreeMap<SessionId, (u64, u32)>,
}

impl Fence {
    /// A session is over: what comes of it in this term comes late, and its request may be forgotten already.
    pub fn end_session(&mut self, term: Term, session: SessionId) {
        if term == self.term {
            self.latest.insert(session, (u64::MAX, u32::MAX));
        }
    }

    /// Whether this attempt is the latest of its session in this term, and was not seen before.
    pub fn admit(&mut self, attempt: &Attempt) -> bool {
        if attempt.term != self.term {
            *self = Fence {
                term: attempt.term,
                latest: BTreeMap::new(),
            };
        }
        let this = (attempt.request.sequence, attempt.number);
        let latest = self.latest.entry(attempt.request.session).or_default();
        let is_later = this > *latest;
        *latest = this.max(*latest);
        is_later
    }
}
