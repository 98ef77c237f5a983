//! The system database: what is true of the whole cluster, replicated as any other database.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bellwether_session::Settings;
use bellwether_storage::{ClientTransaction, SessionState};
use bellwether_types::{Facts, RequestId, SessionId, SqlError, Statement, Value, ValueRef};

use crate::members::{Addresses, Member, Members};
use crate::node::Node;
use crate::replica::desk::Claim;
use crate::replica::{Attempt, ReplicaHandle, unreadable};
use crate::session::{Session, SessionFacts};

/// What a fresh cluster knows: itself, the database `postgres` and the role `postgres`.
const FOUNDING: [&str; 16] = [
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
     http TEXT NOT NULL, standing TEXT NOT NULL CHECK (standing IN ('voter', 'learner', 'removed')), \
     ticket TEXT UNIQUE) STRICT",
    "CREATE UNIQUE INDEX IF NOT EXISTS one_node_an_address ON nodes (peer) WHERE standing <> 'removed'",
    "CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS database_settings (database INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, \
     PRIMARY KEY (database, name)) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS lost_writes (database TEXT NOT NULL, term INTEGER NOT NULL, log_index INTEGER NOT NULL, \
     transaction_id TEXT NOT NULL, origin INTEGER NOT NULL, time_ms INTEGER NOT NULL, durability TEXT NOT NULL, \
     changes TEXT NOT NULL, script TEXT NOT NULL, PRIMARY KEY (database, transaction_id)) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS promotions (id INTEGER PRIMARY KEY, record TEXT NOT NULL) STRICT",
    "INSERT OR IGNORE INTO databases VALUES (0, 'bellwether'), (1, 'postgres')",
    "INSERT OR IGNORE INTO roles VALUES ('postgres', 1, 1, NULL, -1, NULL, 10)",
    "INSERT OR IGNORE INTO connect_grants VALUES (1, 'public')",
];

/// This node shows its client's change before it answers, unless it is further behind than this.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// Between looks whether this node leads the system database.
const PAUSE: Duration = Duration::from_millis(50);

/// Writes the founding content, once, at whichever node leads first.
pub(crate) async fn found(node: Arc<Node>) {
    let system = node.system();
    let mut tries = 0;
    while !node.stop.is_asked() {
        if is_founded(system).await {
            node.is_founded.store(true, Ordering::Release);
            return;
        }
        if system.reign.borrow().leading {
            // One session for all attempts, so that a repeated one is executed once.
            let request = RequestId {
                session: SessionId(u128::from(node.identity.node.0)),
                sequence: 1,
            };
            let statements = FOUNDING
                .iter()
                .map(|sql| Statement::new(*sql))
                .chain(nodes(&node.members.current()))
                .collect();
            let transaction = ClientTransaction {
                durability: Default::default(),
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

fn nodes(members: &Members) -> Vec<Statement> {
    let insert = |member: &Member| {
        let Addresses { peer, pg, http } = member.addresses;
        Statement::new(format!(
            "INSERT OR IGNORE INTO nodes VALUES ({}, '{peer}', '{pg}', '{http}', '{}', NULL)",
            member.node,
            member.standing.name()
        ))
    };
    members.all().map(insert).collect()
}

async fn is_founded(system: &ReplicaHandle) -> bool {
    let roles = query(system, &Statement::new("SELECT 1 FROM roles LIMIT 1")).await;
    roles.is_ok_and(|roles| !roles.is_empty())
}

/// What the local replica of the system database answers; for tables of numbers and texts.
pub(crate) async fn query(
    system: &ReplicaHandle,
    statement: &Statement,
) -> Result<Vec<Vec<Value>>, SqlError> {
    let mut reader = system.readers.get().await.map_err(|error| unreadable(&error))?;
    let mut cursor = reader.open_cursor(statement)?;
    let columns = cursor.columns().len();
    let mut rows = Vec::new();
    while cursor.step()? {
        rows.push((0..columns).map(|column| owned(cursor.value(column))).collect());
    }
    Ok(rows)
}

/// A number or a text; anything else as NULL.
pub(crate) fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        _ => Value::Null,
    }
}

/// Changes the system database, wherever its leader is: all of these or none. When this returns, this node's replica has
/// it, unless that is far behind.
pub(crate) async fn change(
    node: &Arc<Node>,
    statements: Vec<Statement>,
    settings: &Settings,
) -> Result<(), SqlError> {
    change_database(node, node.system(), statements, settings).await
}

/// As [`change`], any database.
pub(crate) async fn change_database(
    node: &Arc<Node>,
    replica: &Arc<ReplicaHandle>,
    statements: Vec<Statement>,
    settings: &Settings,
) -> Result<(), SqlError> {
    let facts = SessionFacts::new(node.identity.cluster, 0, Facts::default());
    let mut session = Session::new(Arc::clone(node), Arc::clone(replica), facts)?;
    let changed = session.change(statements, settings).await;
    session.close(changed.is_ok()).await;
    let position = changed?;
    replica.wait_applied(position, SHOWN_WITHIN).await;
    Ok(())
}
