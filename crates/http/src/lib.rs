//! The HTTP front door as plain values: what a node says about itself, and how it is said.
//!
//! Promises: `respond` is a function of its arguments; no sockets, no clock, no environment. Bytes from outside
//! never panic and are bounded ([`MAX_HEAD_BYTES`]); metrics have a fixed number of series, whatever clients do.
//! Does not: keep connections, do TLS, accept request bodies. The server owns the sockets and the counters.

mod json;
mod metrics;
mod patroni;
mod prometheus;
mod request;
mod respond;
mod status;
mod verified;

pub use metrics::{
    Counter, Gauge, Histogram, HistogramSnapshot, Metrics, MetricsSnapshot, SQLSTATE_CLASSES,
    SqlstateCounters,
};
pub use patroni::MemberView;
pub use request::{BadRequest, Credentials, MAX_HEAD_BYTES, Parsed, Request, parse_request};
pub use respond::{PATHS, Response, respond, respond_cluster, respond_to_stranger};
pub use status::{DatabaseStatus, MemberStatus, NodeStatus, Role, SeedingStatus};
pub use verified::{Fault, Kept, Place, Verified};
