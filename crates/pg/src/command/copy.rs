//! The grammar of COPY, also its forms of before PostgreSQL 9.0, which psql's `\copy` and old tools still send.

use bellwether_types::lexer::{Token, TokenKind};
use bellwether_types::{ErrorKind, SqlError};

use super::Command;
use super::reader::Reader;
use crate::copy::{Columns, Copy, Csv, Direction, Header, Layout, Source, Text};

/// What options say, before it is known which of them may stand together.
#[derive(Default)]
struct Options {
    format: Option<&'static str>,
    delimiter: Option<String>,
    null: Option<String>,
    header: Header,
    quote: Option<String>,
    escape: Option<String>,
    force_quote: Columns,
    force_not_null: Columns,
    force_null: Columns,
}

impl<'a, I: Iterator<Item = Token<'a>>> Reader<'a, I> {
    pub(super) fn copy(&mut self) -> Result<Command, SqlError> {
        let mut options = Options::default();
        if self.word("BINARY") {
            options.format = Some("binary");
        }
        let source = self.copy_source()?;
        let direction = match self.any_word(&["FROM", "TO"]) {
            Some("FROM") => Direction::In,
            Some(_) => Direction::Out,
            None => return Err(self.unexpected()),
        };
        let stream = match direction {
            Direction::In => "STDIN",
            Direction::Out => "STDOUT",
        };
        if !self.word(stream) {
            return Err(not_supported(
                "COPY with a file or program of the server",
                &format!("Use {stream}, as psql's \\copy does."),
            ));
        }
        if direction == Direction::In && matches!(source, Source::Query(_)) {
            return Err(SqlError::new(
                ErrorKind::Syntax,
                "COPY FROM needs a table, not a query",
            ));
        }
        let in_parentheses = {
            let with = self.word("WITH");
            self.operator("(") || {
                if with || self.tokens.peek().is_some() {
                    self.old_options(&mut options)?;
                }
                false
            }
        };
        if in_parentheses {
            self.options(&mut options)?;
        }
        if self.word("WHERE") {
            return Err(not_supported(
                "COPY FROM with WHERE",
                "Copy into another table, then INSERT ... SELECT.",
            ));
        }
        let layout = options.layout(direction)?;
        Ok(Command::Copy(Box::new(Copy {
            source,
            direction,
            layout,
        })))
    }

    fn copy_source(&mut self) -> Result<Source, SqlError> {
        if self.operator("(") {
            return Ok(Source::Query(self.parenthesised()?.trim().to_owned()));
        }
        let mut name = self.written_name()?;
        while self.operator(".") {
            name = format!("{name}.{}", self.written_name()?);
        }
        let columns = if self.operator("(") {
            self.names()?
        } else {
            Vec::new()
        };
        Ok(Source::Table { name, columns })
    }

    /// An identifier as it is written.
    fn written_name(&mut self) -> Result<String, SqlError> {
        let is_name = |token: &Token<'_>| matches!(token.kind, TokenKind::Word | TokenKind::Quoted);
        match self.tokens.next_if(is_name) {
            Some(token) => Ok(token.text.to_owned()),
            None => Err(self.unexpected()),
        }
    }

    /// The rest of a list of names, as they are written.
    fn names(&mut self) -> Result<Vec<String>, SqlError> {
        let mut names = vec![self.written_name()?];
        while self.operator(",") {
            names.push(self.written_name()?);
        }
        if !self.operator(")") {
            return Err(self.unexpected());
        }
        Ok(names)
    }

    /// The text up to the parenthesis that closes the one just read.
    fn parenthesised(&mut self) -> Result<&'a str, SqlError> {
        let mut depth = 1;
        let Some(start) = self.tokens.peek().map(|token| token.start) else {
            return Err(self.unexpected());
        };
        for token in self.tokens.by_ref() {
            depth += i32::from(token.is_operator("(")) - i32::from(token.is_operator(")"));
            if depth == 0 {
                return Ok(&self.sql[start..token.start]);
            }
        }
        Err(self.unexpected())
    }

    /// `(name value, …)`, the parenthesis read.
    fn options(&mut self, options: &mut Options) -> Result<(), SqlError> {
        loop {
            let name = self.name()?;
            self.option(&name, options)?;
            if !self.operator(",") {
                break;
            }
        }
        if self.operator(")") {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn option(&mut self, name: &str, options: &mut Options) -> Result<(), SqlError> {
        match name {
            "format" => options.format = Some(known_format(&self.string_or_name()?)?),
            "delimiter" => options.delimiter = Some(self.string()?),
            "null" => options.null = Some(self.string()?),
            "quote" => options.quote = Some(self.string()?),
            "escape" => options.escape = Some(self.string()?),
            "header" => options.header = self.header()?,
            "force_quote" => options.force_quote = self.forced()?,
            "force_not_null" => options.force_not_null = self.forced()?,
            "force_null" => options.force_null = self.forced()?,
            "encoding" => check_encoding(&self.string()?)?,
            // Rows are never frozen and never need to be: nobody sees them before the commit, everybody after it.
            "freeze" => drop(self.boolean()?),
            other => {
                let hint = "Known: format, delimiter, null, header, quote, escape, force_quote, force_not_null, \
                            force_null, encoding, freeze.";
                return Err(not_supported(&format!("the COPY option \"{other}\""), hint));
            }
        }
        Ok(())
    }

    /// The form without parentheses.
    fn old_options(&mut self, options: &mut Options) -> Result<(), SqlError> {
        let words = [
            "BINARY",
            "CSV",
            "DELIMITER",
            "DELIMITERS",
            "NULL",
            "HEADER",
            "QUOTE",
            "ESCAPE",
            "FORCE",
            "ENCODING",
            "FREEZE",
        ];
        while let Some(word) = self.any_word(&words) {
            match word {
                "BINARY" => options.format = Some("binary"),
                "CSV" => options.format = Some("csv"),
                "HEADER" => options.header = Header::Names,
                "FREEZE" => {}
                "FORCE" => match self.any_word(&["QUOTE", "NOT", "NULL"]) {
                    Some("QUOTE") => options.force_quote = self.old_forced()?,
                    Some("NOT") => {
                        self.expect("NULL")?;
                        options.force_not_null = self.old_forced()?;
                    }
                    Some(_) => options.force_null = self.old_forced()?,
                    None => return Err(self.unexpected()),
                },
                word => {
                    self.word("AS");
                    let value = self.string()?;
                    match word {
                        "NULL" => options.null = Some(value),
                        "QUOTE" => options.quote = Some(value),
                        "ESCAPE" => options.escape = Some(value),
                        "ENCODING" => check_encoding(&value)?,
                        _ => options.delimiter = Some(value),
                    }
                }
            }
        }
        Ok(())
    }

    /// A literal, `E'…'` too.
    fn string(&mut self) -> Result<String, SqlError> {
        let is_escaped = self.word("E");
        let token = self.tokens.next_if(|token| token.kind == TokenKind::Text);
        let text = token.ok_or_else(|| self.unexpected())?.unquoted();
        Ok(if is_escaped { unescape(&text) } else { text })
    }

    fn string_or_name(&mut self) -> Result<String, SqlError> {
        match self.tokens.peek() {
            Some(token) if token.kind == TokenKind::Text => self.string(),
            _ => self.name(),
        }
    }

    /// A boolean, which may be left away: then it is true.
    fn boolean(&mut self) -> Result<bool, SqlError> {
        let is_value =
            |token: &Token<'_>| matches!(token.kind, TokenKind::Word | TokenKind::Text | TokenKind::Number);
        let Some(token) = self.tokens.next_if(is_value) else {
            return Ok(true);
        };
        match token.unquoted().to_ascii_lowercase().as_str() {
            "true" | "on" | "1" => Ok(true),
            "false" | "off" | "0" => Ok(false),
            other => Err(SqlError::new(
                ErrorKind::Syntax,
                format!("\"{other}\" is not a Boolean value"),
            )),
        }
    }

    fn header(&mut self) -> Result<Header, SqlError> {
        if self.word("MATCH") {
            return Ok(Header::Match);
        }
        Ok(if self.boolean()? {
            Header::Names
        } else {
            Header::None
        })
    }

    fn forced(&mut self) -> Result<Columns, SqlError> {
        if self.operator("*") {
            return Ok(Columns::All);
        }
        if !self.operator("(") {
            return Err(self.unexpected());
        }
        let mut names = vec![self.name()?];
        while self.operator(",") {
            names.push(self.name()?);
        }
        if self.operator(")") {
            Ok(Columns::Named(names))
        } else {
            Err(self.unexpected())
        }
    }

    fn old_forced(&mut self) -> Result<Columns, SqlError> {
        if self.operator("*") {
            return Ok(Columns::All);
        }
        let mut names = vec![self.name()?];
        while self.operator(",") {
            names.push(self.name()?);
        }
        Ok(Columns::Named(names))
    }
}

impl Options {
    fn layout(self, direction: Direction) -> Result<Layout, SqlError> {
        let format = self.format.unwrap_or("text");
        let forces = [&self.force_quote, &self.force_not_null, &self.force_null];
        let is_for_csv = self.quote.is_some()
            || self.escape.is_some()
            || forces.iter().any(|columns| **columns != Columns::None);
        if is_for_csv && format != "csv" {
            return Err(wrong("QUOTE, ESCAPE and FORCE_… need FORMAT csv"));
        }
        if self.header == Header::Match && direction == Direction::Out {
            return Err(wrong("HEADER MATCH needs COPY FROM"));
        }
        if format == "binary" {
            let has_more = self.delimiter.is_some() || self.null.is_some() || self.header != Header::None;
            return if has_more {
                Err(wrong("DELIMITER, NULL and HEADER are not for FORMAT binary"))
            } else {
                Ok(Layout::Binary)
            };
        }
        let is_csv = format == "csv";
        let delimiter = byte(
            "delimiter",
            self.delimiter.as_deref(),
            if is_csv { b',' } else { b'\t' },
        )?;
        let null = self
            .null
            .unwrap_or_else(|| if is_csv { String::new() } else { "\\N".to_owned() });
        if null.contains(['\r', '\n']) || null.as_bytes().contains(&delimiter) {
            return Err(wrong("NULL must hold neither a line end nor the delimiter"));
        }
        if !is_csv {
            if delimiter.is_ascii_alphanumeric() || b"\\.".contains(&delimiter) {
                return Err(wrong(
                    "the delimiter cannot be a letter, a digit, a dot or a backslash",
                ));
            }
            return Ok(Layout::Text(Text {
                delimiter,
                null,
                header: self.header,
            }));
        }
        let quote = byte("quote", self.quote.as_deref(), b'"')?;
        let escape = byte("escape", self.escape.as_deref(), quote)?;
        if delimiter == quote {
            return Err(wrong("the delimiter and the quote must differ"));
        }
        Ok(Layout::Csv(Csv {
            delimiter,
            quote,
            escape,
            null,
            header: self.header,
            force_quote: self.force_quote,
            force_not_null: self.force_not_null,
            force_null: self.force_null,
        }))
    }
}

fn byte(what: &str, said: Option<&str>, default: u8) -> Result<u8, SqlError> {
    match said.map(str::as_bytes) {
        None => Ok(default),
        Some(&[byte]) if !b"\r\n".contains(&byte) => Ok(byte),
        Some(_) => Err(wrong(&format!(
            "the {what} must be one one-byte character, and no line end"
        ))),
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.extend(letters.next().map(|letter| match letter {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'v' => '\u{b}',
                other => other,
            })),
            letter => out.push(letter),
        }
    }
    out
}

fn known_format(name: &str) -> Result<&'static str, SqlError> {
    ["text", "csv", "binary"]
        .into_iter()
        .find(|known| name.eq_ignore_ascii_case(known))
        .ok_or_else(|| wrong(&format!("COPY format \"{name}\" not recognized")))
}

fn check_encoding(name: &str) -> Result<(), SqlError> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    if plain.eq_ignore_ascii_case("utf8") {
        return Ok(());
    }
    Err(not_supported(
        &format!("COPY in encoding \"{name}\""),
        "Everything is UTF8 here: convert the data.",
    ))
}

fn wrong(message: &str) -> SqlError {
    SqlError::new(ErrorKind::InvalidSetting, message)
}

fn not_supported(what: &str, hint: &str) -> SqlError {
    SqlError::new(ErrorKind::NotSupported, format!("{what} is not supported")).with_hint(hint)
}
