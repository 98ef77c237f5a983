//! A node that goes on alone: when the majority of a cluster is gone for good, or the one voter of an asynchronous one.
//!
//! Offline, in the data directory of a node that does not run: its operator stands in for the quorum. Every group's log
//! gets a record of the next term that makes this node the only voter, and all that is in the log counts as committed;
//! all other nodes count as removed, and hear so when they come back. What the others had and this one does not have is
//! lost to the cluster; a node that joins in the place of one of them tells of it (`crate::salvage`).
//!
//! Promises: done halfway, it can be done again; what a node had answered at `on` is in its own log, so all of that is
//! there which any majority needed this node for. Not promised: that the others are really gone. A majority that goes on
//! elsewhere is another cluster from then on.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwether_session::Settings;
use bellwether_types::{Configuration, NodeId, Position, Statement, Value};
use serde::{Deserialize, Serialize};

use crate::DATABASES;
use crate::identity::{DataDir, Identity, IdentityError};
use crate::members::{Member, Members, Standing, write_members};
use crate::node::Node;
use crate::replica::{OnDisk, StartError, unix_ms};
use crate::system;

/// Between attempts to write it down, while this node does not lead yet.
const PAUSE: Duration = Duration::from_millis(50);

/// What the log was that the cluster goes on with: tells which entries of another log are in it, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Branch {
    /// Up to this index nobody looks: it was cut, and SQLite has it.
    pub base: u64,
    /// The last entry, of whatever term.
    pub last: u64,
    /// Where each term begins: index and term, ascending.
    pub terms: Vec<(u64, u64)>,
}

impl Branch {
    /// Whether the entry of another log of the same group is in this one. Of what was cut before, all is taken to be.
    pub fn contains(&self, position: Position) -> bool {
        let index = position.index.0;
        let of_term = self.terms.iter().rev().find(|(from, _)| *from <= index);
        index <= self.base
            || (index <= self.last && of_term.is_some_and(|(_, term)| *term == position.term.0))
    }
}

/// Written down where the cluster goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Who goes on.
    node: u64,
    /// When, in milliseconds since 1970.
    time_ms: u64,
    /// Of each database, by name.
    pub branches: BTreeMap<String, Branch>,
}

/// What goes on of one database.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its name.
    pub database: &'static str,
    /// The last entry of the log here.
    pub last: Position,
    /// When the last record here was made, in milliseconds since 1970, by its leader's clock; 0: there is none.
    pub time_ms: u64,
    /// The group until now.
    pub group: Configuration,
}

/// Why a node cannot go on alone.
#[derive(Debug)]
pub enum PromotionError {
    /// The data directory cannot be used.
    DataDir(IdentityError),
    /// It is of no node.
    Empty,
    /// A replica cannot be opened.
    Replica {
        /// Its database.
        database: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// It could not be written down.
    Unwritten(String),
}

impl fmt::Display for PromotionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PromotionError::DataDir(error) => write!(f, "{error}"),
            PromotionError::Empty => f.write_str("the data directory is of no node"),
            PromotionError::Replica { database, reason } => {
                write!(f, "the replica of database {database} cannot be opened: {reason}")
            }
            PromotionError::Unwritten(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for PromotionError {}

/// A node that does not run, looked at; nothing is changed before [`Promotion::carry_out`].
pub struct Promotion {
    data_dir: DataDir,
    identity: Identity,
    members: Members,
    replicas: Vec<(&'static str, OnDisk)>,
}

impl Promotion {
    /// Opens what is in the directory, repairs it as a start does, and keeps others out.
    pub fn prepare(path: &Path) -> Result<Promotion, PromotionError> {
        let data_dir = DataDir::take(path).map_err(PromotionError::DataDir)?;
        let identity = data_dir.identity(None).map_err(PromotionError::DataDir)?;
        let identity = identity.ok_or(PromotionError::Empty)?;
        let members = data_dir.members().map_err(PromotionError::DataDir)?;
        let mut replicas = Vec::new();
        for (database, name) in DATABASES {
            let opened = OnDisk::open(&identity, database, path);
            let opened = opened.map_err(|error: StartError| PromotionError::Replica {
                database: name,
                reason: error.to_string(),
            })?;
            replicas.push((name, opened));
        }
        Ok(Promotion {
            data_dir,
            identity,
            members,
            replicas,
        })
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.identity.node
    }

    /// The other nodes, as far as it knows.
    pub fn others(&self) -> Vec<Member> {
        let others = self.members.present();
        others
            .filter(|member| member.node != self.identity.node)
            .copied()
            .collect()
    }

    /// What it goes on with.
    pub fn kept(&self) -> Result<Vec<Kept>, PromotionError> {
        let kept = self.replicas.iter().map(|(database, on_disk)| {
            let last = on_disk
                .last_record()
                .map_err(|reason| PromotionError::Replica { database, reason })?;
            Ok(Kept {
                database,
                last: on_disk.last(),
                time_ms: last.unix_ms(),
                group: on_disk.group(&self.identity),
            })
        });
        kept.collect()
    }

    /// Durable when it returns: at its next start this node leads everything, alone.
    pub fn carry_out(mut self) -> Result<(), PromotionError> {
        let unwritten = |what: &dyn fmt::Display| PromotionError::Unwritten(what.to_string());
        let branches = self
            .replicas
            .iter()
            .map(|(name, on_disk)| ((*name).to_owned(), on_disk.branch()));
        let record = Record {
            node: self.identity.node.0,
            time_ms: unix_ms(),
            branches: branches.collect(),
        };
        // First of all, so that nobody from before is let in whatever happens next.
        let json = serde_json::to_string(&record).map_err(|error| unwritten(&error))?;
        let written = self.data_dir.write_promotion(&json);
        written.map_err(|error| unwritten(&error))?;
        let standing = |member: &Member| Member {
            standing: match member.node == self.identity.node {
                true => Standing::Voter,
                false => Standing::Removed,
            },
            ..*member
        };
        let members: Members = self.members.all().map(standing).collect();
        let written = self.data_dir.write_members(&write_members(&members));
        written.map_err(|error| unwritten(&error))?;
        for (database, on_disk) in &mut self.replicas {
            let done = on_disk.go_on_alone(self.identity.node);
            done.map_err(|reason| PromotionError::Replica { database, reason })?;
        }
        Ok(())
    }
}

/// Writes down, in the system database, what was done before this start; until then the list of nodes is the file's.
pub(crate) async fn settle(node: Arc<Node>) {
    let Some(json) = node.promotion.clone() else {
        return;
    };
    let settings = Settings::new(node.identity.cluster, "");
    let me = Value::Integer(node.identity.node.0.cast_signed());
    while !node.stop.is_asked() {
        if node.system().reign.borrow().leading {
            let statements = vec![
                Statement::bound(
                    "INSERT INTO promotions (record) SELECT $1 WHERE $1 NOT IN (SELECT record FROM promotions)",
                    vec![Value::Text(json.clone())],
                ),
                Statement::bound(
                    "UPDATE nodes SET standing = CASE id WHEN $1 THEN 'voter' ELSE 'removed' END",
                    vec![me.clone()],
                ),
            ];
            match system::change(&node, statements, &settings).await {
                Ok(()) => break,
                Err(error) => tracing::warn!(%error, "the promotion is not written down yet"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    let forgotten = tokio::task::block_in_place(|| node.data_dir.forget_promotion());
    if let Err(error) = forgotten {
        tracing::warn!(%error, "the promotion is written down once more at the next start");
    }
    node.members.unfreeze();
    tracing::info!("this node goes on alone: all others are removed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_tells_its_own_entries_from_others() {
        let branch = Branch {
            base: 10,
            last: 20,
            terms: vec![(11, 2), (15, 4)],
        };
        let at = |term, index| branch.contains(Position::new(term, index));
        assert!(at(1, 10) && at(2, 11) && at(2, 14) && at(4, 15) && at(4, 20));
        assert!(!at(3, 14), "another leader's");
        assert!(!at(2, 15), "went on in its term");
        assert!(!at(4, 21) && !at(9, 21), "beyond its end");
    }
}
