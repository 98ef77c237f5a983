//! What was measured: as a table, as JSON.

use std::fmt;

use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::cluster::Node;

/// What happens to the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// `kill -9`: its connections are reset by the system.
    Kill,
    /// SIGSTOP: its sockets stay open, and nobody answers.
    Freeze,
    /// Nothing arrives from it or at it, at its clients' door either; sockets stay open.
    Cut,
    /// SIGTERM, as in a rolling restart: it hands over first.
    Stop,
    /// Another node leads by order; nobody stops.
    Switchover,
}

impl How {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            How::Kill => "kill",
            How::Freeze => "freeze",
            How::Cut => "cut",
            How::Stop => "stop",
            How::Switchover => "switchover",
        }
    }
}

/// One blow.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Round {
    /// Who was struck.
    pub leader: Node,
    /// Who led next.
    pub next: Node,
    /// To the first acknowledgement after the pause.
    pub first_ms: f64,
    /// Whether its write was on its way when the blow fell.
    pub first_was_begun_before: bool,
    /// How often its client sent it.
    pub first_attempts: u32,
    /// To the first acknowledgement of a write that was begun after the blow.
    pub fresh_ms: f64,
    /// Writes through nodes that stay whose clients had to send them again.
    pub retried: usize,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (leader, next) = (self.leader, self.next);
        write!(
            f,
            "node {leader} to {next}, first {:.0} ms, fresh {:.0} ms",
            self.first_ms, self.fresh_ms
        )
    }
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Results {
    /// What was done to leaders.
    pub how: How,
    /// Of the cluster.
    pub nodes: u64,
    /// At all nodes.
    pub writers: u64,
    /// For the quiet between blows.
    pub seed: u64,
    /// What the servers call their version.
    pub version: String,
    /// How many writes.
    pub acknowledged: usize,
    /// Those that some node does not have. There must be none.
    pub lost: Vec<i64>,
    /// In turn.
    pub rounds: Vec<Round>,
}

impl Results {
    /// What was measured of each round, by name.
    pub fn measures(&self) -> [(&'static str, Vec<f64>); 2] {
        let sorted = |of: fn(&Round) -> f64| {
            let mut ms: Vec<f64> = self.rounds.iter().map(of).collect();
            ms.sort_by(f64::total_cmp);
            ms
        };
        [
            ("first", sorted(|round| round.first_ms)),
            ("fresh", sorted(|round| round.fresh_ms)),
        ]
    }

    /// With everything that was measured.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and texts can be written")
    }
}

/// The value at or below which so many of a hundred are, by nearest rank; 0 of nothing. `sorted` is.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["how", "measure", "times", "min ms", "p50", "p90", "p99", "max"]);
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for (name, sorted) in self.measures() {
            let mut row = vec![
                self.how.name().to_owned(),
                name.to_owned(),
                sorted.len().to_string(),
            ];
            row.extend([0, 50, 90, 99, 100].map(|percent| format!("{:.0}", percentile(&sorted, percent))));
            table.add_row(row);
        }
        let before = self
            .rounds
            .iter()
            .filter(|round| round.first_was_begun_before)
            .count();
        write!(
            f,
            "{table}\n\n{before} of {} first acknowledgements were of writes that were on their way. \
             {} writes were acknowledged",
            self.rounds.len(),
            self.acknowledged
        )?;
        let retried: usize = self.rounds.iter().map(|round| round.retried).sum();
        write!(
            f,
            "; {retried} of those through nodes that stayed were sent again by their clients"
        )?;
        match &self.lost[..] {
            [] => f.write_str("; all are at every node"),
            lost => write!(f, "; {} ARE LOST: {lost:?}", lost.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<f64> = (1..=10).map(f64::from).collect();
        let at = |percent| percentile(&sorted, percent);
        assert_eq!(
            [at(0), at(50), at(90), at(99), at(100)],
            [1.0, 5.0, 9.0, 10.0, 10.0]
        );
        assert_eq!(percentile(&[], 50), 0.0);
        assert_eq!(percentile(&[7.0], 99), 7.0);
    }
}
