//! Row hashes and the sums of them.
//!
//! A row's canonical encoding: table id, rowid (none for WITHOUT ROWID), then id and value of each stored column
//! but the INTEGER PRIMARY KEY (the rowid says it) and those whose value is the one that rows answered when ALTER
//! TABLE added the column. Ids, not names: renaming changes no sum.

use bellwether_types::lexer::quoted_name;
use bellwether_types::{Decoder, Encoder, Fingerprint, TableId, ValueRef};

use crate::catalog::{Catalog, Key, Table};
use crate::database::Database;
use crate::error::SqliteError;
use crate::statement::Prepared;

/// A hasher that has met a larger row gives the memory back.
const SCRATCH_BYTES_KEPT: usize = 1 << 20;

/// Frozen: what follows the table's id.
mod tag {
    pub const ROW: u8 = 1;
    pub const KEYED_ROW: u8 = 2;
    pub const SEQUENCE: u8 = 3;
    pub const SCHEMA: u8 = 4;
    pub const PRAGMA: u8 = 5;
}

/// Hashes rows, one after the other, in memory of its own.
#[derive(Debug, Default)]
pub(crate) struct RowHasher {
    scratch: Encoder,
}

impl RowHasher {
    /// Of a row given by the values of its stored columns.
    pub(crate) fn hash(&mut self, table: &Table, rowid: i64, values: &[ValueRef<'_>]) -> Fingerprint {
        let out = &mut self.scratch;
        out.clear();
        out.u64(u64::from(table.id.0));
        let shown = match &table.key {
            Key::Primary(_) => {
                out.u8(tag::KEYED_ROW);
                usize::MAX
            }
            key => {
                out.u8(tag::ROW);
                out.i64(rowid);
                if let Key::IntegerPrimary(place) = key {
                    *place
                } else {
                    usize::MAX
                }
            }
        };
        for (place, (column, value)) in table.stored_columns().zip(values).enumerate() {
            if place == shown {
                continue;
            }
            let before = out.len();
            out.u64(u64::from(column.id));
            let start = out.len();
            canonical(*value).encode(out);
            if column
                .skip
                .as_deref()
                .is_some_and(|skip| skip == &out.as_slice()[start..])
            {
                out.truncate(before);
            }
        }
        let sum = Fingerprint::of_row(out.as_slice());
        if out.len() > SCRATCH_BYTES_KEPT {
            self.scratch = Encoder::new();
        }
        sum
    }
}

/// SQLite keeps a REAL column's whole numbers as integers on disk, and so forgets the sign of zero.
fn canonical(value: ValueRef<'_>) -> ValueRef<'_> {
    match value {
        // −0 + 0 is 0; all else stays.
        ValueRef::Real(value) => ValueRef::Real(value + 0.0),
        value => value,
    }
}

/// A value as it counts in hashes.
pub(crate) fn encoded(value: ValueRef<'_>) -> Box<[u8]> {
    let mut out = Encoder::new();
    canonical(value).encode(&mut out);
    out.into_vec().into()
}

/// What `encoded` wrote.
pub(crate) fn decoded(bytes: &[u8]) -> ValueRef<'_> {
    ValueRef::decode(&mut Decoder::new(bytes)).expect("encoded by this process")
}

/// Of the line that an AUTOINCREMENT table has in `sqlite_sequence`.
pub(crate) fn of_sequence(table: TableId, value: Option<i64>) -> Fingerprint {
    let Some(value) = value else {
        return Fingerprint::default();
    };
    let mut out = Encoder::new();
    out.u64(u64::from(table.0));
    out.u8(tag::SEQUENCE);
    out.i64(value);
    Fingerprint::of_row(out.as_slice())
}

/// Of one line of the schema: type, name, table, text.
pub(crate) fn of_schema_object(values: [ValueRef<'_>; 4]) -> Fingerprint {
    let mut out = Encoder::new();
    out.u64(0);
    out.u8(tag::SCHEMA);
    for value in values {
        value.encode(&mut out);
    }
    Fingerprint::of_row(out.as_slice())
}

/// Of the two numbers in the file's header that belong to clients; zero while both are.
pub(crate) fn of_pragmas(database: &Database) -> Result<Fingerprint, SqliteError> {
    let mut sum = Fingerprint::default();
    for (place, sql) in [(0, "PRAGMA user_version"), (1, "PRAGMA application_id")] {
        let mut line = Prepared::internal(database, sql)?;
        line.step()?;
        let value = line.integer(0);
        if value != 0 {
            let mut out = Encoder::new();
            out.u64(0);
            out.u8(tag::PRAGMA);
            out.u8(place);
            out.i64(value);
            sum = sum.plus(Fingerprint::of_row(out.as_slice()));
        }
    }
    Ok(sum)
}

/// The statement that reads what a row's hash needs: the rowid (or NULL) and the stored columns.
pub(crate) fn scan_statement(table: &Table) -> String {
    let rowid = table.rowid_name().unwrap_or("NULL".to_owned());
    let columns: Vec<String> = table
        .stored_columns()
        .map(|column| quoted_name(&column.name))
        .collect();
    format!(
        "SELECT {rowid}, {} FROM main.{} NOT INDEXED",
        columns.join(", "),
        quoted_name(&table.name)
    )
}

/// Of a table's rows, read one by one; without its `sqlite_sequence` line.
pub(crate) fn of_rows(database: &Database, table: &Table) -> Result<Fingerprint, SqliteError> {
    let mut hasher = RowHasher::default();
    let mut sum = Fingerprint::default();
    let mut rows = Prepared::internal(database, &scan_statement(table))?;
    while rows.step()? {
        let values: Vec<ValueRef<'_>> = (1..rows.column_count())
            .map(|column| rows.value(column))
            .collect();
        sum = sum.plus(hasher.hash(table, rows.integer(0), &values));
    }
    Ok(sum)
}

/// Of a table, from scratch.
pub(crate) fn of_table(database: &Database, table: &Table) -> Result<Fingerprint, SqliteError> {
    let rows = of_rows(database, table)?;
    if !table.is_autoincrement {
        return Ok(rows);
    }
    Ok(rows.plus(of_sequence(table.id, read_sequence(database, &table.name)?)))
}

/// An AUTOINCREMENT table's line. SQLite uses the first of its name.
pub(crate) fn read_sequence(database: &Database, table: &str) -> Result<Option<i64>, SqliteError> {
    let sql = "SELECT CAST(seq AS INTEGER) FROM sqlite_sequence WHERE name = ?1 ORDER BY rowid LIMIT 1";
    let mut line = Prepared::internal(database, sql)?;
    line.bind(1, ValueRef::Text(table.as_bytes()))?;
    Ok(line.step()?.then(|| line.integer(0)))
}

/// Of every table, from scratch, by id; the schema's under `TableId(0)`. Reads the whole database, in whatever
/// snapshot the connection is in.
pub(crate) fn of_database(
    database: &Database,
    catalog: &Catalog,
) -> Result<Vec<(TableId, String, Fingerprint)>, SqliteError> {
    let mut sums = vec![(TableId(0), String::new(), catalog.schema)];
    for table in catalog.tables.values() {
        sums.push((table.id, table.name.clone(), of_table(database, table)?));
    }
    Ok(sums)
}
