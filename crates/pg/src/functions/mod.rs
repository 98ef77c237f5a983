//! PostgreSQL's functions that SQLite lacks, and those that translated texts call.
//!
//! Promises: each is a function of its arguments alone; any arguments are answered, never with a panic, and never
//! with more than `MAX_RESULT_BYTES`. What a later version answers is the same, since indexes and checks may be
//! made of them. Names that SQLite has keep SQLite's functions: none of them is here with as many arguments.

pub(crate) mod array;
mod cast;
pub(crate) mod civil;
mod date;
mod digest;
mod format;
mod interval;
mod like;
mod number;
pub(crate) mod quote;
mod regular;
mod text;
mod to_char;

use std::borrow::Cow;

use bellwether_types::{Arity, Call, ErrorKind, ScalarFunction, SqlError, Value, ValueRef};

/// The longest value that a function makes out of shorter ones.
const MAX_RESULT_BYTES: usize = 64 << 20;

/// A function's arguments.
type Args<'a, 'v> = &'a [ValueRef<'v>];
/// A function's answer.
type Answer = Result<Value, SqlError>;

const fn pure(name: &'static str, min: u8, max: u8, call: fn(Args<'_, '_>) -> Answer) -> ScalarFunction {
    ScalarFunction {
        name,
        arguments: Arity::between(min, max),
        call: Call::Pure(call),
    }
}

const fn any_number(name: &'static str, min: u8, call: fn(Args<'_, '_>) -> Answer) -> ScalarFunction {
    ScalarFunction {
        name,
        arguments: Arity::at_least(min),
        call: Call::Pure(call),
    }
}

/// All of them, to be registered in SQLite.
pub const FUNCTIONS: &[ScalarFunction] = &[
    pure("cast_int2", 1, 1, cast::int2),
    pure("cast_int4", 1, 1, cast::int4),
    pure("cast_int8", 1, 1, cast::int8),
    pure("cast_oid", 1, 1, cast::oid),
    pure("cast_float4", 1, 1, cast::float4),
    pure("cast_float8", 1, 1, cast::float8),
    pure("cast_numeric", 1, 3, cast::numeric),
    pure("cast_bool", 1, 1, cast::boolean),
    pure("cast_bytea", 1, 1, cast::bytea),
    pure("cast_uuid", 1, 1, cast::uuid),
    pure("cast_varchar", 2, 2, cast::varchar),
    pure("cast_array", 2, 2, array::cast),
    pure("cast_date", 1, 1, date::cast_date),
    pure("cast_time", 1, 1, date::cast_time),
    pure("cast_timestamp", 1, 1, date::cast_timestamp),
    pure("cast_timestamptz", 1, 1, date::cast_timestamptz),
    any_number("array_of", 0, array::of),
    pure("array_to_json", 1, 1, array::json::to_json),
    pure("array_from_json", 1, 1, array::json::from_json),
    pure("array_has", 2, 2, array::has),
    pure("array_get", 2, 2, array::get),
    pure("array_cat", 2, 2, array::cat),
    pure("array_append", 2, 2, array::append),
    pure("array_prepend", 2, 2, array::prepend),
    pure("array_remove", 2, 2, array::remove),
    pure("array_position", 2, 2, array::position),
    pure("array_length", 2, 2, array::length),
    pure("array_lower", 2, 2, array::lower),
    pure("array_upper", 2, 2, array::upper),
    pure("cardinality", 1, 1, array::cardinality),
    pure("array_to_string", 2, 3, array::to_string),
    pure("string_to_array", 2, 3, array::from_string),
    pure("pair_of", 2, 2, array::pair_of),
    pure("pair_part", 2, 2, array::pair_part),
    pure("series", 2, 3, array::series),
    pure("regexp_like", 2, 3, regular::like),
    pure("regexp_part", 2, 2, regular::part),
    pure("regexp_match", 2, 3, regular::matched),
    pure("regexp_replace", 3, 4, regular::replace),
    pure("regexp_count", 2, 2, regular::count),
    pure("regexp_split_to_array", 2, 3, regular::split),
    pure("similar_to", 2, 3, regular::similar_to),
    pure("ilike", 2, 3, like::ilike),
    pure("pg_like", 2, 2, like::like),
    pure("starts_with", 2, 2, text::starts_with),
    pure("left", 2, 2, text::left),
    pure("right", 2, 2, text::right),
    pure("lpad", 2, 3, text::lpad),
    pure("rpad", 2, 3, text::rpad),
    pure("split_part", 3, 3, text::split_part),
    pure("overlay", 3, 4, text::overlay),
    pure("text_substr", 2, 3, text::substr),
    pure("reverse", 1, 1, text::reverse),
    pure("repeat", 2, 2, text::repeat),
    pure("translate", 3, 3, text::translate),
    pure("initcap", 1, 1, text::initcap),
    pure("chr", 1, 1, text::chr),
    pure("ascii", 1, 1, text::ascii),
    pure("bit_length", 1, 1, text::bit_length),
    pure("md5", 1, 1, digest::md5),
    pure("encode", 2, 2, digest::encode),
    pure("decode", 2, 2, digest::decode),
    pure("uuid_from_random", 1, 1, digest::uuid_from_random),
    pure("quote_ident", 1, 1, quote::ident),
    pure("quote_literal", 1, 1, quote::literal),
    pure("quote_nullable", 1, 1, quote::nullable),
    any_number("pg_format", 1, format::format),
    pure("pg_typeof", 1, 1, cast::type_of),
    any_number("greatest", 1, number::greatest),
    any_number("least", 1, number::least),
    pure("cbrt", 1, 1, number::cbrt),
    pure("div", 2, 2, number::div),
    pure("trunc", 2, 2, number::trunc),
    pure("bit_xor", 2, 2, number::bit_xor),
    pure("to_hex", 1, 1, number::to_hex),
    pure("date_trunc", 2, 2, date::trunc),
    pure("date_part", 2, 2, date::part),
    pure("extract", 2, 2, date::part),
    pure("timezone", 2, 2, date::timezone),
    pure("date_add", 3, 3, date::add),
    pure("date_add_days", 2, 2, date::add_days),
    pure("date_difference", 2, 2, date::difference),
    pure("make_date", 3, 3, date::make_date),
    pure("make_timestamp", 6, 6, date::make_timestamp),
    pure("to_timestamp", 1, 1, date::to_timestamp),
    pure("to_char", 2, 2, to_char::to_char),
];

/// Answers NULL if an argument is NULL, as most of PostgreSQL's functions do.
fn strict(args: Args<'_, '_>, compute: impl FnOnce() -> Answer) -> Answer {
    if args.contains(&ValueRef::Null) {
        return Ok(Value::Null);
    }
    compute()
}

/// An argument as text, as SQLite's CAST spells it.
pub(crate) fn as_text<'v>(value: &ValueRef<'v>) -> Result<Cow<'v, str>, SqlError> {
    match *value {
        ValueRef::Null => Ok(Cow::Borrowed("")),
        ValueRef::Integer(number) => Ok(Cow::Owned(number.to_string())),
        ValueRef::Real(number) => Ok(Cow::Owned(spell(number))),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => std::str::from_utf8(bytes)
            .map(Cow::Borrowed)
            .map_err(|_| SqlError::new(ErrorKind::NotUtf8, "invalid byte sequence for encoding \"UTF8\"")),
    }
}

/// A real as PostgreSQL spells it: `1`, `1.5`, `1e+20`.
fn spell(number: f64) -> String {
    let mut out = Vec::new();
    crate::types::put_float8(number, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// An argument as a whole number.
fn as_integer(value: &ValueRef<'_>) -> Result<i64, SqlError> {
    match cast::to_integer(value, i64::MIN, i64::MAX, "bigint")? {
        Value::Integer(number) => Ok(number),
        _ => Ok(0),
    }
}

/// An argument as a number.
fn as_real(value: &ValueRef<'_>) -> Result<f64, SqlError> {
    Ok(match cast::float8(&[*value])? {
        Value::Real(number) => number,
        _ => 0.0,
    })
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::InvalidText, message)
}

fn out_of_range(message: impl Into<String>) -> SqlError {
    SqlError::new(ErrorKind::OutOfRange, message)
}

/// Refuses to make a value that is too long.
fn check_size(bytes: usize) -> Result<(), SqlError> {
    if bytes > MAX_RESULT_BYTES {
        let message = format!("a result of {bytes} bytes is too long: the limit is {MAX_RESULT_BYTES}");
        return Err(SqlError::new(ErrorKind::ProgramLimit, message));
    }
    Ok(())
}

/// Text, checked for its length.
fn text_value(text: String) -> Answer {
    check_size(text.len())?;
    Ok(Value::Text(text))
}
