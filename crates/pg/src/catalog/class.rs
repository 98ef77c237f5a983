//! `pg_class`: tables, views and indexes of the client's, and the system's own.

use bellwether_types::extension::{RowKey, View};
use bellwether_types::schema::{Class, Index, IndexKey, Relation, RelationKind, Rule};
use bellwether_types::{ObjectId, Schema, Value};

use super::shape::{self, SHAPES, Shape};
use super::value::{count, flag, number, oid, text};
use super::{Definition, INFORMATION_SCHEMA, OURS, OWNER, PG_CATALOG, PUBLIC};

pub(super) const CLASS: Definition = Definition::of_schema(rows, value, &["oid", "relname"]);

/// Access methods.
const HEAP: u32 = 2;
pub(super) const BTREE: u32 = 403;

/// In a key: the system's tables stand here instead of a relation.
const SYSTEM: u32 = u32::MAX;

/// Whatever has columns.
#[derive(Debug, Clone, Copy)]
pub(super) enum AnyClass<'a> {
    /// The client's.
    Own(Class<'a>),
    /// The system's.
    System(&'static Shape),
}

impl<'a> AnyClass<'a> {
    /// By the first two numbers of a key: relation and 0, or 1 and the index's place; or `SYSTEM` and the table's.
    pub(super) fn of_key(schema: &'a Schema, row: RowKey) -> AnyClass<'a> {
        let [relation, part, _] = row.0;
        if relation == SYSTEM {
            return AnyClass::System(&SHAPES[part as usize]);
        }
        let relation = &schema.relations()[relation as usize];
        AnyClass::Own(match part.checked_sub(1) {
            None => Class::Relation(relation),
            Some(index) => Class::Index(relation, &relation.indexes[index as usize]),
        })
    }

    /// By number.
    pub(super) fn of_id(schema: &'a Schema, id: ObjectId) -> Option<AnyClass<'a>> {
        let own = schema.class(id).map(AnyClass::Own);
        own.or_else(|| shape::of_id(id).map(AnyClass::System))
    }

    /// By name: the client's go before the system's, as in SQLite.
    pub(super) fn of_name(schema: &'a Schema, namespace: Option<&str>, name: &str) -> Option<AnyClass<'a>> {
        let own = || schema.class_named(name).map(AnyClass::Own);
        let system = |namespace| shape::of_name(namespace, &name.to_ascii_lowercase()).map(AnyClass::System);
        match namespace {
            None => own().or_else(|| system("pg_catalog")),
            Some("public" | "main") => own(),
            Some(namespace) => system(namespace),
        }
    }

    pub(super) fn id(&self) -> ObjectId {
        match self {
            AnyClass::Own(class) => class.id(),
            AnyClass::System(shape) => shape.id,
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            AnyClass::Own(class) => class.name(),
            AnyClass::System(shape) => shape.name,
        }
    }

    pub(super) fn namespace_id(&self) -> u32 {
        match self {
            AnyClass::Own(_) => PUBLIC,
            AnyClass::System(shape) if shape.namespace == "pg_catalog" => PG_CATALOG,
            AnyClass::System(_) => INFORMATION_SCHEMA,
        }
    }

    pub(super) fn namespace(&self) -> &'static str {
        match self {
            AnyClass::Own(_) => "public",
            AnyClass::System(shape) => shape.namespace,
        }
    }

    /// `relkind`.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            AnyClass::Own(Class::Index(..)) => "i",
            AnyClass::Own(Class::Relation(relation)) if relation.kind == RelationKind::View => "v",
            AnyClass::Own(Class::Relation(_)) => "r",
            AnyClass::System(shape) => shape.kind,
        }
    }

    /// Whether it is found without its namespace.
    pub(super) fn is_visible(&self, schema: &Schema) -> bool {
        match self {
            AnyClass::Own(_) => true,
            AnyClass::System(shape) => {
                shape.namespace == "pg_catalog" && schema.class_named(shape.name).is_none()
            }
        }
    }

    pub(super) fn column_count(&self) -> usize {
        match self {
            AnyClass::Own(Class::Relation(relation)) => relation.columns.len(),
            AnyClass::Own(Class::Index(_, index)) => index.columns.len(),
            AnyClass::System(shape) => shape.columns.len(),
        }
    }

    pub(super) fn relation(&self) -> Option<&'a Relation> {
        match self {
            AnyClass::Own(Class::Relation(relation)) => Some(relation),
            _ => None,
        }
    }
}

/// The name of an index's column, as PostgreSQL names it.
pub(super) fn index_column_name<'a>(relation: &'a Relation, index: &'a Index, place: usize) -> &'a str {
    match index.columns.get(place).map(|column| &column.key) {
        Some(IndexKey::Column(column)) => relation.columns.get(*column).map_or("", |column| &column.name),
        _ => "expr",
    }
}

/// Keys of every class.
pub(super) fn rows(schema: &Schema) -> Vec<RowKey> {
    let mut rows = own_rows(schema);
    // Tools that list what is not PostgreSQL's are not to take our own for the user's.
    let listed = SHAPES
        .iter()
        .zip(0..)
        .filter(|(shape, _)| shape.namespace != OURS);
    rows.extend(listed.map(|(_, shape)| RowKey([SYSTEM, shape, 0])));
    rows
}

fn own_rows(schema: &Schema) -> Vec<RowKey> {
    let of = |(relation, at): (&Relation, u32)| {
        let indexes = relation.indexes.len() as u32;
        (0..=indexes).map(move |part| RowKey([at, part, 0]))
    };
    schema.relations().iter().zip(0..).flat_map(of).collect()
}

/// Keys of tables and views, the system's, too.
pub(super) fn relation_rows(schema: &Schema) -> Vec<RowKey> {
    let mut rows = rows(schema);
    rows.retain(|row| row.0[0] == SYSTEM || row.0[1] == 0);
    rows
}

/// Keys of the client's tables and views.
pub(super) fn own_relation_rows(schema: &Schema) -> Vec<RowKey> {
    (0..schema.relations().len() as u32)
        .map(|relation| RowKey([relation, 0, 0]))
        .collect()
}

/// Keys of the client's indexes.
pub(super) fn index_rows(schema: &Schema) -> Vec<RowKey> {
    let mut rows = own_rows(schema);
    rows.retain(|row| row.0[1] > 0);
    rows
}

fn value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let class = AnyClass::of_key(view.schema, row);
    let kind = class.kind();
    let relation = class.relation();
    let checks = || {
        let constraints = relation.map_or(&[][..], |relation| &relation.constraints);
        let checks = constraints.iter();
        checks
            .filter(|constraint| matches!(constraint.rule, Rule::Check(_)))
            .count()
    };
    Some(match column {
        "oid" => oid(class.id()),
        "relname" => text(class.name()),
        "relnamespace" => number(class.namespace_id()),
        "relowner" => number(OWNER),
        "relam" => number(match kind {
            "r" => HEAP,
            "i" => BTREE,
            _ => 0,
        }),
        "relfilenode" if kind != "v" => oid(class.id()),
        "reltuples" => {
            let rows = relation.and_then(|relation| relation.row_estimate);
            rows.map_or(Value::Real(-1.0), |rows| Value::Real(rows as f64))
        }
        "relhasindex" => flag(relation.is_some_and(|relation| !relation.indexes.is_empty())),
        "relpersistence" => text("p"),
        "relkind" => text(kind),
        "relnatts" => count(class.column_count()),
        "relchecks" => count(checks()),
        "relhasrules" => flag(kind == "v"),
        // PostgreSQL keeps references by triggers; whoever asks for them looks here first, at both ends.
        "relhastriggers" => flag(match relation {
            Some(relation) if kind == "v" => !relation.triggers.is_empty(),
            other => other.is_some(),
        }),
        "relispopulated" => flag(true),
        "relreplident" => text(if kind == "r" { "d" } else { "n" }),
        _ => return None,
    })
}
