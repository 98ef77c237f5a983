//! What a node tells of its replication, for `pg_stat_replication` and its like.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::NodeId;
use crate::position::Position;
use crate::standby::SyncState;

/// Replication slots of one database: the last position that each one's reader has confirmed, by name.
pub type Slots = BTreeMap<String, Position>;

/// Of one database at one node, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicationFacts {
    /// At the leader: the other members, by number.
    pub standbys: Vec<StandbyFacts>,
    /// At a follower: where its log comes from.
    pub upstream: Option<UpstreamFacts>,
    /// How statements were written to the log while this node led, since it opened the replica.
    pub statements: Vec<StatementsWritten>,
}

/// What became of statements that had a property, in a log of statements or a mixed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementsWritten {
    /// The property.
    pub flag: &'static str,
    /// What it means, or why it makes statements unsafe.
    pub reason: &'static str,
    /// They stand in the log as they were.
    pub as_statements: u64,
    /// Their rows do.
    pub as_rows: u64,
    /// They were not executed.
    pub refused: u64,
}

/// A member, as its leader knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandbyFacts {
    /// Which.
    pub node: NodeId,
    /// Where it listens for clients: an IP address.
    pub address: Option<String>,
    /// Whether it was heard of within an election timeout.
    pub is_there: bool,
    /// `startup`, `backup`, `catchup` or `streaming`.
    pub state: &'static str,
    /// The last entry sent.
    pub sent: Position,
    /// The last entry received.
    pub written: Position,
    /// The last entry on its disk.
    pub flushed: Position,
    /// The last entry applied.
    pub replayed: Position,
    /// How long each step took of an entry lately: received, on its disk, applied. `None`: nothing was sent lately.
    pub lags: [Option<Duration>; 3],
    /// When it was last heard, in milliseconds since 1970; `None`: not since this node leads.
    pub heard_ms: Option<u64>,
    /// Its place in `synchronous_standby_names`.
    pub priority: usize,
    /// What it is to it.
    pub sync_state: SyncState,
    /// Commits go on without the synchronous standbys.
    pub is_degraded: bool,
    /// Whether the leader's log still has what it needs next.
    pub is_kept: bool,
}

/// A leader, as its follower knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamFacts {
    /// Which; and this node.
    pub leader: NodeId,
    /// The follower.
    pub node: NodeId,
    /// Where the leader listens for clients.
    pub address: Option<(String, u16)>,
    /// The last entry here.
    pub written: Position,
    /// The last entry on the disk here.
    pub flushed: Position,
    /// The last entry that is known to be committed.
    pub latest_end: Position,
}
