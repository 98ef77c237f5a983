//! Files as the durable rooms see them: two implementations, the operating system's and the simulator's.
//!
//! The contract is POSIX's, read strictly: what was written and not synced may vanish or tear when power fails,
//! byte range by byte range; a file's *name* (creation, rename, removal) is durable only after [`Disk::sync_dir`].
//! A failed sync leaves the durable content unknown: whoever gets one must stop (fsync errors are fatal).

use std::io;
use std::path::{Path, PathBuf};

/// A directory tree. Cheap to clone through `Arc`; safe to use from several threads.
pub trait Disk: Send + Sync {
    /// Opens for reading and writing; creates an empty file when `create` is set and there is none.
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>>;
    /// Removes a file. Durable after `sync_dir` of its parent.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Renames, replacing what is there. Durable after `sync_dir` of the parent.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Whether a file is there.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Files (not directories) directly in `dir`, sorted by name. A missing directory is empty.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Creates a directory and its parents.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send {
    /// Reads up to `buffer.len()` bytes; fewer only at the end of the file.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes`, growing the file when needed.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts or zero-extends.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// The length in bytes.
    fn len(&mut self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&mut self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// fdatasync: content and length are durable when it returns.
    fn sync(&mut self) -> io::Result<()>;
}

/// The directory that holds `path`, for [`Disk::sync_dir`].
pub fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Removes a file if it is there, durably.
pub fn remove_durably(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    if disk.exists(path)? {
        disk.remove(path)?;
        disk.sync_dir(directory_of(path))?;
    }
    Ok(())
}

/// Writes the first `len` bytes once more; to be synced by the caller. For whoever starts and trusts what it reads:
/// after a failed sync Linux takes the pages for clean, so a process that starts again reads them, a later sync
/// succeeds, and still they are not on the disk ("fsyncgate", PostgreSQL wiki).
pub fn write_again(file: &mut dyn DiskFile, len: u64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < len {
        let wanted = (len - offset).min(buffer.len() as u64) as usize;
        let read = file.read_at(offset, &mut buffer[..wanted])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(offset, &buffer[..read])?;
        offset += read as u64;
    }
    Ok(())
}
