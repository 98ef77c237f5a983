//! Writers that remember what they were told: which rows must be there, which may be, which must not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use bellwether_types::NodeId;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::cluster::Cluster;
use super::until;

/// What writers insert into. Nothing forbids a row twice: a request that is executed twice must show.
pub const CREATE: &str = "CREATE TABLE written (id INTEGER NOT NULL, writer TEXT NOT NULL)";

/// How a writer commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// One INSERT by itself.
    Statement,
    /// BEGIN, two INSERTs of one number each, COMMIT.
    Transaction,
}

/// Writers at work.
pub struct Load {
    shared: Arc<Shared>,
    writers: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    next: AtomicI64,
    told: Mutex<Told>,
}

/// What the writers were told. Numbers are of no, one or two rows, by their writer's style.
#[derive(Debug, Default, Clone)]
pub struct Told {
    /// Committed; with the rows that each has.
    pub committed: BTreeMap<i64, u32>,
    /// It was said that the outcome is not known, or the connection broke.
    pub unknown: BTreeSet<i64>,
    /// Errors that say that nothing was done, by SQLSTATE.
    pub failed: BTreeMap<String, BTreeSet<i64>>,
    /// Connections that broke.
    pub broken: Vec<NodeId>,
}

impl Load {
    /// Starts two writers at each node, one of each style.
    pub async fn start(cluster: &Cluster, nodes: &[NodeId]) -> Load {
        let shared = Arc::new(Shared::default());
        let mut writers = JoinSet::new();
        for &node in nodes {
            for style in [Style::Statement, Style::Transaction] {
                let client = cluster.connect(node).await.expect("let in");
                writers.spawn(write(client, node, style, Arc::clone(&shared)));
            }
        }
        Load { shared, writers }
    }

    /// Waits until so many more are committed.
    pub async fn wait_for_commits(&self, more: usize) {
        let goal = self.told().committed.len() + more;
        until("commits under load", async || {
            (self.told().committed.len() >= goal).then_some(())
        })
        .await;
    }

    /// What the writers were told up to now.
    pub fn told(&self) -> Told {
        self.shared.told.lock().expect("no writer panics").clone()
    }

    /// Lets every writer finish what it is at.
    pub async fn stop(mut self) -> Told {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.writers.join_next().await {
            ended.expect("no writer panics");
        }
        self.told()
    }
}

async fn write(client: Client, node: NodeId, style: Style, shared: Arc<Shared>) {
    while !shared.stop.load(Ordering::Relaxed) {
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let result = write_one(&client, style, id, node).await;
        let failed = result.is_err();
        shared
            .told
            .lock()
            .expect("no writer panics")
            .note(id, style, result);
        if client.is_closed() {
            shared.told.lock().expect("no writer panics").broken.push(node);
            return;
        }
        if failed {
            // Of a transaction; without one, a warning.
            client.batch_execute("ROLLBACK").await.ok();
        }
    }
}

async fn write_one(
    client: &Client,
    style: Style,
    id: i64,
    node: NodeId,
) -> Result<(), tokio_postgres::Error> {
    let insert = format!("INSERT INTO written VALUES ({id}, 'node {node}, {style:?}')");
    match style {
        Style::Statement => client.batch_execute(&insert).await,
        Style::Transaction => {
            for sql in ["BEGIN", &insert, &insert, "COMMIT"] {
                client.batch_execute(sql).await?;
            }
            Ok(())
        }
    }
}

impl Told {
    fn note(&mut self, id: i64, style: Style, result: Result<(), tokio_postgres::Error>) {
        let rows = if style == Style::Statement { 1 } else { 2 };
        let Err(error) = result else {
            self.committed.insert(id, rows);
            return;
        };
        match error
            .as_db_error()
            .map(|error| (error.severity(), error.code().code()))
        {
            // 40003 says that it is not known. A FATAL error may cut off an answer, as a broken connection does.
            Some(("ERROR", code)) if code != "40003" => {
                self.failed.entry(code.to_owned()).or_default().insert(id);
            }
            _ => drop(self.unknown.insert(id)),
        }
    }

    /// Asserts that a node has every row that was acknowledged as often as it was written, and none that was said
    /// to have failed.
    #[track_caller]
    pub fn assert_kept(&self, rows: &BTreeMap<i64, i64>, node: NodeId) {
        for (id, count) in &self.committed {
            let there = rows.get(id).copied().unwrap_or_default();
            assert_eq!(
                there,
                i64::from(*count),
                "rows of {id}, which was committed, at node {node}"
            );
        }
        for (code, ids) in &self.failed {
            for id in ids {
                assert!(
                    !rows.contains_key(id),
                    "{id} failed with {code} and is there at node {node}"
                );
            }
        }
        for id in rows.keys() {
            let is_known = self.committed.contains_key(id) || self.unknown.contains(id);
            assert!(is_known, "nobody was told of {id}, which is there at node {node}");
        }
    }

    /// For the reader of a test's output.
    pub fn print(&self) {
        let failed: Vec<_> = self.failed.iter().map(|(code, ids)| (code, ids.len())).collect();
        println!(
            "{} committed, {} unknown, failed {failed:?}, {} connections broken",
            self.committed.len(),
            self.unknown.len(),
            self.broken.len()
        );
    }
}

/// How many rows each number has, by a strong read at a node.
pub async fn rows(cluster: &Cluster, node: NodeId) -> BTreeMap<i64, i64> {
    let client = cluster.connect(node).await.expect("let in");
    client
        .batch_execute("SET bellwether.read_consistency = strong")
        .await
        .expect("set");
    let rows = client
        .query("SELECT id, count(*) FROM written GROUP BY id", &[])
        .await;
    rows.expect("read")
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect()
}
