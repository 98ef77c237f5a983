//! What the connection asks of the driver.

use std::num::NonZeroU32;

use bellwether_types::{ClusterId, Statement};

use crate::cluster::ClusterCommand;
use crate::frontend::CancelKey;
use crate::row::Formats;

/// What a connection is told when it is made.
#[derive(Debug, Clone)]
pub struct Config {
    /// Tokens of another cluster are refused.
    pub cluster: ClusterId,
    /// Longest message; at least 10,000.
    pub max_message_bytes: usize,
    /// Whether a client that asks for TLS gets it.
    pub offers_tls: bool,
}

impl Config {
    /// Messages of at most 128 MiB: the largest blob, as bytea in binary.
    pub fn new(cluster: ClusterId) -> Config {
        Config {
            cluster,
            max_message_bytes: 128 << 20,
            offers_tls: false,
        }
    }
}

/// Names a result that is read in pieces; unique in its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CursorId(pub u64);

/// Who wants to come in, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup {
    /// The role.
    pub user: String,
    /// The database; the user's name if the client did not say.
    pub database: String,
}

/// What a client that is let in is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// What its cancel requests will carry.
    pub key: CancelKey,
    /// Whether this node's replica follows.
    pub in_hot_standby: bool,
    /// Whether the role may do everything.
    pub is_superuser: bool,
    /// What ALTER ROLE … SET has set, by name; the client's own options go before them.
    pub defaults: Vec<(String, String)>,
    /// The proof that this server knows the password, too; `None`: there was none to give.
    pub signature: Option<Vec<u8>>,
}

impl Welcome {
    /// To a superuser who was not asked for a password.
    pub fn new(key: CancelKey, in_hot_standby: bool) -> Welcome {
        Welcome {
            key,
            in_hot_standby,
            is_superuser: true,
            defaults: Vec::new(),
            signature: None,
        }
    }
}

/// Which transaction a statement belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// It is one: committed before it is answered as complete.
    Single,
    /// The one that [`Request::Begin`] opened.
    Transaction,
}

/// A statement to run. Answer: [`Connection::start_rows`](super::Connection::start_rows) and [`Connection::rows`](super::Connection::rows) if it gives rows (also none),
/// then [`Connection::complete`](super::Connection::complete), or [`Connection::suspended`](super::Connection::suspended) when `max_rows` were given and there are more.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Text and parameters.
    pub statement: Statement,
    /// For CommandComplete, and to tell reads from writes roughly: `SELECT`, `INSERT`, `CREATE TABLE`.
    pub verb: String,
    /// Which transaction.
    pub scope: Scope,
    /// Whether writes are to be refused (25006).
    pub read_only: bool,
    /// For [`RowEncoder::new`](crate::RowEncoder::new).
    pub formats: Formats,
    /// Give at most so many rows. Writes are done whole, whatever the number.
    pub max_rows: Option<NonZeroU32>,
    /// Keep the rest under this name for [`Request::Fetch`]; `None`: nobody will ask for the rest.
    pub cursor: Option<CursorId>,
    /// Read all of it now and keep it under `cursor`, also when the transaction ends; give no rows, and answer
    /// [`Connection::suspended`](super::Connection::suspended).
    pub holds: bool,
}

/// What the driver must do now.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Decide who comes in. Answer: [`Connection::accept`](super::Connection::accept), [`Connection::challenge`](super::Connection::challenge).
    Authenticate(Startup),
    /// What the client answered to a challenge. Answer: as for `Authenticate`.
    Password(Vec<u8>),
    /// Begin TLS once what is in `output` was sent. No answer, but [`Connection::tls_started`](super::Connection::tls_started).
    StartTls,
    /// Do something about the cluster, done before it is answered. Answer: [`Connection::done`](super::Connection::done).
    Govern(Box<ClusterCommand>),
    /// Stop what the connection of this key runs, if it is the right key. No answer; the connection ends.
    Cancel(CancelKey),
    /// Types of a statement, without running it. Answer: [`Connection::described`](super::Connection::described).
    Describe {
        /// Exactly one statement.
        sql: String,
    },
    /// Open a transaction. Answer: [`Connection::done`](super::Connection::done).
    Begin {
        /// Whether the client did not ask for it: several statements in one simple query or pipeline.
        implicit: bool,
        /// READ ONLY, by its own word or by the default.
        read_only: bool,
    },
    /// Run a statement. Answer: see [`Run`].
    Run(Run),
    /// Go on with a result. Answer: as for `Run`, without `start_rows`.
    Fetch {
        /// The name given in `Run`.
        cursor: CursorId,
        /// Give at most so many rows; `None`: all that are left.
        max_rows: Option<NonZeroU32>,
    },
    /// Forget a result. No answer.
    CloseCursor(CursorId),
    /// Commit. Answer: [`Connection::done`](super::Connection::done); when it failed the transaction is over, too.
    Commit,
    /// Roll back. Answer: [`Connection::done`](super::Connection::done).
    Rollback,
    /// Take a savepoint. Answer: [`Connection::done`](super::Connection::done).
    Savepoint(String),
    /// Back to a savepoint, which exists and stays. Answer: [`Connection::done`](super::Connection::done).
    RollbackTo(String),
    /// Forget a savepoint, which exists. Answer: [`Connection::done`](super::Connection::done).
    Release(String),
    /// The client leaves. No answer; the connection ends.
    Terminate,
}
