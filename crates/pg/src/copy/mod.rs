//! COPY: what the statement says, and rows in its three formats (PostgreSQL 15, "COPY", file formats).
//!
//! Promises: bytes from the client are decoded as they come, with memory for one row and one message; a row that is
//! no row is an error that names its line. What COPY does elsewhere with files and programs of the server is refused.

mod csv;
mod decode;
mod encode;
mod text;

use bellwether_types::{ErrorKind, SqlError};

pub(crate) use decode::Decoder;
pub(crate) use encode::{put_end, put_header, put_row};

/// Longest row in text, with its line end: a gigabyte is PostgreSQL's limit, a message's ours.
const MAX_LINE_BYTES: usize = 128 << 20;

/// A COPY statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What is read or written.
    pub(crate) source: Source,
    /// Which way.
    pub(crate) direction: Direction,
    /// How rows are written.
    pub(crate) layout: Layout,
}

/// What is read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Names as they are written, quotes included; no columns: all.
    Table { name: String, columns: Vec<String> },
    /// The text between the parentheses.
    Query(String),
}

/// Which way rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// FROM STDIN.
    In,
    /// TO STDOUT.
    Out,
}

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Layout {
    Text(Text),
    Csv(Csv),
    Binary,
}

impl Layout {
    pub(crate) fn is_binary(&self) -> bool {
        matches!(self, Layout::Binary)
    }
}

/// FORMAT text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub delimiter: u8,
    pub null: String,
    pub header: Header,
}

/// FORMAT csv.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Csv {
    pub delimiter: u8,
    pub quote: u8,
    pub escape: u8,
    pub null: String,
    pub header: Header,
    pub force_quote: Columns,
    pub force_not_null: Columns,
    pub force_null: Columns,
}

/// The first line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Header {
    /// A row.
    #[default]
    None,
    /// Names: written, or skipped.
    Names,
    /// Names, which must be those of the columns.
    Match,
}

/// Some of the columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Columns {
    /// Of none.
    #[default]
    None,
    /// Of all.
    All,
    /// By name.
    Named(Vec<String>),
}

impl Columns {
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Columns::None => false,
            Columns::All => true,
            Columns::Named(names) => names.iter().any(|named| named.eq_ignore_ascii_case(name)),
        }
    }
}

/// Bytes that are no row.
fn bad(message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::BadCopy, message)
}

impl Copy {
    /// The statement that answers the rows to be written, or the columns to be read.
    pub(crate) fn select(&self) -> String {
        match &self.source {
            Source::Query(sql) => sql.clone(),
            Source::Table { name, columns } if columns.is_empty() => format!("SELECT * FROM {name}"),
            Source::Table { name, columns } => format!("SELECT {} FROM {name}", columns.join(", ")),
        }
    }

    /// As errors name it.
    pub(crate) fn target(&self) -> &str {
        match &self.source {
            Source::Table { name, .. } => name,
            Source::Query(_) => "query",
        }
    }
}
