//! What every room speaks: names, positions, values, records, and the one codec of log and peers.
//!
//! Promises: no logic beyond encoding and ordering; no I/O, no clock, no randomness; every decoder accepts
//! arbitrary bytes and answers an error, never a panic and never an allocation larger than its input.

pub mod codec;
pub mod configuration;
pub mod disk;
pub mod durability;
pub mod entry;
pub mod error;
pub mod extension;
pub mod fingerprint;
pub mod format;
pub mod function;
pub mod id;
pub mod lexer;
pub mod lost;
pub mod notification;
pub mod outcome;
pub mod position;
pub mod record;
pub mod relation;
pub mod replication;
pub mod result;
pub mod schema;
pub mod standby;
pub mod statement;
pub mod timestamp;
pub mod value;

pub use codec::{DecodeError, Decoder, Encoder};
pub use configuration::Configuration;
pub use durability::Durability;
pub use entry::{Entry, HardState};
pub use error::{ErrorKind, SqlError};
pub use extension::Extension;
pub use fingerprint::Fingerprint;
pub use format::{Format, LogFormat, UnknownLogFormat};
pub use function::{Arity, Call, Facts, RoleFacts, ScalarFunction, SizeOf};
pub use id::{ClusterId, DatabaseId, NodeId, RequestId, SessionId, TableId};
pub use lost::LostWrite;
pub use notification::Notification;
pub use outcome::Outcome;
pub use position::{LogIndex, Position, Term};
pub use record::{Payload, Record};
pub use relation::{Relation, RelationColumn, Rowid};
pub use replication::ReplicationFacts;
pub use result::{KeptResult, StatementResult};
pub use schema::{ObjectId, Schema};
pub use standby::{StandbyRule, SyncState};
pub use statement::{Column, CommandTag, Environment, Statement};
pub use timestamp::{HybridClock, Timestamp};
pub use value::{Value, ValueRef};
