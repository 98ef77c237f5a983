//! I1: one leader per term. I2: what is committed is the same at its place on every node, and in every later
//! leader's log. A leader of an earlier term may not have heard of its end yet: what was committed since it need not
//! have.

use std::collections::BTreeMap;

use bellwether_types::{LogIndex, NodeId, Term};

use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::{Logged, Observation};

#[derive(Default)]
pub(super) struct Agreement {
    leaders: BTreeMap<Term, NodeId>,
    /// With the latest term that had a leader when the first node applied it.
    committed: BTreeMap<LogIndex, (Logged, Term)>,
}

impl Checker for Agreement {
    fn name(&self) -> &'static str {
        "agreement"
    }

    fn observe(&mut self, _: Time, observation: &Observation) -> Verdict {
        match observation {
            Observation::Elected { node, term } => match self.leaders.insert(*term, *node) {
                Some(other) if other != *node => {
                    Err(format!("nodes {other} and {node} both lead in term {term}"))
                }
                _ => Ok(()),
            },
            Observation::Applied { node, entries } => {
                let latest = self.leaders.last_key_value().map_or(Term(0), |(term, _)| *term);
                for entry in entries {
                    let (known, _) = self
                        .committed
                        .entry(entry.position.index)
                        .or_insert((entry.clone(), latest));
                    if known != entry {
                        return Err(format!("node {node} applied {entry:?}, another node {known:?}"));
                    }
                }
                Ok(())
            }
            Observation::Leads {
                node,
                term,
                base,
                log,
            } => {
                let held: BTreeMap<LogIndex, Term> = log.iter().map(|at| (at.index, at.term)).collect();
                let above_base = self.committed.range(base.index.next()..);
                let lost = above_base
                    .filter(|(_, (_, committed_in))| committed_in <= term)
                    .map(|(_, (entry, _))| entry.position)
                    .find(|at| held.get(&at.index) != Some(&at.term));
                match lost {
                    Some(position) => Err(format!(
                        "the log of leader {node} lacks {position}, which was committed"
                    )),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
