//! A cluster whose nodes a test starts, kills and pauses one by one.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use bellwether_http::{DatabaseStatus, NodeStatus, Role};
use bellwether_types::NodeId;
use tempfile::TempDir;
use tokio_postgres::{Client, Config, NoTls};

use super::wire::Wire;
use super::{bellwether, free_range, print_log, send_signal, status, wait_for};

/// The database that a fresh cluster has.
pub const DATABASE: &str = "postgres";

/// What the nodes prove to one another.
pub const SECRET: &str = "a secret for tests, of 32 and more characters";

/// The cluster's id, as `serve` takes it.
pub const CLUSTER: &str = "b0b";

/// Nodes 1 … N. Those that run are killed when it is dropped.
pub struct Cluster {
    dir: TempDir,
    nodes: BTreeMap<NodeId, Node>,
    /// What every node is started with besides.
    options: Vec<String>,
    /// Where other machines reach the nodes; `None`: nowhere.
    host: Option<IpAddr>,
    /// The last number that a node was given.
    last_number: u64,
}

struct Node {
    peer: SocketAddr,
    pg: SocketAddr,
    http: SocketAddr,
    child: Option<Child>,
    /// How it came into the cluster, if it did not found it.
    joined: Option<Vec<String>>,
}

impl Node {
    /// At three ports in a row.
    fn at(port: u16) -> Node {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Node {
            peer: at(port),
            pg: at(port + 1),
            http: at(port + 2),
            child: None,
            joined: None,
        }
    }
}

impl Cluster {
    /// Starts a fresh cluster and waits until every node is up and one leads.
    #[track_caller]
    pub fn start(nodes: u16) -> Cluster {
        Cluster::start_with(nodes, &[])
    }

    /// As [`Cluster::start`], with more options of `serve`.
    #[track_caller]
    pub fn start_with(nodes: u16, options: &[&str]) -> Cluster {
        let mut cluster = Cluster::prepare(nodes);
        cluster.options = options.iter().map(|&option| option.to_owned()).collect();
        for node in cluster.ids() {
            cluster.start_node(node);
        }
        cluster.wait_until_ready();
        cluster
    }

    /// As [`Cluster::start_with`], of nodes that listen where other machines can come, and reach one another there.
    #[track_caller]
    pub fn start_at(host: IpAddr, nodes: u16, options: &[&str]) -> Cluster {
        let mut cluster = Cluster::prepare(nodes);
        cluster.host = Some(host);
        cluster.options = options.iter().map(|&option| option.to_owned()).collect();
        for node in cluster.ids() {
            cluster.start_node(node);
        }
        cluster.wait_until_ready();
        cluster
    }

    /// A fresh cluster of which no node runs yet.
    pub fn prepare(nodes: u16) -> Cluster {
        let dir = tempfile::tempdir().expect("a directory");
        write_private(&dir.path().join("secret"), SECRET);
        let first = free_range(nodes * 3);
        let ports = (first..first + nodes * 3).step_by(3).map(Node::at);
        Cluster {
            dir,
            nodes: (1..).map(NodeId).zip(ports).collect(),
            options: Vec::new(),
            host: None,
            last_number: u64::from(nodes),
        }
    }

    /// The nodes' numbers.
    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// Lets a node join that has nothing, by asking that one, and waits until it is a member. Options are `serve`'s.
    #[track_caller]
    pub fn join(&mut self, by: NodeId, options: &[&str]) -> NodeId {
        let number = 1 + self.last_number;
        self.last_number = number;
        let node = NodeId(number);
        let mut joined = vec!["--join".to_owned(), self.peer(by).to_string()];
        joined.extend(options.iter().map(|&option| option.to_owned()));
        let joining = Node {
            joined: Some(joined),
            ..Node::at(free_range(3))
        };
        self.nodes.insert(node, joining);
        self.start_node(node);
        let status = wait_for("a node that joins", || self.status(node));
        assert_eq!(status.node, node, "numbers are given in a row");
        node
    }

    /// A node that runs is not looked after any more: the test has let it leave.
    #[track_caller]
    pub fn forget(&mut self, node: NodeId) -> ExitStatus {
        let mut gone = self.nodes.remove(&node).expect("a node of this cluster");
        let child = gone.child.as_mut().expect("it runs");
        wait_for("a node that left", || {
            child.try_wait().expect("it was started here")
        })
    }

    /// A node that does not run has moved: its addresses are others from now on.
    pub fn relocate(&mut self, node: NodeId) {
        let old = self.nodes.remove(&node).expect("a node of this cluster");
        assert!(old.child.is_none(), "node {node} runs");
        let moved = Node {
            joined: old.joined,
            ..Node::at(free_range(3))
        };
        self.nodes.insert(node, moved);
    }

    /// The program, to be given a command about nodes at this one.
    pub fn node_command(&self, at: NodeId, arguments: &[&str]) -> Command {
        let mut command = bellwether();
        command.arg("node").args(arguments);
        match arguments.first() {
            Some(&"list") => command.args(["--http", &self.http(at).to_string()]),
            _ => command.args(["--pg-port", &self.pg(at).port().to_string()]),
        };
        command
    }

    /// Where PostgreSQL clients connect.
    pub fn pg(&self, node: NodeId) -> SocketAddr {
        self.node(node).pg
    }

    /// Where health, metrics and status are.
    pub fn http(&self, node: NodeId) -> SocketAddr {
        self.node(node).http
    }

    /// Where a node keeps its data.
    pub fn data_dir(&self, node: NodeId) -> PathBuf {
        self.dir.path().join(format!("node-{node}"))
    }

    /// What a node writes to stderr.
    pub fn log_path(&self, node: NodeId) -> PathBuf {
        self.dir.path().join(format!("node-{node}.log"))
    }

    /// Starts a node that does not run, on what it left.
    pub fn start_node(&mut self, node: NodeId) {
        self.start_node_in(node, &[]);
    }

    /// The same, with these environment variables.
    pub fn start_node_in(&mut self, node: NodeId, environment: &[(&str, &str)]) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path(node))
            .expect("a log");
        assert!(self.node(node).child.is_none(), "node {node} runs already");
        let mut command = self.command(node, &self.data_dir(node), CLUSTER);
        let child = command
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.node_mut(node).child = Some(child.expect("the built program starts"));
    }

    /// A node that a test has started with [`Cluster::command`] is one of these from now on.
    pub fn adopt(&mut self, node: NodeId, child: Child) {
        assert!(self.node(node).child.is_none(), "node {node} runs already");
        self.node_mut(node).child = Some(child);
    }

    /// The command that runs a node, on a directory and in the name of a cluster that need not be its own.
    pub fn command(&self, node: NodeId, data_dir: &Path, cluster: &str) -> Command {
        let Node { peer, pg, http, .. } = self.node(node);
        let [peer, pg, http] = [peer, pg, http].map(|address| match self.host {
            Some(_) => SocketAddr::from(([0, 0, 0, 0], address.port())),
            None => *address,
        });
        let mut command = bellwether();
        command
            .args(["serve", "--data-dir"])
            .arg(data_dir)
            .arg("--secret-file")
            .arg(self.dir.path().join("secret"))
            .args(["--listen-peer", &peer.to_string()])
            .args(["--listen-pg", &pg.to_string()])
            .args(["--listen-http", &http.to_string()])
            .args(&self.options);
        if let Some(joined) = &self.node(node).joined {
            command.args(joined);
            return command;
        }
        command.args(["--cluster", cluster, "--node", &node.to_string()]);
        let founders = self.nodes.iter().filter(|(_, node)| node.joined.is_none());
        for (id, Node { peer, pg, http, .. }) in founders {
            let [peer, pg, http] = [peer, pg, http].map(|address| match self.host {
                Some(host) => SocketAddr::new(host, address.port()),
                None => *address,
            });
            command.args(["--member", &format!("{id}={peer},{pg},{http}")]);
        }
        command
    }

    /// `kill -9`: what was not synced may still be in the system's cache, but the process is gone.
    pub fn kill(&mut self, node: NodeId) {
        let mut child = self
            .node_mut(node)
            .child
            .take()
            .unwrap_or_else(|| panic!("node {node} does not run"));
        child.kill().expect("it has not been waited for");
        child.wait().expect("it was started here");
    }

    /// SIGTERM, and waits for the end.
    #[track_caller]
    pub fn stop(&mut self, node: NodeId) {
        let mut child = self
            .node_mut(node)
            .child
            .take()
            .unwrap_or_else(|| panic!("node {node} does not run"));
        send_signal(child.id(), libc::SIGTERM);
        let end = wait_for("a node that was asked to stop", || {
            child.try_wait().expect("it was started here")
        });
        assert!(end.success(), "node {node} was asked to stop: {end}");
    }

    /// SIGSTOP: the node freezes, its sockets stay open.
    pub fn pause(&self, node: NodeId) {
        send_signal(self.process(node), libc::SIGSTOP);
    }

    /// SIGCONT.
    pub fn resume(&self, node: NodeId) {
        send_signal(self.process(node), libc::SIGCONT);
    }

    /// What a node says about itself; `None` when it does not answer.
    pub fn status(&self, node: NodeId) -> Option<NodeStatus> {
        status(self.http(node))
    }

    /// What a node says about its replica of [`DATABASE`].
    pub fn replica(&self, node: NodeId) -> Option<DatabaseStatus> {
        self.status(node)?.database(DATABASE).cloned()
    }

    /// The leader, by its own word: the one of the latest term, should two think so.
    pub fn leader(&self) -> Option<NodeId> {
        let replicas = self
            .ids()
            .into_iter()
            .filter_map(|node| Some((node, self.replica(node)?)));
        let leaders = replicas.filter(|(_, replica)| replica.role == Role::Leader);
        leaders
            .max_by_key(|(_, replica)| replica.term)
            .map(|(node, _)| node)
    }

    /// Waits for a leader.
    #[track_caller]
    pub fn wait_for_leader(&self) -> NodeId {
        wait_for("a leader", || self.leader())
    }

    /// Waits for a leader other than `old`.
    #[track_caller]
    pub fn wait_for_leader_other_than(&self, old: NodeId) -> NodeId {
        wait_for("another leader", || self.leader().filter(|leader| *leader != old))
    }

    /// Waits until every node that runs serves, one leads, and clients are let in everywhere.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        let running: Vec<NodeId> = self
            .ids()
            .into_iter()
            .filter(|node| self.node(*node).child.is_some())
            .collect();
        wait_for("all nodes to serve", || {
            let serves = |node: &NodeId| self.replica(*node).is_some_and(|replica| replica.serving);
            (running.iter().all(serves) && self.leader().is_some()).then_some(())
        });
        for node in running {
            wait_for("a node to let clients in", || {
                Wire::is_let_in(self.pg(node)).then_some(())
            });
        }
    }

    /// Waits until every node holds the same position, then asserts that it holds the same content.
    #[track_caller]
    pub fn assert_equal_fingerprints(&self) {
        let replicas: Vec<DatabaseStatus> = wait_for("all nodes at one position", || {
            let replicas: Option<Vec<_>> = self.ids().into_iter().map(|node| self.replica(node)).collect();
            replicas.filter(|replicas| replicas.windows(2).all(|pair| pair[0].applied == pair[1].applied))
        });
        for (node, replica) in self.ids().into_iter().zip(&replicas) {
            assert_eq!(
                replica.fingerprint, replicas[0].fingerprint,
                "node {node} against node 1 at {}",
                replica.applied
            );
        }
    }

    /// A session at a node.
    pub async fn connect(&self, node: NodeId) -> Result<Client, tokio_postgres::Error> {
        let pg = self.pg(node);
        let mut config = Config::new();
        config
            .host(pg.ip().to_string())
            .port(pg.port())
            .user("postgres")
            .dbname(DATABASE);
        let (client, connection) = config.connect(NoTls).await?;
        // How it ended shows at the client's next use.
        tokio::spawn(async move { connection.await.ok() });
        Ok(client)
    }

    /// Prints the end of every node's log.
    pub fn print_logs(&self) {
        for node in self.ids() {
            print_log(&format!("node {node}"), &self.log_path(node));
        }
    }

    /// A session at the leader.
    pub async fn connect_to_leader(&self) -> Client {
        let leader = self.wait_for_leader();
        self.connect(leader).await.expect("the leader lets clients in")
    }

    /// A session at a follower.
    pub async fn connect_to_follower(&self) -> Client {
        let follower = self.followers()[0];
        self.connect(follower).await.expect("a follower lets clients in")
    }

    /// The nodes that do not lead.
    #[track_caller]
    pub fn followers(&self) -> Vec<NodeId> {
        let leader = self.wait_for_leader();
        self.ids().into_iter().filter(|node| *node != leader).collect()
    }

    /// Where other nodes connect.
    pub fn peer(&self, node: NodeId) -> SocketAddr {
        self.node(node).peer
    }

    /// The process of a node that runs.
    pub fn process(&self, node: NodeId) -> u32 {
        self.node(node)
            .child
            .as_ref()
            .unwrap_or_else(|| panic!("node {node} does not run"))
            .id()
    }

    fn node(&self, node: NodeId) -> &Node {
        &self.nodes[&node]
    }

    fn node_mut(&mut self, node: NodeId) -> &mut Node {
        self.nodes.get_mut(&node).expect("a node of this cluster")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.nodes.values_mut().filter_map(|node| node.child.as_mut()) {
            // Either may fail for a child that has ended by itself, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            self.print_logs();
        }
    }
}

/// Writes a file that only this user can read, as secrets must be.
pub fn write_private(path: &Path, content: &str) {
    std::fs::write(path, content).expect("writable");
    let only_ours = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, only_ours).expect("ours");
}
