//! Power fails while pages are moved.

use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::checkpoint::Checkpointer;
use crate::files::ConnectionRole;
use crate::recovery::{RecoveryError, repair_ahead};
use crate::testing::{ForgetfulDisk, Registered, commit, create_replica, last_row};
use crate::wal::live::{LiveWal, snapshot_end};
use bellwether_types::Position;

struct Replica {
    disk: ForgetfulDisk,
    files: Files,
    _vfs: Registered,
}

fn replica() -> (Replica, Connection) {
    replica_of(1)
}

fn replica_of(seed: u64) -> (Replica, Connection) {
    let disk = ForgetfulDisk::new(seed);
    let vfs = Registered::new(disk.clone(), seed);
    let files = vfs.files();
    let writer = create_replica(&files);
    let replica = Replica {
        disk,
        files,
        _vfs: vfs,
    };
    (replica, writer)
}

fn at(index: u64) -> Position {
    Position::new(1, index)
}

impl Replica {
    fn open(&self, suffix: &str) -> Box<dyn DiskFile> {
        let path = beside(&self.files.path, suffix);
        self.disk.open(&path, false).expect("the file")
    }

    fn names(&self) -> Vec<String> {
        let names = self.disk.names().into_iter();
        names
            .map(|name| name.trim_start_matches("/replica/main.db").to_owned())
            .collect()
    }

    fn newest_record(&self) -> (PathBuf, Record, u64) {
        let paths = paths(&self.files);
        let (path, record, bytes) = newest(&self.disk, &paths).expect("readable").expect("a record");
        (path.clone(), record, bytes)
    }

    /// As if the pages of the newest record had been written by half.
    fn tear_main(&self) {
        let mut main = self.open("");
        for (number, _) in self.newest_record().1.pages {
            let offset = u64::from(number - 1) * PAGE_BYTES as u64 + PAGE_BYTES as u64 / 2;
            main.write_at(offset, &[0xA5; 100]).expect("a write");
        }
        main.sync().expect("synced");
    }

    /// It can be read, until power fails.
    fn forget_newest_record(&self) {
        let (path, _, bytes) = self.newest_record();
        let mut file = self.disk.open(&path, false).expect("the file");
        let mut record = vec![0; bytes as usize];
        file.read_at(0, &mut record).expect("read");
        file.write_at(0, &vec![0; record.len()]).expect("a write");
        file.sync().expect("synced");
        file.write_at(0, &record).expect("a write");
        self.disk.take_for_clean();
    }

    fn cut_wal(&self) {
        let mut wal = self.open("-wal");
        wal.truncate(3000).and_then(|()| wal.sync()).expect("cut");
    }

    /// Power fails after so many operations of a restore, and does not in the next. Answers the last record.
    fn restored_twice(&self, moments: u64) -> u64 {
        self.disk.die_after(moments);
        let _ = repair_ahead(&self.files, |_| true);
        self.disk.crash();
        let recovery = repair_ahead(&self.files, |_| true).expect("no damage");
        assert_eq!(self.rows(), recovery.position.index.0);
        recovery.position.index.0
    }

    fn rows(&self) -> u64 {
        let reader = self.files.connect(ConnectionRole::Reader).expect("the replica");
        let check: String = reader
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .expect("a check");
        assert_eq!(check, "ok");
        last_row(&reader)
    }
}

/// A replica with so many records, all moved; nobody has it open.
fn stopped(checkpointed: u64) -> Replica {
    let (replica, writer) = replica();
    let mut checkpointer = Checkpointer::open(&replica.files).expect("a checkpointer");
    for index in 1..=checkpointed {
        commit(&writer, at(index)).expect("a record");
    }
    let done = checkpointer.checkpoint(at(checkpointed)).expect("a checkpoint");
    assert_eq!((done.through, done.wal_frames_left), (at(checkpointed), 0));
    replica
}

#[test]
fn a_half_moved_main_file_is_made_whole_though_the_wal_is_gone() {
    for cut in [0, 5000, 20_000] {
        let replica = stopped(40);
        replica.tear_main();
        replica.open("-wal").truncate(cut).expect("cut");
        let recovery = repair_ahead(&replica.files, |_| true).expect("a repair");
        assert_eq!(recovery.position, at(40));
        assert_eq!(replica.rows(), 40);
        assert_eq!(replica.names(), ["", "-wal"], "neither records nor the old WAL");
    }
}

/// Sixty records in three checkpoints, at 30, 31 and 60. The last one moves nothing, for a reader, unless it shall.
fn stopped_after_three(seed: u64, moves_last: bool) -> Replica {
    let (replica, writer) = replica_of(seed);
    let mut checkpointer = Checkpointer::open(&replica.files).expect("a checkpointer");
    let reader = replica.files.connect(ConnectionRole::Reader).expect("a reader");
    for index in 1..=60 {
        commit(&writer, at(index)).expect("a record");
        if ![30, 31, 60].contains(&index) {
            continue;
        }
        let done = checkpointer.checkpoint(at(index)).expect("a checkpoint");
        assert_eq!(done.wal_frames_left == 0, index < 60 || moves_last);
        if index == 31 && !moves_last {
            reader.execute_batch("BEGIN").expect("a snapshot");
            assert_eq!(last_row(&reader), 31);
        }
    }
    replica
}

#[test]
fn power_may_fail_at_any_moment_of_a_restore() {
    for (seed, moments) in (0..4).flat_map(|seed| (0..110).map(move |moments| (seed, moments))) {
        let replica = stopped_after_three(seed, true);
        replica.tear_main();
        replica.cut_wal();
        assert_eq!(
            replica.restored_twice(moments),
            60,
            "seed {seed}, {moments} operations"
        );
    }
}

#[test]
fn a_record_whose_sync_had_failed_is_not_relied_upon() {
    let (mut before, mut after) = (0, 0);
    for (seed, moments) in (0..4).flat_map(|seed| (0..110).map(move |moments| (seed, moments))) {
        let replica = stopped_after_three(seed, false);
        replica.forget_newest_record();
        replica.cut_wal();
        match replica.restored_twice(moments) {
            31 => before += 1,
            60 => after += 1,
            other => panic!("seed {seed}, {moments} operations: {other}"),
        }
    }
    assert!(before > 0 && after > 0, "{before}, {after}");
}

#[test]
fn a_wal_that_has_it_all_is_kept() {
    let replica = stopped(40);
    replica.tear_main();
    let recovery = repair_ahead(&replica.files, |_| true).expect("a repair");
    assert_eq!((recovery.position, recovery.commits_cut), (at(40), 0));
    assert_eq!(replica.rows(), 40);
}

#[test]
fn of_two_records_the_newest_that_is_whole_counts() {
    let (replica, writer) = replica();
    let mut checkpointer = Checkpointer::open(&replica.files).expect("a checkpointer");
    for index in 1..=2 {
        commit(&writer, at(index)).expect("a record");
        checkpointer.checkpoint(at(index)).expect("a checkpoint");
    }
    drop((writer, checkpointer));
    let newest = |replica: &Replica| {
        let (path, record, _) = replica.newest_record();
        (path, record.sequence, record.kind)
    };
    let (path, sequence, kind) = newest(&replica);
    assert_eq!((sequence, kind), (2, Kind::Here));
    let mut file = replica.disk.open(&path, false).expect("the file");
    file.write_at(3000, &[1, 2, 3]).expect("a write");
    assert_eq!(newest(&replica).1, 1);
    let mut opened = DoubleWrite::open(&replica.files, &replica.disk).expect("opened");
    let end = WalEnd {
        salts: [3, 4],
        frames: 5,
    };
    opened.mark(Kind::InMain, end).expect("a mark");
    assert_eq!(newest(&replica), (path, 2, Kind::InMain));
}

#[test]
fn a_wal_of_before_is_not_taken_for_one_that_goes_on() {
    let (replica, writer) = replica();
    let mut checkpointer = Checkpointer::open(&replica.files).expect("a checkpointer");
    commit(&writer, at(1)).expect("a record");
    let mut old = Vec::new();
    {
        let mut wal = replica.open("-wal");
        old.resize(wal.len().expect("a length") as usize, 0);
        wal.read_at(0, &mut old).expect("read");
    }
    for index in 2..=9 {
        commit(&writer, at(index)).expect("a record");
        checkpointer.checkpoint(at(index)).expect("a checkpoint");
    }
    drop((writer, checkpointer));
    // As the disk had it all the while.
    let mut wal = replica.open("-wal");
    wal.truncate(0).expect("cut");
    wal.write_at(0, &old).expect("a write");
    drop(wal);
    assert_eq!(
        repair_ahead(&replica.files, |_| true).expect("a repair").position,
        at(9)
    );
    assert_eq!(replica.rows(), 9);
}

#[test]
fn a_wal_that_rots_while_pages_are_moved_out_of_it_is_damage() {
    let (replica, writer) = replica();
    commit(&writer, at(1)).expect("a record");
    drop(writer);
    let reader = replica.files.connect(ConnectionRole::Reader).expect("a reader");
    reader.execute_batch("BEGIN").expect("a snapshot");
    assert_eq!(last_row(&reader), 1);
    let end = snapshot_end(&reader).expect("a WAL");
    drop(reader);
    let mut records = DoubleWrite::open(&replica.files, &replica.disk).expect("opened");
    records.mark(Kind::InWal, end).expect("a mark");
    let whole = repair_ahead(&replica.files, |_| true).expect("it is all there");
    assert_eq!(whole.position, at(1));
    replica.open("-wal").write_at(3000, &[1, 2, 3]).expect("a write");
    let error = repair_ahead(&replica.files, |_| true).expect_err("pages are missing");
    assert!(matches!(error, RecoveryError::HalfMoved { .. }), "{error}");
    assert!(error.is_damage());
}

#[test]
fn what_a_snapshot_sees_is_what_the_wal_had() {
    let (replica, writer) = replica();
    let reader = replica.files.connect(ConnectionRole::Reader).expect("a reader");
    for index in 1..=9 {
        commit(&writer, at(index)).expect("a record");
        reader.execute_batch("BEGIN").expect("a snapshot");
        assert_eq!(last_row(&reader), index);
        let end = snapshot_end(&reader).expect("a WAL");
        reader.execute_batch("COMMIT").expect("the end");
        let mut wal = LiveWal::default();
        wal.look(&reader).expect("sound");
        assert_eq!(wal.end(), end);
        if index == 5 {
            let mut checkpointer = Checkpointer::open(&replica.files).expect("a checkpointer");
            checkpointer.checkpoint(at(5)).expect("a checkpoint");
        }
    }
}

#[test]
fn a_full_disk_does_not_keep_pages_from_being_moved() {
    let (replica, writer) = replica();
    let mut checkpointer = Checkpointer::open(&replica.files).expect("a checkpointer");
    let stores = |index| {
        commit(&writer, at(index)).expect("a record");
    };
    stores(1);
    replica.disk.fail_writes(Some(io::ErrorKind::StorageFull));
    let error = checkpointer.checkpoint(at(1)).expect_err("no room at all");
    assert!(!error.is_fatal() && !error.is_damage(), "{error}");
    replica.disk.fail_writes(None);
    stores(2);
    let done = checkpointer.checkpoint(at(2)).expect("there is room");
    let done = match done.wal_frames_left {
        0 => done,
        _ => checkpointer.checkpoint(at(2)).expect("the rest"),
    };
    assert_eq!((done.through, done.wal_frames_left), (at(2), 0));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_record(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..6000),
        has_magic in any::<bool>(),
    ) {
        if has_magic && bytes.len() > HEADER_BYTES {
            bytes[..8].copy_from_slice(MAGIC);
            bytes[HEADER_BYTES - 3..HEADER_BYTES].fill(0);
        }
        let disk = ForgetfulDisk::new(3);
        let mut file = disk.open("/r".as_ref(), true).expect("a file");
        file.write_at(0, &bytes).expect("a write");
        prop_assert_eq!(read(&mut *file).expect("readable"), None);
    }
}
