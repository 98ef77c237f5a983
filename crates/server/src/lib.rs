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
mod identity;
mod lock;
mod node;
mod patience;
mod peer;
mod random;
mod replica;
mod session;
mod sockets;
mod stop;
mod system;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use bellwether_http::Metrics;
use bellwether_types::DatabaseId;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

pub use config::{Config, InvalidConfig, MAX_CONNECTIONS, Member};
pub use identity::IdentityError;
pub use lock::rules::{DEFAULT_RULES, InvalidRule, Rules};
pub use lock::secret::{BadSecret, Secret};
pub use lock::tls::{TlsError, TlsFiles};

use crate::forward::ForwardPool;
use crate::lock::Lock;
use crate::node::{Node, Replicas};
use crate::peer::Links;
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
            ServeError::Failed(what) => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// After stopping is asked for, clients have so long to end what they are at.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// Serves until `shutdown` resolves or the node cannot go on. Everything acknowledged is durable at any moment;
/// stopping only spares the next start some work.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    config.check().map_err(ServeError::Config)?;
    let _data_dir =
        identity::take(&config.data_dir, config.cluster, config.node).map_err(ServeError::DataDir)?;
    let lock = Lock::new(&config.secret, config.open_tls().map_err(ServeError::Tls)?);
    // Peers have a thread of their own, where the log is written, too: heartbeats never wait behind clients' SQL. So do
    // health and metrics, which tell even while a disk stalls.
    let control = Apart::start("control")?;
    let monitor = Apart::start("monitor")?;
    let pg = listen(config.listen_pg).await?;
    let http = monitor.listen(config.listen_http).await?;
    let peers = control.listen(config.listen_peer).await?;

    let stop = Arc::new(Stop::new());
    let metrics = Arc::new(Metrics::default());
    let (links, outgoing) = Links::open(&config, &metrics);
    let shared = replica::Shared {
        config: &config,
        links: &links,
        metrics: &metrics,
        stop: &stop,
    };
    let mut replicas = Vec::new();
    for (database, name) in DATABASES {
        let started = replica::start(&shared, database, name);
        replicas.push(started.map_err(|error| ServeError::Replica {
            database: name,
            reason: error.to_string(),
        })?);
    }
    let replicas = Arc::new(Replicas::new(replicas));
    for link in outgoing {
        control.spawn(link.run(Arc::clone(&replicas), Arc::clone(&stop)));
    }
    let node = Arc::new(Node {
        forward: ForwardPool::new(config.clone()),
        config,
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
    tokio::spawn(system::found(Arc::clone(&node)));
    tokio::spawn(Lock::follow(Arc::clone(&node)));
    let clients = tokio::spawn(door::accept_pg(Arc::clone(&node), pg));

    tokio::select! {
        () = shutdown => stop.ask(),
        () = stop.asked() => {}
    }
    // An error is the patience running out: what clients have open is rolled back then.
    let _ = tokio::time::timeout(STOP_PATIENCE, clients).await;
    tokio::task::block_in_place(|| replicas.iter().for_each(|replica| replica.stop()));
    match stop.failure() {
        None => Ok(()),
        Some(what) => Err(ServeError::Failed(what)),
    }
}

/// What a fresh cluster has, as after `initdb`; and the system database.
const DATABASES: [(DatabaseId, &str); 2] = [
    (DatabaseId::SYSTEM, "bellwether"),
    (DatabaseId::POSTGRES, "postgres"),
];

/// A runtime of one thread, apart from the clients'.
struct Apart {
    runtime: Option<Runtime>,
}

impl Apart {
    fn start(name: &str) -> Result<Apart, ServeError> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name(name).enable_all().build();
        let runtime =
            runtime.map_err(|error| ServeError::Failed(format!("no thread \"{name}\": {error}")))?;
        Ok(Apart {
            runtime: Some(runtime),
        })
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
