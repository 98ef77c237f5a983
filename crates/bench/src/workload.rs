//! What is measured: a script, the door it goes through, and how to tell afterwards that nothing was lost.

use clap::ValueEnum;
use serde::{Serialize, Serializer};

/// Makes the tables that the scripts use; one statement per line.
pub const SETUP: &str = include_str!("../scripts/setup.sql");

/// The first key that [`Workload::Insert`] may use, less one.
pub const LAST_EVENT: &str = "SELECT coalesce(max(id), 0) FROM bench_events";

/// One kind of transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Workload {
    /// A single row counts up, at the leader
    Upsert,
    /// A new row, at the leader
    Insert,
    /// An interactive transaction of five statements and one hot row, at the leader
    Tpcb,
    /// A row by its key, at the leader
    ReadLeader,
    /// A row by its key, at a follower
    ReadFollower,
}

/// Which node the clients connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The one that writes.
    Leader,
    /// Any other.
    Follower,
}

impl Workload {
    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Upsert => "upsert",
            Workload::Insert => "insert",
            Workload::Tpcb => "tpcb",
            Workload::ReadLeader => "read-leader",
            Workload::ReadFollower => "read-follower",
        }
    }

    /// pgbench's script.
    pub fn script(self) -> &'static str {
        match self {
            Workload::Upsert => include_str!("../scripts/upsert.sql"),
            Workload::Insert => include_str!("../scripts/insert.sql"),
            Workload::Tpcb => include_str!("../scripts/tpcb.sql"),
            Workload::ReadLeader | Workload::ReadFollower => include_str!("../scripts/read.sql"),
        }
    }

    /// Where its clients connect.
    pub fn door(self) -> Door {
        match self {
            Workload::ReadFollower => Door::Follower,
            _ => Door::Leader,
        }
    }

    /// The share of transactions whose latency pgbench logs. Reads are so quick that logging each of them would
    /// slow the client down, and so many that a tenth is plenty.
    pub fn sampling_rate(self) -> f64 {
        match self {
            Workload::ReadLeader | Workload::ReadFollower => 0.1,
            _ => 1.0,
        }
    }

    /// A query for the number of its transactions that took effect; `None` for reads.
    pub fn effect(self) -> Option<&'static str> {
        match self {
            Workload::Upsert => Some("SELECT sum(n) FROM bench_counters"),
            Workload::Insert => Some("SELECT count(*) FROM bench_events"),
            Workload::Tpcb => Some("SELECT count(*) FROM bench_history"),
            Workload::ReadLeader | Workload::ReadFollower => None,
        }
    }

    /// Queries whose answers are equal when each transaction took effect as a whole or not at all.
    pub fn equal_sums(self) -> &'static [&'static str] {
        match self {
            Workload::Tpcb => &[
                "SELECT coalesce(sum(delta), 0) FROM bench_history",
                "SELECT sum(abalance) FROM bench_accounts",
                "SELECT sum(tbalance) FROM bench_tellers",
                "SELECT sum(bbalance) FROM bench_branches",
            ],
            _ => &[],
        }
    }
}

impl Serialize for Workload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    #[test]
    fn every_script_is_understood_by_the_peer_that_has_no_pgbench() {
        for workload in Workload::value_variants() {
            let script = Script::parse(workload.script());
            script.unwrap_or_else(|error| panic!("{}: {error}", workload.name()));
        }
        Script::parse(SETUP).expect("one statement per line");
    }

    #[test]
    fn both_reads_are_one_script() {
        assert_eq!(Workload::ReadLeader.script(), Workload::ReadFollower.script());
    }

    #[test]
    fn names_are_what_the_command_line_takes() {
        for workload in Workload::value_variants() {
            let value = workload.to_possible_value().expect("none is hidden");
            assert_eq!(value.get_name(), workload.name());
        }
    }

    #[test]
    fn what_writes_can_be_counted() {
        for workload in Workload::value_variants() {
            let script = Script::parse(workload.script()).expect("valid");
            let writes = script.statements().any(|sql| !sql.starts_with("SELECT"));
            assert_eq!(workload.effect().is_some(), writes, "{}", workload.name());
        }
    }
}
