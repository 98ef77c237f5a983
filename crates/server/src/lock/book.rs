//! The roles of the cluster as this node's replica of the system database has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_pg::role::Membership;
use bellwether_pg::scram::Verifier;
use bellwether_session::settings::{ClusterValues, is_of_cluster};
use bellwether_types::{DatabaseId, ErrorKind, Position, RoleFacts, SqlError, Statement, Value};
use tokio::sync::watch;

use crate::node::Node;
use crate::replica::{ReplicaHandle, unreadable};
use crate::system::owned;

/// The grantee that is everyone; no role can have this name.
pub(crate) const PUBLIC: &str = "public";

/// A change is looked for so often even if nobody tells of one.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// What a role may do with the databases that it can connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rights {
    /// Only what touches no table.
    Nothing,
    /// Reads.
    Read,
    /// Reads, writes, changes of the schema.
    Write,
}

/// A role.
#[derive(Debug, Clone, Default)]
pub(crate) struct Role {
    /// Never given again while it exists.
    pub id: u32,
    pub superuser: bool,
    pub login: bool,
    pub verifier: Option<Verifier>,
    /// Sessions at one node; `None`: any number.
    pub connection_limit: Option<u32>,
    /// Seconds since 1970; the password is not taken later.
    pub valid_until: Option<i64>,
    pub memberships: BTreeSet<Membership>,
    /// ALTER ROLE … SET.
    pub settings: BTreeMap<String, String>,
}

impl Role {
    pub fn rights(&self) -> Rights {
        if self.superuser || self.memberships.contains(&Membership::WriteAll) {
            Rights::Write
        } else if self.memberships.contains(&Membership::ReadAll) {
            Rights::Read
        } else {
            Rights::Nothing
        }
    }

    fn facts(&self, name: &str) -> RoleFacts {
        let settings = self.settings.iter();
        RoleFacts {
            id: self.id,
            name: name.to_owned(),
            is_superuser: self.superuser,
            can_login: self.login,
            may_read: self.rights() >= Rights::Read,
            may_write: self.rights() >= Rights::Write,
            connection_limit: self.connection_limit,
            valid_until_us: self.valid_until.map(|seconds| seconds.saturating_mul(1_000_000)),
            member_of: self
                .memberships
                .iter()
                .map(|membership| membership.name())
                .collect(),
            settings: settings.map(|(name, value)| format!("{name}={value}")).collect(),
        }
    }

    pub fn is_monitor(&self) -> bool {
        self.superuser || self.memberships.contains(&Membership::Monitor)
    }
}

/// A database, and who may connect besides superusers.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub id: DatabaseId,
    pub connect: BTreeSet<String>,
    /// ALTER DATABASE … SET.
    pub settings: BTreeMap<String, String>,
}

/// All roles and databases at one position of the system database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roles {
    pub roles: BTreeMap<String, Role>,
    pub databases: BTreeMap<String, Database>,
    /// ALTER SYSTEM: where every session begins.
    pub defaults: BTreeMap<String, String>,
    /// ALTER SYSTEM: what holds for everybody.
    pub cluster: ClusterValues,
    /// The roles, as the catalog tells of them.
    pub facts: Arc<Vec<RoleFacts>>,
    /// At least everything up to here is in it.
    applied: Position,
}

impl Roles {
    /// Whether sessions of this role may go on.
    pub fn may_stay(&self, name: &str) -> bool {
        self.roles.get(name).is_some_and(|role| role.login)
    }

    pub fn rights(&self, name: &str) -> Rights {
        self.roles.get(name).map_or(Rights::Nothing, Role::rights)
    }

    /// The database of this name, if the role may connect to it.
    pub fn database_for(&self, user: &str, role: &Role, name: &str) -> Result<DatabaseId, SqlError> {
        let Some(database) = self.databases.get(name) else {
            let message = format!("database \"{name}\" does not exist");
            return Err(SqlError::new(ErrorKind::UndefinedDatabase, message)
                .with_hint("A fresh cluster has the database postgres."));
        };
        // The system database holds everyone's verifiers.
        let is_granted = database.id != DatabaseId::SYSTEM
            && (database.connect.contains(PUBLIC) || database.connect.contains(user));
        if role.superuser || is_granted {
            return Ok(database.id);
        }
        let message = format!("permission denied for database \"{name}\"");
        Err(SqlError::new(ErrorKind::Forbidden, message).with_detail("User does not have CONNECT privilege."))
    }
}

/// What this node knows of the roles, and how many sessions each has here.
pub(crate) struct RoleBook {
    current: watch::Sender<Arc<Roles>>,
    cluster: watch::Sender<ClusterValues>,
    sessions: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Default for RoleBook {
    fn default() -> RoleBook {
        RoleBook {
            current: watch::Sender::new(Arc::default()),
            cluster: watch::Sender::default(),
            sessions: Arc::default(),
        }
    }
}

/// A session of a role; counted until it is dropped.
pub(crate) struct ConnectionPermit {
    role: String,
    sessions: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut sessions = self.sessions.lock().expect("no holder of this lock panics");
        if let Some(count) = sessions.get_mut(&self.role) {
            *count -= 1;
            if *count == 0 {
                sessions.remove(&self.role);
            }
        }
    }
}

impl RoleBook {
    /// As last read; changes wake the receiver.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Roles>> {
        self.current.subscribe()
    }

    /// What holds for the whole cluster; changes wake the receiver.
    pub fn cluster(&self) -> watch::Receiver<ClusterValues> {
        self.cluster.subscribe()
    }

    /// The roles as last read, for the catalog.
    pub fn facts(&self) -> Arc<Vec<RoleFacts>> {
        Arc::clone(&self.current.borrow().facts)
    }

    /// What this node's replica has applied by now.
    pub async fn read(&self, system: &ReplicaHandle) -> Result<Arc<Roles>, SqlError> {
        let applied = system.published.applied();
        let current = Arc::clone(&self.current.borrow());
        if current.applied == applied && !current.roles.is_empty() {
            return Ok(current);
        }
        let roles = Arc::new(load(system, applied).await?);
        // Of two that read at the same time the later one counts.
        self.current.send_if_modified(|current| {
            let is_newer = roles.applied.index >= current.applied.index;
            if is_newer {
                *current = Arc::clone(&roles);
                self.cluster.send_if_modified(|cluster| {
                    let is_other = *cluster != roles.cluster;
                    cluster.clone_from(&roles.cluster);
                    is_other
                });
            }
            is_newer
        });
        Ok(roles)
    }

    /// Counts a session of the role, unless it has as many as it may.
    pub fn admit(&self, name: &str, role: &Role) -> Result<ConnectionPermit, SqlError> {
        let mut sessions = self.sessions.lock().expect("no holder of this lock panics");
        let count = sessions.entry(name.to_owned()).or_default();
        if !role.superuser && role.connection_limit.is_some_and(|limit| *count >= limit) {
            if *count == 0 {
                sessions.remove(name);
            }
            let message = format!("too many connections for role \"{name}\"");
            return Err(SqlError::new(ErrorKind::TooManyConnections, message));
        }
        *count += 1;
        Ok(ConnectionPermit {
            role: name.to_owned(),
            sessions: Arc::clone(&self.sessions),
        })
    }
}

/// Keeps the book up to date, so that open sessions hear of changes; until stopped.
pub(super) async fn follow(node: Arc<Node>) {
    let system = node.system();
    while !node.stop.is_asked() {
        let mut next = system.published.applied();
        next.index = next.index.next();
        if let Err(error) = node.lock.book.read(system).await
            && error.kind != ErrorKind::NoLeader
        {
            tracing::warn!(%error, "the roles could not be read");
            tokio::time::sleep(LOOK_PERIOD).await;
        }
        tokio::select! {
            () = node.stop.asked() => {}
            _ = system.wait_applied(next, LOOK_PERIOD) => {}
        }
    }
}

/// A client that comes before the system database is there.
pub(super) fn starting() -> SqlError {
    SqlError::new(ErrorKind::NoLeader, "the database system is starting up")
        .with_hint("Try again in a moment.")
}

async fn load(system: &ReplicaHandle, applied: Position) -> Result<Roles, SqlError> {
    let mut reader = system.readers.get().await.map_err(|error| unreadable(&error))?;
    reader
        .begin_snapshot()
        .map_err(bellwether_storage::StorageError::into_sql_error)?;
    let mut roles = Roles {
        applied,
        ..Roles::default()
    };
    let mut rows = |sql: &str, row: &mut dyn FnMut(&[Value])| -> Result<(), SqlError> {
        let mut cursor = reader
            .open_cursor(&Statement::new(sql))
            .map_err(|error| match error.kind {
                ErrorKind::UndefinedTable => starting(),
                _ => error,
            })?;
        let columns = cursor.columns().len();
        while cursor.step()? {
            let values: Vec<Value> = (0..columns).map(|column| owned(cursor.value(column))).collect();
            row(&values);
        }
        Ok(())
    };
    rows(
        "SELECT name, superuser, login, password, connection_limit, valid_until, id FROM roles",
        &mut |row| {
            roles.roles.insert(text(&row[0]), role(row));
        },
    )?;
    rows("SELECT role, granted FROM memberships", &mut |row| {
        if let (Some(role), Some(granted)) = (
            roles.roles.get_mut(&text(&row[0])),
            Membership::named(&text(&row[1])),
        ) {
            role.memberships.insert(granted);
        }
    })?;
    rows("SELECT role, name, value FROM role_settings", &mut |row| {
        if let Some(role) = roles.roles.get_mut(&text(&row[0])) {
            role.settings.insert(text(&row[1]), text(&row[2]));
        }
    })?;
    rows(
        "SELECT d.name, d.id, g.role FROM databases d LEFT JOIN connect_grants g ON g.database = d.id",
        &mut |row| {
            let id = integer(&row[1]).and_then(|id| u32::try_from(id).ok());
            let database = roles.databases.entry(text(&row[0])).or_insert_with(|| Database {
                id: DatabaseId(id.unwrap_or(u32::MAX)),
                connect: BTreeSet::new(),
                settings: BTreeMap::new(),
            });
            database.connect.insert(text(&row[2]));
        },
    )?;
    load_settings(&mut roles, &mut rows)?;
    reader.end_snapshot();
    roles.facts = Arc::new(roles.roles.iter().map(|(name, role)| role.facts(name)).collect());
    if roles.roles.is_empty() {
        return Err(starting());
    }
    Ok(roles)
}

type Rows<'a> = dyn FnMut(&str, &mut dyn FnMut(&[Value])) -> Result<(), SqlError> + 'a;

/// What is there twice counts from left to right: the cluster's, the database's, the role's, the connection's own.
fn load_settings(roles: &mut Roles, rows: &mut Rows<'_>) -> Result<(), SqlError> {
    rows("SELECT name, value FROM settings", &mut |row| {
        let (name, value) = (text(&row[0]), text(&row[1]));
        match is_of_cluster(&name) {
            // It was checked before it was written.
            true => drop(roles.cluster.assign(&name, &value)),
            false => drop(roles.defaults.insert(name, value)),
        }
    })?;
    rows(
        "SELECT d.name, s.name, s.value FROM database_settings s JOIN databases d ON d.id = s.database",
        &mut |row| {
            if let Some(database) = roles.databases.get_mut(&text(&row[0])) {
                database.settings.insert(text(&row[1]), text(&row[2]));
            }
        },
    )
}

fn role(row: &[Value]) -> Role {
    Role {
        superuser: integer(&row[1]) == Some(1),
        login: integer(&row[2]) == Some(1),
        verifier: Verifier::parse(&text(&row[3])),
        connection_limit: integer(&row[4]).and_then(|limit| u32::try_from(limit).ok()),
        valid_until: integer(&row[5]),
        id: integer(&row[6])
            .and_then(|id| u32::try_from(id).ok())
            .unwrap_or(0),
        ..Role::default()
    }
}

/// Empty for NULL.
fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        _ => String::new(),
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles() -> Roles {
        let database = |id, connect: &[&str]| Database {
            id,
            settings: BTreeMap::new(),
            connect: connect.iter().map(|role| (*role).to_owned()).collect(),
        };
        Roles {
            databases: BTreeMap::from([
                (
                    "bellwether".to_owned(),
                    database(DatabaseId::SYSTEM, &[PUBLIC, "ada"]),
                ),
                ("postgres".to_owned(), database(DatabaseId::POSTGRES, &["ada"])),
            ]),
            ..Roles::default()
        }
    }

    #[test]
    fn the_system_database_is_the_superusers_whatever_is_granted() {
        let superuser = Role {
            superuser: true,
            ..Role::default()
        };
        assert_eq!(
            roles().database_for("root", &superuser, "bellwether").ok(),
            Some(DatabaseId::SYSTEM)
        );
        let refused = roles().database_for("ada", &Role::default(), "bellwether");
        assert_eq!(refused.expect_err("not a superuser").kind, ErrorKind::Forbidden);
    }

    #[test]
    fn connect_is_needed_for_a_database() {
        let role = Role::default();
        assert_eq!(
            roles().database_for("ada", &role, "postgres").ok(),
            Some(DatabaseId::POSTGRES)
        );
        let refused = roles().database_for("bob", &role, "postgres");
        assert_eq!(refused.expect_err("not granted").kind, ErrorKind::Forbidden);
        let refused = roles().database_for("bob", &role, "nowhere");
        assert_eq!(refused.expect_err("not there").kind, ErrorKind::UndefinedDatabase);
    }

    #[test]
    fn sessions_of_a_role_are_counted_and_given_back() {
        let book = RoleBook::default();
        let role = Role {
            connection_limit: Some(1),
            ..Role::default()
        };
        let first = book.admit("ada", &role).expect("the first");
        let refused = book.admit("ada", &role).err().expect("the second");
        assert_eq!(refused.kind, ErrorKind::TooManyConnections);
        drop(first);
        drop(book.admit("ada", &role).expect("the first again"));
        assert!(book.sessions.lock().expect("no panic").is_empty());
    }
}
