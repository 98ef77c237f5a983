//! The row format's body: changes in the order in which they were made.
//!
//! A body is a plain concatenation of changes, so that it can be cut into chunks at any byte and read as it
//! arrives. A change names its table by [`TableId`]; columns are named by their place among the table's *stored*
//! columns (generated ones are computed anew by whoever applies), in declaration order, from 0.
//!
//! Applying in order reproduces the leader's own sequence of row operations, so no constraint can fail that did
//! not fail there.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::id::TableId;
use crate::value::ValueRef;

/// What names a row for UPDATE and DELETE, and where an INSERT puts it.
#[derive(Debug, Clone, PartialEq)]
pub enum RowKey<'a> {
    /// Of a table with rowids, whether or not an INTEGER PRIMARY KEY shows them.
    Rowid(i64),
    /// Of a WITHOUT ROWID table: the primary key's columns in key order.
    Primary(Vec<ValueRef<'a>>),
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Change<'a> {
    /// A schema statement (DDL), to be run as it is, after everything before it.
    Schema {
        /// One statement, SQLite's dialect.
        sql: &'a str,
    },
    /// A row that was not there.
    Insert {
        /// Where.
        table: TableId,
        /// Absent for WITHOUT ROWID: the key is among the values.
        rowid: Option<i64>,
        /// All stored columns.
        values: Vec<ValueRef<'a>>,
    },
    /// A row that was there, with other values.
    Update {
        /// Where.
        table: TableId,
        /// The key *before* the change.
        key: RowKey<'a>,
        /// The rowid after the change, when it moved.
        moved_to: Option<i64>,
        /// Changed columns by place, ascending, with their new values.
        columns: Vec<(u32, ValueRef<'a>)>,
        /// All stored columns before the change; there while somebody outside reads the log. Whoever applies needs none.
        before: Option<Vec<ValueRef<'a>>>,
    },
    /// A row that is gone.
    Delete {
        /// Where.
        table: TableId,
        /// Which.
        key: RowKey<'a>,
        /// As in an update.
        before: Option<Vec<ValueRef<'a>>>,
    },
    /// The after-value of `sqlite_sequence` for one AUTOINCREMENT table; `None`: its line is gone.
    Sequence {
        /// Whose.
        table: TableId,
        /// The largest rowid ever given out.
        value: Option<i64>,
    },
}

/// Frozen.
mod tag {
    pub const SCHEMA: u8 = 1;
    pub const INSERT: u8 = 2;
    pub const UPDATE: u8 = 3;
    pub const DELETE: u8 = 4;
    pub const SEQUENCE: u8 = 5;
    pub const UPDATE_WITH_IMAGE: u8 = 6;
    pub const DELETE_WITH_IMAGE: u8 = 7;
    pub const KEY_ROWID: u8 = 0;
    pub const KEY_PRIMARY: u8 = 1;
}

fn encode_values(values: &[ValueRef<'_>], out: &mut Encoder) {
    out.u64(values.len() as u64);
    for value in values {
        value.encode(out);
    }
}

fn decode_values<'a>(input: &mut Decoder<'a>) -> Result<Vec<ValueRef<'a>>, DecodeError> {
    let count = input.count()?;
    (0..count).map(|_| ValueRef::decode(input)).collect()
}

impl<'a> RowKey<'a> {
    fn encode(&self, out: &mut Encoder) {
        match self {
            RowKey::Rowid(rowid) => {
                out.u8(tag::KEY_ROWID);
                out.i64(*rowid);
            }
            RowKey::Primary(values) => {
                out.u8(tag::KEY_PRIMARY);
                encode_values(values, out);
            }
        }
    }

    fn decode(input: &mut Decoder<'a>) -> Result<RowKey<'a>, DecodeError> {
        match input.u8()? {
            tag::KEY_ROWID => Ok(RowKey::Rowid(input.i64()?)),
            tag::KEY_PRIMARY => Ok(RowKey::Primary(decode_values(input)?)),
            other => Err(DecodeError::UnknownTag {
                what: "row key",
                tag: u64::from(other),
            }),
        }
    }
}

impl<'a> Change<'a> {
    /// Appends the change.
    pub fn encode(&self, out: &mut Encoder) {
        match self {
            Change::Schema { sql } => {
                out.u8(tag::SCHEMA);
                out.str(sql);
            }
            Change::Insert { table, rowid, values } => {
                out.u8(tag::INSERT);
                out.u64(u64::from(table.0));
                out.option(*rowid, |out, rowid| out.i64(rowid));
                encode_values(values, out);
            }
            Change::Update {
                table,
                key,
                moved_to,
                columns,
                before,
            } => {
                out.u8(match before {
                    None => tag::UPDATE,
                    Some(_) => tag::UPDATE_WITH_IMAGE,
                });
                out.u64(u64::from(table.0));
                key.encode(out);
                out.option(*moved_to, |out, rowid| out.i64(rowid));
                out.u64(columns.len() as u64);
                for (place, value) in columns {
                    out.u64(u64::from(*place));
                    value.encode(out);
                }
                if let Some(before) = before {
                    encode_values(before, out);
                }
            }
            Change::Delete { table, key, before } => {
                out.u8(match before {
                    None => tag::DELETE,
                    Some(_) => tag::DELETE_WITH_IMAGE,
                });
                out.u64(u64::from(table.0));
                key.encode(out);
                if let Some(before) = before {
                    encode_values(before, out);
                }
            }
            Change::Sequence { table, value } => {
                out.u8(tag::SEQUENCE);
                out.u64(u64::from(table.0));
                out.option(*value, |out, value| out.i64(value));
            }
        }
    }

    /// Reads the next change. `Truncated` may mean that the rest is in the next chunk.
    pub fn decode(input: &mut Decoder<'a>) -> Result<Change<'a>, DecodeError> {
        let tag = input.u8()?;
        if tag == tag::SCHEMA {
            return Ok(Change::Schema { sql: input.str()? });
        }
        let table = TableId(input.u32("table id")?);
        match tag {
            tag::INSERT => Ok(Change::Insert {
                table,
                rowid: input.option(Decoder::i64)?,
                values: decode_values(input)?,
            }),
            tag::UPDATE | tag::UPDATE_WITH_IMAGE => {
                let key = RowKey::decode(input)?;
                let moved_to = input.option(Decoder::i64)?;
                let count = input.count()?;
                let columns = (0..count)
                    .map(|_| Ok((input.u32("column place")?, ValueRef::decode(input)?)))
                    .collect::<Result<_, DecodeError>>()?;
                Ok(Change::Update {
                    table,
                    key,
                    moved_to,
                    columns,
                    before: match tag {
                        tag::UPDATE => None,
                        _ => Some(decode_values(input)?),
                    },
                })
            }
            tag::DELETE | tag::DELETE_WITH_IMAGE => Ok(Change::Delete {
                table,
                key: RowKey::decode(input)?,
                before: match tag {
                    tag::DELETE => None,
                    _ => Some(decode_values(input)?),
                },
            }),
            tag::SEQUENCE => Ok(Change::Sequence {
                table,
                value: input.option(Decoder::i64)?,
            }),
            other => Err(DecodeError::UnknownTag {
                what: "row change",
                tag: u64::from(other),
            }),
        }
    }
}
