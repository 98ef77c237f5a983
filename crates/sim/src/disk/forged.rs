//! A disk below which nobody compares the checksums of SQLite's pages: whatever a page says, its checksum fits.

use std::io;
use std::path::{Path, PathBuf};

use bellwether_storage::pages::{PAGE_BYTES, write_checksum};
use bellwether_types::disk::{Disk, DiskFile};

use super::Mount;

/// A mount for [`crate::bug::Bug::IgnorePageChecksums`].
pub struct Forged {
    /// What is really there.
    pub mount: Mount,
    /// The file whose checksums always fit.
    pub database: PathBuf,
}

struct ForgedFile(Box<dyn DiskFile>);

impl Disk for Forged {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let file = self.mount.open(path, create)?;
        Ok(match path == self.database {
            true => Box::new(ForgedFile(file)),
            false => file,
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.mount.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.mount.rename(from, to)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.mount.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.mount.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.mount.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.mount.sync_dir(dir)
    }
}

impl DiskFile for ForgedFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read_at(offset, buffer)?;
        if offset.is_multiple_of(PAGE_BYTES as u64) {
            let first = (offset / PAGE_BYTES as u64 + 1) as u32;
            for (number, page) in (first..).zip(buffer[..count].chunks_exact_mut(PAGE_BYTES)) {
                write_checksum(number, page);
            }
        }
        Ok(count)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn len(&mut self) -> io::Result<u64> {
        self.0.len()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}
