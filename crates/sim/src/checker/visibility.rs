//! I5: what readers see, and what clients are told is done, is durable in the logs of a majority at that moment.
//! I6: after a restart SQLite holds nothing that its log does not, and misses nothing that its log no longer has.
//!
//! Knows what is durable from the disks, not from the replicas.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_types::{Configuration, HardState, LogIndex, NodeId, Position, Term};

use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::{Observation, OperationId, Outcome};

/// A log as a power loss at this moment would leave it at least.
#[derive(Debug, Default)]
pub(super) struct DurableLog {
    pub base: Position,
    terms: BTreeMap<LogIndex, Term>,
    pub hard_state: HardState,
}

impl DurableLog {
    /// Whether the entry at this position is there, or went into a snapshot.
    pub fn holds(&self, position: Position) -> bool {
        position.index <= self.base.index || self.terms.get(&position.index) == Some(&position.term)
    }

    /// Whether a log found later has all of this one, but for what a later term replaced, also unsynced.
    pub fn check_kept(
        &self,
        hard_state: HardState,
        base: Position,
        found: &BTreeMap<LogIndex, Term>,
    ) -> Verdict {
        let (before, now) = (self.hard_state, hard_state);
        let is_same_vote = before.vote.is_none() || before.vote == now.vote;
        if now.term < before.term || (now.term == before.term && !is_same_vote) {
            return Err(format!("{before:?} was durable, {now:?} is found"));
        }
        let mut kept = self.terms.range(base.index.next()..);
        let lost = kept.find(|(index, term)| found.get(index) != Some(term));
        let Some((lost, term)) = lost else { return Ok(()) };
        match found.range(..=*lost).next_back() {
            Some((_, later)) if later > term => Ok(()),
            _ => Err(format!("entry {lost} of term {term} was durable")),
        }
    }

    /// The last index.
    pub fn last(&self) -> LogIndex {
        self.terms
            .last_key_value()
            .map_or(self.base.index, |(index, _)| *index)
    }
}

/// All nodes' logs.
#[derive(Debug, Default)]
pub(super) struct DurableLogs(pub BTreeMap<NodeId, DurableLog>);

impl DurableLogs {
    pub fn observe(&mut self, observation: &Observation) {
        match observation {
            Observation::Started {
                node,
                hard_state,
                base,
                entries,
                ..
            } => {
                let log = DurableLog {
                    base: *base,
                    terms: entries
                        .iter()
                        .map(|entry| (entry.position.index, entry.position.term))
                        .collect(),
                    hard_state: *hard_state,
                };
                self.0.insert(*node, log);
            }
            Observation::Durable {
                node,
                reset,
                hard_state,
                entries,
            } => {
                let log = self.0.entry(*node).or_default();
                if let Some(base) = reset {
                    log.base = *base;
                    log.terms.clear();
                }
                if let Some(first) = entries.first() {
                    log.terms.split_off(&first.position.index);
                }
                log.terms.extend(
                    entries
                        .iter()
                        .map(|entry| (entry.position.index, entry.position.term)),
                );
                log.hard_state = hard_state.unwrap_or(log.hard_state);
            }
            _ => {}
        }
    }
}

pub(super) struct Visibility {
    /// What committed entries say of the group; at 0 as it was founded.
    configurations: BTreeMap<LogIndex, Configuration>,
    logs: DurableLogs,
    /// Those that may be answered before they are committed.
    early: BTreeSet<OperationId>,
    /// Nodes that put a snapshot in place, and whose log does not start after it yet.
    installing: BTreeSet<NodeId>,
}

impl Visibility {
    pub fn new(founding: Configuration) -> Visibility {
        Visibility {
            configurations: BTreeMap::from([(LogIndex(0), founding)]),
            logs: DurableLogs::default(),
            early: BTreeSet::new(),
            installing: BTreeSet::new(),
        }
    }

    /// By a majority of the group as it was before, or of the one before that: a configuration is in effect at the leader
    /// when its own log holds it durably, which the others' may do earlier. Two neighbours' majorities meet.
    fn is_committed(&self, position: Position) -> bool {
        let holds = |node: &NodeId| self.logs.0.get(node).is_some_and(|log| log.holds(position));
        let has_majority =
            |group: &Configuration| group.voters.iter().filter(|node| holds(node)).count() >= group.quorum();
        let mut before = self.configurations.range(..position.index).rev().take(2);
        position == Position::ZERO || before.any(|(_, group)| has_majority(group))
    }

    fn note(&mut self, observation: &Observation) {
        match observation {
            Observation::Applied { entries, .. } => {
                let said = entries.iter().filter_map(|entry| {
                    let configuration = entry.configuration.clone()?;
                    Some((entry.position.index, configuration))
                });
                self.configurations.extend(said);
            }
            Observation::Invoked { operation, what, .. } if what.kind.is_early() => {
                self.early.insert(*operation);
            }
            _ => {}
        }
    }

    fn check(&self, position: Position, what: impl FnOnce() -> String) -> Verdict {
        match self.is_committed(position) {
            true => Ok(()),
            false => Err(format!("{} {position}, which no majority holds durably", what())),
        }
    }
}

impl Checker for Visibility {
    fn name(&self) -> &'static str {
        "visibility"
    }

    fn observe(&mut self, _: Time, observation: &Observation) -> Verdict {
        self.logs.observe(observation);
        self.note(observation);
        match observation {
            Observation::Installing { node, .. } => {
                self.installing.insert(*node);
                Ok(())
            }
            // The log gives it what it had, or a peer: it may be empty again at the next start.
            Observation::Started {
                node, is_empty: true, ..
            } => {
                self.installing.insert(*node);
                Ok(())
            }
            Observation::Started {
                node,
                applied,
                reseeded: true,
                ..
            } => match self.installing.contains(node) {
                true => Ok(()),
                false => Err(format!(
                    "SQLite of node {node} is at {applied}, which its log never held"
                )),
            },
            Observation::Started {
                node, applied, base, ..
            } => {
                let log = &self.logs.0[node];
                if applied.index < base.index {
                    return Err(format!(
                        "SQLite of node {node} is at {applied}, its log was cut through {base}"
                    ));
                }
                if !log.holds(*applied) {
                    return Err(format!(
                        "SQLite of node {node} is at {applied}, which its log does not hold"
                    ));
                }
                Ok(())
            }
            Observation::Durable {
                node, reset: Some(_), ..
            } => {
                self.installing.remove(node);
                Ok(())
            }
            Observation::Visible { node, position, .. } => {
                self.installing.remove(node);
                self.check(*position, || format!("SQLite of node {node} shows"))
            }
            Observation::ReadFrom { node, position } => {
                self.check(*position, || format!("a read at node {node} saw"))
            }
            Observation::Returned {
                operation,
                outcome: Outcome::Done { position, .. },
                ..
            } if !self.early.contains(operation) => {
                self.check(*position, || format!("{operation:?} was answered as done at"))
            }
            _ => Ok(()),
        }
    }
}
