//! Reads all that a node has, for the audit at a run's end.

use std::collections::BTreeMap;

use bellwether_storage::Reader;
use bellwether_storage::files::Files;
use bellwether_types::{Fingerprint, Statement};

use super::{Driver, reads};
use crate::observation::Observation;
use crate::workload::{AUDITS, Rows};

impl Driver {
    /// Reads everything, for the audit at the end.
    pub fn audit(&mut self) -> Result<Observation, String> {
        let position = self.writer.position();
        let writer = self.writer.writer().ok_or("the connection is closed")?;
        let fingerprint = writer.fingerprint();
        let sums = writer
            .recompute_fingerprints()
            .map_err(|error| error.to_string())?;
        let recomputed = sums
            .iter()
            .fold(Fingerprint::default(), |sum, (_, _, table)| sum.plus(*table));
        let tables = read_tables(&self.files)?;
        Ok(Observation::Final {
            node: self.node,
            position,
            fingerprint,
            recomputed,
            tables,
        })
    }
}

/// All audits' rows, in one snapshot.
fn read_tables(files: &Files) -> Result<BTreeMap<&'static str, Rows>, String> {
    let mut reader = Reader::open(files).map_err(|error| error.to_string())?;
    let mut tables = BTreeMap::new();
    for (name, text) in AUDITS {
        let rows = reads::query(&mut reader, &Statement::new(text));
        tables.insert(name, rows.map_err(|error| format!("{name}: {error}"))?);
    }
    Ok(tables)
}
