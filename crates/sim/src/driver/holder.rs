//! What has the writer for itself: an interactive transaction, which holds it from its first write to its end; VACUUM
//! and what the group is to be, records of their own that every replica does when they are committed.

use bellwether_storage::{Begin, GroupStart, RowSink, Seen, StorageError, ruled_out};
use bellwether_types::record::Transaction;
use bellwether_types::{
    Column, CommandTag, Configuration, ErrorKind, Outcome, Payload, Position, RequestId, SqlError, Timestamp,
    ValueRef,
};

use super::context::{Context, NodeEvent};
use super::reads::owned;
use super::writer_thread::{Held, Output, Submission, WriterThread, not_leader, visible};
use crate::bug::Bug;
use crate::peer::{Part, Reply};
use crate::workload::Rows;

/// A transaction that does nothing for so long while it holds the writer is rolled back.
const IDLE_US: u64 = 250_000;

/// The transaction that holds the writer.
pub(super) struct Holder {
    pub opened_by: Submission,
    /// Statements executed.
    steps: u32,
    /// What the last one answered, for whoever asks again.
    last: Reply,
    activity: u64,
}

/// A record of its own that is proposed, and done by every replica when it is committed.
pub(super) enum Barrier {
    Vacuum {
        timestamp: Timestamp,
        transaction: Transaction,
    },
    Configure {
        timestamp: Timestamp,
        configuration: Configuration,
    },
}

/// Whether it shares its group with no other.
pub(super) fn is_alone(submission: &Submission) -> bool {
    is_vacuum(submission) || matches!(submission.attempt.part, Part::Open { .. })
}

fn is_vacuum(submission: &Submission) -> bool {
    matches!(&submission.attempt.statements[..], [only] if only.sql == "VACUUM")
}

impl WriterThread {
    /// A job of its own.
    pub(super) fn run_alone(&mut self, submission: Submission, context: &mut Context<'_>) -> Vec<Output> {
        let Some(next) = self.next.filter(|next| next.term == submission.attempt.term) else {
            return vec![not_leader(vec![submission])];
        };
        if !is_vacuum(&submission) {
            return self.open_holder(submission, context);
        }
        let request = submission.attempt.request;
        let writer = self
            .writer
            .as_mut()
            .expect("a thread with jobs has its connection");
        let reply = match writer.outcome(request) {
            Ok(Outcome::Open { .. }) => {
                let timestamp = self.timestamp(context);
                let transaction = Transaction {
                    request,
                    tag: CommandTag::plain("VACUUM"),
                    result: bellwether_types::KeptResult::TagAlone,
                    durability: submission.attempt.durability,
                    body_bytes: 0,
                };
                let payload = Payload::Vacuum {
                    position: next,
                    timestamp,
                    origin: self.node,
                    transaction: transaction.clone(),
                };
                self.next = None;
                let done = Reply::Done {
                    answer: Vec::new(),
                    position: next,
                    session: submission.attempt.session,
                    deduplicated: false,
                };
                let barrier = Some(Barrier::Vacuum {
                    timestamp,
                    transaction,
                });
                self.held = Some(Held::new(vec![(submission, done)], next, 1, barrier));
                if context.has(Bug::VacuumBeforeCommit)
                    && let Err(error) = self.pass_barrier(next, context)
                {
                    context.stop(format!("SQLite: {error}"));
                }
                return self.propose(payload.to_bytes(), context);
            }
            Ok(Outcome::Committed(_, position)) => Reply::Done {
                answer: Vec::new(),
                position,
                session: submission.attempt.session,
                deduplicated: true,
            },
            Ok(Outcome::RuledOut(_) | Outcome::GoneOn) => Reply::Failed(ruled_out(request)),
            Err(error) => Reply::Failed(error),
        };
        vec![Output::Executed(vec![(submission, reply)])]
    }

    /// The group is to be this, from a record of its own on.
    pub(super) fn run_configure(
        &mut self,
        configuration: Configuration,
        context: &mut Context<'_>,
    ) -> Vec<Output> {
        let Some(next) = self.next.take() else {
            return Vec::new();
        };
        let timestamp = self.timestamp(context);
        let payload = Payload::Configure {
            position: next,
            timestamp,
            origin: self.node,
            configuration: configuration.clone(),
        };
        let barrier = Some(Barrier::Configure {
            timestamp,
            configuration,
        });
        self.held = Some(Held::new(Vec::new(), next, 1, barrier));
        self.propose(payload.to_bytes(), context)
    }

    /// What the held record is committed with.
    pub(super) fn pass_barrier(
        &mut self,
        position: Position,
        context: &mut Context<'_>,
    ) -> Result<(), StorageError> {
        let (Some(held), Some(writer)) = (&mut self.held, &mut self.writer) else {
            return Ok(());
        };
        match held.barrier.take() {
            Some(Barrier::Vacuum {
                timestamp,
                transaction,
            }) => writer.vacuum(position, timestamp, &transaction)?,
            Some(Barrier::Configure {
                timestamp,
                configuration,
            }) => writer.configure(position, timestamp, &configuration)?,
            None => return Ok(()),
        }
        held.is_committed = true;
        context.observe(visible(self.node, writer));
        Ok(())
    }

    fn open_holder(&mut self, submission: Submission, context: &mut Context<'_>) -> Vec<Output> {
        let start = GroupStart {
            origin: self.node,
            timestamp: self.timestamp(context),
        };
        let writer = self
            .writer
            .as_mut()
            .expect("a thread with jobs has its connection");
        if let Err(error) = writer.begin_group(start) {
            return self.fail(vec![submission], error, context);
        }
        let (request, session) = (submission.attempt.request, submission.attempt.session);
        let opened = match writer.begin(request, session) {
            Ok(Begin::Fresh) => self.repeat(&submission, context),
            Ok(Begin::RuledOut) => Err(ruled_out(request)),
            Ok(Begin::Executed(_)) => Err(SqlError::new(ErrorKind::Internal, "executed before")),
            Err(error) => Err(error),
        };
        let writer = self.writer.as_mut().expect("just used");
        let reply = match opened {
            Ok(()) => Reply::Done {
                answer: Vec::new(),
                position: writer.position(),
                session,
                deduplicated: false,
            },
            Err(error) => {
                if let Err(error) = writer.rollback() {
                    context.stop(format!("SQLite: {error}"));
                }
                return vec![Output::Replies(vec![(submission, Reply::Failed(error))])];
            }
        };
        self.activity += 1;
        self.holder = Some(Holder {
            opened_by: submission.clone(),
            steps: 0,
            last: reply.clone(),
            activity: self.activity,
        });
        self.await_step(context);
        vec![Output::Replies(vec![(submission, reply)])]
    }

    /// What was done elsewhere must be answered so here and now.
    fn repeat(&mut self, submission: &Submission, context: &Context<'_>) -> Result<(), SqlError> {
        let Part::Open { answered } = &submission.attempt.part else {
            return Ok(());
        };
        let writer = self
            .writer
            .as_mut()
            .expect("a thread with jobs has its connection");
        answered
            .iter()
            .filter(|(_, seen)| !(context.has(Bug::ForgetPriorReads) && matches!(seen, Seen::Rows { .. })))
            .try_for_each(|(statement, seen)| writer.repeat(statement, seen))
    }

    fn await_step(&self, context: &mut Context<'_>) {
        let activity = self.activity;
        context.after(IDLE_US, NodeEvent::HolderIdle { activity });
    }

    /// A part of a transaction that is open, or was. One that was overtaken gets no answer.
    pub(super) fn step(&mut self, submission: Submission, context: &mut Context<'_>) -> Vec<Output> {
        let Some(holder) = &mut self.holder else {
            return self.answer_without_holder(submission);
        };
        if holder.opened_by.attempt.request != submission.attempt.request {
            return self.answer_without_holder(submission);
        }
        let reply = match &submission.attempt.part {
            Part::Step { index } if *index == holder.steps => holder.last.clone(),
            Part::Open { .. } if holder.steps == 0 => holder.last.clone(),
            Part::Step { index } if *index == holder.steps + 1 => {
                holder.steps = *index;
                let reply = self.execute_step(&submission);
                self.activity += 1;
                let writer = self.writer.as_mut().expect("it just executed");
                if writer.is_group_lost() {
                    self.holder = None;
                    if let Err(error) = writer.rollback() {
                        context.stop(format!("SQLite: {error}"));
                    }
                } else if let Some(holder) = &mut self.holder {
                    holder.last = reply.clone();
                    holder.activity = self.activity;
                    self.await_step(context);
                }
                reply
            }
            Part::Commit => return self.commit_holder(submission, context),
            Part::Rollback => return self.end_holder(context),
            Part::Whole | Part::Open { .. } | Part::Step { .. } => return Vec::new(),
        };
        vec![Output::Replies(vec![(submission, reply)])]
    }

    /// Its transaction is over, unless it is being committed: then the answer comes.
    fn answer_without_holder(&self, submission: Submission) -> Vec<Output> {
        let request = submission.attempt.request;
        let is_held = |held: &Held| {
            held.replies
                .iter()
                .any(|(asker, _)| asker.attempt.request == request)
        };
        match self.held.as_ref().is_some_and(is_held) || submission.attempt.part == Part::Rollback {
            true => Vec::new(),
            false => vec![not_leader(vec![submission])],
        }
    }

    fn execute_step(&mut self, submission: &Submission) -> Reply {
        let writer = self
            .writer
            .as_mut()
            .expect("a thread with jobs has its connection");
        let mut rows = Collected::default();
        for statement in &submission.attempt.statements {
            if let Err(error) = writer.execute(statement, &mut rows) {
                return Reply::Failed(error);
            }
        }
        Reply::Done {
            answer: vec![rows.0],
            position: writer.position(),
            session: submission.attempt.session,
            deduplicated: false,
        }
    }

    fn commit_holder(&mut self, submission: Submission, context: &mut Context<'_>) -> Vec<Output> {
        self.holder = None;
        let writer = self
            .writer
            .as_mut()
            .expect("a thread with jobs has its connection");
        let finished = writer.set_durability(submission.attempt.durability);
        match (finished.and_then(|()| writer.finish()), self.next) {
            (Ok(session), Some(next)) => {
                let reply = Reply::Done {
                    answer: Vec::new(),
                    position: Position::ZERO,
                    session,
                    deduplicated: false,
                };
                self.seal(next, vec![(submission, reply)], context)
            }
            (Ok(_), None) => self.end_holder(context),
            (Err(error), _) => {
                if let Err(error) = writer.rollback() {
                    context.stop(format!("SQLite: {error}"));
                }
                vec![Output::Replies(vec![(submission, Reply::Failed(error))])]
            }
        }
    }

    /// The transaction that holds the writer did nothing since.
    pub fn handle_idle(&mut self, activity: u64, context: &mut Context<'_>) -> Vec<Output> {
        let is_idle = self
            .holder
            .as_ref()
            .is_some_and(|holder| holder.activity == activity);
        if !is_idle || self.is_busy() {
            return Vec::new();
        }
        let outputs = match context.has(Bug::CommitVanished) {
            true => {
                let opened_by = self.holder.as_ref().expect("just seen").opened_by.clone();
                self.commit_holder(opened_by, context)
            }
            false => self.end_holder(context),
        };
        self.maybe_start(context);
        outputs
    }

    /// Rolls back whatever holds the writer. Its next part is told.
    pub(super) fn end_holder(&mut self, context: &mut Context<'_>) -> Vec<Output> {
        if self.holder.take().is_some()
            && let Some(writer) = &mut self.writer
            && let Err(error) = writer.rollback()
        {
            context.stop(format!("SQLite: {error}"));
        }
        Vec::new()
    }

    /// Whether a transaction of this request holds the writer.
    pub(super) fn is_held_by(&self, request: RequestId) -> bool {
        self.holder
            .as_ref()
            .is_some_and(|holder| holder.opened_by.attempt.request == request)
    }

    fn timestamp(&mut self, context: &Context<'_>) -> Timestamp {
        if let Some(writer) = &self.writer {
            self.clock.observe(writer.timestamp());
        }
        self.clock.tick(context.wall_ms)
    }
}

/// All rows of a statement.
#[derive(Default)]
struct Collected(Rows);

impl RowSink for Collected {
    fn columns(&mut self, _: &[Column]) -> Result<(), SqlError> {
        Ok(())
    }

    fn row(&mut self, row: &[ValueRef<'_>]) -> Result<(), SqlError> {
        self.0.push(row.iter().map(|value| owned(*value)).collect());
        Ok(())
    }
}
