//! `bellwether-chaos failover`: measures how long writes wait when the leader is lost.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cluster::default_program;
use crate::failover::results::How;
use crate::failover::{Plan, chart};
use crate::failure::Failure;

/// Options of `failover`.
#[derive(Debug, Args)]
pub struct Options {
    /// How often
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    times: u32,
    /// What happens to the leader
    #[arg(long, value_enum, default_value_t = How::Kill)]
    how: How,
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=9))]
    nodes: u16,
    /// How many writers at each node
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=100))]
    writers: u16,
    /// For the quiet before each blow
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write everything that was measured to this file, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Draw the distribution into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Keep the nodes' logs in this directory
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// The program to run as nodes [default: bellwether, beside this one]
    #[arg(long, value_name = "PATH")]
    bellwether: Option<PathBuf>,
}

/// Measures, prints and writes. Exit code 1 when an acknowledged write is lost.
pub async fn run(options: &Options) -> Result<ExitCode, Failure> {
    let unusable = |error| Failure::new("a directory for logs cannot be made").because(error);
    let removed_later = tempfile::tempdir().map_err(unusable)?;
    let plan = Plan {
        program: options.bellwether.clone().map_or_else(default_program, Ok)?,
        nodes: options.nodes,
        writers_per_node: options.writers,
        times: options.times,
        how: options.how,
        seed: options.seed,
        logs: options.logs.clone().unwrap_or(removed_later.path().to_owned()),
    };
    let results = plan.run(|line| eprintln!("{line}")).await?;
    println!("{results}");
    if let Some(path) = &options.out {
        super::write(path, &results.json())?;
    }
    if let Some(path) = &options.svg {
        super::write(path, &chart::draw(&results))?;
    }
    Ok(if results.lost.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
