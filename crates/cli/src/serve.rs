//! `bellwether serve`: one node in this process, until SIGTERM or SIGINT.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bellwether_server::{self as server, Addresses, Member};
use bellwether_types::{ClusterId, NodeId};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::bar;
use crate::failure::Failure;

/// Open files besides client connections: segments, SQLite's files, peers.
const OTHER_FILES: u64 = 1_024;

/// After the node has stopped, threads that are still in SQLite have so long.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

#[derive(Args)]
pub struct Options {
    /// To found a cluster: its id, 32 hexadecimal digits drawn at random
    #[arg(long, value_name = "ID", value_parser = parse_cluster, requires_all = ["node", "members"])]
    cluster: Option<ClusterId>,
    /// To found a cluster: this node's number, from 1
    #[arg(long, value_name = "N", requires = "cluster", value_parser = clap::value_parser!(u64).range(1..))]
    node: Option<u64>,
    /// To found a cluster: a node of it; repeat for each, this one included; ",learner" after it: it does not vote
    #[arg(long = "member", value_name = "NODE=PEER,PG,HTTP", requires = "cluster")]
    members: Vec<Member>,
    /// To join a cluster: the address for peers of any node of it
    #[arg(long, value_name = "ADDRESS", conflicts_with = "cluster")]
    join: Option<SocketAddr>,
    /// Join as a learner: gets everything, answers reads, never votes
    #[arg(long, requires = "join")]
    learner: bool,
    /// In the place of a node that the cluster went on without ("bellwether promote"): its old data directory, on this
    /// machine; what it alone had is told of in bellwether.lost_writes
    #[arg(long, value_name = "DIR", requires = "join")]
    salvage: Option<PathBuf>,
    /// Where others reach this node, if not where it listens
    #[arg(long, value_name = "PEER,PG,HTTP", conflicts_with = "cluster")]
    advertise: Option<Addresses>,
    /// Reach that node's peers' address there instead (a tunnel, another network); repeat for each
    #[arg(long, value_name = "NODE=ADDRESS", value_parser = parse_via)]
    via: Vec<(NodeId, SocketAddr)>,
    /// Where this node keeps its log and databases
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Address for PostgreSQL clients
    #[arg(long, value_name = "ADDRESS")]
    listen_pg: SocketAddr,
    /// Address for health, metrics and status
    #[arg(long, value_name = "ADDRESS")]
    listen_http: SocketAddr,
    /// Address for the other nodes
    #[arg(long, value_name = "ADDRESS")]
    listen_peer: SocketAddr,
    /// Client connections above this number are refused; the default is PostgreSQL's
    #[arg(long, value_name = "N", default_value_t = server::MAX_CONNECTIONS as u32, value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,
    /// File with the cluster's secret, the same for every node: at least 32 characters at random
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// Who needs which proof to connect, in the form of PostgreSQL's pg_hba.conf [default: this machine is trusted,
    /// all others need TLS and a password]
    #[arg(long, value_name = "FILE")]
    hba: Option<PathBuf>,
    /// TLS certificate in PEM, then those up to its root; read again when it changes [default: made in the data
    /// directory, where other machines can connect]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Each database's log keeps so many MiB for nodes that were away; who was away for longer gets an image of the
    /// database [default: 1024]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    log_keep: Option<u32>,
    /// And no entries older than so many hours, counted from the node's start at the earliest [default: however old]
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=87_600))]
    log_keep_for: Option<u32>,
    /// error, warn, info, debug or trace; or a filter as `info,bellwether_server=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
}

pub fn run(options: Options) -> Result<ExitCode, Failure> {
    let log_level = options.log_level.clone();
    let draws = options.join.is_some() && std::io::stderr().is_terminal();
    let mut config = options.into_config()?;
    config.watcher = draws.then_some(bar::draw);
    config
        .check()
        .map_err(|error| Failure::new("this node cannot be served").because(error))?;
    start_log(&log_level, draws)?;
    use_utc();
    raise_open_files_limit(config.max_connections as u64 + OTHER_FILES);
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::new("the runtime could not be started").because(error))?;
    let served = runtime.block_on(async {
        let stop = stop_signal()?;
        let served = server::serve(config, stop).await;
        served.map_err(|error| Failure::new("the node has stopped").because(error))
    });
    // A statement that does not end is no reason to stay: everything acknowledged is durable.
    runtime.shutdown_timeout(STOP_PATIENCE);
    served?;
    Ok(ExitCode::SUCCESS)
}

impl Options {
    fn into_config(self) -> Result<server::Config, Failure> {
        let origin = match (self.cluster, self.node, self.join) {
            (Some(cluster), Some(node), _) => server::Origin::Founder {
                cluster,
                node: NodeId(node),
                founders: self.members,
            },
            (_, _, Some(address)) => server::Origin::Joiner {
                address,
                is_learner: self.learner,
            },
            _ => server::Origin::Member,
        };
        Ok(server::Config {
            origin,
            data_dir: self.data_dir,
            salvage: self.salvage,
            listen_pg: self.listen_pg,
            listen_http: self.listen_http,
            listen_peer: self.listen_peer,
            advertise: self.advertise,
            via: self.via.into_iter().collect(),
            max_connections: self.max_connections as usize,
            secret: read_secret(&self.secret_file)?,
            rules: self
                .hba
                .as_deref()
                .map_or_else(|| Ok(server::Rules::default()), read_rules)?,
            log_keep_bytes: self
                .log_keep
                .map_or(server::LOG_KEEP_BYTES, |mib| u64::from(mib) << 20),
            log_keep_for: self
                .log_keep_for
                .map(|hours| Duration::from_secs(u64::from(hours) * 3_600)),
            watcher: None,
            tls: self
                .tls_cert
                .zip(self.tls_key)
                .map(|(certificate, key)| server::TlsFiles { certificate, key }),
        })
    }
}

fn read_secret(path: &Path) -> Result<server::Secret, Failure> {
    server::Secret::read(path).map_err(|error| {
        Failure::new(format!("{} holds no secret of a cluster", path.display()))
            .because(error)
            .hint("every node of a cluster needs the same one; `bellwether up` keeps its own in DATA_DIR/secret")
    })
}

fn read_rules(path: &Path) -> Result<server::Rules, Failure> {
    let failure = || Failure::new(format!("{} cannot be used with --hba", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failure().because(error))?;
    server::Rules::parse(&text).map_err(|error| failure().because(error))
}

fn parse_cluster(text: &str) -> Result<ClusterId, String> {
    let id = u128::from_str_radix(text, 16).map_err(|_| "expected up to 32 hexadecimal digits".to_owned())?;
    Ok(ClusterId(id))
}

fn parse_via(text: &str) -> Result<(NodeId, SocketAddr), String> {
    let parse = || {
        let (node, address) = text.split_once('=')?;
        let node = node.parse().ok().filter(|node| *node > 0)?;
        Some((NodeId(node), address.parse().ok()?))
    };
    parse().ok_or_else(|| "expected NODE=ADDRESS as in 2=127.0.0.1:9000, NODE from 1".to_owned())
}

/// To stderr, which the supervisor leads into the node's log file.
fn start_log(level: &str, draws: bool) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| Failure::new(format!("--log-level {level:?} is not a filter")).because(error))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || -> Box<dyn std::io::Write> {
            match draws {
                true => Box::new(bar::AboveTheBar),
                false => Box::new(std::io::stderr()),
            }
        })
        // When the log's disk is full there is nobody to tell.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}

/// SQLite's `localtime` must mean the same on every node.
fn use_utc() {
    // SAFETY: no other thread has been started, so none reads the environment meanwhile.
    unsafe { std::env::set_var("TZ", "UTC") };
}

/// Lets this process open as many files as its connections need, within what the system allows. A limit that
/// stays too low is no reason not to start: then accepting fails, and the server says so.
fn raise_open_files_limit(wanted: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a valid structure that outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 || limit.rlim_cur >= wanted {
        return;
    }
    limit.rlim_cur = wanted.min(limit.rlim_max);
    // SAFETY: as above.
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } == 0;
    if !raised || limit.rlim_cur < wanted {
        tracing::warn!(
            wanted,
            allowed = limit.rlim_cur,
            "the limit of open files is low: see `ulimit -n`"
        );
    }
}

/// Resolves at the first SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::new("signals cannot be received").because(error));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        tracing::info!("asked to stop");
    })
}
