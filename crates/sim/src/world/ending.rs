//! The end of a run: everything is made whole, comes to rest, loses power once more, comes to rest, is audited.

use super::{Phase, World, WorldEvent};
use crate::driver::{Driver, NodeEvent};
use crate::random::Random;

/// A cluster that is whole and not at rest after so long will never be.
const PATIENCE_US: u64 = 40_000_000;

/// How often it is looked whether all is at rest.
const CHECK_EVERY_US: u64 = 100_000;

impl World {
    pub(super) fn heal(&mut self) {
        self.trace.note(self.now, format_args!("all is made whole"));
        self.armed = None;
        self.network.mend_all();
        for node in self.node_ids() {
            self.disk(node).set_full(false);
            self.disk(node).fail_syncs(0, Random::new(0));
            self.slow_disk(node, 1);
            self.heal_rot(node);
            self.resume(node);
            self.start_node(node);
        }
    }

    /// The group is as it is wanted; all of it is up, and has applied all that there is.
    pub(super) fn is_at_rest(&self) -> bool {
        let members = self.wanted.members();
        let drivers: Option<Vec<_>> = members.map(|id| self.nodes[&id].driver.as_ref()).collect();
        let Some(drivers) = drivers else { return false };
        let statuses: Vec<_> = drivers.iter().map(|driver| driver.status()).collect();
        let is_settled = |status: &bellwether_node::Status| {
            !status.seeding && status.applied == status.last.index && status.last == statuses[0].last
        };
        statuses.iter().filter(|status| status.leading).count() == 1
            && statuses.iter().all(is_settled)
            && drivers
                .iter()
                .all(|driver| *driver.configuration() == self.wanted)
    }

    /// All look whether their rows are what they should be; who is damaged is not at rest any more.
    fn is_sound(&mut self) -> bool {
        if let Phase::Settling { .. } = self.phase {
            for node in self.node_ids() {
                self.give(node, NodeEvent::ScrubDue);
            }
        }
        self.is_at_rest()
    }

    pub(super) fn check(&mut self) {
        let is_at_rest = self.is_at_rest() && self.clients.values().all(|client| client.underway.is_none());
        let is_at_rest = is_at_rest && self.is_sound();
        self.phase = match (self.phase, is_at_rest) {
            (Phase::Setup { .. }, _) => return self.fail("progress", "the tables were never created"),
            (Phase::Running, _) => Phase::Settling {
                until: self.now.plus_us(PATIENCE_US),
            },
            (Phase::Settling { .. }, true) => {
                for node in self.node_ids() {
                    self.lose_power(node);
                }
                // Those that left stay where they are.
                for node in self.wanted.clone().members() {
                    self.start_node(node);
                }
                Phase::LastSettling {
                    until: self.now.plus_us(PATIENCE_US),
                }
            }
            (Phase::LastSettling { .. }, true) => {
                self.audit();
                Phase::Over
            }
            (Phase::Settling { until } | Phase::LastSettling { until }, false) if self.now > until => {
                let statuses: Vec<_> = self
                    .nodes
                    .values()
                    .map(|node| node.driver.as_ref().map(Driver::status))
                    .collect();
                return self.fail(
                    "progress",
                    format!("the whole cluster does not come to rest: {statuses:?}"),
                );
            }
            (phase, _) => phase,
        };
        self.at(self.now.plus_us(CHECK_EVERY_US), WorldEvent::Check);
    }

    pub(super) fn audit(&mut self) {
        for id in self.wanted.clone().members() {
            let audit = self.node(id).driver.as_mut().map(Driver::audit);
            match audit {
                Some(Ok(observation)) => self.observe(&observation),
                Some(Err(error)) => self.fail("audit", format!("node {id}: {error}")),
                None => self.fail("audit", format!("node {id} is not there")),
            }
        }
        if self.violation.is_none()
            && let Err(violation) = self.checkers.finish(self.now)
        {
            self.violation = Some(violation);
        }
        self.counts.leader_changes = self.counts.leader_changes.saturating_sub(1);
    }
}
