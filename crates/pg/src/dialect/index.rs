//! CREATE INDEX.

use bellwether_types::SqlError;
use sqlparser::ast::{CreateIndex, Expr, IndexColumn, IndexType, ObjectName, ObjectNamePart};

use super::sql::quoted;
use super::{Translator, pattern};

/// Operator classes whose order is SQLite's: numbers by size, texts by their bytes.
fn is_usual_class(class: &ObjectName) -> bool {
    let name = class.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| {
        let name = name.value.to_ascii_lowercase();
        let known = [
            "text_pattern_ops",
            "varchar_pattern_ops",
            "bpchar_pattern_ops",
            "text_ops",
            "varchar_ops",
            "bpchar_ops",
            "int2_ops",
            "int4_ops",
            "int8_ops",
            "float4_ops",
            "float8_ops",
            "numeric_ops",
            "bool_ops",
            "bytea_ops",
            "date_ops",
            "time_ops",
            "timestamp_ops",
            "timestamptz_ops",
            "uuid_ops",
            "oid_ops",
            "name_ops",
        ];
        known.contains(&name.as_str())
    })
}

/// Before what is inside is looked at.
pub(super) fn enter(index: &mut CreateIndex, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    match index.using.take() {
        None | Some(IndexType::BTree) => {}
        Some(other) => {
            let hint = "Every index is a B-tree; for words in texts there are virtual tables of FTS5.";
            return Err(translator.refuse(format!("USING {other}"), &index.table_name, hint));
        }
    }
    let refused = [
        (
            !index.include.is_empty(),
            "INCLUDE",
            "Add the columns to the end of the index.",
        ),
        (
            index.nulls_distinct == Some(false),
            "NULLS NOT DISTINCT",
            "NULLs are distinct here; index coalesce(column, '').",
        ),
        (
            index.r#async || !index.index_options.is_empty() || !index.alter_options.is_empty(),
            "this form of CREATE INDEX",
            "",
        ),
    ];
    if let Some((_, what, hint)) = refused.iter().find(|(is_so, ..)| *is_so) {
        return Err(translator.refuse(what, &index.table_name, hint));
    }
    index.nulls_distinct = None;
    if !index.with.is_empty() {
        index.with.clear();
        translator.notice(
            "storage parameters have no effect",
            "They tell how PostgreSQL lays rows out in its pages.",
        );
    }
    if std::mem::take(&mut index.concurrently) {
        translator.notice(
            "writes wait while the index is built",
            "CONCURRENTLY has no effect.",
        );
    }
    columns(&mut index.columns, translator)?;
    if index.name.is_none() {
        index.name = Some(own_name(&index.table_name, &index.columns, "idx"));
    }
    // The schema stands before the index in SQLite, before the table in PostgreSQL.
    let table = split_schema(&mut index.table_name);
    if let (Some(name), Some(schema)) = (&mut index.name, table)
        && name.0.len() == 1
    {
        name.0.insert(0, schema);
    }
    Ok(())
}

/// Takes the schema off a name.
pub(super) fn split_schema(name: &mut ObjectName) -> Option<ObjectNamePart> {
    (name.0.len() == 2).then(|| name.0.remove(0))
}

/// The columns of an index or key.
pub(super) fn columns(columns: &mut [IndexColumn], translator: &Translator<'_>) -> Result<(), SqlError> {
    for column in columns {
        if let Some(class) = column.operator_class.take()
            && !is_usual_class(&class)
        {
            let hint = "Indexes are B-trees in the order of numbers and bytes.";
            return Err(translator.refuse(format!("operator class {class}"), &column.column.expr, hint));
        }
        if let Expr::Collate { expr, collation } = &mut column.column.expr
            && pattern::is_byte_order(collation)
        {
            column.column.expr = super::sql::take(expr);
        }
        // Where NULLs stand in an index tells nothing of where a query shows them.
        column.column.options.nulls_first = None;
    }
    Ok(())
}

/// As PostgreSQL names it: table, columns, `idx`.
pub(super) fn own_name(table: &ObjectName, columns: &[IndexColumn], suffix: &str) -> ObjectName {
    let table = table.0.last().and_then(|part| part.as_ident());
    let mut parts: Vec<String> = table.map(|table| table.value.clone()).into_iter().collect();
    parts.extend(columns.iter().map(|column| match &column.column.expr {
        Expr::Identifier(name) => name.value.clone(),
        _ => "expr".to_owned(),
    }));
    parts.push(suffix.to_owned());
    vec![quoted(&parts.join("_"))].into()
}
