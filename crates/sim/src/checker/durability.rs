//! I4: what was answered as done is there at the end, after a power loss of all. I7: nothing was done twice. I10: what
//! was reported as failed, or as never executed, was not done. Judged by the ledger of marks.

use std::collections::BTreeMap;

use super::history::History;
use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::{Observation, Outcome};
use crate::workload::{Rows, integer};

#[derive(Default)]
pub(super) struct Durability {
    history: History,
    ledger: Option<BTreeMap<i64, i64>>,
}

impl Checker for Durability {
    fn name(&self) -> &'static str {
        "durability"
    }

    fn observe(&mut self, at: Time, observation: &Observation) -> Verdict {
        self.history.observe(at, observation);
        if let Observation::Final { tables, .. } = observation {
            self.ledger = Some(counts(&tables["ledger"]));
        }
        Ok(())
    }

    fn finish(&mut self) -> Verdict {
        let Some(ledger) = &self.ledger else {
            return Err("the run ended without an audit".to_owned());
        };
        for (operation, call) in &self.history.calls {
            let Some(mark) = call.what.mark() else { continue };
            let times = ledger.get(&mark).copied().unwrap_or(0);
            let outcome = call.returned.as_ref().map(|(_, outcome)| outcome);
            let name = format!("{operation:?} (mark {mark}, {:?})", call.what.action);
            match (times, outcome) {
                (2.., _) => return Err(format!("I7: {name} was done {times} times")),
                (0, Some(Outcome::Done { .. })) => {
                    return Err(format!("I4: {name} was answered as done and is lost"));
                }
                (1, Some(Outcome::Failed(_) | Outcome::Refused)) => {
                    return Err(format!("I10: {name} was reported as {outcome:?} and was done"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn counts(rows: &Rows) -> BTreeMap<i64, i64> {
    rows.iter()
        .filter_map(|row| Some((integer(row, 0)?, integer(row, 1)?)))
        .collect()
}
