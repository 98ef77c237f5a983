//! What is measured side by side.

pub mod postgres;
pub mod served;
pub mod sqlite;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::pgbench::Load;
use served::Served;
use sqlite::Sqlite;

/// A kind of peer, as the command line has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A cluster
    Bellwether,
    /// PostgreSQL with as many servers, whose COMMIT waits for any one standby
    Postgres,
    /// A cluster of one node
    OneNode,
    /// SQLite within this process, `synchronous=FULL`
    Sqlite,
}

impl Kind {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bellwether => "bellwether",
            Kind::Postgres => "postgres",
            Kind::OneNode => "one-node",
            Kind::Sqlite => "sqlite",
        }
    }
}

/// A database that runs workloads. It holds the tables of one run.
pub enum Peer {
    /// Servers that speak PostgreSQL's protocol.
    Served(Box<Served>),
    /// SQLite within this process.
    Sqlite(Sqlite),
}

impl Peer {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Peer::Served(peer) => peer.kind(),
            Peer::Sqlite(_) => Kind::Sqlite,
        }
    }

    /// What exactly it is, for the record.
    pub fn description(&self) -> String {
        match self {
            Peer::Served(peer) => peer.description(),
            Peer::Sqlite(peer) => peer.description(),
        }
    }

    /// How many replicas can be asked; the first is number zero.
    pub fn replicas(&self) -> usize {
        match self {
            Peer::Served(peer) => peer.replicas(),
            Peer::Sqlite(_) => 1,
        }
    }

    /// The processes that work for it and nobody else; empty when they are not known or there are none.
    pub fn processes(&self) -> Vec<u32> {
        match self {
            Peer::Served(peer) => peer.processes(),
            Peer::Sqlite(_) => Vec::new(),
        }
    }

    /// The replica that has everything that was acknowledged.
    pub async fn leader(&mut self) -> Result<usize, Failure> {
        match self {
            Peer::Served(peer) => peer.leader().await,
            Peer::Sqlite(_) => Ok(0),
        }
    }

    /// Makes and fills the tables of all workloads.
    pub async fn make_tables(&mut self) -> Result<(), Failure> {
        match self {
            Peer::Served(peer) => peer.make_tables().await,
            Peer::Sqlite(peer) => peer.make_tables(),
        }
    }

    /// The number that a query gives at a replica.
    pub async fn number(&mut self, replica: usize, sql: &str) -> Result<i64, Failure> {
        match self {
            Peer::Served(peer) => peer.number(replica, sql).await,
            Peer::Sqlite(peer) => peer.number(sql),
        }
    }

    /// Runs a load to its end.
    pub async fn run(&mut self, load: &Load) -> Result<Outcome, Failure> {
        match self {
            Peer::Served(peer) => peer.run(load).await,
            Peer::Sqlite(peer) => peer.run(load).await,
        }
    }
}
