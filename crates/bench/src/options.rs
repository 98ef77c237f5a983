//! The command line, and the plan that it stands for.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::goals::GOALS;
use crate::measure::{Case, Plan};
use crate::peer::Kind;
use crate::pg::Address;
use crate::pgbench::Protocol;
use crate::workload::Workload;

/// Run pgbench scripts against Bellwether and its peers in turns, and print rates, latencies, costs and ratios
#[derive(Debug, Parser)]
#[command(name = "bellwether-bench", version, args_conflicts_with_subcommands = true)]
pub struct Options {
    /// Something else than to measure.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to run [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,…")]
    pub workloads: Vec<Workload>,
    /// Numbers of clients [default: 32, and 1 too where that says something else]
    #[arg(long, value_delimiter = ',', value_name = "N,…",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub clients: Vec<u32>,
    /// What to measure, in turns [default: bellwether and postgres, and the others where a goal names them]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PEER,…")]
    pub peers: Vec<Kind>,
    /// How pgbench sends statements, its -M
    #[arg(long, short = 'M', value_enum, default_value_t = Protocol::Prepared)]
    pub protocol: Protocol,
    /// How long each round is [default: 5]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: Option<u32>,
    /// How long the round before the first is, which is not measured; 0 for none [default: 3]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(0..=3_600))]
    warm_up: Option<u32>,
    /// How often the peers take turns [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// One round of one second and nothing else: to see that it runs. Its figures mean nothing
    #[arg(long)]
    pub quick: bool,
    /// How many nodes to start, and as many servers of PostgreSQL
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub nodes: u16,
    /// The program to start them with [default: bellwether, beside this one]
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Use nodes that run instead; tables named bench_* and pgbench_* are dropped there and left behind
    #[arg(long, value_delimiter = ',', value_name = "HOST:PORT,…", conflicts_with_all = ["binary", "nodes"])]
    pub connect: Vec<Address>,
    /// Those nodes' HTTP addresses in the same order, for what they count
    #[arg(long, value_delimiter = ',', value_name = "IP:PORT,…", requires = "connect")]
    pub http: Vec<SocketAddr>,
    /// Where data directories are made and removed; the disk that is measured [default: the system's for temporary files]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Write the results as JSON to this file, too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the results to the source tree, as crates/bench/results/YYYY-MM-DD-NAME.json
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub save: Option<String>,
}

/// What else there is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write saved results into docs/performance.md, with its plots
    Document {
        /// A file of crates/bench/results [default: the newest]
        file: Option<PathBuf>,
    },
    #[command(name = "formats")]
    Formats(crate::formats::Options),
}

fn parse_name(text: &str) -> Result<String, &'static str> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if text.is_empty() || !text.chars().all(plain) {
        return Err("expected letters, digits, - _ and .");
    }
    Ok(text.to_owned())
}

impl Options {
    /// What to measure. System calls are counted where that is possible.
    pub fn plan(&self, syscalls_are_counted: bool) -> Plan {
        let (rounds, seconds, warm_up) = if self.quick { (1, 1, 0) } else { (5, 5, 3) };
        Plan {
            cases: self.cases(),
            rounds: self.rounds.unwrap_or(rounds),
            seconds: self.seconds.unwrap_or(seconds),
            warm_up_seconds: self.warm_up.unwrap_or(warm_up),
            counting_seconds: if syscalls_are_counted && !self.quick { 2 } else { 0 },
        }
    }

    fn cases(&self) -> Vec<Case> {
        let all = Workload::value_variants();
        let workloads = if self.workloads.is_empty() {
            all
        } else {
            &self.workloads
        };
        let mut cases = Vec::new();
        for workload in workloads {
            let usual = workload.usual_clients();
            let clients = if self.clients.is_empty() {
                usual
            } else {
                &self.clients
            };
            for clients in clients {
                cases.push(Case {
                    workload: *workload,
                    clients: *clients,
                    peers: self.entrants(*workload, *clients),
                });
            }
        }
        cases
    }

    /// Who takes part in a case: those who were named, or those whose figures say something.
    fn entrants(&self, workload: Workload, clients: u32) -> Vec<Kind> {
        if !self.peers.is_empty() {
            return self.peers.clone();
        }
        let is_goal = |peer: Kind| {
            GOALS
                .iter()
                .any(|goal| (goal.workload, goal.clients) == (workload, clients) && goal.names(peer))
        };
        let always = [Kind::Bellwether, Kind::Postgres];
        let kinds = Kind::value_variants().iter().copied();
        kinds
            .filter(|kind| always.contains(kind) || is_goal(*kind))
            .collect()
    }

    /// The peers that the plan needs, each once.
    pub fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.cases().into_iter().flat_map(|case| case.peers).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Options {
        Options::try_parse_from(["bellwether-bench"].iter().chain(arguments)).expect("valid")
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn without_arguments_every_workload_runs_and_every_goal_is_measured() {
        let plan = options(&[]).plan(true);
        for workload in Workload::value_variants() {
            assert!(plan.cases.iter().any(|case| case.workload == *workload));
        }
        for goal in GOALS {
            let case = plan
                .cases
                .iter()
                .find(|case| (case.workload, case.clients) == (goal.workload, goal.clients));
            let peers = &case.expect("it runs").peers;
            assert!(
                peers.contains(&goal.peer) && peers.contains(&goal.against),
                "{goal}"
            );
        }
        assert!(plan.rounds >= 5 && plan.warm_up_seconds > 0 && plan.counting_seconds > 0);
    }

    #[test]
    fn a_quick_run_is_one_round_unless_more_is_asked_for() {
        let plan = options(&["--quick", "--seconds", "2"]).plan(true);
        assert_eq!((plan.rounds, plan.seconds, plan.warm_up_seconds), (1, 2, 0));
        assert_eq!(plan.counting_seconds, 0);
    }

    #[test]
    fn lists_are_taken_apart_at_commas() {
        let options = options(&[
            "--workloads",
            "upsert,tpcb",
            "--clients",
            "4,2",
            "--connect",
            "a:1,b:2",
        ]);
        let cases: Vec<_> = options
            .plan(false)
            .cases
            .iter()
            .map(|case| (case.workload, case.clients))
            .collect();
        let expected = [
            (Workload::Upsert, 4),
            (Workload::Upsert, 2),
            (Workload::Tpcb, 4),
            (Workload::Tpcb, 2),
        ];
        assert_eq!(cases, expected);
        assert_eq!(options.connect.len(), 2);
        Options::try_parse_from(["x", "--connect", "a:1", "--nodes", "3"]).expect_err("either or");
    }

    #[test]
    fn peers_that_are_named_run_everything_and_no_other_is_started() {
        let options = options(&["--peers", "sqlite,bellwether"]);
        assert_eq!(options.kinds(), [Kind::Bellwether, Kind::Sqlite]);
        assert!(options.plan(false).cases.iter().all(|case| case.peers.len() == 2));
    }

    #[test]
    fn a_results_name_cannot_lead_elsewhere() {
        assert!(parse_name("laptop-2.1").is_ok());
        for name in ["", "../x", "a b"] {
            parse_name(name).expect_err(name);
        }
    }
}
