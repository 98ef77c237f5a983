//! PostgreSQL's protocol, for what pgbench does not do: making tables, finding the leader, checking sums.

use std::fmt;
use std::str::FromStr;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, Statement};

use crate::failure::Failure;

/// Where a node takes PostgreSQL clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Address, &'static str> {
        let (host, port) = text.rsplit_once(':').ok_or("expected HOST:PORT")?;
        let port = port.parse().map_err(|_| "the port is no number up to 65535")?;
        if host.is_empty() {
            return Err("expected HOST:PORT");
        }
        Ok(Address {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
        })
    }
}

/// A connection.
pub struct Session {
    client: Client,
    address: Address,
    /// Whether the node said, when it was asked for the connection, that it leads.
    pub leads: bool,
    /// What the server calls its version.
    pub server_version: String,
}

impl Session {
    /// Connects as `postgres` to `postgres`.
    pub async fn connect(address: &Address) -> Result<Session, Failure> {
        let mut config = Config::new();
        config
            .host(&address.host)
            .port(address.port)
            .user("postgres")
            .dbname("postgres")
            .connect_timeout(std::time::Duration::from_secs(5));
        let (client, connection) = config.connect(NoTls).await.map_err(|error| {
            Failure::new(format!("{address} cannot be connected to")).because(explain(&error))
        })?;
        let parameter = |name| connection.parameter(name).unwrap_or_default().to_owned();
        let leads = parameter("in_hot_standby") == "off";
        let server_version = parameter("server_version");
        // How it ended shows at the client's next use.
        tokio::spawn(async move { connection.await.ok() });
        Ok(Session {
            client,
            address: address.clone(),
            leads,
            server_version,
        })
    }

    /// Runs a statement that gives no rows.
    pub async fn execute(&self, sql: &str) -> Result<(), Failure> {
        self.client
            .batch_execute(sql)
            .await
            .map_err(|error| self.refused(sql, &error))
    }

    /// Compiles a statement that is to run often.
    pub async fn prepare(&self, sql: &str) -> Result<Statement, Failure> {
        let prepared = self.client.prepare(sql).await;
        prepared.map_err(|error| self.refused(sql, &error))
    }

    /// Runs one of [`Session::prepare`].
    pub async fn run(
        &self,
        statement: &Statement,
        parameters: &[Box<dyn ToSql + Sync + Send>],
    ) -> Result<(), Failure> {
        let parameters = parameters.iter().map(|value| &**value as &(dyn ToSql + Sync));
        let parameters: Vec<_> = parameters.collect();
        let ran = self.client.execute(statement, &parameters).await;
        ran.map(drop)
            .map_err(|error| self.refused("a prepared statement", &error))
    }

    /// The number that a query gives. As text, so that it does not matter which type a server gives a sum.
    pub async fn number(&self, sql: &str) -> Result<i64, Failure> {
        let text = self.text(sql).await?;
        text.parse().map_err(|_| {
            Failure::new(format!("{} gives no number", self.address)).because(format!("{text:?} for {sql}"))
        })
    }

    /// The one value that a query gives, as text; empty for NULL.
    pub async fn text(&self, sql: &str) -> Result<String, Failure> {
        let answer = self.client.simple_query(sql).await;
        let answer = answer.map_err(|error| self.refused(sql, &error))?;
        let value = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default()),
            _ => None,
        });
        value
            .map(str::to_owned)
            .ok_or_else(|| Failure::new(format!("{} gives no row", self.address)).because(sql))
    }

    fn refused(&self, sql: &str, error: &tokio_postgres::Error) -> Failure {
        Failure::new(format!("{} refused a statement", self.address))
            .because(format!("{}\n{sql}", explain(error)))
    }
}

/// An error with what is behind it: on its own it only says `db error`.
fn explain(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let address: Address = "127.0.0.1:5433".parse().expect("valid");
        assert_eq!((address.host.as_str(), address.port), ("127.0.0.1", 5433));
        let address: Address = "[::1]:5433".parse().expect("valid");
        assert_eq!(address.host, "::1");
        for text in ["", "host", ":5433", "host:", "host:70000"] {
            text.parse::<Address>().expect_err(text);
        }
    }
}
