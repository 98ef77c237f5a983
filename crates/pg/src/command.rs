//! What a statement is to the front door: transactions and settings are handled there, SQL goes on to SQLite.
//!
//! What PostgreSQL's tools send and we do not do is refused here with a hint, before SQLite calls it a syntax
//! error. Nothing is accepted that would be ignored, except where there is truly nothing to do.

use std::iter::Peekable;

use bellwether_session::SetScope;
use bellwether_types::lexer::{self, Token, TokenKind};
use bellwether_types::{ErrorKind, SqlError};

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
    /// DEALLOCATE; `None`: ALL.
    Deallocate(Option<String>),
    /// A command whose work is done before it begins, such as UNLISTEN where nothing can LISTEN.
    Nothing {
        /// For CommandComplete.
        tag: &'static str,
    },
    /// For SQLite.
    Sql {
        /// As [`lexer::verb`] tells it.
        verb: String,
    },
}

/// PostgreSQL's commands that SQLite does not know, and what to do instead.
const NOT_SUPPORTED: [(&str, &str); 20] = [
    ("COPY", "Use INSERT with several rows in one transaction."),
    (
        "DECLARE",
        "Use a portal with a row limit (setFetchSize and the like) instead of a cursor.",
    ),
    (
        "FETCH",
        "Use a portal with a row limit (setFetchSize and the like) instead of a cursor.",
    ),
    (
        "MOVE",
        "Use a portal with a row limit (setFetchSize and the like) instead of a cursor.",
    ),
    ("LISTEN", "There are no notifications; poll a table."),
    ("NOTIFY", "There are no notifications; write a row to a table."),
    (
        "PREPARE",
        "Use the driver's prepared statements (the extended protocol).",
    ),
    (
        "EXECUTE",
        "Use the driver's prepared statements (the extended protocol).",
    ),
    ("LOCK", "Transactions are serializable without explicit locks."),
    ("TRUNCATE", "Use DELETE FROM without WHERE: SQLite truncates."),
    ("GRANT", "There are no privileges on tables."),
    ("REVOKE", "There are no privileges on tables."),
    (
        "COMMENT",
        "Write comments into the CREATE statement: its text is kept.",
    ),
    (
        "DO",
        "There is no procedural language; use triggers or the application.",
    ),
    ("CALL", "There are no procedures."),
    ("MERGE", "Use INSERT ... ON CONFLICT DO UPDATE."),
    ("CLUSTER", "Use WITHOUT ROWID tables to order rows by their key."),
    ("CHECKPOINT", "Checkpoints are taken by the server."),
    ("LOAD", "Extensions cannot be loaded."),
    ("IMPORT", "There are no foreign schemas."),
];

impl Command {
    /// Of one statement, which a semicolon may end.
    pub fn parse(sql: &str) -> Result<Command, SqlError> {
        let mut reader = Reader {
            sql,
            tokens: lexer::significant(sql).peekable(),
        };
        let Some(first) = reader.tokens.peek().copied() else {
            return Ok(Command::Empty);
        };
        if first.kind != TokenKind::Word {
            return Ok(Command::Sql { verb: String::new() });
        }
        let word = first.text.to_ascii_uppercase();
        if let Some((_, hint)) = NOT_SUPPORTED.iter().find(|(name, _)| *name == word) {
            return Err(
                SqlError::new(ErrorKind::NotSupported, format!("{word} is not supported")).with_hint(*hint),
            );
        }
        reader.tokens.next();
        let command = match word.as_str() {
            "BEGIN" => reader.begin()?,
            "START" => reader.start_transaction()?,
            "COMMIT" | "END" => reader.commit()?,
            "ROLLBACK" | "ABORT" => reader.rollback()?,
            "SAVEPOINT" => Command::Savepoint(reader.name()?),
            "RELEASE" => reader.release()?,
            "SET" => reader.set()?,
            "SHOW" => reader.show()?,
            "RESET" => reader.reset()?,
            "DISCARD" => reader.discard()?,
            "DEALLOCATE" => reader.deallocate()?,
            "CLOSE" => reader.close_all()?,
            "UNLISTEN" => reader.unlisten()?,
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

struct Reader<'a, I: Iterator<Item = Token<'a>>> {
    sql: &'a str,
    tokens: Peekable<I>,
}

impl<'a, I: Iterator<Item = Token<'a>>> Reader<'a, I> {
    /// Takes the next token if it is this word.
    fn word(&mut self, word: &str) -> bool {
        self.tokens.next_if(|token| token.is_word(word)).is_some()
    }

    fn any_word(&mut self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().copied().find(|word| self.word(word))
    }

    fn operator(&mut self, operator: &str) -> bool {
        self.tokens.next_if(|token| token.is_operator(operator)).is_some()
    }

    fn expect(&mut self, word: &str) -> Result<(), SqlError> {
        if self.word(word) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// An identifier: lower case unless quoted.
    fn name(&mut self) -> Result<String, SqlError> {
        match self
            .tokens
            .next_if(|token| matches!(token.kind, TokenKind::Word | TokenKind::Quoted))
        {
            Some(token) if token.kind == TokenKind::Word => Ok(token.text.to_ascii_lowercase()),
            Some(token) => Ok(token.unquoted()),
            None => Err(self.unexpected()),
        }
    }

    /// Names with dots between.
    fn setting_name(&mut self) -> Result<String, SqlError> {
        let mut name = self.name()?;
        while self.operator(".") {
            name.push('.');
            name += &self.name()?;
        }
        Ok(name)
    }

    fn end(&mut self) -> Result<(), SqlError> {
        while self
            .tokens
            .next_if(|token| token.kind == TokenKind::Semicolon)
            .is_some()
        {}
        if self.tokens.peek().is_none() {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn unexpected(&mut self) -> SqlError {
        let Some(token) = self.tokens.peek() else {
            return SqlError::new(ErrorKind::Syntax, "syntax error at end of input");
        };
        let mut error = SqlError::new(
            ErrorKind::Syntax,
            format!("syntax error at or near \"{}\"", token.text),
        );
        error.position = u32::try_from(self.sql[..token.start].chars().count() + 1).ok();
        error
    }

    /// SQLite's DEFERRED, IMMEDIATE and EXCLUSIVE mean the same here: the writer is taken at the first write.
    fn begin(&mut self) -> Result<Command, SqlError> {
        self.any_word(&["DEFERRED", "IMMEDIATE", "EXCLUSIVE"]);
        self.any_word(&["TRANSACTION", "WORK"]);
        Ok(Command::Begin {
            modes: self.modes()?,
            tag: "BEGIN",
        })
    }

    fn start_transaction(&mut self) -> Result<Command, SqlError> {
        self.expect("TRANSACTION")?;
        Ok(Command::Begin {
            modes: self.modes()?,
            tag: "START TRANSACTION",
        })
    }

    fn modes(&mut self) -> Result<TransactionModes, SqlError> {
        let mut modes = TransactionModes::default();
        loop {
            if self.word("ISOLATION") {
                self.expect("LEVEL")?;
                self.isolation_level()?;
            } else if self.word("READ") {
                modes.read_only = match self.any_word(&["ONLY", "WRITE"]) {
                    Some(word) => Some(word == "ONLY"),
                    None => return Err(self.unexpected()),
                };
            } else if self.word("DEFERRABLE") {
                modes.deferrable = Some(true);
            } else if self.word("NOT") {
                self.expect("DEFERRABLE")?;
                modes.deferrable = Some(false);
            } else {
                return Ok(modes);
            }
            self.operator(",");
        }
    }

    fn isolation_level(&mut self) -> Result<(), SqlError> {
        if self.word("SERIALIZABLE") {
            return Ok(());
        }
        let rest = match self.any_word(&["REPEATABLE", "READ"]) {
            Some("REPEATABLE") => self.any_word(&["READ"]),
            Some(_) => self.any_word(&["COMMITTED", "UNCOMMITTED"]),
            None => None,
        };
        if rest.is_some() {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn no_chain(&mut self) -> Result<(), SqlError> {
        if !self.word("AND") {
            return Ok(());
        }
        let chain = !self.word("NO");
        self.expect("CHAIN")?;
        if chain {
            return Err(
                SqlError::new(ErrorKind::NotSupported, "AND CHAIN is not supported")
                    .with_hint("Send BEGIN as a statement of its own."),
            );
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<Command, SqlError> {
        self.not_prepared()?;
        self.any_word(&["TRANSACTION", "WORK"]);
        self.no_chain()?;
        Ok(Command::Commit)
    }

    fn rollback(&mut self) -> Result<Command, SqlError> {
        self.not_prepared()?;
        self.any_word(&["TRANSACTION", "WORK"]);
        if self.word("TO") {
            self.word("SAVEPOINT");
            return Ok(Command::RollbackTo(self.name()?));
        }
        self.no_chain()?;
        Ok(Command::Rollback)
    }

    fn release(&mut self) -> Result<Command, SqlError> {
        self.word("SAVEPOINT");
        Ok(Command::Release(self.name()?))
    }

    fn not_prepared(&mut self) -> Result<(), SqlError> {
        if self.word("PREPARED") {
            return Err(SqlError::new(
                ErrorKind::NotSupported,
                "two-phase commit is not supported",
            ));
        }
        Ok(())
    }

    fn set(&mut self) -> Result<Command, SqlError> {
        let scope = match self.any_word(&["LOCAL", "SESSION"]) {
            Some("LOCAL") => SetScope::Local,
            Some(_) if self.word("CHARACTERISTICS") => {
                self.expect("AS")?;
                self.expect("TRANSACTION")?;
                return Ok(Command::SetCharacteristics(self.modes()?));
            }
            Some(_) if self.word("AUTHORIZATION") => return Err(set_not_supported("SESSION AUTHORIZATION")),
            _ => SetScope::Session,
        };
        if self.word("TRANSACTION") {
            return Ok(Command::SetTransaction(self.modes()?));
        }
        for name in ["ROLE", "CONSTRAINTS"] {
            if self.word(name) {
                return Err(set_not_supported(name));
            }
        }
        let short_form = match self.any_word(&["TIME", "NAMES", "SCHEMA"]) {
            Some("TIME") => {
                self.expect("ZONE")?;
                Some("TimeZone")
            }
            Some("NAMES") => Some("client_encoding"),
            Some(_) => Some("search_path"),
            None => None,
        };
        let name = match short_form {
            Some(name) => name.to_owned(),
            None => {
                let name = self.setting_name()?;
                if !self.operator("=") {
                    self.expect("TO")?;
                }
                name
            }
        };
        if self.word("DEFAULT") || name == "TimeZone" && self.word("LOCAL") {
            return Ok(Command::Set {
                scope,
                name,
                value: None,
            });
        }
        Ok(Command::Set {
            scope,
            name,
            value: Some(self.setting_value()?),
        })
    }

    /// One value, or several with commas between. Quoted names keep their quotes in a list.
    fn setting_value(&mut self) -> Result<String, SqlError> {
        let mut values = Vec::new();
        loop {
            let sign = if self.operator("-") { "-" } else { "" };
            self.operator("+");
            let token = self.tokens.next_if(|token| {
                let is_value = matches!(token.kind, TokenKind::Word | TokenKind::Text | TokenKind::Quoted);
                token.kind == TokenKind::Number || sign.is_empty() && is_value
            });
            let token = token.ok_or_else(|| self.unexpected())?;
            values.push((sign, token));
            if !self.operator(",") {
                break;
            }
        }
        let alone = values.len() == 1;
        let texts = values.into_iter().map(|(sign, token)| match token.kind {
            TokenKind::Word => token.text.to_ascii_lowercase(),
            TokenKind::Quoted if !alone => token.text.to_owned(),
            _ => format!("{sign}{}", token.unquoted()),
        });
        Ok(texts.collect::<Vec<_>>().join(", "))
    }

    fn show(&mut self) -> Result<Command, SqlError> {
        if self.word("ALL") {
            return Ok(Command::ShowAll);
        }
        Ok(Command::Show(self.shown_name()?))
    }

    fn reset(&mut self) -> Result<Command, SqlError> {
        if self.word("ALL") {
            return Ok(Command::ResetAll);
        }
        Ok(Command::Reset(self.shown_name()?))
    }

    /// A setting, also by the words that SQL has for some.
    fn shown_name(&mut self) -> Result<String, SqlError> {
        match self.any_word(&["TIME", "TRANSACTION", "SESSION"]) {
            Some("TIME") => {
                self.expect("ZONE")?;
                Ok("TimeZone".to_owned())
            }
            Some("TRANSACTION") => {
                self.expect("ISOLATION")?;
                self.expect("LEVEL")?;
                Ok("transaction_isolation".to_owned())
            }
            Some(_) => {
                self.expect("AUTHORIZATION")?;
                Ok("session_authorization".to_owned())
            }
            None => self.setting_name(),
        }
    }

    /// Plans, sequences and temporary tables: the session has none.
    fn discard(&mut self) -> Result<Command, SqlError> {
        match self.any_word(&["ALL", "PLANS", "SEQUENCES", "TEMP", "TEMPORARY"]) {
            Some("ALL") => Ok(Command::DiscardAll),
            Some("PLANS") => Ok(Command::Nothing { tag: "DISCARD PLANS" }),
            Some("SEQUENCES") => Ok(Command::Nothing {
                tag: "DISCARD SEQUENCES",
            }),
            Some(_) => Ok(Command::Nothing { tag: "DISCARD TEMP" }),
            None => Err(self.unexpected()),
        }
    }

    fn deallocate(&mut self) -> Result<Command, SqlError> {
        self.word("PREPARE");
        if self.word("ALL") {
            return Ok(Command::Deallocate(None));
        }
        Ok(Command::Deallocate(Some(self.name()?)))
    }

    /// There are no cursors by SQL, so CLOSE ALL closes them all.
    fn close_all(&mut self) -> Result<Command, SqlError> {
        if self.word("ALL") {
            return Ok(Command::Nothing {
                tag: "CLOSE CURSOR ALL",
            });
        }
        let name = self.name()?;
        Err(SqlError::new(
            ErrorKind::UndefinedCursor,
            format!("cursor \"{name}\" does not exist"),
        ))
    }

    /// Nothing can LISTEN, so there is nothing to stop.
    fn unlisten(&mut self) -> Result<Command, SqlError> {
        if !self.operator("*") {
            self.name()?;
        }
        Ok(Command::Nothing { tag: "UNLISTEN" })
    }
}

fn set_not_supported(what: &str) -> SqlError {
    SqlError::new(ErrorKind::NotSupported, format!("SET {what} is not supported"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(sql: &str) -> Command {
        Command::parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn set(name: &str, value: &str) -> Command {
        Command::Set {
            scope: SetScope::Session,
            name: name.to_owned(),
            value: Some(value.to_owned()),
        }
    }

    #[test]
    fn both_dialects_ways_to_begin_are_understood() {
        let modes = |read_only, deferrable| TransactionModes {
            read_only,
            deferrable,
        };
        for (sql, expected) in [
            ("BEGIN", modes(None, None)),
            ("begin work;", modes(None, None)),
            ("BEGIN IMMEDIATE TRANSACTION", modes(None, None)),
            ("BEGIN EXCLUSIVE", modes(None, None)),
            ("BEGIN READ ONLY", modes(Some(true), None)),
            (
                "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE",
                modes(Some(false), None),
            ),
            (
                "BEGIN ISOLATION LEVEL READ UNCOMMITTED READ ONLY NOT DEFERRABLE",
                modes(Some(true), Some(false)),
            ),
        ] {
            let Command::Begin { modes, .. } = parse(sql) else {
                panic!("{sql}")
            };
            assert_eq!(modes, expected, "{sql}");
        }
    }

    #[test]
    fn transactions_end_in_many_words() {
        for sql in ["COMMIT", "END", "END TRANSACTION", "commit work and no chain"] {
            assert_eq!(parse(sql), Command::Commit, "{sql}");
        }
        for sql in ["ROLLBACK", "ABORT WORK", "rollback transaction;"] {
            assert_eq!(parse(sql), Command::Rollback, "{sql}");
        }
        assert_eq!(
            parse("ROLLBACK TO SAVEPOINT \"A b\""),
            Command::RollbackTo("A b".into())
        );
        assert_eq!(parse("ROLLBACK WORK TO a"), Command::RollbackTo("a".into()));
        assert_eq!(parse("RELEASE SAVEPOINT A"), Command::Release("a".into()));
        assert_eq!(parse("SAVEPOINT s1"), Command::Savepoint("s1".into()));
    }

    #[test]
    fn settings_are_set_in_many_spellings() {
        assert_eq!(
            parse("SET statement_timeout = 500"),
            set("statement_timeout", "500")
        );
        assert_eq!(
            parse("SET SESSION DateStyle TO ISO, MDY"),
            set("datestyle", "iso, mdy")
        );
        assert_eq!(
            parse("SET bellwether.read_consistency TO 'strong'"),
            set("bellwether.read_consistency", "strong")
        );
        assert_eq!(
            parse("SET extra_float_digits TO -1"),
            set("extra_float_digits", "-1")
        );
        assert_eq!(
            parse("SET search_path = \"$user\", public"),
            set("search_path", "\"$user\", public")
        );
        assert_eq!(parse("SET search_path = ''"), set("search_path", ""));
        assert_eq!(parse("SET TIME ZONE 'UTC'"), set("TimeZone", "UTC"));
        assert_eq!(parse("SET NAMES 'utf8'"), set("client_encoding", "utf8"));
        let default = Command::Set {
            scope: SetScope::Local,
            name: "a.b".into(),
            value: None,
        };
        assert_eq!(parse("SET LOCAL a.b TO DEFAULT"), default);
        let modes = TransactionModes {
            read_only: Some(true),
            deferrable: None,
        };
        assert_eq!(parse("SET TRANSACTION READ ONLY"), Command::SetTransaction(modes));
        assert_eq!(
            parse("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE"),
            Command::SetCharacteristics(modes)
        );
        assert_eq!(
            parse("SHOW TRANSACTION ISOLATION LEVEL"),
            Command::Show("transaction_isolation".into())
        );
        assert_eq!(
            parse("SHOW bellwether.session_token"),
            Command::Show("bellwether.session_token".into())
        );
        assert_eq!(parse("RESET ALL"), Command::ResetAll);
    }

    #[test]
    fn what_pools_send_to_clean_up_is_accepted() {
        assert_eq!(parse("DISCARD ALL"), Command::DiscardAll);
        assert_eq!(parse("DEALLOCATE ALL"), Command::Deallocate(None));
        assert_eq!(
            parse("DEALLOCATE PREPARE s"),
            Command::Deallocate(Some("s".into()))
        );
        assert_eq!(parse("UNLISTEN *"), Command::Nothing { tag: "UNLISTEN" });
        assert_eq!(
            parse("CLOSE ALL"),
            Command::Nothing {
                tag: "CLOSE CURSOR ALL"
            }
        );
    }

    #[test]
    fn sql_is_left_to_sqlite() {
        assert_eq!(
            parse("-- a\nselect 1"),
            Command::Sql {
                verb: "SELECT".into()
            }
        );
        assert_eq!(
            parse("VACUUM"),
            Command::Sql {
                verb: "VACUUM".into()
            }
        );
        assert_eq!(parse("?"), Command::Sql { verb: String::new() });
        assert_eq!(parse(" /* */ ; ").is_allowed_when_failed(), false);
        assert_eq!(parse(" /* */ "), Command::Empty);
    }

    #[test]
    fn what_is_not_supported_says_so_and_what_is_misspelled_says_where() {
        for (sql, kind) in [
            ("COPY t FROM STDIN", ErrorKind::NotSupported),
            ("DECLARE c CURSOR FOR SELECT 1", ErrorKind::NotSupported),
            ("LISTEN x", ErrorKind::NotSupported),
            ("COMMIT AND CHAIN", ErrorKind::NotSupported),
            ("COMMIT PREPARED 'x'", ErrorKind::NotSupported),
            ("SET ROLE r", ErrorKind::NotSupported),
            ("CLOSE c", ErrorKind::UndefinedCursor),
            (
                "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b",
                ErrorKind::Syntax,
            ),
            ("BEGIN NOW", ErrorKind::Syntax),
            ("SET a", ErrorKind::Syntax),
            ("SET a = 5s", ErrorKind::Syntax),
            ("SET a = -x", ErrorKind::Syntax),
            ("ROLLBACK TO", ErrorKind::Syntax),
            ("START", ErrorKind::Syntax),
        ] {
            assert_eq!(Command::parse(sql).expect_err(sql).kind, kind, "{sql}");
        }
        assert_eq!(
            Command::parse("BEGIN /* ä */ NOW").expect_err("NOW").position,
            Some(15)
        );
    }
}
