//! A schema that was read, with what virtual tables have computed of it so far.

use std::sync::{Arc, OnceLock};

use bellwether_types::extension::{RowKey, Rows, View, VirtualTable};
use bellwether_types::{Extension, Facts, Schema, Value, ValueRef};
use xxhash_rust::xxh3::Xxh3;

/// Lists and indexes are made at the first use: 12 bytes for each row of a used table, 16 for each in an index.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Over all that the schema was read from.
    pub(crate) digest: u128,
    pub(crate) schema: Schema,
    /// By the table's place in the extension.
    tables: Vec<KeptTable>,
}

#[derive(Debug)]
struct KeptTable {
    table: &'static VirtualTable,
    rows: OnceLock<Arc<[RowKey]>>,
    /// By column; only those that are indexed are ever made.
    indexes: Vec<OnceLock<Index>>,
}

/// Rows by the hash of a column's value, ascending. SQLite compares the values themselves again.
#[derive(Debug)]
struct Index {
    entries: Box<[(u64, u32)]>,
    /// Its values are text; else integers.
    holds_text: bool,
}

impl Kept {
    pub(crate) fn new(digest: u128, schema: Schema, extension: &'static Extension) -> Kept {
        let tables = extension.tables.iter().map(|table| KeptTable {
            table,
            rows: OnceLock::new(),
            indexes: table.columns.iter().map(|_| OnceLock::new()).collect(),
        });
        Kept {
            digest,
            schema,
            tables: tables.collect(),
        }
    }

    /// All rows of a table.
    pub(crate) fn rows(&self, place: usize, facts: &Facts) -> Arc<[RowKey]> {
        let kept = &self.tables[place];
        match kept.table.rows {
            Rows::Schema(list) => {
                let rows = kept.rows.get_or_init(|| list(&self.schema).into());
                Arc::clone(rows)
            }
            Rows::Session(list) => list(&self.view(facts)).into(),
        }
    }

    /// The rows whose `column` may equal `value`; `None`: only a look at all of them tells.
    pub(crate) fn find(
        &self,
        place: usize,
        column: usize,
        value: ValueRef<'_>,
        facts: &Facts,
    ) -> Option<Arc<[RowKey]>> {
        let kept = &self.tables[place];
        if matches!(kept.table.rows, Rows::Session(_)) {
            return None;
        }
        let rows = self.rows(place, facts);
        let index = kept.indexes[column].get_or_init(|| self.index(kept.table, column, &rows, facts));
        let wanted = match (value, index.holds_text) {
            (ValueRef::Null, _) => return Some(Arc::default()),
            (ValueRef::Integer(_), false) | (ValueRef::Text(_), true) => hash(value),
            // `oid = '16385'`: the column's affinity makes a number of it.
            (ValueRef::Text(_), false) => {
                let number = value.as_str()?.trim().parse().ok()?;
                hash(ValueRef::Integer(number))
            }
            _ => return None,
        };
        let from = index.entries.partition_point(|(hash, _)| *hash < wanted);
        let found = index.entries[from..]
            .iter()
            .take_while(|(hash, _)| *hash == wanted);
        Some(found.map(|(_, row)| rows[*row as usize]).collect())
    }

    fn index(&self, table: &VirtualTable, column: usize, rows: &[RowKey], facts: &Facts) -> Index {
        let view = self.view(facts);
        let mut holds_text = false;
        let mut entries = Vec::with_capacity(rows.len());
        for (row, number) in rows.iter().zip(0..) {
            let value = table.value(column, *row, &view);
            if value != Value::Null {
                holds_text |= matches!(value, Value::Text(_));
                entries.push((hash(value.as_ref()), number));
            }
        }
        entries.sort_unstable();
        Index {
            entries: entries.into(),
            holds_text,
        }
    }

    pub(crate) fn view<'a>(&'a self, facts: &'a Facts) -> View<'a> {
        View {
            schema: &self.schema,
            facts,
        }
    }
}

/// Of integers and texts; others are in no index.
fn hash(value: ValueRef<'_>) -> u64 {
    let mut hasher = Xxh3::new();
    match value {
        ValueRef::Integer(value) => hasher.update(&value.to_le_bytes()),
        ValueRef::Text(text) => {
            hasher.update(b"t");
            hasher.update(text);
        }
        _ => {}
    }
    hasher.digest()
}
