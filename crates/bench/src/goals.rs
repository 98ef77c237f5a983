//! What the figures are to become, and how far they are from it.
//!
//! All of it on one machine: the servers and their client, with an fsync on a majority before the answer.

use std::fmt;

use crate::peer::Kind;
use crate::report::Line;
use crate::statistics::Spread;
use crate::workload::Workload;

/// What of a workload is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Transactions per second: more is better.
    Rate,
    /// The median latency: less is better.
    Latency,
}

/// A figure of one peer, held against the same of another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// What runs.
    pub workload: Workload,
    /// How many clients run it.
    pub clients: u32,
    /// Whose figure it is.
    pub peer: Kind,
    /// What it is divided by.
    pub against: Kind,
    /// Which figure.
    pub measure: Measure,
    /// A rate's least, a latency's greatest.
    pub factor: f64,
}

/// All of them.
pub const GOALS: [Goal; 6] = [
    goal(Workload::Upsert, 32, Kind::Postgres, Measure::Rate, 4.0),
    goal(Workload::TpcbOptimistic, 32, Kind::Postgres, Measure::Rate, 5.0),
    goal(Workload::ReadFollower, 32, Kind::Postgres, Measure::Rate, 1.3),
    goal(Workload::Upsert, 1, Kind::Postgres, Measure::Latency, 0.6),
    Goal {
        peer: Kind::OneNode,
        ..goal(Workload::Upsert, 1, Kind::Sqlite, Measure::Rate, 0.6)
    },
    goal(Workload::Upsert, 32, Kind::Sqlite, Measure::Rate, 6.0),
];

const fn goal(workload: Workload, clients: u32, against: Kind, measure: Measure, factor: f64) -> Goal {
    Goal {
        workload,
        clients,
        peer: Kind::Bellwether,
        against,
        measure,
        factor,
    }
}

impl Goal {
    /// Whether a peer has to run it.
    pub fn names(&self, peer: Kind) -> bool {
        self.peer == peer || self.against == peer
    }

    /// The ratio that was found; `None` when one of both did not run.
    pub fn found(&self, lines: &[Line]) -> Option<Spread> {
        let line = self.line(lines, self.peer)?;
        let ratio = line.ratios.iter().find(|ratio| ratio.against == self.against)?;
        match self.measure {
            Measure::Rate => Some(ratio.tps),
            Measure::Latency => ratio.p50,
        }
    }

    /// Whether other work on the machine had a part in what was found.
    pub fn is_disturbed(&self, lines: &[Line]) -> bool {
        let both = [self.peer, self.against].map(|peer| self.line(lines, peer));
        both.into_iter().flatten().any(Line::is_disturbed)
    }

    fn line<'a>(&self, lines: &'a [Line], peer: Kind) -> Option<&'a Line> {
        let is =
            |line: &&Line| (line.workload, line.clients, line.peer) == (self.workload, self.clients, peer);
        lines.iter().find(is)
    }

    /// Whether a ratio is good enough: its median.
    pub fn is_met(&self, found: Spread) -> bool {
        match self.measure {
            Measure::Rate => found.median >= self.factor,
            Measure::Latency => found.median <= self.factor,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = match self.measure {
            Measure::Rate => "rate at least",
            Measure::Latency => "latency at most",
        };
        write!(f, "{bound} {} × {}", self.factor, self.against.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_better_for_a_rate_and_less_for_a_latency() {
        let found = |median| Spread {
            min: 0.0,
            median,
            max: 100.0,
        };
        let rate = goal(Workload::Upsert, 32, Kind::Postgres, Measure::Rate, 4.0);
        assert!(rate.is_met(found(4.0)) && !rate.is_met(found(3.9)));
        let latency = goal(Workload::Upsert, 1, Kind::Postgres, Measure::Latency, 0.6);
        assert!(latency.is_met(found(0.6)) && !latency.is_met(found(0.7)));
    }

    #[test]
    fn every_goal_is_measured_with_numbers_of_clients_that_run_by_themselves() {
        for goal in GOALS {
            assert!(goal.workload.usual_clients().contains(&goal.clients), "{goal}");
        }
    }
}
