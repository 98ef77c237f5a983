//! Giving an image: any node whose replica is sound gives one, to one node at a time.
//!
//! An image has an id that its source draws, and exists as a read transaction of the source: it is *pinned*. When
//! the connection of who receives it breaks, it stays so for [`PINNED_FOR`]; who asks for it by its id within that time
//! gets the same bytes. No checkpoint passes it meanwhile, so SQLite's WAL grows by what is written: when that is more
//! than [`PINNED_WAL_BYTES`] and than the image itself, the image is given up. One that waits is given up, too, for another
//! node that wants one. So no database has more than one pinned, and it costs no more disk than a copy would.
//!
//! A blocking thread reads, checks and packs chunks while a task writes those before to the socket; at most
//! [`CHUNKS_READY`] wait between the two, which with those in hand makes four megabytes.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bellwether_http::Metrics;
use bellwether_node::Event;
use bellwether_storage::Files;
use bellwether_storage::snapshot::{ImageId, Snapshot, SnapshotError};
use bellwether_types::NodeId;
use bellwether_types::codec::{Decoder, Encoder};
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedMutexGuard, mpsc, watch};

use super::chunk::CHUNK_BYTES;
use super::message::{Answer, Ask, Head, Piece, Refusal, image_of};
use super::pace::{Fsyncs, LOOK_PERIOD, Pace};
use super::{WORD_BYTES, next};
use crate::lock::Stream;
use crate::node::Node;
use crate::peer::{FrameError, FrameReader, frame_head, write_frame};
use crate::random::random_array;
use crate::replica::ReplicaHandle;
use crate::replica::driver::Input;

/// An image whose receiver has gone stays so long: a node that is started again, a network that is back.
const PINNED_FOR: Duration = Duration::from_secs(60);

/// The WAL may grow by so much because of an image; or by the image's length, where that is more.
const PINNED_WAL_BYTES: u64 = 1 << 30;

/// Between two looks at an image that waits.
const LOOK_AT_PINNED: Duration = Duration::from_secs(1);

/// Chunks that are ready to be sent.
const CHUNKS_READY: usize = 2;

/// A receiver that takes nothing for so long has gone.
const STALLED_FOR: Duration = Duration::from_secs(30);

/// A receiver reads what it has before it says where it goes on: a few hundred megabytes a second.
const LOOKED_WITHIN: Duration = Duration::from_secs(600);

/// Who has had an image, and asks again, waits so long until the connection that it had has let go.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);

/// An image that can be given.
struct Pinned {
    id: ImageId,
    snapshot: Snapshot,
    /// Of SQLite's WAL when it began.
    wal_bytes: u64,
}

impl Pinned {
    fn start(files: &Files, node: NodeId) -> Result<Pinned, GiveError> {
        let id = image_of(
            node,
            u64::from_le_bytes(random_array().map_err(FrameError::from)?),
        );
        Ok(Pinned {
            id,
            snapshot: Snapshot::start(files)?,
            wal_bytes: wal_bytes(files),
        })
    }

    fn is_too_dear(&self, files: &Files) -> bool {
        let grown = wal_bytes(files).saturating_sub(self.wal_bytes);
        grown > PINNED_WAL_BYTES.max(self.snapshot.bytes())
    }
}

fn wal_bytes(files: &Files) -> u64 {
    std::fs::metadata(files.wal_path()).map_or(0, |wal| wal.len())
}

/// A frame that is ready to be sent: what stands before the content, and the content.
type Ready = ([u8; 8], Vec<u8>);

/// The place of the one image of a database that is pinned, held by whoever gives it.
type Place = OwnedMutexGuard<Option<Pinned>>;

/// See the module.
pub(crate) struct Source {
    pinned: Arc<tokio::sync::Mutex<Option<Pinned>>>,
    /// To whom the image is given, or was last.
    receiver: Mutex<Option<NodeId>>,
    /// Grows when whoever holds the place is to let go of it.
    turn: watch::Sender<u64>,
}

impl Default for Source {
    fn default() -> Source {
        Source {
            pinned: Arc::default(),
            receiver: Mutex::default(),
            turn: watch::Sender::new(0),
        }
    }
}

impl Source {
    /// The place, unless another node is given an image. A receiver that comes again has lost its connection, whether
    /// or not that is known here.
    async fn claim(&self, by: NodeId) -> Option<Place> {
        let claimed = match Arc::clone(&self.pinned).try_lock_owned() {
            Ok(place) => Some(place),
            Err(_) if *self.receiver() == Some(by) => {
                self.turn.send_modify(|turn| *turn += 1);
                let let_go = Arc::clone(&self.pinned).lock_owned();
                tokio::time::timeout(LET_GO_WITHIN, let_go).await.ok()
            }
            Err(_) => None,
        };
        if claimed.is_some() {
            *self.receiver() = Some(by);
        }
        claimed
    }

    fn receiver(&self) -> std::sync::MutexGuard<'_, Option<NodeId>> {
        self.receiver.lock().expect("no holder of this lock panics")
    }
}

/// Why an image was not given to its end.
#[derive(Debug)]
enum GiveError {
    Frame(FrameError),
    Snapshot(SnapshotError),
    /// The receiver takes nothing.
    Stalled,
    /// It has come again.
    CameAgain,
    /// The WAL has grown too long.
    TooDear,
}

impl From<FrameError> for GiveError {
    fn from(error: FrameError) -> GiveError {
        GiveError::Frame(error)
    }
}

impl From<std::io::Error> for GiveError {
    fn from(error: std::io::Error) -> GiveError {
        GiveError::Frame(error.into())
    }
}

impl From<SnapshotError> for GiveError {
    fn from(error: SnapshotError) -> GiveError {
        GiveError::Snapshot(error)
    }
}

impl std::fmt::Display for GiveError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GiveError::Frame(error) => write!(f, "{error}"),
            GiveError::Snapshot(error) => write!(f, "{error}"),
            GiveError::Stalled => write!(f, "nothing was heard of it for too long"),
            GiveError::CameAgain => write!(f, "it has come again"),
            GiveError::TooDear => write!(f, "the WAL has grown too long meanwhile"),
        }
    }
}

/// Answers a peer's request for an image.
pub(crate) async fn serve_snapshot(
    node: Arc<Node>,
    to: NodeId,
    mut reader: FrameReader,
    mut stream: Stream,
) -> Result<(), FrameError> {
    let ask = Ask::decode(&next(&mut reader, &mut stream, WORD_BYTES).await?)?;
    let Some(replica) = node.replicas.get(ask.database).cloned() else {
        return refuse(&mut stream, Refusal::NoReplica).await;
    };
    // Who is damaged gives its damage to nobody.
    if replica.reign.borrow().seeding {
        return refuse(&mut stream, Refusal::Seeding).await;
    }
    let Some(mut place) = replica.source.claim(to).await else {
        return refuse(&mut stream, Refusal::Busy).await;
    };
    let is_wanted = |pinned: &Pinned| {
        Some(pinned.id) == ask.part && pinned.snapshot.position().index >= ask.at_least.index
    };
    if let Some(given_up) = place.take_if(|pinned| !is_wanted(pinned)) {
        tracing::info!(database = replica.name, %to, "another image is wanted: the one that waited is given up");
        drop(given_up);
    }
    let giving = Giving {
        name: replica.name,
        to,
        files: replica.readers.files().clone(),
        metrics: Arc::clone(&node.metrics),
        let_go: replica.source.turn.subscribe(),
    };
    let pinned = match place.take() {
        Some(pinned) => Ok(pinned),
        None => tokio::task::block_in_place(|| Pinned::start(&giving.files, node.identity.node)),
    };
    let given = match pinned {
        Ok(pinned) if pinned.snapshot.position().index < ask.at_least.index => {
            return refuse(&mut stream, Refusal::TooOld(pinned.snapshot.position())).await;
        }
        Ok(pinned) => {
            *place = Some(pinned);
            giving.give(&mut place, reader, stream).await
        }
        Err(error) => Err(error),
    };
    end(&replica, to, place, given);
    Ok(())
}

async fn refuse(stream: &mut Stream, refusal: Refusal) -> Result<(), FrameError> {
    Ok(write_frame(stream, &Answer::Refused(refusal).encode()).await?)
}

/// The image was given, or is kept for a while, or is given up.
fn end(replica: &Arc<ReplicaHandle>, to: NodeId, mut place: Place, given: Result<(), GiveError>) {
    let database = replica.name;
    let error = match given {
        Ok(()) => {
            tracing::info!(database, %to, "the image is given");
            *place = None;
            return;
        }
        Err(error) => error,
    };
    tracing::warn!(database, %to, %error, "the image was not given to its end");
    match error {
        GiveError::Snapshot(error) => {
            *place = None;
            if error.is_damage() {
                tracing::error!(database, %error, "damaged: this replica is seeded anew");
                let _ = replica.drive.offer(Input::Event(Event::Damaged));
            }
        }
        GiveError::TooDear => *place = None,
        GiveError::Frame(_) | GiveError::Stalled | GiveError::CameAgain => {
            if let Some(pinned) = &*place {
                tokio::spawn(keep(Arc::clone(replica), pinned.id));
            }
        }
    }
}

/// Gives up an image for which nobody comes in time. Whoever comes takes its place, and looks after it again.
async fn keep(replica: Arc<ReplicaHandle>, id: ImageId) {
    let until = Instant::now() + PINNED_FOR;
    loop {
        tokio::time::sleep(LOOK_AT_PINNED).await;
        let Ok(mut place) = replica.source.pinned.try_lock() else {
            return;
        };
        let is_over = |pinned: &Pinned| {
            pinned.id != id || Instant::now() >= until || pinned.is_too_dear(replica.readers.files())
        };
        match &*place {
            Some(pinned) if !is_over(pinned) => {}
            Some(pinned) if pinned.id == id => {
                tracing::info!(
                    database = replica.name,
                    "an image is given up: nobody goes on with it"
                );
                *place = None;
                return;
            }
            _ => return,
        }
    }
}

/// An image on its way to a node.
struct Giving {
    name: &'static str,
    to: NodeId,
    files: Files,
    metrics: Arc<Metrics>,
    let_go: watch::Receiver<u64>,
}

impl Giving {
    async fn give(
        self,
        place: &mut Place,
        mut reader: FrameReader,
        mut stream: Stream,
    ) -> Result<(), GiveError> {
        let pinned = place.take().expect("it was put there");
        let head = Head {
            id: pinned.id,
            position: pinned.snapshot.position(),
            bytes: pinned.snapshot.bytes(),
            configuration: pinned.snapshot.configuration().clone(),
        };
        let bytes = head.bytes;
        // Back in its place before anything can fail: the connection may break at every word.
        **place = Some(pinned);
        write_frame(&mut stream, &Answer::Head(head).encode()).await?;
        let mut let_go = self.let_go.clone();
        let offset = tokio::select! {
            offset = next(&mut reader, &mut stream, WORD_BYTES) => offset?,
            _ = let_go.changed() => return Err(GiveError::CameAgain),
            () = tokio::time::sleep(LOOKED_WITHIN) => return Err(GiveError::Stalled),
        };
        let offset = Decoder::new(&offset).u64().map_err(FrameError::from)?.min(bytes);
        tracing::info!(database = self.name, to = %self.to, offset, bytes, "gives an image");
        let pinned = place.take().expect("it was put there");
        let (ready, mut chunks) = mpsc::channel(CHUNKS_READY);
        let reading = tokio::task::spawn_blocking(move || self.read(pinned, offset, &ready));
        let sent = send(&mut chunks, &mut stream, let_go.clone()).await;
        // Who reads stops when nobody takes what it has read.
        drop(chunks);
        let (pinned, read) = reading.await.map_err(std::io::Error::other)?;
        **place = Some(pinned);
        // What stopped the reader is told first: without more to send nothing was wrong with sending.
        read.and(sent)?;
        // What was sent is not there yet.
        tokio::select! {
            kept = next(&mut reader, &mut stream, WORD_BYTES) => kept.map(drop).map_err(GiveError::from),
            _ = let_go.changed() => Err(GiveError::CameAgain),
            () = tokio::time::sleep(LOOKED_WITHIN) => Err(GiveError::Stalled),
        }
    }

    /// Reads the image from `offset` to its end, as frames.
    fn read(
        self,
        mut pinned: Pinned,
        offset: u64,
        ready: &mpsc::Sender<Ready>,
    ) -> (Pinned, Result<(), GiveError>) {
        let read = self.read_all(&mut pinned, offset, ready);
        (pinned, read)
    }

    fn read_all(
        &self,
        pinned: &mut Pinned,
        mut offset: u64,
        ready: &mpsc::Sender<Ready>,
    ) -> Result<(), GiveError> {
        let mut pace = Pace::new(self.fsyncs());
        let (mut pause, mut looked) = (Duration::ZERO, Instant::now());
        while offset < pinned.snapshot.bytes() {
            let content = pinned.snapshot.read_chunk(offset, CHUNK_BYTES)?;
            let mut piece = Encoder::new();
            Piece::encode_chunk(pinned.id, offset, &content, &mut piece);
            offset += content.len() as u64;
            if !send_frame(ready, piece) {
                return Ok(());
            }
            self.metrics.seeding_out.add(content.len() as u64);
            if looked.elapsed() >= LOOK_PERIOD {
                looked = Instant::now();
                pause = pace.look(self.fsyncs());
                if pinned.is_too_dear(&self.files) {
                    return Err(GiveError::TooDear);
                }
            }
            std::thread::sleep(pause);
        }
        let info = pinned.snapshot.info(u64::MAX)?;
        let mut piece = Encoder::new();
        Piece::encode_end(info.expect("an unbounded budget reads all"), &mut piece);
        send_frame(ready, piece);
        Ok(())
    }

    fn fsyncs(&self) -> Fsyncs {
        let (count, sum_us) = self.metrics.log_fsync_us.totals();
        Fsyncs { count, sum_us }
    }
}

/// False when nobody takes it.
fn send_frame(ready: &mpsc::Sender<Ready>, piece: Encoder) -> bool {
    let content = piece.into_vec();
    ready.blocking_send((frame_head(&content), content)).is_ok()
}

async fn send(
    chunks: &mut mpsc::Receiver<Ready>,
    stream: &mut Stream,
    mut let_go: watch::Receiver<u64>,
) -> Result<(), GiveError> {
    while let Some((head, content)) = chunks.recv().await {
        let written = async {
            stream.write_all(&head).await?;
            stream.write_all(&content).await?;
            stream.flush().await
        };
        tokio::select! {
            written = written => written?,
            _ = let_go.changed() => return Err(GiveError::CameAgain),
            () = tokio::time::sleep(STALLED_FOR) => return Err(GiveError::Stalled),
        }
    }
    Ok(())
}
