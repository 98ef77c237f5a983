//! Prometheus' text format 0.0.4: `# HELP`, `# TYPE`, one line per sample.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::{self, Write};

use crate::metrics::{HistogramSnapshot, MetricsSnapshot};
use crate::status::{DatabaseStatus, NodeStatus, Role};

/// What the numbers of a family are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Counter,
    Gauge,
}

/// Samples of one name.
#[derive(Debug)]
pub(crate) struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub samples: Vec<Sample>,
}

/// One number, with a label or without.
#[derive(Debug)]
pub(crate) struct Sample {
    label: Option<(&'static str, String)>,
    value: f64,
}

impl Sample {
    pub fn of(label: Option<(&'static str, &'static str)>, value: u64) -> Sample {
        Sample {
            label: label.map(|(name, value)| (name, value.to_owned())),
            value: value as f64,
        }
    }
}

/// Everything that a node knows in numbers.
pub(crate) fn render(status: &NodeStatus, metrics: &MetricsSnapshot) -> String {
    let mut out = String::with_capacity(8 << 10);
    let families = [
        node_families(status),
        database_families(status),
        seeding_families(status),
        metrics.families(),
    ];
    for family in families.iter().flatten() {
        family_lines(&mut out, family);
    }
    family_lines(&mut out, &client_errors(metrics));
    for histogram in histograms(metrics) {
        histogram_lines(&mut out, &histogram);
    }
    out
}

fn node_families(status: &NodeStatus) -> Vec<Family> {
    let labelled = |name, label, text: &str, help| Family {
        name,
        help,
        kind: Kind::Gauge,
        samples: vec![Sample {
            label: Some((label, text.to_owned())),
            value: 1.0,
        }],
    };
    let plain = |name, value, help| Family {
        name,
        help,
        kind: Kind::Gauge,
        samples: vec![Sample { label: None, value }],
    };
    let serving = f64::from(u8::from(status.not_serving_because().is_none()));
    vec![
        labelled(
            "bellwether_build_info",
            "version",
            &status.version,
            "The program's version, always 1.",
        ),
        labelled(
            "bellwether_node_info",
            "node",
            &status.node.to_string(),
            "The node's number, always 1.",
        ),
        plain(
            "bellwether_uptime_seconds",
            seconds(status.uptime_ms, 1_000),
            "Since the process started.",
        ),
        plain(
            "bellwether_serving",
            serving,
            "Whether every replica of this node serves: 1 or 0.",
        ),
    ]
}

/// A gauge with a sample for each database whose number is known.
fn per_database(
    status: &NodeStatus,
    name: &'static str,
    help: &'static str,
    number: fn(&DatabaseStatus) -> Option<f64>,
) -> Family {
    let sample = |database: &DatabaseStatus| {
        Some(Sample {
            label: Some(("database", database.name.clone())),
            value: number(database)?,
        })
    };
    Family {
        name,
        help,
        kind: Kind::Gauge,
        samples: status.databases.iter().filter_map(sample).collect(),
    }
}

/// Of images that arrive.
fn seeding_families(status: &NodeStatus) -> Vec<Family> {
    vec![
        per_database(
            status,
            "bellwether_seeding_received_bytes",
            "Of the image that the replica is getting, what is here.",
            |d| d.seeding.map(|seeding| seeding.received_bytes as f64),
        ),
        per_database(
            status,
            "bellwether_seeding_total_bytes",
            "The length of the image that the replica is getting.",
            |d| d.seeding.map(|seeding| seeding.total_bytes as f64),
        ),
    ]
}

fn database_families(status: &NodeStatus) -> Vec<Family> {
    let per_database = |name, help, number| per_database(status, name, help, number);
    vec![
        per_database(
            "bellwether_database_leader",
            "Whether this node leads the database: 1 or 0.",
            |d| Some(f64::from(u8::from(d.role == Role::Leader))),
        ),
        per_database(
            "bellwether_database_serving",
            "Whether this replica serves: 1 or 0.",
            |d| Some(f64::from(u8::from(d.serving))),
        ),
        per_database("bellwether_database_term", "The latest term seen.", |d| {
            Some(d.term.0 as f64)
        }),
        per_database(
            "bellwether_database_log_first_index",
            "The oldest log entry kept.",
            |d| Some(d.log_first.0 as f64),
        ),
        per_database("bellwether_database_log_last_index", "The last log entry.", |d| {
            Some(d.position.index.0 as f64)
        }),
        per_database(
            "bellwether_database_commit_index",
            "The last log entry known to be committed.",
            |d| Some(d.commit.index.0 as f64),
        ),
        per_database(
            "bellwether_database_applied_index",
            "The last record that the replica holds.",
            |d| Some(d.applied.index.0 as f64),
        ),
        per_database(
            "bellwether_database_lag_records",
            "Records behind the leader.",
            |d| d.lag_records.map(|n| n as f64),
        ),
        per_database(
            "bellwether_database_lag_seconds",
            "Time behind the leader.",
            |d| d.lag_ms.map(|ms| seconds(ms, 1_000)),
        ),
        per_database(
            "bellwether_database_lag_bytes",
            "Bytes of log behind the leader.",
            |d| d.lag_bytes.map(|n| n as f64),
        ),
        per_database("bellwether_database_log_bytes", "The log's size on disk.", |d| {
            Some(d.log_bytes as f64)
        }),
    ]
}

fn client_errors(metrics: &MetricsSnapshot) -> Family {
    let sample = |&(class, count): &(&'static str, u64)| Sample {
        label: Some(("class", class.to_owned())),
        value: count as f64,
    };
    Family {
        name: "bellwether_client_errors_total",
        help: "Errors told to clients, by class of SQLSTATE.",
        kind: Kind::Counter,
        samples: metrics.client_errors.iter().map(sample).collect(),
    }
}

struct HistogramFamily<'a> {
    name: &'static str,
    help: &'static str,
    /// How many of the histogram's units make one of the name's.
    units: u64,
    counts: &'a HistogramSnapshot,
}

fn histograms(metrics: &MetricsSnapshot) -> [HistogramFamily<'_>; 3] {
    [
        HistogramFamily {
            name: "bellwether_group_transactions",
            help: "Transactions in one group: one record, one fsync.",
            units: 1,
            counts: &metrics.group_transactions,
        },
        HistogramFamily {
            name: "bellwether_log_fsync_seconds",
            help: "How long an fsync of the log took.",
            units: 1_000_000,
            counts: &metrics.log_fsync_us,
        },
        HistogramFamily {
            name: "bellwether_commit_wait_seconds",
            help: "How long a group was held for its quorum.",
            units: 1_000_000,
            counts: &metrics.commit_wait_us,
        },
    ]
}

fn family_lines(out: &mut String, family: &Family) {
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
    };
    head_lines(out, family.name, family.help, kind);
    for Sample { label, value } in &family.samples {
        match label {
            Some((name, text)) => line(
                out,
                format_args!("{}{{{name}=\"{}\"}} {value}", family.name, Escaped(text)),
            ),
            None => line(out, format_args!("{} {value}", family.name)),
        }
    }
}

/// Buckets cumulated, as the format wants them.
fn histogram_lines(out: &mut String, family: &HistogramFamily<'_>) {
    let HistogramFamily {
        name,
        help,
        units,
        counts,
    } = family;
    head_lines(out, name, help, "histogram");
    let mut total = 0;
    for (at, count) in counts.buckets.iter().enumerate() {
        total += count;
        match counts.bounds.get(at) {
            Some(bound) => line(
                out,
                format_args!("{name}_bucket{{le=\"{}\"}} {total}", seconds(*bound, *units)),
            ),
            None => line(out, format_args!("{name}_bucket{{le=\"+Inf\"}} {total}")),
        }
    }
    line(out, format_args!("{name}_sum {}", seconds(counts.sum, *units)));
    line(out, format_args!("{name}_count {total}"));
}

fn head_lines(out: &mut String, name: &str, help: &str, kind: &str) {
    line(out, format_args!("# HELP {name} {help}"));
    line(out, format_args!("# TYPE {name} {kind}"));
}

fn line(out: &mut String, text: fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to a String does not fail");
}

fn seconds(count: u64, units: u64) -> f64 {
    count as f64 / units as f64
}

/// A label's value: backslash, quote and line feed are escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
