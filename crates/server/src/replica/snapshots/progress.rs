//! How much of an image is here, for whoever watches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether_http::SeedingStatus;

/// Without a terminal a line is logged so often.
const LOG_PERIOD: Duration = Duration::from_secs(5);

/// Who draws is told so often.
const DRAW_PERIOD: Duration = Duration::from_millis(500);

/// An image that arrives, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeding {
    /// The database's name.
    pub database: &'static str,
    /// What is here of it.
    pub image: SeedingStatus,
    /// Of that, what was here when this attempt began.
    pub begun_at_bytes: u64,
    /// Since this attempt began.
    pub elapsed: Duration,
}

impl Seeding {
    /// Of this attempt.
    pub fn bytes_per_second(&self) -> u64 {
        let fresh = self.image.received_bytes.saturating_sub(self.begun_at_bytes);
        (fresh as f64 / self.elapsed.as_secs_f64().max(0.001)) as u64
    }

    /// When it will all be here, at that rate; `None` while nothing has come.
    pub fn left(&self) -> Option<Duration> {
        let left = self.image.total_bytes.saturating_sub(self.image.received_bytes);
        left.checked_div(self.bytes_per_second()).map(Duration::from_secs)
    }
}

/// Who is told of images that arrive, instead of the log.
pub type Watcher = fn(&Seeding);

/// What the image that arrives, or the last one, has come to.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    received: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// `None` before there was an image.
    pub fn get(&self) -> Option<SeedingStatus> {
        let total_bytes = self.total.load(Ordering::Acquire);
        (total_bytes > 0).then(|| SeedingStatus {
            received_bytes: self.received().min(total_bytes),
            total_bytes,
        })
    }

    pub(super) fn begin(&self, received: u64, total: u64) {
        self.received.store(received, Ordering::Relaxed);
        self.total.store(total, Ordering::Release);
    }

    pub(super) fn set_received(&self, received: u64) {
        self.received.store(received, Ordering::Relaxed);
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// Tells of one attempt.
pub(super) struct Teller<'a> {
    database: &'static str,
    progress: &'a Progress,
    watcher: Option<Watcher>,
    begun_at: u64,
    begun: Instant,
    told: Instant,
}

impl<'a> Teller<'a> {
    pub fn new(database: &'static str, progress: &'a Progress, watcher: Option<Watcher>) -> Teller<'a> {
        let begun = Instant::now();
        Teller {
            database,
            progress,
            watcher,
            begun_at: progress.received(),
            begun,
            told: begun,
        }
    }

    fn seeding(&self) -> Option<Seeding> {
        Some(Seeding {
            database: self.database,
            image: self.progress.get()?,
            begun_at_bytes: self.begun_at,
            elapsed: self.begun.elapsed(),
        })
    }

    /// When it is time to.
    pub fn maybe_tell(&mut self) {
        let period = match self.watcher {
            Some(_) => DRAW_PERIOD,
            None => LOG_PERIOD,
        };
        if self.told.elapsed() >= period {
            self.told = Instant::now();
            self.tell();
        }
    }

    pub fn tell(&self) {
        let Some(seeding) = self.seeding() else { return };
        match self.watcher {
            Some(watcher) => watcher(&seeding),
            None => tracing::info!(
                database = self.database,
                received_bytes = seeding.image.received_bytes,
                total_bytes = seeding.image.total_bytes,
                percent = seeding.image.percent(),
                bytes_per_second = seeding.bytes_per_second(),
                left_s = seeding.left().map(|left| left.as_secs()),
                "the image arrives"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_are_of_what_this_attempt_has_fetched() {
        let seeding = Seeding {
            database: "postgres",
            image: SeedingStatus {
                received_bytes: 600,
                total_bytes: 1000,
            },
            begun_at_bytes: 500,
            elapsed: Duration::from_secs(1),
        };
        assert_eq!(seeding.bytes_per_second(), 100);
        assert_eq!(seeding.left(), Some(Duration::from_secs(4)));
        assert_eq!(seeding.image.percent(), 60);
        let begins = Seeding {
            begun_at_bytes: 600,
            ..seeding
        };
        assert_eq!(begins.left(), None);
    }
}
