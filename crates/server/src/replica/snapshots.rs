//! Seeding a replica from another node's.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bellwether_node::Event;
use bellwether_storage::snapshot::{Copying, Receiving, SnapshotError, SnapshotInfo, read_chunk};
use bellwether_storage::{Files, Writer};
use bellwether_types::codec::{Decoder, Encoder};
use bellwether_types::{DatabaseId, NodeId, Position};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::driver::Input;
use crate::config::Config;
use crate::node::Node;
use crate::peer::{FRAME_BYTES_MAX, FrameError, FrameReader, Hello, Purpose, connect, write_frame};

/// Copied and sent at a time: short enough that nothing else on this disk waits for it.
const CHUNK_BYTES: usize = 1 << 20;

/// What the machine asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub from: NodeId,
    pub at_least: Position,
}

/// An image that has arrived and waits to be put in place.
pub(crate) type Staged = Arc<Mutex<Option<Receiving>>>;

/// Everything that fetching needs.
pub(crate) struct Fetcher {
    pub name: &'static str,
    pub database: DatabaseId,
    pub config: Config,
    pub files: Files,
    pub staged: Staged,
    pub driver: crossbeam_channel::Sender<Input>,
}

impl Fetcher {
    /// One at a time, until the machine is gone.
    pub async fn run(self, mut wanted: mpsc::Receiver<Wanted>) {
        while let Some(wanted) = wanted.recv().await {
            let event = match self.fetch(wanted).await {
                Ok(position) => Event::SnapshotStaged { position },
                Err(error) => {
                    tracing::warn!(database = self.name, from = %wanted.from, %error, "no snapshot");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    Event::SnapshotFailed
                }
            };
            let driver = self.driver.clone();
            // The queue may be full for a moment; the event must not be lost.
            let told = tokio::task::spawn_blocking(move || driver.send(Input::Event(event))).await;
            if !matches!(told, Ok(Ok(()))) {
                return;
            }
        }
    }

    async fn fetch(&self, wanted: Wanted) -> Result<Position, FetchError> {
        let member = self.config.member(wanted.from).ok_or(FetchError::NotAMember)?;
        let hello = Hello {
            cluster: self.config.cluster,
            from: self.config.node,
            to: wanted.from,
            purpose: Purpose::Snapshot,
        };
        let mut stream = connect(member, &hello).await?;
        let mut request = Encoder::new();
        request.u64(u64::from(self.database.0));
        write_frame(&mut stream, request.as_slice()).await.map_err(FrameError::from)?;
        let mut reader = FrameReader::default();
        let head = next(&mut reader, &mut stream).await?;
        let info = SnapshotInfo::decode(&mut Decoder::new(&head)).map_err(FrameError::from)?;
        if info.position.index < wanted.at_least.index {
            return Err(FetchError::TooOld(info.position));
        }
        let mut receiving = Receiving::start(&self.files, info)?;
        let mut skip = receiving.received();
        while receiving.received() < info.bytes {
            let chunk = next(&mut reader, &mut stream).await?;
            let have = skip.min(chunk.len() as u64);
            skip -= have;
            tokio::task::block_in_place(|| receiving.append(&chunk[have as usize..]))?;
        }
        *self.staged.lock().expect("no holder of this lock panics") = Some(receiving);
        Ok(info.position)
    }
}

async fn next(reader: &mut FrameReader, stream: &mut TcpStream) -> Result<bytes::Bytes, FrameError> {
    let frame = reader.next(stream, FRAME_BYTES_MAX).await?;
    frame.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())
}

/// Why there is no snapshot.
#[derive(Debug)]
enum FetchError {
    NotAMember,
    TooOld(Position),
    Frame(FrameError),
    Snapshot(SnapshotError),
}

impl From<FrameError> for FetchError {
    fn from(error: FrameError) -> FetchError {
        FetchError::Frame(error)
    }
}

impl From<SnapshotError> for FetchError {
    fn from(error: SnapshotError) -> FetchError {
        FetchError::Snapshot(error)
    }
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FetchError::NotAMember => write!(f, "the leader is not a member"),
            FetchError::TooOld(position) => write!(f, "its snapshot at {position} is too old"),
            FetchError::Frame(error) => write!(f, "{error}"),
            FetchError::Snapshot(error) => write!(f, "{error}"),
        }
    }
}

/// Answers a peer's request for a copy: head, then the image in order.
pub(crate) async fn serve_snapshot(
    node: Arc<Node>,
    mut reader: FrameReader,
    mut stream: TcpStream,
) -> Result<(), FrameError> {
    let request = next(&mut reader, &mut stream).await?;
    let database = DatabaseId(Decoder::new(&request).u32("database")?);
    let Some(replica) = node.replicas.get(database) else { return Ok(()) };
    let files = replica.readers.files().clone();
    let path = files.path.with_file_name(format!("outgoing-{}.image", node.number()));
    let served = serve_image(&files, &path, &mut stream).await;
    if let Err(error) = std::fs::remove_file(&path) {
        tracing::debug!(%error, "an image could not be removed");
    }
    served
}

async fn serve_image(files: &Files, path: &Path, stream: &mut TcpStream) -> Result<(), FrameError> {
    let failed = |error: SnapshotError| FrameError::Io(std::io::Error::other(error.to_string()));
    let mut copying = tokio::task::block_in_place(|| Copying::start(files, path)).map_err(failed)?;
    let info = loop {
        let step = tokio::task::block_in_place(|| copying.step(CHUNK_BYTES)).map_err(failed)?;
        if let Some(info) = step {
            break info;
        }
        tokio::task::yield_now().await;
    };
    drop(copying);
    let mut head = Encoder::new();
    info.encode(&mut head);
    write_frame(stream, head.as_slice()).await?;
    let mut offset = 0;
    while offset < info.bytes {
        let chunk = tokio::task::block_in_place(|| read_chunk(files, path, offset, CHUNK_BYTES));
        let chunk = chunk.map_err(failed)?;
        offset += chunk.len() as u64;
        write_frame(stream, &chunk).await?;
    }
    Ok(())
}

/// Puts the staged image in place of the replica and opens it. The old writer has been closed.
pub(crate) fn install(files: &Files, staged: &Staged) -> Result<Writer, String> {
    let receiving = staged.lock().expect("no holder of this lock panics").take();
    let receiving = receiving.ok_or("no snapshot is staged")?;
    receiving.finish().map_err(|error| error.to_string())?;
    Writer::open(files).map_err(|error| error.to_string())
}
