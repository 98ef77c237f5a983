//! PostgreSQL's accent, understood: a text that is not SQLite's is parsed as PostgreSQL's and written again in
//! SQLite's SQL.
//!
//! Promises: what is not translated is refused with [`ErrorKind::NotSupported`] and a hint; nothing is dropped
//! without a notice unless dropping it changes nothing. A text that is not PostgreSQL's either, or that means the
//! same in both, has no translation. Any text is answered without a panic, within `MAX_TEXT_BYTES` and
//! `MAX_DEPTH`. Pure: it knows no schema, so what would need one is refused.
//! Does not touch what SQLite gives a meaning of its own: operators keep SQLite's precedence, functions of
//! SQLite's keep SQLite's answers. `docs/dialect.md` lists all of it.

mod aggregate;
mod any;
mod call;
mod cast;
pub(crate) mod column_name;
mod complete;
mod data;
mod definition;
mod depth;
mod expression;
mod from;
mod index;
mod interval;
mod keyword;
mod meant;
mod pattern;
mod position;
mod query;
mod sequence;
mod set_returning;
mod set_value;
mod sql;
mod statement;
mod table;
mod type_name;

pub(crate) use cast::cast_constant;
pub(crate) use depth::is_shallow;
pub use meant::needs_translation;
pub(crate) use type_name::{cast_name, cast_type, declared_type, parameter_type_of_name};

use bellwether_types::lexer::{self, TokenKind};
use bellwether_types::{ErrorKind, SqlError};
use sqlparser::ast::{Ident, Spanned, Statement, VisitMut};
use sqlparser::tokenizer::{Location, Span, Token};

use crate::types::{Oid, Type};

/// The longest text that is translated: its tree is some twenty times as large.
const MAX_TEXT_BYTES: usize = 4 << 20;

/// Operators inside one another that are translated: as many levels has the tree that is walked recursively.
pub(crate) const MAX_DEPTH: usize = 200;

/// What a text means in SQLite's SQL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translation {
    /// SQLite's statements, which run as one: their rows, one after the other, are the answer, and their counts add
    /// up. None: nothing is left to do.
    pub statements: Vec<String>,
    /// Types of `$1` … that casts tell; 0 where none does.
    pub parameters: Vec<Oid>,
    /// The session must hold the writer before it runs: FOR UPDATE, LOCK TABLE.
    pub lock: Option<Lock>,
    /// What the client is to be told.
    pub notices: Vec<Notice>,
}

/// How the writer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Until it is free, or `lock_timeout`.
    Wait,
    /// Not at all: 55P03 if another session holds it.
    NoWait,
    /// As [`Lock::Wait`]: no row is locked by anybody else once the writer is ours.
    SkipLocked,
}

/// What was done otherwise than the text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// One line, lower case.
    pub message: String,
    /// Why, or what to do.
    pub detail: Option<String>,
}

impl Translation {
    /// Where in the client's text stands what stands at byte `at` of a statement of the translation: characters,
    /// from 1. `None` if that is not certain.
    pub fn position(&self, client_sql: &str, statement: usize, at: usize) -> Option<u32> {
        position::map(self.statements.get(statement)?, at, client_sql)
    }
}

/// What one statement, which SQLite does not take as it stands, means in SQLite's SQL. `None`: it is not
/// PostgreSQL's either, or there is nothing to translate; then SQLite's own error is the answer.
pub fn translate(client_sql: &str) -> Result<Option<Translation>, SqlError> {
    if client_sql.len() > MAX_TEXT_BYTES || !is_shallow(client_sql) {
        return Ok(None);
    }
    if let Some(translation) = statement::without_parser(client_sql)? {
        return Ok(unless_same(translation, client_sql));
    }
    let plain = statement::without_table(client_sql);
    let plain = sequence::without_names(&plain);
    let Some(statement) = parse(&plain) else {
        return Ok(None);
    };
    let mut translator = Translator {
        client_sql,
        translation: Translation::default(),
        substitutions: Vec::new(),
        scopes: Vec::new(),
        composites: Vec::new(),
        set_count: 0,
        error: None,
    };
    if let Some((word, location)) = complete::lost(&plain, &statement.to_string()) {
        let mut error = refuse(format!("{word} here"), "");
        error.position = translator.position(location);
        return Err(error);
    }
    for statement in statement::split(statement, &translator)? {
        if !translator.rewrite(statement)? {
            return Ok(None);
        }
    }
    Ok(unless_same(translator.translation, client_sql))
}

/// A translation that says what the text says is none.
fn unless_same(translation: Translation, client_sql: &str) -> Option<Translation> {
    let is_same = translation.lock.is_none()
        && translation.notices.is_empty()
        && matches!(translation.statements.as_slice(), [only] if are_same(only, client_sql));
    (!is_same).then_some(translation)
}

/// One statement by PostgreSQL's grammar, if it is one.
fn parse(sql: &str) -> Option<Statement> {
    // A mistake in the parser costs the translation, not the connection.
    let parsed = std::panic::catch_unwind(|| {
        let mut parser = sql::parser(sql).ok()?;
        let statement = parser.parse_statement().ok()?;
        while parser.consume_token(&Token::SemiColon) {}
        (parser.peek_token_ref().token == Token::EOF).then_some(statement)
    });
    parsed.ok().flatten()
}

/// Whether two texts are the same tokens, the case of words apart.
fn are_same(left: &str, right: &str) -> bool {
    let tokens = |sql| lexer::significant(sql).filter(|token| token.kind != TokenKind::Semicolon);
    tokens(left).count() == tokens(right).count()
        && tokens(left)
            .zip(tokens(right))
            .all(|(left, right)| left.text.eq_ignore_ascii_case(right.text))
}

/// Goes through a statement's tree and rewrites it in place, innermost first.
struct Translator<'a> {
    client_sql: &'a str,
    translation: Translation,
    /// What columns of lateral functions stand for, innermost query last.
    substitutions: Vec<from::Substitution>,
    /// How many of them each open query found.
    scopes: Vec<usize>,
    /// Columns that hold `(x,n)` pairs, lower case.
    composites: Vec<String>,
    /// Functions that were moved from a SELECT list to FROM, so far.
    set_count: usize,
    /// Why the walk was broken off.
    error: Option<SqlError>,
}

impl Translator<'_> {
    /// Adds what a statement means. Whether it is one that is translated.
    fn rewrite(&mut self, mut statement: Statement) -> Result<bool, SqlError> {
        if !statement::prepare(&mut statement, self)? {
            return Ok(false);
        }
        let _ = VisitMut::visit(&mut statement, self);
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let written = statement::finish(statement, self)?;
        self.translation.statements.extend(written);
        Ok(true)
    }

    /// Says that a part of the text is not supported.
    fn refuse(&self, what: impl std::fmt::Display, at: &impl Spanned, hint: &str) -> SqlError {
        let mut error = refuse(what, hint);
        error.position = self.position(at.span().start);
        error
    }

    fn position(&self, location: Location) -> Option<u32> {
        position::of_location(self.client_sql, location)
    }

    fn notice(&mut self, message: impl Into<String>, detail: &str) {
        self.translation.notices.push(Notice {
            message: message.into(),
            detail: (!detail.is_empty()).then(|| detail.to_owned()),
        });
    }

    /// A cast tells the type of `$number`; the first one holds.
    fn tell_parameter(&mut self, number: usize, type_: Type) {
        let parameters = &mut self.translation.parameters;
        let Some(index) = number.checked_sub(1).filter(|&index| index < MAX_PARAMETERS) else {
            return;
        };
        if parameters.len() <= index {
            parameters.resize(index + 1, Oid::default());
        }
        if parameters[index] == Oid::default() {
            parameters[index] = type_.oid();
        }
    }
}

/// As many as the protocol can bind.
const MAX_PARAMETERS: usize = 65_535;

/// Where a name stands.
struct Place(Span);

impl Spanned for Place {
    fn span(&self) -> Span {
        self.0
    }
}

impl From<&Ident> for Place {
    fn from(ident: &Ident) -> Place {
        Place(ident.span)
    }
}

fn refuse(what: impl std::fmt::Display, hint: &str) -> SqlError {
    let hint = if hint.is_empty() {
        "docs/dialect.md lists what there is instead."
    } else {
        hint
    };
    SqlError::new(ErrorKind::NotSupported, format!("{what} is not supported")).with_hint(hint)
}
