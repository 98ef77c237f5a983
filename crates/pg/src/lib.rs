//! PostgreSQL's wire protocol: bytes to enums and back, and one connection as a state machine. PostgreSQL's dialect:
//! texts to SQLite's SQL ([`dialect`]), and the functions that they call ([`functions`]).
//!
//! Promises: no sockets, no threads, no clock, no SQLite; any bytes are answered, never with a panic and never
//! with an allocation that their own length does not back. [`connection::Connection`] is the door; the driver's
//! duties stand there.
//! TLS itself is the driver's: the connection asks for it by a request.

#![allow(
    clippy::result_large_err,
    reason = "an SqlError is rare and moved once, its fields are read where it is made"
)]

pub mod backend;
pub mod catalog;
pub mod cluster;
pub mod command;
pub mod connection;
mod copy;
pub mod dialect;
pub mod frontend;
pub mod functions;
pub mod infer;
mod input;
pub mod role;
pub mod row;
pub mod scram;
pub mod sqlstate;
pub mod types;

pub use command::Command;
pub use connection::{Connection, Request};
pub use row::{Description, Field, Formats, RowEncoder};
