//! What is measured: scripts, the door they go through, and how to tell afterwards that nothing was lost.

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Makes the tables of our own scripts; one statement per line.
pub const SETUP: &str = include_str!("../scripts/setup.sql");

/// Makes, where pgbench cannot, the tables of [`Workload::Tpcb`]; after [`SETUP`].
pub const SQLITE_SETUP: &str = include_str!("../scripts/sqlite.sql");

/// The first key that [`Workload::Insert`] may use, less one.
pub const LAST_EVENT: &str = "SELECT coalesce(max(id), 0) FROM bench_events";

/// One kind of transaction, or a mix of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Workload {
    /// A single row counts up, at the leader
    Upsert,
    /// A new row, at the leader
    Insert,
    /// An interactive transaction of five statements and one hot row, at the leader
    Tpcb,
    /// The same, in optimistic transactions where there are such
    TpcbOptimistic,
    /// A row by its key, at the leader
    ReadLeader,
    /// A row by its key, at a follower
    ReadFollower,
    /// Nineteen such reads for one upsert, at the leader
    ReadMostly,
}

/// Which node the clients connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The one that writes.
    Leader,
    /// Any other.
    Follower,
}

/// A script of a workload: one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// How often it is chosen, against the weights of the other parts.
    pub weight: u32,
    /// pgbench's language.
    pub script: &'static str,
    /// Whether it leaves something behind.
    pub writes: bool,
}

const UPSERT: Part = Part {
    weight: 1,
    script: include_str!("../scripts/upsert.sql"),
    writes: true,
};
const READ: Part = Part {
    weight: 1,
    script: include_str!("../scripts/read.sql"),
    writes: false,
};

impl Workload {
    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Upsert => "upsert",
            Workload::Insert => "insert",
            Workload::Tpcb => "tpcb",
            Workload::TpcbOptimistic => "tpcb-optimistic",
            Workload::ReadLeader => "read-leader",
            Workload::ReadFollower => "read-follower",
            Workload::ReadMostly => "read-mostly",
        }
    }

    /// Its scripts, of which a client draws one for each transaction.
    pub fn parts(self) -> Vec<Part> {
        let alone = |script| Part { script, ..UPSERT };
        match self {
            Workload::Upsert => vec![UPSERT],
            Workload::Insert => vec![alone(include_str!("../scripts/insert.sql"))],
            Workload::Tpcb | Workload::TpcbOptimistic => {
                vec![alone(include_str!("../scripts/tpcb.sql"))]
            }
            Workload::ReadLeader | Workload::ReadFollower => vec![READ],
            Workload::ReadMostly => vec![Part { weight: 19, ..READ }, UPSERT],
        }
    }

    /// What its clients' sessions are started with, in PGOPTIONS. PostgreSQL takes settings that it does not know when
    /// their names have a dot.
    pub fn session_options(self) -> Option<&'static str> {
        (self == Workload::TpcbOptimistic).then_some("-c bellwether.transaction_mode=optimistic")
    }

    /// How often a transaction is tried that could not be serialized (40001); its latency is that of all tries.
    pub fn tries(self) -> u32 {
        match self {
            Workload::TpcbOptimistic => 100,
            _ => 1,
        }
    }

    /// Where its clients connect.
    pub fn door(self) -> Door {
        match self {
            Workload::ReadFollower => Door::Follower,
            _ => Door::Leader,
        }
    }

    /// The numbers of clients that say most about it.
    pub fn usual_clients(self) -> &'static [u32] {
        match self {
            Workload::Upsert | Workload::Tpcb | Workload::TpcbOptimistic => &[1, 32],
            _ => &[32],
        }
    }

    /// The share of transactions whose latency pgbench logs. Reads are so quick that logging each of them would
    /// slow the client down, and so many that a tenth is plenty.
    pub fn sampling_rate(self) -> f64 {
        match self {
            Workload::ReadLeader | Workload::ReadFollower | Workload::ReadMostly => 0.1,
            _ => 1.0,
        }
    }

    /// The workload whose effect its writes add to; `None` when it writes nothing.
    pub fn writes_as(self) -> Option<Workload> {
        match self {
            Workload::Upsert | Workload::Insert | Workload::Tpcb => Some(self),
            Workload::ReadMostly => Some(Workload::Upsert),
            Workload::TpcbOptimistic => Some(Workload::Tpcb),
            Workload::ReadLeader | Workload::ReadFollower => None,
        }
    }

    /// A query for the number of its transactions that took effect; `None` when another workload's tells, or none.
    pub fn effect(self) -> Option<&'static str> {
        match self {
            Workload::Upsert => Some("SELECT sum(n) FROM bench_counters"),
            Workload::Insert => Some("SELECT count(*) FROM bench_events"),
            Workload::Tpcb => Some("SELECT count(*) FROM pgbench_history"),
            Workload::TpcbOptimistic
            | Workload::ReadLeader
            | Workload::ReadFollower
            | Workload::ReadMostly => None,
        }
    }

    /// Queries whose answers are equal when each transaction took effect as a whole or not at all.
    pub fn equal_sums(self) -> &'static [&'static str] {
        match self {
            Workload::Tpcb => &[
                "SELECT coalesce(sum(delta), 0) FROM pgbench_history",
                "SELECT sum(abalance) FROM pgbench_accounts",
                "SELECT sum(tbalance) FROM pgbench_tellers",
                "SELECT sum(bbalance) FROM pgbench_branches",
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

impl<'de> Deserialize<'de> for Workload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Workload, D::Error> {
        let name = String::deserialize(deserializer)?;
        Workload::from_str(&name, false).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    #[test]
    fn every_script_is_understood_by_the_peer_that_has_no_pgbench() {
        for workload in Workload::value_variants() {
            for part in workload.parts() {
                Script::parse(part.script).unwrap_or_else(|error| panic!("{}: {error}", workload.name()));
            }
        }
        Script::parse(SETUP).expect("one statement per line");
        Script::parse(SQLITE_SETUP).expect("one statement per line");
    }

    #[test]
    fn both_reads_are_one_script() {
        assert_eq!(Workload::ReadLeader.parts(), Workload::ReadFollower.parts());
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
            for part in workload.parts() {
                let script = Script::parse(part.script).expect("valid");
                let writes = script.statements().any(|sql| !sql.starts_with("SELECT"));
                assert_eq!(part.writes, writes, "{}", workload.name());
            }
            let writes = workload.parts().iter().any(|part| part.writes);
            let effect = workload.writes_as().and_then(Workload::effect);
            assert_eq!(effect.is_some(), writes, "{}", workload.name());
        }
    }
}
