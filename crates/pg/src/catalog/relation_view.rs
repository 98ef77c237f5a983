//! The views that show tables, views and indexes by name.

use bellwether_types::extension::{RowKey, View};
use bellwether_types::schema::{Class, Relation, RelationKind};
use bellwether_types::{Schema, Value};

use super::class::{self, AnyClass};
use super::value::{count, flag, number, oid, or_null, text};
use super::{Definition, OWNER_NAME, attribute, definition};

pub(super) const TABLES: Definition = Definition::of_schema(table_rows, table_value, &["tablename"]);
pub(super) const VIEWS: Definition = Definition::of_schema(view_rows, view_value, &["viewname"]);
pub(super) const INDEXES: Definition =
    Definition::of_schema(class::index_rows, index_value, &["tablename", "indexname"]);
pub(super) const REWRITE: Definition = Definition::of_schema(view_rows, rewrite_value, &["oid", "ev_class"]);
pub(super) const STATISTICS: Definition =
    Definition::of_schema(own_table_rows, statistics_value, &["relid", "relname"]);

pub(super) const INDEX_STATISTICS: Definition = Definition::of_schema(
    class::index_rows,
    index_statistics_value,
    &["relid", "indexrelid", "relname"],
);

fn own(schema: &Schema, wanted: impl Fn(&Relation) -> bool) -> Vec<RowKey> {
    let mut rows = class::own_relation_rows(schema);
    rows.retain(|row| wanted(&schema.relations()[row.0[0] as usize]));
    rows
}

fn own_table_rows(schema: &Schema) -> Vec<RowKey> {
    own(schema, |relation| relation.kind != RelationKind::View)
}

pub(super) fn view_rows(schema: &Schema) -> Vec<RowKey> {
    own(schema, |relation| relation.kind == RelationKind::View)
}

fn table_rows(schema: &Schema) -> Vec<RowKey> {
    let mut rows = class::relation_rows(schema);
    rows.retain(|row| AnyClass::of_key(schema, *row).kind() == "r");
    rows
}

fn table_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let class = AnyClass::of_key(view.schema, row);
    let relation = class.relation();
    Some(match column {
        "schemaname" => text(class.namespace()),
        "tablename" => text(class.name()),
        "tableowner" => text(OWNER_NAME),
        "hasindexes" => flag(relation.is_some_and(|relation| !relation.indexes.is_empty())),
        "hastriggers" => flag(relation.is_some_and(|relation| !relation.triggers.is_empty())),
        "hasrules" | "rowsecurity" => flag(false),
        _ => return None,
    })
}

fn view_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let relation = &view.schema.relations()[row.0[0] as usize];
    Some(match column {
        "schemaname" => text("public"),
        "viewname" => text(relation.name.as_str()),
        "viewowner" => text(OWNER_NAME),
        "definition" => text(definition::view(relation)),
        _ => return None,
    })
}

fn index_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let AnyClass::Own(Class::Index(relation, index)) = AnyClass::of_key(view.schema, row) else {
        return None;
    };
    Some(match column {
        "schemaname" => text("public"),
        "tablename" => text(relation.name.as_str()),
        "indexname" => text(index.name.as_str()),
        "indexdef" => text(definition::index(relation, index)),
        _ => return None,
    })
}

fn index_statistics_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let AnyClass::Own(Class::Index(relation, index)) = AnyClass::of_key(view.schema, row) else {
        return None;
    };
    Some(match column {
        "relid" => oid(relation.id),
        "indexrelid" => oid(index.id),
        "schemaname" => text("public"),
        "relname" => text(relation.name.as_str()),
        "indexrelname" => text(index.name.as_str()),
        _ => return None,
    })
}

fn rewrite_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let relation = &view.schema.relations()[row.0[0] as usize];
    Some(match column {
        "oid" => oid(attribute::derived_id(relation.id, 0)),
        "rulename" => text("_RETURN"),
        "ev_class" => oid(relation.id),
        "ev_type" => text("1"),
        "ev_enabled" => text("O"),
        "is_instead" => flag(true),
        _ => return None,
    })
}

fn statistics_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let relation = &view.schema.relations()[row.0[0] as usize];
    Some(match column {
        "relid" => oid(relation.id),
        "schemaname" => text("public"),
        "relname" => text(relation.name.as_str()),
        "n_live_tup" => or_null(relation.row_estimate.map(|rows| count(rows as usize))),
        "n_dead_tup" => number(0),
        _ => return None,
    })
}
