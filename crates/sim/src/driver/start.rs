//! A process starts: opens and repairs log and SQLite, and makes the machine of what they hold.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_log::{Identity, Log, ReadError, Sizing};
use bellwether_node::{Recovered, Replica};
use bellwether_storage::checkpoint::Checkpointer;
use bellwether_storage::files::{Files, OpenError, Spill, Vfs};
use bellwether_storage::recovery::{RecoveryError, repair_ahead, set_aside};
use bellwether_storage::{Extended, StorageError, Writer};
use bellwether_types::disk::Disk;
use bellwether_types::{
    ClusterId, Configuration, DatabaseId, Entry, LogIndex, NodeId, Position, StandbyRule, Term,
};

use super::acknowledge::Acknowledger;
use super::duties::Duties;
use super::early::EarlySessions;
use super::gateway::{Fence, Gateway};
use super::log_thread::LogThread;
use super::reads::Reads;
use super::seeding::Seeding;
use super::talks::Talks;
use super::writer_thread::WriterThread;
use super::{Context, Driver, NodeEvent};
use crate::bug::Bug;
use crate::disk::Mount;
use crate::observation::{Logged, Observation};
use crate::workload::told;

/// What a process is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which node.
    pub node: NodeId,
    /// The group as it was founded; empty for a node that joins.
    pub founding: Configuration,
    /// Whom commits wait for besides the quorum.
    pub rule: StandbyRule,
    /// Entries kept behind the checkpoint.
    pub retained: u64,
    /// Bytes of a log segment.
    pub segment_bytes: u32,
    /// How often a checkpoint is made, about.
    pub checkpoint_every_us: u64,
    /// Name under which SQLite knows the disk.
    pub vfs: String,
}

/// Why a process cannot start. It is tried again later, unless the files are damaged.
#[derive(Debug)]
pub enum StartError {
    /// The log.
    Log(bellwether_log::OpenError),
    /// Reading it.
    Read(bellwether_log::ReadError),
    /// Writing it.
    Write(bellwether_log::WriteError),
    /// The repair.
    Recovery(RecoveryError),
    /// SQLite.
    Storage(OpenError),
    /// Reading the group.
    Configuration(StorageError),
}

impl StartError {
    /// Whether the log is: nothing that the node may do repairs it.
    pub fn is_damage_of_log(&self) -> bool {
        match self {
            StartError::Log(error) => error.is_corruption(),
            StartError::Read(ReadError::Corrupt { .. }) => true,
            _ => false,
        }
    }

    /// Whether SQLite's file is: it can be set aside, and the replica be seeded anew.
    fn is_damage_of_database(&self) -> bool {
        match self {
            StartError::Recovery(error) => error.is_damage(),
            StartError::Storage(error) => error.is_damage(),
            StartError::Configuration(error) => error.is_damage(),
            _ => false,
        }
    }

    /// Whether what was durable is damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            StartError::Log(error) => error.is_corruption(),
            StartError::Read(_) => true,
            StartError::Recovery(error) => {
                error.is_damage() || matches!(error, RecoveryError::CheckpointBeyondLog { .. })
            }
            StartError::Storage(error) => error.is_damage(),
            StartError::Configuration(error) => error.is_damage(),
            StartError::Write(_) => false,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Log(error) => error.fmt(f),
            StartError::Read(error) => error.fmt(f),
            StartError::Write(error) => error.fmt(f),
            StartError::Recovery(error) => error.fmt(f),
            StartError::Storage(error) => error.fmt(f),
            StartError::Configuration(error) => error.fmt(f),
        }
    }
}

/// SQLite's file.
pub const DATABASE: &str = "/node/database";

const LOG_DIR: &str = "/node/log";

/// What the log held.
struct OpenLog {
    log: Log,
    recovered: bellwether_log::Recovered,
    entries: Vec<Entry>,
}

impl OpenLog {
    fn open(mount: &Mount, node: NodeId, segment_bytes: u32) -> Result<OpenLog, StartError> {
        let identity = Identity {
            cluster: ClusterId(1),
            node,
            database: DatabaseId::POSTGRES,
        };
        let disk = Arc::new(mount.clone());
        let sizing = Sizing {
            segment_bytes,
            allocation_bytes: 16 << 10,
        };
        let opened = Log::open_sized(disk, Path::new(LOG_DIR), identity, sizing);
        let (mut log, recovered) = opened.map_err(StartError::Log)?;
        let entries = log
            .read(recovered.first, recovered.last.index.next(), usize::MAX)
            .map_err(StartError::Read)?;
        Ok(OpenLog {
            log,
            recovered,
            entries,
        })
    }

    fn holds(&self, position: Position) -> bool {
        position == self.recovered.base || self.log.term_at(position.index) == Some(position.term)
    }

    /// Forgets everything before a snapshot that was put in place, just before the crash.
    fn restart_after(&mut self, position: Position) -> Result<(), StartError> {
        self.log.reset(position).map_err(StartError::Write)?;
        self.recovered.base = position;
        self.recovered.last = position;
        self.recovered.terms.clear();
        self.recovered.configurations.clear();
        self.recovered.hard_state.commit = position.index;
        self.entries.clear();
        Ok(())
    }

    fn entries_after(&self, index: LogIndex) -> Vec<Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.position.index > index)
            .cloned()
            .collect()
    }
}

fn open_log(settings: &Settings, mount: &Mount, context: &Context<'_>) -> Result<OpenLog, StartError> {
    let mut opened = OpenLog::open(mount, settings.node, settings.segment_bytes);
    if context.has(Bug::ForgetDamagedLog) && opened.as_ref().is_err_and(StartError::is_damage_of_log) {
        for path in mount.list(Path::new(LOG_DIR)).unwrap_or_default() {
            let _ = mount.remove(&path);
        }
        opened = OpenLog::open(mount, settings.node, settings.segment_bytes);
    }
    opened
}

/// Cuts SQLite back to the log. Whether it is ahead for good: a snapshot was put in place just before the crash.
fn repair(files: &Files, log: &OpenLog, context: &Context<'_>) -> Result<bool, StartError> {
    let knows_all = context.has(Bug::ForgetWalCut);
    match repair_ahead(files, |position| knows_all || log.holds(position)) {
        Ok(_) => Ok(false),
        Err(RecoveryError::CheckpointBeyondLog { .. }) => Ok(true),
        Err(error) => Err(StartError::Recovery(error)),
    }
}

/// What SQLite's file holds.
struct OpenDatabase {
    writer: Writer,
    /// It is ahead of the log for good.
    is_ahead: bool,
    /// The group, as stored in it.
    configuration: Option<Configuration>,
}

/// Repairs SQLite's file and opens it.
fn open_database(files: &Files, log: &OpenLog, context: &Context<'_>) -> Result<OpenDatabase, StartError> {
    let is_ahead = repair(files, log, context)?;
    let writer = Writer::open(files).map_err(StartError::Storage)?;
    let configuration = writer.configuration().map_err(StartError::Configuration)?;
    Ok(OpenDatabase {
        writer,
        is_ahead,
        configuration: configuration.filter(|_| !context.has(Bug::ForgetConfiguration)),
    })
}

fn files(settings: &Settings) -> Files {
    Files {
        path: PathBuf::from(DATABASE),
        vfs: Vfs::Simulated(settings.vfs.clone()),
        spill: Spill::Memory,
        extended: Extended::by(&told::EXTENSION),
        damage: Default::default(),
    }
}

/// As [`open_database`]; a file that is damaged is set aside first. With whether it was.
fn open_sound_database(
    node: NodeId,
    files: &Files,
    log: &OpenLog,
    context: &mut Context<'_>,
) -> Result<(OpenDatabase, bool), StartError> {
    match open_database(files, log, context) {
        Err(error) if error.is_damage_of_database() => {
            context.observe(Observation::Damaged {
                is_divergence: false,
                node,
                words: error.to_string(),
            });
            set_aside(files).map_err(StartError::Recovery)?;
            Ok((open_database(files, log, context)?, true))
        }
        opened => Ok((opened?, false)),
    }
}

/// Opens everything. The disk's VFS is registered.
pub fn start(settings: Settings, mount: &Mount, context: &mut Context<'_>) -> Result<Driver, StartError> {
    let mut log = open_log(&settings, mount, context)?;
    let files = files(&settings);
    let (opened, was_damaged) = open_sound_database(settings.node, &files, &log, context)?;
    let OpenDatabase {
        writer,
        is_ahead,
        configuration,
    } = opened;
    let applied = writer.position();
    let is_lost = applied.index < log.recovered.base.index;
    context.observe(Observation::Started {
        node: settings.node,
        hard_state: log.recovered.hard_state,
        base: log.recovered.base,
        entries: log.entries.iter().map(Logged::of).collect(),
        applied,
        fingerprint: writer.fingerprint(),
        is_empty: was_damaged,
        reseeded: is_ahead || (is_lost && applied == Position::ZERO),
    });
    if is_ahead {
        log.restart_after(applied)?;
        context.observe(Observation::Durable {
            node: settings.node,
            reset: Some(applied),
            hard_state: None,
            entries: Vec::new(),
        });
    }
    let founding = settings.founding.clone();
    let replica = Replica::new(settings.node, recovered(founding, configuration, &log, applied));
    let checkpointer = Checkpointer::open(&files).map_err(StartError::Storage)?;
    let duties = Duties::new(applied.index.max(log.recovered.base.index));
    let mut driver = Driver {
        node: settings.node,
        replica,
        duties,
        log: LogThread::new(settings.node, log.log, settings.segment_bytes),
        writer: WriterThread::new(settings.node, writer),
        checkpointer: Some(checkpointer),
        reads: Reads::new(settings.node),
        gateway: Gateway::default(),
        talks: Talks::default(),
        acknowledger: Acknowledger::new(settings.rule),
        early: EarlySessions::default(),
        fence: Fence::default(),
        seeding: Seeding::new(settings.founding),
        confirmations: Default::default(),
        full_since: None,
        tickets: 0,
        ticks: 0,
        is_announcing: false,
        wanted: None,
        files,
        retained: settings.retained,
        checkpoint_every_us: settings.checkpoint_every_us,
        reported: (bellwether_node::Role::Candidate, Term(0)),
    };
    driver.reads.open(&driver.files, context);
    driver.look_for_damage(context);
    if is_lost {
        driver.feed(bellwether_node::Event::Damaged, context);
    }
    let first_tick_us = context.random.range(1, 10_000);
    context.after(first_tick_us, NodeEvent::Tick);
    driver.schedule_checkpoint(context);
    driver.schedule_scrub(context);
    Ok(driver)
}

fn recovered(
    founding: Configuration,
    configuration: Option<Configuration>,
    log: &OpenLog,
    applied: Position,
) -> Recovered {
    let mut recovered = Recovered {
        applied,
        ..Recovered::default()
    };
    recovered.log.founding = founding;
    recovered.log.configuration = configuration;
    recovered
        .log
        .configurations
        .clone_from(&log.recovered.configurations);
    recovered.log.hard_state = log.recovered.hard_state;
    recovered.log.base = log.recovered.base;
    recovered.log.last = log.recovered.last.index;
    recovered.log.terms.clone_from(&log.recovered.terms);
    recovered.log.tail = log.entries_after(log.recovered.hard_state.commit.max(applied.index));
    recovered
}
