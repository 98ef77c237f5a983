//! A whole log whose files were damaged: `bellwether_log::Log::open` over a disk in memory.
//!
//! A log of several segments is written and sealed, then damaged as the input says. Whatever opens must read, go on
//! and open again with the same content. A single flipped byte may never change what was durable: the log opens
//! with every entry, or is refused.

use std::path::Path;
use std::sync::Arc;

use bellwether_log::{HEADER_BYTES, Identity, Log, OpenError, Recovered, Sizing};
use bellwether_types::{ClusterId, DatabaseId, Entry, HardState, LogIndex, NodeId, Position, Term};
use bytes::Bytes;

use crate::disk::MemoryDisk;
use crate::source::Source;

/// Small, so that a few entries fill several segments.
const SIZING: Sizing = Sizing {
    segment_bytes: 640,
    allocation_bytes: 128,
};

const IDENTITY: Identity = Identity {
    cluster: ClusterId(0xC1),
    node: NodeId(2),
    database: DatabaseId(1),
};

/// Damages at most, so that a long input is no slower than a short one.
const DAMAGES_MAX: usize = 16;

/// Byte 0: which log. Then damages, each of a byte for its kind, one for the file and three for place and value.
pub fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let disk = MemoryDisk::default();
    let written = write(&disk, source.byte());
    let mut flips = 0;
    let mut others = 0;
    while !source.is_empty() && flips + others < DAMAGES_MAX {
        match damage(&disk, &mut source) {
            Damage::Flip => flips += 1,
            Damage::Other => others += 1,
        }
    }
    match open(&disk) {
        Ok((mut log, recovered)) => {
            let found = content(&mut log, &recovered);
            if others == 0 && flips <= 1 {
                assert_eq!(found, written, "one flipped byte changed what was durable");
            }
            goes_on(log, &disk, found);
        }
        Err(error) => {
            assert!(flips + others > 0, "an undamaged log is refused: {error}");
            assert!(!error.to_string().is_empty());
        }
    }
}

/// What a log holds.
#[derive(Debug, Clone, PartialEq)]
struct Held {
    base: Position,
    term: Term,
    vote: Option<NodeId>,
    entries: Vec<Entry>,
}

fn dir() -> &'static Path {
    Path::new("log")
}

fn open(disk: &MemoryDisk) -> Result<(Log, Recovered), OpenError> {
    Log::open_sized(Arc::new(disk.clone()), dir(), IDENTITY, SIZING)
}

/// Writes a log and seals it. `shape` says how many entries there are, and whether a suffix was replaced, a prefix
/// cut, or the log begun anew.
fn write(disk: &MemoryDisk, shape: u8) -> Held {
    let (mut log, recovered) = open(disk).expect("an empty directory");
    let mut recovered = recovered;
    let entry = |term: u64, index: u64| Entry {
        position: Position::new(term, index),
        payload: Bytes::from(vec![index as u8; (index * 37 % 150) as usize]),
    };
    if shape & 0x10 != 0 {
        recovered.base = Position::new(1, 4);
        log.reset(recovered.base).expect("memory");
    }
    let first = recovered.base.index.0 + 1;
    let last = first + u64::from(shape & 0xF);
    let state = HardState {
        term: Term(2),
        vote: Some(NodeId(3)),
        commit: LogIndex(first),
    };
    log.set_hard_state(state).expect("memory");
    for index in first..=last {
        log.append(&[entry(1, index)]).expect("memory");
        log.sync().expect("memory");
    }
    if shape & 0x20 != 0 {
        log.append(&[entry(2, last), entry(2, last + 1)]).expect("memory");
        log.sync().expect("memory");
    }
    if shape & 0x40 != 0 {
        log.cut_prefix(LogIndex(first + (last - first) / 2))
            .expect("memory");
    }
    log.sync().expect("memory");
    log.seal().expect("memory");
    recovered.base = log.base();
    recovered.last = log.last();
    recovered.hard_state = state;
    content(&mut log, &recovered)
}

fn content(log: &mut Log, recovered: &Recovered) -> Held {
    let mut entries: Vec<Entry> = Vec::new();
    let end = recovered.last.index.next();
    let mut next = recovered.base.index.next();
    while next < end {
        let read = log.read(next, end, 200).expect("what opened can be read");
        assert!(!read.is_empty(), "at least one entry is read");
        entries.extend(read);
        next = entries.last().expect("just extended").position.index.next();
    }
    let positions: Vec<_> = entries.iter().map(|entry| entry.position).collect();
    let mut before = recovered.base;
    for position in positions {
        assert_eq!(position.index, before.index.next());
        assert!(position.term >= before.term, "terms never decrease");
        before = position;
    }
    assert_eq!(before, recovered.last);
    Held {
        base: recovered.base,
        term: recovered.hard_state.term,
        vote: recovered.hard_state.vote,
        entries,
    }
}

/// What opened takes another entry, and has everything when it is opened again.
fn goes_on(mut log: Log, disk: &MemoryDisk, mut held: Held) {
    let last = log.last();
    if last.index.0 == u64::MAX {
        return;
    }
    let entry = Entry {
        position: Position::new(last.term.0, last.index.0 + 1),
        payload: Bytes::from_static(b"one more"),
    };
    log.append(std::slice::from_ref(&entry)).expect("memory");
    log.sync().expect("memory");
    held.entries.push(entry);
    drop(log);
    let (mut log, recovered) = open(disk).expect("what was repaired is sound");
    assert_eq!(content(&mut log, &recovered), held);
}

enum Damage {
    /// One byte has another value.
    Flip,
    Other,
}

fn damage(disk: &MemoryDisk, source: &mut Source<'_>) -> Damage {
    let kind = source.byte();
    let files = disk.files();
    let Some((path, file)) = files.get(usize::from(source.byte()) % files.len().max(1)) else {
        return Damage::Other;
    };
    let (at, value) = (usize::from(source.u16()), source.byte());
    let mut bytes = file.bytes();
    let len = bytes.len();
    if len == 0 {
        return Damage::Other;
    }
    let at = at % len;
    match kind % 8 {
        0..=2 => {
            bytes[at] ^= value.max(1);
            return Damage::Flip;
        }
        3 => bytes.truncate(at),
        4 => bytes[at..].fill(0),
        5 => {
            let from = usize::from(value) * 8 % len;
            let moved = bytes[from..(from + 64).min(len)].to_vec();
            let room = (len - at).min(moved.len());
            bytes[at..at + room].copy_from_slice(&moved[..room]);
        }
        6 if len >= HEADER_BYTES => {
            bytes[at % HEADER_BYTES] ^= value.max(1);
            let checksum = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
            bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
        }
        6 => bytes.extend_from_slice(&[value; 9]),
        _ => {
            let name = dir().join(format!("{:012}.log", value % 12));
            drop(bytes);
            use bellwether_types::disk::Disk;
            disk.rename(path, &name).expect("it is there");
        }
    }
    Damage::Other
}

/// Each shape undamaged, and each kind of damage once.
pub fn seeds() -> Vec<Vec<u8>> {
    let shapes = [0x00, 0x0F, 0x2F, 0x4F, 0x7C, 0x35];
    let damaged = (0..8).map(|kind| vec![0x2F, kind, 1, 150, 0, 3, kind, 3, 20, 1, 255]);
    shapes
        .into_iter()
        .map(|shape| vec![shape])
        .chain(damaged)
        .collect()
}
