//! A table that is filled once and never touched again: what changes there can only be found by looking.

/// In every row.
pub const MARKER: &[u8] = b"cold row";

/// A few pages.
pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE cold(id INTEGER PRIMARY KEY, body TEXT)",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40) \
     INSERT INTO cold SELECT i, 'cold row ' || i || printf('%.*c', 400, '.') FROM n",
];
