//! What the checksums of pages cost, against the same SQLite without them.
//!
//! `cargo run --release -p bellwether-storage --example page_checksums`. The kernel has all files in memory, so a read
//! that misses SQLite's cache is as cheap as it can be, and the share of the checksum as large.

use std::path::Path;
use std::time::{Duration, Instant};

use bellwether_storage::files::ConnectionRole;
use bellwether_storage::pages::{PAGE_BYTES, is_sound, write_checksum};
use bellwether_storage::{Checkpointer, Files, Vfs};
use bellwether_types::Position;
use rusqlite::{Connection, params};

const ROWS: i64 = 200_000;
const READS: i64 = 300_000;
const UPSERTS: i64 = 100_000;
/// Each is measured so often; the best counts.
const ROUNDS: usize = 5;

fn files(path: &Path) -> Files {
    Files::new(path.to_owned(), Vfs::Os)
}

fn best(mut round: impl FnMut() -> Duration) -> Duration {
    (0..ROUNDS).map(|_| round()).min().expect("at least one round")
}

fn micros(time: Duration, count: i64) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}

/// Without a layer above the operating system's files.
fn plain(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("the file opens");
    connection
        .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0")
        .expect("pragmas");
    connection
}

fn fill(connection: &Connection) {
    connection
        .execute_batch(&format!(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
             INSERT INTO t SELECT i, printf('%.*c', 100, 'x') FROM n;
             PRAGMA wal_checkpoint(TRUNCATE)"
        ))
        .expect("rows");
}

/// One after the other, all over the table. With a cache of almost nothing each reads the leaf, and mostly the page
/// above it.
fn point_reads(connection: &Connection, cache_pages: i64) -> Duration {
    connection
        .pragma_update(None, "cache_size", cache_pages)
        .expect("a pragma");
    let mut read = connection
        .prepare("SELECT body FROM t WHERE id = ?1")
        .expect("a statement");
    let began = Instant::now();
    for number in 0..READS {
        let id = number * 7919 % ROWS + 1;
        read.query_row([id], |row| row.get_ref(0).map(|_| ()))
            .expect("a row");
    }
    began.elapsed()
}

/// In transactions of a hundred, and how long it takes to move them into the main file.
fn upserts(connection: &Connection, round: usize, mut checkpoint: impl FnMut()) -> (Duration, Duration) {
    connection
        .pragma_update(None, "cache_size", -65_536)
        .expect("a pragma");
    let mut upsert = connection
        .prepare("INSERT INTO t VALUES (?1, ?2) ON CONFLICT(id) DO UPDATE SET body = excluded.body")
        .expect("a statement");
    let (mut writing, mut moving) = (Duration::ZERO, Duration::ZERO);
    for group in 0..UPSERTS / 100 {
        let began = Instant::now();
        connection.execute_batch("BEGIN").expect("a transaction");
        for number in group * 100..group * 100 + 100 {
            // Another one each time: SQLite writes no page that does not change.
            let body = format!("{round}-{number:0100}");
            upsert
                .execute(params![number * 7919 % ROWS + 1, body])
                .expect("a row");
        }
        connection.execute_batch("COMMIT").expect("a commit");
        writing += began.elapsed();
        if group % 50 == 49 {
            let began = Instant::now();
            checkpoint();
            moving += began.elapsed();
        }
    }
    (writing, moving)
}

fn main() {
    let mut page = vec![0xA5; PAGE_BYTES];
    let calls = 1_000_000;
    let sum = best(|| {
        let began = Instant::now();
        for number in 0..calls {
            write_checksum(number, std::hint::black_box(&mut page));
        }
        began.elapsed()
    });
    let compare = best(|| {
        let began = Instant::now();
        for _ in 0..calls {
            assert!(is_sound(calls - 1, std::hint::black_box(&page)));
        }
        began.elapsed()
    });
    println!(
        "the sum of a page: {:.3} us written, {:.3} us compared",
        micros(sum, calls.into()),
        micros(compare, calls.into())
    );

    let directory = tempfile::tempdir().expect("a temporary directory");
    let (with, without) = (
        directory.path().join("with.db"),
        directory.path().join("without.db"),
    );
    let checked = files(&with).connect(ConnectionRole::Writer).expect("a file");
    let bare = plain(&without);
    fill(&checked);
    fill(&bare);
    for (name, cache_pages) in [("cold", 0), ("warm", 20_000)] {
        let mut times = [Duration::MAX; 2];
        for _ in 0..ROUNDS {
            for (time, connection) in times.iter_mut().zip([&checked, &bare]) {
                *time = (*time).min(point_reads(connection, cache_pages));
            }
        }
        println!(
            "a point read, {name}: {:.3} us, without {:.3} us",
            micros(times[0], READS),
            micros(times[1], READS)
        );
    }
    let mover = plain(&without);
    let mut checkpointer = Checkpointer::open(&files(&with)).expect("a checkpointer");
    let mut best = [(Duration::MAX, Duration::MAX); 2];
    for round in 0..ROUNDS {
        let ours = upserts(&checked, round, || {
            let done = checkpointer.restart(Position::ZERO).expect("a checkpoint");
            assert!(done.wal_frames > 1000 && done.wal_frames_left == 0, "{done:?}");
        });
        let theirs = upserts(&bare, round, || {
            let (busy, frames, moved): (i64, i64, i64) = mover
                .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .expect("a checkpoint");
            assert!(
                busy == 0 && frames > 1000 && frames == moved,
                "{busy} {frames} {moved}"
            );
        });
        for (best, (writing, moving)) in best.iter_mut().zip([ours, theirs]) {
            *best = (best.0.min(writing), best.1.min(moving));
        }
    }
    for (name, (writing, moving)) in ["with", "without"].into_iter().zip(best) {
        println!(
            "an upsert, {name}: {:.3} us; its share of the checkpoints: {:.3} us",
            micros(writing, UPSERTS),
            micros(moving, UPSERTS)
        );
    }
}
