//! Types of parameters and results, as far as the statement's text and the schema tell.
//!
//! Best effort by construction: a statement that the parser here does not understand (it is not SQLite's), or
//! that is nested deeper than it should go, has no inferred types; its parameters and expressions are text. That
//! is never an error. Columns of results that are columns of tables need no inference: SQLite names their
//! declared type.
//!
//! Comparisons, logic, TRUE and FALSE are int8 and not bool: SQLite answers 0 and 1, and a column of expressions
//! may mix them with other numbers.

pub mod cast;
mod expression;
mod parameters;

use std::sync::Arc;

use bellwether_types::Column;
use bellwether_types::lexer;
use sqlparser::ast::{Query, SelectItem, SetExpr, Statement};
use sqlparser::dialect::SQLiteDialect;
use sqlparser::parser::Parser;

use crate::dialect::is_shallow;
use crate::row::{Description, Field};
use crate::types::{Oid, Type, TypeWithModifier, of_declared};

/// What inference needs to know of a database.
pub trait Schema {
    /// A table's or view's columns in order, each with its declared type (empty: none). Names compare without
    /// case. An unknown table has none.
    fn columns(&self, table: &str) -> Vec<(String, String)>;
}

/// Describes a statement. `columns` are SQLite's own, empty for a statement without rows.
pub fn describe(sql: &str, columns: &[Column], schema: &dyn Schema) -> Description {
    let parsed = parse(sql);
    let parameters = parsed
        .as_ref()
        .map(|statement| parameters::infer(statement, schema))
        .unwrap_or_default();
    let parameter_count = crate::connection::highest_parameter(sql);
    let parameters = (0..parameter_count)
        .map(|index| {
            parameters
                .get(&index)
                .map_or(Oid::default(), |type_: &Type| type_.oid())
        })
        .collect();
    let fields = (!columns.is_empty()).then(|| {
        let expressions = parsed
            .as_ref()
            .map(|statement| result_types(statement, columns.len(), schema));
        let inferred = expressions.unwrap_or_else(|| vec![None; columns.len()]);
        columns
            .iter()
            .zip(inferred)
            .map(|(column, inferred)| field(column, inferred))
            .collect::<Arc<[Field]>>()
    });
    Description { parameters, fields }
}

fn field(column: &Column, inferred: Option<Type>) -> Field {
    let type_ = match (&column.declared_type, inferred) {
        (Some(declared), _) if !declared.is_empty() => of_declared(declared),
        (_, Some(inferred)) => TypeWithModifier::from(inferred),
        _ => TypeWithModifier::from(Type::Text),
    };
    Field::new(column.name.as_str(), type_)
}

/// The verbs whose parameters or results are worth a look.
fn parse(sql: &str) -> Option<Statement> {
    let verb = lexer::verb(sql)?;
    if !matches!(verb.as_str(), "SELECT" | "INSERT" | "UPDATE" | "DELETE") || !is_shallow(sql) {
        return None;
    }
    // A mistake in the parser costs the types, not the connection.
    let parsed = std::panic::catch_unwind(|| {
        let mut parser = Parser::new(&SQLiteDialect {}).try_with_sql(sql).ok()?;
        parser.parse_statement().ok()
    });
    parsed.ok().flatten()
}

/// The types of result columns, by position. Items before the first `*` are counted from the front, those after
/// the last one from the back; what `*` stands for is columns, whose types SQLite tells.
fn result_types(statement: &Statement, count: usize, schema: &dyn Schema) -> Vec<Option<Type>> {
    let mut types = vec![None; count];
    let scope = expression::Scope::of(statement, schema);
    let items = match statement {
        Statement::Query(query) => match query_types(query, &scope) {
            Projection::Values(values) => {
                for (slot, type_) in types.iter_mut().zip(values) {
                    *slot = type_;
                }
                return types;
            }
            Projection::Items(items) => items,
        },
        Statement::Insert(insert) => insert.returning.as_deref().unwrap_or_default(),
        Statement::Update(update) => update.returning.as_deref().unwrap_or_default(),
        Statement::Delete(delete) => delete.returning.as_deref().unwrap_or_default(),
        _ => return types,
    };
    for (slot, item) in types.iter_mut().zip(items) {
        match item_type(item, &scope) {
            Some(type_) => *slot = type_,
            None => break,
        }
    }
    for (slot, item) in types.iter_mut().rev().zip(items.iter().rev()) {
        match item_type(item, &scope) {
            Some(type_) => *slot = type_,
            None => break,
        }
    }
    types
}

enum Projection<'a> {
    Items(&'a [SelectItem]),
    Values(Vec<Option<Type>>),
}

/// Of a compound SELECT each column has the type that all its parts agree on.
fn query_types<'a>(query: &'a Query, scope: &expression::Scope<'_>) -> Projection<'a> {
    set_types(&query.body, scope)
}

fn set_types<'a>(set: &'a SetExpr, scope: &expression::Scope<'_>) -> Projection<'a> {
    match set {
        SetExpr::Select(select) => Projection::Items(&select.projection),
        SetExpr::Query(query) => query_types(query, scope),
        SetExpr::Values(values) => {
            let rows = values
                .rows
                .iter()
                .map(|row| row.iter().map(|value| scope.type_of(value)).collect());
            Projection::Values(rows.reduce(agree).unwrap_or_default())
        }
        SetExpr::SetOperation { left, right, .. } => {
            let parts = [left, right].map(|part| flatten(set_types(part, scope), scope));
            let [left, right] = parts;
            Projection::Values(agree(left, right))
        }
        _ => Projection::Values(Vec::new()),
    }
}

fn flatten(projection: Projection<'_>, scope: &expression::Scope<'_>) -> Vec<Option<Type>> {
    match projection {
        Projection::Values(types) => types,
        // Up to the first `*`.
        Projection::Items(items) => items.iter().map_while(|item| item_type(item, scope)).collect(),
    }
}

fn agree(left: Vec<Option<Type>>, right: Vec<Option<Type>>) -> Vec<Option<Type>> {
    left.into_iter()
        .zip(right)
        .map(|(left, right)| if left == right { left } else { None })
        .collect()
}

/// `None` for a `*`; else the expression's type, if known.
fn item_type(item: &SelectItem, scope: &expression::Scope<'_>) -> Option<Option<Type>> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(scope.type_of(expr)),
        _ => None,
    }
}
