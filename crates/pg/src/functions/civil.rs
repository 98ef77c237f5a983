//! Days, times of day and the texts they are written in: `2024-01-31 12:34:56.789+00:00`, which SQLite's functions
//! read too.

use bellwether_types::{ErrorKind, SqlError};

/// Microseconds of a day.
pub(crate) const DAY_US: i64 = 86_400_000_000;
pub(crate) const SECOND_US: i64 = 1_000_000;

/// A day and a time of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since 1970-01-01.
    pub(crate) days: i64,
    /// Since midnight, in microseconds.
    pub(crate) time_us: i64,
    /// Whether it names its offset, and so is UTC here; else it is the time of wherever.
    pub(crate) is_absolute: bool,
    /// Whether it has a time at all.
    pub(crate) has_time: bool,
}

/// The day's number; Gregorian for all time.
pub(crate) fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month, day.
pub(crate) fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn digits(text: &str, count: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let is_number = count.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// `12:34`, `12:34:56`, `12:34:56.789`, in microseconds.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hours = digits(parts.next()?, 1..=2).filter(|hours| *hours <= 24)?;
    let minutes = digits(parts.next()?, 2..=2).filter(|minutes| *minutes < 60)?;
    let (seconds, fraction) = match parts.next() {
        None => (0, 0),
        Some(seconds) => {
            let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
            let whole = digits(whole, 2..=2).filter(|seconds| *seconds < 60)?;
            (whole, parse_fraction(fraction)?)
        }
    };
    if parts.next().is_some() {
        return None;
    }
    let time_us = ((hours * 60 + minutes) * 60 + seconds) * SECOND_US + fraction;
    (time_us <= DAY_US).then_some(time_us)
}

/// Digits after the point as microseconds; further ones are rounded.
pub(crate) fn parse_fraction(fraction: &str) -> Option<i64> {
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded: String = fraction.chars().chain("0000000".chars()).take(7).collect();
    let tenths: i64 = padded.parse().ok()?;
    Some((tenths + 5) / 10)
}

/// `Z`, `+02`, `-0330`, `+02:00`, `UTC`, in seconds east.
fn parse_zone(text: &str) -> Option<i64> {
    if ["Z", "UTC", "GMT"]
        .iter()
        .any(|name| text.eq_ignore_ascii_case(name))
    {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, text.strip_prefix('-')?),
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some((hours, minutes)) => (digits(hours, 1..=2)?, digits(minutes.split(':').next()?, 2..=2)?),
        None if rest.len() == 4 => (digits(rest.get(..2)?, 2..=2)?, digits(rest.get(2..)?, 2..=2)?),
        None => (digits(rest, 1..=2)?, 0),
    };
    (hours < 16 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4..=4)?;
    let month = digits(parts.next()?, 1..=2).filter(|month| (1..=12).contains(month))?;
    let day = digits(parts.next()?, 1..=2).filter(|day| (1..=days_in_month(year, month)).contains(day))?;
    if parts.next().is_some() || year == 0 {
        return None;
    }
    Some(days_of(year, month, day))
}

impl Moment {
    /// Reads a date, with or without time, with or without offset.
    pub(crate) fn parse(text: &str) -> Option<Moment> {
        let text = text.trim();
        let Some(at) = text.find([' ', 'T', 't']) else {
            let days = parse_date(text)?;
            return Some(Moment {
                days,
                time_us: 0,
                is_absolute: false,
                has_time: false,
            });
        };
        let days = parse_date(&text[..at])?;
        let rest = text[at + 1..].trim();
        let zone_at =
            rest.find(|character: char| !character.is_ascii_digit() && !matches!(character, ':' | '.'));
        let (time, zone) = rest.split_at(zone_at.unwrap_or(rest.len()));
        // `2024-01-31 +02`: its midnight.
        let time_us = match time.trim() {
            "" if !zone.is_empty() => 0,
            time => parse_time(time)?,
        };
        let east = match zone.trim() {
            "" => None,
            zone => Some(parse_zone(zone)?),
        };
        let moment = Moment {
            days,
            time_us,
            is_absolute: east.is_some(),
            has_time: true,
        };
        moment.plus(0, -east.unwrap_or(0) * SECOND_US)
    }

    /// Later by days and microseconds; `None` outside the years 1 to 9999, which is what four digits can say.
    pub(crate) fn plus(self, days: i64, time_us: i64) -> Option<Moment> {
        let time = self.time_us.checked_add(time_us)?;
        let days = self
            .days
            .checked_add(days)?
            .checked_add(time.div_euclid(DAY_US))?;
        let range = days_of(1, 1, 1)..=days_of(9999, 12, 31);
        range.contains(&days).then_some(Moment {
            days,
            time_us: time.rem_euclid(DAY_US),
            ..self
        })
    }

    /// `2024-01-31`.
    pub(crate) fn date(self) -> String {
        let (year, month, day) = date_of(self.days);
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// `12:34:56.789`, without zeros at the end.
    pub(crate) fn time(self) -> String {
        let seconds = self.time_us / SECOND_US;
        let whole = format!(
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        );
        match self.time_us % SECOND_US {
            0 => whole,
            fraction => format!("{whole}.{fraction:06}").trim_end_matches('0').to_owned(),
        }
    }

    /// Date and time, and the offset if it has one.
    pub(crate) fn stamp(self) -> String {
        let zone = if self.is_absolute { "+00:00" } else { "" };
        format!("{} {}{zone}", self.date(), self.time())
    }
}

pub(crate) fn overflow() -> SqlError {
    SqlError::new(ErrorKind::OutOfRange, "timestamp out of range").with_detail("Years are 1 to 9999.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_are_read_and_written() {
        for (text, stamp) in [
            ("2024-02-29", "2024-02-29 00:00:00"),
            ("2024-01-02T03:04:05.600Z", "2024-01-02 03:04:05.6+00:00"),
            ("2024-01-02 03:04:05+02", "2024-01-02 01:04:05+00:00"),
            ("2024-01-01 00:30:00+01:00", "2023-12-31 23:30:00+00:00"),
            ("2024-01-01 03:04 -0330", "2024-01-01 06:34:00+00:00"),
            ("2024-01-01 24:00:00", "2024-01-02 00:00:00"),
        ] {
            assert_eq!(
                Moment::parse(text).map(Moment::stamp).as_deref(),
                Some(stamp),
                "{text}"
            );
        }
        for wrong in [
            "",
            "2023-02-29",
            "2024-13-01",
            "0000-01-01",
            "2024-01-01 25:00",
            "x",
            "2024-01-01 1:2:3x",
            "12:00",
        ] {
            assert_eq!(Moment::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn days_and_dates_are_each_others_inverse(days in -719_162i64..2_932_896) {
            let (year, month, day) = date_of(days);
            prop_assert_eq!(days_of(year, month, day), days);
            prop_assert!((1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day));
        }

        #[test]
        fn any_text_is_answered(text in ".*") {
            let _ = Moment::parse(&text);
        }
    }
}
