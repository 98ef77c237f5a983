//! I4: what was answered as done is there at the end, after a power loss of all. I7: nothing was done twice. I10: what
//! was reported as failed, or as never executed, was not done. Judged by the ledger of marks.
//!
//! What was answered before it was committed may be lost, but only with its leader, as a whole, and with all that its
//! session did on top of it.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_types::{LogIndex, Position, SessionId, Term};

use super::history::{Call, History};
use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::{Observation, OperationId, Outcome};
use crate::workload::{Action, Rows, integer, list, set};

#[derive(Default)]
pub(super) struct Durability {
    history: History,
    /// The terms of committed entries.
    committed: BTreeMap<LogIndex, Term>,
    end: Option<End>,
}

/// What is there at the end.
struct End {
    ledger: BTreeMap<i64, i64>,
    registers: BTreeSet<i64>,
    elements: BTreeSet<(String, i64)>,
    members: BTreeSet<i64>,
}

impl Checker for Durability {
    fn name(&self) -> &'static str {
        "durability"
    }

    fn observe(&mut self, at: Time, observation: &Observation) -> Verdict {
        self.history.observe(at, observation);
        match observation {
            Observation::Applied { entries, .. } => {
                let terms = entries
                    .iter()
                    .map(|entry| (entry.position.index, entry.position.term));
                self.committed.extend(terms);
            }
            Observation::Final { tables, .. } => self.end = Some(End::of(tables)),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Verdict {
        let Some(end) = &self.end else {
            return Err("the run ended without an audit".to_owned());
        };
        for (operation, call) in &self.history.calls {
            let Some(mark) = call.what.mark() else { continue };
            let times = end.ledger.get(&mark).copied().unwrap_or(0);
            let outcome = call.returned.as_ref().map(|(_, outcome)| outcome);
            let name = format!("{operation:?} (mark {mark}, {:?})", call.what.action);
            match (times, outcome) {
                (2.., _) => return Err(format!("I7: {name} was done {times} times")),
                (0, Some(Outcome::Done { .. })) => {
                    return Err(format!("I4: {name} was answered as done and is lost"));
                }
                (1, Some(Outcome::Failed(_) | Outcome::Refused | Outcome::SessionLost)) => {
                    return Err(format!("I10: {name} was reported as {outcome:?} and was done"));
                }
                (0, _) if end.has_some_of(call) => {
                    return Err(format!("{name} is not in the ledger, and was done in part"));
                }
                (1, _) if end.lacks_some_of(call) => {
                    return Err(format!("{name} is in the ledger, and was done in part"));
                }
                _ => {}
            }
            if let Some(position) = call.lost {
                self.check_lost_with_leader(position)
                    .map_err(|why| format!("{name} was answered early at {position} and is lost: {why}"))?;
            }
        }
        self.check_sessions()
    }
}

impl Durability {
    /// At its place, or where the log goes on, there is something of a later leader.
    fn check_lost_with_leader(&self, position: Position) -> Verdict {
        match self.committed.range(position.index..).next() {
            Some((index, term)) if *term <= position.term => {
                Err(format!("the log goes on with {index} of term {term}"))
            }
            _ => Ok(()),
        }
    }

    /// A session does not go on after what it lost.
    fn check_sessions(&self) -> Verdict {
        let mut lost: BTreeMap<SessionId, OperationId> = BTreeMap::new();
        for (operation, call) in &self.history.calls {
            let is_done = call.what.kind.is_ordered() && call.done_at().is_some();
            match lost.get(&call.session) {
                Some(before) if is_done => {
                    return Err(format!(
                        "{operation:?} of {:?} was answered as done, and {before:?} of the same session was lost",
                        call.client
                    ));
                }
                _ => {}
            }
            if call.lost.is_some() {
                lost.insert(call.session, *operation);
            }
        }
        Ok(())
    }
}

impl End {
    fn of(tables: &BTreeMap<&'static str, Rows>) -> End {
        let column = |table: &str, column| {
            let rows = tables[table].iter();
            rows.filter_map(|row| integer(row, column)).collect()
        };
        let lists = list::all(&tables["list"]).into_iter();
        let of_list = |(key, elements): (String, Vec<i64>)| {
            elements.into_iter().map(move |element| (key.clone(), element))
        };
        End {
            ledger: counts(&tables["ledger"]),
            registers: column("history", 2),
            elements: lists.flat_map(of_list).collect(),
            members: column("set", 0),
        }
    }

    /// Of each thing that a call does besides leaving its mark, whether it is there.
    fn parts(&self, call: &Call) -> Vec<bool> {
        let has = |key: &str, element: i64| self.elements.contains(&(key.to_owned(), element));
        match &call.what.action {
            Action::Register(crate::workload::register::Action::Write { value, .. }) => {
                vec![self.registers.contains(value)]
            }
            Action::Set(set::Action::Add { value, .. }) => vec![self.members.contains(value)],
            Action::List(action) => {
                let appends = action.appends.iter();
                appends.map(|(key, element)| has(key, *element)).collect()
            }
            Action::Interactive(action) => action.appends().map(|(key, element)| has(key, element)).collect(),
            _ => Vec::new(),
        }
    }

    fn has_some_of(&self, call: &Call) -> bool {
        self.parts(call).contains(&true)
    }

    fn lacks_some_of(&self, call: &Call) -> bool {
        self.parts(call).contains(&false)
    }
}

fn counts(rows: &Rows) -> BTreeMap<i64, i64> {
    rows.iter()
        .filter_map(|row| Some((integer(row, 0)?, integer(row, 1)?)))
        .collect()
}
