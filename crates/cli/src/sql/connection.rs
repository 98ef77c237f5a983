//! A connection that comes back: lost, it is opened again for the next statement.

use std::future::poll_fn;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, SimpleQueryMessage};

use super::print;
use crate::failure::Failure;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where to connect, and as whom.
pub struct Target {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<String>,
    pub database: String,
    pub application: &'static str,
}

impl Target {
    fn config(&self) -> Config {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(&self.user)
            .dbname(&self.database)
            .application_name(self.application)
            .connect_timeout(CONNECT_TIMEOUT);
        if let Some(password) = &self.password {
            config.password(password);
        }
        config
    }

    /// The address, as told to people.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Runs a statement that answers with notices, over a connection of its own; their texts.
pub fn call(runtime: &Runtime, target: &Target, sql: &str) -> Result<Vec<String>, Failure> {
    let (notices, told) = mpsc::channel();
    let tell = move |notice: &DbError| {
        // Whoever listens waits for the end.
        let _ = notices.send(notice.message().to_owned());
    };
    let client = runtime.block_on(connect(target, tell));
    let client = client.map_err(|error| not_connected(target, &error))?;
    let called = runtime.block_on(client.batch_execute(sql));
    called.map_err(|error| failed(target, &error))?;
    // They come before the statement's end.
    Ok(told.try_iter().collect())
}

fn not_connected(target: &Target, error: &tokio_postgres::Error) -> Failure {
    let failure = Failure::new(format!("no connection to {}", target.address()));
    match error.as_db_error() {
        Some(refusal) => failure.because(print::error("", refusal)),
        None => failure
            .because(cause(error))
            .hint("is the cluster running? `bellwether up` starts one, `--node` chooses another node"),
    }
}

fn failed(target: &Target, error: &tokio_postgres::Error) -> Failure {
    match error.as_db_error() {
        Some(refusal) => Failure::new(refusal.message()).with(refusal.detail(), refusal.hint()),
        None => Failure::new(format!("no answer from {}", target.address())).because(cause(error)),
    }
}

fn print_notice(notice: &DbError) {
    eprintln!("{}", print::error("", notice));
}

/// A session, or the will to have one.
pub struct Connection {
    runtime: Runtime,
    target: Target,
    client: Client,
}

impl Connection {
    /// Connects.
    pub fn open(runtime: Runtime, target: Target) -> Result<Connection, Failure> {
        let client = runtime.block_on(connect(&target, print_notice));
        let client = client.map_err(|error| not_connected(&target, &error))?;
        Ok(Connection {
            runtime,
            target,
            client,
        })
    }

    /// Where it leads.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Runs a statement that answers no rows.
    pub fn execute(&self, sql: &str) -> Result<(), Failure> {
        let executed = self.runtime.block_on(self.client.batch_execute(sql));
        executed.map_err(|error| failed(&self.target, &error))
    }

    /// Runs one or several statements, prints what they answer, and tells whether all succeeded.
    pub fn run(&mut self, sql: &str) -> bool {
        if self.client.is_closed() && !self.reopen() {
            return false;
        }
        let started = Instant::now();
        let answer = self.runtime.block_on(query_or_cancel(&self.client, sql));
        match answer {
            Ok(messages) => {
                print::answer(sql, &messages, started.elapsed());
                true
            }
            Err(error) => {
                match error.as_db_error() {
                    Some(error) => eprintln!("{}", print::error(sql, error)),
                    None => eprintln!(
                        "connection lost: {}\nHINT:  Whether the statement was executed is not known. \
                         The next one connects again, in a new session.",
                        cause(&error)
                    ),
                }
                false
            }
        }
    }

    fn reopen(&mut self) -> bool {
        match self.runtime.block_on(connect(&self.target, print_notice)) {
            Ok(client) => {
                eprintln!("connected again to {}, in a new session", self.target.address());
                self.client = client;
                true
            }
            Err(error) => {
                eprintln!("no connection to {}: {}", self.target.address(), cause(&error));
                false
            }
        }
    }
}

/// The innermost reason; the outer ones only say which step failed.
fn cause(error: &tokio_postgres::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

async fn connect(
    target: &Target,
    tell: impl Fn(&DbError) + Send + 'static,
) -> Result<Client, tokio_postgres::Error> {
    let (client, mut connection) = target.config().connect(NoTls).await?;
    tokio::spawn(async move {
        // The end and errors show at the client's next use.
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notice(notice) = message {
                tell(&notice);
            }
        }
    });
    Ok(client)
}

/// Ctrl-C while a statement runs cancels the statement, not the shell.
async fn query_or_cancel(
    client: &Client,
    sql: &str,
) -> Result<Vec<SimpleQueryMessage>, tokio_postgres::Error> {
    let query = client.simple_query(sql);
    tokio::pin!(query);
    loop {
        tokio::select! {
            answer = &mut query => return answer,
            Ok(()) = tokio::signal::ctrl_c() => {
                if let Err(error) = client.cancel_token().cancel_query(NoTls).await {
                    eprintln!("cancelling failed: {}", cause(&error));
                }
            }
        }
    }
}
