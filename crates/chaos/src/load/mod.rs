//! A cluster that nothing is wrong with, under all the load that it takes: many writers, and in turn a bulk load and an
//! UPDATE of many rows. Its leader must stay, its followers must keep up, and its memory must stay bounded.
//!
//! Judged: a leader that changes is a false failover, an error that a client gets is one too many, an acknowledged
//! write that is not there at the end is lost. Told besides: how fast, how late, how far behind, how large.

mod clients;
pub mod results;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::{self, Cluster};
use crate::failure::Failure;
use clients::{Bulk, Tally};
use results::Results;
use watch::Watch;

/// What is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program.
    pub program: PathBuf,
    /// Of the cluster.
    pub nodes: u16,
    /// At each node, one statement after the other without a pause.
    pub writers_per_node: u16,
    /// How long.
    pub duration: Duration,
    /// Of each bulk load.
    pub bulk_bytes: u64,
    /// How long each UPDATE is to take.
    pub update: Duration,
    /// Where nodes' logs go.
    pub logs: PathBuf,
}

impl Plan {
    /// Runs it. `say` gets a line for each bulk load, each UPDATE and each change of leader.
    pub async fn run(&self, say: impl Fn(&str)) -> Result<Results, Failure> {
        let mut cluster = Cluster::start(cluster::Options {
            program: self.program.clone(),
            nodes: self.nodes,
            logs: self.logs.clone(),
            on_small_disks: false,
        })
        .await?;
        let session = cluster.session(1).await?;
        for table in clients::TABLES {
            let made = session.execute(table).await;
            made.map_err(|trouble| Failure::new("a table cannot be made").because(trouble))?;
        }
        cluster.compare().await?;
        let tally = Arc::new(Tally::default());
        let mut writers = JoinSet::new();
        let nodes = cluster.all().into_iter().cycle();
        for (writer, node) in (0..self.nodes * self.writers_per_node).zip(nodes) {
            writers.spawn(clients::write(
                writer.into(),
                cluster.door(node),
                Arc::clone(&tally),
            ));
        }
        let began = Instant::now();
        let ends = began + self.duration;
        let mut watch = Watch::new(began);
        let bulk = Bulk::new(cluster.session(2).await?, self.bulk_bytes, self.update);
        let bulk = bulk.repeat_until(ends, &say);
        let (bulk, ()) = tokio::join!(bulk, watch.until(ends, &cluster, &say));
        tally.stop();
        let mut acknowledged = Vec::new();
        while let Some(ended) = writers.join_next().await {
            acknowledged.push(ended.expect("no writer panics"));
        }
        let took = began.elapsed();
        let bulk =
            bulk.map_err(|trouble| Failure::new("a bulk load or an UPDATE failed").because(trouble))?;
        cluster.wait_until_whole().await?;
        cluster.compare().await?;
        let lost = clients::lost(&cluster.session(1).await?, &acknowledged).await;
        let lost = lost.map_err(|trouble| Failure::new("writes cannot be read").because(trouble))?;
        let peaks = cluster
            .all()
            .into_iter()
            .map(|node| (node, cluster.peak_memory(node)));
        let peak_memory = peaks.collect();
        Ok(Results::new(took, &tally, &bulk, watch, peak_memory, lost))
    }
}
