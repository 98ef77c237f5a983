//! Seeding a replica from another node's.

use std::sync::{Arc, Mutex};

use bellwether_node::Event;
use bellwether_storage::snapshot::{ImageId, Receiving, Snapshot, SnapshotError, SnapshotInfo};
use bellwether_storage::{Files, Writer};
use bellwether_types::codec::{DecodeError, Decoder, Encoder};
use bellwether_types::{DatabaseId, NodeId, Position};
use tokio::sync::mpsc;

use super::drive::Drive;
use super::driver::{Driver, Input};
use crate::config::Config;
use crate::lock::Stream;
use crate::node::Node;
use crate::peer::{FRAME_BYTES_MAX, FrameError, FrameReader, Purpose, connect, write_frame};
use crate::random::random_bytes;

/// Copied and sent at a time: short enough that nothing else on this disk waits for it.
const CHUNK_BYTES: usize = 1 << 20;

/// What the machine asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub from: NodeId,
    pub at_least: Position,
}

/// An image that has arrived and waits to be put in place.
pub(crate) type Staged = Arc<Mutex<Option<(Receiving, SnapshotInfo)>>>;

/// Everything that fetching needs.
pub(crate) struct Fetcher {
    pub name: &'static str,
    pub database: DatabaseId,
    pub config: Config,
    pub files: Files,
    pub staged: Staged,
    pub drive: Arc<Drive<Driver>>,
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
            let drive = Arc::clone(&self.drive);
            // The queue may be full for a moment; the event must not be lost.
            let told = tokio::task::spawn_blocking(move || drive.send(Input::Event(event))).await;
            if !matches!(told, Ok(true)) {
                return;
            }
        }
    }

    async fn fetch(&self, wanted: Wanted) -> Result<Position, FetchError> {
        let member = self.config.member(wanted.from).ok_or(FetchError::NotAMember)?;
        let mut stream = connect(&self.config, member, Purpose::Snapshot).await?;
        let mut request = Encoder::new();
        request.u64(u64::from(self.database.0));
        write_frame(&mut stream, request.as_slice())
            .await
            .map_err(FrameError::from)?;
        let mut reader = FrameReader::default();
        let head = Head::decode(&next(&mut reader, &mut stream).await?).map_err(FrameError::from)?;
        if head.position.index < wanted.at_least.index {
            return Err(FetchError::TooOld(head.position));
        }
        let mut receiving = Receiving::start(&self.files, ImageId(head.id), head.bytes)?;
        let mut skip = receiving.received();
        let mut arrived = 0;
        while arrived < head.bytes {
            let chunk = next(&mut reader, &mut stream).await?;
            arrived += chunk.len() as u64;
            let have = skip.min(chunk.len() as u64);
            skip -= have;
            tokio::task::block_in_place(|| receiving.append(&chunk[have as usize..]))?;
        }
        let tail = next(&mut reader, &mut stream).await?;
        let info = SnapshotInfo::decode(&mut Decoder::new(&tail)).map_err(FrameError::from)?;
        *self.staged.lock().expect("no holder of this lock panics") = Some((receiving, info));
        Ok(info.position)
    }
}

/// What the sender says before the image.
struct Head {
    id: u128,
    position: Position,
    bytes: u64,
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.u128(self.id);
        self.position.encode(&mut out);
        out.u64(self.bytes);
        out.into_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Head, DecodeError> {
        let mut input = Decoder::new(bytes);
        let id = input.u128()?;
        let position = Position::decode(&mut input)?;
        Ok(Head {
            id,
            position,
            bytes: input.u64()?,
        })
    }
}

async fn next(reader: &mut FrameReader, stream: &mut Stream) -> Result<bytes::Bytes, FrameError> {
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
    mut stream: Stream,
) -> Result<(), FrameError> {
    let request = next(&mut reader, &mut stream).await?;
    let database = DatabaseId(Decoder::new(&request).u32("database")?);
    let Some(replica) = node.replicas.get(database) else {
        return Ok(());
    };
    // Who is damaged gives its damage to nobody.
    if replica.reign.borrow().seeding {
        return Ok(());
    }
    let failed = |error: SnapshotError| {
        if error.is_damage() {
            tracing::error!(database = replica.name, %error, "damaged: this replica is seeded anew");
            let _ = replica.drive.offer(Input::Event(Event::Damaged));
        }
        FrameError::Io(std::io::Error::other(error.to_string()))
    };
    let files = replica.readers.files();
    let mut snapshot = tokio::task::block_in_place(|| Snapshot::start(files)).map_err(failed)?;
    let id = u128::from_le_bytes(random_bytes().map_err(std::io::Error::other)?);
    let head = Head {
        id,
        position: snapshot.position(),
        bytes: snapshot.bytes(),
    };
    write_frame(&mut stream, &head.encode()).await?;
    let mut offset = 0;
    while offset < snapshot.bytes() {
        let chunk = tokio::task::block_in_place(|| snapshot.read_chunk(offset, CHUNK_BYTES));
        let chunk = chunk.map_err(failed)?;
        offset += chunk.len() as u64;
        write_frame(&mut stream, &chunk).await?;
    }
    let info = snapshot
        .info(u64::MAX)
        .map_err(failed)?
        .expect("an unbounded budget reads all");
    let mut tail = Encoder::new();
    info.encode(&mut tail);
    write_frame(&mut stream, tail.as_slice()).await?;
    Ok(())
}

/// Puts the staged image in place of the replica and opens it. The old writer has been closed.
pub(crate) fn install(files: &Files, staged: &Staged) -> Result<Writer, String> {
    let receiving = staged.lock().expect("no holder of this lock panics").take();
    let (receiving, info) = receiving.ok_or("no snapshot is staged")?;
    receiving.finish(info).map_err(|error| error.to_string())?;
    Writer::open(files).map_err(|error| error.to_string())
}
