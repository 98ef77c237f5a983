//! The bank's money is neither made nor lost, in no snapshot; and no value of the set is there twice.

use super::history::History;
use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::{Observation, Outcome};
use crate::workload::{Action, Rows, bank, integer, set};

#[derive(Default)]
pub(super) struct Conservation {
    history: History,
}

impl Checker for Conservation {
    fn name(&self) -> &'static str {
        "conservation"
    }

    fn observe(&mut self, at: Time, observation: &Observation) -> Verdict {
        if let Observation::Final { tables, .. } = observation {
            return check_total(&tables["bank"]);
        }
        let Some(call) = self.history.observe(at, observation) else {
            return Ok(());
        };
        let Some((_, Outcome::Done { answer, .. })) = &call.returned else {
            return Ok(());
        };
        match (&call.what.action, answer.first()) {
            (Action::Bank(bank::Action::Balances), Some(rows)) => check_total(rows),
            (Action::Set(set::Action::Count), Some(rows)) => {
                let row = rows.first().ok_or("a count has a row")?;
                match (integer(row, 0), integer(row, 1)) {
                    (Some(all), Some(distinct)) if all == distinct => Ok(()),
                    found => Err(format!("I7: the set has values twice: {found:?}")),
                }
            }
            _ => Ok(()),
        }
    }
}

fn check_total(rows: &Rows) -> Verdict {
    match bank::total(rows) {
        bank::TOTAL => Ok(()),
        found => Err(format!(
            "the balances {rows:?} sum up to {found}, not to {}",
            bank::TOTAL
        )),
    }
}
