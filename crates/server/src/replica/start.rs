//! Opens what a replica has on disk, repairs it, and starts its threads.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use bellwether_http::Metrics;
use bellwether_log::{Identity, Log, OsDisk, ReadError};
use bellwether_node::{Event, Recovered, Replica};
use bellwether_storage::recovery::{RecoveryError, repair_ahead, set_aside};
use bellwether_storage::{Extended, Files, OpenError, Spill, Vfs, Writer};
use bellwether_types::disk::Disk;
use bellwether_types::{DatabaseId, HybridClock, Position, Timestamp};
use tokio::sync::watch;

use super::checkpoints::{self, Checkpoints};
use super::desk::Desk;
use super::drive::Drive;
use super::driver::{Driver, TICK};
use super::scrub::Scrubber;
use super::snapshots::{Fetcher, Staged, Wanted};
use super::writer::WriterThread;
use super::{Content, Published, Readers, Reign, ReplicaHandle};
use crate::config::Config;
use crate::extension::EXTENSION;
use crate::peer::Links;
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
}

impl StartError {
    /// Whether SQLite's file is: what it had is in the log, or at the other nodes.
    fn is_damage_of_database(&self) -> bool {
        match self {
            StartError::Recovery(error) => error.is_damage(),
            StartError::Sqlite(error) => error.is_damage(),
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
        }
    }
}

/// What both ends of the disk hold, repaired: SQLite's position is within the log.
struct OnDisk {
    log: Log,
    recovered: Recovered,
    writer: Writer,
    files: Files,
}

/// Repairs SQLite's file, so that its position is within the log, and opens it.
fn open_database(
    database: DatabaseId,
    files: &Files,
    log: &mut Log,
    in_log: &mut bellwether_log::Recovered,
) -> Result<Writer, StartError> {
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
            in_log.hard_state.commit = position.index;
        }
        Err(error) => return Err(StartError::Recovery(error)),
    }
    Writer::open(files).map_err(StartError::Sqlite)
}

fn open(config: &Config, database: DatabaseId, dir: &Path) -> Result<OnDisk, StartError> {
    let spill = dir.join("spill");
    for path in [dir, &spill] {
        let failed = |error| StartError::Directory {
            path: path.to_owned(),
            error,
        };
        std::fs::create_dir_all(path).map_err(failed)?;
    }
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let identity = Identity {
        cluster: config.cluster,
        node: config.node,
        database,
    };
    let (mut log, mut in_log) = Log::open(disk, &dir.join("log"), identity).map_err(StartError::Log)?;
    let files = Files {
        path: dir.join("data.sqlite"),
        vfs: Vfs::Os,
        spill: Spill::Directory(spill),
        extended: Extended::by(&EXTENSION),
        damage: Default::default(),
    };
    let opened = open_database(database, &files, &mut log, &mut in_log);
    let writer = match opened {
        Err(error) if error.is_damage_of_database() => {
            tracing::error!(%database, %error, "damaged: set aside, this replica begins anew");
            set_aside(&files).map_err(StartError::Recovery)?;
            open_database(database, &files, &mut log, &mut in_log)?
        }
        opened => opened?,
    };
    let applied = writer.position();
    let settled = in_log.hard_state.commit.max(applied.index).max(in_log.base.index);
    let mut tail = Vec::new();
    let mut from = settled.next();
    while from <= in_log.last.index {
        let read = log
            .read(from, in_log.last.index.next(), 64 << 20)
            .map_err(StartError::ReadLog)?;
        let Some(last) = read.last() else { break };
        from = last.position.index.next();
        tail.extend(read);
    }
    let recovered = Recovered {
        log: bellwether_node::RecoveredLog {
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

/// What the replicas of a node share.
pub(crate) struct Shared<'a> {
    pub config: &'a Config,
    pub links: &'a Arc<Links>,
    pub metrics: &'a Arc<Metrics>,
    pub stop: &'a Arc<Stop>,
}

/// Opens the replica and starts its threads.
pub(crate) fn start(
    shared: &Shared<'_>,
    database: DatabaseId,
    name: &'static str,
) -> Result<Arc<ReplicaHandle>, StartError> {
    let config = shared.config;
    let dir = config.data_dir.join("databases").join(database.to_string());
    let on_disk = open(config, database, &dir)?;
    let checkpoints = Checkpoints::open(&on_disk.files).map_err(StartError::Sqlite)?;
    tracing::info!(database = name, last = %on_disk.log.last(), applied = %on_disk.writer.position(), "opened");
    let is_behind = on_disk.recovered.applied.index < on_disk.recovered.log.base.index;
    let desk = Desk::new();
    let published = Arc::new(Published::new(Content {
        position: on_disk.writer.position(),
        timestamp: on_disk.writer.timestamp(),
        fingerprint: on_disk.writer.fingerprint(),
    }));
    let (snapshots, wanted) = tokio::sync::mpsc::channel(1);
    let begun = Instant::now();
    let driver = Driver {
        name,
        database,
        replica: Replica::new(members(config), on_disk.recovered),
        log: on_disk.log,
        desk: Arc::clone(&desk),
        links: Arc::clone(shared.links),
        snapshots,
        published: Arc::clone(&published),
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
        published,
        listeners: Arc::default(),
        drive: Drive::new(driver, name, Arc::clone(shared.stop)),
    });
    if is_behind {
        tracing::error!(
            database = name,
            "the database file is missing or older than the log: a snapshot is needed"
        );
        // The queue is empty.
        let _ = handle.offer(Event::Damaged);
    }
    spawn_threads(
        shared,
        &handle,
        on_disk.writer,
        on_disk.files,
        checkpoints,
        wanted,
    );
    Ok(handle)
}

fn spawn_threads(
    shared: &Shared<'_>,
    handle: &Arc<ReplicaHandle>,
    writer: Writer,
    files: Files,
    checkpoints: Arc<Checkpoints>,
    wanted: tokio::sync::mpsc::Receiver<Wanted>,
) {
    let (name, config) = (handle.name, shared.config);
    let staged: Staged = Arc::new(Mutex::new(None));
    let writer = WriterThread {
        name,
        node: config.node,
        writer: Some(writer),
        files: files.clone(),
        staged: Arc::clone(&staged),
        checkpoints: Arc::clone(&checkpoints),
        desk: Arc::clone(&handle.desk),
        drive: Arc::clone(&handle.drive),
        published: Arc::clone(&handle.published),
        listeners: Arc::clone(&handle.listeners),
        readers: handle.readers.clone(),
        metrics: Arc::clone(shared.metrics),
        stop: Arc::clone(shared.stop),
        clock: HybridClock::default(),
        ended: Vec::new(),
        next: None,
        mark: (Instant::now(), Timestamp::default()),
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
        config: config.clone(),
        files: files.clone(),
        staged,
        drive: Arc::clone(&handle.drive),
    };
    tokio::spawn(fetcher.run(wanted));
    spawn_upkeep(shared, name, files, checkpoints, &handle.drive);
}

fn members(config: &Config) -> bellwether_node::Config {
    bellwether_node::Config {
        node: config.node,
        voters: config.voters(),
    }
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
fn spawn(stop: &Arc<Stop>, name: &str, what: &'static str, body: impl FnOnce() + Send + 'static) {
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
