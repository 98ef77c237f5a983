//! Patroni's two descriptions, in Patroni's words: `/patroni` of one node, `/cluster` of all.

use bellwether_types::NodeId;
use serde::Serialize;

use crate::status::{DatabaseStatus, NodeStatus, Role};

/// A member of the cluster, as the node that answers found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Which.
    pub node: NodeId,
    /// Where PostgreSQL's clients find it.
    pub pg_host: String,
    /// The same: the port.
    pub pg_port: u16,
    /// Host and port for health, metrics and status.
    pub http: String,
    /// What it says about itself; `None`: it did not answer in time.
    pub status: Option<NodeStatus>,
}

/// The version of PostgreSQL that clients are told, as `server_version_num`.
const SERVER_VERSION: u32 = 150_000;

#[derive(Serialize)]
pub(crate) struct NodeView<'a> {
    state: &'static str,
    role: &'static str,
    server_version: u32,
    timeline: Option<u64>,
    xlog: Xlog,
    database_system_identifier: &'a str,
    patroni: Program<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Positions as one number, as `Position::to_lsn` makes them: they grow, and are equal where content is.
#[derive(Serialize)]
struct Xlog {
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_location: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_location: Option<u64>,
}

#[derive(Serialize)]
struct Program<'a> {
    version: &'a str,
    scope: &'a str,
    name: String,
}

impl NodeView<'_> {
    pub fn of<'a>(status: &'a NodeStatus, database: Option<&DatabaseStatus>) -> NodeView<'a> {
        let leads = database.is_some_and(|database| database.role == Role::Leader);
        let lsn =
            |leading: bool, of: fn(&DatabaseStatus) -> u64| database.filter(|_| leads == leading).map(of);
        NodeView {
            state: state(database),
            role: if leads { "primary" } else { "replica" },
            server_version: SERVER_VERSION,
            timeline: database.map(|database| database.term.0),
            xlog: Xlog {
                location: lsn(true, |database| database.commit.to_lsn()),
                received_location: lsn(false, |database| database.position.to_lsn()),
                replayed_location: lsn(false, |database| database.applied.to_lsn()),
            },
            database_system_identifier: &status.cluster,
            patroni: Program {
                version: &status.version,
                scope: &status.cluster,
                name: name(status.node),
            },
            reason: status.not_serving_because(),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct ClusterView<'a> {
    members: Vec<Listed>,
    scope: &'a str,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    role: &'static str,
    state: &'static str,
    api_url: String,
    host: String,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<u64>,
    /// Of replicas, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<Lag>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Lag {
    Bytes(u64),
    Unknown(&'static str),
}

impl ClusterView<'_> {
    /// Of one database.
    pub fn of<'a>(cluster: &'a str, members: &[MemberView], database: &str) -> ClusterView<'a> {
        let listed = members.iter().map(|member| {
            let database = member
                .status
                .as_ref()
                .and_then(|status| status.database(database));
            let leads = database.is_some_and(|database| database.role == Role::Leader);
            let lag = database.and_then(|database| database.lag_bytes);
            Listed {
                name: name(member.node),
                role: match database.map(|database| database.role) {
                    Some(Role::Leader) => "leader",
                    // Any majority of the voters makes a commit.
                    Some(Role::Follower | Role::Candidate) => "quorum_standby",
                    Some(Role::Learner) | None => "replica",
                },
                state: match &member.status {
                    Some(_) if leads => "running",
                    Some(_) if database.is_some_and(|database| database.serving) => "streaming",
                    Some(_) => state(database),
                    None => "unreachable",
                },
                api_url: format!("http://{}/patroni", member.http),
                host: member.pg_host.clone(),
                port: member.pg_port,
                timeline: database.map(|database| database.term.0),
                lag: (!leads).then(|| lag.map_or(Lag::Unknown("unknown"), Lag::Bytes)),
            }
        });
        ClusterView {
            members: listed.collect(),
            scope: cluster,
        }
    }
}

fn state(database: Option<&DatabaseStatus>) -> &'static str {
    match database {
        Some(database) if database.serving => "running",
        _ => "starting",
    }
}

fn name(node: NodeId) -> String {
    format!("node{}", node.0)
}
