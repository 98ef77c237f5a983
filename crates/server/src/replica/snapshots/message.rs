//! What the two ends of a seeding say to each other.
//!
//! The receiver: [`Ask`]. The source: [`Answer`]. The receiver, once it has looked at what it has: the offset to go on
//! from. The source: [`Piece`]s, the last one the end. The receiver, once all is on its disk: an empty frame, with which the
//! source is free.

use bellwether_storage::snapshot::{ImageId, SnapshotInfo};
use bellwether_types::codec::{DecodeError, Decoder, Encoder};
use bellwether_types::{Configuration, DatabaseId, NodeId, Position};
use bytes::Bytes;

use super::chunk;

/// The receiver's first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    pub database: DatabaseId,
    /// An older image is of no use.
    pub at_least: Position,
    /// Of which a part is there.
    pub part: Option<ImageId>,
}

impl Ask {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.u64(u64::from(self.database.0));
        self.at_least.encode(&mut out);
        out.option(self.part, |out, part| out.u128(part.0));
        out.into_vec()
    }

    pub fn decode(bytes: &[u8]) -> Result<Ask, DecodeError> {
        let mut input = Decoder::new(bytes);
        let ask = Ask {
            database: DatabaseId(input.u32("database")?),
            at_least: Position::decode(&mut input)?,
            part: input.option(|input| Ok(ImageId(input.u128()?)))?,
        };
        input.finish()?;
        Ok(ask)
    }
}

/// What the source says before the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub id: ImageId,
    pub position: Position,
    pub bytes: u64,
    /// The group, as stored in it.
    pub configuration: Configuration,
}

/// Why a node gives no image now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has no such database.
    NoReplica,
    /// It has none itself that can be given.
    Seeding,
    /// It gives one to another node.
    Busy,
    /// Its own is at this position.
    TooOld(Position),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Head(Head),
    Refused(Refusal),
}

/// Frozen.
mod tag {
    pub const HEAD: u8 = 0;
    pub const NO_REPLICA: u8 = 1;
    pub const SEEDING: u8 = 2;
    pub const BUSY: u8 = 3;
    pub const TOO_OLD: u8 = 4;
    pub const CHUNK: u8 = 0;
    pub const END: u8 = 1;
}

impl Answer {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        match self {
            Answer::Head(head) => {
                out.u8(tag::HEAD);
                out.u128(head.id.0);
                head.position.encode(&mut out);
                out.u64(head.bytes);
                head.configuration.encode(&mut out);
            }
            Answer::Refused(Refusal::NoReplica) => out.u8(tag::NO_REPLICA),
            Answer::Refused(Refusal::Seeding) => out.u8(tag::SEEDING),
            Answer::Refused(Refusal::Busy) => out.u8(tag::BUSY),
            Answer::Refused(Refusal::TooOld(position)) => {
                out.u8(tag::TOO_OLD);
                position.encode(&mut out);
            }
        }
        out.into_vec()
    }

    pub fn decode(bytes: &[u8]) -> Result<Answer, DecodeError> {
        let mut input = Decoder::new(bytes);
        let answer = match input.u8()? {
            tag::HEAD => Answer::Head(Head {
                id: ImageId(input.u128()?),
                position: Position::decode(&mut input)?,
                bytes: input.u64()?,
                configuration: Configuration::decode(&mut input)?,
            }),
            tag::NO_REPLICA => Answer::Refused(Refusal::NoReplica),
            tag::SEEDING => Answer::Refused(Refusal::Seeding),
            tag::BUSY => Answer::Refused(Refusal::Busy),
            tag::TOO_OLD => Answer::Refused(Refusal::TooOld(Position::decode(&mut input)?)),
            other => {
                return Err(DecodeError::UnknownTag {
                    what: "an answer to who asks for an image",
                    tag: u64::from(other),
                });
            }
        };
        input.finish()?;
        Ok(answer)
    }
}

/// What the source says after the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// As [`chunk::decode`] reads it.
    Chunk(Bytes),
    End(SnapshotInfo),
}

impl Piece {
    /// Appends a chunk of the image at `offset`.
    pub fn encode_chunk(image: ImageId, offset: u64, content: &[u8], out: &mut Encoder) {
        out.u8(tag::CHUNK);
        chunk::encode(image, offset, content, out);
    }

    /// The last one.
    pub fn encode_end(info: SnapshotInfo, out: &mut Encoder) {
        out.u8(tag::END);
        info.encode(out);
    }

    pub fn decode(bytes: &Bytes) -> Result<Piece, DecodeError> {
        let mut input = Decoder::new(bytes);
        match input.u8()? {
            tag::CHUNK => Ok(Piece::Chunk(bytes.slice_ref(input.rest()))),
            tag::END => {
                let info = SnapshotInfo::decode(&mut input)?;
                input.finish()?;
                Ok(Piece::End(info))
            }
            other => Err(DecodeError::UnknownTag {
                what: "a piece of an image",
                tag: u64::from(other),
            }),
        }
    }
}

/// Drawn by this node: who wants to go on with the image knows whom to ask.
pub(super) fn image_of(node: NodeId, random: u64) -> ImageId {
    ImageId(u128::from(node.0) << 64 | u128::from(random))
}

/// Who gives this image.
pub(super) fn source_of(image: ImageId) -> NodeId {
    NodeId((image.0 >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_reads_back_and_what_is_cut_is_refused() {
        let position = Position::new(3, 99);
        let id = image_of(NodeId(5), u64::MAX);
        assert_eq!(source_of(id), NodeId(5));
        for part in [None, Some(id)] {
            let ask = Ask {
                database: DatabaseId(1),
                at_least: position,
                part,
            };
            let bytes = ask.encode();
            assert_eq!(Ask::decode(&bytes), Ok(ask));
            assert!(Ask::decode(&bytes[..bytes.len() - 1]).is_err());
        }
        let head = Head {
            id,
            position,
            bytes: 1 << 40,
            configuration: Configuration::default().with_voter(NodeId(1)),
        };
        for answer in [
            Answer::Head(head),
            Answer::Refused(Refusal::NoReplica),
            Answer::Refused(Refusal::Seeding),
            Answer::Refused(Refusal::Busy),
            Answer::Refused(Refusal::TooOld(position)),
        ] {
            let bytes = answer.encode();
            assert_eq!(Answer::decode(&bytes), Ok(answer));
            assert!(Answer::decode(&bytes[..bytes.len() - 1]).is_err());
        }
        assert!(Answer::decode(&[9]).is_err());
        let info = SnapshotInfo {
            position,
            bytes: 7,
            checksum: 8,
        };
        let mut out = Encoder::new();
        Piece::encode_end(info, &mut out);
        assert_eq!(Piece::decode(&out.into_vec().into()), Ok(Piece::End(info)));
        assert!(Piece::decode(&Bytes::from_static(&[2])).is_err() && Piece::decode(&Bytes::new()).is_err());
    }
}
