//! `pg_index` and `pg_constraint`.

use bellwether_types::extension::{RowKey, View};
use bellwether_types::schema::{Class, Constraint, ForeignKey, Index, IndexKey, Relation, Rule};
use bellwether_types::{Schema, Value};

use super::class::{self, AnyClass};
use super::value::{array, count, flag, number, oid, or_null, text, vector};
use super::{Definition, PUBLIC, attribute, data};
use crate::types::of_declared;

pub(super) const INDEX: Definition =
    Definition::of_schema(class::index_rows, index_value, &["indexrelid", "indrelid"]);
pub(super) const CONSTRAINT: Definition = Definition::of_schema(
    constraint_rows,
    constraint_value,
    &["oid", "conrelid", "confrelid", "conname", "conindid"],
);

/// What `indkey` and `conkey` hold: from 1; 0 for an expression.
fn attribute_number(key: &IndexKey) -> i64 {
    match key {
        IndexKey::Column(place) => i64::try_from(place + 1).unwrap_or(0),
        IndexKey::Expression(_) => 0,
    }
}

/// The class of operators by which btrees of a type's values are ordered.
fn operator_class(type_oid: u32) -> i64 {
    let row = data::find("pg_opclass", "opcintype", &number(type_oid));
    // Of varchar and what else has none: text's.
    let row = row.or_else(|| data::find("pg_opclass", "opcname", &text("text_ops")));
    match row.and_then(|row| data::value("pg_opclass", row, "oid")) {
        Some(Value::Integer(oid)) => oid,
        _ => 0,
    }
}

fn index_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let AnyClass::Own(Class::Index(relation, index)) = AnyClass::of_key(view.schema, row) else {
        return None;
    };
    let types = || {
        index.columns.iter().map(|column| match column.key {
            IndexKey::Column(place) => {
                let column = relation.columns.get(place);
                of_declared(column.map_or("", |column| &column.declared_type)).type_
            }
            IndexKey::Expression(_) => crate::types::Type::Text,
        })
    };
    Some(match column {
        "indexrelid" => oid(index.id),
        "indrelid" => oid(relation.id),
        "indnatts" | "indnkeyatts" => count(index.columns.len()),
        "indisunique" => flag(index.is_unique),
        "indisprimary" => flag(index.is_primary),
        "indimmediate" | "indisvalid" | "indisready" | "indislive" => flag(true),
        "indkey" => vector(index.columns.iter().map(|column| attribute_number(&column.key))),
        "indcollation" => vector(types().map(|type_| i64::from(attribute::collation(type_)))),
        "indclass" => vector(types().map(|type_| operator_class(type_.oid().0))),
        // DESC, and with it NULLS FIRST.
        "indoption" => vector(
            index
                .columns
                .iter()
                .map(|column| if column.is_descending { 3 } else { 0 }),
        ),
        "indexprs" => or_null(expressions(index).map(text)),
        "indpred" => or_null(index.predicate.clone().map(text)),
        _ => return None,
    })
}

fn expressions(index: &Index) -> Option<String> {
    let texts: Vec<&str> = index
        .columns
        .iter()
        .filter_map(|column| match &column.key {
            IndexKey::Expression(text) => Some(text.as_str()),
            IndexKey::Column(_) => None,
        })
        .collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// Keys of all constraints: relation, place.
pub(super) fn constraint_rows(schema: &Schema) -> Vec<RowKey> {
    let of = |(relation, at): (&Relation, u32)| {
        (0..relation.constraints.len() as u32).map(move |place| RowKey([at, place, 0]))
    };
    schema.relations().iter().zip(0..).flat_map(of).collect()
}

/// Behind a key.
pub(super) fn constraint_of(schema: &Schema, row: RowKey) -> (&Relation, &Constraint) {
    let relation = &schema.relations()[row.0[0] as usize];
    (relation, &relation.constraints[row.0[1] as usize])
}

/// The places of a constraint's columns.
pub(super) fn columns(relation: &Relation, constraint: &Constraint) -> Vec<usize> {
    match &constraint.rule {
        Rule::PrimaryKey(index) | Rule::Unique(index) => {
            let columns = relation
                .indexes
                .get(*index)
                .map_or(&[][..], |index| &index.columns);
            columns
                .iter()
                .filter_map(|column| match column.key {
                    IndexKey::Column(place) => Some(place),
                    IndexKey::Expression(_) => None,
                })
                .collect()
        }
        Rule::ForeignKey(key) => key.columns.clone(),
        Rule::Check(_) => Vec::new(),
    }
}

/// What a reference refers to, if it is there: the table, and the places of its columns.
pub(super) fn target<'a>(schema: &'a Schema, key: &ForeignKey) -> Option<(&'a Relation, Vec<usize>)> {
    let target = schema.relation(&key.target)?;
    let places = if key.target_columns.is_empty() {
        target.primary_key().collect()
    } else {
        let columns = key.target_columns.iter();
        columns.filter_map(|name| target.column_place(name)).collect()
    };
    Some((target, places))
}

/// The unique constraint or index that a reference stands on.
pub(super) fn target_index<'a>(target: &'a Relation, places: &[usize]) -> Option<&'a Index> {
    target.indexes.iter().find(|index| {
        let keys = index.columns.iter().map(|column| &column.key);
        index.is_unique
            && index.columns.len() == places.len()
            && keys
                .zip(places)
                .all(|(key, place)| *key == IndexKey::Column(*place))
    })
}

/// `contype`.
fn kind(rule: &Rule) -> &'static str {
    match rule {
        Rule::PrimaryKey(_) => "p",
        Rule::Unique(_) => "u",
        Rule::ForeignKey(_) => "f",
        Rule::Check(_) => "c",
    }
}

/// `confupdtype`, of SQLite's words.
fn action(words: &str) -> &'static str {
    match words {
        "RESTRICT" => "r",
        "CASCADE" => "c",
        "SET NULL" => "n",
        "SET DEFAULT" => "d",
        _ => "a",
    }
}

fn constraint_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let (relation, constraint) = constraint_of(view.schema, row);
    let numbers = |places: &[usize]| array(places.iter().map(|place| i64::try_from(place + 1).unwrap_or(0)));
    let common = match column {
        "oid" => oid(constraint.id),
        "conname" => text(constraint.name.as_str()),
        "connamespace" => number(PUBLIC),
        "contype" => text(kind(&constraint.rule)),
        "convalidated" | "conislocal" => flag(true),
        "conrelid" => oid(relation.id),
        "connoinherit" => flag(!matches!(constraint.rule, Rule::Check(_))),
        _ => Value::Null,
    };
    if common != Value::Null {
        return Some(common);
    }
    match (&constraint.rule, column) {
        (Rule::PrimaryKey(_) | Rule::Unique(_), "conindid") => Some(oid(constraint.id)),
        (Rule::Check(text_of), "conbin") => Some(text(text_of.as_str())),
        (Rule::Check(_), "conkey") => None,
        (_, "conkey") => Some(numbers(&columns(relation, constraint))),
        (Rule::ForeignKey(key), _) => {
            let target = || target(view.schema, key);
            Some(match column {
                "condeferrable" | "condeferred" => flag(key.is_deferred),
                "confrelid" => oid(target()?.0.id),
                "confkey" => numbers(&target()?.1),
                "conindid" => {
                    let (target, places) = target()?;
                    oid(target_index(target, &places)?.id)
                }
                "confupdtype" => text(action(&key.on_update)),
                "confdeltype" => text(action(&key.on_delete)),
                "confmatchtype" => text("s"),
                _ => return None,
            })
        }
        _ => None,
    }
}
