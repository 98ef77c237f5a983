//! Arrays: texts in PostgreSQL's notation, `{1,NULL,"a b"}`. The catalog's vectors, `1 2 3`, are read too; their
//! subscripts begin at 0. Arrays of several dimensions are read as the list of all their elements.

use bellwether_types::{ErrorKind, SqlError, Value, ValueRef};

pub(super) mod json;
mod notation;

use super::{Answer, Args, as_integer, as_text, check_size, invalid, strict, text_value};
pub(crate) use notation::elements;
use notation::spell;

/// The most numbers that a series has that is not counted row by row.
const MAX_SERIES: i64 = 1_000_000;

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
}
