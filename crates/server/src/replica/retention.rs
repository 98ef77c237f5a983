//! How much log is kept for nodes that were away: so many bytes, and no longer than so long.
//!
//! Whoever was away for longer gets an image. What SQLite does not have durably is never cut, whatever this says; and only
//! whole segments are.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bellwether_types::LogIndex;

/// Between marks: entries are cut so much later than they might be.
const MARK_PERIOD: Duration = Duration::from_secs(60);

/// What is wanted of one log.
#[derive(Debug)]
pub(crate) struct Retention {
    keep_bytes: u64,
    /// `None`: however old.
    keep_for: Option<Duration>,
    /// Where the log ended then; of this process's life.
    marks: VecDeque<(Instant, LogIndex)>,
}

/// A log, as retention sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub first: LogIndex,
    pub last: LogIndex,
    pub size_bytes: u64,
}

impl Retention {
    pub fn new(keep_bytes: u64, keep_for: Option<Duration>) -> Retention {
        Retention {
            keep_bytes,
            keep_for,
            marks: VecDeque::new(),
        }
    }

    /// The first entry to keep; `None`: all are.
    pub fn first_wanted(&mut self, now: Instant, log: Extent) -> Option<LogIndex> {
        self.too_many(log).max(self.too_old(now, log))
    }

    /// In proportion, as entries are of similar size.
    fn too_many(&self, log: Extent) -> Option<LogIndex> {
        let excess_bytes = log
            .size_bytes
            .checked_sub(self.keep_bytes)
            .filter(|excess| *excess > 0)?;
        let share = excess_bytes as f64 / log.size_bytes as f64;
        Some(LogIndex(
            log.first.0 + ((log.last.0 - log.first.0) as f64 * share) as u64,
        ))
    }

    fn too_old(&mut self, now: Instant, log: Extent) -> Option<LogIndex> {
        let keep_for = self.keep_for?;
        if self
            .marks
            .back()
            .is_none_or(|(marked, _)| now.duration_since(*marked) >= MARK_PERIOD)
        {
            self.marks.push_back((now, log.last));
        }
        let mut wanted = None;
        while let Some((marked, last)) = self.marks.front().copied()
            && now.duration_since(marked) > keep_for
        {
            wanted = Some(last.next());
            self.marks.pop_front();
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(last: u64, size_bytes: u64) -> Extent {
        Extent {
            first: LogIndex(1),
            last: LogIndex(last),
            size_bytes,
        }
    }

    #[test]
    fn a_log_that_is_too_long_loses_its_front_in_proportion() {
        let mut retention = Retention::new(1_000, None);
        let now = Instant::now();
        assert_eq!(retention.first_wanted(now, log(101, 1_000)), None);
        assert_eq!(retention.first_wanted(now, log(101, 2_000)), Some(LogIndex(51)));
    }

    #[test]
    fn an_entry_goes_when_it_is_too_old_and_not_before() {
        let mut retention = Retention::new(1_000, Some(Duration::from_secs(3_600)));
        let start = Instant::now();
        let at = |minutes: u64| start + Duration::from_secs(minutes * 60);
        for minute in 0..=60 {
            assert_eq!(
                retention.first_wanted(at(minute), log(minute + 10, 9)),
                None,
                "{minute}"
            );
        }
        assert_eq!(retention.first_wanted(at(61), log(71, 9)), Some(LogIndex(11)));
        assert_eq!(retention.first_wanted(at(61), log(71, 9)), None, "said once");
        assert_eq!(retention.first_wanted(at(70), log(80, 9)), Some(LogIndex(20)));
        // Whichever rule leaves less.
        assert_eq!(
            retention.first_wanted(at(75), log(101, 2_000)),
            Some(LogIndex(51))
        );
    }

    #[test]
    fn marks_are_bounded() {
        let mut retention = Retention::new(1_000, Some(Duration::from_secs(3_600)));
        let start = Instant::now();
        for second in 0..20_000 {
            retention.first_wanted(start + Duration::from_secs(second), log(second + 1, 9));
        }
        assert!(retention.marks.len() <= 62, "{}", retention.marks.len());
    }
}
