//! `bellwether-sim`: runs seeds, replays one, plants bugs.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bellwether_sim::bug::Bug;
use bellwether_sim::{Options, run};
use clap::Parser;

/// Runs simulated clusters from seeds. Exits with 1 when something that must hold did not.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How many seeds to run, one after the other.
    #[arg(long, default_value_t = 10, conflicts_with_all = ["seed", "minutes"])]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Runs this one only: the same each time.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs fresh seeds for so many minutes.
    #[arg(long, conflicts_with = "seed")]
    minutes: Option<u64>,
    /// Runs so many seeds at a time; the machine's cores unless told.
    #[arg(long)]
    jobs: Option<usize>,
    /// Prints every event.
    #[arg(long)]
    trace: bool,
    /// Plants a bug: the run should fail.
    #[arg(long, value_parser = parse_bug)]
    bug: Option<Bug>,
    /// Names the bugs that can be planted.
    #[arg(long)]
    list_bugs: bool,
    /// Leaves out the checker that compares each message with the sender's disk.
    #[arg(long)]
    without_promises: bool,
}

fn parse_bug(name: &str) -> Result<Bug, String> {
    Bug::of_name(name).ok_or_else(|| "no such bug; --list-bugs names them".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list_bugs {
        for bug in Bug::ALL {
            println!("{}", bug.name());
        }
        return ExitCode::SUCCESS;
    }
    let first = arguments.seed.unwrap_or(arguments.first);
    let last = match (arguments.seed, arguments.minutes) {
        (Some(seed), _) => seed,
        (None, Some(_)) => u64::MAX,
        (None, None) => first + arguments.seeds - 1,
    };
    let deadline = arguments
        .minutes
        .map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.unwrap_or(cores).clamp(1, 256);
    let (next, runs, failures) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while deadline.is_none_or(|deadline| Instant::now() < deadline) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > last {
                        break;
                    }
                    runs.fetch_add(1, Ordering::Relaxed);
                    if !run_one(&arguments, seed) {
                        failures.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (runs, failures) = (runs.into_inner(), failures.into_inner());
    println!(
        "{runs} seeds in {:.1} s, {failures} failed",
        began.elapsed().as_secs_f64()
    );
    if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whether all went well.
fn run_one(arguments: &Arguments, seed: u64) -> bool {
    let options = Options {
        bug: arguments.bug,
        trace: arguments.trace,
        promises: !arguments.without_promises,
        ..Options::new(seed)
    };
    let report = run(options);
    let mut text = report.to_string();
    let lack = report.counts.lack().filter(|_| report.violation.is_none());
    if let Some(lack) = &lack {
        text += &format!("\n  TOO LITTLE: {lack}");
    }
    let is_well = report.violation.is_none() && lack.is_none();
    if !is_well {
        let bug = arguments
            .bug
            .map_or(String::new(), |bug| format!(" --bug {}", bug.name()));
        text += &format!("\n  replay: bellwether-sim --seed {seed} --trace{bug}");
    }
    println!("{text}");
    is_well
}
