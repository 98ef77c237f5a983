//! At start, before any connection: SQLite must not be ahead of the log, and what it has must be on the disk.
//!
//! SQLite's WAL and the log are synced independently, so after a power failure the WAL may hold transactions whose
//! records the log lost, or which another leader's records have replaced. [`repair_ahead`] cuts the WAL back to the
//! last transaction that the log knows.
//!
//! Stands on: no checkpoint ever passes a position that is not durable in the log ([`crate::checkpoint`]), so main
//! file and a WAL cut behind that position are a sound database; and along one WAL, nothing that the log knows comes
//! after something beyond it. Looks at each candidate through a read-only overlay of the files, and cuts once.
//!
//! Before that, main file and WAL are made to fit each other (`doublewrite`): a WAL that power failure left in
//! pieces goes, when the main file is whole without it.
//!
//! What stays of the WAL is written once more and synced: the process before may have met a failed sync, and frames that
//! are only in memory would be checkpointed as if they could not be lost ([`bellwether_types::disk::write_again`]).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bellwether_types::Position;
use bellwether_types::disk::{Disk, DiskFile, directory_of, remove_durably};

use crate::doublewrite::{self, Restored};
use crate::files::{ConnectionRole, Files, OpenError, Vfs, beside};
use crate::pages::Damage;
use crate::position::stored_position;
use crate::vfs;
use crate::wal::{self, WalScan};

/// How many transactions are looked at one by one in the end: far more than a log can be behind.
const SINGLE_STEPS_MAX: usize = 256;

/// How a replica stands after [`repair_ahead`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// Of the last record in SQLite; zero when the replica is new.
    pub position: Position,
    /// Transactions that were cut off the WAL.
    pub commits_cut: usize,
    /// There was a WAL that did not fit the main file, which is whole without it: what it held comes from the log.
    pub wal_given_up: bool,
}

/// Cuts transactions off the WAL until the position stored in SQLite is `allowed`, and makes the others durable: known to the log, that is not
/// beyond its last entry, and of the same term at its index. [`Position::ZERO`] is always allowed. Positions before
/// the log's first need not be. No connection may be open.
pub fn repair_ahead(files: &Files, allowed: impl Fn(Position) -> bool) -> Result<Recovery, RecoveryError> {
    let disk = files.disk().map_err(RecoveryError::Open)?;
    let allowed = |position| position == Position::ZERO || allowed(position);
    if !has_content(&*disk, &files.path)? {
        // A restore was interrupted between removing the old main file and placing the new one.
        remove(&*disk, &files.wal_path())?;
        remove(&*disk, &files.shm_path())?;
        remove_records(&*disk, files)?;
        return Ok(Recovery {
            position: Position::ZERO,
            commits_cut: 0,
            wal_given_up: false,
        });
    }
    if has_content(&*disk, &beside(&files.path, "-journal"))? {
        // The file's very creation was interrupted, before it had a WAL: SQLite rolls that back when it opens.
        drop(
            files
                .connect(ConnectionRole::Writer)
                .map_err(RecoveryError::Open)?,
        );
    }
    let restored = doublewrite::restore(files, &*disk);
    let wal_given_up = match restored.map_err(|error| RecoveryError::io(&files.path, &error))? {
        Restored::WalKept => false,
        Restored::WalGivenUp => true,
        Restored::HalfMoved => {
            return Err(RecoveryError::HalfMoved {
                path: files.path.clone(),
            });
        }
    };
    let scan = scan(&*disk, &files.wal_path())?;
    let candidates = Candidates {
        files,
        disk: &disk,
        scan: &scan,
    };
    let (commits, position) = candidates.last_allowed(&allowed)?;
    let commits_cut = scan.commits.len() - commits;
    settle(&*disk, files, &scan, commits)?;
    Ok(Recovery {
        position,
        commits_cut,
        wal_given_up,
    })
}

/// A main file that is damaged is kept under another name, and its WAL goes: the replica is empty then, and what it
/// had comes from the log or from another replica. Of several such files the last is kept. No connection may be open.
pub fn set_aside(files: &Files) -> Result<(), RecoveryError> {
    let disk = files.disk().map_err(RecoveryError::Open)?;
    let rename = || {
        if disk.exists(&files.path)? {
            disk.rename(&files.path, &beside(&files.path, "-damaged"))?;
            disk.sync_dir(directory_of(&files.path))?;
        }
        Ok(())
    };
    rename().map_err(|error| RecoveryError::io(&files.path, &error))?;
    remove(&*disk, &files.wal_path())?;
    remove(&*disk, &files.shm_path())?;
    remove_records(&*disk, files)?;
    files.damage.take();
    Ok(())
}

fn remove_records(disk: &dyn Disk, files: &Files) -> Result<(), RecoveryError> {
    doublewrite::remove(files, disk).map_err(|error| RecoveryError::io(&files.path, &error))
}

struct Candidates<'a> {
    files: &'a Files,
    disk: &'a Arc<dyn Disk>,
    scan: &'a WalScan,
}

impl Candidates<'_> {
    /// The greatest number of transactions with which the stored position is allowed, and that position. Goes back
    /// from the end in growing steps to one that is, then halves the way: usually none or few are to be cut, and
    /// each look costs a reading of the WAL.
    fn last_allowed(&self, allowed: &impl Fn(Position) -> bool) -> Result<(usize, Position), RecoveryError> {
        let all = self.scan.commits.len();
        let mut lowest = self.position_after(all)?;
        if allowed(lowest) {
            return Ok((all, lowest));
        }
        let (mut beyond, mut step) = (all, 1);
        while step < all {
            let commits = all - step;
            let position = self.position_after(commits)?;
            if allowed(position) {
                return self.halve((commits, position), beyond, allowed);
            }
            (beyond, lowest) = (commits, position);
            step *= 2;
        }
        // The log may be so short that all its positions lie between two steps.
        for commits in (all.saturating_sub(SINGLE_STEPS_MAX).max(1)..all).rev() {
            let position = self.position_after(commits)?;
            if allowed(position) {
                return Ok((commits, position));
            }
        }
        match self.maybe_main_position()? {
            Some(position) if allowed(position) => return self.halve((0, position), beyond, allowed),
            Some(position) => lowest = position,
            None => {}
        }
        Err(RecoveryError::CheckpointBeyondLog { position: lowest })
    }

    /// Between one that is allowed and one that is beyond the log.
    fn halve(
        &self,
        mut best: (usize, Position),
        mut beyond: usize,
        allowed: &impl Fn(Position) -> bool,
    ) -> Result<(usize, Position), RecoveryError> {
        while best.0 + 1 < beyond {
            let middle = best.0 + (beyond - best.0) / 2;
            let position = self.position_after(middle)?;
            if allowed(position) {
                best = (middle, position);
            } else {
                beyond = middle;
            }
        }
        Ok(best)
    }

    /// Without any of the WAL's transactions. `None` when there is nothing sound to read: a checkpoint may have half
    /// overwritten the main file.
    fn maybe_main_position(&self) -> Result<Option<Position>, RecoveryError> {
        match self.position_after(0) {
            Err(RecoveryError::Open(OpenError::Sqlite { .. })) => Ok(None),
            other => other.map(Some),
        }
    }

    /// The stored position as it is when the WAL holds only its first `commits` transactions.
    fn position_after(&self, commits: usize) -> Result<Position, RecoveryError> {
        let overlay = Overlay {
            disk: Arc::clone(self.disk),
            main: self.files.path.clone(),
            wal: self.files.wal_path(),
            wal_bytes: self.scan.bytes_after(commits),
        };
        let name = OverlayName::register(overlay)?;
        let overlaid = Files {
            vfs: Vfs::Simulated(name.0.clone()),
            // Without its WAL a main file may be half overwritten by a checkpoint: that is no damage.
            damage: Damage::default(),
            ..self.files.clone()
        };
        let reader = overlaid
            .connect(ConnectionRole::Reader)
            .map_err(RecoveryError::Open)?;
        stored_position(&reader)
            .map_err(|error| RecoveryError::Open(OpenError::sqlite(&self.files.path, &error)))
    }
}

fn scan(disk: &dyn Disk, path: &Path) -> Result<WalScan, RecoveryError> {
    let read = || match disk.exists(path)? {
        true => WalScan::read(&mut *disk.open(path, false)?),
        false => Ok(WalScan::default()),
    };
    read().map_err(|error| RecoveryError::io(path, &error))
}

/// What is read of the WAL from here on will go into the main file, and nothing may be missing of it after the next
/// power failure.
fn settle(disk: &dyn Disk, files: &Files, scan: &WalScan, commits: usize) -> Result<(), RecoveryError> {
    if scan.commits.is_empty() {
        return Ok(());
    }
    let path = files.wal_path();
    let settle = || {
        wal::settle(&mut *disk.open(&path, false)?, scan, commits)?;
        disk.sync_dir(directory_of(&path))
    };
    settle().map_err(|error| RecoveryError::io(&path, &error))?;
    match commits < scan.commits.len() {
        true => remove(disk, &files.shm_path()),
        false => Ok(()),
    }
}

fn has_content(disk: &dyn Disk, path: &Path) -> Result<bool, RecoveryError> {
    let look = || Ok(disk.exists(path)? && !disk.open(path, false)?.is_empty()?);
    look().map_err(|error| RecoveryError::io(path, &error))
}

fn remove(disk: &dyn Disk, path: &Path) -> Result<(), RecoveryError> {
    remove_durably(disk, path).map_err(|error| RecoveryError::io(path, &error))
}

/// A registered overlay; forgotten when dropped.
struct OverlayName(String);

static OVERLAYS: AtomicU64 = AtomicU64::new(0);

impl OverlayName {
    fn register(overlay: Overlay) -> Result<OverlayName, RecoveryError> {
        let name = format!("bellwether-recovery-{}", OVERLAYS.fetch_add(1, Ordering::Relaxed));
        let clock = Arc::new(AtomicI64::new(0));
        vfs::register(&name, Arc::new(overlay), 0, clock).map_err(RecoveryError::Register)?;
        Ok(OverlayName(name))
    }
}

impl Drop for OverlayName {
    fn drop(&mut self) {
        vfs::unregister(&self.0);
    }
}

/// A replica's files, read-only, with a WAL that seems to end early.
struct Overlay {
    disk: Arc<dyn Disk>,
    main: PathBuf,
    wal: PathBuf,
    wal_bytes: u64,
}

impl Disk for Overlay {
    fn open(&self, path: &Path, _create: bool) -> io::Result<Box<dyn DiskFile>> {
        let (file, bytes_max) = if path == self.main {
            (Some(self.disk.open(path, false)?), u64::MAX)
        } else if path == self.wal && self.wal_bytes > 0 {
            (Some(self.disk.open(path, false)?), self.wal_bytes)
        } else if path == self.wal {
            (None, 0)
        } else {
            return Err(io::ErrorKind::NotFound.into());
        };
        Ok(Box::new(OverlayFile { file, bytes_max }))
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(path == self.main || (path == self.wal && self.wal_bytes > 0))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// The first `bytes_max` bytes of a file, or an empty one.
struct OverlayFile {
    file: Option<Box<dyn DiskFile>>,
    bytes_max: u64,
}

impl DiskFile for OverlayFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(file) = &mut self.file else { return Ok(0) };
        let visible = self.bytes_max.saturating_sub(offset).min(buffer.len() as u64) as usize;
        file.read_at(offset, &mut buffer[..visible])
    }

    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn truncate(&mut self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn len(&mut self) -> io::Result<u64> {
        match &mut self.file {
            Some(file) => Ok(file.len()?.min(self.bytes_max)),
            None => Ok(0),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a replica cannot be made to agree with its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveryError {
    /// Even the main file holds a record that the log does not know: the replica must be seeded anew.
    CheckpointBeyondLog {
        /// The lowest position found that is not in the log.
        position: Position,
    },
    /// The file cannot be opened or read.
    Open(OpenError),
    /// The WAL is not what it was while pages were moved out of it: the main file has some of them.
    HalfMoved {
        /// The main file.
        path: PathBuf,
    },
    /// The overlay cannot be registered.
    Register(vfs::RegisterError),
    /// The disk refused.
    Io {
        /// Which file.
        path: PathBuf,
        /// What kind of error.
        kind: io::ErrorKind,
        /// The disk's words.
        message: String,
    },
}

impl RecoveryError {
    /// Whether the main file is damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            RecoveryError::Open(error) => error.is_damage(),
            RecoveryError::HalfMoved { .. } => true,
            _ => false,
        }
    }

    fn io(path: &Path, error: &io::Error) -> RecoveryError {
        RecoveryError::Io {
            path: path.to_owned(),
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoveryError::CheckpointBeyondLog { position } => {
                write!(
                    f,
                    "the database file holds record {position}, which the log does not: seed it anew"
                )
            }
            RecoveryError::Open(error) => error.fmt(f),
            RecoveryError::HalfMoved { path } => {
                let path = path.display();
                write!(
                    f,
                    "{path}: SQLite's WAL is not what was written, and the file is nothing without it"
                )
            }
            RecoveryError::Register(error) => error.fmt(f),
            RecoveryError::Io { path, message, .. } => write!(f, "{}: {message}", path.display()),
        }
    }
}

impl std::error::Error for RecoveryError {}

#[cfg(test)]
mod tests;
