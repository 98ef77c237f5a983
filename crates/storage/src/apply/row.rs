//! The row format's apply: each change by a prepared statement, found by rowid or primary key.
//!
//! Triggers and foreign-key actions are off and CHECKs are not asked: what they did or allowed at the leader is in
//! the changes. The same hook that captures at the leader sums here, from this replica's own old rows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bellwether_types::format::row::{Change, RowKey};
use bellwether_types::lexer::quoted_name;
use bellwether_types::{TableId, ValueRef};
use rusqlite::ffi;

use crate::catalog::{Key, Table};
use crate::database::Database;
use crate::error::{ApplyError, Divergence, SqliteError, StorageError};
use crate::kind::{self, StatementKind};
use crate::schema;
use crate::statement::Prepared;
use crate::writer::WriteConnection;

/// Sets of changed columns that stay compiled, per table.
const UPDATES_KEPT_MAX: usize = 64;

/// Statements by table; forgotten when the schema changes.
#[derive(Default)]
pub(crate) struct ApplyStatements {
    tables: HashMap<TableId, TableStatements>,
}

struct TableStatements {
    table: Arc<Table>,
    insert: Option<Prepared>,
    delete: Option<Prepared>,
    /// By whether the rowid moves, and changed columns.
    updates: HashMap<(bool, Vec<u32>), Prepared>,
}

/// Applies one change.
pub(crate) fn apply(connection: &mut WriteConnection, change: &Change<'_>) -> Result<(), ApplyError> {
    let database = connection.database.clone();
    match change {
        Change::Schema { sql } => {
            if !matches!(kind::classify(sql), Ok((_, StatementKind::Schema))) {
                return Err(ApplyError::Nonsense(format!("{sql:?} as a schema statement")));
            }
            connection.apply.tables.clear();
            schema::apply(&database, &connection.hook, sql).map_err(|error| refused("", error))
        }
        Change::Insert { table, rowid, values } => {
            statements(connection, *table)?.insert(&database, *rowid, values)
        }
        Change::Update {
            table,
            key,
            moved_to,
            columns,
            before: _,
        } => statements(connection, *table)?.update(&database, key, *moved_to, columns),
        Change::Delete {
            table,
            key,
            before: _,
        } => statements(connection, *table)?.delete(&database, key),
        Change::Sequence { table, value } => {
            let name = statements(connection, *table)?.table.name.clone();
            write_sequence(&database, &name, *value)?;
            connection.hook.capture().sequence(*table, *value);
            Ok(())
        }
    }
}

/// A constraint or a missing name is the replica's content being another; the rest is a failure of this node.
fn refused(table: &str, error: SqliteError) -> ApplyError {
    match error.code & 0xFF {
        ffi::SQLITE_CONSTRAINT | ffi::SQLITE_ERROR | ffi::SQLITE_MISMATCH => ApplyError::Diverged {
            table: table.to_owned(),
            divergence: Divergence::Refused(error),
        },
        _ => ApplyError::Storage(StorageError::Sqlite(error)),
    }
}

fn statements(connection: &mut WriteConnection, id: TableId) -> Result<&mut TableStatements, ApplyError> {
    match connection.apply.tables.entry(id) {
        Entry::Occupied(entry) => Ok(entry.into_mut()),
        Entry::Vacant(entry) => {
            let table = connection.hook.capture().catalog().tables.get(&id).cloned();
            let table =
                table.ok_or_else(|| ApplyError::Nonsense(format!("a change of unknown table {id}")))?;
            Ok(entry.insert(TableStatements {
                table,
                insert: None,
                delete: None,
                updates: HashMap::new(),
            }))
        }
    }
}

/// Runs a statement whose bound bytes live in the record.
fn run(statement: &mut Prepared, table: &Table) -> Result<(), ApplyError> {
    let result = statement.run();
    // The record's bytes are gone soon.
    statement.clear();
    result.map_err(|error| refused(&table.name, error))
}

/// Binds from `first` on; answers the next place.
fn bind<'a>(
    statement: &mut Prepared,
    first: usize,
    values: impl IntoIterator<Item = ValueRef<'a>>,
) -> Result<usize, SqliteError> {
    let mut place = first;
    for value in values {
        // SAFETY: `run` forgets the values while the record they borrow from lives.
        unsafe { statement.bind_borrowed(place, value)? };
        place += 1;
    }
    Ok(place)
}

impl TableStatements {
    fn insert(
        &mut self,
        database: &Database,
        rowid: Option<i64>,
        values: &[ValueRef<'_>],
    ) -> Result<(), ApplyError> {
        let table = self.table.clone();
        if values.len() != table.stored.len() || rowid.is_some() == matches!(table.key, Key::Primary(_)) {
            return Err(nonsense(&table, "a row of another shape"));
        }
        let statement = match &mut self.insert {
            Some(statement) => statement,
            none => none.insert(Prepared::internal(database, &insert_sql(&table))?),
        };
        let hidden = rowid.filter(|_| matches!(table.key, Key::Rowid(_)));
        let place = bind(statement, 1, hidden.map(ValueRef::Integer))?;
        bind(statement, place, values.iter().copied())?;
        run(statement, &table)
    }

    fn update(
        &mut self,
        database: &Database,
        key: &RowKey<'_>,
        moved_to: Option<i64>,
        columns: &[(u32, ValueRef<'_>)],
    ) -> Result<(), ApplyError> {
        let table = self.table.clone();
        if columns
            .iter()
            .any(|(place, _)| *place as usize >= table.stored.len())
        {
            return Err(nonsense(&table, "a column out of range"));
        }
        if (columns.is_empty() && moved_to.is_none())
            || (moved_to.is_some() && matches!(table.key, Key::Primary(_)))
        {
            return Err(nonsense(&table, "an update of another shape"));
        }
        if self.updates.len() >= UPDATES_KEPT_MAX {
            self.updates.clear();
        }
        let places: Vec<u32> = columns.iter().map(|(place, _)| *place).collect();
        let statement = match self.updates.entry((moved_to.is_some(), places)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let sql = update_sql(&table, moved_to.is_some(), columns);
                entry.insert(Prepared::internal(database, &sql)?)
            }
        };
        let place = bind(statement, 1, moved_to.map(ValueRef::Integer))?;
        let place = bind(statement, place, columns.iter().map(|(_, value)| *value))?;
        bind_key(statement, &table, place, key)?;
        run(statement, &table)?;
        check_found(database, &table)
    }

    fn delete(&mut self, database: &Database, key: &RowKey<'_>) -> Result<(), ApplyError> {
        let table = self.table.clone();
        let statement = match &mut self.delete {
            Some(statement) => statement,
            none => {
                let sql = format!(
                    "DELETE FROM main.{} WHERE {}",
                    quoted_name(&table.name),
                    key_sql(&table)
                );
                none.insert(Prepared::internal(database, &sql)?)
            }
        };
        bind_key(statement, &table, 1, key)?;
        run(statement, &table)?;
        check_found(database, &table)
    }
}

fn nonsense(table: &Table, what: &str) -> ApplyError {
    ApplyError::Nonsense(format!("{what} in {:?}", table.name))
}

/// An UPDATE or DELETE by key must find its row.
fn check_found(database: &Database, table: &Table) -> Result<(), ApplyError> {
    if database.changes() == 1 {
        return Ok(());
    }
    Err(ApplyError::Diverged {
        table: table.name.clone(),
        divergence: Divergence::RowMissing,
    })
}

fn bind_key(
    statement: &mut Prepared,
    table: &Table,
    first: usize,
    key: &RowKey<'_>,
) -> Result<(), ApplyError> {
    match (key, &table.key) {
        (RowKey::Rowid(rowid), Key::IntegerPrimary(_) | Key::Rowid(_)) => {
            bind(statement, first, [ValueRef::Integer(*rowid)])?;
        }
        (RowKey::Primary(values), Key::Primary(columns)) if values.len() == columns.len() => {
            bind(statement, first, values.iter().copied())?;
        }
        _ => return Err(nonsense(table, "a key of another kind")),
    }
    Ok(())
}

/// OR ABORT: a conflict clause in the table's own definition would quietly repair what must be told.
fn insert_sql(table: &Table) -> String {
    let mut names: Vec<String> = table
        .stored_columns()
        .map(|column| quoted_name(&column.name))
        .collect();
    if let Key::Rowid(name) = table.key {
        names.insert(0, name.to_owned());
    }
    let places: Vec<String> = (1..=names.len()).map(|place| format!("?{place}")).collect();
    format!(
        "INSERT OR ABORT INTO main.{}({}) VALUES ({})",
        quoted_name(&table.name),
        names.join(", "),
        places.join(", ")
    )
}

fn update_sql(table: &Table, moves: bool, columns: &[(u32, ValueRef<'_>)]) -> String {
    let mut names: Vec<String> = Vec::new();
    if moves {
        names.extend(table.rowid_name());
    }
    for (place, _) in columns {
        let column = &table.columns[table.stored[*place as usize]];
        names.push(quoted_name(&column.name));
    }
    let sets: Vec<String> = names.iter().map(|name| format!("{name} = ?")).collect();
    format!(
        "UPDATE OR ABORT main.{} SET {} WHERE {}",
        quoted_name(&table.name),
        sets.join(", "),
        key_sql(table)
    )
}

/// By the collation of the key, not of the column: else two rows could answer, or none.
fn key_sql(table: &Table) -> String {
    match &table.key {
        Key::Primary(columns) => {
            let terms: Vec<String> = columns
                .iter()
                .map(|column| {
                    let name = quoted_name(&table.columns[table.stored[column.place]].name);
                    format!("{name} = ? COLLATE {}", quoted_name(&column.collation))
                })
                .collect();
            terms.join(" AND ")
        }
        _ => format!("{} = ?", table.rowid_name().unwrap_or_default()),
    }
}

/// Sets the first line of the table's name, which is the one that SQLite uses.
fn write_sequence(database: &Database, table: &str, value: Option<i64>) -> Result<(), SqliteError> {
    let name = ValueRef::Text(table.as_bytes());
    let Some(value) = value else {
        let mut delete = Prepared::internal(database, "DELETE FROM sqlite_sequence WHERE name = ?1")?;
        delete.bind(1, name)?;
        return delete.run();
    };
    let sql = "UPDATE sqlite_sequence SET seq = ?2
               WHERE rowid = (SELECT min(rowid) FROM sqlite_sequence WHERE name = ?1)";
    for sql in [sql, "INSERT INTO sqlite_sequence(name, seq) VALUES (?1, ?2)"] {
        let mut write = Prepared::internal(database, sql)?;
        write.bind(1, name)?;
        write.bind(2, ValueRef::Integer(value))?;
        write.run()?;
        if database.changes() > 0 {
            break;
        }
    }
    Ok(())
}
