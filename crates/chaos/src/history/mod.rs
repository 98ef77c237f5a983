//! What clients asked and were told, in order: the evidence. Nothing in here knows of clusters.

pub mod call;
pub mod event;
pub mod file;
pub mod operation;

pub use call::{Call, Malformed, Outcome, calls};
pub use event::{Bank, Event, FORMAT, FaultEvent, Header, Kind, Nemesis, Workload};
pub use operation::{Operation, Step};

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// What was run.
    pub header: Header,
    /// Of clients, in order.
    pub events: Vec<Event>,
    /// Of the nemesis, in order.
    pub faults: Vec<FaultEvent>,
    /// The last line was torn: the run was killed.
    pub is_cut_short: bool,
}
