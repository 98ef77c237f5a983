//! Seeding a replica from another node's: an image of SQLite's file, in chunks, then the log from there on.
//!
//! Promises: what has arrived is durable after 64 MiB more at the latest, and is fetched once, whichever side dies, as
//! long as its source is there and keeps the image ([`give`]); else an image is begun anew, and the log says so. Every
//! chunk is compared with its checksum as it arrives and again when a part is gone on with, the whole image before it
//! is put in place, and so is each page. Both sides hold a few megabytes. The source writes its log as quickly as
//! without ([`pace`]).
//!
//! Does not: seed two nodes from one image, or one from two sources at once; a part of another image is of no use.

mod chunk;
mod fetch;
mod give;
mod message;
mod pace;
mod progress;

use std::sync::{Arc, Mutex};

use bellwether_storage::snapshot::{Receiving, SnapshotInfo};
use bellwether_storage::{Files, Writer};
use bellwether_types::{Configuration, NodeId, Position};
use bytes::Bytes;

pub(crate) use fetch::Fetcher;
pub(crate) use give::{Source, serve_snapshot};
pub(crate) use progress::Progress;
pub use progress::{Seeding, Watcher};

use crate::lock::Stream;
use crate::peer::{FrameError, FrameReader};

/// The longest frame that is not a chunk: a head, with a configuration.
const WORD_BYTES: usize = 64 << 10;

/// What the machine asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub from: NodeId,
    pub at_least: Position,
}

/// An image that has arrived, checked and durable.
pub(crate) struct Image {
    receiving: Receiving,
    info: SnapshotInfo,
    /// The group, as stored in it.
    configuration: Configuration,
}

/// Where an image waits to be put in place.
pub(crate) type Staged = Arc<Mutex<Option<Image>>>;

async fn next(reader: &mut FrameReader, stream: &mut Stream, max_bytes: usize) -> Result<Bytes, FrameError> {
    let frame = reader.next(stream, max_bytes).await?;
    frame.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())
}

/// Puts the staged image in place of the replica and opens it. The old writer has been closed.
pub(crate) fn install(files: &Files, staged: &Staged) -> Result<Writer, String> {
    let image = staged.lock().expect("no holder of this lock panics").take();
    let Image { receiving, info, .. } = image.ok_or("no snapshot is staged")?;
    receiving.finish(info).map_err(|error| error.to_string())?;
    Writer::open(files).map_err(|error| error.to_string())
}
