//! Interactive transactions at the node that has their client: what they read before their first write is read here,
//! in one snapshot; then they hold the writer at the leader, statement by statement. None of them is tried again:
//! when the leader is lost, so are they.

use std::collections::BTreeMap;

use bellwether_node::{Role, Status};
use bellwether_storage::files::Files;
use bellwether_storage::{Reader, SessionState};
use bellwether_types::{ErrorKind, NodeId, RequestId, SessionId, SqlError, Statement, Term};

use super::context::{Action, Context, NodeEvent, Request};
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
    /// Of these, those that were read here.
    reads: Vec<(Statement, Rows)>,
    /// In whose snapshot they were.
    reader: Option<Reader>,
    /// Who was asked for the writer.
    leader: Option<(NodeId, Term)>,
    asked: Option<Asked>,
    /// Parts sent, each time they were; and the first that asked what is asked now.
    sent: u32,
    asked_first: u32,
}

/// The interactive transactions of one node's clients.
#[derive(Default)]
pub(super) struct Talks {
    underway: BTreeMap<RequestId, Talk>,
    idle_readers: Vec<Reader>,
    outbox: Vec<(NodeId, Attempt)>,
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
            reads: Vec::new(),
            reader: None,
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
            (Some(step), None) if !step.writes() => {
                if status.seeding {
                    return self.end(id, Outcome::Refused, context);
                }
                self.read_here(id, &step.statement(), me, files, context);
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
            (None, _) => match talk.script.end {
                End::Commit => self.ask(id, Asked::Commit, context),
                End::Rollback => self.abandon(id, Outcome::Refused, context),
                End::Vanish => self.end(id, Outcome::Refused, context),
            },
        }
    }

    fn read_here(
        &mut self,
        id: RequestId,
        statement: &Statement,
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
        match query(reader, statement) {
            Ok(rows) => {
                talk.reads.push((statement.clone(), rows.clone()));
                talk.answers.push(rows);
                self.think(id, context);
            }
            Err(error) => self.end(id, Outcome::Failed(error.kind), context),
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
        if let Some(mut reader) = talk.reader.take() {
            reader.end_snapshot();
            self.idle_readers.push(reader);
        }
        self.send(id, context);
    }

    fn send(&mut self, id: RequestId, context: &mut Context<'_>) {
        let talk = self.underway.get_mut(&id).expect("the caller found it");
        let Some(asked) = talk.asked else { return };
        let mut statements = Vec::new();
        let part = match asked {
            Asked::Open => Part::Open {
                reads: talk.reads.clone(),
            },
            Asked::Step => {
                statements.push(talk.script.steps[talk.answers.len()].statement());
                Part::Step {
                    index: talk.answers.len() as u32 + 1 - talk.reads.len() as u32,
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
            session: SessionState::default(),
        };
        self.outbox.push((leader, attempt));
    }

    /// The leader answered. Whether it was about one of these.
    pub fn handle_reply(
        &mut self,
        id: RequestId,
        number: u32,
        reply: &Reply,
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
        if let Some(mut reader) = talk.reader {
            reader.end_snapshot();
            self.idle_readers.push(reader);
        }
        let Request {
            client, operation, ..
        } = talk.request;
        context.actions.push(Action::Answer(client, operation, outcome));
    }
}
