//! Namespaces, the database, roles.

use bellwether_types::extension::{RowKey, View};
use bellwether_types::{Facts, ObjectId, RoleFacts, Value};

use super::value::{flag, number, text, timestamp};
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
pub(super) const ROLE: Definition = Definition::of_session(role_rows, role_value);
pub(super) const USER: Definition = Definition::of_session(user_rows, role_value);
pub(super) const MEMBER: Definition = Definition::of_session(member_rows, member_value);
pub(super) const SETTING: Definition = Definition::of_session(setting_rows, setting_value);

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

/// Numbers and names of the roles that are there from the beginning, for others to be members of.
const PREDEFINED: [(u32, &str); 3] = [
    (3373, "pg_monitor"),
    (6181, "pg_read_all_data"),
    (6182, "pg_write_all_data"),
];

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

/// A role, as the catalog lists it.
enum Listed<'a> {
    Predefined(u32, &'static str),
    Known(&'a RoleFacts),
    /// Where nobody knows roles: the owner, and who asks.
    Assumed(u32, &'a str),
}

impl Listed<'_> {
    fn id(&self) -> u32 {
        match self {
            Listed::Predefined(id, _) | Listed::Assumed(id, _) => *id,
            Listed::Known(role) => role.id,
        }
    }

    fn name(&self) -> &str {
        match self {
            Listed::Predefined(_, name) => name,
            Listed::Known(role) => &role.name,
            Listed::Assumed(_, name) => name,
        }
    }

    fn known(&self) -> Option<&RoleFacts> {
        match self {
            Listed::Known(role) => Some(role),
            _ => None,
        }
    }

    fn is_superuser(&self) -> bool {
        match self {
            Listed::Predefined(..) => false,
            Listed::Known(role) => role.is_superuser,
            Listed::Assumed(..) => true,
        }
    }

    fn can_login(&self) -> bool {
        match self {
            Listed::Predefined(..) => false,
            Listed::Known(role) => role.can_login,
            Listed::Assumed(..) => true,
        }
    }
}

/// Who asks where nobody knows roles.
const ASSUMED: u32 = 16_383;

fn roles(facts: &Facts) -> Vec<Listed<'_>> {
    let mut roles: Vec<Listed<'_>> = PREDEFINED.map(|(id, name)| Listed::Predefined(id, name)).into();
    roles.extend(facts.roles.iter().map(Listed::Known));
    if facts.roles.is_empty() {
        roles.push(Listed::Assumed(OWNER, OWNER_NAME));
        if facts.user != OWNER_NAME && !facts.user.is_empty() {
            roles.push(Listed::Assumed(ASSUMED, &facts.user));
        }
    }
    roles
}

/// A role's name.
pub(super) fn role_name(facts: &Facts, id: ObjectId) -> Option<String> {
    let roles = roles(facts);
    let found = roles.iter().find(|role| role.id() == id.0);
    found.map(|role| role.name().to_owned())
}

/// A role's number.
pub(super) fn role_id(facts: &Facts, name: &str) -> Option<ObjectId> {
    let roles = roles(facts);
    let found = roles.iter().find(|role| role.name() == name);
    found.map(|role| ObjectId(role.id()))
}

fn role_rows(view: &View<'_>) -> Vec<RowKey> {
    (0..roles(view.facts).len() as u32)
        .map(|at| RowKey([at, 0, 0]))
        .collect()
}

/// Those that may log in.
fn user_rows(view: &View<'_>) -> Vec<RowKey> {
    let roles = roles(view.facts);
    let rows = (0..).zip(&roles).filter(|(_, role)| role.can_login());
    rows.map(|(at, _)| RowKey([at, 0, 0])).collect()
}

fn role_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let roles = roles(view.facts);
    let role = roles.get(row.0[0] as usize)?;
    Some(match column {
        "oid" | "usesysid" => number(role.id()),
        "rolname" | "usename" => text(role.name()),
        "rolsuper" | "usesuper" | "rolcreaterole" | "rolcreatedb" | "usecreatedb" | "rolbypassrls"
        | "usebypassrls" => flag(role.is_superuser()),
        "rolinherit" => flag(true),
        "rolcanlogin" => flag(role.can_login()),
        "rolreplication" | "userepl" => flag(false),
        "rolconnlimit" => number(
            role.known()
                .and_then(|role| role.connection_limit)
                .map_or(-1, i64::from),
        ),
        "rolpassword" | "passwd" => text("********"),
        "rolvaliduntil" | "valuntil" => timestamp(role.known()?.valid_until_us?),
        "rolconfig" | "useconfig" => settings(&role.known()?.settings)?,
        _ => return None,
    })
}

/// As an array of texts; `None` for none.
fn settings(settings: &[String]) -> Option<Value> {
    let quote = |setting: &String| {
        let escaped = setting.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{escaped}\"")
    };
    let quoted: Vec<String> = settings.iter().map(quote).collect();
    (!quoted.is_empty()).then(|| text(format!("{{{}}}", quoted.join(","))))
}

fn member_rows(view: &View<'_>) -> Vec<RowKey> {
    let of = |(at, role): (u32, &RoleFacts)| {
        (0..role.member_of.len() as u32).map(move |place| RowKey([at, place, 0]))
    };
    (0..).zip(view.facts.roles.iter()).flat_map(of).collect()
}

fn member_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let role = view.facts.roles.get(row.0[0] as usize)?;
    let group = *role.member_of.get(row.0[1] as usize)?;
    Some(match column {
        "roleid" => number(PREDEFINED.iter().find(|(_, name)| *name == group)?.0),
        "member" => number(role.id),
        "grantor" => number(OWNER),
        "admin_option" => flag(false),
        _ => return None,
    })
}

fn setting_rows(view: &View<'_>) -> Vec<RowKey> {
    let roles = (0..).zip(view.facts.roles.iter());
    let set = roles.filter(|(_, role)| !role.settings.is_empty());
    set.map(|(at, _)| RowKey([at, 0, 0])).collect()
}

fn setting_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let role = view.facts.roles.get(row.0[0] as usize)?;
    Some(match column {
        "setdatabase" => number(0),
        "setrole" => number(role.id),
        "setconfig" => settings(&role.settings)?,
        _ => return None,
    })
}
