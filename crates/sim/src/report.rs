//! What a run was, in numbers, and whether it was a run worth its name.

use std::fmt;

use crate::checker::Violation;

/// Every run must come to at least this, or the simulator is at fault.
pub mod at_least {
    /// Simulated seconds.
    pub const SECONDS: u64 = 60;
    /// Transactions that clients were told are done.
    pub const TRANSACTIONS: u64 = 1_000;
    /// Faults injected.
    pub const FAULTS: u64 = 5;
    /// Records in which statements stand as they were executed.
    pub const OF_STATEMENTS: u64 = 100;
    /// Leaders after the first.
    pub const LEADER_CHANGES: u64 = 1;
    /// Writes answered as done, of each durability.
    pub const OF_EACH_DURABILITY: u64 = 5;
}

/// Counted over one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Whom commits waited for besides the quorum.
    pub rule: &'static str,
    /// Nodes of the cluster, those that joined among them.
    pub nodes: u64,
    /// Records that said of the group.
    pub configurations: u64,
    /// Simulated time.
    pub seconds: u64,
    /// Writes answered as done.
    pub writes: u64,
    /// Of these, by durability, from weak to strong.
    pub acknowledged: [u64; 5],
    /// Of these, answered before they were committed, and lost with their leader.
    pub early_lost: u64,
    /// Sessions that ended because of that, or because nobody knew any more.
    pub sessions_lost: u64,
    /// Of these, interactive transactions.
    pub interactive: u64,
    /// Of these, VACUUMs.
    pub vacuums: u64,
    /// Of these, changes of the log's format.
    pub switches: u64,
    /// Records in which statements stand as they were executed.
    pub of_statements: u64,
    /// Reads answered.
    pub reads: u64,
    /// Writes that failed, for certain.
    pub failed: u64,
    /// Operations that were never executed.
    pub refused: u64,
    /// Writes whose outcome their client does not know.
    pub unknown: u64,
    /// Faults injected.
    pub faults: u64,
    /// Times that a node began to lead, after the first.
    pub leader_changes: u64,
    /// Processes started, after the first of each node.
    pub restarts: u64,
    /// Bytes of databases that rotted.
    pub rotted: u64,
    /// Snapshots put in place.
    pub snapshots: u64,
    /// Messages delivered.
    pub messages: u64,
}

impl Counts {
    /// What there was too little of.
    pub fn lack(&self) -> Option<String> {
        let rarest = self.acknowledged.into_iter().min().unwrap_or(0);
        let checks = [
            ("simulated seconds", self.seconds, at_least::SECONDS),
            ("transactions", self.writes + self.reads, at_least::TRANSACTIONS),
            ("faults", self.faults, at_least::FAULTS),
            (
                "records of statements",
                self.of_statements,
                at_least::OF_STATEMENTS,
            ),
            ("leader changes", self.leader_changes, at_least::LEADER_CHANGES),
            ("writes of some durability", rarest, at_least::OF_EACH_DURABILITY),
        ];
        let (what, found, wanted) = checks.into_iter().find(|(_, found, wanted)| found < wanted)?;
        Some(format!(
            "the run had {found} {what}, at least {wanted} are asked for"
        ))
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// In numbers.
    pub counts: Counts,
    /// Of its trace.
    pub trace_hash: u64,
    /// What was found.
    pub violation: Option<Violation>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            nodes,
            configurations,
            seconds,
            writes,
            interactive,
            vacuums,
            switches,
            reads,
            failed,
            refused,
            unknown,
            ..
        } = self.counts;
        let Counts {
            faults,
            leader_changes,
            restarts,
            rotted,
            snapshots,
            messages,
            of_statements,
            ..
        } = self.counts;
        let Counts {
            rule,
            acknowledged: [off, local, remote_write, on, remote_apply],
            early_lost,
            sessions_lost,
            ..
        } = self.counts;
        write!(
            f,
            "seed {:>6}: {nodes} nodes {seconds} s, {writes} writes ({interactive} interactive {vacuums} vacuums {switches} switches) {reads} reads ({failed} failed {refused} refused \
             {unknown} unknown), {faults} faults {configurations} configurations {leader_changes} leader changes {restarts} restarts \
             {rotted} rotted {snapshots} snapshots, {messages} messages, {of_statements} records of statements, \
             waiting for \"{rule}\": {off} off {local} local {remote_write} remote_write {on} on {remote_apply} remote_apply \
             ({early_lost} early ones lost, {sessions_lost} sessions), trace {:016x}",
            self.seed, self.trace_hash
        )?;
        match &self.violation {
            Some(violation) => write!(f, "\n  VIOLATION: {violation}"),
            None => Ok(()),
        }
    }
}
