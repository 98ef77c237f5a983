//! What one process is told at start.

use std::net::SocketAddr;
use std::path::PathBuf;

use bellwether_types::{ClusterId, NodeId};

use crate::lock::rules::Rules;
use crate::lock::secret::Secret;
use crate::lock::tls::{Tls, TlsError, TlsFiles};

/// One node's settings. Everything that is true of the whole cluster is replicated state instead.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cluster; a data directory of another one is refused.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// Everything durable is below it. Created when missing.
    pub data_dir: PathBuf,
    /// For PostgreSQL clients.
    pub listen_pg: SocketAddr,
    /// For health, metrics and status.
    pub listen_http: SocketAddr,
    /// For the other nodes.
    pub listen_peer: SocketAddr,
    /// All voters, this node among them.
    pub members: Vec<Member>,
    /// Clients beyond so many are refused with 53300.
    pub max_connections: usize,
    /// What the nodes prove to one another.
    pub secret: Secret,
    /// Who needs which proof at PostgreSQL's door.
    pub rules: Rules,
    /// `None`: where other machines can come, a certificate is made.
    pub tls: Option<TlsFiles>,
}

/// A node of the cluster and where it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Other machines can reach the address, and a rule lets them in without TLS or without a password.
    OpenToOthers {
        /// The address.
        address: SocketAddr,
        /// The rule's line.
        line: usize,
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
            InvalidConfig::OpenToOthers { address, line } => write!(
                f,
                "{address} is not a loopback address, and line {line} of the rules of --hba lets other machines in \
                 without TLS or without a password; write hostssl and scram-sha-256 there, or listen at 127.0.0.1"
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
        // The one place that decides what may listen where other machines can come. Status over HTTP and peers
        // need no rule: the one asks for a password over TLS there, the others for the secret inside TLS.
        if !self.listen_pg.ip().is_loopback()
            && let Some(line) = self.rules.open_to_others()
        {
            return Err(InvalidConfig::OpenToOthers {
                address: self.listen_pg,
                line,
            });
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

    /// The certificate: given, or made where other machines can come. On loopback there is nobody to hide from.
    pub(crate) fn open_tls(&self) -> Result<Option<Tls>, TlsError> {
        let addresses = [self.listen_pg, self.listen_http, self.listen_peer].map(|address| address.ip());
        let files = match &self.tls {
            Some(files) => files.clone(),
            None if addresses.iter().all(std::net::IpAddr::is_loopback) => return Ok(None),
            None => TlsFiles::made_in(&self.data_dir, &addresses)?,
        };
        Tls::open(files).map(Some)
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
