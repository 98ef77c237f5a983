//! Types of parameters and results, as far as the statement's text and the schema tell.
//!
//! Best effort by construction: a statement that the parser here does not understand (it is not SQLite's), or
//! that is nested deeper than it should go, has no inferred types; its parameters and expressions are text. That
//! is never an error. Columns of results that are columns of tables need no inference: SQLite names their
//! declared type.
//!
//! Comparisons, logic, TRUE and FALSE are bool, small literals and what is computed of them int4, as in PostgreSQL:
//! drivers make true and numbers of these, and texts of int8. Where they meet wider numbers they are as wide.

mod expression;
mod grammar;
mod names;
mod parameters;
mod scope;

use std::sync::Arc;

use bellwether_types::Column;
use bellwether_types::lexer;
use scope::Scope;
use sqlparser::ast::Statement;
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
        let names = parsed
            .as_ref()
            .map_or_else(Vec::new, |statement| names::of_result(statement, columns.len()));
        let names = names.into_iter().chain(std::iter::repeat(None));
        columns
            .iter()
            .zip(inferred)
            .zip(names)
            .map(|((column, inferred), name)| field(column, name, inferred))
            .collect::<Arc<[Field]>>()
    });
    Description { parameters, fields }
}

fn field(column: &Column, name: Option<String>, inferred: Option<Type>) -> Field {
    let type_ = match (&column.declared_type, inferred) {
        (Some(declared), _) if !declared.is_empty() => of_declared(declared),
        (_, Some(inferred)) => TypeWithModifier::from(inferred),
        _ => TypeWithModifier::from(Type::Text),
    };
    Field::new(name.as_deref().unwrap_or(column.name.as_str()), type_)
}

/// The verbs whose parameters or results are worth a look.
fn parse(sql: &str) -> Option<Statement> {
    let verb = lexer::verb(sql)?;
    if !matches!(verb.as_str(), "SELECT" | "INSERT" | "UPDATE" | "DELETE") || !is_shallow(sql) {
        return None;
    }
    // A mistake in the parser costs the types, not the connection.
    let parsed = std::panic::catch_unwind(|| {
        let mut parser = Parser::new(&grammar::Grammar).try_with_sql(sql).ok()?;
        parser.parse_statement().ok()
    });
    parsed.ok().flatten()
}

/// The types of result columns, by position. Columns before one that is not known are counted from the front, those
/// after the last such from the back.
fn result_types(statement: &Statement, count: usize, schema: &dyn Schema) -> Vec<Option<Type>> {
    let mut types = vec![None; count];
    let columns = Scope::new(schema).of_statement(statement);
    let is_whole = columns.len() == count && !columns.contains(&scope::Column::Unknown);
    let known = |column: &scope::Column| match column {
        scope::Column::Known { type_, .. } => Some(*type_),
        scope::Column::Unknown => None,
    };
    for (slot, type_) in types.iter_mut().zip(columns.iter().map_while(known)) {
        *slot = type_;
    }
    if !is_whole {
        for (slot, type_) in types.iter_mut().rev().zip(columns.iter().rev().map_while(known)) {
            *slot = type_;
        }
    }
    types
}
