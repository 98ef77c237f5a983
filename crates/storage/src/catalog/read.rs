//! A table as SQLite's schema has it: columns, key, AUTOINCREMENT.

use std::sync::OnceLock;

use bellwether_types::lexer::{self, quoted_name};
use bellwether_types::{TableId, ValueRef};

use super::{Found, Key, KeyColumn, Table, TableColumn};
use crate::database::Database;
use crate::error::SqliteError;
use crate::statement::Prepared;

/// SQLite's rules of column affinity (datatype3.html §3.1), in their order.
fn has_real_affinity(declared_type: &str) -> bool {
    let declared = declared_type.to_ascii_uppercase();
    let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
    !has(&["INT", "CHAR", "CLOB", "TEXT", "BLOB"]) && has(&["REAL", "FLOA", "DOUB"])
}

/// Everything but the ids.
pub(super) fn read_table(database: &Database, found: &Found) -> Result<Table, SqliteError> {
    let mut columns = Vec::new();
    let mut keys = 0;
    let mut lines = Prepared::internal(
        database,
        "SELECT name, type, dflt_value, pk, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid",
    )?;
    lines.bind(1, ValueRef::Text(found.name.as_bytes()))?;
    while lines.step()? {
        keys += i64::from(lines.integer(3) != 0);
        columns.push(TableColumn {
            id: u32::try_from(columns.len() + 1).unwrap_or(u32::MAX),
            name: lines.string(0).unwrap_or_default().to_owned(),
            declared_type: lines.string(1).unwrap_or_default().to_owned(),
            default: lines.string(2).map(str::to_owned),
            is_real: has_real_affinity(lines.string(1).unwrap_or_default()),
            is_stored: lines.integer(4) < 2,
            skip: None,
            short_row_value: OnceLock::new(),
        });
    }
    let stored: Vec<usize> = (0..columns.len())
        .filter(|place| columns[*place].is_stored)
        .collect();
    let key = read_key(database, found, &columns, &stored, keys == 1)?;
    let is_autoincrement = matches!(key, Key::IntegerPrimary(_))
        && lexer::significant(&found.sql).any(|token| token.is_word("AUTOINCREMENT"));
    Ok(Table {
        id: TableId(0),
        name: found.name.clone(),
        next_column_id: u32::try_from(columns.len() + 1).unwrap_or(u32::MAX),
        columns,
        stored,
        key,
        is_autoincrement,
        root_page: found.root_page,
        sql: found.sql.clone(),
    })
}

fn read_key(
    database: &Database,
    found: &Found,
    columns: &[TableColumn],
    stored: &[usize],
    has_one_key_column: bool,
) -> Result<Key, SqliteError> {
    let name = ValueRef::Text(found.name.as_bytes());
    let mut lines = Prepared::internal(
        database,
        "SELECT x.cid, x.coll FROM pragma_index_list(?1, 'main') AS l, pragma_index_xinfo(l.name, 'main') AS x
         WHERE l.origin = 'pk' AND x.key = 1 ORDER BY x.seqno",
    )?;
    lines.bind(1, name)?;
    let mut key_columns = Vec::new();
    while lines.step()? {
        let cid = usize::try_from(lines.integer(0)).unwrap_or(usize::MAX);
        key_columns.push(KeyColumn {
            place: stored
                .iter()
                .position(|place| *place == cid)
                .unwrap_or(usize::MAX),
            collation: lines.string(1).unwrap_or("BINARY").to_owned(),
        });
    }
    // As a statement: the table-valued function would look at every attached database.
    let list = format!("PRAGMA main.table_list({})", quoted_name(&found.name));
    let mut without = Prepared::internal(database, &list)?;
    if without.step()? && without.integer(4) != 0 {
        return Ok(Key::Primary(key_columns));
    }
    if has_one_key_column && key_columns.is_empty() {
        let place = integer_primary_place(database, found, columns, stored)?;
        if let Some(place) = place {
            return Ok(Key::IntegerPrimary(place));
        }
    }
    let is_taken = |name: &str| {
        columns
            .iter()
            .any(|column| column.name.eq_ignore_ascii_case(name))
    };
    let free = ["_rowid_", "rowid", "oid"]
        .into_iter()
        .find(|name| !is_taken(name));
    Ok(free.map_or(Key::Unreachable, Key::Rowid))
}

/// A lone key column without an index of its own is the rowid.
fn integer_primary_place(
    database: &Database,
    found: &Found,
    columns: &[TableColumn],
    stored: &[usize],
) -> Result<Option<usize>, SqliteError> {
    let mut line = Prepared::internal(
        database,
        "SELECT cid FROM pragma_table_xinfo(?1, 'main') WHERE pk <> 0",
    )?;
    line.bind(1, ValueRef::Text(found.name.as_bytes()))?;
    if !line.step()? {
        return Ok(None);
    }
    let cid = usize::try_from(line.integer(0)).unwrap_or(columns.len());
    Ok(stored.iter().position(|place| *place == cid))
}
