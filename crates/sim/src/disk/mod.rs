//! A disk that can lose what was not synced.
//!
//! Each file has *live* bytes, which programs see, and *durable* ones, which a power loss leaves. Writes since the
//! last sync vanish, survive or tear one by one; names (creation, rename, removal) likewise until their directory
//! is synced. A killed process loses nothing: the kernel still has its writes, and they are still unsynced.
//!
//! Handles and directories opened before a stop are dead after it: what is dropped later cannot write.
//! How slow the disk is, is the world's business.

mod content;
mod forged;
mod rot;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwether_types::disk::{Disk, DiskFile};

use self::content::{Bytes, Change, Mood};
pub use self::forged::Forged;
pub use self::rot::Rot;
use crate::random::Random;

/// One node's disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    shared: Arc<Mutex<Shared>>,
}

/// A process's view of the disk: dead once the process is.
#[derive(Clone)]
pub struct Mount {
    shared: Arc<Mutex<Shared>>,
    generation: u64,
}

#[derive(Default)]
struct Shared {
    live: BTreeMap<PathBuf, Content>,
    durable: BTreeMap<PathBuf, Content>,
    /// What was done to names since their directory was synced, in order.
    unsynced: Vec<NameChange>,
    generation: u64,
    is_full: bool,
    failing_syncs: u32,
    random: Option<Random>,
}

type Content = Arc<Mutex<Bytes>>;

#[derive(Clone)]
enum NameChange {
    Link {
        path: PathBuf,
        content: Content,
    },
    Unlink {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        content: Content,
    },
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimDisk {
    /// For a process that starts.
    pub fn mount(&self) -> Mount {
        let generation = lock(&self.shared).generation;
        Mount {
            shared: Arc::clone(&self.shared),
            generation,
        }
    }

    /// The process dies: its mounts and handles answer nothing but errors from now on. Nothing is lost.
    pub fn kill(&self) {
        lock(&self.shared).generation += 1;
    }

    /// The power fails. Only when all handles are dead.
    pub fn lose_power(&self, random: &mut Random) {
        let mut shared = lock(&self.shared);
        let mood = Mood::draw(random);
        for change in std::mem::take(&mut shared.unsynced) {
            if mood.keeps(random) {
                change.apply(&mut shared.durable);
            }
        }
        for content in shared.durable.values() {
            let of_file = match mood {
                Mood::ByFile => *random.pick(&[Mood::LoseAll, Mood::KeepAll]),
                other => other,
            };
            lock(content).lose_power(of_file, random);
        }
        shared.live = shared.durable.clone();
    }

    /// No file can be made or grow from now on, or again.
    pub fn set_full(&self, is_full: bool) {
        lock(&self.shared).is_full = is_full;
    }

    /// The next syncs fail. What they were to make durable is durable or not, and a later sync does not help.
    pub fn fail_syncs(&self, count: u32, random: Random) {
        let mut shared = lock(&self.shared);
        shared.failing_syncs = count;
        shared.random = Some(random);
    }

    /// Bytes that programs see, for bounds.
    pub fn live_bytes(&self) -> u64 {
        lock(&self.shared)
            .live
            .values()
            .map(|content| lock(content).live.len() as u64)
            .sum()
    }
}

impl NameChange {
    fn apply(&self, to: &mut BTreeMap<PathBuf, Content>) {
        match self {
            NameChange::Link { path, content } => {
                to.insert(path.clone(), Arc::clone(content));
            }
            NameChange::Unlink { path } => {
                to.remove(path);
            }
            NameChange::Rename {
                from,
                to: target,
                content,
            } => {
                to.remove(from);
                to.insert(target.clone(), Arc::clone(content));
            }
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        match self {
            NameChange::Link { path, .. } | NameChange::Unlink { path } => path.parent() == Some(dir),
            NameChange::Rename { to, .. } => to.parent() == Some(dir),
        }
    }
}

impl Shared {
    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.live);
        self.unsynced.push(change);
    }
}

impl Mount {
    fn alive(&self) -> io::Result<MutexGuard<'_, Shared>> {
        let shared = lock(&self.shared);
        if shared.generation == self.generation {
            Ok(shared)
        } else {
            Err(io::Error::other("the process has died"))
        }
    }
}

impl Disk for Mount {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut shared = self.alive()?;
        let found = shared.live.get(path).cloned();
        let content = match found {
            Some(content) => content,
            None if create && shared.is_full => return Err(io::ErrorKind::StorageFull.into()),
            None if create => {
                let content = Content::default();
                shared.change_name(NameChange::Link {
                    path: path.to_owned(),
                    content: Arc::clone(&content),
                });
                content
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Box::new(Handle {
            mount: self.clone(),
            content,
        }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut shared = self.alive()?;
        if !shared.live.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        shared.change_name(NameChange::Unlink {
            path: path.to_owned(),
        });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut shared = self.alive()?;
        let content = shared.live.get(from).cloned().ok_or(io::ErrorKind::NotFound)?;
        shared.change_name(NameChange::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
            content,
        });
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.alive()?.live.contains_key(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let shared = self.alive()?;
        Ok(shared
            .live
            .keys()
            .filter(|path| path.parent() == Some(dir))
            .cloned()
            .collect())
    }

    /// Directories are not simulated: they are there.
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.alive().map(|_| ())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut shared = self.alive()?;
        if let Some(error) = shared.maybe_fail_sync() {
            return Err(error);
        }
        let (synced, rest) = std::mem::take(&mut shared.unsynced)
            .into_iter()
            .partition(|change| change.is_in(dir));
        shared.unsynced = rest;
        let synced: Vec<NameChange> = synced;
        for change in synced {
            change.apply(&mut shared.durable);
        }
        Ok(())
    }
}

impl Shared {
    fn maybe_fail_sync(&mut self) -> Option<io::Error> {
        self.failing_syncs = self.failing_syncs.checked_sub(1)?;
        Some(io::Error::other("simulated failure of a sync"))
    }
}

struct Handle {
    mount: Mount,
    content: Content,
}

impl DiskFile for Handle {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        drop(self.mount.alive()?);
        let content = lock(&self.content);
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(content.live.len());
        let count = buffer.len().min(content.live.len() - start);
        buffer[..count].copy_from_slice(&content.live[start..start + count]);
        Ok(count)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let shared = self.mount.alive()?;
        let mut content = lock(&self.content);
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if shared.is_full && offset + bytes.len() > content.live.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let bytes = bytes.to_vec();
        content.change(Change::Write { offset, bytes });
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let shared = self.mount.alive()?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut content = lock(&self.content);
        if shared.is_full && len > content.live.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        content.change(Change::Truncate { len });
        Ok(())
    }

    fn len(&mut self) -> io::Result<u64> {
        drop(self.mount.alive()?);
        Ok(lock(&self.content).live.len() as u64)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut shared = self.mount.alive()?;
        let mut content = lock(&self.content);
        if let Some(error) = shared.maybe_fail_sync() {
            if let Some(random) = &mut shared.random {
                content.fail_to_sync(random);
            }
            return Err(error);
        }
        content.sync();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mount: &Mount, path: &str) -> Option<Vec<u8>> {
        let mut file = mount.open(Path::new(path), false).ok()?;
        let mut bytes = vec![0; file.len().ok()? as usize];
        file.read_at(0, &mut bytes).ok()?;
        Some(bytes)
    }

    fn write(mount: &Mount, path: &str, bytes: &[u8]) -> Box<dyn DiskFile> {
        let mut file = mount.open(Path::new(path), true).expect("a file");
        file.write_at(0, bytes).expect("a write");
        file
    }

    #[test]
    fn a_killed_process_loses_nothing_and_can_write_no_more() {
        let disk = SimDisk::default();
        let mut file = write(&disk.mount(), "/d/a", b"abc");
        disk.kill();
        assert!(file.write_at(0, b"x").is_err());
        assert_eq!(read(&disk.mount(), "/d/a").expect("there"), b"abc");
    }

    #[test]
    fn what_was_synced_with_its_name_survives_every_power_loss() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let disk = SimDisk::default();
            let mount = disk.mount();
            write(&mount, "/d/a", b"abc").sync().expect("a sync");
            mount.sync_dir(Path::new("/d")).expect("a sync");
            write(&mount, "/d/a", b"abcdef");
            disk.kill();
            disk.lose_power(&mut random);
            let found = read(&disk.mount(), "/d/a").expect("there");
            assert!(found.starts_with(b"abc"), "seed {seed}");
        }
    }

    #[test]
    fn unsynced_bytes_and_names_survive_sometimes_and_sometimes_not() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let disk = SimDisk::default();
            write(&disk.mount(), "/d/a", b"abc").sync().expect("a sync");
            let mount = disk.mount();
            mount
                .rename(Path::new("/d/a"), Path::new("/d/b"))
                .expect("a rename");
            disk.kill();
            disk.lose_power(&mut Random::new(seed));
            let mount = disk.mount();
            seen.insert((read(&mount, "/d/a").is_some(), read(&mount, "/d/b").is_some()));
        }
        assert_eq!(
            Vec::from_iter(seen),
            [(false, false), (false, true), (true, false)]
        );
    }

    #[test]
    fn a_failed_sync_is_not_made_good_by_the_next() {
        let lost = (0..100).filter(|seed| {
            let disk = SimDisk::default();
            let mount = disk.mount();
            let mut file = write(&mount, "/d/a", b"abc");
            mount.sync_dir(Path::new("/d")).expect("a sync");
            disk.fail_syncs(1, Random::new(*seed));
            assert!(file.sync().is_err());
            file.sync().expect("the next succeeds");
            disk.kill();
            disk.lose_power(&mut Random::new(*seed));
            read(&disk.mount(), "/d/a").expect("there") != b"abc"
        });
        assert!(lost.count() > 20);
    }

    #[test]
    fn a_full_disk_takes_no_growth_but_overwrites() {
        let disk = SimDisk::default();
        let mut file = write(&disk.mount(), "/d/a", b"abc");
        disk.set_full(true);
        assert_eq!(
            file.write_at(1, b"xyz").expect_err("full").kind(),
            io::ErrorKind::StorageFull
        );
        file.write_at(1, b"xy").expect("room");
        assert_eq!(
            file.truncate(4).expect_err("full").kind(),
            io::ErrorKind::StorageFull
        );
        let made = disk.mount().open(Path::new("/d/b"), true).err().expect("full");
        assert_eq!(made.kind(), io::ErrorKind::StorageFull);
        disk.set_full(false);
        file.truncate(4).expect("room again");
    }
}
