//! The tokio driver: sockets, threads and clocks around the pure rooms. With `cli` the only room that has any.
//!
//! A node is one process: per database a lock for the machine and its log with a thread that keeps its time, a thread for
//! the writer, one for checkpoints and one for the scrub (`replica`); connections to the other nodes (`peer`);
//! statements carried to the leader (`forward`); clients' sessions (`session`) behind the two front doors (`door`); who
//! comes in at any of them (`lock`).

#![allow(
    clippy::result_large_err,
    reason = "an SqlError is rare and moved once, its fields are read where it is made"
)]

mod config;
mod door;
mod extension;
mod forward;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod govern;
mod identity;
mod ledger;
mod lock;
mod members;
mod node;
mod patience;
mod peer;
mod promotion;
mod random;
mod replica;
mod salvage;
mod session;
mod sockets;
mod stop;
mod system;
mod verify;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use bellwether_http::Metrics;
use bellwether_node::Role;
use bellwether_types::{Configuration, DatabaseId};
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;

pub use config::{Config, InvalidConfig, LOG_KEEP_BYTES, MAX_CONNECTIONS, Origin};
pub use identity::IdentityError;
pub use lock::rules::{DEFAULT_RULES, InvalidRule, Rules};
pub use lock::secret::{BadSecret, Secret};
pub use lock::tls::{TlsError, TlsFiles};
pub use members::{Addresses, InvalidMember, Member, Standing};
pub use promotion::{Kept, Promotion, PromotionError};
pub use replica::{Seeding, Watcher};

use crate::forward::ForwardPool;
use crate::identity::{DataDir, Identity};
use crate::lock::Lock;
use crate::members::{MemberBook, Members};
use crate::node::{Node, Replicas};
use crate::peer::{Caller, Links};
use crate::sockets::listen;
use crate::stop::Stop;

/// Why a node stopped, or never started.
#[derive(Debug)]
pub enum ServeError {
    /// The configuration contradicts itself.
    Config(InvalidConfig),
    /// The data directory cannot be used.
    DataDir(IdentityError),
    /// An address is taken.
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// There is no certificate to serve TLS with.
    Tls(TlsError),
    /// A replica cannot be opened.
    Replica {
        /// Its database.
        database: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// It is no member of any cluster, and is not told to found or join one.
    NoCluster {
        /// Its data directory.
        path: std::path::PathBuf,
    },
    /// The cluster does not let it join.
    NotWelcome {
        /// Whom it asked.
        address: SocketAddr,
        /// Why not.
        reason: String,
    },
    /// Something failed that the node cannot go on from, as a failed fsync.
    Failed(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Config(error) => write!(f, "{error}"),
            ServeError::DataDir(error) => write!(f, "{error}"),
            ServeError::Listen { address, error } => write!(
                f,
                "cannot listen on {address}: {error}; is another node or program using the port?"
            ),
            ServeError::Tls(error) => write!(f, "{error}"),
            ServeError::Replica { database, reason } => {
                write!(f, "the replica of database {database} cannot be opened: {reason}")
            }
            ServeError::NoCluster { path } => write!(
                f,
                "{} is of no node yet: let it join a cluster with --join, or found one with --cluster, --node and \
                 --member",
                path.display()
            ),
            ServeError::NotWelcome { address, reason } => {
                write!(f, "the node at {address} does not let this one join: {reason}")
            }
            ServeError::Failed(what) => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// After stopping is asked for, clients have so long to end what they are at.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// A leader that is asked to stop waits so long for a transaction that holds the writer.
const DRAIN_AT_STOP: Duration = Duration::from_secs(5);

/// Who this node is: as its directory says, else as one that founds a cluster or joins one.
async fn settle(config: &Config, data_dir: &DataDir) -> Result<(Identity, Members), ServeError> {
    let founder = match &config.origin {
        Origin::Founder {
            cluster,
            node,
            founders,
        } => {
            let members: Members = founders.iter().copied().collect();
            let identity = Identity {
                cluster: *cluster,
                node: *node,
                founding: members.wanted(),
            };
            Some((identity, members))
        }
        Origin::Joiner { .. } | Origin::Member => None,
    };
    let expected = founder.as_ref().map(|(identity, _)| identity);
    if let Some(identity) = data_dir.identity(expected).map_err(ServeError::DataDir)? {
        let members = data_dir.members().map_err(ServeError::DataDir)?;
        return match members.is_removed(identity.node) {
            true => Err(ServeError::Failed(members::removed())),
            false => Ok((identity, members)),
        };
    }
    let (identity, members) = match (founder, &config.origin) {
        (Some(founder), _) => founder,
        (None, Origin::Joiner { address, is_learner }) => {
            join(config, data_dir, *address, *is_learner).await?
        }
        (None, _) => {
            let path = config.data_dir.clone();
            return Err(ServeError::NoCluster { path });
        }
    };
    data_dir
        .adopt(&identity, &members::write_members(&members))
        .map_err(ServeError::DataDir)?;
    Ok((identity, members))
}

async fn join(
    config: &Config,
    data_dir: &DataDir,
    address: SocketAddr,
    is_learner: bool,
) -> Result<(Identity, Members), ServeError> {
    let standing = match is_learner {
        true => Standing::Learner,
        false => Standing::Voter,
    };
    let ticket = data_dir.ticket().map_err(ServeError::DataDir)?;
    let not_welcome = |reason| ServeError::NotWelcome { address, reason };
    let welcome = members::ask_to_join(config, address, standing, ticket)
        .await
        .map_err(not_welcome)?;
    let (cluster, node) = (welcome.cluster, welcome.node);
    tracing::info!(%cluster, %node, "this node is a member now");
    let members = members::parse_members(&welcome.members)
        .map_err(|error| not_welcome(format!("its list of nodes cannot be read: {error}")))?;
    let founding = Configuration::default();
    let identity = Identity {
        cluster,
        node,
        founding,
    };
    Ok((identity, members))
}

/// Serves until `shutdown` resolves or the node cannot go on. Everything acknowledged is durable at any moment;
/// stopping only spares the next start some work.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    config.check().map_err(ServeError::Config)?;
    let mut shutdown = std::pin::pin!(shutdown);
    let data_dir = DataDir::take(&config.data_dir).map_err(ServeError::DataDir)?;
    let (identity, members) = tokio::select! {
        settled = settle(&config, &data_dir) => settled?,
        () = &mut shutdown => return Ok(()),
    };
    let promotion = data_dir.promotion().map_err(ServeError::DataDir)?;
    let lock = Lock::new(&config.secret, config.open_tls().map_err(ServeError::Tls)?);
    // Peers have threads of their own, where logs are written, too: heartbeats never wait behind clients' SQL. One of them
    // at most waits for each database's log; the last is for the others' heartbeats. Health and metrics have one as well,
    // which tells even while a disk stalls.
    let control = Apart::start("control", DATABASES.len() + 1)?;
    let monitor = Apart::start("monitor", 1)?;
    let pg = listen(config.listen_pg).await?;
    let http = monitor.listen(config.listen_http).await?;
    let peers = control.listen(config.listen_peer).await?;

    let stop = Arc::new(Stop::new());
    let metrics = Arc::new(Metrics::default());
    let members = Arc::new(MemberBook::new(members, promotion.is_some()));
    let caller = Arc::new(caller(&config, &identity, &members));
    let links = Links::new(Arc::clone(&caller), &metrics);
    let replicas = open_replicas(&replica::Shared {
        config: &config,
        identity: &identity,
        caller: &caller,
        links: &links,
        metrics: &metrics,
        stop: &stop,
        cluster: lock.book.cluster(),
    })?;
    replica::pulse::keep(Arc::clone(&replicas), Arc::clone(&links), control.handle(), &stop);
    control.spawn(peer::follow(links, Arc::clone(&replicas), Arc::clone(&stop)));
    let node = Arc::new(Node {
        forward: ForwardPool::new(Arc::clone(&caller)),
        config,
        identity,
        data_dir,
        promotion,
        members,
        caller,
        replicas: Arc::clone(&replicas),
        metrics,
        stop: Arc::clone(&stop),
        lock,
        started: Instant::now(),
        numbers: AtomicU64::new(1),
        is_founded: AtomicBool::new(false),
        clients: tokio::runtime::Handle::current(),
        asking_all: tokio::sync::Mutex::default(),
    });
    control.spawn(peer::accept_peers(Arc::clone(&node), peers));
    monitor.spawn(door::accept_http(Arc::clone(&node), http));
    spawn_upkeep(&node);
    let clients = tokio::spawn(door::accept_pg(Arc::clone(&node), pg));

    tokio::select! {
        () = shutdown => {
            leave(&replicas).await;
            stop.ask();
        }
        () = stop.asked() => {}
    }
    end(clients, &replicas, &stop).await
}

fn caller(config: &Config, identity: &Identity, members: &Arc<MemberBook>) -> Caller {
    Caller {
        cluster: identity.cluster,
        node: identity.node,
        secret: config.secret.clone(),
        members: Arc::clone(members),
        via: config.via.clone(),
        hints: config.hints(),
    }
}

/// Lets others lead what this node leads, so that their clients find no more than a pause. Where nobody can, they elect one.
async fn leave(replicas: &Replicas) {
    let mut leaving = tokio::task::JoinSet::new();
    for replica in replicas.iter() {
        let replica = Arc::clone(replica);
        leaving.spawn(async move {
            let mut reign = replica.reign.clone();
            // Who was elected just now hands over when it has applied what came before: until then it knows no heir.
            let settled = reign.wait_for(|reign| reign.role != Role::Leader || reign.leading);
            let settled = tokio::time::timeout(DRAIN_AT_STOP, settled);
            let leads = matches!(settled.await, Ok(Ok(reign)) if reign.leading);
            if leads && let Err(error) = replica.hand_over(None, DRAIN_AT_STOP).await {
                tracing::info!(database = replica.name, %error, "not handed over");
            }
        });
    }
    leaving.join_all().await;
}

/// In good order, or because of a failure.
async fn end(clients: JoinHandle<()>, replicas: &Replicas, stop: &Stop) -> Result<(), ServeError> {
    // An error is the patience running out: what clients have open is rolled back then.
    let _ = tokio::time::timeout(STOP_PATIENCE, clients).await;
    tokio::task::block_in_place(|| replicas.iter().for_each(|replica| replica.stop()));
    match stop.failure() {
        None => Ok(()),
        Some(what) => Err(ServeError::Failed(what)),
    }
}

fn open_replicas(shared: &replica::Shared<'_>) -> Result<Arc<Replicas>, ServeError> {
    let mut replicas = Vec::new();
    for (database, name) in DATABASES {
        let started = replica::start(shared, database, name);
        replicas.push(started.map_err(|error| ServeError::Replica {
            database: name,
            reason: error.to_string(),
        })?);
    }
    Ok(Arc::new(Replicas::new(replicas)))
}

/// What keeps the node's view of its cluster true, and the cluster as it is wanted.
fn spawn_upkeep(node: &Arc<Node>) {
    tokio::spawn(system::found(Arc::clone(node)));
    tokio::spawn(Lock::follow(Arc::clone(node)));
    tokio::spawn(members::follow(Arc::clone(node)));
    tokio::spawn(members::tell_moved(Arc::clone(node)));
    tokio::spawn(ledger::count(Arc::clone(node)));
    tokio::spawn(promotion::settle(Arc::clone(node)));
    tokio::spawn(salvage::salvage(Arc::clone(node)));
    for replica in node.replicas.iter() {
        tokio::spawn(members::keep(Arc::clone(node), Arc::clone(replica)));
        tokio::spawn(ledger::tell_lost(Arc::clone(node), Arc::clone(replica)));
    }
}

/// What a fresh cluster has, as after `initdb`; and the system database.
const DATABASES: [(DatabaseId, &str); 2] = [
    (DatabaseId::SYSTEM, "bellwether"),
    (DatabaseId::POSTGRES, "postgres"),
];

/// A runtime apart from the clients'.
struct Apart {
    runtime: Option<Runtime>,
}

impl Apart {
    fn start(name: &str, threads: usize) -> Result<Apart, ServeError> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(threads).thread_name(name).enable_all();
        let runtime = builder.build();
        let runtime =
            runtime.map_err(|error| ServeError::Failed(format!("no thread \"{name}\": {error}")))?;
        Ok(Apart {
            runtime: Some(runtime),
        })
    }

    fn handle(&self) -> Handle {
        self.runtime
            .as_ref()
            .expect("there until dropped")
            .handle()
            .clone()
    }

    fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.as_ref().expect("there until dropped").spawn(task)
    }

    /// A listener that this runtime watches.
    async fn listen(&self, address: SocketAddr) -> Result<TcpListener, ServeError> {
        let listening = self.spawn(listen(address)).await;
        listening.unwrap_or_else(|error| Err(ServeError::Failed(error.to_string())))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
