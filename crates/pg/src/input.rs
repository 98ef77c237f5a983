//! Bytes from the socket, cut into messages. Lengths are checked before a message's content is waited for, so a
//! client cannot make the buffer grow beyond the limits.

use std::ops::Range;

use crate::frontend::{FrontendError, tag};

/// Longest message before the connection is open, and of the short kinds after: PostgreSQL's own limit.
pub const SHORT_LIMIT_BYTES: usize = 10_000;

/// A message's place in the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its kind; 0 for an opening.
    pub tag: u8,
    /// Its content.
    pub body: Range<usize>,
    /// The kind of the message after it, when its first byte has arrived too.
    pub next_tag: Option<u8>,
}

/// Received and not yet understood.
#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
}

impl Input {
    /// Appends what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// A message's content.
    pub fn body(&self, frame: &Frame) -> &[u8] {
        &self.bytes[frame.body.clone()]
    }

    /// Goes on to what follows the message.
    pub fn consume(&mut self, frame: &Frame) {
        self.start = frame.body.end;
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            // One large message must not keep its memory for the life of the connection.
            self.bytes.shrink_to(64 * 1024);
        }
    }

    /// Bytes that were received and not understood yet.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether all that was received is understood.
    pub fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        *self = Input::default();
    }

    /// The first message if it is whole. A connection's opening has no tag.
    pub fn opening(&self) -> Result<Option<Frame>, FrontendError> {
        self.frame(self.start, 0, SHORT_LIMIT_BYTES)
    }

    /// The first message if it is whole.
    pub fn message(&self, limit: usize) -> Result<Option<Frame>, FrontendError> {
        let Some(&tag) = self.bytes.get(self.start) else {
            return Ok(None);
        };
        let limit = match tag {
            tag::QUERY | tag::PARSE | tag::BIND | tag::COPY_DATA | tag::FUNCTION_CALL => limit,
            tag::PASSWORD | tag::DESCRIBE | tag::EXECUTE | tag::CLOSE | tag::FLUSH | tag::SYNC => {
                SHORT_LIMIT_BYTES
            }
            tag::TERMINATE | tag::COPY_DONE | tag::COPY_FAIL => SHORT_LIMIT_BYTES,
            other => return Err(FrontendError::UnknownTag(other)),
        };
        self.frame(self.start + 1, tag, limit)
    }

    fn frame(&self, at: usize, tag: u8, limit: usize) -> Result<Option<Frame>, FrontendError> {
        let Some(length) = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) else {
            return Ok(None);
        };
        // Counts itself.
        let length = i32::from_be_bytes(*length);
        let wrong = FrontendError::Length {
            bytes: i64::from(length),
            limit,
        };
        let length = usize::try_from(length).map_err(|_| wrong.clone())?;
        if !(4..=limit).contains(&length) {
            return Err(wrong);
        }
        let end = at + length;
        if end > self.bytes.len() {
            return Ok(None);
        }
        Ok(Some(Frame {
            tag,
            body: at + 4..end,
            next_tag: self.bytes.get(end).copied(),
        }))
    }
}
