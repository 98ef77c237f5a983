//! A session's settings: SET, SET LOCAL, RESET, SHOW with PostgreSQL's names, units and transaction rules.
//!
//! What SET changes in a transaction is undone when the transaction, or a savepoint in it, is rolled back; what
//! SET LOCAL changes ends with the transaction. A value that the product cannot honour is refused, never stored.

mod cluster;
mod parse;
mod table;
mod values;

use std::sync::Arc;

use bellwether_types::{ClusterId, DatabaseId, ErrorKind, LogFormat, Position, SqlError};

use crate::token::Token;
pub use cluster::{ClusterValues, is_of_cluster};
pub use table::{LOG_FORMAT, SESSION_TOKEN};
pub use values::{Kilobytes, Milliseconds, Values};

/// The version that clients compare features with, and our own.
pub const SERVER_VERSION: &str = concat!("15.0 (Bellwether ", env!("CARGO_PKG_VERSION"), ")");
/// The same as PostgreSQL's number.
pub const SERVER_VERSION_NUM: &str = "150000";

/// How long a SET lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetScope {
    /// `SET` and `SET SESSION`: the session, unless the transaction is rolled back.
    Session,
    /// `SET LOCAL`: the transaction.
    Local,
}

/// What is in force now, and what will be once the transaction commits (the same without SET LOCAL).
#[derive(Debug, Clone)]
struct State {
    current: Arc<Values>,
    after_commit: Arc<Values>,
}

/// A session's settings. Taking a savepoint costs two reference counts; a SET copies the values once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What RESET returns to: defaults, then the connection's options.
    initial: Arc<Values>,
    state: State,
    /// At the start of the transaction, then at each savepoint in it. Empty outside a transaction.
    saved: Vec<(Option<String>, State)>,
    token: Token,
    user: String,
    in_hot_standby: bool,
    log_format: LogFormat,
    is_superuser: bool,
    cluster: ClusterValues,
    revision: u64,
    token_revision: u64,
}

impl Settings {
    /// The defaults of a fresh session of `user`.
    pub fn new(cluster: ClusterId, user: &str) -> Settings {
        let initial = Arc::new(Values::default());
        let state = State {
            current: Arc::clone(&initial),
            after_commit: Arc::clone(&initial),
        };
        Settings {
            initial,
            state,
            saved: Vec::new(),
            token: Token::new(cluster),
            user: user.to_owned(),
            in_hot_standby: false,
            log_format: LogFormat::default(),
            is_superuser: true,
            cluster: ClusterValues::default(),
            revision: 0,
            token_revision: 0,
        }
    }

    /// Whose session it is.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The values in force.
    pub fn values(&self) -> &Values {
        &self.state.current
    }

    /// What the session has seen.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Remembers a position that the session has seen. Lives outside transactions: having seen is not undone.
    pub fn advance_token(&mut self, database: DatabaseId, position: Position) {
        if self.token.advance(database, position) {
            self.token_revision += 1;
        }
    }

    /// Says whether this node's replica follows (`on`) or leads.
    pub fn set_in_hot_standby(&mut self, in_hot_standby: bool) {
        if self.in_hot_standby != in_hot_standby {
            self.in_hot_standby = in_hot_standby;
            self.revision += 1;
        }
    }

    /// Says in what the database's log is written.
    pub fn set_log_format(&mut self, log_format: LogFormat) {
        if self.log_format != log_format {
            self.log_format = log_format;
            self.revision += 1;
        }
    }

    /// Says what holds for the whole cluster.
    pub fn set_cluster(&mut self, values: &ClusterValues) {
        if self.cluster != *values {
            self.cluster.clone_from(values);
            self.revision += 1;
        }
    }

    /// Says whether the user is a superuser; so it is by default.
    pub fn set_superuser(&mut self, is_superuser: bool) {
        if self.is_superuser != is_superuser {
            self.is_superuser = is_superuser;
            self.revision += 1;
        }
    }

    /// Grows whenever any setting but the token may have changed: reported values need comparing only then.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Grows whenever the token may have changed: with every commit, so apart from all else.
    pub fn token_revision(&self) -> u64 {
        self.token_revision
    }

    /// SET as a connection's option: RESET returns to it.
    pub fn start(&mut self, name: &str, value: &str) -> Result<(), SqlError> {
        self.set(SetScope::Session, name, value)?;
        self.initial = Arc::clone(&self.state.current);
        Ok(())
    }

    /// SET. Lists are one text with commas. Outside a transaction `SetScope::Local` changes nothing.
    pub fn set(&mut self, scope: SetScope, name: &str, value: &str) -> Result<(), SqlError> {
        if name.eq_ignore_ascii_case(SESSION_TOKEN) {
            self.token.merge(&Token::parse(value, self.token.cluster)?)?;
            self.token_revision += 1;
            return Ok(());
        }
        if !self.is_superuser && table::is_for_superusers(name) {
            let message = format!("permission denied to set parameter \"{name}\"");
            return Err(SqlError::new(ErrorKind::Forbidden, message)
                .with_hint("A superuser can set it for a role: ALTER ROLE … SET."));
        }
        if is_of_cluster(name) {
            return Err(of_cluster(name));
        }
        self.change(scope, name, |values| table::assign(values, name, value))
    }

    /// RESET, and SET … TO DEFAULT.
    pub fn reset(&mut self, scope: SetScope, name: &str) -> Result<(), SqlError> {
        if name.eq_ignore_ascii_case(SESSION_TOKEN) {
            self.forget_token();
            return Ok(());
        }
        if is_of_cluster(name) {
            return Err(of_cluster(name));
        }
        let initial = Arc::clone(&self.initial);
        self.change(scope, name, |values| table::restore(values, &initial, name))
    }

    /// RESET ALL.
    pub fn reset_all(&mut self) {
        self.forget_token();
        let mut initial = (*self.initial).clone();
        // What belongs to the running transaction stays, as in PostgreSQL.
        initial.transaction_read_only = self.state.current.transaction_read_only;
        initial.transaction_deferrable = self.state.current.transaction_deferrable;
        self.state.current = Arc::new(initial);
        self.state.after_commit = Arc::clone(&self.initial);
        self.revision += 1;
    }

    /// SHOW: the name as PostgreSQL spells it, and the value.
    pub fn show(&self, name: &str) -> Result<(String, String), SqlError> {
        let shown = self.show_of_session(name).or_else(|| self.cluster.show(name));
        if let Some(shown) = shown {
            return Ok(shown);
        }
        table::show(&self.state.current, name)
    }

    /// SHOW ALL: name, value, description, by name.
    pub fn show_all(&self) -> Vec<(String, String, String)> {
        let mut all: Vec<_> = table::all(&self.state.current)
            .map(|(name, value, description)| (name, value, description.to_owned()))
            .collect();
        for (name, description) in table::OF_SESSION.into_iter().chain(cluster::OF_CLUSTER) {
            let shown = self.show_of_session(name).or_else(|| self.cluster.show(name));
            let (name, value) = shown.expect("every row of the table is shown");
            all.push((name, value, description.to_owned()));
        }
        all.sort_by_key(|(name, ..)| name.to_ascii_lowercase());
        all
    }

    /// What PostgreSQL reports by ParameterStatus, name and value. The token ([`SESSION_TOKEN`]) is reported, too.
    pub fn reported(&self) -> impl Iterator<Item = (&'static str, String)> {
        table::REPORTED.iter().map(|&name| {
            let (_, value) = self.show(name).expect("every reported setting exists");
            (name, value)
        })
    }

    /// A transaction begins. Nothing if one is open.
    pub fn begin(&mut self) {
        if self.saved.is_empty() {
            self.saved.push((None, self.state.clone()));
        }
    }

    /// The transaction commits: SET LOCAL ends.
    pub fn commit(&mut self) {
        self.saved.clear();
        if !Arc::ptr_eq(&self.state.current, &self.state.after_commit) {
            self.state.current = Arc::clone(&self.state.after_commit);
            self.revision += 1;
        }
    }

    /// The transaction is rolled back: its SETs never were.
    pub fn rollback(&mut self) {
        self.saved.truncate(1);
        if let Some((_, state)) = self.saved.pop() {
            self.restore(state);
        }
    }

    /// A savepoint is taken.
    pub fn savepoint(&mut self, name: &str) {
        self.saved.push((Some(name.to_owned()), self.state.clone()));
    }

    /// Back to a savepoint, which stays. Nothing if there is none of that name.
    pub fn rollback_to(&mut self, name: &str) {
        if let Some(at) = self.savepoint_index(name) {
            let state = self.saved[at].1.clone();
            self.saved.truncate(at + 1);
            self.restore(state);
        }
    }

    /// A savepoint and those after it are forgotten, their SETs stay.
    pub fn release(&mut self, name: &str) {
        if let Some(at) = self.savepoint_index(name) {
            self.saved.truncate(at);
        }
    }

    /// The newest savepoint of that name; names compare as SQLite compares them.
    fn savepoint_index(&self, name: &str) -> Option<usize> {
        let is_it = |saved: &Option<String>| {
            saved
                .as_ref()
                .is_some_and(|saved| saved.eq_ignore_ascii_case(name))
        };
        self.saved.iter().rposition(|(saved, _)| is_it(saved))
    }

    fn restore(&mut self, state: State) {
        if !Arc::ptr_eq(&self.state.current, &state.current) {
            self.revision += 1;
        }
        self.state = state;
    }

    fn change(
        &mut self,
        scope: SetScope,
        name: &str,
        apply: impl Fn(&mut Values) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        let was_shared = Arc::ptr_eq(&self.state.current, &self.state.after_commit);
        let mut current = (*self.state.current).clone();
        apply(&mut current)?;
        let lasts = scope == SetScope::Session && !table::belongs_to_transaction(name);
        if !lasts && self.saved.is_empty() {
            return Ok(());
        }
        self.state.current = Arc::new(current);
        self.revision += 1;
        if lasts && was_shared {
            self.state.after_commit = Arc::clone(&self.state.current);
        } else if lasts {
            apply(Arc::make_mut(&mut self.state.after_commit))?;
        }
        Ok(())
    }

    fn forget_token(&mut self) {
        if !self.token.positions.is_empty() {
            self.token = Token::new(self.token.cluster);
            self.token_revision += 1;
        }
    }

    fn show_of_session(&self, name: &str) -> Option<(String, String)> {
        let (name, _) = table::OF_SESSION
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        let value = match *name {
            SESSION_TOKEN => self.token.to_string(),
            "is_superuser" => parse::on_off(self.is_superuser).to_owned(),
            LOG_FORMAT => self.log_format.name().to_owned(),
            "in_hot_standby" => parse::on_off(self.in_hot_standby).to_owned(),
            _ => self.user.clone(),
        };
        Some(((*name).to_owned(), value))
    }
}

/// 55P02.
fn of_cluster(name: &str) -> SqlError {
    let message = format!("parameter \"{name}\" cannot be changed now");
    SqlError::new(ErrorKind::ClusterSetting, message)
        .with_hint(format!("It is the whole cluster's: ALTER SYSTEM SET {name} = …."))
}

/// What the product does not do yet, by the setting that asks for it.
fn not_supported(name: &str, value: &str, hint: &str) -> SqlError {
    SqlError::new(
        ErrorKind::NotSupported,
        format!("{name} = \"{value}\" is not supported"),
    )
    .with_hint(hint)
}

/// A value outside the setting's domain.
fn invalid(name: &str, value: &str) -> SqlError {
    SqlError::new(
        ErrorKind::InvalidSetting,
        format!("invalid value for parameter \"{name}\": \"{value}\""),
    )
}
