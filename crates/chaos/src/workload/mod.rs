//! What clients do. Each workload is a file of the same shape: its tables, what is drawn next, how it is done, and the
//! reads that end a run.

mod bank;
mod list_append;
mod register;
mod set;

pub use bank::BANK;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::history::{Operation, Workload};
use crate::random::Random;
use crate::session::{Session, Trouble};

/// What all clients of a run have in common.
#[derive(Debug, Default)]
pub struct Shared {
    /// The last value that was given out: values and elements are written once.
    last_value: AtomicI64,
}

impl Shared {
    fn new_value(&self) -> i64 {
        self.last_value.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn last_value(&self) -> i64 {
        self.last_value.load(Ordering::Relaxed)
    }
}

/// Draws one client's operations.
#[derive(Debug)]
pub struct Generator {
    workload: Workload,
    random: Random,
    shared: Arc<Shared>,
    /// What the client saw last in a register: its key and value.
    seen: Option<(i64, i64)>,
}

impl Generator {
    /// For a client.
    pub fn new(workload: Workload, random: Random, shared: Arc<Shared>) -> Generator {
        Generator {
            workload,
            random,
            shared,
            seen: None,
        }
    }

    /// The next operation.
    pub fn draw(&mut self) -> Operation {
        match self.workload {
            Workload::Register => register::draw(&mut self.random, &self.shared, self.seen),
            Workload::ListAppend => list_append::draw(&mut self.random, &self.shared),
            Workload::Bank => bank::draw(&mut self.random),
            Workload::Set => set::draw(&mut self.random, &self.shared),
        }
    }

    /// Takes note of what was told.
    pub fn learn(&mut self, told: &Operation) {
        self.seen = match told {
            Operation::Read(key, Some(value))
            | Operation::Write(key, value)
            | Operation::Cas(key, (_, value)) => Some((*key, *value)),
            _ => None,
        };
    }
}

/// Statements that make a workload's tables.
pub fn tables(workload: Workload) -> Vec<String> {
    match workload {
        Workload::Register => register::tables(),
        Workload::ListAppend => list_append::tables(),
        Workload::Bank => bank::tables(),
        Workload::Set => set::tables(),
    }
}

/// Does an operation. What it was told, or why it was told nothing.
pub async fn perform(session: &Session, operation: &Operation) -> Result<Operation, Trouble> {
    let told = match operation {
        Operation::Read(..) | Operation::Write(..) | Operation::Cas(..) => {
            register::perform(session, operation).await
        }
        Operation::Txn(steps) => list_append::perform(session, steps).await,
        Operation::Transfer { .. } | Operation::Balances(_) => bank::perform(session, operation).await,
        Operation::Add(_) | Operation::Elements(_) => set::perform(session, operation).await,
    };
    // What changes nothing has not happened when its answer is lost.
    told.map_err(|trouble| {
        if operation.writes() {
            trouble
        } else {
            trouble.before_commit()
        }
    })
}

/// Reads that show everything that was written, when nothing is broken any more.
pub fn final_reads(workload: Workload, shared: &Shared) -> Vec<Operation> {
    match workload {
        Workload::Register => register::final_reads(shared),
        Workload::ListAppend => list_append::final_reads(shared),
        Workload::Bank => vec![Operation::Balances(None)],
        Workload::Set => vec![Operation::Elements(None)],
    }
}
