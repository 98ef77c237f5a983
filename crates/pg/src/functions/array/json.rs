//! Arrays as SQLite's JSON, which `json_each` and `json_group_array` speak.

use super::notation::spell;
use super::read;
use crate::functions::{Answer, Args, as_text, invalid, strict, text_value};

/// An element as JSON: a number if it is spelled exactly so, else text.
fn json_element(element: &str, out: &mut String) {
    let is_integer = element
        .parse::<i64>()
        .is_ok_and(|number| number.to_string() == element);
    let is_real = || {
        element.contains('.')
            && element
                .parse::<f64>()
                .is_ok_and(|number| number.to_string() == element)
    };
    if is_integer || is_real() {
        out.push_str(element);
        return;
    }
    out.push('"');
    for character in element.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if (control as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", control as u32)),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// As a JSON array, for `json_each`.
pub(in crate::functions) fn to_json(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let mut json = "[".to_owned();
        for (number, element) in read(&args[0])?.iter().enumerate() {
            if number > 0 {
                json.push(',');
            }
            match element {
                Some(element) => json_element(element, &mut json),
                None => json.push_str("null"),
            }
        }
        json.push(']');
        text_value(json)
    })
}

/// From a JSON array, as `json_group_array` makes it.
pub(in crate::functions) fn from_json(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let json = as_text(&args[0])?;
        let elements = json_elements(&json).ok_or_else(|| invalid("malformed JSON array"))?;
        text_value(spell(elements))
    })
}

fn json_elements(json: &str) -> Option<Vec<Option<String>>> {
    let inner = json.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    let mut elements = Vec::new();
    let mut rest = inner;
    while !rest.is_empty() {
        let end = json_end(rest);
        let (element, after) = rest.split_at(end);
        elements.push(json_value(element.trim())?);
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(elements)
}

/// Where the first value of a list ends: at a comma that is in no string and no brackets.
fn json_end(list: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at,
            _ => {}
        }
    }
    list.len()
}

fn json_value(element: &str) -> Option<Option<String>> {
    if element == "null" {
        return Some(None);
    }
    let Some(inner) = element.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Some(Some(element.to_owned()));
    };
    let mut text = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        text.push(match characters.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => json_unicode(&mut characters)?,
            other => other,
        });
    }
    Some(Some(text))
}

/// `\u00e9`, and pairs of surrogates.
fn json_unicode(characters: &mut std::str::Chars<'_>) -> Option<char> {
    let unit = |characters: &mut std::str::Chars<'_>| {
        let digits: String = characters.by_ref().take(4).collect();
        u32::from_str_radix(&digits, 16).ok()
    };
    let high = unit(characters)?;
    if !(0xD800..0xDC00).contains(&high) {
        return char::from_u32(high);
    }
    let mut ahead = characters.clone();
    if ahead.next() == Some('\\') && ahead.next() == Some('u') {
        let low = unit(&mut ahead)?;
        *characters = ahead;
        return char::from_u32(0x10000 + ((high - 0xD800) << 10) + low.checked_sub(0xDC00)?);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_types::{Value, ValueRef};
    use proptest::prelude::*;

    fn text(answer: Answer) -> String {
        match answer.expect("an answer") {
            Value::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    fn from_texts<'a>(texts: &[&'a str]) -> Vec<ValueRef<'a>> {
        texts.iter().map(|text| ValueRef::Text(text.as_bytes())).collect()
    }

    #[test]
    fn arrays_go_to_json_and_back() {
        let json = text(to_json(&from_texts(&[r#"{1,-5,1.5,01,x,"a\"b",NULL,""}"#])));
        assert_eq!(json, r#"[1,-5,1.5,"01","x","a\"b",null,""]"#);
        assert_eq!(
            text(from_json(&from_texts(&[&json]))),
            r#"{1,-5,1.5,01,x,"a\"b",NULL,""}"#
        );
        assert_eq!(
            text(from_json(&from_texts(&[
                r#"["\u00e9\ud83d\ude00\n", {"a": [1]}]"#
            ]))),
            "{\"é😀\n\",\"{\\\"a\\\": [1]}\"}"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".*") {
            let _ = json_elements(&text);
        }
    }
}
