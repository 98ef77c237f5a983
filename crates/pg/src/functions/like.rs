//! LIKE by PostgreSQL's rules: a backslash escapes, and ILIKE knows the case of all letters.

use bellwether_types::{SqlError, Value};

use super::{Answer, Args, as_text, invalid, strict};

enum Piece {
    /// `%`.
    Any,
    /// `_`.
    One,
    Character(char),
}

fn pieces(pattern: &str, escape: Option<char>) -> Result<Vec<Piece>, SqlError> {
    let mut pieces = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        pieces.push(match character {
            _ if Some(character) == escape => match characters.next() {
                Some(escaped) => Piece::Character(escaped),
                None => return Err(invalid("LIKE pattern must not end with escape character")),
            },
            '%' => Piece::Any,
            '_' => Piece::One,
            other => Piece::Character(other),
        });
    }
    Ok(pieces)
}

/// Goes back to the last `%` only, so time is the product of the lengths at most.
fn matches(text: &[char], pattern: &[Piece]) -> bool {
    let (mut at, mut piece) = (0, 0);
    let mut last_any: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(piece) {
            Some(Piece::Any) => {
                last_any = Some((at, piece));
                piece += 1;
                continue;
            }
            Some(Piece::One) => {
                at += 1;
                piece += 1;
                continue;
            }
            Some(Piece::Character(character)) if *character == text[at] => {
                at += 1;
                piece += 1;
                continue;
            }
            _ => {}
        }
        let Some((from, any)) = last_any else { return false };
        last_any = Some((from + 1, any));
        at = from + 1;
        piece = any + 1;
    }
    pattern[piece..].iter().all(|piece| matches!(piece, Piece::Any))
}

fn compare(args: Args<'_, '_>, ignores_case: bool) -> Answer {
    strict(args, || {
        let escape = match args.get(2).map(as_text).transpose()? {
            None => Some('\\'),
            Some(escape) => {
                let mut characters = escape.chars();
                let first = characters.next();
                if characters.next().is_some() {
                    return Err(invalid("invalid escape string")
                        .with_hint("Escape string must be empty or one character."));
                }
                first
            }
        };
        let fold = |text: &str| {
            if ignores_case {
                text.to_lowercase()
            } else {
                text.to_owned()
            }
        };
        let text: Vec<char> = fold(&as_text(&args[0])?).chars().collect();
        let pattern = pieces(&fold(&as_text(&args[1])?), escape)?;
        Ok(Value::Integer(i64::from(matches(&text, &pattern))))
    })
}

pub(super) fn ilike(args: Args<'_, '_>) -> Answer {
    compare(args, true)
}

/// `~~`: with the case of letters, which SQLite's LIKE does not look at.
pub(super) fn like(args: Args<'_, '_>) -> Answer {
    compare(args, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_types::ValueRef;

    fn is_like(text: &str, pattern: &str) -> bool {
        let args = [
            ValueRef::Text(text.as_bytes()),
            ValueRef::Text(pattern.as_bytes()),
        ];
        ilike(&args) == Ok(Value::Integer(1))
    }

    #[test]
    fn patterns_match_whole_texts() {
        assert!(is_like("Straße", "STRA_E") && is_like("ÄÖ", "äö") && is_like("abc", "a%c%"));
        assert!(is_like("a_c", r"a\_c") && !is_like("abc", r"a\_c") && is_like("100%", r"100\%"));
        assert!(!is_like("abc", "ab") && is_like("", "%") && is_like("", "") && !is_like("", "_"));
        assert!(!is_like(&"a".repeat(2000), &format!("{}b", "%a".repeat(50))));
    }
}
