//! Moves transactions from SQLite's WAL into the main file, but never past what the log holds durably, and tells up
//! to where SQLite itself is durable.
//!
//! Promises:
//! - No page of a record beyond the bound `upto` reaches the main file. A read transaction pins the WAL there:
//!   SQLite moves no frame behind a reader's mark (sqlite.org/wal.html, §4), so after a crash the WAL can still be cut
//!   at any record that the log may have lost ([`crate::recovery`]).
//! - [`Checkpointed::through`] survives a power failure. The log may be cut up to there and no further.
//! - No frame that is not what was written reaches the main file: the WAL's own checksums are compared before.
//! - [`Checkpointer::checkpoint`] never takes the write lock and never waits.
//!
//! SQLite syncs nothing of a replica's files by itself; this does. What is about to be moved is made durable first: as one
//! copy of each page in a record of `doublewrite`, when that is less than the WAL has in all its
//! frames, else by a sync of the WAL. The main file is synced before a record without those pages follows, and before
//! the WAL can start again.
//!
//! A WAL starts again from its beginning only when all of it is in the main file at the moment when a write begins.
//! Under a steady load that moment never comes by itself, so the writer's owner makes it: when
//! [`Checkpointed::wants_restart`], it calls [`Checkpointer::restart`] between two groups. That keeps the writer for
//! two syncs and the few pages that came in since the last checkpoint, once per [`RESTART_FRAMES`]. A writer that is
//! faster than the checkpoints is held up for longer when the WAL has [`WAL_FRAMES_MAX`].

use std::ffi::c_int;
use std::fmt;
use std::io;

use bellwether_types::Position;
use rusqlite::{Connection, ffi};

use crate::doublewrite::{DoubleWrite, Kind, RECORD_PAGES_MAX};
use crate::files::{
    ConnectionRole, Files, OpenError, SqliteFile, Vfs, is_damage_code, sqlite_facts, telling,
};
use crate::position::stored_position;
use crate::wal::WalEnd;
use crate::wal::live::{LiveWal, LookError, Moving, RottenFrame, snapshot_end};
use crate::write_behind::WriteBehind;

/// A WAL longer than this should be restarted: 16 MiB at 4 KiB a page. Shorter restarts more often for nothing;
/// longer costs disk, and time at the next start, which reads the whole WAL.
pub const RESTART_FRAMES: u32 = 4096;

/// A WAL of this length is restarted whatever it costs the writer: 48 MiB.
pub const WAL_FRAMES_MAX: u32 = 3 * RESTART_FRAMES;

/// With more frames to move than this a restart would keep the writer for long; another checkpoint goes first.
const RESTART_LEFT_MAX: u32 = 1000;

const _: () = assert!(RESTART_LEFT_MAX < RESTART_FRAMES);

/// So many pages, 1 MiB, are always written once more rather than looked for in the WAL: that is one sync less.
const FEW_PAGES: usize = 256;

/// A replica's two connections for checkpoints: one pins a snapshot, the other moves pages.
pub struct Checkpointer {
    pin: Connection,
    mover: Connection,
    /// What the open read transaction of `pin` sees, and where that ends in the WAL, if it has anything.
    pinned: Option<(Position, Option<WalEnd>)>,
    wal: LiveWal,
    double_write: DoubleWrite,
    /// Up to where a record tells where the pages are.
    recorded: Option<(WalEnd, Kind)>,
    /// A reader was in the way when something was to be moved last.
    is_stuck: bool,
    few_pages: usize,
    /// Of the WAL; `None` in a simulation, whose disk has nothing to wait behind.
    behind: Option<WriteBehind>,
    /// As last found.
    state: Checkpointed,
}

/// How far a checkpoint came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpointed {
    /// SQLite's durable state contains at least every record up to here.
    pub through: Position,
    /// Frames in the WAL.
    pub wal_frames: u32,
    /// How many of them are not in the main file yet.
    pub wal_frames_left: u32,
}

impl Checkpointed {
    /// Whether the writer's owner should call [`Checkpointer::restart`] before the next group, once.
    pub fn wants_restart(&self) -> bool {
        let is_cheap = self.wal_frames_left <= RESTART_LEFT_MAX;
        self.wal_frames_left > 0
            && (self.wal_frames >= RESTART_FRAMES && is_cheap || self.wal_frames >= WAL_FRAMES_MAX)
    }

    /// Whether so much is left that the next checkpoint should follow at once, with a later bound.
    pub fn wants_another(&self) -> bool {
        self.wal_frames_left > RESTART_LEFT_MAX
    }
}

impl Checkpointer {
    /// Opens both connections. The file must exist.
    pub fn open(files: &Files) -> Result<Checkpointer, OpenError> {
        let double_write = files.disk().and_then(|disk| {
            DoubleWrite::open(files, &*disk).map_err(|error| OpenError::Sqlite {
                path: files.path.clone(),
                code: 0,
                message: error.to_string(),
            })
        })?;
        Ok(Checkpointer {
            double_write,
            recorded: None,
            is_stuck: false,
            few_pages: FEW_PAGES,
            pin: files.connect(ConnectionRole::Checkpointer)?,
            mover: files.connect(ConnectionRole::Checkpointer)?,
            pinned: None,
            wal: LiveWal::default(),
            behind: match files.vfs {
                Vfs::Os => Some(WriteBehind::new(files.wal_path())),
                Vfs::Simulated(_) => None,
            },
            state: Checkpointed {
                through: Position::ZERO,
                wal_frames: 0,
                wal_frames_left: 0,
            },
        })
    }

    /// Pins the present snapshot in place of an earlier one, and tells its position: the bound of the next
    /// checkpoint.
    pub fn pin(&mut self) -> Result<Position, CheckpointError> {
        self.unpin()?;
        self.pin.execute_batch("BEGIN")?;
        // The first read opens the snapshot.
        let position = stored_position(&self.pin).inspect_err(|_| {
            let _ = self.pin.execute_batch("ROLLBACK");
        })?;
        self.pinned = Some((position, snapshot_end(&self.pin)));
        Ok(position)
    }

    /// Lets what was appended to the WAL be written to the disk already, if the last checkpoint has synced it, so that
    /// the next sync finds little to do, and other syncs little to wait behind. Waits for nothing and promises nothing.
    pub fn write_behind(&mut self) {
        let syncs_wal = self.recorded.is_some_and(|(_, kind)| kind != Kind::Here);
        if let Some(behind) = &mut self.behind
            && syncs_wal
        {
            // What is wrong with the file is for the sync to tell.
            let _ = behind.begin();
        }
    }

    /// Makes SQLite durable through the pinned position and moves what is before it into the main file, if the
    /// pinned position is at most `upto`; pins the present one first when none is. A pin beyond `upto` stays for the
    /// next call; so does a new one, taken at the end, when there is more to move.
    ///
    /// `upto` is the last record that is committed by the quorum and fsynced in this node's own log.
    pub fn checkpoint(&mut self, upto: Position) -> Result<Checkpointed, CheckpointError> {
        if self.pinned.is_none() {
            self.pin()?;
        }
        let Some((position, end)) = self.pinned else {
            return Ok(self.state);
        };
        if position > upto {
            return self.run(ffi::SQLITE_CHECKPOINT_NOOP);
        }
        self.look()?;
        let checkpointed = self.move_through(position, end)?;
        self.unpin()?;
        if checkpointed.wal_frames_left > 0 {
            // By the next call the log will have caught up with what is here now.
            self.pin()?;
        }
        Ok(checkpointed)
    }

    /// Moves everything into the main file, so that the next write starts the WAL from its beginning. To be called
    /// while no write transaction is open: keeps the write lock meanwhile. Moves nothing when a write transaction is
    /// open or when the stored position is beyond `upto`; a reader's old snapshot makes it stop early. Then
    /// `wal_frames_left` is not zero, and it should be tried again after the next checkpoint.
    pub fn restart(&mut self, upto: Position) -> Result<Checkpointed, CheckpointError> {
        self.unpin()?;
        match self.pin.execute_batch("BEGIN IMMEDIATE") {
            Ok(()) => {}
            Err(error) if sqlite_facts(&error).0 & 0xFF == ffi::SQLITE_BUSY => {
                return self.run(ffi::SQLITE_CHECKPOINT_NOOP);
            }
            Err(error) => return Err(error.into()),
        }
        let checkpointed = self.move_all(upto);
        self.pin.execute_batch("ROLLBACK")?;
        checkpointed
    }

    /// With the write lock held by `pin`.
    fn move_all(&mut self, upto: Position) -> Result<Checkpointed, CheckpointError> {
        let position = stored_position(&self.pin)?;
        if position > upto {
            return self.run(ffi::SQLITE_CHECKPOINT_NOOP);
        }
        self.look()?;
        let end = self.wal.end();
        self.move_through(position, Some(end))
    }

    /// Makes durable what the WAL has up to `end`, which is at `position`, and moves it. While the WAL cannot start again.
    fn move_through(
        &mut self,
        position: Position,
        end: Option<WalEnd>,
    ) -> Result<Checkpointed, CheckpointError> {
        let Some((end, moving)) = end.and_then(|end| Some((end, self.wal.moving(end)?))) else {
            self.state.through = self.state.through.max(position);
            return self.run(ffi::SQLITE_CHECKPOINT_NOOP);
        };
        let kind = self.secure(end, &moving)?;
        self.state.through = self.state.through.max(position);
        if !self.maybe_run(ffi::SQLITE_CHECKPOINT_PASSIVE)? {
            return Ok(self.state);
        }
        let (frames, left) = (self.state.wal_frames, self.state.wal_frames_left);
        self.is_stuck = frames - left < end.frames;
        if kind == Kind::Here || left == 0 || frames >= RESTART_FRAMES {
            self.sync(ffi::SQLITE_FCNTL_FILE_POINTER)?;
            if left == 0 && kind == Kind::InWal {
                // The WAL may start again now, which the record before does not allow for.
                let marked = self.mark(Kind::InMain, end);
                marked.map_err(|error| CheckpointError::Record {
                    kind: io::ErrorKind::Other,
                    message: error.to_string(),
                })?;
            }
            self.wal.moved(frames - left);
        }
        Ok(self.state)
    }

    /// What makes the main file whole again, should power fail while pages are moved.
    fn secure(&mut self, end: WalEnd, moving: &Moving) -> Result<Kind, CheckpointError> {
        if let Some((recorded, kind)) = self.recorded
            && recorded == end
            && kind != Kind::InMain
        {
            return Ok(kind);
        }
        let pages = moving.frames.len();
        let is_less =
            pages <= self.few_pages || pages <= RECORD_PAGES_MAX && pages * 2 <= moving.frame_count as usize;
        // With a reader in the way the same pages would be written again and again.
        if is_less && !self.is_stuck {
            let read = |frame, page: &mut [u8]| {
                LiveWal::read_page(&self.mover, frame, page).map_err(CheckpointError::from)
            };
            match self
                .double_write
                .keep(end, moving.database_pages, &moving.frames, read)
            {
                Ok(()) => {
                    self.recorded = Some((end, Kind::Here));
                    return Ok(Kind::Here);
                }
                // There may be room for a mark.
                Err(error) if !error.is_fatal() => {}
                Err(error) => return Err(error),
            }
        }
        self.sync(ffi::SQLITE_FCNTL_JOURNAL_POINTER)?;
        self.mark(Kind::InWal, end)?;
        Ok(Kind::InWal)
    }

    fn mark(&mut self, kind: Kind, end: WalEnd) -> Result<(), CheckpointError> {
        self.double_write.mark(kind, end)?;
        self.recorded = Some((end, kind));
        Ok(())
    }

    /// Whether what may be moved is what was written: what has come since the last look.
    fn look(&mut self) -> Result<(), CheckpointError> {
        Ok(self.wal.look(&self.mover)?)
    }

    fn unpin(&mut self) -> Result<(), CheckpointError> {
        if self.pinned.take().is_some() {
            self.pin.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    /// Syncs the WAL (`JOURNAL_POINTER`) or the main file, through SQLite's own handle.
    fn sync(&self, which: c_int) -> Result<(), CheckpointError> {
        let code = SqliteFile::of(&self.pin, which).map_or(ffi::SQLITE_MISUSE, |file| file.sync());
        match code {
            ffi::SQLITE_OK => Ok(()),
            code => Err(CheckpointError::Sync { code }),
        }
    }

    fn run(&mut self, mode: c_int) -> Result<Checkpointed, CheckpointError> {
        self.maybe_run(mode)?;
        Ok(self.state)
    }

    /// False when it could not be done: the writer was just publishing a transaction. Nothing was moved, and the next
    /// call will.
    fn maybe_run(&mut self, mode: c_int) -> Result<bool, CheckpointError> {
        let (mut frames, mut moved): (c_int, c_int) = (0, 0);
        // SAFETY: an open connection, a static name, two out parameters.
        let code = unsafe {
            ffi::sqlite3_wal_checkpoint_v2(
                self.mover.handle(),
                c"main".as_ptr(),
                mode,
                &mut frames,
                &mut moved,
            )
        };
        match code & 0xFF {
            ffi::SQLITE_OK => {
                // Both are -1 when there is no WAL yet.
                let moved = moved.max(0).cast_unsigned();
                self.state.wal_frames = frames.max(0).cast_unsigned();
                self.state.wal_frames_left = self.state.wal_frames.saturating_sub(moved);
                Ok(true)
            }
            ffi::SQLITE_BUSY => Ok(false),
            _ => Err(failed(code)),
        }
    }
}

fn failed(code: c_int) -> CheckpointError {
    let message = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).to_string();
    let message = telling(code, message);
    CheckpointError::Sqlite { code, message }
}

/// Why a checkpoint failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointError {
    /// The WAL or the main file could not be synced.
    Sync {
        /// SQLite's extended result code.
        code: i32,
    },
    /// A record of what is moved could not be written.
    Record {
        /// What kind of error.
        kind: io::ErrorKind,
        /// The disk's words.
        message: String,
    },
    /// A frame of the WAL is not what was written. Nothing was moved.
    RottenWal {
        /// Its number, from 1; 0: the WAL's header.
        frame: u32,
    },
    /// SQLite refused.
    Sqlite {
        /// Extended result code.
        code: i32,
        /// SQLite's words.
        message: String,
    },
}

impl CheckpointError {
    /// Whether the replica is damaged: it must stop serving and be seeded anew.
    pub fn is_damage(&self) -> bool {
        match self {
            CheckpointError::RottenWal { .. } => true,
            CheckpointError::Sqlite { code, .. } => is_damage_code(*code),
            CheckpointError::Sync { .. } | CheckpointError::Record { .. } => false,
        }
    }

    /// Whether the node must stop: what is durable is unknown, or the file is damaged. Otherwise (the disk is full,
    /// somebody else holds a lock) a later call may succeed.
    pub fn is_fatal(&self) -> bool {
        match self {
            CheckpointError::Sync { .. } | CheckpointError::RottenWal { .. } => true,
            CheckpointError::Record { kind, .. } => {
                !matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            CheckpointError::Sqlite { code, .. } => !matches!(
                code & 0xFF,
                ffi::SQLITE_FULL
                    | ffi::SQLITE_BUSY
                    | ffi::SQLITE_LOCKED
                    | ffi::SQLITE_NOMEM
                    | ffi::SQLITE_INTERRUPT
            ),
        }
    }
}

impl From<LookError> for CheckpointError {
    fn from(error: LookError) -> CheckpointError {
        match error {
            LookError::Rotten(RottenFrame(frame)) => CheckpointError::RottenWal { frame },
            LookError::Sqlite(code) => failed(code),
        }
    }
}

impl From<io::Error> for CheckpointError {
    fn from(error: io::Error) -> CheckpointError {
        CheckpointError::Record {
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

impl From<rusqlite::Error> for CheckpointError {
    fn from(error: rusqlite::Error) -> CheckpointError {
        let (code, message) = sqlite_facts(&error);
        CheckpointError::Sqlite { code, message }
    }
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckpointError::Sync { code } => write!(f, "cannot sync WAL or main file (SQLite code {code})"),
            CheckpointError::Record { message, .. } => {
                write!(f, "cannot make durable what is about to be moved: {message}")
            }
            CheckpointError::RottenWal { frame } => {
                write!(f, "frame {frame} of SQLite's WAL is not what was written")
            }
            CheckpointError::Sqlite { code, message } => {
                write!(f, "checkpoint failed: {message} (SQLite code {code})")
            }
        }
    }
}

impl std::error::Error for CheckpointError {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;

    use crate::recovery::repair_ahead;
    use crate::testing::{ForgetfulDisk, Registered, commit, create_replica, last_row};

    const FRAME_BYTES: u64 = 4096 + 24;

    fn real_files(directory: &tempfile::TempDir) -> Files {
        Files::new(directory.path().join("main.db"), Vfs::Os)
    }

    fn at(index: u64) -> Position {
        Position::new(1, index)
    }

    fn has_wal(files: &Files) -> bool {
        let disk = files.disk().expect("a disk");
        disk.exists(&files.wal_path()).expect("alive")
    }

    /// What the main file alone says, as after the loss of the whole WAL.
    fn main_file_position(files: &Files) -> Position {
        let copy = files.path.with_extension("copy");
        std::fs::copy(&files.path, &copy).expect("a copy");
        let alone = Files {
            path: copy,
            ..files.clone()
        };
        let reader = alone.connect(ConnectionRole::Reader).expect("the copy");
        stored_position(&reader).expect("a position")
    }

    #[test]
    fn nothing_beyond_the_bound_reaches_the_main_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = real_files(&directory);
        let writer = create_replica(&files);
        let mut checkpointer = Checkpointer::open(&files).expect("a checkpointer");
        for index in 1..=5 {
            commit(&writer, at(index)).expect("a record");
        }
        assert_eq!(checkpointer.pin(), Ok(at(5)));
        commit(&writer, at(6)).expect("a record");
        let early = checkpointer.checkpoint(at(4)).expect("nothing to do");
        assert_eq!(early.through, Position::ZERO);
        assert_eq!(early.wal_frames, early.wal_frames_left);
        let done = checkpointer.checkpoint(at(5)).expect("a checkpoint");
        assert_eq!(done.through, at(5));
        assert!(done.wal_frames_left > 0 && done.wal_frames_left < done.wal_frames);
        let last = checkpointer.checkpoint(at(9)).expect("a checkpoint");
        assert_eq!((last.through, last.wal_frames_left), (at(6), 0));
        assert_eq!(main_file_position(&files), at(6));
    }

    #[test]
    fn a_restart_waits_for_the_log_the_writer_and_the_readers() {
        let vfs = Registered::new(ForgetfulDisk::new(1), 1);
        let files = vfs.files();
        let writer = create_replica(&files);
        let mut checkpointer = Checkpointer::open(&files).expect("a checkpointer");
        commit(&writer, at(1)).expect("a record");
        let reader = files.connect(ConnectionRole::Reader).expect("a reader");
        reader.execute_batch("BEGIN").expect("a snapshot");
        assert_eq!(last_row(&reader), 1);
        for index in 2..=9 {
            commit(&writer, at(index)).expect("a record");
        }

        assert!(
            checkpointer
                .restart(at(1))
                .expect("the log is behind")
                .wal_frames_left
                > 0
        );
        writer.execute_batch("BEGIN IMMEDIATE").expect("a group");
        assert!(
            checkpointer
                .restart(at(9))
                .expect("a group is open")
                .wal_frames_left
                > 0
        );
        writer.execute_batch("ROLLBACK").expect("no group");
        let partly = checkpointer.restart(at(9)).expect("a reader holds on to 1");
        assert!(partly.wal_frames_left > 0);
        assert_eq!(partly.through, at(9), "durable in the WAL");
        reader.execute_batch("COMMIT").expect("the end of the snapshot");
        let whole = checkpointer.restart(at(9)).expect("nobody is in the way");
        assert_eq!(whole.wal_frames_left, 0);

        commit(&writer, at(10)).expect("a record");
        let after = checkpointer.checkpoint(at(10)).expect("a checkpoint");
        assert!(after.wal_frames < whole.wal_frames, "the WAL did not start again");
    }

    #[test]
    fn the_wal_stays_bounded_under_a_steady_load_with_the_log_behind() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = real_files(&directory);
        let writer = create_replica(&files);
        let mut checkpointer = Checkpointer::open(&files).expect("a checkpointer");
        let mut longest = 0;
        let mut last = checkpointer.checkpoint(at(0)).expect("a checkpoint");
        for index in 1..=12_000 {
            commit(&writer, at(index)).expect("a record");
            // Every second group or so the log's own fsync is late.
            let upto = at(index - index % 2);
            if last.wants_restart() {
                last = checkpointer.restart(upto).expect("a restart");
            }
            if index % 250 == 0 || last.wants_another() {
                last = checkpointer.checkpoint(at(index - 3)).expect("a checkpoint");
                longest = longest.max(std::fs::metadata(files.wal_path()).expect("a WAL").len());
            }
        }
        assert!(
            longest > FRAME_BYTES * u64::from(RESTART_FRAMES),
            "the load was too small to tell"
        );
        assert!(longest < 32 << 20, "the WAL grew to {longest} bytes");
        assert!(last.through >= at(11_500), "checkpoints fell behind: {last:?}");
    }

    #[test]
    fn checkpoints_run_beside_the_writer_in_a_thread_of_their_own() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = real_files(&directory);
        let writer = create_replica(&files);
        let mut checkpointer = Checkpointer::open(&files).expect("a checkpointer");
        let (committed, done) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (committed, done) = (&committed, &done);
            scope.spawn(move || {
                for index in 1..=3000 {
                    commit(&writer, at(index)).expect("never busy");
                    committed.store(index, Ordering::Release);
                }
                done.store(true, Ordering::Release);
            });
            scope.spawn(move || {
                while !done.load(Ordering::Acquire) {
                    let upto = at(committed.load(Ordering::Acquire));
                    let through = checkpointer.checkpoint(upto).expect("a checkpoint").through;
                    assert!(through <= upto);
                }
                let last = checkpointer.checkpoint(at(3000)).expect("a checkpoint");
                let last = if last.wal_frames_left > 0 {
                    checkpointer.checkpoint(at(3000))
                } else {
                    Ok(last)
                };
                assert_eq!(last.map(|last| last.through), Ok(at(3000)));
            });
        });
        assert_eq!(main_file_position(&files), at(3000));
    }

    #[test]
    fn what_a_reader_keeps_from_moving_is_durable_in_the_wal() {
        for seed in 0..30 {
            let disk = ForgetfulDisk::new(seed);
            let vfs = Registered::new(disk.clone(), seed);
            let writer = create_replica(&vfs.files());
            let mut checkpointer = Checkpointer::open(&vfs.files()).expect("a checkpointer");
            let reader = vfs.files().connect(ConnectionRole::Reader).expect("a reader");
            reader.execute_batch("BEGIN").expect("a snapshot");
            assert_eq!(last_row(&reader), 0);
            commit(&writer, at(1)).expect("a record");
            let done = checkpointer.checkpoint(at(1)).expect("a checkpoint");
            assert_eq!((done.through, done.wal_frames_left), (at(1), done.wal_frames));
            disk.die_after(0);
            drop((checkpointer, reader, writer, vfs));
            disk.crash();
            let vfs = Registered::new(disk, seed + 1000);
            assert_eq!(
                repair_ahead(&vfs.files(), |_| true).expect("no repair").position,
                at(1),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn a_wal_that_begins_anew_is_not_missed_by_what_was_moved_out_of_it() {
        let vfs = Registered::new(ForgetfulDisk::new(1), 1);
        let writer = create_replica(&vfs.files());
        let mut checkpointer = Checkpointer::open(&vfs.files()).expect("a checkpointer");
        checkpointer.few_pages = 0;
        commit(&writer, at(1)).expect("a record");
        let done = checkpointer.checkpoint(at(1)).expect("a checkpoint");
        assert_eq!(done.wal_frames_left, 0);
        assert!(matches!(checkpointer.recorded, Some((_, Kind::InMain))));
        commit(&writer, at(2)).expect("a record");
        drop((writer, checkpointer));
        let position = repair_ahead(&vfs.files(), |_| true).expect("no damage").position;
        assert!(position >= at(1), "{position}");
        let reader = vfs.files().connect(ConnectionRole::Reader).expect("the replica");
        assert_eq!(last_row(&reader), position.index.0);
    }

    #[test]
    fn after_a_crash_through_is_there_and_nothing_forces_a_new_seed() {
        let (mut given_up, mut secured) = (0, [0; 2]);
        for seed in 0..600_u64 {
            let disk = ForgetfulDisk::new(seed);
            let vfs = Registered::new(disk.clone(), seed);
            let writer = create_replica(&vfs.files());
            let mut checkpointer = Checkpointer::open(&vfs.files()).expect("a checkpointer");
            // Otherwise so little is always written once more.
            if seed % 2 == 0 {
                checkpointer.few_pages = 0;
            }
            disk.die_after(30 + seed * 7 % 400);
            let (mut index, mut through, mut bound) = (0, Position::ZERO, 0);
            while commit(&writer, at(index + 1)).is_ok() {
                index += 1;
                // The log's durable end lags by up to three records, and never goes back.
                bound = bound.max(index.saturating_sub((index ^ seed) % 4));
                let result = match (index + seed) % 7 {
                    0 | 3 => checkpointer.checkpoint(at(bound)),
                    5 => checkpointer.restart(at(bound)),
                    _ => continue,
                };
                match result {
                    Ok(done) => through = done.through,
                    Err(error) => assert!(error.is_fatal(), "seed {seed}: {error}"),
                }
                match checkpointer.recorded {
                    Some((_, Kind::Here)) => secured[0] += 1,
                    Some(_) => secured[1] += 1,
                    None => {}
                }
            }
            drop((checkpointer, writer, vfs));
            disk.crash();
            let vfs = Registered::new(disk, seed + 1000);
            let log = |position: Position| position.index.0 <= bound;
            let had_wal = has_wal(&vfs.files());
            let recovery = repair_ahead(&vfs.files(), log).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            given_up += u64::from(had_wal && !has_wal(&vfs.files()));
            assert!(
                recovery.position >= through,
                "seed {seed}: {recovery:?}, promised {through}"
            );
            let reader = vfs.files().connect(ConnectionRole::Reader).expect("the replica");
            assert_eq!(last_row(&reader), recovery.position.index.0, "seed {seed}");
            let check: String = reader
                .query_row("PRAGMA integrity_check", [], |row| row.get(0))
                .expect("a check");
            assert_eq!(check, "ok", "seed {seed}");
        }
        assert!(given_up > 20, "a WAL was in pieces {given_up} times");
        assert!(secured.iter().all(|times| *times > 300), "{secured:?}");
    }
}
