//! The clients' history: operations with the times between which they took effect.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_types::{Position, SessionId};

use crate::clock::Time;
use crate::observation::{ClientId, Observation, OperationId, Outcome};
use crate::workload::{Operation, Rows, integer};

/// One operation.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub client: ClientId,
    pub session: SessionId,
    pub what: Operation,
    pub invoked: Time,
    /// With the time; absent while it runs, and for ever when the run ends first.
    pub returned: Option<(Time, Outcome)>,
    /// It was answered before it was committed, at this place, and is not there at the end: of its outcome nothing can be
    /// said but that it is unknown.
    pub lost: Option<Position>,
}

impl Call {
    /// When it ended, if its client knows that it was done.
    pub fn done_at(&self) -> Option<Time> {
        match &self.returned {
            Some((at, Outcome::Done { .. })) => Some(*at),
            _ => None,
        }
    }
}

/// All operations.
#[derive(Debug, Default)]
pub(super) struct History {
    pub calls: BTreeMap<OperationId, Call>,
}

impl History {
    /// Takes it down; answers the call that just returned, if one did.
    pub fn observe(&mut self, at: Time, observation: &Observation) -> Option<&Call> {
        match observation {
            Observation::Invoked {
                operation,
                client,
                session,
                what,
            } => {
                let call = Call {
                    client: *client,
                    session: *session,
                    what: what.clone(),
                    invoked: at,
                    returned: None,
                    lost: None,
                };
                self.calls.insert(*operation, call);
                None
            }
            Observation::Returned {
                operation, outcome, ..
            } => {
                let call = self.calls.get_mut(operation)?;
                call.returned = Some((at, outcome.clone()));
                Some(call)
            }
            Observation::Final { tables, .. } => {
                self.find_lost(&tables["ledger"]);
                None
            }
            _ => None,
        }
    }

    fn find_lost(&mut self, ledger: &Rows) {
        let marks: BTreeSet<i64> = ledger.iter().filter_map(|row| integer(row, 0)).collect();
        for call in self.calls.values_mut().filter(|call| call.what.kind.is_early()) {
            if let Some((_, outcome)) = &mut call.returned
                && let Outcome::Done { position, .. } = outcome
                && call.what.mark().is_some_and(|mark| !marks.contains(&mark))
            {
                call.lost = Some(*position);
                *outcome = Outcome::Unknown;
            }
        }
    }
}
