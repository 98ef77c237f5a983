//! The system database: what is true of the whole cluster, replicated as any other database.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bellwether_storage::{ClientTransaction, SessionState};
use bellwether_types::{DatabaseId, ErrorKind, RequestId, SessionId, SqlError, Statement, ValueRef};

use crate::node::Node;
use crate::replica::desk::Claim;
use crate::replica::{Attempt, ReplicaHandle, unreadable};

/// What a fresh cluster knows: itself, the database `postgres` and the role `postgres`.
const FOUNDING: [&str; 6] = [
    "CREATE TABLE IF NOT EXISTS databases (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
    "CREATE TABLE IF NOT EXISTS roles (name TEXT PRIMARY KEY, superuser INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS nodes (id INTEGER PRIMARY KEY, peer TEXT NOT NULL, pg TEXT NOT NULL, \
     http TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "INSERT OR IGNORE INTO databases VALUES (0, 'bellwether'), (1, 'postgres')",
    "INSERT OR IGNORE INTO roles VALUES ('postgres', 1)",
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
    let statement = Statement {
        sql: sql.to_owned(),
        parameters,
    };
    reader.open_cursor(&statement)?.step()
}

/// Whether a client of this name may use the database of that name, and which it is.
pub(crate) async fn admit(node: &Node, user: &str, database: &str) -> Result<DatabaseId, SqlError> {
    let starting = || {
        SqlError::new(ErrorKind::NoLeader, "the database system is starting up")
            .with_hint("Try again in a moment.")
    };
    let system = node.replicas.get(DatabaseId::SYSTEM).ok_or_else(starting)?;
    let mut reader = system.readers.get().await.map_err(|error| unreadable(&error))?;
    let text = |text: &str| vec![bellwether_types::Value::Text(text.to_owned())];
    let role = Statement {
        sql: "SELECT 1 FROM roles WHERE name = $1".to_owned(),
        parameters: text(user),
    };
    let found = match reader.open_cursor(&role) {
        Ok(mut cursor) => cursor.step()?,
        Err(error) if error.kind == ErrorKind::UndefinedTable => return Err(starting()),
        Err(error) => return Err(error),
    };
    if !found {
        let message = format!("role \"{user}\" does not exist");
        return Err(SqlError::new(ErrorKind::InvalidAuthorization, message)
            .with_hint("A fresh cluster has the role postgres."));
    }
    let sql = "SELECT id FROM databases WHERE name = $1".to_owned();
    let mut cursor = reader.open_cursor(&Statement {
        sql,
        parameters: text(database),
    })?;
    if cursor.step()?
        && let ValueRef::Integer(id) = cursor.value(0)
        && let Ok(id) = u32::try_from(id)
    {
        return Ok(DatabaseId(id));
    }
    let message = format!("database \"{database}\" does not exist");
    Err(SqlError::new(ErrorKind::UndefinedDatabase, message)
        .with_hint("A fresh cluster has the database postgres."))
}
