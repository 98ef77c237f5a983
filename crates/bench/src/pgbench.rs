//! pgbench as a child: how it is found, called and read.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::ValueEnum;
use tokio::process::Command;
use tokio::time;

use crate::failure::Failure;
use crate::outcome::{Latencies, Outcome};
use crate::pg::Address;
use crate::script::Variables;
use crate::syscalls;
use crate::usage::Usage;
use crate::workload::{Part, Workload};

/// How long pgbench may take beyond the time it was asked to run for: a failover, slow last transactions.
const GRACE: Duration = Duration::from_secs(60);

/// The database that a fresh server has.
const DATABASE: &str = "postgres";

/// Errors kept of one run.
const MAX_ERRORS: usize = 5;

/// How pgbench sends statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Text with values in it
    Simple,
    /// Parsed anew each time, values apart
    Extended,
    /// Parsed once per client
    Prepared,
}

impl Protocol {
    /// As pgbench's `-M` has it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Simple => "simple",
            Protocol::Extended => "extended",
            Protocol::Prepared => "prepared",
        }
    }
}

/// What clients shall do.
#[derive(Debug, Clone)]
pub struct Load {
    /// What they run.
    pub workload: Workload,
    /// How many there are at once.
    pub clients: u32,
    /// How long they go on.
    pub seconds: u32,
    /// What their scripts begin with.
    pub variables: Variables,
    /// Whose system calls are counted meanwhile, which slows them down a little; mostly nobody's.
    pub counted_processes: Vec<u32>,
}

/// The program.
#[derive(Debug, Clone)]
pub struct Pgbench {
    path: PathBuf,
    protocol: Protocol,
    /// Where scripts and logs are put.
    dir: PathBuf,
}

impl Pgbench {
    /// Looks in `PATH`, then where Debian puts PostgreSQL's own programs, newest first.
    pub fn find(protocol: Protocol, dir: &Path) -> Result<Pgbench, Failure> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let in_path = std::env::split_paths(&path).map(|dir| dir.join("pgbench"));
        let found = in_path
            .chain(debian_paths().into_iter().map(|dir| dir.join("pgbench")))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                Failure::new("pgbench was not found")
                    .because("it is looked for in PATH and in /usr/lib/postgresql/*/bin")
                    .hint("install it: postgresql-contrib or postgresql-15 on Debian and Ubuntu, postgresql-contrib on Fedora, libpq or postgresql with Homebrew")
            })?;
        Ok(Pgbench {
            path: found,
            protocol,
            dir: dir.to_owned(),
        })
    }

    /// Its version's line.
    pub async fn version(&self) -> Result<String, Failure> {
        let output = Command::new(&self.path)
            .arg("--version")
            .output()
            .await
            .map_err(|error| self.not_started(error))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Makes its own tables anew, with one branch, and fills them.
    pub async fn fill(&self, address: &Address) -> Result<(), Failure> {
        let output = Command::new(&self.path)
            .args(["--initialize", "--scale=1", "--quiet"])
            .args(at(address))
            .arg(DATABASE)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| self.not_started(error))?;
        if output.status.success() {
            return Ok(());
        }
        Err(
            Failure::new(format!("pgbench could not make its tables at {address}"))
                .because(String::from_utf8_lossy(&output.stderr).trim()),
        )
    }

    /// Runs a load at an address. What it cost and whether the leader changed is for the caller to add.
    pub async fn run(&self, address: &Address, load: &Load) -> Result<Outcome, Failure> {
        let unusable =
            |error: io::Error| Failure::new(format!("{} cannot be used", self.dir.display())).because(error);
        let dir = tempfile::tempdir_in(&self.dir).map_err(unusable)?;
        let parts = load.workload.parts();
        let counts = dir.path().join("syscalls");
        let mut command = if load.counted_processes.is_empty() {
            Command::new(&self.path)
        } else {
            let mut command = Command::from(syscalls::counting(&load.counted_processes, &counts));
            command.arg(&self.path);
            command
        };
        command.args(self.arguments(address, load));
        if let Some(options) = load.workload.session_options() {
            command.env("PGOPTIONS", options);
        }
        for (part, number) in parts.iter().zip(1..) {
            let script = dir.path().join(format!("script{number}.sql"));
            std::fs::write(&script, part.script).map_err(unusable)?;
            command.arg(format!("--file={}@{}", script.display(), part.weight));
        }
        let child = command
            .arg("--log-prefix")
            .arg(dir.path().join("log"))
            .arg(DATABASE)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.not_started(error))?;
        let patience = Duration::from_secs(load.seconds.into()) + GRACE;
        let output = time::timeout(patience, child.wait_with_output())
            .await
            .map_err(|_| {
                Failure::new(format!("pgbench did not end within {} s", patience.as_secs())).because(format!(
                    "{} with {} clients at {address}",
                    load.workload.name(),
                    load.clients
                ))
            })?
            .map_err(|error| self.not_started(error))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let summary = Summary::parse(&String::from_utf8_lossy(&output.stdout), &parts).ok_or_else(|| {
            Failure::new(format!(
                "pgbench could not run {} at {address}",
                load.workload.name()
            ))
            .because(errors.trim())
        })?;
        let mut outcome = summary.outcome(&errors, read_logs(dir.path()).map_err(unusable)?);
        outcome.syscalls = std::fs::read_to_string(&counts)
            .ok()
            .and_then(|text| syscalls::total(&text));
        Ok(outcome)
    }

    fn arguments(&self, address: &Address, load: &Load) -> Vec<OsString> {
        // More threads than cores that they can have would only get in the servers' way.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(load.clients as usize);
        let mut arguments: Vec<OsString> =
            ["--no-vacuum", "--log", "--failures-detailed", "--verbose-errors"]
                .map(OsString::from)
                .into();
        arguments.extend(at(address));
        let sampling = load.workload.sampling_rate();
        let mut option = |name: &str, value: String| {
            arguments.push(name.into());
            arguments.push(value.into());
        };
        option("--client", load.clients.to_string());
        option("--jobs", threads.to_string());
        option("--time", load.seconds.to_string());
        option("--protocol", self.protocol.name().to_owned());
        if load.workload.tries() > 1 {
            option("--max-tries", load.workload.tries().to_string());
        }
        if sampling < 1.0 {
            option("--sampling-rate", sampling.to_string());
        }
        for (name, value) in &load.variables {
            option("--define", format!("{name}={value}"));
        }
        arguments
    }

    fn not_started(&self, error: io::Error) -> Failure {
        Failure::new(format!("{} cannot be run", self.path.display())).because(error)
    }
}

/// How to reach a server, for any program of PostgreSQL's.
fn at(address: &Address) -> [OsString; 3] {
    [
        format!("--host={}", address.host).into(),
        format!("--port={}", address.port).into(),
        "--username=postgres".into(),
    ]
}

/// Where Debian keeps PostgreSQL's own programs, newest version first.
pub fn debian_paths() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin")))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, path)| path).collect()
}

/// What pgbench prints at its end.
#[derive(Debug, PartialEq)]
struct Summary {
    transactions: u64,
    /// Of the parts that write.
    writes: u64,
    /// Of no part: pgbench's threads count the whole each for itself, but parts together and without a lock, so that
    /// now and then one is missed.
    uncounted: u64,
    failed: u64,
    tps: f64,
}

impl Summary {
    /// `None` when it is not there: pgbench gave up before its clients began.
    fn parse(text: &str, parts: &[Part]) -> Option<Summary> {
        let first = |rest: &str| rest.split_whitespace().next().map(str::to_owned);
        let number = |prefix: &str| first(text.lines().find_map(|line| line.strip_prefix(prefix))?);
        // With a fixed number of transactions this reads `10/10`; with a time it does not.
        let transactions = number("number of transactions actually processed:")?
            .parse()
            .ok()?;
        // ` - 10 transactions (50.0% of total, tps = 5.0)`, one line for each part when there are several.
        let lines = text.lines().filter(|line| line.contains(" transactions ("));
        let of_parts = lines.filter_map(|line| first(line.strip_prefix(" - ")?)?.parse().ok());
        let of_parts: Vec<u64> = match parts {
            [_] => vec![transactions],
            _ => of_parts.collect(),
        };
        let written = parts.iter().zip(&of_parts).filter(|(part, _)| part.writes);
        Some(Summary {
            transactions,
            writes: written.map(|(_, count)| count).sum(),
            uncounted: transactions.saturating_sub(of_parts.iter().sum()),
            failed: number("number of failed transactions:")?.parse().ok()?,
            // Absent when all clients gave up before their first transaction.
            tps: number("tps =").and_then(|tps| tps.parse().ok()).unwrap_or(0.0),
        })
    }

    fn outcome(self, stderr: &str, latencies: Latencies) -> Outcome {
        let clients_lost = stderr.lines().filter(|line| is_client_lost(line)).count() as u64;
        let tells = |line: &&str| line.contains("error:") || line.contains(" got an error in ");
        let errors = stderr.lines().filter(tells);
        Outcome {
            transactions: self.transactions,
            writes: self.writes,
            uncounted: self.uncounted,
            failed: self.failed,
            clients_lost,
            errors: errors.take(MAX_ERRORS).map(str::to_owned).collect(),
            tps: self.tps,
            latencies,
            usage: Usage::default(),
            syscalls: None,
            leader_changed: false,
        }
    }
}

/// Whether a line of pgbench's stderr says that a client has given up. Which of the two it is depends on whether
/// the server answered with an error or the connection broke.
fn is_client_lost(line: &str) -> bool {
    line.contains("pgbench: error: client ") && line.contains(" aborted")
}

/// Of all logs in a directory: pgbench writes one for each of its threads.
fn read_logs(dir: &Path) -> io::Result<Latencies> {
    let mut latencies = Latencies::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("log.") {
            read_log(&std::fs::read_to_string(&path)?, &mut latencies);
        }
    }
    Ok(latencies)
}

/// Adds the latencies of a log: `client number latency_us script seconds microseconds …`, where a transaction that
/// failed has a word for its latency.
fn read_log(text: &str, latencies: &mut Latencies) {
    let fields = text.lines().filter_map(|line| line.split(' ').nth(2));
    for us in fields.filter_map(|field| field.parse().ok()) {
        latencies.record(Duration::from_micros(us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: &str = "\
pgbench (15.18 (Debian 15.18-0+deb12u1))
transaction type: upsert.sql
scaling factor: 1
query mode: prepared
number of clients: 2
number of threads: 1
maximum number of tries: 1
duration: 1 s
number of transactions actually processed: 40646
number of failed transactions: 3 (0.007%)
number of serialization failures: 2 (0.005%)
number of deadlock failures: 1 (0.002%)
latency average = 0.049 ms
initial connection time = 10.109 ms
tps = 40945.475206 (without initial connection time)
";

    #[test]
    fn a_summary_is_read() {
        let expected = Summary {
            transactions: 40_646,
            writes: 40_646,
            uncounted: 0,
            failed: 3,
            tps: 40_945.475_206,
        };
        assert_eq!(Summary::parse(SUMMARY, &Workload::Upsert.parts()), Some(expected));
    }

    #[test]
    fn parts_are_counted_apart_and_what_none_of_them_counted_is_in_doubt() {
        let text = SUMMARY.to_owned()
            + "SQL script 1: read.sql\n - weight: 19 (targets 95.0% of total)\n \
               - 40000 transactions (98.4% of total, tps = 40000.1)\n - number of failed transactions: 0 (0.000%)\n\
               SQL script 2: upsert.sql\n - weight: 1 (targets 5.0% of total)\n \
               - 644 transactions (1.6% of total, tps = 644.1)\n";
        let summary = Summary::parse(&text, &Workload::ReadMostly.parts()).expect("a summary");
        assert_eq!((summary.writes, summary.uncounted), (644, 2));
        assert_eq!(summary.outcome("", Latencies::new()).in_doubt(), 5);
    }

    #[test]
    fn a_summary_of_clients_that_all_gave_up_has_no_rate() {
        let text = "number of transactions actually processed: 0\nnumber of failed transactions: 0 (NaN%)\n";
        let summary = Summary::parse(text, &Workload::Upsert.parts()).expect("a summary");
        assert_eq!((summary.transactions, summary.tps), (0, 0.0));
        assert_eq!(Summary::parse("pgbench (15.18)\n", &[]), None);
    }

    #[test]
    fn clients_that_gave_up_are_counted_and_the_first_errors_kept() {
        let stderr = "\
pgbench: error: ERROR:  relation \"nope\" does not exist
LINE 1: insert into nope values (1);
pgbench: error: client 0 script 0 aborted in command 0 query 0: ERROR:  prepared statement \"P_0\" does not exist
pgbench: error: client 1 aborted in command 1 (SQL) of script 0; perhaps the backend died while processing
pgbench: error: Run was aborted; the above results are incomplete.
";
        let summary = Summary::parse(SUMMARY, &Workload::Upsert.parts()).expect("a summary");
        let outcome = summary.outcome(stderr, Latencies::new());
        assert_eq!(outcome.clients_lost, 2);
        assert_eq!(outcome.in_doubt(), 5);
        assert_eq!(outcome.errors.len(), 4);
        assert!(outcome.errors[0].contains("does not exist"));
    }

    #[test]
    fn a_log_gives_the_latencies_of_what_did_not_fail() {
        let log = "0 1 650 0 1795381303 354727\n\
                   0 2 failed 0 1795381303 354771\n\
                   0 2 serialization 0 1795381303 354771\n\
                   1 3 20 0 1795381303 354792\n\n";
        let mut latencies = Latencies::new();
        read_log(log, &mut latencies);
        let percentiles = latencies.percentiles().expect("two");
        assert_eq!(percentiles.sampled, 2);
        assert!((percentiles.max_ms - 0.650).abs() < 0.002);
    }
}
