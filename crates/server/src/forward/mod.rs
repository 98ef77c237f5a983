//! Statements for the leader, from the node that holds the client.
//!
//! A forwarded statement is executed at the leader, never against the sender's own copy. Each session that forwards
//! has a connection of its own for as long as it needs one, taken from a pool; so a slow client's backpressure is
//! TCP's, and an open transaction ends when its connection breaks.

mod client;
mod message;
mod serve;

pub(crate) use client::{ForwardPool, Stop, no_leader};
pub(crate) use serve::serve;
