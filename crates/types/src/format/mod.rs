//! How a record describes its change: one file per format, `encode` and `decode` side by side.

use std::fmt;
use std::str::FromStr;

use crate::codec::DecodeError;

pub mod row;
pub mod statement;

/// The format of a record's body. Numbers are frozen: they are in every log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Format {
    /// Row images by table, DDL as statements: [`row`].
    Row = 1,
    /// At least one statement as it was executed, with what it saw: [`statement`].
    Statement = 2,
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
            2 => Ok(Format::Statement),
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
            Format::Statement => "statement",
        }
    }
}

/// What a database's log is to be written in: its `bellwether.log_format`. Numbers are frozen: a change of it is in the
/// log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum LogFormat {
    /// Row images.
    #[default]
    Row = 1,
    /// Statements; what would not do the same everywhere is refused.
    Statement = 2,
    /// Statements; what would not do the same everywhere as row images.
    Mixed = 3,
}

impl LogFormat {
    /// All of them.
    pub const ALL: [LogFormat; 3] = [LogFormat::Row, LogFormat::Statement, LogFormat::Mixed];

    /// The frozen number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Of a number read.
    pub fn from_number(number: u8) -> Result<LogFormat, DecodeError> {
        let found = LogFormat::ALL
            .into_iter()
            .find(|format| format.number() == number);
        found.ok_or(DecodeError::UnknownTag {
            what: "log format",
            tag: u64::from(number),
        })
    }

    /// As SQL has it.
    pub fn name(self) -> &'static str {
        match self {
            LogFormat::Row => "row",
            LogFormat::Statement => "statement",
            LogFormat::Mixed => "mixed",
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No log format is called so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownLogFormat;

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(text: &str) -> Result<LogFormat, UnknownLogFormat> {
        let mut all = LogFormat::ALL.into_iter();
        all.find(|format| format.name().eq_ignore_ascii_case(text))
            .ok_or(UnknownLogFormat)
    }
}
