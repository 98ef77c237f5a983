//! A disk in memory with live and durable bytes, read as strictly as POSIX allows: at a power loss each write
//! and each change of a name since its sync survives, vanishes or (writes) tears, independently of the
//! others.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    reason = "a poisoned lock means that a test has already failed"
)]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bellwether_log::{Identity, Log, OpenError, Recovered, Sizing};
use bellwether_types::disk::{Disk, DiskFile};
use bellwether_types::entry::Entry;
use bellwether_types::id::{ClusterId, DatabaseId, NodeId};
use bellwether_types::position::Position;
use bytes::Bytes;

/// Small, so that a few entries fill several segments.
pub const SMALL: Sizing = Sizing {
    segment_bytes: 640,
    allocation_bytes: 128,
};

pub const IDENTITY: Identity = Identity {
    cluster: ClusterId(0xC1),
    node: NodeId(2),
    database: DatabaseId(1),
};

pub fn dir() -> &'static Path {
    Path::new("data/log")
}

pub fn segment(sequence: u64) -> PathBuf {
    dir().join(format!("{sequence:012}.log"))
}

pub fn open(disk: &MemoryDisk) -> Result<(Log, Recovered), OpenError> {
    Log::open_sized(Arc::new(disk.clone()), dir(), IDENTITY, SMALL)
}

pub fn entry(term: u64, index: u64, payload: &[u8]) -> Entry {
    Entry {
        position: Position::new(term, index),
        payload: Bytes::copy_from_slice(payload),
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*offset..end].copy_from_slice(bytes);
            }
            Change::Truncate(len) => content.resize(*len, 0),
        }
    }

    /// A random part of a write.
    fn torn(&self, random: &mut Random) -> Vec<Change> {
        let Change::Write { offset, bytes } = self else {
            return Vec::new();
        };
        (0..1 + random.below(3))
            .map(|_| {
                let start = random.below(bytes.len());
                let end = start + random.below(bytes.len() - start + 1);
                Change::Write {
                    offset: offset + start,
                    bytes: bytes[start..end].to_vec(),
                }
            })
            .collect()
    }
}

#[derive(Clone, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

type Shared = Arc<Mutex<Content>>;

#[derive(Clone)]
enum NameChange {
    Create(PathBuf, Shared),
    Rename(PathBuf, PathBuf, Shared),
    Remove(PathBuf),
}

impl NameChange {
    fn parent(&self) -> Option<&Path> {
        match self {
            NameChange::Create(path, _) | NameChange::Rename(path, ..) | NameChange::Remove(path) => {
                path.parent()
            }
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Shared>) {
        match self {
            NameChange::Create(path, content) => {
                names.insert(path.clone(), content.clone());
            }
            NameChange::Rename(from, to, content) => {
                names.remove(from);
                names.insert(to.clone(), content.clone());
            }
            NameChange::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

/// Calls that reached the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    pub writes: u64,
    pub syncs: u64,
    pub dir_syncs: u64,
}

#[derive(Default)]
struct State {
    live: BTreeMap<PathBuf, Shared>,
    durable: BTreeMap<PathBuf, Shared>,
    pending: Vec<NameChange>,
    calls: Calls,
    /// Calls that change something until the power fails.
    fuse: Option<u64>,
    /// No byte can be added to a file.
    is_full: bool,
    /// Runs before the next read.
    on_read: Option<Box<dyn FnOnce() + Send>>,
}

impl State {
    /// Whether the call still counts as done; after the fuse has blown nothing does.
    fn burn(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

impl MemoryDisk {
    pub fn calls(&self) -> Calls {
        self.state.lock().unwrap().calls
    }

    pub fn set_fuse(&self, calls: Option<u64>) {
        self.state.lock().unwrap().fuse = calls;
    }

    pub fn set_full(&self, is_full: bool) {
        self.state.lock().unwrap().is_full = is_full;
    }

    /// What happens just before the next read: how a test comes between two steps of a reader.
    pub fn before_next_read(&self, action: impl FnOnce() + Send + 'static) {
        self.state.lock().unwrap().on_read = Some(Box::new(action));
    }

    pub fn names(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state
            .live
            .keys()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect()
    }

    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        self.state.lock().unwrap().live[path].lock().unwrap().live.clone()
    }

    /// Behind the log's back; durable.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let content = Content {
            live: bytes.to_vec(),
            durable: bytes.to_vec(),
            pending: Vec::new(),
        };
        let content = Arc::new(Mutex::new(content));
        let mut state = self.state.lock().unwrap();
        state.live.insert(path.to_owned(), content.clone());
        state.durable.insert(path.to_owned(), content);
    }

    /// A copy with other bytes behind it, all durable.
    pub fn copy(&self) -> MemoryDisk {
        let copy = MemoryDisk::default();
        for (path, content) in &self.state.lock().unwrap().live {
            copy.put(path, &content.lock().unwrap().live);
        }
        copy
    }

    /// What is there after the power came back.
    pub fn crash(&self, random: &mut Random) -> MemoryDisk {
        let state = self.state.lock().unwrap();
        let mut names = state.durable.clone();
        for change in &state.pending {
            if random.below(2) == 0 {
                change.apply(&mut names);
            }
        }
        let after = MemoryDisk::default();
        for (path, content) in names {
            let content = content.lock().unwrap();
            let mut bytes = content.durable.clone();
            for change in &content.pending {
                match random.below(3) {
                    0 => {}
                    1 => change.apply(&mut bytes),
                    _ => change.torn(random).iter().for_each(|part| part.apply(&mut bytes)),
                }
            }
            after.put(&path, &bytes);
        }
        after
    }

    /// What is there after a power loss that only these of the unsynced writes to `path` survived, counted
    /// from 0.
    pub fn crash_keeping(&self, path: &Path, survivors: &[usize]) -> MemoryDisk {
        let after = self.copy();
        let content = self.state.lock().unwrap().live[path].clone();
        let content = content.lock().unwrap();
        let mut bytes = content.durable.clone();
        for at in survivors {
            content.pending[*at].apply(&mut bytes);
        }
        after.put(path, &bytes);
        after
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state.lock().unwrap();
        let content = match state.live.get(path) {
            Some(content) => content.clone(),
            None if create => {
                state.burn()?;
                let content = Shared::default();
                state.live.insert(path.to_owned(), content.clone());
                state
                    .pending
                    .push(NameChange::Create(path.to_owned(), content.clone()));
                content
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Box::new(MemoryFile {
            content,
            state: self.state.clone(),
        }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.burn()?;
        state.live.remove(path).ok_or(io::ErrorKind::NotFound)?;
        state.pending.push(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.burn()?;
        let content = state.live.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.live.insert(to.to_owned(), content.clone());
        state
            .pending
            .push(NameChange::Rename(from.to_owned(), to.to_owned(), content));
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.state.lock().unwrap().live.contains_key(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.state.lock().unwrap();
        Ok(state
            .live
            .keys()
            .filter(|path| path.parent() == Some(dir))
            .cloned()
            .collect())
    }

    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.burn()?;
        state.calls.dir_syncs += 1;
        let State { durable, pending, .. } = &mut *state;
        pending.retain(|change| {
            let is_here = change.parent() == Some(dir);
            if is_here {
                change.apply(durable);
            }
            !is_here
        });
        Ok(())
    }
}

struct MemoryFile {
    content: Shared,
    state: Arc<Mutex<State>>,
}

impl MemoryFile {
    fn change(&mut self, change: Change) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        // A write that was under way when the power failed may be there, in part.
        let burnt = state.burn();
        let mut content = self.content.lock().unwrap();
        if let Change::Write { offset, bytes } = &change {
            state.calls.writes += 1;
            if state.is_full && offset + bytes.len() > content.live.len() {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let Content { live, pending, .. } = &mut *content;
        change.apply(live);
        pending.push(change);
        burnt
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let action = self.state.lock().unwrap().on_read.take();
        if let Some(action) = action {
            action();
        }
        let content = self.content.lock().unwrap();
        let rest = content.live.get(offset as usize..).unwrap_or(&[]);
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(Change::Write {
            offset: offset as usize,
            bytes: bytes.to_vec(),
        })
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.change(Change::Truncate(len as usize))
    }

    fn len(&mut self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().live.len() as u64)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.burn()?;
        state.calls.syncs += 1;
        let mut content = self.content.lock().unwrap();
        content.durable = content.live.clone();
        content.pending.clear();
        Ok(())
    }
}

/// A copy of the disk with one bit of one file the other way round.
pub fn flip(disk: &MemoryDisk, path: &Path, bit: usize) -> MemoryDisk {
    let flipped = disk.copy();
    let mut bytes = disk.bytes(path);
    bytes[bit / 8] ^= 1 << (bit % 8);
    flipped.put(path, &bytes);
    flipped
}
