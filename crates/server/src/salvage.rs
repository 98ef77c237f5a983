//! What a node had whose cluster went on without it: told of in the ledger by the node that joins in its place.
//!
//! The old data directory is read only by whoever holds its lock; entries of its logs that the log which goes on does not
//! have are set aside in the new node's own directory ([`crate::replica::Lost`]), from where the ledger takes them. Done
//! once: a file in the old directory says so.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bellwether_types::{Statement, Value};

use crate::DATABASES;
use crate::identity::DataDir;
use crate::node::Node;
use crate::promotion::Record;
use crate::replica::{OnDisk, unix_ms};
use crate::system;

/// Between looks whether the node has the system database.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// In the old directory, when it is told of.
const DONE: &str = "salvaged";

/// Why an old directory cannot be told of.
struct NotSalvaged(String);

impl<E: fmt::Display> From<E> for NotSalvaged {
    fn from(error: E) -> NotSalvaged {
        NotSalvaged(error.to_string())
    }
}

/// Until it is done, or cannot be.
pub(crate) async fn salvage(node: Arc<Node>) {
    let Some(old) = node.config.salvage.clone() else {
        return;
    };
    if old.join(DONE).exists() {
        tracing::info!(directory = %old.display(), "told of before");
        return;
    }
    let record = loop {
        if node.stop.is_asked() {
            return;
        }
        match branching(&node, &old).await {
            Ok(Some(record)) => break record,
            Ok(None) => {}
            Err(NotSalvaged(why)) => {
                tracing::error!(directory = %old.display(), why, "cannot be told of");
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    };
    match tokio::task::block_in_place(|| set_aside(&node, &old, &record)) {
        Ok(files) => {
            tracing::info!(directory = %old.display(), files, "what it alone had is told of in the ledger")
        }
        Err(NotSalvaged(why)) => tracing::error!(directory = %old.display(), why, "cannot be told of"),
    }
}

/// How the cluster went on without the node that the old directory is of; `None`: this node does not know that yet.
async fn branching(node: &Node, old: &Path) -> Result<Option<Record>, NotSalvaged> {
    let system = node.system();
    let standing = {
        let data_dir = DataDir::take(old)?;
        let identity = data_dir.identity(None)?;
        let identity = identity.ok_or_else(|| NotSalvaged("it is of no node".to_owned()))?;
        if identity.cluster != node.identity.cluster {
            return Err(NotSalvaged(format!("it is of cluster {}", identity.cluster)));
        }
        let id = Value::Integer(identity.node.0.cast_signed());
        let sql = "SELECT standing FROM nodes WHERE id = $1";
        system::query(system, &Statement::bound(sql, vec![id])).await
    };
    let records = system::query(
        system,
        &Statement::new("SELECT record FROM promotions ORDER BY id LIMIT 1"),
    )
    .await;
    // Before the image of the system database is here there are no tables.
    let (Ok(standing), Ok(records)) = (standing, records) else {
        return Ok(None);
    };
    match (
        standing.first().and_then(|row| row.first()),
        records.first().and_then(|row| row.first()),
    ) {
        (None, _) => Ok(None),
        (Some(Value::Text(standing)), _) if standing != "removed" => {
            Err(NotSalvaged("its node is a member: start it".to_owned()))
        }
        (_, Some(Value::Text(record))) => Ok(Some(serde_json::from_str(record)?)),
        _ => Err(NotSalvaged(
            "the cluster never went on without its node".to_owned(),
        )),
    }
}

/// How many files there are for the ledger.
fn set_aside(node: &Node, old: &Path, record: &Record) -> Result<usize, NotSalvaged> {
    let data_dir = DataDir::take(old)?;
    let identity = data_dir.identity(None)?;
    let identity = identity.ok_or_else(|| NotSalvaged("it is of no node".to_owned()))?;
    let mut files = 0;
    for (database, name) in DATABASES {
        let (Some(branch), Some(replica)) = (record.branches.get(name), node.replicas.get(database)) else {
            continue;
        };
        let mut on_disk = OnDisk::open(&identity, database, old)?;
        let kept = replica
            .lost
            .keep_all(on_disk.log(), |position| branch.contains(position));
        files += usize::from(kept.map_err(NotSalvaged)?);
    }
    let done = File::create(old.join(DONE))?;
    std::io::Write::write_all(&mut &done, format!("{}\n", unix_ms()).as_bytes())?;
    done.sync_all()?;
    File::open(old)?.sync_all()?;
    Ok(files)
}
