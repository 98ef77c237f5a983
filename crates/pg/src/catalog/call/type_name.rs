//! Types' names as SQL writes them.

use bellwether_types::{Facts, Value};

use super::{Answer, Args, number_of};
use crate::catalog::data;
use crate::catalog::value::{number, text};

/// PostgreSQL's name of a type, and SQL's.
const SQL_NAMES: [(&str, &str); 15] = [
    ("bool", "boolean"),
    ("int2", "smallint"),
    ("int4", "integer"),
    ("int8", "bigint"),
    ("float4", "real"),
    ("float8", "double precision"),
    ("varchar", "character varying"),
    ("bpchar", "character"),
    ("char", "\"char\""),
    ("time", "time without time zone"),
    ("timetz", "time with time zone"),
    ("timestamp", "timestamp without time zone"),
    ("timestamptz", "timestamp with time zone"),
    ("decimal", "numeric"),
    ("int", "integer"),
];

/// With its modifier, -1 for none.
pub(in crate::catalog) fn type_name(oid: u32, modifier: i64) -> String {
    if oid == 0 {
        return "-".to_owned();
    }
    let of = |column| data::value("pg_type", data::type_row(i64::from(oid))?, column);
    let Some(Value::Text(name)) = of("typname") else {
        return "???".to_owned();
    };
    if let Some(element) = name.strip_prefix('_')
        && let Some(Value::Integer(element_oid)) = of("typelem")
        && element_oid != 0
        && !element.is_empty()
    {
        return format!(
            "{}[]",
            type_name(u32::try_from(element_oid).unwrap_or(0), modifier)
        );
    }
    let sql = SQL_NAMES.iter().find(|(known, _)| *known == name);
    let spelt = sql.map_or(name.as_str(), |(_, sql)| sql);
    match name.as_str() {
        "varchar" | "bpchar" if modifier > 4 => format!("{spelt}({})", modifier - 4),
        "numeric" if modifier >= 4 => {
            let packed = modifier - 4;
            format!("{spelt}({},{})", packed >> 16, packed & 0x7FF)
        }
        _ => spelt.to_owned(),
    }
}

/// A type's number, by either name; a length in parentheses is passed over.
pub(super) fn type_id(name: &str) -> Option<i64> {
    let name = name.trim().to_ascii_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    if let Some(element) = name.strip_suffix("[]") {
        let row = data::type_row(type_id(element)?)?;
        return match data::value("pg_type", row, "typarray") {
            Some(Value::Integer(oid)) if oid != 0 => Some(oid),
            _ => None,
        };
    }
    let (before, after) = match name.split_once('(') {
        Some((before, rest)) => (before, rest.split_once(')').map_or("", |(_, after)| after)),
        None => (name, ""),
    };
    let words: Vec<&str> = before
        .split_whitespace()
        .chain(after.split_whitespace())
        .collect();
    let plain = words.join(" ");
    let known = SQL_NAMES.iter().find(|(_, sql)| *sql == plain);
    let plain = match plain.as_str() {
        "int" => "int4",
        "decimal" => "numeric",
        // Unquoted it is character(1).
        "char" => "bpchar",
        _ => known.map_or(plain.as_str(), |(known, _)| known),
    };
    let row = data::find("pg_type", "typname", &text(plain))?;
    match data::value("pg_type", row, "oid") {
        Some(Value::Integer(oid)) => Some(oid),
        _ => None,
    }
}

pub(super) fn format_type(args: Args<'_, '_>, _: &Facts) -> Answer {
    let Some(oid) = number_of(args[0]) else {
        return Ok(Value::Null);
    };
    let modifier = number_of(args[1]).unwrap_or(-1);
    Ok(text(type_name(u32::try_from(oid).unwrap_or(u32::MAX), modifier)))
}

/// As a value.
pub(super) fn type_number(name: &str) -> Option<Value> {
    type_id(name).map(number)
}
