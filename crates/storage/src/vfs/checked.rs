//! The layer between SQLite and any other VFS that keeps the checksums of [`crate::pages`].
//!
//! Of a main file, whole pages are read and written, and nothing else, but for a look into the first page's header
//! (its first 100 bytes), which is not compared: SQLite reads it to learn the page size, and reads the whole page
//! before it uses anything else of it. So this layer tells SQLite that parts of pages cannot be read
//! (`SQLITE_IOCAP_SUBPAGE_READ`), and has no memory mapping. A page that does not fit is `SQLITE_IOERR_DATA`; which
//! one is left in the connection's [`Damage`], and for the error's text in [`take_fault`].
//!
//! WALs, journals and temporary files are the other VFS's own: SQLite's WAL has checksums by itself ([`crate::wal`]).
//! A workspace's main file is no file: see [`super::workspace`].

use std::cell::RefCell;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::OnceLock;

use rusqlite::{Connection, ffi};

use super::callbacks::{DAY_MS, UNIX_EPOCH_JULIAN_MS, dl_error, dl_open};
use super::workspace;
use crate::environment;
use crate::pages::{self, Damage, PAGE_BYTES, PageFault};

/// The system's files, checked.
const OS_NAME: &CStr = c"bellwether";

/// The header of the first page.
const HEADER_BYTES: i64 = 100;

/// Our file control: the argument is a `*const Damage`. SQLite leaves numbers above 100 to VFSs.
const WATCH: c_int = 0x6265_6c6c;

thread_local! {
    /// What the last `SQLITE_IOERR_DATA` in this thread was about.
    static FAULT: RefCell<Option<PageFault>> = const { RefCell::new(None) };
}

/// Which page the `SQLITE_IOERR_DATA` was about that a call of SQLite's just answered in this thread.
pub(crate) fn take_fault() -> Option<PageFault> {
    FAULT.with(RefCell::take)
}

/// From here on faults that the connection meets in its main file are left in `damage`.
pub(crate) fn watch(connection: &Connection, damage: &Damage) {
    // SAFETY: an open connection; our own verb only borrows the argument during the call.
    unsafe {
        let argument = std::ptr::from_ref(damage).cast_mut().cast();
        ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), WATCH, argument);
    }
}

/// The name under which SQLite knows the system's files, checked.
pub(crate) fn os_name() -> Result<&'static str, c_int> {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    let code = *REGISTERED.get_or_init(|| {
        // SAFETY: null asks for the default VFS, which is never unregistered; the table lives for ever.
        unsafe {
            let base = ffi::sqlite3_vfs_find(std::ptr::null());
            if base.is_null() {
                return ffi::SQLITE_ERROR;
            }
            ffi::sqlite3_vfs_register(Box::into_raw(Box::new(table(OS_NAME.as_ptr(), base))), 0)
        }
    });
    match code {
        ffi::SQLITE_OK => Ok(OS_NAME.to_str().expect("ASCII")),
        code => Err(code),
    }
}

/// The table of a checked VFS over `base`, which like `name` must outlive it.
///
/// # Safety
/// `base` is a valid table.
pub(super) unsafe fn table(name: *const c_char, base: *mut ffi::sqlite3_vfs) -> ffi::sqlite3_vfs {
    // SAFETY: per contract.
    let (file_bytes, path_bytes_max) = unsafe { ((*base).szOsFile, (*base).mxPathname) };
    ffi::sqlite3_vfs {
        // 2: with a clock in milliseconds.
        iVersion: 2,
        szOsFile: size_of::<Handle>() as c_int + file_bytes,
        mxPathname: path_bytes_max,
        pNext: null_mut(),
        zName: name,
        pAppData: base.cast(),
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

/// A main file's handle: ours, then the other VFS's in the same memory.
#[repr(C)]
struct Handle {
    base: ffi::sqlite3_file,
    /// Owned; from opening to closing.
    state: *mut State,
}

const _: () = assert!(size_of::<Handle>().is_multiple_of(align_of::<u64>()));
const _: () = assert!(size_of::<workspace::Handle>() <= size_of::<Handle>());

struct State {
    path: PathBuf,
    damage: Damage,
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

/// The other VFS.
///
/// # Safety
/// `vfs` was made by [`table`].
unsafe fn base(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: per contract.
    unsafe { (*vfs).pAppData.cast() }
}

/// The other VFS's handle.
fn under(handle: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    handle.cast::<Handle>().wrapping_add(1).cast()
}

/// Calls a method of the other VFS, of its table or of its file. Those that SQLite demands are always there.
macro_rules! pass {
    ($owner:expr, $method:ident, $($argument:expr),*) => {
        ((*$owner).$method.expect("SQLite demands it of every VFS"))($($argument),*)
    };
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    handle: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes its own table, a NUL-terminated name or null, and `szOsFile` bytes for the handle, which
    // is enough for either kind. A null method table tells it not to close what was not opened.
    unsafe {
        let base = base(vfs);
        if flags & ffi::SQLITE_OPEN_MAIN_DB == 0 || name.is_null() {
            return pass!(base, xOpen, base, name, handle, flags, out_flags);
        }
        if let Some(source) = workspace::take_expected(CStr::from_ptr(name).to_bytes()) {
            workspace::open(handle, source);
            if !out_flags.is_null() {
                *out_flags = flags;
            }
            return ffi::SQLITE_OK;
        }
        (*handle).pMethods = std::ptr::null();
        let file = under(handle);
        (*file).pMethods = std::ptr::null();
        let code = pass!(base, xOpen, base, name, file, flags, out_flags);
        if code != ffi::SQLITE_OK {
            if let Some(methods) = (*file).pMethods.as_ref() {
                pass!(methods, xClose, file);
            }
            return code;
        }
        let path = PathBuf::from(OsStr::from_bytes(CStr::from_ptr(name).to_bytes()));
        let damage = Damage::default();
        (*handle.cast::<Handle>()).state = Box::into_raw(Box::new(State { path, damage }));
        (*handle).pMethods = &METHODS;
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn close(handle: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: filled by `open`; SQLite closes once.
    unsafe {
        drop(Box::from_raw((*handle.cast::<Handle>()).state));
        let file = under(handle);
        pass!((*file).pMethods, xClose, file)
    }
}

unsafe extern "C" fn read(
    handle: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: an open handle and SQLite's buffer of `count` bytes, all of which a read that succeeded, also a short one,
    // has filled.
    let (code, bytes) = unsafe {
        let file = under(handle);
        let code = pass!((*file).pMethods, xRead, file, buffer, count, offset);
        if code != ffi::SQLITE_OK && code != ffi::SQLITE_IOERR_SHORT_READ {
            return code;
        }
        (
            code,
            std::slice::from_raw_parts(buffer.cast::<u8>(), count as usize),
        )
    };
    let is_whole = !bytes.is_empty() && bytes.len().is_multiple_of(PAGE_BYTES);
    let Some(first) = pages::number_at(offset.cast_unsigned()).filter(|_| is_whole) else {
        return match offset + i64::from(count) <= HEADER_BYTES {
            true => code,
            false => ffi::SQLITE_IOERR_READ,
        };
    };
    let unsound = (first..)
        .zip(bytes.chunks_exact(PAGE_BYTES))
        .find(|(number, page)| !pages::is_sound(*number, page));
    let Some((page, _)) = unsound else { return code };
    // SAFETY: as above; the state is there until the handle is closed.
    let state = unsafe { &*(*handle.cast::<Handle>()).state };
    let fault = PageFault {
        path: state.path.clone(),
        page,
    };
    state.damage.report(fault.clone());
    FAULT.set(Some(fault));
    ffi::SQLITE_IOERR_DATA
}

/// The page is copied to the stack: SQLite's own buffer is its cache.
unsafe extern "C" fn write(
    handle: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: an open handle and SQLite's buffer of `count` bytes.
    let (file, bytes) = unsafe {
        let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), count as usize);
        (under(handle), bytes)
    };
    let Some(first) = pages::number_at(offset.cast_unsigned()) else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    if !bytes.len().is_multiple_of(PAGE_BYTES) {
        return ffi::SQLITE_IOERR_WRITE;
    }
    let mut page = [0; PAGE_BYTES];
    for ((number, bytes), at) in (first..)
        .zip(bytes.chunks_exact(PAGE_BYTES))
        .zip((offset..).step_by(PAGE_BYTES))
    {
        page.copy_from_slice(bytes);
        pages::write_checksum(number, &mut page);
        // SAFETY: an open handle, and a whole page.
        let code = unsafe {
            pass!(
                (*file).pMethods,
                xWrite,
                file,
                page.as_ptr().cast(),
                PAGE_BYTES as c_int,
                at
            )
        };
        if code != ffi::SQLITE_OK {
            return code;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(
    handle: *mut ffi::sqlite3_file,
    operation: c_int,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: an open handle; our verb comes from `watch` alone.
    unsafe {
        if operation == WATCH {
            (*(*handle.cast::<Handle>()).state).damage = (*argument.cast_const().cast::<Damage>()).clone();
            return ffi::SQLITE_OK;
        }
        let file = under(handle);
        pass!((*file).pMethods, xFileControl, file, operation, argument)
    }
}

unsafe extern "C" fn device_characteristics(handle: *mut ffi::sqlite3_file) -> c_int {
    let file = under(handle);
    // SAFETY: an open handle.
    let characteristics = unsafe { pass!((*file).pMethods, xDeviceCharacteristics, file) };
    characteristics & !ffi::SQLITE_IOCAP_SUBPAGE_READ
}

/// Methods of the file that are the other VFS's.
macro_rules! file_methods {
    ($($name:ident = $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        unsafe extern "C" fn $name(handle: *mut ffi::sqlite3_file $(, $argument: $type)*) -> $answer {
            let file = under(handle);
            // SAFETY: an open handle; SQLite's arguments are passed on.
            unsafe { pass!((*file).pMethods, $method, file $(, $argument)*) }
        }
    )*};
}

file_methods! {
    truncate = xTruncate(len: ffi::sqlite3_int64) -> c_int;
    sync = xSync(flags: c_int) -> c_int;
    file_size = xFileSize(out: *mut ffi::sqlite3_int64) -> c_int;
    raise_lock = xLock(level: c_int) -> c_int;
    lower_lock = xUnlock(level: c_int) -> c_int;
    check_reserved_lock = xCheckReservedLock(out: *mut c_int) -> c_int;
    sector_size = xSectorSize() -> c_int;
    shm_map = xShmMap(number: c_int, bytes: c_int, extend: c_int, out: *mut *mut c_void) -> c_int;
    shm_lock = xShmLock(first: c_int, count: c_int, flags: c_int) -> c_int;
    shm_barrier = xShmBarrier() -> ();
    shm_unmap = xShmUnmap(delete: c_int) -> c_int;
}

/// Functions of the table that are the other VFS's.
macro_rules! system_functions {
    ($($name:ident = $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        unsafe extern "C" fn $name(vfs: *mut ffi::sqlite3_vfs $(, $argument: $type)*) -> $answer {
            // SAFETY: SQLite passes its own table; its arguments are passed on.
            unsafe {
                let base = base(vfs);
                pass!(base, $method, base $(, $argument)*)
            }
        }
    )*};
}

system_functions! {
    delete = xDelete(name: *const c_char, sync_dir: c_int) -> c_int;
    access = xAccess(name: *const c_char, flags: c_int, out: *mut c_int) -> c_int;
    full_pathname = xFullPathname(name: *const c_char, out_bytes: c_int, out: *mut c_char) -> c_int;
    randomness = xRandomness(count: c_int, out: *mut c_char) -> c_int;
    sleep = xSleep(microseconds: c_int) -> c_int;
    last_error = xGetLastError(count: c_int, out: *mut c_char) -> c_int;
}

/// The running statement's time, else the other VFS's.
unsafe extern "C" fn current_time_int64(vfs: *mut ffi::sqlite3_vfs, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite passes its own table and out parameter.
    unsafe {
        match environment::now_ms() {
            Some(now_ms) => {
                *out = UNIX_EPOCH_JULIAN_MS + now_ms;
                ffi::SQLITE_OK
            }
            None => {
                let base = base(vfs);
                pass!(base, xCurrentTimeInt64, base, out)
            }
        }
    }
}

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    let mut now_ms = 0;
    // SAFETY: SQLite passes its own table and out parameter.
    unsafe {
        let code = current_time_int64(vfs, &mut now_ms);
        *out = now_ms as f64 / DAY_MS;
        code
    }
}
