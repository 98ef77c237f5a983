//! The `bellwether` program: parses the command line, runs one command, turns its outcome into an exit code.
//!
//! Exit codes: 0 done; 1 the command failed or found something wrong; 2 the command line is not valid.

mod ask;
mod bar;
mod failure;
mod layout;
mod node;
mod output;
mod promote;
mod serve;
mod sql;
mod status;
mod up;
mod verify;

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
    Serve(Box<serve::Options>),
    /// Ask every node for its role, positions and fingerprint
    Status(status::Options),
    /// List the cluster's nodes, or change who is in it
    Node(node::Options),
    /// Let another node lead; clients notice no more than a pause
    Switchover(node::Switchover),
    /// Let a stopped node go on alone, when those that it needs are gone for good
    Promote(promote::Options),
    /// Look for damage in what every node has, and compare the nodes
    Verify(verify::Options),
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
        Command::Serve(options) => serve::run(*options),
        Command::Status(options) => status::run(&options),
        Command::Node(options) => node::run(&options),
        Command::Switchover(options) => node::switch_over(&options),
        Command::Promote(options) => promote::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::Sql(options) => sql::run(&options),
    }
}
