//! Findings as one dated result: what the tables, the documents and the next comparison are made from.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::machine::Machine;
use crate::measure::{Findings, Measurement};
use crate::outcome::{Latencies, Outcome, Percentiles};
use crate::peer::Kind;
use crate::statistics::Spread;
use crate::usage::Usage;
use crate::workload::Workload;

/// The share of the machine that others may have, in percent, before a round is called disturbed. A quiet machine
/// shows some, too: what the kernel does for a disk or a network is nobody's.
const QUIET_PERCENT: f64 = 10.0;

/// A dated result: what was measured, where, and what came out.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// `YYYY-MM-DD`, UTC.
    pub date: String,
    /// The commit that was built, if it is known.
    pub commit: Option<String>,
    /// The command line.
    pub command: Vec<String>,
    /// Where.
    pub machine: Machine,
    /// The client's version; `None` when nobody needed it.
    pub pgbench: Option<String>,
    /// Each peer with its description.
    pub peers: Vec<(Kind, String)>,
    /// How long each round was.
    pub seconds: u32,
    /// Why system calls were not counted, when they were not.
    pub syscalls_missing: Option<String>,
    /// One for each workload, number of clients and peer.
    pub measurements: Vec<Line>,
    /// Acknowledged writes that are missing, and the like.
    pub complaints: Vec<String>,
}

/// All rounds of a measurement together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// What ran.
    pub workload: Workload,
    /// How many clients.
    pub clients: u32,
    /// Where.
    pub peer: Kind,
    /// Transactions per second, of the rounds.
    pub tps: Spread,
    /// In order.
    pub rounds: Vec<RoundLine>,
    /// What that is of other peers' figures.
    pub ratios: Vec<Ratio>,
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
    /// Of all the peer's processes, from a round of its own; connecting is included.
    pub syscalls_per_transaction: Option<f64>,
}

/// One round.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct RoundLine {
    /// Transactions per second.
    pub tps: f64,
    /// Half of its transactions took no longer.
    pub p50_ms: Option<f64>,
    /// CPU time of all the peer's processes for one transaction.
    pub cpu_us: Option<f64>,
    /// Processes that wanted to run when it began, a mean over the minute before.
    pub load_before: Option<f64>,
    /// The share of the machine that was neither the peers' nor this program's, in percent.
    pub strangers_percent: Option<f64>,
}

/// A peer's figures as multiples of another's, round by round.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ratio {
    /// The other.
    pub against: Kind,
    /// Of transactions per second.
    pub tps: Spread,
    /// Of median latencies.
    pub p50: Option<Spread>,
}

/// One line for each measurement, in their order.
pub fn lines(findings: &Findings) -> Vec<Line> {
    let mut lines: Vec<Line> = findings.measurements.iter().filter_map(line).collect();
    let all = lines.clone();
    for line in &mut lines {
        let others = all
            .iter()
            .filter(|other| (other.workload, other.clients) == (line.workload, line.clients))
            .filter(|other| other.peer > line.peer);
        line.ratios = others.filter_map(|other| ratio(line, other)).collect();
    }
    lines
}

fn ratio(line: &Line, other: &Line) -> Option<Ratio> {
    let rates = |line: &Line| line.rounds.iter().map(|round| round.tps).collect::<Vec<_>>();
    let latencies =
        |line: &Line| -> Option<Vec<f64>> { line.rounds.iter().map(|round| round.p50_ms).collect() };
    let p50 = latencies(line).zip(latencies(other));
    Some(Ratio {
        against: other.peer,
        tps: Spread::of_ratios(&rates(line), &rates(other))?,
        p50: p50.and_then(|(ours, theirs)| Spread::of_ratios(&ours, &theirs)),
    })
}

/// `None` when it is unknown, or there was no transaction.
fn per_transaction(outcome: &Outcome, total: Option<u64>) -> Option<f64> {
    (outcome.transactions > 0).then_some(total? as f64 / outcome.transactions as f64)
}

/// `None` without a round.
fn line(measurement: &Measurement) -> Option<Line> {
    let outcomes = || measurement.rounds.iter().map(|round| &round.outcome);
    let mut latencies = Latencies::new();
    let mut usage: Option<Usage> = None;
    for outcome in outcomes() {
        latencies.add(&outcome.latencies);
        match &mut usage {
            Some(usage) => usage.add(&outcome.usage),
            None => usage = Some(outcome.usage.clone()),
        }
    }
    let rounds = measurement.rounds.iter().map(|round| RoundLine {
        tps: round.outcome.tps,
        p50_ms: round
            .outcome
            .latencies
            .percentiles()
            .map(|latency| latency.p50_ms),
        cpu_us: per_transaction(&round.outcome, round.outcome.usage.peer_cpu_us()),
        load_before: round.load_before,
        strangers_percent: round.outcome.usage.strangers_percent(),
    });
    let counted = measurement.counted.as_ref();
    let syscalls = counted.and_then(|outcome| per_transaction(outcome, outcome.syscalls));
    Some(Line {
        workload: measurement.workload,
        clients: measurement.clients,
        peer: measurement.peer,
        tps: Spread::of(outcomes().map(|outcome| outcome.tps))?,
        rounds: rounds.collect(),
        ratios: Vec::new(),
        latency: latencies.percentiles(),
        transactions: outcomes().map(|outcome| outcome.transactions).sum(),
        failed: outcomes().map(|outcome| outcome.failed).sum(),
        clients_lost: outcomes().map(|outcome| outcome.clients_lost).sum(),
        leader_changes: outcomes().filter(|outcome| outcome.leader_changed).count(),
        errors: outcomes().flat_map(|outcome| outcome.errors.clone()).collect(),
        usage: usage?,
        syscalls_per_transaction: syscalls,
    })
}

impl Line {
    /// Whether others had so much of the machine in most of its rounds that its figures decide nothing.
    pub fn is_disturbed(&self) -> bool {
        let shares = self.rounds.iter().filter_map(|round| round.strangers_percent);
        Spread::of(shares).is_some_and(|shares| shares.median > QUIET_PERCENT)
    }
}

impl Report {
    /// What makes its figures worth less than they seem.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.machine.warnings();
        let rounds = || self.measurements.iter().flat_map(|line| &line.rounds);
        let shares = rounds().filter_map(|round| round.strangers_percent);
        let disturbed: Vec<f64> = shares.filter(|share| *share > QUIET_PERCENT).collect();
        if let Some(worst) = disturbed.iter().copied().reduce(f64::max) {
            warnings.push(format!(
                "other work took more than {QUIET_PERCENT:.0} % of the machine in {} of {} rounds, up to {worst:.0} %: the figures are provisional",
                disturbed.len(),
                rounds().count(),
            ));
        }
        if let Some(why) = &self.syscalls_missing {
            warnings.push(format!("system calls were not measured: {why}"));
        }
        warnings
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

    /// Reads what was saved.
    pub fn load(path: &Path) -> Result<Report, Failure> {
        let unreadable = || Failure::new(format!("{} cannot be read", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| unreadable().because(error))?;
        serde_json::from_str(&text).map_err(|error| unreadable().because(error))
    }
}

#[cfg(test)]
pub mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measure::Round;
    use crate::tables::Style;

    fn measurement(peer: Kind, clients: u32, rounds: &[f64]) -> Measurement {
        let outcome = |tps: &f64| {
            let mut latencies = Latencies::new();
            latencies.record(Duration::from_secs_f64(1.0 / tps));
            Outcome {
                transactions: 10,
                writes: 10,
                uncounted: 0,
                failed: 1,
                clients_lost: 1,
                errors: vec!["why".to_owned()],
                tps: *tps,
                latencies,
                usage: Usage {
                    leader_cpu_us: Some(500),
                    followers_cpu_us: Some(100),
                    machine_total_us: Some(1_000),
                    strangers_us: Some(200),
                    ..Usage::default()
                },
                syscalls: Some(70),
                leader_changed: false,
            }
        };
        let round = |tps: &f64| Round {
            load_before: Some(0.1),
            outcome: outcome(tps),
        };
        Measurement {
            workload: Workload::Upsert,
            clients,
            peer,
            rounds: rounds.iter().map(round).collect(),
            counted: rounds.first().map(outcome),
        }
    }

    /// One of everything.
    pub fn report() -> Report {
        let findings = Findings {
            measurements: vec![
                measurement(Kind::Bellwether, 1, &[90.0, 110.0, 100.0]),
                measurement(Kind::Postgres, 1, &[45.0, 50.0, 60.0]),
                measurement(Kind::Sqlite, 1, &[50.0, 50.0, 50.0]),
                measurement(Kind::Bellwether, 32, &[100.0]),
            ],
            complaints: Vec::new(),
        };
        Report {
            date: "2000-01-01".to_owned(),
            commit: Some("abc".to_owned()),
            command: Vec::new(),
            machine: Machine {
                cpu: "a processor".to_owned(),
                cores: 2,
                memory_mb: 2_048,
                kernel: "linux".to_owned(),
                disk: "ext4 on /dev/x".to_owned(),
                fdatasync: None,
                load_before: None,
            },
            pgbench: None,
            peers: vec![(Kind::Bellwether, "3 servers".to_owned())],
            seconds: 5,
            syscalls_missing: None,
            measurements: lines(&findings),
            complaints: findings.complaints,
        }
    }

    #[test]
    fn rounds_are_taken_together_and_compared_with_those_of_as_many_clients() {
        let lines = report().measurements;
        assert_eq!(lines[0].tps.median, 100.0);
        let against: Vec<_> = lines[0].ratios.iter().map(|ratio| ratio.against).collect();
        assert_eq!(against, [Kind::Postgres, Kind::Sqlite]);
        assert_eq!(
            (lines[0].ratios[0].tps.median, lines[0].ratios[0].tps.max),
            (2.0, 2.2)
        );
        let p50 = lines[0].ratios[0].p50.expect("both have latencies");
        assert!((p50.median - 0.5).abs() < 0.01, "{p50:?}");
        assert_eq!((lines[2].ratios.len(), lines[3].ratios.len()), (0, 0));
    }

    #[test]
    fn counts_add_up_over_the_rounds() {
        let line = &report().measurements[0];
        assert_eq!((line.transactions, line.failed, line.clients_lost), (30, 3, 3));
        assert_eq!(line.usage.peer_cpu_us(), Some(1_800));
        assert_eq!(line.syscalls_per_transaction, Some(7.0));
    }

    #[test]
    fn other_work_on_the_machine_is_warned_of() {
        let warnings = report().warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("in 10 of 10 rounds, up to 20 %"),
            "{warnings:?}"
        );
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
        let read = Report::load(&path).expect("what was written");
        let rates = |report: &Report| report.rates(Style::Terminal).to_string();
        assert_eq!(rates(&read), rates(&report()));
    }
}
