//! The statement format's body: what was executed, with all that it saw, in the order in which it was; between
//! statements stand changes as in the row format (schema statements, `sqlite_sequence`, and what a `mixed` log sends as
//! rows), so that a body of rows is a body of this format, too.
//!
//! A replica that runs the statement with what stands beside it does what the leader did. Who cannot know that beforehand
//! does not write this format: see `storage`'s `safety`.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::format::row::Change;
use crate::function::Facts;
use crate::value::ValueRef;

/// What a body consists of.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<'a> {
    /// A statement was executed.
    Statement(Box<Executed<'a>>),
    /// As in the row format.
    Change(Change<'a>),
    /// From here to the next statement stands what that one changes, for whoever reads rows; it is not to be applied
    /// besides.
    Images,
    /// Nothing: what was to be images is to be applied.
    NoImages,
}

/// An INSERT, UPDATE or DELETE, and what it was executed with.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed<'a> {
    /// `None`: that of the statement before in the same client transaction.
    pub sql: Option<&'a str>,
    /// Values of `$1` ….
    pub parameters: Vec<ValueRef<'a>>,
    /// SQL's `now`, in ms since 1970.
    pub transaction_ms: i64,
    /// When the statement arrived, in ms since 1970.
    pub statement_ms: i64,
    /// What `random()` and `randomblob()` are drawn from; there if they may be.
    pub seed: Option<[u8; 32]>,
    /// What `sqlite_version()` answers; there if it may be asked.
    pub sqlite_version: Option<&'a str>,
    /// Of the session; there if a function may ask about it.
    pub facts: Option<Facts>,
    /// What `last_insert_rowid()` answers before.
    pub last_insert_rowid: i64,
    /// What `changes()` answers before.
    pub changes: i64,
    /// What `total_changes()` answers before.
    pub total_changes: i64,
    /// PRAGMA foreign_keys.
    pub foreign_keys: bool,
    /// PRAGMA recursive_triggers.
    pub recursive_triggers: bool,
    /// PRAGMA defer_foreign_keys.
    pub defers_foreign_keys: bool,
}

/// Frozen: beside those of the row format's changes.
const STATEMENT: u8 = 16;

/// Frozen: [`Step::Images`], one byte, which may be replaced by the next one.
pub const IMAGES: u8 = 17;

/// Frozen: [`Step::NoImages`].
pub const NO_IMAGES: u8 = 18;

/// Frozen: what follows, and three switches.
mod has {
    pub const SQL: u8 = 1;
    pub const SEED: u8 = 2;
    pub const SQLITE_VERSION: u8 = 4;
    pub const FACTS: u8 = 8;
    pub const FOREIGN_KEYS: u8 = 16;
    pub const RECURSIVE_TRIGGERS: u8 = 32;
    pub const DEFERS_FOREIGN_KEYS: u8 = 64;
    pub const ALL: u8 = 127;
}

impl<'a> Executed<'a> {
    /// Appends it.
    pub fn encode(&self, out: &mut Encoder) {
        out.u8(STATEMENT);
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        out.u8(flag(self.sql.is_some(), has::SQL)
            | flag(self.seed.is_some(), has::SEED)
            | flag(self.sqlite_version.is_some(), has::SQLITE_VERSION)
            | flag(self.facts.is_some(), has::FACTS)
            | flag(self.foreign_keys, has::FOREIGN_KEYS)
            | flag(self.recursive_triggers, has::RECURSIVE_TRIGGERS)
            | flag(self.defers_foreign_keys, has::DEFERS_FOREIGN_KEYS));
        if let Some(sql) = self.sql {
            out.str(sql);
        }
        if let Some(seed) = &self.seed {
            out.raw(seed);
        }
        if let Some(version) = self.sqlite_version {
            out.str(version);
        }
        if let Some(facts) = &self.facts {
            facts.encode(out);
        }
        out.i64(self.transaction_ms);
        out.i64(self.statement_ms.wrapping_sub(self.transaction_ms));
        out.i64(self.last_insert_rowid);
        out.i64(self.changes);
        out.i64(self.total_changes);
        out.u64(self.parameters.len() as u64);
        for value in &self.parameters {
            value.encode(out);
        }
    }

    fn decode(input: &mut Decoder<'a>) -> Result<Executed<'a>, DecodeError> {
        let flags = input.u8()?;
        if flags & !has::ALL != 0 {
            return Err(DecodeError::UnknownTag {
                what: "statement",
                tag: u64::from(flags),
            });
        }
        let has = |flag: u8| flags & flag != 0;
        let sql = if has(has::SQL) { Some(input.str()?) } else { None };
        let seed = match has(has::SEED) {
            true => Some(
                input
                    .raw(32)?
                    .try_into()
                    .expect("as many bytes as were asked for"),
            ),
            false => None,
        };
        let sqlite_version = if has(has::SQLITE_VERSION) {
            Some(input.str()?)
        } else {
            None
        };
        let facts = if has(has::FACTS) {
            Some(Facts::decode(input)?)
        } else {
            None
        };
        let transaction_ms = input.i64()?;
        let statement_ms = input.i64()?.wrapping_add(transaction_ms);
        Ok(Executed {
            sql,
            seed,
            sqlite_version,
            facts,
            transaction_ms,
            statement_ms,
            last_insert_rowid: input.i64()?,
            changes: input.i64()?,
            total_changes: input.i64()?,
            parameters: {
                let count = input.count()?;
                (0..count)
                    .map(|_| ValueRef::decode(input))
                    .collect::<Result<_, _>>()?
            },
            foreign_keys: has(has::FOREIGN_KEYS),
            recursive_triggers: has(has::RECURSIVE_TRIGGERS),
            defers_foreign_keys: has(has::DEFERS_FOREIGN_KEYS),
        })
    }
}

impl<'a> Step<'a> {
    /// Appends it.
    pub fn encode(&self, out: &mut Encoder) {
        match self {
            Step::Statement(executed) => executed.encode(out),
            Step::Change(change) => change.encode(out),
            Step::Images => out.u8(IMAGES),
            Step::NoImages => out.u8(NO_IMAGES),
        }
    }

    /// Reads the next one. `Truncated` may mean that the rest is in the next chunk.
    pub fn decode(input: &mut Decoder<'a>) -> Result<Step<'a>, DecodeError> {
        let mut ahead = input.clone();
        let tag = ahead.u8()?;
        if !(STATEMENT..=NO_IMAGES).contains(&tag) {
            return Change::decode(input).map(Step::Change);
        }
        *input = ahead;
        match tag {
            STATEMENT => Executed::decode(input).map(|executed| Step::Statement(Box::new(executed))),
            IMAGES => Ok(Step::Images),
            _ => Ok(Step::NoImages),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executed() -> Executed<'static> {
        Executed {
            sql: Some("UPDATE t SET a = $1"),
            parameters: vec![ValueRef::Integer(-7), ValueRef::Text(b"x"), ValueRef::Null],
            transaction_ms: 1_700_000_000_000,
            statement_ms: 1_700_000_000_250,
            seed: Some([3; 32]),
            sqlite_version: Some("3.54.1"),
            facts: Some(Facts {
                user: "ada".to_owned(),
                ..Facts::default()
            }),
            last_insert_rowid: i64::MIN,
            changes: 2,
            total_changes: 300,
            foreign_keys: true,
            recursive_triggers: false,
            defers_foreign_keys: true,
        }
    }

    fn encoded(step: &Step<'_>) -> Vec<u8> {
        let mut out = Encoder::new();
        step.encode(&mut out);
        out.into_vec()
    }

    #[test]
    fn a_statement_comes_back_with_all_that_it_saw() {
        let plain = Executed {
            sql: None,
            parameters: Vec::new(),
            seed: None,
            sqlite_version: None,
            facts: None,
            statement_ms: i64::MIN,
            ..executed()
        };
        for executed in [executed(), plain] {
            let step = Step::Statement(Box::new(executed));
            let bytes = encoded(&step);
            let mut input = Decoder::new(&bytes);
            assert_eq!(Step::decode(&mut input), Ok(step.clone()));
            assert_eq!(input.finish(), Ok(()));
            for end in 0..bytes.len() {
                let cut = Step::decode(&mut Decoder::new(&bytes[..end]));
                assert_eq!(cut, Err(DecodeError::Truncated), "{end} of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn a_statement_of_a_later_version_is_refused() {
        let mut bytes = encoded(&Step::Statement(Box::new(executed())));
        bytes[1] |= 128;
        assert!(matches!(
            Step::decode(&mut Decoder::new(&bytes)),
            Err(DecodeError::UnknownTag {
                what: "statement",
                ..
            })
        ));
    }

    #[test]
    fn changes_of_rows_are_read_as_in_the_row_format() {
        let change = Change::Schema {
            sql: "CREATE TABLE t(a)",
        };
        let step = Step::Change(change);
        let bytes = encoded(&step);
        assert_eq!(Step::decode(&mut Decoder::new(&bytes)), Ok(step));
    }
}
