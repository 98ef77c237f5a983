//! Frames, the records within a segment: a pure codec over bytes, and [`scan`], which judges a whole segment.
//!
//! ```text
//! 0   u32  bytes of body
//! 4   u32  sync mark: the segment was durable through this byte when the frame was written
//! 8   u8   kind, then three zeros
//! 12  u32  CRC32C of body and padding, seeded with the segment's seed
//! 16  u32  CRC32C of the 16 bytes above and of the frame's offset, seeded likewise
//! 20       body, then zeros up to a multiple of 8
//! ```
//!
//! The head has a checksum of its own, so a length is believed only when it is right, a damaged body does not
//! hide the frames after it, and the search for sync marks beyond a damaged frame looks at each byte once.
//! Nothing here panics or allocates by what the bytes say.

use std::fmt;

use bellwether_types::codec::{DecodeError, Decoder, Encoder};
use bellwether_types::entry::{Entry, HardState, MAX_PAYLOAD_BYTES};
use bellwether_types::position::Position;

use crate::header::{HEADER_BYTES, Header};
use crate::segment::SEGMENT_BYTES;

/// Bytes before a frame's body.
pub const FRAME_HEAD_BYTES: usize = 20;

/// Frames start at multiples of this.
pub const ALIGNMENT: usize = 8;

/// Two positions as varints take at most 40 bytes.
const MAX_BODY_BYTES: usize = MAX_PAYLOAD_BYTES + 40;

/// Frozen.
mod kind {
    pub const HARD_STATE: u8 = 1;
    pub const ENTRY: u8 = 2;
    pub const SUPERSEDE: u8 = 3;
    pub const MARK: u8 = 4;
}

/// What a frame says. Borrows its payload from the bytes it was read from, or from the entry to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// Term and vote, from here on.
    HardState(HardState),
    /// The entry after the last one.
    Entry {
        /// Where; its index is the last one's plus 1.
        position: Position,
        /// Opaque.
        payload: &'a [u8],
    },
    /// The entry after `kept`; all that the log had after `kept` is void from here on. One frame, so that the
    /// old suffix goes exactly when the new entry comes.
    Supersede {
        /// The last entry that stays.
        kept: Position,
        /// Where; its index is `kept`'s plus 1.
        position: Position,
        /// Opaque.
        payload: &'a [u8],
    },
    /// Nothing but its sync mark.
    Mark,
}

/// The most bytes that a frame with such a payload takes.
pub(crate) fn max_frame_bytes(payload_bytes: usize) -> usize {
    FRAME_HEAD_BYTES + 40 + payload_bytes + ALIGNMENT
}

impl<'a> Content<'a> {
    /// A plain entry.
    pub(crate) fn entry(entry: &'a Entry) -> Content<'a> {
        Content::Entry {
            position: entry.position,
            payload: &entry.payload,
        }
    }

    /// Where the entry stands, if it is one.
    pub fn position(&self) -> Option<Position> {
        match *self {
            Content::Entry { position, .. } | Content::Supersede { position, .. } => Some(position),
            Content::HardState(_) | Content::Mark => None,
        }
    }

    /// The entry's payload; empty if it is none.
    pub fn payload(&self) -> &'a [u8] {
        match *self {
            Content::Entry { payload, .. } | Content::Supersede { payload, .. } => payload,
            Content::HardState(_) | Content::Mark => &[],
        }
    }

    /// The most bytes that its frame takes.
    pub(crate) fn max_frame_bytes(&self) -> usize {
        max_frame_bytes(self.payload().len())
    }

    fn decode(kind: u8, body: &'a [u8]) -> Result<Content<'a>, DecodeError> {
        let mut input = Decoder::new(body);
        let content = match kind {
            kind::HARD_STATE => Content::HardState(HardState::decode(&mut input)?),
            kind::ENTRY => Content::Entry {
                position: Position::decode(&mut input)?,
                payload: input.rest(),
            },
            kind::SUPERSEDE => {
                let kept = Position::decode(&mut input)?;
                Content::Supersede {
                    kept,
                    position: Position::decode(&mut input)?,
                    payload: input.rest(),
                }
            }
            kind::MARK => Content::Mark,
            other => {
                return Err(DecodeError::UnknownTag {
                    what: "frame",
                    tag: u64::from(other),
                });
            }
        };
        input.finish()?;
        if content.payload().len() > MAX_PAYLOAD_BYTES {
            let value = content.payload().len() as u64;
            return Err(DecodeError::OutOfRange {
                what: "entry payload bytes",
                value,
            });
        }
        Ok(content)
    }
}

/// What a frame's checksums depend on besides its content.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Where in the file the frame starts.
    pub offset: u32,
    /// The file is durable through this byte; at most `offset`.
    pub synced: u32,
    /// The segment's seed.
    pub seed: u32,
}

/// Appends a frame.
pub fn encode(content: &Content<'_>, place: Place, out: &mut Vec<u8>) {
    let mut fields = Encoder::new();
    let kind = match content {
        Content::HardState(state) => {
            state.encode(&mut fields);
            kind::HARD_STATE
        }
        Content::Entry { position, .. } => {
            position.encode(&mut fields);
            kind::ENTRY
        }
        Content::Supersede { kept, position, .. } => {
            kept.encode(&mut fields);
            position.encode(&mut fields);
            kind::SUPERSEDE
        }
        Content::Mark => kind::MARK,
    };
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
    out.extend_from_slice(fields.as_slice());
    out.extend_from_slice(content.payload());
    let body_bytes = out.len() - start - FRAME_HEAD_BYTES;
    out.resize(start + frame_bytes(body_bytes), 0);
    let body_checksum = crc32c::crc32c_append(place.seed, &out[start + FRAME_HEAD_BYTES..]);
    let mut head = Encoder::new();
    head.fixed_u32(u32::try_from(body_bytes).expect("a body is at most MAX_BODY_BYTES long"));
    head.fixed_u32(place.synced);
    head.fixed_u32(u32::from(kind));
    head.fixed_u32(body_checksum);
    let checksum = head_checksum(head.as_slice(), place.offset, place.seed);
    head.fixed_u32(checksum);
    out[start..start + FRAME_HEAD_BYTES].copy_from_slice(head.as_slice());
}

fn frame_bytes(body_bytes: usize) -> usize {
    (FRAME_HEAD_BYTES + body_bytes).next_multiple_of(ALIGNMENT)
}

fn head_checksum(head: &[u8], offset: u32, seed: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, head), &offset.to_le_bytes())
}

/// Why the bytes at an offset are no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The bytes end before the frame does.
    Incomplete {
        /// How many bytes the frame, or its head, takes from its start.
        needed_bytes: usize,
    },
    /// The head's checksum is wrong, or what it says is impossible: length, kind and mark are unknown.
    Head,
    /// The head is right, the body is not.
    Body,
    /// Both checksums are right, and yet the body cannot be read. Never the work of a torn write.
    Content(DecodeError),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Incomplete { needed_bytes } => {
                write!(f, "the file ends within a frame of {needed_bytes} bytes")
            }
            Damage::Head => write!(f, "the checksum of a frame's head is wrong"),
            Damage::Body => write!(f, "the checksum of a frame's body is wrong"),
            Damage::Content(error) => write!(f, "a frame cannot be read: {error}"),
        }
    }
}

struct Head {
    body_bytes: usize,
    synced: u32,
    kind: u8,
    body_checksum: u32,
}

/// Reads the head of a frame that starts at the front of `bytes` and at `offset` of its file.
fn read_head(bytes: &[u8], offset: u32, seed: u32) -> Result<Head, Damage> {
    let incomplete = Damage::Incomplete {
        needed_bytes: FRAME_HEAD_BYTES,
    };
    let head: &[u8; FRAME_HEAD_BYTES] = bytes.first_chunk().ok_or(incomplete)?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let kind = u8::try_from(word(8)).map_err(|_| Damage::Head)?;
    let (body_bytes, synced) = (word(0) as usize, word(4));
    if kind == 0 || body_bytes > MAX_BODY_BYTES || synced > offset {
        return Err(Damage::Head);
    }
    if head_checksum(&head[..16], offset, seed) != word(16) {
        return Err(Damage::Head);
    }
    Ok(Head {
        body_bytes,
        synced,
        kind,
        body_checksum: word(12),
    })
}

/// Reads the frame at the front of `bytes`, which starts at `offset` of its file; how many bytes it takes
/// beside it.
pub fn read(bytes: &[u8], offset: u32, seed: u32) -> Result<(Content<'_>, usize), Damage> {
    let head = read_head(bytes, offset, seed)?;
    let needed_bytes = frame_bytes(head.body_bytes);
    let frame = bytes
        .get(..needed_bytes)
        .ok_or(Damage::Incomplete { needed_bytes })?;
    let padded = &frame[FRAME_HEAD_BYTES..];
    if crc32c::crc32c_append(seed, padded) != head.body_checksum {
        return Err(Damage::Body);
    }
    let content = Content::decode(head.kind, &padded[..head.body_bytes]).map_err(Damage::Content)?;
    Ok((content, needed_bytes))
}

/// A segment's bytes, read front to back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan<'a> {
    /// What the segment says of itself.
    pub header: Header,
    /// The seed of its checksums.
    pub seed: u32,
    /// Each frame with the offset where it starts.
    pub frames: Vec<(u32, Content<'a>)>,
    /// Where the frames end.
    pub end: u32,
    /// Why no frame is read at `end`.
    pub damage: Damage,
    /// What that means if the segment is the log's last.
    pub rest: Rest,
}

/// What stands behind the frames of a log's last segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Zeros, or nothing.
    Clean,
    /// Bytes that were written and never known to be durable.
    Torn {
        /// Through the last byte that is not zero.
        bytes: u32,
    },
    /// Bytes that were durable and are not what was written.
    Corrupt,
}

/// Reads a whole segment file. Errors when its header does not check out. Looks at the first
/// [`SEGMENT_BYTES`] bytes only: no segment is longer.
pub fn scan(bytes: &[u8]) -> Result<Scan<'_>, DecodeError> {
    let bytes = &bytes[..bytes.len().min(SEGMENT_BYTES as usize)];
    let (header, seed) = Header::decode(bytes)?;
    let mut frames = Vec::new();
    let mut end = HEADER_BYTES;
    let damage = loop {
        match read(&bytes[end..], end as u32, seed) {
            Ok((content, frame_bytes)) => {
                frames.push((end as u32, content));
                end += frame_bytes;
            }
            Err(damage) => break damage,
        }
    };
    let rest = judge(bytes, end, seed, &damage);
    Ok(Scan {
        header,
        seed,
        frames,
        end: end as u32,
        damage,
        rest,
    })
}

/// What stands behind the last gap in a segment's frames.
pub(crate) struct LastRun<'a> {
    /// Those before the first gap.
    pub front: Vec<(u32, Content<'a>)>,
    /// Those behind the last one, each with its offset.
    pub frames: Vec<(u32, Content<'a>)>,
    /// At most so many frames are lost in between.
    pub lost_max: u64,
}

/// Reads what can be read of a segment, whatever has rotted; the header is not looked at. A frame whose head is right is
/// never searched for others.
pub(crate) fn last_run(bytes: &[u8], seed: u32) -> LastRun<'_> {
    let bytes = &bytes[..bytes.len().min(SEGMENT_BYTES as usize)];
    let (mut front, mut frames) = (None, Vec::new());
    let (mut lost_max, mut lost_in_gap) = (0, 0);
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        let (rest, offset) = (&bytes[at..], at as u32);
        match read(rest, offset, seed) {
            Ok((content, frame_bytes)) => {
                if lost_in_gap > 0 {
                    let before = std::mem::take(&mut frames);
                    front.get_or_insert(before);
                    lost_max += std::mem::take(&mut lost_in_gap);
                }
                frames.push((offset, content));
                at += frame_bytes;
            }
            Err(_) => {
                // No frame is shorter than its head; one whose head is right is one.
                lost_in_gap += 1;
                at += read_head(rest, offset, seed).map_or(ALIGNMENT, |head| frame_bytes(head.body_bytes));
            }
        }
    }
    LastRun {
        front: front.unwrap_or_default(),
        frames,
        lost_max,
    }
}

/// The crate's documentation says why this decides between torn and corrupt.
fn judge(bytes: &[u8], end: usize, seed: u32, damage: &Damage) -> Rest {
    // A segment gets its name only after its first frame, the hard state, is durable.
    let first_frame_is_gone = end == HEADER_BYTES;
    if first_frame_is_gone || matches!(damage, Damage::Content(_)) {
        return Rest::Corrupt;
    }
    let rest = &bytes[end..];
    let Some(last_byte) = rest.iter().rposition(|byte| *byte != 0) else {
        return Rest::Clean;
    };
    let mark_lies_beyond = |offset: usize| {
        read_head(&bytes[offset..], offset as u32, seed).is_ok_and(|head| head.synced as usize > end)
    };
    let written_end = end + last_byte + 1;
    match (end + ALIGNMENT..written_end)
        .step_by(ALIGNMENT)
        .any(mark_lies_beyond)
    {
        true => Rest::Corrupt,
        false => Rest::Torn {
            bytes: last_byte as u32 + 1,
        },
    }
}
