//! Arrays of one dimension: SQLite keeps them as PostgreSQL's text, `{a,"b c",NULL}`; int2vector and oidvector as
//! `1 2`. In binary they are what their elements are.

use bellwether_types::{SqlError, Value};

use super::Type;
use super::parameter;
use super::value::{Format, put_value};

/// Elements of a text; `None` in the place of NULL. `None` for text that is no array of one dimension.
fn elements(text: &str) -> Option<Vec<Option<String>>> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut elements = Vec::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let (element, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (element, after) = unquoted(quoted)?;
                (Some(element), after.trim_start())
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let element = rest[..end].trim();
                if element.is_empty() || element.contains(['{', '}', '"']) {
                    return None;
                }
                let is_null = element.eq_ignore_ascii_case("NULL");
                ((!is_null).then(|| element.to_owned()), &rest[end..])
            }
        };
        elements.push(element);
        rest = match after.strip_prefix(',') {
            Some("") => return None,
            Some(more) => more.trim_start(),
            None if after.is_empty() => "",
            None => return None,
        };
    }
    Some(elements)
}

/// Up to the closing quote; and what stands after it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut element = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((element, &text[at + 1..])),
            '\\' => element.push(characters.next()?.1),
            other => element.push(other),
        }
    }
    None
}

/// Appends an array in binary. `None`: the text is none.
pub(super) fn put_binary(type_: Type, text: &str, out: &mut Vec<u8>) -> Option<Result<(), SqlError>> {
    let element = type_.element()?;
    let is_vector = matches!(type_, Type::Int2Vector | Type::OidVector);
    let elements: Vec<Option<String>> = if is_vector {
        text.split_whitespace()
            .map(|word| Some(word.to_owned()))
            .collect()
    } else {
        elements(text)?
    };
    let mut put = |number: i32| out.extend_from_slice(&number.to_be_bytes());
    let count = i32::try_from(elements.len()).ok()?;
    put(i32::from(count > 0 || is_vector));
    put(i32::from(elements.contains(&None)));
    put(element.oid().0.cast_signed());
    if count > 0 || is_vector {
        put(count);
        // Vectors count from 0.
        put(i32::from(!is_vector));
    }
    for element_text in &elements {
        let Some(element_text) = element_text else {
            out.extend_from_slice(&(-1i32).to_be_bytes());
            continue;
        };
        let put = put_element(element, element_text, out);
        if put.is_err() {
            return Some(put);
        }
    }
    Some(Ok(()))
}

fn put_element(type_: Type, text: &str, out: &mut Vec<u8>) -> Result<(), SqlError> {
    let value = parameter::decode(type_.oid(), Format::Text, text.as_bytes())?;
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    put_value(type_, Format::Binary, value.as_ref(), out)?;
    let length = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// An array in binary as text. `None`: it is none of this type, or has more than one dimension.
pub(super) fn from_binary(type_: Type, bytes: &[u8]) -> Option<Result<Value, SqlError>> {
    let element = type_.element()?;
    let (dimensions, rest) = number(bytes)?;
    let (_, rest) = number(rest)?;
    let (oid, mut rest) = number(rest)?;
    if oid.cast_unsigned() != element.oid().0 || !(0..=1).contains(&dimensions) {
        return None;
    }
    let mut count = 0;
    if dimensions == 1 {
        (count, rest) = number(rest)?;
        (_, rest) = number(rest)?;
    }
    let mut texts = Vec::new();
    for _ in 0..count {
        let (length, after) = number(rest)?;
        if length < 0 {
            texts.push("NULL".to_owned());
            rest = after;
            continue;
        }
        let (content, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
        rest = after;
        match element_text(element, content) {
            Ok(text) => texts.push(text),
            Err(error) => return Some(Err(error)),
        }
    }
    let is_whole = rest.is_empty();
    is_whole.then(|| Ok(Value::Text(format!("{{{}}}", texts.join(",")))))
}

fn element_text(type_: Type, content: &[u8]) -> Result<String, SqlError> {
    let value = parameter::decode(type_.oid(), Format::Binary, content)?;
    let mut text = Vec::new();
    put_value(type_, Format::Text, value.as_ref(), &mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let is_plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("NULL")
        && !text.contains(|character: char| character.is_whitespace() || "{},\"\\".contains(character));
    if is_plain {
        return Ok(text);
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn number(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((i32::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_go_and_come_back_in_binary() {
        for (type_, text) in [
            (Type::Int2Array, "{1,-2,NULL}"),
            (Type::TextArray, r#"{a,"b c","",null1,"NULL","q\"\\"}"#),
            (Type::BoolArray, "{t,f}"),
            (Type::OidArray, "{}"),
            (Type::CharArray, "{r,v}"),
        ] {
            let mut bytes = Vec::new();
            put_binary(type_, text, &mut bytes)
                .expect("an array")
                .expect("of this type");
            let back = from_binary(type_, &bytes)
                .expect("an array")
                .expect("of this type");
            assert_eq!(back, Value::Text(text.to_owned()));
        }
        let mut bytes = Vec::new();
        put_binary(Type::Int2Vector, "1 2", &mut bytes)
            .expect("a vector")
            .expect("of numbers");
        assert_eq!(
            bytes[..20],
            [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 21, 0, 0, 0, 2, 0, 0, 0, 0]
        );
    }

    #[test]
    fn text_that_is_no_array_is_none() {
        for text in [
            "",
            "a",
            "{",
            "{a",
            "{a,}",
            "{{a},{b}}",
            "{\"a}",
            "{\"a\"b}",
            "{\"\\",
        ] {
            assert!(elements(text).is_none(), "{text}");
        }
        for bytes in [
            &[][..],
            &[0; 11],
            &[
                0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 21, 127, 255, 255, 255, 0, 0, 0, 1,
            ],
        ] {
            assert!(from_binary(Type::Int2Array, bytes).is_none());
        }
    }
}
