//! Functions of numbers, and the greatest and least of anything.

use std::cmp::Ordering;

use bellwether_types::{Value, ValueRef};

use super::{Answer, Args, as_integer, as_real, invalid, out_of_range, strict};

/// SQLite's order: numbers, texts, blobs.
fn compare(left: &ValueRef<'_>, right: &ValueRef<'_>) -> Ordering {
    let class = |value: &ValueRef<'_>| match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 1,
        ValueRef::Text(_) => 2,
        ValueRef::Blob(_) => 3,
    };
    match (left, right) {
        (ValueRef::Integer(left), ValueRef::Integer(right)) => left.cmp(right),
        (ValueRef::Real(left), ValueRef::Real(right)) => left.total_cmp(right),
        (ValueRef::Integer(left), ValueRef::Real(right)) => (*left as f64).total_cmp(right),
        (ValueRef::Real(left), ValueRef::Integer(right)) => left.total_cmp(&(*right as f64)),
        (ValueRef::Text(left), ValueRef::Text(right)) | (ValueRef::Blob(left), ValueRef::Blob(right)) => {
            left.cmp(right)
        }
        _ => class(left).cmp(&class(right)),
    }
}

/// NULLs are passed over; SQLite's `max` of several would be NULL.
pub(super) fn greatest(args: Args<'_, '_>) -> Answer {
    let greatest = args
        .iter()
        .filter(|arg| **arg != ValueRef::Null)
        .max_by(|left, right| compare(left, right));
    greatest.map_or(Ok(Value::Null), |value| value.to_value())
}

pub(super) fn least(args: Args<'_, '_>) -> Answer {
    let least = args
        .iter()
        .filter(|arg| **arg != ValueRef::Null)
        .min_by(|left, right| compare(left, right));
    least.map_or(Ok(Value::Null), |value| value.to_value())
}

pub(super) fn cbrt(args: Args<'_, '_>) -> Answer {
    strict(args, || Ok(Value::Real(as_real(&args[0])?.cbrt())))
}

/// The whole part of a quotient.
pub(super) fn div(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        if let (ValueRef::Integer(left), ValueRef::Integer(right)) = (args[0], args[1]) {
            return match left.checked_div(right) {
                Some(quotient) => Ok(Value::Integer(quotient)),
                None if right == 0 => Err(out_of_range("division by zero")),
                None => Err(out_of_range("bigint out of range")),
            };
        }
        let divisor = as_real(&args[1])?;
        if divisor == 0.0 {
            return Err(out_of_range("division by zero"));
        }
        Ok(Value::Real((as_real(&args[0])? / divisor).trunc()))
    })
}

/// `trunc(x, digits)`: towards zero.
pub(super) fn trunc(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        let digits = i32::try_from(as_integer(&args[1])?.clamp(-300, 300)).unwrap_or(0);
        if let (ValueRef::Integer(_), 0..) = (args[0], digits) {
            return args[0].to_value();
        }
        let number = as_real(&args[0])?;
        // Of the digits that the number is written with: 0.29 * 100 is a little below 29.
        let rounded = super::cast::round_to(number, digits);
        let unit = 10f64.powi(-digits);
        let is_beyond = rounded.abs() > number.abs() * (1.0 + 2.0 * f64::EPSILON);
        let truncated = if is_beyond {
            rounded - unit.copysign(number)
        } else {
            rounded
        };
        Ok(Value::Real(super::cast::round_to(truncated, digits)))
    })
}

pub(super) fn bit_xor(args: Args<'_, '_>) -> Answer {
    strict(args, || {
        Ok(Value::Integer(as_integer(&args[0])? ^ as_integer(&args[1])?))
    })
}

pub(super) fn to_hex(args: Args<'_, '_>) -> Answer {
    strict(args, || match args[0] {
        ValueRef::Integer(number) => Ok(Value::Text(format!("{number:x}"))),
        _ => Err(invalid("to_hex takes a whole number")),
    })
}
