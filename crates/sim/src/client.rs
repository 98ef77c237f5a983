//! Clients: each is connected to one node at a time, runs one operation after another, and carries what it has seen
//! from node to node.

use bellwether_types::{NodeId, Position, SessionId};

use crate::clock::Time;
use crate::driver::Request;
use crate::observation::{ClientId, OperationId, Outcome};
use crate::random::Random;
use crate::workload::{Kind, Operation};

/// A client's patience, in microseconds.
const PATIENCE_US: u64 = 4_000_000;

/// What it waits for.
#[derive(Debug, Clone)]
pub struct Underway {
    /// Which operation.
    pub operation: OperationId,
    /// What it is.
    pub what: Operation,
}

/// One client.
pub struct Client {
    /// Which.
    pub id: ClientId,
    /// To which node, and to which process there.
    pub connection: Option<(NodeId, u64)>,
    /// What it waits for.
    pub underway: Option<Underway>,
    /// What it has seen.
    pub token: Position,
    /// It only reads, strongly, what was written last, each time at another node.
    pub is_prober: bool,
    session: u128,
    sequence: u64,
    random: Random,
}

impl Client {
    /// Not connected yet.
    pub fn new(id: ClientId, is_prober: bool, random: Random) -> Client {
        Client {
            id,
            connection: None,
            underway: None,
            token: Position::ZERO,
            is_prober,
            session: 0,
            sequence: 0,
            random,
        }
    }

    /// Connects to one of these nodes and processes: a new session, with what was seen in the old one. Answers where
    /// the old session was, if it wrote anything.
    pub fn connect(&mut self, to: &[(NodeId, u64)]) -> Option<((NodeId, u64), SessionId)> {
        let session = SessionId(self.session);
        let left = self.connection.filter(|_| self.sequence > 0);
        let left = left.map(|connection| (connection, session));
        self.connection = Some(*self.random.pick(to));
        self.session = u128::from(self.random.bits()) << 64 | u128::from(self.random.bits());
        self.sequence = 0;
        left
    }

    /// Of its connection.
    pub fn session(&self) -> SessionId {
        SessionId(self.session)
    }

    /// Whether it goes to another node now, just so.
    pub fn maybe_moves(&mut self) -> bool {
        self.is_prober || self.random.per_mille(30)
    }

    /// Begins an operation.
    pub fn begin(&mut self, operation: OperationId, what: Operation, now: Time) -> Request {
        if let Kind::Write { .. } = what.kind {
            self.sequence += 1;
        }
        self.underway = Some(Underway {
            operation,
            what: what.clone(),
        });
        Request {
            client: self.id,
            operation,
            what,
            session: self.session,
            sequence: self.sequence,
            token: self.token,
            deadline: now.plus_us(PATIENCE_US),
        }
    }

    /// When it gives up an operation begun now, should its node say nothing at all.
    pub fn gives_up_at(now: Time) -> Time {
        now.plus_us(PATIENCE_US + 1_000_000)
    }

    /// Its operation ended. What was read without a guarantee is not taken for seen.
    pub fn end(&mut self, outcome: &Outcome) {
        let counts = self
            .underway
            .take()
            .is_some_and(|ended| ended.what.kind.is_ordered());
        if let Outcome::Done { position, .. } = outcome
            && counts
        {
            self.token = self.token.max(*position);
        }
    }

    /// Until its next operation. Who was answered early often does not think at all: what it does next meets what is not
    /// committed yet.
    pub fn thinks_us(&mut self, was_early: bool) -> u64 {
        if was_early && self.random.per_mille(500) {
            return self.random.range(50, 2_000);
        }
        let longest_us = if self.is_prober { 80_000 } else { 260_000 };
        self.random.range(5_000, longest_us)
    }

    /// Until it tries to connect again.
    pub fn waits_us(&mut self) -> u64 {
        self.random.range(50_000, 300_000)
    }
}

/// What a client makes of silence: a read has no effect, a write may have one.
pub fn outcome_of_silence(kind: Kind) -> Outcome {
    match kind {
        Kind::Write { .. } => Outcome::Unknown,
        Kind::Read(_) => Outcome::Refused,
    }
}
