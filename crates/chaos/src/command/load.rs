//! `bellwether-chaos load`: all the load that a cluster takes, and nothing wrong with it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::cluster::default_program;
use crate::failure::Failure;
use crate::load::Plan;

/// Options of `load`.
#[derive(Debug, Args)]
pub struct Options {
    /// How long
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=9))]
    nodes: u16,
    /// How many writers at each node
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=100))]
    writers: u16,
    /// Megabytes of each bulk load
    #[arg(long, value_name = "MB", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    load_mb: u64,
    /// How long each UPDATE is to take; the first is shorter
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    update_seconds: u64,
    /// Write everything that was measured to this file, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Keep the nodes' logs in this directory
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// The program to run as nodes [default: bellwether, beside this one]
    #[arg(long, value_name = "PATH")]
    bellwether: Option<PathBuf>,
}

/// Loads, prints and writes. Exit code 1 when the leader changed, a client got an error or lost a write.
pub async fn run(options: &Options) -> Result<ExitCode, Failure> {
    let unusable = |error| Failure::new("a directory for logs cannot be made").because(error);
    let removed_later = tempfile::tempdir().map_err(unusable)?;
    let plan = Plan {
        program: options.bellwether.clone().map_or_else(default_program, Ok)?,
        nodes: options.nodes,
        writers_per_node: options.writers,
        duration: Duration::from_secs(options.seconds),
        bulk_bytes: options.load_mb * 1_000_000,
        update: Duration::from_secs(options.update_seconds),
        logs: options.logs.clone().unwrap_or(removed_later.path().to_owned()),
    };
    let results = plan.run(|line| eprintln!("{line}")).await?;
    println!("{results}");
    if let Some(path) = &options.out {
        super::write(path, &results.json())?;
    }
    Ok(if results.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
