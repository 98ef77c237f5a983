//! The grammar of the commands that the front door handles itself.

use std::iter::Peekable;

use bellwether_session::SetScope;
use bellwether_types::lexer::{Token, TokenKind};
use bellwether_types::{ErrorKind, SqlError};

use super::{Command, TransactionModes};
use crate::connection::MAX_CHANNEL_BYTES;

/// The rest of a command's text.
pub(super) struct Reader<'a, I: Iterator<Item = Token<'a>>> {
    pub(super) sql: &'a str,
    pub(super) tokens: Peekable<I>,
}

impl<'a, I: Iterator<Item = Token<'a>>> Reader<'a, I> {
    /// Takes the next token if it is this word.
    pub(super) fn word(&mut self, word: &str) -> bool {
        self.tokens.next_if(|token| token.is_word(word)).is_some()
    }

    pub(super) fn any_word(&mut self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().copied().find(|word| self.word(word))
    }

    pub(super) fn operator(&mut self, operator: &str) -> bool {
        self.tokens.next_if(|token| token.is_operator(operator)).is_some()
    }

    pub(super) fn expect(&mut self, word: &str) -> Result<(), SqlError> {
        if self.word(word) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// An identifier: lower case unless quoted.
    pub(super) fn name(&mut self) -> Result<String, SqlError> {
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
    pub(super) fn setting_name(&mut self) -> Result<String, SqlError> {
        let mut name = self.name()?;
        while self.operator(".") {
            name.push('.');
            name += &self.name()?;
        }
        Ok(name)
    }

    pub(super) fn end(&mut self) -> Result<(), SqlError> {
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

    pub(super) fn unexpected(&mut self) -> SqlError {
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
    pub(super) fn begin(&mut self) -> Result<Command, SqlError> {
        self.any_word(&["DEFERRED", "IMMEDIATE", "EXCLUSIVE"]);
        self.any_word(&["TRANSACTION", "WORK"]);
        Ok(Command::Begin {
            modes: self.modes()?,
            tag: "BEGIN",
        })
    }

    pub(super) fn start_transaction(&mut self) -> Result<Command, SqlError> {
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

    pub(super) fn commit(&mut self) -> Result<Command, SqlError> {
        self.not_prepared()?;
        self.any_word(&["TRANSACTION", "WORK"]);
        self.no_chain()?;
        Ok(Command::Commit)
    }

    pub(super) fn rollback(&mut self) -> Result<Command, SqlError> {
        self.not_prepared()?;
        self.any_word(&["TRANSACTION", "WORK"]);
        if self.word("TO") {
            self.word("SAVEPOINT");
            return Ok(Command::RollbackTo(self.name()?));
        }
        self.no_chain()?;
        Ok(Command::Rollback)
    }

    pub(super) fn release(&mut self) -> Result<Command, SqlError> {
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

    pub(super) fn set(&mut self) -> Result<Command, SqlError> {
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
        if self.word("ROLE") {
            return Err(set_not_supported("ROLE"));
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

    pub(super) fn show(&mut self) -> Result<Command, SqlError> {
        if self.word("ALL") {
            return Ok(Command::ShowAll);
        }
        Ok(Command::Show(self.shown_name()?))
    }

    pub(super) fn reset(&mut self) -> Result<Command, SqlError> {
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
    pub(super) fn discard(&mut self) -> Result<Command, SqlError> {
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

    pub(super) fn deallocate(&mut self) -> Result<Command, SqlError> {
        self.word("PREPARE");
        if self.word("ALL") {
            return Ok(Command::Deallocate(None));
        }
        Ok(Command::Deallocate(Some(self.name()?)))
    }

    pub(super) fn unlisten(&mut self) -> Result<Command, SqlError> {
        if self.operator("*") {
            return Ok(Command::Unlisten(None));
        }
        Ok(Command::Unlisten(Some(self.channel()?)))
    }

    pub(super) fn notify(&mut self) -> Result<Command, SqlError> {
        let channel = self.channel()?;
        let mut payload = String::new();
        if self.operator(",") {
            payload = self.text().ok_or_else(|| self.unexpected())?;
        }
        Ok(Command::Notify { channel, payload })
    }

    /// A name that is too long is cut, as PostgreSQL cuts any name.
    pub(super) fn channel(&mut self) -> Result<String, SqlError> {
        let mut name = self.name()?;
        while name.len() > MAX_CHANNEL_BYTES {
            name.pop();
        }
        Ok(name)
    }
}

fn set_not_supported(what: &str) -> SqlError {
    SqlError::new(ErrorKind::NotSupported, format!("SET {what} is not supported"))
}
