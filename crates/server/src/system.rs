//! The system database: what is true of the whole cluster, replicated as any other database.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bellwether_storage::{ClientTransaction, SessionState};
use bellwether_types::{DatabaseId, RequestId, SessionId, SqlError, Statement};

use crate::node::Node;
use crate::replica::desk::Claim;
use crate::replica::{Attempt, ReplicaHandle, unreadable};

/// What a fresh cluster knows: itself, the database `postgres` and the role `postgres`.
const FOUNDING: [&str; 12] = [
    "CREATE TABLE IF NOT EXISTS databases (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
    "CREATE TABLE IF NOT EXISTS roles (name TEXT PRIMARY KEY, superuser INTEGER NOT NULL, login INTEGER NOT NULL, \
     password TEXT, connection_limit INTEGER NOT NULL, valid_until INTEGER, id INTEGER NOT NULL UNIQUE) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS memberships (role TEXT NOT NULL, granted TEXT NOT NULL, PRIMARY KEY (role, granted)) \
     STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS role_settings (role TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, \
     PRIMARY KEY (role, name)) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS connect_grants (database INTEGER NOT NULL, role TEXT NOT NULL, \
     PRIMARY KEY (database, role)) STRICT, WITHOUT ROWID",
    "CREATE TRIGGER IF NOT EXISTS a_superuser_stays AFTER UPDATE ON roles WHEN NOT EXISTS \
     (SELECT 1 FROM roles WHERE superuser AND login) BEGIN SELECT RAISE(ABORT, \
     'the last superuser who may log in must stay one'); END",
    "CREATE TRIGGER IF NOT EXISTS a_superuser_is_kept AFTER DELETE ON roles WHEN NOT EXISTS \
     (SELECT 1 FROM roles WHERE superuser AND login) BEGIN SELECT RAISE(ABORT, \
     'the last superuser who may log in must stay one'); END",
    "CREATE TABLE IF NOT EXISTS nodes (id INTEGER PRIMARY KEY, peer TEXT NOT NULL, pg TEXT NOT NULL, \
     http TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "INSERT OR IGNORE INTO databases VALUES (0, 'bellwether'), (1, 'postgres')",
    "INSERT OR IGNORE INTO roles VALUES ('postgres', 1, 1, NULL, -1, NULL, 10)",
    "INSERT OR IGNORE INTO connect_grants VALUES (1, 'public')",
];

/// Between looks whether this node leads the system database.
const PAUSE: Duration = Duration::from_millis(50);

/// Writes the founding content, once, at whichever node leads first.
pub(crate) async fn found(node: Arc<Node>) {
    let Some(system) = node.replicas.get(DatabaseId::SYSTEM) else {
        return;
    };
    let mut tries = 0;
    while !node.stop.is_asked() {
        if is_founded(system).await {
            node.is_founded.store(true, Ordering::Release);
            return;
        }
        if system.reign.borrow().leading {
            // One session for all attempts, so that a repeated one is executed once.
            let request = RequestId {
                session: SessionId(u128::from(node.config.node.0)),
                sequence: 1,
            };
            let statements = FOUNDING
                .iter()
                .map(|sql| Statement::new(*sql))
                .chain(nodes(&node))
                .collect();
            let transaction = ClientTransaction {
                seen: Vec::new(),
                request,
                statements,
                session: SessionState::default(),
                facts: Default::default(),
            };
            tries += 1;
            let attempt = Attempt {
                term: system.reign.borrow().term,
                number: tries,
            };
            if let Err(refusal) = system
                .autocommit(transaction, attempt, Arc::new(Claim::default()))
                .await
            {
                tracing::debug!(?refusal, "the system database could not be founded yet");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn nodes(node: &Node) -> impl Iterator<Item = Statement> {
    node.config.members.iter().map(|member| {
        Statement::new(format!(
            "INSERT OR IGNORE INTO nodes VALUES ({}, '{}', '{}', '{}')",
            member.node, member.peer, member.pg, member.http
        ))
    })
}

async fn is_founded(system: &ReplicaHandle) -> bool {
    matches!(exists(system, "SELECT 1 FROM roles", Vec::new()).await, Ok(true))
}

/// Whether a query of the system database's local replica has a row.
async fn exists(
    system: &ReplicaHandle,
    sql: &str,
    parameters: Vec<bellwether_types::Value>,
) -> Result<bool, SqlError> {
    let reader = system.readers.get().await.map_err(|error| unreadable(&error))?;
    let mut reader = reader;
    reader.open_cursor(&Statement::bound(sql, parameters))?.step()
}
