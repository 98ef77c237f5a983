//! The types of expressions: a static table of rules. Unknown is `None`, and stays so whatever it is part of.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
    Statement, TableFactor, UnaryOperator, Value, Visit, Visitor,
};

use super::{Schema, flatten, query_types};
use crate::catalog::result_type;
use crate::dialect::cast_type;
use crate::types::{Type, of_declared};

/// The tables of a statement, and how they are called in it.
pub(super) struct Scope<'a> {
    /// Columns with their declared types, by the lower-case name or alias.
    tables: BTreeMap<String, Vec<(String, String)>>,
    schema: &'a dyn Schema,
}

/// The last part of a name, which is the table's or column's own.
pub(super) fn last_name(name: &ObjectName) -> Option<String> {
    Some(name.0.last()?.as_ident()?.value.clone())
}

impl<'a> Scope<'a> {
    /// All tables that a statement names anywhere. A name that means two tables in two places means none here.
    pub(super) fn of(statement: &Statement, schema: &'a dyn Schema) -> Scope<'a> {
        let mut scope = Scope {
            tables: BTreeMap::new(),
            schema,
        };
        let ControlFlow::Continue(()) = statement.visit(&mut Collector(&mut scope));
        scope
    }

    fn add(&mut self, alias: &str, table: &str) {
        let columns = self.schema.columns(table);
        let known = self
            .tables
            .entry(alias.to_ascii_lowercase())
            .or_insert_with(|| columns.clone());
        if *known != columns {
            known.clear();
        }
    }

    /// The declared type of a column by its name alone: known if all tables that have one agree.
    fn unqualified(&self, column: &str) -> Option<Type> {
        let mut types = self.tables.values().filter_map(|columns| find(columns, column));
        let first = types.next()?;
        types.all(|other| other == first).then_some(first)
    }

    fn column(&self, parts: &[Ident]) -> Option<Type> {
        match parts {
            [column] => self.unqualified(&column.value),
            [.., table, column] => find(self.tables.get(&table.value.to_ascii_lowercase())?, &column.value),
            [] => None,
        }
    }

    /// The type of an expression's values.
    pub(super) fn type_of(&self, expr: &Expr) -> Option<Type> {
        match expr {
            Expr::Identifier(name) => self.column(std::slice::from_ref(name)),
            Expr::CompoundIdentifier(parts) => self.column(parts),
            Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => self.type_of(inner),
            Expr::Value(value) => literal(&value.value),
            Expr::Cast { data_type, .. } => cast(of_declared(&data_type.to_string()).type_),
            Expr::UnaryOp {
                op: UnaryOperator::Minus | UnaryOperator::Plus,
                expr,
            } => self.type_of(expr),
            Expr::UnaryOp {
                op: UnaryOperator::Not | UnaryOperator::BitwiseNot,
                ..
            } => Some(Type::Int8),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::InList { .. }
            | Expr::InSubquery { .. }
            | Expr::Between { .. }
            | Expr::Like { .. }
            | Expr::Exists { .. } => Some(Type::Int8),
            Expr::Substring { expr, .. } => self
                .type_of(expr)
                .filter(|type_| *type_ == Type::Bytea)
                .or(Some(Type::Text)),
            Expr::Trim { .. } => Some(Type::Text),
            Expr::Ceil { expr, .. } | Expr::Floor { expr, .. } => self.type_of(expr),
            Expr::Case {
                conditions,
                else_result,
                ..
            } => {
                let results = conditions
                    .iter()
                    .map(|when| &when.result)
                    .chain(else_result.as_deref());
                self.common(results)
            }
            Expr::Subquery(query) => flatten(query_types(query, self), self).first().copied().flatten(),
            Expr::Function(function) => self.function(function),
            _ => None,
        }
    }

    fn binary(&self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Type> {
        match op {
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo => arithmetic(self.type_of(left)?, self.type_of(right)?),
            BinaryOperator::StringConcat | BinaryOperator::Arrow => Some(Type::Text),
            BinaryOperator::Gt
            | BinaryOperator::Lt
            | BinaryOperator::GtEq
            | BinaryOperator::LtEq
            | BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::And
            | BinaryOperator::Or
            | BinaryOperator::Match
            | BinaryOperator::Regexp
            | BinaryOperator::Glob
            | BinaryOperator::BitwiseAnd
            | BinaryOperator::BitwiseOr
            | BinaryOperator::PGBitwiseShiftLeft
            | BinaryOperator::PGBitwiseShiftRight => Some(Type::Int8),
            _ => None,
        }
    }

    /// The one type of all of them, NULLs apart.
    fn common<'e>(&self, exprs: impl Iterator<Item = &'e Expr>) -> Option<Type> {
        let mut common = None;
        for expr in exprs.filter(|expr| !is_null(expr)) {
            let type_ = self.type_of(expr)?;
            if common.is_some_and(|common| common != type_) {
                return None;
            }
            common = Some(type_);
        }
        common
    }

    fn function(&self, function: &Function) -> Option<Type> {
        let name = last_name(&function.name)?.to_ascii_lowercase();
        let arguments = arguments(function);
        let first = arguments.first().copied();
        match name.as_str() {
            "count" | "length" | "octet_length" | "instr" | "unicode" | "changes" | "total_changes"
            | "last_insert_rowid" | "random" | "unixepoch" | "row_number" | "rank" | "dense_rank"
            | "ntile" | "json_array_length" | "json_valid" | "sign" | "likely" | "unlikely" | "glob"
            | "like" => Some(Type::Int8),
            "avg" | "total" | "julianday" | "percent_rank" | "cume_dist" | "round" | "sqrt" | "exp"
            | "ln" | "log" | "log2" | "log10" | "pow" | "power" | "pi" | "sin" | "cos" | "tan" | "asin"
            | "acos" | "atan" | "atan2" | "radians" | "degrees" => Some(Type::Float8),
            "upper" | "lower" | "trim" | "ltrim" | "rtrim" | "replace" | "hex" | "quote" | "typeof"
            | "printf" | "format" | "char" | "concat" | "concat_ws" | "soundex" | "date" | "time"
            | "datetime" | "strftime" | "timediff" | "group_concat" | "string_agg" | "sqlite_version"
            | "sqlite_source_id" | "json" | "json_array" | "json_object" | "json_group_array"
            | "json_group_object" | "json_type" | "json_quote" | "json_set" | "json_insert"
            | "json_replace" | "json_remove" | "json_patch" | "version" | "current_database"
            | "current_schema" => Some(Type::Text),
            "randomblob" | "zeroblob" | "unhex" => Some(Type::Bytea),
            "sum" => sum(self.type_of(first?)?),
            "abs" | "ceil" | "ceiling" | "floor" | "trunc" | "lag" | "lead" | "first_value"
            | "last_value" | "nth_value" => self.type_of(first?),
            "substr" | "substring" => match self.type_of(first?) {
                Some(Type::Bytea) => Some(Type::Bytea),
                _ => Some(Type::Text),
            },
            "min" | "max" | "coalesce" | "ifnull" | "nullif" | "greatest" | "least" => {
                self.common(arguments.into_iter())
            }
            "iif" | "if" => self.common(arguments.into_iter().skip(1)),
            "current_date" | "current_time" | "current_timestamp" => Some(Type::Text),
            other => self.translated_function(other, &arguments),
        }
    }

    /// Functions that translated texts call: what PostgreSQL's construct answers.
    fn translated_function(&self, name: &str, arguments: &[&Expr]) -> Option<Type> {
        let type_of = |index: usize| arguments.get(index).and_then(|argument| self.type_of(argument));
        match name {
            "ilike" | "pg_like" | "regexp_like" | "similar_to" | "starts_with" | "array_has"
            | "array_length" | "array_lower" | "array_upper" | "array_position" | "cardinality" | "ascii"
            | "bit_length" | "bit_xor" | "regexp_count" | "date_difference" => Some(Type::Int8),
            "array_of"
            | "array_from_json"
            | "array_to_json"
            | "array_cat"
            | "array_append"
            | "array_prepend"
            | "array_remove"
            | "array_to_string"
            | "string_to_array"
            | "cast_array"
            | "regexp_part"
            | "regexp_match"
            | "regexp_replace"
            | "regexp_split_to_array"
            | "left"
            | "right"
            | "lpad"
            | "rpad"
            | "split_part"
            | "overlay"
            | "text_substr"
            | "reverse"
            | "repeat"
            | "translate"
            | "initcap"
            | "chr"
            | "md5"
            | "encode"
            | "quote_ident"
            | "quote_literal"
            | "quote_nullable"
            | "pg_format"
            | "pg_typeof"
            | "to_hex"
            | "to_char" => Some(Type::Text),
            "decode" => Some(Type::Bytea),
            "uuid_from_random" => Some(Type::Uuid),
            "extract" => Some(Type::Numeric),
            "date_part" | "cbrt" => Some(Type::Float8),
            "date_add_days" | "make_date" => Some(Type::Date),
            "make_timestamp" => Some(Type::Timestamp),
            "to_timestamp" => Some(Type::Timestamptz),
            "date_trunc" => type_of(1)
                .filter(|type_| *type_ == Type::Timestamptz)
                .or(Some(Type::Timestamp)),
            "date_add" => type_of(0)
                .filter(|type_| *type_ == Type::Timestamptz)
                .or(Some(Type::Timestamp)),
            "timezone" => match type_of(1)? {
                Type::Timestamptz => Some(Type::Timestamp),
                Type::Timestamp | Type::Date => Some(Type::Timestamptz),
                _ => None,
            },
            _ => cast_type(name).or_else(|| result_type(name)),
        }
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if value.value == Value::Null)
}

/// The arguments that are expressions.
pub(super) fn arguments(function: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return Vec::new();
    };
    let exprs = list.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    exprs.collect()
}

fn find(columns: &[(String, String)], column: &str) -> Option<Type> {
    if let Some((_, declared)) = columns.iter().find(|(name, _)| name.eq_ignore_ascii_case(column)) {
        return (!declared.is_empty()).then(|| of_declared(declared).type_);
    }
    let is_rowid = ["rowid", "oid", "_rowid_"]
        .iter()
        .any(|name| column.eq_ignore_ascii_case(name));
    (is_rowid && !columns.is_empty()).then_some(Type::Int8)
}

fn literal(value: &Value) -> Option<Type> {
    match value {
        Value::Number(digits, _) if digits.parse::<i64>().is_ok() => Some(Type::Int8),
        Value::Number(..) => Some(Type::Float8),
        Value::SingleQuotedString(_) => Some(Type::Text),
        Value::HexStringLiteral(_) => Some(Type::Bytea),
        Value::Boolean(_) => Some(Type::Int8),
        _ => None,
    }
}

/// CAST goes by affinity in SQLite: `CAST('2024-01-02' AS DATE)` is the number 2024. What such a cast answers is
/// not of the type it names.
fn cast(type_: Type) -> Option<Type> {
    match type_ {
        Type::Date
        | Type::Time
        | Type::Timestamp
        | Type::Timestamptz
        | Type::Uuid
        | Type::Json
        | Type::Jsonb => None,
        Type::Oid | Type::Name => None,
        Type::Int2 | Type::Int4 => Some(Type::Int8),
        other => Some(other),
    }
}

fn is_integer(type_: Type) -> bool {
    matches!(
        type_,
        Type::Int2 | Type::Int4 | Type::Int8 | Type::Bool | Type::Oid
    )
}

fn is_float(type_: Type) -> bool {
    matches!(type_, Type::Float4 | Type::Float8)
}

/// Numeric columns hold integers and reals side by side, so what is made of them is numeric again.
fn arithmetic(left: Type, right: Type) -> Option<Type> {
    match (left, right) {
        _ if is_integer(left) && is_integer(right) => Some(Type::Int8),
        (Type::Numeric, other) | (other, Type::Numeric) if other == Type::Numeric || is_integer(other) => {
            Some(Type::Numeric)
        }
        _ if is_float(left) && (is_float(right) || is_integer(right) || right == Type::Numeric) => {
            Some(Type::Float8)
        }
        _ if is_float(right) && (is_integer(left) || left == Type::Numeric) => Some(Type::Float8),
        _ => None,
    }
}

fn sum(type_: Type) -> Option<Type> {
    match type_ {
        Type::Numeric => Some(Type::Numeric),
        _ if is_integer(type_) => Some(Type::Int8),
        _ if is_float(type_) => Some(Type::Float8),
        _ => None,
    }
}

struct Collector<'s, 'a>(&'s mut Scope<'a>);

impl Visitor for Collector<'_, '_> {
    type Break = std::convert::Infallible;

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::Table { name, alias, .. } = factor
            && let Some(table) = last_name(name)
        {
            self.0
                .add(alias.as_ref().map_or(&table, |alias| &alias.name.value), &table);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Self::Break> {
        if let Statement::Insert(insert) = statement
            && let sqlparser::ast::TableObject::TableName(name) = &insert.table
            && let Some(table) = last_name(name)
        {
            let alias = insert
                .table_alias
                .as_ref()
                .map_or(table.as_str(), |alias| &alias.alias.value);
            self.0.add(alias, &table);
            self.0.add("excluded", &table);
        }
        ControlFlow::Continue(())
    }
}
