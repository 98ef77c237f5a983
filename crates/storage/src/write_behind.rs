//! Writing that begins before anybody waits for it.

use std::fs::File;
use std::io;
use std::path::PathBuf;

/// What is appended to a WAL, on its way to the disk little by little.
///
/// The system keeps what was written for up to half a minute, or until a checkpoint's sync; and whoever syncs another
/// file of the same disk then, as the log does for every group, waits behind all of it. PostgreSQL does the same
/// for the same reason (`checkpoint_flush_after`). Nothing is durable by it.
#[derive(Debug)]
pub(crate) struct WriteBehind {
    path: PathBuf,
    /// A descriptor of its own. Closing it drops no locks: SQLite has none on a WAL, but on the main file and `-shm`.
    file: Option<File>,
}

impl WriteBehind {
    /// Of the file at `path`, which may not be there yet, and is not replaced from when it is.
    pub fn new(path: PathBuf) -> WriteBehind {
        WriteBehind { path, file: None }
    }

    /// Lets the system begin with all that it has not begun with, and does not wait for it. Where the system cannot be
    /// told (it is not Linux) this does nothing.
    pub fn begin(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.path)?),
        };
        begin_writing(file)
    }
}

#[cfg(target_os = "linux")]
fn begin_writing(file: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // From the first byte to the end of the file.
    // SAFETY: a descriptor that is open.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
fn begin_writing(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_once_it_is_there_and_stays_what_it_is() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("file");
        let mut behind = WriteBehind::new(path.clone());
        let absent = behind.begin().expect_err("there is no file");
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, b"content").expect("written");
        behind.begin().expect("begun");
        assert_eq!(std::fs::read(&path).expect("read"), b"content");
    }
}
