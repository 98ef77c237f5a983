//! Real SQLite on a disk that forgets.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::*;
use crate::files::{ConnectionRole, Files, OpenError};
use crate::testing::{ForgetfulDisk, Registered};

/// One that syncs as SQLite does by itself, which a replica's connections leave to checkpoints.
fn syncing_writer(files: &Files) -> Result<Connection, OpenError> {
    let writer = files.connect(ConnectionRole::Writer)?;
    let set = writer.pragma_update(None, "synchronous", "NORMAL");
    set.map_err(|error| OpenError::sqlite(&files.path, &error))?;
    Ok(writer)
}

fn numbers(connection: &Connection) -> Vec<i64> {
    let mut statement = connection
        .prepare("SELECT n FROM t ORDER BY n")
        .expect("a statement");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("numbers")
}

#[test]
fn readers_keep_their_snapshot_beside_the_writer() {
    let vfs = Registered::new(ForgetfulDisk::new(1), 1);
    let files = vfs.files();
    let writer = files.connect(ConnectionRole::Writer).expect("a new file");
    writer
        .execute_batch("CREATE TABLE t(n); INSERT INTO t VALUES (1)")
        .expect("a table");
    let early = files.connect(ConnectionRole::Reader).expect("a reader");
    early.execute_batch("BEGIN").expect("a transaction");
    assert_eq!(numbers(&early), [1]);
    writer
        .execute("INSERT INTO t VALUES (2)", [])
        .expect("a write beside the reader");
    let late = files.connect(ConnectionRole::Reader).expect("a reader");
    assert_eq!(numbers(&late), [1, 2]);
    assert_eq!(numbers(&early), [1]);
    early.execute_batch("COMMIT").expect("the end of the snapshot");
    assert_eq!(numbers(&early), [1, 2]);
    let second = files.connect(ConnectionRole::Writer).expect("another writer");
    writer.execute_batch("BEGIN IMMEDIATE").expect("the write lock");
    let busy = second
        .execute_batch("BEGIN IMMEDIATE")
        .expect_err("one writer at a time");
    assert_eq!(busy.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
}

#[test]
fn readers_and_a_writer_work_from_several_threads() {
    let vfs = Registered::new(ForgetfulDisk::new(2), 2);
    let files = vfs.files();
    let writer = files.connect(ConnectionRole::Writer).expect("a new file");
    writer
        .execute_batch("CREATE TABLE t(n); INSERT INTO t VALUES (0), (0)")
        .expect("a table");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let reader = files.connect(ConnectionRole::Reader).expect("a reader");
            scope.spawn(move || {
                for _ in 0..300 {
                    // Both rows are always changed together; a busy answer is possible and harmless.
                    let pair = numbers(&reader);
                    assert_eq!(pair[0], pair[1]);
                }
            });
        }
        for round in 1..300 {
            writer.execute("UPDATE t SET n = ?1", [round]).expect("a write");
            if round % 50 == 0 {
                writer
                    .query_row("PRAGMA wal_checkpoint", [], |_| Ok(()))
                    .expect("a checkpoint");
            }
        }
    });
    assert_eq!(numbers(&writer), [299, 299]);
}

#[test]
fn who_waits_for_a_lock_really_waits() {
    let vfs = Registered::new(ForgetfulDisk::new(5), 5);
    let files = vfs.files();
    let holder = files.connect(ConnectionRole::Writer).expect("a new file");
    holder
        .execute_batch("CREATE TABLE t(n); BEGIN IMMEDIATE")
        .expect("the write lock");
    let patient = files.connect(ConnectionRole::Writer).expect("another writer");
    let patience = Duration::from_millis(20);
    patient.busy_timeout(patience).expect("a busy handler");
    let begun = Instant::now();
    patient
        .execute_batch("BEGIN IMMEDIATE")
        .expect_err("the lock is not given back");
    assert!(begun.elapsed() >= patience);
    assert_eq!(
        vfs.clock.load(Relaxed),
        0,
        "and the clock that was passed stands still"
    );
}

#[test]
fn time_comes_from_the_clock_that_was_passed() {
    let vfs = Registered::new(ForgetfulDisk::new(3), 3);
    let writer = vfs.files().connect(ConnectionRole::Writer).expect("a new file");
    let now = || -> (String, f64) {
        let sql = "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now'), julianday('now')";
        writer
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("the time")
    };
    assert_eq!(now(), ("1970-01-01 00:00:00.000".to_owned(), 2_440_587.5));
    vfs.clock.store(951_782_400_123, Relaxed);
    assert_eq!(now().0, "2000-02-29 00:00:00.123");
}

#[test]
fn a_full_disk_and_a_failing_one_are_told_apart() {
    let disk = ForgetfulDisk::new(4);
    let vfs = Registered::new(disk.clone(), 4);
    let writer = vfs.files().connect(ConnectionRole::Writer).expect("a new file");
    writer
        .execute_batch("CREATE TABLE t(n); INSERT INTO t VALUES (1)")
        .expect("a table");
    for (kind, code) in [
        (io::ErrorKind::StorageFull, ffi::SQLITE_FULL),
        (io::ErrorKind::Other, ffi::SQLITE_IOERR_WRITE),
    ] {
        disk.fail_writes(Some(kind));
        let error = writer
            .execute("INSERT INTO t VALUES (2)", [])
            .expect_err("no write");
        assert_eq!(crate::files::sqlite_facts(&error).0, code);
        disk.fail_writes(None);
        assert_eq!(numbers(&writer), [1]);
    }
}

#[test]
fn a_panicking_disk_is_an_error_of_sqlite() {
    let disk = ForgetfulDisk::new(5);
    let vfs = Registered::new(disk.clone(), 5);
    let writer = vfs.files().connect(ConnectionRole::Writer).expect("a new file");
    disk.panic_on_write();
    assert!(writer.execute_batch("CREATE TABLE t(n)").is_err());
}

#[test]
fn names_are_taken_once_and_given_back() {
    let disk: Arc<dyn Disk> = Arc::new(ForgetfulDisk::new(6));
    let clock = Arc::new(AtomicI64::new(0));
    assert_eq!(
        register("twice", Arc::clone(&disk), 1, Arc::clone(&clock)),
        Ok(())
    );
    let again = register("twice", Arc::clone(&disk), 1, Arc::clone(&clock));
    assert_eq!(again, Err(RegisterError::NameTaken("twice".to_owned())));
    assert!(unregister("twice"));
    assert!(!unregister("twice"));
    assert!(matches!(
        register("a\0b", disk, 1, clock),
        Err(RegisterError::InvalidName(_))
    ));
}

#[test]
fn vacuum_and_large_sorts_need_no_files_of_their_own() {
    let disk = ForgetfulDisk::new(7);
    let vfs = Registered::new(disk.clone(), 7);
    let writer = vfs.files().connect(ConnectionRole::Writer).expect("a new file");
    writer
        .execute_batch(
            "CREATE TABLE t(n);
             WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 20000)
             INSERT INTO t SELECT i * 7919 % 20011 FROM c;
             CREATE INDEX t_n ON t(n);
             DELETE FROM t WHERE n % 2;
             VACUUM",
        )
        .expect("all of it");
    assert_eq!(disk.names(), ["/replica/main.db", "/replica/main.db-wal"]);
}

/// Opens the file, works until the disk dies, and answers how many transactions were committed, counting the one
/// whose outcome is unknown only in the second number.
fn work_until_crash(files: &Files, random: &mut Random, committed_before: i64) -> (i64, i64) {
    let mut committed = committed_before;
    let Ok(writer) = syncing_writer(files) else {
        return (committed, committed);
    };
    let schema = "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, filler BLOB)";
    if writer.execute_batch(schema).is_err() {
        return (committed, committed);
    }
    loop {
        let filler = random.next() % 9000;
        let result = (|| {
            writer.execute_batch("BEGIN IMMEDIATE")?;
            writer.execute(
                "INSERT INTO t VALUES (?1, randomblob(?2))",
                params![committed + 1, filler as i64],
            )?;
            let other = random.next() as i64 % (committed + 1);
            writer.execute(
                "UPDATE t SET filler = randomblob(?1) WHERE n = ?2",
                params![(filler / 2) as i64, other],
            )?;
            writer.execute_batch("COMMIT")
        })();
        if result.is_err() {
            return (committed, committed + 1);
        }
        committed += 1;
        if random.next().is_multiple_of(8) {
            let mode = ["PASSIVE", "RESTART", "TRUNCATE"][random.next() as usize % 3];
            let _ = writer.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
        }
    }
}

#[test]
fn after_a_crash_a_prefix_of_the_committed_transactions_is_there_and_sound() {
    let mut survivors = 0;
    for seed in 0..400 {
        let mut random = Random(seed);
        let disk = ForgetfulDisk::new(seed);
        let mut last = 0;
        for life in 0..3 {
            disk.die_after(random.next() % 400);
            let vfs = Registered::new(disk.clone(), seed * 10 + life);
            let (_, possible) = work_until_crash(&vfs.files(), &mut random, last);
            drop(vfs);
            disk.crash();

            let vfs = Registered::new(disk.clone(), seed * 10 + life + 5);
            let reader = vfs
                .files()
                .connect(ConnectionRole::Writer)
                .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            let check: String = reader
                .query_row("PRAGMA integrity_check", [], |row| row.get(0))
                .expect("a check");
            assert_eq!(check, "ok", "seed {seed} life {life}");
            let exists = "SELECT count(*) FROM sqlite_schema WHERE name = 't'";
            let found: i64 = reader
                .query_row(exists, [], |row| row.get(0))
                .expect("the schema");
            let found = if found == 1 { numbers(&reader) } else { Vec::new() };
            assert_eq!(
                found,
                (1..=found.len() as i64).collect::<Vec<_>>(),
                "seed {seed}: not a prefix"
            );
            assert!(
                found.len() as i64 <= possible,
                "seed {seed}: more than was committed"
            );
            last = found.len() as i64;
            survivors += last;
        }
    }
    assert!(survivors > 1000, "the test lost nearly everything: {survivors}");
}

#[test]
fn what_was_checkpointed_or_synced_survives_a_crash() {
    for seed in 0..100 {
        let disk = ForgetfulDisk::new(seed);
        let vfs = Registered::new(disk.clone(), seed);
        let writer = syncing_writer(&vfs.files()).expect("a new file");
        writer
            .execute_batch("CREATE TABLE t(n); INSERT INTO t VALUES (1)")
            .expect("a table");
        writer
            .query_row("PRAGMA wal_checkpoint", [], |_| Ok(()))
            .expect("a checkpoint");
        writer.execute("INSERT INTO t VALUES (2)", []).expect("a write");
        disk.die_after(0);
        drop(writer);
        drop(vfs);
        disk.crash();
        let vfs = Registered::new(disk, seed + 1000);
        let reader = vfs.files().connect(ConnectionRole::Reader).expect("the file");
        assert_eq!(numbers(&reader)[0], 1, "seed {seed}");
    }
}
