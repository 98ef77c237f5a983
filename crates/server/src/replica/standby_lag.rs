//! How long standbys take, for `pg_stat_replication`: the time from an entry's being durable here until a standby is
//! known to have received it, to have it on its disk, to have applied it.
//!
//! While a standby misses something, its lag is at least the age of the oldest entry that it misses: one that hangs does
//! not show its last good figure. Of an idle log the last lag is shown for [`SHOWN`], then none, as PostgreSQL does.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bellwether_node::{Progress, Standby};
use bellwether_types::{LogIndex, NodeId, Term};

/// Moments remembered, as far back as somebody is behind. When there are more, every second one is forgotten, and those
/// to come are twice as far apart, until nobody is behind.
const MOMENTS_MAX: usize = 4096;

/// Moments are no closer: lags are exact to it.
const GAP_MIN: Duration = Duration::from_millis(1);

/// After the last entry.
const SHOWN: Duration = Duration::from_secs(10);

/// On the way of an entry at a standby: received, durable, applied.
pub(super) const STEPS: usize = 3;

/// At a leader, in its reign.
#[derive(Debug)]
pub(super) struct StandbyLag {
    reign: Option<Term>,
    /// The last entry durable here, and when that was seen; ascending.
    moments: VecDeque<(LogIndex, Instant)>,
    /// Between two of them.
    gap: Duration,
    standbys: BTreeMap<NodeId, [Step; STEPS]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Step {
    through: LogIndex,
    /// The last lag, and when it was taken.
    measured: Option<(Duration, Instant)>,
}

impl Default for StandbyLag {
    fn default() -> StandbyLag {
        StandbyLag {
            reign: None,
            moments: VecDeque::new(),
            gap: GAP_MIN,
            standbys: BTreeMap::new(),
        }
    }
}

impl StandbyLag {
    /// How far all are now.
    pub fn note(&mut self, progress: &Progress, now: Instant) {
        if self.reign != progress.reign {
            *self = StandbyLag {
                reign: progress.reign,
                ..StandbyLag::default()
            };
        }
        if self.reign.is_none() {
            return;
        }
        self.remember(progress.persisted, now);
        self.standbys
            .retain(|node, _| progress.standbys.iter().any(|standby| standby.node == *node));
        for standby in &progress.standbys {
            let steps = self.standbys.entry(standby.node).or_default();
            for (step, through) in steps.iter_mut().zip(steps_of(standby)) {
                // What was there before it was first heard of says nothing.
                let is_first = step.through == LogIndex(0);
                let seen = self.moments.partition_point(|(index, _)| *index <= through);
                if let Some((index, at)) = seen.checked_sub(1).and_then(|seen| self.moments.get(seen))
                    && *index > step.through
                    && !is_first
                {
                    step.measured = Some((now.duration_since(*at), now));
                }
                step.through = step.through.max(through);
            }
        }
        self.forget();
    }

    fn remember(&mut self, persisted: LogIndex, now: Instant) {
        let last = self.moments.back();
        if last.is_none_or(|(index, at)| *index < persisted && now.duration_since(*at) >= self.gap) {
            self.moments.push_back((persisted, now));
        }
        if self.moments.len() > MOMENTS_MAX {
            self.gap *= 2;
            let mut is_kept = false;
            self.moments.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
        }
    }

    /// What everybody has, but for the last moment of it.
    fn forget(&mut self) {
        let steps = self.standbys.values().flatten();
        let Some(all_have) = steps.map(|step| step.through).min() else {
            return;
        };
        while self.moments.get(1).is_some_and(|(index, _)| *index <= all_have) {
            self.moments.pop_front();
        }
        if self.moments.len() <= 1 {
            self.gap = GAP_MIN;
        }
    }

    /// Of each step; `None`: nothing was measured lately, and it misses nothing.
    pub fn of(&self, node: NodeId, now: Instant) -> [Option<Duration>; STEPS] {
        let steps = self.standbys.get(&node).copied().unwrap_or_default();
        steps.map(|step| {
            let measured = step
                .measured
                .filter(|(_, at)| now.duration_since(*at) < SHOWN)
                .map(|(lag, _)| lag);
            let seen = self.moments.partition_point(|(index, _)| *index <= step.through);
            let missed = self.moments.get(seen).map(|(_, at)| now.duration_since(*at));
            measured.max(missed)
        })
    }
}

fn steps_of(standby: &Standby) -> [LogIndex; STEPS] {
    [standby.received, standby.durable, standby.applied]
}

#[cfg(test)]
mod tests {
    use bellwether_node::Sending;

    use super::*;

    const OTHER: NodeId = NodeId(2);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Of a leader that has so many entries, and a standby that has these.
    fn progress(persisted: u64, [received, durable, applied]: [u64; STEPS]) -> Progress {
        Progress {
            reign: Some(Term(1)),
            persisted: LogIndex(persisted),
            standbys: vec![Standby {
                node: OTHER,
                is_there: true,
                sending: Sending::Streaming,
                sent: LogIndex(persisted),
                received: LogIndex(received),
                durable: LogIndex(durable),
                applied: LogIndex(applied),
            }],
            ..Progress::default()
        }
    }

    #[test]
    fn each_step_of_an_entry_takes_its_time() {
        let (mut lag, begin) = (StandbyLag::default(), Instant::now());
        lag.note(&progress(1, [1, 1, 1]), begin);
        assert_eq!(lag.of(OTHER, begin), [None; STEPS], "nothing was measured yet");
        for (at, standby) in [(10, [1, 1, 1]), (12, [2, 1, 1]), (15, [2, 2, 1]), (40, [2, 2, 2])] {
            lag.note(&progress(2, standby), begin + ms(at));
        }
        let expected = [Some(ms(2)), Some(ms(5)), Some(ms(30))];
        assert_eq!(lag.of(OTHER, begin + ms(40)), expected);
        assert_eq!(lag.of(OTHER, begin + ms(40) + SHOWN), [None; STEPS], "idle since");
    }

    #[test]
    fn a_standby_that_hangs_falls_behind_by_as_much_time_as_passes() {
        let (mut lag, begin) = (StandbyLag::default(), Instant::now());
        lag.note(&progress(1, [1, 1, 1]), begin);
        lag.note(&progress(2, [1, 1, 1]), begin + ms(5));
        for later in 1..1000 {
            lag.note(&progress(2 + later, [1, 1, 1]), begin + ms(5 + later));
        }
        assert_eq!(lag.of(OTHER, begin + ms(60_005)), [Some(ms(60_000)); STEPS]);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_reaches_back_all_the_same() {
        let (mut lag, begin) = (StandbyLag::default(), Instant::now());
        let many = 10 * MOMENTS_MAX as u64;
        for entry in 1..=many {
            lag.note(&progress(entry, [1, 1, 1]), begin + ms(entry));
        }
        assert!(lag.moments.len() <= MOMENTS_MAX);
        let [Some(behind), ..] = lag.of(OTHER, begin + ms(many)) else {
            panic!("it misses nearly everything");
        };
        assert!(behind > ms(many - many / 100), "{behind:?} of {many} ms");
        lag.note(&progress(many, [many, many, many]), begin + ms(many + 1));
        assert_eq!(lag.moments.len(), 1, "nobody is behind");
        assert_eq!(lag.gap, GAP_MIN);
    }

    #[test]
    fn a_new_reign_knows_nothing_of_the_one_before() {
        let (mut lag, begin) = (StandbyLag::default(), Instant::now());
        lag.note(&progress(1, [1, 1, 1]), begin);
        lag.note(&progress(2, [1, 1, 1]), begin + ms(5));
        let next = Progress {
            reign: Some(Term(2)),
            ..progress(2, [2, 2, 2])
        };
        lag.note(&next, begin + ms(6));
        assert_eq!(lag.of(OTHER, begin + ms(6)), [None; STEPS]);
        lag.note(&Progress::default(), begin + ms(7));
        assert_eq!(lag.of(OTHER, begin + ms(7)), [None; STEPS], "it leads no more");
    }
}
