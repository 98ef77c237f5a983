//! `bellwether serve`: one node in this process, until SIGTERM or SIGINT.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bellwether_server as server;
use bellwether_types::{ClusterId, NodeId};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::member::Member;

/// Open files besides client connections: segments, SQLite's files, peers.
const OTHER_FILES: u64 = 1_024;

/// After the node has stopped, threads that are still in SQLite have so long.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

#[derive(Args)]
pub struct Options {
    /// The cluster, as 32 hexadecimal digits drawn at random when it was founded
    #[arg(long, value_name = "ID", value_parser = parse_cluster)]
    cluster: ClusterId,
    /// This node's number, from 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    node: u64,
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
    /// A node of the cluster; repeat for each, this one included
    #[arg(long = "member", value_name = "NODE=PEER,PG,HTTP", required = true)]
    members: Vec<Member>,
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
    /// error, warn, info, debug or trace; or a filter as `info,bellwether_server=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
}

pub fn run(options: Options) -> Result<ExitCode, Failure> {
    let log_level = options.log_level.clone();
    let config = options.into_config()?;
    config
        .check()
        .map_err(|error| Failure::new("this node cannot be served").because(error))?;
    start_log(&log_level)?;
    use_utc();
    raise_open_files_limit(config.max_connections as u64 + OTHER_FILES);
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::new("the runtime could not be started").because(error))?;
    let node = config.node;
    let served = runtime.block_on(async {
        let stop = stop_signal()?;
        let served = server::serve(config, stop).await;
        served.map_err(|error| Failure::new(format!("node {node} has stopped")).because(error))
    });
    // A statement that does not end is no reason to stay: everything acknowledged is durable.
    runtime.shutdown_timeout(STOP_PATIENCE);
    served?;
    Ok(ExitCode::SUCCESS)
}

impl Options {
    fn into_config(self) -> Result<server::Config, Failure> {
        let members = self.members.into_iter().map(|member| server::Member {
            node: member.node,
            peer: member.peer,
            pg: member.pg,
            http: member.http,
        });
        Ok(server::Config {
            cluster: self.cluster,
            node: NodeId(self.node),
            data_dir: self.data_dir,
            listen_pg: self.listen_pg,
            listen_http: self.listen_http,
            listen_peer: self.listen_peer,
            members: members.collect(),
            max_connections: self.max_connections as usize,
            secret: read_secret(&self.secret_file)?,
            rules: self
                .hba
                .as_deref()
                .map_or_else(|| Ok(server::Rules::default()), read_rules)?,
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

/// To stderr, which the supervisor leads into the node's log file.
fn start_log(level: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| Failure::new(format!("--log-level {level:?} is not a filter")).because(error))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
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
