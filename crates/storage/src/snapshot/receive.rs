//! Receiving an image and putting it in the place of a replica.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_types::disk::{Disk, DiskFile};

use super::{SYNC_BYTES, SnapshotError, SnapshotInfo, directory, measure, remove_if_there};
use crate::files::{ConnectionRole, Files, beside};
use crate::position::stored_position;

/// An image that arrives in pieces, in order.
pub struct Receiving {
    files: Files,
    info: SnapshotInfo,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    received: u64,
    synced: u64,
}

impl Receiving {
    /// Starts, or goes on where an earlier attempt at the very same image ended; parts of others are removed.
    pub fn start(files: &Files, info: SnapshotInfo) -> Result<Receiving, SnapshotError> {
        let disk = files.disk()?;
        let path = beside(&files.path, &format!("-incoming-{:032x}", info.checksum));
        remove_other_parts(&*disk, files, &path)?;
        let mut file = disk.open(&path, true).map_err(SnapshotError::io(&path))?;
        disk.sync_dir(directory(&path))
            .map_err(SnapshotError::io(&path))?;
        let received = file.len().map_err(SnapshotError::io(&path))?.min(info.bytes);
        Ok(Receiving {
            files: files.clone(),
            info,
            path,
            file,
            received,
            synced: received,
        })
    }

    /// Bytes that are here: the offset of the next piece.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes the next piece.
    pub fn append(&mut self, piece: &[u8]) -> Result<(), SnapshotError> {
        if self.received + piece.len() as u64 > self.info.bytes {
            return Err(SnapshotError::TooLong {
                bytes: self.info.bytes,
            });
        }
        self.file
            .write_at(self.received, piece)
            .map_err(SnapshotError::io(&self.path))?;
        self.received += piece.len() as u64;
        if self.received - self.synced >= SYNC_BYTES {
            self.file.sync().map_err(SnapshotError::io(&self.path))?;
            self.synced = self.received;
        }
        Ok(())
    }

    /// Checks the image and puts it in place of the replica. No connection to the replica may be open.
    pub fn finish(self) -> Result<(), SnapshotError> {
        drop(self.file);
        restore(&self.files, &self.path, self.info)
    }
}

/// Checks the image at `source` and renames it into the replica's place; the old one's WAL goes. A damaged image is
/// removed and the old replica stays. No connection to the replica may be open.
pub fn restore(files: &Files, source: &Path, info: SnapshotInfo) -> Result<(), SnapshotError> {
    let disk = files.disk()?;
    check(&disk, source, info)?;
    place(&*disk, files, source)?;
    let reader = files.connect(ConnectionRole::Reader)?;
    let found = stored_position(&reader)?;
    if found != info.position {
        return Err(SnapshotError::WrongPosition {
            expected: info.position,
            found,
        });
    }
    Ok(())
}

fn check(disk: &Arc<dyn Disk>, source: &Path, info: SnapshotInfo) -> Result<(), SnapshotError> {
    let look = || {
        let mut file = disk.open(source, false)?;
        let measured = measure(&mut *file)?;
        file.sync()?;
        Ok(measured)
    };
    let (bytes, checksum) = look().map_err(SnapshotError::io(source))?;
    if (bytes, checksum) != (info.bytes, info.checksum) {
        remove_if_there(&**disk, source).map_err(SnapshotError::io(source))?;
        return Err(SnapshotError::Damaged {
            expected: info,
            bytes,
            checksum,
        });
    }
    Ok(())
}

/// The main file goes first and durably: a WAL without it is nothing ([`crate::recovery::repair_ahead`] removes it),
/// while a main file without its WAL, or with another's, would be taken for a replica.
fn place(disk: &dyn Disk, files: &Files, source: &Path) -> Result<(), SnapshotError> {
    let directory = directory(&files.path);
    let replace = || {
        remove_if_there(disk, &files.path)?;
        disk.sync_dir(directory)?;
        remove_if_there(disk, &files.wal_path())?;
        remove_if_there(disk, &files.shm_path())?;
        remove_if_there(disk, &beside(&files.path, "-journal"))?;
        disk.sync_dir(directory)?;
        disk.rename(source, &files.path)?;
        disk.sync_dir(directory)
    };
    replace().map_err(SnapshotError::io(&files.path))
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
