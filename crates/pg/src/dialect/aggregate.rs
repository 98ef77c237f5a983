//! Aggregates that SQLite has only of JSON.

use sqlparser::ast::{Expr, Function, Ident, ObjectName};

use super::sql::{call, text};

/// `array_agg`, `json_agg`, `json_object_agg`: NULL without rows, where SQLite's are empty. DISTINCT, ORDER BY, FILTER
/// and OVER go on to SQLite's.
pub(super) fn rewrite(name: &str, function: &Function) -> Expr {
    let (aggregate, empty) = if name.ends_with("object_agg") {
        ("json_group_object", "{}")
    } else {
        ("json_group_array", "[]")
    };
    let mut function = function.clone();
    function.name = ObjectName::from(vec![Ident::new(aggregate)]);
    let json = call("nullif", vec![Expr::Function(function), text(empty)]);
    if name == "array_agg" {
        call("array_from_json", vec![json])
    } else {
        json
    }
}
