//! One run: a fresh cluster, clients at every node, a nemesis, and at the end reads that show everything.

mod client;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::cluster::{self, Cluster, Node};
use crate::failure::Failure;
use crate::history::{FORMAT, Header, Workload};
use crate::nemesis::{Deck, Fault, strike};
use crate::random::Random;
use crate::recorder::{Recorder, Who};
use crate::session::{Consistency, Promise};
use crate::workload::{BANK, Generator, Shared, final_reads, tables};
use client::Client;

/// What is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What clients do.
    pub workload: Workload,
    /// All chance is drawn from it.
    pub seed: u64,
    /// Of the cluster.
    pub nodes: u16,
    /// At each node.
    pub clients_per_node: u16,
    /// How long clients work.
    pub duration: Duration,
    /// Of all clients together, at most.
    pub operations_per_second: u32,
    /// What is drawn from.
    pub faults: Vec<Fault>,
    /// How long a fault lasts in the mean, and how long nothing is broken then.
    pub fault_duration: Duration,
    /// What reads promise.
    pub reads: Reads,
    /// How they are executed.
    pub transactions: Transactions,
    /// In what the log is written.
    pub log_format: LogFormat,
    /// The program.
    pub program: PathBuf,
}

/// What the reads of clients promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reads {
    /// `strong`
    Strong,
    /// `session`
    Session,
    /// Half of the clients each
    Mixed,
    /// `eventual`, and judged as if they were strong: to see that a broken promise is found
    Pretended,
}

impl Reads {
    fn of(self, client: u64) -> Consistency {
        match self {
            Reads::Strong => Consistency::Strong,
            Reads::Session => Consistency::Session,
            Reads::Mixed if client.is_multiple_of(2) => Consistency::Strong,
            Reads::Mixed => Consistency::Session,
            Reads::Pretended => Consistency::Eventual,
        }
    }
}

/// In what the database's log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `row`
    Row,
    /// `statement`
    Statement,
    /// `mixed`
    Mixed,
}

impl LogFormat {
    /// The statement that makes it so.
    fn statement(self) -> String {
        let name = match self {
            LogFormat::Row => "row",
            LogFormat::Statement => "statement",
            LogFormat::Mixed => "mixed",
        };
        format!("ALTER DATABASE postgres SET bellwether.log_format = '{name}'")
    }
}

/// How clients' transactions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transactions {
    /// With the one writer from their first write on
    Pessimistic,
    /// Side by side, compared at COMMIT
    Optimistic,
    /// Half of the clients each
    Mixed,
}

impl Transactions {
    fn are_optimistic(self, client: u64) -> bool {
        match self {
            Transactions::Pessimistic => false,
            Transactions::Optimistic => true,
            Transactions::Mixed => !client.is_multiple_of(2),
        }
    }
}

/// Where a run's history is.
pub fn history_in(dir: &Path) -> PathBuf {
    dir.join("history.jsonl")
}

impl Plan {
    /// Runs it; `say` gets a line for each fault. The history goes to [`history_in`] `dir`, with the nodes' logs beside
    /// it. Of a run that fails the nodes' data is kept.
    pub async fn run(&self, dir: &Path, say: impl Fn(&str)) -> Result<(), Failure> {
        let mut cluster = Cluster::start(cluster::Options {
            program: self.program.clone(),
            nodes: self.nodes,
            logs: dir.to_owned(),
            on_small_disks: self.faults.contains(&Fault::FillDisk),
        })
        .await?;
        let outcome = self.run_at(&mut cluster, &history_in(dir), &say).await;
        if outcome.is_err() {
            say(&format!(
                "the nodes' data is kept in {}",
                cluster.keep_data().display()
            ));
        }
        outcome
    }

    async fn run_at(&self, cluster: &mut Cluster, path: &Path, say: &impl Fn(&str)) -> Result<(), Failure> {
        let version = self.prepare(cluster).await?;
        let recorder = Recorder::create(path, &self.header(version)).map_err(unwritable)?;
        let recorder = Arc::new(recorder);
        let shared = Arc::new(Shared::default());
        // Not the same for every workload, or all would meet the same faults in the same order.
        let mut random = Random::new(self.seed ^ ((self.workload as u64) << 48));
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for client in self.clients(cluster, &mut random, &recorder, &shared) {
            clients.spawn(client.work(stopped.clone()));
        }
        let struck = self
            .strike_until_the_end(cluster, &mut random, &recorder, say)
            .await;
        stop.send_replace(true);
        while let Some(ended) = clients.join_next().await {
            ended.expect("no client panics").map_err(unwritable)?;
        }
        struck?;
        cluster.wait_until_whole().await?;
        self.read_everything(cluster, &recorder, &shared).await?;
        cluster.compare().await
    }

    fn header(&self, version: String) -> Header {
        let settings = [
            ("reads", name_of(&self.reads)),
            ("transactions", name_of(&self.transactions)),
            ("rate", self.operations_per_second.to_string()),
            ("fault_ms", self.fault_duration.as_millis().to_string()),
        ];
        Header {
            format: FORMAT.to_owned(),
            workload: self.workload,
            seed: self.seed,
            nodes: self.nodes.into(),
            clients: u64::from(self.nodes * self.clients_per_node),
            seconds: self.duration.as_secs(),
            version,
            settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
            faults: self.faults.iter().map(|fault| fault.name().to_owned()).collect(),
            bank: (self.workload == Workload::Bank).then_some(BANK),
        }
    }

    /// Makes the tables, and waits until every node has them: a session at another node promises nothing about what it
    /// has not seen. The version that the servers give.
    async fn prepare(&self, cluster: &mut Cluster) -> Result<String, Failure> {
        let session = cluster.session(1).await?;
        for sql in tables(self.workload)
            .into_iter()
            .chain([self.log_format.statement()])
        {
            session.execute(&sql).await.map_err(|trouble| {
                Failure::new("the database cannot be prepared").because(format!("{trouble}\n{sql}"))
            })?;
        }
        cluster.compare().await?;
        Ok(session.version)
    }

    fn clients(
        &self,
        cluster: &Cluster,
        random: &mut Random,
        recorder: &Arc<Recorder>,
        shared: &Arc<Shared>,
    ) -> Vec<Client> {
        let count = u32::from(self.nodes * self.clients_per_node);
        let interval = Duration::from_secs(1) * count / self.operations_per_second.max(1);
        let nodes = cluster.all().into_iter().cycle();
        let client = |(number, node): (u64, Node)| {
            // Halves of which each node has some, and not the same: all four ways are tried.
            let round = number / u64::from(self.nodes);
            let promise = Promise {
                reads: self.reads.of(number + round),
                optimistic: self.transactions.are_optimistic(number / 2),
            };
            Client {
                node,
                door: cluster.door(node),
                promise,
                interval,
                generator: Generator::new(self.workload, random.fork(), Arc::clone(shared)),
                recorder: Arc::clone(recorder),
            }
        };
        (0..u64::from(count)).zip(nodes).map(client).collect()
    }

    /// Strikes and heals in turn. At the end nothing is broken.
    async fn strike_until_the_end(
        &self,
        cluster: &mut Cluster,
        random: &mut Random,
        recorder: &Recorder,
        say: &impl Fn(&str),
    ) -> Result<(), Failure> {
        let ends = Instant::now() + self.duration;
        let mut deck = Deck::new(self.faults.clone(), random.fork());
        loop {
            // Clients must get something done between two faults.
            self.wait(random, ends).await;
            let fault = deck.deal().filter(|_| Instant::now() < ends);
            let Some(fault) = fault else {
                tokio::time::sleep_until(ends).await;
                return Ok(());
            };
            let Some(struck) = strike(fault, cluster, random).await? else {
                say(&format!("{}: nothing to strike", fault.name()));
                continue;
            };
            say(&format!("{}: {struck}", fault.name()));
            recorder.fault(fault.name(), struck).map_err(unwritable)?;
            self.wait(random, ends).await;
            recorder
                .fault("heal", fault.name().to_owned())
                .map_err(unwritable)?;
            cluster.heal().await?;
        }
    }

    /// Half to one and a half times as long as a fault lasts in the mean.
    async fn wait(&self, random: &mut Random, ends: Instant) {
        let thousandths = 500 + random.below(1_001) as u32;
        let wait = self.fault_duration * thousandths / 1_000;
        sleep(wait.min(ends.saturating_duration_since(Instant::now()))).await;
    }

    /// At every node, strongly.
    async fn read_everything(
        &self,
        cluster: &Cluster,
        recorder: &Recorder,
        shared: &Shared,
    ) -> Result<(), Failure> {
        for node in cluster.all() {
            let who = Who {
                process: recorder.new_process(),
                node,
                strong: true,
            };
            let session = cluster.session(node).await?;
            for read in final_reads(self.workload, shared) {
                let ended = client::record(&session, who, &read, recorder)
                    .await
                    .map_err(unwritable)?;
                if let Err(trouble) = ended {
                    let failure =
                        Failure::new(format!("node {node} does not answer although nothing is broken"));
                    return Err(failure.because(format!("{trouble}: {read}")));
                }
            }
        }
        Ok(())
    }
}

/// As on the command line.
fn name_of(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

fn unwritable(error: std::io::Error) -> Failure {
    Failure::new("the history cannot be written").because(error)
}
