//! Spans of time as PostgreSQL writes them: `1 year 2 mons 3 days 04:05:06.7`, `P1DT2H`, `2 weeks ago`.

use super::civil::{DAY_US, Moment, SECOND_US, date_of, days_in_month, days_of, parse_fraction, parse_time};

/// Months, days and the rest are kept apart: how long a month is depends on where it begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) months: i64,
    pub(super) days: i64,
    pub(super) time_us: i64,
}

/// What one of a unit is.
fn unit(name: &str) -> Option<Span> {
    let months = |months| Span {
        months,
        ..Span::default()
    };
    let days = |days| Span {
        days,
        ..Span::default()
    };
    let time = |time_us| Span {
        time_us,
        ..Span::default()
    };
    let name = name.to_ascii_lowercase();
    let singular = match name.as_str() {
        "ms" => "msec",
        "s" => "sec",
        plural => plural.strip_suffix('s').unwrap_or(plural),
    };
    Some(match singular {
        "millennium" | "millennia" | "mil" => months(12_000),
        "century" | "centurie" | "cent" => months(1200),
        "decade" | "dec" => months(120),
        "year" | "yr" | "y" => months(12),
        "quarter" | "qtr" => months(3),
        "month" | "mon" => months(1),
        "week" | "w" => days(7),
        "day" | "d" => days(1),
        "hour" | "hr" | "h" => time(3600 * SECOND_US),
        "minute" | "min" | "m" => time(60 * SECOND_US),
        "second" | "sec" => time(SECOND_US),
        "millisecond" | "msec" => time(1000),
        "microsecond" | "usec" | "u" => time(1),
        _ => return None,
    })
}

impl Span {
    /// So many of a unit; parts of a month become days of 30, parts of a day time.
    fn times(self, whole: i64, fraction_us: i64) -> Option<Span> {
        let part =
            |of: i64| i64::try_from(i128::from(of) * i128::from(fraction_us) / i128::from(SECOND_US)).ok();
        let months = self.months.checked_mul(whole)?;
        let mut span = Span {
            months: months.checked_add(part(self.months)?)?,
            days: self.days.checked_mul(whole)?,
            time_us: self
                .time_us
                .checked_mul(whole)?
                .checked_add(part(self.time_us)?)?,
        };
        // What of a month is left after whole ones.
        let month_rest = i128::from(self.months) * i128::from(fraction_us) % i128::from(SECOND_US);
        let day_part = i128::from(self.days) * i128::from(fraction_us) + month_rest * 30;
        span.days = span
            .days
            .checked_add(i64::try_from(day_part / i128::from(SECOND_US)).ok()?)?;
        let day_rest = day_part % i128::from(SECOND_US);
        let rest_us = day_rest * i128::from(DAY_US) / i128::from(SECOND_US);
        span.time_us = span.time_us.checked_add(i64::try_from(rest_us).ok()?)?;
        Some(span)
    }

    fn plus(self, other: Span) -> Option<Span> {
        Some(Span {
            months: self.months.checked_add(other.months)?,
            days: self.days.checked_add(other.days)?,
            time_us: self.time_us.checked_add(other.time_us)?,
        })
    }

    pub(super) fn negated(self) -> Option<Span> {
        Some(Span {
            months: self.months.checked_neg()?,
            days: self.days.checked_neg()?,
            time_us: self.time_us.checked_neg()?,
        })
    }

    /// Reads a span.
    pub(super) fn parse(text: &str) -> Option<Span> {
        let text = text.trim();
        if let Some(iso) = text.strip_prefix('P') {
            return parse_iso(iso);
        }
        let mut span = Span::default();
        let mut words = text.split_whitespace().peekable();
        let mut is_ago = false;
        words.peek()?;
        while let Some(word) = words.next() {
            if word.eq_ignore_ascii_case("ago") {
                is_ago = words.next().is_none();
                if !is_ago {
                    return None;
                }
                break;
            }
            if word == "@" {
                continue;
            }
            let added = match word.contains(':') {
                true => parse_clock(word)?,
                false => {
                    let split = word.find(|character: char| character.is_ascii_alphabetic());
                    let (number, name) = word.split_at(split.unwrap_or(word.len()));
                    // A number alone is seconds.
                    let name = if name.is_empty() {
                        words.next().unwrap_or("seconds")
                    } else {
                        name
                    };
                    parse_count(number, unit(name)?)?
                }
            };
            span = span.plus(added)?;
        }
        if is_ago { span.negated() } else { Some(span) }
    }
}

/// `-1.5` of a unit.
fn parse_count(number: &str, unit: Span) -> Option<Span> {
    let (is_negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let span = unit.times(whole, parse_fraction(fraction)?)?;
    if is_negative { span.negated() } else { Some(span) }
}

/// `-04:05:06.7`.
fn parse_clock(text: &str) -> Option<Span> {
    let (is_negative, clock) = match text.strip_prefix('-') {
        Some(clock) => (true, clock),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let time_us = match parse_time(clock) {
        Some(time_us) => time_us,
        // More hours than a day has.
        None => {
            let (hours, rest) = clock.split_once(':')?;
            let hours: i64 = hours.parse().ok().filter(|hours| *hours >= 0)?;
            hours
                .checked_mul(3600 * SECOND_US)?
                .checked_add(parse_time(&format!("00:{rest}"))?)?
        }
    };
    let span = Span {
        time_us,
        ..Span::default()
    };
    if is_negative { span.negated() } else { Some(span) }
}

/// `1Y2M3DT4H5M6S`, after the P.
fn parse_iso(text: &str) -> Option<Span> {
    let mut span = Span::default();
    let mut in_time = false;
    let mut number = String::new();
    let mut is_empty = true;
    for character in text.chars() {
        match character {
            'T' => in_time = true,
            '0'..='9' | '.' | '-' | '+' => number.push(character),
            _ => {
                let name = match (character, in_time) {
                    ('M', false) => "month",
                    ('M', true) => "minute",
                    ('Y', false) => "year",
                    ('W', false) => "week",
                    ('D', false) => "day",
                    ('H', true) => "hour",
                    ('S', true) => "second",
                    _ => return None,
                };
                span = span.plus(parse_count(&std::mem::take(&mut number), unit(name)?)?)?;
                is_empty = false;
            }
        }
    }
    (number.is_empty() && !is_empty).then_some(span)
}

impl Moment {
    /// Later by a span: first its months, a day that the month does not have becoming its last; then days and time.
    pub(super) fn later(self, span: Span) -> Option<Moment> {
        let (year, month, day) = date_of(self.days);
        let months = year
            .checked_mul(12)?
            .checked_add(month - 1)?
            .checked_add(span.months)?;
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        if !(1..=9999).contains(&year) {
            return None;
        }
        let day = day.min(days_in_month(year, month));
        let moved = Moment {
            days: days_of(year, month, day),
            ..self
        };
        moved.plus(span.days, span.time_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(months: i64, days: i64, time_us: i64) -> Option<Span> {
        Some(Span {
            months,
            days,
            time_us,
        })
    }

    #[test]
    fn spans_are_read_as_postgresql_writes_them() {
        for (text, expected) in [
            ("1 day", span(0, 1, 0)),
            ("1 year 2 mons 3 days 04:05:06.7", span(14, 3, 14_706_700_000)),
            ("-1 days +02:00", span(0, -1, 7_200_000_000)),
            ("1 days 0.000000 seconds", span(0, 1, 0)),
            ("1.5 hours", span(0, 0, 5_400_000_000)),
            ("0.5 day", span(0, 0, 43_200_000_000)),
            ("1.5 months", span(1, 15, 0)),
            ("2 weeks ago", span(0, -14, 0)),
            ("P1Y2M3DT4H5M6.5S", span(14, 3, 14_706_500_000)),
            ("10", span(0, 0, 10_000_000)),
            ("100:00:00", span(0, 0, 360_000_000_000)),
            ("1h 30m", span(0, 0, 5_400_000_000)),
            ("250 ms", span(0, 0, 250_000)),
            ("", None),
            ("1 fortnight", None),
            ("day", None),
            ("P", None),
        ] {
            assert_eq!(Span::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn months_end_where_they_end() {
        let start = Moment::parse("2024-01-31 10:00").expect("a moment");
        let later = |text: &str| start.later(Span::parse(text).expect("a span")).map(Moment::stamp);
        assert_eq!(later("1 month").as_deref(), Some("2024-02-29 10:00:00"));
        assert_eq!(later("1 day 14 hours").as_deref(), Some("2024-02-02 00:00:00"));
        assert_eq!(later("-1 year").as_deref(), Some("2023-01-31 10:00:00"));
        assert_eq!(later("9000 years"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".*") {
            let _ = Span::parse(&text);
        }

        #[test]
        fn any_number_is_answered(number in "-?[0-9]{1,20}(\\.[0-9]{1,9})?", unit in "(year|month|day|hour|second)s?") {
            let _ = Span::parse(&format!("{number} {unit}"));
        }
    }
}
