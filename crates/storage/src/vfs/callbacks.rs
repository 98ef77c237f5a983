//! The C side: the function tables that SQLite calls, each function a thin shell around [`OpenFile`] or the disk.
//!
//! Every shell catches panics and answers an error code instead.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use bellwether_types::disk::directory_of;
use rusqlite::ffi;

use super::file::{self, OpenFile};
use super::{FileSystem, lock};

/// Julian day 2440587.5, the Unix epoch, in milliseconds.
pub(super) const UNIX_EPOCH_JULIAN_MS: i64 = 210_866_760_000_000;
pub(super) const DAY_MS: f64 = 86_400_000.0;

/// What SQLite takes as the size of an atomically written unit when it must guess; most disks' physical sector.
const SECTOR_BYTES: c_int = 4096;

/// SQLite's handle: its own header, then ours.
#[repr(C)]
struct Handle {
    base: ffi::sqlite3_file,
    /// Owned; null until opened and after closing.
    file: *mut OpenFile,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // 2: shared memory, but no memory mapping.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(raise_lock),
    xUnlock: Some(lower_lock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// The table of a file system. It borrows `name` and `system`, which must outlive it.
pub(super) fn table(
    name: *const c_char,
    system: &Arc<FileSystem>,
    path_bytes_max: c_int,
) -> ffi::sqlite3_vfs {
    ffi::sqlite3_vfs {
        // 2: with a clock in milliseconds.
        iVersion: 2,
        szOsFile: size_of::<Handle>() as c_int,
        mxPathname: path_bytes_max,
        pNext: null_mut(),
        zName: name,
        pAppData: Arc::as_ptr(system).cast_mut().cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: Some(dl_open),
        xDlError: Some(dl_error),
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: Some(last_error),
        xCurrentTimeInt64: Some(current_time_int64),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }
}

fn guard<T>(on_panic: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(on_panic)
}

/// # Safety
/// `vfs` is a registered table made by [`table`]: its file system lives as long as it is registered or in use.
unsafe fn system(vfs: *mut ffi::sqlite3_vfs) -> Arc<FileSystem> {
    // SAFETY: the pointer is that of a live `Arc`; counting up first keeps the registry's own share.
    unsafe {
        let pointer = (*vfs).pAppData.cast::<FileSystem>().cast_const();
        Arc::increment_strong_count(pointer);
        Arc::from_raw(pointer)
    }
}

/// # Safety
/// `name` is a NUL-terminated string that outlives the answer.
unsafe fn path<'a>(name: *const c_char) -> &'a Path {
    // SAFETY: as above.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

/// Runs `body` on the file behind a handle.
///
/// # Safety
/// `handle` was filled by [`open`] and not yet closed; SQLite uses a handle from one thread at a time.
unsafe fn with_file(
    handle: *mut ffi::sqlite3_file,
    on_panic: c_int,
    body: impl FnOnce(&mut OpenFile) -> c_int,
) -> c_int {
    // SAFETY: as above.
    let file = unsafe { &mut *(*handle.cast::<Handle>()).file };
    guard(on_panic, || body(file))
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    handle: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes its own table, a NUL-terminated name or null, and `szOsFile` bytes for the handle. A
    // null method table tells it not to close what was not opened.
    let (system, path, handle) = unsafe {
        (*handle).pMethods = std::ptr::null();
        let path = if name.is_null() { None } else { Some(path(name)) };
        (system(vfs), path, &mut *handle.cast::<Handle>())
    };
    guard(ffi::SQLITE_CANTOPEN, || {
        match OpenFile::open(system, path, flags) {
            Ok(file) => {
                handle.file = Box::into_raw(Box::new(file));
                handle.base.pMethods = &METHODS;
                if !out_flags.is_null() {
                    // SAFETY: checked; SQLite's out parameter.
                    unsafe { *out_flags = flags };
                }
                ffi::SQLITE_OK
            }
            Err(code) => code,
        }
    })
}

unsafe extern "C" fn close(handle: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: filled by `open`; SQLite closes once.
    let file = unsafe { Box::from_raw((*handle.cast::<Handle>()).file) };
    guard(ffi::SQLITE_IOERR_CLOSE, || {
        drop(file);
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn read(
    handle: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite's buffer of `count` bytes, which may be uninitialised: it is zeroed before it is borrowed.
    unsafe {
        buffer.cast::<u8>().write_bytes(0, count as usize);
        let buffer = std::slice::from_raw_parts_mut(buffer.cast::<u8>(), count as usize);
        with_file(handle, ffi::SQLITE_IOERR_READ, |file| {
            file.read(offset as u64, buffer)
        })
    }
}

unsafe extern "C" fn write(
    handle: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite's buffer of `count` bytes.
    unsafe {
        let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), count as usize);
        with_file(handle, ffi::SQLITE_IOERR_WRITE, |file| {
            file.write(offset as u64, bytes)
        })
    }
}

unsafe extern "C" fn truncate(handle: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    // SAFETY: see `with_file`.
    unsafe {
        with_file(handle, ffi::SQLITE_IOERR_TRUNCATE, |file| {
            file.truncate(len as u64)
        })
    }
}

unsafe extern "C" fn sync(handle: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: see `with_file`.
    unsafe { with_file(handle, ffi::SQLITE_IOERR_FSYNC, OpenFile::sync) }
}

unsafe extern "C" fn file_size(handle: *mut ffi::sqlite3_file, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite's out parameter; see `with_file`.
    unsafe {
        with_file(handle, ffi::SQLITE_IOERR_FSTAT, |file| match file.len() {
            Ok(len) => {
                *out = len as ffi::sqlite3_int64;
                ffi::SQLITE_OK
            }
            Err(code) => code,
        })
    }
}

unsafe extern "C" fn raise_lock(handle: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: see `with_file`.
    unsafe { with_file(handle, ffi::SQLITE_IOERR_LOCK, |file| file.raise_lock(level)) }
}

unsafe extern "C" fn lower_lock(handle: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: see `with_file`.
    unsafe { with_file(handle, ffi::SQLITE_IOERR_UNLOCK, |file| file.lower_lock(level)) }
}

unsafe extern "C" fn check_reserved_lock(handle: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite's out parameter; see `with_file`.
    unsafe {
        with_file(handle, ffi::SQLITE_IOERR_CHECKRESERVEDLOCK, |file| {
            *out = c_int::from(file.is_reserved());
            ffi::SQLITE_OK
        })
    }
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _operation: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    SECTOR_BYTES
}

unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    handle: *mut ffi::sqlite3_file,
    number: c_int,
    bytes: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite's out parameter; see `with_file`.
    unsafe {
        *out = null_mut();
        with_file(handle, ffi::SQLITE_IOERR_SHMMAP, |file| {
            match file.shm_map(number as usize, bytes as usize, extend != 0) {
                Some(address) => {
                    *out = address;
                    ffi::SQLITE_OK
                }
                None => ffi::SQLITE_IOERR_NOMEM,
            }
        })
    }
}

unsafe extern "C" fn shm_lock(
    handle: *mut ffi::sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    let slots = first as usize..(first + count) as usize;
    // SAFETY: see `with_file`.
    unsafe {
        with_file(handle, ffi::SQLITE_IOERR_SHMLOCK, |file| {
            file.shm_lock(slots, flags)
        })
    }
}

unsafe extern "C" fn shm_barrier(_: *mut ffi::sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(handle: *mut ffi::sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: see `with_file`.
    unsafe {
        with_file(handle, ffi::SQLITE_IOERR_SHMMAP, |file| {
            file.shm_unmap();
            ffi::SQLITE_OK
        })
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    // SAFETY: SQLite's own table and a NUL-terminated name.
    let (system, path) = unsafe { (system(vfs), path(name)) };
    guard(ffi::SQLITE_IOERR_DELETE, || {
        match system.disk.remove(path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return ffi::SQLITE_IOERR_DELETE_NOENT;
            }
            Err(error) => return file::code(&error, ffi::SQLITE_IOERR_DELETE),
        }
        if sync_dir != 0 && system.disk.sync_dir(directory_of(path)).is_err() {
            return ffi::SQLITE_IOERR_DIR_FSYNC;
        }
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's own table and a NUL-terminated name.
    let (system, path) = unsafe { (system(vfs), path(name)) };
    guard(ffi::SQLITE_IOERR_ACCESS, || {
        let present = system.disk.exists(path).and_then(|exists| {
            // As in SQLite's Unix file system: an empty journal or WAL counts as none.
            if !exists || flags != ffi::SQLITE_ACCESS_EXISTS {
                return Ok(exists);
            }
            system.disk.open(path, false)?.is_empty().map(|empty| !empty)
        });
        match present {
            Ok(present) => {
                // SAFETY: SQLite's out parameter.
                unsafe { *out = c_int::from(present) };
                ffi::SQLITE_OK
            }
            Err(_) => ffi::SQLITE_IOERR_ACCESS,
        }
    })
}

/// Paths are taken as given: the simulator's are absolute.
unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    out_bytes: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: a NUL-terminated name, and room for `out_bytes` bytes, which is checked.
    unsafe {
        let name = CStr::from_ptr(name).to_bytes_with_nul();
        if name.len() > out_bytes as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        out.copy_from_nonoverlapping(name.as_ptr().cast(), name.len());
    }
    ffi::SQLITE_OK
}

/// No extensions are loaded.
pub(super) unsafe extern "C" fn dl_open(_: *mut ffi::sqlite3_vfs, _name: *const c_char) -> *mut c_void {
    null_mut()
}

pub(super) unsafe extern "C" fn dl_error(_: *mut ffi::sqlite3_vfs, bytes: c_int, out: *mut c_char) {
    if bytes > 0 {
        // SAFETY: room for `bytes` bytes, of which there is one.
        unsafe { *out = 0 };
    }
}

unsafe extern "C" fn randomness(vfs: *mut ffi::sqlite3_vfs, count: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite's own table and a buffer of `count` bytes, zeroed before it is borrowed.
    unsafe {
        out.write_bytes(0, count as usize);
        let out = std::slice::from_raw_parts_mut(out.cast::<u8>(), count as usize);
        lock(&system(vfs).random).fill(out);
    }
    count
}

/// The thread really waits, though the clock that was passed stands still meanwhile: SQLite sleeps only for a lock
/// that another thread holds (`walTryBeginRead` in wal.c), and gives up with SQLITE_PROTOCOL after 100 attempts,
/// which take no time at all unless its holder is let run.
unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    std::thread::sleep(Duration::from_micros(u64::try_from(microseconds).unwrap_or(0)));
    microseconds
}

unsafe extern "C" fn current_time_int64(vfs: *mut ffi::sqlite3_vfs, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite's own table and out parameter.
    unsafe { *out = UNIX_EPOCH_JULIAN_MS + system(vfs).clock.load(Ordering::Relaxed) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    let mut now_ms = 0;
    // SAFETY: SQLite's own table and out parameter.
    unsafe {
        current_time_int64(vfs, &mut now_ms);
        *out = now_ms as f64 / DAY_MS;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn last_error(_: *mut ffi::sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    0
}
