//! Replicas whose WAL knows more than the log.

use rusqlite::Connection;

use super::*;
use crate::testing::{ForgetfulDisk, Registered, commit, create_replica, last_row};

fn up_to(index: u64) -> impl Fn(Position) -> bool {
    move |position| position.index.0 <= index
}

fn checkpoint(connection: &Connection) {
    connection
        .query_row("PRAGMA wal_checkpoint", [], |_| Ok(()))
        .expect("a checkpoint");
}

/// Records 1 to `checkpointed` in the main file, the others up to `last` in the WAL.
fn replica(files: &Files, checkpointed: u64, last: u64) {
    let writer = create_replica(files);
    for index in 1..=last {
        commit(&writer, Position::new(1, index)).expect("a record");
        if index == checkpointed {
            checkpoint(&writer);
        }
    }
}

#[test]
fn a_replica_that_is_not_ahead_is_left_alone() {
    let vfs = Registered::new(ForgetfulDisk::new(1), 1);
    let files = vfs.files();
    replica(&files, 0, 12);
    let recovery = repair_ahead(&files, up_to(12)).expect("no repair");
    assert_eq!(
        recovery,
        Recovery {
            position: Position::new(1, 12),
            commits_cut: 0,
            wal_given_up: false,
        }
    );
}

#[test]
fn what_a_start_reads_of_the_wal_survives_although_a_sync_had_failed_before() {
    for seed in 1..=20 {
        let disk = ForgetfulDisk::new(seed);
        let vfs = Registered::new(disk.clone(), 1);
        let files = vfs.files();
        replica(&files, 5, 12);
        disk.take_for_clean();
        for end in [12, 9] {
            let recovery = repair_ahead(&files, up_to(end)).expect("no damage");
            assert_eq!(recovery.position.index.0, end);
            disk.crash();
            let again = repair_ahead(&files, up_to(12)).expect("no damage");
            assert_eq!(again.position.index.0, end, "seed {seed}");
        }
    }
}

#[test]
fn transactions_beyond_the_log_are_cut_wherever_the_log_ends() {
    for checkpointed in [0, 5] {
        for end in checkpointed..12 {
            let vfs = Registered::new(ForgetfulDisk::new(1), 1);
            let files = vfs.files();
            replica(&files, checkpointed, 12);
            let recovery = repair_ahead(&files, up_to(end)).expect("a repair");
            assert_eq!(recovery.position.index.0, end);
            assert_eq!(recovery.commits_cut as u64, 12 - end);
            let writer = files.connect(ConnectionRole::Writer).expect("the replica");
            assert_eq!(last_row(&writer), end);
            commit(&writer, Position::new(2, end + 1)).expect("life goes on");
            checkpoint(&writer);
            drop(writer);
            assert_eq!(
                repair_ahead(&files, |_| true).expect("no repair").position,
                Position::new(2, end + 1)
            );
        }
    }
}

#[test]
fn a_log_that_was_cut_at_its_beginning_is_found_wherever_it_lies() {
    for first in 1..20 {
        for last in first..20 {
            let vfs = Registered::new(ForgetfulDisk::new(1), 1);
            let files = vfs.files();
            replica(&files, 0, 20);
            let log = |position: Position| (first..=last).contains(&position.index.0);
            assert_eq!(
                repair_ahead(&files, log).expect("a repair").position.index.0,
                last
            );
        }
    }
}

#[test]
fn a_log_that_ends_with_the_main_file_leaves_nothing_of_the_wal() {
    let vfs = Registered::new(ForgetfulDisk::new(1), 1);
    let files = vfs.files();
    replica(&files, 2, 2 + SINGLE_STEPS_MAX as u64 * 2);
    let recovery = repair_ahead(&files, up_to(2)).expect("a repair");
    assert_eq!(
        recovery,
        Recovery {
            position: Position::new(1, 2),
            commits_cut: SINGLE_STEPS_MAX * 2,
            wal_given_up: false,
        }
    );
}

#[test]
fn another_term_at_the_same_index_is_beyond_the_log() {
    let vfs = Registered::new(ForgetfulDisk::new(1), 1);
    let files = vfs.files();
    replica(&files, 3, 9);
    let log = |position: Position| position.index.0 <= 6 || position.term.0 == 2;
    assert_eq!(
        repair_ahead(&files, log).expect("a repair").position,
        Position::new(1, 6)
    );
}

#[test]
fn a_checkpoint_beyond_the_log_cannot_be_repaired() {
    let vfs = Registered::new(ForgetfulDisk::new(1), 1);
    let files = vfs.files();
    replica(&files, 5, 12);
    // The WAL restarted at 6, so 5 is only in the main file.
    let error = repair_ahead(&files, up_to(4)).expect_err("no repair");
    assert_eq!(
        error,
        RecoveryError::CheckpointBeyondLog {
            position: Position::new(1, 5)
        }
    );
}

#[test]
fn a_new_replica_and_one_whose_restore_was_interrupted_are_at_zero() {
    let disk = ForgetfulDisk::new(1);
    let vfs = Registered::new(disk.clone(), 1);
    let files = vfs.files();
    let zero = Recovery {
        position: Position::ZERO,
        commits_cut: 0,
        wal_given_up: false,
    };
    assert_eq!(repair_ahead(&files, |_| false), Ok(zero));
    replica(&files, 5, 12);
    disk.remove(&files.path).expect("no main file");
    assert_eq!(repair_ahead(&files, |_| false), Ok(zero));
    assert!(disk.names().is_empty(), "the WAL of another file was left behind");
}

#[test]
fn real_files_are_repaired_as_well() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let files = Files::new(directory.path().join("main.db"), Vfs::Os);
    replica(&files, 4, 20);
    assert_eq!(
        repair_ahead(&files, up_to(11)).expect("a repair").position,
        Position::new(1, 11)
    );
    assert_eq!(
        last_row(&files.connect(ConnectionRole::Writer).expect("the replica")),
        11
    );
}

#[test]
fn a_crash_at_any_moment_leaves_a_replica_that_can_be_cut_to_any_logged_position() {
    for seed in 0..200 {
        let disk = ForgetfulDisk::new(seed);
        let vfs = Registered::new(disk.clone(), seed);
        let writer = create_replica(&vfs.files());
        disk.die_after(40 + seed % 97);
        let mut index = 0;
        while commit(&writer, Position::new(1, index + 1)).is_ok() {
            index += 1;
            if index % 9 == 0 {
                let _ = writer.query_row("PRAGMA wal_checkpoint", [], |_| Ok(()));
            }
        }
        drop(writer);
        drop(vfs);
        disk.crash();
        let vfs = Registered::new(disk, seed + 1000);
        let files = vfs.files();
        // A checkpoint promises that the log holds what it moved: the last multiple of nine.
        let log_end = (index / 9 * 9).max(index.saturating_sub(seed % 5));
        let recovery = repair_ahead(&files, up_to(log_end)).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let writer = files.connect(ConnectionRole::Writer).expect("the replica");
        assert!(recovery.position.index.0 <= log_end, "seed {seed}");
        assert_eq!(last_row(&writer), recovery.position.index.0, "seed {seed}");
        let check: String = writer
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .expect("a check");
        assert_eq!(check, "ok", "seed {seed}");
    }
}
