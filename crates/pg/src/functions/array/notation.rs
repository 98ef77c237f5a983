//! PostgreSQL's notation of arrays, and the catalog's of vectors.

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
    // Whether an element may begin here, and not a comma; and whether one must.
    let mut expects_element = true;
    let mut after_comma = false;
    while let Some(&next) = characters.peek() {
        match next {
            '{' => {
                if depth > 0 && !expects_element {
                    return None;
                }
                depth += 1;
                expects_element = true;
                after_comma = false;
                characters.next();
            }
            '}' => {
                if after_comma {
                    return None;
                }
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
                after_comma = true;
                characters.next();
            }
            _ if next.is_whitespace() => {
                characters.next();
            }
            _ if depth == 0 || !expects_element => return None,
            '"' => {
                characters.next();
                elements.push(Some(quoted(&mut characters)?));
                (expects_element, after_comma) = (false, false);
            }
            _ => {
                elements.push(bare(&mut characters)?);
                (expects_element, after_comma) = (false, false);
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
pub(super) fn spell<T: AsRef<str>>(elements: impl IntoIterator<Item = Option<T>>) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn any_elements_survive_their_spelling(list in proptest::collection::vec(proptest::option::of(".*"), 0..6)) {
            let spelled = spell(list.iter().map(Option::as_ref));
            prop_assert_eq!(elements(&spelled), Some(list));
        }

        #[test]
        fn any_text_is_answered(text in ".*") {
            let _ = elements(&text);
        }
    }
}
