//! Receiving an image and putting it in the place of a replica.
//!
//! Beside the part that is here lies a file with a checksum for each piece of it, in order. Whoever goes on with a part
//! reads all of it, and keeps what is before the first piece that is not what its checksum says: what a crash has torn,
//! what was not written out, what has rotted. Neither file is trusted without the other, so they need no order between
//! them.

use std::io;
use std::path::{Path, PathBuf};

use bellwether_types::codec::{Decoder, Encoder};
use bellwether_types::disk::{Disk, DiskFile, directory_of};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{CHUNK_BYTES_MAX, Measure, SnapshotError, SnapshotInfo, remove_if_there};
use crate::doublewrite;
use crate::files::{ConnectionRole, Files, Vfs, beside};
use crate::position::stored_position;
use crate::write_behind::WriteBehind;

/// After so many bytes what came is synced: no more is fetched again after a power failure, and the sync at the end is
/// short. More than at the sender: this replica does not serve yet.
const SYNC_BYTES: u64 = 256 * 1024 * 1024;

/// After so many the system is let begin to write, so that a sync finds little left to do.
const BEHIND_BYTES: u64 = 8 * 1024 * 1024;

/// Of a piece: its length (4 bytes), its checksum (8 bytes).
const SUM_BYTES: usize = 12;

/// Checksums read at a time when a part is looked at.
const SUMS_READ_BYTES: usize = SUM_BYTES * 4096;

/// What a part's file is called after the replica's.
const PART: &str = "-incoming-";

/// The end of the name of the file with its checksums.
const SUMS: &str = "-sums";

/// Odd, so that no two offsets become the same; its bits are those of the golden ratio.
const OFFSET_FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// Which image it is, in the eyes of a receiver that asks to go on: drawn at random by a sender that streams a
/// [`Snapshot`](super::Snapshot), or the checksum of one that was copied before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageId(pub u128);

impl ImageId {
    /// Of a piece of this image at that place: equal bytes of another image, or of another place, do not fit.
    pub fn checksum(self, offset: u64, piece: &[u8]) -> u64 {
        let image = (self.0 as u64) ^ ((self.0 >> 64) as u64).rotate_left(32);
        xxh3_64_with_seed(piece, image ^ offset.wrapping_mul(OFFSET_FACTOR))
    }
}

/// Of which image a part is here; `None`: of none. An attempt to receive another one removes it.
pub fn part_of(files: &Files) -> Result<Option<ImageId>, SnapshotError> {
    let disk = files.disk()?;
    let prefix = beside(&files.path, PART);
    let paths = disk.list(directory_of(&files.path));
    let paths = paths.map_err(SnapshotError::io(&files.path))?;
    let digits = paths.iter().filter_map(|path| {
        let name = path.to_str()?.strip_prefix(prefix.to_str()?)?;
        u128::from_str_radix(name, 16).ok()
    });
    Ok(digits.map(ImageId).next())
}

/// An image that arrives in pieces, in order.
pub struct Receiving {
    files: Files,
    id: ImageId,
    bytes: u64,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    sums: Box<dyn DiskFile>,
    sums_bytes: u64,
    received: u64,
    synced: u64,
    begun: u64,
    /// Only where the system's disk is meant.
    behind: Option<WriteBehind>,
    /// Of what was received.
    measure: Measure,
}

impl Receiving {
    /// Starts to receive an image of so many bytes, or goes on where what an earlier attempt at the very same image has
    /// left ends to be sound; parts of others are removed. Reads all that is left.
    pub fn start(files: &Files, id: ImageId, bytes: u64) -> Result<Receiving, SnapshotError> {
        let disk = files.disk()?;
        let path = part_path(files, id);
        let sums_path = sums_path(&path);
        remove_other_parts(&*disk, files, &[&path, &sums_path])?;
        let file = disk.open(&path, true).map_err(SnapshotError::io(&path))?;
        let sums = disk.open(&sums_path, true);
        let sums = sums.map_err(SnapshotError::io(&sums_path))?;
        disk.sync_dir(directory_of(&path))
            .map_err(SnapshotError::io(&path))?;
        let mut receiving = Receiving {
            files: files.clone(),
            id,
            bytes,
            path,
            file,
            sums,
            sums_bytes: 0,
            received: 0,
            synced: 0,
            begun: 0,
            behind: None,
            measure: Measure::default(),
        };
        let recovered = receiving.recover();
        recovered.map_err(SnapshotError::io(&receiving.path))?;
        receiving.begun = receiving.received;
        receiving.behind = matches!(files.vfs, Vfs::Os).then(|| WriteBehind::new(receiving.path.clone()));
        Ok(receiving)
    }

    /// Takes what is here as far as it is sound, and cuts off the rest.
    fn recover(&mut self) -> io::Result<()> {
        let mut sums = vec![0; SUMS_READ_BYTES];
        let mut piece = Vec::new();
        'read: loop {
            let count = self.sums.read_at(self.sums_bytes, &mut sums)?;
            for sum in sums[..count].chunks_exact(SUM_BYTES) {
                let mut sum = Decoder::new(sum);
                let (Ok(len), Ok(checksum)) = (sum.fixed_u32(), sum.fixed_u64()) else {
                    break 'read;
                };
                let is_possible = len > 0
                    && len as usize <= CHUNK_BYTES_MAX
                    && self.received + u64::from(len) <= self.bytes;
                if !is_possible {
                    break 'read;
                }
                piece.resize(len as usize, 0);
                let is_whole = self.file.read_at(self.received, &mut piece)? == piece.len();
                if !is_whole || self.id.checksum(self.received, &piece) != checksum {
                    break 'read;
                }
                self.count(&piece);
            }
            if count < sums.len() {
                break;
            }
        }
        self.file.truncate(self.received)?;
        self.sums.truncate(self.sums_bytes)
    }

    /// The next piece is here, and so is its checksum.
    fn count(&mut self, piece: &[u8]) {
        self.received += piece.len() as u64;
        self.sums_bytes += SUM_BYTES as u64;
        self.measure.update(piece);
    }

    /// Bytes that are here: the offset of the next piece.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes the next piece.
    pub fn append(&mut self, piece: &[u8]) -> Result<(), SnapshotError> {
        for piece in piece.chunks(CHUNK_BYTES_MAX) {
            let checksum = self.id.checksum(self.received, piece);
            self.put(piece, checksum)?;
        }
        Ok(())
    }

    /// Takes the next piece with the checksum that came with it. Of another one nothing is taken.
    pub fn append_checked(&mut self, piece: &[u8], checksum: u64) -> Result<(), SnapshotError> {
        if piece.len() > CHUNK_BYTES_MAX || self.id.checksum(self.received, piece) != checksum {
            return Err(SnapshotError::DamagedPiece {
                offset: self.received,
            });
        }
        self.put(piece, checksum)
    }

    fn put(&mut self, piece: &[u8], checksum: u64) -> Result<(), SnapshotError> {
        if self.received + piece.len() as u64 > self.bytes {
            return Err(SnapshotError::TooLong { bytes: self.bytes });
        }
        if piece.is_empty() {
            return Ok(());
        }
        let mut sum = Encoder::new();
        sum.fixed_u32(piece.len() as u32);
        sum.fixed_u64(checksum);
        let written = self.file.write_at(self.received, piece);
        written
            .and_then(|()| self.sums.write_at(self.sums_bytes, sum.as_slice()))
            .map_err(SnapshotError::io(&self.path))?;
        self.count(piece);
        if self.received - self.synced >= SYNC_BYTES {
            return self.sync();
        }
        if self.received - self.begun >= BEHIND_BYTES {
            self.begun = self.received;
            // Without it the next sync takes longer.
            let _ = self.behind.as_mut().map(WriteBehind::begin);
        }
        Ok(())
    }

    /// Makes durable what is here. When that fails nobody knows what is on the disk, and what is read may be what was
    /// not written: the part is given up.
    pub fn sync(&mut self) -> Result<(), SnapshotError> {
        let synced = self.file.sync().and_then(|()| self.sums.sync());
        if let Err(error) = synced {
            let disk = self.files.disk()?;
            remove_if_there(&*disk, &sums_path(&self.path)).map_err(SnapshotError::io(&self.path))?;
            return Err(SnapshotError::io(&self.path)(error));
        }
        self.synced = self.received;
        self.begun = self.received;
        Ok(())
    }

    /// Compares the image with what the sender says of it at its end. A damaged one is removed.
    pub fn check(&self, info: SnapshotInfo) -> Result<(), SnapshotError> {
        check(&*self.files.disk()?, &self.path, &self.measure, info)
    }

    /// Checks the image as [`Receiving::check`] does, and puts it in place of the replica. A damaged one is removed and
    /// the old replica stays. No connection to the replica may be open.
    pub fn finish(mut self, info: SnapshotInfo) -> Result<(), SnapshotError> {
        let disk = self.files.disk()?;
        self.sync()?;
        self.check(info)?;
        drop((self.file, self.sums));
        place(&*disk, &self.files, &self.path, info)?;
        // One that stays is removed with the next part.
        remove_if_there(&*disk, &sums_path(&self.path)).map_err(SnapshotError::io(&self.path))
    }
}

fn part_path(files: &Files, id: ImageId) -> PathBuf {
    beside(&files.path, &format!("{PART}{:032x}", id.0))
}

fn sums_path(part: &Path) -> PathBuf {
    beside(part, SUMS)
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
    let directory = directory_of(&files.path);
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

fn remove_other_parts(disk: &dyn Disk, files: &Files, keep: &[&Path]) -> Result<(), SnapshotError> {
    let prefix = beside(&files.path, PART);
    let prefix = prefix.as_os_str().as_encoded_bytes();
    let remove = || {
        for path in disk.list(directory_of(&files.path))? {
            if !keep.contains(&&*path) && path.as_os_str().as_encoded_bytes().starts_with(prefix) {
                disk.remove(&path)?;
            }
        }
        Ok(())
    };
    remove().map_err(SnapshotError::io(&files.path))
}
