//! Where a record stands in the log.

use std::fmt;
use std::str::FromStr;

use crate::codec::{DecodeError, Decoder, Encoder};

/// A leader's reign. Grows with each election; 0 before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

/// A place in the log: dense, from 1; 0 is "before the first".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogIndex(pub u64);

impl LogIndex {
    /// The place after this one.
    pub fn next(self) -> LogIndex {
        LogIndex(self.0 + 1)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The position of a record. Among *committed* records terms never decrease with the index, so the derived
/// order (term first) is the log's order. `Position::ZERO` is "nothing yet".
///
/// Printed as a PostgreSQL `pg_lsn`, `XXXXXXXX/YYYYYYYY`: term in the upper 20 bits, index in the lower 44.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The reign in which the record was proposed.
    pub term: Term,
    /// Its place.
    pub index: LogIndex,
}

const INDEX_BITS: u32 = 44;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

impl Position {
    /// Before the first record.
    pub const ZERO: Position = Position {
        term: Term(0),
        index: LogIndex(0),
    };

    /// Of plain numbers.
    pub fn new(term: u64, index: u64) -> Position {
        Position {
            term: Term(term),
            index: LogIndex(index),
        }
    }

    /// As one 64-bit `pg_lsn`. Terms above 2^20 - 1 and indexes above 2^44 - 1 do not fit and saturate; at
    /// 10,000 records a second the index lasts 55 years.
    pub fn to_lsn(self) -> u64 {
        (self.term.0.min((1 << 20) - 1) << INDEX_BITS) | self.index.0.min(INDEX_MASK)
    }

    /// The inverse of [`Position::to_lsn`].
    pub fn from_lsn(lsn: u64) -> Position {
        Position::new(lsn >> INDEX_BITS, lsn & INDEX_MASK)
    }

    /// Appends both numbers as varints.
    pub fn encode(self, out: &mut Encoder) {
        out.u64(self.term.0);
        out.u64(self.index.0);
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Position, DecodeError> {
        Ok(Position {
            term: Term(input.u64()?),
            index: LogIndex(input.u64()?),
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lsn = self.to_lsn();
        write!(f, "{:X}/{:08X}", lsn >> 32, lsn & 0xFFFF_FFFF)
    }
}

/// The text is not `HEX/HEX` with at most eight digits on either side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPosition(pub String);

impl fmt::Display for InvalidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid position {:?}: expected two hexadecimal numbers as in 0/2A",
            self.0
        )
    }
}

impl std::error::Error for InvalidPosition {}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Position, InvalidPosition> {
        let invalid = || InvalidPosition(text.to_owned());
        let (high, low) = text.split_once('/').ok_or_else(invalid)?;
        let half = |part: &str| u32::from_str_radix(part, 16).map_err(|_| invalid());
        Ok(Position::from_lsn(
            (u64::from(half(high)?) << 32) | u64::from(half(low)?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_prints_and_parses_as_an_lsn() {
        for position in [Position::ZERO, Position::new(1, 1), Position::new(77, 1 << 40)] {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        assert_eq!(Position::new(1, 42).to_string(), "1000/0000002A");
    }

    #[test]
    fn what_is_not_an_lsn_is_refused() {
        for text in ["", "1", "1/", "/1", "x/1", "123456789/0"] {
            assert!(text.parse::<Position>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_later_term_orders_after_a_longer_log() {
        assert!(Position::new(2, 5) > Position::new(1, 9));
    }
}
