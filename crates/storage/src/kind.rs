//! What a statement is, told from its first words, before SQLite compiles it: some PRAGMAs act while they are
//! compiled.

use bellwether_types::lexer::{self, Token};
use bellwether_types::{ErrorKind, SqlError};

/// How a statement is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementKind {
    /// Answers rows: SELECT, VALUES, EXPLAIN, a PRAGMA that tells.
    Query,
    /// INSERT, UPDATE, DELETE.
    Write,
    /// Changes the schema, or is otherwise run by every replica: ANALYZE, REINDEX, PRAGMA user_version = ….
    Schema,
    /// A switch of the session: PRAGMA foreign_keys, recursive_triggers, defer_foreign_keys with a value.
    SessionPragma,
    /// BEGIN, COMMIT, SAVEPOINT …: not run here.
    Transaction,
    /// VACUUM.
    Vacuum,
}

/// A PRAGMA with a value, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PragmaSetting {
    /// Lower case.
    pub(crate) name: String,
    /// Without quotes.
    pub(crate) value: String,
}

/// The verb as PostgreSQL's tag has it, and the kind. Errors for text that is not one statement.
pub(crate) fn classify(sql: &str) -> Result<(String, StatementKind), SqlError> {
    if sql.contains('\0') {
        return Err(SqlError::new(
            ErrorKind::Syntax,
            "a statement cannot contain a zero byte",
        ));
    }
    match lexer::split(sql).len() {
        0 => return Err(SqlError::new(ErrorKind::Syntax, "the statement is empty")),
        1 => {}
        _ => {
            return Err(SqlError::new(
                ErrorKind::Syntax,
                "cannot insert multiple commands into a prepared statement",
            ));
        }
    }
    let verb = lexer::verb(sql).unwrap_or_default();
    let first = verb.split(' ').next().unwrap_or_default();
    let kind = match first {
        "INSERT" | "UPDATE" | "DELETE" => StatementKind::Write,
        "CREATE" | "DROP" | "ALTER" | "REINDEX" | "ANALYZE" => StatementKind::Schema,
        "BEGIN" | "START" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" => StatementKind::Transaction,
        "VACUUM" => StatementKind::Vacuum,
        "PRAGMA" => match pragma_setting(sql).as_ref().map(|setting| setting.name.as_str()) {
            Some("foreign_keys" | "recursive_triggers" | "defer_foreign_keys") => {
                StatementKind::SessionPragma
            }
            Some("user_version" | "application_id" | "bellwether_log_format" | "bellwether_slot") => {
                StatementKind::Schema
            }
            _ => StatementKind::Query,
        },
        _ => StatementKind::Query,
    };
    Ok((verb, kind))
}

/// `PRAGMA [schema.] name = value` or `PRAGMA [schema.] name (value)`.
pub(crate) fn pragma_setting(sql: &str) -> Option<PragmaSetting> {
    let mut tokens = lexer::significant(sql);
    if !tokens.next()?.is_word("PRAGMA") {
        return None;
    }
    let mut name: Token<'_> = tokens.next()?;
    let mut next = tokens.next()?;
    if next.is_operator(".") {
        name = tokens.next()?;
        next = tokens.next()?;
    }
    if !next.is_operator("=") && !next.is_operator("(") {
        return None;
    }
    let value = tokens.next()?;
    Some(PragmaSetting {
        name: name.unquoted().to_ascii_lowercase(),
        value: value.unquoted(),
    })
}

impl PragmaSetting {
    /// SQLite's rules for switches: on, yes, true or a number other than 0.
    pub(crate) fn is_on(&self) -> bool {
        let value = self.value.to_ascii_lowercase();
        matches!(value.as_str(), "on" | "yes" | "true")
            || value.parse::<i64>().is_ok_and(|number| number != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pragma_with_a_value_is_told_from_one_that_asks() {
        for (sql, kind) in [
            ("PRAGMA foreign_keys", StatementKind::Query),
            ("PRAGMA foreign_keys = off", StatementKind::SessionPragma),
            ("pragma main.Foreign_Keys(1);", StatementKind::SessionPragma),
            ("PRAGMA user_version", StatementKind::Query),
            ("PRAGMA user_version = 7", StatementKind::Schema),
            ("PRAGMA table_info(t)", StatementKind::Query),
        ] {
            assert_eq!(classify(sql).expect("one statement").1, kind, "{sql}");
        }
        let setting = pragma_setting("PRAGMA foreign_keys = 'yes'").expect("a setting");
        assert!(setting.is_on());
    }

    #[test]
    fn text_that_is_not_one_statement_is_refused() {
        for sql in ["", " -- nothing", "SELECT 1; SELECT 2", "SELECT '\0'"] {
            assert_eq!(classify(sql).expect_err(sql).kind, ErrorKind::Syntax);
        }
    }
}
