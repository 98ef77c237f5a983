//! Transactions over lists are serializable (after Kingsbury, Alvaro: Elle, 2020): every list read is a prefix of the
//! list at the end, and who-came-before-whom among transactions has no cycle.

use std::collections::{BTreeMap, BTreeSet};

use super::history::History;
use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::{Observation, OperationId, Outcome};
use crate::workload::{Action, Guarantee, Kind, list};

#[derive(Default)]
pub(super) struct Serializable {
    history: History,
    lists: BTreeMap<String, Vec<i64>>,
}

type Edges = BTreeMap<OperationId, BTreeSet<OperationId>>;

impl Checker for Serializable {
    fn name(&self) -> &'static str {
        "serializable"
    }

    fn observe(&mut self, at: Time, observation: &Observation) -> Verdict {
        self.history.observe(at, observation);
        if let Observation::Final { tables, .. } = observation {
            self.lists = list::all(&tables["list"]);
        }
        Ok(())
    }

    fn finish(&mut self) -> Verdict {
        let writers = self.writers();
        let mut edges = Edges::new();
        for list in self.lists.values() {
            for pair in list.windows(2) {
                add(&mut edges, writers.get(&pair[0]), writers.get(&pair[1]));
            }
        }
        for (operation, call) in &self.history.calls {
            let Some((_, Outcome::Done { answer, .. })) = &call.returned else {
                continue;
            };
            let seen = match &call.what.action {
                Action::List(action) => action.seen(answer),
                Action::Interactive(action) => action.seen(answer),
                _ => None,
            };
            for (key, read) in seen.unwrap_or_default() {
                let whole = self.lists.get(&key).map_or(&[][..], |list| list);
                if !whole.starts_with(&read) {
                    return Err(format!(
                        "{operation:?} read {read:?} of {key}, which at the end is {whole:?}"
                    ));
                }
                add(
                    &mut edges,
                    read.last().and_then(|last| writers.get(last)),
                    Some(operation),
                );
                add(
                    &mut edges,
                    Some(operation),
                    whole.get(read.len()).and_then(|next| writers.get(next)),
                );
            }
        }
        find_cycle(&edges).map_or(Ok(()), |cycle| {
            Err(format!("transactions go in a circle: {cycle:?}"))
        })
    }
}

impl Serializable {
    /// Which transaction appended an element.
    fn writers(&self) -> BTreeMap<i64, OperationId> {
        let mut writers = BTreeMap::new();
        for (operation, call) in &self.history.calls {
            match &call.what.action {
                Action::List(action) if call.what.kind != Kind::Read(Guarantee::Eventual) => {
                    writers.extend(action.appends.iter().map(|(_, element)| (*element, *operation)));
                }
                Action::Interactive(action) => {
                    writers.extend(action.appends().map(|(_, element)| (element, *operation)));
                }
                _ => {}
            }
        }
        writers
    }
}

fn add(edges: &mut Edges, before: Option<&OperationId>, after: Option<&OperationId>) {
    if let (Some(before), Some(after)) = (before, after)
        && before != after
    {
        edges.entry(*before).or_default().insert(*after);
    }
}

/// Takes away whoever nobody waits for, until only circles (and who waits for them) are left.
fn find_cycle(edges: &Edges) -> Option<Vec<OperationId>> {
    let mut waits: BTreeMap<OperationId, usize> = BTreeMap::new();
    for (before, afters) in edges {
        waits.entry(*before).or_default();
        for after in afters {
            *waits.entry(*after).or_default() += 1;
        }
    }
    let mut free: Vec<OperationId> = waits
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(id, _)| *id)
        .collect();
    while let Some(id) = free.pop() {
        waits.remove(&id);
        for after in edges.get(&id).into_iter().flatten() {
            let count = waits.get_mut(after).expect("its edge was counted");
            *count -= 1;
            if *count == 0 {
                free.push(*after);
            }
        }
    }
    (!waits.is_empty()).then(|| waits.into_keys().take(8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(pairs: &[(u64, u64)]) -> Edges {
        let mut edges = Edges::new();
        for (before, after) in pairs {
            add(
                &mut edges,
                Some(&OperationId(*before)),
                Some(&OperationId(*after)),
            );
        }
        edges
    }

    #[test]
    fn a_circle_is_found_and_a_chain_is_not_one() {
        assert_eq!(find_cycle(&edges(&[(1, 2), (2, 3), (1, 3)])), None);
        assert!(find_cycle(&edges(&[(1, 2), (2, 3), (3, 1), (0, 1)])).is_some());
    }
}
