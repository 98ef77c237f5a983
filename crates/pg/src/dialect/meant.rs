//! Texts that SQLite accepts and that are certainly not meant as SQLite reads them.

use bellwether_types::lexer::{self, Token, TokenKind};

/// Types whose CAST SQLite takes for a number: `CAST('2024-01-02' AS DATE)` is 2024 there, `CAST('t' AS BOOL)` 0.
const NOT_NUMBERS: [&str; 18] = [
    "BOOL",
    "BOOLEAN",
    "BYTEA",
    "DATE",
    "INTERVAL",
    "JSON",
    "JSONB",
    "NAME",
    "REGCLASS",
    "REGNAMESPACE",
    "REGPROC",
    "REGPROCEDURE",
    "REGROLE",
    "REGTYPE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "UUID",
];

/// Whether a text is to be translated *before* SQLite sees it. Such are
/// - `$1::int`, which SQLite reads as one parameter of that very name,
/// - `$$text$$`, which is a parameter too,
/// - `CAST(x AS DATE)` and the like, which are numbers in SQLite,
/// - `column[1]`, which SQLite reads as the column under the name 1,
/// - `id serial PRIMARY KEY`, which SQLite takes for a column that is given no numbers.
///
/// Cheap, and may say yes too often: then there is no translation.
pub fn needs_translation(sql: &str) -> bool {
    // Most texts have none of the bytes or words that it takes.
    let mut previous: Option<Token<'_>> = None;
    let mut opened_by_cast: Vec<bool> = Vec::new();
    let first = lexer::significant(sql).next();
    let begins = |words: &[&str]| first.is_some_and(|first| words.iter().any(|word| first.is_word(word)));
    if begins(&["SET"]) {
        return true;
    }
    let is_create = begins(&["CREATE", "ALTER"]);
    for token in lexer::significant(sql) {
        let after = |word: &str| previous.is_some_and(|token| token.is_word(word));
        let is_meant_otherwise = match token.kind {
            TokenKind::Parameter => token.text.contains("::") || token.text[1..].contains('$'),
            TokenKind::Quoted => {
                token.text.starts_with('[')
                    && previous.is_some_and(|before| {
                        before.end() == token.start
                            && (before.is_operator(")") || before.kind == TokenKind::Word)
                    })
            }
            TokenKind::Word if is_create => [
                "SERIAL",
                "BIGSERIAL",
                "SMALLSERIAL",
                "SERIAL8",
                "SERIAL4",
                "SERIAL2",
            ]
            .iter()
            .any(|word| token.is_word(word)),
            TokenKind::Word => {
                after("AS")
                    && opened_by_cast.last() == Some(&true)
                    && NOT_NUMBERS.iter().any(|word| token.is_word(word))
            }
            _ => false,
        };
        if is_meant_otherwise {
            return true;
        }
        if token.is_operator("(") {
            opened_by_cast.push(after("CAST"));
        } else if token.is_operator(")") {
            opened_by_cast.pop();
        }
        previous = Some(token);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqlite_misreads_is_seen() {
        for sql in [
            "SELECT $1::int",
            "SELECT $1::int[]",
            "SELECT $$it's$$",
            "SELECT CAST(x AS date)",
            "SELECT cast((SELECT 'a' AS b) AS json)",
            "SELECT conkey[1] FROM pg_constraint",
            "SELECT (a)[1]",
            "CREATE TABLE t (id serial PRIMARY KEY)",
        ] {
            assert!(needs_translation(sql), "{sql}");
        }
    }

    #[test]
    fn what_is_sqlites_is_left_alone() {
        for sql in [
            "SELECT $1, :name, ?2, '$1::int', \"a[1]\"",
            "SELECT CAST(x AS integer), CAST(x AS text)",
            "SELECT x AS date, (SELECT 1 AS time)",
            "WITH date AS (SELECT 1) SELECT CAST((SELECT 1 AS date) AS INT)",
            "SELECT [a b] FROM [t] WHERE x = [y]",
            "CREATE TABLE t (id INTEGER PRIMARY KEY)",
            "INSERT INTO serial VALUES (1)",
        ] {
            assert!(!needs_translation(sql), "{sql}");
        }
    }
}
