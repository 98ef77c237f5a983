//! Connections between the nodes of a cluster.
//!
//! Every connection begins with a hello ([`frame::Hello`]) that names cluster, sender, receiver and what it is for;
//! another cluster, node or version is refused with the reason. Consensus messages travel on two connections per
//! direction: small ones (votes, heartbeats, acknowledgements) never queue behind entries. Forwarded SQL and
//! snapshots have connections of their own.

pub(crate) mod frame;
mod incoming;
mod links;

pub(crate) use frame::{FRAME_BYTES_MAX, FrameError, FrameReader, Hello, Purpose, write_frame};
pub(crate) use incoming::accept_peers;
pub(crate) use links::{Links, connect};
