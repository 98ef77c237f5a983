//! An open file as SQLite sees it: content on the disk (or in memory for unnamed ones), locks, shared memory.

use std::ffi::{c_int, c_void};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bellwether_types::disk::{DiskFile, directory_of};
use rusqlite::ffi;

use super::lock::{Level, Locks};
use super::shm::{Shm, ShmHandle};
use super::{FileSystem, lock};

/// Locks and shared memory of one main file, common to its handles.
#[derive(Default)]
pub(super) struct SharedFile {
    locks: Mutex<Locks>,
    shm: Mutex<Shm>,
}

/// One handle. Its methods answer SQLite's result codes.
pub(super) struct OpenFile {
    system: Arc<FileSystem>,
    path: PathBuf,
    content: Box<dyn DiskFile>,
    /// Journals and WALs are created by SQLite when needed: their first sync makes their name durable too.
    is_name_unsynced: bool,
    shared: Arc<SharedFile>,
    level: Level,
    shm: ShmHandle,
}

impl OpenFile {
    /// Opens `path`, or an unnamed file in memory. `flags` are SQLite's.
    pub(super) fn open(
        system: Arc<FileSystem>,
        path: Option<&Path>,
        flags: c_int,
    ) -> Result<OpenFile, c_int> {
        let create = flags & ffi::SQLITE_OPEN_CREATE != 0;
        let content = match path {
            Some(path) => system
                .disk
                .open(path, create)
                .map_err(|error| code(&error, ffi::SQLITE_CANTOPEN))?,
            None => Box::new(Unnamed(Vec::new())),
        };
        let path = path.unwrap_or(Path::new("")).to_owned();
        let shared = if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 {
            system.shared_file(&path)
        } else {
            Arc::default()
        };
        let journals = ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL | ffi::SQLITE_OPEN_WAL;
        system.open_files.fetch_add(1, Ordering::AcqRel);
        Ok(OpenFile {
            system,
            path,
            content,
            is_name_unsynced: create && flags & journals != 0,
            shared,
            level: Level::None,
            shm: ShmHandle::default(),
        })
    }

    /// Fills the buffer; what lies beyond the end of the file is zero.
    pub(super) fn read(&mut self, offset: u64, buffer: &mut [u8]) -> c_int {
        match self.content.read_at(offset, buffer) {
            Ok(count) if count == buffer.len() => ffi::SQLITE_OK,
            Ok(count) => {
                buffer[count..].fill(0);
                ffi::SQLITE_IOERR_SHORT_READ
            }
            Err(error) => code(&error, ffi::SQLITE_IOERR_READ),
        }
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> c_int {
        done(self.content.write_at(offset, bytes), ffi::SQLITE_IOERR_WRITE)
    }

    pub(super) fn truncate(&mut self, len: u64) -> c_int {
        done(self.content.truncate(len), ffi::SQLITE_IOERR_TRUNCATE)
    }

    pub(super) fn sync(&mut self) -> c_int {
        if let Err(error) = self.content.sync() {
            return code(&error, ffi::SQLITE_IOERR_FSYNC);
        }
        if self.is_name_unsynced {
            if let Err(error) = self.system.disk.sync_dir(directory_of(&self.path)) {
                return code(&error, ffi::SQLITE_IOERR_DIR_FSYNC);
            }
            self.is_name_unsynced = false;
        }
        ffi::SQLITE_OK
    }

    pub(super) fn len(&mut self) -> Result<u64, c_int> {
        self.content
            .len()
            .map_err(|error| code(&error, ffi::SQLITE_IOERR_FSTAT))
    }

    pub(super) fn raise_lock(&mut self, wanted: c_int) -> c_int {
        let wanted = Level::of(wanted);
        self.level = lock(&self.shared.locks).raise(self.level, wanted);
        if self.level >= wanted {
            ffi::SQLITE_OK
        } else {
            ffi::SQLITE_BUSY
        }
    }

    pub(super) fn lower_lock(&mut self, wanted: c_int) -> c_int {
        self.level = lock(&self.shared.locks).lower(self.level, Level::of(wanted));
        ffi::SQLITE_OK
    }

    pub(super) fn is_reserved(&self) -> bool {
        lock(&self.shared.locks).is_reserved()
    }

    pub(super) fn shm_map(&mut self, number: usize, bytes: usize, extend: bool) -> Option<*mut c_void> {
        lock(&self.shared.shm).map(&mut self.shm, number, bytes, extend)
    }

    pub(super) fn shm_lock(&mut self, slots: Range<usize>, flags: c_int) -> c_int {
        let taken = lock(&self.shared.shm).lock(&mut self.shm, slots, flags);
        if taken { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
    }

    pub(super) fn shm_unmap(&mut self) {
        lock(&self.shared.shm).unmap(&mut self.shm);
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.shm_unmap();
        self.lower_lock(ffi::SQLITE_LOCK_NONE);
        self.system.open_files.fetch_sub(1, Ordering::AcqRel);
    }
}

/// SQLite's code for an error of the disk; `otherwise` says what was tried.
pub(super) fn code(error: &io::Error, otherwise: c_int) -> c_int {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ffi::SQLITE_FULL,
        _ => otherwise,
    }
}

fn done(result: io::Result<()>, otherwise: c_int) -> c_int {
    match result {
        Ok(()) => ffi::SQLITE_OK,
        Err(error) => code(&error, otherwise),
    }
}

/// A temporary file: gone when closed, so it need not be on the disk at all.
struct Unnamed(Vec<u8>);

impl DiskFile for Unnamed {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let count = buffer.len().min(self.0.len() - start);
        buffer[..count].copy_from_slice(&self.0[start..start + count]);
        Ok(count)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        if self.0.len() < start + bytes.len() {
            self.0.resize(start + bytes.len(), 0);
        }
        self.0[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.resize(
            usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?,
            0,
        );
        Ok(())
    }

    fn len(&mut self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
