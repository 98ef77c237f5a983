//! The `bellwether` program: parses the command line, runs one command, turns its outcome into an exit code.
//!
//! Exit codes: 0 done; 1 the command failed or found something wrong; 2 the command line is not valid.

mod ask;
mod failure;
mod layout;
mod member;
mod output;
mod serve;
mod sql;
mod status;
mod up;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// A replicated SQL database: SQLite on every node, PostgreSQL's protocol in front, a replication log between.
#[derive(Parser)]
#[command(
    name = "bellwether",
    version,
    disable_help_subcommand = true,
    max_term_width = 110
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster on this machine, each node its own process; Ctrl-C stops it
    Up(up::Options),
    /// Run one node
    Serve(serve::Options),
    /// Ask every node for its role, positions and fingerprint
    Status(status::Options),
    /// Open an SQL shell
    Sql(sql::Options),
}

fn main() -> ExitCode {
    match run(CommandLine::parse().command) {
        Ok(code) => code,
        Err(failure) => {
            // A full disk behind stderr is no reason to panic.
            let _ = writeln!(std::io::stderr(), "{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Up(options) => up::run(options),
        Command::Serve(options) => serve::run(options),
        Command::Status(options) => status::run(&options),
        Command::Sql(options) => sql::run(&options),
    }
}
