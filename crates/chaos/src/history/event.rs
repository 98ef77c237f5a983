//! The lines of a history: a header, then one event a line.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::operation::Operation;

/// What the first line says first; another format has another name.
pub const FORMAT: &str = "bellwether-history-1";

/// The first line: what was run, enough to run it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// Which operations there are, and by which checker they are judged.
    pub workload: Workload,
    /// All chance of the run was drawn from it; what the machine did meanwhile was not.
    pub seed: u64,
    /// Of the cluster.
    pub nodes: u64,
    /// At all nodes together.
    pub clients: u64,
    /// How long clients worked, without the final reads.
    pub seconds: u64,
    /// What the servers call their version.
    pub version: String,
    /// What the reads promised, and other options of the run.
    pub settings: BTreeMap<String, String>,
    /// The names of the faults that were drawn from.
    pub faults: Vec<String>,
    /// What the bank began with; `None` for other workloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bank: Option<Bank>,
}

/// Accounts 0 … N-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bank {
    /// How many.
    pub accounts: i64,
    /// Of each at the beginning.
    pub balance: i64,
}

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Reads, writes and compare-and-sets of single rows.
    Register,
    /// Transactions that append to lists and read them.
    ListAppend,
    /// Transfers between accounts, and reads of all of them.
    Bank,
    /// Elements added one by one, and reads of all of them.
    Set,
}

impl Workload {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Register => "register",
            Workload::ListAppend => "list-append",
            Workload::Bank => "bank",
            Workload::Set => "set",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A client's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The line's place among all events, from 0. Events are numbered in the order in which they happened.
    pub index: u64,
    /// Begin or end.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// One thread of operations, each of which ends before the next begins, on one connection. After an unknown
    /// outcome and after a new connection the client goes on as another process.
    pub process: u64,
    /// The node that the client was connected to.
    #[serde(default)]
    pub node: u64,
    /// Of `invoke`: what its reads promised. True: `strong`; false: `session`.
    #[serde(default = "strong", skip_serializing_if = "is_strong")]
    pub strong: bool,
    /// What was asked, or told.
    #[serde(flatten)]
    pub operation: Operation,
    /// Nanoseconds of a monotonic clock since the run began.
    #[serde(default)]
    pub time: u64,
    /// Of `fail` and `info`: why. SQLSTATE and message where the server gave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

fn strong() -> bool {
    true
}

fn is_strong(strong: &bool) -> bool {
    *strong
}

/// What an event says of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is about to be sent.
    Invoke,
    /// It was acknowledged.
    Ok,
    /// It has certainly not happened and will not.
    Fail,
    /// It may have happened, may happen later, or never.
    Info,
}

/// A line about a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultEvent {
    /// As of [`Event`], in one row with them.
    pub index: u64,
    /// Always `info`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Always `nemesis`.
    pub process: Nemesis,
    /// The fault's name, or `heal`.
    pub f: String,
    /// What was done, for a person.
    pub value: String,
    /// As of [`Event`].
    pub time: u64,
}

/// The process that breaks things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nemesis {
    /// Its only name.
    #[serde(rename = "nemesis")]
    Nemesis,
}
