//! Images of a replica that is being written.

use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::checkpoint::Checkpointer;
use crate::files::{ConnectionRole, Files};
use crate::recovery::repair_ahead;
use crate::testing::{ForgetfulDisk, Registered, commit, create_replica, last_row};

fn at(index: u64) -> Position {
    Position::new(1, index)
}

fn replica(files: &Files, records: u64) -> Connection {
    let writer = create_replica(files);
    for index in 1..=records {
        commit(&writer, at(index)).expect("a record");
    }
    writer
}

/// An image of `files` in `path`.
fn image(files: &Files, path: &str) -> SnapshotInfo {
    let mut copying = Copying::start(files, Path::new(path)).expect("a snapshot");
    copying
        .step(usize::MAX / 2)
        .expect("a copy")
        .expect("complete in one step")
}

/// A receiver of a copied image.
fn start(files: &Files, info: SnapshotInfo) -> Receiving {
    Receiving::start(files, ImageId(info.checksum), info.bytes).expect("a start")
}

fn check_replica(files: &Files, index: u64) {
    let reader = files.connect(ConnectionRole::Reader).expect("the replica");
    assert_eq!(last_row(&reader), index);
    let check: String = reader
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("a check");
    assert_eq!(check, "ok");
}

#[test]
fn an_image_is_of_one_position_while_the_writer_and_checkpoints_go_on() {
    let vfs = Registered::new(ForgetfulDisk::new(1), 1);
    let leader = vfs.files_at("/leader/main.db");
    let writer = replica(&leader, 40);
    let mut checkpointer = Checkpointer::open(&leader).expect("a checkpointer");
    checkpointer.checkpoint(at(40)).expect("a checkpoint");
    commit(&writer, at(41)).expect("a record");

    let mut copying = Copying::start(&leader, Path::new("/leader/image")).expect("a snapshot");
    let mut index = 41;
    let info = loop {
        if let Some(info) = copying.step(10_000).expect("a step") {
            break info;
        }
        index += 1;
        commit(&writer, at(index)).expect("the writer is not blocked");
        checkpointer.checkpoint(at(index)).expect("a checkpoint");
        let (done, all) = copying.progress();
        assert!(done > 0 && done < all, "{done} of {all}");
    };
    assert!(index > 50, "too few steps to tell");
    assert_eq!(info.position, at(41));

    let learner = vfs.files_at("/learner/main.db");
    let mut receiving = start(&learner, info);
    while receiving.received() < info.bytes {
        let chunk =
            read_chunk(&leader, Path::new("/leader/image"), receiving.received(), 7777).expect("a chunk");
        receiving.append(&chunk).expect("a piece");
    }
    receiving.finish(info).expect("a replica");
    check_replica(&learner, 41);
    let grown = learner.connect(ConnectionRole::Writer).expect("the replica");
    commit(&grown, at(42)).expect("life goes on");
}

#[test]
fn receiving_goes_on_where_it_ended_and_only_with_the_same_image() {
    let disk = ForgetfulDisk::new(2);
    let vfs = Registered::new(disk.clone(), 2);
    let leader = vfs.files_at("/leader/main.db");
    drop(replica(&leader, 30));
    let info = image(&leader, "/leader/image");
    let whole = read_chunk(&leader, Path::new("/leader/image"), 0, CHUNK_BYTES_MAX).expect("the image");
    assert_eq!(whole.len() as u64, info.bytes);

    let learner = vfs.files_at("/learner/main.db");
    let mut first = start(&learner, info);
    first.append(&whole[..5000]).expect("a piece");
    drop(first);
    let mut second = start(&learner, info);
    assert_eq!(second.received(), 5000);
    assert_eq!(
        second.append(&vec![0; whole.len()]),
        Err(SnapshotError::TooLong { bytes: info.bytes })
    );
    second.append(&whole[5000..]).expect("the rest");
    second.finish(info).expect("a replica");
    check_replica(&learner, 30);
    start(&learner, info).append(&whole[..5000]).expect("a piece");

    let other = SnapshotInfo { checksum: 7, ..info };
    assert_eq!(start(&learner, other).received(), 0);
    let parts = disk
        .names()
        .into_iter()
        .filter(|name| name.contains("incoming"))
        .count();
    assert_eq!(parts, 2, "parts of other images stay behind");
}

#[test]
fn a_live_snapshot_is_streamed_and_the_stream_may_break() {
    let vfs = Registered::new(ForgetfulDisk::new(6), 6);
    let (leader, learner) = (vfs.files_at("/leader/main.db"), vfs.files_at("/learner/main.db"));
    let writer = replica(&leader, 30);
    drop(replica(&learner, 4));
    for is_broken in [false, true] {
        let mut snapshot = Snapshot::start(&leader).expect("a snapshot");
        assert_eq!(snapshot.info(1).expect("a little"), None);
        let mut index = snapshot.position().index.0;
        let id = ImageId(u128::from(is_broken));
        let mut receiving = Receiving::start(&learner, id, snapshot.bytes()).expect("a start");
        while receiving.received() < snapshot.bytes() {
            let from = receiving.received();
            receiving
                .append(&snapshot.read_chunk(from, 9000).expect("a chunk"))
                .expect("a piece");
            index += 1;
            commit(&writer, at(index)).expect("the writer is not blocked");
            if is_broken && receiving.received() == 27_000 {
                // The receiver lost its last piece.
                receiving = Receiving::start(&learner, id, snapshot.bytes()).expect("again");
                assert_eq!(receiving.received(), 27_000);
                snapshot.read_chunk(18_000, 9000).expect("once more");
            }
        }
        let info = snapshot.info(1).expect("the facts").expect("all was read");
        receiving.finish(info).expect("a replica");
        check_replica(&learner, info.position.index.0);
    }
}

#[test]
fn a_damaged_image_is_refused_and_the_old_replica_stays() {
    let disk = ForgetfulDisk::new(3);
    let vfs = Registered::new(disk.clone(), 3);
    let (leader, learner) = (vfs.files_at("/leader/main.db"), vfs.files_at("/learner/main.db"));
    drop((replica(&leader, 30), replica(&learner, 4)));
    for damage in ["a flipped bit", "a lost tail", "another image"] {
        let mut info = image(&leader, "/learner/image");
        let mut file = disk.open(Path::new("/learner/image"), false).expect("the image");
        match damage {
            "a flipped bit" => file.write_at(9999, &[0xFF]).expect("a write"),
            "a lost tail" => file.truncate(info.bytes - 4096).expect("a cut"),
            _ => info.checksum += 1,
        }
        let error = restore(&learner, Path::new("/learner/image"), info).expect_err(damage);
        assert!(
            matches!(error, SnapshotError::Damaged { .. }),
            "{damage}: {error}"
        );
        check_replica(&learner, 4);
        assert!(!disk.names().contains(&"/learner/image".to_owned()));
    }
}

#[test]
fn an_image_that_lies_about_its_position_is_refused() {
    let vfs = Registered::new(ForgetfulDisk::new(4), 4);
    let (leader, learner) = (vfs.files_at("/leader/main.db"), vfs.files_at("/learner/main.db"));
    drop(replica(&leader, 3));
    let info = SnapshotInfo {
        position: at(9),
        ..image(&leader, "/learner/image")
    };
    let error = restore(&learner, Path::new("/learner/image"), info);
    assert_eq!(
        error,
        Err(SnapshotError::WrongPosition {
            expected: at(9),
            found: at(3)
        })
    );
}

#[test]
fn a_crash_while_restoring_leaves_the_old_replica_or_none_or_the_new_one() {
    let mut seen = [0; 3];
    for seed in 0..300 {
        let disk = ForgetfulDisk::new(seed);
        let vfs = Registered::new(disk.clone(), seed);
        let (leader, learner) = (vfs.files_at("/leader/main.db"), vfs.files_at("/learner/main.db"));
        let old = replica(&learner, 4);
        old.query_row("PRAGMA wal_checkpoint", [], |_| Ok(()))
            .expect("a checkpoint");
        drop((old, replica(&leader, 30)));
        let info = image(&leader, "/leader/image");
        let mut receiving = start(&learner, info);
        let whole = read_chunk(&leader, Path::new("/leader/image"), 0, CHUNK_BYTES_MAX).expect("the image");
        receiving.append(&whole).expect("the image");
        disk.die_after(seed % 10);
        let _ = receiving.finish(info);
        drop(vfs);
        disk.crash();
        let vfs = Registered::new(disk, seed + 1000);
        let learner = vfs.files_at("/learner/main.db");
        let found = repair_ahead(&learner, |_| true)
            .unwrap_or_else(|e| panic!("seed {seed}: {e}"))
            .position;
        match found.index.0 {
            0 => seen[0] += 1,
            4 => seen[1] += 1,
            30 => seen[2] += 1,
            other => panic!("seed {seed}: a replica at {other}"),
        }
        if found != Position::ZERO {
            check_replica(&learner, found.index.0);
        }
    }
    assert!(
        seen.iter().all(|&times| times > 5),
        "one outcome was hardly tried: {seen:?}"
    );
}

/// A replica's image, whole, and where it can be received.
fn whole_image(disk: &ForgetfulDisk, seed: u64) -> (Registered, Files, SnapshotInfo, Vec<u8>) {
    let vfs = Registered::new(disk.clone(), seed);
    let (leader, learner) = (vfs.files_at("/leader/main.db"), vfs.files_at("/learner/main.db"));
    drop(replica(&leader, 30));
    let info = image(&leader, "/leader/image");
    let whole = read_chunk(&leader, Path::new("/leader/image"), 0, CHUNK_BYTES_MAX).expect("the image");
    (vfs, learner, info, whole)
}

/// Receives what is missing, and puts the image in place.
fn receive_rest(mut receiving: Receiving, whole: &[u8], info: SnapshotInfo) {
    for piece in whole[receiving.received() as usize..].chunks(5000) {
        receiving.append(piece).expect("a piece");
    }
    receiving.finish(info).expect("a replica");
}

#[test]
fn a_byte_that_rotted_in_a_part_is_found_and_received_again() {
    for (file, expected) in [("", 15_000), ("-sums", 10_000)] {
        let disk = ForgetfulDisk::new(7);
        let (_vfs, learner, info, whole) = whole_image(&disk, 7);
        let mut receiving = start(&learner, info);
        for piece in whole[..40_000].chunks(5000) {
            receiving.append(piece).expect("a piece");
        }
        drop(receiving);
        assert_eq!(part_of(&learner), Ok(Some(ImageId(info.checksum))));
        let path = format!("/learner/main.db-incoming-{:032x}{file}", info.checksum);
        let mut part = disk.open(Path::new(&path), false).expect("a part");
        let offset = if file.is_empty() { 17_000 } else { 2 * 12 + 5 };
        let mut byte = [0];
        part.read_at(offset, &mut byte).expect("a read");
        part.write_at(offset, &[byte[0] ^ 1]).expect("a write");
        let receiving = start(&learner, info);
        assert_eq!(receiving.received(), expected, "{file:?}");
        receive_rest(receiving, &whole, info);
        check_replica(&learner, 30);
        assert_eq!(part_of(&learner), Ok(None));
    }
}

#[test]
fn a_part_that_a_crash_has_torn_is_trusted_as_far_as_it_is_whole() {
    let mut kept = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let disk = ForgetfulDisk::new(seed);
        let (vfs, learner, info, whole) = whole_image(&disk, seed);
        let mut receiving = start(&learner, info);
        for (at, piece) in whole[..60_000].chunks(5000).enumerate() {
            receiving.append(piece).expect("a piece");
            if at == 3 {
                receiving.sync().expect("a sync");
            }
        }
        drop((receiving, vfs));
        disk.crash();
        let vfs = Registered::new(disk, seed + 1000);
        let learner = vfs.files_at("/learner/main.db");
        let receiving = start(&learner, info);
        assert!(
            receiving.received() >= 20_000,
            "seed {seed}: what was synced is lost"
        );
        kept.insert(receiving.received());
        receive_rest(receiving, &whole, info);
        check_replica(&learner, 30);
    }
    assert!(kept.len() > 3, "hardly torn: {kept:?}");
}

#[test]
fn a_piece_of_another_place_or_image_or_with_a_flipped_bit_is_not_taken() {
    let disk = ForgetfulDisk::new(8);
    let (_vfs, learner, info, whole) = whole_image(&disk, 8);
    let (first, second) = (&whole[..5000], &whole[5000..9000]);
    let id = ImageId(info.checksum);
    let mut receiving = start(&learner, info);
    receiving
        .append_checked(first, id.checksum(0, first))
        .expect("the first");
    let mut flipped = second.to_vec();
    flipped[77] ^= 4;
    for (piece, checksum) in [
        (second, id.checksum(0, second)),
        (second, ImageId(7).checksum(5000, second)),
        (&flipped, id.checksum(5000, second)),
        (&second[1..], id.checksum(5000, second)),
    ] {
        let refused = receiving.append_checked(piece, checksum);
        assert_eq!(refused, Err(SnapshotError::DamagedPiece { offset: 5000 }));
    }
    receiving
        .append_checked(second, id.checksum(5000, second))
        .expect("the second");
    receive_rest(receiving, &whole, info);
    check_replica(&learner, 30);
}

#[test]
fn an_image_that_is_not_what_was_announced_is_known_before_it_is_put_in_place() {
    let disk = ForgetfulDisk::new(9);
    let (_vfs, learner, info, whole) = whole_image(&disk, 9);
    let mut receiving = start(&learner, info);
    receiving.append(&whole[..5000]).expect("a piece");
    assert!(matches!(
        receiving.check(info),
        Err(SnapshotError::Damaged { .. })
    ));
    assert_eq!(start(&learner, info).received(), 0, "it is thrown away");
}

proptest! {
    #[test]
    fn whatever_lies_where_a_part_may_be_is_no_more_than_that(
        part in proptest::collection::vec(any::<u8>(), 0..200),
        sums in proptest::collection::vec(any::<u8>(), 0..60),
        bytes in 0_u64..300,
    ) {
        let disk = ForgetfulDisk::new(10);
        let vfs = Registered::new(disk.clone(), 10);
        let learner = vfs.files_at("/learner/main.db");
        let path = format!("/learner/main.db-incoming-{:032x}", 7);
        for (path, content) in [(path.clone(), &part), (path + "-sums", &sums)] {
            disk.open(Path::new(&path), true).expect("a file").write_at(0, content).expect("a write");
        }
        let receiving = Receiving::start(&learner, ImageId(7), bytes).expect("a start");
        prop_assert_eq!(receiving.received(), 0);
    }

    #[test]
    fn chunks_of_a_live_snapshot_are_slices_of_the_image(offset in 0_u64..300_000, len in 0_usize..20_000) {
        let vfs = Registered::new(ForgetfulDisk::new(5), 5);
        let leader = vfs.files_at("/leader/main.db");
        let writer = replica(&leader, 20);
        let mut snapshot = Snapshot::start(&leader).expect("a snapshot");
        let info = image(&leader, "/leader/image");
        commit(&writer, at(21)).expect("a record");
        prop_assert_eq!((snapshot.position(), snapshot.bytes()), (info.position, info.bytes));
        let live = snapshot.read_chunk(offset, len).expect("a chunk");
        let copied = read_chunk(&leader, Path::new("/leader/image"), offset, len).expect("a chunk");
        prop_assert_eq!(live, copied);
        prop_assert_eq!(snapshot.info(u64::MAX).expect("all of it"), Some(info));
    }

    #[test]
    fn facts_of_an_image_survive_the_wire(term: u64, index: u64, bytes: u64, checksum: u128) {
        let info = SnapshotInfo { position: Position::new(term, index), bytes, checksum };
        let mut out = Encoder::new();
        info.encode(&mut out);
        let encoded = out.into_vec();
        prop_assert_eq!(SnapshotInfo::decode(&mut Decoder::new(&encoded)), Ok(info));
    }
}
