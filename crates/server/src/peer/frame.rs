//! Frames: length (4 bytes), CRC32C of the content (4 bytes), content. And the hello that opens a connection.

use std::fmt;
use std::io;

use crate::lock::secret::PROOF_BYTES;
use bellwether_types::codec::{DecodeError, Decoder, Encoder};
use bellwether_types::{ClusterId, NodeId};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest frame: a forwarded statement with its parameters, or a consensus message with its entries
/// (a megabyte, or one payload of at most 4 MiB).
pub(crate) const FRAME_BYTES_MAX: usize = 160 << 20;

/// "BWP1": Bellwether's peers, first version of the framing.
const MAGIC: u32 = 0x3150_5742;

/// The version of what is said inside the frames. Another one is refused.
const PROTOCOL: u64 = 5;

/// What a connection is for. Numbers are frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Purpose {
    /// Consensus messages without entries.
    Control = 1,
    /// Consensus messages with entries.
    Bulk = 2,
    /// Statements for the leader.
    Forward = 3,
    /// A copy of a database.
    Snapshot = 4,
    /// To become a member, or to tell where a member is now.
    Join = 5,
}

/// The first frame of a connection, from the one who connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub cluster: ClusterId,
    pub from: NodeId,
    pub to: NodeId,
    pub purpose: Purpose,
    /// What the other side's proof must be about.
    pub nonce: [u8; PROOF_BYTES],
}

impl Hello {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.fixed_u32(MAGIC);
        out.u64(PROTOCOL);
        out.u128(self.cluster.0);
        out.u64(self.from.0);
        out.u64(self.to.0);
        out.u8(self.purpose as u8);
        out.bytes(&self.nonce);
        out.into_vec()
    }

    pub fn decode(bytes: &[u8]) -> Result<Hello, DecodeError> {
        let mut input = Decoder::new(bytes);
        let magic = input.fixed_u32()?;
        if magic != MAGIC {
            return Err(DecodeError::UnknownTag {
                what: "peer greeting",
                tag: u64::from(magic),
            });
        }
        let version = input.u64()?;
        if version != PROTOCOL {
            return Err(DecodeError::UnknownVersion {
                what: "the peer protocol",
                version,
            });
        }
        let cluster = ClusterId(input.u128()?);
        let from = NodeId(input.u64()?);
        let to = NodeId(input.u64()?);
        let purpose = match input.u8()? {
            1 => Purpose::Control,
            2 => Purpose::Bulk,
            3 => Purpose::Forward,
            4 => Purpose::Snapshot,
            5 => Purpose::Join,
            other => {
                return Err(DecodeError::UnknownTag {
                    what: "purpose",
                    tag: u64::from(other),
                });
            }
        };
        let nonce = input.bytes()?;
        let nonce = nonce.try_into().map_err(|_| DecodeError::UnknownTag {
            what: "nonce's length",
            tag: nonce.len() as u64,
        })?;
        input.finish()?;
        Ok(Hello {
            cluster,
            from,
            to,
            purpose,
            nonce,
        })
    }
}

/// A connection is of no more use.
#[derive(Debug)]
pub(crate) enum FrameError {
    Io(io::Error),
    TooLarge {
        bytes: usize,
    },
    Checksum,
    Decode(DecodeError),
    /// The other side does not know the cluster's secret.
    NotProven,
    /// The other side said why it does not want us.
    Refused(String),
    /// The other side knows that this node was removed from the cluster.
    Removed,
    /// Nobody knows where that node is.
    Unknown(NodeId),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Io(error) => write!(f, "{error}"),
            FrameError::TooLarge { bytes } => {
                write!(f, "a frame of {bytes} bytes is larger than {FRAME_BYTES_MAX}")
            }
            FrameError::Checksum => write!(f, "a frame's checksum does not match"),
            FrameError::Decode(error) => write!(f, "{error}"),
            FrameError::NotProven => write!(f, "the other side does not know the cluster's secret"),
            FrameError::Refused(reason) => write!(f, "refused: {reason}"),
            FrameError::Removed => write!(f, "refused: this node was removed from the cluster"),
            FrameError::Unknown(node) => write!(f, "it is not known where node {node} is"),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> FrameError {
        FrameError::Io(error)
    }
}

impl From<DecodeError> for FrameError {
    fn from(error: DecodeError) -> FrameError {
        FrameError::Decode(error)
    }
}

/// What stands before a frame's content.
pub(crate) fn frame_head(content: &[u8]) -> [u8; 8] {
    let head = u64::from(crc32c::crc32c(content)) << 32 | u64::from(content.len() as u32);
    head.to_le_bytes()
}

/// Appends one frame to a buffer that is to be written.
pub(crate) fn put_frame(out: &mut BytesMut, content: &[u8]) {
    out.reserve(content.len() + 8);
    out.extend_from_slice(&frame_head(content));
    out.extend_from_slice(content);
}

/// Writes one frame, with one system call when the socket takes it.
pub(crate) async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), content: &[u8]) -> io::Result<()> {
    let mut out = BytesMut::new();
    put_frame(&mut out, content);
    stream.write_all(&out).await?;
    stream.flush().await
}

/// Room for a frame as long as the last one is kept up to here: large ones would be moved as they grow.
const KEPT_ROOM_BYTES: usize = (1 << 20) + 128;

/// Cuts frames out of a stream.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    buffer: BytesMut,
    /// Of the last frame: the next may be as long.
    last_bytes: usize,
}

impl FrameReader {
    /// A frame that has arrived whole.
    pub fn next_buffered(&mut self, max_bytes: usize) -> Result<Option<Bytes>, FrameError> {
        let Some(head) = self.buffer.first_chunk::<8>() else {
            return Ok(None);
        };
        let mut head = Decoder::new(head);
        let bytes = head.fixed_u32()? as usize;
        let checksum = head.fixed_u32()?;
        if bytes > max_bytes {
            return Err(FrameError::TooLarge { bytes });
        }
        if self.buffer.len() < 8 + bytes {
            return Ok(None);
        }
        self.last_bytes = 8 + bytes;
        let mut frame = self.buffer.split_to(8 + bytes).freeze();
        let content = frame.split_off(8);
        if crc32c::crc32c(&content) != checksum {
            return Err(FrameError::Checksum);
        }
        Ok(Some(content))
    }

    /// The next frame; `None` when the other side closed between frames.
    pub async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        max_bytes: usize,
    ) -> Result<Option<Bytes>, FrameError> {
        loop {
            if let Some(frame) = self.next_buffered(max_bytes)? {
                return Ok(Some(frame));
            }
            // Memory follows what has really arrived, not what a length promises.
            let as_last = self
                .last_bytes
                .min(KEPT_ROOM_BYTES)
                .saturating_sub(self.buffer.len());
            self.buffer.reserve(as_last.max(64 << 10));
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into()))
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_survives_the_wire_and_another_version_is_refused() {
        let hello = Hello {
            cluster: ClusterId(7),
            from: NodeId(1),
            to: NodeId(2),
            purpose: Purpose::Forward,
            nonce: [5; PROOF_BYTES],
        };
        let mut bytes = hello.encode();
        assert_eq!(Hello::decode(&bytes), Ok(hello));
        bytes[4] = 9;
        assert!(matches!(
            Hello::decode(&bytes),
            Err(DecodeError::UnknownVersion { version: 9, .. })
        ));
    }

    #[test]
    fn a_flipped_bit_and_an_oversized_length_are_found() {
        let mut out = BytesMut::new();
        put_frame(&mut out, b"content");
        let mut flipped = out.clone();
        flipped[10] ^= 1;
        let mut reader = FrameReader {
            last_bytes: 0,
            buffer: flipped,
        };
        assert!(matches!(reader.next_buffered(100), Err(FrameError::Checksum)));
        let mut reader = FrameReader {
            last_bytes: 0,
            buffer: out,
        };
        assert!(matches!(
            reader.next_buffered(3),
            Err(FrameError::TooLarge { bytes: 7 })
        ));
    }
}
