//! SQLite's values as values of the described type, in text or binary.

use bellwether_types::{ErrorKind, SqlError, ValueRef};

use super::parameter::{parse_uuid, print_uuid};
use super::{Type, array, decimal, moment, print};

/// Format code of text.
pub const FORMAT_TEXT: i16 = 0;
/// Format code of binary.
pub const FORMAT_BINARY: i16 = 1;

/// How a value is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// As a person reads it.
    #[default]
    Text,
    /// PostgreSQL's own representation, big-endian.
    Binary,
}

impl Format {
    /// The code on the wire.
    pub fn code(self) -> i16 {
        match self {
            Format::Text => FORMAT_TEXT,
            Format::Binary => FORMAT_BINARY,
        }
    }

    /// Of the code on the wire.
    pub fn from_code(code: i16) -> Result<Format, SqlError> {
        match code {
            FORMAT_TEXT => Ok(Format::Text),
            FORMAT_BINARY => Ok(Format::Binary),
            other => Err(SqlError::new(
                ErrorKind::Protocol,
                format!("unsupported format code: {other}"),
            )),
        }
    }
}

/// A value that is not of the described type; what stands in the way is told by storage class.
fn mismatch(type_: Type, value: ValueRef<'_>) -> SqlError {
    let class = match value {
        ValueRef::Null => "NULL",
        ValueRef::Integer(_) => "an integer",
        ValueRef::Real(_) => "a real",
        ValueRef::Text(_) => "text",
        ValueRef::Blob(_) => "a blob",
    };
    SqlError::new(
        ErrorKind::DatatypeMismatch,
        format!("{class} does not fit type {}", type_.name()),
    )
    .with_hint("CAST the expression to the type that its values have.")
}

/// Appends a value, without its length. NULL is the caller's: it has no content.
pub fn put_value(
    type_: Type,
    format: Format,
    value: ValueRef<'_>,
    out: &mut Vec<u8>,
) -> Result<(), SqlError> {
    let no_fit = || mismatch(type_, value);
    match type_ {
        Type::Int8 => put_integer::<8>(integer(value).ok_or_else(no_fit)?, format, out),
        Type::Int4 => {
            let number = integer(value).and_then(|number| i32::try_from(number).ok());
            put_integer::<4>(i64::from(number.ok_or_else(no_fit)?), format, out);
        }
        Type::Oid => {
            let number = integer(value).and_then(|number| u32::try_from(number).ok());
            put_integer::<4>(i64::from(number.ok_or_else(no_fit)?), format, out);
        }
        Type::Int2 => {
            let number = integer(value).and_then(|number| i16::try_from(number).ok());
            put_integer::<2>(i64::from(number.ok_or_else(no_fit)?), format, out);
        }
        Type::Bool => match (integer(value), format) {
            (Some(number @ 0..=1), Format::Text) => out.push(if number == 1 { b't' } else { b'f' }),
            (Some(number @ 0..=1), Format::Binary) => out.push(number as u8),
            _ => return Err(no_fit()),
        },
        Type::Float8 | Type::Float4 => put_float(type_, format, real(value).ok_or_else(no_fit)?, out),
        Type::Numeric => put_numeric(format, value, out).ok_or_else(no_fit)?,
        Type::Bytea => match (value, format) {
            (ValueRef::Blob(bytes), Format::Text) => print::bytea(bytes, out),
            (ValueRef::Blob(bytes) | ValueRef::Text(bytes), Format::Binary) => out.extend_from_slice(bytes),
            (ValueRef::Text(bytes), Format::Text) => print::bytea(bytes, out),
            _ => return Err(no_fit()),
        },
        Type::Uuid => put_uuid(value, format, out)?,
        Type::Date | Type::Time | Type::Timestamp | Type::Timestamptz => match value {
            ValueRef::Text(text) => put_moment(type_, format, text, out)?,
            _ => return Err(no_fit()),
        },
        Type::Json | Type::Jsonb | Type::Text | Type::Varchar | Type::Bpchar | Type::Name => {
            put_any_text(type_, format, value, out)?;
        }
        _ => return put_catalog_value(type_, format, value, out),
    }
    Ok(())
}

/// Of `"char"` and of arrays.
fn put_catalog_value(
    type_: Type,
    format: Format,
    value: ValueRef<'_>,
    out: &mut Vec<u8>,
) -> Result<(), SqlError> {
    let no_fit = || mismatch(type_, value);
    let text = value.as_str().ok_or_else(no_fit)?;
    match (type_, format) {
        // As PostgreSQL sends none: one zero byte.
        (Type::Char, Format::Binary) if text.is_empty() => out.push(0),
        (Type::Char, _) | (_, Format::Text) => out.extend_from_slice(text.as_bytes()),
        (_, Format::Binary) => array::put_binary(type_, text, out).ok_or_else(no_fit)??,
    }
    Ok(())
}

fn put_float(type_: Type, format: Format, number: f64, out: &mut Vec<u8>) {
    match (type_, format) {
        (Type::Float4, Format::Text) => print::float4(number as f32, out),
        (Type::Float4, Format::Binary) => out.extend_from_slice(&(number as f32).to_be_bytes()),
        (_, Format::Text) => print::float8(number, out),
        (_, Format::Binary) => out.extend_from_slice(&number.to_be_bytes()),
    }
}

/// `None`: it is no number.
fn put_numeric(format: Format, value: ValueRef<'_>, out: &mut Vec<u8>) -> Option<()> {
    let mut text = Vec::new();
    match value {
        ValueRef::Integer(number) => print::integer(number, &mut text),
        ValueRef::Real(number) => print::decimal(number, &mut text),
        ValueRef::Text(digits) if is_numeric(digits) => text.extend_from_slice(digits),
        _ => return None,
    }
    if format == Format::Text {
        out.extend_from_slice(&text);
        return Some(());
    }
    let text = std::str::from_utf8(&text).ok()?;
    if decimal::put_binary(text, out).is_some() {
        return Some(());
    }
    // With an exponent: as the number that it is.
    let mut plain = Vec::new();
    print::decimal(text.parse().ok()?, &mut plain);
    decimal::put_binary(std::str::from_utf8(&plain).ok()?, out)
}

/// In text whatever stands there, but for what drivers do not take: a timestamptz without its offset.
fn put_moment(type_: Type, format: Format, text: &[u8], out: &mut Vec<u8>) -> Result<(), SqlError> {
    if format == Format::Text {
        put_text(text, out)?;
        // Not in the date, nor its first character.
        let has_offset = || {
            text.iter()
                .skip(11)
                .any(|byte| matches!(byte, b'+' | b'-' | b'Z' | b'z'))
        };
        if type_ == Type::Timestamptz && text.len() > 11 && !has_offset() {
            out.extend_from_slice(b"+00:00");
        }
        return Ok(());
    }
    let no_fit = || mismatch(type_, ValueRef::Text(text));
    let text = std::str::from_utf8(text).map_err(|_| no_fit())?;
    moment::put_binary(type_, text, out).ok_or_else(no_fit)
}

fn put_integer<const BYTES: usize>(number: i64, format: Format, out: &mut Vec<u8>) {
    match format {
        Format::Text => print::integer(number, out),
        Format::Binary => out.extend_from_slice(&number.to_be_bytes()[8 - BYTES..]),
    }
}

/// Numbers are texts too, where a text is wanted.
fn put_any_text(type_: Type, format: Format, value: ValueRef<'_>, out: &mut Vec<u8>) -> Result<(), SqlError> {
    if type_ == Type::Jsonb && format == Format::Binary {
        out.push(1);
    }
    match value {
        ValueRef::Text(text) => put_text(text, out)?,
        ValueRef::Integer(number) => print::integer(number, out),
        ValueRef::Real(number) => print::float8(number, out),
        ValueRef::Null | ValueRef::Blob(_) => return Err(mismatch(type_, value)),
    }
    Ok(())
}

fn put_text(text: &[u8], out: &mut Vec<u8>) -> Result<(), SqlError> {
    if std::str::from_utf8(text).is_err() {
        return Err(
            SqlError::new(ErrorKind::NotUtf8, "invalid byte sequence for encoding \"UTF8\"")
                .with_hint("CAST it to BLOB to read the bytes."),
        );
    }
    out.extend_from_slice(text);
    Ok(())
}

fn put_uuid(value: ValueRef<'_>, format: Format, out: &mut Vec<u8>) -> Result<(), SqlError> {
    let bytes = match value {
        ValueRef::Blob(bytes) => bytes.try_into().ok(),
        ValueRef::Text(text) => std::str::from_utf8(text).ok().and_then(parse_uuid),
        _ => None,
    };
    let bytes: [u8; 16] = bytes.ok_or_else(|| mismatch(Type::Uuid, value))?;
    match format {
        Format::Text => out.extend_from_slice(print_uuid(bytes).as_bytes()),
        Format::Binary => out.extend_from_slice(&bytes),
    }
    Ok(())
}

/// A whole number: SQLite keeps sums and products of REAL columns as reals even when they are whole.
fn integer(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(number) => Some(number),
        // -2^63 is a float exactly; 2^63 is the first above the range.
        ValueRef::Real(number)
            if number.fract() == 0.0
                && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number) =>
        {
            Some(number as i64)
        }
        _ => None,
    }
}

fn real(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Integer(number) => Some(number as f64),
        ValueRef::Real(number) => Some(number),
        _ => None,
    }
}

/// Digits with an optional sign, point and exponent: a decimal that was stored as text to keep all its digits.
fn is_numeric(text: &[u8]) -> bool {
    let is_shape = text
        .iter()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    is_shape && std::str::from_utf8(text).is_ok_and(|text| text.parse::<f64>().is_ok())
}
