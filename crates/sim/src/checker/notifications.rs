//! What listeners at a node are told is what was committed: the marks of a record, at every node that applies it the
//! same, once, in the order of the log; never a mark that is not in the ledger at the end, and all of those.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_types::{LogIndex, NodeId, Position};

use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::Observation;
use crate::workload::integer;

#[derive(Default)]
pub(super) struct Notifications {
    told: BTreeMap<Position, (NodeId, Vec<i64>)>,
    /// What was told last, or was there before, by node.
    reached: BTreeMap<NodeId, LogIndex>,
    ledger: Option<BTreeSet<i64>>,
}

impl Notifications {
    fn told(&mut self, node: NodeId, position: Position, marks: &[i64]) -> Verdict {
        let reached = self.reached.entry(node).or_default();
        if position.index <= *reached {
            return Err(format!(
                "node {node} told {marks:?} again, or late, at {position}"
            ));
        }
        *reached = position.index;
        let known = self.told.entry(position);
        let (other, known) = known.or_insert_with(|| (node, marks.to_vec()));
        match known == marks {
            true => Ok(()),
            false => Err(format!(
                "at {position} node {node} told {marks:?}, node {other} told {known:?}"
            )),
        }
    }
}

impl Checker for Notifications {
    fn name(&self) -> &'static str {
        "notifications"
    }

    fn observe(&mut self, _: Time, observation: &Observation) -> Verdict {
        match observation {
            Observation::Started { node, applied, .. } => {
                self.reached.insert(*node, applied.index);
            }
            // What a snapshot brings along is told to nobody: the node was away.
            Observation::Installing { node, position } => {
                self.reached.insert(*node, position.index);
            }
            Observation::Told {
                node,
                position,
                marks,
            } => return self.told(*node, *position, marks),
            Observation::Final { tables, .. } => {
                let marks = tables["ledger"].iter().filter_map(|row| integer(row, 0));
                self.ledger = Some(marks.collect());
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Verdict {
        let Some(ledger) = &self.ledger else {
            return Err("the run ended without an audit".to_owned());
        };
        let mut told = BTreeSet::new();
        for (position, (node, marks)) in &self.told {
            for mark in marks {
                if !ledger.contains(mark) {
                    return Err(format!(
                        "node {node} told {mark} at {position}, which was never committed"
                    ));
                }
                if !told.insert(*mark) {
                    return Err(format!("{mark} was told again at {position}"));
                }
            }
        }
        match ledger.difference(&told).next() {
            None => Ok(()),
            Some(mark) => Err(format!("{mark} was committed, and no node told it")),
        }
    }
}
