//! `bellwether-bench`: pgbench's scripts against a Bellwether cluster and its peers, side by side: PostgreSQL with
//! synchronous standbys, plain SQLite.
//!
//! Promises: every peer runs the same script in turns, while the others idle; failed transactions are counted and
//! shown; what else the machine did is told; at the end every acknowledged transaction is looked for, and a missing
//! one is exit code 1. It uses public doors alone: the program `bellwether`, PostgreSQL's protocol, `/metrics`. It
//! says which goals are met; a missed one is no error, since another machine may decide otherwise.

mod chart;
mod cluster;
mod document;
mod failure;
mod formats;
mod goals;
mod ledger;
mod machine;
mod measure;
mod metrics;
mod options;
mod outcome;
mod patience;
mod peer;
mod pg;
mod pgbench;
mod ports;
mod process;
mod report;
mod script;
mod statistics;
mod syscalls;
mod tables;
mod usage;
mod workload;

use std::path::Path;
use std::process::{Command, ExitCode};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use failure::Failure;
use machine::Machine;
use options::Options;
use peer::served::Served;
use peer::sqlite::Sqlite;
use peer::{Kind, Peer};
use pgbench::Pgbench;
use report::Report;
use tables::Style;

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(options::Command::Document { file }) = &options.command {
        return ended(document::write(file.as_deref()).map(|()| ExitCode::SUCCESS));
    }
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
    ended(outcome)
}

fn ended(outcome: Result<ExitCode, Failure>) -> ExitCode {
    outcome.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        ExitCode::FAILURE
    })
}

/// SIGINT and SIGTERM end the run where it is; dropping it stops the servers and removes their data.
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
    if let Some(options::Command::Formats(options)) = &options.command {
        return formats::run(options).await.map(|()| ExitCode::SUCCESS);
    }
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let machine = Machine::describe(&dir)
        .map_err(|error| Failure::new(format!("{} cannot be used", dir.display())).because(error))?;
    println!("{}", machine.line());
    for warning in machine.warnings() {
        eprintln!("warning: {warning}");
    }
    let pgbench = options
        .kinds()
        .iter()
        .any(|kind| *kind != Kind::Sqlite)
        .then(|| Pgbench::find(options.protocol, &dir))
        .transpose()?;
    let pgbench_version = match &pgbench {
        Some(pgbench) => Some(pgbench.version().await?),
        None => None,
    };
    let peers = start_peers(&options, &dir, pgbench.as_ref()).await?;
    let descriptions = peers.iter().map(|peer| (peer.kind(), peer.description()));
    let descriptions: Vec<_> = descriptions.collect();
    for (kind, description) in &descriptions {
        println!("{}: {description}", kind.name());
    }
    let syscalls = syscalls::available();
    let plan = options.plan(syscalls.is_ok());
    let findings = plan.run(peers, |line| eprintln!("{line}")).await?;
    let report = Report {
        date: machine::today(),
        commit: commit(),
        command: std::env::args().collect(),
        machine,
        pgbench: pgbench_version,
        peers: descriptions,
        seconds: plan.seconds,
        syscalls_missing: syscalls.err(),
        measurements: report::lines(&findings),
        complaints: findings.complaints,
    };
    publish(&report, &options)
}

async fn start_peers(options: &Options, dir: &Path, pgbench: Option<&Pgbench>) -> Result<Vec<Peer>, Failure> {
    if !options.http.is_empty() && options.http.len() != options.connect.len() {
        return Err(
            Failure::new("--http and --connect name different numbers of nodes")
                .hint("name each node's HTTP address, in the order of --connect, or leave --http away"),
        );
    }
    let mut peers = Vec::new();
    for kind in options.kinds() {
        let pgbench = || {
            pgbench
                .expect("it was looked for, since not only SQLite runs")
                .clone()
        };
        let served = match kind {
            Kind::Sqlite => {
                peers.push(Peer::Sqlite(Sqlite::open(dir)?));
                continue;
            }
            Kind::Postgres => Served::start_postgres(options.nodes, dir, pgbench()).await?,
            Kind::Bellwether if !options.connect.is_empty() => {
                Served::connect(options.connect.clone(), options.http.clone(), pgbench()).await?
            }
            Kind::Bellwether => start_bellwether(kind, options.nodes, options, dir, pgbench()).await?,
            Kind::OneNode => start_bellwether(kind, 1, options, dir, pgbench()).await?,
        };
        peers.push(Peer::Served(Box::new(served)));
    }
    Ok(peers)
}

async fn start_bellwether(
    kind: Kind,
    nodes: u16,
    options: &Options,
    dir: &Path,
    pgbench: Pgbench,
) -> Result<Served, Failure> {
    let program = options.binary.clone().map_or_else(cluster::default_program, Ok)?;
    if let Some(newer) = cluster::newer_source(&program) {
        eprintln!(
            "warning: {newer} is newer than {}: `cargo build --release`",
            program.display()
        );
    }
    Served::start_bellwether(kind, &program, nodes, dir, pgbench).await
}

/// Prints, writes and judges.
fn publish(report: &Report, options: &Options) -> Result<ExitCode, Failure> {
    println!(
        "\n{}\n\n{}\n\n{}\n\n{}\n",
        report.rates(Style::Terminal),
        report.costs(Style::Terminal),
        report.counts(Style::Terminal),
        report.verdicts(Style::Terminal),
    );
    for warning in report.warnings() {
        println!("warning: {warning}");
    }
    if let Some(path) = &options.json {
        std::fs::write(path, report.json())
            .map_err(|error| Failure::new(format!("{} cannot be written", path.display())).because(error))?;
    }
    if let Some(name) = &options.save {
        let path = report.save(&document::results(), name)?;
        println!("saved as {}", path.display());
    }
    if report.complaints.is_empty() {
        println!("every acknowledged transaction is there, at every replica");
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
