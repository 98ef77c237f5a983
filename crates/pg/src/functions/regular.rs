//! Regular expressions, in time that grows with the text alone. What PostgreSQL's have and these cannot have, back
//! references and looking around, is refused.

use std::cell::RefCell;

use bellwether_types::{ErrorKind, SqlError, Value};
use regex::{Captures, Regex, RegexBuilder};

use super::{Answer, Args, as_text, check_size, invalid, strict, text_value};

/// Bytes of a compiled expression.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// Compiled expressions that are kept: a statement uses few, and each for many rows.
const KEPT: usize = 8;

thread_local! {
    /// By flags and pattern, the latest last.
    static COMPILED: RefCell<Vec<(String, Regex)>> = const { RefCell::new(Vec::new()) };
}

/// How an expression is read.
#[derive(Default)]
struct Flags {
    ignores_case: bool,
    is_global: bool,
    /// `.` and `[^…]` stop at newlines, `^` and `$` stand at them.
    by_lines: bool,
    ignores_blanks: bool,
    is_literal: bool,
}

fn flags(text: &str) -> Result<Flags, SqlError> {
    let mut flags = Flags::default();
    for flag in text.chars() {
        match flag {
            'i' => flags.ignores_case = true,
            'c' => flags.ignores_case = false,
            'g' => flags.is_global = true,
            'n' | 'm' => flags.by_lines = true,
            's' => flags.by_lines = false,
            'x' => flags.ignores_blanks = true,
            'q' => flags.is_literal = true,
            't' | 'e' => {}
            other => return Err(invalid(format!("invalid regular expression option: \"{other}\""))),
        }
    }
    Ok(flags)
}

/// PostgreSQL's escapes that are spelled otherwise here.
fn respelled(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('y') => out.push_str(r"\b"),
            Some('Y') => out.push_str(r"\B"),
            Some('m') => out.push_str(r"\b{start}"),
            Some('M') => out.push_str(r"\b{end}"),
            Some('Z') => out.push_str(r"\z"),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out.replace("[[:<:]]", r"\b{start}")
        .replace("[[:>:]]", r"\b{end}")
}

fn compile(pattern: &str, flags: &Flags) -> Result<Regex, SqlError> {
    let pattern = if flags.is_literal {
        regex::escape(pattern)
    } else {
        respelled(pattern)
    };
    let compiled = RegexBuilder::new(&pattern)
        .case_insensitive(flags.ignores_case)
        .multi_line(flags.by_lines)
        .dot_matches_new_line(!flags.by_lines)
        .ignore_whitespace(flags.ignores_blanks)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .nest_limit(50)
        .build();
    compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            SqlError::new(ErrorKind::ProgramLimit, "regular expression is too complex")
        }
        other => {
            let reason = other.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim();
            invalid(format!(
                "invalid regular expression: {}",
                reason.trim_start_matches("error: ")
            ))
            .with_hint("Back references and looking ahead or behind are not supported.")
        }
    })
}

/// The expression of `pattern`, compiled once for many rows.
fn with<T>(
    pattern: &str,
    flag_text: &str,
    use_it: impl FnOnce(&Regex, &Flags) -> Result<T, SqlError>,
) -> Result<T, SqlError> {
    let flags = flags(flag_text)?;
    let key = format!("{flag_text}/{pattern}");
    COMPILED.with_borrow_mut(|compiled| {
        let index = match compiled.iter().position(|(known, _)| *known == key) {
            Some(index) => index,
            None => {
                let expression = compile(pattern, &flags)?;
                if compiled.len() >= KEPT {
                    compiled.remove(0);
                }
                compiled.push((key, expression));
                compiled.len() - 1
            }
        };
        use_it(&compiled[index].1, &flags)
    })
}

fn flag_text<'v>(args: Args<'_, 'v>, index: usize) -> Result<std::borrow::Cow<'v, str>, SqlError> {
    args.get(index).map_or(Ok("".into()), as_text)
}

pub(super) fn like(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let (text, pattern) = (as_text(&args[0])?, as_text(&args[1])?);
        with(&pattern, &flag_text(args, 2)?, |expression, _| {
            Ok(Value::Integer(i64::from(expression.is_match(&text))))
        })
    })
}

/// `substring(text FROM pattern)`: the first group, or all of the match.
pub(super) fn part(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let (text, pattern) = (as_text(&args[0])?, as_text(&args[1])?);
        with(&pattern, "", |expression, _| {
            let found = expression.captures(&text);
            let part = found.and_then(|found| {
                if expression.captures_len() > 1 {
                    found.get(1)
                } else {
                    found.get(0)
                }
            });
            Ok(part.map_or(Value::Null, |part| Value::Text(part.as_str().to_owned())))
        })
    })
}

/// `regexp_match`: the groups of the first match, or all of it, as an array.
pub(super) fn matched(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let (text, pattern) = (as_text(&args[0])?, as_text(&args[1])?);
        with(&pattern, &flag_text(args, 2)?, |expression, _| {
            let Some(found) = expression.captures(&text) else {
                return Ok(Value::Null);
            };
            let first = usize::from(expression.captures_len() > 1);
            let groups: Vec<bellwether_types::ValueRef<'_>> = found
                .iter()
                .skip(first)
                .map(|group| match group {
                    Some(group) => bellwether_types::ValueRef::Text(group.as_str().as_bytes()),
                    None => bellwether_types::ValueRef::Null,
                })
                .collect();
            super::array::of(&groups)
        })
    })
}

pub(super) fn count(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let (text, pattern) = (as_text(&args[0])?, as_text(&args[1])?);
        with(&pattern, "", |expression, _| {
            Ok(Value::Integer(expression.find_iter(&text).count() as i64))
        })
    })
}

pub(super) fn split(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let (text, pattern) = (as_text(&args[0])?, as_text(&args[1])?);
        with(&pattern, &flag_text(args, 2)?, |expression, _| {
            let parts: Vec<_> = expression
                .split(&text)
                .map(|part| bellwether_types::ValueRef::Text(part.as_bytes()))
                .collect();
            super::array::of(&parts)
        })
    })
}

/// `\1` … `\9` and `\&` of a replacement.
fn expand(replacement: &str, found: &Captures<'_>, out: &mut String) {
    let mut characters = replacement.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('&') => out.push_str(&found[0]),
            Some(digit @ '1'..='9') => {
                let group = found.get(digit as usize - '0' as usize);
                out.push_str(group.map_or("", |group| group.as_str()));
            }
            Some('\\') => out.push('\\'),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
}

pub(super) fn replace(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let (text, pattern, replacement) = (as_text(&args[0])?, as_text(&args[1])?, as_text(&args[2])?);
        with(&pattern, &flag_text(args, 3)?, |expression, flags| {
            let mut out = String::new();
            let mut end = 0;
            let most = if flags.is_global { usize::MAX } else { 1 };
            for found in expression.captures_iter(&text).take(most) {
                let whole = found.get(0).expect("group 0 is the match");
                out.push_str(&text[end..whole.start()]);
                expand(&replacement, &found, &mut out);
                end = whole.end();
                check_size(out.len())?;
            }
            out.push_str(&text[end..]);
            text_value(out)
        })
    })
}

/// SIMILAR TO: `%` and `_` of LIKE, and `|*+?{}()[]` of regular expressions; the whole text.
pub(super) fn similar_to(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let (text, pattern) = (as_text(&args[0])?, as_text(&args[1])?);
        let escape = args.get(2).map_or(Ok("\\".into()), as_text)?.chars().next();
        let mut expression = r"\A(?:".to_owned();
        let mut in_brackets = false;
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            match character {
                _ if Some(character) == escape => {
                    let escaped = characters.next().map(String::from).unwrap_or_default();
                    expression.push_str(&regex::escape(&escaped));
                }
                '[' | ']' => {
                    in_brackets = character == '[';
                    expression.push(character);
                }
                _ if in_brackets => expression.push(character),
                '%' => expression.push_str(".*"),
                '_' => expression.push('.'),
                '|' | '*' | '+' | '?' | '{' | '}' | '(' | ')' => expression.push(character),
                other => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
            }
        }
        expression.push_str(r")\z");
        with(&expression, "", |expression, _| {
            Ok(Value::Integer(i64::from(expression.is_match(&text))))
        })
    })
}
