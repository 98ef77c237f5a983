//! What a judge answers.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::history::{Call, Workload};

/// No more are kept of one history: the first ones say enough, and a database without any order has millions.
const VIOLATIONS_MAX: usize = 100;

/// What is wrong with a history, and what was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whose rules were applied.
    pub workload: Workload,
    /// How much was judged.
    pub counts: Counts,
    /// Empty: everything that was looked at is as promised. At most 100 are kept.
    pub violations: Vec<Violation>,
    /// How many more violations there are.
    pub more_violations: usize,
    /// What was not judged, and figures that are no verdict. For a person.
    pub notes: Vec<String>,
}

/// How many operations a history has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Acknowledged.
    pub ok: usize,
    /// Certainly not done.
    pub fail: usize,
    /// Unknown.
    pub info: usize,
    /// Reads with the guarantee `session`, however they ended.
    pub session_reads: usize,
    /// Threads of operations.
    pub processes: usize,
}

/// One thing that cannot have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Its name.
    pub anomaly: Anomaly,
    /// Why it is one, a sentence or some lines.
    pub explanation: String,
    /// The operations that show it.
    pub calls: Vec<Call>,
}

/// The kinds of things that must not happen. Names with a G are Adya's (PhD thesis, MIT 1999), as Elle has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anomaly {
    /// No order of the operations on a register explains what was read.
    NotLinearizable,
    /// A read shows what nobody wrote.
    Phantom,
    /// A read shows what a failed operation wrote (G1a).
    AbortedRead,
    /// A read shows what a transaction wrote before its last write to the same list (G1b).
    IntermediateRead,
    /// A transaction does not see its own writes and reads.
    Internal,
    /// Two reads of a list are not one the beginning of the other.
    IncompatibleOrder,
    /// The same element twice.
    Duplicate,
    /// An acknowledged write is not there, and no later read shows it.
    Lost,
    /// An acknowledged write is not there; a later read shows it.
    Stale,
    /// What was seen before is gone and comes back.
    Resurrected,
    /// A process does not see what it wrote or has seen before.
    Session,
    /// A read shows what was written only after it.
    Future,
    /// Balances do not add up to what they were at the beginning.
    WrongSum,
    /// A balance below zero.
    Negative,
    /// A read shows other accounts than there are.
    WrongAccounts,
    /// At the end a balance is not what its transfers make it.
    WrongBalance,
    /// Transactions go in a circle.
    Cycle(CycleKind, OrderKind),
    /// The history itself is not fit to be judged.
    Unjudgeable,
}

/// By which dependencies transactions go in a circle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CycleKind {
    /// Writes over writes alone.
    G0,
    /// Writes over writes and reads of writes.
    G1c,
    /// And one write over what was read: read skew, lost update.
    GSingle,
    /// And more than one write over what was read: write skew.
    G2,
}

/// What else than data a circle needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderKind {
    /// Nothing.
    Data,
    /// The order of a process's operations.
    Process,
    /// That one ended before the other began.
    Realtime,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Anomaly::NotLinearizable => "not-linearizable",
            Anomaly::Phantom => "phantom",
            Anomaly::AbortedRead => "G1a aborted-read",
            Anomaly::IntermediateRead => "G1b intermediate-read",
            Anomaly::Internal => "internal",
            Anomaly::IncompatibleOrder => "incompatible-order",
            Anomaly::Duplicate => "duplicate",
            Anomaly::Lost => "lost",
            Anomaly::Stale => "stale-read",
            Anomaly::Resurrected => "resurrected",
            Anomaly::Session => "session",
            Anomaly::Future => "future-read",
            Anomaly::WrongSum => "wrong-sum",
            Anomaly::Negative => "negative-balance",
            Anomaly::WrongAccounts => "wrong-accounts",
            Anomaly::WrongBalance => "wrong-balance",
            Anomaly::Unjudgeable => "unjudgeable",
            Anomaly::Cycle(kind, order) => return write!(f, "{kind}{order}"),
        };
        f.write_str(name)
    }
}

/// By its name.
impl Serialize for Anomaly {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for CycleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CycleKind::G0 => "G0",
            CycleKind::G1c => "G1c",
            CycleKind::GSingle => "G-single",
            CycleKind::G2 => "G2",
        })
    }
}

/// As a suffix.
impl fmt::Display for OrderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OrderKind::Data => "",
            OrderKind::Process => "-process",
            OrderKind::Realtime => "-realtime",
        })
    }
}

impl Violation {
    /// With the operations that show it.
    pub fn new(anomaly: Anomaly, explanation: String, calls: &[&Call]) -> Violation {
        Violation {
            anomaly,
            explanation,
            calls: calls.iter().map(|&call| call.clone()).collect(),
        }
    }
}

/// The anomaly, why, and each operation on a line of its own.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            self.anomaly,
            self.explanation.replace('\n', "\n    ")
        )?;
        for call in &self.calls {
            write!(f, "\n  {call}")?;
        }
        Ok(())
    }
}

impl Verdict {
    /// Nothing found yet.
    pub fn new(workload: Workload, counts: Counts) -> Verdict {
        Verdict {
            workload,
            counts,
            violations: Vec::new(),
            more_violations: 0,
            notes: Vec::new(),
        }
    }

    /// Whether nothing was found.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// Enters what was found.
    pub fn add(&mut self, violation: Violation) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(violation);
        } else {
            self.more_violations += 1;
        }
    }

    /// As [`Verdict::add`], of several.
    pub fn extend(&mut self, violations: impl IntoIterator<Item = Violation>) {
        violations.into_iter().for_each(|violation| self.add(violation));
    }

    /// Enters what a person should know.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }
}
