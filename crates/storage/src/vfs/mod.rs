//! A SQLite virtual file system over a [`Disk`]: real SQLite on simulated files; and the layer (`checked`) that keeps
//! page checksums above this one and above the operating system's.
//!
//! Promises: what SQLite writes and syncs reaches the [`Disk`] call by call, in order; locks and the WAL's shared
//! memory work among the connections of this process, readers beside a writer; time and randomness come from the
//! caller. Errors of the disk become `SQLITE_IOERR_*`, a full disk `SQLITE_FULL`. No panic leaves through SQLite.
//! It claims no more of the device than powersafe overwrite: no atomic and no sequential writes.
//!
//! A crash is played in this order: the disk turns every operation into an error, all connections are dropped,
//! [`unregister`], the disk loses what was not synced, [`register`] again. Locks and shared memory die with the
//! connections, as they do with a process.
//!
//! Does not: lock out other processes, share a file between two registered names, know about memory mapping.
//! SQLite's own generator (WAL salts, `random()`) is one per process and not seeded from here; see
//! [`seed_sqlite_randomness`].

mod callbacks;
pub(crate) mod checked;
mod file;
mod lock;
mod shm;
pub(crate) mod workspace;

use std::collections::BTreeMap;
use std::ffi::{CString, c_int};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bellwether_types::disk::Disk;
use rusqlite::ffi;

use self::file::SharedFile;

/// Longest path that SQLite may pass, in bytes.
const PATH_BYTES_MAX: c_int = 1024;

/// What all files of one registered name have in common.
struct FileSystem {
    disk: Arc<dyn Disk>,
    /// Unix time in milliseconds.
    clock: Arc<AtomicI64>,
    random: Mutex<Random>,
    /// Locks and shared memory of the main files that are open. An entry outlives its file until the next open.
    shared: Mutex<BTreeMap<PathBuf, Weak<SharedFile>>>,
    open_files: AtomicUsize,
}

impl FileSystem {
    /// Locks and shared memory of the main file `path`, which all its connections use together.
    fn shared_file(&self, path: &Path) -> Arc<SharedFile> {
        let mut shared = lock(&self.shared);
        if let Some(file) = shared.get(path).and_then(Weak::upgrade) {
            return file;
        }
        shared.retain(|_, file| file.strong_count() > 0);
        let file = Arc::new(SharedFile::default());
        shared.insert(path.to_owned(), Arc::downgrade(&file));
        file
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.next().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }
}

/// A panic of the disk under a lock leaves plain numbers behind; going on with them is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was registered. The pointers are owned: boxes that SQLite, and the checked table, know by address.
struct Registration {
    vfs: *mut ffi::sqlite3_vfs,
    /// What `vfs` is over.
    base: *mut ffi::sqlite3_vfs,
    name: CString,
    system: Arc<FileSystem>,
}

// SAFETY: the pointers are only used under the registry's lock, and SQLite allows registration from any thread.
unsafe impl Send for Registration {}

static REGISTRY: Mutex<BTreeMap<String, Registration>> = Mutex::new(BTreeMap::new());

/// Makes `disk` known to SQLite as the virtual file system `name`. `seed` feeds its randomness, `clock` is read as
/// Unix time in milliseconds.
pub fn register(
    name: &str,
    disk: Arc<dyn Disk>,
    seed: u64,
    clock: Arc<AtomicI64>,
) -> Result<(), RegisterError> {
    let mut registry = lock(&REGISTRY);
    if registry.contains_key(name) {
        return Err(RegisterError::NameTaken(name.to_owned()));
    }
    let c_name = CString::new(name).map_err(|_| RegisterError::InvalidName(name.to_owned()))?;
    let system = Arc::new(FileSystem {
        disk,
        clock,
        random: Mutex::new(Random(seed)),
        shared: Mutex::new(BTreeMap::new()),
        open_files: AtomicUsize::new(0),
    });
    let base = Box::into_raw(Box::new(callbacks::table(
        c_name.as_ptr(),
        &system,
        PATH_BYTES_MAX,
    )));
    // SAFETY: both tables, their name and their file system live until `unregister` takes them out of SQLite's list.
    let (vfs, code) = unsafe {
        let vfs = Box::into_raw(Box::new(checked::table(c_name.as_ptr(), base)));
        (vfs, ffi::sqlite3_vfs_register(vfs, 0))
    };
    if code != ffi::SQLITE_OK {
        // SAFETY: SQLite did not take them; they came from `Box::into_raw` above.
        unsafe {
            drop(Box::from_raw(vfs));
            drop(Box::from_raw(base));
        }
        return Err(RegisterError::Sqlite { code });
    }
    registry.insert(
        name.to_owned(),
        Registration {
            vfs,
            base,
            name: c_name,
            system,
        },
    );
    Ok(())
}

/// Forgets `name`; answers whether it was known. All its connections should be closed: with one still open its
/// memory is leaked, for SQLite would follow a dangling pointer.
pub fn unregister(name: &str) -> bool {
    let Some(registration) = lock(&REGISTRY).remove(name) else {
        return false;
    };
    // SAFETY: it was registered by `register` and is still allocated.
    unsafe { ffi::sqlite3_vfs_unregister(registration.vfs) };
    if registration
        .system
        .open_files
        .load(std::sync::atomic::Ordering::Acquire)
        == 0
    {
        // SAFETY: out of SQLite's list and used by no connection; they came from `Box::into_raw`.
        unsafe {
            drop(Box::from_raw(registration.vfs));
            drop(Box::from_raw(registration.base));
        }
    } else {
        std::mem::forget(registration.name);
        std::mem::forget(registration.system);
    }
    true
}

/// The disk that was registered under `name`.
pub fn disk(name: &str) -> Option<Arc<dyn Disk>> {
    lock(&REGISTRY)
        .get(name)
        .map(|registration| Arc::clone(&registration.system.disk))
}

/// Seeds SQLite's own generator, of which there is one per process: with it a single-threaded simulation draws the
/// same WAL salts in each run. `seed` must not be zero (that means "from the operating system"). Once per run, before
/// the first connection: seeded again at a node's restart, it would repeat salts, and frames of an earlier WAL
/// would pass for live ones.
pub fn seed_sqlite_randomness(seed: u32) {
    let null = std::ptr::null_mut::<ffi::sqlite3>();
    // SAFETY: this verb takes an unsigned int and a connection or null (sqlite3.c, SQLITE_TESTCTRL_PRNG_SEED).
    unsafe { ffi::sqlite3_test_control(ffi::SQLITE_TESTCTRL_PRNG_SEED, seed, null) };
}

/// Why a virtual file system cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterError {
    /// One of this name is registered.
    NameTaken(String),
    /// The name contains a zero byte.
    InvalidName(String),
    /// SQLite refused.
    Sqlite {
        /// Result code.
        code: i32,
    },
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegisterError::NameTaken(name) => {
                write!(f, "a virtual file system {name:?} is registered already")
            }
            RegisterError::InvalidName(name) => write!(f, "{name:?} cannot name a virtual file system"),
            RegisterError::Sqlite { code } => write!(f, "SQLite refused to register (code {code})"),
        }
    }
}

impl std::error::Error for RegisterError {}

#[cfg(test)]
mod tests;
