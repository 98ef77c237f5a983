//! Namespaces, the database, roles.

use bellwether_types::extension::{RowKey, View};
use bellwether_types::{Facts, ObjectId, Value};

use super::value::{flag, number, oid, text};
use super::{Definition, INFORMATION_SCHEMA, OWNER, OWNER_NAME, PG_CATALOG, PUBLIC};

pub(super) const NAMESPACE: Definition = Definition::of_schema(
    |_| {
        (0..NAMESPACES.len() as u32)
            .map(|at| RowKey([at, 0, 0]))
            .collect()
    },
    namespace_value,
    &["oid", "nspname"],
);
pub(super) const DATABASE: Definition = Definition::of_session(|_| vec![RowKey::default()], database_value);
pub(super) const ROLE: Definition = Definition::of_session(
    |view| {
        (0..roles(view.facts).len() as u32)
            .map(|at| RowKey([at, 0, 0]))
            .collect()
    },
    role_value,
);

/// Number and name.
pub(super) const NAMESPACES: [(u32, &str); 3] = [
    (PG_CATALOG, "pg_catalog"),
    (PUBLIC, "public"),
    (INFORMATION_SCHEMA, "information_schema"),
];

/// The database's number: that of `postgres` in a fresh PostgreSQL.
pub(super) const DATABASE_ID: u32 = 5;
/// UTF8 in PostgreSQL's list.
pub(super) const UTF8: u32 = 6;

/// A role other than the owner: there is one at most, the session's own.
const SESSION_ROLE: u32 = 16_383;

fn namespace_value(_: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let (id, name) = NAMESPACES[row.0[0] as usize];
    Some(match column {
        "oid" => number(id),
        "nspname" => text(name),
        "nspowner" => number(OWNER),
        _ => return None,
    })
}

fn database_value(view: &View<'_>, _: RowKey, column: &str) -> Option<Value> {
    Some(match column {
        "oid" => number(DATABASE_ID),
        "datname" => text(view.facts.database.as_str()),
        "datdba" => number(OWNER),
        "encoding" => number(UTF8),
        "datlocprovider" => text("c"),
        "datallowconn" => flag(true),
        "datconnlimit" => number(-1),
        "dattablespace" => number(1663),
        "datcollate" | "datctype" => text("C"),
        _ => return None,
    })
}

/// Number and name of the roles that a session knows.
pub(super) fn roles(facts: &Facts) -> Vec<(ObjectId, &str)> {
    let mut roles = vec![(ObjectId(OWNER), OWNER_NAME)];
    if facts.user != OWNER_NAME && !facts.user.is_empty() {
        roles.push((ObjectId(SESSION_ROLE), &facts.user));
    }
    roles
}

/// A role's name.
pub(super) fn role_name(facts: &Facts, id: ObjectId) -> Option<&str> {
    let roles = roles(facts);
    roles
        .into_iter()
        .find(|(known, _)| *known == id)
        .map(|(_, name)| name)
}

/// A role's number.
pub(super) fn role_id(facts: &Facts, name: &str) -> Option<ObjectId> {
    let roles = roles(facts);
    roles
        .into_iter()
        .find(|(_, known)| *known == name)
        .map(|(id, _)| id)
}

fn role_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let (id, name) = *roles(view.facts).get(row.0[0] as usize)?;
    Some(match column {
        "oid" | "usesysid" => oid(id),
        "rolname" | "usename" => text(name),
        "rolsuper" | "rolinherit" | "rolcreaterole" | "rolcreatedb" | "rolcanlogin" | "rolbypassrls"
        | "usesuper" | "usecreatedb" | "usebypassrls" => flag(true),
        "rolreplication" | "userepl" => flag(false),
        "rolconnlimit" => number(-1),
        "rolpassword" | "passwd" => text("********"),
        _ => return None,
    })
}
