//! I8, session guarantees: a client's session reads never show less than it has written or read before, across
//! reconnects, nodes and failovers.

use std::collections::BTreeMap;

use bellwether_types::Position;

use super::history::History;
use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::{ClientId, Observation, OperationId, Outcome};
use crate::workload::{Action, Kind, register};

#[derive(Default)]
pub(super) struct Sessions {
    history: History,
    /// In the order in which they ended.
    ended: Vec<OperationId>,
    /// The latest position that a client has seen.
    positions: BTreeMap<ClientId, Position>,
}

impl Checker for Sessions {
    fn name(&self) -> &'static str {
        "session"
    }

    fn observe(&mut self, at: Time, observation: &Observation) -> Verdict {
        let Some(call) = self.history.observe(at, observation) else {
            return Ok(());
        };
        let Some((_, Outcome::Done { position, .. })) = &call.returned else {
            return Ok(());
        };
        if !call.what.kind.is_ordered() {
            return Ok(());
        }
        let is_read = matches!(call.what.kind, Kind::Read(_));
        if let Observation::Returned { operation, .. } = observation {
            self.ended.push(*operation);
        }
        let before = self.positions.entry(call.client).or_default();
        if position.index < before.index && is_read {
            return Err(format!(
                "{:?} read at {position}, and had seen {before}",
                call.client
            ));
        }
        *before = (*before).max(*position);
        Ok(())
    }

    /// What was answered early and lost does not count as seen: that is known at the end.
    fn finish(&mut self) -> Verdict {
        // The highest version of each register that a client has seen.
        let mut versions: BTreeMap<(ClientId, i64), i64> = BTreeMap::new();
        for operation in &self.ended {
            let call = &self.history.calls[operation];
            let (Action::Register(action), Some((at, Outcome::Done { answer, .. }))) =
                (&call.what.action, &call.returned)
            else {
                continue;
            };
            let known = versions.entry((call.client, action.key())).or_default();
            let found = register::Action::seen(answer).map_or(0, |seen| seen.version);
            if matches!(call.what.kind, Kind::Read(_)) && found < *known {
                return Err(format!(
                    "{:?} read version {found} of register {} at {at}, and had seen {known}",
                    call.client,
                    action.key()
                ));
            }
            *known = (*known).max(found);
        }
        Ok(())
    }
}
