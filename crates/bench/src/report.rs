//! Findings as tables for people and as JSON for comparing.

use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::failure::Failure;
use crate::machine::Machine;
use crate::measure::{Findings, Measurement};
use crate::outcome::{Latencies, Percentiles};
use crate::usage::Usage;
use crate::workload::Workload;

/// The peer that the others are compared with.
const REFERENCE: &str = "sqlite";

/// A dated result: what was measured, where, and what came out.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `YYYY-MM-DD`, UTC.
    pub date: String,
    /// The commit that was built, if it is known.
    pub commit: Option<String>,
    /// The command line.
    pub command: Vec<String>,
    /// Where.
    pub machine: Machine,
    /// The client's version.
    pub pgbench: String,
    /// Name and description of each peer.
    pub peers: Vec<(String, String)>,
    /// One for each workload, number of clients and peer.
    pub measurements: Vec<Line>,
    /// Acknowledged writes that are missing, and the like.
    pub complaints: Vec<String>,
}

/// All rounds of a measurement together.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// What ran.
    pub workload: Workload,
    /// How many clients.
    pub clients: u32,
    /// Where.
    pub peer: String,
    /// The mean of the rounds.
    pub tps: f64,
    /// Of each round.
    pub tps_rounds: Vec<f64>,
    /// Against SQLite's with as many clients.
    pub ratio: Option<f64>,
    /// Of all rounds together.
    pub latency: Option<Percentiles>,
    /// Acknowledged.
    pub transactions: u64,
    /// Ended with an error.
    pub failed: u64,
    /// Clients that gave up.
    pub clients_lost: u64,
    /// Rounds in which the leader changed.
    pub leader_changes: usize,
    /// The first errors.
    pub errors: Vec<String>,
    /// Of all rounds together.
    pub usage: Usage,
}

/// One line for each measurement, in their order.
pub fn lines(findings: &Findings) -> Vec<Line> {
    let mut lines: Vec<Line> = findings.measurements.iter().map(line).collect();
    let references: Vec<Line> = lines
        .iter()
        .filter(|line| line.peer == REFERENCE)
        .cloned()
        .collect();
    for line in lines.iter_mut().filter(|line| line.peer != REFERENCE) {
        let reference = references
            .iter()
            .find(|reference| (reference.workload, reference.clients) == (line.workload, line.clients));
        line.ratio = reference
            .filter(|reference| reference.tps > 0.0)
            .map(|reference| line.tps / reference.tps);
    }
    lines
}

fn line(measurement: &Measurement) -> Line {
    let rounds = &measurement.rounds;
    let mut latencies = Latencies::new();
    let mut usage: Option<Usage> = None;
    for round in rounds {
        latencies.add(&round.latencies);
        match &mut usage {
            Some(usage) => usage.add(&round.usage),
            None => usage = Some(round.usage.clone()),
        }
    }
    let tps_rounds: Vec<f64> = rounds.iter().map(|round| round.tps).collect();
    Line {
        workload: measurement.workload,
        clients: measurement.clients,
        peer: measurement.peer.to_owned(),
        tps: tps_rounds.iter().sum::<f64>() / tps_rounds.len().max(1) as f64,
        tps_rounds,
        ratio: None,
        latency: latencies.percentiles(),
        transactions: rounds.iter().map(|round| round.transactions).sum(),
        failed: rounds.iter().map(|round| round.failed).sum(),
        clients_lost: rounds.iter().map(|round| round.clients_lost).sum(),
        leader_changes: rounds.iter().filter(|round| round.leader_changed).count(),
        errors: rounds.iter().flat_map(|round| round.errors.clone()).collect(),
        usage: usage.unwrap_or_default(),
    }
}

impl Report {
    /// Rates and latencies.
    pub fn rates(&self) -> Table {
        let mut table = table(&[
            "workload",
            "clients",
            "peer",
            "tps",
            "± %",
            "× SQLite",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "max ms",
            "failed",
        ]);
        for line in &self.measurements {
            let latency = |of: fn(&Percentiles) -> f64| number(line.latency.as_ref().map(of), 3);
            table.add_row([
                line.workload.name().to_owned(),
                line.clients.to_string(),
                line.peer.clone(),
                number(Some(line.tps), 0),
                number(spread_percent(&line.tps_rounds), 0),
                number(line.ratio, 2),
                latency(|latency| latency.p50_ms),
                latency(|latency| latency.p95_ms),
                latency(|latency| latency.p99_ms),
                latency(|latency| latency.max_ms),
                failed(line),
            ]);
        }
        table
    }

    /// Where the time goes, of the peers that are processes of their own.
    pub fn costs(&self) -> Table {
        let mut table = table(&[
            "per transaction of",
            "clients",
            "leader CPU µs",
            "followers CPU µs",
            "client CPU µs",
            "machine busy %",
            "tx/group",
            "leader fsyncs",
            "all fsyncs",
            "fsync ms",
            "quorum ms",
            "log bytes",
        ]);
        for line in self.measurements.iter().filter(|line| line.peer != REFERENCE) {
            let per_transaction = |total: Option<f64>| ratio(total, Some(line.transactions as f64));
            let us = |us: Option<u64>| number(per_transaction(us.map(|us| us as f64)), 1);
            let usage = &line.usage;
            let leader = usage.leader.as_ref();
            let all = leader
                .zip(usage.followers.as_ref())
                .map(|(leader, others)| leader.plus(others));
            let busy = ratio(
                usage.machine_busy_us.map(|us| us as f64),
                usage.machine_total_us.map(|us| us as f64),
            );
            table.add_row([
                line.workload.name().to_owned(),
                line.clients.to_string(),
                us(usage.leader_cpu_us),
                us(usage.followers_cpu_us),
                us(usage.client_cpu_us),
                number(busy.map(|share| share * 100.0), 0),
                number(
                    ratio(leader.map(|m| m.grouped_transactions), leader.map(|m| m.groups)),
                    1,
                ),
                number(per_transaction(leader.map(|m| m.fsyncs)), 3),
                number(per_transaction(all.map(|m| m.fsyncs)), 3),
                number(
                    ratio(leader.map(|m| m.fsync_seconds * 1e3), leader.map(|m| m.fsyncs)),
                    3,
                ),
                number(
                    ratio(
                        leader.map(|m| m.commit_wait_seconds * 1e3),
                        leader.map(|m| m.commit_waits),
                    ),
                    3,
                ),
                number(per_transaction(leader.map(|m| m.log_bytes)), 0),
            ]);
        }
        table
    }

    /// Everything.
    pub fn json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("its maps have text for keys");
        json.push('\n');
        json
    }

    /// Writes `DIR/YYYY-MM-DD-NAME.json`.
    pub fn save(&self, dir: &Path, name: &str) -> Result<PathBuf, Failure> {
        let path = dir.join(format!("{}-{name}.json", self.date));
        std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::write(&path, self.json()))
            .map_err(|error| Failure::new(format!("{} cannot be written", path.display())).because(error))?;
        Ok(path)
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A dash for what is not known.
fn number(value: Option<f64>, digits: usize) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{value:.digits$}"),
        _ => "-".to_owned(),
    }
}

/// `None` when either is unknown, or there is nothing to divide by.
fn ratio(total: Option<f64>, parts: Option<f64>) -> Option<f64> {
    let parts = parts.filter(|parts| *parts > 0.0)?;
    Some(total? / parts)
}

/// How far the rounds lie from their mean, at most; `None` for a single one.
fn spread_percent(rounds: &[f64]) -> Option<f64> {
    let mean = rounds.iter().sum::<f64>() / rounds.len() as f64;
    let farthest = rounds.iter().map(|tps| (tps - mean).abs()).fold(0.0, f64::max);
    (rounds.len() > 1 && mean > 0.0).then(|| farthest / mean * 100.0)
}

/// `3` failed, `3+1` with a client that gave up.
fn failed(line: &Line) -> String {
    match line.clients_lost {
        0 => line.failed.to_string(),
        lost => format!("{}+{lost}", line.failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    fn measurement(peer: &'static str, clients: u32, rounds: &[f64]) -> Measurement {
        let round = |tps: &f64| Outcome {
            transactions: 10,
            failed: 1,
            clients_lost: 1,
            errors: vec!["why".to_owned()],
            tps: *tps,
            latencies: Latencies::new(),
            usage: Usage {
                leader_cpu_us: Some(500),
                ..Usage::default()
            },
            leader_changed: false,
        };
        Measurement {
            workload: Workload::Upsert,
            clients,
            peer,
            rounds: rounds.iter().map(round).collect(),
        }
    }

    fn report() -> Report {
        let findings = Findings {
            measurements: vec![
                measurement("bellwether", 1, &[90.0, 110.0]),
                measurement("sqlite", 1, &[50.0, 50.0]),
                measurement("bellwether", 8, &[100.0]),
            ],
            complaints: Vec::new(),
        };
        let dir = tempfile::tempdir().expect("a directory");
        Report {
            date: "2000-01-01".to_owned(),
            commit: None,
            command: Vec::new(),
            machine: Machine::describe(dir.path()).expect("a disk that can be written"),
            pgbench: String::new(),
            peers: Vec::new(),
            measurements: lines(&findings),
            complaints: Vec::new(),
        }
    }

    #[test]
    fn rounds_are_put_together_and_compared_with_sqlite_of_as_many_clients() {
        let lines = report().measurements;
        assert_eq!((lines[0].tps, lines[0].ratio), (100.0, Some(2.0)));
        assert_eq!(
            (lines[0].transactions, lines[0].failed, lines[0].clients_lost),
            (20, 2, 2)
        );
        assert_eq!(lines[0].usage.leader_cpu_us, Some(1_000));
        assert_eq!((lines[1].ratio, lines[2].ratio), (None, None));
    }

    #[test]
    fn failures_and_spread_are_in_the_table() {
        let table = report().rates().to_string();
        let first = table
            .lines()
            .find(|line| line.contains("bellwether"))
            .expect("a row");
        let cells: Vec<&str> = first.split_whitespace().collect();
        assert_eq!(cells[..6], ["upsert", "1", "bellwether", "100", "10", "2.00"]);
        assert_eq!(cells.last(), Some(&"2+2"));
    }

    #[test]
    fn costs_are_per_transaction_and_what_is_unknown_is_a_dash() {
        let table = report().costs().to_string();
        let first = table.lines().nth(1).expect("a row");
        let cells: Vec<&str> = first.split_whitespace().collect();
        assert_eq!(cells[..4], ["upsert", "1", "50.0", "-"]);
    }

    #[test]
    fn a_saved_report_is_named_after_its_date_and_can_be_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = report()
            .save(&dir.path().join("results"), "laptop")
            .expect("written");
        assert!(
            path.ends_with("results/2000-01-01-laptop.json"),
            "{}",
            path.display()
        );
        let text = std::fs::read_to_string(path).expect("there");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["measurements"][0]["workload"], "upsert");
        assert_eq!(json["measurements"][1]["tps"], 50.0);
    }
}
