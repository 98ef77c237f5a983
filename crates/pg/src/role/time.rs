//! `VALID UNTIL`: a point in time as text, in seconds since 1970.

/// Until when a password is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidUntil {
    /// `infinity`.
    Forever,
    /// So many seconds after 1970 began, in UTC.
    UnixSeconds(i64),
}

impl ValidUntil {
    /// `infinity`, or `2030-01-31`, `2030-01-31 12:00`, `2030-01-31T12:00:00.5+02:00`. Without a zone it is UTC, as
    /// all times here. `None`: neither.
    pub fn parse(text: &str) -> Option<ValidUntil> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("infinity") {
            return Some(ValidUntil::Forever);
        }
        let (date, rest) = match text.find(['T', 't', ' ']) {
            Some(at) => (&text[..at], text[at + 1..].trim_start()),
            None => (text, ""),
        };
        let days = days(date)?;
        let zone_at = rest
            .find(['+', '-', 'Z', 'z', ' ', 'U', 'u'])
            .unwrap_or(rest.len());
        let (time, zone) = rest.split_at(zone_at);
        let seconds = if time.is_empty() { 0 } else { seconds_of_day(time)? };
        Some(ValidUntil::UnixSeconds(
            days * 86_400 + seconds - offset(zone.trim())?,
        ))
    }
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let is_number = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4..=5)?;
    let month = number(parts.next()?, 1..=2)?;
    let day = number(parts.next()?, 1..=2)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || year == 0 || !(1..=month_days).contains(&day) {
        return None;
    }
    // A year that begins in March has its leap day at its end, and its months follow one formula.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    Some(year * 365 + leap_days + day_of_year - 719_468)
}

fn seconds_of_day(time: &str) -> Option<i64> {
    let mut parts = time.split(':');
    let hours = number(parts.next()?, 1..=2)?;
    let minutes = number(parts.next()?, 1..=2)?;
    let seconds = match parts.next() {
        None => 0,
        Some(seconds) => {
            let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
            number(fraction, 1..=9)?;
            number(whole, 1..=2)?
        }
    };
    let is_time = parts.next().is_none() && hours < 24 && minutes < 60 && seconds < 60;
    is_time.then_some(hours * 3_600 + minutes * 60 + seconds)
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone.eq_ignore_ascii_case("z") || zone.eq_ignore_ascii_case("utc") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if rest.len() == 4 => rest.split_at_checked(2)?,
        None => (rest, "0"),
    };
    let (hours, minutes) = (number(hours, 1..=2)?, number(minutes, 1..=2)?);
    (hours < 16 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_are_read() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2030-12-31 23:59:59", 1_924_991_999),
            ("2030-12-31T23:59:59.999Z", 1_924_991_999),
            ("2030-12-31 23:59:59 UTC", 1_924_991_999),
            ("2026-05-04 12:00:00+00", 1_777_896_000),
            ("2026-05-04 12:00+02", 1_777_888_800),
            ("2026-05-04 12:00:00-0530", 1_777_915_800),
        ] {
            assert_eq!(
                ValidUntil::parse(text),
                Some(ValidUntil::UnixSeconds(seconds)),
                "{text}"
            );
        }
        assert_eq!(ValidUntil::parse("Infinity"), Some(ValidUntil::Forever));
    }

    #[test]
    fn what_is_no_point_in_time_is_refused() {
        for text in [
            "",
            "soon",
            "2030-13-01",
            "2030-02-29",
            "2030-1",
            "2030-01-01 25:00",
            "2030-01-01 12:00 CET",
            "2030-01-01 12",
            "0000-01-01",
            "2030-01-01-01",
            "2030-01-01 12:00+99",
        ] {
            assert_eq!(ValidUntil::parse(text), None, "{text}");
        }
    }
}
