//! What tables were called at each point of the log, so that old records can be told in the words of their time.
//!
//! A line in `_bellwether_relation` for each time that a schema statement made or changed a table, written with it: so
//! it goes where the replica's images go. A table that has none is told in the words of today.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use bellwether_types::{Decoder, Encoder, LogIndex, Relation, RelationColumn, Rowid, TableId, ValueRef};

use crate::catalog::{Catalog, Key, Table};
use crate::database::Database;
use crate::error::SqliteError;
use crate::statement::Prepared;

/// Instead of the position that the open group's record will have.
pub(crate) const PENDING: i64 = -1;

/// Superseded lines beyond so many go, oldest first: records older than that are told by number and place.
const SUPERSEDED_MAX: i64 = 10_000;

const CREATE: &str = "CREATE TABLE IF NOT EXISTS _bellwether_relation(
    table_id INTEGER NOT NULL, log_index INTEGER NOT NULL, ordinal INTEGER NOT NULL, relation BLOB,
    PRIMARY KEY(table_id, log_index, ordinal)) WITHOUT ROWID";

/// Writes down what a schema statement changed: the `ordinal`th of its group, from 1.
pub(crate) fn note(
    database: &Database,
    before: &Catalog,
    after: &Catalog,
    ordinal: u64,
) -> Result<(), SqliteError> {
    let is_as_before = |table: &Arc<Table>| before.tables.get(&table.id) == Some(table);
    let changed = after.tables.values().filter(|table| !is_as_before(table));
    let dropped = before.tables.keys().filter(|id| !after.tables.contains_key(id));
    let mut lines: Vec<(TableId, Option<Relation>)> = dropped.map(|id| (*id, None)).collect();
    for table in changed {
        lines.push((table.id, Some(relation_of(database, table)?)));
    }
    if lines.is_empty() {
        return Ok(());
    }
    database.execute(CREATE)?;
    let sql = "INSERT OR REPLACE INTO _bellwether_relation VALUES (?1, ?2, ?3, ?4)";
    let mut line = Prepared::internal(database, sql)?;
    for (table, relation) in lines {
        let mut out = Encoder::new();
        if let Some(relation) = &relation {
            relation.encode(&mut out);
        }
        line.bind(1, ValueRef::Integer(i64::from(table.0)))?;
        line.bind(2, ValueRef::Integer(PENDING))?;
        line.bind(3, ValueRef::Integer(ordinal.cast_signed()))?;
        line.bind(
            4,
            match relation {
                Some(_) => ValueRef::Blob(out.as_slice()),
                None => ValueRef::Null,
            },
        )?;
        line.run()?;
    }
    Ok(())
}

fn exists(database: &Database) -> Result<bool, SqliteError> {
    let sql = "SELECT 1 FROM main.sqlite_schema WHERE name = '_bellwether_relation'";
    Prepared::internal(database, sql)?.step()
}

/// The group's record stands there. The same lines go on every replica.
pub(crate) fn settle(database: &Database, index: LogIndex) -> Result<(), SqliteError> {
    if !exists(database)? {
        return Ok(());
    }
    let sql = "UPDATE _bellwether_relation SET log_index = ?1 WHERE log_index = ?2";
    let mut line = Prepared::internal(database, sql)?;
    line.bind(1, ValueRef::Integer(index.0.cast_signed()))?;
    line.bind(2, ValueRef::Integer(PENDING))?;
    line.run()?;
    // A dropped table's last line says nothing that those of a table that never was would not.
    let mut line = Prepared::internal(
        database,
        "DELETE FROM _bellwether_relation WHERE (table_id, log_index, ordinal) IN (
            SELECT table_id, log_index, ordinal FROM (
                SELECT *, lead(log_index) OVER (PARTITION BY table_id ORDER BY log_index, ordinal) AS later
                FROM _bellwether_relation)
            WHERE later IS NOT NULL OR relation IS NULL
            ORDER BY log_index DESC, ordinal DESC LIMIT -1 OFFSET ?1)",
    )?;
    line.bind(1, ValueRef::Integer(SUPERSEDED_MAX))?;
    line.run()
}

/// As it is now.
pub(crate) fn relation_of(database: &Database, table: &Table) -> Result<Relation, SqliteError> {
    let place_of = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
    let primary = match &table.key {
        Key::Primary(columns) => columns.iter().map(|column| place_of(column.place)).collect(),
        Key::IntegerPrimary(_) | Key::Rowid(_) | Key::Unreachable => declared_key(database, table)?,
    };
    Ok(Relation {
        name: table.name.clone(),
        columns: table
            .stored_columns()
            .map(|column| RelationColumn {
                name: column.name.as_str().into(),
                declared_type: column.declared_type.clone(),
            })
            .collect(),
        rowid: match &table.key {
            Key::IntegerPrimary(place) => Rowid::Column(place_of(*place)),
            Key::Rowid(name) => Rowid::Hidden((*name).into()),
            Key::Unreachable => Rowid::Hidden("rowid".into()),
            Key::Primary(_) => Rowid::None,
        },
        primary,
    })
}

/// Places of the PRIMARY KEY's columns, in key order.
fn declared_key(database: &Database, table: &Table) -> Result<Vec<u32>, SqliteError> {
    let sql = "SELECT cid FROM pragma_table_xinfo(?1, 'main') WHERE pk > 0 ORDER BY pk";
    let mut lines = Prepared::internal(database, sql)?;
    lines.bind(1, ValueRef::Text(table.name.as_bytes()))?;
    let mut places = Vec::new();
    while lines.step()? {
        let cid = usize::try_from(lines.integer(0)).unwrap_or(usize::MAX);
        let place = table.stored.iter().position(|stored| *stored == cid);
        places.extend(place.and_then(|place| u32::try_from(place).ok()));
    }
    Ok(places)
}

/// A record, and how many of its schema statements come before.
type Since = (LogIndex, u64);

/// What all tables were called when.
#[derive(Debug, Clone, Default)]
pub struct Relations {
    tables: BTreeMap<TableId, BTreeMap<Since, Option<Arc<Relation>>>>,
}

impl Relations {
    pub(crate) fn load(database: &Database) -> Result<Result<Relations, String>, SqliteError> {
        let mut relations = Relations::default();
        if exists(database)? {
            let sql = "SELECT table_id, log_index, ordinal, relation FROM _bellwether_relation";
            let mut lines = Prepared::internal(database, sql)?;
            while lines.step()? {
                let table = TableId(u32::try_from(lines.integer(0)).unwrap_or(0));
                let since = (
                    LogIndex(lines.integer(1).cast_unsigned()),
                    lines.integer(2).cast_unsigned(),
                );
                let relation = match lines.value(3) {
                    ValueRef::Blob(bytes) => match Relation::decode(&mut Decoder::new(bytes)) {
                        Ok(relation) => Some(Arc::new(relation)),
                        Err(error) => return Ok(Err(format!("table {table}: {error}"))),
                    },
                    _ => None,
                };
                relations.tables.entry(table).or_default().insert(since, relation);
            }
        }
        let catalog = match Catalog::load(database)? {
            Ok(catalog) => catalog,
            Err(what) => return Ok(Err(what)),
        };
        for table in catalog.tables.values() {
            if let Entry::Vacant(none) = relations.tables.entry(table.id) {
                let relation = Arc::new(relation_of(database, table)?);
                none.insert(BTreeMap::from([((LogIndex(0), 0), Some(relation))]));
            }
        }
        Ok(Ok(relations))
    }

    /// As they are called now.
    pub fn now(&self) -> impl Iterator<Item = &Arc<Relation>> {
        let last = self
            .tables
            .values()
            .filter_map(|since| since.values().next_back());
        last.flatten()
    }

    /// At a change of that record, after so many of its schema statements. `None`: nobody knows (any more).
    pub(crate) fn at(&self, table: TableId, record: LogIndex, ordinal: u64) -> Option<Arc<Relation>> {
        let known = self.tables.get(&table)?.range(..=(record, ordinal)).next_back();
        known.and_then(|(_, relation)| relation.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{ConnectionRole, Files, Spill, Vfs};

    #[test]
    fn superseded_names_are_bounded_and_the_last_of_each_table_stays() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = Files {
            path: directory.path().join("replica.db"),
            vfs: Vfs::Os,
            spill: Spill::Memory,
            extended: Default::default(),
            damage: Default::default(),
        };
        let connection = files.connect(ConnectionRole::Writer).expect("a new file");
        let database =
            Database::new(connection, &files.extended, ConnectionRole::Writer).expect("a connection");
        database.execute(CREATE).expect("room");
        let fill =
            "INSERT INTO _bellwether_relation WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
            LIMIT 10020) SELECT 1 + i / 10010, i, 1, CASE i WHEN 10005 THEN NULL ELSE x'00' END FROM n";
        database.execute(fill).expect("room");
        settle(&database, LogIndex(20_000)).expect("room");
        let mut line = Prepared::internal(
            &database,
            "SELECT count(*), min(log_index), max(log_index), count(*) FILTER (WHERE table_id = 2)
             FROM _bellwether_relation",
        )
        .expect("a query");
        assert!(line.step().expect("a row"));
        let found = [0, 1, 2, 3].map(|place| line.integer(place));
        assert_eq!(found, [10_002, 19, 10_020, 11]);
    }
}
