//! Clients: they wake, begin an operation, hear how it ended or give up.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_types::{ErrorKind, NodeId};

use super::{CLIENTS, LAST_CALL, Phase, World, WorldEvent};
use crate::client::{Client, outcome_of_silence};
use crate::driver::{NodeEvent, Request};
use crate::observation::{ClientId, Observation, OperationId, Outcome};
use crate::workload::{Action, Kind, Operation, Rows, SETUP, integer};

/// From a client's going until its node knows.
const SESSION_ENDS_US: u64 = 200;

impl World {
    pub(super) fn client(&mut self, id: ClientId) -> &mut Client {
        self.clients.get_mut(&id).expect("clients are never removed")
    }

    pub(super) fn wake(&mut self, id: ClientId) {
        if self.now >= LAST_CALL {
            return;
        }
        let up: Vec<(NodeId, u64)> = self
            .nodes
            .iter()
            .filter(|(id, node)| node.driver.is_some() && self.wanted.contains(**id))
            .map(|(id, node)| (*id, node.incarnation))
            .collect();
        // A node that is out of the cluster is left by its clients: it would stop.
        let connection = self.client(id).connection;
        let is_connected = connection.is_some_and(|(node, _)| self.wanted.contains(node));
        let client = self.client(id);
        if client.maybe_moves() || !is_connected {
            if up.is_empty() {
                let delay_us = client.waits_us();
                return self.at(self.now.plus_us(delay_us), WorldEvent::Wake(id));
            }
            if let Some(((node, incarnation), session)) = client.connect(&up) {
                let event = Box::new(NodeEvent::SessionOver { session });
                self.at(
                    self.now.plus_us(SESSION_ENDS_US),
                    WorldEvent::Node {
                        node,
                        incarnation,
                        event,
                    },
                );
            }
        }
        let is_prober = self.client(id).is_prober;
        let what = match self.phase {
            Phase::Setup { step } => self.mix.setup(step),
            _ if is_prober => self.mix.probe(),
            _ => self.mix.draw(),
        };
        self.begin(id, what);
    }

    pub(super) fn begin(&mut self, id: ClientId, what: Operation) {
        self.operations += 1;
        let operation = OperationId(self.operations);
        self.trace.note(
            self.now,
            format_args!("client {} begins {}: {:?}", id.0, operation.0, what.action),
        );
        let session = self.client(id).session();
        self.observe(&Observation::Invoked {
            operation,
            client: id,
            session,
            what: what.clone(),
        });
        let now = self.now;
        let client = self.client(id);
        let request: Request = client.begin(operation, what, now);
        let (node, incarnation) = client.connection.expect("it just connected");
        let delay_us = self.random.latency_us(100);
        let event = Box::new(NodeEvent::Request(request));
        self.at(
            now.plus_us(delay_us),
            WorldEvent::Node {
                node,
                incarnation,
                event,
            },
        );
        self.at(
            Client::gives_up_at(now),
            WorldEvent::GiveUp {
                client: id,
                operation,
            },
        );
    }

    pub(super) fn give_up(&mut self, id: ClientId, operation: OperationId) {
        let client = self.client(id);
        let Some(underway) = client
            .underway
            .clone()
            .filter(|underway| underway.operation == operation)
        else {
            return;
        };
        client.connection = None;
        self.answer(id, operation, outcome_of_silence(underway.what.kind));
    }

    pub(super) fn answer(&mut self, id: ClientId, operation: OperationId, outcome: Outcome) {
        let client = self.client(id);
        if client
            .underway
            .as_ref()
            .is_none_or(|underway| underway.operation != operation)
        {
            return;
        }
        let underway = client.underway.as_ref().expect("just seen");
        let what = underway.what.clone();
        let is_write = matches!(what.kind, Kind::Write { .. });
        client.end(&outcome);
        if outcome == Outcome::SessionLost {
            client.connection = None;
        }
        let was_early = what.kind.is_early() && matches!(outcome, Outcome::Done { .. });
        let delay_us = client.thinks_us(was_early);
        let counter = match (&outcome, is_write) {
            (Outcome::Done { .. }, true) => &mut self.counts.writes,
            (Outcome::Done { .. }, false) => &mut self.counts.reads,
            (Outcome::Failed(_), _) => &mut self.counts.failed,
            (Outcome::Refused, _) => &mut self.counts.refused,
            (Outcome::SessionLost, _) => &mut self.counts.sessions_lost,
            (Outcome::Unknown, _) => &mut self.counts.unknown,
        };
        *counter += 1;
        if let (Outcome::Done { .. }, Kind::Write { mark, durability }) = (&outcome, what.kind) {
            self.counts.acknowledged[durability as usize] += 1;
            if durability.is_early() && what.mark().is_some() {
                self.early.insert(mark);
            }
        }
        match (&outcome, &what.action) {
            (Outcome::Done { .. }, Action::Interactive(_)) => self.counts.interactive += 1,
            (Outcome::Done { .. }, Action::Vacuum) => self.counts.vacuums += 1,
            (Outcome::Done { .. }, Action::LogFormat(_)) => self.counts.switches += 1,
            _ => {}
        }
        self.trace.note(
            self.now,
            format_args!("client {} ends {}: {outcome:?}", id.0, operation.0),
        );
        if let Phase::Setup { step } = self.phase {
            self.setup_step(step, &outcome);
        }
        self.observe(&Observation::Returned {
            operation,
            client: id,
            outcome,
        });
        self.at(self.now.plus_us(delay_us), WorldEvent::Wake(id));
    }

    /// At a run's end: who was answered early, and is not in the ledger.
    pub(super) fn count_lost(&mut self, tables: &BTreeMap<&'static str, Rows>) {
        let marks: BTreeSet<i64> = tables["ledger"]
            .iter()
            .filter_map(|row| integer(row, 0))
            .collect();
        self.counts.early_lost = self.early.difference(&marks).count() as u64;
    }

    /// Tables that are there already were made by an attempt whose outcome was unknown.
    pub(super) fn setup_step(&mut self, step: usize, outcome: &Outcome) {
        if !matches!(
            outcome,
            Outcome::Done { .. } | Outcome::Failed(ErrorKind::DuplicateTable)
        ) {
            return;
        }
        self.phase = Phase::Setup { step: step + 1 };
        if step + 1 == SETUP.len() {
            self.phase = Phase::Running;
            for id in 1..CLIENTS {
                let at = self.now.plus_us(id * 5_000);
                self.at(at, WorldEvent::Wake(ClientId(id)));
            }
        }
    }
}
