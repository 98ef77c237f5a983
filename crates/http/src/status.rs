//! What a node says about itself: the JSON of `GET /status`.
//!
//! A reader ignores keys that it does not know, so a newer node may say more.

use core::net::SocketAddr;

use std::fmt;

use bellwether_types::{Fingerprint, LogIndex, NodeId, Position, Term};
use serde::{Deserialize, Serialize};

use crate::json;

/// A node and its replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Which node answers.
    #[serde(with = "json::node")]
    pub node: NodeId,
    /// The version of its program.
    pub version: String,
    /// The cluster that it belongs to, 32 hexadecimal digits; empty while it is not known yet.
    pub cluster: String,
    /// Since the process started.
    pub uptime_ms: u64,
    /// One for each database that it holds a replica of, by name.
    pub databases: Vec<DatabaseStatus>,
    /// Transactions in the ledger of lost writes, as it knows.
    #[serde(default)]
    pub lost_writes: u64,
    /// The nodes of the cluster, as far as it knows, this one among them.
    pub members: Vec<MemberStatus>,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Which.
    #[serde(with = "json::node")]
    pub node: NodeId,
    /// What it is wanted to be: `voter` or `learner`.
    pub standing: String,
    /// Where it is for the other nodes.
    pub peer: SocketAddr,
    /// For PostgreSQL clients.
    pub pg: SocketAddr,
    /// For health, metrics and status.
    pub http: SocketAddr,
}

/// A replica of one database, as its own node sees it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseStatus {
    /// The database's name.
    pub name: String,
    /// What this replica is in its group.
    pub role: Role,
    /// The latest term that it has seen.
    #[serde(with = "json::term")]
    pub term: Term,
    /// Whom it takes for the leader of `term`; `None` while it knows of none.
    #[serde(with = "json::maybe_node")]
    pub leader: Option<NodeId>,
    /// The last entry of its log, committed or not.
    #[serde(with = "json::position")]
    pub position: Position,
    /// The last entry that it knows to be committed.
    #[serde(with = "json::position")]
    pub commit: Position,
    /// The last record that its SQLite file holds.
    #[serde(with = "json::position")]
    pub applied: Position,
    /// Committed records that it has still to apply, by the leader's last heartbeat. `None`: unknown, as without a
    /// leader; never "0 because idle".
    pub lag_records: Option<u64>,
    /// The same in bytes of log, if these records are of the mean size of those in its log.
    pub lag_bytes: Option<u64>,
    /// Everything that was committed so many milliseconds ago is in its content: the time since it last heard of its
    /// leader with nothing missing.
    pub lag_ms: Option<u64>,
    /// Of the content at `applied`: equal positions have equal fingerprints.
    #[serde(with = "json::fingerprint")]
    pub fingerprint: Fingerprint,
    /// The oldest entry that its log still holds.
    #[serde(with = "json::log_index")]
    pub log_first: LogIndex,
    /// The size of its log on disk.
    pub log_bytes: u64,
    /// Whether it answers clients' reads.
    pub serving: bool,
    /// Why not, or what else an operator should look at. One line.
    pub problem: Option<String>,
    /// While it gets an image of the database: how much of it is here. `None` also before the image begins.
    #[serde(default)]
    pub seeding: Option<SeedingStatus>,
}

/// How much of an image is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedingStatus {
    /// What is here, also from attempts before.
    pub received_bytes: u64,
    /// The image's length.
    pub total_bytes: u64,
}

/// What a replica is in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes writes.
    Leader,
    /// Votes, and applies what the leader sends.
    Follower,
    /// Applies, but does not vote.
    Learner,
    /// Has missed its leader and asks to be elected.
    Candidate,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Leader => "leader",
            Role::Follower => "follower",
            Role::Learner => "learner",
            Role::Candidate => "candidate",
        })
    }
}

impl SeedingStatus {
    /// From 0 to 100; 100 only when all is here.
    pub fn percent(&self) -> u64 {
        let hundredfold = u128::from(self.received_bytes) * 100;
        hundredfold
            .checked_div(u128::from(self.total_bytes))
            .map_or(100, |percent| percent as u64)
    }
}

impl NodeStatus {
    /// The replica of the database of that name.
    pub fn database(&self, name: &str) -> Option<&DatabaseStatus> {
        self.databases.iter().find(|database| database.name == name)
    }

    /// Why this node should get no clients; `None` when every replica serves.
    pub fn not_serving_because(&self) -> Option<String> {
        if self.databases.is_empty() {
            return Some("starting: no database is open yet".to_owned());
        }
        self.databases
            .iter()
            .find_map(DatabaseStatus::not_serving_because)
    }
}

impl DatabaseStatus {
    /// Why this replica does not serve; `None` when it does.
    pub fn not_serving_because(&self) -> Option<String> {
        if self.serving {
            return None;
        }
        let problem = self
            .problem
            .as_deref()
            .unwrap_or("the replica does not serve yet");
        Some(format!("database {:?}: {problem}", self.name))
    }
}
