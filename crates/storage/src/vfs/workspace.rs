//! The file below a workspace: it shows pages that somebody else has, and takes none.
//!
//! One connection opens it, so locks are granted without asking. What SQLite wants to write answers `SQLITE_FULL`: a
//! workspace keeps its changes in its connection's cache, or not at all.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::sync::{Arc, Mutex};

use rusqlite::ffi;

use super::lock;
use crate::pages::PAGE_BYTES;

/// Where a workspace's pages come from.
pub(crate) trait PageSource: Send + Sync {
    /// How many pages there are.
    fn count(&self) -> u32;
    /// Calls back with page `number`, from 1, which is as long as a page. Answers SQLite's result code.
    fn read(&self, number: u32, take: &mut dyn FnMut(&[u8])) -> c_int;
}

/// Files that are about to be opened, by name.
static EXPECTED: Mutex<BTreeMap<Vec<u8>, Arc<dyn PageSource>>> = Mutex::new(BTreeMap::new());

/// While it lives, the next main file of this name that is opened shows these pages.
pub(crate) struct Expected(Vec<u8>);

impl Expected {
    pub(crate) fn new(name: Vec<u8>, source: Arc<dyn PageSource>) -> Expected {
        lock(&EXPECTED).insert(name.clone(), source);
        Expected(name)
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        lock(&EXPECTED).remove(&self.0);
    }
}

/// What a main file of this name shows, if it is a workspace's.
pub(super) fn take_expected(name: &[u8]) -> Option<Arc<dyn PageSource>> {
    lock(&EXPECTED).remove(name)
}

/// SQLite's handle.
#[repr(C)]
pub(super) struct Handle {
    base: ffi::sqlite3_file,
    /// Owned; from opening to closing.
    source: *mut Arc<dyn PageSource>,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // 1: no shared memory, so never in WAL mode.
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(grant_lock),
    xUnlock: Some(grant_lock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// Makes the handle show these pages.
///
/// # Safety
/// `handle` is memory for a [`Handle`] that SQLite is opening.
pub(super) unsafe fn open(handle: *mut ffi::sqlite3_file, source: Arc<dyn PageSource>) {
    // SAFETY: per contract.
    unsafe {
        (*handle.cast::<Handle>()).source = Box::into_raw(Box::new(source));
        (*handle).pMethods = &METHODS;
    }
}

/// # Safety
/// `handle` was filled by [`open`] and not closed.
unsafe fn source<'a>(handle: *mut ffi::sqlite3_file) -> &'a dyn PageSource {
    // SAFETY: per contract.
    unsafe { (*(*handle.cast::<Handle>()).source).as_ref() }
}

unsafe extern "C" fn close(handle: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: filled by `open`; SQLite closes once.
    drop(unsafe { Box::from_raw((*handle.cast::<Handle>()).source) });
    ffi::SQLITE_OK
}

/// SQLite reads whole pages, and of the first one also parts.
unsafe extern "C" fn read(
    handle: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: an open handle and SQLite's buffer of `count` bytes, which may be uninitialised: it is zeroed before it
    // is borrowed.
    let (source, buffer) = unsafe {
        buffer.cast::<u8>().write_bytes(0, count as usize);
        (
            source(handle),
            std::slice::from_raw_parts_mut(buffer.cast::<u8>(), count as usize),
        )
    };
    let (number, start) = (offset as usize / PAGE_BYTES + 1, offset as usize % PAGE_BYTES);
    if number > source.count() as usize || start + buffer.len() > PAGE_BYTES {
        return ffi::SQLITE_IOERR_SHORT_READ;
    }
    source.read(number as u32, &mut |page| {
        buffer.copy_from_slice(&page[start..start + buffer.len()]);
    })
}

unsafe extern "C" fn write(
    _handle: *mut ffi::sqlite3_file,
    _bytes: *const c_void,
    _count: c_int,
    _offset: ffi::sqlite3_int64,
) -> c_int {
    ffi::SQLITE_FULL
}

unsafe extern "C" fn truncate(_handle: *mut ffi::sqlite3_file, _len: ffi::sqlite3_int64) -> c_int {
    ffi::SQLITE_FULL
}

unsafe extern "C" fn sync(_handle: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_size(handle: *mut ffi::sqlite3_file, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: an open handle and SQLite's out parameter.
    unsafe { *out = i64::from(source(handle).count()) * PAGE_BYTES as i64 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn grant_lock(_handle: *mut ffi::sqlite3_file, _level: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_handle: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite's out parameter.
    unsafe { *out = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(
    _handle: *mut ffi::sqlite3_file,
    _operation: c_int,
    _argument: *mut c_void,
) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_handle: *mut ffi::sqlite3_file) -> c_int {
    PAGE_BYTES as c_int
}

unsafe extern "C" fn device_characteristics(_handle: *mut ffi::sqlite3_file) -> c_int {
    0
}
