//! The first 128 bytes of a segment: whose it is and where in the log it starts.
//!
//! Frozen for every version: the length, the magic in front, the version after it, the checksum in the last
//! four bytes. So rot is never mistaken for another version.

use bellwether_types::codec::{DecodeError, Decoder, Encoder};
use bellwether_types::id::{ClusterId, DatabaseId, NodeId};
use bellwether_types::position::{LogIndex, Position, Term};

/// Bytes before the first frame.
pub const HEADER_BYTES: usize = 128;

const MAGIC: [u8; 8] = *b"bellwlog";
const CHECKSUM_AT: usize = HEADER_BYTES - 4;

/// The version that this build writes, and the only one that it reads.
pub(crate) const VERSION: u32 = 1;

/// Whose log it is. A directory of another one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node that wrote it: a log, with the votes in it, belongs to one voter.
    pub node: NodeId,
    /// The database.
    pub database: DatabaseId,
}

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whose log.
    pub identity: Identity,
    /// The how-manieth segment of this directory, from 1; never reused. Also the file's name.
    pub sequence: u64,
    /// The last position of the log when the segment was created.
    pub base: Position,
    /// Whether the log begins here: all earlier segments are void (a new log, or a snapshot was installed).
    pub starts_anew: bool,
    /// Where the frames of the segment before end, all durable. 0 when `starts_anew`.
    pub previous_end: u32,
}

impl Header {
    /// The bytes, and the seed of the checksums of all frames in the segment.
    pub fn encode(&self) -> (Vec<u8>, u32) {
        let mut out = Encoder::new();
        out.raw(&MAGIC);
        out.fixed_u32(VERSION);
        out.fixed_u32(u32::from(self.starts_anew));
        out.u128(self.identity.cluster.0);
        out.fixed_u64(self.identity.node.0);
        out.fixed_u32(self.identity.database.0);
        out.fixed_u32(self.previous_end);
        out.fixed_u64(self.sequence);
        out.fixed_u64(self.base.term.0);
        out.fixed_u64(self.base.index.0);
        out.raw(&vec![0; CHECKSUM_AT - out.len()]);
        let checksum = crc32c::crc32c(out.as_slice());
        out.fixed_u32(checksum);
        (out.into_vec(), checksum)
    }

    /// Reads what `encode` wrote from the front of `bytes`; the seed beside it.
    pub fn decode(bytes: &[u8]) -> Result<(Header, u32), DecodeError> {
        let bytes = bytes.get(..HEADER_BYTES).ok_or(DecodeError::Truncated)?;
        let seed = Decoder::new(&bytes[CHECKSUM_AT..]).fixed_u32()?;
        if crc32c::crc32c(&bytes[..CHECKSUM_AT]) != seed {
            return Err(DecodeError::Checksum);
        }
        let mut input = Decoder::new(bytes);
        let magic = input.fixed_u64()?;
        if magic != u64::from_le_bytes(MAGIC) {
            return Err(DecodeError::UnknownTag {
                what: "log segment",
                tag: magic,
            });
        }
        let version = u64::from(input.fixed_u32()?);
        if version != u64::from(VERSION) {
            return Err(DecodeError::UnknownVersion {
                what: "log segment",
                version,
            });
        }
        let starts_anew = match input.fixed_u32()? {
            0 => false,
            1 => true,
            other => {
                return Err(DecodeError::UnknownTag {
                    what: "segment flag",
                    tag: u64::from(other),
                });
            }
        };
        let cluster = ClusterId(input.u128()?);
        let node = NodeId(input.fixed_u64()?);
        let identity = Identity {
            cluster,
            node,
            database: DatabaseId(input.fixed_u32()?),
        };
        let previous_end = input.fixed_u32()?;
        let sequence = input.fixed_u64()?;
        let base = Position {
            term: Term(input.fixed_u64()?),
            index: LogIndex(input.fixed_u64()?),
        };
        Ok((
            Header {
                identity,
                sequence,
                base,
                starts_anew,
                previous_end,
            },
            seed,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let identity = Identity {
            cluster: ClusterId(7),
            node: NodeId(2),
            database: DatabaseId(1),
        };
        Header {
            identity,
            sequence: 9,
            base: Position::new(3, 44),
            starts_anew: false,
            previous_end: 4096,
        }
    }

    #[test]
    fn a_header_reads_back() {
        let (bytes, seed) = header().encode();
        assert_eq!(bytes.len(), HEADER_BYTES);
        assert_eq!(Header::decode(&bytes), Ok((header(), seed)));
    }

    #[test]
    fn any_flipped_bit_of_a_header_is_a_checksum_mismatch() {
        let (bytes, _) = header().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped), Err(DecodeError::Checksum), "bit {bit}");
        }
    }

    #[test]
    fn a_short_header_is_truncated() {
        let (bytes, _) = header().encode();
        assert_eq!(
            Header::decode(&bytes[..HEADER_BYTES - 1]),
            Err(DecodeError::Truncated)
        );
    }
}
