//! Reading entries, beside the one who appends.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_types::disk::{Disk, DiskFile};
use bellwether_types::entry::Entry;
use bellwether_types::position::{LogIndex, Position, Term};
use bytes::Bytes;

use crate::error::{Flaw, IoFailure, OpenError, ReadError};
use crate::frame::{self, Damage};
use crate::header::{HEADER_BYTES, Header, Identity};
use crate::index::{Extent, SharedIndex, Stretch};
use crate::log::Recovered;
use crate::recovery;
use crate::segment::path_of;

/// Bytes read at a time, unless one frame takes more.
const WINDOW_BYTES: usize = 32 << 10;

/// Reads entries while the [`crate::Log`] it came from is appended to by another thread. It sees all that was
/// appended, synced or not. Cheap to clone; each clone has its own open file.
pub struct LogReader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    index: Arc<SharedIndex>,
    /// The segment read last.
    open: Option<(u64, Box<dyn DiskFile>)>,
}

/// What [`LogReader::check`] has found to be sound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Segment files.
    pub segments: u64,
    /// Entries, those that were superseded among them.
    pub entries: u64,
    /// Bytes, without zeros written ahead.
    pub bytes: u64,
}

impl Clone for LogReader {
    fn clone(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.disk), self.dir.clone(), Arc::clone(&self.index))
    }
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl LogReader {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, index: Arc<SharedIndex>) -> LogReader {
        LogReader {
            disk,
            dir,
            index,
            open: None,
        }
    }

    /// Opens a log for reading only, whoever's it is: for tools. Changes nothing on disk; what is appended
    /// later is not seen. None when `dir` holds no log.
    pub fn inspect(
        disk: Arc<dyn Disk>,
        dir: &Path,
    ) -> Result<Option<(LogReader, Identity, Recovered)>, OpenError> {
        let Some(replay) = recovery::replay(&*disk, dir, None)? else {
            return Ok(None);
        };
        let recovered = Recovered::of(&replay);
        let index = Arc::new(SharedIndex::new(replay.index));
        Ok(Some((
            LogReader::new(disk, dir.to_owned(), index),
            replay.identity,
            recovered,
        )))
    }

    /// The entries of `from..to`, as many as there are and fit `max_bytes` (in the sense of
    /// [`Entry::size_bytes`]); one, when there is one, even if it does not fit.
    pub fn read(&mut self, from: LogIndex, to: LogIndex, max_bytes: usize) -> Result<Vec<Entry>, ReadError> {
        loop {
            let generation = self.index.lock().generation();
            let outcome = self.read_once(from, to, max_bytes);
            // What was superseded or cut away meanwhile may have been read, or missed.
            if self.index.lock().generation() == generation {
                return outcome;
            }
            self.open = None;
        }
    }

    /// All of `from..to`, part by part as [`LogReader::read`] answers them; ends early where the log does, and after an
    /// error.
    pub fn parts(
        &mut self,
        from: LogIndex,
        to: LogIndex,
        max_bytes: usize,
    ) -> impl Iterator<Item = Result<Vec<Entry>, ReadError>> + '_ {
        let mut from = from;
        std::iter::from_fn(move || {
            if from >= to {
                return None;
            }
            let part = self.read(from, to, max_bytes);
            from = match &part {
                Ok(entries) => entries.last()?.position.index.next(),
                Err(_) => to,
            };
            Some(part)
        })
    }

    /// Reads all segments from their files, and compares every byte that was written with its checksum. Holds one segment in
    /// memory; `pause` is called after each. What is cut away meanwhile is left out.
    pub fn check(&self, mut pause: impl FnMut()) -> Result<Checked, ReadError> {
        let extents: Vec<Extent> = self.index.lock().extents().iter().copied().collect();
        let mut checked = Checked::default();
        for extent in extents {
            match self.check_segment(&extent) {
                Ok(entries) => {
                    checked.segments += 1;
                    checked.entries += entries;
                    checked.bytes += u64::from(extent.end);
                }
                Err(error) if self.index.lock().has_segment(extent.sequence) => return Err(error),
                Err(_) => {}
            }
            pause();
        }
        Ok(checked)
    }

    /// How many entries it has.
    fn check_segment(&self, extent: &Extent) -> Result<u64, ReadError> {
        let path = path_of(&self.dir, extent.sequence);
        let mut bytes = vec![0; extent.end as usize];
        let filled = self
            .disk
            .open(&path, false)
            .and_then(|mut file| file.read_at(0, &mut bytes))
            .map_err(|source| IoFailure::new("read", &path, source))?;
        bytes.truncate(filled);
        let corrupt = |offset: usize, flaw| ReadError::Corrupt {
            file: path.clone(),
            offset: offset as u64,
            flaw,
        };
        let (header, seed) = Header::decode(&bytes).map_err(|error| corrupt(0, Flaw::Header(error)))?;
        if seed != extent.seed || header.sequence != extent.sequence {
            let sequence = header.sequence;
            return Err(corrupt(0, Flaw::WrongName { sequence }));
        }
        let (mut at, mut entries) = (HEADER_BYTES, 0);
        while at < extent.end as usize {
            let rest = bytes.get(at..).unwrap_or_default();
            let (content, frame_bytes) =
                frame::read(rest, at as u32, seed).map_err(|damage| corrupt(at, Flaw::Frame(damage)))?;
            entries += u64::from(content.position().is_some());
            at += frame_bytes;
        }
        Ok(entries)
    }

    /// The first entry kept, or to come.
    pub fn first(&self) -> LogIndex {
        self.index.lock().base().index.next()
    }

    /// The last entry's position, or the base's.
    pub fn last(&self) -> Position {
        self.index.lock().last()
    }

    /// The term of the entry at `index`, or of the base.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        self.index.lock().term_at(index)
    }

    fn read_once(&mut self, from: LogIndex, to: LogIndex, max_bytes: usize) -> Result<Vec<Entry>, ReadError> {
        let mut batch = Batch {
            entries: Vec::new(),
            next: from,
            to,
            bytes_left: max_bytes,
            is_full: from >= to,
        };
        while !batch.is_full {
            let located = {
                let index = self.index.lock();
                if batch.next <= index.base().index {
                    return Err(ReadError::Cut { base: index.base() });
                }
                index.locate(batch.next)
            };
            let Some(stretch) = located else { break };
            self.read_stretch(&stretch, &mut batch)?;
        }
        Ok(batch.entries)
    }

    fn read_stretch(&mut self, stretch: &Stretch, batch: &mut Batch) -> Result<(), ReadError> {
        let mut offset = stretch.offset;
        let mut window = Vec::new();
        let mut window_at = offset;
        while batch.next <= stretch.last && !batch.is_full {
            let rest = &window[(offset - window_at) as usize..];
            match frame::read(rest, offset, stretch.seed) {
                Ok((content, frame_bytes)) => {
                    if let Some(position) = content.position().filter(|position| position.index == batch.next)
                    {
                        batch.offer(position, content.payload());
                    }
                    offset += frame_bytes as u32;
                }
                Err(Damage::Incomplete { needed_bytes })
                    if needed_bytes > rest.len()
                        && offset as usize + needed_bytes <= stretch.end as usize =>
                {
                    let len = needed_bytes
                        .max(WINDOW_BYTES)
                        .min((stretch.end - offset) as usize);
                    window = self.read_window(stretch.sequence, offset, len)?;
                    window_at = offset;
                    if window.len() < needed_bytes {
                        return Err(self.corrupt(stretch, offset, Damage::Incomplete { needed_bytes }));
                    }
                }
                Err(damage) => return Err(self.corrupt(stretch, offset, damage)),
            }
        }
        Ok(())
    }

    fn read_window(&mut self, sequence: u64, offset: u32, len: usize) -> Result<Vec<u8>, ReadError> {
        let path = path_of(&self.dir, sequence);
        if self.open.as_ref().is_none_or(|(open, _)| *open != sequence) {
            let file = self
                .disk
                .open(&path, false)
                .map_err(|source| IoFailure::new("open", &path, source))?;
            self.open = Some((sequence, file));
        }
        let (_, file) = self.open.as_mut().expect("opened above");
        let mut bytes = vec![0; len];
        let filled = file
            .read_at(u64::from(offset), &mut bytes)
            .map_err(|source| IoFailure::new("read", &path, source))?;
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn corrupt(&self, stretch: &Stretch, offset: u32, damage: Damage) -> ReadError {
        let file = path_of(&self.dir, stretch.sequence);
        ReadError::Corrupt {
            file,
            offset: u64::from(offset),
            flaw: Flaw::Frame(damage),
        }
    }
}

/// What a read has gathered.
struct Batch {
    entries: Vec<Entry>,
    next: LogIndex,
    to: LogIndex,
    bytes_left: usize,
    is_full: bool,
}

impl Batch {
    /// Takes the entry, or is full.
    fn offer(&mut self, position: Position, payload: &[u8]) {
        let entry = Entry {
            position,
            payload: Bytes::copy_from_slice(payload),
        };
        match self.bytes_left.checked_sub(entry.size_bytes()) {
            Some(left) => self.bytes_left = left,
            None if self.entries.is_empty() => self.bytes_left = 0,
            None => {
                self.is_full = true;
                return;
            }
        }
        self.next = self.next.next();
        self.is_full = self.next >= self.to || self.bytes_left == 0;
        self.entries.push(entry);
    }
}
