//! The grammar of roles: CREATE, ALTER, DROP ROLE and USER, GRANT, REVOKE.

use bellwether_types::lexer::{Token, TokenKind};
use bellwether_types::{ErrorKind, SqlError};

use super::Command;
use super::reader::Reader;
use crate::cluster::ClusterCommand;
use crate::role::{Membership, Password, Privilege, RoleCommand, RoleName, RoleOptions, ValidUntil};

/// A name in PostgreSQL has at most so many bytes.
const MAX_NAME_BYTES: usize = 63;

const ONLY_GRANTS: &str = "GRANT pg_read_all_data, pg_write_all_data or pg_monitor TO a role, or GRANT CONNECT ON \
                           DATABASE. There are no privileges on single tables.";

/// Attributes that no role has, or that each has: saying so changes nothing.
const AS_IT_IS: [&str; 7] = [
    "INHERIT",
    "NOCREATEDB",
    "NOCREATEROLE",
    "NOREPLICATION",
    "NOBYPASSRLS",
    "ENCRYPTED",
    "WITH",
];

/// Attributes that are not built.
const NOT_BUILT: [&str; 9] = [
    "NOINHERIT",
    "CREATEDB",
    "CREATEROLE",
    "REPLICATION",
    "BYPASSRLS",
    "IN",
    "ROLE",
    "ADMIN",
    "USER",
];

impl<'a, I: Iterator<Item = Token<'a>>> Reader<'a, I> {
    /// After CREATE, ALTER or DROP; `None`: it is not about roles.
    pub(super) fn role_statement(&mut self, verb: &str) -> Result<Option<Command>, SqlError> {
        let Some(word) = self.any_word(&["ROLE", "USER", "GROUP"]) else {
            return Ok(None);
        };
        let command = match verb {
            _ if word == "GROUP" => Err(not_supported("GROUP", "Say ROLE.")),
            "CREATE" => self.create_role(word == "USER"),
            "ALTER" => self.alter_role(),
            _ => self.drop_role(),
        };
        command.map(Some)
    }

    /// USER means LOGIN.
    fn create_role(&mut self, is_user: bool) -> Result<Command, SqlError> {
        let name = self.new_role_name()?;
        let mut options = self.role_options()?;
        options.login.get_or_insert(is_user);
        Ok(role_command(RoleCommand::Create { name, options }))
    }

    fn alter_role(&mut self) -> Result<Command, SqlError> {
        if self.word("ALL") {
            return Err(not_supported("ALTER ROLE ALL", "Alter the roles one by one."));
        }
        let role = self.role_name()?;
        if self.word("IN") {
            let hint = "Settings of a role are the same in every database.";
            return Err(not_supported("ALTER ROLE … IN DATABASE", hint));
        }
        if self.word("RENAME") {
            let hint = "Create the new role and drop the old one.";
            return Err(not_supported("ALTER ROLE … RENAME", hint));
        }
        let command = match self.any_word(&["SET", "RESET"]) {
            Some("SET") => match self.set()? {
                Command::Set { name, value, .. } => RoleCommand::Set {
                    role,
                    setting: name,
                    value,
                },
                _ => {
                    return Err(not_supported(
                        "this SET in ALTER ROLE",
                        "Name one setting and its value.",
                    ));
                }
            },
            Some(_) => match self.reset()? {
                Command::Reset(setting) => RoleCommand::Set {
                    role,
                    setting,
                    value: None,
                },
                _ => RoleCommand::ResetAll { role },
            },
            None => RoleCommand::Alter {
                role,
                options: self.role_options()?,
            },
        };
        Ok(role_command(command))
    }

    fn drop_role(&mut self) -> Result<Command, SqlError> {
        let if_exists = self.word("IF");
        if if_exists {
            self.expect("EXISTS")?;
        }
        let names = self.list(Self::name)?;
        Ok(role_command(RoleCommand::Drop { names, if_exists }))
    }

    pub(super) fn grant(&mut self) -> Result<Command, SqlError> {
        let privilege = self.privilege()?;
        self.expect("TO")?;
        let roles = self.list(Self::grantee)?;
        if self.word("WITH") || self.word("GRANTED") {
            let hint = "Superusers grant; nobody else can.";
            return Err(not_supported("passing grants on", hint));
        }
        Ok(role_command(RoleCommand::Grant { privilege, roles }))
    }

    pub(super) fn revoke(&mut self) -> Result<Command, SqlError> {
        let privilege = self.privilege()?;
        self.expect("FROM")?;
        let roles = self.list(Self::grantee)?;
        // Nothing depends on a grant, so the two mean the same.
        self.any_word(&["CASCADE", "RESTRICT"]);
        Ok(role_command(RoleCommand::Revoke { privilege, roles }))
    }

    fn privilege(&mut self) -> Result<Privilege, SqlError> {
        let names = self.list(Self::name)?;
        if !self.word("ON") {
            let memberships = names.iter().map(|name| {
                Membership::named(name)
                    .ok_or_else(|| not_supported(&format!("membership in \"{name}\""), ONLY_GRANTS))
            });
            return Ok(Privilege::Memberships(memberships.collect::<Result<_, _>>()?));
        }
        if !self.word("DATABASE") || names != ["connect"] {
            return Err(not_supported("this privilege", ONLY_GRANTS));
        }
        Ok(Privilege::Connect(self.list(Self::name)?))
    }

    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, SqlError>,
    ) -> Result<Vec<T>, SqlError> {
        let mut items = vec![item(self)?];
        while self.operator(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn new_role_name(&mut self) -> Result<String, SqlError> {
        let name = self.name()?;
        let complaint = if name.len() > MAX_NAME_BYTES {
            format!("role names have at most {MAX_NAME_BYTES} bytes")
        } else if name.starts_with("pg_") || matches!(name.as_str(), "" | "public" | "none") {
            format!("role name \"{name}\" is reserved")
        } else {
            return Ok(name);
        };
        Err(SqlError::new(ErrorKind::InvalidSetting, complaint).with_hint("Choose another."))
    }

    fn role_name(&mut self) -> Result<RoleName, SqlError> {
        match self.any_word(&["CURRENT_USER", "CURRENT_ROLE", "SESSION_USER"]) {
            Some(_) => Ok(RoleName::Current),
            None => Ok(RoleName::Named(self.name()?)),
        }
    }

    fn grantee(&mut self) -> Result<RoleName, SqlError> {
        if self.word("PUBLIC") {
            return Ok(RoleName::Public);
        }
        self.role_name()
    }

    fn role_options(&mut self) -> Result<RoleOptions, SqlError> {
        let mut options = RoleOptions::default();
        while let Some(token) = self.tokens.peek().copied() {
            if token.kind == TokenKind::Semicolon {
                break;
            }
            let is_repeated = if let Some(word) = self.any_word(&["LOGIN", "NOLOGIN"]) {
                options.login.replace(word == "LOGIN").is_some()
            } else if let Some(word) = self.any_word(&["SUPERUSER", "NOSUPERUSER"]) {
                options.superuser.replace(word == "SUPERUSER").is_some()
            } else if self.word("PASSWORD") {
                let password = self.password()?;
                options.password.replace(password).is_some()
            } else if self.word("CONNECTION") {
                let limit = self.connection_limit()?;
                options.connection_limit.replace(limit).is_some()
            } else if self.word("VALID") {
                let valid_until = self.valid_until()?;
                options.valid_until.replace(valid_until).is_some()
            } else if self.any_word(&AS_IT_IS).is_some() {
                false
            } else if let Some(word) = self.any_word(&NOT_BUILT) {
                let hint = "A role is LOGIN or not, SUPERUSER or not; for the rest see GRANT.";
                return Err(not_supported(&format!("{word} of a role"), hint));
            } else {
                return Err(self.unexpected());
            };
            if is_repeated {
                return Err(SqlError::new(
                    ErrorKind::Syntax,
                    "conflicting or redundant options",
                ));
            }
        }
        Ok(options)
    }

    fn password(&mut self) -> Result<Option<Password>, SqlError> {
        if self.word("NULL") {
            return Ok(None);
        }
        // Not by way of `unexpected`: that would repeat what may be a badly quoted password.
        let message = "PASSWORD needs a text in single quotes, or NULL";
        let text = self
            .text()
            .ok_or_else(|| SqlError::new(ErrorKind::Syntax, message))?;
        Ok(Some(Password(text)))
    }

    fn connection_limit(&mut self) -> Result<i32, SqlError> {
        self.expect("LIMIT")?;
        let sign = if self.operator("-") { "-" } else { "" };
        let token = self.tokens.next_if(|token| token.kind == TokenKind::Number);
        let token = token.ok_or_else(|| self.unexpected())?;
        let limit = format!("{sign}{}", token.text)
            .parse()
            .ok()
            .filter(|limit| *limit >= -1);
        limit.ok_or_else(|| {
            let message = format!("invalid connection limit: {sign}{}", token.text);
            SqlError::new(ErrorKind::InvalidSetting, message).with_hint("-1 is no limit.")
        })
    }

    fn valid_until(&mut self) -> Result<ValidUntil, SqlError> {
        self.expect("UNTIL")?;
        let text = self.text().ok_or_else(|| self.unexpected())?;
        ValidUntil::parse(&text).ok_or_else(|| {
            let message = format!("invalid input syntax for type timestamp with time zone: \"{text}\"");
            SqlError::new(ErrorKind::InvalidText, message)
                .with_hint("Write 2030-12-31 23:59:59+00, or infinity.")
        })
    }

    pub(super) fn text(&mut self) -> Option<String> {
        let token = self.tokens.next_if(|token| token.kind == TokenKind::Text)?;
        Some(token.unquoted())
    }
}

fn role_command(command: RoleCommand) -> Command {
    Command::Cluster(Box::new(ClusterCommand::Role(command)))
}

fn not_supported(what: &str, hint: &str) -> SqlError {
    SqlError::new(ErrorKind::NotSupported, format!("{what} is not supported")).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(sql: &str) -> RoleCommand {
        match Command::parse(sql) {
            Ok(Command::Cluster(command)) => match *command {
                ClusterCommand::Role(command) => command,
                other => panic!("{other:?}"),
            },
            other => panic!("{sql}: {other:?}"),
        }
    }

    fn named(name: &str) -> RoleName {
        RoleName::Named(name.to_owned())
    }

    #[test]
    fn a_user_logs_in_and_a_role_does_not_unless_it_says_so() {
        let login = |sql| match parse(sql) {
            RoleCommand::Create { name, options } => (name, options.login),
            other => panic!("{other:?}"),
        };
        assert_eq!(login("CREATE USER ada"), ("ada".to_owned(), Some(true)));
        assert_eq!(
            login("create role \"Ada L\" with nosuperuser;"),
            ("Ada L".to_owned(), Some(false))
        );
        assert_eq!(
            login("CREATE ROLE ada LOGIN INHERIT NOCREATEDB"),
            ("ada".to_owned(), Some(true))
        );
    }

    #[test]
    fn all_options_are_read() {
        let sql = "ALTER USER ada WITH SUPERUSER NOLOGIN ENCRYPTED PASSWORD 'it''s' CONNECTION LIMIT -1 \
                   VALID UNTIL '2030-01-01'";
        let options = RoleOptions {
            login: Some(false),
            superuser: Some(true),
            password: Some(Some(Password("it's".to_owned()))),
            connection_limit: Some(-1),
            valid_until: Some(ValidUntil::UnixSeconds(1_893_456_000)),
        };
        let role = named("ada");
        assert_eq!(parse(sql), RoleCommand::Alter { role, options });
        let options = RoleOptions {
            password: Some(None),
            ..RoleOptions::default()
        };
        let role = RoleName::Current;
        assert_eq!(
            parse("ALTER ROLE CURRENT_USER PASSWORD NULL"),
            RoleCommand::Alter { role, options }
        );
    }

    #[test]
    fn settings_of_a_role_are_set_and_reset() {
        let set = |value: Option<&str>| RoleCommand::Set {
            role: named("ada"),
            setting: "statement_timeout".to_owned(),
            value: value.map(str::to_owned),
        };
        assert_eq!(
            parse("ALTER ROLE ada SET statement_timeout = '5s'"),
            set(Some("5s"))
        );
        assert_eq!(
            parse("ALTER ROLE ada SET statement_timeout TO DEFAULT"),
            set(None)
        );
        assert_eq!(parse("ALTER ROLE ada RESET statement_timeout"), set(None));
        assert_eq!(
            parse("ALTER ROLE ada RESET ALL"),
            RoleCommand::ResetAll { role: named("ada") }
        );
    }

    #[test]
    fn roles_are_dropped_by_the_list() {
        let names = vec!["ada".to_owned(), "Bob".to_owned()];
        let if_exists = true;
        assert_eq!(
            parse("DROP USER IF EXISTS ada, \"Bob\""),
            RoleCommand::Drop { names, if_exists }
        );
    }

    #[test]
    fn grants_are_memberships_or_connect() {
        let privilege = Privilege::Memberships(vec![Membership::ReadAll, Membership::Monitor]);
        let roles = vec![named("ada")];
        let expected = RoleCommand::Grant { privilege, roles };
        assert_eq!(parse("GRANT pg_read_all_data, pg_monitor TO ada"), expected);
        let privilege = Privilege::Connect(vec!["postgres".to_owned()]);
        let roles = vec![RoleName::Public];
        let expected = RoleCommand::Revoke { privilege, roles };
        assert_eq!(
            parse("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC CASCADE"),
            expected
        );
    }

    #[test]
    fn what_is_not_built_is_refused_with_a_hint() {
        for sql in [
            "CREATE ROLE ada CREATEDB",
            "CREATE ROLE ada IN ROLE bob",
            "ALTER ROLE ada RENAME TO bob",
            "ALTER ROLE ALL SET a.b = 1",
            "ALTER ROLE ada IN DATABASE d SET a.b = 1",
            "GRANT SELECT ON t TO ada",
            "GRANT ALL ON DATABASE d TO ada",
            "GRANT bob TO ada",
            "GRANT pg_read_all_data TO ada WITH ADMIN OPTION",
            "CREATE GROUP g",
        ] {
            let error = Command::parse(sql).expect_err(sql);
            assert_eq!(error.kind, ErrorKind::NotSupported, "{sql}: {error}");
            assert!(error.hint.is_some(), "{sql}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let long = format!("CREATE ROLE {}", "a".repeat(64));
        for sql in [
            "CREATE ROLE",
            "CREATE ROLE pg_ada",
            "CREATE ROLE public",
            &long,
            "CREATE ROLE ada LOGIN NOLOGIN",
            "CREATE ROLE ada CONNECTION LIMIT -2",
            "CREATE ROLE ada VALID UNTIL 'soon'",
            "CREATE ROLE ada LOGIN nonsense",
            "DROP ROLE",
            "GRANT pg_monitor FROM ada",
        ] {
            let error = Command::parse(sql).expect_err(sql);
            assert_ne!(error.kind, ErrorKind::NotSupported, "{sql}: {error}");
        }
    }

    #[test]
    fn a_password_is_told_neither_in_errors_nor_in_what_is_printed_for_debugging() {
        let error = Command::parse("CREATE ROLE ada PASSWORD s3cret").expect_err("not quoted");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        let command = Command::parse("CREATE ROLE ada PASSWORD 's3cret'");
        assert!(!format!("{command:?}").contains("s3cret"), "{command:?}");
    }
}
