//! A node's number and addresses as one argument: `NODE=PEER,PG,HTTP`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use bellwether_types::NodeId;

/// A node of the cluster and where it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// From 1.
    pub node: NodeId,
    /// For other nodes.
    pub peer: SocketAddr,
    /// For PostgreSQL clients.
    pub pg: SocketAddr,
    /// For health, metrics and status.
    pub http: SocketAddr,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={},{},{}", self.node, self.peer, self.pg, self.http)
    }
}

/// The text is not `NODE=PEER,PG,HTTP`.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidMember;

impl fmt::Display for InvalidMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected NODE=PEER,PG,HTTP as in 1=127.0.0.1:7433,127.0.0.1:5433,127.0.0.1:8008, NODE from 1",
        )
    }
}

impl std::error::Error for InvalidMember {}

impl FromStr for Member {
    type Err = InvalidMember;

    fn from_str(text: &str) -> Result<Member, InvalidMember> {
        let (node, addresses) = text.split_once('=').ok_or(InvalidMember)?;
        let node = node.parse().ok().filter(|node| *node > 0).ok_or(InvalidMember)?;
        let mut addresses = addresses
            .split(',')
            .map(|address| address.parse().map_err(|_| InvalidMember));
        let mut next = || addresses.next().unwrap_or(Err(InvalidMember));
        let member = Member {
            node: NodeId(node),
            peer: next()?,
            pg: next()?,
            http: next()?,
        };
        if addresses.next().is_some() {
            return Err(InvalidMember);
        }
        Ok(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_reads_back_as_it_prints() {
        let text = "2=127.0.0.1:7434,127.0.0.1:5434,[::1]:8009";
        assert_eq!(text.parse::<Member>().expect("valid").to_string(), text);
    }

    #[test]
    fn what_is_no_member_is_refused() {
        for text in [
            "",
            "1",
            "0=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3",
            "1=127.0.0.1:1,127.0.0.1:2",
            "1=a,b,c",
        ] {
            assert_eq!(text.parse::<Member>(), Err(InvalidMember), "{text:?}");
        }
        assert!(
            "1=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3,127.0.0.1:4"
                .parse::<Member>()
                .is_err()
        );
    }
}
