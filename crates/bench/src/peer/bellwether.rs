//! A Bellwether cluster, driven by pgbench: one of this run's own, or one that runs already.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::time::{self, Instant};

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::pg::{Address, Session};
use crate::pgbench::{Load, Pgbench};
use crate::usage::{Reading, Source};
use crate::workload::Door;

/// How long there may be no leader, or no node to talk to: a start, a failover.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to leave the nodes alone between two questions.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(50);

/// The nodes' doors.
pub struct Bellwether {
    pg: Vec<Address>,
    /// As many as `pg`, or none.
    http: Vec<SocketAddr>,
    /// `None` when the cluster is somebody else's.
    cluster: Option<Cluster>,
    pgbench: Pgbench,
    server_version: String,
}

impl Bellwether {
    /// A fresh cluster on this machine.
    pub async fn start(
        program: &Path,
        nodes: u16,
        dir: &Path,
        pgbench: Pgbench,
    ) -> Result<Bellwether, Failure> {
        let cluster = Cluster::start(program, nodes, dir)?;
        let address = |address: SocketAddr| Address {
            host: address.ip().to_string(),
            port: address.port(),
        };
        let mut peer = Bellwether {
            pg: cluster.pg().into_iter().map(address).collect(),
            http: cluster.http(),
            cluster: Some(cluster),
            pgbench,
            server_version: String::new(),
        };
        peer.wait_until_ready().await?;
        Ok(peer)
    }

    /// A cluster that runs. `http` is in the order of `pg`, or empty.
    pub async fn connect(
        pg: Vec<Address>,
        http: Vec<SocketAddr>,
        pgbench: Pgbench,
    ) -> Result<Bellwether, Failure> {
        let mut peer = Bellwether {
            pg,
            http,
            cluster: None,
            pgbench,
            server_version: String::new(),
        };
        peer.wait_until_ready().await?;
        Ok(peer)
    }

    pub(super) fn description(&self) -> String {
        format!("{} nodes, server_version {}", self.pg.len(), self.server_version)
    }

    pub(super) fn replicas(&self) -> usize {
        self.pg.len()
    }

    /// Every node accepts connections, and one leads.
    async fn wait_until_ready(&mut self) -> Result<(), Failure> {
        self.leader().await?;
        for replica in 0..self.pg.len() {
            let session = self.session(replica).await?;
            self.server_version = session.server_version;
        }
        Ok(())
    }

    /// The node that says, of itself, that it writes.
    pub(super) async fn leader(&mut self) -> Result<usize, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut reasons = Vec::new();
            for (replica, address) in self.pg.iter().enumerate() {
                match Session::connect(address).await {
                    Ok(session) if session.leads => return Ok(replica),
                    Ok(_) => reasons.push(format!("{address} follows")),
                    Err(failure) => reasons.push(failure.to_string()),
                }
            }
            self.give_up_at(deadline, "no node leads", &reasons.join("\n"))?;
            time::sleep(BETWEEN_QUESTIONS).await;
        }
    }

    async fn session(&mut self, replica: usize) -> Result<Session, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Session::connect(&self.pg[replica]).await {
                Ok(session) => return Ok(session),
                Err(failure) => self.give_up_at(deadline, "a node does not answer", &failure.to_string())?,
            }
            time::sleep(BETWEEN_QUESTIONS).await;
        }
    }

    fn give_up_at(&mut self, deadline: Instant, what: &str, why: &str) -> Result<(), Failure> {
        let ended = self.cluster.as_mut().and_then(Cluster::ended);
        if let Some(ended) = ended {
            return Err(ended);
        }
        if Instant::now() < deadline {
            return Ok(());
        }
        let said = self
            .cluster
            .as_ref()
            .map_or_else(String::new, Cluster::last_words);
        Err(Failure::new(format!("{what} for {} s", PATIENCE.as_secs()))
            .because(format!("{why}\n{said}").trim_end()))
    }

    pub(super) async fn execute(&mut self, statements: &[&str]) -> Result<(), Failure> {
        let leader = self.leader().await?;
        let session = self.session(leader).await?;
        for sql in statements {
            session.execute(sql).await?;
        }
        Ok(())
    }

    pub(super) async fn number(&mut self, replica: usize, sql: &str) -> Result<i64, Failure> {
        self.session(replica).await?.number(sql).await
    }

    pub(super) async fn run(&mut self, load: &Load) -> Result<Outcome, Failure> {
        let leader = self.leader().await?;
        let at = match load.workload.door() {
            Door::Leader => leader,
            Door::Follower => self.follower(leader)?,
        };
        let before = Reading::take(&self.sources());
        let mut outcome = self.pgbench.run(&self.pg[at], load).await?;
        let after = Reading::take(&self.sources());
        outcome.leader_changed = self.leader().await? != leader;
        outcome.usage = after.since(&before, leader);
        Ok(outcome)
    }

    fn follower(&self, leader: usize) -> Result<usize, Failure> {
        let mut others = (0..self.pg.len()).filter(|replica| *replica != leader);
        others.next().ok_or_else(|| {
            Failure::new("there is no follower to read from")
                .because("one node alone is known")
                .hint("leave read-follower out of --workloads, or name more nodes with --connect")
        })
    }

    fn sources(&self) -> Vec<Source> {
        let processes = self.cluster.as_ref().map(Cluster::processes).unwrap_or_default();
        let source = |replica: usize| Source {
            process: processes.get(replica).copied().flatten(),
            http: self.http.get(replica).copied(),
        };
        (0..self.pg.len()).map(source).collect()
    }
}
