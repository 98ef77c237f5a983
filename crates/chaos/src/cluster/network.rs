//! The wires between nodes: a link for each ordered pair, so that bytes from any node to any other can be cut.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use crate::link::{Flow, Link};

/// Nodes are numbered from 1.
pub type Node = u64;

/// Links by who dials and who is dialled.
#[derive(Debug)]
pub struct Network {
    links: BTreeMap<(Node, Node), Link>,
}

impl Network {
    /// Between all nodes, of which the n-th listens at the n-th address.
    pub async fn open(peers: &[SocketAddr]) -> io::Result<Network> {
        let mut links = BTreeMap::new();
        for (from, _) in (1..).zip(peers) {
            for (to, address) in (1..).zip(peers) {
                if from != to {
                    links.insert((from, to), Link::open(*address).await?);
                }
            }
        }
        Ok(Network { links })
    }

    /// Where a node finds another.
    pub fn address(&self, from: Node, to: Node) -> SocketAddr {
        self.links[&(from, to)].address()
    }

    /// What becomes of everything that `from` sends to `to`, whoever dialled.
    pub fn set(&self, from: Node, to: Node, flow: Flow) {
        self.links[&(from, to)].set_forth(flow);
        self.links[&(to, from)].set_back(flow);
    }

    /// Both ways between each of these and each of those.
    pub fn part(&self, these: &[Node], those: &[Node], flow: Flow) {
        for &this in these {
            for &that in those {
                self.set(this, that, flow);
                self.set(that, this, flow);
            }
        }
    }

    /// Everything flows.
    pub fn heal(&self) {
        for link in self.links.values() {
            link.set_forth(Flow::Open);
            link.set_back(Flow::Open);
        }
    }
}
