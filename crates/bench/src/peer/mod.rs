//! What is measured side by side.

pub mod bellwether;
pub mod sqlite;

use clap::ValueEnum;

use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::pgbench::Load;
use bellwether::Bellwether;
use sqlite::Sqlite;

/// A kind of peer, as the command line has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A cluster
    Bellwether,
    /// SQLite within this process
    Sqlite,
}

/// A database that runs workloads. It holds the tables of one run.
pub enum Peer {
    /// A cluster, or any server that speaks PostgreSQL's protocol.
    Bellwether(Bellwether),
    /// SQLite within this process.
    Sqlite(Sqlite),
}

impl Peer {
    /// Its name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Peer::Bellwether(_) => "bellwether",
            Peer::Sqlite(_) => "sqlite",
        }
    }

    /// What it is, for the record.
    pub fn description(&self) -> String {
        match self {
            Peer::Bellwether(peer) => peer.description(),
            Peer::Sqlite(peer) => peer.description(),
        }
    }

    /// How many replicas can be asked; the first is number zero.
    pub fn replicas(&self) -> usize {
        match self {
            Peer::Bellwether(peer) => peer.replicas(),
            Peer::Sqlite(_) => 1,
        }
    }

    /// The replica that has everything that was acknowledged.
    pub async fn leader(&mut self) -> Result<usize, Failure> {
        match self {
            Peer::Bellwether(peer) => peer.leader().await,
            Peer::Sqlite(_) => Ok(0),
        }
    }

    /// Runs statements that give no rows, each a transaction of its own.
    pub async fn execute(&mut self, statements: &[&str]) -> Result<(), Failure> {
        match self {
            Peer::Bellwether(peer) => peer.execute(statements).await,
            Peer::Sqlite(peer) => peer.execute(statements),
        }
    }

    /// The number that a query gives at a replica.
    pub async fn number(&mut self, replica: usize, sql: &str) -> Result<i64, Failure> {
        match self {
            Peer::Bellwether(peer) => peer.number(replica, sql).await,
            Peer::Sqlite(peer) => peer.number(sql),
        }
    }

    /// Runs a load to its end.
    pub async fn run(&mut self, load: &Load) -> Result<Outcome, Failure> {
        match self {
            Peer::Bellwether(peer) => peer.run(load).await,
            Peer::Sqlite(peer) => peer.run(load).await,
        }
    }
}
