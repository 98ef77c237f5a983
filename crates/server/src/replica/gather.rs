//! How long a group waits for those who are about to come.
//!
//! Clients whose transactions were just answered often come back with the next one at once: what a few of them do alone
//! is dearer by far than together, and without waiting a group is just half of the clients, in two convoys that take
//! turns. Others have something else to do, and waiting for them is lost time. Which it is, the last time tells.

use std::time::Duration;

/// Longest wait: clients that come back at all have done so by then, also on a machine that is busy.
const PATIENCE_MAX: Duration = Duration::from_micros(600);

/// Shortest wait, for which it is noticed that they come back again.
const PATIENCE_MIN: Duration = Duration::from_micros(40);

/// What the last waits have taught.
#[derive(Debug)]
pub(crate) struct Gather {
    patience: Duration,
}

impl Default for Gather {
    fn default() -> Gather {
        Gather {
            patience: PATIENCE_MAX,
        }
    }
}

impl Gather {
    /// How long to wait for `expected` transactions when `waiting` are there; zero: not at all.
    pub fn patience(&self, waiting: usize, expected: usize) -> Duration {
        // One client alone has nobody to share with.
        if expected <= 1 || waiting >= expected {
            return Duration::ZERO;
        }
        self.patience
    }

    /// After a wait for `missing` transactions `came` have come.
    pub fn learn(&mut self, missing: usize, came: usize) {
        self.patience = if came * 2 >= missing {
            (self.patience * 2).min(PATIENCE_MAX)
        } else {
            (self.patience / 2).max(PATIENCE_MIN)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_alone_or_has_everybody_does_not_wait() {
        let gather = Gather::default();
        assert_eq!(gather.patience(0, 1), Duration::ZERO);
        assert_eq!(gather.patience(7, 7), Duration::ZERO);
        assert_eq!(gather.patience(7, 8), PATIENCE_MAX);
    }

    #[test]
    fn waiting_in_vain_becomes_short_and_long_again_when_it_pays() {
        let mut gather = Gather::default();
        for _ in 0..10 {
            gather.learn(10, 4);
        }
        assert_eq!(gather.patience(0, 2), PATIENCE_MIN);
        for _ in 0..10 {
            gather.learn(10, 5);
        }
        assert_eq!(gather.patience(0, 2), PATIENCE_MAX);
    }
}
