//! `bellwether sql`: a small SQL shell, so that a first session needs no other program.
//!
//! Does not have psql's variables, formats and scripting: any PostgreSQL client works too.

mod connection;
mod print;
mod script;
mod shell;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;

use crate::failure::Failure;
use crate::layout::{MAX_NODES, node_address};
use crate::output::end_with_the_reader;
use connection::Connection;
pub use connection::Target;

/// Which node to connect to, and as whom.
#[derive(Args)]
pub struct Door {
    /// Which node to talk to; any will do
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_NODES)))]
    node: u16,
    /// PostgreSQL port of node 1; node i is at this + i − 1
    #[arg(long, value_name = "PORT", default_value_t = 5433)]
    pg_port: u16,
    /// Where the cluster runs
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    host: String,
    /// Role to connect as; its password is taken from the variable PGPASSWORD
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    user: String,
}

#[derive(Args)]
pub struct Options {
    /// Run these statements and exit; several form one transaction unless they say otherwise
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    command: Option<String>,
    #[command(flatten)]
    door: Door,
    /// Database to use
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    database: String,
}

/// Exit code 1 when a statement fails, but for a person at the terminal, who has seen it.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    end_with_the_reader();
    let target = Target {
        database: options.database.clone(),
        ..options.door.target("bellwether sql")?
    };
    let mut connection = Connection::open(runtime()?, target)?;
    let success = match &options.command {
        Some(sql) => connection.run(sql),
        None if std::io::stdin().is_terminal() => {
            shell::run(&mut connection)?;
            true
        }
        None => script::run(&mut connection, std::io::stdin().lock())?,
    };
    Ok(if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Door {
    /// `application`: as the node hears of it.
    pub fn target(&self, application: &'static str) -> Result<Target, Failure> {
        Ok(Target {
            host: self.host.clone(),
            port: node_address("--pg-port", self.pg_port, self.node)?.port(),
            user: self.user.clone(),
            // Never an argument: every user of the machine can read those.
            password: std::env::var("PGPASSWORD").ok(),
            database: "postgres".to_owned(),
            application,
        })
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new("the runtime could not be started").because(error))
}

/// Runs one statement that answers no rows, over a connection of its own.
pub fn execute(target: Target, sql: &str) -> Result<(), Failure> {
    Connection::open(runtime()?, target)?.execute(sql)
}

/// Runs one statement that answers with notices, over a connection of its own; their texts.
pub fn call(target: &Target, sql: &str) -> Result<Vec<String>, Failure> {
    connection::call(&runtime()?, target, sql)
}
