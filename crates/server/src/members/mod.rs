//! Who is in the cluster: where each node is, what it is wanted to be, how one joins, and how groups become as wanted.
//!
//! The list is the table `nodes` of the system database. Every node keeps a copy of it in a file of its own, to find the
//! others at its next start ([`book`]). Whoever leads a group takes the steps from the group as it is to the group as the
//! list wants it ([`keeper`]). A node that joins asks any other for a number ([`join`]).

mod book;
mod join;
mod keeper;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use bellwether_types::NodeId;

pub(crate) use book::{MemberBook, Members, follow, parse_members, removed, write_members};
pub(crate) use join::{Ticket, ask_to_join, serve_join, tell_moved};
pub(crate) use keeper::keep;

/// Where a node is for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// For the other nodes.
    pub peer: SocketAddr,
    /// For PostgreSQL clients.
    pub pg: SocketAddr,
    /// For health, metrics and status.
    pub http: SocketAddr,
}

/// What a node is wanted to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It elects and commits.
    Voter,
    /// It gets everything and has no say.
    Learner,
    /// It was in the cluster; its number is not given again.
    Removed,
}

/// A node of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub node: NodeId,
    /// Where it is.
    pub addresses: Addresses,
    /// What it is wanted to be.
    pub standing: Standing,
}

impl Standing {
    const ALL: [Standing; 3] = [Standing::Voter, Standing::Learner, Standing::Removed];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Voter => "voter",
            Standing::Learner => "learner",
            Standing::Removed => "removed",
        }
    }
}

impl FromStr for Standing {
    type Err = InvalidMember;

    fn from_str(text: &str) -> Result<Standing, InvalidMember> {
        let mut all = Standing::ALL.into_iter();
        all.find(|standing| standing.name() == text).ok_or(InvalidMember)
    }
}

/// The text is no [`Member`] or no [`Addresses`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidMember;

impl fmt::Display for InvalidMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected NODE=PEER,PG,HTTP[,learner] as in 1=127.0.0.1:7433,127.0.0.1:5433,127.0.0.1:8008, NODE from 1",
        )
    }
}

impl std::error::Error for InvalidMember {}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.peer, self.pg, self.http)
    }
}

impl FromStr for Addresses {
    type Err = InvalidMember;

    fn from_str(text: &str) -> Result<Addresses, InvalidMember> {
        let addresses: Vec<SocketAddr> = text
            .split(',')
            .map(|address| address.parse().map_err(|_| InvalidMember))
            .collect::<Result<_, _>>()?;
        match addresses[..] {
            [peer, pg, http] => Ok(Addresses { peer, pg, http }),
            _ => Err(InvalidMember),
        }
    }
}

/// `NODE=PEER,PG,HTTP`, and what it is unless it votes.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.node, self.addresses)?;
        match self.standing {
            Standing::Voter => Ok(()),
            other => write!(f, ",{}", other.name()),
        }
    }
}

impl FromStr for Member {
    type Err = InvalidMember;

    fn from_str(text: &str) -> Result<Member, InvalidMember> {
        let (node, rest) = text.split_once('=').ok_or(InvalidMember)?;
        let node = node.parse().ok().filter(|node| *node > 0).ok_or(InvalidMember)?;
        let (addresses, standing) = match rest.rsplit_once(',') {
            Some((addresses, standing)) if standing.parse::<SocketAddr>().is_err() => {
                (addresses, standing.parse()?)
            }
            _ => (rest, Standing::Voter),
        };
        Ok(Member {
            node: NodeId(node),
            addresses: addresses.parse()?,
            standing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_written_as_it_is_read() {
        for text in [
            "1=127.0.0.1:7433,127.0.0.1:5433,127.0.0.1:8008",
            "12=[::1]:7433,[::1]:5433,[::1]:8008,learner",
            "3=10.0.0.1:1,10.0.0.1:2,10.0.0.1:3,removed",
        ] {
            assert_eq!(text.parse::<Member>().expect("a member").to_string(), text);
        }
    }

    #[test]
    fn what_is_no_member_is_refused() {
        for text in [
            "",
            "1",
            "0=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3",
            "x=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3",
            "1=127.0.0.1:1,127.0.0.1:2",
            "1=127.0.0.1:1,127.0.0.1:2,localhost:3",
            "1=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3,127.0.0.1:4",
            "1=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3,boss",
        ] {
            assert_eq!(text.parse::<Member>(), Err(InvalidMember), "{text}");
        }
    }
}
