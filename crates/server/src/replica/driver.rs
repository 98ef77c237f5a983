//! What owns a replica's machine and its log: the server's half of the driver's contract in `bellwether_node`.
//!
//! The log is written by the thread that drives (see [`super::drive`]). Messages are sent before the fsync, so that
//! leader and followers write at the same time; what arrives meanwhile shares the next fsync. A disk that stalls
//! therefore stalls the machine; for a second [`Pulse`] says its heartbeats, then a leader with a stalled disk is replaced:
//! wanted.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bellwether_http::Metrics;
use bellwether_log::Log;
use bellwether_node::{
    ANNOUNCE_MS, Effect, Event, Fetch, FetchPurpose, Persist, Replica, Role, Step, TICK_MS,
};
use bellwether_storage::Damage;
use bellwether_types::{Configuration, DatabaseId, LogIndex, NodeId, Position};
use tokio::sync::{oneshot, watch};

use super::desk::{Command, Desk};
use super::drive::Driven;
use super::pulse::Pulse;
use super::replication::StandbyPositions;
use super::retention::{Extent, Retention};
use super::standby_lag::StandbyLag;
use super::{Acknowledger, Group, Lost, Published, Reign};
use crate::peer::Links;

pub(crate) const TICK: Duration = Duration::from_millis(TICK_MS);

/// Entries reserved in the log before they are written, whatever else the batch holds: bounds memory, and what is
/// reserved at a time fits a segment.
const RESERVED_MAX_BYTES: usize = 4 << 20;

/// The log says that its disk was so slow.
const SLOW_STEP: Duration = Duration::from_millis(250);

/// A log without room is asked again this often, for this much.
const ROOM_PAUSE: Duration = Duration::from_secs(1);
const ROOM_BYTES: usize = 1 << 20;

/// What the driver takes in.
pub(crate) enum Input {
    Event(Event),
    /// A linearizable read: answered when it may be made here, or with false.
    Read(oneshot::Sender<bool>),
    /// The writer wants to know whether this node leads: answered by [`Command::Confirmed`].
    Confirm(u64),
    /// The writer wants to know when its record is in the log here, on disk or not: told by [`Command::Proposed`], unless
    /// it is not.
    Proposed(Position),
    /// At the leader: who has what, and where that stands.
    Standbys(oneshot::Sender<Vec<StandbyPositions>>),
    /// The group is wanted to be this.
    Want(Configuration),
    /// Who can lead next: this node, or whoever misses least.
    Heir(Option<NodeId>, oneshot::Sender<Option<NodeId>>),
    /// The log goes on in a new segment: how far the ones before it go.
    Roll(oneshot::Sender<LogIndex>),
    /// The checkpointer asks how far it may go.
    Durable(mpsc::SyncSender<Position>),
    Stop,
}

/// Everything that belongs to whoever drives.
pub(crate) struct Driver {
    pub name: &'static str,
    pub database: DatabaseId,
    pub replica: Replica,
    pub log: Log,
    /// What it says is too much goes, once SQLite has it.
    pub retention: Retention,
    /// So far the log is to be cut: a segment with each tick, as hundreds at once would keep heartbeats waiting.
    pub cut_through: Option<LogIndex>,
    pub desk: Arc<Desk>,
    pub links: Arc<Links>,
    pub snapshots: tokio::sync::mpsc::Sender<super::snapshots::Wanted>,
    pub published: Arc<Published>,
    /// Speaks for it while it waits for the disk.
    pub pulse: Arc<Pulse>,
    pub acknowledger: Arc<Acknowledger>,
    pub standby_lag: StandbyLag,
    pub lost: Lost,
    /// Where readers and the writer leave word of a page that is not what was written.
    pub damage: Damage,
    pub reign: watch::Sender<Reign>,
    pub group: watch::Sender<Group>,
    pub metrics: Arc<Metrics>,
    pub reads: BTreeMap<u64, oneshot::Sender<bool>>,
    pub next_read: u64,
    /// The writer's read, which is one at a time.
    pub confirming: Option<(u64, u64)>,
    pub unsynced: Vec<Persist>,
    /// Since when the log has had no room, or when that was last looked at.
    pub full_since: Option<Instant>,
    /// As the desk was told last.
    pub is_full: bool,
    /// A snapshot is being put in place: what would reset the log must wait for it.
    pub installing: bool,
    pub start: Instant,
    pub next_tick: Instant,
    /// When the others are to hear how far the log is committed, unless something is proposed before.
    pub announcement: Option<Instant>,
}

/// The log cannot be written or read.
#[derive(Debug)]
struct LogFailed(String);

impl Driven for Driver {
    type Input = Input;

    fn step(&mut self, batch: Vec<Input>) -> Result<bool, String> {
        let now = Instant::now();
        self.pulse.begin(now);
        let stepped = self.step_at(now, batch);
        self.pulse.end();
        stepped.map_err(|LogFailed(what)| what)
    }

    fn wakes_at(&self) -> Instant {
        self.announcement
            .map_or(self.next_tick, |due| due.min(self.next_tick))
    }
}

impl Driver {
    /// Handles what has arrived and what is due; false once stopped.
    fn step_at(&mut self, now: Instant, mut batch: Vec<Input>) -> Result<bool, LogFailed> {
        if self.announcement.take_if(|due| now >= *due).is_some() {
            batch.push(Input::Event(Event::Announce));
        }
        if now >= self.next_tick {
            // Ticks missed in a pause are not made up for: they would start an election.
            self.next_tick = (self.next_tick + TICK).max(now);
            batch.push(Input::Event(Event::Tick));
            self.cut()?;
            if let Some(fault) = self.damage.take() {
                tracing::error!(database = self.name, %fault, "damaged: this replica is seeded anew");
                batch.push(Input::Event(Event::Damaged));
            }
        }
        let now_ms = now.duration_since(self.start).as_millis() as u64;
        let goes_on = self.handle_batch(batch, now_ms)?;
        let took = now.elapsed();
        if took >= SLOW_STEP {
            tracing::warn!(
                database = self.name,
                ?took,
                "the log's disk is slow: from a second on, others take a leader for dead"
            );
        }
        self.announcement = match self.announcement {
            _ if !self.replica.owes_announcement() => None,
            None => Some(Instant::now() + Duration::from_millis(ANNOUNCE_MS)),
            due => due,
        };
        Ok(goes_on)
    }

    /// False once stopped.
    fn handle_batch(&mut self, batch: Vec<Input>, now_ms: u64) -> Result<bool, LogFailed> {
        for input in batch {
            match input {
                Input::Event(event) => {
                    self.reserve(&event, now_ms)?;
                    self.handle(event, now_ms)?;
                    if self.log.reserved_bytes() > RESERVED_MAX_BYTES {
                        self.persist_all(now_ms)?;
                    }
                }
                Input::Read(reply) => {
                    self.next_read += 1;
                    let ticket = self.next_read;
                    self.reads.insert(ticket, reply);
                    self.handle(Event::ReadIndex { ticket }, now_ms)?;
                }
                Input::Confirm(number) => {
                    self.next_read += 1;
                    let ticket = self.next_read;
                    self.confirming = Some((ticket, number));
                    self.handle(Event::ReadIndex { ticket }, now_ms)?;
                }
                Input::Proposed(at) => {
                    if self.replica.status().last == at {
                        self.desk.command(Command::Proposed);
                    }
                }
                Input::Standbys(reply) => {
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(StandbyPositions::of_all(&self.replica, &self.standby_lag));
                }
                Input::Want(wanted) => match self.replica.next_step(&wanted) {
                    Some(Step::Configure(configuration)) => self.desk.configure(configuration),
                    Some(Step::HandOver(to)) => self.handle(Event::Transfer { to }, now_ms)?,
                    None => {}
                },
                Input::Heir(wanted, reply) => {
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(self.replica.heir(wanted));
                }
                Input::Roll(reply) => {
                    self.log.roll().map_err(|error| LogFailed(error.to_string()))?;
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(self.log.last().index);
                }
                Input::Durable(reply) => {
                    // The checkpointer may have stopped waiting.
                    let _ = reply.try_send(self.replica.settled());
                    self.retain(now_ms)?;
                    let rests = self.unsynced.is_empty() && !self.installing;
                    if rests {
                        let sealed = self.log.seal_if_resting();
                        sealed.map_err(|error| LogFailed(error.to_string()))?;
                    }
                }
                Input::Stop => {
                    self.desk.command(Command::Stop);
                    // So that rot in what was written last is told from a torn write at the next start.
                    self.log.seal().map_err(|error| LogFailed(error.to_string()))?;
                    return Ok(false);
                }
            }
        }
        // Before the disk: some wait for no more.
        self.note_progress();
        self.persist_all(now_ms)?;
        self.publish();
        Ok(true)
    }

    fn persist_all(&mut self, now_ms: u64) -> Result<(), LogFailed> {
        while !self.unsynced.is_empty() && !self.installing {
            let ticket = self.persist()?;
            self.handle(Event::Persisted { ticket }, now_ms)?;
        }
        if self.unsynced.is_empty() {
            // Of entries that were there already, or not taken.
            self.log.release();
        }
        Ok(())
    }

    /// Room for the entries of an event, or word to the machine that there is none.
    fn reserve(&mut self, event: &Event, now_ms: u64) -> Result<(), LogFailed> {
        let reserved = match event {
            Event::Propose { payload, .. } => self.log.reserve([payload.len()]),
            Event::Message(message) if message.needs_room() => {
                let payloads = message.entries.iter().map(|entry| entry.payload.len());
                self.log.reserve(payloads)
            }
            Event::Tick if self.full_since.is_some_and(|since| since.elapsed() >= ROOM_PAUSE) => {
                self.log.reserve([ROOM_BYTES])
            }
            _ => return Ok(()),
        };
        let had_room = self.full_since.is_none();
        let has_room = match reserved {
            Ok(()) => true,
            Err(error) if !error.is_fatal() => {
                if had_room {
                    tracing::error!(database = self.name, "{error}; no entries are taken until then");
                }
                false
            }
            Err(error) => return Err(LogFailed(error.to_string())),
        };
        self.full_since = (!has_room).then(Instant::now);
        if has_room != had_room {
            self.handle(Event::LogRoom { has_room }, now_ms)?;
        }
        Ok(())
    }

    fn handle(&mut self, event: Event, now_ms: u64) -> Result<(), LogFailed> {
        match &event {
            Event::SnapshotInstalled { .. } => self.installing = false,
            Event::Message(message) if Some(message.from) == self.reign.borrow().leader => {
                self.published.set_heard();
            }
            _ => {}
        }
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.replica.handle(event, now_ms) {
                events.extend(self.perform(effect)?);
            }
        }
        Ok(())
    }

    /// Does it, or hands it on; answers at once where it can.
    fn perform(&mut self, effect: Effect) -> Result<Option<Event>, LogFailed> {
        match effect {
            Effect::Persist(persist) => self.unsynced.push(persist),
            Effect::Send(message) => {
                self.pulse.note(&message, Instant::now());
                self.links.send(self.database, &message);
            }
            Effect::Fetch { purpose, fetch } => return self.fetch(purpose, fetch).map(Some),
            Effect::Apply { entries } => self.desk.command(Command::Apply { entries }),
            Effect::Lead { next } => self.desk.command(Command::Lead { next }),
            Effect::NextPayload => self.desk.command(Command::NextPayload),
            Effect::Commit { position, next } => self.desk.command(Command::Commit { position, next }),
            Effect::Follow => self.desk.command(Command::Follow),
            Effect::Refuse => self.desk.command(Command::Refuse),
            Effect::RoleChanged { role, term } => {
                tracing::info!(database = self.name, %term, ?role, "role");
                self.pulse.forget();
                match role {
                    Role::Leader => self.metrics.elections_won.increment(),
                    Role::Candidate => self.metrics.elections_started.increment(),
                    Role::Follower { .. } => {}
                }
            }
            Effect::Configured(configuration) => {
                let Configuration { voters, learners } = &configuration;
                self.pulse.forget();
                tracing::info!(database = self.name, ?voters, ?learners, "the group");
                self.group.send_replace(Group::of(&self.replica));
            }
            Effect::ReadReady { ticket } => self.answer_read(ticket, true),
            Effect::ReadRefused { ticket } => self.answer_read(ticket, false),
            Effect::CutLog { through } => self.cut_through = self.cut_through.max(Some(through)),
            Effect::FetchSnapshot { from, at_least } => {
                tracing::warn!(database = self.name, %from, %at_least, "this replica must be seeded anew");
                let wanted = super::snapshots::Wanted { from, at_least };
                if self.snapshots.try_send(wanted).is_err() {
                    return Ok(Some(Event::SnapshotFailed));
                }
            }
            Effect::InstallSnapshot { position } => {
                self.installing = true;
                self.desk.command(Command::InstallSnapshot { position });
            }
            Effect::Dropped { from, reason } => {
                tracing::warn!(database = self.name, %from, %reason, "dropped a peer's message");
            }
        }
        Ok(None)
    }

    fn answer_read(&mut self, ticket: u64, ready: bool) {
        if let Some((_, number)) = self.confirming.take_if(|(confirming, _)| *confirming == ticket) {
            self.desk.command(Command::Confirmed { number, leads: ready });
        }
        if let Some(reply) = self.reads.remove(&ticket) {
            // A client that left does not mind.
            let _ = reply.send(ready);
        }
    }

    fn fetch(&mut self, purpose: FetchPurpose, fetch: Fetch) -> Result<Event, LogFailed> {
        let first = self.replica.status().base.index.next();
        let entries = if fetch.from < first {
            Vec::new()
        } else {
            let read = self.log.read(fetch.from, fetch.to, fetch.max_bytes);
            read.map_err(|error| LogFailed(error.to_string()))?
        };
        Ok(Event::Fetched { purpose, entries })
    }

    /// Writes everything pending, syncs once; answers the newest ticket.
    fn persist(&mut self) -> Result<u64, LogFailed> {
        let failed = |error: bellwether_log::WriteError| LogFailed(error.to_string());
        let mut newest = 0;
        for persist in std::mem::take(&mut self.unsynced) {
            if let Some(base) = persist.reset {
                // What SQLite held of it is in the image, too, or was never committed.
                let applied = self.published.applied().index;
                self.set_aside(applied.next(), |_| false)?;
                self.log.reset(base).map_err(failed)?;
            }
            if let Some(first) = persist.entries.first() {
                let entries = &persist.entries;
                let stays = |old: Position| {
                    let place = old.index.0 - first.position.index.0;
                    let new = entries.get(usize::try_from(place).unwrap_or(usize::MAX));
                    new.is_some_and(|new| new.position == old)
                };
                self.set_aside(first.position.index, stays)?;
                self.log.append(entries).map_err(failed)?;
            }
            if let Some(hard_state) = persist.hard_state {
                self.log.set_hard_state(hard_state).map_err(failed)?;
            }
            newest = persist.ticket;
        }
        let before = Instant::now();
        self.log.sync().map_err(failed)?;
        self.metrics
            .log_fsync_us
            .observe(before.elapsed().as_micros() as u64);
        Ok(newest)
    }

    /// One more segment of what is to go.
    fn cut(&mut self) -> Result<(), LogFailed> {
        let Some(through) = self.cut_through else {
            return Ok(());
        };
        let cut = self.log.cut_segment(through);
        if !cut.map_err(|error| LogFailed(error.to_string()))? {
            self.cut_through = None;
        }
        Ok(())
    }

    /// What the log loses from there on, when clients were answered for it.
    fn set_aside(&mut self, from: LogIndex, stays: impl Fn(Position) -> bool) -> Result<(), LogFailed> {
        if from > self.log.last().index {
            return Ok(());
        }
        let kept = self.lost.keep(&self.log, from, stays).map_err(LogFailed)?;
        if kept {
            tracing::error!(database = self.name, %from, "answered transactions are lost: another leader's log goes on without them");
        }
        Ok(())
    }

    /// Asks for a cut when the log is more than is wanted.
    fn retain(&mut self, now_ms: u64) -> Result<(), LogFailed> {
        let log = Extent {
            first: self.log.first(),
            last: self.log.last().index,
            size_bytes: self.log.size_bytes(),
        };
        match self.retention.first_wanted(Instant::now(), log) {
            Some(from) => self.handle(Event::Retain { from }, now_ms),
            None => Ok(()),
        }
    }

    fn note_progress(&mut self) {
        let (replica, lag) = (&self.replica, &mut self.standby_lag);
        self.acknowledger.update(|progress| {
            let has_changed = replica.note_progress(progress);
            if has_changed {
                lag.note(progress, Instant::now());
            }
            has_changed
        });
    }

    fn publish(&mut self) {
        self.note_progress();
        let status = self.replica.status();
        let leader = match status.role {
            Role::Leader => Some(self.links.node()),
            Role::Follower { leader } => leader,
            Role::Candidate => None,
        };
        let now = Reign {
            role: status.role,
            term: status.term,
            leader,
            leading: status.leading,
            is_full: status.is_full,
            seeding: status.seeding,
        };
        self.reign.send_if_modified(|reign| {
            let changed = *reign != now;
            *reign = now;
            changed
        });
        if status.leading {
            self.published.set_heard();
        }
        if status.applied >= status.known_commit {
            self.published.set_caught_up();
        }
        if status.is_full != self.is_full {
            self.is_full = status.is_full;
            self.desk.set_full(status.is_full);
        }
        self.published.set_status(status, self.replica.settled());
        self.published
            .log_bytes
            .store(self.log.size_bytes(), Ordering::Relaxed);
    }
}
