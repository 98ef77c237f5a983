//! `SELECT setval(pg_get_serial_sequence('t', 'id'), max(id)) FROM t`, by which tools set a serial column's numbers after
//! they have given some themselves: AUTOINCREMENT goes on from what `sqlite_sequence` says.

use sqlparser::ast::{Expr, Query, SelectItem, SetExpr, Statement};

use super::parse;
use super::sql::{as_call, literal};

/// What such a query is in several statements, the last of which answers. `None`: it is another query.
pub(super) fn split(query: &Query) -> Option<Vec<Statement>> {
    let SetExpr::Select(select) = &*query.body else {
        return None;
    };
    let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
        select.projection.as_slice()
    else {
        return None;
    };
    let (table, value, called) = set_value(item)?;
    // Nothing but the call and where its rows come from.
    let from: Vec<String> = select.from.iter().map(ToString::to_string).collect();
    let from = match from.is_empty() {
        true => String::new(),
        false => format!(" FROM {}", from.join(", ")),
    };
    let plain = format!("SELECT {item}{from}");
    let written = query.to_string();
    if plain.split_whitespace().collect::<String>() != written.split_whitespace().collect::<String>() {
        return None;
    }
    let table = table.replace('\'', "''");
    let last = match called {
        None => format!("(SELECT {value}{from})"),
        Some(called) => format!("(SELECT CASE WHEN {called} THEN {value} ELSE {value} - 1 END{from})"),
    };
    [
        format!("UPDATE sqlite_sequence SET seq = {last} WHERE name = '{table}'"),
        format!(
            "INSERT INTO sqlite_sequence (name, seq) SELECT '{table}', {last} WHERE EXISTS (SELECT 1 FROM sqlite_schema \
             WHERE name = '{table}' AND instr(upper(sql), 'AUTOINCREMENT') > 0) \
             AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = '{table}')"
        ),
        format!("SELECT {value} AS setval{from}"),
    ]
    .iter()
    .map(|sql| parse(sql))
    .collect()
}

/// The table, the value, and whether the next number is the one after it.
fn set_value(item: &Expr) -> Option<(String, &Expr, Option<&Expr>)> {
    let ("setval", arguments) = as_call(item)? else {
        return None;
    };
    let (sequence, value, called) = match arguments.as_slice() {
        [sequence, value] => (sequence, value, None),
        [sequence, value, called] => (sequence, value, Some(*called)),
        _ => return None,
    };
    let ("pg_get_serial_sequence", named) = as_call(sequence)? else {
        return None;
    };
    let name = literal(named.first()?)?;
    let parsed = super::sql::parser(&name).ok()?.parse_object_name(false).ok()?;
    let table = parsed.0.last()?.as_ident()?.value.clone();
    Some((table, value, called))
}
