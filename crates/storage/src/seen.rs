//! What a client was answered when its transaction ran apart from others: enough to tell whether it would be answered
//! the same again.

use bellwether_types::codec::{DecodeError, Decoder, Encoder};
use bellwether_types::{
    CommandTag, ErrorKind, Fingerprint, SqlError, Statement, StatementResult, Value, ValueRef,
};

use crate::cursor::Cursor;
use crate::group::NoRows;
use crate::writer::Writer;

/// The answer to a statement, in a few bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// Of a query.
    Rows {
        /// Over the rows that the client fetched, in their order.
        digest: u128,
        /// How many it fetched.
        count: u64,
        /// Whether it saw the end.
        whole: bool,
    },
    /// Of a statement that answers no rows.
    Tag(CommandTag),
}

/// Rows in their order: a chain of hashes.
#[derive(Debug, Default, Clone)]
pub struct RowDigest {
    chain: Fingerprint,
    count: u64,
    row: Encoder,
}

impl RowDigest {
    /// The next row.
    pub fn add<'a>(&mut self, row: impl IntoIterator<Item = ValueRef<'a>>) {
        self.row.clear();
        self.row.u128(self.chain.0);
        for value in row {
            value.encode(&mut self.row);
        }
        self.chain = Fingerprint::of_row(self.row.as_slice());
        self.count += 1;
    }

    /// The row on which the cursor stands.
    pub fn add_current(&mut self, cursor: &Cursor) {
        self.add((0..cursor.columns().len()).map(|column| cursor.value(column)));
    }

    /// Of everything added. `whole`: the client saw the end.
    pub fn seen(&self, whole: bool) -> Seen {
        Seen::Rows {
            digest: self.chain.0,
            count: self.count,
            whole,
        }
    }
}

impl Seen {
    /// Of a whole answer.
    pub fn of(result: &StatementResult) -> Seen {
        if result.columns.is_empty() {
            return Seen::Tag(result.tag.clone());
        }
        let mut digest = RowDigest::default();
        for row in &result.rows {
            digest.add(row.iter().map(Value::as_ref));
        }
        digest.seen(true)
    }

    /// Appends all fields.
    pub fn encode(&self, out: &mut Encoder) {
        match self {
            Seen::Rows { digest, count, whole } => {
                out.u8(0);
                out.u128(*digest);
                out.u64(*count);
                out.bool(*whole);
            }
            Seen::Tag(tag) => {
                out.u8(1);
                tag.encode(out);
            }
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Seen, DecodeError> {
        match input.u8()? {
            0 => Ok(Seen::Rows {
                digest: input.u128()?,
                count: input.u64()?,
                whole: input.bool()?,
            }),
            1 => Ok(Seen::Tag(CommandTag::decode(input)?)),
            tag => Err(DecodeError::UnknownTag {
                what: "answer seen",
                tag: u64::from(tag),
            }),
        }
    }
}

impl Writer {
    /// Runs a statement of the open client transaction for good that its client has the answer to. 40001 when it is
    /// answered otherwise now.
    pub fn repeat(&mut self, statement: &Statement, seen: &Seen) -> Result<(), SqlError> {
        let is_same = match seen {
            Seen::Rows { count, whole, .. } => self
                .read_again(statement, *count, *whole)
                .map(|now| now.as_ref() == Some(seen)),
            Seen::Tag(tag) => self.execute(statement, &mut NoRows).map(|now| now == *tag),
        };
        match is_same {
            Ok(true) => Ok(()),
            Ok(false) => Err(not_serializable(
                "What this transaction was answered has changed since.".to_owned(),
            )),
            Err(error) if is_of_the_content(error.kind) => Err(not_serializable(format!(
                "A statement of this transaction that succeeded fails since: {}.",
                error.message
            ))),
            Err(error) => Err(error),
        }
    }

    /// `None`: there is less or more than that.
    fn read_again(
        &mut self,
        statement: &Statement,
        count: u64,
        whole: bool,
    ) -> Result<Option<Seen>, SqlError> {
        let mut cursor = self.open_cursor(statement)?;
        let mut digest = RowDigest::default();
        while digest.count < count {
            if !cursor.step()? {
                return Ok(None);
            }
            digest.add_current(&cursor);
        }
        if whole && cursor.step()? {
            return Ok(None);
        }
        Ok(Some(digest.seen(whole)))
    }
}

/// Whether an error says that the database is another than it was, and not that something is amiss.
fn is_of_the_content(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UndefinedTable
            | ErrorKind::UndefinedColumn
            | ErrorKind::UndefinedFunction
            | ErrorKind::AmbiguousColumn
            | ErrorKind::UniqueViolation
            | ErrorKind::NotNullViolation
            | ErrorKind::ForeignKeyViolation
            | ErrorKind::CheckViolation
            | ErrorKind::IntegrityViolation
            | ErrorKind::DatatypeMismatch
            | ErrorKind::InvalidText
            | ErrorKind::OutOfRange
    )
}

fn not_serializable(detail: String) -> SqlError {
    SqlError::new(
        ErrorKind::Serialization,
        "could not serialize access due to concurrent update",
    )
    .with_detail(detail)
    .with_hint("Retry the transaction.")
}
