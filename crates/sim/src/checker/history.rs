//! The clients' history: operations with the times between which they took effect.

use std::collections::BTreeMap;

use crate::clock::Time;
use crate::observation::{ClientId, Observation, OperationId, Outcome};
use crate::workload::Operation;

/// One operation.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub client: ClientId,
    pub what: Operation,
    pub invoked: Time,
    /// With the time; absent while it runs, and for ever when the run ends first.
    pub returned: Option<(Time, Outcome)>,
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
                what,
            } => {
                let call = Call {
                    client: *client,
                    what: what.clone(),
                    invoked: at,
                    returned: None,
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
            _ => None,
        }
    }
}
