//! What PostgreSQL calls the columns of a result that have no alias. A text that is translated is PostgreSQL's, and
//! so are its columns' names; what stands in the translation would be no name for anybody.

use sqlparser::ast::{DataType, Expr, ObjectName, Query, Select, SelectItem, SetExpr};

use super::sql::quoted;

/// Names the columns of a query whose columns are seen from outside.
pub(super) fn of_query(query: &mut Query) {
    of_set(&mut query.body);
}

fn of_set(set: &mut SetExpr) {
    match set {
        SetExpr::Select(select) => of_select(select),
        SetExpr::Query(query) => of_query(query),
        SetExpr::SetOperation { left, .. } => of_set(left),
        _ => {}
    }
}

fn of_select(select: &mut Select) {
    of_items(&mut select.projection);
}

/// Names the columns of a SELECT list or RETURNING.
pub(super) fn of_items(items: &mut [SelectItem]) {
    for item in items {
        if let SelectItem::UnnamedExpr(expr) = item
            && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        {
            let alias = quoted(&name(expr));
            let expr = super::sql::take(expr);
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
}

/// The name of an expression's column; `?column?` if it has none.
pub(crate) fn name(expr: &Expr) -> String {
    strong(expr)
        .or_else(|| weak(expr))
        .unwrap_or_else(|| "?column?".to_owned())
}

/// A name that a cast around does not replace.
fn strong(expr: &Expr) -> Option<String> {
    let fixed = |name: &str| Some(name.to_owned());
    match expr {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(parts) => Some(parts.last()?.value.clone()),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => strong(inner),
        Expr::Cast { expr, .. } => strong(expr),
        Expr::CompoundFieldAccess { root, access_chain } => access_chain
            .iter()
            .rev()
            .find_map(|access| match access {
                sqlparser::ast::AccessExpr::Dot(field) => strong(field),
                sqlparser::ast::AccessExpr::Subscript(_) => None,
            })
            .or_else(|| strong(root)),
        Expr::Function(function) => last(&function.name),
        Expr::Extract { .. } => fixed("extract"),
        Expr::Position { .. } => fixed("position"),
        Expr::Substring { .. } => fixed("substring"),
        Expr::Overlay { .. } => fixed("overlay"),
        Expr::Ceil { .. } => fixed("ceil"),
        Expr::Floor { .. } => fixed("floor"),
        Expr::Trim { trim_where, .. } => fixed(match trim_where {
            Some(sqlparser::ast::TrimWhereField::Leading) => "ltrim",
            Some(sqlparser::ast::TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::AtTimeZone { .. } => fixed("timezone"),
        Expr::Exists { negated: false, .. } => fixed("exists"),
        Expr::Array(_) => fixed("array"),
        Expr::Subquery(query) => of_subquery(&query.body),
        Expr::Case {
            else_result: Some(other),
            ..
        } => strong(other),
        _ => None,
    }
}

/// A name for want of a better one.
fn weak(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Nested(inner) => weak(inner),
        Expr::Cast { data_type, .. } => Some(type_name(data_type)),
        Expr::TypedString(typed) => Some(type_name(&typed.data_type)),
        Expr::Interval(_) => Some("interval".to_owned()),
        Expr::Case { .. } => Some("case".to_owned()),
        Expr::Tuple(_) => Some("row".to_owned()),
        _ => None,
    }
}

fn of_subquery(set: &SetExpr) -> Option<String> {
    match set {
        SetExpr::Select(select) => match select.projection.first()? {
            SelectItem::UnnamedExpr(expr) => strong(expr),
            SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
            _ => None,
        },
        SetExpr::SetOperation { left, .. } => of_subquery(left),
        SetExpr::Query(query) => of_subquery(&query.body),
        _ => None,
    }
}

fn last(name: &ObjectName) -> Option<String> {
    Some(name.0.last()?.as_ident()?.value.to_ascii_lowercase())
}

/// PostgreSQL's own name of a type.
fn type_name(data_type: &DataType) -> String {
    let written = data_type.to_string();
    let name = written.split(['(', '[']).next().unwrap_or_default().trim();
    let name = name
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .trim_matches('"')
        .to_ascii_lowercase();
    let known = match name.as_str() {
        "integer" | "int" => "int4",
        "bigint" => "int8",
        "smallint" => "int2",
        "boolean" => "bool",
        "real" => "float4",
        "double precision" | "float" | "double" => "float8",
        "character varying" => "varchar",
        "character" | "char" => "bpchar",
        "decimal" => "numeric",
        _ => &name,
    };
    known.to_owned()
}
