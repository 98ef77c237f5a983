//! The grammar of PREPARE and EXECUTE.

use bellwether_types::lexer::{self, Token};
use bellwether_types::{ErrorKind, SqlError};

use super::Command;
use super::reader::Reader;
use crate::dialect;
use crate::types::Oid;

/// PREPARE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepare {
    /// Of the statement.
    pub name: String,
    /// Of `$1` …; 0 for `unknown`. Those and missing ones are inferred.
    pub types: Vec<Oid>,
    /// One statement.
    pub sql: String,
    /// Characters before it.
    pub start: u32,
}

/// EXECUTE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execute {
    /// Of the statement.
    pub name: String,
    /// Expressions, as they are written; no comment is left at their ends.
    pub arguments: Vec<String>,
}

/// Longer names of types are nobody's.
const MAX_TYPE_BYTES: usize = 200;

/// Statements that can be prepared by SQL.
const PREPARABLE: [&str; 6] = ["SELECT", "VALUES", "INSERT", "UPDATE", "DELETE", "REPLACE"];

impl<'a, I: Iterator<Item = Token<'a>>> Reader<'a, I> {
    pub(super) fn prepare(&mut self) -> Result<Command, SqlError> {
        let name = self.name()?;
        let types = self.pieces()?.into_iter().map(parameter_type);
        let types = types.collect::<Result<_, _>>()?;
        self.expect("AS")?;
        let Some(first) = self.tokens.peek() else {
            return Err(self.unexpected());
        };
        let (before, sql) = self.sql.split_at(first.start);
        let sql = sql.trim_end_matches(|end: char| end == ';' || end.is_whitespace());
        while self.tokens.next().is_some() {}
        let verb = lexer::verb(sql).unwrap_or_default();
        if !PREPARABLE.contains(&verb.as_str()) {
            let message = format!("{verb} cannot be prepared");
            return Err(SqlError::new(ErrorKind::Syntax, message)
                .with_hint("SELECT, VALUES, INSERT, UPDATE and DELETE can."));
        }
        Ok(Command::Prepare(Prepare {
            name,
            types,
            sql: sql.to_owned(),
            start: u32::try_from(before.chars().count()).unwrap_or(u32::MAX),
        }))
    }

    pub(super) fn execute(&mut self) -> Result<Command, SqlError> {
        Ok(Command::Execute(Execute {
            name: self.name()?,
            arguments: self.pieces()?.into_iter().map(str::to_owned).collect(),
        }))
    }

    /// What stands between parentheses, cut at the commas of the first level, each from its first token to its last; none
    /// at all without parentheses.
    fn pieces(&mut self) -> Result<Vec<&'a str>, SqlError> {
        let mut pieces = Vec::new();
        if !self.operator("(") {
            return Ok(pieces);
        }
        let mut depth = 0_usize;
        let mut piece = None;
        loop {
            let Some(token) = self.tokens.next() else {
                return Err(self.unexpected());
            };
            if depth == 0 && (token.is_operator(",") || token.is_operator(")")) {
                let Some((start, end)) = piece.take() else {
                    let message = format!("syntax error at or near \"{}\"", token.text);
                    return Err(SqlError::new(ErrorKind::Syntax, message));
                };
                pieces.push(&self.sql[start..end]);
                if token.is_operator(")") {
                    return Ok(pieces);
                }
                continue;
            }
            if token.is_operator("(") {
                depth += 1;
            } else if token.is_operator(")") {
                depth -= 1;
            }
            let (start, _) = piece.unwrap_or((token.start, 0));
            piece = Some((start, token.end()));
        }
    }
}

/// A type as PREPARE names it. Lengths and precisions are of no matter, as in PostgreSQL.
fn parameter_type(written: &str) -> Result<Oid, SqlError> {
    if written.eq_ignore_ascii_case("unknown") {
        return Ok(Oid::default());
    }
    if written.len() > MAX_TYPE_BYTES {
        let message = format!("the name of a type is longer than {MAX_TYPE_BYTES} bytes");
        return Err(SqlError::new(ErrorKind::ProgramLimit, message));
    }
    let known = dialect::declared_type(written).ok_or_else(|| {
        let message = format!("parameters of type {written} are not supported");
        SqlError::new(ErrorKind::NotSupported, message)
            .with_hint("Declare it unknown, and write a cast in the statement: $1::text.")
    })?;
    Ok(known.oid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Type;

    fn parse(sql: &str) -> Command {
        Command::parse(sql).expect(sql)
    }

    fn prepare(sql: &str) -> Prepare {
        match parse(sql) {
            Command::Prepare(prepare) => prepare,
            other => panic!("{other:?}"),
        }
    }

    fn execute(sql: &str) -> Execute {
        match parse(sql) {
            Command::Execute(execute) => execute,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn types_are_told_by_all_their_names_and_texts_kept() {
        let sheep = prepare(
            "PREPARE Sheep (int, numeric(5,2), unknown, timestamp with time zone) AS SELECT $1, '$1' -- $2\n;",
        );
        assert_eq!(sheep.name, "sheep");
        let [int, numeric, moment] = [Type::Int4, Type::Numeric, Type::Timestamptz].map(Type::oid);
        assert_eq!(sheep.types, [int, numeric, Oid(0), moment]);
        assert_eq!((sheep.sql.as_str(), sheep.start), ("SELECT $1, '$1' -- $2", 72));
    }

    #[test]
    fn arguments_are_cut_at_commas_outside_of_parentheses_and_texts() {
        let call = execute("EXECUTE sheep(1 + f(2, 3), 4.5 , 'a,b)' )");
        assert_eq!(call.arguments, ["1 + f(2, 3)", "4.5", "'a,b)'"]);
        assert!(execute("EXECUTE one").arguments.is_empty());
    }

    #[test]
    fn a_comment_ends_no_type_and_no_argument() {
        assert_eq!(
            prepare("PREPARE s (int -- whole\n, text /* any */) AS SELECT $1, $2").types,
            [Type::Int4.oid(), Type::Text.oid()]
        );
        let call = execute("EXECUTE s(1 -- one\n, /* before */ 'a' -- two\n)");
        assert_eq!(call.arguments, ["1", "'a'"]);
    }

    #[test]
    fn types_that_parameters_cannot_have_are_refused() {
        let long = format!("int{}", "[]".repeat(100));
        for (written, kind) in [
            ("nosuch", ErrorKind::NotSupported),
            ("interval", ErrorKind::NotSupported),
            ("int, int text", ErrorKind::NotSupported),
            (&long, ErrorKind::ProgramLimit),
        ] {
            let sql = format!("PREPARE s ({written}) AS SELECT $1");
            assert_eq!(Command::parse(&sql).expect_err(&sql).kind, kind, "{sql}");
        }
    }

    #[test]
    fn what_cannot_be_prepared_is_refused() {
        for sql in [
            "PREPARE s AS CREATE TABLE t(a)",
            "PREPARE s AS",
            "PREPARE s (int AS SELECT 1",
            "EXECUTE s(1,)",
            "EXECUTE s()",
            "EXECUTE s(1) 2",
        ] {
            assert_eq!(
                Command::parse(sql).expect_err(sql).kind,
                ErrorKind::Syntax,
                "{sql}"
            );
        }
    }
}
