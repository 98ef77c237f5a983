//! A statement on its way in, and what describes its answer on the way out.

use std::fmt;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::value::Value;

/// One SQL statement in SQLite's dialect, with its parameters. `$1`, `$2` … bind by *name*: `parameters[0]` is
/// `$1`, wherever it stands in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Exactly one statement; a trailing semicolon and comments are allowed.
    pub sql: String,
    /// Values of `$1` …; as many as the highest number used.
    pub parameters: Vec<Value>,
    /// `None`: the clock's time and the system's chance, as it runs.
    pub environment: Option<Environment>,
}

/// What a statement is executed with besides its parameters, so that it is answered the same if it is executed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Environment {
    /// When its transaction began, in ms since 1970: `now` of SQL, in all its forms.
    pub transaction_ms: i64,
    /// When it arrived itself, in ms since 1970.
    pub statement_ms: i64,
    /// What `random()` and `randomblob()` are drawn from. Nobody else has the same.
    pub seed: [u8; 32],
}

impl Environment {
    fn encode(&self, out: &mut Encoder) {
        out.i64(self.transaction_ms);
        out.i64(self.statement_ms);
        for half in self.seed.chunks_exact(16) {
            out.u128(u128::from_le_bytes(half.try_into().expect("sixteen bytes")));
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Environment, DecodeError> {
        let (transaction_ms, statement_ms) = (input.i64()?, input.i64()?);
        let mut seed = [0; 32];
        for half in seed.chunks_exact_mut(16) {
            half.copy_from_slice(&input.u128()?.to_le_bytes());
        }
        Ok(Environment {
            transaction_ms,
            statement_ms,
            seed,
        })
    }
}

impl Statement {
    /// Without parameters.
    pub fn new(sql: impl Into<String>) -> Statement {
        Statement::bound(sql, Vec::new())
    }

    /// With the values of `$1` …
    pub fn bound(sql: impl Into<String>, parameters: Vec<Value>) -> Statement {
        Statement {
            sql: sql.into(),
            parameters,
            environment: None,
        }
    }

    /// Appends text and parameters.
    pub fn encode(&self, out: &mut Encoder) {
        out.str(&self.sql);
        out.u64(self.parameters.len() as u64);
        for value in &self.parameters {
            value.encode(out);
        }
        out.option(self.environment.as_ref(), |out, environment| {
            environment.encode(out)
        });
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Statement, DecodeError> {
        let sql = input.str()?.to_owned();
        let parameters = (0..input.count()?)
            .map(|_| Value::decode(input))
            .collect::<Result<_, _>>()?;
        Ok(Statement {
            sql,
            parameters,
            environment: input.option(Environment::decode)?,
        })
    }
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As SQLite names it.
    pub name: String,
    /// The declared type of the table column that it is, in the text of CREATE TABLE; `None` for expressions.
    pub declared_type: Option<String>,
}

impl Column {
    /// Appends name and type.
    pub fn encode(&self, out: &mut Encoder) {
        out.str(&self.name);
        out.option(self.declared_type.as_deref(), |out, text| out.str(text));
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Column, DecodeError> {
        let name = input.str()?.to_owned();
        let declared_type = input.option(|input| input.str().map(str::to_owned))?;
        Ok(Column { name, declared_type })
    }
}

/// What PostgreSQL's CommandComplete says: the verb, and for some the number of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandTag {
    /// Upper case, e.g. `INSERT`, `CREATE TABLE`.
    pub verb: String,
    /// Rows read or changed, for the verbs that say so.
    pub rows: Option<u64>,
}

impl CommandTag {
    /// A verb without a count.
    pub fn plain(verb: &str) -> CommandTag {
        CommandTag {
            verb: verb.to_owned(),
            rows: None,
        }
    }

    /// A verb with a count.
    pub fn counted(verb: &str, rows: u64) -> CommandTag {
        CommandTag {
            verb: verb.to_owned(),
            rows: Some(rows),
        }
    }

    /// Appends verb and count.
    pub fn encode(&self, out: &mut Encoder) {
        out.str(&self.verb);
        out.option(self.rows, |out, rows| out.u64(rows));
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<CommandTag, DecodeError> {
        let verb = input.str()?.to_owned();
        Ok(CommandTag {
            verb,
            rows: input.option(Decoder::u64)?,
        })
    }
}

/// `INSERT 0 5`, `UPDATE 5`, `CREATE TABLE`: PostgreSQL puts an object id, now always 0, after INSERT.
impl fmt::Display for CommandTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.verb.as_str(), self.rows) {
            ("INSERT", Some(rows)) => write!(f, "INSERT 0 {rows}"),
            (verb, Some(rows)) => write!(f, "{verb} {rows}"),
            (verb, None) => f.write_str(verb),
        }
    }
}
