//! Statements: which are translated, which are others' business, and which cannot be had.

use std::borrow::Cow;

use bellwether_types::lexer::{self, Token, TokenKind};
use bellwether_types::{ErrorKind, SqlError};
use sqlparser::ast::{CreateView, SetExpr, Statement};

use super::{
    Lock, Notice, Translation, Translator, column_name, data, definition, index, interval, query, refuse,
    set_value, table,
};

/// Kinds of statements that cannot be had, and what to do instead, by the words that they begin with.
const REFUSED: [(&str, &str); 26] = [
    ("CLUSTER", "Use WITHOUT ROWID tables to order rows by their key."),
    ("CHECKPOINT", "Checkpoints are taken by the server."),
    ("LOAD", "Extensions cannot be loaded."),
    ("IMPORT", "There are no foreign schemas."),
    (
        "COMMENT",
        "Write comments into the CREATE statement: its text is kept.",
    ),
    ("MERGE", "Use INSERT ... ON CONFLICT DO UPDATE."),
    ("CALL", "There are no procedures."),
    (
        "DO",
        "There is no procedural language; use triggers or the application.",
    ),
    (
        "CREATE SCHEMA",
        "There is one schema, public; another database holds other tables.",
    ),
    (
        "CREATE EXTENSION",
        "There are no extensions; gen_random_uuid(), md5() and the like are built in.",
    ),
    (
        "CREATE TYPE",
        "Declare the column TEXT, with CHECK (column IN ('a', 'b')) for an enum.",
    ),
    ("CREATE DOMAIN", "Write the CHECK at each column."),
    (
        "CREATE SEQUENCE",
        "INTEGER PRIMARY KEY columns number themselves.",
    ),
    (
        "CREATE FUNCTION",
        "There is no procedural language; use triggers or the application.",
    ),
    (
        "CREATE PROCEDURE",
        "There is no procedural language; use triggers or the application.",
    ),
    (
        "CREATE TRIGGER",
        "Write SQLite's: CREATE TRIGGER ... BEGIN statements; END.",
    ),
    ("CREATE POLICY", "There is no row security; filter in views."),
    (
        "CREATE MATERIALIZED",
        "Create a table, and fill it by triggers or INSERT ... SELECT.",
    ),
    ("CREATE AGGREGATE", "There is no procedural language."),
    ("CREATE OPERATOR", "There is no procedural language."),
    ("CREATE COLLATION", "Collations are BINARY, NOCASE and RTRIM."),
    ("CREATE RULE", "Use triggers; on views INSTEAD OF triggers."),
    ("CREATE SERVER", "There are no foreign tables."),
    ("ALTER INDEX", "DROP INDEX, then CREATE INDEX."),
    (
        "ALTER SEQUENCE",
        "There are no sequences; UPDATE sqlite_sequence sets what AUTOINCREMENT goes on from.",
    ),
    ("ALTER TYPE", "There are no types of users' own."),
];

/// Statements that are told by their first words: the parser does not know them all, and need not.
pub(super) fn without_parser(sql: &str) -> Result<Option<Translation>, SqlError> {
    let mut tokens = lexer::significant(sql).filter(|token| token.kind != TokenKind::Semicolon);
    let Some(first) = tokens.next() else {
        return Ok(None);
    };
    if first.is_word("VACUUM") {
        return vacuum(tokens.collect());
    }
    if first.is_word("ANALYZE") {
        return analyze(tokens.collect());
    }
    if first.is_word("SET") {
        return Ok(set_constraints(tokens.collect()));
    }
    let words = lexer::significant(sql)
        .take_while(|token| token.kind == TokenKind::Word)
        .filter(|token| !token.is_word("OR") && !token.is_word("REPLACE"))
        .take(2)
        .map(|token| token.text.to_ascii_uppercase())
        .collect::<Vec<_>>();
    let both = words.join(" ");
    let refused = REFUSED
        .iter()
        .find(|(name, _)| *name == both || Some(*name) == words.first().map(String::as_str));
    match refused {
        Some((name, _)) if is_sqlites(name, sql) || is_there_already(name, sql) => Ok(None),
        Some((name, hint)) => Err(refuse(name, hint)),
        None => Ok(None),
    }
}

/// `SET CONSTRAINTS ALL DEFERRED`: SQLite defers every foreign key, or those that are declared so. To have them checked
/// at once is to check them now.
fn set_constraints(tokens: Vec<Token<'_>>) -> Option<Translation> {
    let (first, last) = (tokens.first()?, tokens.last()?);
    let defers = last.is_word("DEFERRED");
    if !first.is_word("CONSTRAINTS") || !(defers || last.is_word("IMMEDIATE")) {
        return None;
    }
    Some(Translation {
        statements: vec![format!("PRAGMA defer_foreign_keys = {}", u8::from(defers))],
        ..Translation::default()
    })
}

/// `TABLE t` is `SELECT * FROM t`.
pub(super) fn without_table(sql: &str) -> Cow<'_, str> {
    match lexer::significant(sql).next() {
        Some(first) if first.is_word("TABLE") => Cow::Owned(format!("SELECT * FROM{}", &sql[first.end()..])),
        _ => Cow::Borrowed(sql),
    }
}

/// SQLite has triggers too: with BEGIN.
fn is_sqlites(name: &str, sql: &str) -> bool {
    name == "CREATE TRIGGER" && lexer::significant(sql).any(|token| token.is_word("BEGIN"))
}

/// `CREATE SCHEMA IF NOT EXISTS public`.
fn is_there_already(name: &str, sql: &str) -> bool {
    name == "CREATE SCHEMA" && lexer::significant(sql).any(|token| token.is_word("EXISTS"))
}

/// `VACUUM ANALYZE t`, `VACUUM t`, `VACUUM (FULL, ANALYZE) a, b`. SQLite's VACUUM rewrites the whole file.
fn vacuum(tokens: Vec<Token<'_>>) -> Result<Option<Translation>, SqlError> {
    let is_option = |token: &Token<'_>| {
        ["FULL", "FREEZE", "VERBOSE", "ANALYZE"]
            .iter()
            .any(|option| token.is_word(option))
    };
    if tokens.iter().any(|token| token.is_word("INTO")) {
        return Ok(None);
    }
    let (options, tables) = if tokens.first().is_some_and(|token| token.is_operator("(")) {
        let end = tokens
            .iter()
            .position(|token| token.is_operator(")"))
            .map_or(tokens.len(), |end| end + 1);
        tokens.split_at(end)
    } else {
        let end = tokens
            .iter()
            .position(|token| !is_option(token))
            .unwrap_or(tokens.len());
        tokens.split_at(end)
    };
    let has = |option: &str| options.iter().any(|token| token.is_word(option));
    let tables = table_names(tables)?;
    let mut translation = Translation::default();
    if has("FULL") && tables.is_empty() && !has("ANALYZE") {
        translation.statements.push("VACUUM".to_owned());
        return Ok(Some(translation));
    }
    if has("ANALYZE") && tables.is_empty() {
        translation.statements.push("ANALYZE".to_owned());
    }
    if has("ANALYZE") {
        translation
            .statements
            .extend(tables.iter().map(|table| format!("ANALYZE {table}")));
    }
    translation.notices.push(Notice {
        message: "no space is reclaimed".to_owned(),
        detail: Some(
            "Free pages are used again by themselves; VACUUM alone rewrites the whole file.".to_owned(),
        ),
    });
    Ok(Some(translation))
}

/// `ANALYZE VERBOSE t (a, b), u`.
fn analyze(tokens: Vec<Token<'_>>) -> Result<Option<Translation>, SqlError> {
    let tables = match tokens.first() {
        Some(first) if first.is_word("VERBOSE") => &tokens[1..],
        Some(first) if first.is_operator("(") => {
            let end = tokens
                .iter()
                .position(|token| token.is_operator(")"))
                .map_or(tokens.len(), |end| end + 1);
            &tokens[end..]
        }
        _ => &tokens[..],
    };
    let tables = table_names(tables)?;
    let statements = match tables.as_slice() {
        [] => vec!["ANALYZE".to_owned()],
        tables => tables.iter().map(|table| format!("ANALYZE {table}")).collect(),
    };
    Ok(Some(Translation {
        statements,
        ..Translation::default()
    }))
}

/// Names with commas between, each with a list of columns that is passed over: SQLite looks at whole tables.
fn table_names(tokens: &[Token<'_>]) -> Result<Vec<String>, SqlError> {
    let mut names = vec![String::new()];
    let mut depth = 0usize;
    for token in tokens {
        match token.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            "," => names.push(String::new()),
            "." => names.last_mut().expect("one from the start").push('.'),
            text if matches!(token.kind, TokenKind::Word | TokenKind::Quoted) => {
                names.last_mut().expect("one from the start").push_str(text);
            }
            text => {
                return Err(SqlError::new(
                    ErrorKind::Syntax,
                    format!("syntax error at or near \"{text}\""),
                ));
            }
        }
    }
    names.retain(|name| !name.is_empty());
    Ok(names)
}

/// What is done in several statements.
pub(super) fn split(statement: Statement, translator: &Translator<'_>) -> Result<Vec<Statement>, SqlError> {
    if let Statement::Insert(insert) = &statement
        && let Some(lots) = data::split_defaults(insert, translator)?
    {
        return Ok(lots.into_iter().map(Statement::Insert).collect());
    }
    if let Statement::Query(query) = &statement
        && let Some(statements) = set_value::split(query)
    {
        return Ok(statements);
    }
    Ok(vec![statement])
}

/// What must be done before the tree is walked. Whether the statement is one that is translated.
pub(super) fn prepare(statement: &mut Statement, translator: &mut Translator<'_>) -> Result<bool, SqlError> {
    match statement {
        Statement::Query(query) => {
            column_name::of_query(query);
            match &mut *query.body {
                SetExpr::Insert(statement) | SetExpr::Update(statement) | SetExpr::Delete(statement) => {
                    return prepare(statement, translator);
                }
                SetExpr::Merge(_) => return Err(refuse("MERGE", "Use INSERT ... ON CONFLICT DO UPDATE.")),
                _ => {}
            }
        }
        Statement::Insert(insert) => data::insert(insert, translator)?,
        Statement::Update(update) => data::update(update, translator)?,
        Statement::Delete(delete) => data::delete(delete, translator)?,
        Statement::CreateTable(table) => table::enter(table, translator)?,
        Statement::CreateIndex(index) => index::enter(index, translator)?,
        Statement::CreateView(view) => create_view(view, translator)?,
        Statement::AlterTable(alter) => definition::enter_alter(alter, translator)?,
        Statement::Explain {
            analyze,
            verbose,
            format,
            options,
            statement: inner,
            ..
        } => {
            if *analyze || *verbose || format.is_some() || options.is_some() {
                let hint = "Write EXPLAIN QUERY PLAN.";
                return Err(translator.refuse("EXPLAIN with options", &**inner, hint));
            }
            return prepare(inner, translator);
        }
        Statement::Drop { .. }
        | Statement::DropExtension(_)
        | Statement::DropFunction(_)
        | Statement::DropDomain(_)
        | Statement::CreateSchema { .. }
        | Statement::Truncate(_)
        | Statement::Lock(_) => {}
        _ => return Ok(false),
    }
    Ok(true)
}

fn create_view(view: &mut CreateView, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    let refused = [
        (
            view.or_replace || view.or_alter,
            "CREATE OR REPLACE VIEW",
            "DROP VIEW IF EXISTS first.",
        ),
        (
            view.materialized,
            "CREATE MATERIALIZED VIEW",
            "Create a table, and fill it by triggers or INSERT ... SELECT.",
        ),
    ];
    if let Some((_, what, hint)) = refused.iter().find(|(is_so, ..)| *is_so) {
        return Err(translator.refuse(what, &view.name, hint));
    }
    column_name::of_query(&mut view.query);
    Ok(())
}

/// Writes the statement whose parts have been rewritten.
pub(super) fn finish(
    mut statement: Statement,
    translator: &mut Translator<'_>,
) -> Result<Vec<String>, SqlError> {
    show_returning(&mut statement);
    let statements = match statement {
        Statement::CreateTable(mut table) => {
            table::leave_columns(table.columns.iter_mut());
            vec![table.to_string()]
        }
        Statement::AlterTable(alter) => definition::leave_alter(alter, translator)?,
        Statement::Drop { .. } => definition::drop(&statement, translator)?,
        Statement::DropExtension(drop) => {
            let names: Vec<_> = drop.names.iter().map(|name| vec![name.clone()].into()).collect();
            definition::never_there("extension", drop.if_exists, &names, translator)?
        }
        Statement::DropFunction(drop) => {
            let names: Vec<_> = drop
                .func_desc
                .iter()
                .map(|function| function.name.clone())
                .collect();
            definition::never_there("function", drop.if_exists, &names, translator)?
        }
        Statement::DropDomain(drop) => {
            definition::never_there("domain", drop.if_exists, &[drop.name], translator)?
        }
        Statement::CreateSchema { schema_name, .. } => create_schema(&schema_name.to_string(), translator)?,
        Statement::Truncate(truncate) => definition::truncate(&truncate, translator)?,
        Statement::Lock(lock) => {
            translator.translation.lock = Some(if lock.nowait { Lock::NoWait } else { Lock::Wait });
            Vec::new()
        }
        other => vec![other.to_string()],
    };
    if statements
        .iter()
        .any(|statement| interval::is_left_over(statement))
    {
        let hint = "Add an interval to a date or time: now() - INTERVAL '1 day'.";
        return Err(refuse("a value of type interval", hint));
    }
    Ok(statements)
}

fn show_returning(statement: &mut Statement) {
    let items = match statement {
        Statement::Insert(insert) => &mut insert.returning,
        Statement::Update(update) => &mut update.returning,
        Statement::Delete(delete) => &mut delete.returning,
        _ => return,
    };
    if let Some(items) = items {
        query::show_names(items);
    }
}

/// `CREATE SCHEMA IF NOT EXISTS`: only `public` exists.
fn create_schema(name: &str, translator: &mut Translator<'_>) -> Result<Vec<String>, SqlError> {
    if name.trim_matches('"').eq_ignore_ascii_case("public") {
        translator.notice("schema \"public\" already exists, skipping", "");
        return Ok(Vec::new());
    }
    Err(refuse(
        "CREATE SCHEMA",
        "There is one schema, public; another database holds other tables.",
    ))
}
