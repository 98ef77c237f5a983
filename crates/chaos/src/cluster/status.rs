//! What nodes say about themselves: `GET /status`, of which this program needs little.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A node that lives answers in milliseconds; one that is frozen never.
const TIMEOUT: Duration = Duration::from_millis(500);

/// More than any status has.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// The database that a fresh cluster has.
const DATABASE: &str = "postgres";

/// A replica of the database that a fresh cluster has, as its node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Replica {
    /// Its database.
    pub name: String,
    /// Of which node.
    #[serde(skip)]
    pub node: u64,
    /// `leader`, `follower`, `learner` …
    pub role: String,
    /// The latest that it has seen.
    pub term: u64,
    /// Whom it takes for the leader.
    pub leader: Option<u64>,
    /// The last position that it can be asked for.
    pub applied: String,
    /// Of the content there.
    pub fingerprint: String,
    /// Whether clients can read.
    pub serving: bool,
    /// Records that it misses, as far as it knows.
    #[serde(default)]
    pub lag_records: Option<u64>,
    /// For how long it has missed the oldest of them.
    #[serde(default)]
    pub lag_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Status {
    node: u64,
    databases: Vec<Replica>,
}

/// Of the database that a fresh cluster has; `None` when the node does not answer, or has no replica yet.
pub async fn replica(http: SocketAddr) -> Option<Replica> {
    let replicas = replicas(http).await?;
    replicas.into_iter().find(|replica| replica.name == DATABASE)
}

/// Of all databases; `None` when the node does not answer.
pub async fn replicas(http: SocketAddr) -> Option<Vec<Replica>> {
    let answer = tokio::time::timeout(TIMEOUT, exchange(http)).await.ok()??;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let status: Status = serde_json::from_str(body).ok()?;
    let of_node = |replica| Replica {
        node: status.node,
        ..replica
    };
    Some(status.databases.into_iter().map(of_node).collect())
}

async fn exchange(http: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(http).await.ok()?;
    let request = format!("GET /status HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream
        .take(MAX_ANSWER_BYTES)
        .read_to_string(&mut answer)
        .await
        .ok()?;
    Some(answer)
}
