//! Arrays: texts in PostgreSQL's notation, `{1,NULL,"a b"}`. The catalog's vectors, `1 2 3`, are read too; their
//! subscripts begin at 0. Arrays of several dimensions are read as the list of all their elements.

use bellwether_types::{ErrorKind, SqlError, Value, ValueRef};

use super::{Answer, Args, as_integer, as_text, check_size, invalid, strict, text_value};

/// The most numbers that a series has that is not counted row by row.
const MAX_SERIES: i64 = 1_000_000;

/// Elements, in order; `None` inside: NULL. `None` outside: the text is no array.
pub(crate) fn elements(array: &str) -> Option<Vec<Option<String>>> {
    let trimmed = array.trim();
    if trimmed.starts_with('{') {
        return braced(trimmed);
    }
    let numbers: Vec<Option<String>> = trimmed
        .split_whitespace()
        .map(|word| Some(word.to_owned()))
        .collect();
    let is_number = |word: &Option<String>| word.as_ref().is_some_and(|word| word.parse::<i64>().is_ok());
    numbers.iter().all(is_number).then_some(numbers)
}

fn braced(array: &str) -> Option<Vec<Option<String>>> {
    let mut elements = Vec::new();
    let mut characters = array.chars().peekable();
    let mut depth = 0usize;
    // Whether an element may begin here, and not a comma.
    let mut expects_element = true;
    while let Some(&next) = characters.peek() {
        match next {
            '{' => {
                if depth > 0 && !expects_element {
                    return None;
                }
                depth += 1;
                expects_element = true;
                characters.next();
            }
            '}' => {
                depth = depth.checked_sub(1)?;
                expects_element = false;
                characters.next();
                if depth == 0 {
                    return characters.all(char::is_whitespace).then_some(elements);
                }
            }
            ',' => {
                if expects_element {
                    return None;
                }
                expects_element = true;
                characters.next();
            }
            _ if next.is_whitespace() => {
                characters.next();
            }
            _ if depth == 0 || !expects_element => return None,
            '"' => {
                characters.next();
                elements.push(Some(quoted(&mut characters)?));
                expects_element = false;
            }
            _ => {
                elements.push(bare(&mut characters)?);
                expects_element = false;
            }
        }
    }
    None
}

fn quoted(characters: &mut impl Iterator<Item = char>) -> Option<String> {
    let mut element = String::new();
    loop {
        match characters.next()? {
            '"' => return Some(element),
            '\\' => element.push(characters.next()?),
            other => element.push(other),
        }
    }
}

fn bare(characters: &mut std::iter::Peekable<impl Iterator<Item = char>>) -> Option<Option<String>> {
    let mut element = String::new();
    while let Some(&next) = characters.peek() {
        match next {
            ',' | '}' => break,
            '{' | '"' => return None,
            '\\' => {
                characters.next();
                element.push(characters.next()?);
            }
            other => {
                element.push(other);
                characters.next();
            }
        }
    }
    let trimmed = element.trim_end();
    Some((!trimmed.eq_ignore_ascii_case("null")).then(|| trimmed.to_owned()))
}

/// The text of an array.
fn spell<T: AsRef<str>>(elements: impl IntoIterator<Item = Option<T>>) -> String {
    let mut array = "{".to_owned();
    for (number, element) in elements.into_iter().enumerate() {
        if number > 0 {
            array.push(',');
        }
        match element {
            None => array.push_str("NULL"),
            Some(element) => spell_element(element.as_ref(), &mut array),
        }
    }
    array.push('}');
    array
}

fn spell_element(element: &str, array: &mut String) {
    let is_plain =
        |character: char| !matches!(character, '{' | '}' | ',' | '"' | '\\') && !character.is_whitespace();
    if !element.is_empty() && !element.eq_ignore_ascii_case("null") && element.chars().all(is_plain) {
        array.push_str(element);
        return;
    }
    array.push('"');
    for character in element.chars() {
        if matches!(character, '"' | '\\') {
            array.push('\\');
        }
        array.push(character);
    }
    array.push('"');
}

fn read(value: &ValueRef<'_>) -> Result<Vec<Option<String>>, SqlError> {
    let text = as_text(value)?;
    elements(&text).ok_or_else(|| {
        let shown: String = text.chars().take(100).collect();
        invalid(format!("malformed array literal: \"{shown}\"")).with_hint("Arrays are written {1,2,3}.")
    })
}

fn element_text(value: &ValueRef<'_>) -> Result<Option<String>, SqlError> {
    match value {
        ValueRef::Null => Ok(None),
        ValueRef::Blob(bytes) => {
            let mut out = Vec::new();
            crate::types::put_bytea(bytes, &mut out);
            Ok(String::from_utf8(out).ok())
        }
        other => Ok(Some(as_text(other)?.into_owned())),
    }
}

/// `ARRAY[…]`.
pub(super) fn of(args: Args<'_, '_>) -> Answer {
    let elements: Result<Vec<_>, _> = args.iter().map(element_text).collect();
    text_value(spell(elements?))
}

/// `x::type[]`: checks that it is an array.
pub(super) fn cast(args: Args<'_, '_>) -> Answer {
    strict(args, || text_value(spell(read(&args[0])?)))
}

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
pub(super) fn to_json(args: Args<'_, '_>) -> Answer {
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
pub(super) fn from_json(args: Args<'_, '_>) -> Answer {
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

/// `x = ANY (array)`: NULL if it is not found among elements of which some are NULL.
pub(super) fn has(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let elements = read(&args[0])?;
        let wanted = element_text(&args[1])?.unwrap_or_default();
        let number = match args[1] {
            ValueRef::Integer(number) => Some(number as f64),
            ValueRef::Real(number) => Some(number),
            _ => None,
        };
        let is_equal = |element: &String| {
            *element == wanted || number.is_some_and(|number| element.parse::<f64>() == Ok(number))
        };
        Ok(if elements.iter().flatten().any(is_equal) {
            Value::Integer(1)
        } else if elements.contains(&None) {
            Value::Null
        } else {
            Value::Integer(0)
        })
    })
}

/// An element's value: a number if it is spelled as one.
fn value(element: Option<&String>) -> Value {
    match element {
        None => Value::Null,
        Some(element) => match element.parse::<i64>() {
            Ok(number) if number.to_string() == *element => Value::Integer(number),
            _ => Value::Text(element.clone()),
        },
    }
}

/// The lowest subscript.
fn lowest(array: &ValueRef<'_>) -> i64 {
    match array {
        ValueRef::Text(text) if text.trim_ascii_start().first() == Some(&b'{') => 1,
        _ => 0,
    }
}

/// `array[n]`.
pub(super) fn get(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let index = as_integer(&args[1])?.checked_sub(lowest(&args[0]));
        let elements = read(&args[0])?;
        let index = index.and_then(|index| usize::try_from(index).ok());
        let element = index.and_then(|index| elements.get(index));
        Ok(value(element.and_then(Option::as_ref)))
    })
}

/// `array || array`, `array || element`, `element || array`.
pub(super) fn cat(args: Args<'_, '_>) -> Answer {
    let part = |value: &ValueRef<'_>| -> Result<Vec<Option<String>>, SqlError> {
        match value {
            ValueRef::Null => Ok(Vec::new()),
            ValueRef::Text(text) if text.first() == Some(&b'{') => read(value),
            other => Ok(vec![element_text(other)?]),
        }
    };
    if args.iter().all(|arg| *arg == ValueRef::Null) {
        return Ok(Value::Null);
    }
    let mut elements = part(&args[0])?;
    elements.extend(part(&args[1])?);
    text_value(spell(elements))
}

fn or_empty(value: &ValueRef<'_>) -> Result<Vec<Option<String>>, SqlError> {
    match value {
        ValueRef::Null => Ok(Vec::new()),
        other => read(other),
    }
}

pub(super) fn append(args: Args<'_, '_>) -> Answer {
    let mut elements = or_empty(&args[0])?;
    elements.push(element_text(&args[1])?);
    text_value(spell(elements))
}

pub(super) fn prepend(args: Args<'_, '_>) -> Answer {
    let mut elements = vec![element_text(&args[0])?];
    elements.extend(or_empty(&args[1])?);
    text_value(spell(elements))
}

pub(super) fn remove(args: Args<'_, '_>) -> Answer {
    if args[0] == ValueRef::Null {
        return Ok(Value::Null);
    }
    let unwanted = element_text(&args[1])?;
    let mut elements = read(&args[0])?;
    elements.retain(|element| *element != unwanted);
    text_value(spell(elements))
}

pub(super) fn position(args: Args<'_, '_>) -> Answer {
    if args[0] == ValueRef::Null {
        return Ok(Value::Null);
    }
    let wanted = element_text(&args[1])?;
    let found = read(&args[0])?.iter().position(|element| *element == wanted);
    Ok(found.map_or(Value::Null, |index| {
        Value::Integer(index as i64 + lowest(&args[0]))
    }))
}

/// In the first dimension; NULL of an empty array and of other dimensions.
fn counted(args: Args<'_, '_>, answer: impl FnOnce(i64) -> i64) -> Answer {
    strict(args, || {
        let count = read(&args[0])?.len() as i64;
        let is_there = as_integer(&args[1])? == 1 && count > 0;
        Ok(if is_there {
            Value::Integer(answer(count))
        } else {
            Value::Null
        })
    })
}

pub(super) fn length(args: Args<'_, '_>) -> Answer {
    counted(args, |count| count)
}

pub(super) fn lower(args: Args<'_, '_>) -> Answer {
    counted(args, |_| lowest(&args[0]))
}

pub(super) fn upper(args: Args<'_, '_>) -> Answer {
    counted(args, |count| count - 1 + lowest(&args[0]))
}

pub(super) fn cardinality(args: Args<'_, '_>) -> Answer {
    strict(args, || Ok(Value::Integer(read(&args[0])?.len() as i64)))
}

/// `array_to_string(array, delimiter, null)`: NULLs are left out, or spelled.
pub(super) fn to_string(args: Args<'_, '_>) -> Answer {
    strict(&args[..2], || {
        let delimiter = as_text(&args[1])?;
        let null = args.get(2).map(element_text).transpose()?.flatten();
        let parts: Vec<String> = read(&args[0])?
            .into_iter()
            .filter_map(|element| element.or_else(|| null.clone()))
            .collect();
        check_size(parts.iter().map(|part| part.len() + delimiter.len()).sum())?;
        Ok(Value::Text(parts.join(&delimiter)))
    })
}

/// `string_to_array(text, delimiter, null)`. Without delimiter: the characters.
pub(super) fn from_string(args: Args<'_, '_>) -> Answer {
    if args[0] == ValueRef::Null {
        return Ok(Value::Null);
    }
    let text = as_text(&args[0])?;
    let null = args.get(2).map(element_text).transpose()?.flatten();
    let parts: Vec<String> = match element_text(&args[1])? {
        None => text.chars().map(String::from).collect(),
        Some(_) if text.is_empty() => Vec::new(),
        Some(delimiter) if delimiter.is_empty() => vec![text.into_owned()],
        Some(delimiter) => text.split(&*delimiter).map(str::to_owned).collect(),
    };
    text_value(spell(
        parts
            .into_iter()
            .map(|part| (Some(&part) != null.as_ref()).then_some(part)),
    ))
}

/// `(value,position)`, as `_pg_expandarray` answers it.
pub(super) fn pair_of(args: Args<'_, '_>) -> Answer {
    Ok(Value::Text(format!(
        "({},{})",
        as_text(&args[0])?,
        as_text(&args[1])?
    )))
}

/// The first or second part of a pair.
pub(super) fn pair_part(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let pair = as_text(&args[0])?;
        let parts = pair
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|inner| inner.rsplit_once(','));
        let Some((first, second)) = parts else {
            return Err(invalid("malformed record literal"));
        };
        let part = if as_integer(&args[1])? == 1 { first } else { second };
        Ok(value(Some(&part.to_owned())))
    })
}

/// The numbers of `generate_series` as a JSON array, where they depend on a table's columns.
pub(super) fn series(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let (from, to) = (as_integer(&args[0])?, as_integer(&args[1])?);
        let step = args.get(2).map_or(Ok(1), as_integer)?;
        if step == 0 {
            return Err(invalid("step size cannot equal zero"));
        }
        let mut json = "[".to_owned();
        let mut next = Some(from);
        let mut count = 0;
        while let Some(number) = next.filter(|&number| if step > 0 { number <= to } else { number >= to }) {
            count += 1;
            if count > MAX_SERIES {
                let message = format!("a series of more than {MAX_SERIES} numbers for each row");
                return Err(SqlError::new(ErrorKind::ProgramLimit, message));
            }
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&number.to_string());
            next = number.checked_add(step);
        }
        json.push(']');
        text_value(json)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn arrays_are_read_as_postgresql_writes_them() {
        let some = |texts: &[&str]| {
            Some(
                texts
                    .iter()
                    .map(|text| Some((*text).to_owned()))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(elements("{}"), Some(Vec::new()));
        assert_eq!(elements(" {1, 2 ,3} "), some(&["1", "2", "3"]));
        assert_eq!(elements(r#"{"a b","c\"d","\\"}"#), some(&["a b", "c\"d", "\\"]));
        assert_eq!(
            elements("{NULL,\"NULL\",null}"),
            Some(vec![None, Some("NULL".to_owned()), None])
        );
        assert_eq!(elements("{{1,2},{3}}"), some(&["1", "2", "3"]));
        assert_eq!(elements("1 2"), some(&["1", "2"]));
        assert_eq!(elements(""), Some(Vec::new()));
        for wrong in [
            "{", "{1,}", "{,1}", "{1}x", "{1}{2}", "{\"a", "a", "{a\"b\"}", "}",
        ] {
            assert_eq!(elements(wrong), None, "{wrong}");
        }
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

    #[test]
    fn membership_knows_null() {
        let has_ = |array: &str, value: ValueRef<'_>| {
            has(&[ValueRef::Text(array.as_bytes()), value]).expect("answered")
        };
        assert_eq!(has_("{1,2}", ValueRef::Integer(2)), Value::Integer(1));
        assert_eq!(has_("{1.0}", ValueRef::Integer(1)), Value::Integer(1));
        assert_eq!(has_("{a}", ValueRef::Text(b"b")), Value::Integer(0));
        assert_eq!(has_("{a,NULL}", ValueRef::Text(b"b")), Value::Null);
    }

    #[test]
    fn vectors_begin_at_nought() {
        let at = |array: &str, index| {
            get(&[ValueRef::Text(array.as_bytes()), ValueRef::Integer(index)]).expect("answered")
        };
        assert_eq!(at("{7,8}", 1), Value::Integer(7));
        assert_eq!(at("7 8", 1), Value::Integer(8));
        assert_eq!(at("{7,8}", 0), Value::Null);
        assert_eq!(at("{7,8}", i64::MIN), Value::Null);
    }

    proptest! {
        #[test]
        fn any_elements_survive_their_spelling(list in proptest::collection::vec(proptest::option::of(".*"), 0..6)) {
            let spelled = spell(list.iter().map(Option::as_ref));
            prop_assert_eq!(elements(&spelled), Some(list));
        }

        #[test]
        fn any_text_is_answered(text in ".*") {
            let _ = elements(&text);
            let _ = json_elements(&text);
        }
    }
}
