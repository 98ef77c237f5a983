//! What one process is told at start.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bellwether_types::{ClusterId, NodeId};

use crate::lock::rules::Rules;
use crate::lock::secret::Secret;
use crate::lock::tls::{Tls, TlsError, TlsFiles};
use crate::members::{Addresses, Member, Standing};
use crate::replica::Watcher;

/// One node's settings. Everything that is true of the whole cluster is replicated state instead.
#[derive(Debug, Clone)]
pub struct Config {
    /// How it came into its cluster.
    pub origin: Origin,
    /// Everything durable is below it. Created when missing.
    pub data_dir: PathBuf,
    /// The old data directory of a node that this one replaces after a promotion: what it alone had is told of.
    pub salvage: Option<PathBuf>,
    /// For PostgreSQL clients.
    pub listen_pg: SocketAddr,
    /// For health, metrics and status.
    pub listen_http: SocketAddr,
    /// For the other nodes.
    pub listen_peer: SocketAddr,
    /// Where others reach it, if that is elsewhere than where it listens.
    pub advertise: Option<Addresses>,
    /// Nodes that are reached here elsewhere than they say: through a tunnel, in another network.
    pub via: BTreeMap<NodeId, SocketAddr>,
    /// Clients beyond so many are refused with 53300.
    pub max_connections: usize,
    /// What the nodes prove to one another.
    pub secret: Secret,
    /// Who needs which proof at PostgreSQL's door.
    pub rules: Rules,
    /// `None`: where other machines can come, a certificate is made.
    pub tls: Option<TlsFiles>,
    /// Each database's log keeps so much for nodes that were away; those that were away for longer get an image.
    pub log_keep_bytes: u64,
    /// And no longer than so long; `None`: however old. Of the process's life.
    pub log_keep_for: Option<Duration>,
    /// Told of images of databases that arrive, instead of the log.
    pub watcher: Option<Watcher>,
}

/// How a node comes into its cluster. A data directory that is a member's already stays that member's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is one of those that found it.
    Founder {
        /// The cluster, drawn at random.
        cluster: ClusterId,
        /// This node.
        node: NodeId,
        /// All that found it, this one among them.
        founders: Vec<Member>,
    },
    /// It joins by asking any node of it.
    Joiner {
        /// That node's address for peers.
        address: SocketAddr,
        /// Whether it is never to vote.
        is_learner: bool,
    },
    /// The data directory knows.
    Member,
}

/// Of [`Config::log_keep_bytes`].
pub const LOG_KEEP_BYTES: u64 = 1 << 30;

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
    /// Node ids start at 1 and are distinct, and one of the founders votes.
    BadMembers,
    /// It listens at every address of the machine: no other node can be told where.
    NowhereToBeFound {
        /// The address.
        address: SocketAddr,
    },
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
            InvalidConfig::BadMembers => {
                write!(
                    f,
                    "members must have distinct numbers from 1, and one of them must vote"
                )
            }
            InvalidConfig::NowhereToBeFound { address } => write!(
                f,
                "{address} is every address of this machine, of which the other nodes need one: name it with --advertise"
            ),
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
        if let Origin::Founder { node, founders, .. } = &self.origin {
            let ids: BTreeSet<NodeId> = founders.iter().map(|founder| founder.node).collect();
            let votes = |founder: &Member| founder.standing == Standing::Voter;
            if ids.len() != founders.len()
                || ids.contains(&NodeId(0))
                || !founders.iter().any(votes)
                || founders
                    .iter()
                    .any(|founder| founder.standing == Standing::Removed)
            {
                return Err(InvalidConfig::BadMembers);
            }
            if !ids.contains(node) {
                return Err(InvalidConfig::NotAMember { node: *node });
            }
        }
        let Addresses { peer, pg, http } = self.addresses();
        let nowhere = [peer, pg, http]
            .into_iter()
            .find(|address| address.ip().is_unspecified());
        match nowhere {
            Some(address) => Err(InvalidConfig::NowhereToBeFound { address }),
            None => Ok(()),
        }
    }

    /// Where others reach this node.
    pub(crate) fn addresses(&self) -> Addresses {
        let own = match &self.origin {
            Origin::Founder { node, founders, .. } => founders.iter().find(|founder| founder.node == *node),
            Origin::Joiner { .. } | Origin::Member => None,
        };
        let listening = Addresses {
            peer: self.listen_peer,
            pg: self.listen_pg,
            http: self.listen_http,
        };
        self.advertise
            .or(own.map(|own| own.addresses))
            .unwrap_or(listening)
    }

    /// Where the other nodes are, as it was said at this start.
    pub(crate) fn hints(&self) -> BTreeMap<NodeId, SocketAddr> {
        match &self.origin {
            Origin::Founder { founders, .. } => founders
                .iter()
                .map(|founder| (founder.node, founder.addresses.peer))
                .collect(),
            Origin::Joiner { .. } | Origin::Member => BTreeMap::new(),
        }
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
}
