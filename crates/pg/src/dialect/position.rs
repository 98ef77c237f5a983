//! Where in the client's text something stands.

use bellwether_types::lexer::{self, Token};
use sqlparser::tokenizer::Location;

/// The place of the parser's line and column: characters, from 1.
pub(super) fn of_location(sql: &str, location: Location) -> Option<u32> {
    let line = usize::try_from(location.line.checked_sub(1)?).ok()?;
    let column = u32::try_from(location.column.checked_sub(1)?).ok()?;
    let before: usize = sql
        .split_inclusive('\n')
        .take(line)
        .map(|line| line.chars().count())
        .sum();
    Some(u32::try_from(before).ok()? + column + 1)
}

/// The place in `client_sql` of the token at byte `at` of its translation. Translating keeps the order of what it
/// keeps: the n-th of so many equal tokens is still the n-th, as long as there are as many.
pub(super) fn map(translated: &str, at: usize, client_sql: &str) -> Option<u32> {
    let token = lexer::significant(translated).find(|token| token.end() > at)?;
    let is_equal = |other: &Token<'_>| other.text.eq_ignore_ascii_case(token.text);
    let equal = lexer::significant(translated).filter(is_equal);
    let nth = equal
        .clone()
        .take_while(|other| other.start < token.start)
        .count();
    let in_client = lexer::significant(client_sql).filter(is_equal);
    if equal.count() != in_client.clone().count() {
        return None;
    }
    let start = in_client.map(|token| token.start).nth(nth)?;
    u32::try_from(client_sql[..start].chars().count() + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_the_translation_is_found_in_the_clients_text() {
        let client = "SELECT 'é'::text, nosuch FROM t";
        let translated = "SELECT 'é' AS text, nosuch FROM t";
        let at = translated.find("nosuch").expect("it is there");
        assert_eq!(map(translated, at, client), Some(19));
        assert_eq!(map("SELECT a, a", 7, "SELECT a"), None);
    }

    #[test]
    fn lines_and_columns_are_characters() {
        let location = Location { line: 2, column: 3 };
        assert_eq!(of_location("ab\ncdé", location), Some(6));
        assert_eq!(of_location("ab", Location { line: 0, column: 0 }), None);
    }
}
