//! One replica of one database as a pure machine: `handle(event, now)` in, effects out.
//!
//! No sockets, threads, clocks, files or randomness: the server drives it with tokio, the simulator drives the
//! same machine from a seed. Executing SQL is an effect whose completion is an event, so that a ten-second UPDATE
//! never delays a heartbeat.
//!
//! # The driver's duties
//!
//! 1. **Persist before telling.** [`Effect::Persist`] are written to the log in the order given out; within one, the reset,
//!    then the entries, then the hard state: its commit index counts on them. When one is
//!    durable (fdatasync returned), [`Event::Persisted`] names its ticket; one event may stand for all tickets
//!    before it. A failed write or sync stops the node.
//! 2. **Send at once.** [`Effect::Send`] may leave as soon as it is given out, also before a `Persist` given out
//!    earlier is durable: the machine withholds what must wait. Messages may be lost, doubled and reordered.
//!    Small ones must not queue behind bulk ones.
//! 3. **Apply in order.** [`Effect::Apply`] are applied one after the other; [`Event::Applied`] is given when SQLite
//!    has committed. There is never more than one outstanding.
//! 4. **The COMMIT is held.** Between [`Effect::Lead`] and [`Effect::Follow`] the driver may execute one group at a
//!    time, propose its payloads at the position named ([`Event::Propose`]) and wait. [`Effect::Commit`]: COMMIT,
//!    answer the clients, give [`Event::Applied`]. [`Effect::Follow`]: ROLLBACK whatever is open or held, whether
//!    it was proposed or not; the outcome of what was proposed is *unknown* (another leader may commit it). The
//!    driver may start the next group once it has given `Applied` for the one before.
//! 5. **Nothing is proposed after `Follow`** until the next `Lead`; a proposal that crosses a `Follow` is dropped
//!    by the machine.
//! 6. **Cut only on [`Effect::CutLog`]**, and report [`Event::Checkpointed`] only for what SQLite has fsynced: the
//!    log is never cut past it (invariant I13).
//! 7. **Time.** [`Event::Tick`] every [`TICK_MS`] of the driver's clock. After a pause ticks are not made up for.
//!    While [`Replica::owes_announcement`], [`Event::Announce`] after [`ANNOUNCE_MS`]: under load the commit index
//!    travels with the next entries, which saves every node two messages a record.
//! 8. **Start.** The machine is created with what the log and SQLite hold, after both were repaired: SQLite's
//!    position is within the log.
//! 9. **Snapshots.** [`Effect::FetchSnapshot`]: get a copy of the database from that node, at the position named
//!    or later, put it aside durably, then [`Event::SnapshotStaged`] (or `SnapshotFailed`). [`Effect::InstallSnapshot`]:
//!    put it in SQLite's place, atomically; it precedes any `Persist` that resets the log.
//! 10. **Room before entries.** Before an [`Event::Propose`], and a message that needs it, room is reserved in
//!     the log for them; when there is none, [`Event::LogRoom`] goes before it, and again when there is. So a full disk
//!     never meets entries that somebody counts on: the leader hands over or refuses, a follower takes none.
//!     [`Effect::Refuse`]: ROLLBACK; the group failed, definitely.
//! 12. **Who is in the group** is said by entries ([`bellwether_types::Payload::Configure`]), proposed as any payload is.
//!     [`Effect::Configured`] names the nodes that messages go to from now on. An image of the database comes with the
//!     configuration that is stored in it.
//! 13. **Answers.** A transaction answered before [`Effect::Commit`], or after it not yet for want of standbys, is
//!     answered when [`Progress::allows`] says so, in the reign in which it was proposed.
//! 11. **A full disk under SQLite** is [`Event::ApplyFailed`] in the place of `Applied`, after a pause: the machine
//!     gives out again what is missing, for ever. Other failures of SQLite stop the node.

/// How long a commit may wait for an entry to travel with before the others are told of it, in milliseconds: what a
/// read at a follower waits for at most, besides the network.
pub const ANNOUNCE_MS: u64 = 1;

mod event;
mod progress;
mod reads;
mod replica;
mod steps;

pub use bellwether_consensus::Recovered as RecoveredLog;
pub use bellwether_consensus::{
    DropReason, Fetch, HEARTBEAT_TICKS, Message, MessageKind, Persist, Role, Sending, Standby, TICK_MS,
};
pub use event::{Effect, Event, FetchPurpose};
pub use progress::Progress;
pub use replica::{Recovered, Replica, Status};
pub use steps::{Step, next_step};
