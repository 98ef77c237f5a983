//! Interactive transactions at the node that has their client: what they read before their first write is read here,
//! in one snapshot; then they hold the writer at the leader, statement by statement. None of these is tried again: when
//! the leader is lost, so are they. Optimistic ones also write here, in a private copy of their snapshot, and what they
//! come to is the gateway's to commit.

use std::collections::BTreeMap;

use bellwether_node::{Role, Status};
use bellwether_storage::files::Files;
use bellwether_storage::{Reader, RowDigest, Seen, SessionState};
use bellwether_types::{ErrorKind, NodeId, RequestId, SessionId, SqlError, Statement, Term, Value};

use super::context::{Action, Context, NodeEvent, Request};
use super::early::EarlySessions;
use super::gateway::Apart;
use super::reads::query;
use crate::observation::{Observation, Outcome};
use crate::peer::{Attempt, Part, Reply};
use crate::workload::Rows;
use crate::workload::interactive::{self, End};

/// A client thinks about so long between statements.
const THINKS_US: u64 = 6_000;

/// A part unanswered for so long is sent again.
const RESEND_US: u64 = 60_000;

/// What the leader is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Open,
    Step,
    Commit,
}

struct Talk {
    request: Request,
    script: interactive::Action,
    /// Of each statement so far.
    answers: Vec<Rows>,
    /// Of these, those that were done here.
    answered: Vec<(Statement, Seen)>,
    /// In whose snapshot they were.
    reader: Option<Reader>,
    /// It has written in a private copy of that.
    has_workspace: bool,
    /// Who was asked for the writer.
    leader: Option<(NodeId, Term)>,
    asked: Option<Asked>,
    /// Parts sent, each time they were; and the first that asked what is asked now.
    sent: u32,
    asked_first: u32,
}

impl Talk {
    /// Whether this is the next statement that runs here.
    fn is_apart_with(&self, step: &interactive::Step) -> bool {
        let only_reads = !step.writes() && !self.has_workspace;
        only_reads || self.answers.len() < self.script.apart
    }
}

/// The interactive transactions of one node's clients.
#[derive(Default)]
pub(super) struct Talks {
    underway: BTreeMap<RequestId, Talk>,
    idle_readers: Vec<Reader>,
    outbox: Vec<(NodeId, Attempt)>,
    commits: Vec<(Request, Apart)>,
}

impl Talks {
    /// A client's transaction.
    pub fn push(&mut self, request: Request, script: interactive::Action, context: &mut Context<'_>) {
        let id = RequestId {
            session: SessionId(request.session),
            sequence: request.sequence,
        };
        let talk = Talk {
            request,
            script,
            answers: Vec::new(),
            answered: Vec::new(),
            reader: None,
            has_workspace: false,
            leader: None,
            asked: None,
            sent: 0,
            asked_first: 0,
        };
        self.underway.insert(id, talk);
        context.after(
            1,
            NodeEvent::Talk {
                request: id,
                number: 0,
            },
        );
    }

    /// Whether a session has one under way.
    pub fn has(&self, session: SessionId) -> bool {
        self.underway.keys().any(|id| id.session == session)
    }

    /// Parts to be sent.
    pub fn poll_attempts(&mut self) -> Vec<(NodeId, Attempt)> {
        std::mem::take(&mut self.outbox)
    }

    /// Optimistic transactions that came to their COMMIT.
    pub fn poll_commits(&mut self) -> Vec<(Request, Apart)> {
        std::mem::take(&mut self.commits)
    }

    /// The client has thought, or waited too long for an answer.
    pub fn handle_time(
        &mut self,
        id: RequestId,
        number: u32,
        status: &Status,
        me: NodeId,
        files: &Files,
        context: &mut Context<'_>,
    ) {
        let Some(talk) = self.underway.get_mut(&id).filter(|talk| talk.sent == number) else {
            return;
        };
        if talk.asked.is_some() {
            return self.send(id, context);
        }
        let next = talk.script.steps.get(talk.answers.len()).cloned();
        match (next, talk.leader) {
            (Some(step), None) if talk.is_apart_with(&step) => {
                if status.seeding {
                    return self.end(id, Outcome::Refused, context);
                }
                self.run_here(id, &step, me, files, context);
            }
            (Some(_), None) => {
                let leader = match status.role {
                    Role::Leader => me,
                    Role::Follower { leader: Some(leader) } => leader,
                    Role::Follower { leader: None } | Role::Candidate => {
                        return self.end(id, Outcome::Refused, context);
                    }
                };
                talk.leader = Some((leader, status.term));
                self.ask(id, Asked::Open, context);
            }
            (Some(_), Some(_)) => self.ask(id, Asked::Step, context),
            (None, leader) => match talk.script.end {
                End::Commit if leader.is_none() => self.commit_apart(id),
                End::Commit => self.ask(id, Asked::Commit, context),
                End::Rollback => self.abandon(id, Outcome::Refused, context),
                End::Vanish => self.end(id, Outcome::Refused, context),
            },
        }
    }

    fn run_here(
        &mut self,
        id: RequestId,
        step: &interactive::Step,
        me: NodeId,
        files: &Files,
        context: &mut Context<'_>,
    ) {
        let talk = self.underway.get_mut(&id).expect("the caller found it");
        if talk.reader.is_none() {
            let opened = match self.idle_readers.pop() {
                Some(reader) => Ok(reader),
                None => Reader::open(files).map_err(|error| (error.is_damage(), error.to_string())),
            };
            let begun = opened.and_then(|mut reader| {
                let position = reader
                    .begin_snapshot()
                    .map_err(|error| (error.is_damage(), error.to_string()))?;
                Ok((reader, position))
            });
            match begun {
                Ok((reader, position)) => {
                    talk.reader = Some(reader);
                    context.observe(Observation::ReadFrom { node: me, position });
                }
                Err((is_damage, error)) => {
                    context.fail_storage(is_damage, error);
                    return self.end(id, Outcome::Refused, context);
                }
            }
        }
        let reader = talk.reader.as_mut().expect("just opened");
        let statement = step.statement();
        if step.writes() && !talk.has_workspace {
            talk.has_workspace = true;
            if let Err(error) = reader.begin_workspace(&SessionState::default(), &Default::default()) {
                context.fail_storage(error.is_damage(), error);
                return self.end(id, Outcome::Refused, context);
            }
        }
        let done = match talk.has_workspace {
            true => Ok(reader
                .run_apart(&statement)
                .map(|result| (Seen::of(&result), result.rows))),
            false => query(reader, &statement).map(|rows| Some((seen(&rows), rows))),
        };
        match done {
            Ok(Some((seen, rows))) => {
                talk.answered.push((statement, seen));
                talk.answers.push(rows);
                self.think(id, context);
            }
            // For the writer to do, or to say why not.
            Ok(None) => {
                talk.script.apart = 0;
                self.think(id, context);
            }
            Err(error) => self.end(id, Outcome::Failed(error.kind), context),
        }
    }

    fn commit_apart(&mut self, id: RequestId) {
        let Some(talk) = self.underway.remove(&id) else {
            return;
        };
        self.take_back(talk.reader);
        let (statements, seen) = talk.answered.into_iter().unzip();
        let apart = Apart {
            statements,
            seen,
            answers: talk.answers,
        };
        self.commits.push((talk.request, apart));
    }

    fn take_back(&mut self, reader: Option<Reader>) {
        if let Some(mut reader) = reader {
            reader.end_snapshot();
            self.idle_readers.push(reader);
        }
    }

    fn think(&mut self, id: RequestId, context: &mut Context<'_>) {
        let delay_us = context.random.latency_us(THINKS_US);
        let number = self.underway[&id].sent;
        context.after(delay_us, NodeEvent::Talk { request: id, number });
    }

    fn ask(&mut self, id: RequestId, asked: Asked, context: &mut Context<'_>) {
        let talk = self.underway.get_mut(&id).expect("the caller found it");
        talk.asked = Some(asked);
        talk.asked_first = talk.sent + 1;
        let reader = talk.reader.take();
        self.take_back(reader);
        self.send(id, context);
    }

    fn send(&mut self, id: RequestId, context: &mut Context<'_>) {
        let talk = self.underway.get_mut(&id).expect("the caller found it");
        let Some(asked) = talk.asked else { return };
        let mut statements = Vec::new();
        let part = match asked {
            Asked::Open => Part::Open {
                answered: talk.answered.clone(),
            },
            Asked::Step => {
                statements.push(talk.script.steps[talk.answers.len()].statement());
                Part::Step {
                    index: talk.answers.len() as u32 + 1 - talk.answered.len() as u32,
                }
            }
            Asked::Commit => Part::Commit,
        };
        self.send_part(id, part, statements);
        let number = self.underway[&id].sent;
        context.after(RESEND_US, NodeEvent::Talk { request: id, number });
    }

    fn send_part(&mut self, id: RequestId, part: Part, statements: Vec<Statement>) {
        let talk = self.underway.get_mut(&id).expect("the caller found it");
        let Some((leader, term)) = talk.leader else {
            return;
        };
        talk.sent += 1;
        let attempt = Attempt {
            term,
            request: id,
            number: talk.sent,
            part,
            statements,
            seen: Vec::new(),
            session: SessionState::default(),
            durability: talk.request.what.durability(),
        };
        self.outbox.push((leader, attempt));
    }

    /// The leader answered. Whether it was about one of these.
    pub fn handle_reply(
        &mut self,
        id: RequestId,
        number: u32,
        reply: &Reply,
        early: &mut EarlySessions,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(talk) = self.underway.get_mut(&id) else {
            return false;
        };
        let Some(asked) = talk.asked.filter(|_| number >= talk.asked_first) else {
            return true;
        };
        match (asked, reply) {
            (Asked::Open, Reply::Done { .. }) => {
                talk.asked = None;
                let number = talk.sent;
                context.after(1, NodeEvent::Talk { request: id, number });
            }
            (Asked::Step, Reply::Done { answer, .. }) => {
                talk.asked = None;
                talk.answers.push(answer.first().cloned().unwrap_or_default());
                self.think(id, context);
            }
            (Asked::Commit, Reply::Done { position, .. }) => {
                let answer = std::mem::take(&mut talk.answers);
                let position = *position;
                early.answered(&talk.request, position);
                self.end(id, Outcome::Done { answer, position }, context);
            }
            // It may have been committed: the answer to that was lost.
            (Asked::Commit, Reply::NotLeader) => self.end(id, Outcome::Unknown, context),
            (Asked::Commit, Reply::Failed(SqlError { kind, .. })) => {
                self.end(id, Outcome::Failed(*kind), context);
            }
            (Asked::Open | Asked::Step, Reply::NotLeader) => {
                self.end(id, Outcome::Failed(ErrorKind::Serialization), context);
            }
            (Asked::Open | Asked::Step, Reply::Failed(SqlError { kind, .. })) => {
                self.abandon(id, Outcome::Failed(*kind), context);
            }
        }
        true
    }

    /// Ends those whose leader is no longer that, and those whose time is up.
    pub fn expire(&mut self, status: &Status, context: &mut Context<'_>) {
        let is_lost = |talk: &Talk| talk.leader.is_some_and(|(_, term)| term != status.term);
        let over: Vec<(RequestId, Outcome)> = self
            .underway
            .iter()
            .filter(|(_, talk)| is_lost(talk) || context.now >= talk.request.deadline)
            .map(|(id, talk)| match talk.asked {
                Some(Asked::Commit) => (*id, Outcome::Unknown),
                _ => (*id, Outcome::Failed(ErrorKind::Serialization)),
            })
            .collect();
        for (id, outcome) in over {
            self.end(id, outcome, context);
        }
    }

    /// The replica's files are replaced: no connection may be open.
    pub fn close(&mut self, context: &mut Context<'_>) {
        self.idle_readers.clear();
        let reading = |(_, talk): &(&RequestId, &Talk)| talk.reader.is_some();
        let reading: Vec<RequestId> = self.underway.iter().filter(reading).map(|(id, _)| *id).collect();
        for id in reading {
            self.end(id, Outcome::Refused, context);
        }
        self.idle_readers.clear();
    }

    /// ROLLBACK.
    fn abandon(&mut self, id: RequestId, outcome: Outcome, context: &mut Context<'_>) {
        self.send_part(id, Part::Rollback, Vec::new());
        self.end(id, outcome, context);
    }

    fn end(&mut self, id: RequestId, outcome: Outcome, context: &mut Context<'_>) {
        let Some(talk) = self.underway.remove(&id) else {
            return;
        };
        self.take_back(talk.reader);
        let Request {
            client, operation, ..
        } = talk.request;
        context.actions.push(Action::Answer(client, operation, outcome));
    }
}

/// Of a whole answer.
fn seen(rows: &Rows) -> Seen {
    let mut digest = RowDigest::default();
    for row in rows {
        digest.add(row.iter().map(Value::as_ref));
    }
    digest.seen(true)
}
