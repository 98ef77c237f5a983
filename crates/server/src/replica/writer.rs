//! The thread that owns a database's write connection: it executes groups as the leader and applies as a follower.
//!
//! One group is in flight at a time: executed and captured inside one open SQLite transaction, proposed, and
//! committed only when the machine says so. While it waits for its quorum the next one queues at the desk, so that
//! groups grow with load; who comes while a group is executed joins it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_http::Metrics;
use bellwether_node::Event;
use bellwether_storage::{
    Answer, ApplyError, ClientTransaction, Files, GroupRun, GroupStart, Sealed, SessionState,
    StatementResult, StorageError, Writer,
};
use bellwether_types::record::Transaction;
use bellwether_types::{
    CommandTag, Entry, HybridClock, LogIndex, NodeId, Payload, Position, RequestId, SessionId, SqlError,
    Timestamp,
};
use tokio::sync::oneshot;

use super::checkpoints::Checkpoints;
use super::desk::{Command, Desk, Done, Job, Next, Refusal, Work, is_vacuum, no_space};
use super::drive::Drive;
use super::driver::{Driver, Input};
use super::readers::STEPS_BETWEEN_LOOKS;
use super::snapshots::Staged;
use super::{Content, Listeners, Published, Readers, fatal, unix_ms};
use crate::stop::Stop;

/// Transactions in one group: bounds how long the first of them waits for the last one's execution.
const GROUP_MAX: usize = 256;

/// A request whose client has been silent for so long is not asked for again: a client waits for seconds. Measured by
/// a clock that nobody sets.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

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
    pub readers: Readers,
    pub metrics: Arc<Metrics>,
    pub stop: Arc<Stop>,
    pub clock: HybridClock,
    /// Sessions that ended: their request lines go with the next group.
    pub ended: Vec<SessionId>,
    /// Where the next group's first payload will stand, while leading.
    pub next: Option<Position>,
    /// A moment, and the newest record then.
    pub mark: (Instant, Timestamp),
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

/// What became of a group in flight.
pub(super) enum Flight {
    Committed(Position),
    /// Rolled back here; another leader may commit it all the same.
    Lost,
}

type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

type Autocommit = (ClientTransaction, Reply<Done>);

/// Answers a client that may have left.
pub(super) fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    let _ = reply.send(value);
}

/// What a client hears of its VACUUM.
fn vacuumed(position: Position, deduplicated: bool) -> Done {
    let result = StatementResult {
        columns: Vec::new(),
        rows: Vec::new(),
        tag: CommandTag::plain("VACUUM"),
    };
    let answer = Answer {
        results: vec![result],
        session: SessionState::default(),
        deduplicated,
        rows_lost: false,
    };
    Done { answer, position }
}

impl WriterThread {
    /// Until stopped.
    pub fn run(mut self) {
        self.connection_opened();
        loop {
            let expected = std::mem::take(&mut self.expected);
            let step = match self.desk.next(GROUP_MAX, expected) {
                Next::Command(command) => self.handle_command(command),
                Next::Jobs(jobs) => self.run_jobs(jobs),
            };
            if let Some(through) = self.committed.take() {
                self.tell(Event::Applied { through });
            }
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
            Command::NextPayload | Command::Commit { .. } | Command::Confirmed { .. } => Ok(()),
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
    fn fail_commit(&mut self, error: StorageError) -> Result<Flight, Halt> {
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
    fn connection_opened(&mut self) {
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

    fn publish(&mut self) {
        let writer = self.writer();
        let content = Content {
            position: writer.position(),
            timestamp: writer.timestamp(),
            fingerprint: writer.fingerprint(),
        };
        self.published.set_applied(content);
    }

    /// Of the record that has become visible.
    fn tell_listeners(&mut self) {
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
        for job in jobs {
            match job.work {
                Work::Autocommit {
                    transaction, reply, ..
                } if is_vacuum(&transaction) => {
                    return self.run_vacuum(transaction.request, reply);
                }
                Work::Autocommit {
                    transaction, reply, ..
                } => transactions.push((transaction, reply)),
                Work::Open {
                    opening,
                    transaction,
                    reply,
                    ..
                } => {
                    return self.run_interactive(opening, transaction, reply);
                }
                Work::EndSession { session } => self.ended.push(session),
                Work::Outcome { request, reply } => {
                    let outcome = self.writer().outcome(request).map_err(Refusal::Failed);
                    answer(reply, outcome);
                }
            }
        }
        if transactions.is_empty() {
            Ok(())
        } else {
            self.run_autocommits(transactions)
        }
    }

    /// A record of its own: committed first, then run here as by every replica.
    fn run_vacuum(&mut self, request: RequestId, reply: Reply<Done>) -> Result<(), Halt> {
        match self.writer().outcome(request) {
            Ok(None) => {}
            Ok(Some((_, position))) => {
                answer(reply, Ok(vacuumed(position, true)));
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
            returned_rows: false,
        };
        let payload = Payload::Vacuum {
            position,
            timestamp,
            origin,
            transaction: transaction.clone(),
        };
        self.tell(Event::Propose {
            at: position,
            payload: payload.to_bytes(),
            remaining: 0,
        });
        loop {
            match self.desk.next_command() {
                Command::Commit { position, next } => {
                    self.published.set_visible(position);
                    if let Err(error) = self.writer().vacuum(position, timestamp, &transaction) {
                        answer(reply, Err(Refusal::Unknown));
                        return self.fail_commit(error).map(|_| ());
                    }
                    self.publish();
                    self.committed = Some(position.index);
                    self.next = Some(next);
                    self.connection_opened();
                    answer(reply, Ok(vacuumed(position, false)));
                    return Ok(());
                }
                Command::Follow => {
                    self.next = None;
                    answer(reply, Err(Refusal::Unknown));
                    return Ok(());
                }
                Command::Refuse => {
                    self.next = None;
                    answer(reply, Err(Refusal::Failed(no_space())));
                    return Ok(());
                }
                Command::Stop => return Err(Halt::Stopped),
                Command::Confirmed { .. } => {}
                other => unreachable!("the machine says Follow before {other:?}"),
            }
        }
    }

    fn run_autocommits(&mut self, first: Vec<Autocommit>) -> Result<(), Halt> {
        let mut replies = Vec::with_capacity(first.len());
        let results = match self.run_group(first, &mut replies) {
            Ok(results) => results,
            Err(error) if !self.survives(&error) => return Err(error.into()),
            Err(error) => return self.refuse_group(replies, &error.into_sql_error()),
        };
        self.metrics.group_transactions.observe(results.len() as u64);
        match self.seal_and_fly()? {
            Ok(Flight::Committed(position)) => {
                if replies.len() > 1 {
                    self.expected = replies.len() + self.desk.waiting();
                }
                self.answer_committed(results, replies, position);
            }
            Ok(Flight::Lost) => {
                for (result, reply) in results.into_iter().zip(replies) {
                    // What failed is not in the record: it may be tried again without a doubt.
                    let refusal = if result.is_ok() {
                        Refusal::Unknown
                    } else {
                        Refusal::NotLeader
                    };
                    answer(reply, Err(refusal));
                }
            }
            Err(error) => {
                let (kept, refused): (Vec<_>, Vec<_>) = results
                    .into_iter()
                    .zip(replies)
                    .partition(|(result, _)| matches!(result, Ok(answer) if answer.deduplicated));
                let refused = refused.into_iter().map(|(_, reply)| reply).collect();
                self.refuse_group(refused, &error)?;
                // What was executed before is committed, whatever became of the group.
                let position = self.writer().position();
                let (results, replies) = kept.into_iter().unzip();
                self.answer_committed(results, replies, position);
            }
        }
        Ok(())
    }

    /// Executes these, and those that come in time to share their group; results and replies are in the same order.
    fn run_group(
        &mut self,
        first: Vec<Autocommit>,
        replies: &mut Vec<Reply<Done>>,
    ) -> Result<Vec<Result<Answer, SqlError>>, StorageError> {
        let start = self.start_group();
        let mut group = GroupRun::begin(self.writer(), start)?;
        let mut joining = first;
        while !joining.is_empty() {
            let (transactions, theirs): (Vec<_>, Vec<_>) = joining.into_iter().unzip();
            replies.extend(theirs);
            for transaction in transactions {
                group.run(self.writer(), transaction)?;
            }
            joining = self.join_group(GROUP_MAX.saturating_sub(group.len()));
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
                        transaction, reply, ..
                    } => joining.push((transaction, reply)),
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
        replies: Vec<Reply<Done>>,
        position: Position,
    ) {
        for (result, reply) in results.into_iter().zip(replies) {
            let counter = match &result {
                Ok(_) => &self.metrics.transactions_committed,
                Err(_) => &self.metrics.transactions_failed,
            };
            counter.increment();
            answer(
                reply,
                result
                    .map(|answer| Done { answer, position })
                    .map_err(Refusal::Failed),
            );
        }
    }

    /// The whole group could not be executed, as with a full disk: nothing of it remains.
    fn refuse_group(&mut self, replies: Vec<Reply<Done>>, error: &SqlError) -> Result<(), Halt> {
        self.writer().rollback()?;
        for reply in replies {
            self.metrics.transactions_failed.increment();
            answer(reply, Err(Refusal::Failed(error.clone())));
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

    /// Seals the open group, proposes it and waits for its fate. An inner error: it could not be sealed, or the log
    /// has no room for it; it is not and will not be there.
    pub(super) fn seal_and_fly(&mut self) -> Result<Result<Flight, SqlError>, Halt> {
        let Some(next) = self.next else {
            self.writer().rollback()?;
            return Ok(Ok(Flight::Lost));
        };
        self.forget_sessions()?;
        match self.writer().seal(next) {
            Ok(Sealed::Empty) => self.confirm().map(Ok),
            Ok(Sealed::Payloads(count)) => self.fly(next, count),
            Err(error) if !self.survives(&error) => Err(error.into()),
            Err(error) => {
                self.writer().rollback()?;
                Ok(Err(error.into_sql_error()))
            }
        }
    }

    /// Sessions that ended go with this group; and now and then those whose end nobody told.
    fn forget_sessions(&mut self) -> Result<(), Halt> {
        for session in std::mem::take(&mut self.ended) {
            self.writer().end_session(session);
        }
        let (since, before) = self.mark;
        if since.elapsed() >= FORGET_AFTER {
            self.writer().forget_sessions(before, FORGOTTEN_MAX)?;
            self.mark = (Instant::now(), self.writer().timestamp());
        }
        Ok(())
    }

    /// A group that wrote nothing has no record, yet what it answers (failures, zero rows) tells of the committed
    /// state: only a leader that is still one may tell it.
    fn confirm(&mut self) -> Result<Flight, Halt> {
        // A driver that is gone has left a `Stop`.
        self.confirms += 1;
        let asked = self.confirms;
        let _ = self.drive.send(Input::Confirm(asked));
        loop {
            match self.desk.next_command() {
                // Asked before a reign that has ended.
                Command::Confirmed { number, .. } if number != asked => {}
                Command::Confirmed { leads: true, .. } => {
                    return Ok(Flight::Committed(self.writer().position()));
                }
                Command::Confirmed { leads: false, .. } => return Ok(Flight::Lost),
                Command::Follow => {
                    self.next = None;
                    return Ok(Flight::Lost);
                }
                Command::Stop => return Err(Halt::Stopped),
                other => unreachable!("the machine says Follow before {other:?}"),
            }
        }
    }

    fn fly(&mut self, first: Position, count: u64) -> Result<Result<Flight, SqlError>, Halt> {
        let began = Instant::now();
        let mut at = first;
        let mut remaining = count;
        self.propose_next(&mut at, &mut remaining)?;
        loop {
            match self.desk.next_command() {
                Command::NextPayload => self.propose_next(&mut at, &mut remaining)?,
                Command::Commit { position, next } => {
                    self.published.set_visible(position);
                    if let Err(error) = self.writer().commit() {
                        return self.fail_commit(error).map(Ok);
                    }
                    self.publish();
                    self.tell_listeners();
                    self.committed = Some(position.index);
                    self.next = Some(next);
                    self.metrics
                        .commit_wait_us
                        .observe(began.elapsed().as_micros() as u64);
                    return Ok(Ok(Flight::Committed(position)));
                }
                Command::Follow => {
                    self.next = None;
                    self.writer().rollback()?;
                    return Ok(Ok(Flight::Lost));
                }
                Command::Refuse => {
                    self.next = None;
                    self.writer().rollback()?;
                    return Ok(Err(no_space()));
                }
                Command::Stop => {
                    self.writer().rollback()?;
                    return Err(Halt::Stopped);
                }
                // Of a group before, whose reign ended.
                Command::Confirmed { .. } => {}
                other @ (Command::Apply { .. } | Command::Lead { .. } | Command::InstallSnapshot { .. }) => {
                    unreachable!("the machine says Follow before {other:?}")
                }
            }
        }
    }

    fn propose_next(&mut self, at: &mut Position, remaining: &mut u64) -> Result<(), Halt> {
        let payload = self
            .writer()
            .next_payload()?
            .expect("seal told how many payloads there are");
        *remaining -= 1;
        self.metrics.log_appended_bytes.add(payload.len() as u64);
        self.tell(Event::Propose {
            at: *at,
            payload,
            remaining: *remaining,
        });
        at.index = LogIndex(at.index.0 + 1);
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
