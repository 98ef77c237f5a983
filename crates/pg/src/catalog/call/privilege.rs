//! Questions about what may be done and what is found. A role is a superuser, or may write everything, or read
//! everything, or neither; there are no privileges on single tables.

use bellwether_types::{ErrorKind, Facts, RoleFacts, SqlError, Value, ValueRef};

use super::{Answer, Args, id_of};
use crate::catalog::role::{role_id, role_name};
use crate::catalog::value::flag;

/// NULL for NULL.
fn answer(args: Args<'_, '_>, is_so: impl FnOnce() -> Result<bool, SqlError>) -> Answer {
    if args.contains(&ValueRef::Null) {
        return Ok(Value::Null);
    }
    is_so().map(flag)
}

pub(super) fn always(args: Args<'_, '_>, _: &Facts) -> Answer {
    answer(args, || Ok(true))
}

pub(super) fn never(args: Args<'_, '_>, _: &Facts) -> Answer {
    answer(args, || Ok(false))
}

/// What a role may do, by a privilege's name; `None`: there is no such privilege on such things.
type Rule = fn(&RoleFacts, &str) -> Option<bool>;

/// `[role,] thing, privileges`: whether the role has any of them. `things` is how many arguments name the thing.
fn check(args: Args<'_, '_>, facts: &Facts, things: usize, rule: Rule) -> Answer {
    answer(args, || {
        let privileges = args
            .last()
            .and_then(|privileges| privileges.as_str())
            .unwrap_or_default();
        let everything = RoleFacts {
            is_superuser: true,
            ..RoleFacts::default()
        };
        let role = match args.len() > things + 1 {
            true => named(args[0], facts)?,
            false => facts.role(),
        };
        // Nobody knows roles, or it is one that others are members of.
        let role = role.unwrap_or(&everything);
        let mut has_any = false;
        for privilege in privileges.split(',') {
            let name = privilege.trim().to_ascii_uppercase();
            let name = name.strip_suffix(" WITH GRANT OPTION").unwrap_or(&name);
            let Some(has) = rule(role, name) else {
                let message = format!("unrecognized privilege type: \"{}\"", privilege.trim());
                return Err(SqlError::new(ErrorKind::InvalidSetting, message));
            };
            has_any |= has || role.is_superuser;
        }
        Ok(has_any)
    })
}

/// The role of a name or number; `None`: nothing is known of it but that it is there.
fn named<'f>(role: ValueRef<'_>, facts: &'f Facts) -> Result<Option<&'f RoleFacts>, SqlError> {
    let name = match (id_of(role), role.as_str()) {
        (Some(id), _) => role_name(facts, id),
        (None, Some(name)) => role_id(facts, name).map(|_| name.to_owned()),
        (None, None) => None,
    };
    let Some(name) = name else {
        let message = format!("role \"{}\" does not exist", role.as_str().unwrap_or("?"));
        return Err(SqlError::new(ErrorKind::UndefinedRole, message));
    };
    Ok(facts.roles.iter().find(|role| role.name == name))
}

fn on_table(role: &RoleFacts, privilege: &str) -> Option<bool> {
    match privilege {
        "SELECT" => Some(role.may_read),
        "INSERT" | "UPDATE" | "DELETE" | "TRUNCATE" | "REFERENCES" | "TRIGGER" => Some(role.may_write),
        _ => None,
    }
}

pub(super) fn table(args: Args<'_, '_>, facts: &Facts) -> Answer {
    check(args, facts, 1, on_table)
}

pub(super) fn column(args: Args<'_, '_>, facts: &Facts) -> Answer {
    check(args, facts, 2, on_table)
}

pub(super) fn sequence(args: Args<'_, '_>, facts: &Facts) -> Answer {
    check(args, facts, 1, |role, privilege| match privilege {
        "USAGE" | "UPDATE" => Some(role.may_write),
        "SELECT" => Some(role.may_read),
        _ => None,
    })
}

pub(super) fn schema(args: Args<'_, '_>, facts: &Facts) -> Answer {
    check(args, facts, 1, |role, privilege| match privilege {
        "USAGE" => Some(true),
        "CREATE" => Some(role.may_write),
        _ => None,
    })
}

pub(super) fn database(args: Args<'_, '_>, facts: &Facts) -> Answer {
    check(args, facts, 1, |_, privilege| match privilege {
        "CONNECT" => Some(true),
        // There is no CREATE SCHEMA, and no temporary tables.
        "CREATE" | "TEMPORARY" | "TEMP" => Some(false),
        _ => None,
    })
}

/// Whether one role is a member of another: itself, what it was granted, and for a superuser all.
pub(super) fn has_role(args: Args<'_, '_>, facts: &Facts) -> Answer {
    answer(args, || {
        let is_third_party = args.len() > 2;
        let role = match is_third_party {
            true => named(args[0], facts)?,
            false => facts.role(),
        };
        let group = args[usize::from(is_third_party)];
        let group = match (id_of(group), group.as_str()) {
            (Some(id), _) => role_name(facts, id),
            (None, name) => name.map(str::to_owned),
        };
        let Some((role, group)) = role.zip(group) else {
            return Ok(true);
        };
        Ok(role.is_superuser || role.name == group || role.member_of.contains(&group.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bellwether_types::ObjectId;

    use super::*;

    fn facts(user: &str) -> Facts {
        let role = |id, name: &str, is_superuser, may_read, may_write| RoleFacts {
            id,
            name: name.to_owned(),
            is_superuser,
            may_read,
            may_write,
            ..RoleFacts::default()
        };
        Facts {
            user: user.to_owned(),
            roles: Arc::new(vec![
                role(10, "postgres", true, true, true),
                role(16_384, "writer", false, true, true),
                role(16_385, "reader", false, true, false),
                role(16_386, "nobody", false, false, false),
            ]),
            ..Facts::default()
        }
    }

    fn texts<'a>(texts: &'a [&'a str]) -> Vec<ValueRef<'a>> {
        texts.iter().map(|text| ValueRef::Text(text.as_bytes())).collect()
    }

    #[test]
    fn privileges_are_those_of_the_role() {
        let may = |user: &str, privileges: &str| {
            table(&texts(&["sheep", privileges]), &facts(user)).expect("known privileges")
                == Value::Integer(1)
        };
        for (user, expected) in [
            ("postgres", [true, true]),
            ("writer", [true, true]),
            ("reader", [true, false]),
            ("nobody", [false, false]),
        ] {
            assert_eq!(
                [may(user, "select"), may(user, "INSERT, UPDATE")],
                expected,
                "{user}"
            );
        }
        assert!(may("reader", "UPDATE, SELECT WITH GRANT OPTION"), "any of them");
    }

    #[test]
    fn another_roles_privileges_are_asked_for_by_name_and_number() {
        let facts = facts("postgres");
        let arguments = ["reader", "sheep", "INSERT"];
        let by_name = texts(&arguments);
        assert_eq!(table(&by_name, &facts).ok(), Some(Value::Integer(0)));
        let by_number = [&[ValueRef::Integer(16_384)], &by_name[1..]].concat();
        assert_eq!(table(&by_number, &facts).ok(), Some(Value::Integer(1)));
        let unknown = table(&texts(&["ghost", "sheep", "INSERT"]), &facts).expect_err("no such role");
        assert_eq!(unknown.kind, ErrorKind::UndefinedRole);
        let unknown = table(&texts(&["sheep", "SHEAR"]), &facts).expect_err("no such privilege");
        assert_eq!(unknown.kind, ErrorKind::InvalidSetting);
        let null = [&[ValueRef::Null], &by_name[1..]].concat();
        assert_eq!(table(&null, &facts).ok(), Some(Value::Null));
    }

    #[test]
    fn a_role_has_itself_and_a_superuser_has_all() {
        let has = |user: &str, group: &str| {
            has_role(&texts(&[group, "MEMBER"]), &facts(user)).expect("known roles") == Value::Integer(1)
        };
        assert!(has("postgres", "reader") && has("reader", "reader"));
        assert!(!has("reader", "postgres"));
    }

    /// The catalog's numbers and names agree.
    #[test]
    fn numbers_and_names_of_roles_lead_to_one_another() {
        let facts = facts("reader");
        assert_eq!(role_id(&facts, "writer"), Some(ObjectId(16_384)));
        assert_eq!(
            role_name(&facts, ObjectId(6181)).as_deref(),
            Some("pg_read_all_data")
        );
        assert_eq!(role_name(&facts, ObjectId(1)), None);
    }
}
