//! Interactive transactions are serializable in the order of their positions: what one read of a list is what stood
//! there at the position of its commit, but for what it wrote itself. Stricter than the search for circles: it also
//! sees a transaction that read too much or too little where nobody else was in the way.

use std::collections::BTreeMap;

use bellwether_types::LogIndex;

use super::history::{Call, History};
use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::{Observation, Outcome};
use crate::workload::{Action, Rows, list};

#[derive(Default)]
pub(super) struct CommitOrder {
    history: History,
    lists: BTreeMap<String, Vec<i64>>,
}

impl Checker for CommitOrder {
    fn name(&self) -> &'static str {
        "commit-order"
    }

    fn observe(&mut self, at: Time, observation: &Observation) -> Verdict {
        self.history.observe(at, observation);
        if let Observation::Final { tables, .. } = observation {
            self.lists = list::all(&tables["list"]);
        }
        Ok(())
    }

    fn finish(&mut self) -> Verdict {
        let places = self.places();
        for (operation, call) in &self.history.calls {
            let Action::Interactive(action) = &call.what.action else {
                continue;
            };
            let Some((index, answer)) = done(call) else {
                continue;
            };
            for (key, read) in action.seen(answer).unwrap_or_default() {
                let whole = self.lists.get(&key).map_or(&[][..], |list| list);
                let is_wrong = |element: &&i64| match places.get(element) {
                    Some(place) if *place < index => !read.contains(element),
                    Some(place) if *place > index => read.contains(element),
                    // Its own, or of a transaction whose place is not known.
                    _ => false,
                };
                if let Some(element) = whole.iter().find(is_wrong) {
                    return Err(format!(
                        "{operation:?} committed at {index} and read {read:?} of {key}, yet {element} was appended at {}",
                        places[element]
                    ));
                }
            }
        }
        Ok(())
    }
}

impl CommitOrder {
    /// Where each element was appended, as far as their clients were told.
    fn places(&self) -> BTreeMap<i64, LogIndex> {
        let mut places = BTreeMap::new();
        for call in self.history.calls.values() {
            let Some((index, answer)) = done(call) else {
                continue;
            };
            match &call.what.action {
                Action::List(action) => {
                    places.extend(action.appends.iter().map(|(_, element)| (*element, index)));
                }
                Action::Interactive(action) if answer.len() == action.steps.len() => {
                    places.extend(action.appends().map(|(_, element)| (element, index)));
                }
                _ => {}
            }
        }
        places
    }
}

fn done(call: &Call) -> Option<(LogIndex, &[Rows])> {
    match &call.returned {
        Some((_, Outcome::Done { answer, position })) => Some((position.index, answer)),
        _ => None,
    }
}
