//! A node: its replicas and what they share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bellwether_http::{DatabaseStatus, MemberStatus, Metrics, NodeStatus, Role as HttpRole};
use bellwether_node::Role;
use bellwether_types::{DatabaseId, Durability, NodeId, Outcome, Position, RequestId};

use crate::config::Config;
use crate::forward::ForwardPool;
use crate::identity::{DataDir, Identity};
use crate::lock::Lock;
use crate::members::{Addresses, Member, MemberBook};
use crate::peer::Caller;
use crate::replica::{Refusal, ReplicaHandle};
use crate::stop::Stop;

/// The replicas of a node, by database.
#[derive(Default)]
pub(crate) struct Replicas {
    by_database: BTreeMap<DatabaseId, Arc<ReplicaHandle>>,
}

impl Replicas {
    pub fn new(replicas: Vec<Arc<ReplicaHandle>>) -> Replicas {
        Replicas {
            by_database: replicas
                .into_iter()
                .map(|replica| (replica.database, replica))
                .collect(),
        }
    }

    pub fn get(&self, database: DatabaseId) -> Option<&Arc<ReplicaHandle>> {
        self.by_database.get(&database)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<ReplicaHandle>> {
        self.by_database.values()
    }
}

/// What every connection of a node needs.
pub(crate) struct Node {
    pub config: Config,
    pub identity: Identity,
    pub data_dir: DataDir,
    /// It goes on alone, which the system database did not say when the node was started.
    pub promotion: Option<String>,
    pub members: Arc<MemberBook>,
    pub caller: Arc<Caller>,
    pub replicas: Arc<Replicas>,
    pub forward: Arc<ForwardPool>,
    pub metrics: Arc<Metrics>,
    pub stop: Arc<Stop>,
    pub lock: Lock,
    pub started: Instant,
    pub numbers: AtomicU64,
    /// The system database is there: clients can be let in.
    pub is_founded: AtomicBool,
    /// The runtime where clients' statements run, also those that peers forward.
    pub clients: tokio::runtime::Handle,
    /// One at a time asks all nodes what they say of themselves.
    pub asking_all: tokio::sync::Mutex<()>,
}

impl Node {
    /// The replica of the system database, which every node has.
    pub fn system(&self) -> &Arc<ReplicaHandle> {
        self.replicas
            .get(DatabaseId::SYSTEM)
            .expect("every node has the system database")
    }

    /// A number that this process has not used before.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// What has become of a transaction, as that leader knows it; waits there for what the durability asks.
    pub async fn outcome(
        &self,
        leader: NodeId,
        replica: &ReplicaHandle,
        request: RequestId,
        durability: Durability,
    ) -> Result<Outcome, Refusal> {
        if leader == self.identity.node {
            return replica.outcome(request, durability).await;
        }
        self.forward
            .outcome(leader, replica.database, request, durability)
            .await
    }

    fn why_not_serving(&self, replica: &ReplicaHandle) -> Option<String> {
        if replica.reign.borrow().seeding {
            return Some("damaged or behind the log: being seeded from another node".to_owned());
        }
        let founded = self.is_founded.load(Ordering::Acquire);
        (!founded).then(|| "starting: the system database is not there yet".to_owned())
    }

    /// What `GET /status` says.
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            node: self.identity.node,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: self.identity.cluster.to_string(),
            uptime_ms: self.started.elapsed().as_millis() as u64,
            databases: self
                .replicas
                .iter()
                .filter_map(|replica| {
                    database_status(replica, self.identity.node, self.why_not_serving(replica))
                })
                .collect(),
            lost_writes: self.metrics.lost_writes.get(),
            members: self.members.current().present().map(member_status).collect(),
        }
    }
}

fn member_status(member: &Member) -> MemberStatus {
    let Addresses { peer, pg, http } = member.addresses;
    MemberStatus {
        node: member.node,
        standing: member.standing.name().to_owned(),
        peer,
        pg,
        http,
    }
}

fn database_status(
    replica: &ReplicaHandle,
    node: NodeId,
    not_serving: Option<String>,
) -> Option<DatabaseStatus> {
    let status = replica.published.status()?;
    let serving = not_serving.is_none();
    let full = (!status.has_room).then(|| "no space left on its disk: it takes no writes".to_owned());
    let content = replica.published.content();
    let reign = *replica.reign.borrow();
    let lag = replica.lag(&status);
    let seeding = replica.published.seeding.get().filter(|_| reign.seeding);
    Some(DatabaseStatus {
        name: replica.name.to_owned(),
        role: match status.role {
            Role::Leader => HttpRole::Leader,
            Role::Follower { .. } if !replica.group.borrow().configuration.voters.contains(&node) => {
                HttpRole::Learner
            }
            Role::Follower { .. } => HttpRole::Follower,
            Role::Candidate => HttpRole::Candidate,
        },
        term: status.term,
        leader: reign.leader,
        position: status.last,
        commit: Position {
            term: status.commit_term,
            index: status.commit,
        },
        applied: content.position,
        lag_records: lag.map(|lag| lag.records),
        lag_bytes: lag.map(|lag| lag.bytes),
        lag_ms: lag.map(|lag| lag.ms),
        fingerprint: content.fingerprint,
        log_first: status.base.index.next(),
        log_bytes: replica.published.log_bytes.load(Ordering::Relaxed),
        serving,
        problem: not_serving.or(full),
        seeding,
    })
}
