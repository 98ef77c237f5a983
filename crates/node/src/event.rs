//! What goes into the machine and what comes out: with the driver's duties, the whole of its specification.

use bellwether_consensus::{DropReason, Fetch, Message, Persist, Role};
use bellwether_types::{Configuration, Entry, LogIndex, NodeId, Position, Term};
use bytes::Bytes;

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// One [`crate::TICK_MS`] has passed.
    Tick,
    /// Nothing was proposed for [`crate::ANNOUNCE_MS`] since the machine owes the others word of how far the log is
    /// committed.
    Announce,
    /// A message of another member arrived.
    Message(Message),
    /// A message to this node could not be delivered: its connection broke.
    Unreachable(NodeId),
    /// Everything up to and with this [`Persist::ticket`] is durable.
    Persisted {
        /// The newest durable one.
        ticket: u64,
    },
    /// The answer to [`Effect::Fetch`]: consecutive entries from the first asked for; empty when the log no
    /// longer has it.
    Fetched {
        /// As asked.
        purpose: FetchPurpose,
        /// At least the first, when there is one.
        entries: Vec<Entry>,
    },
    /// SQLite has committed everything through this index: an `Apply` or a `Commit` is done.
    Applied {
        /// The last index of it.
        through: LogIndex,
    },
    /// SQLite found no space for an `Apply`, a `Commit` or the run of chunks that one belongs to: nothing after this
    /// index is there. What is missing is given out again.
    ApplyFailed {
        /// SQLite's position.
        applied: LogIndex,
    },
    /// Whether the log has room for the entries of the event that follows, and of others.
    LogRoom {
        /// Until told otherwise it has.
        has_room: bool,
    },
    /// The writer sealed a group, or was asked for the next payload of it.
    Propose {
        /// Where it believes the payload will stand. Another place means that leadership changed: dropped.
        at: Position,
        /// The payload.
        payload: Bytes,
        /// How many payloads of the same group follow; 0 = this is the record.
        remaining: u64,
        /// Somebody waits for word of what others have received or applied: they tell at once.
        asks_progress: bool,
    },
    /// SQLite's own files hold, fsynced, everything through this index.
    Checkpointed {
        /// The position found in the checkpointed state.
        through: LogIndex,
    },
    /// Retention: entries before this one are no longer wanted by the driver's rule.
    Retain {
        /// The first to keep.
        from: LogIndex,
    },
    /// A client wants a linearizable read; the ticket is the driver's, unique among the pending.
    ReadIndex {
        /// Handed back.
        ticket: u64,
    },
    /// An operator wants another leader.
    Transfer {
        /// The heir.
        to: NodeId,
    },
    /// A snapshot of the database at this position lies ready.
    SnapshotStaged {
        /// Its position, at or after the one asked for.
        position: Position,
        /// The group, as stored in it.
        configuration: Configuration,
    },
    /// The snapshot could not be fetched; it will be asked for again.
    SnapshotFailed,
    /// [`Effect::InstallSnapshot`] is done.
    SnapshotInstalled {
        /// Its position.
        position: Position,
    },
    /// This replica's content is damaged or diverged: it needs a snapshot before it applies anything more. An `Apply`
    /// that found it is not answered.
    Damaged,
}

/// Who wants the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchPurpose {
    /// A follower is behind what is in memory.
    Replicate,
    /// They are committed and not applied here.
    Apply,
}

/// What the driver must do. In order, but for what the duties say may overlap.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write to the log and fsync.
    Persist(Persist),
    /// Send.
    Send(Message),
    /// Read entries of the log.
    Fetch {
        /// To be handed back.
        purpose: FetchPurpose,
        /// Which.
        fetch: Fetch,
    },
    /// Apply committed entries, consecutive after what was applied before. Entries without payload change
    /// nothing but end an abandoned run of chunks.
    Apply {
        /// At least one.
        entries: Vec<Entry>,
    },
    /// This node leads and has applied everything before: the writer may execute groups.
    Lead {
        /// Where the next payload will stand.
        next: Position,
    },
    /// The group in flight may hold one more payload: seal's next one is wanted.
    NextPayload,
    /// COMMIT the held group.
    Commit {
        /// Its record's position.
        position: Position,
        /// Where the next group's first payload will stand.
        next: Position,
    },
    /// Leadership is lost (or handed over): ROLLBACK, and apply from now on.
    Follow,
    /// The log has no room for the payload just proposed, or it says a configuration that may not follow: ROLLBACK. Nothing
    /// of the group will ever be committed.
    /// [`Effect::Lead`] says when another may be executed.
    Refuse,
    /// Role, term or leader changed.
    RoleChanged {
        /// This node's role now.
        role: Role,
        /// The present term.
        term: Term,
    },
    /// From now on, as far as this node knows, this is the group.
    Configured(Configuration),
    /// The read of this ticket is linearizable on this replica from now on.
    ReadReady {
        /// As asked.
        ticket: u64,
    },
    /// No leader confirmed the read in time.
    ReadRefused {
        /// As asked.
        ticket: u64,
    },
    /// Remove entries through this index from the front of the log.
    CutLog {
        /// The last to go.
        through: LogIndex,
    },
    /// Get a snapshot.
    FetchSnapshot {
        /// From whom.
        from: NodeId,
        /// At this position or a later one.
        at_least: Position,
    },
    /// Put the staged snapshot in SQLite's place; an open group or run of chunks is lost with the old content.
    InstallSnapshot {
        /// Its position.
        position: Position,
    },
    /// A message was dropped, and why: for the log.
    Dropped {
        /// The sender.
        from: NodeId,
        /// What is wrong with it.
        reason: DropReason,
    },
}
