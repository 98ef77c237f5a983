//! What clients' messages may take of a node's memory before they are whole.
//!
//! Each message is bounded by itself; many clients with long ones at the same time are bounded here. Nobody waits for
//! room: two clients that each hold half of it would wait for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether_types::{ErrorKind, SqlError};

/// Of all clients of a node together: eight messages of the largest size.
const INPUT_BYTES_MAX: usize = 1 << 30;

/// Who has received no more than this is served, however much others have.
const FREE_BYTES: usize = 1 << 20;

/// Bytes that were received and not understood yet, of all clients.
#[derive(Debug, Clone, Default)]
pub(super) struct InputMemory(Arc<AtomicUsize>);

/// A client's part of it, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    memory: InputMemory,
    bytes: usize,
}

impl InputMemory {
    pub fn share(&self) -> Share {
        Share {
            memory: self.clone(),
            bytes: 0,
        }
    }
}

impl Share {
    /// The client holds so many bytes now; an error when that is too much beside what the others hold.
    pub fn set(&mut self, bytes: usize) -> Result<(), SqlError> {
        let InputMemory(all) = &self.memory;
        let before = if bytes >= self.bytes {
            all.fetch_add(bytes - self.bytes, Ordering::Relaxed)
        } else {
            all.fetch_sub(self.bytes - bytes, Ordering::Relaxed)
        };
        let grows = bytes > self.bytes;
        let now = before.wrapping_add(bytes).wrapping_sub(self.bytes);
        self.bytes = bytes;
        if grows && bytes > FREE_BYTES && now > INPUT_BYTES_MAX {
            let message = "out of memory";
            return Err(SqlError::new(ErrorKind::OutOfMemory, message)
                .with_detail(format!(
                    "The messages that clients are sending to this node take more than {} MiB.",
                    INPUT_BYTES_MAX >> 20
                ))
                .with_hint("Send large values one after the other, or in parts."));
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_refused_when_all_together_take_too_much() {
        let memory = InputMemory::default();
        let (mut first, mut second) = (memory.share(), memory.share());
        assert_eq!(first.set(INPUT_BYTES_MAX), Ok(()));
        assert_eq!(second.set(FREE_BYTES), Ok(()), "a short one is always served");
        let refused = second.set(FREE_BYTES + 1).expect_err("one too many");
        assert_eq!(refused.kind, ErrorKind::OutOfMemory);
        drop(first);
        assert_eq!(second.set(FREE_BYTES + 2), Ok(()));
        drop(second);
        assert_eq!(memory.0.load(Ordering::Relaxed), 0);
    }
}
