//! A transaction whose client was answered, and which is gone.

use crate::durability::Durability;
use crate::id::{NodeId, RequestId};
use crate::position::Position;

/// As the ledger of lost writes has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostWrite {
    /// The database's name.
    pub database: String,
    /// Where its record stood in the log that was lost.
    pub position: Position,
    /// By whom, and the how-manieth of its session.
    pub request: RequestId,
    /// The node that executed it.
    pub origin: NodeId,
    /// When, by that node's clock, in milliseconds since 1970.
    pub time_ms: u64,
    /// When its client was answered.
    pub durability: Durability,
    /// What it changed, as JSON.
    pub changes: String,
    /// SQL that would do it again.
    pub script: String,
}
