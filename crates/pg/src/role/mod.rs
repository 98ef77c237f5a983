//! What CREATE, ALTER and DROP ROLE, GRANT and REVOKE say. The driver carries it out: [`RoleCommand`] names roles, it
//! does not know which exist.

mod time;

use std::fmt;

pub use time::ValidUntil;

/// A password as the client sent it, or a verifier of one. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A role, by name or as the one who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleName {
    /// By name.
    Named(String),
    /// CURRENT_USER, CURRENT_ROLE, SESSION_USER.
    Current,
    /// PUBLIC: everyone. For grants only.
    Public,
}

/// What may be said of a role; `None`: not said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleOptions {
    /// LOGIN, NOLOGIN.
    pub login: Option<bool>,
    /// SUPERUSER, NOSUPERUSER.
    pub superuser: Option<bool>,
    /// PASSWORD; the inner `None`: NULL.
    pub password: Option<Option<Password>>,
    /// CONNECTION LIMIT, from -1 (none).
    pub connection_limit: Option<i32>,
    /// VALID UNTIL.
    pub valid_until: Option<ValidUntil>,
}

/// Roles that exist by themselves, to be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Membership {
    /// May read all tables.
    ReadAll,
    /// May read and write all tables, and change the schema.
    WriteAll,
    /// May see status and metrics.
    Monitor,
}

impl Membership {
    /// All of them.
    pub const ALL: [Membership; 3] = [Membership::ReadAll, Membership::WriteAll, Membership::Monitor];

    /// PostgreSQL's name.
    pub fn name(self) -> &'static str {
        match self {
            Membership::ReadAll => "pg_read_all_data",
            Membership::WriteAll => "pg_write_all_data",
            Membership::Monitor => "pg_monitor",
        }
    }

    /// Of that name.
    pub fn named(name: &str) -> Option<Membership> {
        Membership::ALL
            .into_iter()
            .find(|membership| membership.name() == name)
    }
}

/// What GRANT gives and REVOKE takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Privilege {
    /// Of predefined roles.
    Memberships(Vec<Membership>),
    /// CONNECT, on databases of these names.
    Connect(Vec<String>),
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleCommand {
    /// CREATE ROLE; of CREATE USER `login` is set.
    Create {
        /// Which.
        name: String,
        /// What it says.
        options: RoleOptions,
    },
    /// ALTER ROLE.
    Alter {
        /// Which.
        role: RoleName,
        /// What it says.
        options: RoleOptions,
    },
    /// ALTER ROLE … SET, or RESET where there is no value.
    Set {
        /// Which.
        role: RoleName,
        /// The setting.
        setting: String,
        /// Its value.
        value: Option<String>,
    },
    /// ALTER ROLE … RESET ALL.
    ResetAll {
        /// Which.
        role: RoleName,
    },
    /// DROP ROLE.
    Drop {
        /// Which.
        names: Vec<String>,
        /// IF EXISTS.
        if_exists: bool,
    },
    /// GRANT.
    Grant {
        /// What.
        privilege: Privilege,
        /// To whom.
        roles: Vec<RoleName>,
    },
    /// REVOKE.
    Revoke {
        /// What.
        privilege: Privilege,
        /// From whom.
        roles: Vec<RoleName>,
    },
}

impl RoleCommand {
    /// For CommandComplete.
    pub fn tag(&self) -> &'static str {
        match self {
            RoleCommand::Create { .. } => "CREATE ROLE",
            RoleCommand::Alter { .. } | RoleCommand::Set { .. } | RoleCommand::ResetAll { .. } => {
                "ALTER ROLE"
            }
            RoleCommand::Drop { .. } => "DROP ROLE",
            RoleCommand::Grant {
                privilege: Privilege::Memberships(_),
                ..
            } => "GRANT ROLE",
            RoleCommand::Grant { .. } => "GRANT",
            RoleCommand::Revoke {
                privilege: Privilege::Memberships(_),
                ..
            } => "REVOKE ROLE",
            RoleCommand::Revoke { .. } => "REVOKE",
        }
    }
}
