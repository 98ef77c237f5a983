//! SQLite's write-ahead log as storage reads it: `WalScan::read`.
//!
//! Mostly a log is written by the rules of sqlite.org/fileformat2.html §4, implemented here a second time, damaged in
//! places, and both must agree on the transactions in it.

use bellwether_storage::wal::{CommitFrame, WalScan};

use crate::disk::MemoryFile;
use crate::source::Source;

/// Frames at most: a frame is large.
const FRAMES_MAX: usize = 48;

/// Byte 0: 255 for a file as it is; else page size and byte order of a log to be written, then its frames, four
/// bytes each.
pub fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let shape = source.byte();
    if shape == 255 {
        check(source.rest(), None);
    } else {
        let (file, expected) = write(shape, &mut source);
        check(&file, Some(expected));
    }
}

fn check(bytes: &[u8], expected: Option<Vec<CommitFrame>>) {
    let scan = read(bytes);
    let mut before = 0;
    for (index, commit) in scan.commits.iter().enumerate() {
        assert!(commit.end_offset > before && commit.end_offset <= bytes.len() as u64);
        before = commit.end_offset;
        assert_eq!(scan.bytes_after(index + 1), before);
    }
    if let Some(expected) = expected {
        assert_eq!(scan.commits, expected);
    }
    let half = scan.commits.len() / 2;
    let cut = &bytes[..scan.bytes_after(half) as usize];
    assert_eq!(
        read(cut).commits,
        scan.commits[..half],
        "a log cut after a transaction ends with it"
    );
}

fn read(bytes: &[u8]) -> WalScan {
    WalScan::read(&mut MemoryFile::new(bytes.to_vec())).expect("memory")
}

/// The file, and the transactions that it must be read as.
fn write(shape: u8, source: &mut Source<'_>) -> (Vec<u8>, Vec<CommitFrame>) {
    let page_bytes = 512usize << (shape & 7);
    let big_endian = shape & 8 != 0;
    let salts = [0x1234_5678, u32::from(shape)];
    let mut file = Vec::new();
    for word in [
        0x377F_0682 | u32::from(big_endian),
        3_007_000,
        page_bytes as u32,
        1,
        salts[0],
        salts[1],
    ] {
        file.extend_from_slice(&word.to_be_bytes());
    }
    let mut sums = sum([0; 2], &file, big_endian);
    file.extend(sums.iter().flat_map(|word| word.to_be_bytes()));
    let mut is_live = (512..=65_536).contains(&page_bytes);
    if shape & 0x40 != 0 {
        file[24] ^= 1;
        is_live = false;
    }
    let mut commits = Vec::new();
    for _ in 0..FRAMES_MAX {
        if source.is_empty() {
            break;
        }
        let (page, database_pages, fill, flaw) =
            (source.byte(), source.byte() & 15, source.byte(), source.byte());
        let mut head = Vec::new();
        let stale = u32::from(flaw == 1);
        for word in [
            u32::from(page),
            u32::from(database_pages),
            salts[0] ^ stale,
            salts[1],
        ] {
            head.extend_from_slice(&word.to_be_bytes());
        }
        let content: Vec<u8> = (0..page_bytes).map(|at| fill.wrapping_mul(at as u8)).collect();
        sums = sum(sum(sums, &head[..8], big_endian), &content, big_endian);
        let wrong = u32::from(flaw == 2);
        head.extend(
            [sums[0] ^ wrong, sums[1]]
                .iter()
                .flat_map(|word| word.to_be_bytes()),
        );
        file.extend(head);
        file.extend(content);
        is_live &= page != 0 && flaw != 1 && flaw != 2;
        if flaw == 3 {
            // The last frame is cut short.
            file.pop();
            break;
        }
        if is_live && database_pages != 0 {
            commits.push(CommitFrame {
                end_offset: file.len() as u64,
                database_pages: u32::from(database_pages),
            });
        }
    }
    (file, commits)
}

/// §4.2: two sums over pairs of words.
fn sum(sums: [u32; 2], bytes: &[u8], big_endian: bool) -> [u32; 2] {
    let words: Vec<u32> = bytes
        .chunks_exact(4)
        .map(|word| [word[0], word[1], word[2], word[3]])
        .map(|word| {
            if big_endian {
                u32::from_be_bytes(word)
            } else {
                u32::from_le_bytes(word)
            }
        })
        .collect();
    words.chunks_exact(2).fold(sums, |[first, second], pair| {
        let first = first.wrapping_add(pair[0]).wrapping_add(second);
        [first, second.wrapping_add(pair[1]).wrapping_add(first)]
    })
}

/// Logs of both byte orders and several page sizes, with each flaw; and one as a file.
pub fn seeds() -> Vec<Vec<u8>> {
    let frames = |flaw: u8| vec![1, 0, 3, 0, 2, 2, 9, 0, 1, 3, 77, flaw, 5, 4, 1, 0];
    let written = [(0, 0), (8, 0), (3, 1), (11, 2), (1, 3), (7, 0), (0x40, 0)];
    let mut seeds: Vec<_> = written
        .into_iter()
        .map(|(shape, flaw)| [&[shape], frames(flaw).as_slice()].concat())
        .collect();
    let (file, _) = write(0, &mut Source::new(&frames(0)));
    seeds.push([&[255], file.as_slice()].concat());
    seeds
}
