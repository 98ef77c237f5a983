//! Whole clusters from one seed: the real node machine, log and SQLite on a simulated disk, network and clock.
//!
//! Promises: a run is a function of its seed (and of the bug planted in it); runs in several threads do not see each
//! other. A run that finds a violation is found again with the same seed.
//!
//! Workloads, faults and checkers do not know each other: clients leave a history, the world takes down what it
//! sees of nodes, checkers judge that.
//!
//! Does not simulate: the PostgreSQL protocol, threads racing each other within a node, rot in SQLite's WAL, commits that
//! go on without the standbys that they wait for.

pub mod bug;
pub mod checker;
mod client;
pub mod clock;
pub mod disk;
mod driver;
pub mod fault;
pub mod network;
pub mod observation;
mod peer;
pub mod random;
pub mod report;
pub mod rule;
mod trace;
pub mod workload;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::bug::Bug;
use crate::checker::Violation;
use crate::clock::Time;
use crate::fault::Faults;
use crate::report::{Counts, Report};
use crate::trace::Trace;
use crate::world::World;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// To be planted.
    pub bug: Option<Bug>,
    /// Print every event.
    pub trace: bool,
    /// With the checker that compares each message with the disk: it finds most bugs of writing before the others do.
    pub promises: bool,
}

impl Options {
    /// A plain run.
    pub fn new(seed: u64) -> Options {
        Options {
            seed,
            faults: Faults::Drawn,
            bug: None,
            trace: false,
            promises: true,
        }
    }
}

/// Runs one seed to its end, or to the first violation. A panic of the product is one, too.
pub fn run(options: Options) -> Report {
    let Options {
        seed,
        faults,
        bug,
        trace,
        promises,
    } = options;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        World::new(seed, faults, bug, promises, Trace::new(trace)).run()
    }));
    let (counts, trace_hash, violation) = outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let violation = Violation {
            checker: "assertion",
            at: Time(0),
            what: text.unwrap_or_else(|| "a panic without words".to_owned()),
        };
        (Counts::default(), 0, Some(violation))
    });
    Report {
        seed,
        counts,
        trace_hash,
        violation,
    }
}
