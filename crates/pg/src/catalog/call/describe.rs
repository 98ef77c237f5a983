//! Objects as text.

use bellwether_types::schema::Class;
use bellwether_types::{Facts, Schema, Value, ValueRef};

use super::{Answer, Args, id_of, maybe, number_of};
use crate::catalog::attribute::derived_id;
use crate::catalog::class::{AnyClass, index_column_name};
use crate::catalog::definition;
use crate::catalog::value::{flag, oid, text};
use crate::functions::quote::quoted_ident;

/// Expressions are kept as text.
pub(super) fn expression(args: Args<'_, '_>, _: &Facts) -> Answer {
    args[0].to_value()
}

fn own_class<'a>(schema: &'a Schema, value: ValueRef<'_>) -> Option<Class<'a>> {
    schema.class(id_of(value)?)
}

pub(super) fn index(args: Args<'_, '_>, schema: &Schema, _: &Facts) -> Answer {
    maybe(match own_class(schema, args[0]) {
        Some(Class::Index(relation, index)) => Some(text(definition::index(relation, index))),
        _ => None,
    })
}

/// Column 0 is the whole index.
pub(super) fn index_column(args: Args<'_, '_>, schema: &Schema, facts: &Facts) -> Answer {
    let Some(Class::Index(relation, index)) = own_class(schema, args[0]) else {
        return Ok(Value::Null);
    };
    let column = number_of(args[1]).unwrap_or(0);
    if column == 0 {
        return self::index(args, schema, facts);
    }
    let place = usize::try_from(column - 1).ok();
    maybe(place.and_then(|place| {
        let column = definition::index_column(relation, index, place)?;
        // A name stands as it is, an expression in its parentheses.
        Some(match index_column_name(relation, index, place) {
            "expr" => text(column),
            name => text(quoted_ident(name)),
        })
    }))
}

pub(super) fn constraint(args: Args<'_, '_>, schema: &Schema, _: &Facts) -> Answer {
    maybe(id_of(args[0]).and_then(|id| {
        let (relation, constraint) = schema.constraint(id)?;
        Some(text(definition::constraint(schema, relation, constraint)))
    }))
}

/// By number or by name.
pub(super) fn view(args: Args<'_, '_>, schema: &Schema, _: &Facts) -> Answer {
    let by_name = || schema.class_named(args[0].as_str()?);
    maybe(match own_class(schema, args[0]).or_else(by_name) {
        Some(Class::Relation(relation)) => Some(text(definition::view(relation))),
        _ => None,
    })
}

/// The rule that makes a view one.
pub(super) fn rule(args: Args<'_, '_>, schema: &Schema, _: &Facts) -> Answer {
    let Some(id) = id_of(args[0]) else {
        return Ok(Value::Null);
    };
    let mut relations = schema.relations().iter();
    maybe(
        relations
            .find(|relation| derived_id(relation.id, 0) == id)
            .map(|relation| {
                let name = quoted_ident(&relation.name);
                let query = definition::view(relation);
                text(format!(
                    "CREATE RULE \"_RETURN\" AS ON SELECT TO public.{name} DO INSTEAD {query}"
                ))
            }),
    )
}

pub(super) fn trigger(args: Args<'_, '_>, schema: &Schema, _: &Facts) -> Answer {
    maybe(id_of(args[0]).and_then(|id| Some(text(schema.trigger(id)?.1.sql.as_str()))))
}

fn any_class<'a>(schema: &'a Schema, value: ValueRef<'_>) -> Option<AnyClass<'a>> {
    AnyClass::of_id(schema, id_of(value)?)
}

pub(super) fn filenode(args: Args<'_, '_>, schema: &Schema, _: &Facts) -> Answer {
    maybe(
        any_class(schema, args[0])
            .filter(|class| class.kind() != "v")
            .map(|class| oid(class.id())),
    )
}

pub(super) fn is_publishable(args: Args<'_, '_>, schema: &Schema, _: &Facts) -> Answer {
    maybe(own_class(schema, args[0]).map(|class| flag(AnyClass::Own(class).kind() == "r")))
}

pub(super) fn is_table_visible(args: Args<'_, '_>, schema: &Schema, _: &Facts) -> Answer {
    maybe(any_class(schema, args[0]).map(|class| flag(class.is_visible(schema))))
}
