//! `bellwether node`: who is in the cluster, and changes of that.

use std::net::SocketAddr;
use std::process::ExitCode;

use bellwether_http::{DatabaseStatus, MemberStatus, NodeStatus, Role};
use clap::{Args, Subcommand};
use comfy_table::CellAlignment;
use serde::Serialize;

use crate::ask::{NoStatus, ask, ask_all};
use crate::failure::Failure;
use crate::output::{end_with_the_reader, plain_table};
use crate::sql::{self, Target};

#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the nodes, what each is, and how far behind
    List(List),
    /// Take a node out of the cluster for good, dead or alive
    Remove(Change),
    /// Give a learner a vote
    Promote(Change),
    /// Take a node's vote; it goes on as a learner, which gets everything and answers reads
    Demote(Change),
}

#[derive(Args)]
struct List {
    /// HTTP address of any node
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8008")]
    http: SocketAddr,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Change {
    /// The node's number
    #[arg(id = "which", value_name = "NODE", value_parser = clap::value_parser!(u64).range(1..))]
    node: u64,
    #[command(flatten)]
    door: sql::Door,
}

/// `bellwether switchover`: another node leads, while clients wait a moment.
#[derive(Args)]
pub struct Switchover {
    /// Who is to lead; it must have a vote and miss next to nothing [default: whoever misses least]
    #[arg(long, value_name = "NODE", value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
    #[command(flatten)]
    door: sql::Door,
}

/// The node says who leads then.
pub fn switch_over(options: &Switchover) -> Result<ExitCode, Failure> {
    end_with_the_reader();
    let to = options.to.map_or_else(String::new, |to| to.to_string());
    let target = options.door.target("bellwether switchover")?;
    sql::execute(target, &format!("CALL bellwether.switchover({to})"))?;
    Ok(ExitCode::SUCCESS)
}

pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    end_with_the_reader();
    match &options.command {
        Command::List(options) => list(options),
        Command::Remove(change) => call("remove_node", change, "is removed"),
        Command::Promote(change) => call("promote_node", change, "votes"),
        Command::Demote(change) => call("demote_node", change, "has no vote any more"),
    }
}

/// Waits until the groups are so; whoever interrupts that does not undo it.
fn call(procedure: &str, change: &Change, done: &str) -> Result<ExitCode, Failure> {
    let target: Target = change.door.target("bellwether node")?;
    sql::execute(target, &format!("CALL bellwether.{procedure}({})", change.node))?;
    println!("node {} {done}", change.node);
    Ok(ExitCode::SUCCESS)
}

/// A member, and what it says of itself.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    member: MemberStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<NodeStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn list(options: &List) -> Result<ExitCode, Failure> {
    let first = ask(options.http).map_err(|error| {
        Failure::new(format!("no list of nodes from {}", options.http))
            .because(error)
            .hint("name the HTTP address of a node that runs with --http")
    })?;
    let addresses: Vec<SocketAddr> = first.members.iter().map(|member| member.http).collect();
    let lines = first.members.into_iter().zip(ask_all(&addresses));
    let lines: Vec<Line> = lines.map(line).collect();
    if options.json {
        let json = serde_json::to_string_pretty(&lines).expect("these structures have only text keys");
        println!("{json}");
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = plain_table([
        "node",
        "wanted",
        "is",
        "leads",
        "lag records",
        "lag ms",
        "psql",
        "http",
        "peers",
    ]);
    for line in &lines {
        table.add_row(cells(line));
    }
    for number in [4, 5] {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{}", table.trim_fmt());
    Ok(ExitCode::SUCCESS)
}

fn line((member, answer): (MemberStatus, Result<NodeStatus, NoStatus>)) -> Line {
    let error = answer.as_ref().err().map(NoStatus::to_string);
    Line {
        member,
        status: answer.ok(),
        error,
    }
}

fn cells(line: &Line) -> [String; 9] {
    let databases: &[DatabaseStatus] = line.status.as_ref().map_or(&[], |status| &status.databases);
    let is = match databases {
        [] => line.error.clone().unwrap_or_else(|| "starting".to_owned()),
        databases if databases.iter().any(|database| !database.serving) => {
            let mut seeding = databases.iter().filter_map(|database| database.seeding);
            match seeding.next() {
                Some(seeding) => format!("seeding {} %", seeding.percent()),
                None => "catching up".to_owned(),
            }
        }
        databases if databases.iter().any(|database| database.role == Role::Learner) => "learner".to_owned(),
        _ => "voter".to_owned(),
    };
    let leads = databases.iter().filter(|database| database.role == Role::Leader);
    let leads: Vec<&str> = leads.map(|database| database.name.as_str()).collect();
    let worst = |lag: fn(&DatabaseStatus) -> Option<u64>| {
        let worst = databases.iter().map(lag).max().flatten();
        worst.map_or_else(|| "?".to_owned(), |worst| worst.to_string())
    };
    [
        line.member.node.to_string(),
        line.member.standing.clone(),
        is,
        leads.join(", "),
        worst(|database| database.lag_records),
        worst(|database| database.lag_ms),
        line.member.pg.to_string(),
        line.member.http.to_string(),
        line.member.peer.to_string(),
    ]
}
