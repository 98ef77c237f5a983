//! PostgreSQL's types by all their names, as far as casts go.

use sqlparser::ast::DataType;
use sqlparser::tokenizer::Token;

use crate::types::Type;

/// What a cast converts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A function converts; its further arguments.
    Function(&'static str, Vec<i64>),
    /// The text as it is; SQLite's `CAST(... AS TEXT)`.
    Text,
    /// SQLite's `json`, which checks.
    Json,
    /// A number inside, a name outside: `regclass` and its kin, by the name of the type.
    Registered(&'static str),
    /// `{…}`, of elements of this type.
    Array(String),
    /// Only in arithmetic with dates.
    Interval,
}

/// The plain name of a type: lower case, without schema and quotes, and its arguments.
fn parts(data_type: &DataType) -> (String, Vec<i64>) {
    let written = data_type.to_string();
    let (name, rest) = written.split_once('(').unwrap_or((&written, ""));
    let (arguments, after) = rest.split_once(')').unwrap_or((rest, ""));
    let name = format!("{}{after}", name.trim());
    // `"char"` is not `char`.
    let is_quoted = name.ends_with('"');
    let last = name.rsplit('.').next().unwrap_or_default();
    let plain = last.trim_matches('"');
    let name = if is_quoted {
        format!("\"{plain}\"")
    } else {
        plain.to_ascii_lowercase()
    };
    let arguments = arguments
        .split(',')
        .filter_map(|number| number.trim().parse().ok())
        .collect();
    (name, arguments)
}

/// What a cast to this type converts to, if it is known.
pub(super) fn target(data_type: &DataType) -> Option<Target> {
    if let DataType::Array(element) = data_type {
        use sqlparser::ast::ArrayElemTypeDef::{AngleBracket, Parenthesis, SquareBracket};
        let element = match element {
            SquareBracket(element, _) | AngleBracket(element) | Parenthesis(element) => element.to_string(),
            _ => "text".to_owned(),
        };
        return Some(Target::Array(element));
    }
    let (name, arguments) = parts(data_type);
    of_name(&name, arguments)
}

fn of_name(name: &str, arguments: Vec<i64>) -> Option<Target> {
    let function = |name| Some(Target::Function(name, Vec::new()));
    match name {
        "smallint" | "int2" | "smallserial" => function("cast_int2"),
        "integer" | "int" | "int4" | "serial" => function("cast_int4"),
        "bigint" | "int8" | "bigserial" | "xid8" => function("cast_int8"),
        "oid" | "xid" | "cid" => function("cast_oid"),
        "real" | "float4" => function("cast_float4"),
        "double precision" | "double" | "float" | "float8" => function("cast_float8"),
        "numeric" | "decimal" | "dec" => Some(Target::Function("cast_numeric", arguments)),
        "bool" | "boolean" => function("cast_bool"),
        "bytea" => function("cast_bytea"),
        "date" => function("cast_date"),
        "time" | "time without time zone" => function("cast_time"),
        "timestamp" | "timestamp without time zone" => function("cast_timestamp"),
        "timestamptz" | "timestamp with time zone" => function("cast_timestamptz"),
        "uuid" => function("cast_uuid"),
        "json" | "jsonb" => Some(Target::Json),
        "char" | "character" | "bpchar" => {
            let is_bare = arguments.is_empty() && name != "bpchar";
            let length = if is_bare { vec![1] } else { arguments };
            Some(length_limited(length))
        }
        "varchar" | "character varying" | "char varying" | "nvarchar" => Some(length_limited(arguments)),
        "\"char\"" => Some(length_limited(vec![1])),
        "name" => Some(length_limited(vec![63])),
        "text" | "citext" | "xml" | "cstring" | "unknown" | "pg_node_tree" | "pg_lsn" | "inet" | "cidr"
        | "macaddr" | "regconfig" => Some(Target::Text),
        "int2vector" | "oidvector" | "anyarray" | "aclitem" => Some(Target::Text),
        "interval" => Some(Target::Interval),
        "regclass" => Some(Target::Registered("regclass")),
        "regtype" => Some(Target::Registered("regtype")),
        "regproc" => Some(Target::Registered("regproc")),
        "regprocedure" => Some(Target::Registered("regprocedure")),
        "regnamespace" => Some(Target::Registered("regnamespace")),
        "regrole" => Some(Target::Registered("regrole")),
        "regoper" => Some(Target::Registered("regoper")),
        "regoperator" => Some(Target::Registered("regoperator")),
        _ => None,
    }
}

fn length_limited(arguments: Vec<i64>) -> Target {
    if arguments.is_empty() {
        Target::Text
    } else {
        Target::Function("cast_varchar", arguments)
    }
}

/// The type that parameters of this cast have.
pub(super) fn parameter_type(target: &Target) -> Option<Type> {
    Some(match target {
        Target::Function(name, _) => cast_type(name)?,
        Target::Text => Type::Text,
        Target::Array(element) => parameter_type_of_name(element)?.array()?,
        Target::Json => Type::Json,
        Target::Registered(_) | Target::Interval => Type::Text,
    })
}

/// The type of what a conversion answers.
pub(crate) fn cast_type(function: &str) -> Option<Type> {
    Some(match function {
        "cast_int2" => Type::Int2,
        "cast_int4" => Type::Int4,
        "cast_int8" => Type::Int8,
        "cast_oid" => Type::Oid,
        "cast_float4" => Type::Float4,
        "cast_float8" => Type::Float8,
        "cast_numeric" => Type::Numeric,
        "cast_bool" => Type::Bool,
        "cast_bytea" => Type::Bytea,
        "cast_date" => Type::Date,
        "cast_time" => Type::Time,
        "cast_timestamp" => Type::Timestamp,
        "cast_timestamptz" => Type::Timestamptz,
        "cast_uuid" => Type::Uuid,
        "cast_varchar" => Type::Varchar,
        _ => return None,
    })
}

/// The type that values cast to a type of this name have.
pub(crate) fn parameter_type_of_name(name: &str) -> Option<Type> {
    // Of elements; an array's element is none.
    match target_of_name(name)? {
        Target::Array(_) => None,
        known => parameter_type(&known),
    }
}

/// The type of parameters that PREPARE declares so. `None`: it is not known, or only casts have it.
pub(crate) fn declared_type(written: &str) -> Option<Type> {
    let mut parser = super::sql::parser(written).ok()?;
    let data_type = parser.parse_data_type().ok()?;
    if parser.peek_token_ref().token != Token::EOF {
        return None;
    }
    match target(&data_type)? {
        Target::Registered(_) | Target::Interval => None,
        known => parameter_type(&known),
    }
}

/// What a cast names a type.
pub(crate) fn cast_name(type_: Type) -> String {
    match (type_.element(), type_) {
        (Some(element), _) => format!("{}[]", cast_name(element)),
        (None, Type::Char) => "\"char\"".to_owned(),
        (None, _) => type_.name().to_owned(),
    }
}

/// What a cast to a type converts to.
pub(super) fn target_of_type(type_: Type) -> Option<Target> {
    match type_.element() {
        Some(element) => Some(Target::Array(cast_name(element))),
        None => of_name(&cast_name(type_), Vec::new()),
    }
}

/// What a cast to a type of this name converts to.
pub(super) fn target_of_name(name: &str) -> Option<Target> {
    let mut parser = super::sql::parser(name).ok()?;
    target(&parser.parse_data_type().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_can_be_cast_to_by_its_name() {
        for type_ in Type::all() {
            assert!(target_of_type(type_).is_some(), "{type_:?}");
            assert!(target_of_name(&cast_name(type_)).is_some(), "{type_:?}");
        }
    }

    #[test]
    fn types_are_declared_by_all_their_names() {
        for (written, expected) in [
            ("int", Some(Type::Int4)),
            ("numeric(5,2)", Some(Type::Numeric)),
            ("double precision", Some(Type::Float8)),
            ("timestamp (3) with time zone", Some(Type::Timestamptz)),
            ("pg_catalog.int8 -- so it is", Some(Type::Int8)),
            ("text[]", Some(Type::TextArray)),
            ("int) FROM t", None),
            ("interval", None),
            ("regclass", None),
            ("nosuch", None),
            ("", None),
        ] {
            assert_eq!(declared_type(written), expected, "{written}");
        }
    }
}
