//! Raft (Ongaro & Ousterhout 2014) behind Bellwether's own types: one [`Group`] per database and node.
//!
//! The protocol core is the `raft` crate; nothing outside this room names it, so that it can be replaced. What
//! this room adds: our own message and its codec (the core's protobuf parser never sees outside bytes), checks
//! that keep a wrong message from panicking the core, an in-memory window over the log whose older part is
//! fetched by the driver, and election timeouts that are distinct by construction instead of random.
//!
//! It knows no clock (time is [`Group::tick`]), no randomness, no files and no network.
//!
//! Settings of the core, and why: pre-vote (a node that was cut off does not disturb), check-quorum (a leader
//! without a majority steps down within an election timeout), `Safe` reads (a lease would trust clocks), no
//! `batch_append` (it merges appends that do not follow each other under loss), proposals are never forwarded
//! (the write path forwards statements, not records).

mod check;
mod drop_reason;
mod group;
mod message;
mod standbys;
mod timing;
mod window;

pub use drop_reason::DropReason;
pub use group::{Group, Output, Persist, ProposeError, Recovered, Role};
pub use message::{Message, MessageKind};
pub use standbys::{Sending, Standby};
pub use timing::{ELECTION_SPREAD_TICKS, ELECTION_TICKS, HEARTBEAT_TICKS, TICK_MS};
pub use window::Fetch;
