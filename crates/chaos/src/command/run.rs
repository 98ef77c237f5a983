//! `bellwether-chaos run`: breaks a fresh cluster for each workload, and judges what its clients were told.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::checker::judge;
use crate::cluster::{Cluster, default_program};
use crate::failure::Failure;
use crate::history::{Workload, file};
use crate::nemesis::{Fault, Faults};
use crate::report::{Judged, Report};
use crate::run::{LogFormat, Plan, Reads, Transactions, history_in};

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Options {
    /// What clients do, each at a cluster of its own [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,…")]
    workload: Vec<Workload>,
    /// What is broken: names of faults (docs/chaos.md), kinds of them (kill, pause, partition), all, or none
    #[arg(long, value_name = "FAULT,…", default_value = "kill,pause,partition")]
    nemesis: Faults,
    /// How long clients work, in each workload
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// All chance is drawn from it; what the machine does meanwhile is not
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where histories and the nodes' logs are kept, in a directory for each workload
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// How many clients at each node
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    clients: u16,
    /// How many operations all clients together begin in a second, at most
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// How long a fault lasts in the mean, and how long nothing is broken then
    #[arg(long, value_name = "MS", default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(50..=600_000))]
    fault_ms: u64,
    /// What reads promise
    #[arg(long, value_enum, default_value_t = Reads::Mixed)]
    reads: Reads,
    /// How transactions are executed
    #[arg(long, value_enum, default_value_t = Transactions::Mixed)]
    transactions: Transactions,
    /// In what the log is written
    #[arg(long, value_enum, default_value_t = LogFormat::Row)]
    log_format: LogFormat,
    /// The program to run as nodes [default: bellwether, beside this one]
    #[arg(long, value_name = "PATH")]
    bellwether: Option<PathBuf>,
}

impl Options {
    fn plans(&self) -> Result<Vec<Plan>, Failure> {
        let program = self.bellwether.clone().map_or_else(default_program, Ok)?;
        let faults = self.faults();
        let all = Workload::value_variants();
        let workloads = if self.workload.is_empty() {
            all
        } else {
            &self.workload
        };
        let plan = |&workload: &Workload| Plan {
            workload,
            seed: self.seed,
            nodes: self.nodes,
            clients_per_node: self.clients,
            duration: Duration::from_secs(self.seconds),
            operations_per_second: self.rate,
            faults: faults.clone(),
            fault_duration: Duration::from_millis(self.fault_ms),
            reads: self.reads,
            transactions: self.transactions,
            log_format: self.log_format,
            program: program.clone(),
        };
        Ok(workloads.iter().map(plan).collect())
    }

    /// Without those that cannot be struck here, each of which is told.
    fn faults(&self) -> Vec<Fault> {
        let can_fill_disks = self.nemesis.0.contains(&Fault::FillDisk) && Cluster::can_fill_disks();
        let mut faults = self.nemesis.0.clone();
        faults.retain(|fault| {
            let reason = fault.impossible_because(self.nodes, can_fill_disks);
            if let Some(reason) = reason {
                eprintln!("{} is left out: {reason}", fault.name());
            }
            reason.is_none()
        });
        faults
    }
}

/// Runs and judges one workload after the other. Exit code 1 when one of them shows a violation or did not end well.
pub async fn run(options: &Options) -> Result<ExitCode, Failure> {
    let mut report = Report::default();
    let mut all_ended_well = true;
    for plan in options.plans()? {
        let dir = options.out.join(format!("{}-{}", plan.workload, plan.seed));
        std::fs::create_dir_all(&dir)
            .map_err(|error| Failure::new(format!("{} cannot be made", dir.display())).because(error))?;
        let path = history_in(&dir);
        // That of an earlier run must not be taken for this one's.
        std::fs::remove_file(&path).ok();
        let ended = plan
            .run(&dir, |line| eprintln!("{}: {line}", plan.workload))
            .await;
        if let Err(failure) = &ended {
            eprintln!("{}: {failure}", plan.workload);
            all_ended_well = false;
        }
        if path.is_file() {
            report.add(judged(&path)?);
        }
    }
    if !report.is_empty() {
        println!("{report}");
    }
    Ok(if all_ended_well {
        report.exit_code()
    } else {
        ExitCode::FAILURE
    })
}

/// From the file: what is judged is what others can judge.
pub(super) fn judged(path: &Path) -> Result<Judged, Failure> {
    let failure = || Failure::new(format!("{} cannot be judged", path.display()));
    let history = file::read(path).map_err(|error| failure().because(error))?;
    let verdict = judge(&history).map_err(|error| failure().because(error))?;
    Ok(Judged::new(path, &history, verdict))
}
