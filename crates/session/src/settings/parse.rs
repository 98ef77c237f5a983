//! Values of settings as PostgreSQL reads and prints them.

use bellwether_types::{ErrorKind, SqlError};

use super::invalid;
use super::values::{Kilobytes, Milliseconds};

/// Units with their length, longest first: SHOW prints in the longest that leaves no rest.
const UNITS: [(&str, f64); 6] = [
    ("d", 86_400_000.0),
    ("h", 3_600_000.0),
    ("min", 60_000.0),
    ("s", 1_000.0),
    ("ms", 1.0),
    ("us", 0.001),
];

/// A number with a unit, or of milliseconds; a fraction is rounded.
pub fn milliseconds(name: &str, text: &str) -> Result<Milliseconds, SqlError> {
    let text = text.trim();
    let number_len = text
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(number_len);
    let unit = unit.trim_start();
    let wrong = || {
        invalid(name, text)
            .with_hint("Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".")
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit_ms = match unit {
        "" => 1.0,
        unit => {
            UNITS
                .iter()
                .find(|(known, _)| *known == unit)
                .ok_or_else(wrong)?
                .1
        }
    };
    let value = (number * unit_ms).round_ties_even();
    if !(0.0..=f64::from(i32::MAX)).contains(&value) {
        let message = format!(
            "{value} ms is outside the valid range for parameter \"{name}\" (0 ms .. {} ms)",
            i32::MAX
        );
        return Err(SqlError::new(ErrorKind::InvalidSetting, message));
    }
    Ok(Milliseconds(value as u32))
}

/// `0`, `1500ms`, `10s`, `2min`.
pub fn print_milliseconds(value: Milliseconds) -> String {
    let ms = f64::from(value.0);
    match UNITS.iter().find(|(_, unit_ms)| ms % unit_ms == 0.0) {
        Some((unit, unit_ms)) if value.0 != 0 => format!("{}{unit}", ms / unit_ms),
        _ => value.0.to_string(),
    }
}

/// Units of sizes with their kilobytes, longest first. Powers of 1024, as in PostgreSQL.
const SIZES: [(&str, u64); 4] = [("TB", 1 << 30), ("GB", 1 << 20), ("MB", 1 << 10), ("kB", 1)];

/// A whole number with a unit, or of kilobytes.
pub fn kilobytes(name: &str, text: &str) -> Result<Kilobytes, SqlError> {
    let text = text.trim();
    let number_len = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(number_len);
    let unit = unit.trim_start();
    let wrong = || {
        invalid(name, text)
            .with_hint("Valid units for this parameter are \"kB\", \"MB\", \"GB\", and \"TB\".")
    };
    let unit_kb = match unit {
        "" => 1,
        unit => {
            SIZES
                .iter()
                .find(|(known, _)| *known == unit)
                .ok_or_else(wrong)?
                .1
        }
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let value = number
        .checked_mul(unit_kb)
        .and_then(|value| i32::try_from(value).ok());
    let value = value.ok_or_else(|| {
        let message = format!(
            "{text} is outside the valid range for parameter \"{name}\" (0 kB .. {} kB)",
            i32::MAX
        );
        SqlError::new(ErrorKind::InvalidSetting, message)
    })?;
    Ok(Kilobytes(value.unsigned_abs()))
}

/// `0`, `1500kB`, `64MB`.
pub fn print_kilobytes(value: Kilobytes) -> String {
    let kb = u64::from(value.0);
    match SIZES.iter().find(|(_, unit_kb)| kb % unit_kb == 0) {
        Some((unit, unit_kb)) if kb != 0 => format!("{}{unit}", kb / unit_kb),
        _ => kb.to_string(),
    }
}

/// `on`, `off`, `true`, `no`, … and unambiguous beginnings.
pub fn boolean(name: &str, text: &str) -> Result<bool, SqlError> {
    let word = text.trim().to_ascii_lowercase();
    let begins = |full: &str, shortest: usize| word.len() >= shortest && full.starts_with(&word);
    if word == "1" || begins("true", 1) || begins("yes", 1) || begins("on", 2) {
        return Ok(true);
    }
    if word == "0" || begins("false", 1) || begins("no", 1) || begins("off", 2) {
        return Ok(false);
    }
    Err(SqlError::new(
        ErrorKind::InvalidSetting,
        format!("parameter \"{name}\" requires a Boolean value"),
    ))
}

/// As SHOW prints a Boolean.
pub fn on_off(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

/// One of a setting's words, whatever the case.
pub fn one_of(name: &str, text: &str, words: &[&'static str]) -> Result<&'static str, SqlError> {
    let text = text.trim();
    let found = words.iter().find(|word| word.eq_ignore_ascii_case(text));
    found
        .copied()
        .ok_or_else(|| invalid(name, text).with_hint(format!("Available values: {}.", words.join(", "))))
}

/// The names in a list: split at commas, blanks and double quotes taken off, lower case unless quoted.
pub fn name_list(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim);
    names
        .map(
            |name| match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
                Some(quoted) => quoted.to_owned(),
                None => name.to_ascii_lowercase(),
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_postgresqls_units() {
        for (text, expected) in [
            ("0", 0),
            ("250", 250),
            ("250 ms", 250),
            ("1.5s", 1_500),
            ("2min", 120_000),
            (" 1h", 3_600_000),
            ("1d", 86_400_000),
            ("2500us", 2),
        ] {
            assert_eq!(milliseconds("x", text), Ok(Milliseconds(expected)), "{text:?}");
        }
        for text in ["", "s", "-1", "1 fortnight", "1S", "99999999999", "1.2.3", "60d"] {
            assert!(milliseconds("x", text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn durations_are_shown_in_the_longest_unit_that_is_exact() {
        for (ms, expected) in [
            (0, "0"),
            (1, "1ms"),
            (1_500, "1500ms"),
            (10_000, "10s"),
            (60_000, "1min"),
            (86_400_000, "1d"),
        ] {
            assert_eq!(print_milliseconds(Milliseconds(ms)), expected);
        }
    }

    #[test]
    fn booleans_take_words_and_their_beginnings() {
        for text in ["on", "TRUE", "t", "y", "1"] {
            assert_eq!(boolean("x", text), Ok(true), "{text}");
        }
        for text in ["off", "False", "n", "of", "0"] {
            assert_eq!(boolean("x", text), Ok(false), "{text}");
        }
        for text in ["", "o", "2", "maybe"] {
            assert!(boolean("x", text).is_err(), "{text:?}");
        }
    }
}
