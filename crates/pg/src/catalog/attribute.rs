//! `pg_attribute` and `pg_attrdef`: columns and what they are when nothing is said.

use bellwether_types::extension::{RowKey, View};
use bellwether_types::schema::{Attribute, Class, IndexKey};
use bellwether_types::{ObjectId, Schema, Value};

use super::class::{self, AnyClass};
use super::value::{count, flag, number, oid, text};
use super::{Definition, data};
use crate::types::{Type, TypeWithModifier, of_declared};

pub(super) const ATTRIBUTE: Definition = Definition::of_schema(rows, value, &["attrelid"]);
pub(super) const DEFAULT: Definition =
    Definition::of_schema(default_rows, default_value, &["oid", "adrelid"]);

/// PostgreSQL's collation of texts, and of names.
const DEFAULT_COLLATION: u32 = 100;
const C_COLLATION: u32 = 950;

/// Keys of every column: the third number is its place.
pub(super) fn rows(schema: &Schema) -> Vec<RowKey> {
    columns_of(schema, class::rows(schema))
}

/// Keys of the columns of tables and views.
pub(super) fn relation_column_rows(schema: &Schema) -> Vec<RowKey> {
    columns_of(schema, class::relation_rows(schema))
}

fn columns_of(schema: &Schema, classes: Vec<RowKey>) -> Vec<RowKey> {
    let of = |row: RowKey| {
        let columns = AnyClass::of_key(schema, row).column_count() as u32;
        (0..columns).map(move |column| RowKey([row.0[0], row.0[1], column]))
    };
    classes.into_iter().flat_map(of).collect()
}

/// A column of any class.
pub(super) struct AnyColumn<'a> {
    pub(super) class: AnyClass<'a>,
    pub(super) name: &'a str,
    pub(super) type_: TypeWithModifier,
    pub(super) is_not_null: bool,
    /// Of tables and views of the client's.
    pub(super) attribute: Option<&'a Attribute>,
    /// From 1.
    pub(super) number: usize,
}

impl<'a> AnyColumn<'a> {
    pub(super) fn of_key(schema: &'a Schema, row: RowKey) -> AnyColumn<'a> {
        let class = AnyClass::of_key(schema, row);
        let place = row.0[2] as usize;
        let of = |name, declared: &str, is_not_null, attribute| AnyColumn {
            class,
            name,
            type_: of_declared(declared),
            is_not_null,
            attribute,
            number: place + 1,
        };
        match class {
            AnyClass::Own(Class::Relation(relation)) => {
                let column = &relation.columns[place];
                of(
                    &column.name,
                    &column.declared_type,
                    column.is_not_null,
                    Some(column),
                )
            }
            AnyClass::Own(Class::Index(relation, index)) => {
                let declared = match index.columns[place].key {
                    IndexKey::Column(column) => relation
                        .columns
                        .get(column)
                        .map_or("", |column| &column.declared_type),
                    IndexKey::Expression(_) => "",
                };
                of(
                    class::index_column_name(relation, index, place),
                    declared,
                    false,
                    None,
                )
            }
            AnyClass::System(shape) => {
                let column = &shape.columns[place];
                of(column.name, column.declared_type, column.is_not_null, None)
            }
        }
    }
}

/// By which a type's values compare; 0 for those that do not compare as texts.
pub(super) fn collation(type_: Type) -> u32 {
    match type_ {
        Type::Text | Type::Varchar | Type::Bpchar => DEFAULT_COLLATION,
        Type::Name => C_COLLATION,
        _ => 0,
    }
}

fn value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let of = AnyColumn::of_key(view.schema, row);
    let of_type = |column| {
        let row = data::type_row(i64::from(of.type_.type_.oid().0))?;
        data::value("pg_type", row, column)
    };
    Some(match column {
        "attrelid" => oid(of.class.id()),
        "attname" => text(of.name),
        "atttypid" => number(of.type_.type_.oid().0),
        "attstattarget" => number(-1),
        "attlen" => return of_type("typlen"),
        "attnum" => count(of.number),
        "attndims" => flag(of.type_.type_.name().starts_with('_')),
        "attcacheoff" => number(-1),
        "atttypmod" => number(of.type_.modifier),
        "attbyval" => return of_type("typbyval"),
        "attalign" => return of_type("typalign"),
        "attstorage" => return of_type("typstorage"),
        "attnotnull" => flag(of.is_not_null),
        "atthasdef" => flag(of.attribute.is_some_and(|column| default_text(column).is_some())),
        "attidentity" => text(if of.attribute.is_some_and(|column| column.is_rowid) {
            "d"
        } else {
            ""
        }),
        "attgenerated" => text(if of.attribute.is_some_and(|column| column.generated.is_some()) {
            "s"
        } else {
            ""
        }),
        "attislocal" => flag(true),
        "attcollation" => number(collation(of.type_.type_)),
        _ => return None,
    })
}

/// What `pg_get_expr` answers: the default, or the expression that the column is generated from.
pub(super) fn default_text(column: &Attribute) -> Option<&str> {
    let generated = column
        .generated
        .as_ref()
        .map(|generated| generated.expression.as_str());
    generated.or(column.default.as_deref())
}

/// A number for what has none, derived from its relation's and its own: only ever compared with itself.
pub(super) fn derived_id(relation: ObjectId, number: usize) -> ObjectId {
    const FIRST: u32 = 1 << 29;
    let mixed = relation.0.wrapping_mul(0x9E37_79B1).wrapping_add(number as u32);
    ObjectId(FIRST + mixed % FIRST)
}

fn default_rows(schema: &Schema) -> Vec<RowKey> {
    let mut rows = columns_of(schema, class::own_relation_rows(schema));
    rows.retain(|row| {
        let of = AnyColumn::of_key(schema, *row);
        of.attribute.is_some_and(|column| default_text(column).is_some())
    });
    rows
}

fn default_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let of = AnyColumn::of_key(view.schema, row);
    Some(match column {
        "oid" => oid(derived_id(of.class.id(), of.number)),
        "adrelid" => oid(of.class.id()),
        "adnum" => count(of.number),
        "adbin" => text(default_text(of.attribute?)?),
        _ => return None,
    })
}
