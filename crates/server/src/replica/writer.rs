//! The thread that owns a database's write connection: it executes groups as the leader and applies as a follower.
//!
//! One group is in flight at a time: executed and captured inside one open SQLite transaction, proposed, and
//! committed only when the machine says so. While it waits for its quorum the next one queues at the desk, so that
//! groups grow with load; who comes while a group is executed joins it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_http::Metrics;
use bellwether_node::Event;
use bellwether_storage::{
    Answer, ApplyError, ClientTransaction, Files, GroupRun, GroupStart, SessionState, StorageError, Writer,
    ruled_out,
};
use bellwether_types::record::Transaction;
use bellwether_types::{
    CommandTag, Configuration, Durability, Entry, HybridClock, KeptResult, LogIndex, NodeId, Outcome,
    Payload, Position, RequestId, SessionId, SqlError, StatementResult, Timestamp,
};
use tokio::sync::oneshot;

use super::acknowledge::Acknowledger;
use super::checkpoints::Checkpoints;
use super::desk::{Claim, Command, Desk, Done, Executed, Job, Next, Refusal, Work, is_vacuum, no_space};
use super::drive::Drive;
use super::driver::{Driver, Input};
use super::flight::Flight;
use super::readers::STEPS_BETWEEN_LOOKS;
use super::snapshots::Staged;
use super::{Content, Listeners, Published, Readers, fatal, unix_ms};
use crate::stop::Stop;

/// Transactions in one group: bounds how long the first of them waits for the last one's execution.
const GROUP_MAX: usize = 256;

/// A request whose client has been silent for so long is not asked for again: a client waits for seconds, and who asks
/// for the status of so old a transaction is told that nobody knows. Measured by a clock that nobody sets.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// Between looks for such requests.
const MARK_PERIOD: Duration = Duration::from_secs(60);

/// Sessions forgotten at a time, for want of a word of their end: bounds the record.
const FORGOTTEN_MAX: u32 = 1000;

/// Until records for which there was no space are tried again.
const STARVED_PAUSE: Duration = Duration::from_millis(200);

/// Everything the thread owns.
pub(crate) struct WriterThread {
    pub name: &'static str,
    pub node: NodeId,
    /// Absent only while the file is replaced.
    pub writer: Option<Writer>,
    pub files: Files,
    pub staged: Staged,
    pub checkpoints: Arc<Checkpoints>,
    pub desk: Arc<Desk>,
    pub drive: Arc<Drive<Driver>>,
    pub published: Arc<Published>,
    pub listeners: Arc<Listeners>,
    pub acknowledger: Arc<Acknowledger>,
    pub readers: Readers,
    pub metrics: Arc<Metrics>,
    pub stop: Arc<Stop>,
    pub clock: HybridClock,
    /// Sessions that ended: their request lines go with the next group.
    pub ended: Vec<SessionId>,
    /// Where the next group's first payload will stand, while leading.
    pub next: Option<Position>,
    /// A moment, and the newest record then.
    pub marks: VecDeque<(Instant, Timestamp)>,
    /// SQLite had no space for what was committed, when it was tried last.
    pub starves: bool,
    /// How often it was asked whether this node leads.
    pub confirms: u64,
    /// Of a committed group, to be told once its clients are answered.
    pub committed: Option<LogIndex>,
    /// Clients that are about to come with another transaction: those of a group that was just answered, and those
    /// that waited meanwhile.
    pub expected: usize,
}

/// The thread ends.
#[derive(Debug)]
pub(super) enum Halt {
    /// As asked.
    Stopped,
    /// SQLite cannot be gone on with.
    Failed(String),
    /// Not the thread, but what it was at: the replica is seeded anew.
    Damaged(String),
}

impl From<StorageError> for Halt {
    fn from(error: StorageError) -> Halt {
        match error.is_damage() {
            true => Halt::Damaged(error.to_string()),
            false => Halt::Failed(error.to_string()),
        }
    }
}

type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// A client of a group, and when it is answered.
struct Waiting {
    durability: Durability,
    claim: Arc<Claim>,
    /// Absent once it is.
    reply: Option<Reply<Executed>>,
}

type Autocommit = (ClientTransaction, Arc<Claim>, Reply<Executed>);

/// Answers a client that may have left.
pub(super) fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    let _ = reply.send(value);
}

/// What a client hears of its VACUUM.
fn vacuumed(position: Position, deduplicated: bool) -> Executed {
    let answer = Answer {
        results: vec![StatementResult::without_rows(CommandTag::plain("VACUUM"))],
        session: SessionState::default(),
        deduplicated,
        rows_lost: false,
    };
    Executed {
        done: Done { answer, position },
        is_written: true,
    }
}

impl Waiting {
    fn answer(self, executed: Result<Executed, Refusal>) {
        if let Some(reply) = self.reply {
            answer(reply, executed);
        }
    }
}

/// The record of these is in the log here: who waits for no more is answered. What was executed before is not in it.
fn answer_early(
    metrics: &Metrics,
    results: &[Result<Answer, SqlError>],
    waiting: &mut [Waiting],
    position: Position,
) {
    for (result, waiting) in results.iter().zip(waiting) {
        let Ok(told) = result else { continue };
        if told.deduplicated || !waiting.durability.is_early() {
            continue;
        }
        if let Some(reply) = waiting.reply.take() {
            metrics.transactions_committed.increment();
            let done = Done {
                answer: told.clone(),
                position,
            };
            answer(
                reply,
                Ok(Executed {
                    done,
                    is_written: true,
                }),
            );
        }
    }
}

impl WriterThread {
    /// Until stopped.
    pub fn run(mut self) {
        self.connection_opened();
        loop {
            let expected = std::mem::take(&mut self.expected);
            let step = match self.desk.next(GROUP_MAX, expected) {
                Next::Command(command) => self.handle_command(command),
                Next::Configure(configuration) => self.run_configure(&configuration),
                Next::Jobs(jobs) => self.run_jobs(jobs),
            };
            if let Some(through) = self.committed.take() {
                self.tell(Event::Applied { through });
            }
            self.publish_safety();
            match step {
                Ok(()) => {}
                Err(Halt::Stopped) => return,
                Err(Halt::Damaged(what)) => self.tell_damaged(&what),
                Err(Halt::Failed(what)) => return fatal(&self.stop, self.name, what),
            }
        }
    }

    /// A command while no group is in flight.
    pub(super) fn handle_command(&mut self, command: Command) -> Result<(), Halt> {
        match command {
            Command::Apply { entries } => self.apply(&entries),
            Command::Lead { next } => {
                let last = self.writer().timestamp();
                self.clock.observe(last);
                self.next = Some(next);
                self.turn_to_lead()
            }
            Command::Follow | Command::Refuse => {
                self.next = None;
                Ok(())
            }
            Command::InstallSnapshot { position } => self.install(position),
            Command::Stop => Err(Halt::Stopped),
            // Of a group that a `Follow` took back before.
            Command::NextPayload | Command::Proposed | Command::Commit { .. } | Command::Confirmed { .. } => {
                Ok(())
            }
        }
    }

    /// The write connection is opened anew for leading: before the first transaction waits for it, and so that a
    /// cancel reaches the new one.
    fn turn_to_lead(&mut self) -> Result<(), Halt> {
        let start = self.start_group();
        self.writer().begin_group(start)?;
        self.writer().rollback()?;
        self.connection_opened();
        Ok(())
    }

    fn apply(&mut self, entries: &[Entry]) -> Result<(), Halt> {
        let last = entries
            .last()
            .expect("the machine applies at least one entry")
            .position;
        self.published.set_visible(last.max(self.published.visible()));
        self.maybe_restart_wal();
        for entry in entries {
            match self.writer().apply(entry) {
                Ok(()) => {
                    self.metrics.records_applied.increment();
                    self.tell_listeners();
                }
                Err(error) if error.is_full() => {
                    self.publish();
                    self.starve(&error);
                    return Ok(());
                }
                Err(ApplyError::Storage(error)) if !error.is_damage() => return Err(error.into()),
                Err(damage) => {
                    self.tell_damaged(&format_args!("{damage} at {}", entry.position));
                    return Ok(());
                }
            }
        }
        self.publish();
        if std::mem::take(&mut self.starves) {
            tracing::info!(database = self.name, "committed records can be applied again");
        }
        self.tell(Event::Applied { through: last.index });
        Ok(())
    }

    /// SQLite found no space for what is committed: reads go on, writes are refused, and it is tried again.
    fn starve(&mut self, error: &dyn std::fmt::Display) {
        if !std::mem::replace(&mut self.starves, true) {
            tracing::error!(
                database = self.name,
                "cannot apply committed records: {error}; trying on"
            );
        }
        self.next = None;
        std::thread::sleep(STARVED_PAUSE);
        let jobs = self.desk.take_all();
        self.refuse_jobs(jobs);
        let applied = self.writer().position().index;
        self.tell(Event::ApplyFailed { applied });
    }

    /// Nothing can be executed for want of space.
    fn refuse_jobs(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            match job.work {
                Work::EndSession { session } => self.ended.push(session),
                // What is committed is not all here.
                Work::Outcome { .. } => job.answer(Refusal::NotLeader),
                Work::Autocommit { .. } | Work::Open { .. } => job.answer(Refusal::Failed(no_space())),
            }
        }
    }

    /// The held group is committed, and SQLite could not COMMIT it.
    pub(super) fn fail_commit(&mut self, error: StorageError) -> Result<Flight, Halt> {
        if error.is_damage() {
            // Like an `Apply` that found it, the `Commit` is not answered.
            self.next = None;
            self.writer().rollback()?;
            self.tell_damaged(&error);
            return Ok(Flight::Lost);
        }
        if !error.is_full() {
            return Err(error.into());
        }
        self.writer().rollback()?;
        self.starve(&error);
        Ok(Flight::Lost)
    }

    /// The replica's file is damaged: a leader hands over, and the replica is seeded anew.
    pub(super) fn tell_damaged(&self, what: &dyn std::fmt::Display) {
        tracing::error!(database = self.name, %what, "damaged: this replica is seeded anew");
        self.tell(Event::Damaged);
    }

    /// Whether the thread goes on: the error is told to whoever waits for what met it.
    pub(super) fn survives(&self, error: &StorageError) -> bool {
        if error.is_damage() {
            self.tell_damaged(error);
        }
        error.is_damage() || !error.is_fatal()
    }

    /// The write connection.
    pub(super) fn writer(&mut self) -> &mut Writer {
        self.writer
            .as_mut()
            .expect("absent only while the file is replaced, or lent")
    }

    /// The write connection is another than before: cancels must reach it, and long statements of sessions be noticed.
    pub(super) fn connection_opened(&mut self) {
        let handle = self.writer().interrupt_handle();
        self.desk.set_interrupt(handle);
        self.writer()
            .on_progress(STEPS_BETWEEN_LOOKS, crate::patience::look);
    }

    fn maybe_restart_wal(&mut self) {
        let position = self.writer().position();
        let settled = self.published.settled();
        if let Err(error) = self.checkpoints.maybe_restart(position, settled) {
            tracing::warn!(database = self.name, %error, "SQLite's WAL could not be started anew");
        }
    }

    pub(super) fn publish(&mut self) {
        let writer = self.writer();
        let content = Content {
            position: writer.position(),
            timestamp: writer.timestamp(),
            fingerprint: writer.fingerprint(),
            log_format: writer.log_format(),
        };
        self.published.set_applied(content);
        self.publish_safety();
    }

    /// What was refused is in no record: it is told after each step, too.
    fn publish_safety(&self) {
        let counts = self.writer.as_ref().and_then(|writer| writer.new_safety_counts());
        if let Some(counts) = counts {
            self.published.set_safety(counts);
        }
    }

    /// Of the record that has become visible.
    pub(super) fn tell_listeners(&mut self) {
        let notifications = self.writer().take_notifications();
        self.listeners.tell(&notifications);
    }

    pub(super) fn tell(&self, event: Event) {
        // The driver outlives its writer but for a shutdown under way.
        let _ = self.drive.send(Input::Event(event));
    }

    /// What shares its group with nobody comes alone.
    fn run_jobs(&mut self, jobs: Vec<Job>) -> Result<(), Halt> {
        if self.next.is_none() {
            self.refuse_jobs(jobs);
            return Ok(());
        }
        let mut transactions = Vec::with_capacity(jobs.len());
        let mut asked = Vec::new();
        for job in jobs {
            match job.work {
                Work::Autocommit {
                    transaction, reply, ..
                } if is_vacuum(&transaction) => {
                    return self.run_vacuum(transaction.request, reply);
                }
                Work::Autocommit {
                    transaction,
                    claim,
                    reply,
                    ..
                } => transactions.push((transaction, claim, reply)),
                Work::Open {
                    opening,
                    transaction,
                    reply,
                    ..
                } => {
                    return self.run_interactive(opening, transaction, reply);
                }
                Work::EndSession { session } => self.ended.push(session),
                Work::Outcome { request, reply } => asked.push((request, reply)),
            }
        }
        if !transactions.is_empty() {
            self.run_autocommits(transactions)?;
        }
        // What came before they were asked about was executed now.
        for (request, reply) in asked {
            let outcome = match self.next {
                Some(_) => self.writer().outcome(request).map_err(Refusal::Failed),
                None => Err(Refusal::NotLeader),
            };
            answer(reply, outcome);
        }
        Ok(())
    }

    fn run_vacuum(&mut self, request: RequestId, reply: Reply<Executed>) -> Result<(), Halt> {
        match self.writer().outcome(request) {
            Ok(Outcome::Open { .. }) => {}
            Ok(Outcome::Committed(_, position)) => {
                answer(reply, Ok(vacuumed(position, true)));
                return Ok(());
            }
            Ok(Outcome::RuledOut(_) | Outcome::GoneOn) => {
                answer(reply, Err(Refusal::Failed(ruled_out(request))));
                return Ok(());
            }
            Err(error) => {
                answer(reply, Err(Refusal::Failed(error)));
                return Ok(());
            }
        }
        let Some(position) = self.next else {
            answer(reply, Err(Refusal::NotLeader));
            return Ok(());
        };
        let GroupStart { origin, timestamp } = self.start_group();
        let transaction = Transaction {
            request,
            tag: CommandTag::plain("VACUUM"),
            result: KeptResult::TagAlone,
            durability: Durability::default(),
            body_bytes: 0,
        };
        let payload = Payload::Vacuum {
            position,
            timestamp,
            origin,
            transaction: transaction.clone(),
        };
        let passed = self.pass(position, &payload, |writer| {
            writer.vacuum(position, timestamp, &transaction)
        })?;
        answer(reply, passed.map(|()| vacuumed(position, false)));
        Ok(())
    }

    /// Whoever wants it looks what became of it.
    fn run_configure(&mut self, configuration: &Configuration) -> Result<(), Halt> {
        let Some(position) = self.next else {
            return Ok(());
        };
        let GroupStart { origin, timestamp } = self.start_group();
        let payload = Payload::Configure {
            position,
            timestamp,
            origin,
            configuration: configuration.clone(),
        };
        let passed = self.pass(position, &payload, |writer| {
            writer.configure(position, timestamp, configuration)
        })?;
        if let Err(refusal) = passed {
            tracing::info!(database = self.name, ?refusal, "the group is not changed now");
        }
        Ok(())
    }

    fn run_autocommits(&mut self, first: Vec<Autocommit>) -> Result<(), Halt> {
        let mut waiting = Vec::with_capacity(first.len());
        let results = match self.run_group(first, &mut waiting) {
            Ok(results) => results,
            Err(error) if !self.survives(&error) => return Err(error.into()),
            Err(error) => return self.refuse_group(waiting, &error.into_sql_error()),
        };
        self.metrics.group_transactions.observe(results.len() as u64);
        let waits = self.waits_of(waiting.iter().map(|waiting| waiting.durability));
        waiting.iter().for_each(|waiting| waiting.claim.set_executed());
        let metrics = Arc::clone(&self.metrics);
        let answer_early = |position| answer_early(&metrics, &results, &mut waiting, position);
        match self.seal_and_fly(waits, answer_early)? {
            Ok(Flight::Committed { position, is_written }) => {
                if waiting.len() > 1 {
                    self.expected = waiting.len() + self.desk.waiting();
                }
                self.answer_committed(results, waiting, position, is_written);
            }
            Ok(Flight::Lost) => {
                for (result, waiting) in results.into_iter().zip(waiting) {
                    // What failed is not in the record: it may be tried again without a doubt.
                    let refusal = if result.is_ok() {
                        Refusal::Unknown
                    } else {
                        Refusal::NotLeader
                    };
                    waiting.answer(Err(refusal));
                }
            }
            Err(error) => {
                let (kept, refused): (Vec<_>, Vec<_>) = results
                    .into_iter()
                    .zip(waiting)
                    .partition(|(result, _)| matches!(result, Ok(answer) if answer.deduplicated));
                let refused = refused.into_iter().map(|(_, waiting)| waiting).collect();
                self.refuse_group(refused, &error)?;
                // What was executed before is committed, whatever became of the group.
                let position = self.writer().position();
                let (results, waiting) = kept.into_iter().unzip();
                self.answer_committed(results, waiting, position, true);
            }
        }
        Ok(())
    }

    /// Executes these, and those that come in time to share their group; results and replies are in the same order.
    fn run_group(
        &mut self,
        first: Vec<Autocommit>,
        waiting: &mut Vec<Waiting>,
    ) -> Result<Vec<Result<Answer, SqlError>>, StorageError> {
        let start = self.start_group();
        let mut group = GroupRun::begin(self.writer(), start)?;
        let mut joining = first;
        while !joining.is_empty() {
            for (transaction, claim, reply) in joining {
                waiting.push(Waiting {
                    durability: transaction.durability,
                    claim,
                    reply: Some(reply),
                });
                group.run(self.writer(), transaction)?;
            }
            joining = self.join_group(GROUP_MAX.saturating_sub(group.transactions()));
        }
        Ok(group.into_answers())
    }

    /// At most so many that come in time for the open group.
    fn join_group(&mut self, max: usize) -> Vec<Autocommit> {
        let mut joining = Vec::new();
        while joining.is_empty() {
            let jobs = self.desk.join(max);
            if jobs.is_empty() {
                break;
            }
            for job in jobs {
                match job.work {
                    Work::Autocommit {
                        transaction,
                        claim,
                        reply,
                        ..
                    } => joining.push((transaction, claim, reply)),
                    Work::EndSession { session } => self.ended.push(session),
                    Work::Open { .. } | Work::Outcome { .. } => {
                        unreachable!("these do not join a group that is open")
                    }
                }
            }
        }
        joining
    }

    fn answer_committed(
        &self,
        results: Vec<Result<Answer, SqlError>>,
        waiting: Vec<Waiting>,
        position: Position,
        is_written: bool,
    ) {
        for (result, waiting) in results.into_iter().zip(waiting) {
            if waiting.reply.is_none() {
                continue;
            }
            let counter = match &result {
                Ok(_) => &self.metrics.transactions_committed,
                Err(_) => &self.metrics.transactions_failed,
            };
            counter.increment();
            let executed = result.map(|answer| Executed {
                is_written: is_written || answer.deduplicated,
                done: Done { answer, position },
            });
            waiting.answer(executed.map_err(Refusal::Failed));
        }
    }

    /// The whole group could not be executed, as with a full disk: nothing of it remains.
    fn refuse_group(&mut self, waiting: Vec<Waiting>, error: &SqlError) -> Result<(), Halt> {
        self.writer().rollback()?;
        for waiting in waiting {
            self.metrics.transactions_failed.increment();
            waiting.answer(Err(Refusal::Failed(error.clone())));
        }
        Ok(())
    }

    pub(super) fn start_group(&mut self) -> GroupStart {
        self.maybe_restart_wal();
        GroupStart {
            origin: self.node,
            timestamp: self.clock.tick(unix_ms()),
        }
    }

    /// Sessions that ended go with this group; and now and then those whose end nobody told.
    pub(super) fn forget_sessions(&mut self) -> Result<(), Halt> {
        for session in std::mem::take(&mut self.ended) {
            self.writer().end_session(session);
        }
        let latest = self.marks.back().map(|(since, _)| since.elapsed());
        if latest.is_none_or(|since| since >= MARK_PERIOD) {
            let now = self.writer().timestamp();
            self.marks.push_back((Instant::now(), now));
        }
        if let Some((since, before)) = self.marks.front().copied()
            && since.elapsed() >= FORGET_AFTER
        {
            self.writer().forget_sessions(before, FORGOTTEN_MAX)?;
            self.marks.pop_front();
        }
        Ok(())
    }

    fn install(&mut self, position: Position) -> Result<(), Halt> {
        self.next = None;
        self.writer = None;
        self.checkpoints.close();
        self.readers.renew();
        // It was of the file before.
        self.files.damage.take();
        let writer = super::snapshots::install(&self.files, &self.staged).map_err(Halt::Failed)?;
        self.writer = Some(writer);
        self.connection_opened();
        let reopened = self.checkpoints.reopen(&self.files);
        reopened.map_err(|error| Halt::Failed(error.to_string()))?;
        self.publish();
        self.metrics.reseeds.increment();
        tracing::info!(database = self.name, %position, "seeded anew");
        self.tell(Event::SnapshotInstalled { position });
        Ok(())
    }
}
