//! Small disks that can be filled: a file system in memory for a node's data. Mounting one needs root's rights, on
//! Linux; there is no other way to a full disk that a process meets as such (a limit on the size of its files ends it
//! with a signal).

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A mounted disk; unmounted when it is dropped.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts an empty one over a directory.
    pub fn mount(at: &Path) -> io::Result<Disk> {
        std::fs::create_dir_all(at)?;
        system::mount(at)?;
        Ok(Disk { at: at.to_owned() })
    }

    /// Whether this process may mount one.
    pub fn is_possible(below: &Path) -> bool {
        Disk::mount(&below.join("trial")).is_ok()
    }

    /// Leaves no space.
    pub fn fill(&self) -> io::Result<()> {
        let mut ballast = File::create(self.ballast())?;
        // Then smaller ones, up to the last byte.
        let mut piece = vec![0; 1 << 20];
        loop {
            match ballast.write(&piece) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull && piece.len() > 1 => {
                    piece.truncate(piece.len() / 2);
                }
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives it back.
    pub fn empty(&self) {
        // It is not there when the disk was not full.
        std::fs::remove_file(self.ballast()).ok();
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What still uses it keeps it until its end.
        system::unmount(&self.at).ok();
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::ffi::CString;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    /// Of one node. Its log's segments and its database fit into a part of it for minutes of our load.
    const OPTIONS: &std::ffi::CStr = c"size=256m";

    pub fn mount(at: &Path) -> io::Result<()> {
        let path = CString::new(at.as_os_str().as_bytes())?;
        let kind = c"tmpfs".as_ptr();
        // SAFETY: all pointers are to texts that end with a zero and outlive the call.
        told(unsafe { libc::mount(kind, path.as_ptr(), kind, 0, OPTIONS.as_ptr().cast()) })
    }

    pub fn unmount(at: &Path) -> io::Result<()> {
        let path = CString::new(at.as_os_str().as_bytes())?;
        // SAFETY: as above.
        told(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) })
    }

    fn told(code: libc::c_int) -> io::Result<()> {
        match code {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::path::Path;

    pub fn mount(_: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn unmount(_: &Path) -> io::Result<()> {
        Ok(())
    }
}
