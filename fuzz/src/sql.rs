//! SQL text before SQLite sees it: the lexer, the commands that the connection answers itself, and inference of
//! types.
//!
//! Every token's text, joined, is the input; what is told of parameters and columns has the length that was asked for.

use std::borrow::Cow;

use bellwether_pg::Command;
use bellwether_pg::infer::{self, Schema};
use bellwether_pg::types::of_declared;
use bellwether_types::Column;
use bellwether_types::lexer;

/// The connection refuses more before it asks for a description.
const MAX_PARAMETERS: u32 = 32_766;

/// Two tables that the dictionary names.
pub(crate) struct Tables;

impl Schema for Tables {
    fn columns(&self, table: &str) -> Vec<(String, String)> {
        let columns: &[(&str, &str)] = match table.to_ascii_lowercase().as_str() {
            "t" => &[("a", "INTEGER"), ("b", "TEXT"), ("c", "REAL")],
            "u" => &[
                ("id", "BIGINT"),
                ("d", "NUMERIC(10,2)"),
                ("e", "TIMESTAMP"),
                ("f", ""),
            ],
            _ => &[],
        };
        columns
            .iter()
            .map(|(name, type_)| (name.to_string(), type_.to_string()))
            .collect()
    }
}

/// Byte 0: how many columns SQLite is said to answer. Then the text; what is no UTF-8 in it is replaced, as the door
/// refuses it.
pub fn run(input: &[u8]) {
    let Some((&columns, text)) = input.split_first() else {
        return;
    };
    let sql: Cow<'_, str> = String::from_utf8_lossy(text);
    check_tokens(&sql);
    for piece in lexer::split(&sql) {
        check_statement(piece, usize::from(columns % 8));
    }
    of_declared(&sql);
}

fn check_tokens(sql: &str) {
    let mut at = 0;
    for token in lexer::tokens(sql) {
        assert_eq!(token.start, at, "no byte is lost");
        assert!(!token.text.is_empty());
        token.unquoted();
        at = token.end();
    }
    assert_eq!(at, sql.len());
    lexer::verb(sql);
    lexer::is_incomplete_trigger(sql);
}

fn check_statement(sql: &str, columns: usize) {
    assert!(!sql.is_empty());
    let _ = Command::parse(sql);
    let highest = lexer::tokens(sql)
        .filter_map(|token| token.parameter_number())
        .max();
    if highest.is_some_and(|highest| highest > MAX_PARAMETERS) {
        return;
    }
    let columns = columns_of(columns);
    let description = infer::describe(sql, &columns, &Tables);
    assert_eq!(description.parameters.len(), highest.unwrap_or(0) as usize);
    assert_eq!(description.fields.map_or(0, |fields| fields.len()), columns.len());
}

/// Columns of expressions and of tables.
pub(crate) fn columns_of(count: usize) -> Vec<Column> {
    let declared = [
        None,
        Some("INTEGER"),
        Some("TEXT"),
        None,
        Some("BLOB"),
        Some("BOOLEAN"),
        Some("DATE"),
    ];
    (0..count)
        .map(|index| Column {
            name: format!("column{index}"),
            declared_type: declared[index % declared.len()].map(str::to_owned),
        })
        .collect()
}

/// Statements of many kinds.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "SELECT a, b + 1, count(*), $1::int FROM t JOIN u ON t.a = u.id WHERE b LIKE $2 GROUP BY 1 ORDER BY 2 LIMIT $3",
        "INSERT INTO t (a, b) VALUES ($1, $2), (3, 'it''s') ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING *",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT n FROM r",
        "UPDATE t SET b = CAST($1 AS TEXT), c = CASE WHEN a > $2 THEN 1.5e3 ELSE NULL END WHERE a IN ($3, 0x1F)",
        "CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; DELETE FROM u; END; SELECT x'00ff', \"q\", [b], `c`",
        "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY; SAVEPOINT s; ROLLBACK TO SAVEPOINT s; RELEASE s; COMMIT",
        "SET SESSION a.b TO 'x', 1; SHOW ALL; RESET ALL; DISCARD ALL; DEALLOCATE PREPARE x; SET TIME ZONE 'UTC'",
        "/* a */ -- b\nSELECT ?1, :name, @x, $y::z, -5 ->> '$.a' || 'b' NOT BETWEEN 1 AND 2; DELETE FROM t WHERE a IS NOT NULL",
        "SELECT row_number() OVER (PARTITION BY d ORDER BY e) FROM u WHERE EXISTS (SELECT 1 FROM t) AND NOT f = TRUE",
    ]
    .into_iter()
    .map(|sql| [&[3], sql.as_bytes()].concat())
    .collect()
}
