//! What a node has found in a replica that it was asked to verify: JSON between nodes, and of `bellwether verify --json`.

use bellwether_types::{Fingerprint, NodeId, Position};
use serde::{Deserialize, Serialize};

use crate::json;

/// A replica of one database; or a node that told nothing, with its reason as the only fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Whose replica.
    #[serde(with = "json::node")]
    pub node: NodeId,
    /// The database's name; `None` of a node that told nothing.
    pub database: Option<String>,
    /// Where it was compared with those of other nodes.
    #[serde(with = "json::position")]
    pub position: Position,
    /// Of its content there.
    #[serde(with = "json::fingerprint")]
    pub fingerprint: Fingerprint,
    /// Entries of its log, each read from its file.
    pub log_entries: u64,
    /// Bytes of the log that were read.
    pub log_bytes: u64,
    /// Pages whose checksums were compared; 0 unless everything was asked for.
    pub pages: u64,
    /// Tables whose rows were added up anew and whose indexes were compared with them; as `pages`.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// What its records have kept of each table, by table; empty once nodes were compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// What was wrong with it, and is repaired.
    pub repaired: Vec<Fault>,
}

/// What the records that a replica has applied say of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The table's number; 0 is the schema.
    pub table: u32,
    /// Its name, if it has one.
    pub name: String,
    /// Of its rows.
    #[serde(with = "json::fingerprint")]
    pub fingerprint: Fingerprint,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// With what.
    pub place: Place,
    /// One line, with file and byte, page or table.
    pub what: String,
}

/// Where a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In a segment of the log.
    Log,
    /// In SQLite's files.
    Database,
    /// It is not what other nodes have.
    Nodes,
    /// The replica, or the whole node, cannot be looked at.
    Unreadable,
}

impl Verified {
    /// Nothing was looked at yet.
    pub fn new(node: NodeId, database: Option<String>) -> Verified {
        Verified {
            node,
            database,
            position: Position::ZERO,
            fingerprint: Fingerprint::default(),
            log_entries: 0,
            log_bytes: 0,
            pages: 0,
            tables: 0,
            rows: 0,
            kept: Vec::new(),
            faults: Vec::new(),
            repaired: Vec::new(),
        }
    }

    /// Adds a fault.
    pub fn found(&mut self, place: Place, what: impl ToString) {
        let what = what.to_string();
        self.faults.push(Fault { place, what });
    }

    /// Whether something is wrong there.
    pub fn has_fault_in(&self, place: Place) -> bool {
        self.faults.iter().any(|fault| fault.place == place)
    }
}
