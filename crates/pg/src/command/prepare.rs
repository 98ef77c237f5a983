//! The grammar of PREPARE and EXECUTE, and what an EXECUTE stands for: the prepared text with its arguments in the
//! places of the parameters.

use bellwether_types::lexer::{self, Token};
use bellwether_types::{ErrorKind, SqlError};

use super::Command;
use super::reader::Reader;

/// PREPARE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepare {
    /// Of the statement.
    pub name: String,
    /// Of `$1` …, as they are written; `unknown` and missing ones are inferred.
    pub types: Vec<String>,
    /// One statement.
    pub sql: String,
}

/// EXECUTE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execute {
    /// Of the statement.
    pub name: String,
    /// Expressions, as they are written.
    pub arguments: Vec<String>,
}

/// What the arguments of an EXECUTE may take in all their places.
const MAX_EXPANSION_BYTES: usize = 16 << 20;

/// Statements that can be prepared by SQL.
const PREPARABLE: [&str; 6] = ["SELECT", "VALUES", "INSERT", "UPDATE", "DELETE", "REPLACE"];

impl<'a, I: Iterator<Item = Token<'a>>> Reader<'a, I> {
    pub(super) fn prepare(&mut self) -> Result<Command, SqlError> {
        let name = self.name()?;
        let types = self.pieces()?;
        self.expect("AS")?;
        let Some(first) = self.tokens.peek() else {
            return Err(self.unexpected());
        };
        let sql = self.sql[first.start..].trim_end_matches(|end: char| end == ';' || end.is_whitespace());
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
        }))
    }

    pub(super) fn execute(&mut self) -> Result<Command, SqlError> {
        Ok(Command::Execute(Execute {
            name: self.name()?,
            arguments: self.pieces()?,
        }))
    }

    /// What stands between parentheses, cut at the commas of the first level; none at all without parentheses.
    fn pieces(&mut self) -> Result<Vec<String>, SqlError> {
        let mut pieces = Vec::new();
        if !self.operator("(") {
            return Ok(pieces);
        }
        let mut depth = 0_usize;
        let mut start = None;
        loop {
            let Some(token) = self.tokens.next() else {
                return Err(self.unexpected());
            };
            let from = *start.get_or_insert(token.start);
            let ends = depth == 0 && (token.is_operator(",") || token.is_operator(")"));
            if !ends {
                if token.is_operator("(") {
                    depth += 1;
                } else if token.is_operator(")") {
                    depth -= 1;
                }
                continue;
            }
            let piece = self.sql[from..token.start].trim();
            if piece.is_empty() {
                let message = format!("syntax error at or near \"{}\"", token.text);
                return Err(SqlError::new(ErrorKind::Syntax, message));
            }
            pieces.push(piece.to_owned());
            if token.is_operator(")") {
                return Ok(pieces);
            }
            start = None;
        }
    }
}

impl Prepare {
    /// What an EXECUTE with these arguments runs.
    pub fn with(&self, arguments: &[String]) -> Result<String, SqlError> {
        let parameters = lexer::tokens(&self.sql).filter_map(|token| token.parameter_number());
        let count = parameters
            .max()
            .map_or(0, |highest| highest as usize)
            .max(self.types.len());
        if arguments.len() != count {
            let message = format!(
                "wrong number of parameters for prepared statement \"{}\"",
                self.name
            );
            return Err(
                SqlError::new(ErrorKind::WrongParameterCount, message).with_detail(format!(
                    "Expected {count} parameters but got {}.",
                    arguments.len()
                )),
            );
        }
        let mut sql = String::with_capacity(self.sql.len());
        // An argument may stand in many places.
        let mut size_left = MAX_EXPANSION_BYTES;
        for token in lexer::tokens(&self.sql) {
            let number = token.parameter_number().map(|number| number as usize);
            let argument = number.and_then(|number| Some((arguments.get(number.checked_sub(1)?)?, number)));
            let Some((argument, number)) = argument else {
                sql.push_str(token.text);
                continue;
            };
            size_left = size_left.checked_sub(argument.len()).ok_or_else(|| {
                SqlError::new(
                    ErrorKind::ProgramLimit,
                    "the statement with its arguments is too long",
                )
            })?;
            sql.push('(');
            sql.push_str(argument);
            sql.push(')');
            let declared = self.types.get(number - 1);
            if let Some(declared) = declared.filter(|declared| !declared.eq_ignore_ascii_case("unknown")) {
                sql.push_str("::");
                sql.push_str(declared);
            }
        }
        Ok(sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn arguments_take_the_places_of_parameters() {
        let sheep = prepare("PREPARE Sheep (int, numeric(5,2), unknown) AS SELECT $1, $2, '$1', $3 -- $2\n;");
        assert_eq!(sheep.name, "sheep");
        let call = execute("EXECUTE sheep(1 + f(2, 3), 4.5, 'a,b)')");
        assert_eq!(
            sheep.with(&call.arguments).as_deref(),
            Ok("SELECT (1 + f(2, 3))::int, (4.5)::numeric(5,2), '$1', ('a,b)') -- $2")
        );
        assert_eq!(
            sheep.with(&[]).expect_err("too few").kind,
            ErrorKind::WrongParameterCount
        );
    }

    #[test]
    fn what_has_no_parameters_needs_no_parentheses() {
        let one = prepare("PREPARE one AS SELECT 1");
        assert_eq!(
            one.with(&execute("EXECUTE one").arguments).as_deref(),
            Ok("SELECT 1")
        );
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
