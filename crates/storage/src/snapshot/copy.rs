//! Taking an image of a live replica.

use std::path::{Path, PathBuf};

use bellwether_types::disk::{DiskFile, directory_of};
use bellwether_types::{Configuration, Position};
use rusqlite::{Connection, ffi};
use xxhash_rust::xxh3::Xxh3Default;

use super::{CHUNK_BYTES_MAX, SnapshotError, SnapshotInfo, remove_if_there};
use crate::files::{ConnectionRole, Files};
use crate::internal;
use crate::pages::{self, PAGE_BYTES};
use crate::position::stored_position;
use crate::statement::Prepared;
use crate::wal::live::{LiveWal, LookError, RottenFrame};

/// After so many bytes the copy is synced: the disk is never flooded with dirty pages which the log's next sync would
/// have to wait for.
const SYNC_BYTES: u64 = 2 * 1024 * 1024;

/// A live replica at one position, held by a read transaction until dropped.
pub struct Snapshot {
    reader: Connection,
    position: Position,
    configuration: Configuration,
    bytes: u64,
    hash: Xxh3Default,
    /// How much of the image went into `hash`: it follows what is read in order.
    hashed: u64,
}

impl Snapshot {
    /// Pins the present state. The writer goes on.
    pub fn start(files: &Files) -> Result<Snapshot, SnapshotError> {
        let reader = files.connect(ConnectionRole::Reader)?;
        LiveWal::default().look(&reader).map_err(|error| match error {
            LookError::Rotten(RottenFrame(frame)) => SnapshotError::RottenWal { frame },
            LookError::Sqlite(code) => rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into(),
        })?;
        reader.execute_batch("BEGIN")?;
        let position = stored_position(&reader)?;
        // SAFETY: the handle is used while its connection is open.
        let lines = Prepared::on(unsafe { reader.handle() }, internal::SELECT_CONFIGURATION)?;
        let configuration = internal::read_configuration(lines)?.unwrap_or_default();
        let number = |name: &str| reader.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
        let pages = number("page_count")?;
        Ok(Snapshot {
            reader,
            position,
            configuration,
            bytes: PAGE_BYTES as u64 * u64::from(pages),
            hash: Xxh3Default::new(),
            hashed: 0,
        })
    }

    /// Of the last record in it.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The group, as stored in it; empty before the first record that says it.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// Length of the image.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The image from `offset`: `len` bytes, fewer at its end, and at most [`CHUNK_BYTES_MAX`].
    pub fn read_chunk(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, SnapshotError> {
        let chunk = self.read(offset, len)?;
        if let Some(fresh) = self
            .hashed
            .checked_sub(offset)
            .and_then(|known| chunk.get(known as usize..))
        {
            self.hash.update(fresh);
            self.hashed += fresh.len() as u64;
        }
        Ok(chunk)
    }

    /// The facts of the image. Costs nothing once all of it was read in order; otherwise it reads up to `budget_bytes`
    /// of what is missing, and answers `None` when that was not all.
    pub fn info(&mut self, budget_bytes: u64) -> Result<Option<SnapshotInfo>, SnapshotError> {
        let end = self.hashed.saturating_add(budget_bytes.max(1)).min(self.bytes);
        while self.hashed < end {
            self.read_chunk(
                self.hashed,
                (end - self.hashed).min(CHUNK_BYTES_MAX as u64) as usize,
            )?;
        }
        Ok((self.hashed == self.bytes).then(|| SnapshotInfo {
            position: self.position,
            bytes: self.bytes,
            checksum: self.hash.digest128(),
        }))
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, SnapshotError> {
        let len = (len.min(CHUNK_BYTES_MAX) as u64).min(self.bytes.saturating_sub(offset)) as usize;
        let mut chunk = Vec::with_capacity(len);
        let mut copy = [0; PAGE_BYTES];
        let mut page = self
            .reader
            .prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")?;
        while chunk.len() < len {
            let at = offset + chunk.len() as u64;
            let number = at / PAGE_BYTES as u64 + 1;
            let skip = (at % PAGE_BYTES as u64) as usize;
            page.query_row([number.cast_signed()], |row| {
                copy.copy_from_slice(row.get_ref(0)?.as_blob()?);
                // One that comes from the WAL has none of its own.
                pages::write_checksum(number as u32, &mut copy);
                let take = (copy.len() - skip).min(len - chunk.len());
                chunk.extend_from_slice(&copy[skip..skip + take]);
                Ok(())
            })?;
        }
        Ok(chunk)
    }
}

/// An image on its way into a local file.
pub struct Copying {
    snapshot: Snapshot,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    written: u64,
    synced: u64,
}

impl Copying {
    /// Pins the present state of the replica; the image goes to `path`, whatever was there is replaced.
    pub fn start(files: &Files, path: &Path) -> Result<Copying, SnapshotError> {
        let snapshot = Snapshot::start(files)?;
        let disk = files.disk()?;
        remove_if_there(&*disk, path).map_err(SnapshotError::io(path))?;
        let file = disk.open(path, true).map_err(SnapshotError::io(path))?;
        disk.sync_dir(directory_of(path))
            .map_err(SnapshotError::io(path))?;
        Ok(Copying {
            snapshot,
            path: path.to_owned(),
            file,
            written: 0,
            synced: 0,
        })
    }

    /// Of the last record in it.
    pub fn position(&self) -> Position {
        self.snapshot.position
    }

    /// Bytes copied, and bytes in all.
    pub fn progress(&self) -> (u64, u64) {
        (self.written, self.snapshot.bytes)
    }

    /// Copies about `budget_bytes` more (whole pages, at least one). Answers the facts of the image when it is
    /// complete and durable; the replica is unpinned when this is dropped.
    pub fn step(&mut self, budget_bytes: usize) -> Result<Option<SnapshotInfo>, SnapshotError> {
        let mut budget = (budget_bytes / PAGE_BYTES).max(1) * PAGE_BYTES;
        while budget > 0 && self.written < self.snapshot.bytes {
            let chunk = self
                .snapshot
                .read_chunk(self.written, budget.min(CHUNK_BYTES_MAX))?;
            self.file
                .write_at(self.written, &chunk)
                .map_err(SnapshotError::io(&self.path))?;
            self.written += chunk.len() as u64;
            budget -= chunk.len();
            if self.written - self.synced >= SYNC_BYTES {
                self.sync()?;
            }
        }
        if self.written < self.snapshot.bytes {
            return Ok(None);
        }
        self.sync()?;
        self.snapshot.info(0)
    }

    fn sync(&mut self) -> Result<(), SnapshotError> {
        self.synced = self.written;
        self.file.sync().map_err(SnapshotError::io(&self.path))
    }
}

/// A complete image's bytes from `offset`: `len`, fewer at its end, and at most [`CHUNK_BYTES_MAX`].
pub fn read_chunk(files: &Files, path: &Path, offset: u64, len: usize) -> Result<Vec<u8>, SnapshotError> {
    let disk = files.disk()?;
    let mut chunk = vec![0; len.min(CHUNK_BYTES_MAX)];
    let count = disk
        .open(path, false)
        .and_then(|mut file| file.read_at(offset, &mut chunk))
        .map_err(SnapshotError::io(path))?;
    chunk.truncate(count);
    Ok(chunk)
}
