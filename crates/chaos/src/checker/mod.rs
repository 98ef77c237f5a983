//! Judges: pure functions of a history. Each says what cannot have happened in a database that keeps its promises;
//! none excuses anything. What a judge does not look at it says in a note.

pub mod bank;
pub mod list_append;
pub mod register;
pub mod set;
pub mod verdict;

pub use verdict::{Anomaly, Counts, CycleKind, OrderKind, Verdict, Violation};

use std::collections::BTreeSet;

use crate::history::{Call, History, Malformed, Operation, Outcome, Workload, calls};

/// Judges a history by its workload's rules.
pub fn judge(history: &History) -> Result<Verdict, Malformed> {
    let calls = calls(&history.events)?;
    let mut verdict = Verdict::new(history.header.workload, counts(&calls));
    match history.header.workload {
        Workload::Register => register::check(&calls, &mut verdict),
        Workload::ListAppend => list_append::check(&calls, &mut verdict),
        Workload::Bank => bank::check(&calls, history.header.bank, &mut verdict),
        Workload::Set => set::check(&calls, &mut verdict),
    }
    if history.is_cut_short {
        verdict.note("the last line is torn: the run was cut short".to_owned());
    }
    if verdict.counts.ok == 0 {
        verdict.note("nothing was acknowledged: there is nothing to judge".to_owned());
    }
    Ok(verdict)
}

fn counts(calls: &[Call]) -> Counts {
    let of = |outcome| calls.iter().filter(|call| call.outcome == outcome).count();
    let processes: BTreeSet<u64> = calls.iter().map(|call| call.process).collect();
    Counts {
        ok: of(Outcome::Ok),
        fail: of(Outcome::Fail),
        info: of(Outcome::Info),
        session_reads: calls
            .iter()
            .filter(|call| !call.strong && !call.operation.writes())
            .count(),
        processes: processes.len(),
    }
}

/// A violation for each write of the same value or element: judges know by its value who wrote what, so that such a
/// history cannot be judged.
fn written_twice<'a>(writes: impl Iterator<Item = ((i64, i64), &'a Call)>) -> Vec<Violation> {
    let mut writers = std::collections::HashMap::new();
    let mut found = Vec::new();
    for (value, call) in writes {
        if let Some(before) = writers.insert(value, call) {
            found.push(Violation::new(
                Anomaly::Unjudgeable,
                format!("{} was written twice, so that its writer is not known", value.1),
                &[before, call],
            ));
        }
    }
    found
}

/// What an operation of another workload says: the file was put together wrongly.
fn foreign(call: &Call) -> Violation {
    let workload = match call.operation {
        Operation::Txn(_) => Workload::ListAppend,
        Operation::Read(..) | Operation::Write(..) | Operation::Cas(..) => Workload::Register,
        Operation::Transfer { .. } | Operation::Balances(_) => Workload::Bank,
        Operation::Add(_) | Operation::Elements(_) => Workload::Set,
    };
    let explanation = format!("an operation of {workload}, which is not this history's workload");
    Violation::new(Anomaly::Unjudgeable, explanation, &[call])
}
