//! The ledger of lost writes: transactions that clients were answered for before a quorum had them, and that the log
//! which went on does not have. Kept in the system database, so that every node tells of them.
//!
//! Promises: what a replica set aside ([`crate::replica::Lost`]) stays on its disk until the system database has it; each
//! transaction is told once, however often a node restarts and however many nodes had it. Not told: what is committed
//! after all, and what was on no disk that came back.

mod script;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwether_session::Settings;
use bellwether_storage::{Decoded, Decoding, Relations};
use bellwether_types::lost::LostWrite;
use bellwether_types::record::Transaction;
use bellwether_types::{
    Durability, ErrorKind, LogIndex, NodeId, Outcome, Payload, Position, Record, RequestId, SqlError,
    Statement, Value,
};

use crate::node::Node;
use crate::replica::{LostEntries, ReplicaHandle, Which, unreadable};
use crate::system;

/// Transactions that the ledger takes; more stay with the nodes that have them, until there is room.
const LINES_MAX: i64 = 10_000;

/// What is told of one transaction, at most: changes and script each.
const TOLD_BYTES_MAX: usize = 1 << 20;

/// Of a record's body, in memory.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Between attempts, while no leader answers or there is no room.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Between looks how long the ledger is.
const COUNT_PERIOD: Duration = Duration::from_secs(1);

/// Tells of what one replica has lost, as soon as that is known for sure; until the node stops.
pub(crate) async fn tell_lost(node: Arc<Node>, replica: Arc<ReplicaHandle>) {
    while !node.stop.is_asked() {
        match tell_all(&node, &replica).await {
            Ok(true) => tokio::select! {
                () = replica.lost.news.notified() => {}
                () = node.stop.asked() => return,
            },
            Ok(false) => tokio::time::sleep(RETRY_PAUSE).await,
            Err(error) => {
                tracing::warn!(database = replica.name, %error, "lost writes cannot be told of yet");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Whether nothing is left to be told.
async fn tell_all(node: &Arc<Node>, replica: &ReplicaHandle) -> Result<bool, SqlError> {
    let files = replica.lost.files().map_err(|error| not_read("lost", &error))?;
    let mut is_all = true;
    for file in files {
        is_all &= tell_file(node, replica, &file).await?;
    }
    Ok(is_all)
}

/// Whether the file is told of, and gone.
async fn tell_file(node: &Arc<Node>, replica: &ReplicaHandle, file: &Path) -> Result<bool, SqlError> {
    let mut lost = Vec::new();
    let mut body = Body::default();
    let unread = |error: std::io::Error| not_read(&file.display().to_string(), &error);
    let entries = LostEntries::open(file).map_err(unread)?;
    let which = entries.which;
    for entry in entries {
        let entry = entry.map_err(unread)?;
        match Payload::from_bytes(&entry.payload) {
            Ok(Payload::Chunk { sequence, body: part }) => body.add(sequence, &part),
            Ok(Payload::Record(record)) => {
                // Only what is applied here of a later reign shows which log goes on.
                if which == Which::AnsweredEarly && replica.published.applied().term <= entry.position.term {
                    return Ok(false);
                }
                let whole = std::mem::take(&mut body).end(&record);
                for (transaction, part) in told(&record, whole.as_deref(), which) {
                    match outcome(node, replica, transaction.request).await {
                        None => return Ok(false),
                        Some(Outcome::Committed(..)) => continue,
                        // Sent again, or told that it is lost: the session has gone on since.
                        Some(Outcome::GoneOn) if which == Which::AnsweredEarly => {
                            let since = || replica.was_executed_since(entry.position, transaction.request);
                            if tokio::task::block_in_place(since).map_err(unread)? {
                                continue;
                            }
                        }
                        Some(Outcome::GoneOn | Outcome::RuledOut(_) | Outcome::Open { .. }) => {}
                    }
                    lost.push(describe(replica, &record, transaction, part).await?);
                }
            }
            _ => body = Body::default(),
        }
    }
    for write in &lost {
        if !write_down(node, write).await? {
            tracing::error!(
                database = replica.name,
                file = %file.display(),
                "the ledger is full: CALL bellwether.forget_lost_writes() when what it has is dealt with"
            );
            return Ok(false);
        }
        tracing::error!(
            database = write.database,
            position = %write.position,
            transaction = %write.request,
            durability = write.durability.name(),
            "an answered transaction is lost: see bellwether.lost_writes"
        );
    }
    std::fs::remove_file(file).map_err(unread)?;
    Ok(true)
}

fn not_read(what: &str, error: &std::io::Error) -> SqlError {
    SqlError::new(ErrorKind::Internal, format!("{what}: {error}"))
}

/// Of a record, as its chunks come.
#[derive(Default)]
struct Body {
    chunks: u64,
    bytes: Vec<u8>,
    is_too_large: bool,
}

impl Body {
    fn add(&mut self, sequence: u64, part: &[u8]) {
        if sequence == 0 {
            *self = Body::default();
        }
        self.chunks += 1;
        self.is_too_large |= self.bytes.len() + part.len() > BODY_BYTES_MAX;
        if !self.is_too_large {
            self.bytes.extend_from_slice(part);
        }
    }

    /// `None`: it is not all there, or too large.
    fn end(mut self, record: &Record) -> Option<Vec<u8>> {
        let is_whole = self.chunks == record.chunks && !self.is_too_large;
        self.bytes.extend_from_slice(&record.body);
        is_whole.then_some(self.bytes)
    }
}

/// Those of a record that are to be told of, and what each changed.
fn told<'a>(
    record: &'a Record,
    body: Option<&'a [u8]>,
    which: Which,
) -> Vec<(&'a Transaction, Option<&'a [u8]>)> {
    let mut from = 0_usize;
    let parts = record.transactions.iter().map(|transaction| {
        let begin = from;
        from = from.saturating_add(usize::try_from(transaction.body_bytes).unwrap_or(usize::MAX));
        (transaction, body.and_then(|body| body.get(begin..from)))
    });
    parts
        .filter(|(transaction, _)| which.includes(transaction))
        .collect()
}

/// As whoever leads knows it; `None`: nobody says.
async fn outcome(node: &Node, replica: &ReplicaHandle, request: RequestId) -> Option<Outcome> {
    let (leader, _) = replica.wait_leader(RETRY_PAUSE).await?;
    let asked = node.outcome(leader, replica, request, Durability::On);
    tokio::time::timeout(RETRY_PAUSE * 4, asked).await.ok()?.ok()
}

async fn describe(
    replica: &ReplicaHandle,
    record: &Record,
    transaction: &Transaction,
    part: Option<&[u8]>,
) -> Result<LostWrite, SqlError> {
    let reader = replica.readers.get().await.map_err(|error| unreadable(&error))?;
    let relations = reader.relations().map_err(|error| error.into_sql_error())?;
    let decoded = part.and_then(|part| decoded(relations, record.position.index, part));
    let told = decoded.map(|decoded| (script::json(&decoded), script::sql(&decoded)));
    let (changes, script) = told
        .filter(|(changes, script)| changes.len().max(script.len()) <= TOLD_BYTES_MAX)
        .unwrap_or_else(|| (script::json_of_unknown(transaction.body_bytes), String::new()));
    Ok(LostWrite {
        database: replica.name.to_owned(),
        position: record.position,
        request: transaction.request,
        origin: record.origin,
        time_ms: record.timestamp.unix_ms(),
        durability: transaction.durability,
        changes,
        script,
    })
}

/// What a transaction would have done; the tables that it created itself have no names yet.
fn decoded(relations: Relations, record: LogIndex, part: &[u8]) -> Option<Vec<Decoded>> {
    let mut decoding = Decoding::new(Arc::new(relations), record);
    let mut decoded = Vec::new();
    decoding.feed(part, |step| decoded.push(step)).ok()?;
    decoding.finish().ok()?;
    // Where a statement stands its rows say nothing more.
    decoded.retain(|step| !matches!(step, Decoded::Row(change) if change.is_image));
    Some(decoded)
}

/// False: there is no room.
async fn write_down(node: &Arc<Node>, write: &LostWrite) -> Result<bool, SqlError> {
    let integer = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let sql = format!(
        "INSERT OR IGNORE INTO lost_writes SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 \
         WHERE (SELECT count(*) FROM lost_writes) < {LINES_MAX}"
    );
    let values = vec![
        Value::Text(write.database.clone()),
        integer(write.position.term.0),
        integer(write.position.index.0),
        Value::Text(write.request.to_string()),
        integer(write.origin.0),
        integer(write.time_ms),
        Value::Text(write.durability.name().to_owned()),
        Value::Text(write.changes.clone()),
        Value::Text(write.script.clone()),
    ];
    let settings = Settings::new(node.identity.cluster, "");
    system::change(node, vec![Statement::bound(sql, values)], &settings).await?;
    let sql = "SELECT 1 FROM lost_writes WHERE database = $1 AND transaction_id = $2";
    let key = vec![
        Value::Text(write.database.clone()),
        Value::Text(write.request.to_string()),
    ];
    let found = system::query(node.system(), &Statement::bound(sql, key)).await?;
    Ok(!found.is_empty())
}

/// All of it, as this node's replica of the system database has it.
pub(crate) async fn lost_writes(system: &ReplicaHandle) -> Result<Vec<LostWrite>, SqlError> {
    let sql = "SELECT database, term, log_index, transaction_id, origin, time_ms, durability, changes, script \
               FROM lost_writes ORDER BY time_ms, database, term, log_index";
    let rows = system::query(system, &Statement::new(sql)).await?;
    Ok(rows.into_iter().filter_map(line).collect())
}

fn line(row: Vec<Value>) -> Option<LostWrite> {
    let mut row = row.into_iter();
    let text = |row: &mut std::vec::IntoIter<Value>| match row.next()? {
        Value::Text(text) => Some(text),
        _ => None,
    };
    let number = |row: &mut std::vec::IntoIter<Value>| match row.next()? {
        Value::Integer(number) => u64::try_from(number).ok(),
        _ => None,
    };
    Some(LostWrite {
        database: text(&mut row)?,
        position: Position::new(number(&mut row)?, number(&mut row)?),
        request: RequestId::parse(&text(&mut row)?)?,
        origin: NodeId(number(&mut row)?),
        time_ms: number(&mut row)?,
        durability: text(&mut row)?.parse().ok()?,
        changes: text(&mut row)?,
        script: text(&mut row)?,
    })
}

/// Those that are known are dealt with.
pub(crate) async fn forget(node: &Arc<Node>, settings: &Settings) -> Result<u64, SqlError> {
    let before = lost_writes(node.system()).await?;
    let statements = before.iter().map(|write| {
        let key = vec![
            Value::Text(write.database.clone()),
            Value::Text(write.request.to_string()),
        ];
        Statement::bound(
            "DELETE FROM lost_writes WHERE database = $1 AND transaction_id = $2",
            key,
        )
    });
    let statements: Vec<Statement> = statements.collect();
    if !statements.is_empty() {
        system::change(node, statements, settings).await?;
    }
    Ok(before.len() as u64)
}

/// Keeps the node's word of the ledger's length, until the node stops.
pub(crate) async fn count(node: Arc<Node>) {
    let system = node.system();
    let mut seen = Position::ZERO;
    while !node.stop.is_asked() {
        let applied = system.published.applied();
        if applied != seen {
            let counted = system::query(system, &Statement::new("SELECT count(*) FROM lost_writes")).await;
            if let Ok(rows) = counted
                && let Some(Value::Integer(lines)) = rows.first().and_then(|row| row.first())
            {
                node.metrics.lost_writes.set(lines.cast_unsigned());
                seen = applied;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(COUNT_PERIOD) => {}
            () = node.stop.asked() => return,
        }
    }
}
