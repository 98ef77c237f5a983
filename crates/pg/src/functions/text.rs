//! Functions of text. Positions and lengths are characters.

use bellwether_types::{Value, ValueRef};

use super::{Answer, Args, as_integer, as_text, check_size, invalid, strict, text_value};

pub(super) fn starts_with(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        Ok(Value::Integer(i64::from(
            as_text(&args[0])?.starts_with(&*as_text(&args[1])?),
        )))
    })
}

/// How many characters a negative count leaves: all but so many.
fn count(count: i64, length: usize) -> usize {
    match usize::try_from(count) {
        Ok(count) => count.min(length),
        Err(_) => length.saturating_sub(usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX)),
    }
}

pub(super) fn left(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let text = as_text(&args[0])?;
        let taken = count(as_integer(&args[1])?, text.chars().count());
        Ok(Value::Text(text.chars().take(taken).collect()))
    })
}

pub(super) fn right(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let text = as_text(&args[0])?;
        let length = text.chars().count();
        let taken = count(as_integer(&args[1])?, length);
        Ok(Value::Text(text.chars().skip(length - taken).collect()))
    })
}

/// The text cut to a length, or what is missing to it of a filling.
fn padded(args: Args<'_, '_>) -> Result<(String, String), bellwether_types::SqlError> {
    let text = as_text(&args[0])?;
    let length = usize::try_from(as_integer(&args[1])?).unwrap_or(0);
    check_size(length)?;
    let filling = args.get(2).map_or(Ok(" ".into()), as_text)?;
    let kept: String = text.chars().take(length).collect();
    let missing = length - kept.chars().count();
    let filling: String = if filling.is_empty() {
        String::new()
    } else {
        filling.chars().cycle().take(missing).collect()
    };
    Ok((kept, filling))
}

pub(super) fn lpad(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        padded(args).and_then(|(text, filling)| text_value(filling + &text))
    })
}

pub(super) fn rpad(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        padded(args).and_then(|(text, filling)| text_value(text + &filling))
    })
}

pub(super) fn split_part(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let (text, delimiter) = (as_text(&args[0])?, as_text(&args[1])?);
        let number = as_integer(&args[2])?;
        if number == 0 {
            return Err(invalid("field position must not be zero"));
        }
        let parts: Vec<&str> = if delimiter.is_empty() {
            vec![&*text]
        } else {
            text.split(&*delimiter).collect()
        };
        let index = usize::try_from(number.unsigned_abs() - 1).unwrap_or(usize::MAX);
        let part = if number > 0 {
            parts.get(index)
        } else {
            parts.iter().rev().nth(index)
        };
        Ok(Value::Text(part.copied().unwrap_or_default().to_owned()))
    })
}

pub(super) fn overlay(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let (text, placed) = (as_text(&args[0])?, as_text(&args[1])?);
        let from = as_integer(&args[2])?;
        let replaced = match args.get(3) {
            Some(count) => as_integer(count)?,
            None => placed.chars().count() as i64,
        };
        if from < 1 {
            return Err(invalid("negative substring length not allowed"));
        }
        let before: String = text
            .chars()
            .take(usize::try_from(from - 1).unwrap_or(usize::MAX))
            .collect();
        let rest = usize::try_from((from - 1).saturating_add(replaced).max(0)).unwrap_or(usize::MAX);
        let after: String = text.chars().skip(rest).collect();
        text_value(before + &placed + &after)
    })
}

/// `substring(text FROM start FOR count)`: positions before the first count, too.
pub(super) fn substr(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let text = as_text(&args[0])?;
        let start = as_integer(&args[1])?;
        let end = match args.get(2).map(as_integer).transpose()? {
            Some(count) if count < 0 => return Err(invalid("negative substring length not allowed")),
            Some(count) => start.saturating_add(count),
            None => i64::MAX,
        };
        let start = start.max(1);
        let count = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
        let skipped = usize::try_from(start - 1).unwrap_or(usize::MAX);
        Ok(Value::Text(text.chars().skip(skipped).take(count).collect()))
    })
}

pub(super) fn reverse(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        Ok(Value::Text(as_text(&args[0])?.chars().rev().collect()))
    })
}

pub(super) fn repeat(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let text = as_text(&args[0])?;
        let times = usize::try_from(as_integer(&args[1])?).unwrap_or(0);
        check_size(text.len().saturating_mul(times))?;
        Ok(Value::Text(text.repeat(times)))
    })
}

/// Each character of the second text becomes the one at its place in the third, or goes.
pub(super) fn translate(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let (text, from, to) = (as_text(&args[0])?, as_text(&args[1])?, as_text(&args[2])?);
        let mut map: std::collections::BTreeMap<char, Option<char>> = std::collections::BTreeMap::new();
        let mut to = to.chars();
        for character in from.chars() {
            let replacement = to.next();
            map.entry(character).or_insert(replacement);
        }
        let translated = text.chars().filter_map(|character| match map.get(&character) {
            Some(replacement) => *replacement,
            None => Some(character),
        });
        Ok(Value::Text(translated.collect()))
    })
}

pub(super) fn initcap(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let mut capitalised = String::new();
        let mut in_word = false;
        for character in as_text(&args[0])?.chars() {
            if in_word {
                capitalised.extend(character.to_lowercase());
            } else {
                capitalised.extend(character.to_uppercase());
            }
            in_word = character.is_alphanumeric();
        }
        text_value(capitalised)
    })
}

pub(super) fn chr(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let code = as_integer(&args[0])?;
        let character = u32::try_from(code)
            .ok()
            .filter(|&code| code != 0)
            .and_then(char::from_u32);
        match character {
            Some(character) => Ok(Value::Text(character.to_string())),
            None => Err(super::out_of_range(format!(
                "requested character not valid: {code}"
            ))),
        }
    })
}

pub(super) fn ascii(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let first = as_text(&args[0])?.chars().next();
        Ok(Value::Integer(
            first.map_or(0, |character| i64::from(u32::from(character))),
        ))
    })
}

pub(super) fn bit_length(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let bytes = match args[0] {
            ValueRef::Blob(bytes) => bytes.len(),
            _ => as_text(&args[0])?.len(),
        };
        Ok(Value::Integer(bytes as i64 * 8))
    })
}
