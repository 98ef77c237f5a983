//! What became of a transaction whose answer was lost.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::position::Position;
use crate::statement::CommandTag;

/// As the leader's request table has it, which keeps the last request of each session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was executed; what it answered, and where its record stands.
    Committed(CommandTag, Position),
    /// It was not, and never will be: the record that says so.
    RuledOut(Position),
    /// It is not committed, but may still come.
    Open {
        /// Whether anything of its session is remembered.
        is_known: bool,
    },
    /// A later one of its session was executed: this one is not remembered.
    GoneOn,
}

/// Frozen.
mod tag {
    pub const COMMITTED: u8 = 1;
    pub const RULED_OUT: u8 = 2;
    pub const OPEN: u8 = 3;
    pub const GONE_ON: u8 = 4;
}

impl Outcome {
    /// Where the record stands that decided it.
    pub fn position(&self) -> Option<Position> {
        match self {
            Outcome::Committed(_, position) | Outcome::RuledOut(position) => Some(*position),
            Outcome::Open { .. } | Outcome::GoneOn => None,
        }
    }

    /// Appends it.
    pub fn encode(&self, out: &mut Encoder) {
        match self {
            Outcome::Committed(tag, position) => {
                out.u8(tag::COMMITTED);
                tag.encode(out);
                position.encode(out);
            }
            Outcome::RuledOut(position) => {
                out.u8(tag::RULED_OUT);
                position.encode(out);
            }
            Outcome::Open { is_known } => {
                out.u8(tag::OPEN);
                out.bool(*is_known);
            }
            Outcome::GoneOn => out.u8(tag::GONE_ON),
        }
    }

    /// Reads what [`Outcome::encode`] wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Outcome, DecodeError> {
        Ok(match input.u8()? {
            tag::COMMITTED => Outcome::Committed(CommandTag::decode(input)?, Position::decode(input)?),
            tag::RULED_OUT => Outcome::RuledOut(Position::decode(input)?),
            tag::OPEN => Outcome::Open {
                is_known: input.bool()?,
            },
            tag::GONE_ON => Outcome::GoneOn,
            other => {
                return Err(DecodeError::UnknownTag {
                    what: "outcome",
                    tag: u64::from(other),
                });
            }
        })
    }
}
