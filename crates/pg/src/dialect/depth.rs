//! How deep a text's tree is, told from its tokens before it is parsed.
//!
//! Operators in a row make a tree as deep as they are many, which is walked and dropped recursively. Parentheses
//! are limited by the parser itself; what stands beside each other, between commas, is not inside one another.

use bellwether_types::lexer::{self, Token, TokenKind};

use super::MAX_DEPTH;

/// Words that make a tree deeper, like operators.
const OPERATOR_WORDS: [&str; 24] = [
    "AND",
    "OR",
    "NOT",
    "IS",
    "ISNULL",
    "NOTNULL",
    "IN",
    "LIKE",
    "ILIKE",
    "SIMILAR",
    "GLOB",
    "MATCH",
    "REGEXP",
    "BETWEEN",
    "COLLATE",
    "OPERATOR",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "CASE",
    "AT",
    "EXPLAIN",
    "PREPARE",
    "INTERVAL",
];

/// Whether no more than [`MAX_DEPTH`] operators are inside one another.
pub(crate) fn is_shallow(sql: &str) -> bool {
    // Operators since the last comma, of each open parenthesis.
    let mut open: Vec<usize> = Vec::new();
    let (mut here, mut around) = (0, 0);
    for token in lexer::significant(sql) {
        if token.is_operator("(") {
            open.push(here);
            around += here;
            here = 0;
        } else if token.is_operator(")") {
            here = open.pop().unwrap_or(0);
            around -= here;
        } else if token.is_operator(",") {
            here = 0;
        } else {
            here += operators(&token);
        }
        if here + around + open.len() > MAX_DEPTH {
            return false;
        }
    }
    true
}

/// `::` and `[` are no operators of SQLite's lexer, or hide in one of its tokens.
fn operators(token: &Token<'_>) -> usize {
    match token.kind {
        TokenKind::Operator => usize::from(token.text != "."),
        TokenKind::Word => usize::from(OPERATOR_WORDS.iter().any(|word| token.is_word(word))),
        TokenKind::Parameter => token.text.matches("::").count(),
        // The brackets are one.
        TokenKind::Quoted if token.text.starts_with('[') => operators_inside(token.text) - 1,
        TokenKind::Invalid => operators_inside(token.text).max(1),
        _ => 0,
    }
}

/// Of text that PostgreSQL cuts otherwise than SQLite: everything that may be an operator.
fn operators_inside(text: &str) -> usize {
    text.bytes()
        .filter(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'_' | b' ' | b'"' | b'\'' | b'.'))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_side_by_side_is_not_deep() {
        assert!(is_shallow(&format!("SELECT {}", vec!["a + 1"; 5000].join(", "))));
        assert!(!is_shallow(&format!("SELECT {}", vec!["a"; 5000].join(" + "))));
        assert!(!is_shallow(&format!(
            "SELECT {}{}",
            "(".repeat(300),
            ")".repeat(300)
        )));
        assert!(!is_shallow(&format!("SELECT a{}", "::int".repeat(300))));
        assert!(!is_shallow(&format!("SELECT $1{}", "::int".repeat(300))));
        assert!(!is_shallow(&format!("SELECT a{}", "[1]".repeat(300))));
        assert!(!is_shallow(&format!("SELECT {}1", "- ".repeat(300))));
    }
}
