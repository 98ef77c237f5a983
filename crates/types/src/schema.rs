//! A database's schema as plain data, for those who tell clients about it: `storage` reads it from SQLite.
//!
//! Promises: what is not the client's (SQLite's own tables, Bellwether's) is not in it; ids are equal on every
//! replica and stay while the object keeps its name. Does not hold rows.

use std::collections::BTreeMap;
use std::fmt;

/// The number of an object in the catalog. Unique among relations and indexes; among constraints; among triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ObjectId(pub u32);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Tables and views, with all that belongs to them.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    database: String,
    relations: Vec<Relation>,
    by_id: BTreeMap<ObjectId, Place>,
    by_name: BTreeMap<String, Place>,
    constraints: BTreeMap<ObjectId, (usize, usize)>,
    triggers: BTreeMap<ObjectId, (usize, usize)>,
}

/// Where something is: a relation, and maybe one of its indexes.
#[derive(Debug, Clone, Copy)]
struct Place {
    relation: usize,
    index: Option<usize>,
}

/// What has an id of its own, and columns: PostgreSQL's "class".
#[derive(Debug, Clone, Copy)]
pub enum Class<'a> {
    /// A table or a view.
    Relation(&'a Relation),
    /// An index of this relation.
    Index(&'a Relation, &'a Index),
}

impl Class<'_> {
    /// As statements name it.
    pub fn name(&self) -> &str {
        match self {
            Class::Relation(relation) => &relation.name,
            Class::Index(_, index) => &index.name,
        }
    }

    /// Its number.
    pub fn id(&self) -> ObjectId {
        match self {
            Class::Relation(relation) => relation.id,
            Class::Index(_, index) => index.id,
        }
    }
}

/// A table or a view.
#[derive(Debug, Clone, Default)]
pub struct Relation {
    /// Its number.
    pub id: ObjectId,
    /// As it was created.
    pub name: String,
    /// Which of them.
    pub kind: RelationKind,
    /// In order; hidden columns of virtual tables are left out.
    pub columns: Vec<Attribute>,
    /// Also those that a key brings along.
    pub indexes: Vec<Index>,
    /// Keys, references, checks.
    pub constraints: Vec<Constraint>,
    /// By name.
    pub triggers: Vec<Trigger>,
    /// The text that created it.
    pub sql: String,
    /// As of the last ANALYZE.
    pub row_estimate: Option<u64>,
}

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RelationKind {
    /// CREATE TABLE.
    #[default]
    Table,
    /// CREATE VIRTUAL TABLE.
    VirtualTable,
    /// CREATE VIEW.
    View,
}

/// A column of a relation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attribute {
    /// As it was created.
    pub name: String,
    /// The text in CREATE TABLE; empty for none.
    pub declared_type: String,
    /// Whether NULL is refused.
    pub is_not_null: bool,
    /// The text of the DEFAULT clause.
    pub default: Option<String>,
    /// GENERATED ALWAYS AS.
    pub generated: Option<Generated>,
    /// INTEGER PRIMARY KEY: an INSERT that leaves it out gets the next number.
    pub is_rowid: bool,
}

/// How a column is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The text between the parentheses.
    pub expression: String,
    /// STORED, not VIRTUAL.
    pub is_stored: bool,
}

/// An index, or the key that needs none because rows are found by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// Its number.
    pub id: ObjectId,
    /// As it was created; of a key's own: as PostgreSQL would name it.
    pub name: String,
    /// UNIQUE, or a key's.
    pub is_unique: bool,
    /// The primary key's.
    pub is_primary: bool,
    /// What it is made of, in order.
    pub columns: Vec<IndexColumn>,
    /// The text after WHERE.
    pub predicate: Option<String>,
}

/// A column of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexColumn {
    /// What is indexed.
    pub key: IndexKey,
    /// DESC.
    pub is_descending: bool,
    /// By which it compares.
    pub collation: String,
}

/// What is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexKey {
    /// A column, by its place.
    Column(usize),
    /// The text of an expression.
    Expression(String),
}

/// A constraint of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// Its number; a key's is its index's.
    pub id: ObjectId,
    /// As it was created, else as PostgreSQL would name it.
    pub name: String,
    /// What it demands.
    pub rule: Rule,
}

/// What a constraint demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// By the index of this place.
    PrimaryKey(usize),
    /// By the index of this place.
    Unique(usize),
    /// REFERENCES.
    ForeignKey(ForeignKey),
    /// The text between the parentheses.
    Check(String),
}

/// A reference to another table's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Places of the referring columns.
    pub columns: Vec<usize>,
    /// The other table, which need not exist.
    pub target: String,
    /// Its columns; none: its primary key.
    pub target_columns: Vec<String>,
    /// SQLite's words: NO ACTION, RESTRICT, SET NULL, SET DEFAULT, CASCADE.
    pub on_update: String,
    /// As `on_update`.
    pub on_delete: String,
    /// DEFERRABLE INITIALLY DEFERRED.
    pub is_deferred: bool,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its number.
    pub id: ObjectId,
    /// As it was created.
    pub name: String,
    /// The text that created it.
    pub sql: String,
}

impl Relation {
    /// The place of a column. SQLite's names do not tell cases apart.
    pub fn column_place(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// The columns of the primary key, by place.
    pub fn primary_key(&self) -> impl Iterator<Item = usize> {
        let index = self.indexes.iter().find(|index| index.is_primary);
        let columns = index.map_or(&[][..], |index| &index.columns);
        columns.iter().filter_map(|column| match column.key {
            IndexKey::Column(place) => Some(place),
            IndexKey::Expression(_) => None,
        })
    }
}

impl Schema {
    /// Of a database of this name.
    pub fn new(database: &str, mut relations: Vec<Relation>) -> Schema {
        relations.sort_by(|left, right| left.name.cmp(&right.name));
        let mut schema = Schema {
            database: database.to_owned(),
            ..Schema::default()
        };
        for (at, relation) in relations.iter().enumerate() {
            let place = |index| Place { relation: at, index };
            schema.by_id.insert(relation.id, place(None));
            schema
                .by_name
                .insert(relation.name.to_ascii_lowercase(), place(None));
            for (number, index) in relation.indexes.iter().enumerate() {
                schema.by_id.insert(index.id, place(Some(number)));
                schema
                    .by_name
                    .entry(index.name.to_ascii_lowercase())
                    .or_insert(place(Some(number)));
            }
            for (number, constraint) in relation.constraints.iter().enumerate() {
                schema.constraints.insert(constraint.id, (at, number));
            }
            for (number, trigger) in relation.triggers.iter().enumerate() {
                schema.triggers.insert(trigger.id, (at, number));
            }
        }
        schema.relations = relations;
        schema
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// By name.
    pub fn relations(&self) -> &[Relation] {
        &self.relations
    }

    /// The table or view of this name.
    pub fn relation(&self, name: &str) -> Option<&Relation> {
        match self.class_named(name)? {
            Class::Relation(relation) => Some(relation),
            Class::Index(..) => None,
        }
    }

    /// The table, view or index of this name; a relation goes before an index.
    pub fn class_named(&self, name: &str) -> Option<Class<'_>> {
        Some(self.class_at(*self.by_name.get(&name.to_ascii_lowercase())?))
    }

    /// The table, view or index of this number.
    pub fn class(&self, id: ObjectId) -> Option<Class<'_>> {
        Some(self.class_at(*self.by_id.get(&id)?))
    }

    fn class_at(&self, place: Place) -> Class<'_> {
        let relation = &self.relations[place.relation];
        match place.index {
            None => Class::Relation(relation),
            Some(index) => Class::Index(relation, &relation.indexes[index]),
        }
    }

    /// The constraint of this number.
    pub fn constraint(&self, id: ObjectId) -> Option<(&Relation, &Constraint)> {
        let &(relation, constraint) = self.constraints.get(&id)?;
        let relation = &self.relations[relation];
        Some((relation, &relation.constraints[constraint]))
    }

    /// The trigger of this number.
    pub fn trigger(&self, id: ObjectId) -> Option<(&Relation, &Trigger)> {
        let &(relation, trigger) = self.triggers.get(&id)?;
        let relation = &self.relations[relation];
        Some((relation, &relation.triggers[trigger]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relation_goes_before_an_index_of_the_same_name() {
        let index = Index {
            id: ObjectId(2),
            name: "T".to_owned(),
            ..Index::default()
        };
        let of = |id, name: &str, indexes| Relation {
            id: ObjectId(id),
            name: name.to_owned(),
            indexes,
            ..Relation::default()
        };
        let schema = Schema::new("d", vec![of(1, "a", vec![index]), of(3, "t", Vec::new())]);
        assert_eq!(schema.class_named("T").map(|class| class.id()), Some(ObjectId(3)));
        assert!(matches!(schema.class(ObjectId(2)), Some(Class::Index(..))));
        assert!(schema.relation("b").is_none());
    }
}
