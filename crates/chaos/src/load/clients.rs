//! Who makes the load: writers of single rows, and one session that loads and updates in bulk.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::session::{Answer, Promise, Session, Trouble};

pub(super) const TABLES: [&str; 3] = [
    "CREATE TABLE single (writer INTEGER, id INTEGER, value INTEGER NOT NULL, PRIMARY KEY (writer, id)) WITHOUT ROWID",
    "CREATE TABLE bulk (id INTEGER PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE wide (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, body TEXT NOT NULL)",
];

/// A statement that takes longer hangs: all wait while a bulk load is committed.
const PATIENCE: Duration = Duration::from_secs(600);

/// Rows of a writer, which it writes in turn.
const KEYS: usize = 1_000;

/// Of a row that is loaded.
const BODY_BYTES: usize = 1_000;

/// What is sent at a time.
const CHUNK_ROWS: u64 = 64;

/// Rows that the first UPDATE changes, by whose time the next are measured.
const FIRST_ROWS: u64 = 50_000;

/// No UPDATE changes more.
const ROWS_MAX: u64 = 10_000_000;

/// Rows of `wide` that one statement makes.
const FILLED_AT_A_TIME: u64 = 100_000;

/// Errors remembered with their text.
const ERRORS_SHOWN: usize = 10;

/// What writers were told.
pub(super) struct Tally {
    is_stopped: AtomicBool,
    seen: Mutex<Seen>,
}

pub(super) struct Seen {
    /// In microseconds.
    pub latencies: Histogram<u64>,
    pub errors: u64,
    pub first_errors: Vec<String>,
}

impl Default for Tally {
    fn default() -> Tally {
        let latencies = Histogram::new_with_max(PATIENCE.as_micros() as u64, 3).expect("valid bounds");
        Tally {
            is_stopped: AtomicBool::new(false),
            seen: Mutex::new(Seen {
                latencies,
                errors: 0,
                first_errors: Vec::new(),
            }),
        }
    }
}

impl Tally {
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    pub fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics while counting")
    }

    fn enter(&self, took: Duration, answer: Result<Answer, Trouble>) -> bool {
        let mut seen = self.seen();
        match answer {
            Ok(_) => seen.latencies.saturating_record(took.as_micros() as u64),
            Err(trouble) => {
                seen.errors += 1;
                if seen.first_errors.len() < ERRORS_SHOWN {
                    seen.first_errors.push(trouble.to_string());
                }
                return false;
            }
        }
        true
    }
}

/// The value last acknowledged of each of a writer's rows; 0: none was.
pub(super) struct Acknowledged {
    writer: u64,
    values: Vec<u64>,
}

/// One writer, until it is stopped. It ends at the first error: nothing is wrong, so there must be none.
pub(super) async fn write(writer: u64, door: SocketAddr, tally: std::sync::Arc<Tally>) -> Acknowledged {
    let mut acknowledged = Acknowledged {
        writer,
        values: vec![0; KEYS],
    };
    let session = match Session::open(door, Promise::STRONG).await {
        Ok(session) => session,
        Err(trouble) => {
            tally.enter(Duration::ZERO, Err(trouble));
            return acknowledged;
        }
    };
    let mut value = 0;
    while !tally.is_stopped.load(Ordering::Relaxed) {
        value += 1;
        let id = value as usize % KEYS;
        let sql = format!(
            "INSERT INTO single VALUES ({writer}, {id}, {value}) ON CONFLICT DO UPDATE SET value = excluded.value"
        );
        let begun = Instant::now();
        let answer = session.execute_within(&sql, PATIENCE).await;
        if !tally.enter(begun.elapsed(), answer) {
            break;
        }
        acknowledged.values[id] = value;
    }
    acknowledged
}

/// How many acknowledged writes are not there. A row may have a later value than its writer was told of.
pub(super) async fn lost(session: &Session, acknowledged: &[Acknowledged]) -> Result<u64, Trouble> {
    let mut lost = 0;
    for Acknowledged { writer, values } in acknowledged {
        let sql = format!("SELECT id, value FROM single WHERE writer = {writer}");
        let answer = session.execute(&sql).await?;
        let mut there = vec![0; KEYS];
        for (id, value) in answer.integers(0)?.into_iter().zip(answer.integers(1)?) {
            there[id as usize] = value as u64;
        }
        lost += values
            .iter()
            .zip(&there)
            .filter(|(told, there)| told > there)
            .count() as u64;
    }
    Ok(lost)
}

/// What was loaded and updated.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub loads: Vec<Duration>,
    pub updates: Vec<Duration>,
}

/// The session that loads and updates.
pub(super) struct Bulk {
    session: Session,
    bytes: u64,
    update: Duration,
    /// Rows of `wide`.
    filled: u64,
    /// That the next UPDATE changes.
    rows: u64,
    done: Done,
}

impl Bulk {
    pub fn new(session: Session, bytes: u64, update: Duration) -> Bulk {
        Bulk {
            session,
            bytes,
            update,
            filled: 0,
            rows: FIRST_ROWS,
            done: Done::default(),
        }
    }

    /// Loads and updates in turn, each followed by as long a quiet.
    pub async fn repeat_until(mut self, ends: Instant, say: &impl Fn(&str)) -> Result<Done, Trouble> {
        while Instant::now() < ends {
            let took = self.load().await?;
            say(&format!(
                "loaded {} MB in {:.1} s",
                self.bytes / 1_000_000,
                took.as_secs_f64()
            ));
            self.done.loads.push(took);
            quiet(took, ends).await;
            let took = self.update().await?;
            say(&format!(
                "updated {} rows in {:.1} s",
                self.rows,
                took.as_secs_f64()
            ));
            self.done.updates.push(took);
            self.rows = scaled(self.rows, self.update, took);
            quiet(took, ends).await;
        }
        Ok(self.done)
    }

    /// One transaction. The rows of the one before go first.
    async fn load(&mut self) -> Result<Duration, Trouble> {
        for sql in ["DROP TABLE bulk", TABLES[1]] {
            self.session.execute_within(sql, PATIENCE).await?;
        }
        let rows = self.bytes / BODY_BYTES as u64;
        let chunks = (0..rows).step_by(CHUNK_ROWS as usize).map(|first| {
            let rows = (first..rows.min(first + CHUNK_ROWS)).map(row);
            Bytes::from(rows.collect::<String>())
        });
        let begun = Instant::now();
        let sql = "COPY bulk (id, body) FROM STDIN";
        self.session.copy_within(sql, chunks, PATIENCE).await?;
        Ok(begun.elapsed())
    }

    async fn update(&mut self) -> Result<Duration, Trouble> {
        while self.filled < self.rows {
            let (from, to) = (self.filled + 1, self.filled + FILLED_AT_A_TIME);
            let sql = format!(
                "INSERT INTO wide SELECT n, 0, 'some text of a row that is not too short' FROM generate_series({from}, {to}) AS n"
            );
            self.session.execute_within(&sql, PATIENCE).await?;
            self.filled = to;
        }
        let sql = format!("UPDATE wide SET n = n + 1 WHERE id <= {}", self.rows);
        let begun = Instant::now();
        self.session.execute_within(&sql, PATIENCE).await?;
        Ok(begun.elapsed())
    }
}

/// As long as what was before, so that followers can show what they miss: at most until the end.
async fn quiet(took: Duration, ends: Instant) {
    tokio::time::sleep_until(ends.min(Instant::now() + took)).await;
}

/// Hexadecimal digits that do not repeat: what is shipped packed is not packed to nothing.
fn row(id: u64) -> String {
    let mut random = crate::random::Random::new(id);
    let body = std::iter::repeat_with(|| format!("{:08x}", random.below(u32::MAX as usize)));
    let body: String = body.take(BODY_BYTES / 8).collect();
    format!("{id}\t{body}\n")
}

/// Rows that would have taken so long.
fn scaled(rows: u64, wanted: Duration, took: Duration) -> u64 {
    let factor = wanted.as_secs_f64() / took.as_secs_f64().max(1e-3);
    ((rows as f64 * factor) as u64).clamp(FIRST_ROWS, ROWS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_update_takes_as_long_as_wanted() {
        let (wanted, took) = (Duration::from_secs(10), Duration::from_secs(2));
        assert_eq!(scaled(100_000, wanted, took), 500_000);
        assert_eq!(scaled(100_000, Duration::ZERO, took), FIRST_ROWS);
        assert_eq!(scaled(100_000, wanted, Duration::ZERO), ROWS_MAX);
    }

    #[test]
    fn a_row_is_as_long_as_is_said_and_unlike_the_next() {
        let (one, two) = (row(1), row(2));
        assert_eq!(one.len(), BODY_BYTES + "1\t\n".len());
        assert_ne!(one[2..], two[2..]);
    }
}
