//! The log as a connection has it open: whether its frames are still what was written.
//!
//! SQLite compares a WAL's checksums when it recovers one and never again, so a byte that rots there would go into the
//! main file, where its page gets a checksum like any other. Whoever moves or copies frames looks here first. A frame is
//! read once per [`LiveWal`]; what rots after that and before it is moved is for the scrub to find.
//!
//! Keeps of each frame which page it is of, until told that it was moved.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::ptr::null_mut;

use rusqlite::{Connection, ffi};

use super::{
    Checksum, FRAME_HEADER_BYTES, HEADER_BYTES, READ_BYTES, WalEnd, WalScan, frame_fits, parse_header, word,
};
use crate::files::SqliteFile;

/// Another writer may start the log anew between two of our looks. That often in a row it does not.
const LOOKS: usize = 4;

/// How far a log was found to be what was written.
#[derive(Default)]
pub(crate) struct LiveWal {
    header: [u8; HEADER_BYTES],
    frames: u32,
    sums: [u32; 2],
    /// Frames that were moved.
    moved: u32,
    /// Of the frames after those, in order: the page, and how many pages the database then had; 0 but for the last one
    /// of a transaction.
    pages: Vec<(u32, u32)>,
}

/// Pages that are to be moved, each with its newest frame.
pub(crate) struct Moving {
    pub(crate) frames: BTreeMap<u32, u32>,
    /// In how many frames they are.
    pub(crate) frame_count: u32,
    /// Pages of the whole database after them.
    pub(crate) database_pages: u32,
}

/// A frame of the log is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RottenFrame(pub(crate) u32);

/// Why it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookError {
    Rotten(RottenFrame),
    /// SQLite's result code.
    Sqlite(c_int),
}

impl LiveWal {
    /// Reads the frames that came since the last call. The connection has read in WAL mode before, and has no
    /// transaction open.
    pub(crate) fn look(&mut self, connection: &Connection) -> Result<(), LookError> {
        let mut found = Ok(());
        for _ in 0..LOOKS {
            let frames = match count(connection) {
                Ok(frames) => frames,
                // A writer is just publishing a transaction.
                Err(LookError::Sqlite(code)) if code & 0xFF == ffi::SQLITE_BUSY => {
                    found = Err(LookError::Sqlite(code));
                    std::thread::yield_now();
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(file) = SqliteFile::of(connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER) else {
                return Ok(());
            };
            found = self.read(&file, frames);
            match found {
                Err(LookError::Rotten(_)) => *self = LiveWal::default(),
                other => return other,
            }
        }
        found
    }

    fn read(&mut self, file: &SqliteFile<'_>, frames: u32) -> Result<(), LookError> {
        if frames == 0 {
            return Ok(());
        }
        let rotten = |frame| Err(LookError::Rotten(RottenFrame(frame)));
        let mut header = [0; HEADER_BYTES];
        read_whole(file, 0, &mut header)?;
        let Some((scan, mut checksum)) = parse_header(&header) else {
            return rotten(0);
        };
        if header != self.header || frames < self.frames {
            *self = LiveWal {
                header,
                frames: 0,
                sums: checksum.sums,
                moved: 0,
                pages: Vec::new(),
            };
        }
        checksum.sums = self.sums;
        let frame_bytes = FRAME_HEADER_BYTES + scan.page_bytes as usize;
        let mut buffer = vec![0; (READ_BYTES / frame_bytes).max(1) * frame_bytes];
        while self.frames < frames {
            let count = (buffer.len() / frame_bytes).min((frames - self.frames) as usize);
            let piece = &mut buffer[..count * frame_bytes];
            let offset = HEADER_BYTES as u64 + u64::from(self.frames) * frame_bytes as u64;
            read_whole(file, offset, piece)?;
            self.take(&scan, &mut checksum, piece, frame_bytes)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        scan: &WalScan,
        checksum: &mut Checksum,
        piece: &[u8],
        frame_bytes: usize,
    ) -> Result<(), LookError> {
        for frame in piece.chunks_exact(frame_bytes) {
            if !frame_fits(scan, checksum, frame) {
                return Err(LookError::Rotten(RottenFrame(self.frames + 1)));
            }
            self.frames += 1;
            self.sums = checksum.sums;
            self.pages.push((word(frame, 0), word(frame, 4)));
        }
        Ok(())
    }

    fn salts(&self) -> [u32; 2] {
        [word(&self.header, 16), word(&self.header, 20)]
    }

    /// The last frame that was looked at.
    pub(crate) fn end(&self) -> WalEnd {
        WalEnd {
            salts: self.salts(),
            frames: self.frames,
        }
    }

    /// What is to be moved up to there; `None`: nothing, also when the log has begun anew since, which it does only
    /// when all is moved.
    pub(crate) fn moving(&self, end: WalEnd) -> Option<Moving> {
        if end.salts != self.salts() || end.frames <= self.moved || end.frames > self.frames {
            return None;
        }
        let pages = &self.pages[..(end.frames - self.moved) as usize];
        let numbered = (self.moved + 1..).zip(pages);
        Some(Moving {
            frames: numbered.map(|(frame, (page, _))| (*page, frame)).collect(),
            frame_count: pages.len() as u32,
            database_pages: pages.last().map_or(0, |(_, database_pages)| *database_pages),
        })
    }

    /// So many frames are in the main file, durably.
    pub(crate) fn moved(&mut self, frames: u32) {
        let moved = frames.min(self.frames);
        if moved > self.moved {
            self.pages.drain(..(moved - self.moved) as usize);
            self.moved = moved;
        }
    }

    /// Reads the page of a frame that was looked at.
    pub(crate) fn read_page(connection: &Connection, frame: u32, page: &mut [u8]) -> Result<(), LookError> {
        let Some(file) = SqliteFile::of(connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER) else {
            return Err(LookError::Sqlite(ffi::SQLITE_MISUSE));
        };
        let frame_bytes = (FRAME_HEADER_BYTES + page.len()) as u64;
        let offset = HEADER_BYTES as u64 + u64::from(frame - 1) * frame_bytes + FRAME_HEADER_BYTES as u64;
        read_whole(&file, offset, page)
    }
}

/// What the connection's read transaction sees of the log; `None` when it sees the main file alone, of a log that
/// was never written.
pub(crate) fn snapshot_end(connection: &Connection) -> Option<WalEnd> {
    let mut snapshot: *mut ffi::sqlite3_snapshot = null_mut();
    // SAFETY: an open connection, a static name, an out parameter. What it is set to is freed below, and is SQLite's
    // header of the WAL's index, 48 bytes (sqlite.org/walformat.html, §2.1), as a test compares.
    unsafe {
        let code = ffi::sqlite3_snapshot_get(connection.handle(), c"main".as_ptr(), &raw mut snapshot);
        if code != ffi::SQLITE_OK || snapshot.is_null() {
            return None;
        }
        let bytes: [u8; 48] = snapshot.cast::<[u8; 48]>().read_unaligned();
        ffi::sqlite3_snapshot_free(snapshot);
        Some(WalEnd {
            salts: [word(&bytes, 32), word(&bytes, 36)],
            frames: u32::from_ne_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]),
        })
    }
}

/// Frames of committed transactions in the log.
fn count(connection: &Connection) -> Result<u32, LookError> {
    let mut frames: c_int = 0;
    // SAFETY: an open connection, a static name, an out parameter; null: the other number is not wanted.
    let code = unsafe {
        ffi::sqlite3_wal_checkpoint_v2(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_CHECKPOINT_NOOP,
            &mut frames,
            std::ptr::null_mut(),
        )
    };
    match code {
        // -1 when there is no log yet.
        ffi::SQLITE_OK => Ok(frames.max(0).cast_unsigned()),
        code => Err(LookError::Sqlite(code)),
    }
}

/// What is missing at the end reads as zeros, which fit nothing.
fn read_whole(file: &SqliteFile<'_>, offset: u64, buffer: &mut [u8]) -> Result<(), LookError> {
    match file.read(offset, buffer) {
        ffi::SQLITE_OK | ffi::SQLITE_IOERR_SHORT_READ => Ok(()),
        code => Err(LookError::Sqlite(code)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bellwether_types::disk::Disk;

    use super::*;
    use crate::files::ConnectionRole;
    use crate::testing::{ForgetfulDisk, Registered};

    #[test]
    fn a_rotten_frame_is_found_among_those_that_were_not_looked_at_before() {
        let disk = ForgetfulDisk::new(1);
        let vfs = Registered::new(disk.clone(), 1);
        let files = vfs.files();
        let writer = files.connect(ConnectionRole::Writer).expect("a file");
        let mut wal = LiveWal::default();
        let write = |rows: usize| {
            for _ in 0..rows {
                writer
                    .execute("INSERT INTO t VALUES (randomblob(6000))", [])
                    .expect("a row");
            }
        };
        writer.execute_batch("CREATE TABLE t(x)").expect("a table");
        for mode in ["PASSIVE", "RESTART", "TRUNCATE"] {
            write(20);
            assert_eq!(wal.look(&writer), Ok(()));
            write(20);
            assert_eq!(wal.look(&writer), Ok(()), "after {mode}");
            writer
                .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
                .expect("a checkpoint");
            assert_eq!(wal.look(&writer), Ok(()), "after {mode}");
        }
        write(20);
        assert_eq!(wal.look(&writer), Ok(()));
        let seen = wal.frames;
        write(20);
        let mut file = disk
            .open(Path::new("/replica/main.db-wal"), false)
            .expect("a log");
        let frame_bytes = FRAME_HEADER_BYTES as u64 + 4096;
        let place = HEADER_BYTES as u64 + (u64::from(seen) + 2) * frame_bytes + 777;
        let mut byte = [0];
        file.read_at(place, &mut byte).expect("a byte");
        file.write_at(place, &[byte[0] ^ 1]).expect("a write");
        assert_eq!(wal.look(&writer), Err(LookError::Rotten(RottenFrame(seen + 3))));
    }
}
