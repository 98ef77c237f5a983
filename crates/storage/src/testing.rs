//! For tests of the file side: a disk in memory that loses what was not synced, and its registration with SQLite.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwether_types::Position;
use bellwether_types::disk::{Disk, DiskFile};
use rusqlite::{Connection, params};

use crate::files::{ConnectionRole, Files, Vfs};
use crate::vfs;

/// Live bytes, durable bytes, and what happened in between.
#[derive(Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Truncate(len) => bytes.resize(*len, 0),
            Change::Write(offset, written) => {
                if bytes.len() < offset + written.len() {
                    bytes.resize(offset + written.len(), 0);
                }
                bytes[*offset..offset + written.len()].copy_from_slice(written);
            }
        }
    }
}

type Shared = Arc<Mutex<Content>>;

struct State {
    live: BTreeMap<PathBuf, Shared>,
    durable: BTreeMap<PathBuf, Shared>,
    random: u64,
    /// Mutations left until the disk is dead.
    life: Option<u64>,
    write_error: Option<io::ErrorKind>,
    panics: bool,
    /// Handles of an earlier life stay dead.
    generation: u64,
}

/// A [`Disk`] whose crash keeps synced bytes and a random part of the others: each unsynced write survives whole,
/// as a part, or not at all, each independently of the others.
#[derive(Clone)]
pub(crate) struct ForgetfulDisk(Arc<Mutex<State>>);

impl ForgetfulDisk {
    pub(crate) fn new(seed: u64) -> ForgetfulDisk {
        ForgetfulDisk(Arc::new(Mutex::new(State {
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            life: None,
            write_error: None,
            panics: false,
            generation: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After so many more writes, truncations, syncs and renames every operation fails.
    pub(crate) fn die_after(&self, operations: u64) {
        self.state().life = Some(operations);
    }

    pub(crate) fn fail_writes(&self, kind: Option<io::ErrorKind>) {
        self.state().write_error = kind;
    }

    /// What a failed sync leaves: everything is there to be read, and nothing that was not synced before is written by
    /// later syncs.
    pub(crate) fn take_for_clean(&self) {
        for content in self.state().live.values() {
            let mut content = content.lock().unwrap_or_else(PoisonError::into_inner);
            content.unsynced.clear();
        }
    }

    pub(crate) fn panic_on_write(&self) {
        self.state().panics = true;
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state()
            .live
            .keys()
            .map(|path| path.display().to_string())
            .collect()
    }

    /// Power comes back: unsynced bytes are gone, wholly or in part, or all of them made it by luck.
    pub(crate) fn crash(&self) {
        let mut state = self.state();
        state.life = None;
        state.generation += 1;
        let is_lucky = state.coin();
        let names: Vec<PathBuf> = state.live.keys().chain(state.durable.keys()).cloned().collect();
        for name in names {
            // A name that was not synced is there or not, as it happens.
            if is_lucky || state.coin() {
                match state.live.get(&name).cloned() {
                    Some(content) => state.durable.insert(name, content),
                    None => state.durable.remove(&name),
                };
            }
        }
        let files: Vec<Shared> = state.durable.values().cloned().collect();
        for file in files {
            let mut content = file.lock().unwrap_or_else(PoisonError::into_inner);
            let changes = std::mem::take(&mut content.unsynced);
            let mut bytes = std::mem::take(&mut content.durable);
            for change in changes {
                match (if is_lucky { 2 } else { state.draw(3) }, change) {
                    (0, _) => {}
                    (1, Change::Write(offset, mut written)) => {
                        let keep = state.draw(written.len() as u64 + 1) as usize;
                        written.truncate(keep);
                        Change::Write(offset, written).apply(&mut bytes);
                    }
                    (_, change) => change.apply(&mut bytes),
                }
            }
            content.live.clone_from(&bytes);
            content.durable = bytes;
        }
        state.live = state.durable.clone();
    }
}

impl State {
    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn coin(&mut self) -> bool {
        self.draw(2) == 0
    }

    fn check_alive(&self) -> io::Result<()> {
        if self.life == Some(0) {
            Err(io::Error::other("the disk is dead"))
        } else {
            Ok(())
        }
    }

    fn mutate(&mut self) -> io::Result<()> {
        assert!(!self.panics, "told to panic");
        self.check_alive()?;
        if let Some(life) = &mut self.life {
            *life -= 1;
        }
        Ok(())
    }
}

impl Disk for ForgetfulDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.check_alive()?;
        if !state.live.contains_key(path) {
            if !create {
                return Err(io::ErrorKind::NotFound.into());
            }
            state.live.insert(path.to_owned(), Shared::default());
        }
        let content = Arc::clone(&state.live[path]);
        Ok(Box::new(ForgetfulFile {
            disk: self.clone(),
            generation: state.generation,
            content,
        }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.mutate()?;
        state
            .live
            .remove(path)
            .map(|_| ())
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.mutate()?;
        let content = state.live.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.live.insert(to.to_owned(), content);
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.state();
        state.check_alive()?;
        Ok(state.live.contains_key(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.state();
        state.check_alive()?;
        Ok(state
            .live
            .keys()
            .filter(|path| path.parent() == Some(dir))
            .cloned()
            .collect())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        self.state().check_alive()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.mutate()?;
        state.durable.retain(|path, _| path.parent() != Some(dir));
        let there: Vec<_> = state
            .live
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir))
            .collect();
        let there: Vec<_> = there
            .into_iter()
            .map(|(path, file)| (path.clone(), Arc::clone(file)))
            .collect();
        state.durable.extend(there);
        Ok(())
    }
}

struct ForgetfulFile {
    disk: ForgetfulDisk,
    generation: u64,
    content: Shared,
}

impl ForgetfulFile {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.generation != self.generation {
            return Err(io::Error::other("a handle from before the crash"));
        }
        state.check_alive()?;
        Ok(state)
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.alive()?;
        if let Some(kind) = state.write_error {
            return Err(kind.into());
        }
        state.mutate()?;
        drop(state);
        let mut content = self.content();
        change.apply(&mut content.live);
        content.unsynced.push(change);
        Ok(())
    }
}

impl DiskFile for ForgetfulFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        drop(self.alive()?);
        let content = self.content();
        let start = (offset as usize).min(content.live.len());
        let count = buffer.len().min(content.live.len() - start);
        buffer[..count].copy_from_slice(&content.live[start..start + count]);
        Ok(count)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset as usize, bytes.to_vec()))
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.change(Change::Truncate(len as usize))
    }

    fn len(&mut self) -> io::Result<u64> {
        drop(self.alive()?);
        Ok(self.content().live.len() as u64)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.alive()?;
        state.mutate()?;
        drop(state);
        let mut content = self.content();
        content.durable = content.live.clone();
        content.unsynced.clear();
        Ok(())
    }
}

static NAMES: AtomicU64 = AtomicU64::new(0);

/// A registered file system under a name of its own; forgotten when dropped.
pub(crate) struct Registered {
    name: String,
    pub(crate) clock: Arc<AtomicI64>,
}

impl Registered {
    pub(crate) fn new(disk: ForgetfulDisk, seed: u64) -> Registered {
        let name = format!("test-{}", NAMES.fetch_add(1, Ordering::Relaxed));
        let clock = Arc::new(AtomicI64::new(0));
        vfs::register(&name, Arc::new(disk), seed, Arc::clone(&clock)).expect("a name of its own");
        Registered { name, clock }
    }

    /// Of a replica.
    pub(crate) fn files(&self) -> Files {
        self.files_at("/replica/main.db")
    }

    pub(crate) fn files_at(&self, path: &str) -> Files {
        Files::new(path, Vfs::Simulated(self.name.clone()))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        vfs::unregister(&self.name);
    }
}

/// A new replica with the position table and a table `t` that gets one row with each record.
pub(crate) fn create_replica(files: &Files) -> Connection {
    let writer = files.connect(ConnectionRole::Writer).expect("a new file");
    // So that its own checkpoints, which product code leaves to a `Checkpointer`, are durable.
    writer
        .pragma_update(None, "synchronous", "NORMAL")
        .expect("a pragma");
    let schema = "CREATE TABLE _bellwether_position(
                      one INTEGER PRIMARY KEY CHECK (one = 1), term, log_index, timestamp);
                  CREATE TABLE _bellwether_configuration(node INTEGER PRIMARY KEY, is_voter);
                  CREATE TABLE t(n INTEGER PRIMARY KEY, filler BLOB)";
    writer.execute_batch(schema).expect("the tables");
    writer
        .query_row("PRAGMA wal_checkpoint", [], |_| Ok(()))
        .expect("a checkpoint");
    writer
}

/// One record: a row of its own, a change of an older one, and the position.
pub(crate) fn commit(writer: &Connection, position: Position) -> rusqlite::Result<()> {
    let (term, index) = (position.term.0 as i64, position.index.0 as i64);
    writer.execute_batch("BEGIN IMMEDIATE")?;
    let work = || {
        writer.execute("INSERT INTO t VALUES (?1, zeroblob(?1 * 997 % 6000))", [index])?;
        writer.execute(
            "UPDATE t SET filler = zeroblob(?1 * 313 % 9000) WHERE n = ?1 / 2",
            [index],
        )?;
        let place = "INSERT OR REPLACE INTO _bellwether_position VALUES (1, ?1, ?2, 0)";
        writer.execute(place, params![term, index])?;
        writer.execute_batch("COMMIT")
    };
    work().inspect_err(|_| {
        let _ = writer.execute_batch("ROLLBACK");
    })
}

/// The greatest row of `t`, having checked that none before it is missing; 0 for none.
pub(crate) fn last_row(connection: &Connection) -> u64 {
    let sql = "SELECT count(*), coalesce(max(n), 0) FROM t";
    let (count, last): (i64, i64) = connection
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("the rows");
    assert_eq!(count, last, "rows are missing");
    last as u64
}
