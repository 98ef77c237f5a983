//! What this node tells of a database's replication.

use std::time::{Duration, Instant};

use bellwether_node::{Progress, Replica, Role, Sending, Standby};
use bellwether_types::replication::{StandbyFacts, UpstreamFacts};
use bellwether_types::{NodeId, Position, ReplicationFacts};
use tokio::sync::oneshot;

use super::standby_lag::{STEPS, StandbyLag};
use super::{ReplicaHandle, driver, unix_ms};
use crate::members::Members;

/// A standby, and where that which it has stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StandbyPositions {
    standby: Standby,
    sent: Position,
    received: Position,
    durable: Position,
    applied: Position,
    is_kept: bool,
    lags: [Option<Duration>; STEPS],
    silent_for: Option<Duration>,
}

impl StandbyPositions {
    /// At the leader; at others of the last time that they led.
    pub fn of_all(replica: &Replica, lag: &StandbyLag) -> Vec<StandbyPositions> {
        let mut progress = Progress::default();
        replica.note_progress(&mut progress);
        let now = Instant::now();
        let standbys = progress.standbys.into_iter();
        standbys
            .map(|standby| StandbyPositions::of(replica, standby, lag.of(standby.node, now)))
            .collect()
    }

    fn of(replica: &Replica, standby: Standby, lags: [Option<Duration>; STEPS]) -> StandbyPositions {
        StandbyPositions {
            standby,
            sent: replica.position_at(standby.sent),
            received: replica.position_at(standby.received),
            durable: replica.position_at(standby.durable),
            applied: replica.position_at(standby.applied),
            is_kept: standby.durable >= replica.status().base.index,
            lags,
            silent_for: replica.silent_for(standby.node),
        }
    }
}

impl ReplicaHandle {
    /// Who has what, as far as this node knows; `members`: where they are, `me`: this node.
    pub async fn replication(&self, me: NodeId, members: &Members) -> ReplicationFacts {
        let reign = *self.reign.borrow();
        let mut facts = ReplicationFacts {
            statements: self.published.safety().lines(),
            ..ReplicationFacts::default()
        };
        match reign.role {
            Role::Leader => facts.standbys = self.standbys(members).await,
            Role::Follower { leader: Some(leader) } => {
                facts.upstream = self.upstream(me, leader, members);
            }
            Role::Follower { leader: None } | Role::Candidate => {}
        }
        facts
    }

    async fn standbys(&self, members: &Members) -> Vec<StandbyFacts> {
        let (reply, standbys) = oneshot::channel();
        if !self.drive.offer(driver::Input::Standbys(reply)) {
            return Vec::new();
        }
        let standbys = standbys.await.unwrap_or_default();
        let now_ms = unix_ms();
        let rule = self.acknowledger.rule();
        let there: Vec<(NodeId, bool)> = standbys
            .iter()
            .map(|one| (one.standby.node, one.standby.is_there))
            .collect();
        let of = |one: StandbyPositions| {
            let Standby {
                node,
                is_there,
                sending,
                ..
            } = one.standby;
            let is_behind = one.standby.durable.0 + BEHIND_MIN < one.standby.sent.0;
            StandbyFacts {
                node,
                address: members
                    .get(node)
                    .map(|member| member.addresses.pg.ip().to_string()),
                is_there,
                state: match sending {
                    Sending::Probing => "startup",
                    Sending::Seeding => "backup",
                    Sending::Streaming if is_behind => "catchup",
                    Sending::Streaming => "streaming",
                },
                sent: one.sent,
                written: one.received,
                flushed: one.durable,
                replayed: one.applied,
                lags: one.lags,
                heard_ms: one
                    .silent_for
                    .map(|silent_for| now_ms.saturating_sub(silent_for.as_millis() as u64)),
                priority: rule.priority(node),
                sync_state: rule.sync_state(node, &there),
                is_degraded: self.acknowledger.is_degraded(),
                is_kept: one.is_kept,
            }
        };
        standbys.into_iter().map(of).collect()
    }

    fn upstream(&self, me: NodeId, leader: NodeId, members: &Members) -> Option<UpstreamFacts> {
        let status = self.published.status()?;
        let at = |index| match index >= status.last.index {
            true => status.last,
            // What is on its way is of the present reign, or nearly so.
            false => Position {
                term: status.commit_term,
                index,
            },
        };
        let address = members.get(leader).map(|member| member.addresses.pg);
        Some(UpstreamFacts {
            leader,
            node: me,
            address: address.map(|address| (address.ip().to_string(), address.port())),
            written: status.last,
            flushed: at(status.persisted),
            latest_end: Position {
                term: status.commit_term,
                index: status.known_commit,
            },
        })
    }
}

/// A standby that misses more of what it was sent is catching up.
const BEHIND_MIN: u64 = 1_000;
