//! How quickly an image is read: as quickly as the log bears.
//!
//! What the log's fsyncs take tells whether the disk, or the processor, is wanted by others. A seeding compares what they
//! take on average now with what they took before it began. While it is more by [`SLOWER_US`] and by half, the pause
//! after each chunk doubles, from [`PAUSE_MIN`] to [`PAUSE_MAX`]; while it is not, it halves, down to none.

use std::time::Duration;

/// So much slower than before is noticed: below it clients feel nothing.
const SLOWER_US: u64 = 500;

/// Between two looks, so that there are fsyncs to be looked at.
pub(super) const LOOK_PERIOD: Duration = Duration::from_millis(25);

const PAUSE_MIN: Duration = Duration::from_millis(4);

/// With chunks of a megabyte it goes on at some 16 MB/s however busy the disk is.
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// Fsyncs of this process's logs, counted since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fsyncs {
    pub count: u64,
    pub sum_us: u64,
}

impl Fsyncs {
    fn since(self, earlier: Fsyncs) -> Fsyncs {
        Fsyncs {
            count: self.count.saturating_sub(earlier.count),
            sum_us: self.sum_us.saturating_sub(earlier.sum_us),
        }
    }

    fn mean_us(self) -> Option<u64> {
        self.sum_us.checked_div(self.count)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    /// What an fsync took before the seeding.
    calm_us: u64,
    seen: Fsyncs,
    pause: Duration,
}

impl Pace {
    /// From what was counted until now.
    pub fn new(before: Fsyncs) -> Pace {
        Pace {
            calm_us: before.mean_us().unwrap_or(0),
            seen: before,
            pause: Duration::ZERO,
        }
    }

    /// Looks at what was counted since the last look; to be called every [`LOOK_PERIOD`]. The pause after each chunk
    /// until the next.
    pub fn look(&mut self, now: Fsyncs) -> Duration {
        let fresh = now.since(self.seen);
        self.seen = now;
        let limit_us = (self.calm_us + SLOWER_US).max(self.calm_us * 3 / 2);
        self.pause = match fresh.mean_us() {
            Some(mean_us) if mean_us > limit_us => (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX),
            _ if self.pause > PAUSE_MIN => self.pause / 2,
            _ => Duration::ZERO,
        };
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses after looks between which each time ten fsyncs took so long.
    fn pauses_ms(calm_us: u64, means_us: &[u64]) -> Vec<u128> {
        let mut now = Fsyncs {
            count: 1000,
            sum_us: 1000 * calm_us,
        };
        let mut pace = Pace::new(now);
        let mut look = |mean_us: &u64| {
            now.count += 10;
            now.sum_us += 10 * mean_us;
            pace.look(now).as_millis()
        };
        means_us.iter().map(&mut look).collect()
    }

    #[test]
    fn it_yields_while_fsyncs_are_slower_than_before_and_no_longer() {
        let busy = [9_000, 9_000, 9_000, 9_000, 9_000, 9_000, 9_000];
        assert_eq!(pauses_ms(1_000, &busy), [4, 8, 16, 32, 64, 64, 64]);
        assert_eq!(
            pauses_ms(1_000, &[9_000, 9_000, 9_000, 900, 900, 900]),
            [4, 8, 16, 8, 4, 0]
        );
        assert_eq!(pauses_ms(10_000, &[12_000, 14_000]), [0, 0], "as slow as ever");
    }

    #[test]
    fn where_nobody_writes_there_is_no_pause() {
        let mut pace = Pace::new(Fsyncs::default());
        assert_eq!(pace.look(Fsyncs::default()), Duration::ZERO);
    }
}
