//! The types of parameters, by where they stand.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Assignment, AssignmentTarget, BinaryOperator, Expr, Insert, LimitClause, OnConflictAction, OnInsert,
    Query, Select, SelectItem, SetExpr, Statement, TableObject, Value, Visit, Visitor,
};

use super::Schema;
use super::expression::{arguments, first};
use super::scope::{Column, Scope, last_name};
use crate::dialect::cast_type;
use crate::types::{Type, of_declared};

/// Types by parameter index, from 0. What is said first, reading from the left, holds.
pub(super) fn infer(statement: &Statement, schema: &dyn Schema) -> BTreeMap<usize, Type> {
    let mut inference = Inference {
        scope: Scope::new(schema),
        outer: Vec::new(),
        types: BTreeMap::new(),
    };
    let ControlFlow::Continue(()) = statement.visit(&mut inference);
    inference.types
}

struct Inference<'a> {
    scope: Scope<'a>,
    /// What is seen around the statement, query or SELECT that is looked at.
    outer: Vec<Scope<'a>>,
    types: BTreeMap<usize, Type>,
}

/// The index of `$n`, also in parentheses.
fn parameter_index(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Nested(inner) => parameter_index(inner),
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1),
            _ => None,
        },
        _ => None,
    }
}

impl<'a> Inference<'a> {
    fn enter(&mut self, scope: Scope<'a>) {
        self.outer.push(std::mem::replace(&mut self.scope, scope));
    }

    fn leave(&mut self) {
        if let Some(outer) = self.outer.pop() {
            self.scope = outer;
        }
    }

    /// If `expr` is a parameter, it has this type.
    fn is(&mut self, expr: &Expr, type_: Option<Type>) {
        if let (Some(index), Some(type_)) = (parameter_index(expr), type_) {
            self.types.entry(index).or_insert(type_);
        }
    }

    /// All these have one type: parameters have that of the first whose type is known.
    fn are_alike<'e>(&mut self, exprs: impl Iterator<Item = &'e Expr> + Clone) {
        let known = exprs.clone().find_map(|expr| self.scope.type_of(expr));
        exprs.for_each(|expr| self.is(expr, known));
    }

    fn assignments(&mut self, assignments: &[Assignment]) {
        for assignment in assignments {
            if let AssignmentTarget::ColumnName(column) = &assignment.target
                && let Some(name) = last_name(column)
            {
                let column = Expr::Identifier(name.as_str().into());
                let type_ = self.scope.type_of(&column);
                self.is(&assignment.value, type_);
            }
        }
    }

    fn insert(&mut self, insert: &Insert) {
        if let TableObject::TableName(name) = &insert.table
            && let Some(source) = &insert.source
        {
            let columns = self.scope.of_table(name);
            let known = |column: &Column| match column {
                Column::Known { type_, .. } => *type_,
                Column::Unknown => None,
            };
            let of_name = |wanted: &str| {
                columns.iter().find_map(|column| match column {
                    Column::Known { name, type_ } if name.eq_ignore_ascii_case(wanted) => *type_,
                    _ => None,
                })
            };
            let types: Vec<Option<Type>> = match insert.columns.as_slice() {
                [] => columns.iter().map(known).collect(),
                names => names.iter().map(|name| of_name(&last_name(name)?)).collect(),
            };
            self.source(&source.body, &types);
        }
        match &insert.on {
            Some(OnInsert::OnConflict(conflict)) => {
                if let OnConflictAction::DoUpdate(update) = &conflict.action {
                    self.assignments(&update.assignments);
                }
            }
            Some(OnInsert::DuplicateKeyUpdate(assignments)) => self.assignments(assignments),
            _ => {}
        }
    }

    /// VALUES and SELECT that fill columns of these types.
    fn source(&mut self, source: &SetExpr, types: &[Option<Type>]) {
        match source {
            SetExpr::Values(values) => {
                for row in &values.rows {
                    row.iter()
                        .zip(types)
                        .for_each(|(value, type_)| self.is(value, *type_));
                }
            }
            SetExpr::Select(select) => {
                for (item, type_) in select.projection.iter().zip(types) {
                    match item {
                        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                            self.is(expr, *type_)
                        }
                        _ => break,
                    }
                }
            }
            _ => {}
        }
    }

    fn binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) {
        match op {
            BinaryOperator::StringConcat
            | BinaryOperator::Glob
            | BinaryOperator::Regexp
            | BinaryOperator::Match => {
                self.is(left, Some(Type::Text));
                self.is(right, Some(Type::Text));
            }
            BinaryOperator::BitwiseAnd
            | BinaryOperator::BitwiseOr
            | BinaryOperator::PGBitwiseShiftLeft
            | BinaryOperator::PGBitwiseShiftRight => {
                self.is(left, Some(Type::Int8));
                self.is(right, Some(Type::Int8));
            }
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo
            | BinaryOperator::Gt
            | BinaryOperator::Lt
            | BinaryOperator::GtEq
            | BinaryOperator::LtEq
            | BinaryOperator::Eq
            | BinaryOperator::NotEq => self.are_alike([left, right].into_iter()),
            _ => {}
        }
    }

    fn function(&mut self, function: &sqlparser::ast::Function) {
        let Some(name) = last_name(&function.name) else {
            return;
        };
        let arguments = arguments(function);
        match name.to_ascii_lowercase().as_str() {
            "coalesce" | "ifnull" | "nullif" | "min" | "max" => self.are_alike(arguments.iter().copied()),
            "iif" | "if" => self.are_alike(arguments.iter().skip(1).copied()),
            "upper" | "lower" | "trim" | "ltrim" | "rtrim" | "length" | "replace" => {
                arguments
                    .iter()
                    .for_each(|argument| self.is(argument, Some(Type::Text)));
            }
            "substr" | "substring" => arguments
                .iter()
                .skip(1)
                .for_each(|argument| self.is(argument, Some(Type::Int8))),
            "zeroblob" | "randomblob" => arguments
                .iter()
                .for_each(|argument| self.is(argument, Some(Type::Int8))),
            "ilike" | "regexp_like" | "similar_to" | "starts_with" => {
                arguments
                    .iter()
                    .for_each(|argument| self.is(argument, Some(Type::Text)));
            }
            "array_has" => {
                if let [array, element] = arguments.as_slice() {
                    let type_ = self.scope.type_of(element).and_then(Type::array);
                    self.is(array, type_);
                }
            }
            "greatest" | "least" => self.are_alike(arguments.iter().copied()),
            other => {
                if let (Some(argument), Some(type_)) = (arguments.first(), cast_type(other)) {
                    self.is(argument, Some(type_));
                }
            }
        }
    }
}

impl Visitor for Inference<'_> {
    type Break = std::convert::Infallible;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Self::Break> {
        self.enter(self.scope.in_statement(statement));
        match statement {
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => {
                self.assignments(&update.assignments);
                update
                    .limit
                    .iter()
                    .for_each(|limit| self.is(limit, Some(Type::Int8)));
            }
            Statement::Delete(delete) => delete
                .limit
                .iter()
                .for_each(|limit| self.is(limit, Some(Type::Int8))),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_statement(&mut self, _: &Statement) -> ControlFlow<Self::Break> {
        self.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        self.enter(self.scope.in_select(select));
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &Select) -> ControlFlow<Self::Break> {
        self.leave();
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Self::Break> {
        self.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        self.enter(self.scope.in_query(query));
        match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                limit.iter().for_each(|limit| self.is(limit, Some(Type::Int8)));
                offset
                    .iter()
                    .for_each(|offset| self.is(&offset.value, Some(Type::Int8)));
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                self.is(offset, Some(Type::Int8));
                self.is(limit, Some(Type::Int8));
            }
            None => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        match expr {
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::Between { expr, low, high, .. } => self.are_alike([&**expr, &**low, &**high].into_iter()),
            Expr::InList { expr, list, .. } => self.are_alike(std::iter::once(&**expr).chain(list)),
            Expr::InSubquery { expr, subquery, .. } => {
                let type_ = first(&self.scope.of_query(subquery));
                self.is(expr, type_);
                // `expr = ANY ($1)`, as it is translated.
                let array = self.scope.type_of(expr).and_then(Type::array);
                if let ControlFlow::Break(index) = subquery.visit(&mut ElementsOf) {
                    self.types.extend(
                        array
                            .filter(|_| !self.types.contains_key(&index))
                            .map(|array| (index, array)),
                    );
                }
            }
            Expr::Like { expr, pattern, .. } => {
                self.is(expr, Some(Type::Text));
                self.is(pattern, Some(Type::Text));
            }
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                self.are_alike([&**left, &**right].into_iter());
            }
            Expr::Cast { expr, data_type, .. } => {
                self.is(expr, Some(of_declared(&data_type.to_string()).type_))
            }
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => {
                self.are_alike(
                    conditions
                        .iter()
                        .map(|when| &when.result)
                        .chain(else_result.as_deref()),
                );
                if let Some(operand) = operand {
                    self.are_alike(
                        std::iter::once(&**operand).chain(conditions.iter().map(|when| &when.condition)),
                    );
                }
            }
            Expr::Function(function) => self.function(function),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Looks for a parameter whose elements are gone through: `array_to_json($1)`.
struct ElementsOf;

impl Visitor for ElementsOf {
    type Break = usize;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<usize> {
        let index = match expr {
            Expr::Function(function) if last_name(&function.name).as_deref() == Some("array_to_json") => {
                arguments(function)
                    .first()
                    .and_then(|array| parameter_index(array))
            }
            _ => None,
        };
        index.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }
}
