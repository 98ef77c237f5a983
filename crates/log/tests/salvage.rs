//! A log in which a bit has rotted goes on without what SQLite holds, and forgets nothing else; or it is refused.

mod common;

use bellwether_log::{Log, OpenError, Salvage};
use bellwether_types::entry::{Entry, HardState};
use bellwether_types::id::NodeId;
use bellwether_types::position::{LogIndex, Position, Term};
use common::{IDENTITY, MemoryDisk, Random, dir, entry, flip, open, segment};

const ALL: LogIndex = LogIndex(u64::MAX);

const VOTE: HardState = HardState {
    term: Term(3),
    vote: Some(NodeId(2)),
    commit: LogIndex(12),
};

/// Four segments; entries 9 to 11 have replaced others, the hard state was written several times.
fn filled() -> (MemoryDisk, Vec<Entry>) {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk).expect("a new log");
    let append = |log: &mut Log, term, indexes: std::ops::RangeInclusive<u64>| {
        let entries: Vec<Entry> = indexes
            .map(|index| entry(term, index, &[index as u8; 60]))
            .collect();
        log.append(&entries).expect("in order");
        log.sync().expect("a sound disk");
    };
    append(&mut log, 1, 1..=5);
    append(&mut log, 1, 6..=11);
    let vote = |log: &mut Log, term, commit| {
        let state = HardState {
            term: Term(term),
            commit: LogIndex(commit),
            ..VOTE
        };
        log.set_hard_state(state).expect("sound");
    };
    vote(&mut log, 2, 7);
    append(&mut log, 2, 9..=13);
    vote(&mut log, 3, 12);
    append(&mut log, 3, 14..=16);
    log.seal().expect("a sound disk");
    let entries = log.read(LogIndex(1), ALL, usize::MAX).expect("just written");
    assert_eq!(entries.len(), 16);
    assert!(disk.names().len() >= 4);
    (disk, entries)
}

fn salvage(disk: &MemoryDisk, held: Position) -> Result<(), OpenError> {
    Salvage::of(disk, dir(), IDENTITY)?.finish(disk, held)
}

#[test]
fn any_flipped_bit_costs_nothing_but_what_sqlite_holds_or_is_refused() {
    let (disk, entries) = filled();
    let held = entries[11].position;
    let (mut mended, mut refused) = (0, 0);
    for sequence in 1..=disk.names().len() as u64 {
        let path = segment(sequence);
        for bit in 0..disk.bytes(&path).len() * 8 {
            let rotten = flip(&disk, &path, bit);
            let Err(error) = open(&rotten) else { continue };
            assert!(error.is_corruption(), "{error}");
            let context = format!("bit {bit} of {}", path.display());
            match salvage(&rotten, held) {
                Ok(()) => {
                    mended += 1;
                    let (mut log, found) = open(&rotten).unwrap_or_else(|error| panic!("{context}: {error}"));
                    assert_eq!(found.hard_state, VOTE, "{context}");
                    assert!(found.base.index <= held.index, "{context}");
                    let kept = log.read(found.first, ALL, usize::MAX).expect("just verified");
                    assert_eq!(kept[..], entries[found.base.index.0 as usize..], "{context}");
                }
                Err(_) => {
                    refused += 1;
                    assert!(open(&rotten).is_err(), "{context}: it must stay refused");
                }
            }
        }
    }
    println!("{mended} mended, {refused} refused");
    assert!(
        mended > 2 * refused,
        "most rot costs nothing: {mended} mended, {refused} refused"
    );
}

#[test]
fn what_sqlite_does_not_hold_is_never_given_up() {
    let (disk, entries) = filled();
    let mut random = Random(7);
    for _ in 0..2_000 {
        let path = segment(1 + random.below(disk.names().len()) as u64);
        let rotten = flip(&disk, &path, random.below(disk.bytes(&path).len() * 8));
        if open(&rotten).is_ok() {
            continue;
        }
        let held = entries[random.below(entries.len())].position;
        if salvage(&rotten, held).is_ok() {
            let (mut log, found) = open(&rotten).expect("it is whole");
            let kept = log
                .read(held.index.next(), ALL, usize::MAX)
                .expect("just verified");
            assert_eq!(
                kept[..],
                entries[held.index.0 as usize..],
                "held {held}, {}",
                path.display()
            );
            assert_eq!(
                (found.hard_state.term, found.hard_state.vote),
                (VOTE.term, VOTE.vote)
            );
        }
    }
}

#[test]
fn a_lost_vote_is_never_made_up() {
    let (disk, entries) = filled();
    let newest = segment(disk.names().len() as u64);
    let bytes = disk.bytes(&newest);
    let scan = bellwether_log::frame::scan(&bytes).expect("a sound header");
    let mut states = scan
        .frames
        .iter()
        .filter(|(_, content)| matches!(content, bellwether_log::frame::Content::HardState(_)));
    let (last_state, _) = states.next_back().expect("each segment has one");
    let rotten = flip(&disk, &newest, *last_state as usize * 8 + 170);
    let error = salvage(&rotten, entries[15].position).expect_err("the vote is gone");
    assert!(error.to_string().contains("bellwether node remove"), "{error}");
}

#[test]
fn a_mended_log_goes_on_and_is_found_whole_again() {
    let (disk, entries) = filled();
    let rotten = flip(&disk, &segment(1), 2_000);
    salvage(&rotten, entries[15].position).expect("SQLite has everything");
    let (mut log, found) = open(&rotten).expect("whole");
    log.append(&[entry(3, 17, b"next")]).expect("in order");
    log.sync().expect("a sound disk");
    drop(log);
    let (log, again) = open(&rotten).expect("whole");
    assert_eq!((again.base, again.last), (found.base, Position::new(3, 17)));
    let checked = log.reader().check(|| ()).expect("sound");
    assert!(checked.entries >= 1 && checked.segments >= 1, "{checked:?}");
}

#[test]
fn a_power_loss_while_it_is_mended_leaves_it_mended_or_to_be_mended() {
    let (disk, entries) = filled();
    let newest = disk.names().len() as u64;
    let first_frame = 130 * 8;
    for sequence in 1..=newest {
        for fuse in 0..12 {
            let rotten = flip(&disk, &segment(sequence), first_frame + 40);
            if open(&rotten).is_ok() || salvage(&rotten.copy(), entries[15].position).is_err() {
                continue;
            }
            rotten.set_fuse(Some(fuse));
            let outcome = salvage(&rotten, entries[15].position);
            rotten.set_fuse(None);
            if outcome.is_err() {
                match open(&rotten) {
                    Ok((_, found)) => assert_eq!(found.hard_state.vote, VOTE.vote),
                    Err(error) => {
                        assert!(error.is_corruption(), "{error}");
                        salvage(&rotten, entries[15].position).expect("as before");
                    }
                }
            }
            let (_, found) = open(&rotten).expect("mended");
            assert_eq!(
                (found.hard_state.term, found.last),
                (VOTE.term, entries[15].position)
            );
        }
    }
}
