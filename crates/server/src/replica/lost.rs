//! Entries that this replica's log loses to another leader's, when clients were answered before a quorum had them: set
//! aside on disk before they go, until the ledger has told of them.
//!
//! Promises: when [`Lost::keep`] has returned, what it was given is durable. Entries in which everybody waited for the
//! quorum are not kept: who proposed them knows that they may be gone. An entry that no disk had when its node lost
//! power cannot be kept.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_log::{Log, LogReader, ReadError};
use bellwether_types::entry::MAX_PAYLOAD_BYTES;
use bellwether_types::record::Transaction;
use bellwether_types::{Decoder, Encoder, Entry, LogIndex, Payload, Position, RequestId};
use tokio::sync::Notify;

use super::ReplicaHandle;

/// Entries read from the log at a time.
const PART_BYTES: usize = 16 << 20;

/// The largest entry, with its position.
const FRAME_BYTES_MAX: usize = MAX_PAYLOAD_BYTES + 64;

/// Where a replica's lost entries are kept.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    dir: PathBuf,
    /// Told when there is a new file.
    pub news: Arc<Notify>,
}

impl Lost {
    /// Below the replica's directory.
    pub fn of(replica_dir: &Path) -> Lost {
        Lost {
            dir: replica_dir.join("lost"),
            news: Arc::default(),
        }
    }

    /// What the log has from there on is about to go, unless `stays` says otherwise. Whether anything was kept of it:
    /// what clients were answered for before a quorum had it.
    pub fn keep(&self, log: &Log, from: LogIndex, stays: impl Fn(Position) -> bool) -> Result<bool, String> {
        self.keep_those(log, from, stays, Which::AnsweredEarly)
    }

    /// What a log has that goes on nowhere, whatever its durability.
    pub fn keep_all(&self, log: &Log, stays: impl Fn(Position) -> bool) -> Result<bool, String> {
        let from = log.first();
        self.keep_those(log, from, stays, Which::All)
    }

    fn keep_those(
        &self,
        log: &Log,
        from: LogIndex,
        stays: impl Fn(Position) -> bool,
        which: Which,
    ) -> Result<bool, String> {
        let last = log.last().index;
        let mut kept: Option<Keeping> = None;
        let mut run = Vec::new();
        for part in log.reader().parts(from.max(log.first()), last.next(), PART_BYTES) {
            let part = part.map_err(|error| error.to_string())?;
            for entry in part.into_iter().filter(|entry| !stays(entry.position)) {
                let payload = Payload::from_bytes(&entry.payload);
                let is_chunk = matches!(payload, Ok(Payload::Chunk { .. }));
                run.push(entry);
                if let Ok(Payload::Record(record)) = payload
                    && record
                        .transactions
                        .iter()
                        .any(|transaction| which.includes(transaction))
                {
                    complete(&mut run, record.chunks, log)?;
                    let keeping = match &mut kept {
                        Some(keeping) => keeping,
                        none => none.insert(Keeping::begin(&self.dir, run[0].position, which)?),
                    };
                    run.iter().try_for_each(|entry| keeping.add(entry))?;
                }
                if !is_chunk {
                    run.clear();
                }
            }
        }
        let Some(keeping) = kept else { return Ok(false) };
        keeping.finish()?;
        self.news.notify_one();
        Ok(true)
    }

    /// Files with entries of which nobody was told yet, oldest first.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        let listed = match fs::read_dir(&self.dir) {
            Ok(listed) => listed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for file in listed {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == ENTRIES) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

const ENTRIES: &str = "entries";

/// Of which transactions the ledger is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Of the others their proposer knows that they may be gone.
    AnsweredEarly,
    /// Nobody is there who knew.
    All,
}

impl Which {
    pub fn includes(self, transaction: &Transaction) -> bool {
        self == Which::All || transaction.durability.is_early()
    }

    /// Ends the name of its file.
    fn name(self) -> &'static str {
        match self {
            Which::AnsweredEarly => "early",
            Which::All => "all",
        }
    }
}

/// Chunks at the front of the record's run may stay in the log, and are needed with it.
fn complete(run: &mut Vec<Entry>, chunks: u64, log: &Log) -> Result<(), String> {
    let missing = chunks.saturating_sub(run.len() as u64 - 1);
    let first = run[0].position.index;
    let from = LogIndex(first.0.saturating_sub(missing)).max(log.first());
    let parts: Result<Vec<Vec<Entry>>, ReadError> = log.reader().parts(from, first, PART_BYTES).collect();
    let front = parts.map_err(|error| error.to_string())?.into_iter().flatten();
    run.splice(0..0, front);
    Ok(())
}

/// A file being written.
struct Keeping {
    file: File,
    unfinished: PathBuf,
    path: PathBuf,
}

impl Keeping {
    fn begin(dir: &Path, first: Position, which: Which) -> Result<Keeping, String> {
        let told = |error: io::Error| format!("{}: {error}", dir.display());
        fs::create_dir_all(dir).map_err(told)?;
        let name = format!("{:020}-{:020}-{}", first.index.0, first.term.0, which.name());
        let path = dir.join(&name).with_extension(ENTRIES);
        let unfinished = dir.join(&name).with_extension("part");
        let file = File::create(&unfinished).map_err(told)?;
        Ok(Keeping {
            file,
            unfinished,
            path,
        })
    }

    fn add(&mut self, entry: &Entry) -> Result<(), String> {
        let mut out = Encoder::new();
        entry.encode(&mut out);
        let bytes = out.into_vec();
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let checksum = crc32c::crc32c(&bytes);
        let head = [length.to_le_bytes(), checksum.to_le_bytes()].concat();
        let written = self
            .file
            .write_all(&head)
            .and_then(|()| self.file.write_all(&bytes));
        written.map_err(|error| format!("{}: {error}", self.unfinished.display()))
    }

    fn finish(self) -> Result<(), String> {
        let done = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.unfinished, &self.path))
            .and_then(|()| sync_parents(&self.path));
        done.map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

/// The file's directory, which may be new, and that one's.
fn sync_parents(path: &Path) -> io::Result<()> {
    path.ancestors()
        .skip(1)
        .take(2)
        .try_for_each(|dir| File::open(dir)?.sync_all())
}

/// The entries of a file, one after the other; a file that is not what was written ends with an error.
pub(crate) struct LostEntries {
    file: BufReader<File>,
    pub which: Which,
}

impl LostEntries {
    pub fn open(path: &Path) -> io::Result<LostEntries> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(LostEntries {
            file: BufReader::new(File::open(path)?),
            which: match name.ends_with(Which::All.name()) {
                true => Which::All,
                false => Which::AnsweredEarly,
            },
        })
    }

    fn read_next(&mut self) -> io::Result<Option<Entry>> {
        if self.file.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut head = [0; 8];
        self.file.read_exact(&mut head)?;
        let [a, b, c, d, e, f, g, h] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let rotten = || io::Error::new(io::ErrorKind::InvalidData, "not what was written");
        if length > FRAME_BYTES_MAX {
            return Err(rotten());
        }
        let mut bytes = vec![0; length];
        self.file.read_exact(&mut bytes)?;
        if crc32c::crc32c(&bytes) != u32::from_le_bytes([e, f, g, h]) {
            return Err(rotten());
        }
        let entry = Entry::decode(&mut Decoder::new(&bytes)).map_err(|_| rotten())?;
        Ok(Some(entry))
    }
}

impl Iterator for LostEntries {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<io::Result<Entry>> {
        self.read_next().transpose()
    }
}

impl ReplicaHandle {
    /// Whether the log that goes on without the record at `lost` has executed the request; also when it does not reach
    /// back so far, and nobody can tell.
    pub fn was_executed_since(&self, lost: Position, request: RequestId) -> io::Result<bool> {
        let mut log = self.log.lock().expect("no holder of this lock panics").clone();
        let applied = self.published.applied();
        let end = applied.index.next();
        let is_later =
            |log: &LogReader, index: LogIndex| log.term_at(index).is_some_and(|term| term > lost.term);
        // Where the other log begins to differ: it has later terms from there on.
        let mut from = lost.index.min(applied.index);
        if from < log.first() || !is_later(&log, from) {
            return Ok(true);
        }
        while from > log.first() && is_later(&log, LogIndex(from.0 - 1)) {
            from = LogIndex(from.0 - 1);
        }
        for part in log.parts(from, end, PART_BYTES) {
            let has_it = |entry: &Entry| match Payload::from_bytes(&entry.payload) {
                Ok(Payload::Record(record)) => record.transactions.iter().any(|one| one.request == request),
                _ => false,
            };
            if part.map_err(io::Error::other)?.iter().any(has_it) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use bellwether_log::{Identity, OsDisk};
    use bellwether_types::KeptResult;
    use bellwether_types::{
        ClusterId, CommandTag, DatabaseId, Durability, Format, NodeId, Record, RequestId, SessionId,
        Timestamp,
    };
    use bytes::Bytes;

    use super::*;

    fn entry(index: u64, payload: Payload) -> Entry {
        Entry {
            position: Position::new(1, index),
            payload: payload.to_bytes(),
        }
    }

    fn chunk(index: u64, sequence: u64) -> Entry {
        let body = Bytes::from(vec![7; 100]);
        entry(index, Payload::Chunk { sequence, body })
    }

    fn record(index: u64, chunks: u64, durability: Durability) -> Entry {
        let transaction = Transaction {
            request: RequestId {
                session: SessionId(9),
                sequence: index,
            },
            tag: CommandTag::plain("INSERT"),
            result: KeptResult::TagAlone,
            durability,
            body_bytes: 3,
        };
        let record = Record {
            position: Position::new(1, index),
            origin: NodeId(1),
            timestamp: Timestamp(index),
            format: Format::Row,
            transactions: vec![transaction],
            ended_sessions: Vec::new(),
            notifications: Vec::new(),
            fingerprints: Vec::new(),
            chunks,
            body: Bytes::from_static(b"abc"),
        };
        entry(index, Payload::Record(Box::new(record)))
    }

    /// What is kept of a log with these, from the fourth on; by index.
    fn kept(entries: &[Entry], keep: impl Fn(&Lost, &mut Log) -> Result<bool, String>) -> Vec<Vec<u64>> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let identity = Identity {
            cluster: ClusterId(1),
            node: NodeId(1),
            database: DatabaseId(1),
        };
        let (mut log, _) = Log::open(Arc::new(OsDisk), &dir.path().join("log"), identity).expect("a new log");
        log.append(entries).expect("room");
        log.sync().expect("a disk");
        let lost = Lost::of(dir.path());
        let told = keep(&lost, &mut log).expect("a sound log");
        let files = lost.files().expect("readable");
        assert_eq!(told, !files.is_empty());
        let indexes = |file: &PathBuf| -> Vec<u64> {
            let read = LostEntries::open(file).expect("just written");
            read.map(|entry| entry.expect("sound").position.index.0).collect()
        };
        files.iter().map(indexes).collect()
    }

    #[test]
    fn what_was_answered_early_is_kept_with_all_its_chunks_and_nothing_else_is() {
        let entries = [
            record(1, 0, Durability::Local),
            chunk(2, 0),
            chunk(3, 1),
            chunk(4, 2),
            record(5, 3, Durability::Off),
            record(6, 0, Durability::On),
            chunk(7, 0),
            record(8, 1, Durability::RemoteApply),
            record(9, 0, Durability::RemoteWrite),
        ];
        let from = LogIndex(4);
        assert_eq!(
            kept(&entries, |lost, log| lost.keep(log, from, |_| false)),
            [[2, 3, 4, 5, 9]]
        );
        let stays = |position: Position| position.index.0 < 9;
        assert_eq!(kept(&entries, |lost, log| lost.keep(log, from, stays)), [[9]]);
        let all = [[1, 2, 3, 4, 5, 6, 7, 8, 9]];
        assert_eq!(kept(&entries, |lost, log| lost.keep_all(log, |_| false)), all);
        let nothing: [[u64; 1]; 0] = [];
        assert_eq!(
            kept(&entries[..1], |lost, log| lost.keep(log, from, |_| false)),
            nothing
        );
    }

    #[test]
    fn a_file_that_rots_or_is_cut_is_not_read_as_something_else() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut keeping = Keeping::begin(dir.path(), Position::new(1, 1), Which::All).expect("room");
        keeping.add(&record(1, 0, Durability::Local)).expect("room");
        let path = keeping.path.clone();
        keeping.finish().expect("a disk");
        let sound = fs::read(&path).expect("just written");
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("room");
            let entries = LostEntries::open(&path).expect("it is there");
            entries.collect::<io::Result<Vec<Entry>>>()
        };
        assert_eq!(read(&sound).expect("sound").len(), 1);
        for bit in 0..sound.len() * 8 {
            let mut rotten = sound.clone();
            rotten[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&rotten).is_err(), "bit {bit}");
        }
        for length in 1..sound.len() {
            assert!(read(&sound[..length]).is_err(), "{length} bytes");
        }
    }
}
