//! Rows that every database has: `data.txt`, taken from PostgreSQL 15.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bellwether_types::Value;
use bellwether_types::extension::RowKey;

use super::shape;

/// A table's rows.
#[derive(Debug, Default)]
struct Data {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

static DATA: LazyLock<Vec<(&str, Data)>> = LazyLock::new(|| {
    let mut tables: Vec<(&str, Data)> = Vec::new();
    for line in include_str!("data.txt").lines() {
        if line.starts_with(';') {
            continue;
        }
        if let Some(name) = line.strip_prefix("# ") {
            tables.push((name, Data::default()));
            continue;
        }
        let (name, data) = tables.last_mut().expect("a table's name stands before its rows");
        if data.columns.is_empty() {
            data.columns = line.split('\t').collect();
        } else {
            let fields = line.split('\t').zip(&data.columns);
            let row = fields.map(|(field, column)| parse(field, type_of(name, column)));
            data.rows.push(row.collect());
        }
    }
    tables
});

/// Types by number and by name.
static TYPE_ROWS: LazyLock<BTreeMap<i64, usize>> = LazyLock::new(|| {
    let numbers = (0..count("pg_type")).map(|row| match value("pg_type", row, "oid") {
        Some(Value::Integer(oid)) => (oid, row),
        _ => (0, row),
    });
    numbers.collect()
});

fn type_of(table: &str, column: &str) -> &'static str {
    let shape = shape::of_name("pg_catalog", table).expect("data.txt has system tables");
    let column = shape.columns.iter().find(|known| known.name == column);
    column.expect("data.txt has their columns").declared_type
}

fn parse(field: &str, type_: &str) -> Value {
    match (field, type_) {
        ("\\N", "catalog char" | "text" | "oidvector") => Value::Text(String::new()),
        ("\\N", _) => Value::Null,
        (_, "bool") => Value::Integer(i64::from(field == "t")),
        (_, "oid" | "int2" | "int4" | "int8") => Value::Integer(field.parse().expect("a number")),
        (_, "float4") => Value::Real(field.parse().expect("a number")),
        _ => Value::Text(field.to_owned()),
    }
}

fn table(name: &str) -> Option<(usize, &'static Data)> {
    let mut tables = DATA.iter().enumerate();
    tables
        .find(|(_, (known, _))| *known == name)
        .map(|(at, (_, data))| (at, data))
}

/// So many rows.
pub(super) fn count(name: &str) -> usize {
    table(name).map_or(0, |(_, data)| data.rows.len())
}

/// A value.
pub(super) fn value(name: &str, row: usize, column: &str) -> Option<Value> {
    let (_, data) = table(name)?;
    of(data, row, column)
}

fn of(data: &Data, row: usize, column: &str) -> Option<Value> {
    let column = data.columns.iter().position(|known| *known == column)?;
    Some(data.rows.get(row)?[column].clone())
}

/// The first row in which a column has this value.
pub(super) fn find(name: &str, column: &str, wanted: &Value) -> Option<usize> {
    let (_, data) = table(name)?;
    let column = data.columns.iter().position(|known| *known == column)?;
    data.rows.iter().position(|row| row[column] == *wanted)
}

/// The row of the type of this number.
pub(super) fn type_row(oid: i64) -> Option<usize> {
    TYPE_ROWS.get(&oid).copied()
}

/// As `Rows::Schema` lists them; the key tells which table.
pub(super) fn rows(name: &str) -> Vec<RowKey> {
    let Some((at, data)) = table(name) else {
        return Vec::new();
    };
    (0..data.rows.len() as u32)
        .map(|row| RowKey([at as u32, row, 0]))
        .collect()
}

/// As `VirtualTable::value` asks for it.
pub(super) fn value_of_row(row: RowKey, column: &str) -> Option<Value> {
    let (_, data) = DATA.get(row.0[0] as usize)?;
    of(data, row.0[1] as usize, column)
}
