//! What a statement is to the front door: transactions and settings are handled there, SQL goes on to SQLite.
//!
//! What PostgreSQL's tools send and we do not do is refused here with a hint, before SQLite calls it a syntax
//! error. Nothing is accepted that would be ignored, except where there is truly nothing to do.

mod call;
mod copy;
mod cursor;
mod prepare;
mod reader;
mod role;
mod setting;
#[cfg(test)]
mod tests;

use bellwether_session::SetScope;
use bellwether_types::lexer::{self, TokenKind};
use bellwether_types::{ErrorKind, SqlError};
pub use cursor::{Count, Declare, Fetch};
pub use prepare::{Execute, Prepare};
use reader::Reader;

use crate::cluster::ClusterCommand;
use crate::copy::Copy;

/// What BEGIN, START TRANSACTION and SET TRANSACTION say. Isolation levels are checked and then forgotten:
/// every transaction is serializable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransactionModes {
    /// READ ONLY, READ WRITE, or not said.
    pub read_only: Option<bool>,
    /// DEFERRABLE, NOT DEFERRABLE, or not said.
    pub deferrable: Option<bool>,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Nothing but blanks and comments.
    Empty,
    /// BEGIN and START TRANSACTION; `tag` is which.
    Begin {
        /// What it says.
        modes: TransactionModes,
        /// For CommandComplete.
        tag: &'static str,
    },
    /// COMMIT, END.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
    /// SAVEPOINT.
    Savepoint(String),
    /// ROLLBACK TO.
    RollbackTo(String),
    /// RELEASE.
    Release(String),
    /// SET; without a value TO DEFAULT.
    Set {
        /// How long.
        scope: SetScope,
        /// Which setting.
        name: String,
        /// To what.
        value: Option<String>,
    },
    /// SET TRANSACTION.
    SetTransaction(TransactionModes),
    /// SET SESSION CHARACTERISTICS AS TRANSACTION.
    SetCharacteristics(TransactionModes),
    /// SHOW.
    Show(String),
    /// SHOW ALL.
    ShowAll,
    /// RESET.
    Reset(String),
    /// RESET ALL.
    ResetAll,
    /// DISCARD ALL.
    DiscardAll,
    /// PREPARE.
    Prepare(Prepare),
    /// EXECUTE.
    Execute(Execute),
    /// DEALLOCATE; `None`: ALL.
    Deallocate(Option<String>),
    /// LISTEN.
    Listen(String),
    /// UNLISTEN; `None`: *.
    Unlisten(Option<String>),
    /// NOTIFY.
    Notify {
        /// To whom.
        channel: String,
        /// What; empty when nothing is said.
        payload: String,
    },
    /// A command whose work is done before it begins.
    Nothing {
        /// For CommandComplete.
        tag: &'static str,
    },
    /// DECLARE.
    Declare(Declare),
    /// FETCH, MOVE.
    Fetch(Fetch),
    /// CLOSE; `None`: ALL.
    Close(Option<String>),
    /// COPY.
    Copy(Box<Copy>),
    /// About the cluster as a whole.
    Cluster(Box<ClusterCommand>),
    /// For SQLite.
    Sql {
        /// As [`lexer::verb`] tells it.
        verb: String,
    },
}

impl Command {
    /// Of one statement, which a semicolon may end.
    pub fn parse(sql: &str) -> Result<Command, SqlError> {
        let mut reader = Reader {
            sql,
            tokens: lexer::significant(sql).peekable(),
        };
        while reader
            .tokens
            .next_if(|token| token.kind == TokenKind::Semicolon)
            .is_some()
        {}
        let Some(first) = reader.tokens.peek().copied() else {
            return Ok(Command::Empty);
        };
        if first.kind != TokenKind::Word {
            return Ok(Command::Sql { verb: String::new() });
        }
        let word = first.text.to_ascii_uppercase();
        reader.tokens.next();
        let command = match word.as_str() {
            "COPY" => reader.copy()?,
            "BEGIN" => reader.begin()?,
            "START" => reader.start_transaction()?,
            "COMMIT" | "END" => reader.commit()?,
            "ROLLBACK" | "ABORT" => reader.rollback()?,
            "SAVEPOINT" => Command::Savepoint(reader.name()?),
            "RELEASE" => reader.release()?,
            "SET" if reader.word("CONSTRAINTS") => return sql_command(sql, word),
            "SET" => reader.set()?,
            "SHOW" => reader.show()?,
            "RESET" => reader.reset()?,
            "DISCARD" => reader.discard()?,
            "PREPARE" => reader.prepare()?,
            "EXECUTE" => reader.execute()?,
            "DEALLOCATE" => reader.deallocate()?,
            "CLOSE" => reader.close()?,
            "DECLARE" => reader.declare()?,
            "FETCH" => reader.fetch(false)?,
            "MOVE" => reader.fetch(true)?,
            "LISTEN" => Command::Listen(reader.channel()?),
            "UNLISTEN" => reader.unlisten()?,
            "NOTIFY" => reader.notify()?,
            "CALL" => reader.call()?,
            "GRANT" => reader.grant()?,
            "REVOKE" => reader.revoke()?,
            "CREATE" | "ALTER" | "DROP" => {
                let settings = match word.as_str() {
                    "ALTER" => reader.settings_of()?,
                    _ => None,
                };
                match settings.map_or_else(|| reader.role_statement(&word), |command| Ok(Some(command)))? {
                    Some(command) => command,
                    None => return sql_command(sql, word),
                }
            }
            _ => return sql_command(sql, word),
        };
        reader.end()?;
        Ok(command)
    }

    /// Whether a failed transaction takes it: only what ends it, or goes back to a savepoint.
    pub fn is_allowed_when_failed(&self) -> bool {
        matches!(
            self,
            Command::Empty | Command::Commit | Command::Rollback | Command::RollbackTo(_)
        )
    }
}

fn sql_command(sql: &str, first_word: String) -> Result<Command, SqlError> {
    let verb = lexer::verb(sql).unwrap_or(first_word);
    if verb == "CREATE TRIGGER" && lexer::is_incomplete_trigger(sql) {
        return Err(
            SqlError::new(ErrorKind::Syntax, "CREATE TRIGGER is cut off inside its body")
                .with_detail("The client has split it at a semicolon between BEGIN and END, as psql does.")
                .with_hint("Send it with psql -c, or with a driver."),
        );
    }
    Ok(Command::Sql { verb })
}
