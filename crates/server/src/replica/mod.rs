//! One database's replica on this node: the machine's driver, the writer, checkpoints, readers.

mod acknowledge;
mod checkpoints;
pub(crate) mod desk;
mod drive;
mod driver;
mod flight;
mod gather;
mod inbox;
mod interactive;
mod lease;
mod listeners;
mod lost;
pub(crate) mod pulse;
mod readers;
mod replication;
mod retention;
mod scrub;
mod snapshots;
mod standby_lag;
mod start;
mod transaction;
mod verify;
mod writer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bellwether_node::{Event, Message, Role, Status};
use bellwether_storage::SafetyCounts;
use bellwether_types::{
    Configuration, DatabaseId, ErrorKind, Fingerprint, LogFormat, NodeId, Position, SqlError, Term, Timestamp,
};
use tokio::sync::{oneshot, watch};

pub(crate) use acknowledge::{Acknowledger, how_to_ask};
pub(crate) use desk::{
    Answered, Attempt, Desk, Done, Finished, Opening, Piece, Refusal, SavepointAction, Step,
};
pub(crate) use listeners::{Listener, Listeners, Overflow};
pub(crate) use lost::{Lost, LostEntries, Which};
pub(crate) use readers::{PooledReader, Readers};
pub(crate) use snapshots::serve_snapshot;
pub use snapshots::{Seeding, Watcher};
pub(crate) use start::{OnDisk, Shared, StartError, start};
pub(crate) use transaction::{Canceller, Fate, OpenTransaction, ReadAtLeader, leader_lost, unreadable};
pub(crate) use writer::FORGET_AFTER;

use crate::stop::Stop;

/// Who leads, as this replica knows; changes wake waiters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reign {
    pub role: Role,
    pub term: Term,
    pub leader: Option<NodeId>,
    /// This node leads and its writer takes transactions.
    pub leading: bool,
    /// This node leads, and refuses transactions for want of space.
    pub is_full: bool,
    /// Damaged, or being replaced by a snapshot: nothing is read here.
    pub seeding: bool,
}

impl Reign {
    /// Whether another node leads.
    pub fn follows(&self) -> bool {
        matches!(self.role, Role::Follower { leader: Some(_) })
    }

    /// Before anything was heard.
    fn unknown() -> Reign {
        Reign {
            role: Role::Follower { leader: None },
            term: Term(0),
            leader: None,
            leading: false,
            is_full: false,
            seeding: false,
        }
    }
}

/// Who is in its group, as this replica knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub configuration: Configuration,
    /// A record says so.
    pub is_recorded: bool,
}

impl Group {
    fn of(replica: &bellwether_node::Replica) -> Group {
        Group {
            configuration: replica.configuration().clone(),
            is_recorded: replica.is_recorded(),
        }
    }
}

/// A replica as the rest of the server sees it.
pub(crate) struct ReplicaHandle {
    pub database: DatabaseId,
    pub name: &'static str,
    pub desk: Arc<Desk>,
    pub readers: Readers,
    pub reign: watch::Receiver<Reign>,
    pub group: watch::Receiver<Group>,
    pub published: Arc<Published>,
    pub listeners: Arc<Listeners>,
    pub acknowledger: Arc<Acknowledger>,
    /// Of clients that were answered early.
    pub lost: Lost,
    /// Reads what is on its disk; cloned by whoever wants to.
    log: Mutex<bellwether_log::LogReader>,
    /// Where other nodes get images of it.
    pub source: snapshots::Source,
    pulse: Arc<pulse::Pulse>,
    drive: Arc<drive::Drive<driver::Driver>>,
}

/// Numbers that the replica's threads publish and everyone reads.
pub(crate) struct Published {
    /// The last record whose COMMIT has returned.
    applied: watch::Sender<Position>,
    /// The last record whose COMMIT may have become visible: at or after `applied`.
    visible: AtomicU64,
    /// Of the writer, at `applied`.
    content: Mutex<Content>,
    status: Mutex<Option<Status>>,
    /// Bytes of log on disk.
    pub log_bytes: AtomicU64,
    /// The last position committed and durable in this node's log.
    settled: AtomicU64,
    /// When the leader was last heard of, by the process's clock in milliseconds.
    heard_ms: AtomicU64,
    /// When it was last heard of while everything known to be committed was applied; 0: not since the start.
    caught_up_ms: AtomicU64,
    /// Of the image that arrives, or arrived last.
    pub seeding: snapshots::Progress,
    /// In what the log is written.
    log_format: watch::Sender<LogFormat>,
    /// How statements were written to it.
    safety: Mutex<SafetyCounts>,
}

/// What the applied content is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Content {
    pub position: Position,
    pub timestamp: Timestamp,
    pub fingerprint: Fingerprint,
    pub log_format: LogFormat,
}

impl Published {
    pub fn new(content: Content) -> Published {
        Published {
            applied: watch::Sender::new(content.position),
            visible: AtomicU64::new(content.position.to_lsn()),
            log_format: watch::Sender::new(content.log_format),
            safety: Mutex::default(),
            content: Mutex::new(content),
            status: Mutex::new(None),
            log_bytes: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            heard_ms: AtomicU64::new(0),
            caught_up_ms: AtomicU64::new(0),
            seeding: snapshots::Progress::default(),
        }
    }

    /// Before a COMMIT: readers may see this position from now on.
    pub fn set_visible(&self, position: Position) {
        self.visible.store(position.to_lsn(), Ordering::Release);
    }

    /// After a COMMIT.
    pub fn set_applied(&self, content: Content) {
        *self.content.lock().expect("no holder of this lock panics") = content;
        self.visible.store(content.position.to_lsn(), Ordering::Release);
        self.log_format.send_if_modified(|format| {
            let has_changed = *format != content.log_format;
            *format = content.log_format;
            has_changed
        });
        self.applied.send_replace(content.position);
    }

    /// In what the log is written, as far as it is applied here.
    pub fn log_format(&self) -> watch::Receiver<LogFormat> {
        self.log_format.subscribe()
    }

    pub fn set_safety(&self, counts: SafetyCounts) {
        *self.safety.lock().expect("no holder of this lock panics") = counts;
    }

    pub fn safety(&self) -> SafetyCounts {
        self.safety.lock().expect("no holder of this lock panics").clone()
    }

    /// The last position committed and durable in this node's log.
    pub fn settled(&self) -> Position {
        Position::from_lsn(self.settled.load(Ordering::Acquire))
    }

    pub fn set_status(&self, status: Status, settled: Position) {
        self.settled.store(settled.to_lsn(), Ordering::Release);
        *self.status.lock().expect("no holder of this lock panics") = Some(status);
    }

    /// The leader was heard of now.
    pub fn set_heard(&self) {
        self.heard_ms.store(unix_ms(), Ordering::Relaxed);
    }

    /// Nothing was missing when the leader was last heard of.
    pub fn set_caught_up(&self) {
        let heard_ms = self.heard_ms.load(Ordering::Relaxed);
        self.caught_up_ms.store(heard_ms, Ordering::Relaxed);
    }

    pub fn status(&self) -> Option<Status> {
        *self.status.lock().expect("no holder of this lock panics")
    }

    pub fn content(&self) -> Content {
        *self.content.lock().expect("no holder of this lock panics")
    }

    pub fn applied(&self) -> Position {
        *self.applied.borrow()
    }

    /// At or after whatever a read that has already begun can have seen.
    pub fn visible(&self) -> Position {
        Position::from_lsn(self.visible.load(Ordering::Acquire))
    }
}

impl ReplicaHandle {
    /// Gives the machine an event; false when its queue is full or it has stopped.
    pub fn offer(&self, event: Event) -> bool {
        self.drive.offer(driver::Input::Event(event))
    }

    /// Leaves it what a peer says, until [`ReplicaHandle::drive`] or the log thread's next tick; false as in
    /// [`ReplicaHandle::offer`].
    pub fn leave(&self, message: Message) -> bool {
        self.drive.leave(driver::Input::Event(Event::Message(message)))
    }

    /// Has it handle what was left to it, on a thread that may wait for the log's disk.
    pub fn drive(&self) {
        self.drive.drive();
    }

    /// At the leader: the next step towards this group, if there is one to be taken now.
    pub fn step_towards(&self, wanted: Configuration) {
        // When its queue is full it is told the next time.
        let _ = self.drive.offer(driver::Input::Want(wanted));
    }

    /// At the leader: lets another node lead, `to` or whoever misses least. First what has the writer may end, for as long as
    /// `drain`; what comes meanwhile waits, and is sent to the next leader. Who leads then.
    pub async fn hand_over(&self, to: Option<NodeId>, drain: Duration) -> Result<NodeId, SqlError> {
        let (reply, heir) = oneshot::channel();
        let is_asked = self.drive.offer(driver::Input::Heir(to, reply));
        let heir = match is_asked {
            true => heir.await.ok().flatten(),
            false => None,
        };
        let term = self.reign.borrow().term;
        let Some(heir) = heir else {
            return Err(no_heir(self.name, to));
        };
        let drained = self.desk.drain(Instant::now() + drain);
        // What does not end in time is executed again by the next leader.
        let _ = tokio::time::timeout(drain + DRAIN_MARGIN, drained).await;
        let begun = Instant::now();
        self.offer(Event::Transfer { to: heir });
        let mut reign = self.reign.clone();
        let next = reign.wait_for(|reign| reign.term > term && reign.leader.is_some());
        match tokio::time::timeout(HAND_OVER_WITHIN, next).await {
            Ok(Ok(reign)) => {
                let leader = reign.leader.expect("just seen");
                tracing::info!(database = self.name, %leader, took = ?begun.elapsed(), "handed over");
                Ok(leader)
            }
            _ => {
                self.desk.end_drain();
                let message = format!("node {heir} did not take over the database {}", self.name);
                Err(SqlError::new(ErrorKind::NoLeader, message)
                    .with_hint("Nothing has changed. See \"bellwether status\", and try again."))
            }
        }
    }

    pub fn stop(&self) {
        // A full queue drains; a closed one has stopped already.
        let _ = self
            .drive
            .send_within(driver::Input::Stop, Duration::from_secs(5));
    }

    /// True once this replica has applied everything that was committed when this was called, cluster-wide.
    pub async fn confirm_read(&self) -> bool {
        let (reply, confirmed) = oneshot::channel();
        if !self.drive.offer(driver::Input::Read(reply)) {
            return false;
        }
        confirmed.await.unwrap_or(false)
    }

    /// True once `position` is applied here; false after `timeout`.
    pub async fn wait_applied(&self, position: Position, timeout: Duration) -> bool {
        // One of a later reign is behind all that was committed before; what was not never comes.
        if self.published.applied() >= position {
            return true;
        }
        let mut applied = self.published.applied.subscribe();
        let reached = applied.wait_for(|applied| *applied >= position);
        matches!(tokio::time::timeout(timeout, reached).await, Ok(Ok(_)))
    }

    /// Resolves once another reign than `term` has a leader: whoever led then will not be heard of again, frozen or
    /// cut off as it may be.
    pub async fn superseded(&self, term: Term) {
        let mut reign = self.reign.clone();
        let later = reign.wait_for(|reign| reign.term > term && reign.leader.is_some());
        if later.await.is_err() {
            // The replica has stopped; so will whoever waits here.
            std::future::pending::<()>().await;
        }
    }

    /// The leader and its reign, once one is known (and, at the leader itself, ready); `None` after `timeout`.
    pub async fn wait_leader(&self, timeout: Duration) -> Option<(NodeId, Term)> {
        let mut reign = self.reign.clone();
        let known = reign.wait_for(|reign| {
            reign.leader.is_some() && (reign.role != Role::Leader || reign.leading || reign.is_full)
        });
        match tokio::time::timeout(timeout, known).await {
            Ok(Ok(reign)) => reign.leader.map(|leader| (leader, reign.term)),
            _ => None,
        }
    }
}

/// After its time a transaction that holds the writer is ended within this.
const DRAIN_MARGIN: Duration = Duration::from_secs(1);

/// An heir that misses nothing leads within milliseconds; Raft gives it an election timeout.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(2);

fn no_heir(database: &str, to: Option<NodeId>) -> SqlError {
    let message = match to {
        Some(node) => format!("node {node} cannot lead the database {database}"),
        None => format!("no other node can lead the database {database}"),
    };
    SqlError::new(ErrorKind::WrongState, message)
        .with_detail("Who is to lead must have a vote, be there, and miss next to nothing.")
        .with_hint("See \"bellwether node list\".")
}

/// How far a replica is behind its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lag {
    /// Known committed and not applied.
    pub records: u64,
    /// Their share of the log, if they are of its mean size.
    pub bytes: u64,
    /// Everything committed so long ago is applied: the time since the leader was last heard of with nothing missing.
    pub ms: u64,
}

impl ReplicaHandle {
    /// `None` without a leader: then nobody knows.
    pub fn lag(&self, status: &Status) -> Option<Lag> {
        let reign = *self.reign.borrow();
        reign.leader?;
        if reign.leading {
            return Some(Lag {
                records: 0,
                bytes: 0,
                ms: 0,
            });
        }
        let records = status.known_commit.0.saturating_sub(status.applied.0);
        let kept = status.last.index.0.saturating_sub(status.base.index.0).max(1);
        let log_bytes = self.published.log_bytes.load(Ordering::Relaxed);
        let bytes = (u128::from(log_bytes) * u128::from(records) / u128::from(kept)) as u64;
        let since = match self.published.caught_up_ms.load(Ordering::Relaxed) {
            0 => self.published.content().timestamp.unix_ms(),
            caught_up_ms => caught_up_ms,
        };
        Some(Lag {
            records,
            bytes,
            ms: unix_ms().saturating_sub(since),
        })
    }
}

/// The wall clock.
pub(crate) fn unix_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_millis() as u64
}

/// A replica's thread met what it cannot go on from: the process must stop.
pub(crate) fn fatal(stop: &Stop, database: &str, what: impl std::fmt::Display) {
    tracing::error!(database, "{what}");
    stop.fail(format!("database {database}: {what}"));
}
