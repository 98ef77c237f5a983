//! Bytes that were durable and changed are refused, with file and byte, or lie where nothing was known to be
//! durable. Never read as something else.

mod common;

use std::path::Path;
use std::sync::Arc;

use bellwether_log::frame::{self, Rest};
use bellwether_log::{Flaw, HEADER_BYTES, Identity, Log, LogReader, OpenError, ReadError};
use bellwether_types::entry::{Entry, HardState};
use bellwether_types::id::{ClusterId, DatabaseId, NodeId};
use bellwether_types::position::{LogIndex, Position, Term};
use common::{IDENTITY, MemoryDisk, dir, entry, flip, open, segment};
use proptest::prelude::*;

const ALL: LogIndex = LogIndex(u64::MAX);

/// Three segments; the last sync covered the last two entries.
fn filled() -> (MemoryDisk, Log, Vec<Entry>) {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk).expect("a new log");
    log.set_hard_state(HardState {
        term: Term(1),
        vote: Some(NodeId(1)),
        commit: LogIndex(2),
    })
    .expect("sound");
    let entries: Vec<_> = (1..=14)
        .map(|index| entry(1, index, &[index as u8; 60]))
        .collect();
    for group in entries[..12].chunks(3) {
        log.append(group).expect("in order");
        log.sync().expect("a sound disk");
    }
    log.append(&entries[12..]).expect("in order");
    log.sync().expect("a sound disk");
    assert_eq!(disk.names().len(), 3);
    (disk, log, entries)
}

/// Flips each bit of each segment in turn; how many entries the log has when it opens nevertheless.
fn flip_each(disk: &MemoryDisk, check: impl Fn(&Path, usize, Result<Vec<Entry>, OpenError>)) {
    for sequence in 1..=3 {
        let path = segment(sequence);
        for bit in 0..disk.bytes(&path).len() * 8 {
            let opened = open(&flip(disk, &path, bit));
            let found =
                opened.map(|(mut log, _)| log.read(LogIndex(1), ALL, usize::MAX).expect("just verified"));
            check(&path, bit / 8, found);
        }
    }
}

fn assert_named(path: &Path, byte: usize, error: &OpenError) {
    let OpenError::Corrupt { file, offset, .. } = error else {
        panic!("byte {byte} of {}: {error}", path.display());
    };
    assert_eq!(file, path);
    let frame_bytes = 100;
    let is_near = *offset as usize <= byte && byte < *offset as usize + frame_bytes.max(HEADER_BYTES);
    assert!(
        is_near,
        "byte {byte} of {} is said to be at {offset}",
        path.display()
    );
}

#[test]
fn any_flipped_bit_of_a_sealed_log_is_named_or_harmless() {
    let (disk, mut log, entries) = filled();
    log.seal().expect("a sound disk");
    flip_each(&disk, |path, byte, found| match found {
        Ok(found) => assert_eq!(found, entries, "byte {byte} of {}", path.display()),
        Err(error) => assert_named(path, byte, &error),
    });
}

#[test]
fn without_a_seal_only_the_last_syncs_entries_can_pass_for_a_torn_tail() {
    let (disk, _, entries) = filled();
    flip_each(&disk, |path, byte, found| match found {
        Ok(found) => {
            assert!(
                found.len() >= 12 && found[..] == entries[..found.len()],
                "byte {byte} of {}",
                path.display()
            );
            assert!(found.len() == 14 || path == segment(3));
        }
        Err(error) => assert_named(path, byte, &error),
    });
}

#[test]
fn a_seal_protects_all_that_was_synced_before_it() {
    let (disk, mut log, _) = filled();
    log.seal().expect("a sound disk");
    let bytes = disk.bytes(&segment(3));
    let scan = frame::scan(&bytes).expect("a sound header");
    let (last_entry, _) = scan.frames[scan.frames.len() - 2];
    let error = open(&flip(&disk, &segment(3), last_entry as usize * 8 + 200)).expect_err("corrupt");
    assert_eq!(
        error.to_string(),
        format!(
            "log segment data/log/000000000003.log is corrupt at byte {last_entry}: the checksum of a frame's \
             body is wrong; what this node has acknowledged may be lost, so nothing was changed; take it out \
             (\"bellwether node remove\") and let another join in its place (\"bellwether serve --join\" with an \
             empty directory)"
        )
    );
    assert!(error.is_corruption());
}

#[test]
fn a_refused_log_is_left_as_it_was() {
    let (disk, _, _) = filled();
    let damaged = flip(&disk, &segment(2), HEADER_BYTES * 8 + 1500);
    let before: Vec<_> = (1..=3)
        .map(|sequence| damaged.bytes(&segment(sequence)))
        .collect();
    open(&damaged).expect_err("corrupt");
    let after: Vec<_> = (1..=3)
        .map(|sequence| damaged.bytes(&segment(sequence)))
        .collect();
    assert_eq!(before, after);
}

#[test]
fn a_damaged_header_is_named() {
    let (disk, _, _) = filled();
    let error = open(&flip(&disk, &segment(2), 100))
        .expect_err("corrupt")
        .to_string();
    let expected = "log segment data/log/000000000002.log is corrupt at byte 0: \
                    the header cannot be read: checksum mismatch";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_new_segments_first_frame_is_never_a_torn_tail() {
    let disk = MemoryDisk::default();
    open(&disk).expect("a new log");
    let error = open(&flip(&disk, &segment(1), HEADER_BYTES * 8 + 170)).expect_err("corrupt");
    assert!(matches!(error, OpenError::Corrupt { offset: 128, .. }), "{error}");
}

#[test]
fn a_segment_cut_short_from_outside_is_corrupt_at_its_end() {
    let (disk, _, _) = filled();
    let bytes = disk.bytes(&segment(2));
    disk.put(&segment(2), &bytes[..300]);
    let error = open(&disk).expect_err("corrupt");
    assert!(
        matches!(
            &error,
            OpenError::Corrupt {
                offset: 300,
                flaw: Flaw::WrongEnd { .. },
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("is corrupt at byte 300: the next segment says that this one ends at byte")
    );
}

#[test]
fn a_closed_segment_overwritten_with_zeros_is_corrupt_where_its_frames_end() {
    let (disk, _, _) = filled();
    let mut bytes = disk.bytes(&segment(1));
    let scan = frame::scan(&bytes).expect("a sound header");
    let (third, _) = scan.frames[3];
    bytes[third as usize..].fill(0);
    disk.put(&segment(1), &bytes);
    let error = open(&disk).expect_err("corrupt");
    assert!(
        matches!(error, OpenError::Corrupt { offset, .. } if offset == u64::from(third)),
        "{error}"
    );
}

#[test]
fn a_missing_segment_is_named() {
    let (disk, _, _) = filled();
    let gapped = MemoryDisk::default();
    gapped.put(&segment(1), &disk.bytes(&segment(1)));
    gapped.put(&segment(3), &disk.bytes(&segment(3)));
    let error = open(&gapped).expect_err("a gap");
    assert!(error.is_corruption());
    let expected = "log segment data/log/000000000002.log is missing between others; what";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn a_segment_under_another_ones_name_is_refused() {
    let (disk, _, _) = filled();
    disk.put(&segment(4), &disk.bytes(&segment(3)));
    let error = open(&disk).expect_err("a copy").to_string();
    assert!(
        error.contains("000000000004.log is corrupt at byte 0: the header says that this is segment 3"),
        "{error}"
    );
}

#[test]
fn a_file_longer_than_a_segment_is_refused_and_not_read() {
    let (disk, _, _) = filled();
    let mut bytes = disk.bytes(&segment(3));
    bytes.resize((16 << 20) + 1, 0);
    disk.put(&segment(3), &bytes);
    let error = open(&disk).expect_err("too long").to_string();
    assert!(
        error.contains("corrupt at byte 16777216: the file is longer than a segment can be"),
        "{error}"
    );
}

#[test]
fn a_log_of_another_cluster_node_or_database_is_refused() {
    let (disk, _, _) = filled();
    let refusal = |identity| {
        let error = Log::open(Arc::new(disk.clone()), dir(), identity).expect_err("another's");
        assert!(!error.is_corruption());
        error.to_string()
    };
    assert_eq!(
        refusal(Identity {
            cluster: ClusterId(7),
            ..IDENTITY
        }),
        "log segment data/log/000000000003.log belongs to cluster 000000000000000000000000000000c1; \
         this node is of cluster 00000000000000000000000000000007"
    );
    assert_eq!(
        refusal(Identity {
            node: NodeId(9),
            ..IDENTITY
        }),
        "log segment data/log/000000000003.log belongs to node 2; this is node 9"
    );
    assert_eq!(
        refusal(Identity {
            database: DatabaseId(0),
            ..IDENTITY
        }),
        "log segment data/log/000000000003.log belongs to database 1; this is database 0"
    );
}

#[test]
fn a_log_of_another_version_is_refused() {
    let (disk, _, _) = filled();
    let mut bytes = disk.bytes(&segment(3));
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
    bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    disk.put(&segment(3), &bytes);
    assert_eq!(
        open(&disk).expect_err("a later version").to_string(),
        "log segment data/log/000000000003.log has format version 2; this build reads version 1"
    );
}

#[test]
fn frames_that_are_right_but_out_of_order_are_corrupt() {
    let (disk, _, _) = filled();
    let mut bytes = disk.bytes(&segment(3));
    let scan = frame::scan(&bytes).expect("a sound header");
    let (seed, end) = (scan.seed, scan.end);
    let place = frame::Place {
        offset: end,
        synced: end,
        seed,
    };
    let mut foreign = Vec::new();
    frame::encode(
        &frame::Content::Entry {
            position: Position::new(1, 16),
            payload: b"x",
        },
        place,
        &mut foreign,
    );
    bytes.truncate(end as usize);
    bytes.extend_from_slice(&foreign);
    disk.put(&segment(3), &bytes);
    let error = open(&disk).expect_err("a gap").to_string();
    let expected = format!("is corrupt at byte {end}: position 1000/00000010 cannot follow 1000/0000000E");
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn rot_that_happens_while_the_log_is_open_is_named_when_read() {
    let (disk, log, _) = filled();
    let bytes = disk.bytes(&segment(1));
    let (second_entry, _) = frame::scan(&bytes).expect("a sound header").frames[3];
    // The reader opens its file anew.
    let rotten = flip(&disk, &segment(1), second_entry as usize * 8 + 300);
    disk.put(&segment(1), &rotten.bytes(&segment(1)));
    let error = log
        .reader()
        .read(LogIndex(1), ALL, usize::MAX)
        .expect_err("rotten");
    let ReadError::Corrupt { offset, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*offset, u64::from(second_entry));
    assert_eq!(
        error.to_string(),
        format!(
            "log segment data/log/000000000001.log is corrupt at byte {second_entry}: \
             the checksum of a frame's body is wrong; the node mends its log when it starts"
        )
    );
}

#[test]
fn reading_what_was_cut_says_through_where() {
    let (_, mut log, _) = filled();
    log.reset(Position::new(1, 40)).expect("a sound disk");
    let error = log.read(LogIndex(40), ALL, usize::MAX).expect_err("cut");
    assert_eq!(error.to_string(), "log entries through 40 were cut away");
}

#[test]
fn an_unreadable_file_is_no_corruption() {
    let disk = MemoryDisk::default();
    disk.set_fuse(Some(0));
    let error = open(&disk).expect_err("the disk fails");
    assert!(!error.is_corruption());
    assert_eq!(error.to_string(), "cannot sync data: the power is gone");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scanning_arbitrary_bytes_behind_a_sound_header_never_panics(
        noise in prop::collection::vec(any::<u8>(), 0..600),
        at in 0usize..400,
    ) {
        let (disk, _, _) = filled();
        let mut bytes = disk.bytes(&segment(3));
        let start = (HEADER_BYTES + at).min(bytes.len());
        bytes.truncate(start);
        bytes.extend_from_slice(&noise);
        if let Ok(scan) = frame::scan(&bytes) {
            prop_assert!(scan.end as usize <= bytes.len());
            if let Rest::Torn { bytes: torn } = scan.rest {
                prop_assert!(scan.end as usize + torn as usize <= bytes.len());
            }
        }
        let _ = frame::scan(&noise);
    }

    #[test]
    fn a_frame_reads_back_and_nowhere_else(
        payload in prop::collection::vec(any::<u8>(), 0..100),
        numbers in any::<(u64, u64, u64, u64)>(),
        offset in 8u32..1 << 24,
        seed in any::<u32>(),
        kind in 0..4,
    ) {
        let position = Position::new(numbers.0, numbers.1);
        let kept = Position::new(numbers.2, numbers.3);
        let content = match kind {
            0 => frame::Content::Entry { position, payload: &payload },
            1 => frame::Content::Supersede { kept, position, payload: &payload },
            2 => frame::Content::Mark,
            _ => {
                let vote = (numbers.2 > 0).then_some(NodeId(numbers.2));
                let (term, commit) = (Term(numbers.0), LogIndex(numbers.1));
                frame::Content::HardState(HardState { term, vote, commit })
            }
        };
        let mut bytes = Vec::new();
        frame::encode(&content, frame::Place { offset, synced: offset, seed }, &mut bytes);
        prop_assert_eq!(frame::read(&bytes, offset, seed), Ok((content, bytes.len())));
        prop_assert_eq!(frame::read(&bytes, offset + 8, seed), Err(frame::Damage::Head));
        prop_assert_eq!(frame::read(&bytes, offset, !seed), Err(frame::Damage::Head));
        let cut = frame::read(&bytes[..bytes.len() - 1], offset, seed);
        prop_assert_eq!(cut, Err(frame::Damage::Incomplete { needed_bytes: bytes.len() }));
    }
}

#[test]
fn inspecting_a_damaged_log_names_the_damage() {
    let (disk, _, _) = filled();
    let damaged = flip(&disk, &segment(1), HEADER_BYTES * 8 + 900);
    let error = LogReader::inspect(Arc::new(damaged), dir()).expect_err("corrupt");
    assert!(error.is_corruption());
}
