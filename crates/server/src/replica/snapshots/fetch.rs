//! Getting an image: from the node whose image a part is here of, else from the leader, else from any other.
//!
//! A task reads frames from the socket while a blocking thread checks, unpacks and writes those before; at most
//! [`CHUNKS_WAITING`] wait between the two, which with those in hand makes four megabytes.

use std::sync::Arc;
use std::time::Duration;

use bellwether_http::Metrics;
use bellwether_node::Event;
use bellwether_storage::Files;
use bellwether_storage::snapshot::{ImageId, Receiving, SnapshotError, SnapshotInfo, part_of};
use bellwether_types::codec::{DecodeError, Encoder};
use bellwether_types::{Configuration, DatabaseId, NodeId, Position};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::chunk::{self, CHUNK_FRAME_BYTES, ChunkError};
use super::message::{Answer, Ask, Head, Piece, Refusal, source_of};
use super::progress::{Teller, Watcher};
use super::{Image, Staged, WORD_BYTES, Wanted, next};
use crate::lock::Stream;
use crate::peer::{Caller, FrameError, FrameReader, Purpose, write_frame};
use crate::replica::Published;
use crate::replica::drive::Drive;
use crate::replica::driver::{Driver, Input};

/// Chunks that have arrived and wait to be written.
const CHUNKS_WAITING: usize = 2;

/// A source that says nothing for so long has gone. It may be reading the whole WAL before it answers.
const SILENT_FOR: Duration = Duration::from_secs(30);

/// So often in a row whoever began an image is asked to go on before the image is begun anew.
const ATTEMPTS_TO_GO_ON: u32 = 3;

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Everything that fetching needs.
pub(crate) struct Fetcher {
    pub name: &'static str,
    pub database: DatabaseId,
    pub caller: Arc<Caller>,
    pub files: Files,
    pub staged: Staged,
    pub drive: Arc<Drive<Driver>>,
    pub published: Arc<Published>,
    pub metrics: Arc<Metrics>,
    pub watcher: Option<Watcher>,
}

impl Fetcher {
    /// One at a time, until the machine is gone.
    pub async fn run(self, mut wanted: mpsc::Receiver<Wanted>) {
        while let Some(wanted) = wanted.recv().await {
            let event = match self.fetch(wanted).await {
                Some((position, configuration)) => Event::SnapshotStaged {
                    position,
                    configuration,
                },
                None => {
                    tokio::time::sleep(PAUSE).await;
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

    /// What was asked for by a leader whose reign is over, and is as good for the next.
    fn staged(&self, at_least: Position) -> Option<(Position, Configuration)> {
        let staged = self.staged.lock().expect("no holder of this lock panics");
        let image = staged.as_ref()?;
        let is_new_enough = image.info.position.index >= at_least.index;
        is_new_enough.then(|| (image.info.position, image.configuration.clone()))
    }

    /// `None` once all that could be asked were asked in vain; each failure has been logged.
    async fn fetch(&self, wanted: Wanted) -> Option<(Position, Configuration)> {
        if let Some(staged) = self.staged(wanted.at_least) {
            return Some(staged);
        }
        // The file is another attempt's from now on.
        *self.staged.lock().expect("no holder of this lock panics") = None;
        let mut sources = self.sources(wanted.from).into_iter();
        let mut given_up = None;
        loop {
            let begun_by = self.part().map(source_of);
            if let Some(source) = begun_by.filter(|_| begun_by != given_up) {
                if let Some(staged) = self.go_on(source, wanted.at_least).await {
                    return Some(staged);
                }
                given_up = begun_by;
            }
            let source = sources.next()?;
            match self.fetch_from(source, self.part(), wanted.at_least).await {
                Ok(staged) => return Some(staged),
                Err(error) => self.warn(source, &error),
            }
        }
    }

    /// Asks whoever began an image for the rest of it, as long as something comes.
    async fn go_on(&self, source: NodeId, at_least: Position) -> Option<(Position, Configuration)> {
        let mut attempts = 0;
        while attempts < ATTEMPTS_TO_GO_ON {
            tokio::time::sleep(PAUSE * attempts).await;
            let before = self.published.seeding.received();
            match self.fetch_from(source, self.part(), at_least).await {
                Ok(staged) => return Some(staged),
                Err(error) => self.warn(source, &error),
            }
            attempts = match self.published.seeding.received() > before {
                true => 1,
                false => attempts + 1,
            };
        }
        None
    }

    fn warn(&self, from: NodeId, error: &FetchError) {
        tracing::warn!(database = self.name, %from, %error, "no image, or not all of it");
    }

    /// Of which a part is here, and whose source is another member.
    fn part(&self) -> Option<ImageId> {
        let part = tokio::task::block_in_place(|| part_of(&self.files));
        let part = part.unwrap_or_else(|error| {
            tracing::warn!(database = self.name, %error, "a part of an image cannot be looked for");
            None
        })?;
        let source = source_of(part);
        let is_there = source != self.caller.node && self.caller.members.current().get(source).is_some();
        is_there.then_some(part)
    }

    /// The leader first: what it gives is newest.
    fn sources(&self, leader: NodeId) -> Vec<NodeId> {
        let members = self.caller.members.current();
        let others = members.present().map(|member| member.node);
        let others = others.filter(|node| *node != self.caller.node && *node != leader);
        std::iter::once(leader).chain(others).collect()
    }

    async fn fetch_from(
        &self,
        source: NodeId,
        part: Option<ImageId>,
        at_least: Position,
    ) -> Result<(Position, Configuration), FetchError> {
        let mut stream = self.caller.connect(source, Purpose::Snapshot).await?;
        let mut reader = FrameReader::default();
        let ask = Ask {
            database: self.database,
            at_least,
            part,
        };
        write_frame(&mut stream, &ask.encode()).await?;
        let answer = patiently(next(&mut reader, &mut stream, WORD_BYTES)).await?;
        let head = match Answer::decode(&answer)? {
            Answer::Head(head) => head,
            Answer::Refused(refusal) => return Err(FetchError::Refused(refusal)),
        };
        if head.position.index < at_least.index {
            return Err(FetchError::Refused(Refusal::TooOld(head.position)));
        }
        let receiving = tokio::task::block_in_place(|| Receiving::start(&self.files, head.id, head.bytes))?;
        self.tell_begin(source, part, &head, receiving.received());
        let mut offset = Encoder::new();
        offset.u64(receiving.received());
        write_frame(&mut stream, offset.as_slice()).await?;
        let (receiving, info) = self.receive(receiving, &head, &mut reader, &mut stream).await?;
        // The source may be gone by now: all is here.
        let _ = write_frame(&mut stream, &[]).await;
        let position = info.position;
        let configuration = head.configuration;
        *self.staged.lock().expect("no holder of this lock panics") = Some(Image {
            receiving,
            info,
            configuration: configuration.clone(),
        });
        Ok((position, configuration))
    }

    fn tell_begin(&self, source: NodeId, part: Option<ImageId>, head: &Head, received: u64) {
        self.published.seeding.begin(received, head.bytes);
        let (database, bytes) = (self.name, head.bytes);
        match part {
            Some(part) if part == head.id => {
                tracing::info!(database, %source, received, bytes, "goes on with an image");
            }
            Some(_) => {
                tracing::info!(database, %source, bytes, "the image is not there any more: another one is begun");
            }
            None => tracing::info!(database, %source, bytes, "an image is begun"),
        }
    }

    /// All of it, checked and durable.
    async fn receive(
        &self,
        receiving: Receiving,
        head: &Head,
        reader: &mut FrameReader,
        stream: &mut Stream,
    ) -> Result<(Receiving, SnapshotInfo), FetchError> {
        let mut teller = Teller::new(self.name, &self.published.seeding, self.watcher);
        let (arrived, frames) = mpsc::channel(CHUNKS_WAITING);
        let (published, metrics) = (Arc::clone(&self.published), Arc::clone(&self.metrics));
        let announced = head.position;
        let writing = tokio::task::spawn_blocking(move || {
            let mut sink = Sink {
                receiving,
                published,
                metrics,
            };
            let info = sink.write_all(frames, announced)?;
            Ok((sink.receiving, info))
        });
        let read = async {
            // Whoever writes is done with the end, or with what it cannot take.
            while !arrived.is_closed() {
                let frame = tokio::select! {
                    frame = patiently(next(reader, stream, CHUNK_FRAME_BYTES)) => frame?,
                    () = arrived.closed() => break,
                };
                if arrived.send(frame).await.is_err() {
                    break;
                }
                teller.maybe_tell();
            }
            Ok(())
        };
        let read: Result<(), FetchError> = read.await;
        drop(arrived);
        let written = writing
            .await
            .map_err(|error| FrameError::from(std::io::Error::other(error)))?;
        teller.tell();
        match (written, read) {
            (Err(FetchError::Cut), Err(error)) => Err(error),
            (written, _) => written,
        }
    }
}

/// A source that says nothing is gone.
async fn patiently(frame: impl Future<Output = Result<Bytes, FrameError>>) -> Result<Bytes, FrameError> {
    let timed_out = |_| FrameError::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(SILENT_FOR, frame).await.map_err(timed_out)?
}

/// Where frames become an image.
struct Sink {
    receiving: Receiving,
    published: Arc<Published>,
    metrics: Arc<Metrics>,
}

impl Sink {
    fn write_all(
        &mut self,
        mut frames: mpsc::Receiver<Bytes>,
        announced: Position,
    ) -> Result<SnapshotInfo, FetchError> {
        while let Some(frame) = frames.blocking_recv() {
            match Piece::decode(&frame)? {
                Piece::Chunk(bytes) => self.write(&bytes)?,
                Piece::End(info) => {
                    self.receiving.check(info)?;
                    if info.position != announced {
                        return Err(FetchError::OtherPosition(info.position));
                    }
                    self.receiving.sync()?;
                    return Ok(info);
                }
            }
        }
        // What has come is of use to whoever goes on.
        self.receiving.sync()?;
        Err(FetchError::Cut)
    }

    fn write(&mut self, bytes: &Bytes) -> Result<(), FetchError> {
        let chunk = chunk::decode(bytes)?;
        if chunk.offset != self.receiving.received() {
            return Err(FetchError::OtherPlace(chunk.offset));
        }
        self.receiving.append_checked(&chunk.content, chunk.checksum)?;
        self.metrics.seeding_in.add(chunk.content.len() as u64);
        self.published.seeding.set_received(self.receiving.received());
        Ok(())
    }
}

/// Why there is no image.
#[derive(Debug)]
enum FetchError {
    Refused(Refusal),
    /// The source was gone before the end.
    Cut,
    /// A chunk came that belongs elsewhere.
    OtherPlace(u64),
    /// It ended as one of another position than it began.
    OtherPosition(Position),
    Chunk(ChunkError),
    Frame(FrameError),
    Snapshot(SnapshotError),
}

impl From<FrameError> for FetchError {
    fn from(error: FrameError) -> FetchError {
        FetchError::Frame(error)
    }
}

impl From<std::io::Error> for FetchError {
    fn from(error: std::io::Error) -> FetchError {
        FetchError::Frame(error.into())
    }
}

impl From<DecodeError> for FetchError {
    fn from(error: DecodeError) -> FetchError {
        FetchError::Frame(error.into())
    }
}

impl From<ChunkError> for FetchError {
    fn from(error: ChunkError) -> FetchError {
        FetchError::Chunk(error)
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
            FetchError::Refused(Refusal::NoReplica) => write!(f, "it has no such database"),
            FetchError::Refused(Refusal::Seeding) => write!(f, "it is being seeded itself"),
            FetchError::Refused(Refusal::Busy) => write!(f, "it gives an image to another node"),
            FetchError::Refused(Refusal::TooOld(position)) => {
                write!(f, "its image at {position} is too old")
            }
            FetchError::Cut => write!(f, "it was gone before the end"),
            FetchError::OtherPlace(offset) => write!(f, "a chunk came that belongs at byte {offset}"),
            FetchError::OtherPosition(position) => write!(f, "it ended as one at {position}"),
            FetchError::Chunk(error) => write!(f, "{error}"),
            FetchError::Frame(error) => write!(f, "{error}"),
            FetchError::Snapshot(error) => write!(f, "{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use bellwether_storage::snapshot::Snapshot;
    use bellwether_storage::{Vfs, Writer};
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::replica::Content;

    /// Small, so that there are several.
    const PIECE_BYTES: usize = 5_000;

    fn files(directory: &TempDir, name: &str) -> Files {
        Files::new(directory.path().join(name), Vfs::Os)
    }

    /// What an honest source says from `offset` on.
    fn honest(image: ImageId, snapshot: &mut Snapshot, mut offset: u64) -> Vec<Bytes> {
        let mut frames = Vec::new();
        let mut piece = Encoder::new();
        while offset < snapshot.bytes() {
            let content = snapshot.read_chunk(offset, PIECE_BYTES).expect("a chunk");
            piece.clear();
            Piece::encode_chunk(image, offset, &content, &mut piece);
            frames.push(Bytes::copy_from_slice(piece.as_slice()));
            offset += content.len() as u64;
        }
        let info = snapshot.info(u64::MAX).expect("sound").expect("all of it");
        piece.clear();
        Piece::encode_end(info, &mut piece);
        frames.push(Bytes::copy_from_slice(piece.as_slice()));
        frames
    }

    fn content(frame: &Bytes) -> Bytes {
        match Piece::decode(frame).expect("an honest source") {
            Piece::Chunk(bytes) => chunk::decode(&bytes).expect("a chunk").content,
            Piece::End(_) => Bytes::new(),
        }
    }

    fn sink(files: &Files, image: ImageId, bytes: u64) -> Sink {
        Sink {
            receiving: Receiving::start(files, image, bytes).expect("a start"),
            published: Arc::new(Published::new(Content::default())),
            metrics: Arc::default(),
        }
    }

    fn take(sink: &mut Sink, frames: Vec<Bytes>, at: Position) -> Result<SnapshotInfo, FetchError> {
        let (sender, receiver) = mpsc::channel(frames.len().max(1));
        for frame in frames {
            sender.try_send(frame).expect("room for all");
        }
        drop(sender);
        sink.write_all(receiver, at)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_a_source_says_nothing_but_the_image_is_taken_and_an_honest_one_ends_it(
            lie in 0_usize..5,
            which: prop::sample::Index,
            other: prop::sample::Index,
            garbage in proptest::collection::vec(any::<u8>(), 0..99),
        ) {
            let directory = tempfile::tempdir().expect("a directory");
            let source = files(&directory, "source");
            drop(Writer::open(&source).expect("a replica"));
            let mut snapshot = Snapshot::start(&source).expect("a snapshot");
            let (image, at) = (ImageId(77), snapshot.position());
            let told = honest(image, &mut snapshot, 0);
            prop_assert!(told.len() > 3, "{} frames", told.len());
            let mut frames = told.clone();
            let at_frame = which.index(frames.len());
            match lie {
                0 => {
                    let mut flipped = frames[at_frame].to_vec();
                    let bit = other.index(flipped.len() * 8);
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    frames[at_frame] = flipped.into();
                }
                1 => frames[at_frame] = frames[at_frame].slice(..other.index(frames[at_frame].len())),
                2 => frames[at_frame] = garbage.into(),
                3 => drop(frames.remove(at_frame)),
                _ => frames.swap(at_frame, other.index(told.len())),
            }
            let receiver = files(&directory, "receiver");
            let taken = take(&mut sink(&receiver, image, snapshot.bytes()), frames.clone(), at);
            prop_assert!(taken.is_ok() || frames != told, "{taken:?}");
            // A flipped bit of a packed chunk may leave what it stands for.
            prop_assert!(taken.is_err() || frames == told || lie == 0, "{taken:?}");
            let mut sink = sink(&receiver, image, snapshot.bytes());
            let rest = honest(image, &mut snapshot, sink.receiving.received());
            let info = take(&mut sink, rest, at).expect("an honest source");
            sink.receiving.finish(info).expect("a replica");
            let read = |files: &Files| std::fs::read(&files.path).expect("a file");
            let whole: Vec<u8> = told.iter().flat_map(content).collect();
            prop_assert_eq!(read(&receiver), whole);
        }
    }
}
