//! Conversions as PostgreSQL's casts do them: what does not fit is an error, where SQLite makes something of it.

use bellwether_types::{SqlError, Value, ValueRef};

use super::{Answer, Args, as_text, invalid, out_of_range, strict};
use crate::types::parameter;
use crate::types::{Format, Type};

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

/// A whole number between two others: reals are rounded, halves away from zero as PostgreSQL's numerics.
pub(super) fn to_integer(value: &ValueRef<'_>, least: i64, greatest: i64, name: &str) -> Answer {
    let range = || out_of_range(format!("{name} out of range"));
    let number = match *value {
        ValueRef::Null => return Ok(Value::Null),
        ValueRef::Integer(number) => number,
        ValueRef::Real(number) => {
            let whole = number.round();
            // -2^63 is a float exactly; 2^63 is the first above the range.
            if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&whole) {
                return Err(range());
            }
            whole as i64
        }
        ValueRef::Text(_) | ValueRef::Blob(_) => {
            let text = as_text(value)?;
            let trimmed = text.trim();
            let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                let message = format!("invalid input syntax for type {name}: \"{}\"", shown(&text));
                return Err(invalid(message));
            }
            trimmed.parse().map_err(|_| {
                out_of_range(format!(
                    "value \"{}\" is out of range for type {name}",
                    shown(trimmed)
                ))
            })?
        }
    };
    if !(least..=greatest).contains(&number) {
        return Err(range());
    }
    Ok(Value::Integer(number))
}

pub(super) fn int2(args: Args<'_, '_>) -> Answer {
    to_integer(&args[0], i64::from(i16::MIN), i64::from(i16::MAX), "smallint")
}

pub(super) fn int4(args: Args<'_, '_>) -> Answer {
    to_integer(&args[0], i64::from(i32::MIN), i64::from(i32::MAX), "integer")
}

pub(super) fn int8(args: Args<'_, '_>) -> Answer {
    to_integer(&args[0], i64::MIN, i64::MAX, "bigint")
}

pub(super) fn oid(args: Args<'_, '_>) -> Answer {
    to_integer(&args[0], 0, i64::from(u32::MAX), "oid")
}

/// A text read as a client's parameter of that type would be.
fn from_text(type_: Type, value: &ValueRef<'_>) -> Answer {
    let text = as_text(value)?;
    parameter::decode(type_.oid(), Format::Text, text.as_bytes())
}

pub(super) fn float8(args: Args<'_, '_>) -> Answer {
    Ok(match args[0] {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Real(number as f64),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(_) | ValueRef::Blob(_) => return from_text(Type::Float8, &args[0]),
    })
}

pub(super) fn float4(args: Args<'_, '_>) -> Answer {
    Ok(match float8(args)? {
        Value::Real(number) => {
            let short = number as f32;
            if short.is_infinite() && number.is_finite() {
                return Err(out_of_range("value out of range: overflow"));
            }
            Value::Real(f64::from(short))
        }
        other => other,
    })
}

/// `numeric`, `numeric(precision)`, `numeric(precision, scale)`. Values are SQLite's numbers: 64 bits.
pub(super) fn numeric(args: Args<'_, '_>) -> Answer {
    let value = match args[0] {
        ValueRef::Null => return Ok(Value::Null),
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(_) | ValueRef::Blob(_) => from_text(Type::Numeric, &args[0])?,
    };
    let Some(ValueRef::Integer(precision)) = args.get(1) else {
        return Ok(value);
    };
    let scale = match args.get(2) {
        Some(ValueRef::Integer(scale)) => *scale,
        _ => 0,
    };
    let (Ok(digits), Ok(scale)) = (i32::try_from(precision - scale), i32::try_from(scale)) else {
        return Err(out_of_range("numeric field overflow"));
    };
    let limit = 10f64.powi(digits);
    Ok(match value {
        Value::Integer(number) if (number as f64).abs() < limit => value,
        Value::Real(number) => {
            let rounded = round_to(number, scale);
            if rounded.abs() >= limit {
                return Err(out_of_range("numeric field overflow"));
            }
            Value::Real(rounded)
        }
        _ => return Err(out_of_range("numeric field overflow")),
    })
}

/// Half away from zero, of the digits that the number is written with.
pub(super) fn round_to(number: f64, scale: i32) -> f64 {
    let factor = 10f64.powi(scale.clamp(-300, 300));
    let scaled = number * factor;
    if !scaled.is_finite() {
        return number;
    }
    // 1.005 is stored a little below: what is within the error of the product is the half that was written.
    let nudge = scaled.abs() * f64::EPSILON;
    let rounded = (scaled.abs() + nudge).round().copysign(number);
    rounded / factor
}

pub(super) fn boolean(args: Args<'_, '_>) -> Answer {
    Ok(match args[0] {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(i64::from(number != 0)),
        ValueRef::Real(number) => Value::Integer(i64::from(number != 0.0)),
        ValueRef::Text(_) | ValueRef::Blob(_) => return from_text(Type::Bool, &args[0]),
    })
}

pub(super) fn bytea(args: Args<'_, '_>) -> Answer {
    Ok(match args[0] {
        ValueRef::Null => Value::Null,
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        _ => return from_text(Type::Bytea, &args[0]),
    })
}

pub(super) fn uuid(args: Args<'_, '_>) -> Answer {
    strict(args, || match args[0] {
        ValueRef::Blob(bytes) if bytes.len() == 16 => Ok(Value::Text(parameter::print_uuid(
            bytes.try_into().expect("16 bytes"),
        ))),
        _ => from_text(Type::Uuid, &args[0]),
    })
}

/// `varchar(n)`: what is too long is cut.
pub(super) fn varchar(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let text = as_text(&args[0])?;
        let most = usize::try_from(super::as_integer(&args[1])?).unwrap_or(0);
        Ok(Value::Text(text.chars().take(most).collect()))
    })
}

/// The type that a value has in SQLite, by PostgreSQL's name.
pub(super) fn type_of(args: Args<'_, '_>) -> Answer {
    let name = match args[0] {
        ValueRef::Null => "unknown",
        ValueRef::Integer(_) => "bigint",
        ValueRef::Real(_) => "double precision",
        ValueRef::Text(_) => "text",
        ValueRef::Blob(_) => "bytea",
    };
    Ok(Value::Text(name.to_owned()))
}

/// For conversions that only texts have.
pub(super) fn needs_text<'v>(
    value: &ValueRef<'v>,
    name: &str,
) -> Result<std::borrow::Cow<'v, str>, SqlError> {
    match value {
        ValueRef::Text(_) => as_text(value),
        ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) | ValueRef::Null => {
            Err(invalid(format!("a value of this kind is no {name}"))
                .with_hint("Dates and times are texts: datetime(x, 'unixepoch') makes one of seconds."))
        }
    }
}
