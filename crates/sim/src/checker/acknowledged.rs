//! Durability: at the moment of an acknowledgement whoever its durability and the cluster's rule ask for has what is
//! acknowledged, received, on disk or applied.
//!
//! Knows who has what from disks and replicas, not from what the leader believes.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_types::{Configuration, Durability, LogIndex, NodeId, Position};

use super::visibility::DurableLogs;
use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::{Logged, Observation};
use crate::rule::Rule;

/// Whom a leader has heard of within this is there for it: well within an election timeout.
const THERE_US: u64 = 300_000;

pub(super) struct Acknowledged {
    rule: Rule,
    logs: DurableLogs,
    /// What committed entries say of the group; at 0 as it was founded.
    configurations: BTreeMap<LogIndex, Configuration>,
    /// What each log says of it, committed or not.
    logged: BTreeMap<NodeId, BTreeMap<LogIndex, Configuration>>,
    received: BTreeSet<(NodeId, Position)>,
    /// The image that a node received last.
    images: BTreeMap<NodeId, LogIndex>,
    /// Where SQLite is.
    applied: BTreeMap<NodeId, LogIndex>,
    /// When a leader last heard of another node in its reign.
    heard: BTreeMap<(NodeId, NodeId), Time>,
}

impl Acknowledged {
    pub fn new(founding: Configuration, rule: Rule) -> Acknowledged {
        Acknowledged {
            rule,
            logs: DurableLogs::default(),
            configurations: BTreeMap::from([(LogIndex(0), founding)]),
            logged: BTreeMap::new(),
            received: BTreeSet::new(),
            images: BTreeMap::new(),
            applied: BTreeMap::new(),
            heard: BTreeMap::new(),
        }
    }

    /// The group as it may be in effect at a leader: what its own log says last, or what it said before, as long as the
    /// leader has not applied the last.
    fn in_effect(&self, leader: NodeId) -> Vec<&Configuration> {
        let base = self.logs.0.get(&leader).map_or(LogIndex(0), |log| log.base.index);
        let logged = self.logged.get(&leader).into_iter().flatten().rev();
        let before = self.configurations.range(..=base).rev();
        let mut latest = logged.filter(|(index, _)| **index > base).chain(before);
        let (index, last) = latest.next().expect("it was founded");
        let is_open = self.applied.get(&leader).is_none_or(|applied| applied < index);
        let previous = latest.next().filter(|_| is_open);
        let previous = previous.map(|(_, group)| group);
        [Some(last), previous].into_iter().flatten().collect()
    }

    fn holds(&self, node: NodeId, position: Position) -> bool {
        self.logs.0.get(&node).is_some_and(|log| log.holds(position))
    }

    fn has_received(&self, node: NodeId, position: Position) -> bool {
        let is_in_image = self
            .images
            .get(&node)
            .is_some_and(|image| *image >= position.index);
        is_in_image || self.received.contains(&(node, position)) || self.holds(node, position)
    }

    fn has_applied(&self, node: NodeId, position: Position) -> bool {
        self.applied
            .get(&node)
            .is_some_and(|applied| *applied >= position.index)
    }

    /// By a majority of the group as it is, or as it was when this was proposed.
    fn is_committed(&self, leader: NodeId, position: Position) -> bool {
        let has_majority = |group: &Configuration| {
            let holding = group.voters.iter().filter(|node| self.holds(**node, position));
            holding.count() >= group.quorum()
        };
        let before = self.configurations.range(..position.index).rev().take(2);
        let mut groups = before.map(|(_, group)| group).chain(self.in_effect(leader));
        groups.any(has_majority)
    }

    fn check(&self, at: Time, leader: NodeId, position: Position, durability: Durability) -> Verdict {
        match durability {
            Durability::Off if !self.has_received(leader, position) => {
                Err("the leader's log has it not".to_owned())
            }
            Durability::Off => Ok(()),
            Durability::Local | Durability::RemoteWrite if !self.holds(leader, position) => {
                Err("the leader's disk has it not".to_owned())
            }
            Durability::Local => Ok(()),
            Durability::On | Durability::RemoteApply if !self.is_committed(leader, position) => {
                Err("no majority holds it durably".to_owned())
            }
            Durability::RemoteWrite => {
                self.check_others(at, leader, |node| self.has_received(node, position))
            }
            Durability::On if self.rule == Rule::Nobody => Ok(()),
            Durability::On => self.check_others(at, leader, |node| self.holds(node, position)),
            Durability::RemoteApply => self.check_others(at, leader, |node| self.has_applied(node, position)),
        }
    }

    /// Those that the rule asks for; without a rule a majority, the leader among them.
    fn check_others(&self, at: Time, leader: NodeId, has: impl Fn(NodeId) -> bool) -> Verdict {
        let groups = self.in_effect(leader);
        let verdicts = groups
            .into_iter()
            .map(|group| self.check_group(at, group, leader, &has));
        verdicts.reduce(Verdict::or).unwrap_or(Ok(()))
    }

    fn check_group(
        &self,
        at: Time,
        group: &Configuration,
        leader: NodeId,
        has: impl Fn(NodeId) -> bool,
    ) -> Verdict {
        if self.rule == Rule::Nobody {
            let having = group.voters.iter().filter(|node| **node == leader || has(**node));
            return match having.count() {
                count if count >= group.quorum() => Ok(()),
                count => Err(format!("{count} voters have it, the leader among them")),
            };
        }
        let standbys: Vec<NodeId> = group.members().filter(|node| *node != leader).collect();
        let is_there = |node| {
            let heard = self.heard.get(&(leader, node));
            heard.is_some_and(|heard| at.since_us(*heard) < THERE_US)
        };
        match self.rule.lacks(&standbys, has, is_there) {
            None => Ok(()),
            Some(lack) => Err(format!("{}: {lack}", self.rule.text())),
        }
    }

    fn observe_log(&mut self, node: NodeId, is_new: bool, entries: &[Logged]) {
        let logged = self.logged.entry(node).or_default();
        match entries.first() {
            _ if is_new => logged.clear(),
            Some(first) => drop(logged.split_off(&first.position.index)),
            None => {}
        }
        logged.extend(configurations(entries));
    }
}

impl Checker for Acknowledged {
    fn name(&self) -> &'static str {
        "acknowledged"
    }

    fn observe(&mut self, at: Time, observation: &Observation) -> Verdict {
        self.logs.observe(observation);
        match observation {
            Observation::Started {
                node,
                entries,
                applied,
                ..
            } => {
                self.observe_log(*node, true, entries);
                self.applied.insert(*node, applied.index);
            }
            Observation::Durable {
                node, reset, entries, ..
            } => self.observe_log(*node, reset.is_some(), entries),
            Observation::Received {
                node,
                base,
                positions,
            } => {
                if let Some(base) = base {
                    self.images.insert(*node, base.index);
                }
                self.received
                    .extend(positions.iter().map(|position| (*node, *position)));
            }
            Observation::Installing { node, position } => {
                self.applied.insert(*node, position.index);
            }
            Observation::Applied { node, entries } => {
                self.configurations.extend(configurations(entries));
                if let Some(last) = entries.last() {
                    let applied = self.applied.entry(*node).or_default();
                    *applied = last.position.index.max(*applied);
                }
            }
            Observation::Elected { node, .. } => self.heard.retain(|(leader, _), _| leader != node),
            Observation::Heard { node, from } => {
                self.heard.insert((*node, *from), at);
            }
            Observation::Acknowledged {
                node,
                position,
                durability,
            } => {
                return self
                    .check(at, *node, *position, *durability)
                    .map_err(|why| format!("node {node} acknowledged {position} at {durability}: {why}"));
            }
            _ => {}
        }
        Ok(())
    }
}

fn configurations(entries: &[Logged]) -> impl Iterator<Item = (LogIndex, Configuration)> {
    entries
        .iter()
        .filter_map(|entry| Some((entry.position.index, entry.configuration.clone()?)))
}
