//! Values of catalog tables, spelt shortly.

use std::time::Duration;

use bellwether_types::{ObjectId, Value};

/// A number.
pub(super) fn number(value: impl Into<i64>) -> Value {
    Value::Integer(value.into())
}

/// A count or a place, which memory bounds far below what a number holds.
pub(super) fn count(value: usize) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

/// A bool is 0 or 1.
pub(super) fn flag(value: bool) -> Value {
    Value::Integer(i64::from(value))
}

/// A text.
pub(super) fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

/// An object's number.
pub(super) fn oid(value: ObjectId) -> Value {
    Value::Integer(i64::from(value.0))
}

/// `YES` or `NO`, as `information_schema` has it.
pub(super) fn yes(value: bool) -> Value {
    text(if value { "YES" } else { "NO" })
}

/// Or NULL.
pub(super) fn or_null(value: Option<Value>) -> Value {
    value.unwrap_or_default()
}

/// `1 2`: int2vector, oidvector.
pub(super) fn vector(values: impl Iterator<Item = i64>) -> Value {
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    Value::Text(values.join(" "))
}

/// `{1,2}`: int2[].
pub(super) fn array(values: impl Iterator<Item = i64>) -> Value {
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    Value::Text(format!("{{{}}}", values.join(",")))
}

/// A moment, from microseconds since 1970, as PostgreSQL prints a timestamptz in UTC.
pub(super) fn timestamp(unix_us: i64) -> Value {
    let (days, of_day_us) = (
        unix_us.div_euclid(86_400_000_000),
        unix_us.rem_euclid(86_400_000_000),
    );
    // Days since 0000-03-01, in eras of 400 years (the proleptic Gregorian calendar).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (second, us) = (of_day_us / 1_000_000, of_day_us % 1_000_000);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Value::Text(format!(
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{us:06}+00"
    ))
}

/// A length of time, as PostgreSQL prints an interval of hours and less.
pub(super) fn interval(length: Duration) -> Value {
    let (second, us) = (length.as_secs(), length.subsec_micros());
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Value::Text(format!("{hour:02}:{minute:02}:{second:02}.{us:06}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_printed_as_postgresql_does() {
        for (length, expected) in [
            (Duration::from_micros(1_234), "00:00:00.001234"),
            (Duration::from_secs(100 * 3600 + 61), "100:01:01.000000"),
        ] {
            assert_eq!(interval(length), text(expected));
        }
    }

    #[test]
    fn moments_are_printed_as_postgresql_does_in_utc() {
        for (unix_us, expected) in [
            (0, "1970-01-01 00:00:00.000000+00"),
            (951_782_400_000_001, "2000-02-29 00:00:00.000001+00"),
            (-1, "1969-12-31 23:59:59.999999+00"),
            (1_735_689_599_000_000, "2024-12-31 23:59:59.000000+00"),
        ] {
            assert_eq!(timestamp(unix_us), text(expected));
        }
    }
}
