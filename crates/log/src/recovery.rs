//! Opening: reads every segment, judges what does not check out, and repairs what a crash leaves behind.
//!
//! [`replay`] only reads; [`repair`] changes the disk, and runs only when nothing is wrong.

use std::path::{Path, PathBuf};

use bellwether_types::codec::DecodeError;
use bellwether_types::disk::{Disk, DiskFile, write_again};
use bellwether_types::entry::HardState;
use bellwether_types::position::Position;

use crate::error::{Flaw, IoFailure, OpenError};
use crate::frame::{self, Content, Rest, Scan};
use crate::header::{HEADER_BYTES, Header, Identity};
use crate::index::{Extent, Index};
use crate::segment::{Listing, SEGMENT_BYTES, path_of};

/// What the directory holds.
pub(crate) struct Replay {
    pub identity: Identity,
    pub index: Index,
    pub hard_state: HardState,
    /// Behind the frames of the last segment.
    pub torn_bytes: u32,
    /// Files that no longer count.
    obsolete: Vec<PathBuf>,
}

/// Reads the log in `dir`; none when there is no segment. `expected` refuses another's.
pub(crate) fn replay(
    disk: &dyn Disk,
    dir: &Path,
    expected: Option<Identity>,
) -> Result<Option<Replay>, OpenError> {
    replay_after(disk, dir, expected, 0)
}

/// As [`replay`], as if the segments through this one had been cut away.
pub(crate) fn replay_after(
    disk: &dyn Disk,
    dir: &Path,
    expected: Option<Identity>,
    cut: u64,
) -> Result<Option<Replay>, OpenError> {
    let mut listing = Listing::read(disk, dir).map_err(|source| IoFailure::new("list", dir, source))?;
    listing.segments.retain(|sequence| *sequence > cut);
    let chain = read_chain(disk, dir, &listing, expected)?;
    let (Some(first), Some(oldest)) = (chain.first(), chain.first().map(|header| header.sequence)) else {
        return Ok(None);
    };
    let mut obsolete = listing.temporary;
    obsolete.extend(
        listing
            .segments
            .iter()
            .filter(|sequence| **sequence < oldest)
            .map(|old| path_of(dir, *old)),
    );
    let mut replay = Replay {
        identity: first.identity,
        index: Index::new(first.base),
        hard_state: HardState::default(),
        torn_bytes: 0,
        obsolete,
    };
    for (at, header) in chain.iter().enumerate() {
        let path = path_of(dir, header.sequence);
        if header.base != replay.index.last() {
            let flaw = Flaw::Order {
                after: replay.index.last(),
                found: header.base,
            };
            return Err(corrupt(&path, 0, flaw));
        }
        let end = chain.get(at + 1).map(|next| next.previous_end);
        replay.read_segment(disk, &path, header.sequence, end)?;
    }
    Ok(Some(replay))
}

/// The headers of the segments that count, oldest first: back from the newest to where the log begins anew,
/// or to what retention has left.
fn read_chain(
    disk: &dyn Disk,
    dir: &Path,
    listing: &Listing,
    expected: Option<Identity>,
) -> Result<Vec<Header>, OpenError> {
    let mut chain: Vec<Header> = Vec::new();
    for sequence in listing.segments.iter().rev() {
        if let Some(next) = chain.last() {
            if next.starts_anew {
                break;
            }
            if sequence + 1 != next.sequence {
                return Err(OpenError::MissingSegment {
                    file: path_of(dir, next.sequence - 1),
                });
            }
        }
        chain.push(read_header(disk, path_of(dir, *sequence), *sequence, expected)?);
    }
    chain.reverse();
    Ok(chain)
}

fn read_header(
    disk: &dyn Disk,
    path: PathBuf,
    sequence: u64,
    expected: Option<Identity>,
) -> Result<Header, OpenError> {
    let mut bytes = vec![0; HEADER_BYTES];
    let mut file = disk
        .open(&path, false)
        .map_err(|source| IoFailure::new("open", &path, source))?;
    let len = file
        .read_at(0, &mut bytes)
        .map_err(|source| IoFailure::new("read", &path, source))?;
    let header = match Header::decode(&bytes[..len]) {
        Ok((header, _)) => header,
        Err(DecodeError::UnknownVersion { version, .. }) => {
            return Err(OpenError::Version {
                file: path,
                found: version,
            });
        }
        Err(error) => return Err(corrupt(&path, 0, Flaw::Header(error))),
    };
    if header.sequence != sequence {
        return Err(corrupt(
            &path,
            0,
            Flaw::WrongName {
                sequence: header.sequence,
            },
        ));
    }
    match expected {
        Some(expected) if expected != header.identity => Err(OpenError::Foreign {
            file: path,
            expected,
            found: header.identity,
        }),
        _ => Ok(header),
    }
}

impl Replay {
    /// Of a log just founded.
    pub fn founded(identity: Identity, extent: Extent) -> Replay {
        let mut index = Index::new(Position::ZERO);
        index.start_segment(extent);
        Replay {
            identity,
            index,
            hard_state: HardState::default(),
            torn_bytes: 0,
            obsolete: Vec::new(),
        }
    }

    /// `end` is where the frames must end; none for the last segment.
    fn read_segment(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        sequence: u64,
        end: Option<u32>,
    ) -> Result<(), OpenError> {
        let mut file = disk
            .open(path, false)
            .map_err(|source| IoFailure::new("open", path, source))?;
        let bytes = read_whole(&mut *file, path)?;
        let counted = match end {
            None => &bytes[..],
            Some(end) => bytes
                .get(..end as usize)
                .ok_or_else(|| corrupt(path, bytes.len() as u64, Flaw::WrongEnd { expected_offset: end }))?,
        };
        let scan = frame::scan(counted).map_err(|error| corrupt(path, 0, Flaw::Header(error)))?;
        self.judge_end(path, &scan, end)?;
        let file_bytes = bytes.len() as u32;
        self.index.start_segment(Extent {
            sequence,
            seed: scan.seed,
            end: scan.end,
            file_bytes,
        });
        for (offset, content) in &scan.frames {
            self.index
                .apply(*offset, content)
                .map_err(|flaw| corrupt(path, u64::from(*offset), flaw))?;
            if let Content::HardState(state) = content {
                self.hard_state = *state;
            }
        }
        Ok(())
    }

    fn judge_end(&mut self, path: &Path, scan: &Scan<'_>, end: Option<u32>) -> Result<(), OpenError> {
        let offset = u64::from(scan.end);
        match (end, scan.rest) {
            (Some(end), _) if scan.end == end => Ok(()),
            (Some(end), Rest::Clean) => Err(corrupt(path, offset, Flaw::WrongEnd { expected_offset: end })),
            (Some(_), _) | (None, Rest::Corrupt) => {
                Err(corrupt(path, offset, Flaw::Frame(scan.damage.clone())))
            }
            (None, Rest::Clean) => Ok(()),
            (None, Rest::Torn { bytes }) => {
                self.torn_bytes = bytes;
                Ok(())
            }
        }
    }
}

fn read_whole(file: &mut dyn DiskFile, path: &Path) -> Result<Vec<u8>, OpenError> {
    let len = file
        .len()
        .map_err(|source| IoFailure::new("measure", path, source))?;
    if len > u64::from(SEGMENT_BYTES) {
        return Err(corrupt(path, u64::from(SEGMENT_BYTES), Flaw::TooLong));
    }
    let mut bytes = vec![0; len as usize];
    let filled = file
        .read_at(0, &mut bytes)
        .map_err(|source| IoFailure::new("read", path, source))?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// Makes durable what was read (it may have been written and not synced before a kill), overwrites a torn
/// tail with zeros, removes what no longer counts. The open file of the last segment.
pub(crate) fn repair(disk: &dyn Disk, dir: &Path, replay: &Replay) -> Result<Box<dyn DiskFile>, OpenError> {
    let last = replay
        .index
        .extents()
        .back()
        .expect("replay answers logs with a segment only");
    let path = path_of(dir, last.sequence);
    let mut file = disk
        .open(&path, false)
        .map_err(|source| IoFailure::new("open", &path, source))?;
    write_again(&mut *file, u64::from(last.end))
        .map_err(|source| IoFailure::new("rewrite", &path, source))?;
    if replay.torn_bytes > 0 {
        let zeros = vec![0; replay.torn_bytes as usize];
        file.write_at(u64::from(last.end), &zeros)
            .map_err(|source| IoFailure::new("write", &path, source))?;
    }
    file.sync()
        .map_err(|source| IoFailure::new("sync", &path, source))?;
    // The last segment's name first: the files it makes obsolete must not go before it is sure to stay.
    disk.sync_dir(dir)
        .map_err(|source| IoFailure::new("sync", dir, source))?;
    for old in &replay.obsolete {
        disk.remove(old)
            .map_err(|source| IoFailure::new("remove", old, source))?;
    }
    if !replay.obsolete.is_empty() {
        disk.sync_dir(dir)
            .map_err(|source| IoFailure::new("sync", dir, source))?;
    }
    Ok(file)
}

fn corrupt(path: &Path, offset: u64, flaw: Flaw) -> OpenError {
    OpenError::Corrupt {
        file: path.to_owned(),
        offset,
        flaw,
    }
}
