//! What the log promises its owner, one behaviour per test.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwether_log::{ALLOCATION_BYTES, Log, LogReader, OsDisk, ReadError, Sizing, WriteError};
use bellwether_types::entry::{Entry, HardState, MAX_PAYLOAD_BYTES};
use bellwether_types::id::NodeId;
use bellwether_types::position::{LogIndex, Position, Term};
use common::{Calls, IDENTITY, MemoryDisk, Random, dir, entry, open, segment};

const ALL: LogIndex = LogIndex(u64::MAX);

fn entries(term: u64, indexes: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    indexes
        .map(|index| entry(term, index, format!("{term}/{index} {:60}", "").as_bytes()))
        .collect()
}

fn vote(term: u64, node: u64) -> HardState {
    HardState {
        term: Term(term),
        vote: Some(NodeId(node)),
        commit: LogIndex(0),
    }
}

fn filled(through: u64) -> (MemoryDisk, Log) {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk).expect("a new log");
    log.append(&entries(1, 1..=through)).expect("in order");
    log.sync().expect("a sound disk");
    (disk, log)
}

#[test]
fn a_new_log_is_empty() {
    let (_, recovered) = open(&MemoryDisk::default()).expect("a new log");
    assert_eq!(
        (recovered.base, recovered.last, recovered.first),
        (Position::ZERO, Position::ZERO, LogIndex(1))
    );
    assert_eq!(
        (recovered.hard_state, recovered.torn_tail_bytes),
        (HardState::default(), 0)
    );
    assert!(recovered.terms.is_empty());
}

#[test]
fn entries_and_hard_state_are_there_after_reopening() {
    let (disk, mut log) = filled(30);
    log.append(&entries(3, 31..=40)).expect("in order");
    log.set_hard_state(vote(3, 2)).expect("a later term");
    log.sync().expect("a sound disk");
    drop(log);
    let (mut log, recovered) = open(&disk).expect("a sound log");
    assert_eq!(recovered.hard_state, vote(3, 2));
    assert_eq!(recovered.last, Position::new(3, 40));
    assert_eq!(recovered.terms, [(LogIndex(1), Term(1)), (LogIndex(31), Term(3))]);
    let expected = [entries(1, 1..=30), entries(3, 31..=40)].concat();
    assert_eq!(log.read(LogIndex(1), ALL, usize::MAX).expect("sound"), expected);
    assert_eq!(log.term_at(LogIndex(31)), Some(Term(3)));
    assert_eq!(log.term_at(LogIndex(41)), None);
}

#[test]
fn one_entry_costs_one_write_and_one_sync() {
    let disk = MemoryDisk::default();
    let (mut log, _) = Log::open(Arc::new(disk.clone()), dir(), IDENTITY).expect("a new log");
    let before = disk.calls();
    log.append(&entries(1, 1..=1)).expect("in order");
    log.sync().expect("a sound disk");
    let Calls {
        writes,
        syncs,
        dir_syncs,
    } = disk.calls();
    assert_eq!(
        (
            writes - before.writes,
            syncs - before.syncs,
            dir_syncs - before.dir_syncs
        ),
        (1, 1, 0)
    );
}

#[test]
fn several_appends_and_a_hard_state_share_one_sync() {
    let disk = MemoryDisk::default();
    let (mut log, _) = Log::open(Arc::new(disk.clone()), dir(), IDENTITY).expect("a new log");
    let before = disk.calls();
    log.append(&entries(1, 1..=5)).expect("in order");
    log.append(&entries(1, 6..=9)).expect("in order");
    log.set_hard_state(vote(1, 1)).expect("a later term");
    log.sync().expect("a sound disk");
    log.sync().expect("a sound disk");
    assert_eq!(disk.calls().syncs - before.syncs, 1);
}

#[test]
fn an_unchanged_hard_state_is_not_written() {
    let (disk, mut log) = filled(1);
    log.set_hard_state(vote(1, 1)).expect("a later term");
    let before = disk.calls();
    log.set_hard_state(vote(1, 1)).expect("the same");
    assert_eq!(disk.calls(), before);
}

#[test]
fn files_grow_ahead_of_what_is_written() {
    let disk = MemoryDisk::default();
    let (log, _) = Log::open(Arc::new(disk.clone()), dir(), IDENTITY).expect("a new log");
    assert_eq!(disk.bytes(&segment(1)).len(), ALLOCATION_BYTES as usize);
    assert_eq!(log.size_bytes(), u64::from(ALLOCATION_BYTES));
}

#[test]
fn an_overlap_replaces_the_suffix() {
    let (disk, mut log) = filled(20);
    log.append(&entries(2, 8..=9)).expect("an overlap");
    let expected = [entries(1, 1..=7), entries(2, 8..=9)].concat();
    assert_eq!(log.read(LogIndex(1), ALL, usize::MAX).expect("sound"), expected);
    drop(log);
    let (mut log, recovered) = open(&disk).expect("a sound log");
    assert_eq!(recovered.last, Position::new(2, 9));
    assert_eq!(log.read(LogIndex(1), ALL, usize::MAX).expect("sound"), expected);
}

#[test]
fn a_torn_overlap_leaves_the_old_suffix() {
    let disk = MemoryDisk::default();
    let (mut log, _) = Log::open(Arc::new(disk.clone()), dir(), IDENTITY).expect("a new log");
    log.append(&entries(1, 1..=9)).expect("in order");
    log.sync().expect("a sound disk");
    log.append(&entries(2, 4..=6)).expect("an overlap");
    let disk = disk.crash_keeping(&segment(1), &[]);
    let (_, recovered) = Log::open(Arc::new(disk), dir(), IDENTITY).expect("a sound log");
    assert_eq!(recovered.last, Position::new(1, 9));
}

#[test]
fn a_write_that_survives_the_one_before_it_is_cut_and_never_comes_back() {
    let disk = MemoryDisk::default();
    let (mut log, _) = Log::open(Arc::new(disk.clone()), dir(), IDENTITY).expect("a new log");
    log.append(&entries(1, 1..=1)).expect("in order");
    log.sync().expect("a sound disk");
    log.append(&entries(1, 2..=2)).expect("in order");
    log.append(&entries(1, 3..=3)).expect("in order");
    let disk = disk.crash_keeping(&segment(1), &[1]);

    let (mut log, recovered) = Log::open(Arc::new(disk.clone()), dir(), IDENTITY).expect("a torn tail");
    assert_eq!(recovered.last, Position::new(1, 1));
    assert!(recovered.torn_tail_bytes > 0);
    // As long as the lost one, so that the frame cut away would follow it.
    log.append(&entries(2, 2..=2)).expect("in order");
    log.sync().expect("a sound disk");
    let (_, recovered) = Log::open(Arc::new(disk), dir(), IDENTITY).expect("a sound log");
    assert_eq!(
        (recovered.last, recovered.torn_tail_bytes),
        (Position::new(2, 2), 0)
    );
}

#[test]
fn cutting_removes_whole_segments_and_keeps_base_and_terms() {
    let (disk, mut log) = filled(30);
    log.append(&entries(4, 31..=60)).expect("in order");
    let before = log.size_bytes();
    log.cut_prefix(LogIndex(50)).expect("a sound disk");
    let base = log.base();
    assert!(base.index <= LogIndex(50) && base.index > LogIndex(30), "{base}");
    assert!(log.size_bytes() < before);
    assert_eq!(log.term_at(base.index), Some(Term(4)));
    assert_eq!(log.term_at(LogIndex(base.index.0 - 1)), None);
    let gone = log.read(base.index, ALL, usize::MAX);
    assert!(matches!(gone, Err(ReadError::Cut { base: found }) if found == base));
    drop(log);
    let (mut log, recovered) = open(&disk).expect("a sound log");
    assert_eq!((recovered.base, recovered.first), (base, base.index.next()));
    assert_eq!(recovered.terms, [(base.index.next(), Term(4))]);
    let kept = log.read(base.index.next(), ALL, usize::MAX).expect("sound");
    assert_eq!(kept, entries(4, base.index.0 + 1..=60));
}

#[test]
fn cutting_below_the_first_segments_end_removes_nothing() {
    let (disk, mut log) = filled(30);
    log.cut_prefix(LogIndex(1)).expect("a sound disk");
    assert_eq!(log.first(), LogIndex(1));
    assert!(disk.names().contains(&"000000000001.log".to_owned()));
}

#[test]
fn the_hard_state_outlives_the_segment_it_was_written_to() {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk).expect("a new log");
    log.set_hard_state(vote(1, 3)).expect("a later term");
    log.append(&entries(1, 1..=60)).expect("in order");
    log.cut_prefix(LogIndex(60)).expect("a sound disk");
    drop(log);
    assert!(!disk.names().contains(&"000000000001.log".to_owned()));
    let (_, recovered) = open(&disk).expect("a sound log");
    assert_eq!(
        (recovered.hard_state.term, recovered.hard_state.vote),
        (Term(1), Some(NodeId(3)))
    );
}

#[test]
fn after_a_reset_the_log_starts_behind_the_snapshot() {
    let (disk, mut log) = filled(30);
    log.set_hard_state(vote(7, 1)).expect("a later term");
    log.reset(Position::new(6, 100)).expect("a sound disk");
    assert_eq!((log.first(), log.last()), (LogIndex(101), Position::new(6, 100)));
    assert_eq!(disk.names().len(), 1);
    log.append(&entries(7, 101..=102)).expect("in order");
    log.sync().expect("a sound disk");
    let (_, recovered) = open(&disk).expect("a sound log");
    assert_eq!(
        (recovered.base, recovered.last),
        (Position::new(6, 100), Position::new(7, 102))
    );
    assert_eq!(
        (recovered.hard_state.term, recovered.hard_state.commit),
        (Term(7), LogIndex(100))
    );
}

#[test]
fn a_commit_index_beyond_the_last_entry_is_not_believed() {
    let (disk, mut log) = filled(3);
    let state = HardState {
        commit: LogIndex(9),
        ..vote(1, 1)
    };
    log.set_hard_state(state).expect("a later term");
    log.sync().expect("a sound disk");
    let (_, recovered) = open(&disk).expect("a sound log");
    assert_eq!(
        recovered.hard_state,
        HardState {
            commit: LogIndex(3),
            ..state
        }
    );
}

#[test]
fn reading_stops_at_the_bound_and_answers_at_least_one_entry() {
    let (_, mut log) = filled(30);
    let size_bytes = entries(1, 4..=4)[0].size_bytes();
    let read = |log: &mut Log, max_bytes| {
        log.read(LogIndex(4), LogIndex(20), max_bytes)
            .expect("sound")
            .len()
    };
    assert_eq!(read(&mut log, 0), 1);
    assert_eq!(read(&mut log, size_bytes * 3 - 1), 2);
    assert_eq!(read(&mut log, size_bytes * 3), 3);
    assert_eq!(read(&mut log, usize::MAX), 16);
    assert!(log.read(LogIndex(31), ALL, usize::MAX).expect("sound").is_empty());
    assert!(
        log.read(LogIndex(5), LogIndex(5), usize::MAX)
            .expect("sound")
            .is_empty()
    );
}

#[test]
fn the_largest_entry_reads_back_and_a_larger_one_is_refused() {
    let disk = MemoryDisk::default();
    let (mut log, _) = Log::open(Arc::new(disk.clone()), dir(), IDENTITY).expect("a new log");
    let large: Vec<_> = (1..=5)
        .map(|index| entry(1, index, &vec![7; MAX_PAYLOAD_BYTES]))
        .collect();
    log.append(&large).expect("in order");
    log.sync().expect("a sound disk");
    let larger = log.append(&[entry(1, 6, &vec![7; MAX_PAYLOAD_BYTES + 1])]);
    assert_eq!(
        larger.expect_err("too large").to_string(),
        "log entry 6 has 4194305 bytes, more than one entry may have"
    );
    let (mut log, _) = Log::open(Arc::new(disk), dir(), IDENTITY).expect("a sound log");
    assert_eq!(log.read(LogIndex(1), ALL, usize::MAX).expect("sound"), large);
}

#[test]
fn entries_that_do_not_follow_are_refused_and_the_log_goes_on() {
    let (_, mut log) = filled(30);
    log.cut_prefix(LogIndex(20)).expect("a sound disk");
    let base = log.base().index;
    let refused = |log: &mut Log, entries: &[Entry]| {
        let error = log.append(entries).expect_err("refused");
        assert!(!error.is_fatal());
        error.to_string()
    };
    assert_eq!(
        refused(&mut log, &entries(1, 32..=32)),
        "log entry 32 leaves a gap: 31 comes next"
    );
    let gap = [entries(1, 31..=31), entries(1, 33..=33)].concat();
    assert_eq!(
        refused(&mut log, &gap),
        "log entry 33 leaves a gap: 32 comes next"
    );
    let below = format!("log entry {base} would replace one through {base} that was cut away");
    assert_eq!(refused(&mut log, &entries(2, base.0..=base.0)), below);
    assert_eq!(
        refused(&mut log, &entries(0, 31..=31)),
        "term 0 comes after term 1"
    );
    log.set_hard_state(vote(5, 1)).expect("a later term");
    assert!(matches!(
        log.set_hard_state(vote(4, 1)),
        Err(WriteError::TermWentBack { before: 5, found: 4 })
    ));
    log.append(&entries(1, 31..=31)).expect("in order");
}

#[test]
fn after_a_failed_sync_the_log_takes_nothing_more() {
    let (disk, mut log) = filled(3);
    log.append(&entries(1, 4..=4)).expect("in order");
    disk.set_fuse(Some(0));
    let error = log.sync().expect_err("the disk fails");
    assert!(error.is_fatal());
    assert_eq!(
        error.to_string(),
        "cannot sync data/log/000000000001.log: the power is gone; the log must be opened anew"
    );
    disk.set_fuse(None);
    let error = log.append(&entries(1, 5..=5)).expect_err("stopped");
    assert_eq!(
        error.to_string(),
        "an earlier write to the log failed; it must be opened anew"
    );
    assert!(matches!(log.sync(), Err(WriteError::Stopped)));
    assert!(matches!(log.seal(), Err(WriteError::Stopped)));
    assert!(matches!(log.cut_prefix(LogIndex(1)), Err(WriteError::Stopped)));
    assert!(matches!(log.reset(Position::new(1, 9)), Err(WriteError::Stopped)));
    assert!(matches!(log.set_hard_state(vote(9, 1)), Err(WriteError::Stopped)));
}

#[test]
fn a_full_disk_is_no_damage_and_the_log_goes_on_when_there_is_space() {
    let (disk, mut log) = filled(3);
    disk.set_full(true);
    let error = log.append(&entries(1, 4..=30)).expect_err("no space");
    assert!(!error.is_fatal());
    let text = error.to_string();
    assert!(
        text.starts_with("no space left for log segment data/log/"),
        "{text}"
    );
    disk.set_full(false);
    let next = log.last().index.0 + 1;
    log.append(&entries(1, next..=30)).expect("in order");
    log.sync().expect("a sound disk");
    let (mut log, _) = open(&disk).expect("a sound log");
    assert_eq!(
        log.read(LogIndex(1), ALL, usize::MAX).expect("sound"),
        entries(1, 1..=30)
    );
}

#[test]
fn what_was_reserved_can_be_appended_with_a_full_disk_and_hard_states_after_it() {
    for seed in 0..200 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let (disk, mut log) = filled(3);
        for round in 0..10 {
            let first = log.last().index.0 + 1;
            let coming: Vec<Entry> = (first..first + 1 + random.below(3) as u64)
                .map(|index| entry(1, index, &vec![7; random.below(60)]))
                .collect();
            let (some, others) = coming.split_at(random.below(coming.len()));
            for part in [some, others] {
                log.reserve(part.iter().map(|entry| entry.payload.len()))
                    .expect("space");
            }
            disk.set_full(true);
            log.append(&coming).expect("reserved");
            assert_eq!(log.reserved_bytes(), 0);
            log.set_hard_state(vote(round + 2, 1)).expect("the margin");
            log.sync().expect("a sound disk");
            disk.set_full(false);
        }
    }
}

#[test]
fn what_cannot_be_reserved_changes_nothing() {
    let (disk, mut log) = filled(3);
    log.reserve([10]).expect("space");
    disk.set_full(true);
    let promised = log.reserved_bytes();
    for payload_bytes in [700, 100_000] {
        let error = log.reserve([payload_bytes]).expect_err("no space");
        assert!(matches!(error, WriteError::Full { .. }), "{error}");
        assert_eq!(log.reserved_bytes(), promised);
    }
    log.append(&[entry(1, 4, &[7; 10])]).expect("reserved before");
    log.set_hard_state(vote(2, 1)).expect("the margin");
    log.sync().expect("a sound disk");
    disk.set_full(false);
    log.reserve([700]).expect("space again");
    let (mut log, _) = open(&disk).expect("a sound log");
    assert_eq!(log.read(LogIndex(1), ALL, usize::MAX).expect("sound").len(), 4);
}

#[test]
fn no_more_is_reserved_than_a_segment_holds_and_the_file_is_read_back() {
    let (disk, mut log) = filled(3);
    let payload_bytes = 1 << 20;
    let promised = loop {
        match log.reserve([payload_bytes]) {
            Ok(()) => {}
            Err(error) => {
                assert!(matches!(error, WriteError::ReservedTooMuch { .. }), "{error}");
                break log.reserved_bytes();
            }
        }
    };
    assert!(promised > 15 * payload_bytes && promised < 16 * payload_bytes);
    log.reserve([100]).expect("there is room for that");
    let (reopened, _) = open(&disk).expect("a sound log");
    assert_eq!(reopened.last().index, LogIndex(3));
    let coming: Vec<Entry> = (4..19)
        .map(|index| entry(1, index, &vec![7; payload_bytes]))
        .collect();
    log.append(&coming).expect("reserved");
    log.sync().expect("a sound disk");
    log.reserve([payload_bytes]).expect("room again");
    let (reopened, _) = open(&disk).expect("a sound log");
    assert_eq!(reopened.last().index, LogIndex(18));
}

#[test]
fn a_log_that_rests_is_sealed_once_and_one_at_work_is_not() {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk).expect("a new log");
    let bytes_after = |log: &mut Log, disk: &MemoryDisk| {
        log.seal_if_resting().expect("a sound disk");
        disk.bytes(&segment(1))
    };
    log.append(&[entry(1, 1, b"a")]).expect("in order");
    let at_work = bytes_after(&mut log, &disk);
    log.append(&[entry(1, 2, b"b")]).expect("in order");
    log.sync().expect("a sound disk");
    let still = bytes_after(&mut log, &disk);
    assert_ne!(at_work, still);
    let sealed = bytes_after(&mut log, &disk);
    assert_ne!(still, sealed);
    for _ in 0..3 {
        assert_eq!(bytes_after(&mut log, &disk), sealed);
    }
}

#[test]
fn sealing_twice_writes_once() {
    let (disk, mut log) = filled(1);
    log.seal().expect("a sound disk");
    let before = disk.calls();
    log.seal().expect("a sound disk");
    assert_eq!(disk.calls(), before);
}

#[test]
fn a_reader_sees_what_is_appended_later_and_inspecting_changes_nothing() {
    let (disk, mut log) = filled(3);
    let mut reader = log.reader();
    log.append(&entries(1, 4..=40)).expect("in order");
    assert_eq!(
        reader.read(LogIndex(2), ALL, usize::MAX).expect("sound"),
        entries(1, 2..=40)
    );
    assert_eq!(
        (reader.first(), reader.last()),
        (LogIndex(1), Position::new(1, 40))
    );

    let before = disk.calls();
    let inspected = LogReader::inspect(Arc::new(disk.clone()), dir()).expect("a sound log");
    let (mut reader, identity, recovered) = inspected.expect("there is a log");
    assert_eq!((identity, recovered.last), (IDENTITY, Position::new(1, 40)));
    assert_eq!(
        reader.read(LogIndex(1), ALL, usize::MAX).expect("sound"),
        entries(1, 1..=40)
    );
    assert_eq!(disk.calls(), before);
}

#[test]
fn inspecting_an_empty_directory_finds_no_log() {
    let found = LogReader::inspect(Arc::new(MemoryDisk::default()), dir()).expect("nothing is wrong");
    assert!(found.is_none());
}

#[test]
fn a_reader_beside_a_writer_never_sees_a_mix_of_two_suffixes() {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk).expect("a new log");
    log.append(&entries(1, 1..=40)).expect("in order");
    let mut reader = log.reader();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut reads = 0;
            while !is_done.load(Ordering::Acquire) || reads == 0 {
                match reader.read(reader.first(), ALL, usize::MAX) {
                    Ok(found) => assert!(found.is_sorted_by(|a, b| {
                        a.position.term <= b.position.term && a.position.index.next() == b.position.index
                    })),
                    Err(ReadError::Cut { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
                reads += 1;
            }
        });
        for term in 2..200 {
            let from = log.last().index.0 - 20;
            log.append(&entries(term, from..=from + 24)).expect("an overlap");
            log.cut_prefix(LogIndex(from - 1)).expect("a sound disk");
        }
        is_done.store(true, Ordering::Release);
        reading.join().expect("the reader's assertions hold");
    });
}

#[test]
fn a_read_that_is_overtaken_by_a_new_suffix_answers_the_new_suffix() {
    let (disk, mut log) = filled(9);
    let mut reader = log.reader();
    disk.before_next_read(move || log.append(&entries(2, 4..=5)).expect("an overlap"));
    let expected = [entries(1, 1..=3), entries(2, 4..=5)].concat();
    assert_eq!(
        reader.read(LogIndex(1), ALL, usize::MAX).expect("sound"),
        expected
    );
}

#[test]
fn a_read_that_is_overtaken_by_a_reset_says_that_the_entries_are_gone() {
    let (disk, mut log) = filled(9);
    let mut reader = log.reader();
    let base = Position::new(3, 50);
    disk.before_next_read(move || log.reset(base).expect("a sound disk"));
    let gone = reader.read(LogIndex(1), ALL, usize::MAX);
    assert!(matches!(gone, Err(ReadError::Cut { base: found }) if found == base));
}

/// The file was written by this test when version 1 was new; it must read for as long as version 1 does.
#[test]
fn a_segment_of_version_1_reads_and_is_written_the_same() {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk).expect("a new log");
    log.append(&[entry(1, 1, b"first"), entry(1, 2, b""), entry(2, 3, b"third")])
        .expect("in order");
    log.sync().expect("a sound disk");
    let hard_state = HardState {
        commit: LogIndex(2),
        ..vote(300, 3)
    };
    log.set_hard_state(hard_state).expect("a later term");
    log.append(&[entry(300, 3, b"another third")])
        .expect("an overlap");
    log.seal().expect("a sound disk");
    let fixture = include_bytes!("fixtures/version-1.log");
    assert!(
        disk.bytes(&segment(1)) == fixture,
        "the format has changed: raise its version"
    );

    let disk = MemoryDisk::default();
    disk.put(&segment(1), fixture);
    let (mut log, recovered) = open(&disk).expect("a sound log");
    assert_eq!((recovered.hard_state, recovered.torn_tail_bytes), (hard_state, 0));
    let expected = [
        entry(1, 1, b"first"),
        entry(1, 2, b""),
        entry(300, 3, b"another third"),
    ];
    assert_eq!(log.read(LogIndex(1), ALL, usize::MAX).expect("sound"), expected);
}

#[test]
fn the_operating_systems_files_hold_a_log() {
    let parent = tempfile::tempdir().expect("a temporary directory");
    let dir = parent.path().join("a/b");
    let sizing = Sizing {
        segment_bytes: 4096,
        allocation_bytes: 1024,
    };
    let open = || Log::open_sized(Arc::new(OsDisk), &dir, IDENTITY, sizing).expect("a sound log");
    let (mut log, _) = open();
    log.append(&entries(1, 1..=200)).expect("in order");
    log.append(&entries(2, 150..=300)).expect("an overlap");
    log.set_hard_state(vote(2, 2)).expect("a later term");
    log.cut_prefix(LogIndex(120)).expect("a sound disk");
    log.seal().expect("a sound disk");
    let base = log.base();
    drop(log);
    let (mut log, recovered) = open();
    assert_eq!((recovered.base, recovered.last), (base, Position::new(2, 300)));
    assert_eq!(recovered.hard_state.vote, Some(NodeId(2)));
    let expected = [entries(1, base.index.0 + 1..=149), entries(2, 150..=300)].concat();
    assert_eq!(
        log.read(base.index.next(), ALL, usize::MAX).expect("sound"),
        expected
    );
    log.reset(Position::new(3, 500)).expect("a sound disk");
    drop(log);
    assert_eq!(open().1.base, Position::new(3, 500));
}
