//! What a session is promised: its guarantee, its token, its settings, and where a read may be answered.
//!
//! Promises: pure; no I/O, no clock, no randomness. A replica's state is an argument, a decision is the answer.
//! Does not execute anything and does not wait: `server` does, by what [`route::route`] decides.

#![allow(
    clippy::result_large_err,
    reason = "an SqlError is rare and moved once, its fields are read where it is made"
)]

pub mod guarantee;
pub mod route;
pub mod settings;
pub mod token;
pub mod transaction_mode;

pub use guarantee::Guarantee;
pub use route::{Decision, Refusal, ReplicaState, Role, route};
pub use settings::{SetScope, Settings, Values};
pub use token::Token;
pub use transaction_mode::TransactionMode;
