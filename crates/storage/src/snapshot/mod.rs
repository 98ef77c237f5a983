//! Whole copies of a replica: taken from a live one at one position, and put in the place of another.
//!
//! An image is the main file as a reader of one snapshot sees it: its pages 1 to n, read through SQLite in one read
//! transaction. It is sound by SQLite's own isolation; copying main file and WAL beside each other would need a proof
//! that no checkpoint tears a page meanwhile.
//!
//! Promises: taking one never blocks the writer and works in steps that the caller sizes. While one is taken no
//! checkpoint passes it, so the WAL grows by what is written meanwhile: stream a [`Snapshot`] to a receiver that
//! keeps up, and for a slow one make a local file of it first ([`Copying`]). Receiving can be resumed, also after a
//! restart, from the first piece on that is not what its checksum says; what arrives damaged is never put in place, nor an
//! image with a page whose checksum does not fit; no page that has rotted is sent: those of the main file are compared as
//! they are read, the WAL's frames when the snapshot begins. Placing is atomic under power failure: the old replica,
//! none, or the new.

mod copy;
mod receive;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bellwether_types::Position;
use bellwether_types::codec::{DecodeError, Decoder, Encoder};
use bellwether_types::disk::{Disk, DiskFile};
use xxhash_rust::xxh3::Xxh3Default;

pub use self::copy::{Copying, Snapshot, read_chunk};
pub use self::receive::{ImageId, Receiving, part_of, restore};
use crate::error::SqliteError;
use crate::files::{OpenError, is_damage_code, sqlite_facts};
use crate::pages::PageWalk;

/// No chunk is larger: what a sender holds in memory per receiver.
pub const CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a complete image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Of the last record in it.
    pub position: Position,
    /// Its length.
    pub bytes: u64,
    /// XXH3, 128 bits, over all of it.
    pub checksum: u128,
}

impl SnapshotInfo {
    /// Position, length, checksum.
    pub fn encode(&self, out: &mut Encoder) {
        self.position.encode(out);
        out.u64(self.bytes);
        out.u128(self.checksum);
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<SnapshotInfo, DecodeError> {
        Ok(SnapshotInfo {
            position: Position::decode(input)?,
            bytes: input.u64()?,
            checksum: input.u128()?,
        })
    }
}

/// What an image's bytes come to, in order.
#[derive(Default)]
struct Measure {
    bytes: u64,
    hash: Xxh3Default,
    pages: PageWalk,
}

impl Measure {
    fn of_file(file: &mut dyn DiskFile) -> io::Result<Measure> {
        let mut measure = Measure::default();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = file.read_at(measure.bytes, &mut buffer)?;
            measure.update(&buffer[..count]);
            if count < buffer.len() {
                return Ok(measure);
            }
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
        self.pages.update(bytes);
    }
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Why an image cannot be taken, received or put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotError {
    /// The replica cannot be opened.
    Open(OpenError),
    /// SQLite refused to read it.
    Sqlite {
        /// Extended result code.
        code: i32,
        /// SQLite's words.
        message: String,
    },
    /// The disk refused.
    Io {
        /// Which file.
        path: PathBuf,
        /// What kind of error.
        kind: io::ErrorKind,
        /// The disk's words.
        message: String,
    },
    /// More bytes came than the image has.
    TooLong {
        /// How many it has.
        bytes: u64,
    },
    /// A piece is not what its checksum says; it was not taken.
    DamagedPiece {
        /// Where it belongs.
        offset: u64,
    },
    /// The image is not what was announced; it was thrown away.
    Damaged {
        /// What was announced.
        expected: SnapshotInfo,
        /// Its length.
        bytes: u64,
        /// Its checksum.
        checksum: u128,
    },
    /// A frame of the replica's WAL is not what was written: no image of it may be given.
    RottenWal {
        /// Its number, from 1; 0: the WAL's header.
        frame: u32,
    },
    /// The image is what was announced, and one of its pages is not what was written; it was thrown away.
    RottenPage {
        /// The first, from 1.
        page: u32,
    },
    /// The image is intact, but it is one of another position.
    WrongPosition {
        /// What was announced.
        expected: Position,
        /// What it says itself.
        found: Position,
    },
}

impl SnapshotError {
    /// Whether the replica of which an image was to be taken is damaged: it must stop serving and be seeded anew.
    pub fn is_damage(&self) -> bool {
        match self {
            SnapshotError::RottenWal { .. } => true,
            SnapshotError::Sqlite { code, .. } => is_damage_code(*code),
            SnapshotError::Open(error) => error.is_damage(),
            _ => false,
        }
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
        move |error| SnapshotError::Io {
            path: path.to_owned(),
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

impl From<rusqlite::Error> for SnapshotError {
    fn from(error: rusqlite::Error) -> SnapshotError {
        let (code, message) = sqlite_facts(&error);
        SnapshotError::Sqlite { code, message }
    }
}

impl From<SqliteError> for SnapshotError {
    fn from(error: SqliteError) -> SnapshotError {
        let SqliteError { code, message, .. } = error;
        SnapshotError::Sqlite { code, message }
    }
}

impl From<OpenError> for SnapshotError {
    fn from(error: OpenError) -> SnapshotError {
        SnapshotError::Open(error)
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Open(error) => error.fmt(f),
            SnapshotError::Sqlite { code, message } => {
                write!(f, "cannot read the replica: {message} (SQLite code {code})")
            }
            SnapshotError::Io { path, message, .. } => write!(f, "{}: {message}", path.display()),
            SnapshotError::TooLong { bytes } => write!(f, "more than the announced {bytes} bytes arrived"),
            SnapshotError::Damaged {
                expected,
                bytes,
                checksum,
            } => write!(
                f,
                "the image has {bytes} bytes and checksum {checksum:032x}, announced were {} and {:032x}",
                expected.bytes, expected.checksum
            ),
            SnapshotError::DamagedPiece { offset } => {
                write!(f, "the piece at byte {offset} is not what was sent")
            }
            SnapshotError::RottenWal { frame } => {
                write!(f, "frame {frame} of SQLite's WAL is not what was written")
            }
            SnapshotError::RottenPage { page } => {
                write!(f, "page {page} of the image is not what was written")
            }
            SnapshotError::WrongPosition { expected, found } => {
                write!(f, "the image is at {found}, announced was {expected}")
            }
        }
    }
}

impl std::error::Error for SnapshotError {}
