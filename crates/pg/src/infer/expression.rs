//! The types of expressions: a static table of rules. Unknown is `None`, and stays so whatever it is part of.

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value,
};

use super::scope::{Column, Scope, last_name};
use crate::catalog::result_type;
use crate::dialect::{cast_type, parameter_type_of_name};
use crate::types::{Type, of_declared};

impl Scope<'_> {
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
                op: UnaryOperator::BitwiseNot,
                ..
            } => Some(Type::Int8),
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                ..
            } => Some(Type::Bool),
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
            | Expr::Exists { .. } => Some(Type::Bool),
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
            Expr::Subquery(query) => first(&self.of_query(query)),
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
            | BinaryOperator::Glob => Some(Type::Bool),
            BinaryOperator::BitwiseAnd
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
            common = Some(match common {
                Some(common) => both(common, type_)?,
                None => type_,
            });
        }
        common
    }

    /// What `json_group_array(x)` gathers, also within `nullif`: how arrays are made of rows here.
    fn gathered(&self, expr: &Expr) -> Option<Type> {
        let Expr::Function(function) = expr else {
            return None;
        };
        let argument = arguments(function).first().copied()?;
        match last_name(&function.name)?.to_ascii_lowercase().as_str() {
            "nullif" => self.gathered(argument),
            "json_group_array" => self.type_of(argument),
            _ => None,
        }
    }

    fn function(&self, function: &Function) -> Option<Type> {
        let name = last_name(&function.name)?.to_ascii_lowercase();
        let arguments = arguments(function);
        let first = arguments.first().copied();
        match name.as_str() {
            "count" | "length" | "octet_length" | "instr" | "unicode" | "changes" | "total_changes"
            | "last_insert_rowid" | "random" | "unixepoch" | "row_number" | "rank" | "dense_rank"
            | "ntile" | "json_array_length" | "sign" => Some(Type::Int8),
            "json_valid" | "glob" | "like" => Some(Type::Bool),
            "likely" | "unlikely" => self.type_of(first?),
            "avg" | "total" | "julianday" | "percent_rank" | "cume_dist" | "round" | "sqrt" | "exp"
            | "ln" | "log" | "log2" | "log10" | "pow" | "power" | "pi" | "sin" | "cos" | "tan" | "asin"
            | "acos" | "atan" | "atan2" | "radians" | "degrees" => Some(Type::Float8),
            "upper" | "lower" | "trim" | "ltrim" | "rtrim" | "replace" | "hex" | "quote" | "typeof"
            | "printf" | "format" | "char" | "concat" | "concat_ws" | "soundex" | "date" | "time"
            | "datetime" | "strftime" | "timediff" | "group_concat" | "string_agg" | "sqlite_version"
            | "sqlite_source_id" | "json_type" | "version" => Some(Type::Text),
            "json" | "json_array" | "json_object" | "json_group_array" | "json_group_object"
            | "json_quote" | "json_set" | "json_insert" | "json_replace" | "json_remove" | "json_patch"
            | "array_to_json" => Some(Type::Json),
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
            "ilike" | "pg_like" | "regexp_like" | "similar_to" | "starts_with" | "array_has" => {
                Some(Type::Bool)
            }
            "array_length" | "array_lower" | "array_upper" | "array_position" | "cardinality" | "ascii"
            | "bit_length" | "bit_xor" | "regexp_count" | "date_difference" => Some(Type::Int8),
            "array_to_string" | "regexp_part" | "regexp_replace" | "left" | "right" | "lpad" | "rpad"
            | "split_part" | "overlay" | "text_substr" | "reverse" | "repeat" | "translate" | "initcap"
            | "chr" | "md5" | "encode" | "quote_ident" | "quote_literal" | "quote_nullable" | "pg_format"
            | "pg_typeof" | "to_hex" | "to_char" => Some(Type::Text),
            "array_of" => array_of(self.common(arguments.iter().copied())),
            "array_from_json" => array_of(self.gathered(arguments.first()?)),
            "array_cat" | "array_append" | "array_remove" => type_of(0),
            "array_prepend" => type_of(1),
            "array_get" => type_of(0)?.element(),
            "string_to_array" | "regexp_match" | "regexp_split_to_array" => Some(Type::TextArray),
            "cast_array" => match arguments.get(1)? {
                Expr::Value(element) => {
                    array_of(parameter_type_of_name(&element.value.clone().into_string()?))
                }
                _ => None,
            },
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

/// The type of the first column.
pub(super) fn first(columns: &[Column]) -> Option<Type> {
    match columns.first()? {
        Column::Known { type_, .. } => *type_,
        Column::Unknown => None,
    }
}

/// An array of text, where the elements' type is not known.
fn array_of(element: Option<Type>) -> Option<Type> {
    element.and_then(Type::array).or(Some(Type::TextArray))
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

fn literal(value: &Value) -> Option<Type> {
    match value {
        Value::Number(digits, _) if digits.parse::<i32>().is_ok() => Some(Type::Int4),
        Value::Number(digits, _) if digits.parse::<i64>().is_ok() => Some(Type::Int8),
        Value::Number(..) => Some(Type::Float8),
        Value::SingleQuotedString(_) => Some(Type::Text),
        Value::HexStringLiteral(_) => Some(Type::Bytea),
        Value::Boolean(_) => Some(Type::Bool),
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

/// The one of two types that holds values of both.
pub(super) fn both(left: Type, right: Type) -> Option<Type> {
    let width = |type_| match type_ {
        // A literal says 1 where a comparison says true.
        Type::Bool | Type::Int2 => Some(0),
        Type::Int4 => Some(1),
        Type::Int8 => Some(2),
        _ => None,
    };
    match (width(left), width(right)) {
        _ if left == right => Some(left),
        (Some(0), Some(0)) => Some(Type::Int4),
        (Some(narrow), Some(wide)) if narrow < wide => Some(right),
        (Some(_), Some(_)) => Some(left),
        _ => None,
    }
}

/// Numeric columns hold integers and reals side by side, so what is made of them is numeric again.
fn arithmetic(left: Type, right: Type) -> Option<Type> {
    match (left, right) {
        (Type::Int2 | Type::Int4, Type::Int2 | Type::Int4) => Some(Type::Int4),
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
