//! What nodes say of themselves while they work.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::cluster::{Cluster, Node};

/// Between two looks: several in the shortest reign that there can be.
const PERIOD: Duration = Duration::from_millis(100);

/// Somebody else leads than before, or again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Change {
    /// Seconds since the load began.
    pub at_seconds: f64,
    /// Who said so.
    pub node: Node,
    /// Who leads; `None`: nobody.
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
    first: Option<(Option<Node>, u64)>,
    last: BTreeMap<Node, (Option<Node>, u64)>,
    pub changes: Vec<Change>,
    pub behind: BTreeMap<Node, Behind>,
    /// Looks that a node did not answer in time.
    pub silences: u64,
}

impl Watch {
    pub fn new(began: Instant) -> Watch {
        Watch {
            began,
            first: None,
            last: BTreeMap::new(),
            changes: Vec::new(),
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
        let Some(replica) = cluster.replica(node).await else {
            self.silences += 1;
            return;
        };
        let now = (replica.leader, replica.term);
        let first = *self.first.get_or_insert(now);
        if self.last.insert(node, now).unwrap_or(first) != now {
            let change = Change {
                at_seconds: self.began.elapsed().as_secs_f64(),
                node,
                leader: now.0,
                term: now.1,
            };
            say(&format!("the leader has changed: {change:?}"));
            self.changes.push(change);
        }
        let behind = self.behind.entry(node).or_default();
        behind.records = behind.records.max(replica.lag_records.unwrap_or(0));
        behind.ms = behind.ms.max(replica.lag_ms.unwrap_or(0));
    }
}
