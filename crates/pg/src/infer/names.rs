//! What a result's columns are called that have no alias: as PostgreSQL calls them. SQLite's names for them are
//! unspecified (<https://sqlite.org/c3ref/column_name.html>), and clients ask for `count`, not for `count(*)`.

use sqlparser::ast::{Expr, Query, SelectItem, SetExpr, Statement};

use crate::dialect::column_name;

/// By position; `None`: SQLite's. Columns before a `*` are counted from the front, those after the last such from the
/// back.
pub(super) fn of_result(statement: &Statement, count: usize) -> Vec<Option<String>> {
    let mut names = vec![None; count];
    let items = items(statement);
    let is_one = |item: &&SelectItem| {
        matches!(
            item,
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
        )
    };
    let front = items.iter().take_while(is_one);
    for (slot, item) in names.iter_mut().zip(front) {
        *slot = name(item);
    }
    if !items.iter().all(|item| is_one(&item)) {
        let back = items.iter().rev().take_while(is_one);
        for (slot, item) in names.iter_mut().rev().zip(back) {
            *slot = name(item);
        }
    }
    names
}

fn items(statement: &Statement) -> &[SelectItem] {
    let returning = match statement {
        Statement::Query(query) => return of_query(query),
        Statement::Insert(insert) => &insert.returning,
        Statement::Update(update) => &update.returning,
        Statement::Delete(delete) => &delete.returning,
        _ => &None,
    };
    returning.as_deref().unwrap_or_default()
}

/// The first part of a UNION names the columns of all.
fn of_query(query: &Query) -> &[SelectItem] {
    let mut body = &*query.body;
    loop {
        body = match body {
            SetExpr::Select(select) => return &select.projection,
            SetExpr::Query(query) => &query.body,
            SetExpr::SetOperation { left, .. } => left,
            _ => return &[],
        };
    }
}

fn name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) if !is_column(expr) => Some(column_name::name(expr)),
        _ => None,
    }
}

/// Parentheses are nothing to SQLite: it names the column inside.
fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_column(inner),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => true,
        _ => false,
    }
}
