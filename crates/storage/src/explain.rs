//! What a record's body would have done, in the words of the schema: for people who are to know what was lost.
//!
//! Tables and columns are called as they are called now. A table that is not there (any more, or since its CREATE was
//! lost as well) is named by its number, its columns by their places.

use std::sync::Arc;

use bellwether_types::format::row::{Change, RowKey};
use bellwether_types::format::statement::Step;
use bellwether_types::{DecodeError, Decoder, TableId, Value, ValueRef};

use crate::catalog::{Catalog, Key, Table};
use crate::error::StorageError;
use crate::reader::Reader;

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Explained {
    /// A schema statement.
    Schema(String),
    /// A statement that was executed, with the values of `$1` ….
    Statement {
        /// Its text.
        sql: String,
        /// In order.
        parameters: Vec<Value>,
    },
    /// A row that was to come.
    Insert {
        /// Its name, or number.
        table: String,
        /// By column.
        values: Vec<(String, Value)>,
    },
    /// A row that was to change.
    Update {
        /// Its name, or number.
        table: String,
        /// What it is found by.
        key: Vec<(String, Value)>,
        /// By column, those that change.
        values: Vec<(String, Value)>,
    },
    /// A row that was to go.
    Delete {
        /// Its name, or number.
        table: String,
        /// What it is found by.
        key: Vec<(String, Value)>,
    },
}

impl Reader {
    /// Of a body, or of a whole number of changes out of one. Where AUTOINCREMENT stands is left out.
    pub fn explain(&self, body: &[u8]) -> Result<Result<Vec<Explained>, DecodeError>, StorageError> {
        let database = self.database();
        let _gate = database.enter();
        let catalog = Catalog::load(database)?.map_err(StorageError::Malformed)?;
        Ok(explain(&catalog, body))
    }
}

fn explain(catalog: &Catalog, body: &[u8]) -> Result<Vec<Explained>, DecodeError> {
    let mut input = Decoder::new(body);
    let mut explained = Vec::new();
    let mut last_statement = None;
    while input.remaining() > 0 {
        let change = match Step::decode(&mut input)? {
            Step::Change(change) => change,
            Step::Statement(executed) => {
                last_statement = executed.sql.or(last_statement);
                explained.push(Explained::Statement {
                    sql: last_statement.unwrap_or_default().to_owned(),
                    parameters: executed.parameters.iter().map(owned).collect(),
                });
                continue;
            }
        };
        let named = |id: TableId| Named::of(catalog, id);
        explained.push(match change {
            Change::Schema { sql } => Explained::Schema(sql.to_owned()),
            Change::Insert { table, values, .. } => {
                let named = named(table);
                let values = values.iter().enumerate();
                Explained::Insert {
                    values: values
                        .map(|(place, value)| (named.column(place), owned(value)))
                        .collect(),
                    table: named.table(),
                }
            }
            Change::Update {
                table,
                key,
                moved_to,
                columns,
            } => {
                let named = named(table);
                let moved = moved_to.map(|rowid| (named.rowid(), Value::Integer(rowid)));
                let columns = columns.iter();
                let columns = columns.map(|(place, value)| (named.column(*place as usize), owned(value)));
                let mut values: Vec<_> = columns.collect();
                values.extend(moved.filter(|(name, _)| values.iter().all(|(known, _)| known != name)));
                Explained::Update {
                    key: named.key(&key),
                    values,
                    table: named.table(),
                }
            }
            Change::Delete { table, key } => {
                let named = named(table);
                Explained::Delete {
                    key: named.key(&key),
                    table: named.table(),
                }
            }
            Change::Sequence { .. } => continue,
        });
    }
    Ok(explained)
}

/// What a table and its columns are called.
struct Named {
    id: TableId,
    known: Option<Arc<Table>>,
}

impl Named {
    fn of(catalog: &Catalog, id: TableId) -> Named {
        Named {
            id,
            known: catalog.tables.get(&id).cloned(),
        }
    }

    fn table(&self) -> String {
        match &self.known {
            Some(table) => table.name.clone(),
            None => format!("table {}", self.id),
        }
    }

    fn column(&self, place: usize) -> String {
        let column = self
            .known
            .as_ref()
            .and_then(|table| table.stored_columns().nth(place));
        column.map_or_else(|| format!("column {}", place + 1), |column| column.name.clone())
    }

    fn rowid(&self) -> String {
        match self.known.as_ref().map(|table| &table.key) {
            Some(Key::IntegerPrimary(place)) => self.column(*place),
            Some(Key::Rowid(name)) => (*name).to_owned(),
            Some(Key::Primary(_) | Key::Unreachable) | None => "rowid".to_owned(),
        }
    }

    fn key(&self, key: &RowKey<'_>) -> Vec<(String, Value)> {
        match key {
            RowKey::Rowid(rowid) => vec![(self.rowid(), Value::Integer(*rowid))],
            RowKey::Primary(values) => {
                let places: Vec<usize> = match self.known.as_ref().map(|table| &table.key) {
                    Some(Key::Primary(columns)) => columns.iter().map(|column| column.place).collect(),
                    _ => (0..values.len()).collect(),
                };
                let named = places.into_iter().zip(values);
                named
                    .map(|(place, value)| (self.column(place), owned(value)))
                    .collect()
            }
        }
    }
}

/// Text that is not UTF-8 is told as the bytes that it is.
fn owned(value: &ValueRef<'_>) -> Value {
    match *value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Blob(bytes.to_vec()),
        },
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}
