//! One log segment: `bellwether_log::frame::scan`.
//!
//! Random bytes would never get past the checksums, so the header is a sound one and the frames' checksums are made
//! right, but where the input wants them wrong. Then the frames must follow each other without gaps, read back what
//! they say, and what is behind them must be judged by what is there.

use bellwether_log::frame::{self, ALIGNMENT, Content, FRAME_HEAD_BYTES, Place, Rest};
use bellwether_log::{HEADER_BYTES, Header, Identity};
use bellwether_types::{ClusterId, DatabaseId, HardState, LogIndex, NodeId, Position, Term};

use crate::source::Source;

/// Byte 0: what is repaired. Bytes 1 to 7: the header. Then the frames as they stand in the file.
pub fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let repairs = Repairs::of(source.byte());
    let (mut bytes, seed) = header(&mut source).encode();
    bytes.extend_from_slice(source.rest());
    repair_frames(&mut bytes, seed, repairs);
    if !repairs.header {
        // As it comes: the header's own bytes are the input's.
        let _ = frame::scan(input);
    }
    check(&bytes);
}

#[derive(Clone, Copy)]
struct Repairs {
    header: bool,
    /// Kinds and lengths are brought into range, too.
    heads: bool,
    bodies: bool,
    /// So many frames only; 0: all.
    frames: usize,
}

impl Repairs {
    fn of(byte: u8) -> Repairs {
        Repairs {
            header: byte & 1 == 0,
            heads: byte & 2 == 0,
            bodies: byte & 4 == 0,
            frames: usize::from(byte >> 3),
        }
    }
}

fn header(source: &mut Source<'_>) -> Header {
    Header {
        identity: Identity {
            cluster: ClusterId(u128::from(source.number())),
            node: NodeId(source.number()),
            database: DatabaseId(u32::from(source.byte())),
        },
        sequence: source.number(),
        base: Position::new(source.number(), source.number()),
        starts_anew: source.byte() & 1 == 0,
        previous_end: 0,
    }
}

/// Walks over what the lengths call frames.
fn repair_frames(bytes: &mut [u8], seed: u32, repairs: Repairs) {
    let mut at = HEADER_BYTES;
    let mut count = 0;
    while at + FRAME_HEAD_BYTES <= bytes.len() {
        if repairs.frames != 0 && count == repairs.frames {
            return;
        }
        let room = bytes.len() - at - FRAME_HEAD_BYTES;
        let mut body_bytes = word(bytes, at) as usize;
        if repairs.heads {
            body_bytes %= room + 1;
            put_word(bytes, at, body_bytes as u32);
            let synced = word(bytes, at + 4) % (at as u32 + 1);
            put_word(bytes, at + 4, synced);
            let kind = u32::from(bytes[at + 8] % 6);
            put_word(bytes, at + 8, kind);
        }
        let frame_bytes = (FRAME_HEAD_BYTES + body_bytes.min(1 << 24)).next_multiple_of(ALIGNMENT);
        let Some(padded) = bytes.get(at + FRAME_HEAD_BYTES..at + frame_bytes) else {
            return;
        };
        if repairs.bodies {
            let checksum = crc32c::crc32c_append(seed, padded);
            put_word(bytes, at + 12, checksum);
        }
        let checksum = crc32c::crc32c_append(seed, &bytes[at..at + 16]);
        let checksum = crc32c::crc32c_append(checksum, &(at as u32).to_le_bytes());
        put_word(bytes, at + 16, checksum);
        at += frame_bytes;
        count += 1;
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put_word(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
}

fn check(bytes: &[u8]) {
    let scan = frame::scan(bytes).expect("the header is sound");
    let mut next = HEADER_BYTES as u32;
    for (offset, content) in &scan.frames {
        assert_eq!(*offset, next, "frames follow each other");
        let (read, frame_bytes) = frame::read(&bytes[next as usize..], next, scan.seed).expect("as scanned");
        assert_eq!(read, *content);
        reads_back(content, next, scan.seed);
        next += frame_bytes as u32;
    }
    assert_eq!(scan.end, next);
    let rest = &bytes[scan.end as usize..];
    let written = rest
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at as u32 + 1);
    match scan.rest {
        Rest::Clean => assert_eq!(written, 0, "clean is zeros"),
        Rest::Torn { bytes } => assert_eq!(bytes, written),
        Rest::Corrupt => {}
    }
}

fn reads_back(content: &Content<'_>, offset: u32, seed: u32) {
    let mut again = Vec::new();
    let place = Place {
        offset,
        synced: offset,
        seed,
    };
    frame::encode(content, place, &mut again);
    assert_eq!(frame::read(&again, offset, seed), Ok((*content, again.len())));
}

/// A segment with every kind of frame; whole, and with each repair left out.
pub fn seeds() -> Vec<Vec<u8>> {
    let hard_state = HardState {
        term: Term(3),
        vote: Some(NodeId(2)),
        commit: LogIndex(7),
    };
    let contents = [
        Content::HardState(hard_state),
        Content::Entry {
            position: Position::new(3, 8),
            payload: b"payload",
        },
        Content::Supersede {
            kept: Position::new(3, 7),
            position: Position::new(4, 8),
            payload: b"",
        },
        Content::Mark,
    ];
    let mut frames = vec![7, 2, 1, 9, 3, 7, 0];
    let mut offset = HEADER_BYTES as u32;
    for content in &contents {
        let start = frames.len();
        let place = Place {
            offset,
            synced: offset,
            seed: 0,
        };
        frame::encode(content, place, &mut frames);
        offset += (frames.len() - start) as u32;
    }
    [0, 1, 4, 6, 3 << 3]
        .into_iter()
        .map(|repairs| [&[repairs], frames.as_slice()].concat())
        .collect()
}
