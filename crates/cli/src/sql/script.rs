//! Statements from a pipe or file, one after the other; the first that fails ends it.

use std::io::BufRead;

use bellwether_types::lexer::{self, TokenKind};

use super::connection::Connection;
use crate::failure::Failure;

/// The longest statement that is taken. A server takes no longer ones either.
const MAX_STATEMENT_BYTES: usize = 256 << 20;

/// Runs what the reader gives. Whether all statements succeeded.
pub fn run(connection: &mut Connection, mut input: impl BufRead) -> Result<bool, Failure> {
    let mut pending = String::new();
    loop {
        let before = pending.len();
        let read = input
            .read_line(&mut pending)
            .map_err(|error| Failure::new("the standard input cannot be read").because(error))?;
        if pending.len() > MAX_STATEMENT_BYTES {
            return Err(Failure::new("a statement is too long")
                .because(format!("no semicolon within {} MB", MAX_STATEMENT_BYTES >> 20)));
        }
        let at_end = read == 0;
        if at_end || (pending[before..].contains(';') && is_complete(&pending)) {
            let text = std::mem::take(&mut pending);
            if !lexer::split(&text)
                .into_iter()
                .all(|statement| connection.run(statement))
            {
                return Ok(false);
            }
        }
        if at_end {
            return Ok(true);
        }
    }
}

/// Whether the text ends where a statement ends: at a semicolon that is not inside a literal or a trigger's body.
pub fn is_complete(text: &str) -> bool {
    let ends = lexer::significant(text)
        .last()
        .is_some_and(|token| token.kind == TokenKind::Semicolon);
    ends && !lexer::is_incomplete_trigger(text)
}

#[cfg(test)]
mod tests {
    use super::is_complete;

    #[test]
    fn a_statement_ends_at_its_semicolon() {
        assert!(is_complete("SELECT 1;"));
        assert!(is_complete("SELECT 1; -- done\n"));
        assert!(is_complete("SELECT 1; SELECT 2;"));
        for text in ["", "SELECT 1", "SELECT ';", "SELECT 1; SELECT", "SELECT 1 -- ;"] {
            assert!(!is_complete(text), "{text:?}");
        }
    }

    #[test]
    fn a_trigger_stays_whole() {
        let body = "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n INSERT INTO b VALUES (1);";
        assert!(!is_complete(body));
        assert!(!is_complete(&format!("{body}\n DELETE FROM c;")));
        assert!(is_complete(&format!("{body}\nEND;")));
    }
}
