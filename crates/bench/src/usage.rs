//! What a run cost: CPU time of the processes, and what the nodes count themselves.
//!
//! Linux only, as far as CPU goes: elsewhere those numbers are absent. A number that cannot be had is `None`, never
//! zero.

use std::net::SocketAddr;

use serde::Serialize;

use crate::metrics::{self, Metrics};

/// The difference of two readings; adds up over rounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Usage {
    /// CPU time of the leader's process, or of this one for an embedded peer.
    pub leader_cpu_us: Option<u64>,
    /// CPU time of all other nodes' processes.
    pub followers_cpu_us: Option<u64>,
    /// CPU time of pgbench.
    pub client_cpu_us: Option<u64>,
    /// CPU time of the machine that was used, by anyone.
    pub machine_busy_us: Option<u64>,
    /// CPU time that the machine had to give.
    pub machine_total_us: Option<u64>,
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
        self.leader = plus(self.leader, other.leader);
        self.followers = plus(self.followers, other.followers);
    }
}

fn plus(a: Option<Metrics>, b: Option<Metrics>) -> Option<Metrics> {
    Some(a?.plus(&b?))
}

/// A node to read from: as much of it as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Its process on this machine.
    pub process: Option<u32>,
    /// Where it serves `/metrics`.
    pub http: Option<SocketAddr>,
}

/// Readings at one moment.
pub struct Reading {
    nodes: Vec<(Source, Option<u64>, Option<Metrics>)>,
    own_cpu_us: Option<u64>,
    children_cpu_us: Option<u64>,
    machine: Option<(u64, u64)>,
}

impl Reading {
    /// Now.
    pub fn take(sources: &[Source]) -> Reading {
        let read = |source: &Source| {
            let cpu_us = source
                .process
                .and_then(|process| ProcessCpu::of(&process.to_string()));
            let metrics = source.http.and_then(|http| metrics::scrape(http).ok());
            (*source, cpu_us.map(|cpu| cpu.own_us), metrics)
        };
        let own = ProcessCpu::of("self");
        Reading {
            nodes: sources.iter().map(read).collect(),
            own_cpu_us: own.map(|cpu| cpu.own_us),
            children_cpu_us: own.map(|cpu| cpu.children_us),
            machine: machine_cpu(),
        }
    }

    /// What was used since an earlier reading of the same nodes, of which the one at `leader` led.
    pub fn since(&self, earlier: &Reading, leader: usize) -> Usage {
        let mut usage = self.machine_since(earlier);
        usage.client_cpu_us = minus(self.children_cpu_us, earlier.children_cpu_us);
        usage.followers_cpu_us = (self.nodes.len() > 1).then_some(0);
        usage.followers = Some(Metrics::default());
        for (at, (now, then)) in self.nodes.iter().zip(&earlier.nodes).enumerate() {
            // A process that was started anew meanwhile has counted from zero.
            let same = now.0 == then.0;
            let cpu_us = minus(now.1, then.1).filter(|_| same);
            let counted = now.2.zip(then.2).filter(|_| same);
            let counted = counted.map(|(now, then)| now.minus(&then));
            if at == leader {
                (usage.leader_cpu_us, usage.leader) = (cpu_us, counted);
            } else {
                usage.followers_cpu_us = usage.followers_cpu_us.and_then(|sum| Some(sum + cpu_us?));
                usage.followers = plus(usage.followers, counted);
            }
        }
        usage
    }

    /// The same for work that was done in this process.
    pub fn since_embedded(&self, earlier: &Reading) -> Usage {
        let mut usage = self.machine_since(earlier);
        usage.leader_cpu_us = minus(self.own_cpu_us, earlier.own_cpu_us);
        usage
    }

    fn machine_since(&self, earlier: &Reading) -> Usage {
        let (now, then) = (self.machine, earlier.machine);
        Usage {
            machine_busy_us: minus(now.map(|cpu| cpu.0), then.map(|cpu| cpu.0)),
            machine_total_us: minus(now.map(|cpu| cpu.1), then.map(|cpu| cpu.1)),
            ..Usage::default()
        }
    }
}

fn minus(now: Option<u64>, then: Option<u64>) -> Option<u64> {
    now?.checked_sub(then?)
}

/// CPU time of a process, in user and kernel mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ProcessCpu {
    own_us: u64,
    /// Of its children that have ended and were waited for.
    children_us: u64,
}

impl ProcessCpu {
    fn of(process: &str) -> Option<ProcessCpu> {
        let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        ProcessCpu::parse(&text, tick_us())
    }

    /// Fields 14 to 17 of proc(5)'s `/proc/pid/stat`. The second is the program's name, which may hold anything.
    fn parse(stat: &str, tick_us: u64) -> Option<ProcessCpu> {
        let after_name = stat.rsplit_once(')')?.1;
        let mut ticks = after_name.split_whitespace().skip(11);
        let mut next = || ticks.next()?.parse::<u64>().ok();
        let (user, system, children_user, children_system) = (next()?, next()?, next()?, next()?);
        Some(ProcessCpu {
            own_us: (user + system) * tick_us,
            children_us: (children_user + children_system) * tick_us,
        })
    }
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

fn tick_us() -> u64 {
    // SAFETY: sysconf touches no memory.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    1_000_000 / u64::try_from(per_second).unwrap_or(100).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_strange_name_is_read() {
        let stat = "77 (a) b (c)) S 1 77 77 0 -1 4194304 1 2 3 4 150 50 7 3 20 0 9 0 100 1 2";
        let expected = ProcessCpu {
            own_us: 2_000_000,
            children_us: 100_000,
        };
        assert_eq!(ProcessCpu::parse(stat, 10_000), Some(expected));
        assert_eq!(ProcessCpu::parse("77 (a) S 1", 10_000), None);
    }

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
            own_cpu_us: Some(1),
            children_cpu_us: Some(cpu_us),
            machine: None,
        }
    }

    #[test]
    fn what_was_used_is_the_difference_told_apart_by_role() {
        let usage = reading(2, 30).since(&reading(2, 10), 1);
        assert_eq!((usage.leader_cpu_us, usage.followers_cpu_us), (Some(20), Some(0)));
        assert_eq!(usage.client_cpu_us, Some(20));
        assert_eq!(usage.leader, None);
        let usage = reading(2, 30).since(&reading(2, 10), 0);
        assert_eq!((usage.leader_cpu_us, usage.followers_cpu_us), (Some(0), Some(20)));
    }

    #[test]
    fn a_node_that_was_started_anew_has_no_difference() {
        let usage = reading(4, 30).since(&reading(2, 10), 1);
        assert_eq!(usage.leader_cpu_us, None);
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
