//! How a record describes its change: one file per format, `encode` and `decode` side by side.

use crate::codec::DecodeError;

pub mod row;

/// The format of a record's body. Numbers are frozen: they are in every log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Format {
    /// Row images by table, DDL as statements: [`row`].
    Row = 1,
}

impl Format {
    /// The frozen number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Of a number read.
    pub fn from_number(number: u8) -> Result<Format, DecodeError> {
        match number {
            1 => Ok(Format::Row),
            other => Err(DecodeError::UnknownTag {
                what: "record format",
                tag: u64::from(other),
            }),
        }
    }

    /// The name used in SQL, metrics and tools.
    pub fn name(self) -> &'static str {
        match self {
            Format::Row => "row",
        }
    }
}
