//! Dates and times in binary: days and microseconds since 2000-01-01, where SQLite has texts.

use super::Type;
use crate::functions::civil::{DAY_US, Moment, days_of, parse_time};

/// PostgreSQL's day 0.
fn epoch_days() -> i64 {
    days_of(2000, 1, 1)
}

/// Without an offset, which only timestamptz looks at: drivers send their own with every date.
fn without_offset(text: &str) -> &str {
    let text = text.trim();
    let from = text.find([' ', 'T', 't', ':']).unwrap_or(text.len());
    let offset = text[from..].find(['+', '-', 'Z', 'z']);
    text[..offset.map_or(text.len(), |at| from + at)].trim_end()
}

/// A text as its type writes it: blanks, offsets and short forms apart. `None`: it is none of this type.
pub(super) fn canonical(type_: Type, text: &str) -> Option<String> {
    let text = match type_ {
        Type::Timestamptz => text,
        _ => without_offset(text),
    };
    if type_ == Type::Time {
        let time_us = parse_time(text.trim()).or_else(|| Some(Moment::parse(text)?.time_us))?;
        return Some(of_time(time_us).time());
    }
    let moment = Moment::parse(text)?;
    Some(match type_ {
        Type::Date => moment.date(),
        _ => of_type(type_, moment).stamp(),
    })
}

fn of_type(type_: Type, moment: Moment) -> Moment {
    Moment {
        is_absolute: type_ == Type::Timestamptz,
        ..moment
    }
}

fn of_time(time_us: i64) -> Moment {
    Moment {
        days: 0,
        time_us,
        is_absolute: false,
        has_time: true,
    }
}

/// Appends a text of this type. `None`: it is none of this type.
pub(super) fn put_binary(type_: Type, text: &str, out: &mut Vec<u8>) -> Option<()> {
    let infinite = match text.trim() {
        "infinity" => Some(i64::MAX),
        "-infinity" => Some(i64::MIN),
        _ => None,
    };
    if type_ == Type::Date {
        let days = match infinite {
            Some(i64::MAX) => i32::MAX,
            Some(_) => i32::MIN,
            None => i32::try_from(Moment::parse(text)?.days - epoch_days()).ok()?,
        };
        out.extend_from_slice(&days.to_be_bytes());
        return Some(());
    }
    let us = match (type_, infinite) {
        (Type::Time, _) => parse_time(text.trim()).or_else(|| Some(Moment::parse(text)?.time_us))?,
        (_, Some(infinite)) => infinite,
        _ => {
            let moment = Moment::parse(text)?;
            (moment.days - epoch_days()) * DAY_US + moment.time_us
        }
    };
    out.extend_from_slice(&us.to_be_bytes());
    Some(())
}

/// The text that stands for it. `None`: not as many bytes as it takes, or outside the years 1 to 9999.
pub(super) fn from_binary(type_: Type, bytes: &[u8]) -> Option<String> {
    if type_ == Type::Date {
        let days = i32::from_be_bytes(bytes.try_into().ok()?);
        return match days {
            i32::MAX => Some("infinity".to_owned()),
            i32::MIN => Some("-infinity".to_owned()),
            days => Some(of_time(0).plus(epoch_days() + i64::from(days), 0)?.date()),
        };
    }
    let us = i64::from_be_bytes(bytes.try_into().ok()?);
    match (type_, us) {
        (Type::Time, us) => (0..=DAY_US).contains(&us).then(|| of_time(us).time()),
        (_, i64::MAX) => Some("infinity".to_owned()),
        (_, i64::MIN) => Some("-infinity".to_owned()),
        (_, us) => {
            let moment = of_time(us.rem_euclid(DAY_US)).plus(epoch_days() + us.div_euclid(DAY_US), 0)?;
            Some(of_type(type_, moment).stamp())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_go_and_come_back_in_binary() {
        for (type_, text, number) in [
            (Type::Date, "2000-01-01", 0),
            (Type::Date, "1999-12-31", -1),
            (Type::Time, "00:00:01.5", 1_500_000),
            (Type::Timestamp, "2000-01-02 00:00:00", DAY_US),
            (Type::Timestamp, "1999-12-31 23:59:59.999999", -1),
            (Type::Timestamptz, "2000-01-01 00:00:01+00:00", 1_000_000),
            (Type::Timestamptz, "infinity", i64::MAX),
        ] {
            let mut bytes = Vec::new();
            put_binary(type_, text, &mut bytes).expect("of its type");
            let expected = number.to_be_bytes();
            assert_eq!(bytes, expected[8 - bytes.len()..], "{text}");
            assert_eq!(from_binary(type_, &bytes).as_deref(), Some(text));
        }
        let mut bytes = Vec::new();
        put_binary(Type::Timestamptz, "2000-01-01 02:00:00+02:00", &mut bytes).expect("a moment");
        assert_eq!(bytes, [0; 8]);
        assert_eq!(put_binary(Type::Date, "yesterday", &mut bytes), None);
    }

    #[test]
    fn what_no_text_can_say_is_none() {
        assert_eq!(from_binary(Type::Timestamp, &(i64::MAX - 1).to_be_bytes()), None);
        assert_eq!(from_binary(Type::Time, &(-1i64).to_be_bytes()), None);
        assert_eq!(from_binary(Type::Date, &[0; 3]), None);
    }

    #[test]
    fn a_text_is_written_as_its_type_writes_it() {
        for (type_, text, expected) in [
            (Type::Date, "2024-2-9 12:00", "2024-02-09"),
            (
                Type::Timestamp,
                "2024-02-09T12:00:00.250",
                "2024-02-09 12:00:00.25",
            ),
            (
                Type::Timestamptz,
                "2024-02-09 12:00+02",
                "2024-02-09 10:00:00+00:00",
            ),
            (Type::Time, "7:05", "07:05:00"),
            (Type::Time, "12:30:15+02", "12:30:15"),
            (Type::Date, "2024-02-09 +02", "2024-02-09"),
            (
                Type::Timestamp,
                "2024-02-09 12:00:00.25-08",
                "2024-02-09 12:00:00.25",
            ),
            (Type::Timestamptz, "2024-02-09 +02", "2024-02-08 22:00:00+00:00"),
        ] {
            assert_eq!(canonical(type_, text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(canonical(Type::Date, "now"), None);
    }
}
