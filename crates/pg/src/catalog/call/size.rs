//! Sizes, in bytes and as people read them.
//!
//! NULL for what is not there, as in PostgreSQL, and for the system's own tables, which are nowhere.

use bellwether_types::schema::Class;
use bellwether_types::{Facts, Schema, SizeOf, Value, ValueRef};

use super::{Answer, Args, id_of, number_of};
use crate::catalog::role::DATABASE_ID;
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

/// By number or by name.
fn class_of<'a>(schema: &'a Schema, value: ValueRef<'_>) -> Option<Class<'a>> {
    let by_number = id_of(value).and_then(|id| schema.class(id));
    by_number.or_else(|| schema.class_named(value.as_str()?))
}

/// A table or an index. Of PostgreSQL's forks there is the main one.
pub(super) fn relation(args: Args<'_, '_>, schema: &Schema) -> Option<SizeOf> {
    let fork = args.get(1).and_then(|fork| fork.as_str());
    let class = class_of(schema, args[0]).filter(|_| fork.is_none_or(|fork| fork == "main"))?;
    Some(SizeOf::Tree(class.name().to_owned()))
}

/// None of an index.
pub(super) fn indexes(args: Args<'_, '_>, schema: &Schema) -> Option<SizeOf> {
    let class = class_of(schema, args[0])?;
    Some(SizeOf::Indexes(class.name().to_owned()))
}

pub(super) fn with_indexes(args: Args<'_, '_>, schema: &Schema) -> Option<SizeOf> {
    Some(match class_of(schema, args[0])? {
        Class::Relation(relation) => SizeOf::Table(relation.name.clone()),
        Class::Index(_, index) => SizeOf::Tree(index.name.clone()),
    })
}

/// Of the database of the session; others are not to be seen from here.
pub(super) fn database(args: Args<'_, '_>, schema: &Schema) -> Option<SizeOf> {
    let is_own = args[0].as_str() == Some(schema.database())
        || number_of(args[0]).is_some_and(|number| number == i64::from(DATABASE_ID));
    is_own.then_some(SizeOf::Database)
}
