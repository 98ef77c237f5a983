//! Servers of PostgreSQL's protocol, driven by pgbench: a Bellwether cluster or PostgreSQL's, of this run's own or
//! one that runs already.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::Kind;
use super::postgres::{Postgres, SHOWN_SETTINGS};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::patience::Patience;
use crate::pg::{Address, Session};
use crate::pgbench::{Load, Pgbench};
use crate::process;
use crate::script::{NotUnderstood, Script};
use crate::usage::{Reading, Source, Sources};
use crate::workload::{Door, SETUP};

/// How long there may be no leader, or no server to talk to: a start, a failover.
const PATIENCE: Duration = Duration::from_secs(30);

/// Servers that this run started and stops when it ends.
pub trait Started {
    /// The first process of each server, in the order of their numbers; `None` for one that does not run.
    fn processes(&self) -> Vec<Option<u32>>;
    /// The processes below which all others are.
    fn roots(&self) -> Vec<u32>;
    /// Why there are no servers, when they have ended by themselves.
    fn ended(&mut self) -> Option<Failure>;
    /// The end of what they have printed.
    fn last_words(&self) -> String;
}

/// The servers' doors.
pub struct Served {
    kind: Kind,
    pg: Vec<Address>,
    /// As many as `pg`, or none.
    http: Vec<SocketAddr>,
    /// `None` when they are somebody else's.
    started: Option<Box<dyn Started>>,
    pgbench: Pgbench,
    description: String,
}

impl Served {
    /// A fresh Bellwether cluster on this machine.
    pub async fn start_bellwether(
        kind: Kind,
        program: &Path,
        nodes: u16,
        dir: &Path,
        pgbench: Pgbench,
    ) -> Result<Served, Failure> {
        let cluster = Cluster::start(program, nodes, dir)?;
        let (pg, http) = (addresses(&cluster.pg()), cluster.http());
        Served::open(kind, pg, http, Some(Box::new(cluster)), pgbench).await
    }

    /// A fresh PostgreSQL primary with its standbys on this machine.
    pub async fn start_postgres(servers: u16, dir: &Path, pgbench: Pgbench) -> Result<Served, Failure> {
        let postgres = Postgres::start(servers, dir).await?;
        let pg = addresses(&postgres.pg());
        let mut served =
            Served::open(Kind::Postgres, pg, Vec::new(), Some(Box::new(postgres)), pgbench).await?;
        let session = served.session(0).await?;
        for setting in SHOWN_SETTINGS {
            let value = session.text(&format!("SHOW {setting}")).await?;
            served.description += &format!(", {setting} = {value}");
        }
        Ok(served)
    }

    /// Servers that run. `http` is in the order of `pg`, or empty.
    pub async fn connect(
        pg: Vec<Address>,
        http: Vec<SocketAddr>,
        pgbench: Pgbench,
    ) -> Result<Served, Failure> {
        Served::open(Kind::Bellwether, pg, http, None, pgbench).await
    }

    /// Every server accepts connections, and one leads.
    async fn open(
        kind: Kind,
        pg: Vec<Address>,
        http: Vec<SocketAddr>,
        started: Option<Box<dyn Started>>,
        pgbench: Pgbench,
    ) -> Result<Served, Failure> {
        let mut served = Served {
            kind,
            pg,
            http,
            started,
            pgbench,
            description: String::new(),
        };
        served.leader().await?;
        for replica in 0..served.pg.len() {
            let session = served.session(replica).await?;
            let (servers, version) = (served.pg.len(), session.server_version);
            served.description = format!("{servers} servers, server_version {version}");
        }
        Ok(served)
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn description(&self) -> String {
        self.description.clone()
    }

    pub(super) fn replicas(&self) -> usize {
        self.pg.len()
    }

    /// The server that says, of itself, that it writes.
    pub(super) async fn leader(&mut self) -> Result<usize, Failure> {
        let patience = Patience::of(PATIENCE);
        loop {
            let mut reasons = Vec::new();
            for (replica, address) in self.pg.iter().enumerate() {
                match Session::connect(address).await {
                    Ok(session) if session.leads => return Ok(replica),
                    Ok(_) => reasons.push(format!("{address} follows")),
                    Err(failure) => reasons.push(failure.to_string()),
                }
            }
            self.wait(&patience, "no server leads", &reasons.join("\n"))
                .await?;
        }
    }

    async fn session(&mut self, replica: usize) -> Result<Session, Failure> {
        let patience = Patience::of(PATIENCE);
        loop {
            match Session::connect(&self.pg[replica]).await {
                Ok(session) => return Ok(session),
                Err(failure) => {
                    let why = failure.to_string();
                    self.wait(&patience, "a server does not answer", &why).await?;
                }
            }
        }
    }

    /// Until the next question is due; an error when patience is over, or when servers of this run have ended.
    async fn wait(&mut self, patience: &Patience, what: &str, why: &str) -> Result<(), Failure> {
        let ended = self.started.as_mut().and_then(|started| started.ended());
        if let Some(ended) = ended {
            return Err(ended);
        }
        if patience.lasts().await {
            return Ok(());
        }
        let said = self.started.as_ref().map(|started| started.last_words());
        Err(Failure::new(format!("{what} for {} s", patience.seconds()))
            .because(format!("{why}\n{}", said.unwrap_or_default()).trim_end()))
    }

    /// Our own tables, pgbench's, and what a vacuum leaves: the state that both kinds of server begin in.
    pub(super) async fn make_tables(&mut self) -> Result<(), Failure> {
        let misread =
            |error: NotUnderstood| Failure::new("the set-up script is not understood").because(error);
        let setup = Script::parse(SETUP).map_err(misread)?;
        let leader = self.leader().await?;
        let session = self.session(leader).await?;
        for sql in setup.statements() {
            session.execute(sql).await?;
        }
        for table in ["bench_counters", "bench_events", "bench_accounts"] {
            session.execute(&format!("VACUUM ANALYZE {table}")).await?;
        }
        self.pgbench.fill(&self.pg[leader]).await
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

    /// The processes that work for it; empty when they are not known.
    pub(super) fn processes(&self) -> Vec<u32> {
        let roots = self.sources().roots;
        roots.into_iter().flat_map(process::tree).collect()
    }

    fn follower(&self, leader: usize) -> Result<usize, Failure> {
        let mut others = (0..self.pg.len()).filter(|replica| *replica != leader);
        others.next().ok_or_else(|| {
            Failure::new("there is no follower to read from")
                .because("one server alone is known")
                .hint("leave read-follower out of --workloads, or name more with --nodes or --connect")
        })
    }

    fn sources(&self) -> Sources {
        let started = self.started.as_ref();
        let processes = started.map(|started| started.processes()).unwrap_or_default();
        let source = |replica: usize| Source {
            process: processes.get(replica).copied().flatten(),
            http: self.http.get(replica).copied(),
        };
        Sources {
            nodes: (0..self.pg.len()).map(source).collect(),
            roots: started.map(|started| started.roots()).unwrap_or_default(),
        }
    }
}

fn addresses(addresses: &[SocketAddr]) -> Vec<Address> {
    let address = |address: &SocketAddr| Address {
        host: address.ip().to_string(),
        port: address.port(),
    };
    addresses.iter().map(address).collect()
}
