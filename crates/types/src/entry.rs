//! What a group persists: log entries and the hard state.

use bytes::Bytes;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::id::NodeId;
use crate::position::{LogIndex, Position, Term};

/// One place of the log. The payload is opaque to log and consensus; empty = a new leader's first entry,
/// which carries no change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub position: Position,
    /// A [`crate::Payload`], encoded, or empty.
    pub payload: Bytes,
}

/// The most bytes of payload in one entry. Larger changes are cut into chunks (see [`crate::Payload`]).
pub const MAX_PAYLOAD_BYTES: usize = 4 << 20;

impl Entry {
    /// Bytes it counts for in bounds.
    pub fn size_bytes(&self) -> usize {
        self.payload.len() + 32
    }

    /// Appends term, index, payload.
    pub fn encode(&self, out: &mut Encoder) {
        self.position.encode(out);
        out.bytes(&self.payload);
    }

    /// Reads what `encode` wrote; copies the payload.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Entry, DecodeError> {
        let position = Position::decode(input)?;
        let payload = input.bytes()?;
        if payload.len() > MAX_PAYLOAD_BYTES {
            let value = payload.len() as u64;
            return Err(DecodeError::OutOfRange {
                what: "entry payload bytes",
                value,
            });
        }
        Ok(Entry {
            position,
            payload: Bytes::copy_from_slice(payload),
        })
    }
}

/// What a voter must not forget (Ongaro's dissertation §3.8): its term and vote. `commit` is a hint that spares
/// work after a restart; losing it is safe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HardState {
    /// The latest term seen. Never decreases.
    pub term: Term,
    /// Whom this node voted for in `term`.
    pub vote: Option<NodeId>,
    /// The commit index known when this was written.
    pub commit: LogIndex,
}

impl HardState {
    /// Appends the three.
    pub fn encode(&self, out: &mut Encoder) {
        out.u64(self.term.0);
        out.u64(self.vote.map_or(0, |node| node.0));
        out.u64(self.commit.0);
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<HardState, DecodeError> {
        let term = Term(input.u64()?);
        let vote = input.u64()?;
        let commit = LogIndex(input.u64()?);
        Ok(HardState {
            term,
            vote: (vote != 0).then_some(NodeId(vote)),
            commit,
        })
    }
}
