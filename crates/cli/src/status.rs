//! `bellwether status`: what every node says about itself, side by side, and whether it adds up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;

use bellwether_http::{DatabaseStatus, NodeStatus};
use bellwether_types::{Fingerprint, NodeId, Position};
use clap::Args;
use comfy_table::{Cell, CellAlignment};
use serde::Serialize;

use crate::ask::{NoStatus, ask_all};
use crate::failure::Failure;
use crate::layout::{MAX_NODES, node_address};
use crate::output::{end_with_the_reader, human_bytes, plain_table};

#[derive(Args)]
pub struct Options {
    /// HTTP port of node 1; node i is at this + i − 1
    #[arg(long, value_name = "PORT", default_value_t = 8008)]
    http_port: u16,
    /// How many nodes to ask at first; those that the cluster has besides are asked then
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_NODES)))]
    nodes: u16,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What one node answered.
#[derive(Serialize)]
struct Answer {
    node: u64,
    address: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<NodeStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Report {
    nodes: Vec<Answer>,
    /// What an operator should look at; empty when all is well.
    problems: Vec<String>,
}

/// Exit code 1 when the report has a problem.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    end_with_the_reader();
    let addresses = (1..=options.nodes)
        .map(|node| node_address("--http-port", options.http_port, node))
        .collect::<Result<Vec<_>, _>>()?;
    let report = Report::of(ask_members(&addresses));
    if options.json {
        let json = serde_json::to_string_pretty(&report).expect("these structures have only text keys");
        println!("{json}");
    } else {
        report.print();
    }
    Ok(if report.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// An address that was asked.
struct Asked {
    address: SocketAddr,
    /// Whose it is, as the others say.
    node: Option<NodeId>,
    answer: Result<NodeStatus, NoStatus>,
}

/// Asks these, and then all nodes of the cluster that they name. Once somebody names them, whoever is not among them and
/// does not answer is none of the cluster's.
fn ask_members(addresses: &[SocketAddr]) -> Vec<Asked> {
    let answers = ask_all(addresses);
    let named = answers.iter().flatten().flat_map(|status| &status.members);
    let named: BTreeMap<SocketAddr, NodeId> = named.map(|member| (member.http, member.node)).collect();
    let others: Vec<SocketAddr> = named
        .keys()
        .copied()
        .filter(|address| !addresses.contains(address))
        .collect();
    let asked = addresses.iter().copied().zip(answers);
    let asked = asked.chain(others.iter().copied().zip(ask_all(&others)));
    let mut asked: Vec<Asked> = asked
        .filter(|(address, answer)| answer.is_ok() || named.is_empty() || named.contains_key(address))
        .map(|(address, answer)| Asked {
            address,
            node: named.get(&address).copied(),
            answer,
        })
        .collect();
    asked.sort_by_key(|asked| asked.node);
    asked
}

impl Report {
    fn of(asked: Vec<Asked>) -> Report {
        let answer = |(at, asked): (usize, Asked)| {
            let Asked {
                address,
                node,
                answer,
            } = asked;
            let error = answer.as_ref().err().map(NoStatus::to_string);
            let status = answer.ok();
            let node = status.as_ref().map(|status| status.node).or(node);
            Answer {
                node: node.map_or(at as u64 + 1, |node| node.0),
                address,
                status,
                error,
            }
        };
        let nodes: Vec<Answer> = asked.into_iter().enumerate().map(answer).collect();
        let problems = problems(&nodes);
        Report { nodes, problems }
    }

    fn print(&self) {
        let mut table = plain_table([
            "node",
            "database",
            "role",
            "term",
            "position",
            "commit",
            "applied",
            "lag records",
            "lag bytes",
            "lag ms",
            "fingerprint",
            "state",
        ]);
        for answer in &self.nodes {
            match (&answer.status, &answer.error) {
                (Some(status), _) if status.databases.is_empty() => {
                    table.add_row(without_database(answer.node, "starting"));
                }
                (Some(status), _) => {
                    for database in &status.databases {
                        table.add_row(row(answer.node, database));
                    }
                }
                (None, error) => {
                    table.add_row(without_database(answer.node, error.as_deref().unwrap_or("down")));
                }
            }
        }
        for number in [3, 7, 8, 9] {
            if let Some(column) = table.column_mut(number) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!("{}", table.trim_fmt());
        for problem in &self.problems {
            println!("problem: {problem}");
        }
    }
}

fn row(node: u64, database: &DatabaseStatus) -> Vec<Cell> {
    let number = |known: Option<u64>| known.map_or("?".to_owned(), |number| number.to_string());
    let state = match (&database.problem, database.serving) {
        (Some(problem), _) => match &database.seeding {
            Some(seeding) => format!("{problem}, {} %", seeding.percent()),
            None => problem.clone(),
        },
        (None, true) => "serving".to_owned(),
        (None, false) => "not serving".to_owned(),
    };
    let texts = [
        node.to_string(),
        database.name.clone(),
        database.role.to_string(),
        database.term.to_string(),
        database.position.to_string(),
        database.commit.to_string(),
        database.applied.to_string(),
        number(database.lag_records),
        database.lag_bytes.map_or("?".to_owned(), human_bytes),
        number(database.lag_ms),
        short(database.fingerprint),
        state,
    ];
    texts.into_iter().map(Cell::new).collect()
}

fn without_database(node: u64, state: &str) -> Vec<Cell> {
    let mut cells = vec![Cell::new(node)];
    cells.extend((0..10).map(|_| Cell::new("-")));
    cells.push(Cell::new(state));
    cells
}

/// Enough of it to see a difference; `--json` has all of it.
fn short(fingerprint: Fingerprint) -> String {
    let mut text = fingerprint.to_string();
    text.truncate(12);
    text
}

fn problems(nodes: &[Answer]) -> Vec<String> {
    let mut problems = Vec::new();
    for answer in nodes {
        match (&answer.status, &answer.error) {
            (Some(status), _) => problems.extend(
                status
                    .not_serving_because()
                    .map(|reason| format!("node {} does not serve: {reason}", answer.node)),
            ),
            (None, error) => problems.push(format!(
                "node {}: {}",
                answer.node,
                error.as_deref().unwrap_or("down")
            )),
        }
    }
    let statuses: Vec<&NodeStatus> = nodes.iter().filter_map(|answer| answer.status.as_ref()).collect();
    problems.extend(diverged(&statuses));
    let lost = statuses.iter().map(|status| status.lost_writes).max();
    if let Some(lost @ 1..) = lost {
        problems.push(format!(
            "answered transactions were lost: {lost}; see SELECT * FROM bellwether.lost_writes"
        ));
    }
    problems
}

/// Replicas of one database that hold the same position but not the same content.
fn diverged(statuses: &[&NodeStatus]) -> Vec<String> {
    let mut seen: BTreeMap<(&str, Position), (NodeId, Fingerprint)> = BTreeMap::new();
    let mut problems = Vec::new();
    for status in statuses {
        for database in &status.databases {
            let mine = (status.node, database.fingerprint);
            let (node, fingerprint) = *seen.entry((&database.name, database.applied)).or_insert(mine);
            if fingerprint != database.fingerprint {
                problems.push(format!(
                    "nodes {node} and {} differ in database {:?} at the same position {}",
                    status.node, database.name, database.applied
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use bellwether_http::Role;
    use bellwether_types::{LogIndex, Term};

    use super::*;

    fn node(number: u64, applied: u64, fingerprint: u128) -> Result<NodeStatus, NoStatus> {
        Ok(NodeStatus {
            node: NodeId(number),
            version: String::new(),
            cluster: String::new(),
            uptime_ms: 0,
            databases: vec![DatabaseStatus {
                name: "postgres".to_owned(),
                role: Role::Follower,
                term: Term(1),
                leader: Some(NodeId(1)),
                position: Position::new(1, 9),
                commit: Position::new(1, 9),
                applied: Position::new(1, applied),
                lag_records: None,
                lag_bytes: None,
                lag_ms: None,
                fingerprint: Fingerprint(fingerprint),
                log_first: LogIndex(1),
                log_bytes: 0,
                serving: true,
                problem: None,
                seeding: None,
            }],
            lost_writes: 0,
            members: Vec::new(),
        })
    }

    fn problems_of(answers: Vec<Result<NodeStatus, NoStatus>>) -> Vec<String> {
        let asked = answers.into_iter().enumerate().map(|(at, answer)| Asked {
            address: SocketAddr::from(([127, 0, 0, 1], at as u16 + 1)),
            node: None,
            answer,
        });
        Report::of(asked.collect()).problems
    }

    #[test]
    fn replicas_may_differ_while_their_positions_do() {
        assert!(problems_of(vec![node(1, 9, 7), node(2, 8, 6), node(3, 9, 7)]).is_empty());
    }

    #[test]
    fn equal_positions_with_different_fingerprints_are_a_problem() {
        let problems = problems_of(vec![node(1, 9, 7), node(2, 9, 6)]);
        assert_eq!(
            problems,
            ["nodes 1 and 2 differ in database \"postgres\" at the same position 1000/00000009"]
        );
    }

    #[test]
    fn a_node_that_is_down_is_a_problem() {
        let down = Err(NoStatus::Unreachable(
            std::io::ErrorKind::ConnectionRefused.into(),
        ));
        assert_eq!(problems_of(vec![node(1, 9, 7), down]), ["node 2: down"]);
    }
}
