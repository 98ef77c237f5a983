//! How long a group waits for those who are about to come.
//!
//! Clients whose transactions were just answered often come back with the next one at once: what a few of them do alone
//! is dearer by far than together, and without waiting a group is just half of the clients, in two convoys that take
//! turns. Others have something else to do, and waiting for them is lost time. Which it is, the last time tells.

use std::time::{Duration, Instant};

/// Longest wait: clients that come back at all have done so by then, also on a machine that is busy.
const PATIENCE_MAX: Duration = Duration::from_micros(600);

/// Shortest wait, for which it is noticed that they come back again.
const PATIENCE_MIN: Duration = Duration::from_micros(40);

/// Transactions join a group that waits for others in at least so many batches: the first of them are executed while the
/// others come.
const BATCHES: usize = 2;

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

/// A group that fills.
#[derive(Debug)]
pub(crate) struct Filling {
    /// Until when others are waited for; `None`: only who is there joins.
    waits: Option<Instant>,
    /// Nobody joins it later.
    closes: Option<Instant>,
    /// Expected, and not there when the wait began.
    missing: usize,
    /// To come yet, of all that are expected.
    left: usize,
}

impl Gather {
    /// For a group of `expected` transactions, of which `waiting` are there.
    pub fn begin(&self, waiting: usize, expected: usize, now: Instant) -> Filling {
        // One client alone has nobody to share with.
        let waits = (expected > 1 && waiting < expected).then(|| now + self.patience);
        Filling {
            waits,
            closes: None,
            missing: expected.saturating_sub(waiting),
            left: expected,
        }
    }

    /// From a group that is closed.
    pub fn learn(&mut self, filling: &Filling) {
        if filling.waits.is_none() {
            return;
        }
        self.patience = if filling.left * 2 <= filling.missing {
            (self.patience * 2).min(PATIENCE_MAX)
        } else {
            (self.patience / 2).max(PATIENCE_MIN)
        };
    }
}

impl Filling {
    /// So many have joined; with the first of them it is open.
    pub fn joined(&mut self, count: usize, now: Instant) {
        self.closes.get_or_insert(now + PATIENCE_MAX);
        self.left = self.left.saturating_sub(count);
    }

    /// Whether the `waiting` ones join now: in batches, as each has its price, until nobody is waited for any more.
    pub fn is_due(&self, waiting: usize, now: Instant) -> bool {
        waiting > 0 && waiting >= self.wanted(now)
    }

    /// How many are worth being woken up for.
    pub fn wanted(&self, now: Instant) -> usize {
        match self.waits_until(now) {
            Some(_) => (self.left / BATCHES).max(1),
            None => 1,
        }
    }

    /// Until when others are waited for; `None`: they are not, or no more.
    pub fn waits_until(&self, now: Instant) -> Option<Instant> {
        self.waits.filter(|until| *until > now && self.left > 0)
    }

    /// Whether nobody joins any more: so that the first do not wait for ever for those that come while others run.
    pub fn is_closed(&self, now: Instant) -> bool {
        self.closes.is_some_and(|closes| closes <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_alone_or_has_everybody_does_not_wait() {
        let (gather, now) = (Gather::default(), Instant::now());
        assert_eq!(gather.begin(0, 1, now).waits_until(now), None);
        assert_eq!(gather.begin(7, 7, now).waits_until(now), None);
        let filling = gather.begin(7, 8, now);
        assert_eq!(filling.waits_until(now), Some(now + PATIENCE_MAX));
        assert_eq!(filling.waits_until(now + PATIENCE_MAX), None);
    }

    #[test]
    fn they_join_in_batches_while_others_are_waited_for_and_then_as_they_come() {
        let now = Instant::now();
        let mut filling = Gather::default().begin(0, 32, now);
        assert!(!filling.is_due(32 / BATCHES - 1, now));
        assert!(filling.is_due(32 / BATCHES, now));
        assert!(!filling.is_due(0, now + PATIENCE_MAX), "nobody is there");
        assert!(filling.is_due(1, now + PATIENCE_MAX));
        filling.joined(31, now);
        assert!(filling.is_due(1, now), "the last one");
        filling.joined(1, now);
        assert_eq!(filling.waits_until(now), None, "all are here");
        assert!(filling.is_due(1, now), "and one more");
    }

    #[test]
    fn a_group_is_closed_some_time_after_the_first_has_joined() {
        let now = Instant::now();
        let mut filling = Gather::default().begin(1, 1, now);
        assert!(!filling.is_closed(now + PATIENCE_MAX * 9), "it is not open");
        filling.joined(1, now);
        filling.joined(1, now + PATIENCE_MAX / 2);
        assert!(!filling.is_closed(now + PATIENCE_MAX / 2));
        assert!(filling.is_closed(now + PATIENCE_MAX));
    }

    #[test]
    fn waiting_in_vain_becomes_short_and_long_again_when_it_pays() {
        let now = Instant::now();
        let mut gather = Gather::default();
        let wait = |gather: &mut Gather, came: usize| {
            let mut filling = gather.begin(10, 20, now);
            filling.joined(10 + came, now);
            gather.learn(&filling);
            gather.begin(0, 2, now).waits_until(now)
        };
        let waits = (0..10).map(|_| wait(&mut gather, 4)).last();
        assert_eq!(waits, Some(Some(now + PATIENCE_MIN)));
        let waits = (0..10).map(|_| wait(&mut gather, 5)).last();
        assert_eq!(waits, Some(Some(now + PATIENCE_MAX)));
    }
}
