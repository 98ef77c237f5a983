//! Builds a table anew under its own name: SQLite's way to what its ALTER TABLE lacks
//! (<https://sqlite.org/lang_altertable.html#otheralter>), in the client's transaction and captured as the statements
//! and rows that it consists of.
//!
//! Promises: rows keep their rowids, AUTOINCREMENT goes on from where it was; indexes, triggers and views are made
//! again as they were; a foreign key that would be violated is an error. Whoever fails half-way leaves the
//! transaction failed, to be rolled back.

use bellwether_types::lexer::{self, quoted_name};
use bellwether_types::{Column, CommandTag, SqlError, Statement, ValueRef};
use rusqlite::ffi;

use crate::alteration::{Alteration, Change};
use crate::database::Database;
use crate::error::{SqliteError, foreign_key_violation};
use crate::execute::{begin_parts, run_part};
use crate::group::RowSink;
use crate::statement::Prepared;
use crate::transaction::{OpenTransaction, internal, without_traces};
use crate::writer::WriteConnection;

/// What a statement that is an alteration does. `None`: SQLite does it by itself.
pub(crate) fn alter(
    connection: &mut WriteConnection,
    open: &mut OpenTransaction,
    alteration: &Alteration,
) -> Result<Option<CommandTag>, SqlError> {
    let database = connection.database.clone();
    let Some(mut table) = Table::find(&database, &alteration.table).map_err(internal)? else {
        return Ok(None);
    };
    let Some(parts) = table.plan(&database, alteration)? else {
        return Ok(None);
    };
    begin_parts(open);
    let enforces = connection.foreign_keys;
    // Else DROP TABLE would delete the rows first, with all that follows from it.
    database.set_switch(ffi::SQLITE_DBCONFIG_ENABLE_FKEY, false);
    connection.foreign_keys = false;
    connection.sends_rows = true;
    let done = parts.into_iter().try_for_each(|sql| {
        let done = run_part(connection, open, &Statement::new(sql), &mut Nowhere).map(drop);
        // Its place is in another text than the client's.
        done.map_err(|error| SqlError {
            position: None,
            ..error
        })
    });
    database.set_switch(ffi::SQLITE_DBCONFIG_ENABLE_FKEY, enforces);
    connection.foreign_keys = enforces;
    connection.sends_rows = false;
    done?;
    let catalog = connection.hook.capture().catalog().clone();
    if catalog
        .by_name(&table.name)
        .is_some_and(|table| table.is_autoincrement)
    {
        without_traces(&database, || table.restore_sequence(&database)).map_err(internal)?;
    }
    if enforces && matches!(alteration.change, Change::AddForeignKey(_) | Change::Type { .. }) {
        table.check_foreign_keys(&database)?;
    }
    Ok(Some(CommandTag::plain("ALTER TABLE")))
}

/// Rows that nobody asked for.
struct Nowhere;

impl RowSink for Nowhere {
    fn columns(&mut self, _: &[Column]) -> Result<(), SqlError> {
        Ok(())
    }

    fn row(&mut self, _: &[ValueRef<'_>]) -> Result<(), SqlError> {
        Ok(())
    }
}

/// A table, and what hangs on it.
struct Table {
    name: String,
    sql: String,
    has_rowid: bool,
    columns: Vec<StoredColumn>,
    /// The largest rowid that AUTOINCREMENT ever gave.
    sequence: Option<i64>,
    /// Its indexes, by name and text.
    indexes: Vec<(String, String)>,
    /// Triggers and views that name it, or a view that does: kind, name, text, in the order in which they were made.
    dependents: Vec<(String, String, String)>,
}

/// A column whose values are stored.
struct StoredColumn {
    name: String,
    is_rowid: bool,
}

fn rows<T>(
    database: &Database,
    sql: &str,
    table: &str,
    row: impl Fn(&Prepared) -> T,
) -> Result<Vec<T>, SqliteError> {
    let mut prepared = Prepared::internal(database, sql)?;
    prepared.bind(1, ValueRef::Text(table.as_bytes()))?;
    let mut all = Vec::new();
    while prepared.step()? {
        all.push(row(&prepared));
    }
    Ok(all)
}

fn text(row: &Prepared, column: usize) -> String {
    row.string(column).unwrap_or_default().to_owned()
}

impl Table {
    /// An ordinary table.
    fn find(database: &Database, name: &str) -> Result<Option<Table>, SqliteError> {
        let found = rows(
            database,
            "SELECT s.name, s.sql, l.wr FROM sqlite_schema s JOIN pragma_table_list l ON l.name = s.name
             AND l.schema IN ('main', 'public') AND l.type = 'table' WHERE s.type = 'table' AND lower(s.name) = lower(?1)",
            name,
            |row| (text(row, 0), text(row, 1), row.integer(2) == 0),
        )?;
        let Some((name, sql, has_rowid)) = found.into_iter().next() else {
            return Ok(None);
        };
        let columns = rows(
            database,
            "SELECT name, upper(type) = 'INTEGER' AND pk = 1
                 AND 1 = (SELECT count(*) FROM pragma_table_xinfo(?1, 'main') WHERE pk > 0)
             FROM pragma_table_xinfo(?1, 'main') WHERE hidden = 0",
            &name,
            |row| StoredColumn {
                name: text(row, 0),
                is_rowid: row.integer(1) != 0,
            },
        )?;
        let indexes = rows(
            database,
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL
             ORDER BY rowid",
            &name,
            |row| (text(row, 0), text(row, 1)),
        )?;
        let has_sequences = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence' AND ?1 <> ''";
        let sequence = match rows(database, has_sequences, &name, |_| ())?.is_empty() {
            true => None,
            false => rows(
                database,
                "SELECT seq FROM sqlite_sequence WHERE name = ?1",
                &name,
                |row| row.integer(0),
            )?
            .first()
            .copied(),
        };
        let dependents = dependents(database, &name)?;
        Ok(Some(Table {
            name,
            sql,
            has_rowid,
            columns,
            sequence,
            indexes,
            dependents,
        }))
    }

    /// SQLite's statements that do it, one after the other. `None`: the one that the client has written.
    fn plan(
        &mut self,
        database: &Database,
        alteration: &Alteration,
    ) -> Result<Option<Vec<String>>, SqlError> {
        let name = quoted_name(&self.name);
        match &alteration.change {
            Change::DropConstraint { name: constraint, .. } if self.is_dropped_by_sqlite(constraint) => {
                let constraint = quoted_name(constraint);
                return Ok(Some(vec![format!(
                    "ALTER TABLE {name} DROP CONSTRAINT {constraint}"
                )]));
            }
            Change::DropConstraint { name: constraint, .. } if self.has_unique_index(constraint) => {
                return Ok(Some(vec![format!("DROP INDEX {}", quoted_name(constraint))]));
            }
            Change::DropColumn(column) => {
                let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.indexes)
                    .into_iter()
                    .partition(|(_, sql)| names(sql, column));
                self.indexes = kept;
                if alteration.edit(&self.sql, "")?.is_none() {
                    let gone = gone
                        .iter()
                        .map(|(index, _)| format!("DROP INDEX {}", quoted_name(index)));
                    let column = format!("ALTER TABLE {name} DROP COLUMN {}", quoted_name(column));
                    return Ok(Some(gone.chain([column]).collect()));
                }
            }
            _ => {}
        }
        let Some(create) = alteration.edit(&self.sql, &self.interim())? else {
            // To drop what is not there is SQLite's error; every other change has nothing to do.
            let is_there = !matches!(alteration.change, Change::DropConstraint { if_exists: false, .. });
            return Ok(is_there.then(Vec::new));
        };
        // A text that is none is told before anything is done.
        drop(Prepared::client(database, &create)?);
        if let Change::Type {
            using: Some(using), ..
        } = &alteration.change
        {
            drop(Prepared::client(
                database,
                &format!("SELECT {using} FROM {name}"),
            )?);
        }
        let copy = self.copy(alteration);
        Ok(Some([create, copy].into_iter().chain(self.replace()).collect()))
    }

    /// What it is called until the old one is gone.
    fn interim(&self) -> String {
        format!("{} rebuilt", self.name)
    }

    /// SQLite takes CHECKs and foreign keys out of the text that have a name of their own.
    fn is_dropped_by_sqlite(&self, name: &str) -> bool {
        let tokens: Vec<_> = lexer::significant(&self.sql).collect();
        tokens.windows(3).any(|window| {
            window[0].is_word("CONSTRAINT")
                && window[1].unquoted().eq_ignore_ascii_case(name)
                && ["CHECK", "FOREIGN", "REFERENCES"]
                    .iter()
                    .any(|word| window[2].is_word(word))
        })
    }

    /// A key that came after its table is an index.
    fn has_unique_index(&self, name: &str) -> bool {
        let is_unique = |sql: &str| {
            lexer::significant(sql)
                .nth(1)
                .is_some_and(|token| token.is_word("UNIQUE"))
        };
        self.indexes
            .iter()
            .any(|(index, sql)| index.eq_ignore_ascii_case(name) && is_unique(sql))
    }

    fn copy(&self, alteration: &Alteration) -> String {
        let (mut into, mut from): (Vec<String>, Vec<String>) = self
            .columns
            .iter()
            .filter(|column| !matches!(&alteration.change, Change::DropColumn(gone) if gone.eq_ignore_ascii_case(&column.name)))
            .map(|column| {
                let value = match &alteration.change {
                    Change::Type {
                        column: changed,
                        using: Some(using),
                        ..
                    } if changed.eq_ignore_ascii_case(&column.name) => using.clone(),
                    _ => quoted_name(&column.name),
                };
                (quoted_name(&column.name), value)
            })
            .unzip();
        let is_free = |name: &&str| {
            !self
                .columns
                .iter()
                .any(|column| column.name.eq_ignore_ascii_case(name))
        };
        if self.has_rowid
            && !self.columns.iter().any(|column| column.is_rowid)
            && let Some(rowid) = ["rowid", "_rowid_", "oid"].into_iter().find(is_free)
        {
            into.insert(0, rowid.to_owned());
            from.insert(0, rowid.to_owned());
        }
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM {}",
            quoted_name(&self.interim()),
            into.join(", "),
            from.join(", "),
            quoted_name(&self.name)
        )
    }

    /// The new one takes the old one's place, and everything that hung on that.
    fn replace(&self) -> Vec<String> {
        let (name, interim) = (quoted_name(&self.name), quoted_name(&self.interim()));
        let mut parts = Vec::new();
        for (kind, dependent, _) in self.dependents.iter().rev() {
            // Triggers of views go with these.
            parts.push(format!("DROP {kind} IF EXISTS {}", quoted_name(dependent)));
        }
        parts.push(format!("DROP TABLE {name}"));
        parts.push(format!("ALTER TABLE {interim} RENAME TO {name}"));
        parts.extend(self.indexes.iter().map(|(_, sql)| sql.clone()));
        parts.extend(self.dependents.iter().map(|(_, _, sql)| sql.clone()));
        parts
    }

    fn restore_sequence(&self, database: &Database) -> Result<(), SqliteError> {
        let Some(sequence) = self.sequence else {
            return Ok(());
        };
        for sql in [
            "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1",
            "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, ?2
             WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
        ] {
            let mut prepared = Prepared::internal(database, sql)?;
            prepared.bind(1, ValueRef::Text(self.name.as_bytes()))?;
            prepared.bind(2, ValueRef::Integer(sequence))?;
            prepared.run()?;
        }
        Ok(())
    }

    /// Of its own rows, and of those that refer to it.
    fn check_foreign_keys(&self, database: &Database) -> Result<(), SqlError> {
        let children = rows(
            database,
            "SELECT ?1 UNION SELECT s.name FROM sqlite_schema s JOIN pragma_foreign_key_list(s.name, 'main') k
             WHERE s.type = 'table' AND lower(k.\"table\") = lower(?1)",
            &self.name,
            |row| text(row, 0),
        );
        for child in children.map_err(internal)? {
            let violated = rows(
                database,
                "SELECT 1 FROM pragma_foreign_key_check(?1, 'main') LIMIT 1",
                &child,
                |_| (),
            );
            let is_violated = match violated {
                Ok(violated) => !violated.is_empty(),
                // What is referred to is not there, or not unique.
                Err(error) => return Err(error.into_sql_error("")),
            };
            if is_violated {
                let mut error = foreign_key_violation();
                error.message =
                    format!("insert or update on table \"{child}\" violates a foreign key constraint");
                error.table = Some(child);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Whether an index is of a column, or speaks of it.
fn names(index: &str, column: &str) -> bool {
    let mut tokens = lexer::significant(index).skip_while(|token| !token.is_operator("("));
    tokens.any(|token| token.unquoted().eq_ignore_ascii_case(column))
}

/// Triggers and views that name the table, or a view that names it: SQLite refuses to rename a table while the schema
/// names one that is not there.
fn dependents(database: &Database, table: &str) -> Result<Vec<(String, String, String)>, SqliteError> {
    let all = rows(
        database,
        "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('view', 'trigger') AND ?1 <> '' ORDER BY rowid",
        table,
        |row| (text(row, 0), text(row, 1), text(row, 2)),
    )?;
    let mut names = vec![table.to_owned()];
    loop {
        let depends = |sql: &str| {
            lexer::significant(sql).any(|token| {
                let name = token.unquoted();
                names.iter().any(|known| known.eq_ignore_ascii_case(&name))
            })
        };
        let found: Vec<_> = all.iter().filter(|(_, _, sql)| depends(sql)).cloned().collect();
        let views = found
            .iter()
            .filter(|(kind, ..)| kind == "view")
            .map(|(_, name, _)| name.clone());
        let more: Vec<String> = views.filter(|view| !names.contains(view)).collect();
        if more.is_empty() {
            return Ok(found);
        }
        names.extend(more);
    }
}
