//! Dates and times: texts, in UTC.

use bellwether_types::{SqlError, Value, ValueRef};

use super::cast::needs_text;
use super::civil::{DAY_US, Moment, SECOND_US, date_of, days_in_month, days_of, overflow, parse_time};
use super::interval::Span;
use super::{Answer, Args, as_integer, as_real, as_text, invalid, out_of_range, strict};

fn moment(value: &ValueRef<'_>, type_name: &str) -> Result<Moment, SqlError> {
    let text = needs_text(value, type_name)?;
    Moment::parse(&text).ok_or_else(|| {
        let shown: String = text.chars().take(100).collect();
        invalid(format!("invalid input syntax for type {type_name}: \"{shown}\""))
            .with_hint("Dates and times are written 2024-01-31 12:34:56.")
    })
}

pub(super) fn cast_date(args: Args<'_, '_>) -> Answer {
    strict(args, || Ok(Value::Text(moment(&args[0], "date")?.date())))
}

pub(super) fn cast_time(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let text = needs_text(&args[0], "time")?;
        let time_us = parse_time(text.trim()).or_else(|| Moment::parse(&text).map(|moment| moment.time_us));
        match time_us {
            Some(time_us) => {
                let moment = Moment {
                    days: 0,
                    time_us,
                    is_absolute: false,
                    has_time: true,
                };
                Ok(Value::Text(moment.time()))
            }
            None => moment(&args[0], "time").map(|moment| Value::Text(moment.time())),
        }
    })
}

pub(super) fn cast_timestamp(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let moment = moment(&args[0], "timestamp")?;
        Ok(Value::Text(
            Moment {
                is_absolute: false,
                ..moment
            }
            .stamp(),
        ))
    })
}

pub(super) fn cast_timestamptz(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let moment = moment(&args[0], "timestamp with time zone")?;
        Ok(Value::Text(
            Moment {
                is_absolute: true,
                ..moment
            }
            .stamp(),
        ))
    })
}

/// `date_trunc('month', x)`.
pub(super) fn trunc(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let field = as_text(&args[0])?.to_ascii_lowercase();
        let moment = moment(&args[1], "timestamp")?;
        let (year, month, _) = date_of(moment.days);
        let to_year = |year: i64| days_of(year.max(1), 1, 1);
        let to_unit = |unit_us: i64| moment.time_us - moment.time_us % unit_us;
        let (days, time_us) = match field.as_str() {
            "microseconds" => (moment.days, moment.time_us),
            "milliseconds" => (moment.days, to_unit(1000)),
            "second" => (moment.days, to_unit(SECOND_US)),
            "minute" => (moment.days, to_unit(60 * SECOND_US)),
            "hour" => (moment.days, to_unit(3600 * SECOND_US)),
            "day" => (moment.days, 0),
            // Day 0 was a Thursday.
            "week" => (moment.days - (moment.days + 3).rem_euclid(7), 0),
            "month" => (days_of(year, month, 1), 0),
            "quarter" => (days_of(year, (month - 1) / 3 * 3 + 1, 1), 0),
            "year" => (to_year(year), 0),
            "decade" => (to_year(year / 10 * 10), 0),
            "century" => (to_year((year - 1) / 100 * 100 + 1), 0),
            "millennium" => (to_year((year - 1) / 1000 * 1000 + 1), 0),
            other => return Err(unknown_unit(other)),
        };
        let truncated = Moment {
            days,
            time_us,
            ..moment
        };
        Ok(Value::Text(truncated.plus(0, 0).ok_or_else(overflow)?.stamp()))
    })
}

fn unknown_unit(unit: &str) -> SqlError {
    let shown: String = unit.chars().take(100).collect();
    invalid(format!("unit \"{shown}\" not recognized for type timestamp"))
}

/// A whole number as such, else with its fraction.
fn number(value_us: i64, unit_us: i64) -> Value {
    if value_us % unit_us == 0 {
        Value::Integer(value_us / unit_us)
    } else {
        Value::Real(value_us as f64 / unit_us as f64)
    }
}

/// `extract(field FROM x)`, `date_part('field', x)`: of a date, a timestamp or a time.
pub(super) fn part(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let field = as_text(&args[0])?.to_ascii_lowercase();
        let time = args[1].as_str().and_then(|text| parse_time(text.trim()));
        let moment = match time {
            Some(time_us) => Moment {
                days: 0,
                time_us,
                is_absolute: false,
                has_time: true,
            },
            None => moment(&args[1], "timestamp")?,
        };
        of_time(&field, moment)
            .or_else(|| of_date(&field, moment.days))
            .ok_or_else(|| unknown_unit(&field))
    })
}

fn of_time(field: &str, moment: Moment) -> Option<Value> {
    let time_us = moment.time_us;
    Some(match field {
        "hour" | "hours" => Value::Integer(time_us / (3600 * SECOND_US)),
        "minute" | "minutes" => Value::Integer(time_us / (60 * SECOND_US) % 60),
        "second" | "seconds" => number(time_us % (60 * SECOND_US), SECOND_US),
        "millisecond" | "milliseconds" => number(time_us % (60 * SECOND_US), 1000),
        "microsecond" | "microseconds" => Value::Integer(time_us % (60 * SECOND_US)),
        "epoch" => number(moment.days * DAY_US + time_us, SECOND_US),
        "timezone" | "timezone_hour" | "timezone_minute" => Value::Integer(0),
        _ => return None,
    })
}

fn of_date(field: &str, days: i64) -> Option<Value> {
    let (year, month, day) = date_of(days);
    Some(Value::Integer(match field {
        "year" | "years" => year,
        "month" | "months" => month,
        "day" | "days" => day,
        "quarter" => (month - 1) / 3 + 1,
        "decade" => year / 10,
        "century" => (year - 1) / 100 + 1,
        "millennium" => (year - 1) / 1000 + 1,
        "dow" => (days + 4).rem_euclid(7),
        "isodow" => iso_day(days),
        "doy" => days - days_of(year, 1, 1) + 1,
        "week" => iso_week(days).1,
        "isoyear" => iso_week(days).0,
        "julian" => days + 2_440_588,
        _ => return None,
    }))
}

/// Monday is 1.
pub(super) fn iso_day(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// Year and week: a week belongs to the year that has its Thursday.
pub(super) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days + 4 - iso_day(days);
    let (year, _, _) = date_of(thursday);
    (year, (thursday - days_of(year, 1, 1)) / 7 + 1)
}

/// `x AT TIME ZONE zone`: only UTC is known. What names its offset loses it, what does not gets it.
pub(super) fn timezone(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let zone = as_text(&args[0])?;
        let is_utc = [
            "utc",
            "gmt",
            "z",
            "zulu",
            "etc/utc",
            "etc/gmt",
            "greenwich",
            "uct",
            "+00",
            "+00:00",
            "00",
        ]
        .iter()
        .any(|name| zone.trim().eq_ignore_ascii_case(name));
        if !is_utc {
            let message = format!(
                "time zone \"{}\" is not supported",
                zone.chars().take(100).collect::<String>()
            );
            return Err(SqlError::new(bellwether_types::ErrorKind::NotSupported, message)
                .with_hint("Times are in UTC; convert them in the application."));
        }
        let moment = moment(&args[1], "timestamp")?;
        Ok(Value::Text(
            Moment {
                is_absolute: !moment.is_absolute,
                ..moment
            }
            .stamp(),
        ))
    })
}

/// A moment plus (1) or minus (-1) a span.
pub(super) fn add(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let moment = moment(&args[0], "timestamp")?;
        let text = as_text(&args[1])?;
        let wrong = || {
            let shown: String = text.chars().take(100).collect();
            invalid(format!("invalid input syntax for type interval: \"{shown}\""))
        };
        let mut span = Span::parse(&text).ok_or_else(wrong)?;
        if as_integer(&args[2])? < 0 {
            span = span.negated().ok_or_else(overflow)?;
        }
        Ok(Value::Text(moment.later(span).ok_or_else(overflow)?.stamp()))
    })
}

/// A date plus so many days.
pub(super) fn add_days(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let moment = moment(&args[0], "date")?;
        let later = moment.plus(as_integer(&args[1])?, 0).ok_or_else(overflow)?;
        Ok(Value::Text(later.date()))
    })
}

/// How many days one date is after another.
pub(super) fn difference(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        Ok(Value::Integer(
            moment(&args[0], "date")?.days - moment(&args[1], "date")?.days,
        ))
    })
}

fn date_from(args: Args<'_, '_>) -> Result<i64, SqlError> {
    let (year, month, day) = (
        as_integer(&args[0])?,
        as_integer(&args[1])?,
        as_integer(&args[2])?,
    );
    let is_date = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day);
    if is_date {
        Ok(days_of(year, month, day))
    } else {
        Err(out_of_range(format!(
            "date field value out of range: {year}-{month}-{day}"
        )))
    }
}

pub(super) fn make_date(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let moment = Moment {
            days: date_from(args)?,
            time_us: 0,
            is_absolute: false,
            has_time: false,
        };
        Ok(Value::Text(moment.date()))
    })
}

pub(super) fn make_timestamp(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let (hour, minute, second) = (as_integer(&args[3])?, as_integer(&args[4])?, as_real(&args[5])?);
        if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..60.0).contains(&second) {
            return Err(out_of_range(format!(
                "time field value out of range: {hour}:{minute}:{second}"
            )));
        }
        let seconds_us = (second * SECOND_US as f64).round() as i64;
        let time_us = (hour * 60 + minute) * 60 * SECOND_US + seconds_us;
        let moment = Moment {
            days: date_from(&args[..3])?,
            time_us: 0,
            is_absolute: false,
            has_time: true,
        };
        Ok(Value::Text(moment.plus(0, time_us).ok_or_else(overflow)?.stamp()))
    })
}

/// Of seconds since 1970.
pub(super) fn to_timestamp(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let us = as_real(&args[0])? * SECOND_US as f64;
        if us.abs() > 1e18 {
            return Err(overflow());
        }
        let epoch = Moment {
            days: 0,
            time_us: 0,
            is_absolute: true,
            has_time: true,
        };
        Ok(Value::Text(
            epoch.plus(0, us.round() as i64).ok_or_else(overflow)?.stamp(),
        ))
    })
}
