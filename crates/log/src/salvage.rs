//! A log in which bytes have rotted, made whole again without what SQLite holds anyhow.
//!
//! A node must never forget what it has acknowledged: its term and vote, and its entries. Of its entries those through
//! SQLite's position are committed, and SQLite has them: the log may lose these, as retention cuts them away
//! ([`crate::Log::cut_prefix`]). So a log can go on when what follows the last rotten byte is whole and
//!
//! - has a hard state: the last one written. Each segment begins with one;
//! - begins no later than just after SQLite's position.
//!
//! When an older segment is rotten, it goes with all before it. When the newest one is, what is left of it is written
//! into a new one, which becomes the log with its name, as an installed snapshot does: whole or not at all.
//! Whatever cannot be shown to be so is refused, and nothing is changed.

use std::path::{Path, PathBuf};

use bellwether_types::disk::Disk;
use bellwether_types::entry::{Entry, HardState};
use bellwether_types::position::{LogIndex, Position};
use bytes::Bytes;

use crate::error::{Flaw, IoFailure, OpenError};
use crate::frame::{self, Content, Place};
use crate::header::{HEADER_BYTES, Header, Identity};
use crate::index::Index;
use crate::recovery::replay_after;
use crate::segment::{ALLOCATION_BYTES, Listing, SEGMENT_BYTES, path_of, temporary_path_of};

/// What is left of a log that [`crate::Log::open`] has refused as corrupt. Nothing is changed before
/// [`Salvage::finish`].
#[derive(Debug)]
pub struct Salvage {
    dir: PathBuf,
    found: OpenError,
    left: Left,
}

#[derive(Debug)]
enum Left {
    /// All segments after this one.
    Segments { after: u64, index: Box<Index> },
    /// The end of the newest segment.
    Frames {
        identity: Identity,
        sequence: u64,
        hard_state: HardState,
        /// All before is lost, or may be.
        first: LogIndex,
        entries: Vec<Entry>,
    },
}

impl Salvage {
    /// Reads what can be read. The error is why the log cannot be opened, when nothing helps it.
    pub fn of(disk: &dyn Disk, dir: &Path, identity: Identity) -> Result<Salvage, OpenError> {
        let listing = Listing::read(disk, dir).map_err(|source| IoFailure::new("list", dir, source))?;
        let newest = listing.segments.last().copied().unwrap_or_default();
        let mut found = None;
        let mut after = 0;
        loop {
            let error = match replay_after(disk, dir, Some(identity), after) {
                Ok(Some(replay)) if !replay.index.extents().is_empty() => {
                    let index = Box::new(replay.index);
                    let Some(found) = found else {
                        let file = path_of(dir, newest);
                        return Err(OpenError::MissingSegment { file });
                    };
                    let left = Left::Segments { after, index };
                    return Ok(Salvage::new(dir, found, left));
                }
                Ok(_) => OpenError::MissingSegment {
                    file: path_of(dir, newest),
                },
                Err(error) => error,
            };
            let (OpenError::Corrupt { file, .. } | OpenError::MissingSegment { file }) = &error else {
                return Err(error);
            };
            let rotten = (after + 1..=newest).find(|sequence| path_of(dir, *sequence) == *file);
            match rotten {
                Some(sequence) if sequence < newest => {
                    after = sequence;
                    found.get_or_insert(error);
                }
                _ => {
                    let left = frames_left(disk, dir, identity, newest, &error);
                    let found = found.unwrap_or(error);
                    return match left {
                        Some(left) => Ok(Salvage::new(dir, found, left)),
                        None => Err(found),
                    };
                }
            }
        }
    }

    fn new(dir: &Path, found: OpenError, left: Left) -> Salvage {
        let dir = dir.to_owned();
        Salvage { dir, found, left }
    }

    /// What is wrong with the log.
    pub fn found(&self) -> &OpenError {
        &self.found
    }

    /// Whether SQLite may be at this position: it is of what was lost, all of which SQLite may hold, or the entry that is
    /// there has the same term.
    pub fn allows(&self, position: Position) -> bool {
        if position.index < self.first() {
            return true;
        }
        match &self.left {
            Left::Segments { index, .. } => index.term_at(position.index) == Some(position.term),
            Left::Frames { entries, .. } => entries.iter().any(|entry| entry.position == position),
        }
    }

    /// Of the entries that are left.
    fn first(&self) -> LogIndex {
        match &self.left {
            Left::Segments { index, .. } => index.base().index.next(),
            Left::Frames { first, .. } => *first,
        }
    }

    /// Makes the log whole from `held` on, which SQLite holds durably. When SQLite holds too little, the error is what was
    /// found at first, and nothing is changed.
    pub fn finish(self, disk: &dyn Disk, held: Position) -> Result<(), OpenError> {
        if held.index.next() < self.first() || !self.allows(held) {
            return Err(self.found);
        }
        match self.left {
            Left::Segments { after, .. } => remove_through(disk, &self.dir, after),
            Left::Frames {
                identity,
                sequence,
                hard_state,
                first: _,
                entries,
            } => {
                let header = Header {
                    identity,
                    sequence,
                    base: held,
                    starts_anew: true,
                    previous_end: 0,
                };
                let kept = entries.iter().filter(|entry| entry.position.index > held.index);
                match encode(&header, hard_state, kept) {
                    Some(bytes) => Ok(write_segment(disk, &self.dir, sequence, &bytes)?),
                    None => Err(self.found),
                }
            }
        }
    }
}

/// Oldest first, each durably: a gap is corruption.
fn remove_through(disk: &dyn Disk, dir: &Path, last: u64) -> Result<(), OpenError> {
    let listing = Listing::read(disk, dir).map_err(|source| IoFailure::new("list", dir, source))?;
    for sequence in listing.segments.into_iter().filter(|sequence| *sequence <= last) {
        let path = path_of(dir, sequence);
        disk.remove(&path)
            .map_err(|source| IoFailure::new("remove", &path, source))?;
        disk.sync_dir(dir)
            .map_err(|source| IoFailure::new("sync", dir, source))?;
    }
    Ok(())
}

/// Of the newest segment, whose bytes do not check out. `None`: what was lost with them is not known.
fn frames_left(
    disk: &dyn Disk,
    dir: &Path,
    identity: Identity,
    newest: u64,
    error: &OpenError,
) -> Option<Left> {
    let OpenError::Corrupt {
        flaw: Flaw::Header(_) | Flaw::Frame(_),
        ..
    } = error
    else {
        return None;
    };
    let mut bytes = vec![0; SEGMENT_BYTES as usize];
    let mut file = disk.open(&path_of(dir, newest), false).ok()?;
    let filled = file.read_at(0, &mut bytes).ok()?;
    bytes.truncate(filled);
    let header = bytes.get(..HEADER_BYTES)?;
    // Either may have rotted, the header or its checksum; only under the right one are frames read.
    let (content, stored) = header.split_at(HEADER_BYTES - 4);
    let seeds = [
        u32::from_le_bytes(stored.try_into().ok()?),
        crc32c::crc32c(content),
    ];
    let run = seeds
        .map(|seed| frame::last_run(&bytes, seed))
        .into_iter()
        .find(|run| !run.frames.is_empty())?;
    let hard_state = run.frames.iter().rev().find_map(|(_, content)| match content {
        Content::HardState(state) => Some(*state),
        _ => None,
    })?;
    let entries = entries_of(&run.frames)?;
    let first = match entries.first() {
        Some(entry) => entry.position.index,
        // Each lost frame was an entry at most.
        None => {
            let before = run.front.iter().filter_map(|(_, content)| content.position());
            let before = before.map(|position| position.index).max();
            let base = || Header::decode(header).ok().map(|(header, _)| header.base.index);
            LogIndex(before.or_else(base)?.0 + run.lost_max).next()
        }
    };
    Some(Left::Frames {
        identity,
        sequence: newest + 1,
        hard_state,
        first,
        entries,
    })
}

/// What frames come to, when all that they say follows; consecutive.
fn entries_of(run: &[(u32, Content<'_>)]) -> Option<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    for (_, content) in run {
        let Some(position) = content.position() else {
            continue;
        };
        if let Content::Supersede { kept, .. } = content {
            if entries
                .last()
                .is_some_and(|last| kept.index >= last.position.index)
            {
                return None;
            }
            entries.retain(|entry| entry.position.index <= kept.index);
        }
        let follows = |last: &Entry| {
            last.position.index.next() == position.index && last.position.term <= position.term
        };
        if !entries.last().is_none_or(follows) {
            return None;
        }
        entries.push(Entry {
            position,
            payload: Bytes::copy_from_slice(content.payload()),
        });
    }
    Some(entries)
}

/// A whole segment; `None` when it would be longer than one may be.
fn encode<'a>(
    header: &Header,
    hard_state: HardState,
    entries: impl Iterator<Item = &'a Entry>,
) -> Option<Vec<u8>> {
    let (mut bytes, seed) = header.encode();
    let contents = std::iter::once(Content::HardState(hard_state)).chain(entries.map(Content::entry));
    for content in contents {
        let offset = u32::try_from(bytes.len()).ok()?;
        let place = Place {
            offset,
            synced: 0,
            seed,
        };
        frame::encode(&content, place, &mut bytes);
    }
    let allocated = bytes.len().next_multiple_of(ALLOCATION_BYTES as usize);
    (allocated <= SEGMENT_BYTES as usize).then(|| {
        bytes.resize(allocated, 0);
        bytes
    })
}

/// Durable before it has its name, and then durably the log.
fn write_segment(disk: &dyn Disk, dir: &Path, sequence: u64, bytes: &[u8]) -> Result<(), IoFailure> {
    let (temporary, path) = (temporary_path_of(dir, sequence), path_of(dir, sequence));
    let written = disk.open(&temporary, true).and_then(|mut file| {
        file.truncate(0)?;
        file.write_at(0, bytes)?;
        file.sync()
    });
    written.map_err(|source| IoFailure::new("write", &temporary, source))?;
    disk.rename(&temporary, &path)
        .map_err(|source| IoFailure::new("name", &path, source))?;
    disk.sync_dir(dir)
        .map_err(|source| IoFailure::new("sync", dir, source))
}
