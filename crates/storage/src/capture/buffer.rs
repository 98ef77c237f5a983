//! Where captured changes wait until their group is proposed: in memory, beyond a bound in an unnamed file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use bellwether_types::Encoder;

use crate::files::Spill;

/// Changes of a group that stay in memory. One change more than this may be there for a moment: the largest row.
const MEMORY_BYTES_MAX: usize = 8 << 20;

/// Bytes that are appended, taken back from the end, and read once from the front.
#[derive(Debug)]
pub(crate) struct ChangeBuffer {
    memory: Encoder,
    spill: Spill,
    file: Option<File>,
    spilled_bytes: u64,
    read_bytes: u64,
}

impl ChangeBuffer {
    pub(crate) fn new(spill: Spill) -> ChangeBuffer {
        ChangeBuffer {
            memory: Encoder::new(),
            spill,
            file: None,
            spilled_bytes: 0,
            read_bytes: 0,
        }
    }

    /// To append to. Afterwards comes `maybe_spill`.
    pub(crate) fn encoder(&mut self) -> &mut Encoder {
        &mut self.memory
    }

    pub(crate) fn len(&self) -> u64 {
        self.spilled_bytes + self.memory.len() as u64
    }

    /// Moves what is in memory into the file when it is too much.
    pub(crate) fn maybe_spill(&mut self) -> io::Result<()> {
        if self.memory.len() <= MEMORY_BYTES_MAX {
            return Ok(());
        }
        let Spill::Directory(directory) = &self.spill else {
            return Ok(());
        };
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(unnamed_file(directory)?),
        };
        file.seek(SeekFrom::Start(self.spilled_bytes))?;
        file.write_all(self.memory.as_slice())?;
        self.spilled_bytes += self.memory.len() as u64;
        // A single large row must not keep its memory.
        self.memory = Encoder::new();
        Ok(())
    }

    /// Takes back what was appended after `len`.
    pub(crate) fn truncate(&mut self, len: u64) {
        match len.checked_sub(self.spilled_bytes) {
            Some(in_memory) => self
                .memory
                .truncate(usize::try_from(in_memory).unwrap_or(usize::MAX)),
            None => {
                // What lies behind in the file is overwritten or never read.
                self.memory.clear();
                self.spilled_bytes = len;
            }
        }
    }

    /// Puts another byte in the place of one that was appended and not taken back.
    pub(crate) fn replace(&mut self, at: u64, byte: u8) -> io::Result<()> {
        match (at.checked_sub(self.spilled_bytes), &mut self.file) {
            (Some(in_memory), _) => {
                let place = usize::try_from(in_memory).unwrap_or(usize::MAX);
                self.memory.replace(place, byte);
                Ok(())
            }
            (None, Some(file)) => {
                file.seek(SeekFrom::Start(at))?;
                file.write_all(&[byte])
            }
            (None, None) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Forgets everything; gives the disk space back.
    pub(crate) fn clear(&mut self) {
        self.memory.clear();
        self.file = None;
        self.spilled_bytes = 0;
        self.read_bytes = 0;
    }

    /// The next `len` bytes from the front, which must be there.
    pub(crate) fn read(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len);
        let in_file =
            usize::try_from(self.spilled_bytes.saturating_sub(self.read_bytes)).unwrap_or(usize::MAX);
        let from_file = in_file.min(len);
        if let Some(file) = self.file.as_mut().filter(|_| from_file > 0) {
            file.seek(SeekFrom::Start(self.read_bytes))?;
            bytes.resize(from_file, 0);
            file.read_exact(&mut bytes)?;
        }
        let start = self.read_bytes.max(self.spilled_bytes) - self.spilled_bytes;
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let from_memory = len - from_file;
        let memory = self.memory.as_slice().get(start..start + from_memory);
        bytes.extend_from_slice(memory.ok_or(io::ErrorKind::UnexpectedEof)?);
        self.read_bytes += len as u64;
        Ok(bytes)
    }
}

/// A file that is gone when it is closed, or when this process dies.
fn unnamed_file(directory: &Path) -> io::Result<File> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join(format!("changes-{}", std::process::id()));
    // Left over by a process of the same id that died between these two calls.
    let _ = std::fs::remove_file(&path);
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(buffer: &mut ChangeBuffer, bytes: &[u8]) {
        buffer.encoder().raw(bytes);
        buffer.maybe_spill().expect("space in the temporary directory");
    }

    #[test]
    fn bytes_beyond_the_bound_come_back_from_the_file_in_order() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut buffer = ChangeBuffer::new(Spill::Directory(directory.path().to_owned()));
        append(&mut buffer, b"begin");
        append(&mut buffer, &vec![1; MEMORY_BYTES_MAX]);
        let mark = buffer.len();
        append(&mut buffer, &vec![2; MEMORY_BYTES_MAX + 1]);
        append(&mut buffer, b"gone");
        buffer.truncate(mark);
        append(&mut buffer, b"end");
        buffer.replace(1, b'a').expect("in the file");
        buffer.replace(mark, b'a').expect("in memory, or in the file");
        buffer.replace(1, b'e').expect("in the file");
        buffer.replace(mark, b'e').expect("in memory, or in the file");
        buffer.replace(4, b'N').expect("in the file");
        buffer.replace(mark + 2, b'D').expect("in memory");
        assert_eq!(buffer.len(), mark + 3);
        assert!(buffer.spilled_bytes >= MEMORY_BYTES_MAX as u64);
        assert_eq!(buffer.read(5).expect("written"), b"begiN");
        assert_eq!(
            buffer.read(MEMORY_BYTES_MAX - 1).expect("written"),
            vec![1; MEMORY_BYTES_MAX - 1]
        );
        assert_eq!(buffer.read(4).expect("written"), b"\x01enD");
        assert!(buffer.read(1).is_err());
        assert_eq!(std::fs::read_dir(directory.path()).expect("readable").count(), 0);
    }

    #[test]
    fn taking_back_within_memory_leaves_the_front() {
        let mut buffer = ChangeBuffer::new(Spill::Memory);
        append(&mut buffer, b"kept");
        let mark = buffer.len();
        append(&mut buffer, b"gone");
        buffer.truncate(mark);
        assert_eq!(buffer.read(4).expect("written"), b"kept");
    }
}
