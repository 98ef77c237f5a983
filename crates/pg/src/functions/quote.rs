//! Names and literals in quotes, for SQL that is made of values.

use bellwether_types::lexer::quoted_name;
use bellwether_types::{SqlError, Value, ValueRef};

use super::{Answer, Args, as_text, strict, text_value};

/// PostgreSQL's reserved words and those that are not for columns: they need quotes as names.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

/// A name, in quotes if it needs them: `quote_identifier` of PostgreSQL.
pub(crate) fn quoted_ident(name: &str) -> String {
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let goes_on = name
        .chars()
        .all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '_');
    if starts && goes_on && RESERVED.binary_search(&name).is_err() {
        name.to_owned()
    } else {
        quoted_name(name)
    }
}

/// A literal as SQLite reads it too: backslashes are themselves.
pub(super) fn quoted_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(super) fn ident(args: Args<'_, '_>) -> Answer {
    strict(args, || text_value(quoted_ident(&as_text(&args[0])?)))
}

pub(super) fn literal(args: Args<'_, '_>) -> Answer {
    strict(args, || text_value(quoted_literal(&as_text(&args[0])?)))
}

pub(super) fn nullable(args: Args<'_, '_>) -> Answer {
    Ok(Value::Text(nullable_literal(&args[0])?))
}

pub(super) fn nullable_literal(value: &ValueRef<'_>) -> Result<String, SqlError> {
    match value {
        ValueRef::Null => Ok("NULL".to_owned()),
        other => Ok(quoted_literal(&as_text(other)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_when_they_must_be() {
        assert!(RESERVED.is_sorted());
        for (name, quoted) in [
            ("a_1", "a_1"),
            ("A", "\"A\""),
            ("1a", "\"1a\""),
            ("a$", "\"a$\""),
            ("select", "\"select\""),
            ("user", "\"user\""),
            ("a\"b", "\"a\"\"b\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted_ident(name), quoted);
        }
        assert_eq!(quoted_literal("it's \\"), "'it''s \\'");
    }
}
