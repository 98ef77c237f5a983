//! Where the writer thread's work arrives: commands of the machine first, then the open interactive transaction's
//! next step, then whatever clients queued.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use bellwether_storage::{Answer, ClientTransaction, Description, InterruptHandle, Seen, SessionState};
use bellwether_types::{
    Column, CommandTag, Configuration, Durability, Entry, ErrorKind, Facts, Outcome, Position, RequestId,
    SessionId, SqlError, Statement, Term, Value, lexer,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::gather::{Filling, Gather};
use super::lease::Lease;

/// Transactions that may wait for the writer of one database. A client beyond them waits before it queues.
const JOBS_MAX: usize = 4096;

/// What the machine wants of the writer. At most a handful are ever queued: one `Apply` or `Commit` is outstanding.
#[derive(Debug)]
pub(crate) enum Command {
    Apply {
        entries: Vec<Entry>,
    },
    Lead {
        next: Position,
    },
    NextPayload,
    Commit {
        position: Position,
        next: Position,
    },
    /// The record of the group in flight is in the log here: who waits for no more is answered.
    Proposed,
    Follow,
    /// The log has no room for the group in flight.
    Refuse,
    InstallSnapshot {
        position: Position,
    },
    /// The answer to [`super::driver::Input::Confirm`]: this node leads, or nobody knows.
    Confirmed {
        number: u64,
        leads: bool,
    },
    Stop,
}

/// Why a transaction got no answer of its own.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// This node does not lead: nothing was executed.
    NotLeader,
    /// Leadership was lost while the group was in flight: it may yet be committed.
    Unknown,
    /// It failed, definitely.
    Failed(SqlError),
}

impl From<SqlError> for Refusal {
    fn from(error: SqlError) -> Refusal {
        Refusal::Failed(error)
    }
}

/// A transaction that is committed.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub answer: Answer,
    /// Of its record; of the newest record when it wrote nothing.
    pub position: Position,
}

/// A statement that ran before its transaction took the writer, to be run again there and compared.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub statement: Statement,
    pub seen: Seen,
}

/// What the writer answers: it is committed; or, if that is not waited for, its record is in the log of this node.
#[derive(Debug)]
pub(crate) struct Executed {
    pub done: Done,
    /// Whether there is a record whose durability is waited for.
    pub is_written: bool,
}

/// The same of a transaction that held the writer.
#[derive(Debug)]
pub(crate) struct Finished {
    pub session: SessionState,
    pub position: Position,
    pub is_written: bool,
}

/// What opens an interactive transaction on the writer.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    pub request: RequestId,
    pub session: SessionState,
    /// Whose it is.
    pub facts: Arc<Facts>,
    /// In order.
    pub answered: Vec<Answered>,
    /// Savepoints set before the writer was taken, outermost first.
    pub savepoints: Vec<String>,
    /// Silence of the client for so long ends it. Zero: never.
    pub idle_timeout_ms: u64,
}

/// A piece of a result on its way to a client. Bounded channels carry it: a slow client slows the writer down, for
/// at most the idle timeout.
#[derive(Debug)]
pub(crate) enum Piece {
    Columns(Vec<Column>),
    Rows(Vec<Vec<Value>>),
}

/// What a client asks of its open transaction.
#[derive(Debug)]
pub(crate) enum Step {
    Execute {
        statement: Statement,
        /// When they have changed since the one before.
        facts: Option<Arc<Facts>>,
        pieces: mpsc::Sender<Piece>,
        reply: oneshot::Sender<Result<CommandTag, Refusal>>,
    },
    Describe {
        sql: String,
        reply: oneshot::Sender<Result<Description, Refusal>>,
    },
    Savepoint {
        name: String,
        action: SavepointAction,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    Commit {
        durability: Durability,
        reply: oneshot::Sender<Result<Finished, Refusal>>,
    },
    /// Also what a vanished client leaves behind.
    Rollback {
        reply: Option<oneshot::Sender<SessionState>>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SavepointAction {
    Set,
    RollbackTo,
    Release,
}

/// Which try of a session at a request, and in whose reign. A late duplicate, of an earlier reign or overtaken by a
/// later try, must not be executed: its client may have been told that it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// The reign for which it was sent.
    pub term: Term,
    /// From 1.
    pub number: u64,
}

/// Who has a queued transaction: the client, which may still give up, or the writer. Whoever is first.
#[derive(Debug, Default)]
pub(crate) struct Claim {
    is_taken: AtomicBool,
    is_executed: AtomicBool,
    stop: Notify,
}

impl Claim {
    /// True for the first caller: the writer before it executes, or the client that gives up (`lock_timeout`,
    /// cancel) and then knows that nothing was and nothing will be executed.
    pub fn take(&self) -> bool {
        !self.is_taken.swap(true, Ordering::AcqRel)
    }

    /// From the writer: what is left is to wait for its COMMIT.
    pub fn set_executed(&self) {
        self.is_executed.store(true, Ordering::Release);
    }

    /// Whether there is nothing left to interrupt.
    pub fn is_executed(&self) -> bool {
        self.is_executed.load(Ordering::Acquire)
    }

    /// The client does not wait for its answer any longer.
    pub fn stop(&self) {
        self.stop.notify_one();
    }

    /// Resolves after [`Claim::stop`].
    pub async fn stopped(&self) {
        self.stop.notified().await;
    }

    /// The client left, or gave up: true when it was first.
    pub fn give_up(&self) -> bool {
        self.take()
    }
}

/// A transaction that waits for the writer.
#[derive(Debug)]
pub(crate) enum Work {
    Autocommit {
        transaction: ClientTransaction,
        attempt: Attempt,
        claim: Arc<Claim>,
        reply: oneshot::Sender<Result<Executed, Refusal>>,
    },
    Open {
        opening: Opening,
        transaction: u64,
        attempt: Attempt,
        claim: Arc<Claim>,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    EndSession {
        session: SessionId,
    },
    /// What became of a request, as far as this reign knows.
    Outcome {
        request: RequestId,
        reply: oneshot::Sender<Result<Outcome, Refusal>>,
    },
}

#[derive(Debug)]
pub(crate) struct Job {
    pub work: Work,
    /// Held until the job is taken.
    _permit: OwnedSemaphorePermit,
}

impl Job {
    /// Takes it for execution, unless its client gave up while it waited.
    fn claim(&self) -> bool {
        match &self.work {
            Work::Autocommit { claim, .. } | Work::Open { claim, .. } => claim.take(),
            Work::Outcome { .. } | Work::EndSession { .. } => true,
        }
    }

    fn writes(&self) -> bool {
        matches!(self.work, Work::Autocommit { .. } | Work::Open { .. })
    }

    fn refuse(self) {
        self.answer(Refusal::NotLeader);
    }

    /// Its client gave up while it was queued.
    fn cancelled(self) {
        let error = SqlError::new(ErrorKind::Cancelled, "canceling statement due to user request");
        self.answer(Refusal::Failed(error));
    }

    pub fn answer(self, refusal: Refusal) {
        match self.work {
            Work::Autocommit { reply, .. } => drop(reply.send(Err(refusal))),
            Work::Open { reply, .. } => drop(reply.send(Err(refusal))),
            Work::Outcome { reply, .. } => drop(reply.send(Err(refusal))),
            Work::EndSession { .. } => {}
        }
    }
}

#[derive(Default)]
struct State {
    commands: VecDeque<Command>,
    jobs: VecDeque<Job>,
    /// What the group is to be next.
    configuration: Option<Configuration>,
    /// Leadership is about to be handed over.
    drain: Option<Drain>,
    /// The reign in which jobs are taken in: between `Lead` and `Follow`.
    leading: Option<Term>,
    /// At the leader: nothing can be written for want of space.
    is_full: bool,
    /// The latest attempt seen of each session in this reign, and the sessions in the order they were first seen.
    seen: BTreeMap<SessionId, (u64, u64)>,
    seen_order: VecDeque<SessionId>,
    next_transaction: u64,
    /// With so many jobs the writer thread wants to be woken.
    wanted: usize,
    gather: Gather,
    /// The group that transactions can join.
    filling: Option<Filling>,
    /// The interactive transaction that holds the writer, and its next step.
    holder: Option<u64>,
    step: Option<Step>,
    /// Transactions that ended without their client's asking, and why; until the client has heard of it.
    ended: BTreeMap<u64, SqlError>,
}

/// While it is there, nothing new is begun.
struct Drain {
    /// What holds the writer then is ended.
    deadline: Instant,
    /// Told when nothing has the writer any more.
    drained: Option<oneshot::Sender<()>>,
}

/// Sessions whose latest attempt is remembered: more than can be connected to a cluster at one time.
const SEEN_MAX: usize = 1 << 16;

impl State {
    /// Whether a job may still be executed: sent for this reign, and not overtaken by a later attempt.
    fn takes(&mut self, work: &Work) -> bool {
        let (request, attempt) = match work {
            Work::Autocommit {
                transaction, attempt, ..
            } => (transaction.request, attempt),
            Work::Open { opening, attempt, .. } => (opening.request, attempt),
            // What of it comes later is late: its request line, which would tell, is gone with the next group.
            Work::EndSession { session } => {
                let leads = self.leading.is_some();
                if leads {
                    self.see(*session, (u64::MAX, u64::MAX));
                }
                return leads;
            }
            Work::Outcome { .. } => return self.leading.is_some(),
        };
        if self.leading != Some(attempt.term) {
            return false;
        }
        self.see(request.session, (request.sequence, attempt.number))
    }

    /// Notes a session's latest attempt; false when there was a later one, or this very one.
    fn see(&mut self, session: SessionId, now: (u64, u64)) -> bool {
        if let Some(latest) = self.seen.get_mut(&session) {
            if *latest >= now {
                return false;
            }
            *latest = now;
            return true;
        }
        if self.seen_order.len() >= SEEN_MAX
            && let Some(oldest) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.seen.insert(session, now);
        self.seen_order.push_back(session);
        true
    }
}

/// The one inbox of a writer thread.
pub(crate) struct Desk {
    /// Stops what runs on the write connection.
    interrupt: Mutex<Option<InterruptHandle>>,
    /// The write connection, while an interactive transaction's session has it.
    pub lease: Lease,
    state: Mutex<State>,
    wake: Condvar,
    permits: Arc<Semaphore>,
}

impl Desk {
    pub fn new() -> Arc<Desk> {
        Arc::new(Desk {
            interrupt: Mutex::default(),
            lease: Lease::default(),
            state: Mutex::default(),
            wake: Condvar::new(),
            permits: Arc::new(Semaphore::new(JOBS_MAX)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// The write connection was opened (anew).
    pub fn set_interrupt(&self, handle: InterruptHandle) {
        *self.interrupt.lock().expect("no holder of this lock panics") = Some(handle);
    }

    /// Stops the statement that runs for this request; false when none does at this moment.
    pub fn interrupt(&self, request: RequestId) -> bool {
        let handle = self.interrupt.lock().expect("no holder of this lock panics");
        handle
            .as_ref()
            .is_some_and(|handle| handle.interrupt_request(request))
    }

    /// From the machine's driver; never waits.
    pub fn command(&self, command: Command) {
        let mut state = self.lock();
        match command {
            Command::Lead { next } => {
                state.leading = Some(next.term);
                state.drain = None;
            }
            Command::Follow | Command::Stop => {
                state.leading = None;
                state.configuration = None;
                state.drain = None;
                state.seen.clear();
                state.seen_order.clear();
                state.jobs.drain(..).for_each(Job::refuse);
            }
            _ => {}
        }
        state.commands.push_back(command);
        self.wake.notify_one();
    }

    /// From the machine's driver, at the leader: the group is to be this, as soon as the writer is free.
    pub fn configure(&self, configuration: Configuration) {
        let mut state = self.lock();
        if state.leading.is_some() {
            state.configuration = Some(configuration);
            self.wake.notify_one();
        }
    }

    /// From now on until leadership is lost, or gained, or [`Desk::end_drain`], nothing new is begun: it waits. Resolves
    /// when nothing has the writer any more; what has it at the deadline is ended.
    pub fn drain(&self, deadline: Instant) -> oneshot::Receiver<()> {
        let (sender, drained) = oneshot::channel();
        self.lock().drain = Some(Drain {
            deadline,
            drained: Some(sender),
        });
        self.wake.notify_one();
        drained
    }

    /// Leadership stays here after all.
    pub fn end_drain(&self) {
        self.lock().drain = None;
        self.wake.notify_one();
    }

    /// From the machine's driver: while it is full, transactions are refused as they come.
    pub fn set_full(&self, is_full: bool) {
        let mut state = self.lock();
        if is_full && !state.is_full {
            for job in std::mem::take(&mut state.jobs) {
                if job.writes() {
                    job.answer(Refusal::Failed(no_space()));
                } else {
                    state.jobs.push_back(job);
                }
            }
        }
        state.is_full = is_full;
    }

    /// From a session: waits while the queue is full. At a node that does not lead the job is refused at once.
    pub async fn submit(&self, work: Work) {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let job = Job {
            work,
            _permit: permit,
        };
        let mut state = self.lock();
        if state.is_full && job.writes() {
            drop(state);
            return job.answer(Refusal::Failed(no_space()));
        }
        if !state.takes(&job.work) {
            drop(state);
            return job.refuse();
        }
        let is_alone = job.is_alone();
        state.jobs.push_back(job);
        if is_alone || state.jobs.len() >= state.wanted {
            self.wake.notify_one();
        }
    }

    /// How many jobs wait.
    pub fn waiting(&self) -> usize {
        self.lock().jobs.len()
    }

    /// A number for a new interactive transaction.
    pub fn number_transaction(&self) -> u64 {
        let mut state = self.lock();
        state.next_transaction += 1;
        state.next_transaction
    }

    /// The next step of an open transaction; dropped (with its reply) when that no longer holds the writer.
    pub fn step(&self, transaction: u64, step: Step) {
        let mut state = self.lock();
        if state.holder == Some(transaction) {
            state.step = Some(step);
            self.wake.notify_one();
        }
    }

    /// The writer thread: a command, a change of the group, or else up to `max` jobs for a new group, to which [`Desk::join`] brings others.
    /// Waits for either; of `expected` jobs for the first ones, no longer than [`Gather`] has it.
    pub fn next(&self, max: usize, expected: usize) -> Next {
        let mut state = self.lock();
        let waiting = state.jobs.len();
        let mut filling = state.gather.begin(waiting, expected.min(max), Instant::now());
        loop {
            if let Some(command) = state.commands.pop_front() {
                return Next::Command(command);
            }
            if let Some(drain) = &mut state.drain {
                if let Some(drained) = drain.drained.take() {
                    // Who wanted to know may have gone.
                    let _ = drained.send(());
                }
                state = self.wake.wait(state).expect("no holder of this lock panics");
                continue;
            }
            if let Some(configuration) = state.configuration.take() {
                return Next::Configure(configuration);
            }
            let now = Instant::now();
            let waiting = state.jobs.len();
            let has_alone = state.jobs.iter().any(Job::is_alone);
            if state.leading.is_some() && (has_alone || filling.is_due(waiting, now)) {
                let jobs = take_jobs(&mut state, max);
                if !jobs.is_empty() {
                    filling.joined(jobs.len(), now);
                    state.filling = (!has_alone).then_some(filling);
                    return Next::Jobs(jobs);
                }
            } else {
                state = self.wait(state, &filling, now);
            }
        }
    }

    /// The writer thread, with a group open: up to `max` that join it, waited for as [`Desk::next`] does. None: the
    /// group is complete.
    pub fn join(&self, max: usize) -> Vec<Job> {
        let mut state = self.lock();
        let Some(mut filling) = state.filling.take() else {
            return Vec::new();
        };
        loop {
            let now = Instant::now();
            let has_other =
                !state.commands.is_empty() || state.configuration.is_some() || state.drain.is_some();
            if has_other || !state.jobs.iter().all(Job::joins) {
                return Vec::new();
            }
            if max == 0 || filling.is_closed(now) {
                break;
            }
            if filling.is_due(state.jobs.len(), now) {
                let jobs = take_jobs(&mut state, max);
                if !jobs.is_empty() {
                    filling.joined(jobs.len(), now);
                    state.filling = Some(filling);
                    return jobs;
                }
            } else if filling.waits_until(now).is_some() {
                state = self.wait(state, &filling, now);
            } else {
                break;
            }
        }
        state.gather.learn(&filling);
        Vec::new()
    }

    /// Until something comes, or enough of a group.
    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        filling: &Filling,
        now: Instant,
    ) -> MutexGuard<'a, State> {
        state.wanted = filling.wanted(now);
        match filling.waits_until(now) {
            Some(until) => self
                .wake
                .wait_timeout(state, until - now)
                .map(|woken| woken.0)
                .ok(),
            None => self.wake.wait(state).ok(),
        }
        .expect("no holder of this lock panics")
    }

    /// The writer thread, when nothing can be executed: all that wait.
    pub fn take_all(&self) -> Vec<Job> {
        let mut state = self.lock();
        let mut jobs = Vec::new();
        while !state.jobs.is_empty() {
            jobs.extend(take_jobs(&mut state, JOBS_MAX));
        }
        jobs
    }

    /// The writer thread, while a group is in flight: commands only.
    pub fn next_command(&self) -> Command {
        let mut state = self.lock();
        loop {
            if let Some(command) = state.commands.pop_front() {
                return command;
            }
            state = self.wake.wait(state).expect("no holder of this lock panics");
        }
    }

    /// The writer thread: from now on this transaction's steps are taken in.
    pub fn hold(&self, transaction: u64) {
        let mut state = self.lock();
        state.holder = Some(transaction);
        state.step = None;
    }

    /// The writer thread: the transaction is over; a step under way is dropped.
    pub fn release(&self) {
        let mut state = self.lock();
        state.holder = None;
        state.step = None;
    }

    /// The writer thread, for the transaction that holds it: a step, a command that ends its reign, or silence.
    pub fn next_step(&self, deadline: Option<Instant>) -> NextStep {
        let mut state = self.lock();
        loop {
            if let Some(command) = state.commands.pop_front() {
                return NextStep::Command(command);
            }
            if let Some(step) = state.step.take() {
                return NextStep::Step(step);
            }
            let now = Instant::now();
            let drained_at = state.drain.as_ref().map(|drain| drain.deadline);
            if drained_at.is_some_and(|drained_at| drained_at <= now) {
                return NextStep::Drained;
            }
            let wakes_at = deadline.into_iter().chain(drained_at).min();
            state = match wakes_at {
                None => self.wake.wait(state).expect("no holder of this lock panics"),
                Some(wakes_at) if wakes_at <= now => return NextStep::Silence,
                Some(wakes_at) => {
                    self.wake
                        .wait_timeout(state, wakes_at - now)
                        .expect("no holder of this lock panics")
                        .0
                }
            };
        }
    }

    /// The writer thread: the holder ends, and this is why.
    pub fn end_holder(&self, why: SqlError) {
        let mut state = self.lock();
        if let Some(holder) = state.holder {
            state.ended.insert(holder, why);
        }
    }

    /// Why a transaction no longer holds the writer, when it was ended without asking.
    pub fn why_ended(&self, transaction: u64) -> Option<SqlError> {
        self.lock().ended.get(&transaction).cloned()
    }

    /// The client of that transaction has gone on.
    pub fn forget_ended(&self, transaction: u64) {
        self.lock().ended.remove(&transaction);
    }
}

impl Job {
    /// Whether it shares its group with no other: an interactive transaction, VACUUM.
    fn is_alone(&self) -> bool {
        match &self.work {
            Work::Open { .. } => true,
            Work::Autocommit { transaction, .. } => is_vacuum(transaction),
            Work::EndSession { .. } | Work::Outcome { .. } => false,
        }
    }

    /// Whether it may be executed in a group that is open already. Outcomes are not told of what is not committed.
    fn joins(&self) -> bool {
        !self.is_alone() && !matches!(self.work, Work::Outcome { .. })
    }
}

/// Told where there is no space for what a client wants written.
pub(crate) fn no_space() -> SqlError {
    SqlError::new(
        ErrorKind::DiskFull,
        "could not write to the replication log: no space left on device",
    )
    .with_detail("The disk of the leader is full, or those of so many replicas that no quorum is left.")
    .with_hint("Free space on the nodes named by \"bellwether status\"; reads go on, and writes will then.")
}

/// VACUUM is a record of its own.
pub(crate) fn is_vacuum(transaction: &ClientTransaction) -> bool {
    match transaction.statements.as_slice() {
        [only] => is_word(&only.sql, "VACUUM"),
        _ => false,
    }
}

/// Whether a statement begins so; comments before it are no hindrance.
fn is_word(sql: &str, word: &str) -> bool {
    lexer::significant(sql)
        .next()
        .is_some_and(|token| token.is_word(word))
}

/// Up to `max` from the front; what shares its group with nobody only first and alone.
fn take_jobs(state: &mut State, max: usize) -> Vec<Job> {
    let mut jobs = Vec::new();
    while jobs.len() < max {
        let alone = state.jobs.front().is_some_and(Job::is_alone);
        if alone && !jobs.is_empty() {
            break;
        }
        let Some(job) = state.jobs.pop_front() else { break };
        if job.claim() {
            jobs.push(job);
        } else {
            job.cancelled();
        }
        if alone && !jobs.is_empty() {
            break;
        }
    }
    jobs
}

/// What the writer thread does next.
pub(crate) enum Next {
    Command(Command),
    /// The group is to be this.
    Configure(Configuration),
    Jobs(Vec<Job>),
}

/// What the writer thread does next for an open transaction.
pub(crate) enum NextStep {
    Command(Command),
    Step(Step),
    Silence,
    /// Leadership is handed over, and it has had its time.
    Drained,
}
