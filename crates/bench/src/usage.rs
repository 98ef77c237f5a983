//! What a run cost: CPU time of the processes, and what the nodes count themselves.
//!
//! Linux only, as far as CPU goes: elsewhere those numbers are absent. A number that cannot be had is `None`, never
//! zero.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::metrics::{self, Metrics};
use crate::process::{self, tick_us};

/// The difference of two readings; adds up over rounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time of the leader's processes, or of this one for an embedded peer.
    pub leader_cpu_us: Option<u64>,
    /// CPU time of the peer's other processes.
    pub followers_cpu_us: Option<u64>,
    /// CPU time of pgbench.
    pub client_cpu_us: Option<u64>,
    /// CPU time of the machine that was used, by anyone.
    pub machine_busy_us: Option<u64>,
    /// CPU time that the machine had to give.
    pub machine_total_us: Option<u64>,
    /// CPU time of the machine that neither this program nor anything that it has started used.
    pub strangers_us: Option<u64>,
    /// What the leader counted.
    pub leader: Option<Metrics>,
    /// What all other nodes counted.
    pub followers: Option<Metrics>,
}

impl Usage {
    /// This and another round's.
    pub fn add(&mut self, other: &Usage) {
        let sum = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
        self.leader_cpu_us = sum(self.leader_cpu_us, other.leader_cpu_us);
        self.followers_cpu_us = sum(self.followers_cpu_us, other.followers_cpu_us);
        self.client_cpu_us = sum(self.client_cpu_us, other.client_cpu_us);
        self.machine_busy_us = sum(self.machine_busy_us, other.machine_busy_us);
        self.machine_total_us = sum(self.machine_total_us, other.machine_total_us);
        self.strangers_us = sum(self.strangers_us, other.strangers_us);
        self.leader = plus(self.leader, other.leader);
        self.followers = plus(self.followers, other.followers);
    }

    /// CPU time of all processes of the peer.
    pub fn peer_cpu_us(&self) -> Option<u64> {
        Some(self.leader_cpu_us? + self.followers_cpu_us?)
    }

    /// The share of the machine that others used, in percent.
    pub fn strangers_percent(&self) -> Option<f64> {
        let total_us = self.machine_total_us.filter(|total_us| *total_us > 0)?;
        Some(self.strangers_us? as f64 / total_us as f64 * 100.0)
    }
}

fn plus(a: Option<Metrics>, b: Option<Metrics>) -> Option<Metrics> {
    Some(a?.plus(&b?))
}

/// A node to read from: as much of it as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Its first process on this machine.
    pub process: Option<u32>,
    /// Where it serves `/metrics`.
    pub http: Option<SocketAddr>,
}

/// A peer to read from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// In the order of their numbers.
    pub nodes: Vec<Source>,
    /// The processes below which all others of the peer are.
    pub roots: Vec<u32>,
}

/// Readings at one moment.
pub struct Reading {
    nodes: Vec<(Source, Option<u64>, Option<Metrics>)>,
    all_cpu_us: Option<u64>,
    own_cpu_us: Option<u64>,
    children_cpu_us: Option<u64>,
    machine: Option<(u64, u64)>,
    /// Of this process and everything that it has started.
    tree_cpu_us: Option<u64>,
}

impl Reading {
    /// Now.
    pub fn take(sources: &Sources) -> Reading {
        let read = |source: &Source| {
            let cpu_us = source.process.and_then(process::tree_cpu_us);
            let metrics = source.http.and_then(|http| metrics::scrape(http).ok());
            (*source, cpu_us, metrics)
        };
        let own = process::own_cpu_us();
        let all = sources.roots.iter().map(|root| process::tree_cpu_us(*root));
        Reading {
            nodes: sources.nodes.iter().map(read).collect(),
            all_cpu_us: all.sum(),
            own_cpu_us: own.map(|(own_us, _)| own_us),
            children_cpu_us: own.map(|(_, children_us)| children_us),
            machine: machine_cpu(),
            tree_cpu_us: process::tree_cpu_us(std::process::id()),
        }
    }

    /// What was used since an earlier reading of the same peer, whose node at `leader` led.
    pub fn since(&self, earlier: &Reading, leader: usize) -> Usage {
        let mut usage = self.machine_since(earlier);
        usage.client_cpu_us = minus(self.children_cpu_us, earlier.children_cpu_us);
        usage.followers = Some(Metrics::default());
        for (at, (now, then)) in self.nodes.iter().zip(&earlier.nodes).enumerate() {
            // A process that was started anew meanwhile has counted from zero.
            let same = now.0 == then.0;
            let counted = now.2.zip(then.2).filter(|_| same);
            let counted = counted.map(|(now, then)| now.minus(&then));
            if at == leader {
                usage.leader_cpu_us = minus(now.1, then.1).filter(|_| same);
                usage.leader = counted;
            } else {
                usage.followers = plus(usage.followers, counted);
            }
        }
        let all_cpu_us = minus(self.all_cpu_us, earlier.all_cpu_us);
        // Both were read one after the other, so that idle followers may seem to have used less than nothing.
        usage.followers_cpu_us = all_cpu_us
            .zip(usage.leader_cpu_us)
            .map(|(all_us, leader_us)| all_us.saturating_sub(leader_us));
        usage
    }

    /// The same for work that was done in this process.
    pub fn since_embedded(&self, earlier: &Reading) -> Usage {
        let mut usage = self.machine_since(earlier);
        usage.leader_cpu_us = minus(self.own_cpu_us, earlier.own_cpu_us);
        usage.followers_cpu_us = usage.leader_cpu_us.map(|_| 0);
        usage.client_cpu_us = usage.followers_cpu_us;
        usage
    }

    fn machine_since(&self, earlier: &Reading) -> Usage {
        let (now, then) = (self.machine, earlier.machine);
        let busy_us = minus(now.map(|cpu| cpu.0), then.map(|cpu| cpu.0));
        let tree_us = minus(self.tree_cpu_us, earlier.tree_cpu_us);
        Usage {
            machine_busy_us: busy_us,
            machine_total_us: minus(now.map(|cpu| cpu.1), then.map(|cpu| cpu.1)),
            // The clocks of the two tick apart, so that a quiet machine's difference may be less than nothing.
            strangers_us: busy_us
                .zip(tree_us)
                .map(|(busy_us, tree_us)| busy_us.saturating_sub(tree_us)),
            ..Usage::default()
        }
    }
}

fn minus(now: Option<u64>, then: Option<u64>) -> Option<u64> {
    now?.checked_sub(then?)
}

/// CPU time of the machine since it started: used, and had.
fn machine_cpu() -> Option<(u64, u64)> {
    parse_machine_cpu(&std::fs::read_to_string("/proc/stat").ok()?, tick_us())
}

/// The first line of proc(5)'s `/proc/stat`: user nice system idle iowait irq softirq steal, then guests' time,
/// which is in user's already.
fn parse_machine_cpu(stat: &str, tick_us: u64) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map_while(|field| field.parse().ok())
        .collect();
    let total: u64 = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(((total - idle) * tick_us, total * tick_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_idle_time_is_not_its_busy_time() {
        let stat = "cpu  100 20 30 400 50 6 7 8 9 10\ncpu0 1 2 3\n";
        assert_eq!(parse_machine_cpu(stat, 10), Some((1_710, 6_210)));
        assert_eq!(parse_machine_cpu("", 10), None);
    }

    fn reading(process: u32, cpu_us: u64) -> Reading {
        let source = |process| Source {
            process: Some(process),
            http: None,
        };
        Reading {
            nodes: vec![
                (source(1), Some(5), None),
                (source(process), Some(cpu_us), None),
                (source(3), Some(7), None),
            ],
            all_cpu_us: Some(12 + 3 * cpu_us),
            own_cpu_us: Some(1),
            children_cpu_us: Some(cpu_us),
            machine: Some((10 * cpu_us, 40 * cpu_us)),
            tree_cpu_us: Some(6 * cpu_us),
        }
    }

    #[test]
    fn what_was_used_is_the_difference_told_apart_by_role() {
        let usage = reading(2, 30).since(&reading(2, 10), 1);
        assert_eq!(
            (usage.leader_cpu_us, usage.followers_cpu_us),
            (Some(20), Some(40))
        );
        assert_eq!((usage.peer_cpu_us(), usage.client_cpu_us), (Some(60), Some(20)));
        assert_eq!(usage.leader, None);
        let usage = reading(2, 30).since(&reading(2, 10), 0);
        assert_eq!((usage.leader_cpu_us, usage.followers_cpu_us), (Some(0), Some(60)));
    }

    #[test]
    fn what_the_machine_did_beside_is_told() {
        let usage = reading(2, 30).since(&reading(2, 10), 1);
        assert_eq!(usage.strangers_us, Some(200 - 120));
        assert_eq!(usage.strangers_percent(), Some(10.0));
    }

    #[test]
    fn a_node_that_was_started_anew_has_no_difference() {
        let usage = reading(4, 30).since(&reading(2, 10), 1);
        assert_eq!((usage.leader_cpu_us, usage.followers_cpu_us), (None, None));
    }

    #[test]
    fn a_sum_with_an_unknown_part_is_unknown() {
        let mut sum = Usage {
            leader_cpu_us: Some(1),
            client_cpu_us: Some(1),
            ..Usage::default()
        };
        sum.add(&Usage {
            leader_cpu_us: Some(2),
            ..Usage::default()
        });
        assert_eq!((sum.leader_cpu_us, sum.client_cpu_us), (Some(3), None));
    }
}
