//! Segment files: their names, their creation, and the one that is appended to.

use std::io;
use std::path::{Path, PathBuf};

use bellwether_types::disk::{Disk, DiskFile};
use bellwether_types::entry::{HardState, MAX_PAYLOAD_BYTES};

use crate::error::{IoFailure, WriteError};
use crate::frame::{self, Content, Place};
use crate::header::{HEADER_BYTES, Header};
use crate::index::Extent;

/// No segment is longer. The unit of retention, and the most memory that recovery takes at a time.
pub const SEGMENT_BYTES: u32 = 16 << 20;

/// Zeros are written ahead in steps of this, so that fdatasync rarely has a length or blocks to record; 1.3
/// times as many syncs a second were measured. Not a whole segment at once: its write would stall the log.
pub const ALLOCATION_BYTES: u32 = 1 << 20;

/// With a full disk a node goes on voting and hearing of commits for more than a thousand elections.
const MARGIN_BYTES: usize = 64 << 10;

/// What a segment begins with at most: its header and the hard state.
pub(crate) const FIRST_FRAMES_BYTES: usize = HEADER_BYTES + 256;

const _: () = assert!(
    SEGMENT_BYTES as usize > FIRST_FRAMES_BYTES + MARGIN_BYTES + MAX_PAYLOAD_BYTES,
    "an entry fits a segment"
);

/// How large segments become. The simulator takes small ones, to see many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizing {
    /// A segment with an entry in it takes no frame that ends beyond this. At most [`SEGMENT_BYTES`].
    pub segment_bytes: u32,
    /// See [`ALLOCATION_BYTES`]; at least 1.
    pub allocation_bytes: u32,
}

impl Default for Sizing {
    fn default() -> Sizing {
        Sizing {
            segment_bytes: SEGMENT_BYTES,
            allocation_bytes: ALLOCATION_BYTES,
        }
    }
}

impl Sizing {
    /// Kept free for hard states, and for what the protocol itself appends, when entries find no space any more.
    pub(crate) fn margin_bytes(&self) -> usize {
        (self.segment_bytes as usize / 4).min(MARGIN_BYTES)
    }

    /// How long a file becomes so that `end` bytes fit.
    fn file_bytes(&self, end: u32) -> u32 {
        end.next_multiple_of(self.allocation_bytes.max(1))
            .min(self.segment_bytes.min(SEGMENT_BYTES))
            .max(end)
    }
}

/// The file of a segment.
pub(crate) fn path_of(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:012}.log"))
}

/// Where it is written before it gets its name.
pub(crate) fn temporary_path_of(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:012}.log.tmp"))
}

/// A log's files. Others in the directory are left alone.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// By sequence, ascending.
    pub segments: Vec<u64>,
    /// Segments that never got their name.
    pub temporary: Vec<PathBuf>,
}

impl Listing {
    pub fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for path in disk.list(dir)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if name.strip_suffix(".log.tmp").and_then(parse_sequence).is_some() {
                listing.temporary.push(path);
            } else if let Some(sequence) = name.strip_suffix(".log").and_then(parse_sequence) {
                listing.segments.push(sequence);
            }
        }
        listing.segments.sort_unstable();
        Ok(listing)
    }
}

/// Only as `path_of` writes it: a name has one spelling.
fn parse_sequence(stem: &str) -> Option<u64> {
    let sequence: u64 = stem.parse().ok()?;
    (format!("{sequence:012}") == stem).then_some(sequence)
}

/// A segment that is durable under a temporary name, with nothing but the hard state in it. It does not count
/// before [`Tail::publish`].
pub(crate) struct Prepared {
    temporary: PathBuf,
    extent: Extent,
}

impl Prepared {
    /// With `room_bytes` of zeros, for frames to come.
    pub fn write(
        disk: &dyn Disk,
        dir: &Path,
        header: &Header,
        hard_state: HardState,
        room_bytes: usize,
        sizing: Sizing,
    ) -> Result<Prepared, IoFailure> {
        let temporary = temporary_path_of(dir, header.sequence);
        let (mut bytes, seed) = header.encode();
        let offset = bytes.len() as u32;
        frame::encode(
            &Content::HardState(hard_state),
            Place {
                offset,
                synced: 0,
                seed,
            },
            &mut bytes,
        );
        let end = bytes.len() as u32;
        let file_bytes = sizing.file_bytes(end + room_bytes as u32);
        bytes.resize(file_bytes as usize, 0);
        let written = disk.open(&temporary, true).and_then(|mut file| {
            file.truncate(0)?;
            file.write_at(0, &bytes)?;
            file.sync()
        });
        written.map_err(|source| IoFailure::new("write", &temporary, source))?;
        Ok(Prepared {
            temporary,
            extent: Extent {
                sequence: header.sequence,
                seed,
                end,
                file_bytes,
            },
        })
    }
}

/// The segment that is appended to.
pub(crate) struct Tail {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    sequence: u64,
    seed: u32,
    end: u32,
    synced: u32,
    file_bytes: u32,
    /// Where the frames end that it was created with.
    first_end: u32,
    sizing: Sizing,
}

impl Tail {
    /// Takes over a segment that recovery has read through and synced.
    pub fn resume(file: Box<dyn DiskFile>, path: PathBuf, extent: Extent, sizing: Sizing) -> Tail {
        let Extent {
            sequence,
            seed,
            end,
            file_bytes,
        } = extent;
        Tail {
            file,
            path,
            sequence,
            seed,
            end,
            synced: end,
            file_bytes,
            first_end: HEADER_BYTES as u32,
            sizing,
        }
    }

    /// Gives a segment its name, durably. From here on all segments before it count as durable.
    pub fn publish(
        disk: &dyn Disk,
        dir: &Path,
        prepared: Prepared,
        sizing: Sizing,
    ) -> Result<Tail, IoFailure> {
        let Prepared { temporary, extent } = prepared;
        let path = path_of(dir, extent.sequence);
        disk.rename(&temporary, &path)
            .map_err(|source| IoFailure::new("name", &path, source))?;
        disk.sync_dir(dir)
            .map_err(|source| IoFailure::new("sync", dir, source))?;
        let file = disk
            .open(&path, false)
            .map_err(|source| IoFailure::new("open", &path, source))?;
        let tail = Tail::resume(file, path, extent, sizing);
        Ok(Tail {
            first_end: extent.end,
            ..tail
        })
    }

    pub fn extent(&self) -> Extent {
        let Tail {
            sequence,
            seed,
            end,
            file_bytes,
            ..
        } = *self;
        Extent {
            sequence,
            seed,
            end,
            file_bytes,
        }
    }

    /// Whether something was written since the last sync.
    pub fn is_dirty(&self) -> bool {
        self.synced != self.end
    }

    /// Whether a frame can be written here, behind `before` bytes of the same group, rather than in a segment
    /// to come. A fresh segment takes any.
    pub fn has_room(&self, before: usize, frame_bytes: usize) -> bool {
        let is_fresh = self.end == self.first_end && before == 0;
        let limit = self.sizing.segment_bytes.min(SEGMENT_BYTES) as usize;
        is_fresh || self.end as usize + before + frame_bytes <= limit
    }

    /// Where a frame goes that has `before` bytes written together with it in front.
    pub fn place(&self, before: usize) -> Place {
        Place {
            offset: self.end + before as u32,
            synced: self.synced,
            seed: self.seed,
        }
    }

    /// Makes the file long enough for so many bytes more; no longer than a segment may be, unless it is fresh.
    pub fn allocate(&mut self, bytes: usize) -> Result<(), WriteError> {
        let end = self.end + bytes as u32;
        if end > self.file_bytes {
            let file_bytes = self.sizing.file_bytes(end);
            let zeros = vec![0; (file_bytes - self.file_bytes) as usize];
            let grown = self.file.write_at(u64::from(self.file_bytes), &zeros);
            grown.map_err(|source| WriteError::unless_full(IoFailure::new("extend", &self.path, source)))?;
            self.file_bytes = file_bytes;
        }
        Ok(())
    }

    /// Writes frames at the end: one write, and one of zeros before it when the file has to grow.
    pub fn write(&mut self, frames: &[u8]) -> Result<(), WriteError> {
        self.allocate(frames.len())?;
        let end = self.end + frames.len() as u32;
        let written = self.file.write_at(u64::from(self.end), frames);
        written.map_err(|source| IoFailure::new("write", &self.path, source))?;
        self.end = end;
        Ok(())
    }

    /// Makes all that was written durable.
    pub fn sync(&mut self) -> Result<(), IoFailure> {
        if self.is_dirty() {
            self.file
                .sync()
                .map_err(|source| IoFailure::new("sync", &self.path, source))?;
            self.synced = self.end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_grow_in_steps_and_never_beyond_a_segment() {
        let sizing = Sizing {
            segment_bytes: 1000,
            allocation_bytes: 300,
        };
        let lengths: Vec<_> = [1, 300, 301, 950, 1200].map(|end| sizing.file_bytes(end)).into();
        assert_eq!(lengths, [300, 300, 600, 1000, 1200]);
    }

    #[test]
    fn only_names_as_written_are_segments() {
        assert_eq!(parse_sequence("000000000012"), Some(12));
        for name in ["12", "+00000000012", "00000000001x", ""] {
            assert_eq!(parse_sequence(name), None, "{name:?}");
        }
    }
}
