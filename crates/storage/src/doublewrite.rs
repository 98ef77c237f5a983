//! Pages on their way from SQLite's WAL into the main file, so that the WAL itself need not be durable.
//!
//! Power may fail while pages are being moved, and leave the main file with some of them, or with halves. Whoever moves
//! pages therefore first makes durable, in one of two files beside the main one, what makes it whole again: a
//! [`Record`]. (InnoDB's doublewrite buffer does the same; SQLite syncs its whole WAL instead, in which a page stands
//! once for each transaction that changed it.)
//!
//! Promises:
//! - A record counts when it is whole. They are written in turns, so that the one before stays while the next is written.
//! - [`restore`], at a start, leaves a main file and a WAL that fit each other: the WAL holds all that the newest record
//!   names, or the main file does and the WAL is gone. What a WAL held beyond that comes from the log, which is not cut
//!   before a record names it.
//!
//! Stands on, from [`crate::checkpoint`]: pages that are moved are in the record before; the main file is durable, as far
//! as pages were moved, before a record without them is written; a WAL begins anew only after a record that names
//! its last frame and is not [`Kind::InWal`].

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use bellwether_types::disk::{Disk, DiskFile, directory_of, remove_durably, write_again};
use xxhash_rust::xxh3::xxh3_64;

use crate::files::{Files, beside};
use crate::pages::{PAGE_BYTES, write_checksum};
use crate::wal::{WalEnd, WalScan};

const SUFFIXES: [&str; 2] = ["-doublewrite-0", "-doublewrite-1"];

const MAGIC: &[u8; 8] = b"BWDOUBLE";
const VERSION: u32 = 1;

/// Magic, XXH3 of what follows, then version, kind, sequence number, salts, frames, pages of the database, pages here;
/// all little-endian.
const HEADER_BYTES: usize = 8 + 8 + 4 + 4 + 8 + 8 + 4 + 4 + 4;
/// Where that begins which the checksum is of.
const SUMMED: usize = 16;

/// The most pages of one record: 8 MiB.
pub(crate) const RECORD_PAGES_MAX: usize = 2048;

/// Where the pages are that a record speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In the WAL, which is durable so far; the main file may have some of them, and is nothing without it.
    InWal,
    /// In the main file, durably.
    InMain,
    /// In the record.
    Here,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::InWal, Kind::InMain, Kind::Here];

    fn code(self) -> u32 {
        match self {
            Kind::InWal => 1,
            Kind::InMain => 2,
            Kind::Here => 3,
        }
    }
}

/// What makes a main file whole up to a frame of a WAL.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    kind: Kind,
    /// From 1.
    sequence: u64,
    /// The frame, and of which WAL.
    end: WalEnd,
    /// Pages of the whole database then.
    database_pages: u32,
    /// Number and content.
    pages: Vec<(u32, Vec<u8>)>,
}

/// Both files, for whoever moves pages.
pub(crate) struct DoubleWrite {
    files: [Box<dyn DiskFile>; 2],
    /// Of the last record that is whole.
    sequence: u64,
    buffer: Vec<u8>,
}

impl DoubleWrite {
    /// Opens them, durably created when they are not there.
    pub fn open(files: &Files, disk: &dyn Disk) -> io::Result<DoubleWrite> {
        let paths = paths(files);
        let sequence = newest(disk, &paths)?.map_or(0, |(_, record, _)| record.sequence);
        let [first, second] = &paths;
        let opened = [disk.open(first, true)?, disk.open(second, true)?];
        disk.sync_dir(directory_of(&files.path))?;
        Ok(DoubleWrite {
            files: opened,
            sequence,
            buffer: Vec::new(),
        })
    }

    /// A record without pages, durable when this returns.
    pub fn mark(&mut self, kind: Kind, end: WalEnd) -> io::Result<()> {
        self.begin(kind, end, 0, 0);
        self.write()
    }

    /// A record of the pages whose newest frames these are, durable when this returns; `read` puts a frame's page in
    /// place.
    pub fn keep<E: From<io::Error>>(
        &mut self,
        end: WalEnd,
        database_pages: u32,
        pages: &BTreeMap<u32, u32>,
        mut read: impl FnMut(u32, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.begin(Kind::Here, end, database_pages, pages.len() as u32);
        for (number, frame) in pages {
            self.buffer.extend_from_slice(&number.to_le_bytes());
            let place = self.buffer.len();
            self.buffer.resize(place + PAGE_BYTES, 0);
            read(*frame, &mut self.buffer[place..])?;
        }
        Ok(self.write()?)
    }

    fn begin(&mut self, kind: Kind, end: WalEnd, database_pages: u32, count: u32) {
        let buffer = &mut self.buffer;
        buffer.clear();
        buffer.extend_from_slice(MAGIC);
        buffer.extend_from_slice(&[0; 8]);
        buffer.extend_from_slice(&VERSION.to_le_bytes());
        buffer.extend_from_slice(&kind.code().to_le_bytes());
        buffer.extend_from_slice(&(self.sequence + 1).to_le_bytes());
        for number in [end.salts[0], end.salts[1], end.frames, database_pages, count] {
            buffer.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let sum = xxh3_64(&self.buffer[SUMMED..]);
        self.buffer[8..SUMMED].copy_from_slice(&sum.to_le_bytes());
        let sequence = self.sequence + 1;
        let file = &mut self.files[place_of(sequence)];
        file.write_at(0, &self.buffer)?;
        file.sync()?;
        self.sequence = sequence;
        Ok(())
    }
}

/// Makes main file and WAL fit each other, from the newest record, if there is one. No connection may be open.
pub(crate) fn restore(files: &Files, disk: &dyn Disk) -> io::Result<Restored> {
    let paths = paths(files);
    let Some((path, record, bytes)) = newest(disk, &paths)? else {
        return Ok(Restored::WalKept);
    };
    let mut file = disk.open(path, false)?;
    write_again(&mut *file, bytes)?;
    file.sync()?;
    let wal = files.wal_path();
    let scan = match disk.exists(&wal)? {
        true => WalScan::read(&mut *disk.open(&wal, false)?)?,
        false => WalScan::default(),
    };
    if scan.reaches(record.end) {
        return Ok(Restored::WalKept);
    }
    match record.kind {
        Kind::InWal => return Ok(Restored::HalfMoved),
        Kind::InMain => {}
        Kind::Here => write_pages(disk, files, &record)?,
    }
    // In this order: with the record there a WAL of before is not taken for one that goes on from here.
    remove_durably(disk, &wal)?;
    remove_durably(disk, &files.shm_path())?;
    remove(files, disk)?;
    Ok(Restored::WalGivenUp)
}

/// What became of a WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restored {
    /// It fits the main file.
    WalKept,
    /// The main file is whole without it. What it held beyond that the log has.
    WalGivenUp,
    /// Pages were being moved out of it, and it is not what it was: the main file is damaged.
    HalfMoved,
}

/// Removes the records, durably: of a main file that is whole without them, or gone. The newest goes last, lest the
/// one before be taken for it.
pub(crate) fn remove(files: &Files, disk: &dyn Disk) -> io::Result<()> {
    let [first, second] = &paths(files);
    match newest(disk, &paths(files))? {
        Some((path, ..)) if path == first => {
            remove_durably(disk, second)?;
            remove_durably(disk, first)
        }
        _ => {
            remove_durably(disk, first)?;
            remove_durably(disk, second)
        }
    }
}

fn write_pages(disk: &dyn Disk, files: &Files, record: &Record) -> io::Result<()> {
    let mut main = disk.open(&files.path, false)?;
    for (number, page) in &record.pages {
        let mut page = page.clone();
        write_checksum(*number, &mut page);
        main.write_at(u64::from(number - 1) * PAGE_BYTES as u64, &page)?;
    }
    main.truncate(u64::from(record.database_pages) * PAGE_BYTES as u64)?;
    main.sync()
}

/// The newest record that is whole, in which file, and of how many bytes.
fn newest<'a>(disk: &dyn Disk, paths: &'a [PathBuf; 2]) -> io::Result<Option<(&'a PathBuf, Record, u64)>> {
    let mut newest: Option<(&PathBuf, Record, u64)> = None;
    for path in paths {
        if !disk.exists(path)? {
            continue;
        }
        let Some((record, bytes)) = read(&mut *disk.open(path, false)?)? else {
            continue;
        };
        if newest
            .as_ref()
            .is_none_or(|(_, other, _)| other.sequence < record.sequence)
        {
            newest = Some((path, record, bytes));
        }
    }
    Ok(newest)
}

/// The record of a file, and its length in bytes; `None` when there is none that is whole.
fn read(file: &mut dyn DiskFile) -> io::Result<Option<(Record, u64)>> {
    let mut header = [0; HEADER_BYTES];
    if file.read_at(0, &mut header)? < HEADER_BYTES || header[..8] != *MAGIC {
        return Ok(None);
    }
    let count = word(&header, HEADER_BYTES - 4) as usize;
    if count > RECORD_PAGES_MAX {
        return Ok(None);
    }
    let mut bytes = vec![0; HEADER_BYTES + count * (4 + PAGE_BYTES)];
    let is_whole = file.read_at(0, &mut bytes)? == bytes.len();
    Ok(match is_whole {
        true => parse(&bytes).map(|record| (record, bytes.len() as u64)),
        false => None,
    })
}

fn parse(bytes: &[u8]) -> Option<Record> {
    let (header, pages) = bytes.split_at(HEADER_BYTES);
    if xxh3_64(&bytes[SUMMED..]).to_le_bytes() != header[8..SUMMED] || word(header, 16) != VERSION {
        return None;
    }
    let code = word(header, 20);
    let pages: Vec<(u32, Vec<u8>)> = pages
        .chunks_exact(4 + PAGE_BYTES)
        .map(|page| (word(page, 0), page[4..].to_vec()))
        .collect();
    if pages.iter().any(|(number, _)| *number == 0) {
        return None;
    }
    Some(Record {
        kind: Kind::ALL.into_iter().find(|kind| kind.code() == code)?,
        sequence: u64::from(word(header, 24)) | u64::from(word(header, 28)) << 32,
        end: WalEnd {
            salts: [word(header, 32), word(header, 36)],
            frames: word(header, 40),
        },
        database_pages: word(header, 44),
        pages,
    })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn place_of(sequence: u64) -> usize {
    (sequence % 2) as usize
}

fn paths(files: &Files) -> [PathBuf; 2] {
    SUFFIXES.map(|suffix| beside(&files.path, suffix))
}

#[cfg(test)]
mod tests;
