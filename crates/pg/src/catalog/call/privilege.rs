//! Questions about what may be done and what is found. Every role that is let in may do everything.

use bellwether_types::{Facts, Value, ValueRef};

use super::{Answer, Args};

pub(super) fn always(args: Args<'_, '_>, _: &Facts) -> Answer {
    Ok(if args.contains(&ValueRef::Null) {
        Value::Null
    } else {
        Value::Integer(1)
    })
}

pub(super) fn never(args: Args<'_, '_>, _: &Facts) -> Answer {
    Ok(if args.contains(&ValueRef::Null) {
        Value::Null
    } else {
        Value::Integer(0)
    })
}
