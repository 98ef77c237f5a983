//! Receiving an image and putting it in the place of a replica.

use std::path::{Path, PathBuf};

use bellwether_types::disk::{Disk, DiskFile};

use super::{Measure, SnapshotError, SnapshotInfo, directory, remove_if_there};
use crate::doublewrite;
use crate::files::{ConnectionRole, Files, beside};
use crate::position::stored_position;

/// After so many bytes what came is synced, so that the sync at the end is short. More than at the sender: this replica
/// does not serve yet.
const SYNC_BYTES: u64 = 16 * 1024 * 1024;

/// Which image it is, in the eyes of a receiver that asks to go on: drawn at random by a sender that streams a
/// [`Snapshot`](super::Snapshot), or the checksum of one that was copied before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageId(pub u128);

/// An image that arrives in pieces, in order.
pub struct Receiving {
    files: Files,
    bytes: u64,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    received: u64,
    synced: u64,
    /// Of what was received; none when an earlier attempt left a part.
    measure: Option<Measure>,
}

impl Receiving {
    /// Starts to receive an image of so many bytes, or goes on where an earlier attempt at the very same image
    /// ended; parts of others are removed.
    pub fn start(files: &Files, id: ImageId, bytes: u64) -> Result<Receiving, SnapshotError> {
        let disk = files.disk()?;
        let path = beside(&files.path, &format!("-incoming-{:032x}", id.0));
        remove_other_parts(&*disk, files, &path)?;
        let mut file = disk.open(&path, true).map_err(SnapshotError::io(&path))?;
        disk.sync_dir(directory(&path))
            .map_err(SnapshotError::io(&path))?;
        let received = file.len().map_err(SnapshotError::io(&path))?.min(bytes);
        let measure = (received == 0).then(Measure::default);
        Ok(Receiving {
            files: files.clone(),
            bytes,
            path,
            file,
            received,
            synced: received,
            measure,
        })
    }

    /// Bytes that are here: the offset of the next piece.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes the next piece.
    pub fn append(&mut self, piece: &[u8]) -> Result<(), SnapshotError> {
        if self.received + piece.len() as u64 > self.bytes {
            return Err(SnapshotError::TooLong { bytes: self.bytes });
        }
        self.file
            .write_at(self.received, piece)
            .map_err(SnapshotError::io(&self.path))?;
        self.received += piece.len() as u64;
        if let Some(measure) = &mut self.measure {
            measure.update(piece);
        }
        if self.received - self.synced >= SYNC_BYTES {
            self.file.sync().map_err(SnapshotError::io(&self.path))?;
            self.synced = self.received;
        }
        Ok(())
    }

    /// Checks the image against what the sender says of it at its end, and puts it in place of the replica. A damaged
    /// one is removed and the old replica stays. No connection to the replica may be open.
    pub fn finish(mut self, info: SnapshotInfo) -> Result<(), SnapshotError> {
        let disk = self.files.disk()?;
        let measured = match self.measure.take() {
            Some(measure) => Ok(measure),
            None => Measure::of_file(&mut *self.file),
        };
        let measured = measured.map_err(SnapshotError::io(&self.path))?;
        self.file.sync().map_err(SnapshotError::io(&self.path))?;
        drop(self.file);
        check(&*disk, &self.path, &measured, info)?;
        place(&*disk, &self.files, &self.path, info)
    }
}

/// Checks the image at `source` and renames it into the replica's place; the old one's WAL goes. A damaged image is
/// removed and the old replica stays. No connection to the replica may be open.
pub fn restore(files: &Files, source: &Path, info: SnapshotInfo) -> Result<(), SnapshotError> {
    let disk = files.disk()?;
    let look = || {
        let mut file = disk.open(source, false)?;
        let measured = Measure::of_file(&mut *file)?;
        file.sync()?;
        Ok(measured)
    };
    let measured = look().map_err(SnapshotError::io(source))?;
    check(&*disk, source, &measured, info)?;
    place(&*disk, files, source, info)
}

fn check(
    disk: &dyn Disk,
    source: &Path,
    measured: &Measure,
    info: SnapshotInfo,
) -> Result<(), SnapshotError> {
    let (bytes, checksum) = (measured.bytes, measured.hash.digest128());
    let error = if (bytes, checksum) != (info.bytes, info.checksum) {
        SnapshotError::Damaged {
            expected: info,
            bytes,
            checksum,
        }
    } else if let Some(page) = measured.pages.unsound() {
        SnapshotError::RottenPage { page }
    } else {
        return Ok(());
    };
    remove_if_there(disk, source).map_err(SnapshotError::io(source))?;
    Err(error)
}

/// The main file goes first and durably: a WAL without it is nothing ([`crate::recovery::repair_ahead`] removes it),
/// while a main file without its WAL, or with another's, would be taken for a replica.
fn place(disk: &dyn Disk, files: &Files, source: &Path, info: SnapshotInfo) -> Result<(), SnapshotError> {
    let directory = directory(&files.path);
    let replace = || {
        remove_if_there(disk, &files.path)?;
        disk.sync_dir(directory)?;
        remove_if_there(disk, &files.wal_path())?;
        remove_if_there(disk, &files.shm_path())?;
        doublewrite::remove(files, disk)?;
        remove_if_there(disk, &beside(&files.path, "-journal"))?;
        disk.sync_dir(directory)?;
        disk.rename(source, &files.path)?;
        disk.sync_dir(directory)
    };
    replace().map_err(SnapshotError::io(&files.path))?;
    let reader = files.connect(ConnectionRole::Reader)?;
    let found = stored_position(&reader)?;
    if found == info.position {
        Ok(())
    } else {
        Err(SnapshotError::WrongPosition {
            expected: info.position,
            found,
        })
    }
}

fn remove_other_parts(disk: &dyn Disk, files: &Files, keep: &Path) -> Result<(), SnapshotError> {
    let prefix = beside(&files.path, "-incoming-");
    let prefix = prefix.as_os_str().as_encoded_bytes();
    let remove = || {
        for path in disk.list(directory(&files.path))? {
            if path != keep && path.as_os_str().as_encoded_bytes().starts_with(prefix) {
                disk.remove(&path)?;
            }
        }
        Ok(())
    };
    remove().map_err(SnapshotError::io(&files.path))
}
