//! Pieces of SQLite's SQL as nodes of the parser's tree.

use bellwether_types::{Call, ValueRef};
use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Query, TableFactor, Value,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError, ParserOptions};

use crate::functions::FUNCTIONS;

/// A function call.
pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args
        .into_iter()
        .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)))
        .collect();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        within_group: Vec::new(),
        filter: None,
        null_treatment: None,
        over: None,
    })
}

/// `'text'`.
pub(super) fn text(text: impl Into<String>) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.into().replace('\'', "''")).into())
}

/// A whole number.
pub(super) fn integer(number: i64) -> Expr {
    Expr::Value(Value::Number(number.to_string(), false).into())
}

/// NULL.
pub(super) fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

/// SQLite's SQL that the parser's tree need not understand, in parentheses of its own.
pub(super) fn verbatim(sql: impl Into<String>) -> Expr {
    Expr::Nested(Box::new(Expr::Identifier(Ident::new(sql))))
}

/// `"name"`.
pub(super) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name.replace('"', "\"\""))
}

/// The name and the arguments of a call of a function by a bare name: no window, filter or DISTINCT.
pub(super) fn as_call(expr: &Expr) -> Option<(&str, Vec<&Expr>)> {
    let Expr::Function(function) = expr else {
        return None;
    };
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else {
        return None;
    };
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let args: Option<Vec<&Expr>> = list
        .args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect();
    Some((&name.value, args?))
}

/// Whether it is a call of this function.
pub(super) fn is_call(expr: &Expr, name: &str) -> bool {
    as_call(expr).is_some_and(|(called, _)| called == name)
}

/// The text of a literal.
pub(super) fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.replace("''", "'")),
            _ => None,
        },
        Expr::Nested(inner) => literal(inner),
        _ => None,
    }
}

/// A literal whole number.
pub(super) fn literal_integer(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        Expr::Nested(inner) => literal_integer(inner),
        Expr::UnaryOp {
            op: sqlparser::ast::UnaryOperator::Minus,
            expr,
        } => Some(-literal_integer(expr)?),
        _ => None,
    }
}

/// A column, also in parentheses.
pub(super) fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

/// A parser of PostgreSQL's grammar. Quotes inside literals stay doubled, as they came: printed again they are
/// the same bytes.
pub(super) fn parser(sql: &str) -> Result<Parser<'_>, ParserError> {
    let options = ParserOptions::new()
        .with_trailing_commas(false)
        .with_unescape(false);
    Parser::new(&PostgreSqlDialect {})
        .with_options(options)
        .try_with_sql(sql)
}

/// A table of FROM, written out in PostgreSQL's grammar. `None`: a mistake of ours.
pub(super) fn table_factor(sql: &str) -> Option<TableFactor> {
    parser(sql).ok()?.parse_table_factor().ok()
}

/// An expression, likewise.
pub(super) fn expr(sql: &str) -> Option<Expr> {
    parser(sql).ok()?.parse_expr().ok()
}

/// A query, likewise.
pub(super) fn query(sql: &str) -> Option<Query> {
    parser(sql).ok()?.parse_query().ok().map(|query| *query)
}

/// Takes what is there and leaves NULL.
pub(super) fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, null())
}

/// A call of one of our functions with literals, computed: where SQLite wants a literal.
pub(super) fn constant(expr: &Expr) -> Option<Expr> {
    let (name, args) = as_call(expr)?;
    let args: Option<Vec<bellwether_types::Value>> = args.into_iter().map(value_of).collect();
    Some(match computed(name, &args?)? {
        bellwether_types::Value::Null => null(),
        bellwether_types::Value::Integer(number) => integer(number),
        bellwether_types::Value::Real(number) => {
            Expr::Value(Value::Number(format!("{number:?}"), false).into())
        }
        bellwether_types::Value::Text(spelled) => text(spelled),
        bellwether_types::Value::Blob(_) => return None,
    })
}

/// What one of our functions answers; `None`: it is none of ours, or it fails.
pub(super) fn computed(name: &str, args: &[bellwether_types::Value]) -> Option<bellwether_types::Value> {
    let function = FUNCTIONS
        .iter()
        .find(|function| function.name == name && function.arguments.takes(args.len()))?;
    let Call::Pure(call) = function.call else {
        return None;
    };
    let args: Vec<ValueRef<'_>> = args.iter().map(bellwether_types::Value::as_ref).collect();
    call(&args).ok()
}

fn value_of(expr: &Expr) -> Option<bellwether_types::Value> {
    use bellwether_types::Value as Known;
    if let Some(text) = literal(expr) {
        return Some(Known::Text(text));
    }
    if let Some(number) = literal_integer(expr) {
        return Some(Known::Integer(number));
    }
    let Expr::Value(value) = expr else { return None };
    Some(match &value.value {
        Value::Null => Known::Null,
        Value::Boolean(truth) => Known::Integer(i64::from(*truth)),
        Value::Number(digits, _) => Known::Real(digits.parse().ok()?),
        _ => return None,
    })
}
