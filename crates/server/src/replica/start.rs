//! Opens what a replica has on disk, repairs it, and starts its threads.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use bellwether_http::Metrics;
use bellwether_log::{Identity, Log, OsDisk, ReadError};
use bellwether_node::{Event, Recovered, Replica, Role};
use bellwether_storage::recovery::{RecoveryError, repair_ahead};
use bellwether_storage::{Files, OpenError, Spill, Vfs, Writer};
use bellwether_types::disk::Disk;
use bellwether_types::{DatabaseId, HybridClock, Position, Term};
use tokio::sync::watch;

use super::checkpoints::{self, Checkpoints};
use super::desk::Desk;
use super::driver::{Driver, INPUT_MAX};
use super::snapshots::{Fetcher, Staged};
use super::writer::WriterThread;
use super::{Content, Published, Readers, Reign, ReplicaHandle};
use crate::config::Config;
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
    };
    let known =
        |position: Position| position == log.base() || log.term_at(position.index) == Some(position.term);
    match repair_ahead(&files, known) {
        Ok(recovery) if recovery.commits_cut > 0 => {
            tracing::warn!(%database, commits = recovery.commits_cut, "SQLite was ahead of the log: cut back");
        }
        Ok(_) => {}
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
    let writer = Writer::open(&files).map_err(StartError::Sqlite)?;
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

/// Opens the replica and starts its threads.
pub(crate) fn start(
    config: &Config,
    database: DatabaseId,
    name: &'static str,
    links: &Arc<Links>,
    metrics: &Arc<Metrics>,
    stop: &Arc<Stop>,
) -> Result<Arc<ReplicaHandle>, StartError> {
    let dir = config.data_dir.join("databases").join(database.to_string());
    let OnDisk {
        log,
        recovered,
        writer,
        files,
    } = open(config, database, &dir)?;
    let is_damaged = recovered.applied.index < recovered.log.base.index;
    tracing::info!(database = name, last = %log.last(), applied = %writer.position(), "opened");
    let published = Arc::new(Published::new(Content {
        position: writer.position(),
        timestamp: writer.timestamp(),
        fingerprint: writer.fingerprint(),
    }));
    let checkpoints = Checkpoints::open(&files).map_err(StartError::Sqlite)?;
    let desk = Desk::new();
    let readers = Readers::new(files.clone());
    let (input, inputs) = crossbeam_channel::bounded(INPUT_MAX);
    let reign = watch::Sender::new(Reign {
        role: Role::Follower { leader: None },
        term: Term(0),
        leader: None,
        leading: false,
        seeding: false,
    });
    let handle = Arc::new(ReplicaHandle {
        database,
        name,
        desk: Arc::clone(&desk),
        readers: readers.clone(),
        reign: reign.subscribe(),
        published: Arc::clone(&published),
        input: input.clone(),
    });
    let staged: Staged = Arc::new(Mutex::new(None));
    let (snapshots, wanted) = tokio::sync::mpsc::channel(1);
    let driver = Driver {
        name,
        database,
        replica: Replica::new(
            bellwether_node::Config {
                node: config.node,
                voters: config.voters(),
            },
            recovered,
        ),
        log,
        input: inputs,
        desk: Arc::clone(&desk),
        links: Arc::clone(links),
        snapshots,
        published: Arc::clone(&published),
        reign,
        metrics: Arc::clone(metrics),
        stop: Arc::clone(stop),
        reads: BTreeMap::new(),
        next_read: 0,
        confirming: None,
        unsynced: Vec::new(),
        installing: false,
    };
    if is_damaged {
        tracing::error!(
            database = name,
            "the database file is missing or older than the log: a snapshot is needed"
        );
        // The queue is empty.
        let _ = input.try_send(super::driver::Input::Event(Event::Damaged));
    }
    let writer = WriterThread {
        name,
        node: config.node,
        writer: Some(writer),
        files: files.clone(),
        staged: Arc::clone(&staged),
        checkpoints: Arc::clone(&checkpoints),
        desk,
        driver: input.clone(),
        published,
        readers,
        metrics: Arc::clone(metrics),
        stop: Arc::clone(stop),
        clock: HybridClock::default(),
        ended: Vec::new(),
        next: None,
        confirms: 0,
    };
    let fetcher = Fetcher {
        name,
        database,
        config: config.clone(),
        files,
        staged,
        driver: input.clone(),
    };
    tokio::spawn(fetcher.run(wanted));
    let spawn = |what: &str, body: Box<dyn FnOnce() + Send>| {
        let thread = thread::Builder::new().name(format!("{name} {what}"));
        thread.spawn(body).expect("the system can start a thread")
    };
    let stop = Arc::clone(stop);
    spawn("log", Box::new(move || driver.run()));
    spawn("writer", Box::new(move || writer.run()));
    spawn(
        "checkpoint",
        Box::new(move || checkpoints::run(name, checkpoints, input, stop)),
    );
    Ok(handle)
}
