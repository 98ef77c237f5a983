//! `format('%s %I %L', …)` of PostgreSQL. SQLite's own `format` is C's printf.

use bellwether_types::{SqlError, Value, ValueRef};

use super::{Answer, Args, as_integer, as_text, check_size, invalid, quote, text_value};

/// A directive: `%[position$][-][width]type`.
struct Directive {
    position: Option<usize>,
    is_left: bool,
    width: Width,
    kind: char,
}

enum Width {
    None,
    Characters(usize),
    /// `*`: the next argument.
    Next,
}

pub(super) fn format(args: Args<'_, '_>) -> Answer {
    if args[0] == ValueRef::Null {
        return Ok(Value::Null);
    }
    let pattern = as_text(&args[0])?;
    let mut out = String::new();
    let mut characters = pattern.chars().peekable();
    let mut next = 1;
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        if characters.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let directive = directive(&mut characters)?;
        let width = match directive.width {
            Width::None => 0,
            Width::Characters(width) => width,
            Width::Next => {
                next += 1;
                usize::try_from(as_integer(argument(args, next - 1)?)?).unwrap_or(0)
            }
        };
        let index = directive.position.unwrap_or(next);
        next = index + 1;
        check_size(out.len().saturating_add(width))?;
        put(argument(args, index)?, &directive, width, &mut out)?;
    }
    text_value(out)
}

fn argument<'a, 'v>(args: Args<'a, 'v>, index: usize) -> Result<&'a ValueRef<'v>, SqlError> {
    args.get(index)
        .ok_or_else(|| invalid("too few arguments for format()"))
}

fn directive(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Directive, SqlError> {
    let unterminated =
        || invalid("unterminated format() type specifier").with_hint("For a single \"%\" use \"%%\".");
    let mut directive = Directive {
        position: None,
        is_left: false,
        width: Width::None,
        kind: 's',
    };
    let number = |characters: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        let mut digits = String::new();
        while let Some(digit) = characters.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        digits
    };
    let mut digits = number(characters);
    if !digits.is_empty() && characters.next_if_eq(&'$').is_some() {
        let position: usize = digits.parse().map_err(|_| invalid("number is out of range"))?;
        if position == 0 {
            return Err(invalid(
                "format specifies argument 0, but arguments are numbered from 1",
            ));
        }
        directive.position = Some(position);
        digits.clear();
    }
    if digits.is_empty() {
        directive.is_left = characters.next_if_eq(&'-').is_some();
        if characters.next_if_eq(&'*').is_some() {
            directive.width = Width::Next;
        } else {
            digits = number(characters);
        }
    }
    if !digits.is_empty() {
        directive.width = Width::Characters(digits.parse().map_err(|_| invalid("number is out of range"))?);
    }
    directive.kind = characters.next().ok_or_else(unterminated)?;
    Ok(directive)
}

fn put(value: &ValueRef<'_>, directive: &Directive, width: usize, out: &mut String) -> Result<(), SqlError> {
    let text = match directive.kind {
        's' => as_text(value)?.into_owned(),
        'I' if *value == ValueRef::Null => {
            return Err(invalid("null values cannot be formatted as an SQL identifier"));
        }
        'I' => quote::quoted_ident(&as_text(value)?),
        'L' => quote::nullable_literal(value)?,
        other => {
            return Err(invalid(format!(
                "unrecognized format() type specifier \"{other}\""
            )));
        }
    };
    let missing = width.saturating_sub(text.chars().count());
    if !directive.is_left {
        out.extend(std::iter::repeat_n(' ', missing));
    }
    out.push_str(&text);
    if directive.is_left {
        out.extend(std::iter::repeat_n(' ', missing));
    }
    Ok(())
}
