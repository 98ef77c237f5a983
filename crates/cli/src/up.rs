//! `bellwether up`: a cluster on this machine. Every node is a process of its own, a child of this one.
//!
//! Promises: children do not outlive this process; a child that dies is named, with how it died, and started
//! again unless `--no-restart`; stopping is bounded in time. Does not look after nodes of other machines.

mod child;
mod data_dir;
mod roles;
mod supervisor;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bellwether_http::NodeStatus;
use bellwether_server::Standing;
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time;

use crate::ask::{NoStatus, ask_all};
use crate::failure::Failure;
use crate::layout::{Layout, MAX_NODES};
use crate::output::say;
use child::Program;
use data_dir::DataDir;
use supervisor::{Event, Supervisor};

/// How often the nodes are asked for their status. A change of leader is printed that much later at most.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The same until all are ready, so that a start does not feel slow.
const ASK_EVERY_AT_START: Duration = Duration::from_millis(100);
/// Events that may wait for the supervisor's loop; senders wait when it is full.
const EVENTS: usize = 64;
/// How long nodes may take to stop by themselves before they are killed. A kill loses nothing that was acknowledged.
const STOP_WITHIN: Duration = Duration::from_secs(10);

#[derive(Args)]
pub struct Options {
    /// How many nodes [default: 3, or as many as the data directory has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_NODES)))]
    nodes: Option<u16>,
    /// Found an asynchronous cluster: node 1 alone votes, the others are learners; the leader waits for none of them
    #[arg(long = "async")]
    is_async: bool,
    /// Where the nodes keep their data, each in its own directory node-N
    #[arg(long, value_name = "DIR", default_value = "./bellwether-data")]
    data_dir: PathBuf,
    /// PostgreSQL port of node 1; node i listens at this + i − 1
    #[arg(long, value_name = "PORT", default_value_t = 5433)]
    pg_port: u16,
    /// HTTP port of node 1, likewise
    #[arg(long, value_name = "PORT", default_value_t = 8008)]
    http_port: u16,
    /// Port of node 1 for the other nodes, likewise
    #[arg(long, value_name = "PORT", default_value_t = 7433)]
    peer_port: u16,
    /// Who needs which proof to connect, in the form of PostgreSQL's pg_hba.conf [default: this machine is trusted]
    #[arg(long, value_name = "FILE")]
    hba: Option<PathBuf>,
    /// Leave a node that dies as it is
    #[arg(long)]
    no_restart: bool,
    /// What the nodes write into their logs: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
}

pub fn run(options: Options) -> Result<ExitCode, Failure> {
    let data_dir = DataDir::open(options.data_dir)?;
    if options.is_async {
        data_dir.check_empty("--async")?;
    }
    let nodes = data_dir.nodes(options.nodes)?;
    let layout = Layout::new(nodes, options.pg_port, options.http_port, options.peer_port)?;
    layout.check_free()?;
    let mut members = layout.members();
    if options.is_async {
        let followers = members.iter_mut().skip(1);
        followers.for_each(|member| member.standing = Standing::Learner);
    }
    let program = Program::new(&data_dir, members, options.hba, options.log_level)?;
    // One thread, this one, starts all children: Linux ties their parent's death to the *thread* that made them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("the runtime could not be started").because(error))?;
    let addresses = layout
        .members()
        .iter()
        .map(|member| member.addresses.http)
        .collect();
    runtime.block_on(supervise(program, addresses, !options.no_restart))
}

async fn supervise(
    program: Program,
    addresses: Vec<SocketAddr>,
    restarts: bool,
) -> Result<ExitCode, Failure> {
    let mut stop = StopSignals::new()?;
    let (sender, mut events) = mpsc::channel(EVENTS);
    let mut supervisor = Supervisor::start(program, restarts, sender.clone())?;
    let (asking, mut answers) = mpsc::channel(1);
    let poller = tokio::spawn(ask_for_ever(addresses, supervisor.ready(), asking));
    let outcome = loop {
        let next = tokio::select! {
            event = events.recv() => supervisor.handle_event(event.expect("this function holds a sender")),
            Some(answers) = answers.recv() => {
                supervisor.handle_answers(&answers);
                Ok(())
            }
            name = stop.recv() => {
                say(format_args!("{name}: stopping"));
                break Ok(());
            }
        };
        if let Err(failure) = next {
            break Err(failure);
        }
    };
    poller.abort();
    let stopped = stop_all(&mut supervisor, &mut events, &mut stop).await;
    outcome?;
    Ok(if stopped {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Asks, hands over, waits, asks again.
async fn ask_for_ever(
    addresses: Vec<SocketAddr>,
    ready: tokio::sync::watch::Receiver<bool>,
    asking: mpsc::Sender<Vec<Result<NodeStatus, NoStatus>>>,
) {
    loop {
        let addresses = addresses.clone();
        let answers = tokio::task::spawn_blocking(move || ask_all(&addresses));
        let Ok(answers) = answers.await else { return };
        if asking.send(answers).await.is_err() {
            return;
        }
        time::sleep(if *ready.borrow() {
            ASK_EVERY
        } else {
            ASK_EVERY_AT_START
        })
        .await;
    }
}

/// Asks the nodes to stop and waits; kills what is left after [`STOP_WITHIN`] or at a second signal. Whether all
/// stopped by themselves.
async fn stop_all(
    supervisor: &mut Supervisor,
    events: &mut mpsc::Receiver<Event>,
    stop: &mut StopSignals,
) -> bool {
    supervisor.terminate();
    let deadline = time::sleep(STOP_WITHIN);
    tokio::pin!(deadline);
    let mut killed = false;
    while supervisor.is_any_running() {
        tokio::select! {
            Some(event) = events.recv() => supervisor.handle_event_while_stopping(event),
            () = &mut deadline, if !killed => {
                say(format_args!("still running after {} s: killed", STOP_WITHIN.as_secs()));
                killed = true;
                supervisor.kill();
            }
            name = stop.recv() => {
                say(format_args!("{name} again: killed"));
                killed = true;
                supervisor.kill();
            }
        }
    }
    say("all nodes have stopped");
    !killed
}

/// What ends a supervisor.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignals {
    fn new() -> Result<StopSignals, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::new("signals cannot be received").because(error));
        Ok(StopSignals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The next one's name.
    async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}
