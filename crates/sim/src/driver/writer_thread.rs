//! The thread that owns the write connection. It takes commands from the machine's loop in order, and between them,
//! while leading, transactions that wait. One job at a time; a job's work is done when its time is over.

mod flight;
mod replayed;

use std::collections::VecDeque;

use bellwether_storage::files::Files;
use bellwether_storage::{Answer, ClientTransaction, GroupStart, Sealed, StorageError, Writer, run_group};
use bellwether_types::{
    Configuration, Entry, ErrorKind, HybridClock, LogIndex, NodeId, Position, RequestId, SessionId, SqlError,
};
use bytes::Bytes;

use super::context::{Context, NodeEvent};
use super::holder::{Barrier, Holder, is_alone};
use crate::bug::Bug;
use crate::observation::{Logged, Observation};
use crate::peer::{Attempt, Part, Reply};
use crate::workload::{Rows, told};

/// So many transactions make a group at most.
const GROUP_MAX: usize = 16;

/// From the machine's loop.
#[derive(Debug)]
pub(super) enum Command {
    Lead {
        next: Position,
    },
    Follow,
    Refuse,
    NextPayload,
    Commit {
        position: Position,
        next: Position,
    },
    /// The record is in the log here.
    Proposed(Position),
    Apply {
        entries: Vec<Entry>,
        is_committed: bool,
    },
    Install,
}

/// A transaction and who asked for it.
#[derive(Debug, Clone)]
pub(super) struct Submission {
    pub origin: NodeId,
    pub attempt: Attempt,
}

/// To the machine's loop.
#[derive(Debug)]
pub(super) enum Output {
    Propose {
        at: Position,
        payload: Bytes,
        remaining: u64,
        /// Somebody is answered before it is committed.
        early: bool,
        asks_progress: bool,
    },
    Applied {
        through: LogIndex,
    },
    /// There was no space for what is committed.
    ApplyFailed {
        applied: LogIndex,
    },
    /// Of transactions that are over, or parts of one.
    Replies(Vec<(Submission, Reply)>),
    /// Of transactions that are committed, or in the log at least: answered when their durability allows.
    Executed(Vec<(Submission, Reply)>),
    /// Of transactions that wrote nothing: true if this node still leads.
    Confirm(Vec<(Submission, Reply)>),
    /// The content is not what the leader has.
    Damaged {
        words: String,
        is_divergence: bool,
    },
    /// The staged snapshot is to be put in place now; the thread waits with its connection closed.
    Install,
}

enum Job {
    Command(Command),
    Group(Vec<Submission>),
    /// Shares its group with no other.
    Alone(Submission),
    /// A part of the transaction that holds the writer.
    Step(Submission),
    /// The group is to be this.
    Configure(Configuration),
}

/// A group that is proposed, or about to be.
pub(super) struct Held {
    pub replies: Vec<(Submission, Reply)>,
    logged: Vec<Logged>,
    next: Position,
    remaining: u64,
    pub is_committed: bool,
    /// What is done at COMMIT instead of it.
    pub barrier: Option<Barrier>,
}

impl Held {
    pub fn new(
        replies: Vec<(Submission, Reply)>,
        next: Position,
        remaining: u64,
        barrier: Option<Barrier>,
    ) -> Held {
        Held {
            replies,
            logged: Vec::new(),
            next,
            remaining,
            is_committed: false,
            barrier,
        }
    }
}

pub(super) struct WriterThread {
    pub node: NodeId,
    pub writer: Option<Writer>,
    commands: VecDeque<Command>,
    waiting: VecDeque<Submission>,
    job: Option<Job>,
    /// Where the next group starts; while leading and without a group.
    pub next: Option<Position>,
    pub held: Option<Held>,
    /// An interactive transaction, and what it wants next.
    pub holder: Option<Holder>,
    steps: VecDeque<Submission>,
    /// Counts what holders did.
    pub activity: u64,
    /// Sessions that are over: told with the next group.
    ended: Vec<SessionId>,
    /// Leadership is being handed over.
    pub is_handing_over: bool,
    /// What the group is to be next.
    pub configuration: Option<Configuration>,
    /// SQLite had no space for what is committed, and it is not tried again yet.
    is_starving: bool,
    pub clock: HybridClock,
}

impl WriterThread {
    pub fn new(node: NodeId, writer: Writer) -> WriterThread {
        WriterThread {
            node,
            writer: Some(writer),
            commands: VecDeque::new(),
            waiting: VecDeque::new(),
            job: None,
            next: None,
            held: None,
            holder: None,
            steps: VecDeque::new(),
            activity: 0,
            ended: Vec::new(),
            is_handing_over: false,
            configuration: None,
            is_starving: false,
            clock: HybridClock::default(),
        }
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub fn position(&self) -> Position {
        self.writer.as_ref().map_or(Position::ZERO, Writer::position)
    }

    pub fn writer(&mut self) -> Option<&mut Writer> {
        self.writer.as_mut()
    }

    /// Whether the group in flight is proposed to its end, and where.
    pub fn proposed(&self) -> Option<Position> {
        let held = self
            .held
            .as_ref()
            .filter(|held| held.remaining == 0 && !held.is_committed)?;
        held.logged.last().map(|logged| logged.position)
    }

    pub fn command(&mut self, command: Command, context: &mut Context<'_>) {
        self.commands.push_back(command);
        self.maybe_start(context);
    }

    pub fn submit(&mut self, submission: Submission, context: &mut Context<'_>) {
        // A transaction that waits for the writer, and asks again, waits once.
        let request = submission.attempt.request;
        if is_alone(&submission) && self.waiting.iter().any(|other| other.attempt.request == request) {
            return;
        }
        self.waiting.push_back(submission);
        self.maybe_start(context);
    }

    /// A part of an open transaction.
    pub fn submit_step(&mut self, submission: Submission, context: &mut Context<'_>) {
        self.steps.push_back(submission);
        self.maybe_start(context);
    }

    /// A session is over. So are its attempts that wait: nobody does for them, and once it is forgotten they would be
    /// executed again.
    pub fn end_session(&mut self, session: SessionId) {
        self.waiting
            .retain(|submission| submission.attempt.request.session != session);
        self.ended.push(session);
    }

    /// The group is to be this: as soon as nothing has the writer, if it still leads then.
    pub fn configure(&mut self, configuration: Configuration, context: &mut Context<'_>) {
        self.configuration = Some(configuration);
        self.maybe_start(context);
    }

    pub fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    pub fn maybe_start(&mut self, context: &mut Context<'_>) {
        if self.job.is_some() || self.writer.is_none() || self.is_starving {
            return;
        }
        let job = match (self.commands.pop_front(), self.steps.pop_front()) {
            (Some(command), step) => {
                self.steps.extend(step);
                Job::Command(command)
            }
            (None, Some(step)) => Job::Step(step),
            (None, None) => match self.take_waiting() {
                Some(job) => job,
                None => return,
            },
        };
        let usual_us = match &job {
            Job::Group(batch) => 100 + 60 * batch.len() as u64,
            Job::Command(Command::Apply { entries, .. }) => 40 + 50 * entries.len() as u64,
            Job::Command(Command::Install) => 20_000,
            Job::Step(_) | Job::Alone(_) | Job::Command(_) | Job::Configure(_) => 40,
        };
        let delay_us = context.random.latency_us(usual_us);
        context.after(delay_us, NodeEvent::WriterDone);
        self.job = Some(job);
    }

    /// While leading, and while nothing has the writer.
    fn take_waiting(&mut self) -> Option<Job> {
        if self.next.is_none() || self.held.is_some() || self.holder.is_some() {
            return None;
        }
        if let Some(configuration) = self.configuration.take() {
            return Some(Job::Configure(configuration));
        }
        if self.waiting.front().is_some_and(is_alone) {
            return self.waiting.pop_front().map(Job::Alone);
        }
        let together = self.waiting.iter().take_while(|submission| !is_alone(submission));
        let count = together.count().min(GROUP_MAX);
        (count > 0).then(|| Job::Group(self.waiting.drain(..count).collect()))
    }

    /// The time of the job under way is over: its work is done now.
    pub fn handle_done(&mut self, context: &mut Context<'_>) -> Vec<Output> {
        let outputs = match self.job.take() {
            Some(Job::Group(batch)) => self.run(batch, context),
            Some(Job::Command(command)) => {
                let mut outputs = self.end_holder(context);
                outputs.extend(self.perform(command, context));
                outputs
            }
            Some(Job::Alone(submission)) => self.run_alone(submission, context),
            Some(Job::Step(submission)) => self.step(submission, context),
            Some(Job::Configure(configuration)) => self.run_configure(configuration, context),
            None => Vec::new(),
        };
        self.maybe_start(context);
        outputs
    }

    fn perform(&mut self, command: Command, context: &mut Context<'_>) -> Vec<Output> {
        match command {
            Command::Lead { next } => {
                self.next = Some(next);
                self.is_handing_over = false;
                Vec::new()
            }
            Command::Follow => self.follow(context),
            Command::Refuse => self.refuse(context),
            Command::NextPayload => self.propose_next(context),
            Command::Commit { position, next } => self.commit(position, Some(next), context),
            Command::Proposed(at) => self.take_early(at),
            Command::Apply {
                entries,
                is_committed,
            } => self.apply(entries, is_committed, context),
            Command::Install => {
                self.writer = None;
                vec![Output::Install]
            }
        }
    }

    /// The snapshot is in place.
    pub fn reopen(&mut self, files: &Files, context: &mut Context<'_>) {
        match Writer::open(files) {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => context.stop(format!("SQLite: {error}")),
        }
        self.maybe_start(context);
    }

    /// Executes, seals, proposes the first payload.
    fn run(&mut self, batch: Vec<Submission>, context: &mut Context<'_>) -> Vec<Output> {
        let Some(next) = self.next.take() else {
            return vec![not_leader(batch)];
        };
        let (batch, late): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|submission| submission.attempt.term == next.term);
        let mut outputs = vec![not_leader(late)];
        self.next = Some(next);
        match self.execute(&batch, context) {
            Ok(replies) => {
                let replies = batch.into_iter().zip(replies).collect();
                outputs.extend(self.seal(next, replies, context));
            }
            Err(error) => outputs.extend(self.fail(batch, error, context)),
        }
        outputs
    }

    /// Ends the open group's execution, and proposes its first payload.
    pub fn seal(
        &mut self,
        next: Position,
        replies: Vec<(Submission, Reply)>,
        context: &mut Context<'_>,
    ) -> Vec<Output> {
        let writer = self.writer.as_mut().expect("it just executed");
        for session in std::mem::take(&mut self.ended) {
            writer.end_session(session);
        }
        match writer.seal(next) {
            Ok(Sealed::Empty) => {
                let seen = writer.position();
                let place = |(submission, reply): (Submission, Reply)| (submission, reply.at(seen));
                vec![Output::Confirm(replies.into_iter().map(place).collect())]
            }
            Ok(Sealed::Payloads(count)) => {
                let index = LogIndex(next.index.0 + count - 1);
                let place = |(submission, reply): (Submission, Reply)| {
                    (submission, reply.at(Position { index, ..next }))
                };
                let replies = replies.into_iter().map(place).collect();
                self.next = None;
                self.held = Some(Held::new(replies, next, count, None));
                self.propose_next(context)
            }
            Err(error) => {
                let batch = replies.into_iter().map(|(submission, _)| submission).collect();
                self.fail(batch, error, context)
            }
        }
    }

    fn execute(
        &mut self,
        batch: &[Submission],
        context: &mut Context<'_>,
    ) -> Result<Vec<Reply>, StorageError> {
        let forgets = context.has(Bug::ForgetAnswers);
        let transaction = |submission: &Submission| ClientTransaction {
            seen: match forgets {
                true => Vec::new(),
                false => submission.attempt.seen.clone(),
            },
            request: submission.attempt.request,
            statements: submission.attempt.statements.clone(),
            session: submission.attempt.session,
            facts: Default::default(),
            durability: submission.attempt.durability,
        };
        let transactions: Vec<ClientTransaction> = batch.iter().map(transaction).collect();
        let writer = self
            .writer
            .as_mut()
            .expect("a thread without its connection takes no jobs");
        self.clock.observe(writer.timestamp());
        let timestamp = self.clock.tick(context.wall_ms);
        let answers = run_group(
            writer,
            GroupStart {
                origin: self.node,
                timestamp,
            },
            &transactions,
        )?;
        let reply = |(submission, answer): (&Submission, Result<Answer, SqlError>)| match answer {
            Ok(answer) => Reply::Done {
                position: match answer.deduplicated {
                    true => position_of(writer, submission.attempt.request),
                    false => Position::ZERO,
                },
                answer: answer
                    .results
                    .into_iter()
                    // Those that were answered before have none, also when a planted bug did not compare them.
                    .filter(|_| submission.attempt.seen.is_empty() || answer.deduplicated)
                    .map(|result| result.rows)
                    .collect::<Vec<Rows>>(),
                session: answer.session,
                deduplicated: answer.deduplicated,
            },
            Err(error) => Reply::Failed(error),
        };
        Ok(batch.iter().zip(answers).map(reply).collect())
    }

    /// Nothing of the group was done.
    pub fn fail(
        &mut self,
        batch: Vec<Submission>,
        error: StorageError,
        context: &mut Context<'_>,
    ) -> Vec<Output> {
        if error.is_fatal() {
            context.fail_storage(error.is_damage(), &error);
            if !error.is_damage() {
                return Vec::new();
            }
        }
        let writer = self.writer.as_mut().expect("it just executed");
        // Nothing may be open any more, for instance after an error that lost the group.
        let _ = writer.rollback();
        let error = error.into_sql_error();
        let reply = |submission: Submission| match refusal(&submission) {
            Reply::Failed(_) => (submission, Reply::Failed(error.clone())),
            unknown => (submission, unknown),
        };
        vec![Output::Replies(batch.into_iter().map(reply).collect())]
    }
}

/// What is told when there is no space for it. Of a transaction that was tried before nobody knows: that may have
/// been committed.
pub(super) fn refusal(submission: &Submission) -> Reply {
    match submission.attempt.part {
        Part::Whole if submission.attempt.number > 1 => Reply::NotLeader,
        _ => Reply::Failed(SqlError::new(ErrorKind::DiskFull, "no space left on device")),
    }
}

pub(super) fn visible(node: NodeId, writer: &Writer) -> Observation {
    Observation::Visible {
        node,
        position: writer.position(),
        fingerprint: writer.fingerprint(),
    }
}

/// What the last record tells.
pub(super) fn told(node: NodeId, writer: &mut Writer) -> Observation {
    Observation::Told {
        node,
        position: writer.position(),
        marks: told::marks(&writer.take_notifications()),
    }
}

pub(super) fn not_leader(submissions: Vec<Submission>) -> Output {
    Output::Replies(
        submissions
            .into_iter()
            .map(|submission| (submission, Reply::NotLeader))
            .collect(),
    )
}

/// Of the record in which a request was executed before; zero, when that is the open group.
fn position_of(writer: &mut Writer, request: RequestId) -> Position {
    let outcome = writer.outcome(request).ok();
    outcome
        .and_then(|outcome| outcome.position())
        .unwrap_or(Position::ZERO)
}
