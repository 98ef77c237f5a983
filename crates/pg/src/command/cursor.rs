//! The grammar of SQL's cursors.

use std::num::NonZeroU32;

use bellwether_types::lexer::{Token, TokenKind};
use bellwether_types::{ErrorKind, SqlError};

use super::Command;
use super::reader::Reader;

/// DECLARE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declare {
    /// The cursor's name.
    pub name: String,
    /// BINARY.
    pub is_binary: bool,
    /// WITH HOLD: it outlives its transaction.
    pub is_held: bool,
    /// The text after FOR.
    pub query: String,
}

/// FETCH and MOVE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The cursor's name.
    pub name: String,
    /// How far.
    pub count: Count,
    /// MOVE: the rows are passed over.
    pub moves: bool,
}

/// How many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// So many, or fewer where it ends.
    Rows(NonZeroU32),
    /// All that are left.
    All,
}

impl<'a, I: Iterator<Item = Token<'a>>> Reader<'a, I> {
    pub(super) fn declare(&mut self) -> Result<Command, SqlError> {
        let name = self.name()?;
        let mut is_binary = false;
        let mut scrolls = false;
        loop {
            match self.any_word(&["BINARY", "ASENSITIVE", "INSENSITIVE", "NO", "SCROLL"]) {
                Some("BINARY") => is_binary = true,
                Some("NO") => self.expect("SCROLL")?,
                Some("SCROLL") => scrolls = true,
                Some(_) => {}
                None => break,
            }
        }
        self.expect("CURSOR")?;
        let is_held = match self.any_word(&["WITH", "WITHOUT"]) {
            Some(word) => {
                self.expect("HOLD")?;
                word == "WITH"
            }
            None => false,
        };
        self.expect("FOR")?;
        if scrolls {
            let message = "DECLARE CURSOR with SCROLL is not supported";
            return Err(SqlError::new(ErrorKind::NotSupported, message).with_hint("Cursors read forward."));
        }
        let Some(first) = self.tokens.peek() else {
            return Err(self.unexpected());
        };
        let query = self.sql[first.start..].trim_end_matches(|end: char| end == ';' || end.is_whitespace());
        let query = query.to_owned();
        while self.tokens.next().is_some() {}
        Ok(Command::Declare(Declare {
            name,
            is_binary,
            is_held,
            query,
        }))
    }

    /// After FETCH or MOVE.
    pub(super) fn fetch(&mut self, moves: bool) -> Result<Command, SqlError> {
        let backward = ["BACKWARD", "PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE"];
        if self.any_word(&backward).is_some() {
            return Err(forward_only());
        }
        let forward = self.any_word(&["NEXT", "FORWARD", "ALL"]);
        let count = match forward {
            Some("ALL") => Count::All,
            Some("NEXT") => Count::Rows(NonZeroU32::MIN),
            _ if self.word("ALL") => Count::All,
            _ => self.count()?,
        };
        self.any_word(&["FROM", "IN"]);
        Ok(Command::Fetch(Fetch {
            name: self.name()?,
            count,
            moves,
        }))
    }

    /// 1 when it is not said.
    fn count(&mut self) -> Result<Count, SqlError> {
        if self.operator("-") {
            return Err(forward_only());
        }
        let Some(token) = self.tokens.next_if(|token| token.kind == TokenKind::Number) else {
            return Ok(Count::Rows(NonZeroU32::MIN));
        };
        let count: Option<u32> = token.text.parse().ok();
        // FETCH 0 gives the row fetched last once more.
        count
            .and_then(NonZeroU32::new)
            .map(Count::Rows)
            .ok_or_else(forward_only)
    }

    pub(super) fn close(&mut self) -> Result<Command, SqlError> {
        if self.word("ALL") {
            return Ok(Command::Close(None));
        }
        Ok(Command::Close(Some(self.name()?)))
    }
}

fn forward_only() -> SqlError {
    SqlError::new(ErrorKind::WrongState, "cursor can only scan forward")
        .with_hint("Read the rows into the application, or ask again with another ORDER BY.")
}
