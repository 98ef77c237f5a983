//! Opens what a replica has on disk, repairs it, and starts its threads.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use bellwether_http::Metrics;
use bellwether_log::{Log, OsDisk, ReadError, Salvage};
use bellwether_node::{Event, Recovered, Replica};
use bellwether_session::settings::ClusterValues;
use bellwether_storage::recovery::{RecoveryError, repair_ahead, set_aside};
use bellwether_storage::{Extended, Files, OpenError, Spill, StorageError, Vfs, Writer};
use bellwether_types::disk::Disk;
use bellwether_types::{
    Configuration, DatabaseId, Entry, HardState, HybridClock, NodeId, Payload, Position, Term, Timestamp,
};
use tokio::sync::watch;

use super::checkpoints::{self, Checkpoints};
use super::desk::Desk;
use super::drive::Drive;
use super::driver::{Driver, TICK};
use super::pulse::Pulse;
use super::retention::Retention;
use super::scrub::Scrubber;
use super::snapshots::{Fetcher, Source, Staged, Wanted};
use super::writer::WriterThread;
use super::{Acknowledger, Content, Group, Lost, Published, Readers, Reign, ReplicaHandle, unix_ms};
use crate::config::Config;
use crate::extension::EXTENSION;
use crate::identity::Identity;
use crate::peer::{Caller, Links};
use crate::promotion::Branch;
use crate::stop::Stop;

/// A replica cannot be started.
#[derive(Debug)]
pub(crate) enum StartError {
    Directory {
        path: std::path::PathBuf,
        error: std::io::Error,
    },
    Log(bellwether_log::OpenError),
    ReadLog(ReadError),
    ResetLog(bellwether_log::WriteError),
    Recovery(RecoveryError),
    Sqlite(OpenError),
    Configuration(StorageError),
}

impl StartError {
    /// Whether SQLite's file is: what it had is in the log, or at the other nodes.
    fn is_damage_of_database(&self) -> bool {
        match self {
            StartError::Recovery(error) => error.is_damage(),
            StartError::Sqlite(error) => error.is_damage(),
            StartError::Configuration(error) => error.is_damage(),
            _ => false,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Directory { path, error } => write!(f, "{}: {error}", path.display()),
            StartError::Log(error) => write!(f, "{error}"),
            StartError::ReadLog(error) => write!(f, "{error}"),
            StartError::ResetLog(error) => write!(f, "{error}"),
            StartError::Recovery(error) => write!(f, "{error}"),
            StartError::Sqlite(error) => write!(f, "{error}"),
            StartError::Configuration(error) => write!(f, "{error}"),
        }
    }
}

/// Entries read from the log at a time.
const PART_BYTES: usize = 64 << 20;

/// What both ends of the disk hold, repaired: SQLite's position is within the log.
pub(crate) struct OnDisk {
    log: Log,
    recovered: Recovered,
    writer: Writer,
    files: Files,
}

/// Repairs SQLite's file, so that its position is within the log, and opens it; with the group as stored in it.
fn open_database(
    database: DatabaseId,
    files: &Files,
    log: &mut Log,
    in_log: &mut bellwether_log::Recovered,
) -> Result<(Writer, Option<Configuration>), StartError> {
    let known =
        |position: Position| position == log.base() || log.term_at(position.index) == Some(position.term);
    match repair_ahead(files, known) {
        Ok(recovery) => {
            if recovery.wal_given_up {
                tracing::info!(%database, position = %recovery.position, "SQLite's WAL was given up: the log goes on from there");
            }
            if recovery.commits_cut > 0 {
                tracing::warn!(%database, commits = recovery.commits_cut, "SQLite was ahead of the log: cut back");
            }
        }
        // A snapshot was installed, and the crash came before the log was reset: it has replaced what the log says.
        Err(RecoveryError::CheckpointBeyondLog { position, .. }) => {
            tracing::warn!(%database, %position, "the log starts anew after an installed snapshot");
            log.reset(position).map_err(StartError::ResetLog)?;
            in_log.base = position;
            in_log.last = position;
            in_log.terms.clear();
            in_log.configurations.clear();
            in_log.hard_state.commit = position.index;
        }
        Err(error) => return Err(StartError::Recovery(error)),
    }
    let writer = Writer::open(files).map_err(StartError::Sqlite)?;
    let configuration = writer.configuration().map_err(StartError::Configuration)?;
    Ok((writer, configuration))
}

/// Opens the log; one with rot in it only when it has lost nothing but what SQLite holds.
fn open_log(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    identity: bellwether_log::Identity,
    files: &Files,
) -> Result<(Log, bellwether_log::Recovered), bellwether_log::OpenError> {
    let open = || Log::open(Arc::clone(disk), dir, identity);
    let opened = open();
    if !opened
        .as_ref()
        .is_err_and(bellwether_log::OpenError::is_corruption)
    {
        return opened;
    }
    let salvage = Salvage::of(&**disk, dir, identity)?;
    let database = identity.database;
    let held = match repair_ahead(files, |position| salvage.allows(position)) {
        Ok(recovery) => recovery.position,
        Err(error) => {
            tracing::error!(%database, %error, "the log is corrupt, and SQLite holds nothing in its place");
            Position::ZERO
        }
    };
    let found = salvage.found().to_string();
    salvage.finish(&**disk, held)?;
    tracing::error!(%database, %held, found, "the log was corrupt: mended, for SQLite holds what was lost");
    open()
}

fn open(own: &Identity, database: DatabaseId, dir: &Path) -> Result<OnDisk, StartError> {
    let spill = dir.join("spill");
    for path in [dir, &spill] {
        let failed = |error| StartError::Directory {
            path: path.to_owned(),
            error,
        };
        std::fs::create_dir_all(path).map_err(failed)?;
    }
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let identity = bellwether_log::Identity {
        cluster: own.cluster,
        node: own.node,
        database,
    };
    let files = Files {
        path: dir.join("data.sqlite"),
        vfs: Vfs::Os,
        spill: Spill::Directory(spill),
        extended: Extended::by(&EXTENSION),
        damage: Default::default(),
    };
    let opened = open_log(&disk, &dir.join("log"), identity, &files);
    let (mut log, mut in_log) = opened.map_err(StartError::Log)?;
    let opened = open_database(database, &files, &mut log, &mut in_log);
    let (writer, configuration) = match opened {
        Err(error) if error.is_damage_of_database() => {
            tracing::error!(%database, %error, "damaged: set aside, this replica begins anew");
            set_aside(&files).map_err(StartError::Recovery)?;
            open_database(database, &files, &mut log, &mut in_log)?
        }
        opened => opened?,
    };
    let applied = writer.position();
    let settled = in_log.hard_state.commit.max(applied.index).max(in_log.base.index);
    let parts = log
        .reader()
        .parts(settled.next(), in_log.last.index.next(), PART_BYTES)
        .collect();
    let parts: Vec<Vec<Entry>> = Result::map_err(parts, StartError::ReadLog)?;
    let tail = parts.into_iter().flatten().collect();
    let recovered = Recovered {
        log: bellwether_node::RecoveredLog {
            founding: own.founding.clone(),
            configuration,
            configurations: in_log.configurations,
            hard_state: in_log.hard_state,
            base: in_log.base,
            last: in_log.last.index,
            terms: in_log.terms,
            tail,
        },
        applied,
    };
    Ok(OnDisk {
        log,
        recovered,
        writer,
        files,
    })
}

impl OnDisk {
    /// As a start does it.
    pub fn open(own: &Identity, database: DatabaseId, data_dir: &Path) -> Result<OnDisk, StartError> {
        open(own, database, &replica_dir(data_dir, database))
    }

    pub fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    /// The last entry of the log.
    pub fn last(&self) -> Position {
        self.log.last()
    }

    /// The group as the log has it, committed or not.
    pub fn group(&self, own: &Identity) -> Configuration {
        let recovered = &self.recovered.log;
        let in_log = recovered.configurations.last().map(|(_, group)| group);
        let known = in_log.or(recovered.configuration.as_ref());
        known.unwrap_or(&own.founding).clone()
    }

    /// The log, as far as another one's entries are to be compared with it.
    pub fn branch(&self) -> Branch {
        let log = &self.recovered.log;
        Branch {
            base: log.base.index.0,
            last: self.log.last().index.0,
            terms: log.terms.iter().map(|(index, term)| (index.0, term.0)).collect(),
        }
    }

    /// The time of the last record of the log, applied or not.
    pub fn last_record(&self) -> Result<Timestamp, String> {
        let mut latest = self.writer.timestamp();
        let mut log = self.log.reader();
        let end = self.log.last().index.next();
        let from = self.recovered.applied.index.next().max(self.log.first());
        for part in log.parts(from, end, PART_BYTES) {
            for entry in part.map_err(|error| error.to_string())? {
                if let Ok(payload) = Payload::from_bytes(&entry.payload) {
                    latest = latest.max(payload.timestamp().unwrap_or_default());
                }
            }
        }
        Ok(latest)
    }

    /// Everything in the log is committed, and then a record that makes this node the group. Durable when this returns.
    pub fn go_on_alone(&mut self, node: NodeId) -> Result<(), String> {
        let last = self.log.last();
        let hard_state = self.log.hard_state();
        let position = Position {
            term: Term(hard_state.term.0.max(last.term.0) + 1),
            index: last.index.next(),
        };
        let timestamp = {
            let mut clock = HybridClock::default();
            clock.observe(self.last_record()?);
            clock.tick(unix_ms())
        };
        let payload = Payload::Configure {
            position,
            timestamp,
            origin: node,
            configuration: Configuration::of_voters([node]),
        };
        let entry = Entry {
            position,
            payload: payload.to_bytes(),
        };
        let failed = |error: bellwether_log::WriteError| error.to_string();
        self.log.append(&[entry]).map_err(failed)?;
        let alone = HardState {
            term: position.term,
            vote: Some(node),
            commit: position.index,
        };
        self.log.set_hard_state(alone).map_err(failed)?;
        self.log.sync().map_err(failed)
    }
}

/// Where a node keeps a database.
fn replica_dir(data_dir: &Path, database: DatabaseId) -> PathBuf {
    data_dir.join("databases").join(database.to_string())
}

/// What the replicas of a node share.
pub(crate) struct Shared<'a> {
    pub config: &'a Config,
    pub identity: &'a Identity,
    pub caller: &'a Arc<Caller>,
    pub links: &'a Arc<Links>,
    pub metrics: &'a Arc<Metrics>,
    pub stop: &'a Arc<Stop>,
    /// What holds for the whole cluster.
    pub cluster: watch::Receiver<ClusterValues>,
}

/// Opens the replica and starts its threads.
pub(crate) fn start(
    shared: &Shared<'_>,
    database: DatabaseId,
    name: &'static str,
) -> Result<Arc<ReplicaHandle>, StartError> {
    let dir = replica_dir(&shared.config.data_dir, database);
    let on_disk = open(shared.identity, database, &dir)?;
    let checkpoints = Checkpoints::open(&on_disk.files).map_err(StartError::Sqlite)?;
    tracing::info!(database = name, last = %on_disk.log.last(), applied = %on_disk.writer.position(), "opened");
    let is_behind = on_disk.recovered.applied.index < on_disk.recovered.log.base.index;
    let (desk, log_reader) = (Desk::new(), on_disk.log.reader());
    let published = Arc::new(Published::new(content_of(&on_disk.writer)));
    let (snapshots, wanted) = tokio::sync::mpsc::channel(1);
    let lost = Lost::of(&dir);
    let acknowledger = acknowledger(shared, database, name);
    let replica = Replica::new(shared.identity.node, on_disk.recovered);
    let (begun, pulse) = (Instant::now(), Arc::<Pulse>::default());
    let driver = Driver {
        name,
        database,
        group: watch::Sender::new(Group::of(&replica)),
        replica,
        log: on_disk.log,
        retention: Retention::new(shared.config.log_keep_bytes, shared.config.log_keep_for),
        cut_through: None,
        desk: Arc::clone(&desk),
        links: Arc::clone(shared.links),
        snapshots,
        published: Arc::clone(&published),
        pulse: Arc::clone(&pulse),
        acknowledger: Arc::clone(&acknowledger),
        standby_lag: Default::default(),
        lost: lost.clone(),
        damage: on_disk.files.damage.clone(),
        reign: watch::Sender::new(Reign::unknown()),
        metrics: Arc::clone(shared.metrics),
        reads: BTreeMap::new(),
        next_read: 0,
        confirming: None,
        unsynced: Vec::new(),
        full_since: None,
        is_full: false,
        installing: false,
        start: begun,
        next_tick: begun + TICK,
        announcement: None,
    };
    let handle = Arc::new(ReplicaHandle {
        database,
        name,
        desk,
        readers: Readers::new(on_disk.files.clone()),
        reign: driver.reign.subscribe(),
        group: driver.group.subscribe(),
        published,
        listeners: Arc::default(),
        acknowledger,
        lost,
        log: Mutex::new(log_reader),
        source: Source::default(),
        pulse,
        drive: Drive::new(driver, name, Arc::clone(shared.stop)),
    });
    if is_behind {
        ask_for_snapshot(&handle);
    }
    let sqlite = (on_disk.writer, on_disk.files);
    spawn_threads(shared, &handle, sqlite, checkpoints, wanted);
    Ok(handle)
}

fn acknowledger(shared: &Shared<'_>, database: DatabaseId, name: &'static str) -> Arc<Acknowledger> {
    // Or nobody could change the rule when nobody meets it.
    let cluster = match database {
        DatabaseId::SYSTEM => watch::channel(ClusterValues::default()).1,
        _ => shared.cluster.clone(),
    };
    Acknowledger::new(name, cluster, Arc::clone(shared.metrics))
}

fn content_of(writer: &Writer) -> Content {
    Content {
        position: writer.position(),
        timestamp: writer.timestamp(),
        fingerprint: writer.fingerprint(),
        log_format: writer.log_format(),
    }
}

fn ask_for_snapshot(handle: &ReplicaHandle) {
    tracing::error!(
        database = handle.name,
        "the database file is missing or older than the log: a snapshot is needed"
    );
    // The queue is empty.
    let _ = handle.offer(Event::Damaged);
}

fn spawn_threads(
    shared: &Shared<'_>,
    handle: &Arc<ReplicaHandle>,
    (writer, files): (Writer, Files),
    checkpoints: Arc<Checkpoints>,
    wanted: tokio::sync::mpsc::Receiver<Wanted>,
) {
    let name = handle.name;
    let staged: Staged = Arc::new(Mutex::new(None));
    let writer = WriterThread {
        name,
        node: shared.identity.node,
        writer: Some(writer),
        files: files.clone(),
        staged: Arc::clone(&staged),
        checkpoints: Arc::clone(&checkpoints),
        desk: Arc::clone(&handle.desk),
        drive: Arc::clone(&handle.drive),
        published: Arc::clone(&handle.published),
        listeners: Arc::clone(&handle.listeners),
        acknowledger: Arc::clone(&handle.acknowledger),
        readers: handle.readers.clone(),
        metrics: Arc::clone(shared.metrics),
        stop: Arc::clone(shared.stop),
        clock: HybridClock::default(),
        ended: Vec::new(),
        next: None,
        marks: VecDeque::new(),
        starves: false,
        confirms: 0,
        committed: None,
        expected: 0,
    };
    let drive = Arc::clone(&handle.drive);
    spawn(shared.stop, name, "log", move || drive.keep_time());
    spawn(shared.stop, name, "writer", move || writer.run());
    let fetcher = Fetcher {
        name,
        database: handle.database,
        caller: Arc::clone(shared.caller),
        files: files.clone(),
        staged,
        drive: Arc::clone(&handle.drive),
        published: Arc::clone(&handle.published),
        metrics: Arc::clone(shared.metrics),
        watcher: shared.config.watcher,
    };
    tokio::spawn(fetcher.run(wanted));
    spawn_upkeep(shared, name, files, checkpoints, &handle.drive);
}

/// What keeps a replica sound and its files small.
fn spawn_upkeep(
    shared: &Shared<'_>,
    name: &'static str,
    files: Files,
    checkpoints: Arc<Checkpoints>,
    drive: &Arc<Drive<Driver>>,
) {
    let scrub = Scrubber {
        name,
        files,
        drive: Arc::clone(drive),
        stop: Arc::clone(shared.stop),
    };
    spawn(shared.stop, name, "scrub", move || scrub.run());
    let (drive, stop) = (Arc::clone(drive), Arc::clone(shared.stop));
    spawn(shared.stop, name, "checkpoint", move || {
        checkpoints::run(name, checkpoints, drive, stop)
    });
}

/// A thread of a replica. Without one of them the replica is a shell: a panic stops the node.
pub(super) fn spawn(stop: &Arc<Stop>, name: &str, what: &'static str, body: impl FnOnce() + Send + 'static) {
    let stop = Arc::clone(stop);
    let body = move || {
        if std::panic::catch_unwind(AssertUnwindSafe(body)).is_err() {
            stop.fail(format!(
                "the {what} thread has panicked: this is a mistake of ours"
            ));
        }
    };
    let thread = thread::Builder::new().name(format!("{name} {what}"));
    drop(thread.spawn(body).expect("the system can start a thread"));
}
