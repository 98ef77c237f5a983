//! What a run of a workload gave, whoever ran it.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::usage::Usage;

/// Latencies above are counted as this one: a minute.
const MAX_LATENCY_NS: u64 = 60_000_000_000;

/// Latencies of committed transactions, to three digits.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub fn new() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, MAX_LATENCY_NS, 3);
        Latencies(histogram.expect("the bounds are in order and the digits from 0 to 5"))
    }

    /// One more.
    pub fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(MAX_LATENCY_NS);
        self.0.saturating_record(ns);
    }

    /// Those of another client or round too.
    pub fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// `None` when there are none.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let ms = |ns: u64| ns as f64 / 1e6;
        (!self.0.is_empty()).then(|| Percentiles {
            p50_ms: ms(self.0.value_at_quantile(0.50)),
            p95_ms: ms(self.0.value_at_quantile(0.95)),
            p99_ms: ms(self.0.value_at_quantile(0.99)),
            p999_ms: ms(self.0.value_at_quantile(0.999)),
            max_ms: ms(self.0.max()),
            sampled: self.0.len(),
        })
    }
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half of the transactions took no longer.
    pub p50_ms: f64,
    /// 95 of 100.
    pub p95_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// 999 of 1,000.
    pub p999_ms: f64,
    /// The slowest that was seen.
    pub max_ms: f64,
    /// How many transactions these are from.
    pub sampled: u64,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Transactions that ended as they should: acknowledged, or answered.
    pub transactions: u64,
    /// Those of them that wrote.
    pub writes: u64,
    /// Those of which the client does not know whether they wrote.
    pub uncounted: u64,
    /// Transactions that ended with an error and whose client went on.
    pub failed: u64,
    /// Clients that gave up at an error; each leaves one transaction of unknown outcome.
    pub clients_lost: u64,
    /// The first errors, as the client printed them.
    pub errors: Vec<String>,
    /// Transactions per second, connecting excluded.
    pub tps: f64,
    /// Of the transactions, or of a sample.
    pub latencies: Latencies,
    /// What it cost.
    pub usage: Usage,
    /// System calls of the peer's processes, when they were counted.
    pub syscalls: Option<u64>,
    /// Whether the leader at the end was another than at the start.
    pub leader_changed: bool,
}

impl Outcome {
    /// Transactions that may or may not have taken effect.
    pub fn in_doubt(&self) -> u64 {
        self.failed + self.clients_lost + self.uncounted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_that_was_recorded() {
        let mut some = Latencies::new();
        let mut others = Latencies::new();
        for us in 1..=1_000 {
            let latencies = if us % 2 == 0 { &mut some } else { &mut others };
            latencies.record(Duration::from_micros(us));
        }
        some.add(&others);
        let percentiles = some.percentiles().expect("there are some");
        let near = |value: f64, expected: f64| (value - expected).abs() <= expected / 500.0;
        assert!(near(percentiles.p50_ms, 0.500), "{percentiles:?}");
        assert!(near(percentiles.p95_ms, 0.950), "{percentiles:?}");
        assert!(near(percentiles.p99_ms, 0.990), "{percentiles:?}");
        assert!(near(percentiles.p999_ms, 0.999), "{percentiles:?}");
        assert!(near(percentiles.max_ms, 1.000), "{percentiles:?}");
        assert_eq!(percentiles.sampled, 1_000);
    }

    #[test]
    fn nothing_recorded_has_no_percentiles() {
        assert_eq!(Latencies::new().percentiles(), None);
    }

    #[test]
    fn a_latency_beyond_the_range_counts_as_the_longest() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_secs(100_000));
        let max_ms = latencies.percentiles().expect("there is one").max_ms;
        assert!((max_ms - 60_000.0).abs() < 100.0, "{max_ms}");
    }
}
