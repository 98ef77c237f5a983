//! Parameters' bytes as SQLite's values, by the type that the client declared or that was inferred.

use bellwether_types::{ErrorKind, SqlError, Value};

use super::{Format, Oid, Type, array, decimal, moment};

/// PostgreSQL's `unknown`: a literal whose type is not said.
const UNKNOWN: Oid = Oid(705);

/// A parameter that is not NULL. `oid` 0 and types that are not ours are text; their binary form is refused.
pub fn decode(oid: Oid, format: Format, bytes: &[u8]) -> Result<Value, SqlError> {
    let type_ = match oid {
        Oid(0) | UNKNOWN => Type::Text,
        oid => match (Type::from_oid(oid), format) {
            (Some(type_), _) => type_,
            (None, Format::Text) => Type::Text,
            (None, Format::Binary) => return Err(no_binary(&format!("oid {}", oid.0))),
        },
    };
    match format {
        Format::Text => from_text(type_, utf8(bytes)?),
        Format::Binary => from_binary(type_, bytes),
    }
}

fn no_binary(type_name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::NotSupported,
        format!("binary parameters of type {type_name} are not supported"),
    )
    .with_hint("Send it as text, or CAST it in the statement from a type that is.")
}

fn invalid(type_: Type, text: &str) -> SqlError {
    let shown: String = text.chars().take(100).collect();
    SqlError::new(
        ErrorKind::InvalidText,
        format!("invalid input syntax for type {}: \"{shown}\"", type_.name()),
    )
}

fn out_of_range(type_: Type, text: &str) -> SqlError {
    SqlError::new(
        ErrorKind::OutOfRange,
        format!("value \"{text}\" is out of range for type {}", type_.name()),
    )
}

/// PostgreSQL's text cannot hold a zero byte; ours neither, so that what is stored can be read back.
fn utf8(bytes: &[u8]) -> Result<&str, SqlError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => Ok(text),
        _ => Err(SqlError::new(
            ErrorKind::NotUtf8,
            "invalid byte sequence for encoding \"UTF8\"",
        )),
    }
}

/// The smallest and the greatest number of an integer type.
fn integer_range(type_: Type) -> (i64, i64) {
    match type_ {
        Type::Int2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        Type::Int4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Type::Oid => (0, i64::from(u32::MAX)),
        _ => (i64::MIN, i64::MAX),
    }
}

fn from_text(type_: Type, text: &str) -> Result<Value, SqlError> {
    let trimmed = text.trim();
    Ok(match type_ {
        Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid => {
            let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(invalid(type_, text));
            }
            let (least, greatest) = integer_range(type_);
            match trimmed.parse::<i64>() {
                Ok(number) if (least..=greatest).contains(&number) => Value::Integer(number),
                _ => return Err(out_of_range(type_, trimmed)),
            }
        }
        Type::Float4 | Type::Float8 => Value::Real(float(type_, trimmed)?),
        Type::Numeric => match trimmed.parse::<i64>() {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Real(float(type_, trimmed)?),
        },
        Type::Bool => Value::Integer(i64::from(boolean(trimmed).ok_or_else(|| invalid(type_, text))?)),
        Type::Bytea => Value::Blob(bytea(text).ok_or_else(|| invalid(type_, text))?),
        Type::Uuid => {
            let bytes = parse_uuid(trimmed).ok_or_else(|| invalid(type_, text))?;
            Value::Text(print_uuid(bytes))
        }
        Type::Text | Type::Varchar | Type::Bpchar | Type::Name | Type::Json | Type::Jsonb => {
            Value::Text(text.to_owned())
        }
        // SQLite's own words (`now`), and what is no date at all, are the statement's business.
        Type::Date | Type::Time | Type::Timestamp | Type::Timestamptz => {
            Value::Text(moment::canonical(type_, text).unwrap_or_else(|| text.to_owned()))
        }
        Type::Char => Value::Text(text.to_owned()),
        array if array.element().is_some() => Value::Text(text.to_owned()),
        _ => return Err(invalid(type_, text)),
    })
}

/// NaN is refused: SQLite would store NULL.
fn float(type_: Type, text: &str) -> Result<f64, SqlError> {
    let number: f64 = text.parse().map_err(|_| invalid(type_, text))?;
    if number.is_nan() {
        return Err(out_of_range(type_, text).with_hint("Store NULL instead."));
    }
    let spelled_out = text.trim_start_matches(['-', '+']).starts_with(['i', 'I']);
    if number.is_infinite() && !spelled_out {
        return Err(out_of_range(type_, text));
    }
    Ok(number)
}

fn boolean(text: &str) -> Option<bool> {
    let word = text.to_ascii_lowercase();
    let begins = |full: &str, shortest: usize| word.len() >= shortest && full.starts_with(&word);
    if word == "1" || begins("true", 1) || begins("yes", 1) || begins("on", 2) {
        return Some(true);
    }
    (word == "0" || begins("false", 1) || begins("no", 1) || begins("off", 2)).then_some(false)
}

/// `\x` and hexadecimal digits, or plain bytes with `\\` and `\ooo`.
fn bytea(text: &str) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        return if rest.is_empty() {
            pairs.iter().map(|&pair| hex_byte(pair)).collect()
        } else {
            None
        };
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'\\' {
            bytes.push(first);
        } else if rest.first() == Some(&b'\\') {
            bytes.push(b'\\');
            rest = &rest[1..];
        } else {
            let (digits, tail) = rest.split_first_chunk::<3>()?;
            let digits = std::str::from_utf8(digits)
                .ok()
                .filter(|digits| !digits.starts_with('+'))?;
            bytes.push(u8::from_str_radix(digits, 8).ok()?);
            rest = tail;
        }
    }
    Some(bytes)
}

fn hex_byte([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

/// With or without hyphens and braces.
pub(super) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let inner = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
        .unwrap_or(text);
    let digits: Vec<u8> = inner.bytes().filter(|&byte| byte != b'-').collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != 16 || !rest.is_empty() {
        return None;
    }
    let bytes: Option<Vec<u8>> = pairs.iter().map(|&pair| hex_byte(pair)).collect();
    bytes?.try_into().ok()
}

/// Lower case, 8-4-4-4-12.
pub(crate) fn print_uuid(bytes: [u8; 16]) -> String {
    let number = format!("{:032x}", u128::from_be_bytes(bytes));
    format!(
        "{}-{}-{}-{}-{}",
        &number[..8],
        &number[8..12],
        &number[12..16],
        &number[16..20],
        &number[20..]
    )
}

fn from_binary(type_: Type, bytes: &[u8]) -> Result<Value, SqlError> {
    let wrong_length = || {
        let message = format!(
            "incorrect binary data format for type {}: {} bytes",
            type_.name(),
            bytes.len()
        );
        SqlError::new(ErrorKind::InvalidText, message)
    };
    Ok(match type_ {
        Type::Int2 => Value::Integer(i64::from(i16::from_be_bytes(
            bytes.try_into().map_err(|_| wrong_length())?,
        ))),
        Type::Int4 => Value::Integer(i64::from(i32::from_be_bytes(
            bytes.try_into().map_err(|_| wrong_length())?,
        ))),
        Type::Oid => Value::Integer(i64::from(u32::from_be_bytes(
            bytes.try_into().map_err(|_| wrong_length())?,
        ))),
        Type::Int8 => Value::Integer(i64::from_be_bytes(bytes.try_into().map_err(|_| wrong_length())?)),
        Type::Float4 => not_nan(
            type_,
            f64::from(f32::from_be_bytes(bytes.try_into().map_err(|_| wrong_length())?)),
        )?,
        Type::Float8 => not_nan(
            type_,
            f64::from_be_bytes(bytes.try_into().map_err(|_| wrong_length())?),
        )?,
        Type::Bool => match bytes {
            [flag] => Value::Integer(i64::from(*flag != 0)),
            _ => return Err(wrong_length()),
        },
        Type::Bytea => Value::Blob(bytes.to_vec()),
        Type::Uuid => Value::Text(print_uuid(bytes.try_into().map_err(|_| wrong_length())?)),
        Type::Jsonb => match bytes.split_first() {
            Some((1, text)) => Value::Text(utf8(text)?.to_owned()),
            _ => return Err(wrong_length()),
        },
        Type::Text | Type::Varchar | Type::Bpchar | Type::Name | Type::Json => {
            Value::Text(utf8(bytes)?.to_owned())
        }
        Type::Date | Type::Time | Type::Timestamp | Type::Timestamptz => {
            Value::Text(moment::from_binary(type_, bytes).ok_or_else(wrong_length)?)
        }
        Type::Numeric => from_text(type_, &decimal::from_binary(bytes).ok_or_else(wrong_length)?)?,
        Type::Char => match bytes {
            [0] => Value::Text(String::new()),
            _ => Value::Text(utf8(bytes)?.to_owned()),
        },
        array => array::from_binary(array, bytes).ok_or_else(wrong_length)??,
    })
}

fn not_nan(type_: Type, number: f64) -> Result<Value, SqlError> {
    if number.is_nan() {
        return Err(out_of_range(type_, "NaN").with_hint("Store NULL instead."));
    }
    Ok(Value::Real(number))
}

#[cfg(test)]
mod tests {
    use super::super::put_value;
    use super::*;
    use proptest::prelude::*;

    fn text(type_: Type, text: &str) -> Result<Value, ErrorKind> {
        decode(type_.oid(), Format::Text, text.as_bytes()).map_err(|error| error.kind)
    }

    #[test]
    fn text_parameters_are_read_by_their_type() {
        for (type_, given, expected) in [
            (Type::Int4, " -12 ", Value::Integer(-12)),
            (Type::Int8, "9223372036854775807", Value::Integer(i64::MAX)),
            (Type::Float8, "1.5e3", Value::Real(1500.0)),
            (Type::Float8, "-Infinity", Value::Real(f64::NEG_INFINITY)),
            (Type::Bool, "t", Value::Integer(1)),
            (Type::Bool, "OFF", Value::Integer(0)),
            (Type::Bytea, "\\x00fF", Value::Blob(vec![0, 255])),
            (Type::Bytea, "a\\\\b\\001", Value::Blob(b"a\\b\x01".to_vec())),
            (Type::Numeric, "12", Value::Integer(12)),
            (Type::Numeric, "1.50", Value::Real(1.5)),
            (Type::Text, " x ", Value::Text(" x ".into())),
            (
                Type::Timestamp,
                "2024-01-02 03:04:05",
                Value::Text("2024-01-02 03:04:05".into()),
            ),
            (
                Type::Uuid,
                "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}",
                Value::Text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".into()),
            ),
        ] {
            assert_eq!(text(type_, given), Ok(expected), "{type_:?} {given:?}");
        }
    }

    #[test]
    fn text_that_is_not_of_its_type_is_refused() {
        for (type_, given, kind) in [
            (Type::Int4, "abc", ErrorKind::InvalidText),
            (Type::Int4, "1.5", ErrorKind::InvalidText),
            (Type::Int4, "", ErrorKind::InvalidText),
            (Type::Int4, "2147483648", ErrorKind::OutOfRange),
            (Type::Int8, "9223372036854775808", ErrorKind::OutOfRange),
            (Type::Float8, "x", ErrorKind::InvalidText),
            (Type::Float8, "NaN", ErrorKind::OutOfRange),
            (Type::Float8, "1e999", ErrorKind::OutOfRange),
            (Type::Bool, "o", ErrorKind::InvalidText),
            (Type::Bytea, "\\x0", ErrorKind::InvalidText),
            (Type::Bytea, "\\9", ErrorKind::InvalidText),
            (Type::Uuid, "1234", ErrorKind::InvalidText),
            (Type::Text, "a\0b", ErrorKind::NotUtf8),
        ] {
            assert_eq!(text(type_, given), Err(kind), "{type_:?} {given:?}");
        }
    }

    #[test]
    fn binary_of_a_type_that_is_not_ours_is_not_supported() {
        for oid in [Oid(1186), Oid(600)] {
            assert_eq!(
                decode(oid, Format::Binary, &[0; 8]).map_err(|e| e.kind),
                Err(ErrorKind::NotSupported)
            );
        }
    }

    fn any_value() -> impl Strategy<Value = (Type, Value)> {
        prop_oneof![
            any::<i64>().prop_map(|n| (Type::Int8, Value::Integer(n))),
            any::<i32>().prop_map(|n| (Type::Int4, Value::Integer(n.into()))),
            any::<i16>().prop_map(|n| (Type::Int2, Value::Integer(n.into()))),
            any::<u32>().prop_map(|n| (Type::Oid, Value::Integer(n.into()))),
            any::<bool>().prop_map(|b| (Type::Bool, Value::Integer(b.into()))),
            prop::num::f64::NORMAL.prop_map(|n| (Type::Float8, Value::Real(n))),
            prop::num::f32::NORMAL.prop_map(|n| (Type::Float4, Value::Real(n.into()))),
            "[^\0]{0,40}".prop_map(|s| (Type::Text, Value::Text(s))),
            "[^\0]{0,40}".prop_map(|s| (Type::Varchar, Value::Text(s))),
            "[^\0]{0,40}".prop_map(|s| (Type::Jsonb, Value::Text(s))),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|b| (Type::Bytea, Value::Blob(b))),
            any::<[u8; 16]>().prop_map(|b| (Type::Uuid, Value::Text(print_uuid(b)))),
        ]
    }

    proptest! {
        #[test]
        fn what_is_sent_as_a_result_is_read_as_a_parameter((type_, value) in any_value(), binary in any::<bool>()) {
            let format = if binary { Format::Binary } else { Format::Text };
            let mut bytes = Vec::new();
            put_value(type_, format, value.as_ref(), &mut bytes).expect("of its type");
            // float4 is printed with its own shortest digits, so it is compared as float4.
            match (type_, &value, decode(type_.oid(), format, &bytes)) {
                (Type::Float4, Value::Real(sent), Ok(Value::Real(read))) => prop_assert_eq!(*sent as f32, read as f32),
                (_, _, read) => prop_assert_eq!(read, Ok(value)),
            }
        }

        #[test]
        fn any_bytes_of_any_type_are_answered(oid in 0u32..4000, binary in any::<bool>(), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let format = if binary { Format::Binary } else { Format::Text };
            let _ = decode(Oid(oid), format, &bytes);
        }
    }
}
