//! What the program does, one file for each command.
//!
//! Exit codes: 0 done; 1 it could not be done, or something is wrong with the database; 2 the command line is not
//! valid.

pub mod check;
pub mod failover;
pub mod load;
pub mod run;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Break real clusters, record what their clients were told, and judge it
#[derive(Debug, Parser)]
#[command(
    name = "bellwether-chaos",
    version,
    disable_help_subcommand = true,
    max_term_width = 110
)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Break a cluster for each workload, and judge what its clients were told
    Run(run::Options),
    /// Measure how long writes wait when the leader is lost
    Failover(failover::Options),
    /// Load a cluster that nothing is wrong with, and see whether its leader stays
    Load(load::Options),
    /// Judge histories that were written before
    Check(check::Options),
}

/// Runs one command to its end.
pub fn run(line: CommandLine) -> Result<ExitCode, Failure> {
    match line.command {
        Command::Run(options) => drive(run::run(&options)),
        Command::Failover(options) => drive(failover::run(&options)),
        Command::Load(options) => drive(load::run(&options)),
        Command::Check(options) => check::run(&options),
    }
}

/// To its end, or to SIGINT or SIGTERM: then nodes are killed and their data is removed, as at the end.
fn drive(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime =
        Runtime::new().map_err(|error| Failure::new("the runtime could not be started").because(error))?;
    let outcome = runtime.block_on(async {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::new("signals cannot be received").because(error));
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut terminate = listen(SignalKind::terminate())?;
        tokio::select! {
            outcome = command => outcome,
            _ = interrupt.recv() => Err(Failure::new("interrupted")),
            _ = terminate.recv() => Err(Failure::new("terminated")),
        }
    });
    // A client may still wait for an answer; nothing depends on it.
    runtime.shutdown_background();
    outcome
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::new(format!("{} cannot be written", path.display())).because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        CommandLine::command().debug_assert();
    }
}
