//! Connections between the nodes of a cluster.
//!
//! Every connection begins with a handshake ([`handshake`]): a hello that names cluster, sender, receiver and what
//! it is for, and a proof of the cluster's secret from both sides; another cluster, node or version is refused with
//! the reason. Between machines it is inside TLS. Consensus messages travel on two connections per
//! direction: small ones (votes, heartbeats, acknowledgements) never queue behind entries. Forwarded SQL and
//! snapshots have connections of their own.

pub(crate) mod acceptor;
pub(crate) mod frame;
mod handshake;
mod incoming;
mod links;

pub(crate) use frame::{FRAME_BYTES_MAX, FrameError, FrameReader, Hello, Purpose, frame_head, write_frame};
pub(crate) use handshake::{Caller, greet};
pub(crate) use incoming::accept_peers;
pub(crate) use links::{Links, follow};
