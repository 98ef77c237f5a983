//! The replication log of one database on disk: segments, checksums, group fsync, truncation, retention.
//!
//! **What it promises.** What [`Log::sync`] answered for is there after a power loss, entry for entry; what
//! was written later is there as a prefix of what was written, or not at all. A record that was durable and
//! is damaged is an error that names file and byte ([`OpenError::Corrupt`], [`ReadError::Corrupt`]), never a
//! shorter log. A suffix that another leader's entries replaced is there whole until the first of these is.
//!
//! **What it does not do.** It does not know what is committed or applied: how far [`Log::cut_prefix`] may
//! cut is the caller's. It repairs nothing from peers; what it has lost to rot it can do without only when the caller says
//! that SQLite holds it ([`Salvage`]). It does not guard its directory against a second
//! process, and founds a new log in an empty one: whether there should have been one is the caller's to know.
//! After a failed write or sync it refuses everything ([`WriteError::is_fatal`]).
//!
//! # On disk
//!
//! ```text
//! 000000000001.log   header (128 bytes) │ frame │ frame │ …  │ zeros, written ahead
//! 000000000002.log   …
//! ```
//!
//! A segment is written under a temporary name with its header and the current hard state, synced, and only
//! then renamed; the segment before it is synced first, and the header says where its frames end. So a
//! segment under its own name always had a sound header, and all but the last were durable through their
//! ends.
//!
//! Within the last segment each frame carries a **sync mark**: the byte through which the segment was known
//! to be durable when the frame was written. When a frame does not check out, the rest of the segment is
//! searched for a frame whose mark lies beyond it: one proves that durable bytes changed (corruption,
//! refused); none means that the frame was never synced (a torn tail, cut).
//!
//! **What remains ambiguous:** the frames of the very last sync, as long as nothing was written after them.
//! Rot there looks like a torn write and is cut. [`Log::seal`] closes even that: call it at shutdown, and
//! [`Log::seal_if_resting`] while nothing happens.
//!
//! Checksums are seeded with the segment's header (cluster, node, database, sequence, base) and each frame's
//! offset, and a torn tail is overwritten with zeros before anything is appended: stale bytes never read as
//! frames.

mod disk;
mod error;
pub mod frame;
mod header;
mod index;
mod log;
mod reader;
mod recovery;
mod salvage;
mod segment;

pub use disk::OsDisk;
pub use error::{Flaw, IoFailure, OpenError, ReadError, WriteError};
pub use header::{HEADER_BYTES, Header, Identity};
pub use log::{Log, Recovered};
pub use reader::{Checked, LogReader};
pub use salvage::Salvage;
pub use segment::{ALLOCATION_BYTES, SEGMENT_BYTES, Sizing};
