//! Reads the schema out of SQLite, from within a client's statement.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_types::schema::{
    Attribute, Constraint, ForeignKey, Generated, Index, IndexColumn, IndexKey, Relation, RelationKind, Rule,
    Trigger,
};
use bellwether_types::{Schema, TableId, ValueRef, lexer};
use rusqlite::ffi;
use xxhash_rust::xxh3::Xxh3;

use super::declared::{self, Clause, Declared};
use super::ids::{self, Ids};
use crate::authorizer::INTERNAL_PREFIX;
use crate::error::SqliteError;
use crate::statement::Prepared;

/// While it lives, all that is read is of one state.
pub(super) struct Reading {
    handle: *mut ffi::sqlite3,
    version: i64,
    /// Stepped and not reset: it holds the read transaction open.
    _pin: Prepared,
}

/// What SQLite keeps of the schema, and what says which one it is.
pub(super) struct Objects {
    /// Over everything else here.
    pub(super) digest: u128,
    lines: Vec<Object>,
    table_ids: BTreeMap<String, TableId>,
    row_estimates: BTreeMap<String, u64>,
}

struct Object {
    type_: String,
    name: String,
    table: String,
    sql: String,
}

/// The statements that are run for each table.
struct PerTable {
    columns: Prepared,
    indexes: Prepared,
    index_columns: Prepared,
    foreign_keys: Prepared,
}

/// Names that are taken in the namespace, lower case.
type Taken = BTreeSet<String>;

impl Reading {
    pub(super) fn begin(handle: *mut ffi::sqlite3) -> Result<Reading, SqliteError> {
        let mut pin = Prepared::on(handle, "PRAGMA main.schema_version")?;
        pin.step()?;
        Ok(Reading {
            handle,
            version: pin.integer(0),
            _pin: pin,
        })
    }

    /// SQLite's number of the schema's version.
    pub(super) fn version(&self) -> i64 {
        self.version
    }

    pub(super) fn objects(&self) -> Result<Objects, SqliteError> {
        let mut objects = Objects {
            digest: 0,
            lines: Vec::new(),
            table_ids: BTreeMap::new(),
            row_estimates: BTreeMap::new(),
        };
        let mut hasher = Xxh3::new();
        let mut has_estimates = false;
        self.each(
            "SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY name",
            4,
            &mut hasher,
            |line| {
                let text = |column| line.string(column).unwrap_or_default().to_owned();
                has_estimates |= text(1) == "sqlite_stat1";
                objects.lines.push(Object {
                    type_: text(0),
                    name: text(1),
                    table: text(2),
                    sql: text(3),
                });
            },
        )?;
        self.each(
            "SELECT table_id, name FROM main._bellwether_catalog WHERE column_id = 0 AND table_id > 0 ORDER BY 1",
            2,
            &mut hasher,
            |line| {
                let id = TableId(u32::try_from(line.integer(0)).unwrap_or(0));
                let name = line.string(1).unwrap_or_default();
                objects.table_ids.insert(name.to_owned(), id);
            },
        )?;
        if has_estimates {
            let sql = "SELECT tbl, stat FROM main.sqlite_stat1 ORDER BY 1, 2";
            self.each(sql, 2, &mut hasher, |line| {
                let table = line.string(0).unwrap_or_default();
                let rows = line
                    .string(1)
                    .and_then(|stat| stat.split(' ').next()?.parse().ok());
                if let Some(rows) = rows {
                    objects.row_estimates.insert(table.to_owned(), rows);
                }
            })?;
        }
        objects.digest = hasher.digest128();
        Ok(objects)
    }

    fn each(
        &self,
        sql: &str,
        columns: usize,
        hasher: &mut Xxh3,
        mut take: impl FnMut(&Prepared),
    ) -> Result<(), SqliteError> {
        let mut lines = Prepared::on(self.handle, sql)?;
        while lines.step()? {
            for column in 0..columns {
                let number;
                let bytes: &[u8] = match lines.value(column) {
                    ValueRef::Text(text) => text,
                    ValueRef::Integer(value) => {
                        number = value.to_le_bytes();
                        &number
                    }
                    _ => b"",
                };
                hasher.update(&bytes.len().to_le_bytes());
                hasher.update(bytes);
            }
            take(&lines);
        }
        hasher.update(&[0xFF]);
        Ok(())
    }

    pub(super) fn schema(&self, objects: Objects, database: &str) -> Result<Schema, SqliteError> {
        let on = |sql| Prepared::on(self.handle, sql);
        let mut per_table = PerTable {
            columns: on(
                "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1, 'main')
                 ORDER BY cid",
            )?,
            indexes: on("SELECT name, \"unique\", origin FROM pragma_index_list(?1, 'main') ORDER BY name")?,
            index_columns: on(
                "SELECT cid, \"desc\", coll FROM pragma_index_xinfo(?1, 'main') WHERE key = 1 ORDER BY seqno",
            )?,
            // The one declared last has the number 0.
            foreign_keys: on("SELECT id, \"table\", \"from\", \"to\", on_update, on_delete
                 FROM pragma_foreign_key_list(?1, 'main') ORDER BY id DESC, seq")?,
        };
        let shown = |object: &&Object| is_shown(&object.name) && is_shown(&object.table);
        let mut texts: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
        let mut taken = Taken::new();
        for object in objects.lines.iter().filter(shown) {
            texts.entry(&object.table).or_default().push(object);
            taken.insert(object.name.to_ascii_lowercase());
        }
        let mut ids = Ids::default();
        let mut relations = Vec::new();
        for object in objects.lines.iter().filter(shown) {
            if matches!(object.type_.as_str(), "table" | "view") {
                let beside = texts.get(object.name.as_str()).map_or(&[][..], Vec::as_slice);
                let mut relation = per_table.relation(object, beside, &mut ids, &mut taken)?;
                if let Some(id) = objects.table_ids.get(&object.name) {
                    relation.id = ids::of_table(*id);
                }
                relation.row_estimate = objects.row_estimates.get(&object.name).copied();
                relations.push(relation);
            }
        }
        Ok(Schema::new(database, relations))
    }
}

/// Neither SQLite's nor ours. SQLite's names of keys' indexes are replaced.
fn is_shown(name: &str) -> bool {
    let starts = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    !starts("sqlite_") && !starts(INTERNAL_PREFIX)
}

impl PerTable {
    fn relation(
        &mut self,
        object: &Object,
        beside: &[&Object],
        ids: &mut Ids,
        taken: &mut Taken,
    ) -> Result<Relation, SqliteError> {
        let mut relation = Relation {
            id: ids.of_name("relation", &object.name),
            name: object.name.clone(),
            kind: kind(object),
            sql: object.sql.clone(),
            ..Relation::default()
        };
        let keys = self.columns(&mut relation)?;
        if relation.kind != RelationKind::View {
            let declared = match relation.kind {
                RelationKind::Table => Declared::of(&object.sql),
                _ => Declared::default(),
            };
            self.indexes(&mut relation, &declared, beside, ids, taken)?;
            rowid_key(&mut relation, &keys, &declared, ids, taken);
            self.references(&mut relation, &declared, ids)?;
            checks(&mut relation, &declared, ids);
            for column in &mut relation.columns {
                column.generated = declared.generated.get(&column.name.to_ascii_lowercase()).cloned();
            }
        }
        for trigger in beside.iter().filter(|object| object.type_ == "trigger") {
            relation.triggers.push(Trigger {
                id: ids.of_name("trigger", &trigger.name),
                name: trigger.name.clone(),
                sql: trigger.sql.clone(),
            });
        }
        Ok(relation)
    }

    /// Answers the primary key's columns, by place, in key order.
    fn columns(&mut self, relation: &mut Relation) -> Result<Vec<usize>, SqliteError> {
        let lines = &mut self.columns;
        lines.bind(1, ValueRef::Text(relation.name.as_bytes()))?;
        let mut keys = Vec::new();
        loop {
            match lines.step() {
                Ok(true) => {}
                Ok(false) => break,
                // A view of something that is not there any more has no columns that anybody knows.
                Err(_) if relation.kind == RelationKind::View => break,
                Err(error) => {
                    lines.reset();
                    return Err(error);
                }
            }
            // 1: a virtual table's parameter.
            if lines.integer(5) == 1 {
                continue;
            }
            if lines.integer(4) != 0 {
                keys.push((lines.integer(4), relation.columns.len()));
            }
            let hidden = lines.integer(5);
            relation.columns.push(Attribute {
                name: lines.string(0).unwrap_or_default().to_owned(),
                declared_type: lines.string(1).unwrap_or_default().to_owned(),
                is_not_null: lines.integer(2) != 0,
                default: lines.string(3).map(str::to_owned),
                // Its text is found elsewhere.
                generated: (hidden >= 2).then(|| Generated {
                    expression: String::new(),
                    is_stored: hidden == 3,
                }),
                is_rowid: false,
            });
        }
        lines.reset();
        keys.sort_unstable();
        Ok(keys.into_iter().map(|(_, place)| place).collect())
    }

    fn indexes(
        &mut self,
        relation: &mut Relation,
        declared: &Declared,
        beside: &[&Object],
        ids: &mut Ids,
        taken: &mut Taken,
    ) -> Result<(), SqliteError> {
        self.indexes.bind(1, ValueRef::Text(relation.name.as_bytes()))?;
        let mut found = Vec::new();
        while self.indexes.step()? {
            let text = |column| self.indexes.string(column).unwrap_or_default().to_owned();
            found.push((text(0), self.indexes.integer(1) != 0, text(2)));
        }
        self.indexes.reset();
        for (name, is_unique, origin) in found {
            let sql = beside
                .iter()
                .find(|object| object.type_ == "index" && object.name == name)
                .map(|object| declared::index(&object.sql));
            let (expressions, predicate) = sql.unwrap_or_default();
            let mut index = Index {
                columns: self.index_columns(&name, expressions)?,
                is_unique,
                is_primary: origin == "pk",
                predicate,
                name,
                ..Index::default()
            };
            if origin == "c" {
                index.id = ids.of_name("index", &index.name);
                relation.indexes.push(index);
                continue;
            }
            add_key(relation, index, declared, ids, taken);
        }
        Ok(())
    }

    fn index_columns(
        &mut self,
        index: &str,
        expressions: Vec<String>,
    ) -> Result<Vec<IndexColumn>, SqliteError> {
        let lines = &mut self.index_columns;
        lines.bind(1, ValueRef::Text(index.as_bytes()))?;
        let mut columns = Vec::new();
        while lines.step()? {
            let key = match usize::try_from(lines.integer(0)) {
                Ok(place) => IndexKey::Column(place),
                // -2; -1 is the rowid, which no index names.
                Err(_) => IndexKey::Expression(expressions.get(columns.len()).cloned().unwrap_or_default()),
            };
            columns.push(IndexColumn {
                key,
                is_descending: lines.integer(1) != 0,
                collation: lines.string(2).unwrap_or("BINARY").to_owned(),
            });
        }
        lines.reset();
        Ok(columns)
    }

    fn references(
        &mut self,
        relation: &mut Relation,
        declared: &Declared,
        ids: &mut Ids,
    ) -> Result<(), SqliteError> {
        let lines = &mut self.foreign_keys;
        lines.bind(1, ValueRef::Text(relation.name.as_bytes()))?;
        let mut keys: Vec<(i64, ForeignKey)> = Vec::new();
        while lines.step()? {
            let text = |column| lines.string(column).unwrap_or_default().to_owned();
            let number = lines.integer(0);
            if keys.last().is_none_or(|(last, _)| *last != number) {
                let key = ForeignKey {
                    columns: Vec::new(),
                    target: text(1),
                    target_columns: Vec::new(),
                    on_update: text(4),
                    on_delete: text(5),
                    is_deferred: false,
                };
                keys.push((number, key));
            }
            let (_, key) = keys.last_mut().expect("just pushed, if there was none");
            key.columns.extend(relation.column_place(&text(2)));
            key.target_columns.extend(lines.string(3).map(str::to_owned));
        }
        lines.reset();
        let mut clauses = declared.clauses.iter().filter_map(|clause| match clause {
            Clause::References { name, is_deferred } => Some((name, *is_deferred)),
            _ => None,
        });
        for (_, mut key) in keys {
            let (name, is_deferred) = clauses.next().unzip();
            key.is_deferred = is_deferred.unwrap_or(false);
            let columns = names(relation, &key.columns);
            let derived = format!("{}_{columns}_fkey", relation.name);
            add_constraint(
                relation,
                name.cloned().flatten(),
                derived,
                Rule::ForeignKey(key),
                ids,
            );
        }
        Ok(())
    }
}

fn kind(object: &Object) -> RelationKind {
    let is_virtual = || {
        lexer::significant(&object.sql)
            .nth(1)
            .is_some_and(|token| token.is_word("VIRTUAL"))
    };
    match object.type_.as_str() {
        "view" => RelationKind::View,
        _ if is_virtual() => RelationKind::VirtualTable,
        _ => RelationKind::Table,
    }
}

/// Columns' names with `_` between them.
fn names(relation: &Relation, places: &[usize]) -> String {
    let names: Vec<&str> = places
        .iter()
        .filter_map(|place| relation.columns.get(*place))
        .map(|column| column.name.as_str())
        .collect();
    names.join("_")
}

/// An index that a key brought along: named as PostgreSQL would, with the constraint it stands for.
fn add_key(relation: &mut Relation, mut index: Index, declared: &Declared, ids: &mut Ids, taken: &mut Taken) {
    let places: Vec<usize> = index
        .columns
        .iter()
        .filter_map(|column| match column.key {
            IndexKey::Column(place) => Some(place),
            IndexKey::Expression(_) => None,
        })
        .collect();
    let derived = match index.is_primary {
        true => format!("{}_pkey", relation.name),
        false => format!("{}_{}_key", relation.name, names(relation, &places)),
    };
    let columns: Vec<String> = places
        .iter()
        .filter_map(|place| relation.columns.get(*place))
        .map(|column| column.name.to_ascii_lowercase())
        .collect();
    let given = declared.key_name(index.is_primary, &columns).map(str::to_owned);
    index.name = free(given.unwrap_or(derived), |name| {
        taken.contains(&name.to_ascii_lowercase())
    });
    taken.insert(index.name.to_ascii_lowercase());
    index.id = ids.of_name("index", &index.name);
    let place = relation.indexes.len();
    let constraint = Constraint {
        id: index.id,
        name: index.name.clone(),
        rule: match index.is_primary {
            true => Rule::PrimaryKey(place),
            false => Rule::Unique(place),
        },
    };
    relation.indexes.push(index);
    relation.constraints.push(constraint);
}

/// The key that SQLite needs no index for, since it is the rowid.
fn rowid_key(relation: &mut Relation, keys: &[usize], declared: &Declared, ids: &mut Ids, taken: &mut Taken) {
    let &[place] = keys else { return };
    if relation.indexes.iter().any(|index| index.is_primary) || relation.kind != RelationKind::Table {
        return;
    }
    relation.columns[place].is_rowid = true;
    relation.columns[place].is_not_null = true;
    let index = Index {
        is_unique: true,
        is_primary: true,
        columns: vec![IndexColumn {
            key: IndexKey::Column(place),
            is_descending: false,
            collation: "BINARY".to_owned(),
        }],
        ..Index::default()
    };
    add_key(relation, index, declared, ids, taken);
}

fn checks(relation: &mut Relation, declared: &Declared, ids: &mut Ids) {
    for clause in &declared.clauses {
        if let Clause::Check {
            name,
            column,
            expression,
        } = clause
        {
            let derived = match column {
                Some(column) => format!("{}_{column}_check", relation.name),
                None => format!("{}_check", relation.name),
            };
            add_constraint(
                relation,
                name.clone(),
                derived,
                Rule::Check(expression.clone()),
                ids,
            );
        }
    }
}

fn add_constraint(
    relation: &mut Relation,
    given: Option<String>,
    derived: String,
    rule: Rule,
    ids: &mut Ids,
) {
    let name = free(given.unwrap_or(derived), |name| {
        relation
            .constraints
            .iter()
            .any(|constraint| constraint.name == name)
    });
    relation.constraints.push(Constraint {
        id: ids.of_name("constraint", &format!("{}\0{name}", relation.name)),
        name,
        rule,
    });
}

/// The name, or with the first number that makes it free, as PostgreSQL does.
fn free(name: String, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(&name) {
        return name;
    }
    (1u64..)
        .map(|number| format!("{name}{number}"))
        .find(|name| !is_taken(name))
        .expect("fewer names are taken than there are numbers")
}
