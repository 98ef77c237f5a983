//! I3: equal positions, equal fingerprints; and at the end all replicas are at one position, with the fingerprint
//! that a count from scratch gives, whatever rotted meanwhile.

use std::collections::BTreeMap;

use bellwether_types::{Fingerprint, NodeId, Position};

use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::Observation;
use crate::workload::Rows;

#[derive(Default)]
pub(super) struct Fingerprints {
    known: BTreeMap<Position, (NodeId, Fingerprint)>,
    /// Some disk changed a byte of a database: damage may be found, and must be by the end.
    has_rotted: bool,
    last: Option<(NodeId, Position, BTreeMap<&'static str, Rows>)>,
}

impl Fingerprints {
    fn check(&mut self, node: NodeId, position: Position, found: Fingerprint) -> Verdict {
        let (other, known) = *self.known.entry(position).or_insert((node, found));
        match known == found {
            true => Ok(()),
            false => Err(format!(
                "at {position} node {node} has {found}, node {other} had {known}"
            )),
        }
    }
}

impl Checker for Fingerprints {
    fn name(&self) -> &'static str {
        "fingerprint"
    }

    fn observe(&mut self, _: Time, observation: &Observation) -> Verdict {
        match observation {
            Observation::Started {
                node,
                applied,
                fingerprint,
                ..
            } => self.check(*node, *applied, *fingerprint),
            Observation::Visible {
                node,
                position,
                fingerprint,
            } => self.check(*node, *position, *fingerprint),
            Observation::Rotted { .. } => {
                self.has_rotted = true;
                Ok(())
            }
            Observation::Damaged {
                is_divergence: false, ..
            } if self.has_rotted => Ok(()),
            Observation::Damaged { node, words, .. } => Err(format!("node {node}: {words}")),
            Observation::Final {
                node,
                position,
                fingerprint,
                recomputed,
                tables,
            } => {
                self.check(*node, *position, *fingerprint)?;
                if fingerprint != recomputed {
                    return Err(format!(
                        "node {node} keeps {fingerprint}, its rows give {recomputed}"
                    ));
                }
                let (other, at, same) = self
                    .last
                    .get_or_insert_with(|| (*node, *position, tables.clone()));
                if at != position {
                    return Err(format!("node {other} ended at {at}, node {node} at {position}"));
                }
                if same != tables {
                    return Err(format!("nodes {other} and {node} ended with different rows"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
