//! SQLite: capture, apply, fingerprints, snapshots. The only room that names it.

mod alteration;
mod apply;
mod authorizer;
mod capture;
mod catalog;
pub mod checkpoint;
mod configure;
mod cursor;
mod database;
mod decode;
mod doublewrite;
mod environment;
pub mod error;
mod execute;
mod extension;
pub mod files;
mod fingerprint;
pub mod group;
mod internal;
mod kind;
mod os_disk;
mod outcome;
pub mod pages;
mod position;
pub mod reader;
mod rebuild;
pub mod recovery;
mod relations;
pub mod run;
pub mod safety;
mod schema;
pub mod scrub;
mod seal;
pub mod seen;
pub mod session;
mod slots;
pub mod snapshot;
mod statement;
mod transaction;
mod vacuum;
pub mod vfs;
pub mod wal;
mod workspace;
mod write_behind;
mod writer;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod rot_tests;
#[cfg(test)]
mod testing;

pub use checkpoint::{CheckpointError, Checkpointed, Checkpointer};
pub use cursor::Cursor;
pub use database::{STATEMENT_BYTES_MAX, VALUE_BYTES_MAX};
pub use decode::{Decoded, Decoding, Named, NotDecoded, Operation, RowChange};
pub use error::{ApplyError, Divergence, SqliteError, StorageError};
pub use extension::Extended;
pub use files::{Files, OpenError, Spill, Vfs};
pub use group::{Begin, GroupStart, NoRows, RowSink, Sealed};
pub use kind::StatementKind;
pub use outcome::ruled_out;
pub use pages::Damage;
pub use reader::{Description, InterruptHandle, Reader};
pub use relations::Relations;
pub use run::{Answer, ClientTransaction, GroupRun, RESULT_BYTES_MAX, run_group};
pub use safety::{SafetyCounts, Unsafe};
pub use seen::{RowDigest, Seen};
pub use session::SessionState;
pub use writer::Writer;
