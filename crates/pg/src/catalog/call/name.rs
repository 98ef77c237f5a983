//! Names to numbers and back: `regclass` and its kin. The `…in` functions take a name or a number and answer the
//! number; the `…out` functions answer the name; `to_…` answer NULL for what is not there.

use bellwether_types::{ErrorKind, Facts, ObjectId, Schema, SqlError, Value, ValueRef, lexer};

use super::type_name::{type_name, type_number};
use super::{Answer, Args, id_of, maybe, number_of};
use crate::catalog::class::AnyClass;
use crate::catalog::role::{NAMESPACES, role_id, role_name};
use crate::catalog::value::{number, oid, text};
use crate::catalog::{data, namespace_id};
use crate::functions::quote::quoted_ident;

/// `a.b`, each in quotes or not. The last part, and what stands before it.
fn parts(name: &str) -> Option<(Option<String>, String)> {
    let mut tokens = lexer::significant(name).filter(|token| !token.is_operator("."));
    let first = tokens.next()?.unquoted();
    match (tokens.next(), tokens.next()) {
        (None, _) => Some((None, first)),
        (Some(second), None) => Some((Some(first), second.unquoted())),
        _ => None,
    }
}

/// A number stays; `-` is none; `find` knows names.
fn to_number(value: ValueRef<'_>, find: impl FnOnce(&str) -> Option<Value>) -> Option<Value> {
    if let Some(known) = number_of(value) {
        return Some(number(known));
    }
    match value.as_str()? {
        "-" => Some(number(0)),
        name => find(name),
    }
}

/// As `to_number`; what is not there is an error.
fn required(
    value: ValueRef<'_>,
    kind: ErrorKind,
    what: &str,
    find: impl FnOnce(&str) -> Option<Value>,
) -> Answer {
    if value == ValueRef::Null {
        return Ok(Value::Null);
    }
    to_number(value, find).ok_or_else(|| {
        let name = value.as_str().unwrap_or_default();
        SqlError::new(kind, format!("{what} \"{name}\" does not exist"))
    })
}

/// The name of a number; a number that has none is shown itself.
fn shown(value: &Value, name: impl FnOnce(ObjectId) -> Option<String>) -> Answer {
    let Some(id) = id_of(value.as_ref()) else {
        return Ok(Value::Null);
    };
    if id.0 == 0 {
        return Ok(text("-"));
    }
    Ok(text(name(id).unwrap_or_else(|| id.to_string())))
}

fn find_class(schema: &Schema, name: &str) -> Option<Value> {
    let (namespace, name) = parts(name)?;
    let namespace = namespace.map(|namespace| namespace.to_ascii_lowercase());
    AnyClass::of_name(schema, namespace.as_deref(), &name).map(|class| oid(class.id()))
}

/// What would be the sequence of a column that numbers itself: there is none, but tools tell such columns by it.
pub(super) fn serial_sequence(args: Args<'_, '_>, schema: &Schema, _: &Facts) -> Answer {
    let (Some(table), Some(wanted)) = (args[0].as_str(), args[1].as_str()) else {
        return Ok(Value::Null);
    };
    let relation = parts(table).and_then(|(_, name)| AnyClass::of_name(schema, None, &name)?.relation());
    let Some(relation) = relation else {
        let message = format!("relation \"{table}\" does not exist");
        return Err(SqlError::new(ErrorKind::UndefinedTable, message));
    };
    let mut columns = relation.columns.iter();
    let Some(column) = columns.find(|column| column.name.eq_ignore_ascii_case(wanted)) else {
        let message = format!("column \"{wanted}\" of relation \"{table}\" does not exist");
        return Err(SqlError::new(ErrorKind::UndefinedColumn, message));
    };
    maybe(column.is_rowid.then(|| {
        let name = format!("{}_{}_seq", relation.name, column.name);
        text(format!("public.{}", quoted_ident(&name)))
    }))
}

/// Whether a name is one that `serial_sequence` answers.
fn is_serial_sequence(schema: &Schema, value: ValueRef<'_>) -> bool {
    let name = value.as_str().and_then(parts).map(|(_, name)| name);
    name.is_some_and(|name| {
        schema.relations().iter().any(|relation| {
            let mut columns = relation.columns.iter().filter(|column| column.is_rowid);
            columns.any(|column| format!("{}_{}_seq", relation.name, column.name) == name)
        })
    })
}

/// NULL for a serial column's sequence, which no table lists.
pub(super) fn class_in(args: Args<'_, '_>, schema: &Schema, _: &Facts) -> Answer {
    let known = required(args[0], ErrorKind::UndefinedTable, "relation", |name| {
        find_class(schema, name)
    });
    match known {
        Err(_) if is_serial_sequence(schema, args[0]) => Ok(Value::Null),
        known => known,
    }
}

pub(super) fn class_out(args: Args<'_, '_>, schema: &Schema, facts: &Facts) -> Answer {
    let number = class_in(args, schema, facts)?;
    if number == Value::Null
        && let Some((_, sequence)) = args[0].as_str().and_then(parts)
    {
        return Ok(text(quoted_ident(&sequence)));
    }
    shown(&number, |id| {
        let class = AnyClass::of_id(schema, id)?;
        let name = quoted_ident(class.name());
        Some(match class.is_visible(schema) {
            true => name,
            false => format!("{}.{name}", class.namespace()),
        })
    })
}

pub(super) fn to_class(args: Args<'_, '_>, schema: &Schema, _: &Facts) -> Answer {
    maybe(to_number(args[0], |name| find_class(schema, name)))
}

pub(super) fn type_in(args: Args<'_, '_>, _: &Facts) -> Answer {
    required(args[0], ErrorKind::UndefinedFunction, "type", type_number)
}

pub(super) fn type_out(args: Args<'_, '_>, facts: &Facts) -> Answer {
    shown(&type_in(args, facts)?, |id| {
        data::type_row(i64::from(id.0)).map(|_| type_name(id.0, -1))
    })
}

pub(super) fn to_type(args: Args<'_, '_>, _: &Facts) -> Answer {
    maybe(to_number(args[0], type_number))
}

fn find_namespace(name: &str) -> Option<Value> {
    let (_, name) = parts(name)?;
    namespace_id(&name.to_ascii_lowercase()).map(number)
}

pub(super) fn namespace_in(args: Args<'_, '_>, _: &Facts) -> Answer {
    required(args[0], ErrorKind::UndefinedTable, "schema", find_namespace)
}

pub(super) fn namespace_out(args: Args<'_, '_>, facts: &Facts) -> Answer {
    shown(&namespace_in(args, facts)?, |id| {
        let mut known = NAMESPACES.iter();
        known
            .find(|(number, _)| *number == id.0)
            .map(|(_, name)| (*name).to_owned())
    })
}

pub(super) fn to_namespace(args: Args<'_, '_>, _: &Facts) -> Answer {
    maybe(to_number(args[0], find_namespace))
}

fn find_role(facts: &Facts, name: &str) -> Option<Value> {
    let (_, name) = parts(name)?;
    role_id(facts, &name).map(oid)
}

pub(super) fn role_in(args: Args<'_, '_>, facts: &Facts) -> Answer {
    let find = |name: &str| find_role(facts, name);
    required(args[0], ErrorKind::InvalidAuthorization, "role", find)
}

pub(super) fn role_out(args: Args<'_, '_>, facts: &Facts) -> Answer {
    let name = |id| role_name(facts, id).map(|name| quoted_ident(&name));
    shown(&role_in(args, facts)?, name)
}

pub(super) fn to_role(args: Args<'_, '_>, facts: &Facts) -> Answer {
    maybe(to_number(args[0], |name| find_role(facts, name)))
}

/// PostgreSQL's words for a number without a role.
pub(super) fn user_by_id(args: Args<'_, '_>, facts: &Facts) -> Answer {
    maybe(id_of(args[0]).map(|id| match role_name(facts, id) {
        Some(name) => text(name),
        None => text(format!("unknown (OID={id})")),
    }))
}

/// By the name before the arguments' list, if there is one.
fn find_data(table: &str, column: &str, name: &str) -> Option<Value> {
    let before = name.split('(').next().unwrap_or(name).trim();
    let bare = before.strip_prefix("pg_catalog.").unwrap_or(before);
    data::value(table, data::find(table, column, &text(bare))?, "oid")
}

fn data_name(table: &str, column: &str, id: ObjectId) -> Option<String> {
    match data::value(table, data::find(table, "oid", &oid(id))?, column) {
        Some(Value::Text(name)) => Some(name),
        _ => None,
    }
}

fn find_function(name: &str) -> Option<Value> {
    find_data("pg_proc", "proname", name)
}

pub(super) fn function_in(args: Args<'_, '_>, _: &Facts) -> Answer {
    required(args[0], ErrorKind::UndefinedFunction, "function", find_function)
}

pub(super) fn function_out(args: Args<'_, '_>, facts: &Facts) -> Answer {
    shown(&function_in(args, facts)?, |id| {
        data_name("pg_proc", "proname", id)
    })
}

pub(super) fn to_function(args: Args<'_, '_>, _: &Facts) -> Answer {
    maybe(to_number(args[0], find_function))
}

pub(super) fn operator_in(args: Args<'_, '_>, _: &Facts) -> Answer {
    required(args[0], ErrorKind::UndefinedFunction, "operator", |name| {
        find_data("pg_operator", "oprname", name)
    })
}

pub(super) fn operator_out(args: Args<'_, '_>, facts: &Facts) -> Answer {
    shown(&operator_in(args, facts)?, |id| {
        data_name("pg_operator", "oprname", id)
    })
}
