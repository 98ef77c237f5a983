//! The tables of a database under names that never change: [`TableId`]s, and column ids within a table.
//!
//! Promises: the same schema statements, run in the same order, give the same ids on every replica; an id is never
//! given twice within a database. Kept in `_bellwether_catalog`, in the transaction of the statement that changed
//! the schema. Virtual tables are not in it (their shadow tables are), nor SQLite's own tables and ours.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use bellwether_types::lexer::{self, quoted_name};
use bellwether_types::{Fingerprint, TableId, ValueRef};

use crate::authorizer::INTERNAL_PREFIX;
use crate::database::Database;
use crate::error::SqliteError;
use crate::files::sqlite_facts;
use crate::fingerprint;
use crate::statement::Prepared;

mod read;

use read::read_table;

/// What a table's rows are found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// An INTEGER PRIMARY KEY shows the rowid; its place among the stored columns.
    IntegerPrimary(usize),
    /// A rowid under this name.
    Rowid(&'static str),
    /// WITHOUT ROWID: the primary key's columns, in key order.
    Primary(Vec<KeyColumn>),
    /// All of the rowid's names are taken by columns: rows cannot be addressed.
    Unreachable,
}

/// A column of a WITHOUT ROWID table's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    /// Among the stored columns.
    pub(crate) place: usize,
    /// By which the key compares, whatever the column's own is.
    pub(crate) collation: String,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableColumn {
    /// Kept over RENAME COLUMN, never given again in this table. From 1.
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) declared_type: String,
    /// The text of the DEFAULT clause.
    pub(crate) default: Option<String>,
    /// Of REAL affinity: SQLite keeps whole numbers as integers there, and answers them as reals.
    pub(crate) is_real: bool,
    /// Not generated.
    pub(crate) is_stored: bool,
    /// Of a column that ALTER TABLE added: what rows answer that were there before, in the row hash's encoding.
    /// Such values do not count, so that adding the column changed no sum.
    pub(crate) skip: Option<Box<[u8]>>,
    /// What a row answers that is too short to have the column, once asked for.
    short_row_value: OnceLock<Box<[u8]>>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) id: TableId,
    pub(crate) name: String,
    /// In declaration order; the place is SQLite's column number.
    pub(crate) columns: Vec<TableColumn>,
    /// Places in `columns` of those that are stored.
    pub(crate) stored: Vec<usize>,
    pub(crate) key: Key,
    pub(crate) is_autoincrement: bool,
    next_column_id: u32,
    /// With name and text: tells whether a schema statement touched the table. Differs between replicas.
    root_page: i64,
    sql: String,
}

impl Table {
    /// Stored columns in declaration order.
    pub(crate) fn stored_columns(&self) -> impl Iterator<Item = &TableColumn> {
        self.stored.iter().map(|place| &self.columns[*place])
    }

    /// What SQLite answers for a column that a stored row is too short to have: its constant default under its
    /// affinity. Asked of a database in memory, since inside the hook the connection must not be used.
    pub(crate) fn short_row_value(&self, place: usize) -> Result<&[u8], SqliteError> {
        let column = &self.columns[place];
        if let Some(known) = column.short_row_value.get() {
            return Ok(known);
        }
        let strict = if self.is_strict() { " STRICT" } else { "" };
        let default = column.default.as_deref().unwrap_or("NULL");
        let declared = &column.declared_type;
        let answer = rusqlite::Connection::open_in_memory().and_then(|memory| {
            memory.execute_batch(&format!(
                "CREATE TABLE t(a TEXT, c {declared} DEFAULT ({default})){strict}; INSERT INTO t(a) VALUES ('')"
            ))?;
            memory.query_row("SELECT c FROM t", [], |row| {
                use rusqlite::types::ValueRef as Read;
                Ok(fingerprint::encoded(match row.get_ref(0)? {
                    Read::Null => ValueRef::Null,
                    Read::Integer(value) => ValueRef::Integer(value),
                    Read::Real(value) => ValueRef::Real(value),
                    Read::Text(text) => ValueRef::Text(text),
                    Read::Blob(bytes) => ValueRef::Blob(bytes),
                }))
            })
        });
        match answer {
            Ok(answer) => Ok(column.short_row_value.get_or_init(|| answer)),
            Err(error) => {
                let (code, message) = sqlite_facts(&error);
                Err(SqliteError {
                    code,
                    message,
                    offset: None,
                })
            }
        }
    }

    fn is_strict(&self) -> bool {
        let tokens: Vec<_> = lexer::significant(&self.sql).collect();
        tokens
            .iter()
            .rev()
            .take_while(|token| !token.is_operator(")"))
            .any(|token| token.is_word("STRICT"))
    }

    /// The name that statements use for the rowid.
    pub(crate) fn rowid_name(&self) -> Option<String> {
        match &self.key {
            Key::IntegerPrimary(place) => Some(quoted_name(&self.columns[self.stored[*place]].name)),
            Key::Rowid(name) => Some((*name).to_owned()),
            Key::Primary(_) | Key::Unreachable => None,
        }
    }
}

/// All tables at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Catalog {
    pub(crate) tables: BTreeMap<TableId, Arc<Table>>,
    by_name: HashMap<String, TableId>,
    next_table_id: u32,
    pub(crate) has_virtual_tables: bool,
    pub(crate) has_autoincrement: bool,
    /// Over the schema's text: what `TableId(0)` stands for.
    pub(crate) schema: Fingerprint,
}

/// What a schema statement did to the catalog.
#[derive(Debug)]
pub(crate) struct CatalogChange {
    pub(crate) after: Catalog,
    /// Tables that were not there before, by id.
    pub(crate) created: Vec<TableId>,
    /// Tables whose rows changed unseen.
    pub(crate) rewritten: Vec<TableId>,
    pub(crate) dropped: Vec<TableId>,
}

/// A table as the schema has it, before it has an id.
struct Found {
    name: String,
    root_page: i64,
    sql: String,
}

impl Catalog {
    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(self.by_name.get(name)?)
    }

    /// Creates the table that keeps the ids.
    pub(crate) const CREATE: &str = "CREATE TABLE _bellwether_catalog(
        table_id INTEGER NOT NULL, column_id INTEGER NOT NULL, name TEXT NOT NULL, next_id INTEGER,
        skips INTEGER NOT NULL, skip_value, PRIMARY KEY(table_id, column_id)) WITHOUT ROWID";

    /// The text of a table's CREATE statement.
    pub(crate) fn create_statement(&self, id: TableId) -> Option<&str> {
        self.tables.get(&id).map(|table| table.sql.as_str())
    }

    /// Reads ids and schema. Errors as text when they do not fit each other.
    pub(crate) fn load(database: &Database) -> Result<Result<Catalog, String>, SqliteError> {
        let mut kept = Catalog::default();
        let mut lines = Prepared::internal(
            database,
            "SELECT table_id, column_id, name, next_id, skips, skip_value FROM _bellwether_catalog ORDER BY 1, 2",
        )?;
        while lines.step()? {
            let table_id = TableId(u32::try_from(lines.integer(0)).unwrap_or(0));
            let next_id = u32::try_from(lines.integer(3)).unwrap_or(0);
            let name = lines.string(2).unwrap_or_default().to_owned();
            match (table_id.0, lines.integer(1)) {
                (0, _) => kept.next_table_id = next_id,
                (_, 0) => kept.insert(Table {
                    id: table_id,
                    name,
                    columns: Vec::new(),
                    stored: Vec::new(),
                    key: Key::Unreachable,
                    is_autoincrement: false,
                    next_column_id: next_id,
                    root_page: 0,
                    sql: String::new(),
                }),
                (_, column_id) => {
                    let skip = (lines.integer(4) != 0).then(|| fingerprint::encoded(lines.value(5)));
                    let Some(table) = kept.tables.get_mut(&table_id) else {
                        return Ok(Err(format!("column {name:?} of unknown table {table_id}")));
                    };
                    Arc::make_mut(table).columns.push(TableColumn {
                        id: u32::try_from(column_id).unwrap_or(0),
                        name,
                        declared_type: String::new(),
                        default: None,
                        is_real: false,
                        is_stored: true,
                        skip,
                        short_row_value: OnceLock::new(),
                    });
                }
            }
        }
        kept.join(database)
    }

    /// Fills in what only the schema knows.
    fn join(mut self, database: &Database) -> Result<Result<Catalog, String>, SqliteError> {
        let found = self.read_schema(database)?;
        if found.len() != self.tables.len() {
            return Ok(Err(format!(
                "{} tables, {} known",
                found.len(),
                self.tables.len()
            )));
        }
        for found in found.into_values() {
            let Some(kept) = self.by_name(&found.name).cloned() else {
                return Ok(Err(format!("table {:?} has no id", found.name)));
            };
            let mut table = read_table(database, &found)?;
            let by_id: HashMap<&str, &TableColumn> = kept
                .columns
                .iter()
                .map(|column| (column.name.as_str(), column))
                .collect();
            for column in &mut table.columns {
                let Some(known) = by_id.get(column.name.as_str()) else {
                    return Ok(Err(format!(
                        "column {:?} of {:?} has no id",
                        column.name, found.name
                    )));
                };
                column.id = known.id;
                column.skip = known.skip.clone();
            }
            table.id = kept.id;
            table.next_column_id = kept.next_column_id;
            self.insert(table);
        }
        self.note_features();
        Ok(Ok(self))
    }

    fn insert(&mut self, table: Table) {
        self.by_name.insert(table.name.clone(), table.id);
        self.tables.insert(table.id, Arc::new(table));
    }

    fn note_features(&mut self) {
        self.has_autoincrement = self.tables.values().any(|table| table.is_autoincrement);
    }

    /// Ordinary tables of clients', by name; also the schema's fingerprint and whether there are virtual tables.
    fn read_schema(&mut self, database: &Database) -> Result<BTreeMap<String, Found>, SqliteError> {
        let mut found = BTreeMap::new();
        self.has_virtual_tables = false;
        self.schema = fingerprint::of_pragmas(database)?;
        let mut lines = Prepared::internal(
            database,
            "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema",
        )?;
        while lines.step()? {
            let name = lines.string(1).unwrap_or_default();
            if !is_clients(name) {
                continue;
            }
            self.schema = self.schema.plus(fingerprint::of_schema_object([
                lines.value(0),
                lines.value(1),
                lines.value(2),
                lines.value(4),
            ]));
            if lines.string(0) != Some("table") {
                continue;
            }
            if lines.integer(3) == 0 {
                self.has_virtual_tables = true;
                continue;
            }
            let name = name.to_owned();
            let sql = lines.string(4).unwrap_or_default().to_owned();
            let root_page = lines.integer(3);
            found.insert(name.clone(), Found { name, root_page, sql });
        }
        Ok(found)
    }

    /// Compares with the schema as it is after one statement; writes new ids down.
    pub(crate) fn change(&self, database: &Database) -> Result<CatalogChange, SqliteError> {
        let mut after = Catalog {
            next_table_id: self.next_table_id.max(1),
            ..Catalog::default()
        };
        let found = after.read_schema(database)?;
        let mut change = CatalogChange {
            after,
            created: Vec::new(),
            rewritten: Vec::new(),
            dropped: Vec::new(),
        };
        let by_root: HashMap<i64, &Arc<Table>> = self
            .tables
            .values()
            .filter(|table| !found.contains_key(&table.name))
            .map(|table| (table.root_page, table))
            .collect();
        for found in found.values() {
            let before = self
                .by_name(&found.name)
                .or_else(|| by_root.get(&found.root_page).copied());
            change.table(database, before, found)?;
        }
        let after = &change.after.tables;
        change.dropped = self
            .tables
            .keys()
            .filter(|id| !after.contains_key(id))
            .copied()
            .collect();
        change.after.note_features();
        self.store(database, &change.after)?;
        Ok(change)
    }

    /// Writes the differing lines.
    fn store(&self, database: &Database, after: &Catalog) -> Result<(), SqliteError> {
        if self.tables == after.tables && self.next_table_id == after.next_table_id {
            return Ok(());
        }
        let mut delete = Prepared::internal(database, "DELETE FROM _bellwether_catalog WHERE table_id = ?1")?;
        let mut insert = Prepared::internal(
            database,
            "INSERT OR REPLACE INTO _bellwether_catalog VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for table in self.tables.values() {
            if after.tables.get(&table.id) != Some(table) {
                delete.bind(1, ValueRef::Integer(i64::from(table.id.0)))?;
                delete.run()?;
            }
        }
        let mut line = |table: u32, column: u32, name: &str, next: Option<u32>, skip: Option<&[u8]>| {
            insert.bind(1, ValueRef::Integer(i64::from(table)))?;
            insert.bind(2, ValueRef::Integer(i64::from(column)))?;
            insert.bind(3, ValueRef::Text(name.as_bytes()))?;
            insert.bind(
                4,
                next.map_or(ValueRef::Null, |next| ValueRef::Integer(i64::from(next))),
            )?;
            insert.bind(5, ValueRef::Integer(i64::from(skip.is_some())))?;
            insert.bind(6, skip.map_or(ValueRef::Null, fingerprint::decoded))?;
            insert.run()
        };
        for table in after.tables.values() {
            if self.tables.get(&table.id) == Some(table) {
                continue;
            }
            line(table.id.0, 0, &table.name, Some(table.next_column_id), None)?;
            for column in &table.columns {
                line(table.id.0, column.id, &column.name, None, column.skip.as_deref())?;
            }
        }
        line(0, 0, "", Some(after.next_table_id), None)
    }
}

impl CatalogChange {
    fn table(
        &mut self,
        database: &Database,
        before: Option<&Arc<Table>>,
        found: &Found,
    ) -> Result<(), SqliteError> {
        let Some(before) = before else {
            let mut table = read_table(database, found)?;
            table.id = TableId(self.after.next_table_id);
            self.after.next_table_id += 1;
            self.created.push(table.id);
            self.after.insert(table);
            return Ok(());
        };
        let is_untouched =
            before.name == found.name && before.root_page == found.root_page && before.sql == found.sql;
        if is_untouched {
            self.after.by_name.insert(before.name.clone(), before.id);
            self.after.tables.insert(before.id, before.clone());
            return Ok(());
        }
        let mut table = read_table(database, found)?;
        table.id = before.id;
        table.next_column_id = before.next_column_id;
        if keep_columns(before, &mut table) {
            self.rewritten.push(table.id);
        }
        if table.columns.len() > before.columns.len() {
            note_skipped(database, &mut table, before.columns.len())?;
        }
        self.after.insert(table);
        Ok(())
    }
}

/// Gives a changed table's columns the ids that they had; answers whether one was dropped. One statement renames,
/// adds or drops one column.
fn keep_columns(before: &Table, table: &mut Table) -> bool {
    let is_dropped = table.columns.len() < before.columns.len();
    for (place, column) in table.columns.iter_mut().enumerate() {
        let known = if is_dropped {
            before.columns.iter().find(|known| known.name == column.name)
        } else {
            before.columns.get(place)
        };
        match known {
            Some(known) => {
                column.id = known.id;
                column.skip = known.skip.clone();
            }
            None => {
                column.id = table.next_column_id;
                table.next_column_id += 1;
            }
        }
    }
    is_dropped
}

/// Reads what rows that were there before answer for the columns from `first` on. All answer the same.
fn note_skipped(database: &Database, table: &mut Table, first: usize) -> Result<(), SqliteError> {
    let name = quoted_name(&table.name);
    for column in table.columns[first..]
        .iter_mut()
        .filter(|column| column.is_stored)
    {
        let sql = format!("SELECT {} FROM main.{name} LIMIT 1", quoted_name(&column.name));
        let mut row = Prepared::internal(database, &sql)?;
        if row.step()? {
            column.skip = Some(fingerprint::encoded(row.value(0)));
        }
    }
    Ok(())
}

/// Whether capture and fingerprints count a table (or index, view, trigger) of this name.
fn is_clients(name: &str) -> bool {
    !name.starts_with("sqlite_") && !name.starts_with(INTERNAL_PREFIX)
}
