//! What was seen under load: as a table, as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use comfy_table::{Table, presets};
use serde::Serialize;

use super::clients::{Done, Tally};
use super::watch::{Behind, Change, Watch};
use crate::cluster::Node;

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Results {
    /// How long.
    pub seconds: f64,
    /// Single rows.
    pub writes: u64,
    /// Of them: the median, 99 of a hundred, the longest.
    pub latency_ms: [f64; 3],
    /// How long each bulk load took.
    pub load_seconds: Vec<f64>,
    /// How long each UPDATE took.
    pub update_seconds: Vec<f64>,
    /// False failovers. There must be none.
    pub leader_changes: Vec<Change>,
    /// Times that a node knew no leader although there was one.
    pub doubts: u64,
    /// Errors that clients got. There must be none.
    pub errors: u64,
    /// The first of them.
    pub first_errors: Vec<String>,
    /// Acknowledged writes that are not there. There must be none.
    pub lost: u64,
    /// Looks at a node that it did not answer within half a second.
    pub silences: u64,
    /// How far behind each node was at most.
    pub behind: BTreeMap<Node, Behind>,
    /// The most memory that each node held, in bytes.
    pub peak_memory: BTreeMap<Node, Option<u64>>,
}

impl Results {
    pub(super) fn new(
        took: Duration,
        tally: &Tally,
        bulk: &Done,
        watch: Watch,
        peak_memory: BTreeMap<Node, Option<u64>>,
        lost: u64,
    ) -> Results {
        let seen = tally.seen();
        let ms = |quantile| seen.latencies.value_at_quantile(quantile) as f64 / 1e3;
        let seconds = |all: &[Duration]| all.iter().map(Duration::as_secs_f64).collect();
        Results {
            seconds: took.as_secs_f64(),
            writes: seen.latencies.len(),
            latency_ms: [ms(0.5), ms(0.99), ms(1.0)],
            load_seconds: seconds(&bulk.loads),
            update_seconds: seconds(&bulk.updates),
            leader_changes: watch.changes,
            doubts: watch.doubts,
            errors: seen.errors,
            first_errors: seen.first_errors.clone(),
            lost,
            silences: watch.silences,
            behind: watch.behind,
            peak_memory,
        }
    }

    /// Whether the leader stayed, and nobody got an error or lost a write.
    pub fn is_good(&self) -> bool {
        self.leader_changes.is_empty() && self.errors == 0 && self.lost == 0
    }

    /// With everything that was measured.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and texts can be written")
    }
}

/// From the shortest to the longest.
fn range(seconds: &[f64]) -> String {
    let shortest = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let longest = seconds.iter().copied().fold(0.0, f64::max);
    match seconds {
        [] => "none".to_owned(),
        _ => format!("{}, {shortest:.1} to {longest:.1} s each", seconds.len()),
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let [median, p99, longest] = self.latency_ms;
        let per_second = self.writes as f64 / self.seconds;
        let mut row = |name: &str, value: String| {
            table.add_row([name.to_owned(), value]);
        };
        row("time", format!("{:.0} s", self.seconds));
        row(
            "single-row writes",
            format!("{} ({per_second:.0} per second)", self.writes),
        );
        row(
            "their latency",
            format!("p50 {median:.1} ms, p99 {p99:.1} ms, max {longest:.0} ms"),
        );
        row("bulk loads", range(&self.load_seconds));
        row("updates", range(&self.update_seconds));
        row("changes of leader", self.leader_changes.len().to_string());
        row("nodes in doubt", self.doubts.to_string());
        row("errors", self.errors.to_string());
        row("lost writes", self.lost.to_string());
        row("unanswered looks", self.silences.to_string());
        for (node, behind) in &self.behind {
            let peak = match self.peak_memory.get(node).copied().flatten() {
                Some(bytes) => format!("{} MiB at most", bytes >> 20),
                None => "memory unknown".to_owned(),
            };
            let Behind { records, ms } = behind;
            row(
                &format!("node {node}"),
                format!("{peak}; behind by {records} records, {ms} ms at most"),
            );
        }
        write!(f, "{table}")?;
        for change in &self.leader_changes {
            write!(f, "\nleader: {change:?}")?;
        }
        for error in &self.first_errors {
            write!(f, "\nerror: {error}")?;
        }
        Ok(())
    }
}
