//! Sizes as people read them.

use bellwether_types::{Facts, Value};

use super::{Answer, Args, number_of};
use crate::catalog::value::text;

/// PostgreSQL goes to the next unit at ten thousand of one, and rounds.
pub(super) fn pretty(args: Args<'_, '_>, _: &Facts) -> Answer {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let Some(bytes) = number_of(args[0]) else {
        return Ok(Value::Null);
    };
    let mut size = bytes as f64;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while size.abs() >= 10_240.0
        && let Some(next) = units.next()
    {
        size /= 1024.0;
        unit = Some(next);
    }
    Ok(text(format!("{} {}", size.round(), unit.unwrap_or(&"bytes"))))
}
