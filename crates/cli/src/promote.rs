//! `bellwether promote`: a stopped node goes on alone, when those that it needs are gone for good.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use bellwether_server::{Kept, Member, Promotion, PromotionError};
use bellwether_types::NodeId;
use clap::Args;
use serde::Serialize;

use crate::ask::ask_all;
use crate::failure::Failure;
use crate::output::{end_with_the_reader, plain_table};

#[derive(Args)]
pub struct Options {
    /// The data directory of the node, which must not run
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Do it without a question
    #[arg(long)]
    yes: bool,
    /// Also when a node answers that has a leader: then there are two clusters
    #[arg(long)]
    force: bool,
    /// Print JSON instead of a table
    #[arg(long, requires = "yes")]
    json: bool,
}

/// What is printed of a database.
#[derive(Serialize)]
struct Line {
    database: &'static str,
    position: String,
    /// Since 1970; `None`: nothing was ever written.
    last_write_ms: Option<u64>,
    voters: Vec<u64>,
    learners: Vec<u64>,
}

#[derive(Serialize)]
struct Report {
    node: u64,
    databases: Vec<Line>,
    removed: Vec<u64>,
}

pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    end_with_the_reader();
    let failed = |error: PromotionError| Failure::new("this node cannot go on alone").because(error);
    let promotion = Promotion::prepare(&options.data_dir).map_err(failed)?;
    let others = promotion.others();
    if !options.force {
        check_others(&others)?;
    }
    let kept = promotion.kept().map_err(failed)?;
    let report = Report {
        node: promotion.node().0,
        databases: kept.iter().map(line).collect(),
        removed: others.iter().map(|member| member.node.0).collect(),
    };
    if !options.json {
        print(&report);
    }
    if !options.yes && !is_wanted()? {
        println!("nothing is changed");
        return Ok(ExitCode::FAILURE);
    }
    let node = promotion.node();
    promotion.carry_out().map_err(|error| {
        failed(error).hint("what was done of it does no harm: run it again when the reason is gone")
    })?;
    if options.json {
        let json = serde_json::to_string_pretty(&report).expect("these structures have only text keys");
        println!("{json}");
    } else {
        println!(
            "node {node} goes on alone: start it. Others join with empty directories (\"bellwether serve --join\"),"
        );
        println!("with --salvage DIR in the place of one that comes back: it tells what that one alone had.");
    }
    Ok(ExitCode::SUCCESS)
}

/// A cluster that has a leader needs no promotion.
fn check_others(others: &[Member]) -> Result<(), Failure> {
    let addresses: Vec<_> = others.iter().map(|member| member.addresses.http).collect();
    for (member, answer) in others.iter().zip(ask_all(&addresses)) {
        let Ok(status) = answer else { continue };
        let leader = status.databases.iter().find_map(|database| database.leader);
        if let Some(leader) = leader {
            return Err(Failure::new("the cluster has a leader")
                .because(format!("node {} answers, and node {leader} leads", member.node))
                .hint("start this node; let it lead with \"bellwether switchover\", or vote with \"bellwether node promote\""));
        }
    }
    Ok(())
}

fn line(kept: &Kept) -> Line {
    let numbers = |nodes: &std::collections::BTreeSet<NodeId>| nodes.iter().map(|node| node.0).collect();
    Line {
        database: kept.database,
        position: kept.last.to_string(),
        last_write_ms: (kept.time_ms > 0).then_some(kept.time_ms),
        voters: numbers(&kept.group.voters),
        learners: numbers(&kept.group.learners),
    }
}

fn print(report: &Report) {
    let mut table = plain_table(["database", "position", "last write", "voters", "learners"]);
    let list = |nodes: &[u64]| {
        let nodes: Vec<String> = nodes.iter().map(u64::to_string).collect();
        nodes.join(" ")
    };
    for line in &report.databases {
        table.add_row([
            line.database.to_owned(),
            line.position.clone(),
            line.last_write_ms.map_or_else(|| "never".to_owned(), ago),
            list(&line.voters),
            list(&line.learners),
        ]);
    }
    println!("{}", table.trim_fmt());
    println!();
    println!(
        "Node {} would go on with this, and be the only voter.",
        report.node
    );
    match report.removed.is_empty() {
        true => println!("It knows of no other node: it goes on alone already."),
        false => println!(
            "For ever removed: {}. What they answered and this node does not have is lost to the cluster:\n\
             at worst everything after the times above.",
            list(&report.removed)
        ),
    }
    println!("What this node has and no majority had counts as committed.");
}

/// How long before now, by this machine's clock.
fn ago(time_ms: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = (now.as_millis() as u64).saturating_sub(time_ms) / 1_000;
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

fn is_wanted() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("nobody is there to ask").hint("say --yes"));
    }
    print!("Type \"promote\" to go on: ");
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.map_err(|error| Failure::new("no answer could be read").because(error))?;
    Ok(answer.trim() == "promote")
}
