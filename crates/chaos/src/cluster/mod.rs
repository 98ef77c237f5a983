//! A real cluster of this run's own: each node a process of the built program, with proxies between them and before
//! their clients' doors. Nodes are killed, and their data removed, when it is dropped.

mod disk;
mod members;
mod network;
mod ports;
mod status;

pub use network::{Network, Node};
pub use status::Replica;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::failure::Failure;
use crate::link::{Flow, Link};
use crate::patience::Patience;
use crate::session::{Promise, Session};
use disk::Disk;
use members::Changes;

/// How long a cluster may take until it is whole, of a machine that is busy and a log that is long. Longer, and it
/// counts as hung.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);

/// For a node that is there to let a client in.
const SESSION_WITHIN: Duration = Duration::from_secs(30);

/// What every node is given to prove to the others.
const SECRET: &str = "a secret of chaos alone, of 32 and more characters";

/// How a cluster is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// The built program.
    pub program: PathBuf,
    /// How many nodes.
    pub nodes: u16,
    /// Where nodes' logs go, as `node-N.log`.
    pub logs: PathBuf,
    /// Whether each node's data is on a disk that can be filled.
    pub on_small_disks: bool,
}

/// Nodes 1 … N.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    // Before `dir`: what is mounted there must go first.
    nodes: Vec<Process>,
    network: Network,
    /// Before each node's door for clients.
    doors: Vec<Link>,
    changes: Changes,
    dir: TempDir,
}

#[derive(Debug)]
struct Process {
    peer: SocketAddr,
    pg: SocketAddr,
    http: SocketAddr,
    child: Option<Child>,
    is_paused: bool,
    disk: Option<Disk>,
}

impl Cluster {
    /// Starts a fresh cluster and waits until it is whole.
    pub async fn start(options: Options) -> Result<Cluster, Failure> {
        let mut cluster = Cluster::prepare(options).await?;
        for node in cluster.all() {
            cluster.start_node(node)?;
        }
        cluster.wait_until_whole().await?;
        Ok(cluster)
    }

    async fn prepare(options: Options) -> Result<Cluster, Failure> {
        let unusable =
            |error: std::io::Error| Failure::new("a directory for data cannot be made").because(error);
        let dir = tempfile::Builder::new().prefix("bellwether-chaos-").tempdir();
        let dir = dir.map_err(unusable)?;
        std::fs::create_dir_all(&options.logs).map_err(unusable)?;
        write_secret(&dir.path().join("secret")).map_err(unusable)?;
        let first = ports::free_ports(options.nodes * 3)?;
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut nodes = Vec::new();
        for (node, port) in (1..=options.nodes).zip((first..).step_by(3)) {
            let data = dir.path().join(format!("node-{node}"));
            let disk = options.on_small_disks.then(|| Disk::mount(&data));
            nodes.push(Process {
                peer: at(port),
                pg: at(port + 1),
                http: at(port + 2),
                child: None,
                is_paused: false,
                disk: disk.transpose().map_err(unusable)?,
            });
        }
        let no_port = |error: std::io::Error| Failure::new("a proxy cannot listen").because(error);
        let peers: Vec<SocketAddr> = nodes.iter().map(|node| node.peer).collect();
        let network = Network::open(&peers).await.map_err(no_port)?;
        let mut doors = Vec::new();
        for node in &nodes {
            doors.push(Link::open(node.pg).await.map_err(no_port)?);
        }
        Ok(Cluster {
            options,
            nodes,
            network,
            doors,
            changes: Changes::default(),
            dir,
        })
    }

    /// All nodes' numbers.
    pub fn all(&self) -> Vec<Node> {
        (1..=self.nodes.len() as u64).collect()
    }

    /// All nodes' numbers without one's.
    pub fn all_but(&self, node: Node) -> Vec<Node> {
        self.all().into_iter().filter(|other| *other != node).collect()
    }

    /// Where a node's clients connect: its proxy's address.
    pub fn door(&self, node: Node) -> SocketAddr {
        self.doors[node as usize - 1].address()
    }

    /// What becomes of a node's answers to its clients.
    pub fn set_answers(&self, node: Node, flow: Flow) {
        self.doors[node as usize - 1].set_back(flow);
    }

    /// What becomes of everything between a node and its clients.
    pub fn set_door(&self, node: Node, flow: Flow) {
        self.doors[node as usize - 1].set_forth(flow);
        self.set_answers(node, flow);
    }

    /// A session of the run's own, as soon as there is a way.
    pub async fn session(&self, node: Node) -> Result<Session, Failure> {
        let opened = Session::open_within(self.door(node), Promise::STRONG, SESSION_WITHIN).await;
        opened.map_err(|trouble| Failure::new(format!("node {node} lets nobody in")).because(trouble))
    }

    /// Between the nodes.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Whether disks can be filled here.
    pub fn can_fill_disks() -> bool {
        tempfile::tempdir().is_ok_and(|dir| Disk::is_possible(dir.path()))
    }

    fn process(&mut self, node: Node) -> &mut Process {
        &mut self.nodes[node as usize - 1]
    }

    /// Starts a node that does not run, on what it left.
    pub fn start_node(&mut self, node: Node) -> Result<(), Failure> {
        let command = self.command(node);
        let child = spawn(command, &self.log_path(node));
        self.process(node).child = Some(child?);
        Ok(())
    }

    fn command(&self, node: Node) -> Command {
        let Process { peer, pg, http, .. } = &self.nodes[node as usize - 1];
        let mut command = self.serve(&format!("node-{node}"), [*peer, *pg, *http]);
        command.args(["--cluster", "c4a05", "--node", &node.to_string()]);
        for (other, Process { peer, pg, http, .. }) in (1..).zip(&self.nodes) {
            command.args(["--member", &format!("{other}={peer},{pg},{http}")]);
            if other != node {
                let link = self.network.address(node, other);
                command.args(["--via", &format!("{other}={link}")]);
            }
        }
        command
    }

    /// What all nodes are told. `listens`: to peers, clients, HTTP.
    fn serve(&self, name: &str, listens: [SocketAddr; 3]) -> Command {
        let mut command = Command::new(&self.options.program);
        die_with_parent(&mut command);
        command
            .args(["serve", "--data-dir"])
            .arg(self.dir.path().join(name).join("data"))
            .arg("--secret-file")
            .arg(self.dir.path().join("secret"));
        for (option, address) in ["--listen-peer", "--listen-pg", "--listen-http"]
            .into_iter()
            .zip(listens)
        {
            command.args([option, &address.to_string()]);
        }
        command
    }

    fn log_path(&self, node: Node) -> PathBuf {
        self.options.logs.join(format!("node-{node}.log"))
    }

    /// `kill -9`. False when it did not run.
    pub fn kill(&mut self, node: Node) -> bool {
        let process = self.process(node);
        process.is_paused = false;
        let Some(mut child) = process.child.take() else {
            return false;
        };
        // Either fails when it has ended by itself, which its log says.
        child.kill().ok();
        child.wait().ok();
        true
    }

    /// SIGTERM: the node hands over and ends by itself, in time or it is an error.
    pub async fn stop(&mut self, node: Node) -> Result<(), Failure> {
        let Some(child) = &mut self.process(node).child else {
            return Ok(());
        };
        signal(child, libc::SIGTERM);
        let patience = Patience::of(WHOLE_WITHIN);
        while !matches!(child.try_wait(), Ok(Some(_))) {
            if !patience.lasts().await {
                return Err(Failure::new(format!("node {node} does not stop")));
            }
        }
        self.process(node).child = None;
        Ok(())
    }

    /// SIGSTOP: the node freezes, its sockets stay open. False when it did not run.
    pub fn pause(&mut self, node: Node) -> bool {
        let process = self.process(node);
        process.is_paused = process
            .child
            .as_ref()
            .is_some_and(|child| signal(child, libc::SIGSTOP));
        process.is_paused
    }

    /// SIGCONT.
    pub fn resume(&mut self, node: Node) {
        let process = self.process(node);
        if let (true, Some(child)) = (process.is_paused, &process.child) {
            signal(child, libc::SIGCONT);
        }
        process.is_paused = false;
    }

    /// Leaves a node no space for its data.
    pub fn fill_disk(&self, node: Node) -> Result<(), Failure> {
        let disk = self.nodes[node as usize - 1].disk.as_ref();
        disk.map_or(Ok(()), Disk::fill)
            .map_err(|error| Failure::new(format!("the disk of node {node} cannot be filled")).because(error))
    }

    /// Leaves the nodes' data where it is, for whoever looks for what went wrong. What was on small disks is lost.
    pub fn keep_data(&mut self) -> &Path {
        self.dir.disable_cleanup(true);
        self.dir.path()
    }

    /// Ends every fault: nodes run, everything flows, disks have space, each node has its vote. An error when a node has
    /// ended by itself.
    pub async fn heal(&mut self) -> Result<(), Failure> {
        self.network.heal();
        for node in self.all() {
            self.set_door(node, Flow::Open);
            if let Some(disk) = &self.process(node).disk {
                disk.empty();
            }
            self.resume(node);
            self.check_runs(node)?;
            if self.process(node).child.is_none() {
                self.start_node(node)?;
            }
        }
        self.undo_changes().await
    }

    /// No fault is a reason for a node to end that was not killed, a full disk neither.
    fn check_runs(&mut self, node: Node) -> Result<(), Failure> {
        let child = self.process(node).child.as_mut();
        let Some(Ok(Some(status))) = child.map(Child::try_wait) else {
            return Ok(());
        };
        let log = self.log_path(node);
        let failure = Failure::new(format!("node {node} has ended by itself: {status}"));
        Err(failure.because(format!("its log is {}", log.display())))
    }

    /// What a node says; `None` when it does not answer.
    pub async fn replica(&self, node: Node) -> Option<Replica> {
        status::replica(self.nodes[node as usize - 1].http).await
    }

    /// What a node says of all its databases; `None` when it does not answer.
    pub async fn databases(&self, node: Node) -> Option<Vec<Replica>> {
        status::replicas(self.nodes[node as usize - 1].http).await
    }

    /// The most memory that a node's process has held since it was started, in bytes; `None` where the system does not
    /// tell (it does on Linux: `VmHWM`).
    pub fn peak_memory(&self, node: Node) -> Option<u64> {
        let child = self.nodes[node as usize - 1].child.as_ref()?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib << 10)
    }

    /// The leader by its own word: the one of the latest term, should two think so.
    pub async fn leader(&self) -> Option<Node> {
        let mut found: Option<(u64, Node)> = None;
        for node in self.all() {
            if let Some(replica) = self
                .replica(node)
                .await
                .filter(|replica| replica.role == "leader")
            {
                found = found.max(Some((replica.term, node)));
            }
        }
        found.map(|(_, node)| node)
    }

    /// Waits until a node leads that is not `old`; `None` when none does in time.
    pub async fn wait_for_leader(&self, old: Option<Node>, within: Duration) -> Option<Node> {
        let patience = Patience::of(within);
        loop {
            let leader = self.leader().await.filter(|leader| Some(*leader) != old);
            if leader.is_some() || !patience.lasts().await {
                return leader;
            }
        }
    }

    /// Waits until every node serves and follows the same leader.
    pub async fn wait_until_whole(&mut self) -> Result<(), Failure> {
        let patience = Patience::of(WHOLE_WITHIN);
        loop {
            let replicas = self.replicas().await;
            let leads = |replica: &Replica| (replica.serving, replica.term, replica.leader);
            let first = replicas.first().and_then(|replica| replica.as_ref().map(leads));
            let is_whole = first.is_some_and(|(serving, _, leader)| serving && leader.is_some())
                && replicas
                    .iter()
                    .all(|replica| replica.as_ref().map(leads) == first);
            if is_whole {
                return Ok(());
            }
            for node in self.all() {
                self.check_runs(node)?;
            }
            if !patience.lasts().await {
                return Err(self.not_whole(&replicas));
            }
        }
    }

    async fn replicas(&self) -> Vec<Option<Replica>> {
        let mut replicas = Vec::new();
        for node in self.all() {
            replicas.push(self.replica(node).await);
        }
        replicas
    }

    fn not_whole(&self, replicas: &[Option<Replica>]) -> Failure {
        let mut lines = Vec::new();
        for (node, replica) in (1..).zip(replicas) {
            let state = match replica {
                Some(replica) => format!("{replica:?}"),
                None => "does not answer".to_owned(),
            };
            lines.push(format!(
                "node {node}: {state}, log {}",
                self.log_path(node).display()
            ));
        }
        Failure::new(format!(
            "the cluster is not whole after {} s",
            WHOLE_WITHIN.as_secs()
        ))
        .because(lines.join("\n"))
    }

    /// Waits until all nodes are at one position; an error when their content differs there, or when that takes too
    /// long.
    pub async fn compare(&mut self) -> Result<(), Failure> {
        let patience = Patience::of(WHOLE_WITHIN);
        loop {
            let replicas = self.replicas().await;
            let all: Option<Vec<&Replica>> = replicas.iter().map(Option::as_ref).collect();
            let all = all.unwrap_or_default();
            let is_level = all.windows(2).all(|pair| pair[0].applied == pair[1].applied);
            if is_level && !all.is_empty() {
                let is_equal = all
                    .windows(2)
                    .all(|pair| pair[0].fingerprint == pair[1].fingerprint);
                let shown: Vec<String> = all.iter().map(|replica| format!("{replica:?}")).collect();
                let differ = || Failure::new("replicas at one position differ").because(shown.join("\n"));
                return if is_equal { Ok(()) } else { Err(differ()) };
            }
            if !patience.lasts().await {
                return Err(self.not_whole(&replicas));
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.all() {
            self.kill(node);
        }
        self.changes.end();
    }
}

/// Its standard error goes to the end of a file.
fn spawn(mut command: Command, log: &Path) -> Result<Child, Failure> {
    let log_file = File::options().create(true).append(true).open(log);
    let log_file = log_file.map_err(|error| {
        Failure::new("a log cannot be written").because(format!("{}: {error}", log.display()))
    })?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log_file);
    command.spawn().map_err(|error| {
        let program = command.get_program().to_string_lossy();
        Failure::new("a node cannot be started")
            .because(format!("{program}: {error}"))
            .hint("name the program with --bellwether")
    })
}

/// False when the process is no more.
fn signal(child: &Child, signal: libc::c_int) -> bool {
    // SAFETY: `kill` touches no memory; the child has not been waited for, so the number is still its own.
    unsafe { libc::kill(child.id() as libc::pid_t, signal) == 0 }
}

/// Whoever kills this program leaves no nodes behind. The system asks for the thread that starts them, which is the one
/// that the program ends with.
#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    let die = || {
        // SAFETY: prctl touches no memory here; it is allowed between fork and exec.
        match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure calls prctl alone.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, die) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}

/// For its owner alone, as nodes demand.
fn write_secret(path: &Path) -> std::io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    std::io::Write::write_all(&mut file, SECRET.as_bytes())
}

/// The program beside this one.
pub fn default_program() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()
        .map_err(|error| Failure::new("the path of this program is not known").because(error))?;
    let program = own.with_file_name("bellwether");
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure::new(format!("{} is not there", program.display()))
        .because("the nodes' program is looked for beside this one")
        .hint("build it with `cargo build --release`, or name it with --bellwether"))
}
