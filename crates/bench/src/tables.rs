//! A report as tables: for a terminal, and in Markdown for the documents.

use comfy_table::{CellAlignment, Table, presets};

use crate::goals::GOALS;
use crate::outcome::Percentiles;
use crate::peer::Kind;
use crate::report::{Line, Report};
use crate::statistics::Spread;

/// For whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Columns by spaces.
    Terminal,
    /// Columns by bars.
    Markdown,
}

impl Report {
    /// Rates and latencies.
    pub fn rates(&self, style: Style) -> Table {
        let header = [
            "workload",
            "clients",
            "peer",
            "tps",
            "min–max",
            "× postgres",
            "× sqlite",
            "p50 ms",
            "p95",
            "p99",
            "p99.9",
            "max",
            "failed",
        ];
        let mut table = table(style, &header, 3);
        for line in &self.measurements {
            let latency = |of: fn(&Percentiles) -> f64| number(line.latency.as_ref().map(of), 3);
            let ratio = |against| line.ratios.iter().find(|ratio| ratio.against == against);
            table.add_row([
                line.workload.name().to_owned(),
                line.clients.to_string(),
                line.peer.name().to_owned(),
                number(Some(line.tps.median), 0),
                format!("{:.0}–{:.0}", line.tps.min, line.tps.max),
                spread(ratio(Kind::Postgres).map(|ratio| ratio.tps)),
                spread(ratio(Kind::Sqlite).map(|ratio| ratio.tps)),
                latency(|latency| latency.p50_ms),
                latency(|latency| latency.p95_ms),
                latency(|latency| latency.p99_ms),
                latency(|latency| latency.p999_ms),
                latency(|latency| latency.max_ms),
                failed(line),
            ]);
        }
        table
    }

    /// What a transaction costs each peer.
    pub fn costs(&self, style: Style) -> Table {
        let header = [
            "per transaction of",
            "clients",
            "peer",
            "CPU µs",
            "min–max",
            "leader's",
            "others'",
            "client's",
            "syscalls",
            "machine busy %",
            "strangers %",
        ];
        let mut table = table(style, &header, 3);
        for line in &self.measurements {
            let us = |us: Option<u64>| {
                let per_transaction = ratio(us.map(|us| us as f64), Some(line.transactions as f64));
                number(per_transaction, 1)
            };
            let usage = &line.usage;
            let busy = ratio(
                usage.machine_busy_us.map(|us| us as f64),
                usage.machine_total_us.map(|us| us as f64),
            );
            table.add_row([
                line.workload.name().to_owned(),
                line.clients.to_string(),
                line.peer.name().to_owned(),
                us(usage.peer_cpu_us()),
                Spread::of(line.rounds.iter().filter_map(|round| round.cpu_us))
                    .map_or_else(|| "-".to_owned(), |cpu| format!("{:.0}–{:.0}", cpu.min, cpu.max)),
                us(usage.leader_cpu_us),
                us(usage.followers_cpu_us),
                us(usage.client_cpu_us),
                number(line.syscalls_per_transaction, 1),
                number(busy.map(|share| share * 100.0), 0),
                number(usage.strangers_percent(), 0),
            ]);
        }
        table
    }

    /// What Bellwether's nodes counted themselves.
    pub fn counts(&self, style: Style) -> Table {
        let header = [
            "counted by the nodes",
            "clients",
            "peer",
            "tx/group",
            "leader fsyncs/tx",
            "all fsyncs/tx",
            "fsync ms",
            "quorum ms",
            "log bytes/tx",
        ];
        let mut table = table(style, &header, 3);
        for line in &self.measurements {
            let Some(leader) = line.usage.leader.as_ref() else {
                continue;
            };
            let per_transaction = |total: Option<f64>| ratio(total, Some(line.transactions as f64));
            let all = line.usage.followers.as_ref().map(|others| leader.plus(others));
            table.add_row([
                line.workload.name().to_owned(),
                line.clients.to_string(),
                line.peer.name().to_owned(),
                number(ratio(Some(leader.grouped_transactions), Some(leader.groups)), 1),
                number(per_transaction(Some(leader.fsyncs)), 3),
                number(per_transaction(all.map(|all| all.fsyncs)), 3),
                number(ratio(Some(leader.fsync_seconds * 1e3), Some(leader.fsyncs)), 3),
                number(
                    ratio(Some(leader.commit_wait_seconds * 1e3), Some(leader.commit_waits)),
                    3,
                ),
                number(per_transaction(Some(leader.log_bytes)), 0),
            ]);
        }
        table
    }

    /// The goals that were measured, and all others. A machine that others used decides none of them.
    pub fn verdicts(&self, style: Style) -> Table {
        let mut table = table(style, &["workload", "clients", "peer", "goal", "found", "met"], 5);
        for goal in GOALS {
            let lines = &self.measurements;
            let found = goal.found(lines);
            let met = match found {
                None => "-",
                Some(_) if goal.is_disturbed(lines) => "disturbed",
                Some(found) if goal.is_met(found) => "yes",
                Some(_) => "no",
            };
            table.add_row([
                goal.workload.name().to_owned(),
                goal.clients.to_string(),
                goal.peer.name().to_owned(),
                goal.to_string(),
                spread(found),
                met.to_owned(),
            ]);
        }
        table
    }
}

/// The first columns are words, but for the number of clients; the rest are numbers.
pub fn table(style: Style, header: &[&str], words: usize) -> Table {
    let mut table = Table::new();
    table.load_style(match style {
        Style::Terminal => presets::NOTHING,
        Style::Markdown => presets::ASCII_MARKDOWN,
    });
    table.set_header(header.iter().copied());
    for (at, column) in table.column_iter_mut().enumerate() {
        if at >= words || at == 1 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A dash for what is not known.
pub fn number(value: Option<f64>, digits: usize) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{value:.digits$}"),
        _ => "-".to_owned(),
    }
}

/// A ratio with its ends.
fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "-".to_owned(),
        |spread| format!("{:.2} ({:.2}–{:.2})", spread.median, spread.min, spread.max),
    )
}

/// `None` when either is unknown, or there is nothing to divide by.
fn ratio(total: Option<f64>, parts: Option<f64>) -> Option<f64> {
    let parts = parts.filter(|parts| *parts > 0.0)?;
    Some(total? / parts)
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
    use crate::report::tests::report;

    fn first_row(table: &Table) -> Vec<String> {
        let text = table.to_string();
        let row = text.lines().nth(1).expect("a row after the header");
        row.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_rate_has_its_ends_its_ratios_and_its_failures() {
        let cells = first_row(&report().rates(Style::Terminal));
        let expected = [
            "upsert",
            "1",
            "bellwether",
            "100",
            "90–110",
            "2.00",
            "(1.67–2.20)",
            "2.00",
            "(1.80–2.20)",
        ];
        assert_eq!(cells[..9], expected);
        assert_eq!(cells.last().map(String::as_str), Some("3+3"));
    }

    #[test]
    fn costs_are_per_transaction_and_what_is_unknown_is_a_dash() {
        let cells = first_row(&report().costs(Style::Terminal));
        assert_eq!(
            cells[2..],
            [
                "bellwether",
                "60.0",
                "60–60",
                "50.0",
                "10.0",
                "-",
                "7.0",
                "-",
                "20"
            ]
        );
    }

    /// The last column.
    fn met(report: &Report) -> Vec<String> {
        let text = report.verdicts(Style::Terminal).to_string();
        let last = |line: &str| line.split_whitespace().last().map(str::to_owned);
        text.lines().skip(1).filter_map(last).collect()
    }

    #[test]
    fn a_goal_that_was_not_measured_is_neither_met_nor_missed() {
        let mut quiet = report();
        for line in &mut quiet.measurements {
            for round in &mut line.rounds {
                round.strangers_percent = Some(1.0);
            }
        }
        assert_eq!(met(&quiet), ["-", "-", "-", "yes", "-", "-"]);
    }

    #[test]
    fn a_machine_that_others_used_decides_nothing() {
        assert_eq!(met(&report()), ["-", "-", "-", "disturbed", "-", "-"]);
    }

    #[test]
    fn markdown_has_a_line_below_its_header() {
        let text = report().verdicts(Style::Markdown).to_string();
        assert!(
            text.lines().nth(1).is_some_and(|line| line.starts_with("|--")),
            "{text}"
        );
    }
}
