//! SQL functions that SQLite lacks: what they are called, what they may look at, how they are computed. The rooms
//! that know their meaning list them; `storage` registers them on its connections.
//!
//! Promises: nothing here has state, and a function is a pure function of what its [`Call`] says it sees.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::error::SqlError;
use crate::lost::LostWrite;
use crate::notification::Notification;
use crate::replication::ReplicationFacts;
use crate::schema::Schema;
use crate::value::{Value, ValueRef};

/// A scalar function of SQL.
#[derive(Debug, Clone, Copy)]
pub struct ScalarFunction {
    /// Lower case; SQLite finds it however the statement writes it.
    pub name: &'static str,
    /// How many arguments it takes. A name may be listed again with others.
    pub arguments: Arity,
    /// How it is computed.
    pub call: Call,
}

/// What a function sees besides its arguments, which decides where SQL may use it.
#[derive(Debug, Clone, Copy)]
pub enum Call {
    /// Nothing: equal arguments, equal answer, for ever. Indexes, generated columns and CHECKs may be made of it, so
    /// a later version must answer the same.
    Pure(fn(&[ValueRef<'_>]) -> Result<Value, SqlError>),
    /// The session that asks, by those of its facts that travel with it.
    Session(fn(&[ValueRef<'_>], &Facts) -> Result<Value, SqlError>),
    /// What the node knows besides the session's facts, and other nodes may not: roles, its own version.
    Node(fn(&[ValueRef<'_>], &Facts) -> Result<Value, SqlError>),
    /// The schema as the statement sees it, and the session.
    Schema(fn(&[ValueRef<'_>], &Schema, &Facts) -> Result<Value, SqlError>),
    /// The schema, to tell whose bytes in the replica's file it answers; `None`: NULL.
    Size(fn(&[ValueRef<'_>], &Schema) -> Option<SizeOf>),
    /// The session that asks; it answers the empty text, and what it makes is told to listeners when the transaction is
    /// committed. Only statements that may write can call it.
    Notify(fn(&[ValueRef<'_>], &Facts) -> Result<Notification, SqlError>),
}

/// Whose bytes are counted. Names are as they were created; what has no pages of its own counts none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SizeOf {
    /// All pages, free ones too.
    Database,
    /// A table without its indexes, or an index.
    Tree(String),
    /// A table's indexes.
    Indexes(String),
    /// A table and its indexes.
    Table(String),
}

impl Call {
    /// Whether equal arguments give equal answers for ever.
    pub fn is_deterministic(self) -> bool {
        matches!(self, Call::Pure(_))
    }
}

/// How many arguments a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arity {
    /// At least.
    pub min: u8,
    /// At most; `None`: as many as SQLite lets through.
    pub max: Option<u8>,
}

impl Arity {
    /// So many.
    pub const fn exactly(count: u8) -> Arity {
        Arity::between(count, count)
    }

    /// From so many to so many.
    pub const fn between(min: u8, max: u8) -> Arity {
        Arity { min, max: Some(max) }
    }

    /// So many and more.
    pub const fn at_least(min: u8) -> Arity {
        Arity { min, max: None }
    }

    /// Whether it takes so many.
    pub fn takes(self, count: usize) -> bool {
        count >= usize::from(self.min) && self.max.is_none_or(|max| count <= usize::from(max))
    }
}

/// What functions and catalog tables tell about the session that asks. It travels with the session: a statement
/// that runs at the leader for a client of another node is told that client's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Who asks.
    pub user: String,
    /// The database's name.
    pub database: String,
    /// The number in the key that cancels the session's statements.
    pub backend_pid: i32,
    /// Whether the client's node follows.
    pub is_in_recovery: bool,
    /// When the client's node started, in microseconds since 1970.
    pub server_started_at_us: i64,
    /// When the session began, in microseconds since 1970.
    pub session_started_at_us: i64,
    /// Where the client connects from; `None`: not over IP.
    pub client: Option<Endpoint>,
    /// Where it connected to.
    pub server: Option<Endpoint>,
    /// Settings of the session that differ from a fresh session's, by name.
    pub settings: BTreeMap<String, String>,
    /// The roles of the cluster, by name, as the node where the statement runs knows them: not sent along. None at all:
    /// nobody asks whether anything is allowed.
    pub roles: Arc<Vec<RoleFacts>>,
    /// Of the database, at the node where the statement runs; not sent along. As of the last statement that named it.
    pub replication: Arc<ReplicationFacts>,
    /// The ledger, at the node where the statement runs; not sent along. As of the last statement that named it.
    pub lost_writes: Arc<Vec<LostWrite>>,
    /// The id of the running transaction, as of the last statement that asked for it.
    pub transaction: String,
    /// Whether that has been given to the leader.
    pub has_writer: bool,
    /// What became of transactions that the statement asks about, by the id that it has for each.
    pub outcomes: BTreeMap<String, String>,
}

/// What is told of a role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleFacts {
    /// Unique among roles, for as long as it exists.
    pub id: u32,
    /// Unique, too.
    pub name: String,
    /// May do everything.
    pub is_superuser: bool,
    /// May log in.
    pub can_login: bool,
    /// May read all tables.
    pub may_read: bool,
    /// May write all tables and change the schema.
    pub may_write: bool,
    /// Sessions at one node; `None`: any number.
    pub connection_limit: Option<u32>,
    /// When its password ends, in microseconds since 1970.
    pub valid_until_us: Option<i64>,
    /// Names of the predefined roles that it is a member of.
    pub member_of: Vec<&'static str>,
    /// `name=value`, as ALTER ROLE … SET has set them.
    pub settings: Vec<String>,
}

/// An IP address and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// As text.
    pub address: String,
    /// TCP.
    pub port: u16,
}

impl Facts {
    /// The role that asks, if roles are known.
    pub fn role(&self) -> Option<&RoleFacts> {
        self.roles.iter().find(|role| role.name == self.user)
    }

    /// Appends all fields but the roles, the replication and the ledger.
    pub fn encode(&self, out: &mut Encoder) {
        out.str(&self.user);
        out.str(&self.database);
        out.i64(i64::from(self.backend_pid));
        out.bool(self.is_in_recovery);
        out.i64(self.server_started_at_us);
        out.i64(self.session_started_at_us);
        for endpoint in [&self.client, &self.server] {
            out.option(endpoint.as_ref(), |out, endpoint| {
                out.str(&endpoint.address);
                out.u64(u64::from(endpoint.port));
            });
        }
        out.u64(self.settings.len() as u64);
        for (name, value) in &self.settings {
            out.str(name);
            out.str(value);
        }
        out.str(&self.transaction);
        out.bool(self.has_writer);
        out.u64(self.outcomes.len() as u64);
        for (id, outcome) in &self.outcomes {
            out.str(id);
            out.str(outcome);
        }
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Facts, DecodeError> {
        Ok(Facts {
            user: input.str()?.to_owned(),
            database: input.str()?.to_owned(),
            // Written from 32 bits; anything else is nobody's number.
            backend_pid: i32::try_from(input.i64()?).unwrap_or_default(),
            is_in_recovery: input.bool()?,
            server_started_at_us: input.i64()?,
            session_started_at_us: input.i64()?,
            client: input.option(Endpoint::decode)?,
            server: input.option(Endpoint::decode)?,
            settings: (0..input.count()?)
                .map(|_| Ok((input.str()?.to_owned(), input.str()?.to_owned())))
                .collect::<Result<_, _>>()?,
            roles: Arc::default(),
            replication: Arc::default(),
            lost_writes: Arc::default(),
            transaction: input.str()?.to_owned(),
            has_writer: input.bool()?,
            outcomes: (0..input.count()?)
                .map(|_| Ok((input.str()?.to_owned(), input.str()?.to_owned())))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Endpoint {
    fn decode(input: &mut Decoder<'_>) -> Result<Endpoint, DecodeError> {
        Ok(Endpoint {
            address: input.str()?.to_owned(),
            port: u16::try_from(input.u32("port")?).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_survive_the_way_to_the_leader() {
        let facts = Facts {
            user: "ada".to_owned(),
            database: "postgres".to_owned(),
            backend_pid: 77,
            is_in_recovery: true,
            server_started_at_us: 1,
            session_started_at_us: -2,
            client: Some(Endpoint {
                address: "::1".to_owned(),
                port: 4711,
            }),
            server: None,
            settings: BTreeMap::from([("application_name".to_owned(), "psql".to_owned())]),
            roles: Arc::default(),
            replication: Arc::default(),
            lost_writes: Arc::default(),
            transaction: "1:3".to_owned(),
            has_writer: true,
            outcomes: BTreeMap::from([("1:2".to_owned(), "committed".to_owned())]),
        };
        let mut out = Encoder::new();
        facts.encode(&mut out);
        let bytes = out.into_vec();
        let mut input = Decoder::new(&bytes);
        assert_eq!(Facts::decode(&mut input).expect("just written"), facts);
    }

    #[test]
    fn an_arity_takes_what_it_says() {
        assert!(Arity::exactly(2).takes(2) && !Arity::exactly(2).takes(3));
        assert!(Arity::at_least(1).takes(9) && !Arity::at_least(1).takes(0));
    }
}
