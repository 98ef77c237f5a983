//! The program `bellwether-chaos`: parses the command line, runs one command, turns its outcome into an exit code.

use std::process::ExitCode;

use bellwether_chaos::command::{CommandLine, run};
use clap::Parser;

fn main() -> ExitCode {
    run(CommandLine::parse()).unwrap_or_else(|failure| {
        eprintln!("{failure}");
        ExitCode::FAILURE
    })
}
