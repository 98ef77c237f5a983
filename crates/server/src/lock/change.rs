//! CREATE, ALTER, DROP ROLE, GRANT and REVOKE as one transaction of the system database.

use std::sync::Arc;

use super::book::{PUBLIC, Roles};
use crate::node::Node;
use crate::random::{no_randomness, random_array};
use crate::system;
use bellwether_pg::role::{Membership, Password, Privilege, RoleCommand, RoleName, RoleOptions, ValidUntil};
use bellwether_pg::scram::Verifier;
use bellwether_session::Settings;
use bellwether_types::{ClusterId, DatabaseId, ErrorKind, SqlError, Statement, Value};

/// A connection limit in the table that is none.
const NO_LIMIT: i64 = -1;

/// Carries out a command of `actor`'s, wherever the leader is. When this returns, logins at this node see it.
pub(crate) async fn change_role(
    node: &Arc<Node>,
    actor: &str,
    command: RoleCommand,
    settings: &Settings,
) -> Result<(), SqlError> {
    let system = node.system();
    let roles = node.lock.book.read(system).await?;
    let statements = Plan {
        roles: &roles,
        actor,
        cluster: node.identity.cluster,
        statements: Vec::new(),
    }
    .of(command)?;
    if statements.is_empty() {
        return Ok(());
    }
    system::change(node, statements, settings).await?;
    node.lock.book.read(system).await?;
    Ok(())
}

/// What a command means for the tables.
struct Plan<'a> {
    roles: &'a Roles,
    actor: &'a str,
    cluster: ClusterId,
    statements: Vec<Statement>,
}

impl Plan<'_> {
    fn of(mut self, command: RoleCommand) -> Result<Vec<Statement>, SqlError> {
        if !self.is_superuser() && !self.is_own_password(&command) {
            let message = format!("permission denied: {} is for superusers", command.tag());
            return Err(SqlError::new(ErrorKind::Forbidden, message)
                .with_hint("Everyone may change their own password: ALTER ROLE CURRENT_USER PASSWORD '…'."));
        }
        match command {
            RoleCommand::Create { name, options } => self.create(name, options)?,
            RoleCommand::Alter { role, options } => {
                let name = self.existing(&role)?;
                self.alter(&name, options)?;
            }
            RoleCommand::Set { role, setting, value } => {
                let name = self.existing(&role)?;
                self.set(&name, setting, value)?;
            }
            RoleCommand::ResetAll { role } => {
                let name = self.existing(&role)?;
                self.run("DELETE FROM role_settings WHERE role = $1", [text(&name)]);
            }
            RoleCommand::Drop { names, if_exists } => self.drop(names, if_exists)?,
            RoleCommand::Grant { privilege, roles } => self.grant(&privilege, &roles, true)?,
            RoleCommand::Revoke { privilege, roles } => self.grant(&privilege, &roles, false)?,
        }
        Ok(self.statements)
    }

    fn is_superuser(&self) -> bool {
        self.roles
            .roles
            .get(self.actor)
            .is_some_and(|role| role.superuser)
    }

    /// What psql's `\password` sends.
    fn is_own_password(&self, command: &RoleCommand) -> bool {
        let RoleCommand::Alter { role, options } = command else {
            return false;
        };
        let is_own = match role {
            RoleName::Current => true,
            RoleName::Named(name) => name == self.actor,
            RoleName::Public => false,
        };
        let only_password = RoleOptions {
            password: options.password.clone(),
            ..RoleOptions::default()
        };
        is_own && *options == only_password
    }

    fn run(&mut self, sql: &str, parameters: impl IntoIterator<Item = Value>) {
        self.statements
            .push(Statement::bound(sql, parameters.into_iter().collect()));
    }

    fn create(&mut self, name: String, options: RoleOptions) -> Result<(), SqlError> {
        if self.roles.roles.contains_key(&name) {
            let message = format!("role \"{name}\" already exists");
            return Err(SqlError::new(ErrorKind::DuplicateRole, message));
        }
        self.run(
            "INSERT INTO roles (name, superuser, login, connection_limit, id) \
             SELECT $1, 0, 0, $2, max(16383, max(id)) + 1 FROM roles",
            [text(&name), Value::Integer(NO_LIMIT)],
        );
        self.alter(&name, options)
    }

    fn alter(&mut self, name: &str, options: RoleOptions) -> Result<(), SqlError> {
        // Superuser before login and the other way round: neither order may leave nobody in between.
        for (column, value) in [("login", options.login), ("superuser", options.superuser)] {
            if let Some(value) = value {
                self.run(
                    &format!("UPDATE roles SET {column} = $1 WHERE name = $2"),
                    [Value::Integer(i64::from(value)), text(name)],
                );
            }
        }
        if let Some(password) = options.password {
            let verifier = password.map(|password| verifier(&password)).transpose()?;
            let value = verifier.map_or(Value::Null, |verifier| Value::Text(verifier.to_string()));
            self.run(
                "UPDATE roles SET password = $1 WHERE name = $2",
                [value, text(name)],
            );
        }
        if let Some(limit) = options.connection_limit {
            self.run(
                "UPDATE roles SET connection_limit = $1 WHERE name = $2",
                [Value::Integer(i64::from(limit)), text(name)],
            );
        }
        if let Some(valid_until) = options.valid_until {
            let value = match valid_until {
                ValidUntil::Forever => Value::Null,
                ValidUntil::UnixSeconds(seconds) => Value::Integer(seconds),
            };
            self.run(
                "UPDATE roles SET valid_until = $1 WHERE name = $2",
                [value, text(name)],
            );
        }
        Ok(())
    }

    fn set(&mut self, name: &str, setting: String, value: Option<String>) -> Result<(), SqlError> {
        let setting = setting.to_ascii_lowercase();
        let Some(value) = value else {
            self.run(
                "DELETE FROM role_settings WHERE role = $1 AND name = $2",
                [text(name), Value::Text(setting)],
            );
            return Ok(());
        };
        if setting == bellwether_session::settings::SESSION_TOKEN {
            let message = format!("parameter \"{setting}\" cannot be set for a role");
            return Err(SqlError::new(ErrorKind::InvalidSetting, message));
        }
        // What no session takes is refused now, not at each login.
        Settings::new(self.cluster, name).start(&setting, &value)?;
        self.run(
            "INSERT INTO role_settings VALUES ($1, $2, $3) ON CONFLICT DO UPDATE SET value = excluded.value",
            [text(name), Value::Text(setting), Value::Text(value)],
        );
        Ok(())
    }

    fn drop(&mut self, names: Vec<String>, if_exists: bool) -> Result<(), SqlError> {
        for name in names {
            if name == self.actor {
                return Err(SqlError::new(
                    ErrorKind::RoleInUse,
                    "current user cannot be dropped",
                ));
            }
            match self.existing(&RoleName::Named(name.clone())) {
                Ok(_) => {}
                Err(_) if if_exists => continue,
                Err(error) => return Err(error),
            }
            for sql in [
                "DELETE FROM memberships WHERE role = $1",
                "DELETE FROM role_settings WHERE role = $1",
                "DELETE FROM connect_grants WHERE role = $1",
                "DELETE FROM roles WHERE name = $1",
            ] {
                self.run(sql, [text(&name)]);
            }
        }
        Ok(())
    }

    fn grant(&mut self, privilege: &Privilege, grantees: &[RoleName], give: bool) -> Result<(), SqlError> {
        for grantee in grantees {
            match privilege {
                Privilege::Memberships(memberships) => {
                    let name = self.existing(grantee)?;
                    for membership in memberships {
                        self.grant_membership(&name, *membership, give);
                    }
                }
                Privilege::Connect(databases) => {
                    let name = match grantee {
                        RoleName::Public => PUBLIC.to_owned(),
                        other => self.existing(other)?,
                    };
                    for database in databases {
                        self.grant_connect(&name, database, give)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn grant_membership(&mut self, name: &str, membership: Membership, give: bool) {
        let sql = if give {
            "INSERT OR IGNORE INTO memberships VALUES ($1, $2)"
        } else {
            "DELETE FROM memberships WHERE role = $1 AND granted = $2"
        };
        self.run(sql, [text(name), text(membership.name())]);
    }

    fn grant_connect(&mut self, name: &str, database: &str, give: bool) -> Result<(), SqlError> {
        let Some(found) = self.roles.databases.get(database) else {
            let message = format!("database \"{database}\" does not exist");
            return Err(SqlError::new(ErrorKind::UndefinedDatabase, message));
        };
        if found.id == DatabaseId::SYSTEM && give {
            let message = format!("the database \"{database}\" is for superusers only");
            return Err(SqlError::new(ErrorKind::NotSupported, message)
                .with_hint("It holds what passwords are checked with."));
        }
        let sql = if give {
            "INSERT OR IGNORE INTO connect_grants VALUES ($1, $2)"
        } else {
            "DELETE FROM connect_grants WHERE database = $1 AND role = $2"
        };
        self.run(sql, [Value::Integer(i64::from(found.id.0)), text(name)]);
        Ok(())
    }

    fn existing(&self, role: &RoleName) -> Result<String, SqlError> {
        let name = match role {
            RoleName::Named(name) => name.as_str(),
            RoleName::Current => self.actor,
            RoleName::Public => PUBLIC,
        };
        if self.roles.roles.contains_key(name) {
            return Ok(name.to_owned());
        }
        let message = format!("role \"{name}\" does not exist");
        Err(SqlError::new(ErrorKind::UndefinedRole, message))
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Hashed here and now; or hashed already, by the client.
fn verifier(password: &Password) -> Result<Verifier, SqlError> {
    let Password(text) = password;
    if let Some(verifier) = Verifier::parse(text) {
        return Ok(verifier);
    }
    let is_md5 = text.len() == 35 && text.starts_with("md5");
    if is_md5 || text.starts_with("SCRAM-SHA-256$") {
        let message = "this hashed password cannot be used";
        return Err(SqlError::new(ErrorKind::NotSupported, message).with_hint(
            "Send the password itself, or a well-formed SCRAM-SHA-256 verifier; MD5 is not supported.",
        ));
    }
    if text.is_empty() {
        let message = "empty string is not a valid password";
        return Err(
            SqlError::new(ErrorKind::InvalidSetting, message).with_hint("PASSWORD NULL takes it away.")
        );
    }
    let salt = random_array().map_err(no_randomness)?;
    // Milliseconds of work: others' statements go on beside it.
    Ok(tokio::task::block_in_place(|| Verifier::new(text, salt)))
}
