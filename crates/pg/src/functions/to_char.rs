//! `to_char`: moments and numbers by a template. What of a template is not known is refused, so that nothing is
//! printed otherwise than PostgreSQL would.

use bellwether_types::{ErrorKind, SqlError, ValueRef};

use super::civil::{Moment, SECOND_US, date_of, days_of};
use super::date::{iso_day, iso_week};
use super::{Answer, Args, as_real, as_text, check_size, invalid, strict, text_value};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// Templates of moments, longest first where one begins with another.
const FIELDS: [&str; 44] = [
    "YYYY", "IYYY", "HH24", "HH12", "MONTH", "Month", "month", "A.M.", "P.M.", "a.m.", "p.m.", "DDD", "Day",
    "DAY", "day", "Mon", "MON", "mon", "FF3", "FF6", "YY", "MM", "MI", "DD", "HH", "SS", "MS", "US", "AM",
    "PM", "am", "pm", "Dy", "DY", "dy", "ID", "IW", "WW", "TZ", "tz", "OF", "Q", "D", "W",
];

pub(super) fn to_char(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let template = as_text(&args[1])?;
        check_size(template.len().saturating_mul(10))?;
        let moment = args[0].as_str().and_then(Moment::parse);
        match (moment, args[0]) {
            (Some(moment), _) => text_value(of_moment(moment, &template)?),
            (None, ValueRef::Integer(_) | ValueRef::Real(_)) => {
                text_value(of_number(as_real(&args[0])?, &template)?)
            }
            (None, other) => {
                let shown: String = as_text(&other)?.chars().take(100).collect();
                Err(invalid(format!(
                    "invalid input syntax for type timestamp: \"{shown}\""
                )))
            }
        }
    })
}

fn of_moment(moment: Moment, template: &str) -> Result<String, SqlError> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            out.push_str(&quoted[..end]);
            rest = quoted.get(end + 1..).unwrap_or_default();
            continue;
        }
        let (is_bare, after_modifier) = match rest.strip_prefix("FM") {
            Some(after) => (true, after),
            None => (false, rest),
        };
        let known = FIELDS.iter().find(|field| after_modifier.starts_with(**field));
        if let Some(known) = known {
            let field = field(moment, known);
            out.push_str(if is_bare { bare(&field) } else { &field });
            rest = &after_modifier[known.len()..];
            if let Some(after) = rest.strip_prefix("TH").or_else(|| rest.strip_prefix("th")) {
                out.push_str(ordinal(&field));
                rest = after;
            }
            continue;
        }
        if first.is_ascii_alphabetic() {
            return Err(unknown(rest));
        }
        out.push(first);
        rest = &rest[first.len_utf8()..];
    }
    Ok(out)
}

fn unknown(template: &str) -> SqlError {
    let shown: String = template.chars().take(20).collect();
    SqlError::new(
        ErrorKind::NotSupported,
        format!("to_char template \"{shown}\" is not supported"),
    )
    .with_hint(
        "Templates are YYYY, MM, DD, HH24, MI, SS, MS, Mon, Day and the like; other letters go in quotes.",
    )
}

/// Without the zeros and blanks that fill it up.
fn bare(field: &str) -> &str {
    let trimmed = field.trim_end();
    match trimmed.trim_start_matches('0') {
        "" if !trimmed.is_empty() => "0",
        stripped => stripped,
    }
}

fn ordinal(number: &str) -> &'static str {
    let number: u64 = number.trim().parse().unwrap_or(0);
    match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    }
}

fn field(moment: Moment, name: &str) -> String {
    let (year, month, day) = date_of(moment.days);
    let seconds = moment.time_us / SECOND_US;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let hour_12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    let fraction_us = moment.time_us % SECOND_US;
    let day_of_year = moment.days - days_of(year, 1, 1) + 1;
    let month_name = MONTHS[(month - 1) as usize];
    let day_name = DAYS[(iso_day(moment.days) - 1) as usize];
    match name {
        "YYYY" => format!("{year:04}"),
        "IYYY" => format!("{:04}", iso_week(moment.days).0),
        "YY" => format!("{:02}", year % 100),
        "MM" => format!("{month:02}"),
        "DD" => format!("{day:02}"),
        "DDD" => format!("{day_of_year:03}"),
        "D" => (iso_day(moment.days) % 7 + 1).to_string(),
        "ID" => iso_day(moment.days).to_string(),
        "IW" => format!("{:02}", iso_week(moment.days).1),
        "WW" => format!("{:02}", (day_of_year - 1) / 7 + 1),
        "W" => ((day - 1) / 7 + 1).to_string(),
        "Q" => ((month - 1) / 3 + 1).to_string(),
        "HH24" => format!("{hour:02}"),
        "HH" | "HH12" => format!("{hour_12:02}"),
        "MI" => format!("{minute:02}"),
        "SS" => format!("{second:02}"),
        "MS" | "FF3" => format!("{:03}", fraction_us / 1000),
        "US" | "FF6" => format!("{fraction_us:06}"),
        "AM" | "PM" => (if hour < 12 { "AM" } else { "PM" }).to_owned(),
        "am" | "pm" => (if hour < 12 { "am" } else { "pm" }).to_owned(),
        "A.M." | "P.M." => (if hour < 12 { "A.M." } else { "P.M." }).to_owned(),
        "a.m." | "p.m." => (if hour < 12 { "a.m." } else { "p.m." }).to_owned(),
        "Month" => format!("{month_name:9}"),
        "MONTH" => format!("{:9}", month_name.to_uppercase()),
        "month" => format!("{:9}", month_name.to_lowercase()),
        "Mon" => month_name[..3].to_owned(),
        "MON" => month_name[..3].to_uppercase(),
        "mon" => month_name[..3].to_lowercase(),
        "Day" => format!("{day_name:9}"),
        "DAY" => format!("{:9}", day_name.to_uppercase()),
        "day" => format!("{:9}", day_name.to_lowercase()),
        "Dy" => day_name[..3].to_owned(),
        "DY" => day_name[..3].to_uppercase(),
        "dy" => day_name[..3].to_lowercase(),
        "TZ" => "UTC".to_owned(),
        "tz" => "utc".to_owned(),
        _ => "+00".to_owned(),
    }
}

/// `999`, `000`, `.`, `,` and FM.
fn of_number(number: f64, template: &str) -> Result<String, SqlError> {
    let (is_bare, digits) = match template.strip_prefix("FM") {
        Some(rest) => (true, rest),
        None => (false, template),
    };
    let is_plain = |character: char| matches!(character, '9' | '0' | '.' | ',' | 'D' | 'G');
    if let Some(odd) = digits.find(|character| !is_plain(character)) {
        return Err(unknown(&digits[odd..]));
    }
    let digits = digits.replace('D', ".").replace('G', ",");
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    if fraction.contains(['.', ',']) || fraction.len() > 100 || whole.len() > 100 {
        return Err(unknown(&digits));
    }
    let places = fraction.len();
    let rounded = super::cast::round_to(number.abs(), i32::try_from(places).unwrap_or(0));
    let spelled = format!("{rounded:.places$}");
    let (spelled_whole, spelled_fraction) = spelled.split_once('.').unwrap_or((&spelled, ""));
    let is_negative = number < 0.0 && rounded != 0.0;
    let slots = whole.chars().filter(|character| *character != ',').count();
    let overflows = spelled_whole.len() > slots && rounded >= 1.0;
    let mut out = if overflows {
        whole.replace(['9', '0'], "#")
    } else {
        whole_part(whole, spelled_whole, slots)
    };
    let blanks = out.len() - out.trim_start().len();
    let sign = if is_negative { "-" } else { " " };
    out.insert_str(blanks, sign);
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(&if overflows {
            "#".repeat(places)
        } else {
            spelled_fraction.to_owned()
        });
    }
    if digits.ends_with('.') {
        out.push('.');
    }
    if is_bare {
        let kept = fraction.rfind('0').map_or(0, |last| last + 1);
        return Ok(trimmed(&out, kept));
    }
    Ok(out)
}

/// Digits into their slots: blanks where the number has none, zeros from the first `0` on.
fn whole_part(template: &str, digits: &str, slots: usize) -> String {
    let digits = if digits == "0" && !template.contains('0') {
        ""
    } else {
        digits
    };
    let first_zero = template
        .chars()
        .filter(|character| *character != ',')
        .position(|character| character == '0');
    let mut missing = slots.saturating_sub(digits.len());
    let mut slot = 0;
    let mut digits = digits.chars();
    let mut out = String::new();
    for character in template.chars() {
        if character == ',' {
            out.push(if out.trim().is_empty() { ' ' } else { ',' });
            continue;
        }
        out.push(if missing > 0 {
            missing -= 1;
            if first_zero.is_some_and(|first| slot >= first) {
                '0'
            } else {
                ' '
            }
        } else {
            digits.next().unwrap_or(' ')
        });
        slot += 1;
    }
    out
}

/// FM: no blanks, and of the fraction only what the number has, but for slots that are `0`.
fn trimmed(out: &str, kept: usize) -> String {
    let out = out.trim();
    match out.split_once('.') {
        None => out.to_owned(),
        Some((whole, fraction)) => {
            let least = kept.min(fraction.len());
            let used = fraction.trim_end_matches('0').len().max(least);
            format!("{whole}.{}", &fraction[..used])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_types::Value;

    fn of(value: ValueRef<'_>, template: &str) -> String {
        match to_char(&[value, ValueRef::Text(template.as_bytes())]) {
            Ok(Value::Text(text)) => text,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn moments_are_printed_as_postgresql_prints_them() {
        let at = ValueRef::Text(b"2024-03-05 15:04:06.789+00:00");
        assert_eq!(of(at, "YYYY-MM-DD HH24:MI:SS.MS"), "2024-03-05 15:04:06.789");
        assert_eq!(
            of(at, "FMDDth FMMonth YYYY, HH12:MI AM"),
            "5th March 2024, 03:04 PM"
        );
        assert_eq!(
            of(at, "Day|DY|D|ID|DDD|IYYY-IW|Q"),
            "Tuesday  |TUE|3|2|065|2024-10|1"
        );
        assert_eq!(of(at, "YYYY\"T\"HH24"), "2024T15");
        assert!(of(at, "RM").contains("NotSupported"));
    }

    #[test]
    fn numbers_are_printed_as_postgresql_prints_them() {
        for (number, template, expected) in [
            (1234.5, "9,999.99", " 1,234.50"),
            (-1234.5, "9,999.99", "-1,234.50"),
            (12.0, "99999", "    12"),
            (-12.0, "99999", "   -12"),
            (5.0, "000", " 005"),
            (0.5, "0.99", " 0.50"),
            (12.30, "FM999.99", "12.3"),
            (12.30, "FM999.00", "12.30"),
            (12345.0, "999", " ###"),
            (485.0, "FM999", "485"),
        ] {
            assert_eq!(
                of(ValueRef::Real(number), template),
                expected,
                "{number} {template}"
            );
        }
    }
}
