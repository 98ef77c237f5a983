//! Reads SQLite's write-ahead log file (sqlite.org/fileformat2.html, §4): which transactions it holds and where
//! each ends, so that it can be cut between two of them.
//!
//! Promises: accepts what SQLite's own recovery accepts and nothing more — it stops at the first frame whose salts
//! or cumulative checksum do not fit, for old frames stay behind the live ones after a restart. Reads through a
//! [`DiskFile`] in bounded pieces; arbitrary bytes are an empty log, never a panic.
//! Does not look into pages, does not use the `-shm` file.

pub(crate) mod live;

use std::io;

use bellwether_types::disk::{DiskFile, write_again};

/// The file's own header.
const HEADER_BYTES: usize = 32;
/// Before each page.
const FRAME_HEADER_BYTES: usize = 24;
/// With the lowest bit set checksums take big-endian words, else little-endian ones.
const MAGIC: u32 = 0x377F_0682;
const VERSION: u32 = 3_007_000;
/// How much is read at once.
const READ_BYTES: usize = 256 * 1024;

/// What a write-ahead log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalScan {
    /// Bytes of a page; 0 when the file has no valid header.
    pub page_bytes: u32,
    /// Drawn anew each time the log restarts from its beginning.
    pub salts: [u32; 2],
    /// The transactions, oldest first.
    pub commits: Vec<CommitFrame>,
}

/// A place in a log: behind the last frame of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalEnd {
    /// The log's; those of the one before and after are others.
    pub salts: [u32; 2],
    /// From 1.
    pub frames: u32,
}

/// The last frame of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitFrame {
    /// Where it ends in the file, in bytes: a log cut here ends with this transaction.
    pub end_offset: u64,
    /// Pages of the database after it.
    pub database_pages: u32,
}

impl WalScan {
    /// Reads the log from its beginning to the first frame that does not fit.
    pub fn read(file: &mut dyn DiskFile) -> io::Result<WalScan> {
        let mut header = [0; HEADER_BYTES];
        if file.read_at(0, &mut header)? < HEADER_BYTES {
            return Ok(WalScan::default());
        }
        let Some((mut scan, mut checksum)) = parse_header(&header) else {
            return Ok(WalScan::default());
        };
        let frame_bytes = FRAME_HEADER_BYTES + scan.page_bytes as usize;
        let mut buffer = vec![0; (READ_BYTES / frame_bytes).max(1) * frame_bytes];
        let mut offset = HEADER_BYTES as u64;
        loop {
            let count = file.read_at(offset, &mut buffer)?;
            for frame in buffer[..count].chunks_exact(frame_bytes) {
                if !frame_fits(&scan, &mut checksum, frame) {
                    return Ok(scan);
                }
                offset += frame_bytes as u64;
                let database_pages = word(frame, 4);
                if database_pages != 0 {
                    scan.commits.push(CommitFrame {
                        end_offset: offset,
                        database_pages,
                    });
                }
            }
            if count < buffer.len() {
                return Ok(scan);
            }
        }
    }

    /// Whether it is the log of that place, and holds all transactions before it.
    pub(crate) fn reaches(&self, end: WalEnd) -> bool {
        let frame_bytes = FRAME_HEADER_BYTES as u64 + u64::from(self.page_bytes);
        let wanted = HEADER_BYTES as u64 + u64::from(end.frames) * frame_bytes;
        self.salts == end.salts && self.bytes_after(self.commits.len()) >= wanted
    }

    /// The length of a log that holds only the first `commits` transactions.
    pub fn bytes_after(&self, commits: usize) -> u64 {
        match commits.checked_sub(1) {
            Some(last) => self.commits[last].end_offset,
            None => 0,
        }
    }
}

/// Leaves the log its first `commits` transactions, and makes those durable. No connection may be open: others would
/// fail with an I/O error.
pub fn settle(file: &mut dyn DiskFile, scan: &WalScan, commits: usize) -> io::Result<()> {
    let end = scan.bytes_after(commits);
    if commits < scan.commits.len() {
        file.truncate(end)?;
    }
    write_again(file, end)?;
    file.sync()
}

/// Whether a frame is the next one of this log; the checksum goes on over it.
fn frame_fits(scan: &WalScan, checksum: &mut Checksum, frame: &[u8]) -> bool {
    if word(frame, 0) == 0 || [word(frame, 8), word(frame, 12)] != scan.salts {
        return false;
    }
    checksum.add(&frame[..8]);
    checksum.add(&frame[FRAME_HEADER_BYTES..]);
    checksum.sums == [word(frame, 16), word(frame, 20)]
}

fn parse_header(header: &[u8; HEADER_BYTES]) -> Option<(WalScan, Checksum)> {
    let magic = word(header, 0);
    let page_bytes = word(header, 8);
    if magic & !1 != MAGIC || word(header, 4) != VERSION {
        return None;
    }
    if !page_bytes.is_power_of_two() || !(512..=65_536).contains(&page_bytes) {
        return None;
    }
    let mut checksum = Checksum {
        sums: [0; 2],
        big_endian: magic & 1 != 0,
    };
    checksum.add(&header[..24]);
    if checksum.sums != [word(header, 24), word(header, 28)] {
        return None;
    }
    let salts = [word(header, 16), word(header, 20)];
    Some((
        WalScan {
            page_bytes,
            salts,
            commits: Vec::new(),
        },
        checksum,
    ))
}

/// SQLite's weak but fast sum (fileformat2, §4.2).
struct Checksum {
    sums: [u32; 2],
    big_endian: bool,
}

impl Checksum {
    /// Takes in a multiple of eight bytes.
    fn add(&mut self, bytes: &[u8]) {
        let [mut first, mut second] = self.sums;
        for pair in bytes.chunks_exact(8) {
            let (low, high) = (array(pair, 0), array(pair, 4));
            let (low, high) = match self.big_endian {
                true => (u32::from_be_bytes(low), u32::from_be_bytes(high)),
                false => (u32::from_le_bytes(low), u32::from_le_bytes(high)),
            };
            first = first.wrapping_add(low).wrapping_add(second);
            second = second.wrapping_add(high).wrapping_add(first);
        }
        self.sums = [first, second];
    }
}

/// Headers are big-endian whatever the checksums are.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

fn array(bytes: &[u8], at: usize) -> [u8; 4] {
    [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bellwether_types::disk::Disk;
    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;
    use crate::files::ConnectionRole;
    use crate::testing::{ForgetfulDisk, Registered};

    fn scan(disk: &ForgetfulDisk) -> WalScan {
        let mut file = disk
            .open(Path::new("/replica/main.db-wal"), false)
            .expect("a log");
        WalScan::read(&mut *file).expect("a readable log")
    }

    fn count(connection: &Connection) -> i64 {
        connection
            .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
            .expect("a count")
    }

    #[test]
    fn every_transaction_is_found_and_a_log_cut_after_one_ends_with_it() {
        for cut in 1..=20 {
            let disk = ForgetfulDisk::new(1);
            let vfs = Registered::new(disk.clone(), 1);
            let writer = vfs.files().connect(ConnectionRole::Writer).expect("a file");
            writer.execute_batch("CREATE TABLE t(x)").expect("a table");
            for _ in 0..30 {
                writer
                    .execute("INSERT INTO t VALUES (randomblob(9000))", [])
                    .expect("a row");
            }
            // The second generation leaves stale frames of the first behind it.
            writer
                .query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))
                .expect("a checkpoint");
            for _ in 0..20 {
                writer.execute("INSERT INTO t VALUES (1)", []).expect("a row");
            }
            drop(writer);
            let found = scan(&disk);
            assert_eq!((found.commits.len(), found.page_bytes), (20, 4096));

            let mut file = disk
                .open(Path::new("/replica/main.db-wal"), false)
                .expect("a log");
            settle(&mut *file, &found, cut).expect("a shorter log");
            let reader = vfs.files().connect(ConnectionRole::Reader).expect("a reader");
            assert_eq!(count(&reader), 30 + cut as i64);
        }
    }

    #[test]
    fn a_damaged_byte_ends_the_log_before_its_transaction() {
        let disk = ForgetfulDisk::new(2);
        let vfs = Registered::new(disk.clone(), 2);
        let writer = vfs.files().connect(ConnectionRole::Writer).expect("a file");
        writer.execute_batch("CREATE TABLE t(x)").expect("a table");
        for _ in 0..10 {
            writer.execute("INSERT INTO t VALUES (1)", []).expect("a row");
        }
        drop(writer);
        let whole = scan(&disk);
        let mut file = disk
            .open(Path::new("/replica/main.db-wal"), false)
            .expect("a log");
        for (index, commit) in whole.commits.iter().enumerate().rev() {
            file.write_at(commit.end_offset - 100, &[0xA5]).expect("a write");
            assert_eq!(scan(&disk).commits, whole.commits[..index]);
        }
        file.write_at(3, &[0]).expect("a write");
        assert_eq!(scan(&disk), WalScan::default());
    }

    #[test]
    fn both_byte_orders_of_the_checksum_are_read() {
        for (magic, big_endian) in [(MAGIC, false), (MAGIC | 1, true)] {
            let mut header = Vec::new();
            for number in [magic, VERSION, 512, 0, 7, 8] {
                header.extend_from_slice(&number.to_be_bytes());
            }
            let mut checksum = Checksum {
                sums: [0; 2],
                big_endian,
            };
            checksum.add(&header);
            header.extend(checksum.sums.iter().flat_map(|sum| sum.to_be_bytes()));
            let header: [u8; HEADER_BYTES] = header.try_into().expect("32 bytes");
            let (scan, _) = parse_header(&header).expect("a valid header");
            assert_eq!((scan.page_bytes, scan.salts), (512, [7, 8]));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_hold_no_transaction(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let disk = ForgetfulDisk::new(3);
            let mut file = disk.open(Path::new("/replica/main.db-wal"), true).expect("a file");
            file.write_at(0, &bytes).expect("a write");
            prop_assert_eq!(WalScan::read(&mut *file).expect("readable").commits, []);
        }
    }
}
