//! I8, session guarantees: a client's session reads never show less than it has written or read before, across
//! reconnects, nodes and failovers.

use std::collections::BTreeMap;

use bellwether_types::Position;

use super::history::History;
use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::{ClientId, Observation, Outcome};
use crate::workload::{Action, Guarantee, Kind, register};

#[derive(Default)]
pub(super) struct Sessions {
    history: History,
    /// The highest version of each register that a client has seen.
    versions: BTreeMap<(ClientId, i64), i64>,
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
        let Some((_, Outcome::Done { answer, position })) = &call.returned else {
            return Ok(());
        };
        let counts = call.what.kind != Kind::Read(Guarantee::Eventual);
        let is_read = matches!(call.what.kind, Kind::Read(_));
        if !counts {
            return Ok(());
        }
        let before = self.positions.entry(call.client).or_default();
        if position.index < before.index && is_read {
            return Err(format!(
                "{:?} read at {position}, and had seen {before}",
                call.client
            ));
        }
        *before = (*before).max(*position);
        let Action::Register(action) = &call.what.action else {
            return Ok(());
        };
        let known = self.versions.entry((call.client, action.key())).or_default();
        let found = register::Action::seen(answer).map_or(0, |seen| seen.version);
        if is_read && found < *known {
            return Err(format!(
                "{:?} read version {found} of register {}, and had seen {known}",
                call.client,
                action.key()
            ));
        }
        *known = (*known).max(found);
        Ok(())
    }
}
