//! Texts that nobody should send: they are answered, within bounds, and nothing in them becomes something else.

use bellwether_pg::dialect::{needs_translation, translate};
use proptest::prelude::*;
use rusqlite::Connection;

use crate::database::{open, translated};

#[test]
fn a_text_of_any_depth_is_answered() {
    for piece in [
        "::int",
        "[1]",
        " ~ 'a'",
        " COLLATE \"C\"",
        " AT TIME ZONE 'UTC'",
        " + 1",
        " IS NULL",
    ] {
        let sql = format!("SELECT a{}", piece.repeat(50_000));
        let _ = translate(&sql);
        let _ = translate(&format!("SELECT $1{}", piece.repeat(50_000)));
    }
    for (open, close) in [
        ("(", ")"),
        ("ARRAY[", "]"),
        ("(SELECT ", ")"),
        ("-", ""),
        ("NOT ", ""),
        ("CASE WHEN ", " THEN 1 END"),
    ] {
        let sql = format!("SELECT {}a::int{}", open.repeat(50_000), close.repeat(50_000));
        let _ = translate(&sql);
        let _ = needs_translation(&sql);
    }
}

/// Just as deep as is let through: the tree is walked, printed and dropped on a test's stack of 2 MiB.
#[test]
fn the_deepest_texts_that_are_translated_fit_the_stack() {
    for piece in ["::int", "[1]", " ~ 'a'", " || 'b'", " + 1"] {
        let sql = format!("SELECT a{} FROM t", piece.repeat(180));
        let translation = translate(&sql).expect("translated");
        assert!(translation.is_some(), "{piece} is too deep after all");
    }
    let nested = format!("SELECT {}a::int{}", "(SELECT ".repeat(40), ")".repeat(40));
    let _ = translate(&nested).expect("answered");
}

#[test]
fn a_very_long_text_is_not_translated() {
    let sql = format!("SELECT '{}'::text", "x".repeat(5 << 20));
    assert_eq!(translate(&sql), Ok(None));
}

fn one_text(connection: &Connection, sql: &str) -> String {
    let translation = translated(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    connection
        .query_row(&translation.statements[0], [], |row| row.get(0))
        .unwrap_or_else(|error| panic!("{sql}: {error}\n{:?}", translation.statements))
}

proptest! {
    #[test]
    fn literals_stay_what_they_are(text in "[^\\x00]{0,20}|['\\\\\"$a;-]{0,12}") {
        let connection = open();
        let plain = text.replace('\'', "''");
        prop_assert_eq!(one_text(&connection, &format!("SELECT '{plain}'::text")), text.clone());
        prop_assert_eq!(one_text(&connection, &format!("SELECT (ARRAY['x', '{plain}'])[2]::text || ''")), text.clone());
        let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
        prop_assert_eq!(one_text(&connection, &format!("SELECT E'{escaped}'")), text.clone());
        if !text.contains("$q$") && !text.ends_with("$q") && !text.ends_with('$') {
            prop_assert_eq!(one_text(&connection, &format!("SELECT $q${text}$q$::text")), text);
        }
    }

    #[test]
    fn quoted_names_stay_what_they_are(name in "[^\\x00\"]{1,12}|[\"'\\\\a;-]{1,8}") {
        let connection = open();
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let sql = format!("SELECT {quoted} FROM (SELECT 5::int AS {quoted}) AS t WHERE t.{quoted} = ANY('{{5}}')");
        let translation = translated(&sql).expect("translated");
        let statement = connection.prepare(&translation.statements[0]);
        let statement = statement.unwrap_or_else(|error| panic!("{sql}: {error}\n{:?}", translation.statements));
        let names: Vec<&str> = statement.column_names().collect();
        prop_assert_eq!(names, vec![name.as_str()]);
    }

    #[test]
    fn any_text_is_answered(text in ".{0,60}") {
        let _ = translate(&text);
        let _ = needs_translation(&text);
    }

    #[test]
    fn any_soup_of_words_is_answered(words in proptest::collection::vec(word(), 1..25)) {
        let sql = words.join(" ");
        if let Ok(Some(translation)) = translate(&sql) {
            for statement in &translation.statements {
                for at in 0..statement.len() {
                    let _ = translation.position(&sql, 0, at);
                }
            }
        }
    }
}

fn word() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "SELECT",
        "FROM",
        "WHERE",
        "t",
        "a",
        "b",
        "1",
        "'x'",
        "::",
        "int",
        "text",
        "date",
        "(",
        ")",
        ",",
        ".",
        "*",
        "+",
        "-",
        "~",
        "||",
        "=",
        "ANY",
        "ALL",
        "ARRAY",
        "[",
        "]",
        "AS",
        "LIMIT",
        "OFFSET",
        "ROWS",
        "ORDER",
        "BY",
        "GROUP",
        "JOIN",
        "LATERAL",
        "ON",
        "unnest",
        "generate_series",
        "WITH",
        "INSERT",
        "INTO",
        "VALUES",
        "DEFAULT",
        "UPDATE",
        "SET",
        "DELETE",
        "USING",
        "CREATE",
        "TABLE",
        "serial",
        "PRIMARY",
        "KEY",
        "ALTER",
        "ADD",
        "DROP",
        "CASCADE",
        "INTERVAL",
        "now()",
        "$1",
        "$$",
        "E'\\n'",
        "ILIKE",
        "CASE",
        "WHEN",
        "THEN",
        "END",
        "NOT",
        "NULL",
        "IS",
        "DISTINCT",
        "UNION",
        "EXISTS",
        "IN",
        "BETWEEN",
        "CAST",
        "COLLATE",
        "FOR",
        "VACUUM",
        "ANALYZE",
        "TRUNCATE",
        "INDEX",
        "array_agg",
        "extract",
        "year",
        "substring",
        "row",
        "::regclass",
        "_pg_expandarray",
        ";",
    ])
}
