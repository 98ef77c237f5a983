//! What a node counts. Plain atomics, relaxed: each number is exact, two numbers of one snapshot may be from
//! moments a little apart. The number of series is fixed at compile time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::prometheus::{Family, Kind, Sample};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// `count` more. Wraps around after 2^64, which monitoring takes for a restart.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down, never below zero.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more.
    pub fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// One less; at zero it stays there.
    pub fn decrement(&self) {
        // An error of `fetch_update` means that the closure declined: the gauge was zero.
        let _ = self
            .0
            .fetch_update(Relaxed, Relaxed, |value| value.checked_sub(1));
    }

    /// The number from now on.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counts observations in fixed buckets. Observations are whole numbers of the unit that its owner states.
#[derive(Debug)]
pub struct Histogram {
    /// Inclusive upper bounds, increasing.
    bounds: &'static [u64],
    /// One per bound, and one for what is above the last.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// Empty. `bounds` are inclusive and strictly increasing.
    fn new(bounds: &'static [u64]) -> Histogram {
        debug_assert!(
            bounds.is_sorted_by(|a, b| a < b),
            "bounds must increase: {bounds:?}"
        );
        Histogram {
            bounds,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts one observation.
    pub fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// How many observations there were, and their sum.
    pub fn totals(&self) -> (u64, u64) {
        let count = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum();
        (count, self.sum.load(Relaxed))
    }

    /// The counts now.
    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            bounds: self.bounds,
            buckets: self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect(),
            sum: self.sum.load(Relaxed),
        }
    }
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Inclusive upper bounds.
    pub bounds: &'static [u64],
    /// Observations in each bucket alone, not cumulated; the last is what is above all bounds.
    pub buckets: Vec<u64>,
    /// The sum of all observations.
    pub sum: u64,
}

/// The classes (first two characters of a SQLSTATE) that are counted apart; any other counts as `other`.
pub const SQLSTATE_CLASSES: &[&str] = &[
    "08", "0A", "21", "22", "23", "24", "25", "26", "28", "34", "3B", "3D", "40", "42", "53", "54", "55",
    "57", "58", "XX", "other",
];

/// Errors told to clients, by class of SQLSTATE.
#[derive(Debug)]
pub struct SqlstateCounters(Box<[Counter]>);

impl Default for SqlstateCounters {
    fn default() -> SqlstateCounters {
        SqlstateCounters(SQLSTATE_CLASSES.iter().map(|_| Counter::default()).collect())
    }
}

impl SqlstateCounters {
    /// Counts an error with that five-character SQLSTATE.
    pub fn count(&self, sqlstate: &str) {
        let class = sqlstate.get(..2).unwrap_or_default();
        let other = SQLSTATE_CLASSES.len() - 1;
        let at = SQLSTATE_CLASSES.iter().position(|known| *known == class);
        self.0[at.unwrap_or(other)].increment();
    }

    fn snapshot(&self) -> Vec<(&'static str, u64)> {
        let counts = self.0.iter().map(Counter::get);
        SQLSTATE_CLASSES.iter().copied().zip(counts).collect()
    }
}

/// Upper bounds of group sizes, in transactions.
const GROUP_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// Upper bounds of durations in microseconds: from an NVMe's flush to a disk that should worry someone.
const DURATION_BOUNDS_US: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000,
];

macro_rules! metrics {
    ($(
        #[doc = $help:literal]
        $kind:ident $family:literal { $( $field:ident $({ $label:ident = $value:literal })? ),+ $(,)? }
    )*) => {
        /// All that a node counts: one per process, shared by whoever counts.
        #[derive(Debug)]
        pub struct Metrics {
            $($(
                #[doc = $help]
                pub $field: metrics!(@cell $kind),
            )+)*
            /// Transactions in one group: one record, one fsync.
            pub group_transactions: Histogram,
            /// How long an fsync of the log took, in microseconds.
            pub log_fsync_us: Histogram,
            /// How long a group was held for its quorum, in microseconds.
            pub commit_wait_us: Histogram,
            /// Errors told to clients.
            pub client_errors: SqlstateCounters,
        }

        impl Default for Metrics {
            fn default() -> Metrics {
                Metrics {
                    $($( $field: Default::default(), )+)*
                    group_transactions: Histogram::new(GROUP_BOUNDS),
                    log_fsync_us: Histogram::new(DURATION_BOUNDS_US),
                    commit_wait_us: Histogram::new(DURATION_BOUNDS_US),
                    client_errors: SqlstateCounters::default(),
                }
            }
        }

        /// [`Metrics`] as plain numbers.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct MetricsSnapshot {
            $($(
                #[doc = $help]
                pub $field: u64,
            )+)*
            /// Transactions in one group: one record, one fsync.
            pub group_transactions: HistogramSnapshot,
            /// How long an fsync of the log took, in microseconds.
            pub log_fsync_us: HistogramSnapshot,
            /// How long a group was held for its quorum, in microseconds.
            pub commit_wait_us: HistogramSnapshot,
            /// Errors told to clients, by class of SQLSTATE, in the order of [`SQLSTATE_CLASSES`].
            pub client_errors: Vec<(&'static str, u64)>,
        }

        impl Metrics {
            /// The numbers now.
            pub fn snapshot(&self) -> MetricsSnapshot {
                MetricsSnapshot {
                    $($( $field: self.$field.get(), )+)*
                    group_transactions: self.group_transactions.snapshot(),
                    log_fsync_us: self.log_fsync_us.snapshot(),
                    commit_wait_us: self.commit_wait_us.snapshot(),
                    client_errors: self.client_errors.snapshot(),
                }
            }
        }

        impl MetricsSnapshot {
            /// The plain counters and gauges, as families with their samples.
            pub(crate) fn families(&self) -> Vec<Family> {
                vec![$(
                    Family {
                        name: $family,
                        help: $help.trim_start(),
                        kind: metrics!(@kind $kind),
                        samples: vec![$( Sample::of(metrics!(@label $({ $label = $value })?), self.$field) ),+],
                    },
                )*]
            }
        }
    };
    (@cell counter) => { Counter };
    (@cell gauge) => { Gauge };
    (@kind counter) => { Kind::Counter };
    (@kind gauge) => { Kind::Gauge };
    (@label) => { None };
    (@label { $label:ident = $value:literal }) => { Some((stringify!($label), $value)) };
}

metrics! {
    /// Client transactions that ended, by outcome.
    counter "bellwether_transactions_total" {
        transactions_committed { outcome = "committed" },
        transactions_rolled_back { outcome = "rolled_back" },
        transactions_failed { outcome = "failed" },
        transactions_unknown { outcome = "unknown" },
    }
    /// Statements executed for clients of this node, by where they ran.
    counter "bellwether_statements_total" {
        statements_local { at = "local" },
        statements_forwarded { at = "leader" },
    }
    /// Rows sent to clients.
    counter "bellwether_rows_sent_total" { rows_sent }
    /// Client connections open now.
    gauge "bellwether_connections_open" { connections_open }
    /// Client connections that were accepted.
    counter "bellwether_connections_accepted_total" { connections_accepted }
    /// Client connections that were refused, because there were too many or the start was not valid.
    counter "bellwether_connections_refused_total" { connections_refused }
    /// Records applied to this node's replicas.
    counter "bellwether_records_applied_total" { records_applied }
    /// Row changes applied to this node's replicas.
    counter "bellwether_rows_applied_total" { rows_applied }
    /// Elections that this node stood in.
    counter "bellwether_elections_started_total" { elections_started }
    /// Times that this node became leader of a database.
    counter "bellwether_elections_won_total" { elections_won }
    /// Messages between this node and its peers, by direction.
    counter "bellwether_peer_messages_total" {
        peer_messages_in { direction = "in" },
        peer_messages_out { direction = "out" },
    }
    /// Bytes between this node and its peers, by direction.
    counter "bellwether_peer_bytes_total" {
        peer_bytes_in { direction = "in" },
        peer_bytes_out { direction = "out" },
    }
    /// Messages for peers that were dropped, because their bounded queue was full or the link was down.
    counter "bellwether_peer_messages_dropped_total" { peer_messages_dropped }
    /// Bytes that peers sent and that were no valid message.
    counter "bellwether_peer_garbage_total" { peer_garbage }
    /// Bytes appended to the log.
    counter "bellwether_log_appended_bytes_total" { log_appended_bytes }
    /// Whether commits go on without the synchronous standbys: databases for which this node leads and does so.
    gauge "bellwether_sync_degraded" { sync_degraded }
    /// How often they began to.
    counter "bellwether_sync_degradations_total" { sync_degradations }
    /// Transactions in the ledger of lost writes, as this node's replica of the system database has it.
    gauge "bellwether_lost_writes" { lost_writes }
    /// Replicas that were seeded again from a peer's snapshot.
    counter "bellwether_reseeds_total" { reseeds }
    /// Bytes of databases' images between this node and its peers, before they are packed, by direction.
    counter "bellwether_seeding_bytes_total" {
        seeding_in { direction = "in" },
        seeding_out { direction = "out" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket_and_what_is_above_all_to_the_last() {
        let histogram = Histogram::new(&[1, 10]);
        for value in [0, 1, 2, 10, 11, 1_000] {
            histogram.observe(value);
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.buckets, [2, 2, 2]);
        assert_eq!(snapshot.sum, 1_024);
        assert_eq!(histogram.totals(), (6, 1_024));
    }

    #[test]
    fn a_gauge_at_zero_stays_there() {
        let gauge = Gauge::default();
        gauge.decrement();
        assert_eq!(gauge.get(), 0);
        gauge.set(3);
        gauge.decrement();
        gauge.increment();
        assert_eq!(gauge.get(), 3);
    }

    #[test]
    fn an_error_counts_in_its_class_and_an_unknown_one_under_other() {
        let metrics = Metrics::default();
        for sqlstate in ["23505", "23503", "99999", "", "é", "XX000"] {
            metrics.client_errors.count(sqlstate);
        }
        let counted: Vec<_> = metrics
            .snapshot()
            .client_errors
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .collect();
        assert_eq!(counted, [("23", 2), ("XX", 1), ("other", 3)]);
    }
}
