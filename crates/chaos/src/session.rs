//! A client's connection, and what an error says about whether something happened.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::patience::Patience;

/// A node that is there lets a client in within milliseconds; behind a held link it never does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What a node is told to wait at most for a leader, or for a position.
const SERVER_PATIENCE: &str = "3s";

/// When a client gives up on an answer: longer than a node waits, so that it is the node who says what is the matter
/// wherever one can be heard.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// What a client asks of the server for all its statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// What reads promise.
    pub reads: Consistency,
    /// `bellwether.transaction_mode`: optimistic, or pessimistic.
    pub optimistic: bool,
}

impl Promise {
    /// Of statements of a run's own.
    pub const STRONG: Promise = Promise {
        reads: Consistency::Strong,
        optimistic: false,
    };
}

/// `bellwether.read_consistency`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Linearizable.
    Strong,
    /// Not older than what the session has seen.
    Session,
    /// Nothing.
    Eventual,
}

impl Consistency {
    fn name(self) -> &'static str {
        match self {
            Consistency::Strong => "strong",
            Consistency::Session => "session",
            Consistency::Eventual => "eventual",
        }
    }
}

/// An open connection.
pub struct Session {
    client: Client,
    /// What the server calls its version.
    pub version: String,
}

/// What a statement gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Values as text.
    pub rows: Vec<Vec<Option<String>>>,
    /// By the command tag: rows read or changed.
    pub count: u64,
}

/// Why an operation did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// It has certainly not happened.
    pub is_definite: bool,
    /// For the history.
    pub reason: String,
}

impl Trouble {
    /// What the client itself decided, before it changed anything.
    pub fn declined(reason: &str) -> Trouble {
        Trouble {
            is_definite: true,
            reason: reason.to_owned(),
        }
    }

    /// Before anything that could commit was sent.
    #[must_use]
    pub fn before_commit(mut self) -> Trouble {
        self.is_definite = true;
        self
    }

    /// Only an ERROR says that nothing happened, and 40003 and class 08 say that this is not known. What ends the
    /// session (FATAL) may cut off an answer, as a broken connection does.
    fn of(error: &tokio_postgres::Error) -> Trouble {
        let Some(said) = error.as_db_error() else {
            return Trouble {
                is_definite: false,
                reason: error.to_string(),
            };
        };
        let (code, severity) = (said.code().code(), said.severity());
        Trouble {
            is_definite: severity == "ERROR" && code != "40003" && !code.starts_with("08"),
            reason: format!("{severity} {code}: {}", said.message()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Session {
    /// Connects and says what is asked of the server.
    pub async fn open(address: SocketAddr, promise: Promise) -> Result<Session, Trouble> {
        let session = Session::connect(address).await?;
        let consistency = promise.reads.name();
        let mode = if promise.optimistic {
            "optimistic"
        } else {
            "pessimistic"
        };
        let settings = format!(
            "SET bellwether.read_consistency = {consistency}; SET bellwether.transaction_mode = {mode}; \
             SET bellwether.wait_timeout = '{SERVER_PATIENCE}'"
        );
        session.execute(&settings).await?;
        Ok(session)
    }

    /// As [`Session::open`], again and again until there is a way.
    pub async fn open_within(
        address: SocketAddr,
        promise: Promise,
        within: Duration,
    ) -> Result<Session, Trouble> {
        let patience = Patience::of(within);
        loop {
            match Session::open(address, promise).await {
                Err(_) if patience.lasts().await => {}
                ended => return ended,
            }
        }
    }

    async fn connect(address: SocketAddr) -> Result<Session, Trouble> {
        let mut config = Config::new();
        config
            .host(address.ip().to_string())
            .port(address.port())
            .user("postgres")
            .dbname("postgres");
        let late = |_| Trouble::declined("no connection in time");
        let connected = timeout(CONNECT_TIMEOUT, config.connect(NoTls))
            .await
            .map_err(late)?;
        let (client, connection) = connected.map_err(|error| Trouble::of(&error).before_commit())?;
        let version = connection
            .parameter("server_version")
            .unwrap_or_default()
            .to_owned();
        // How it ended shows at the client's next use.
        tokio::spawn(async move { connection.await.ok() });
        Ok(Session { client, version })
    }

    /// Sends statements and waits for all of their answer.
    pub async fn execute(&self, sql: &str) -> Result<Answer, Trouble> {
        self.execute_within(sql, ANSWER_TIMEOUT).await
    }

    /// As [`Session::execute`], for so long.
    pub async fn execute_within(&self, sql: &str, within: Duration) -> Result<Answer, Trouble> {
        let answered = timeout(within, self.client.simple_query(sql)).await;
        let answered = answered.map_err(|_| no_answer(within))?;
        let mut answer = Answer::default();
        for message in answered.map_err(|error| Trouble::of(&error))? {
            match message {
                SimpleQueryMessage::Row(row) => {
                    let values = (0..row.len()).map(|column| row.get(column).map(str::to_owned));
                    answer.rows.push(values.collect());
                }
                SimpleQueryMessage::CommandComplete(count) => answer.count = count,
                _ => {}
            }
        }
        Ok(answer)
    }

    /// Sends rows, in COPY's text format, with `COPY … FROM STDIN`. How many there were.
    pub async fn copy_within(
        &self,
        sql: &str,
        rows: impl Iterator<Item = Bytes>,
        within: Duration,
    ) -> Result<u64, Trouble> {
        let copied = timeout(within, async {
            let mut sink = std::pin::pin!(self.client.copy_in(sql).await?);
            for row in rows {
                sink.feed(row).await?;
            }
            sink.finish().await
        });
        let copied = copied.await.map_err(|_| no_answer(within))?;
        copied.map_err(|error| Trouble::of(&error))
    }

    /// Runs a transaction to its COMMIT; what goes wrong before is definite. After it, a transaction that is still open
    /// has been rolled back, or the session is of no use any more.
    pub async fn transaction<T>(&self, body: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let done = async {
            self.execute("BEGIN").await?;
            body.await
        };
        match done.await {
            Ok(done) => {
                self.execute("COMMIT").await?;
                Ok(done)
            }
            Err(trouble) => {
                // Of a connection that is no more there is nothing to roll back.
                self.execute("ROLLBACK").await.ok();
                Err(trouble.before_commit())
            }
        }
    }

    /// Whether the server has gone away.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

fn no_answer(within: Duration) -> Trouble {
    Trouble {
        is_definite: false,
        reason: format!("no answer within {} s", within.as_secs()),
    }
}

impl Answer {
    /// Integers in a column. What is no integer is the program's mistake, or the server's: the answer cannot be used.
    pub fn integers(&self, column: usize) -> Result<Vec<i64>, Trouble> {
        let values = self
            .rows
            .iter()
            .map(|row| row.get(column)?.as_deref()?.parse().ok());
        let values: Option<Vec<i64>> = values.collect();
        values.ok_or_else(|| Trouble {
            is_definite: false,
            reason: format!("not all of column {column} are integers: {:?}", self.rows),
        })
    }
}
