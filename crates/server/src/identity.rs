//! Whose a data directory is: written once, checked at every start, locked while a process uses it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use bellwether_types::{ClusterId, NodeId};

/// The layout that this build reads and writes.
const LAYOUT: u32 = 2;

/// Why a data directory cannot be used.
#[derive(Debug)]
pub enum IdentityError {
    /// The system refused.
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process has it.
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It belongs to another node or cluster, or was written by another version.
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What was expected.
        expected: String,
    },
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityError::Io { path, error } => write!(f, "{}: {error}", path.display()),
            IdentityError::InUse { path } => write!(
                f,
                "the data directory {} is used by another process; stop that one first",
                path.display()
            ),
            IdentityError::Foreign {
                path,
                found,
                expected,
            } => write!(
                f,
                "the data directory {} is of another node, cluster or version: it says {found:?}, and this node \
                 is {expected:?}; name the right directory with --data-dir",
                path.display()
            ),
        }
    }
}

impl std::error::Error for IdentityError {}

/// Holds the directory's lock; the system releases it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    _lock: File,
}

/// Takes the directory, creating it when it is missing.
pub(crate) fn take(dir: &Path, cluster: ClusterId, node: NodeId) -> Result<DataDir, IdentityError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| IdentityError::Io { path, error }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let lock_path = dir.join("lock");
    let lock = File::create(&lock_path).map_err(failed(&lock_path))?;
    // SAFETY: the descriptor is open for the duration of the call.
    if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        return Err(IdentityError::InUse { path: dir.to_owned() });
    }
    let path = dir.join("identity");
    let expected = format!("bellwether layout {LAYOUT} cluster {cluster} node {node}\n");
    match fs::read_to_string(&path) {
        Ok(found) if found == expected => {}
        Ok(found) => {
            let (found, expected) = (found.trim_end().to_owned(), expected.trim_end().to_owned());
            return Err(IdentityError::Foreign {
                path: dir.to_owned(),
                found,
                expected,
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let aside = dir.join("identity.new");
            let write = || {
                let mut file = File::create(&aside)?;
                file.write_all(expected.as_bytes())?;
                file.sync_all()?;
                fs::rename(&aside, &path)?;
                File::open(dir)?.sync_all()
            };
            write().map_err(failed(&path))?;
        }
        Err(error) => return Err(failed(&path)(error)),
    }
    Ok(DataDir { _lock: lock })
}
