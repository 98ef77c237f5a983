//! What nodes say of themselves while they work.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::cluster::{Cluster, Node, Replica};

/// Between two looks: several in the shortest reign that there can be.
const PERIOD: Duration = Duration::from_millis(100);

/// A node said that another leads than at first, or in a later term.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Seconds since the load began.
    pub at_seconds: f64,
    /// Of which database: that of roles and settings is one, too.
    pub database: String,
    /// Who said so.
    pub node: Node,
    /// Who leads, if anybody.
    pub leader: Option<Node>,
    /// The term.
    pub term: u64,
}

/// How far behind a node was at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// Records.
    pub records: u64,
    /// For how long it had missed the oldest of them.
    pub ms: u64,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Watch {
    began: Instant,
    /// Of each database: who leads, in which term; at first, or since the last change.
    reigns: BTreeMap<String, (Node, u64)>,
    /// Who knows no leader at present.
    in_doubt: BTreeSet<(Node, String)>,
    pub changes: Vec<Change>,
    /// Times that a node knew no leader although there was one: it had not heard of it for half a second.
    pub doubts: u64,
    pub behind: BTreeMap<Node, Behind>,
    /// Looks that a node did not answer in time.
    pub silences: u64,
}

impl Watch {
    pub fn new(began: Instant) -> Watch {
        Watch {
            began,
            reigns: BTreeMap::new(),
            in_doubt: BTreeSet::new(),
            changes: Vec::new(),
            doubts: 0,
            behind: BTreeMap::new(),
            silences: 0,
        }
    }

    pub async fn until(&mut self, ends: Instant, cluster: &Cluster, say: &impl Fn(&str)) {
        let mut due = interval(PERIOD);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < ends {
            due.tick().await;
            for node in cluster.all() {
                self.look(node, cluster, say).await;
            }
        }
    }

    async fn look(&mut self, node: Node, cluster: &Cluster, say: &impl Fn(&str)) {
        let Some(replicas) = cluster.databases(node).await else {
            self.silences += 1;
            return;
        };
        for replica in replicas {
            self.note(node, replica, say);
        }
    }

    fn note(&mut self, node: Node, replica: Replica, say: &impl Fn(&str)) {
        let behind = self.behind.entry(node).or_default();
        behind.records = behind.records.max(replica.lag_records.unwrap_or(0));
        behind.ms = behind.ms.max(replica.lag_ms.unwrap_or(0));
        let (database, term) = (replica.name, replica.term);
        let in_doubt = (node, database.clone());
        match replica.leader {
            None => self.doubts += u64::from(self.in_doubt.insert(in_doubt)),
            Some(_) => drop(self.in_doubt.remove(&in_doubt)),
        }
        let known = self.reigns.get(&database).copied();
        let is_other = known.is_some_and(|(leader, known)| {
            term > known || (term == known && replica.leader.is_some_and(|other| other != leader))
        });
        if let Some(leader) = replica.leader.filter(|_| is_other || known.is_none()) {
            self.reigns.insert(database.clone(), (leader, term));
        }
        if is_other {
            let change = Change {
                at_seconds: self.began.elapsed().as_secs_f64(),
                database,
                node,
                leader: replica.leader,
                term,
            };
            say(&format!("the leader has changed: {change:?}"));
            self.changes.push(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(name: &str, term: u64, leader: Option<Node>) -> Replica {
        let json = serde_json::json!({
            "name": name, "role": "follower", "term": term, "leader": leader,
            "applied": "0/0", "fingerprint": "", "serving": true,
        });
        serde_json::from_value(json).expect("a replica")
    }

    #[test]
    fn who_forgets_a_leader_for_a_moment_has_no_other() {
        let mut watch = Watch::new(Instant::now());
        for leader in [Some(1), None, None, Some(1), None] {
            watch.note(2, replica("postgres", 1, leader), &|_| {});
        }
        assert_eq!((watch.changes.len(), watch.doubts), (0, 2));
    }

    #[test]
    fn each_change_is_told_of_whichever_database_it_is() {
        let mut watch = Watch::new(Instant::now());
        for (name, term, leader) in [
            ("postgres", 1, Some(1)),
            ("bellwether", 1, Some(3)),
            ("bellwether", 2, None),
            ("bellwether", 2, Some(3)),
            ("bellwether", 2, Some(3)),
            ("postgres", 1, Some(2)),
        ] {
            watch.note(2, replica(name, term, leader), &|_| {});
        }
        let told: Vec<&str> = watch
            .changes
            .iter()
            .map(|change| change.database.as_str())
            .collect();
        assert_eq!(told, ["bellwether", "bellwether", "postgres"]);
    }
}
