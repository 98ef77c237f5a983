//! Time. The world's runs evenly; a node's wall clock is off by what faults make of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Microseconds since the run began. All nodes' monotonic clocks show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// Of seconds.
    pub const fn from_secs(seconds: u64) -> Time {
        Time(seconds * 1_000_000)
    }

    /// Later by so many microseconds.
    #[must_use]
    pub const fn plus_us(self, microseconds: u64) -> Time {
        Time(self.0 + microseconds)
    }

    /// Microseconds from `earlier` to here; zero if it is later.
    pub const fn since_us(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole milliseconds.
    pub const fn ms(self) -> u64 {
        self.0 / 1000
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:3}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// 2026-01-01T00:00:00Z, where every run begins, in Unix milliseconds.
const FOUNDED_UNIX_MS: i64 = 1_767_225_600_000;

/// A node's wall clock. It jumps; SQLite reads it through its VFS.
#[derive(Clone)]
pub struct WallClock {
    offset_ms: i64,
    shown_ms: Arc<AtomicI64>,
}

impl WallClock {
    /// Wrong by `offset_ms`.
    pub fn new(offset_ms: i64) -> WallClock {
        WallClock {
            offset_ms,
            shown_ms: Arc::new(AtomicI64::new(FOUNDED_UNIX_MS + offset_ms)),
        }
    }

    /// Somebody sets it.
    pub fn jump_ms(&mut self, by_ms: i64) {
        self.offset_ms += by_ms;
    }

    /// Unix milliseconds; what SQLite reads is brought up to date too.
    pub fn read_ms(&self, now: Time) -> u64 {
        let shown = FOUNDED_UNIX_MS + self.offset_ms + now.ms() as i64;
        self.shown_ms.store(shown, Ordering::Relaxed);
        shown.max(0) as u64
    }

    /// What SQLite's VFS reads.
    pub fn shown(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.shown_ms)
    }
}
