//! `bellwether-bench`: pgbench's scripts against a three-node cluster and plain SQLite, side by side.
//!
//! Promises: every peer runs the same script in turns; failed transactions are counted and shown; at the end every
//! acknowledged transaction is looked for, and a missing one is exit code 1. It uses public doors alone: the program
//! `bellwether`, PostgreSQL's protocol, `/metrics`. It judges nothing: what a change did to the numbers is for its
//! author to say.

mod cluster;
mod failure;
mod ledger;
mod machine;
mod measure;
mod metrics;
mod outcome;
mod peer;
mod pg;
mod pgbench;
mod report;
mod script;
mod usage;
mod workload;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use failure::Failure;
use machine::Machine;
use measure::Plan;
use peer::bellwether::Bellwether;
use peer::sqlite::Sqlite;
use peer::{Kind, Peer};
use pg::Address;
use pgbench::{Pgbench, Protocol};
use report::Report;
use workload::Workload;

/// Drive pgbench scripts against a Bellwether cluster and plain SQLite, and print rates and latencies
#[derive(Debug, Parser)]
#[command(name = "bellwether-bench", version)]
struct Options {
    /// What to run [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,…")]
    workloads: Vec<Workload>,
    /// Numbers of clients
    #[arg(long, value_delimiter = ',', value_name = "N,…", default_values_t = [1, 8, 32],
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: Vec<u32>,
    /// What to measure, in turns [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PEER,…")]
    peers: Vec<Kind>,
    /// How pgbench sends statements, its -M
    #[arg(long, short = 'M', value_enum, default_value_t = Protocol::Prepared)]
    protocol: Protocol,
    /// How long each run is
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// How long the same load runs before, unmeasured; 0 for not at all
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=3_600))]
    warm_up: u32,
    /// How often the peers take turns
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How many nodes to start
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// The program to start them with [default: bellwether, beside this one]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Use nodes that run instead; tables named bench_* are dropped there and left behind
    #[arg(long, value_delimiter = ',', value_name = "HOST:PORT,…", conflicts_with_all = ["binary", "nodes"])]
    connect: Vec<Address>,
    /// Those nodes' HTTP addresses in the same order, for what they count
    #[arg(long, value_delimiter = ',', value_name = "IP:PORT,…", requires = "connect")]
    http: Vec<SocketAddr>,
    /// Where data directories are made and removed; the disk that is measured [default: the system's for temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write the results as JSON to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the results to the source tree, as crates/bench/results/YYYY-MM-DD-NAME.json
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    save: Option<String>,
}

fn parse_name(text: &str) -> Result<String, &'static str> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if text.is_empty() || !text.chars().all(plain) {
        return Err("expected letters, digits, - _ and .");
    }
    Ok(text.to_owned())
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("the runtime could not be started").because(error))
        .and_then(|runtime| {
            let outcome = runtime.block_on(run_unless_stopped(options));
            // After a signal a client of SQLite may still be busy; nothing depends on it.
            runtime.shutdown_background();
            outcome
        });
    outcome.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        ExitCode::FAILURE
    })
}

/// SIGINT and SIGTERM end the run where it is; dropping it stops the cluster and removes its data.
async fn run_unless_stopped(options: Options) -> Result<ExitCode, Failure> {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::new("signals cannot be received").because(error));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    tokio::select! {
        outcome = run(options) => outcome,
        _ = interrupt.recv() => Err(Failure::new("interrupted")),
        _ = terminate.recv() => Err(Failure::new("terminated")),
    }
}

async fn run(options: Options) -> Result<ExitCode, Failure> {
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let machine = Machine::describe(&dir)
        .map_err(|error| Failure::new(format!("{} cannot be used", dir.display())).because(error))?;
    println!("{}", machine.line());
    for warning in machine.warnings() {
        eprintln!("warning: {warning}");
    }
    let pgbench = Pgbench::find(options.protocol, &dir)?;
    let pgbench_version = pgbench.version().await?;
    let mut peers = start_peers(&options, &dir, &pgbench).await?;
    for peer in &peers {
        println!("{}: {}", peer.name(), peer.description());
    }
    let findings = options.plan().run(&mut peers, |line| eprintln!("{line}")).await?;
    let report = Report {
        date: machine::today(),
        commit: commit(),
        command: std::env::args().collect(),
        machine,
        pgbench: pgbench_version,
        peers: peers
            .iter()
            .map(|peer| (peer.name().to_owned(), peer.description()))
            .collect(),
        measurements: report::lines(&findings),
        complaints: findings.complaints,
    };
    publish(&report, &options)
}

impl Options {
    fn plan(&self) -> Plan {
        Plan {
            workloads: if self.workloads.is_empty() {
                Workload::value_variants().to_vec()
            } else {
                self.workloads.clone()
            },
            clients: self.clients.clone(),
            rounds: self.rounds,
            seconds: self.seconds,
            warm_up_seconds: self.warm_up,
        }
    }
}

async fn start_peers(options: &Options, dir: &Path, pgbench: &Pgbench) -> Result<Vec<Peer>, Failure> {
    if !options.http.is_empty() && options.http.len() != options.connect.len() {
        return Err(
            Failure::new("--http and --connect name different numbers of nodes")
                .hint("name each node's HTTP address, in the order of --connect, or leave --http away"),
        );
    }
    let kinds = if options.peers.is_empty() {
        Kind::value_variants()
    } else {
        &options.peers
    };
    let mut peers = Vec::new();
    for kind in kinds {
        peers.push(match kind {
            Kind::Sqlite => Peer::Sqlite(Sqlite::open(dir)?),
            Kind::Bellwether if options.connect.is_empty() => {
                let program = options.binary.clone().map_or_else(cluster::default_program, Ok)?;
                if let Some(newer) = cluster::newer_source(&program) {
                    eprintln!(
                        "warning: {newer} is newer than {}: `cargo build --release`",
                        program.display()
                    );
                }
                Peer::Bellwether(Bellwether::start(&program, options.nodes, dir, pgbench.clone()).await?)
            }
            Kind::Bellwether => {
                let (pg, http) = (options.connect.clone(), options.http.clone());
                Peer::Bellwether(Bellwether::connect(pg, http, pgbench.clone()).await?)
            }
        });
    }
    Ok(peers)
}

/// Prints, writes and judges.
fn publish(report: &Report, options: &Options) -> Result<ExitCode, Failure> {
    println!("\n{}\n\n{}", report.rates(), report.costs());
    if let Some(path) = &options.json {
        std::fs::write(path, report.json())
            .map_err(|error| Failure::new(format!("{} cannot be written", path.display())).because(error))?;
    }
    if let Some(name) = &options.save {
        let path = report.save(&Path::new(env!("CARGO_MANIFEST_DIR")).join("results"), name)?;
        println!("\nsaved as {}", path.display());
    }
    if report.complaints.is_empty() {
        println!("\nevery acknowledged transaction is there, at every replica");
        return Ok(ExitCode::SUCCESS);
    }
    for complaint in &report.complaints {
        eprintln!("error: {complaint}");
    }
    Ok(ExitCode::FAILURE)
}

/// The source tree's, with a mark when it has changes; `None` without git or outside a tree.
fn commit() -> Option<String> {
    let output = Command::new("git")
        .args([
            "-C",
            env!("CARGO_MANIFEST_DIR"),
            "describe",
            "--always",
            "--dirty",
        ])
        .output()
        .ok()?;
    let commit = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !commit.trim().is_empty()).then(|| commit.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn without_arguments_everything_runs() {
        let plan = Options::try_parse_from(["bellwether-bench"])
            .expect("valid")
            .plan();
        assert_eq!(plan.workloads, Workload::value_variants());
        assert_eq!(plan.clients, [1, 8, 32]);
    }

    #[test]
    fn lists_are_taken_apart_at_commas() {
        let arguments = [
            "x",
            "--workloads",
            "upsert,tpcb",
            "--clients",
            "4,2",
            "--connect",
            "a:1,b:2",
        ];
        let options = Options::try_parse_from(arguments).expect("valid");
        assert_eq!(options.plan().workloads, [Workload::Upsert, Workload::Tpcb]);
        assert_eq!(options.clients, [4, 2]);
        assert_eq!(options.connect.len(), 2);
        Options::try_parse_from(["x", "--connect", "a:1", "--nodes", "3"]).expect_err("either or");
    }

    #[test]
    fn a_results_name_cannot_lead_elsewhere() {
        assert!(parse_name("laptop-2.1").is_ok());
        for name in ["", "../x", "a b"] {
            parse_name(name).expect_err(name);
        }
    }
}
