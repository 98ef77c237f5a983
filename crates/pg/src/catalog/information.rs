//! `information_schema`, as far as there is something to tell.

use bellwether_types::extension::{RowKey, View};
use bellwether_types::schema::{ForeignKey, Relation, Rule};
use bellwether_types::{Schema, Value, lexer};

use super::attribute::{self, AnyColumn, default_text};
use super::class::{self, AnyClass};
use super::constraint::{columns, constraint_of, constraint_rows, target, target_index};
use super::role::NAMESPACES;
use super::trigger::{self, firing, trigger_of};
use super::value::{count, number, or_null, text, yes};
use super::{Definition, OWNER_NAME, data, definition, relation_view};
use crate::types::Type;

pub(super) fn of_name(name: &str) -> Option<Definition> {
    let one = |_: &Schema| vec![RowKey::default()];
    Some(match name {
        "tables" => Definition::of_schema(class::relation_rows, table_value, &["table_name"]),
        "columns" => Definition::of_schema(attribute::relation_column_rows, column_value, &["table_name"]),
        "views" => Definition::of_schema(relation_view::view_rows, view_value, &["table_name"]),
        "schemata" => Definition::of_schema(
            |_| {
                (0..NAMESPACES.len() as u32)
                    .map(|at| RowKey([at, 0, 0]))
                    .collect()
            },
            schema_value,
            &["schema_name"],
        ),
        "table_constraints" => Definition::of_schema(
            constraint_rows,
            constraint_value,
            &["constraint_name", "table_name"],
        ),
        "check_constraints" => Definition::of_schema(check_rows, constraint_value, &["constraint_name"]),
        "referential_constraints" => {
            Definition::of_schema(reference_rows, constraint_value, &["constraint_name"])
        }
        "key_column_usage" => Definition::of_schema(
            key_column_rows,
            key_column_value,
            &["constraint_name", "table_name"],
        ),
        "constraint_column_usage" => Definition::of_schema(
            used_column_rows,
            used_column_value,
            &["constraint_name", "table_name"],
        ),
        "triggers" => Definition::of_schema(trigger::rows, trigger_value, &["event_object_table"]),
        "character_sets" => Definition::of_schema(one, single_value, &[]),
        "information_schema_catalog_name" => Definition::of_schema(one, single_value, &[]),
        "enabled_roles" | "applicable_roles" => Definition::of_schema(one, single_value, &[]),
        _ => return None,
    })
}

/// Columns whose names end so hold the database's name, or the namespace's.
fn qualifier(view: &View<'_>, column: &str, namespace: &'static str) -> Option<Value> {
    match column {
        "table_catalog"
        | "constraint_catalog"
        | "catalog_name"
        | "trigger_catalog"
        | "event_object_catalog"
        | "udt_catalog" => Some(text(view.schema.database())),
        "table_schema" | "constraint_schema" | "trigger_schema" | "event_object_schema" => {
            Some(text(namespace))
        }
        _ => None,
    }
}

fn table_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let class = AnyClass::of_key(view.schema, row);
    let is_table = class.kind() == "r";
    qualifier(view, column, class.namespace()).or_else(|| {
        Some(match column {
            "table_name" => text(class.name()),
            "table_type" => text(if is_table { "BASE TABLE" } else { "VIEW" }),
            "is_insertable_into" => yes(is_table),
            "is_typed" => yes(false),
            _ => return None,
        })
    })
}

fn schema_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    Some(match column {
        "catalog_name" => text(view.schema.database()),
        "schema_name" => text(NAMESPACES[row.0[0] as usize].1),
        "schema_owner" => text(OWNER_NAME),
        _ => return None,
    })
}

/// Digits of a numeric type in its radix.
fn precision(column: &AnyColumn<'_>) -> Option<(i64, i64, Option<i64>)> {
    let modifier = i64::from(column.type_.modifier) - 4;
    match column.type_.type_ {
        Type::Int2 => Some((16, 2, Some(0))),
        Type::Int4 => Some((32, 2, Some(0))),
        Type::Int8 => Some((64, 2, Some(0))),
        Type::Float4 => Some((24, 2, None)),
        Type::Float8 => Some((53, 2, None)),
        Type::Numeric if modifier >= 0 => Some((modifier >> 16, 10, Some(modifier & 0xFFFF))),
        _ => None,
    }
}

fn column_value(view: &View<'_>, row: RowKey, name: &str) -> Option<Value> {
    let column = AnyColumn::of_key(view.schema, row);
    let attribute = column.attribute;
    let is_rowid = attribute.is_some_and(|attribute| attribute.is_rowid);
    let generated = attribute.and_then(|attribute| attribute.generated.as_ref());
    let type_ = column.type_.type_;
    let precision = || precision(&column);
    let length = || {
        let is_sized = matches!(type_, Type::Varchar | Type::Bpchar) && column.type_.modifier > 4;
        is_sized.then(|| number(column.type_.modifier - 4))
    };
    qualifier(view, name, column.class.namespace()).or_else(|| {
        Some(match name {
            "table_name" => text(column.class.name()),
            "column_name" => text(column.name),
            "ordinal_position" | "dtd_identifier" => count(column.number),
            "column_default" if generated.is_none() => or_null(attribute.and_then(default_text).map(text)),
            "is_nullable" => yes(!column.is_not_null),
            "data_type" if type_.name().starts_with('_') => text("ARRAY"),
            "data_type" => text(super::call::type_name(type_.oid().0, -1)),
            "character_maximum_length" => or_null(length()),
            "numeric_precision" => number(precision()?.0),
            "numeric_precision_radix" => number(precision()?.1),
            "numeric_scale" => or_null(precision()?.2.map(number)),
            "datetime_precision" => match type_ {
                Type::Time | Type::Timestamp | Type::Timestamptz => number(6),
                Type::Date => number(0),
                _ => return None,
            },
            "udt_schema" => text("pg_catalog"),
            "udt_name" => text(type_.name()),
            "is_self_referencing" | "identity_cycle" => yes(false),
            "is_identity" => yes(is_rowid),
            "identity_generation" if is_rowid => text("BY DEFAULT"),
            "identity_start" | "identity_increment" | "identity_minimum" if is_rowid => text("1"),
            "identity_maximum" if is_rowid => text(i64::MAX.to_string()),
            "is_generated" => text(if generated.is_some() { "ALWAYS" } else { "NEVER" }),
            "generation_expression" => text(generated?.expression.as_str()),
            "is_updatable" => yes(attribute.is_some() && column.class.kind() == "r" && generated.is_none()),
            _ => return None,
        })
    })
}

fn view_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let relation = &view.schema.relations()[row.0[0] as usize];
    qualifier(view, column, "public").or_else(|| {
        Some(match column {
            "table_name" => text(relation.name.as_str()),
            "view_definition" => text(definition::view(relation)),
            "check_option" => text("NONE"),
            "is_updatable"
            | "is_insertable_into"
            | "is_trigger_updatable"
            | "is_trigger_deletable"
            | "is_trigger_insertable_into" => yes(false),
            _ => return None,
        })
    })
}

fn constraints(schema: &Schema, wanted: impl Fn(&Rule) -> bool) -> Vec<RowKey> {
    let mut rows = constraint_rows(schema);
    rows.retain(|row| wanted(&constraint_of(schema, *row).1.rule));
    rows
}

fn check_rows(schema: &Schema) -> Vec<RowKey> {
    constraints(schema, |rule| matches!(rule, Rule::Check(_)))
}

fn reference_rows(schema: &Schema) -> Vec<RowKey> {
    constraints(schema, |rule| matches!(rule, Rule::ForeignKey(_)))
}

fn constraint_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let (relation, constraint) = constraint_of(view.schema, row);
    let key = match &constraint.rule {
        Rule::ForeignKey(key) => Some(key),
        _ => None,
    };
    qualifier(view, column, "public").or_else(|| {
        Some(match column {
            "constraint_name" => text(constraint.name.as_str()),
            "table_name" => text(relation.name.as_str()),
            "constraint_type" => text(match constraint.rule {
                Rule::PrimaryKey(_) => "PRIMARY KEY",
                Rule::Unique(_) => "UNIQUE",
                Rule::ForeignKey(_) => "FOREIGN KEY",
                Rule::Check(_) => "CHECK",
            }),
            "is_deferrable" | "initially_deferred" => yes(key.is_some_and(|key| key.is_deferred)),
            "enforced" => yes(true),
            "nulls_distinct" if matches!(constraint.rule, Rule::Unique(_)) => yes(true),
            "check_clause" => match &constraint.rule {
                Rule::Check(expression) => text(format!("({expression})")),
                _ => return None,
            },
            "unique_constraint_catalog" => text(view.schema.database()),
            "unique_constraint_schema" => text("public"),
            "unique_constraint_name" => text(referred_name(view.schema, key?)?),
            "match_option" => text("NONE"),
            "update_rule" => text(key?.on_update.as_str()),
            "delete_rule" => text(key?.on_delete.as_str()),
            _ => return None,
        })
    })
}

fn referred_name(schema: &Schema, key: &ForeignKey) -> Option<String> {
    let (target, places) = target(schema, key)?;
    Some(target_index(target, &places)?.name.clone())
}

/// Relation, constraint, place in the constraint.
fn key_column_rows(schema: &Schema) -> Vec<RowKey> {
    let of = |row: RowKey| {
        let (relation, constraint) = constraint_of(schema, row);
        (0..columns(relation, constraint).len() as u32).map(move |at| RowKey([row.0[0], row.0[1], at]))
    };
    constraint_rows(schema).into_iter().flat_map(of).collect()
}

fn key_column_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let (relation, constraint) = constraint_of(view.schema, row);
    let at = row.0[2] as usize;
    let name = |relation: &Relation, places: &[usize]| {
        let place = places.get(at)?;
        Some(relation.columns.get(*place)?.name.clone())
    };
    qualifier(view, column, "public").or_else(|| {
        Some(match column {
            "constraint_name" => text(constraint.name.as_str()),
            "table_name" => text(relation.name.as_str()),
            "column_name" => text(name(relation, &columns(relation, constraint))?),
            "ordinal_position" => count(at + 1),
            "position_in_unique_constraint" => match &constraint.rule {
                // Told in the order of the columns referred to.
                Rule::ForeignKey(_) => count(at + 1),
                _ => return None,
            },
            _ => return None,
        })
    })
}

/// The table whose columns a constraint uses (a reference's: the other one), and their places.
fn used(schema: &Schema, row: RowKey) -> Option<(&Relation, Vec<usize>)> {
    let (relation, constraint) = constraint_of(schema, row);
    match &constraint.rule {
        Rule::ForeignKey(key) => target(schema, key),
        Rule::Check(expression) => {
            let is_named = |name: &str| {
                lexer::significant(expression).any(|token| token.unquoted().eq_ignore_ascii_case(name))
            };
            let places = 0..relation.columns.len();
            Some((
                relation,
                places
                    .filter(|at| is_named(&relation.columns[*at].name))
                    .collect(),
            ))
        }
        _ => Some((relation, columns(relation, constraint))),
    }
}

fn used_column_rows(schema: &Schema) -> Vec<RowKey> {
    let of = |row: RowKey| {
        let count = used(schema, row).map_or(0, |(_, places)| places.len() as u32);
        (0..count).map(move |at| RowKey([row.0[0], row.0[1], at]))
    };
    constraint_rows(schema).into_iter().flat_map(of).collect()
}

fn used_column_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let (_, constraint) = constraint_of(view.schema, row);
    let used = || used(view.schema, row);
    qualifier(view, column, "public").or_else(|| {
        Some(match column {
            "constraint_name" => text(constraint.name.as_str()),
            "table_name" => text(used()?.0.name.as_str()),
            "column_name" => {
                let (relation, places) = used()?;
                text(
                    relation
                        .columns
                        .get(*places.get(row.0[2] as usize)?)?
                        .name
                        .as_str(),
                )
            }
            _ => return None,
        })
    })
}

fn trigger_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let (relation, trigger) = trigger_of(view.schema, row);
    qualifier(view, column, "public").or_else(|| {
        Some(match column {
            "trigger_name" => text(trigger.name.as_str()),
            "event_manipulation" => text(firing(&trigger.sql).event),
            "event_object_table" => text(relation.name.as_str()),
            "action_order" => number(1),
            "action_statement" => text(trigger.sql.as_str()),
            "action_orientation" => text("ROW"),
            "action_timing" => text(firing(&trigger.sql).timing),
            _ => return None,
        })
    })
}

fn single_value(view: &View<'_>, _: RowKey, column: &str) -> Option<Value> {
    Some(match column {
        "character_set_name" | "form_of_use" => text("UTF8"),
        "character_repertoire" => text("UCS"),
        "catalog_name" | "default_collate_catalog" => text(view.schema.database()),
        "default_collate_schema" => text("pg_catalog"),
        "default_collate_name" => or_null(data::value("pg_collation", 0, "collname")),
        "role_name" | "grantee" => text(OWNER_NAME),
        "is_grantable" => yes(true),
        _ => return None,
    })
}
