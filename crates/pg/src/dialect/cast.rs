//! Casts: `x::type` and typed literals mean what they mean in PostgreSQL. `CAST(x AS type)` is SQLite's where SQLite
//! has such a type, and PostgreSQL's elsewhere.

use bellwether_types::{SqlError, Value as Constant};
use sqlparser::ast::{CastKind, DataType, Expr, TypedString, Value};

use super::sql::{as_call, call, computed, integer, literal, take, text};
use super::type_name::{Target, parameter_type, target, target_of_name, target_of_type};
use super::{Translator, interval};
use crate::types::Type;

/// `x::type`, `CAST(x AS type)`, `DATE '…'`.
pub(super) fn rewrite(expr: &mut Expr, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    let (value, data_type, is_sqlites) = match expr {
        Expr::Cast {
            kind,
            expr: value,
            data_type,
            format: None,
        } => {
            let is_sqlites = *kind == CastKind::Cast && is_sqlites(data_type);
            if !matches!(kind, CastKind::Cast | CastKind::DoubleColon) {
                return Err(translator.refuse("this kind of cast", &**value, "Write CAST(x AS type)."));
            }
            (&mut **value, data_type, is_sqlites)
        }
        Expr::TypedString(TypedString {
            data_type,
            value,
            uses_odbc_syntax: false,
        }) => {
            let Value::SingleQuotedString(literal) = &value.value else {
                return Ok(());
            };
            let known = target(data_type);
            let value = Expr::Value(Value::SingleQuotedString(literal.clone()).into());
            *expr = apply(value, known, data_type, translator)?;
            return Ok(());
        }
        _ => return Err(translator.refuse(&*expr, &*expr, "Write CAST(x AS type).")),
    };
    let known = target(data_type);
    if let (Some(number), Some(known)) = (parameter_number(value), &known)
        && let Some(type_) = parameter_type(known)
    {
        translator.tell_parameter(number, type_);
    }
    if is_sqlites {
        plain_type(data_type);
        return Ok(());
    }
    let data_type = data_type.clone();
    *expr = apply(take(value), known, &data_type, translator)?;
    Ok(())
}

fn apply(
    value: Expr,
    known: Option<Target>,
    data_type: &DataType,
    translator: &Translator<'_>,
) -> Result<Expr, SqlError> {
    let Some(known) = known else {
        let hint = "Cast to text, or leave the cast out: values have SQLite's types.";
        return Err(translator.refuse(format!("type {data_type}"), &value, hint));
    };
    Ok(match known {
        Target::Interval => interval::marker(value),
        Target::Array(element) => array(value, &element),
        other => to(value, &other),
    })
}

/// Whether `CAST(x AS type)` is left to SQLite: integers, reals, texts and blobs it has too.
fn is_sqlites(data_type: &DataType) -> bool {
    match target(data_type) {
        Some(Target::Function(name, _)) => {
            matches!(
                name,
                "cast_int2"
                    | "cast_int4"
                    | "cast_int8"
                    | "cast_float4"
                    | "cast_float8"
                    | "cast_numeric"
                    | "cast_varchar"
            ) && !data_type.to_string().contains('"')
        }
        Some(Target::Text) => true,
        Some(_) => false,
        None => matches!(data_type, DataType::Blob(_) | DataType::Clob(_)),
    }
}

/// `pg_catalog.text` is no type of SQLite's.
fn plain_type(data_type: &mut DataType) {
    if data_type.to_string().contains('.') {
        *data_type = match target(data_type) {
            Some(Target::Function(name, _)) if name.starts_with("cast_int") => DataType::Integer(None),
            Some(Target::Function(name, _)) if name.starts_with("cast_float") => DataType::Real,
            Some(Target::Function("cast_numeric", _)) => {
                DataType::Numeric(sqlparser::ast::ExactNumberInfo::None)
            }
            _ => DataType::Text,
        };
    }
}

/// A value as a type that has no need of its context.
fn to(value: Expr, known: &Target) -> Expr {
    match known {
        Target::Function("cast_varchar", arguments) if fits(&value, arguments) => value,
        Target::Function(name, arguments) => {
            let further = arguments.iter().map(|&argument| integer(argument));
            call(name, std::iter::once(value).chain(further).collect())
        }
        Target::Text if literal(&value).is_some() => value,
        Target::Text => {
            let mut value = value;
            as_output(&mut value);
            Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(value),
                data_type: DataType::Text,
                format: None,
            }
        }
        Target::Json => call("json", vec![value]),
        Target::Registered(name) => call(&format!("{name}in"), vec![value]),
        Target::Array(element) => array(value, element),
        Target::Interval => interval::marker(value),
    }
}

/// Whether a literal is short enough to stay as it is.
fn fits(value: &Expr, arguments: &[i64]) -> bool {
    let most = arguments.first().copied().unwrap_or(0);
    literal(value).is_some_and(|text| i64::try_from(text.chars().count()).is_ok_and(|length| length <= most))
}

/// A value as the type of this name, which is known to be one.
pub(super) fn to_name(value: Expr, type_name: &str) -> Expr {
    match target_of_name(type_name) {
        Some(known) => to(value, &known),
        None => value,
    }
}

/// A constant as one of this type. `None`: it is none, or the cast takes more than a function of ours.
pub(crate) fn cast_constant(value: &Constant, type_: Type) -> Option<Constant> {
    match (target_of_type(type_)?, value) {
        (_, Constant::Null) => Some(Constant::Null),
        (Target::Text, Constant::Text(text)) => Some(Constant::Text(text.clone())),
        (Target::Function(name, arguments), _) => {
            let further = arguments.into_iter().map(Constant::Integer);
            let arguments: Vec<Constant> = std::iter::once(value.clone()).chain(further).collect();
            computed(name, &arguments)
        }
        (Target::Array(element), Constant::Text(_)) => {
            computed("cast_array", &[value.clone(), Constant::Text(element)])
        }
        _ => None,
    }
}

fn array(value: Expr, element: &str) -> Expr {
    if let Some(("array_of", elements)) = as_call(&value) {
        let elements = elements
            .into_iter()
            .map(|element_value| to_name(element_value.clone(), element));
        return call("array_of", elements.collect());
    }
    call("cast_array", vec![value, text(element.to_ascii_lowercase())])
}

/// `$7`, also in parentheses.
pub(super) fn parameter_number(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Nested(inner) => parameter_number(inner),
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => name.strip_prefix('$')?.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// The names of `regclass` and its kin are shown; compared are the numbers.
pub(super) fn as_output(expr: &mut Expr) {
    rename(expr, "in", "out");
}

/// And back again.
pub(super) fn as_number(expr: &mut Expr) {
    rename(expr, "out", "in");
}

fn rename(expr: &mut Expr, from: &str, to: &str) {
    match expr {
        Expr::Nested(inner) => rename(inner, from, to),
        Expr::Function(function) => {
            let Some(name) = function.name.0.last_mut() else {
                return;
            };
            let sqlparser::ast::ObjectNamePart::Identifier(name) = name else {
                return;
            };
            if name.value.starts_with("reg")
                && let Some(type_name) = name.value.strip_suffix(from)
                && matches!(target_of_name(type_name), Some(Target::Registered(_)))
            {
                name.value = format!("{type_name}{to}");
            }
        }
        _ => {}
    }
}
