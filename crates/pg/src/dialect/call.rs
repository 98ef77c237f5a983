//! Function calls: which of PostgreSQL's SQLite has under another name, and which are made of several.
//!
//! A name that nobody knows stays in the text: SQLite says that there is no such function.

use bellwether_types::SqlError;
use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Ident,
    ObjectName, ObjectNamePart,
};

use super::sql::{call, literal, take, text};
use super::{Translator, aggregate, any};

/// Functions that SQLite has, or that mean the same, under another name.
const RENAMED: [(&str, &str); 19] = [
    ("char_length", "length"),
    ("character_length", "length"),
    ("btrim", "trim"),
    ("strpos", "instr"),
    ("bool_or", "max"),
    ("bool_and", "min"),
    ("every", "min"),
    ("json_build_object", "json_object"),
    ("jsonb_build_object", "json_object"),
    ("json_build_array", "json_array"),
    ("jsonb_build_array", "json_array"),
    ("jsonb_array_length", "json_array_length"),
    ("to_json", "json_quote"),
    ("to_jsonb", "json_quote"),
    ("lastval", "last_insert_rowid"),
    ("current_role", "current_user"),
    ("user", "current_user"),
    ("current_catalog", "current_database"),
    ("uuid_generate_v4", "gen_random_uuid"),
];

/// Functions that cannot be had, and what to do instead.
const REFUSED: [(&str, &str); 14] = [
    ("age", "Subtract seconds: unixepoch(x) - unixepoch(y)."),
    ("make_interval", "Write INTERVAL '1 day'."),
    ("justify_days", "Write INTERVAL '1 day'."),
    (
        "nextval",
        "There are no sequences; INTEGER PRIMARY KEY columns number themselves.",
    ),
    (
        "currval",
        "There are no sequences; use INSERT ... RETURNING id, or lastval().",
    ),
    (
        "setval",
        "There are no sequences; UPDATE sqlite_sequence sets what AUTOINCREMENT goes on from.",
    ),
    (
        "regexp_matches",
        "Use regexp_match for the first match, or regexp_replace.",
    ),
    ("row_to_json", "Use json_object('column', column, ...)."),
    ("jsonb_set", "Use json_set(json, '$.path', value)."),
    ("jsonb_insert", "Use json_insert(json, '$.path', value)."),
    ("to_tsvector", "Use a virtual table of FTS5."),
    ("to_tsquery", "Use a virtual table of FTS5."),
    ("percentile_cont", "Use a window function over the sorted rows."),
    ("percentile_disc", "Use a window function over the sorted rows."),
];

/// A function's own name, lower case, without the schema that holds PostgreSQL's own. `None`: it is in another.
pub(super) fn plain_name(name: &ObjectName) -> Option<String> {
    let parts: Option<Vec<&Ident>> = name.0.iter().map(ObjectNamePart::as_ident).collect();
    match parts?.as_slice() {
        [name] => Some(name.value.to_ascii_lowercase()),
        [schema, name] if schema.value.eq_ignore_ascii_case("pg_catalog") => {
            Some(name.value.to_ascii_lowercase())
        }
        _ => None,
    }
}

/// Rewrites a call whose arguments are rewritten already.
pub(super) fn rewrite(expr: &mut Expr, translator: &Translator<'_>) -> Result<(), SqlError> {
    let place = Expr::Function(match expr {
        Expr::Function(function) => function.clone(),
        _ => return Ok(()),
    });
    let Expr::Function(function) = &mut *expr else {
        return Ok(());
    };
    let is_qualified = function.name.0.len() > 1;
    let Some(name) = plain_name(&function.name) else {
        let hint = "Functions are in no schema; leave the schema's name out.";
        return Err(translator.refuse(format!("function {}", function.name), &place, hint));
    };
    if let Some((_, hint)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Err(translator.refuse(format!("function {name}"), &place, hint));
    }
    if let Some(odd) = oddity(function) {
        return Err(translator.refuse(odd, &place, ""));
    }
    if let Some(rewritten) = special(&name, function, is_qualified) {
        *expr = rewritten;
        return Ok(());
    }
    let renamed = RENAMED.iter().find(|(from, _)| *from == name).map(|(_, to)| *to);
    if renamed.is_some() || is_qualified {
        function.name = ObjectName::from(vec![Ident::new(renamed.unwrap_or(&name))]);
    }
    if matches!(function.args, FunctionArguments::None) && !is_sqlite_keyword(&name) {
        let name = renamed.unwrap_or(&name).to_owned();
        *expr = call(&name, Vec::new());
    }
    Ok(())
}

/// Written without parentheses in both.
fn is_sqlite_keyword(name: &str) -> bool {
    matches!(name, "current_date" | "current_time" | "current_timestamp")
}

/// What a call says that SQLite's calls cannot.
fn oddity(function: &Function) -> Option<String> {
    if !function.within_group.is_empty() {
        return Some("WITHIN GROUP".to_owned());
    }
    if function.null_treatment.is_some() {
        return Some("IGNORE NULLS".to_owned());
    }
    if function.uses_odbc_syntax || !matches!(function.parameters, FunctionArguments::None) {
        return Some(format!("this form of {}", function.name));
    }
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let is_known = |clause: &FunctionArgumentClause| matches!(clause, FunctionArgumentClause::OrderBy(_));
    if let Some(odd) = list.clauses.iter().find(|clause| !is_known(clause)) {
        return Some(odd.to_string());
    }
    let odd = list.args.iter().find(|arg| {
        !matches!(
            arg,
            FunctionArg::Unnamed(FunctionArgExpr::Expr(_) | FunctionArgExpr::Wildcard)
        )
    });
    odd.map(|arg| format!("argument {arg} of {}", function.name))
}

/// Calls that become something else than a call of another name.
fn special(name: &str, function: &mut Function, is_qualified: bool) -> Option<Expr> {
    if let FunctionArguments::Subquery(query) = &mut function.args {
        return (name == "array").then(|| any::of_query((**query).clone()));
    }
    let precise = has_arguments(function);
    match name {
        "now" | "transaction_timestamp" => Some(now("cast_timestamptz")),
        "statement_timestamp" | "clock_timestamp" => Some(arrival()),
        "current_timestamp" if precise => Some(now("cast_timestamptz")),
        "localtimestamp" => Some(now("cast_timestamp")),
        "localtime" => Some(Expr::Identifier("CURRENT_TIME".into())),
        "current_time" if precise => Some(Expr::Identifier("CURRENT_TIME".into())),
        "gen_random_uuid" | "uuid_generate_v4" => Some(call(
            "uuid_from_random",
            vec![Expr::Identifier("randomblob(16)".into())],
        )),
        "row" => Some(Expr::Tuple(arguments(function))),
        "coalesce" => match arguments(function).as_mut_slice() {
            [only] => Some(take(only)),
            _ => None,
        },
        "format" => {
            let is_postgresqls = is_qualified
                || arguments(function)
                    .first()
                    .and_then(literal)
                    .is_some_and(|pattern| is_postgresqls_format(&pattern));
            is_postgresqls.then(|| call("pg_format", arguments(function)))
        }
        "array_agg" | "json_agg" | "jsonb_agg" | "json_object_agg" | "jsonb_object_agg" => {
            Some(aggregate::rewrite(name, function))
        }
        _ => None,
    }
}

fn has_arguments(function: &Function) -> bool {
    matches!(&function.args, FunctionArguments::List(list) if !list.args.is_empty())
}

/// Copies of the arguments that are expressions.
fn arguments(function: &Function) -> Vec<Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return Vec::new();
    };
    let exprs = list.args.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    exprs.collect()
}

/// Whether a template has `%I`, `%L` or `%1$s`, which C's does not.
fn is_postgresqls_format(template: &str) -> bool {
    template.split('%').skip(1).any(|directive| {
        let kind =
            directive.trim_start_matches(|each: char| each.is_ascii_digit() || matches!(each, '-' | '*'));
        kind.starts_with(['I', 'L', '$'])
    })
}

/// When the statement arrived.
fn arrival() -> Expr {
    let format = text("%Y-%m-%d %H:%M:%f");
    let epoch = call("statement_epoch", Vec::new());
    call(
        "cast_timestamptz",
        vec![call("strftime", vec![format, epoch, text("unixepoch")])],
    )
}

/// When the transaction began, converted by this function.
fn now(convert: &str) -> Expr {
    call(
        convert,
        vec![call("strftime", vec![text("%Y-%m-%d %H:%M:%f"), text("now")])],
    )
}
