//! `bellwether-chaos check`: judges history files.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::run::judged;
use crate::failure::Failure;
use crate::report::Report;

/// Options of `check`.
#[derive(Debug, Args)]
pub struct Options {
    /// Histories: docs/histories.md has their format
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the verdicts as JSON
    #[arg(long)]
    json: bool,
}

/// Judges all files; exit code 1 when one of them shows a violation.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let mut report = Report::default();
    for path in &options.files {
        report.add(judged(path)?);
    }
    if options.json {
        println!("{}", report.json());
    } else {
        println!("{report}");
    }
    Ok(report.exit_code())
}
