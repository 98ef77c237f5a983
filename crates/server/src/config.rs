//! What one process is told at start.

use std::net::SocketAddr;
use std::path::PathBuf;

use bellwether_types::{ClusterId, NodeId};

/// One node's settings. Everything that is true of the whole cluster is replicated state instead.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cluster; a data directory of another one is refused.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// Everything durable is below it. Created when missing.
    pub data_dir: PathBuf,
    /// For PostgreSQL clients. Loopback only, until passwords and TLS exist.
    pub listen_pg: SocketAddr,
    /// For health, metrics and status. Loopback only.
    pub listen_http: SocketAddr,
    /// For the other nodes. Loopback only.
    pub listen_peer: SocketAddr,
    /// All voters, this node among them.
    pub members: Vec<Member>,
    /// Clients beyond so many are refused with 53300.
    pub max_connections: usize,
}

/// A node of the cluster and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub node: NodeId,
    /// For the other nodes.
    pub peer: SocketAddr,
    /// For PostgreSQL clients.
    pub pg: SocketAddr,
    /// For health, metrics and status.
    pub http: SocketAddr,
}

/// PostgreSQL's own default.
pub const MAX_CONNECTIONS: usize = 100;

/// Why a configuration cannot be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidConfig {
    /// Nothing is encrypted and nobody is asked for a password yet.
    BeyondLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The node is not among the members.
    NotAMember {
        /// The node.
        node: NodeId,
    },
    /// Node ids start at 1 and are distinct.
    BadMembers,
}

impl std::fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            InvalidConfig::BeyondLoopback { address } => write!(
                f,
                "{address} is not a loopback address: passwords and TLS do not exist yet, so nothing may listen \
                 where other machines can reach it; use 127.0.0.1"
            ),
            InvalidConfig::NotAMember { node } => {
                write!(
                    f,
                    "node {node} is not among the members: name it with --member as well"
                )
            }
            InvalidConfig::BadMembers => write!(f, "member ids must be distinct numbers from 1"),
        }
    }
}

impl Config {
    /// Checks what can be checked without touching anything.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        for address in [self.listen_pg, self.listen_http, self.listen_peer] {
            if !address.ip().is_loopback() {
                return Err(InvalidConfig::BeyondLoopback { address });
            }
        }
        let mut ids: Vec<NodeId> = self.members.iter().map(|member| member.node).collect();
        ids.sort();
        ids.dedup();
        if ids.len() != self.members.len() || ids.first() == Some(&NodeId(0)) {
            return Err(InvalidConfig::BadMembers);
        }
        if !ids.contains(&self.node) {
            return Err(InvalidConfig::NotAMember { node: self.node });
        }
        Ok(())
    }

    /// Where a member listens.
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.node == node)
    }

    /// All voters.
    pub fn voters(&self) -> Vec<NodeId> {
        let mut voters: Vec<NodeId> = self.members.iter().map(|member| member.node).collect();
        voters.sort();
        voters
    }
}
