//! Whether the parser kept all that it read: what it passes over could not be refused.

use std::collections::BTreeMap;

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Location, Token, Tokenizer};

/// Words that say nothing, or that the tree spells otherwise.
const SAY_NOTHING: [&str; 18] = [
    "ALL", "AS", "ASC", "BOTH", "COLUMN", "DEC", "FIRST", "INNER", "ISNULL", "NEXT", "NOTNULL", "OUTER",
    "RESTRICT", "ROW", "ROWS", "SOME", "TABLE", "WORK",
];

/// The first word of `sql` that `printed`, which is the tree of it, lacks; and where it stands.
pub(super) fn lost(sql: &str, printed: &str) -> Option<(String, Location)> {
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    // The tree's spelling of operators side by side is not always read again; then nothing can be told.
    for (word, _) in words(printed)? {
        *kept.entry(word).or_default() += 1;
    }
    let words = words(sql)?;
    for (number, (word, location)) in words.iter().enumerate() {
        let is_limit_all = word == "LIMIT" && words.get(number + 1).is_some_and(|(next, _)| next == "ALL");
        if is_limit_all || SAY_NOTHING.contains(&word.as_str()) {
            continue;
        }
        match kept.get_mut(word) {
            Some(count) if *count > 0 => *count -= 1,
            _ => return Some((word.clone(), *location)),
        }
    }
    None
}

/// Bare words by PostgreSQL's lexical rules, upper case. The text has been cut so before.
fn words(sql: &str) -> Option<Vec<(String, Location)>> {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql)
        .with_unescape(false)
        .tokenize_with_location();
    let words = tokens.ok()?.into_iter().filter_map(|token| match token.token {
        Token::Word(word) if word.quote_style.is_none() => {
            Some((word.value.to_ascii_uppercase(), token.span.start))
        }
        _ => None,
    });
    Some(words.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_not_printed_is_lost() {
        let lost = |sql, printed| lost(sql, printed).map(|(word, _)| word);
        assert_eq!(
            lost("select a from t fast", "SELECT a FROM t"),
            Some("FAST".to_owned())
        );
        assert_eq!(lost("SELECT a a FROM t", "SELECT a FROM t"), Some("A".to_owned()));
        assert_eq!(lost("SELECT ALL a FROM t LIMIT ALL", "SELECT a FROM t"), None);
    }
}
