//! SQL values as SQLite stores them: five storage classes.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::error::{ErrorKind, SqlError};

/// A value that owns its bytes. Text is UTF-8: bytes that are not are refused where they enter.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// SQL NULL.
    #[default]
    Null,
    /// 64-bit signed.
    Integer(i64),
    /// IEEE 754 double; SQLite has no NaN (it stores NULL).
    Real(f64),
    /// UTF-8.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A borrowed value. Text is bytes here: SQLite lets `CAST(x'ff' AS TEXT)` in, and a replica must hold the
/// very same bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    /// SQL NULL.
    Null,
    /// 64-bit signed.
    Integer(i64),
    /// IEEE 754 double.
    Real(f64),
    /// Usually UTF-8.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
}

/// Frozen: on disk and on the wire.
mod tag {
    pub const NULL: u8 = 0;
    pub const INTEGER: u8 = 1;
    pub const REAL: u8 = 2;
    pub const TEXT: u8 = 3;
    pub const BLOB: u8 = 4;
}

impl<'a> ValueRef<'a> {
    /// A text that is UTF-8; `None` for anything else, NULL too.
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            ValueRef::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// Appends tag and content: integer as zigzag varint, real as 8 bytes, text and blob with length.
    pub fn encode(self, out: &mut Encoder) {
        match self {
            ValueRef::Null => out.u8(tag::NULL),
            ValueRef::Integer(value) => {
                out.u8(tag::INTEGER);
                out.i64(value);
            }
            ValueRef::Real(value) => {
                out.u8(tag::REAL);
                out.fixed_u64(value.to_bits());
            }
            ValueRef::Text(value) => {
                out.u8(tag::TEXT);
                out.bytes(value);
            }
            ValueRef::Blob(value) => {
                out.u8(tag::BLOB);
                out.bytes(value);
            }
        }
    }

    /// A copy that owns its bytes; text that is not UTF-8 is an error.
    pub fn to_value(self) -> Result<Value, SqlError> {
        Ok(match self {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(value) => Value::Integer(value),
            ValueRef::Real(value) => Value::Real(value),
            ValueRef::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => Value::Text(text.to_owned()),
                Err(_) => return Err(SqlError::new(ErrorKind::NotUtf8, "a text is not UTF-8")),
            },
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        })
    }

    /// Reads what `encode` wrote; borrows from the input.
    pub fn decode(input: &mut Decoder<'a>) -> Result<ValueRef<'a>, DecodeError> {
        match input.u8()? {
            tag::NULL => Ok(ValueRef::Null),
            tag::INTEGER => Ok(ValueRef::Integer(input.i64()?)),
            tag::REAL => Ok(ValueRef::Real(f64::from_bits(input.fixed_u64()?))),
            tag::TEXT => Ok(ValueRef::Text(input.bytes()?)),
            tag::BLOB => Ok(ValueRef::Blob(input.bytes()?)),
            other => Err(DecodeError::UnknownTag {
                what: "value",
                tag: u64::from(other),
            }),
        }
    }
}

impl Value {
    /// Borrows.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Real(value) => ValueRef::Real(*value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Blob(value) => ValueRef::Blob(value),
        }
    }

    /// Appends as [`ValueRef::encode`].
    pub fn encode(&self, out: &mut Encoder) {
        self.as_ref().encode(out);
    }

    /// Reads an owned value; text that is not UTF-8 is an error.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Value, DecodeError> {
        Ok(match ValueRef::decode(input)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(value) => Value::Integer(value),
            ValueRef::Real(value) => Value::Real(value),
            ValueRef::Text(value) => {
                Value::Text(String::from_utf8(value.to_vec()).map_err(|_| DecodeError::NotUtf8)?)
            }
            ValueRef::Blob(value) => Value::Blob(value.to_vec()),
        })
    }

    /// Bytes this value holds, for bounds on queues and results.
    pub fn size_bytes(&self) -> usize {
        match self {
            Value::Null | Value::Integer(_) | Value::Real(_) => 8,
            Value::Text(value) => value.len() + 8,
            Value::Blob(value) => value.len() + 8,
        }
    }
}
