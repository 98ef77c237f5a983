//! What SQL finds beyond what SQLite has: functions, and tables whose rows are computed. The rooms that know their
//! meaning list them as constants; `storage` shows them on every connection of a replica.
//!
//! Promises: read-only, never in the database's file, never in a record, a snapshot or a fingerprint.

use crate::function::{Facts, ScalarFunction};
use crate::schema::Schema;
use crate::value::Value;

/// All of it.
#[derive(Debug)]
pub struct Extension {
    /// In groups, as the rooms list them.
    pub functions: Vec<&'static [ScalarFunction]>,
    /// Names are unique within their namespace.
    pub tables: Vec<VirtualTable>,
}

impl Extension {
    /// Every function.
    pub fn functions(&self) -> impl Iterator<Item = &'static ScalarFunction> {
        self.functions.iter().copied().flatten()
    }
}

/// A table whose rows are computed, value by value, when a statement asks for them.
#[derive(Debug, Clone)]
pub struct VirtualTable {
    /// The namespace: `pg_class` and `pg_catalog.pg_class` are the same, unless the database has a `pg_class`.
    pub namespace: &'static str,
    /// Lower case.
    pub name: &'static str,
    /// In order.
    pub columns: Vec<VirtualColumn>,
    /// Which rows there are.
    pub rows: Rows,
    /// The value of a row in the column of this name; `None`: the column's default.
    pub value: fn(&View<'_>, RowKey, &str) -> Option<Value>,
}

/// Which rows a table has.
#[derive(Debug, Clone, Copy)]
pub enum Rows {
    /// Of the schema alone: listed once while the schema stays, for all sessions.
    Schema(fn(&Schema) -> Vec<RowKey>),
    /// Of the session: listed at each use. There are few.
    Session(fn(&View<'_>) -> Vec<RowKey>),
}

/// A column of a [`VirtualTable`].
#[derive(Debug, Clone)]
pub struct VirtualColumn {
    /// Lower case.
    pub name: &'static str,
    /// What Describe tells about it, and by which it compares; see `pg`'s table of types.
    pub declared_type: &'static str,
    /// Not among what `*` stands for.
    pub is_hidden: bool,
    /// Whether rows are found by it without looking at all of them. Only where the rows and this value are of the
    /// schema alone.
    pub is_indexed: bool,
    /// What rows have for which nothing else is told.
    pub default: Value,
}

impl VirtualTable {
    /// A value of a row.
    pub fn value(&self, column: usize, row: RowKey, view: &View<'_>) -> Value {
        let Some(column) = self.columns.get(column) else {
            return Value::Null;
        };
        (self.value)(view, row, column.name).unwrap_or_else(|| column.default.clone())
    }
}

/// Names a row within its table and schema; the table gives it its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowKey(pub [u32; 3]);

/// What values are computed from.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// As the statement sees it.
    pub schema: &'a Schema,
    /// About the session that asks.
    pub facts: &'a Facts,
}
