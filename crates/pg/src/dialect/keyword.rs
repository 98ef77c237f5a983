//! Names that PostgreSQL takes bare and SQLite only in quotes.

use sqlparser::ast::Ident;

/// SQLite's keywords that are not also names (its grammar's `%fallback ID` leaves these out).
const RESERVED: [&str; 57] = [
    "ADD",
    "ALL",
    "ALTER",
    "AND",
    "AS",
    "AUTOINCREMENT",
    "BETWEEN",
    "CASE",
    "CHECK",
    "COLLATE",
    "COMMIT",
    "CONSTRAINT",
    "CREATE",
    "DEFAULT",
    "DEFERRABLE",
    "DELETE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "ESCAPE",
    "EXCEPT",
    "EXISTS",
    "FOREIGN",
    "FROM",
    "GROUP",
    "HAVING",
    "IN",
    "INDEX",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "ISNULL",
    "JOIN",
    "LIMIT",
    "NOT",
    "NOTNULL",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "PRIMARY",
    "REFERENCES",
    "RETURNING",
    "SELECT",
    "SET",
    "TABLE",
    "THEN",
    "TO",
    "TRANSACTION",
    "UNION",
    "UNIQUE",
    "UPDATE",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
];

/// Puts a name in quotes if SQLite would not take it bare.
pub(super) fn quote(ident: &mut Ident) {
    let is_reserved = || RESERVED.iter().any(|word| ident.value.eq_ignore_ascii_case(word));
    if ident.quote_style.is_none() && is_reserved() {
        ident.quote_style = Some('"');
    }
}
