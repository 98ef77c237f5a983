//! Functions that answer rows: SQLite has `json_each`, which may stand in FROM and may look at the tables before.

use bellwether_types::SqlError;
use bellwether_types::lexer::quoted_name;
use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Select, SelectItem, TableAlias,
    TableFactor, Visit, VisitMut, Visitor,
};

use super::from::{self, Substitution};
use super::sql::{is_call, is_column, literal_integer};
use super::{Translator, call as functions};

/// What a function's rows are made from, as `json_each` takes it.
struct Rows {
    /// `json_each(…)`.
    source: String,
    /// The array itself, for its subscripts.
    array: Option<String>,
    /// Columns by their names and what they are, `{}` in place of the table's name.
    columns: Vec<(String, String)>,
}

/// An element by the number of its row, where several arrays advance together.
const ELEMENT: &str = "array_get(@, {}.key + array_lower(@, 1))";

/// SQLite's keywords that are not SQL's.
const SQLITES_OWN_WORDS: &str = "'[\"abort\",\"attach\",\"autoincrement\",\"conflict\",\"detach\",\"fail\",\"glob\",\
    \"ignore\",\"index\",\"indexed\",\"isnull\",\"notnull\",\"offset\",\"plan\",\"pragma\",\"query\",\"raise\",\"regexp\",\
    \"reindex\",\"rename\",\"replace\",\"temp\",\"vacuum\",\"virtual\",\"without\"]'";

/// What `_pg_expandarray` answers.
const PAIR: &str = "pair_of(";

/// As many rows as the longest of several arrays has elements.
fn source_of_all(arrays: &[String]) -> String {
    let counts: Vec<String> = arrays
        .iter()
        .map(|array| format!("cardinality({array})"))
        .collect();
    format!("json_each(series(1, greatest({})))", counts.join(", "))
}

/// `unnest(a, b)`: NULL where an array has ended before the others.
fn together(arrays: &[String]) -> Rows {
    let columns = arrays
        .iter()
        .map(|array| ("unnest".to_owned(), ELEMENT.replace('@', array)));
    Rows {
        source: source_of_all(arrays),
        array: None,
        columns: columns.collect(),
    }
}

/// The rows of a function, if it is one that answers rows.
fn rows_of(name: &str, args: &[String]) -> Option<Rows> {
    let column = |value: &str| vec![(name.to_owned(), value.to_owned())];
    let of_array = |array: String, columns| Rows {
        source: format!("json_each(array_to_json({array}))"),
        array: Some(array),
        columns,
    };
    let of_json = |json: &str, columns| Rows {
        source: format!("json_each({json})"),
        array: None,
        columns,
    };
    Some(match (name, args) {
        ("unnest", [array]) => of_array(array.clone(), column("{}.value")),
        ("unnest", [_, _, ..]) => return Some(together(args)),
        ("generate_subscripts", [array, _]) => {
            of_array(array.clone(), column("({}.key + array_lower(@, 1))"))
        }
        ("_pg_expandarray", [array]) => of_array(array.clone(), column("pair_of({}.value, {}.key + 1)")),
        ("string_to_table", [text, delimiter]) => of_array(
            format!("string_to_array({text}, {delimiter})"),
            column("{}.value"),
        ),
        ("regexp_split_to_table", _) => of_array(
            format!("regexp_split_to_array({})", args.join(", ")),
            column("{}.value"),
        ),
        (
            "json_array_elements"
            | "jsonb_array_elements"
            | "json_array_elements_text"
            | "jsonb_array_elements_text",
            [json],
        ) => of_json(json, vec![("value".to_owned(), "{}.value".to_owned())]),
        ("json_object_keys" | "jsonb_object_keys", [json]) => of_json(json, column("{}.key")),
        ("json_each_text" | "jsonb_each" | "jsonb_each_text", [json]) => of_json(
            json,
            vec![
                ("key".to_owned(), "{}.key".to_owned()),
                ("value".to_owned(), "{}.value".to_owned()),
            ],
        ),
        // No table here is a partition of another.
        ("pg_partition_ancestors", [_]) => of_json("'[]'", column("{}.value")),
        ("pg_get_keywords", []) => of_json(
            SQLITES_OWN_WORDS,
            vec![
                ("word".to_owned(), "{}.value".to_owned()),
                ("catcode".to_owned(), "'U'".to_owned()),
                ("catdesc".to_owned(), "'unreserved'".to_owned()),
            ],
        ),
        ("generate_series", [_, _] | [_, _, _]) => {
            of_json(&format!("series({})", args.join(", ")), column("{}.value"))
        }
        _ => return None,
    })
}

impl Rows {
    fn column(&self, column: &str, table: &Ident) -> String {
        let array = self.array.as_deref().unwrap_or_default();
        column.replace("{}", &table.to_string()).replace('@', array)
    }
}

/// A call in FROM: the function's own name, its arguments, what it is called there, and WITH ORDINALITY.
struct TableCall {
    name: String,
    args: Vec<Expr>,
    alias: Option<TableAlias>,
    has_ordinality: bool,
}

/// The call that a table of FROM is, if its arguments are expressions.
fn table_call(factor: &TableFactor) -> Option<TableCall> {
    let (name, args, alias, has_ordinality) = match factor {
        TableFactor::Table {
            name,
            args: Some(args),
            alias,
            with_ordinality,
            ..
        } => (
            functions::plain_name(name)?,
            plain(&args.args)?,
            alias,
            with_ordinality,
        ),
        TableFactor::Function {
            name,
            args,
            alias,
            with_ordinality,
            ..
        } => (functions::plain_name(name)?, plain(args)?, alias, with_ordinality),
        TableFactor::UNNEST {
            array_exprs,
            alias,
            with_ordinality,
            ..
        } => ("unnest".to_owned(), array_exprs.clone(), alias, with_ordinality),
        _ => return None,
    };
    Some(TableCall {
        name,
        args,
        alias: alias.clone(),
        has_ordinality: *has_ordinality,
    })
}

/// A function in FROM.
pub(super) fn in_from(factor: &mut TableFactor, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    let Some(call) = table_call(factor) else {
        return Err(translator.refuse(&*factor, &*factor, ""));
    };
    let depends_on_columns = call.args.iter().any(looks_at_columns);
    let written: Vec<String> = call.args.iter().map(Expr::to_string).collect();
    if call.name == "generate_series" && !depends_on_columns && !call.has_ordinality {
        let series = series(&call.args, call.alias.as_ref(), translator, factor)?;
        return from::replace(factor, &series, translator);
    }
    let Some(mut rows) = rows_of(&call.name, &written) else {
        return unknown(factor, &call.name);
    };
    let is_scalar = rows.columns.len() == 1;
    if call.has_ordinality {
        let number = "({}.key + 1)".to_owned();
        rows.columns.push(("ordinality".to_owned(), number));
    }
    name_columns(&mut rows, call.alias.as_ref(), is_scalar);
    let table = call
        .alias
        .map_or_else(|| Ident::new(call.name), |alias| alias.name);
    if depends_on_columns {
        return lateral(factor, &rows, &table, translator);
    }
    let columns = rows
        .columns
        .iter()
        .map(|(column, value)| format!("{} AS {}", rows.column(value, &table), quoted_name(column)));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let written = format!("(SELECT {columns} FROM {} AS {table}) AS {table}", rows.source);
    from::replace(factor, &written, translator)
}

/// A function that looks at the tables before, as `json_each` may and a subquery may not: its columns stand for what
/// they are made of.
fn lateral(
    factor: &mut TableFactor,
    rows: &Rows,
    table: &Ident,
    translator: &mut Translator<'_>,
) -> Result<(), SqlError> {
    let mut found = Vec::new();
    for (column, value) in &rows.columns {
        let refused = translator.refuse(&*factor, &*factor, "");
        let Some(mut expr) = super::sql::expr(&rows.column(value, table)) else {
            return Err(refused);
        };
        if VisitMut::visit(&mut expr, translator).is_break() {
            return Err(translator.error.take().unwrap_or(refused));
        }
        found.push(Substitution {
            table: table.value.to_ascii_lowercase(),
            column: column.to_ascii_lowercase(),
            expr,
        });
    }
    translator.substitutions.append(&mut found);
    from::replace(factor, &format!("{} AS {table}", rows.source), translator)
}

/// SQLite may have a virtual table of that name; schemas have no functions there.
fn unknown(factor: &mut TableFactor, plain_name: &str) -> Result<(), SqlError> {
    match factor {
        TableFactor::Table { name, .. } if name.0.len() > 1 => *name = vec![Ident::new(plain_name)].into(),
        _ => {}
    }
    Ok(())
}

/// The alias of a function with one column names the column too.
fn name_columns(rows: &mut Rows, alias: Option<&TableAlias>, is_scalar: bool) {
    let Some(alias) = alias else { return };
    if alias.columns.is_empty() && is_scalar {
        rows.columns[0].0.clone_from(&alias.name.value);
    }
    for (column, named) in rows.columns.iter_mut().zip(&alias.columns) {
        column.0.clone_from(&named.name.value);
    }
}

fn plain(args: &[FunctionArg]) -> Option<Vec<Expr>> {
    args.iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect()
}

/// Whether columns are named in it, which may be those of tables before.
fn looks_at_columns(expr: &Expr) -> bool {
    struct Columns;
    impl Visitor for Columns {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> std::ops::ControlFlow<()> {
            if is_column(expr) {
                return std::ops::ControlFlow::Break(());
            }
            std::ops::ControlFlow::Continue(())
        }
    }
    expr.visit(&mut Columns).is_break()
}

/// `generate_series(from, to, step)` counts in a recursive query, row by row.
fn series(
    args: &[Expr],
    alias: Option<&TableAlias>,
    translator: &Translator<'_>,
    at: &TableFactor,
) -> Result<String, SqlError> {
    let is_date = |arg: &Expr| {
        super::sql::literal(arg).is_some()
            || matches!(arg, Expr::Interval(_) | Expr::TypedString(_))
            || matches!(arg, Expr::Cast { data_type, .. } if !data_type.to_string().to_ascii_lowercase().contains("int"))
    };
    if args.iter().any(is_date) || !(2..=3).contains(&args.len()) {
        let hint = "Count numbers, and add them to a date: date('2024-01-01', n || ' days').";
        return Err(translator.refuse("generate_series of dates", at, hint));
    }
    let (from, to) = (&args[0], &args[1]);
    let step = args.get(2).map_or("1".to_owned(), Expr::to_string);
    let table = alias.map_or_else(|| Ident::new("generate_series"), |alias| alias.name.clone());
    let column = alias
        .and_then(|alias| alias.columns.first())
        .map_or(&table, |column| &column.name);
    let is_down = args.get(2).map(literal_integer);
    let goes_on = |value: &str| match is_down {
        None => format!("{value} <= ({to})"),
        Some(Some(step)) if step > 0 => format!("{value} <= ({to})"),
        Some(Some(step)) if step < 0 => format!("{value} >= ({to})"),
        _ => format!(
            "CASE WHEN ({step}) > 0 THEN {value} <= ({to}) ELSE {value} >= ({to}) AND ({step}) < 0 END"
        ),
    };
    let first = goes_on(&format!("({from})"));
    let next = goes_on(&format!("{column} + ({step})"));
    Ok(format!(
        "(WITH RECURSIVE {table} ({column}) AS (SELECT {from} WHERE {first} UNION ALL \
         SELECT {column} + ({step}) FROM {table} WHERE {next}) SELECT {column} FROM {table}) AS {table}"
    ))
}

/// Functions that answer rows, in a SELECT list: they move to FROM.
pub(super) fn in_projection(select: &mut Select, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    let alias = Ident::new(format!("set_{}", translator.set_count + 1));
    let Some(source) = extract(&mut select.projection, &alias, translator)? else {
        return Ok(());
    };
    translator.set_count += 1;
    let Some(relation) = super::sql::table_factor(&format!("{source} AS {alias}")) else {
        return Ok(());
    };
    select.from.push(sqlparser::ast::TableWithJoins {
        relation,
        joins: Vec::new(),
    });
    Ok(())
}

/// Takes the functions that answer rows out of a list; what they are made from, if there are any. Several advance
/// together.
pub(super) fn extract(
    items: &mut [SelectItem],
    alias: &Ident,
    translator: &mut Translator<'_>,
) -> Result<Option<String>, SqlError> {
    let mut found: Vec<Rows> = Vec::new();
    for item in items.iter_mut() {
        each_call(item, &mut |_, rows| found.push(rows));
    }
    let Some(first) = found.first() else {
        return Ok(None);
    };
    let mut source = first.source.clone();
    let is_one = found.iter().all(|rows| rows.source == source);
    if !is_one {
        let mut arrays: Vec<String> = found.iter().filter_map(|rows| rows.array.clone()).collect();
        arrays.dedup();
        let is_pair = |rows: &Rows| rows.columns[0].1.starts_with(PAIR);
        if found.iter().any(|rows| rows.array.is_none() || is_pair(rows)) {
            let hint = "Join the functions in FROM.";
            return Err(translator.refuse("several functions that answer rows", &items[0], hint));
        }
        source = source_of_all(&arrays);
    }
    for item in items {
        let name = match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.to_ascii_lowercase()),
            _ => None,
        };
        let mut is_pair = false;
        each_call(item, &mut |expr, rows| {
            let value = &rows.columns[0].1;
            is_pair |= value.starts_with(PAIR);
            let value = if is_one {
                value.clone()
            } else {
                value.replace("{}.value", ELEMENT)
            };
            if let Some(column) = super::sql::expr(&rows.column(&value, alias)) {
                *expr = column;
            }
        });
        let expr = match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
            _ => continue,
        };
        if is_pair && is_call(expr, "pair_of") {
            translator.composites.extend(name);
        }
    }
    Ok(Some(source))
}

/// Each function of an item that answers rows, and what it answers.
fn each_call(item: &mut SelectItem, take_it: &mut dyn FnMut(&mut Expr, Rows)) {
    if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
        each_call_in(expr, take_it);
    }
}

/// Not in subqueries, whose functions are their own.
fn each_call_in(expr: &mut Expr, take_it: &mut dyn FnMut(&mut Expr, Rows)) {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } | Expr::UnaryOp { expr: inner, .. } => {
            each_call_in(inner, take_it);
        }
        Expr::CompoundFieldAccess { root, .. } => each_call_in(root, take_it),
        Expr::BinaryOp { left, right, .. } => {
            each_call_in(left, take_it);
            each_call_in(right, take_it);
        }
        Expr::Function(function) => {
            let FunctionArguments::List(list) = &mut function.args else {
                return;
            };
            let written: Option<Vec<String>> =
                plain(&list.args).map(|args| args.iter().map(Expr::to_string).collect());
            if let Some(rows) = written.and_then(|written| rows_of(&last_name(function), &written)) {
                take_it(expr, rows);
                return;
            }
            let FunctionArguments::List(list) = &mut function.args else {
                return;
            };
            for arg in &mut list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg {
                    each_call_in(expr, take_it);
                }
            }
        }
        _ => {}
    }
}

fn last_name(function: &sqlparser::ast::Function) -> String {
    let last = function.name.0.last().and_then(|part| part.as_ident());
    last.map(|name| name.value.to_ascii_lowercase())
        .unwrap_or_default()
}
