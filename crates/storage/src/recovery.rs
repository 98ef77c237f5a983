//! At start, before any connection: SQLite must not be ahead of the log.
//!
//! SQLite's WAL and the log are synced independently, so after a power failure the WAL may hold transactions whose
//! records the log lost, or which another leader's records have replaced. [`repair_ahead`] cuts the WAL back to the
//! last transaction that the log knows.
//!
//! Stands on: no checkpoint ever passes a position that is not durable in the log ([`crate::checkpoint`]), so main
//! file and a WAL cut behind that position are a sound database; and along one WAL, positions that the log knows
//! come before those it does not. Looks at each candidate through a read-only overlay of the files, and cuts once.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bellwether_types::Position;
use bellwether_types::disk::{Disk, DiskFile};

use crate::files::{ConnectionRole, Files, OpenError, Vfs, beside};
use crate::position::stored_position;
use crate::vfs;
use crate::wal::{self, WalScan};

/// How a replica stands after [`repair_ahead`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// Of the last record in SQLite; zero when the replica is new.
    pub position: Position,
    /// Transactions that were cut off the WAL.
    pub commits_cut: usize,
}

/// Cuts transactions off the WAL until the position stored in SQLite is `allowed`: known to the log, that is not
/// beyond its last entry, and of the same term at its index. [`Position::ZERO`] is always allowed, and so must be
/// every position that was ever passed to a checkpoint as its bound. No connection may be open.
pub fn repair_ahead(files: &Files, allowed: impl Fn(Position) -> bool) -> Result<Recovery, RecoveryError> {
    let disk = files.disk().map_err(RecoveryError::Open)?;
    let allowed = |position| position == Position::ZERO || allowed(position);
    if !has_content(&*disk, &files.path)? {
        // A restore was interrupted between removing the old main file and placing the new one.
        remove(&*disk, &files.wal_path())?;
        remove(&*disk, &files.shm_path())?;
        return Ok(Recovery {
            position: Position::ZERO,
            commits_cut: 0,
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
    let scan = scan(&*disk, &files.wal_path())?;
    let candidates = Candidates {
        files,
        disk: &disk,
        scan: &scan,
    };
    let (commits, position) = candidates.last_allowed(&allowed)?;
    let commits_cut = scan.commits.len() - commits;
    if commits_cut > 0 {
        cut(&*disk, files, &scan, commits)?;
    }
    Ok(Recovery {
        position,
        commits_cut,
    })
}

struct Candidates<'a> {
    files: &'a Files,
    disk: &'a Arc<dyn Disk>,
    scan: &'a WalScan,
}

impl Candidates<'_> {
    /// The greatest number of transactions with which the stored position is allowed, and that position. Binary
    /// search: allowed ones come before the others.
    fn last_allowed(&self, allowed: &impl Fn(Position) -> bool) -> Result<(usize, Position), RecoveryError> {
        let all = self.scan.commits.len();
        let mut lowest_beyond = self.position_after(all)?;
        if allowed(lowest_beyond) {
            return Ok((all, lowest_beyond));
        }
        let mut best = None;
        let mut range = 0..all;
        while !range.is_empty() {
            let middle = range.start + range.len() / 2;
            // With none of the WAL's transactions the main file may be one that a checkpoint has half overwritten;
            // then it is the lowest transaction that is beyond the log.
            let position = match self.position_after(middle) {
                Err(RecoveryError::Open(OpenError::Sqlite { .. })) if middle == 0 => break,
                other => other?,
            };
            if allowed(position) {
                best = Some((middle, position));
                range.start = middle + 1;
            } else {
                lowest_beyond = position;
                range.end = middle;
            }
        }
        best.ok_or(RecoveryError::CheckpointBeyondLog {
            position: lowest_beyond,
        })
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

fn cut(disk: &dyn Disk, files: &Files, scan: &WalScan, commits: usize) -> Result<(), RecoveryError> {
    let path = files.wal_path();
    let cut = || wal::cut_after(&mut *disk.open(&path, false)?, scan, commits);
    cut().map_err(|error| RecoveryError::io(&path, &error))?;
    remove(disk, &files.shm_path())
}

fn has_content(disk: &dyn Disk, path: &Path) -> Result<bool, RecoveryError> {
    let look = || Ok(disk.exists(path)? && !disk.open(path, false)?.is_empty()?);
    look().map_err(|error| RecoveryError::io(path, &error))
}

/// Removes a file if it is there, durably.
fn remove(disk: &dyn Disk, path: &Path) -> Result<(), RecoveryError> {
    let remove = || {
        if disk.exists(path)? {
            disk.remove(path)?;
            disk.sync_dir(path.parent().unwrap_or(Path::new("/")))?;
        }
        Ok(())
    };
    remove().map_err(|error| RecoveryError::io(path, &error))
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
            RecoveryError::Register(error) => error.fmt(f),
            RecoveryError::Io { path, message, .. } => write!(f, "{}: {message}", path.display()),
        }
    }
}

impl std::error::Error for RecoveryError {}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::files::Spill;
    use crate::testing::{ForgetfulDisk, Registered, commit, create_replica, last_row};

    fn files(vfs: &Registered) -> Files {
        Files {
            path: "/replica/main.db".into(),
            vfs: Vfs::Simulated(vfs.name()),
            spill: Spill::Memory,
        }
    }

    fn up_to(index: u64) -> impl Fn(Position) -> bool {
        move |position| position.index.0 <= index
    }

    fn checkpoint(connection: &Connection) {
        connection
            .query_row("PRAGMA wal_checkpoint", [], |_| Ok(()))
            .expect("a checkpoint");
    }

    /// Records 1 to `checkpointed` in the main file, the others up to `last` in the WAL.
    fn replica(files: &Files, checkpointed: u64, last: u64) {
        let writer = create_replica(files);
        for index in 1..=last {
            commit(&writer, Position::new(1, index)).expect("a record");
            if index == checkpointed {
                checkpoint(&writer);
            }
        }
    }

    #[test]
    fn a_replica_that_is_not_ahead_is_left_alone() {
        let vfs = Registered::new(ForgetfulDisk::new(1), 1);
        let files = files(&vfs);
        replica(&files, 0, 12);
        let recovery = repair_ahead(&files, up_to(12)).expect("no repair");
        assert_eq!(
            recovery,
            Recovery {
                position: Position::new(1, 12),
                commits_cut: 0
            }
        );
    }

    #[test]
    fn transactions_beyond_the_log_are_cut_wherever_the_log_ends() {
        for checkpointed in [0, 5] {
            for end in checkpointed..12 {
                let vfs = Registered::new(ForgetfulDisk::new(1), 1);
                let files = files(&vfs);
                replica(&files, checkpointed, 12);
                let recovery = repair_ahead(&files, up_to(end)).expect("a repair");
                assert_eq!(recovery.position.index.0, end);
                assert_eq!(recovery.commits_cut as u64, 12 - end);
                let writer = files.connect(ConnectionRole::Writer).expect("the replica");
                assert_eq!(last_row(&writer), end);
                commit(&writer, Position::new(2, end + 1)).expect("life goes on");
                checkpoint(&writer);
                drop(writer);
                assert_eq!(
                    repair_ahead(&files, |_| true).expect("no repair").position,
                    Position::new(2, end + 1)
                );
            }
        }
    }

    #[test]
    fn another_term_at_the_same_index_is_beyond_the_log() {
        let vfs = Registered::new(ForgetfulDisk::new(1), 1);
        let files = files(&vfs);
        replica(&files, 3, 9);
        let log = |position: Position| position.index.0 <= 6 || position.term.0 == 2;
        assert_eq!(
            repair_ahead(&files, log).expect("a repair").position,
            Position::new(1, 6)
        );
    }

    #[test]
    fn a_checkpoint_beyond_the_log_cannot_be_repaired() {
        let vfs = Registered::new(ForgetfulDisk::new(1), 1);
        let files = files(&vfs);
        replica(&files, 5, 12);
        // The WAL restarted at 6, so 5 is only in the main file.
        let error = repair_ahead(&files, up_to(4)).expect_err("no repair");
        assert_eq!(
            error,
            RecoveryError::CheckpointBeyondLog {
                position: Position::new(1, 5)
            }
        );
    }

    #[test]
    fn a_new_replica_and_one_whose_restore_was_interrupted_are_at_zero() {
        let disk = ForgetfulDisk::new(1);
        let vfs = Registered::new(disk.clone(), 1);
        let files = files(&vfs);
        let zero = Recovery {
            position: Position::ZERO,
            commits_cut: 0,
        };
        assert_eq!(repair_ahead(&files, |_| false), Ok(zero));
        replica(&files, 5, 12);
        disk.remove(&files.path).expect("no main file");
        assert_eq!(repair_ahead(&files, |_| false), Ok(zero));
        assert!(disk.names().is_empty(), "the WAL of another file was left behind");
    }

    #[test]
    fn real_files_are_repaired_as_well() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = Files {
            path: directory.path().join("main.db"),
            vfs: Vfs::Os,
            spill: Spill::Memory,
        };
        replica(&files, 4, 20);
        assert_eq!(
            repair_ahead(&files, up_to(11)).expect("a repair").position,
            Position::new(1, 11)
        );
        assert_eq!(
            last_row(&files.connect(ConnectionRole::Writer).expect("the replica")),
            11
        );
    }

    #[test]
    fn a_crash_at_any_moment_leaves_a_replica_that_can_be_cut_to_any_logged_position() {
        for seed in 0..200 {
            let disk = ForgetfulDisk::new(seed);
            let vfs = Registered::new(disk.clone(), seed);
            let writer = create_replica(&files(&vfs));
            disk.die_after(40 + seed % 97);
            let mut index = 0;
            while commit(&writer, Position::new(1, index + 1)).is_ok() {
                index += 1;
                if index % 9 == 0 {
                    let _ = writer.query_row("PRAGMA wal_checkpoint", [], |_| Ok(()));
                }
            }
            drop(writer);
            drop(vfs);
            disk.crash();
            let vfs = Registered::new(disk, seed + 1000);
            let files = files(&vfs);
            // A checkpoint promises that the log holds what it moved: the last multiple of nine.
            let log_end = (index / 9 * 9).max(index.saturating_sub(seed % 5));
            let recovery =
                repair_ahead(&files, up_to(log_end)).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            let writer = files.connect(ConnectionRole::Writer).expect("the replica");
            assert!(recovery.position.index.0 <= log_end, "seed {seed}");
            assert_eq!(last_row(&writer), recovery.position.index.0, "seed {seed}");
            let check: String = writer
                .query_row("PRAGMA integrity_check", [], |row| row.get(0))
                .expect("a check");
            assert_eq!(check, "ok", "seed {seed}");
        }
    }
}
