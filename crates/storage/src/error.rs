//! What SQLite answers, as facts: [`SqliteError`] inside this room, [`SqlError`] for clients, [`StorageError`] and
//! [`ApplyError`] for the node.

use std::ffi::{CStr, c_int};
use std::fmt;

use bellwether_types::{DecodeError, ErrorKind, Fingerprint, Position, SqlError};
use rusqlite::ffi;

use crate::authorizer;
use crate::files::{is_damage_code, telling};

/// A failed call of SQLite's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteError {
    /// Extended result code.
    pub code: i32,
    /// SQLite's words.
    pub message: String,
    /// Where in the statement's text, in bytes.
    pub offset: Option<usize>,
}

impl SqliteError {
    /// Of the call on `db` that just answered `code`.
    ///
    /// # Safety
    /// `db` is an open connection which no other thread uses now.
    pub(crate) unsafe fn last(db: *mut ffi::sqlite3, code: c_int) -> SqliteError {
        // SAFETY: per contract; errmsg answers a NUL-terminated string that lives until the next call.
        unsafe {
            let extended = ffi::sqlite3_extended_errcode(db);
            let offset = ffi::sqlite3_error_offset(db);
            let code = if extended & 0xFF == code & 0xFF {
                extended
            } else {
                code
            };
            let message = CStr::from_ptr(ffi::sqlite3_errmsg(db)).to_string_lossy();
            SqliteError {
                code,
                message: telling(code, message.into_owned()),
                offset: usize::try_from(offset).ok(),
            }
        }
    }

    /// Whether there was no space: on the disk, or (`SHMSIZE`) for the WAL's index, which is extended before it is
    /// written to.
    fn is_full(&self) -> bool {
        self.code & 0xFF == ffi::SQLITE_FULL || self.code == ffi::SQLITE_IOERR_SHMSIZE
    }

    /// Whether SQLite found the file damaged.
    fn is_damage(&self) -> bool {
        is_damage_code(self.code)
    }

    /// Whether SQLite found the file damaged, or the disk failed.
    fn is_fatal(&self) -> bool {
        !self.is_full()
            && matches!(
                self.code & 0xFF,
                ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB | ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN
            )
    }

    /// For the client that sent `sql`.
    pub(crate) fn into_sql_error(self, sql: &str) -> SqlError {
        if let Some(denied) = authorizer::take_denial() {
            return denied;
        }
        let mut error = match self.code & 0xFF {
            ffi::SQLITE_CONSTRAINT => constraint_error(self.code, &self.message),
            ffi::SQLITE_ERROR => generic_error(&self.message),
            _ => coded_error(self.code, &self.message),
        };
        error.position = self.offset.and_then(|offset| {
            let before = sql.get(..offset)?;
            u32::try_from(before.chars().count() + 1).ok()
        });
        error
    }
}

impl fmt::Display for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLite code {})", self.message, self.code)
    }
}

/// Errors whose result code says it all.
fn coded_error(code: i32, message: &str) -> SqlError {
    use ErrorKind::{
        Cancelled, DataCorrupted, DatatypeMismatch, DiskFull, Forbidden, Internal, Io, OutOfMemory,
        ProgramLimit, ReadOnly, Serialization,
    };
    match code & 0xFF {
        ffi::SQLITE_MISMATCH => SqlError::new(DatatypeMismatch, message),
        ffi::SQLITE_TOOBIG => SqlError::new(ProgramLimit, message),
        ffi::SQLITE_INTERRUPT => SqlError::new(Cancelled, "canceling statement due to user request"),
        ffi::SQLITE_FULL => SqlError::new(DiskFull, "no space is left for the database"),
        _ if is_damage_code(code) => SqlError::new(DataCorrupted, message),
        ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN => SqlError::new(Io, message),
        ffi::SQLITE_NOMEM => SqlError::new(OutOfMemory, "out of memory"),
        ffi::SQLITE_READONLY => SqlError::new(ReadOnly, "cannot write in a read-only transaction"),
        ffi::SQLITE_AUTH => SqlError::new(Forbidden, message),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_ABORT => SqlError::new(Serialization, message),
        _ => SqlError::new(Internal, format!("{message} (SQLite code {code})")),
    }
}

/// `t.a, t.b` → table and columns. Names with dots are told apart by SQLite no better than here.
fn split_columns(list: &str) -> Option<(&str, Vec<&str>)> {
    let table = list.split(", ").next()?.rsplit_once('.')?.0;
    let columns = list
        .split(", ")
        .map(|part| part.strip_prefix(table)?.strip_prefix('.'))
        .collect::<Option<Vec<_>>>()?;
    Some((table, columns))
}

/// The constraints, with the names that PostgreSQL would give them.
fn constraint_error(code: i32, message: &str) -> SqlError {
    let rest = message.split_once("constraint failed: ").map(|(_, rest)| rest);
    match code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            unique_violation(code, rest.unwrap_or_default(), message)
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => {
            let Some((table, columns)) = rest.and_then(split_columns) else {
                return SqlError::new(ErrorKind::NotNullViolation, message);
            };
            let column = columns.first().copied().unwrap_or_default();
            let text = format!(
                "null value in column \"{column}\" of relation \"{table}\" violates not-null constraint"
            );
            let mut error = SqlError::new(ErrorKind::NotNullViolation, text);
            error.table = Some(table.to_owned());
            error.column = Some(column.to_owned());
            error
        }
        ffi::SQLITE_CONSTRAINT_CHECK => {
            let name = rest.unwrap_or_default();
            let text = format!("new row violates check constraint \"{name}\"");
            let mut error = SqlError::new(ErrorKind::CheckViolation, text);
            error.constraint = Some(name.to_owned());
            error
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => foreign_key_violation(),
        ffi::SQLITE_CONSTRAINT_DATATYPE => SqlError::new(ErrorKind::DatatypeMismatch, message),
        ffi::SQLITE_CONSTRAINT_TRIGGER => SqlError::new(ErrorKind::IntegrityViolation, message),
        _ => SqlError::new(ErrorKind::IntegrityViolation, message),
    }
}

/// SQLite does not say which one.
pub(crate) fn foreign_key_violation() -> SqlError {
    SqlError::new(
        ErrorKind::ForeignKeyViolation,
        "insert, update or delete violates a foreign key constraint",
    )
    .with_hint("PRAGMA foreign_key_check and PRAGMA foreign_key_list name rows and constraints.")
}

fn unique_violation(code: i32, rest: &str, message: &str) -> SqlError {
    let kind = ErrorKind::UniqueViolation;
    if let Some(index) = rest
        .strip_prefix("index '")
        .and_then(|rest| rest.strip_suffix('\''))
    {
        let text = format!("duplicate key value violates unique constraint \"{index}\"");
        let mut error = SqlError::new(kind, text);
        error.constraint = Some(index.to_owned());
        return error;
    }
    let Some((table, columns)) = split_columns(rest) else {
        return SqlError::new(kind, message);
    };
    let constraint = if code == ffi::SQLITE_CONSTRAINT_UNIQUE {
        format!("{table}_{}_key", columns.join("_"))
    } else {
        format!("{table}_pkey")
    };
    let text = format!("duplicate key value violates unique constraint \"{constraint}\"");
    let mut error =
        SqlError::new(kind, text).with_detail(format!("Key ({}) already exists.", columns.join(", ")));
    error.table = Some(table.to_owned());
    error.constraint = Some(constraint);
    error
}

/// SQLITE_ERROR: only the words tell what it was.
fn generic_error(message: &str) -> SqlError {
    use ErrorKind::{
        AmbiguousColumn, DuplicateColumn, DuplicateTable, OutOfRange, ProgramLimit, Syntax, UndefinedColumn,
        UndefinedFunction, UndefinedTable,
    };
    let after = |prefix: &str| message.strip_prefix(prefix);
    if let Some(rest) = after("near ") {
        let token = rest.strip_suffix(": syntax error").unwrap_or(rest);
        return SqlError::new(Syntax, format!("syntax error at or near {token}"));
    }
    if message == "incomplete input" {
        return SqlError::new(Syntax, "syntax error at end of input");
    }
    if message.ends_with(" may not be modified") {
        return SqlError::new(ErrorKind::Forbidden, message);
    }
    if let Some(name) = after("no such table: ") {
        let bare = ["main.", "public."]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(name);
        let mut error = SqlError::new(UndefinedTable, format!("relation \"{bare}\" does not exist"));
        error.table = Some(bare.to_owned());
        return error;
    }
    if let Some(name) = after("no such column: ") {
        let mut error = SqlError::new(UndefinedColumn, format!("column \"{name}\" does not exist"));
        error.column = Some(name.to_owned());
        return error;
    }
    if let Some(name) = after("no such function: ") {
        return SqlError::new(UndefinedFunction, format!("function {name} does not exist"));
    }
    let kind = if message.starts_with("wrong number of arguments to function") {
        UndefinedFunction
    } else if message.contains(" has no column named ") {
        UndefinedColumn
    } else if message.starts_with("no such ") {
        UndefinedTable
    } else if message.starts_with("duplicate column name") {
        DuplicateColumn
    } else if message.starts_with("ambiguous column name") {
        AmbiguousColumn
    } else if message.ends_with(" already exists") || message.starts_with("there is already ") {
        DuplicateTable
    } else if message.contains("integer overflow") {
        OutOfRange
    } else if message.starts_with("too many ") || message.contains("too large") {
        ProgramLimit
    } else if message.contains("malformed JSON") || message.starts_with("bad JSON path") {
        ErrorKind::InvalidText
    } else {
        Syntax
    };
    SqlError::new(kind, message)
}

/// Why the writer could not do its part. Nothing of the group was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageError {
    /// SQLite refused one of our own statements.
    Sqlite(SqliteError),
    /// Captured changes could not be written to or read from their spill file.
    Spill(String),
    /// The calls came in an order that the contract excludes, e.g. `seal` without a group.
    OutOfOrder(&'static str),
    /// An error rolled back the whole group: its transactions must be executed again.
    GroupLost,
    /// The envelope alone is larger than an entry may be: too many transactions or tables in one group.
    RecordTooLarge {
        /// Its size.
        size_bytes: usize,
    },
    /// Rows changed after the group was sealed: a bug of capture, found before it could become a divergence.
    ChangedAfterSeal,
    /// A table of ours does not hold what we wrote.
    Malformed(String),
    /// Rows are not what records made them: found where all of them are read anyhow.
    Diverged {
        /// The table; empty: the schema.
        table: String,
        /// What records came to.
        kept: Fingerprint,
        /// What is there.
        found: Fingerprint,
    },
}

impl StorageError {
    /// Whether there was no space on the disk: the same may be tried again.
    pub fn is_full(&self) -> bool {
        match self {
            StorageError::Sqlite(error) => error.is_full(),
            StorageError::Spill(_) => true,
            _ => false,
        }
    }

    /// Whether the replica is damaged: it must stop serving and be seeded anew.
    pub fn is_damage(&self) -> bool {
        match self {
            StorageError::Sqlite(error) => error.is_damage(),
            StorageError::Diverged { .. } => true,
            _ => false,
        }
    }

    /// Whether this node must stop serving the database.
    pub fn is_fatal(&self) -> bool {
        match self {
            StorageError::Sqlite(error) => error.is_fatal(),
            StorageError::Spill(_) | StorageError::GroupLost | StorageError::RecordTooLarge { .. } => false,
            StorageError::OutOfOrder(_)
            | StorageError::ChangedAfterSeal
            | StorageError::Malformed(_)
            | StorageError::Diverged { .. } => true,
        }
    }

    /// For the client whose statement met it.
    pub fn into_sql_error(self) -> SqlError {
        match self {
            StorageError::Sqlite(error) => match error.code & 0xFF {
                ffi::SQLITE_ERROR | ffi::SQLITE_CONSTRAINT => {
                    SqlError::new(ErrorKind::Internal, error.to_string())
                }
                _ => coded_error(error.code, &error.message),
            },
            StorageError::Spill(message) => SqlError::new(ErrorKind::DiskFull, message),
            StorageError::GroupLost => group_lost(),
            other => SqlError::new(ErrorKind::Internal, other.to_string()),
        }
    }
}

/// Told to a transaction whose group was rolled back by another's error.
pub(crate) fn group_lost() -> SqlError {
    SqlError::new(
        ErrorKind::Serialization,
        "the group of this transaction was rolled back",
    )
    .with_hint("Try the transaction again.")
}

impl From<SqliteError> for StorageError {
    fn from(error: SqliteError) -> StorageError {
        StorageError::Sqlite(error)
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageError::Sqlite(error) => error.fmt(f),
            StorageError::Spill(message) => write!(f, "captured changes: {message}"),
            StorageError::OutOfOrder(what) => write!(f, "call out of order: {what}"),
            StorageError::GroupLost => write!(f, "an error rolled back the whole group"),
            StorageError::RecordTooLarge { size_bytes } => {
                write!(f, "a record of {size_bytes} bytes does not fit an entry")
            }
            StorageError::ChangedAfterSeal => write!(f, "rows changed after the group was sealed"),
            StorageError::Malformed(what) => write!(f, "internal table: {what}"),
            StorageError::Diverged { table, kept, found } => {
                let table = if table.is_empty() { "the schema" } else { table };
                write!(
                    f,
                    "{table} is not what records made it: {kept} is kept, {found} found"
                )
            }
        }
    }
}

impl std::error::Error for StorageError {}

/// How a replica's content was found to differ from the leader's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Divergence {
    /// The table's sum after the record is another.
    Fingerprint {
        /// By the record.
        expected: Fingerprint,
        /// By this replica's own rows.
        found: Fingerprint,
    },
    /// A row to be updated or deleted is not there.
    RowMissing,
    /// SQLite refused a change that it took at the leader: a row that exists already, a schema statement.
    Refused(SqliteError),
    /// A statement fails that succeeded at the leader.
    Statement {
        /// Its text, or the beginning of it.
        sql: String,
        /// Why.
        error: SqliteError,
    },
}

/// Why an entry could not be applied. The replica stays at its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyError {
    /// This replica's content differs from the leader's.
    Diverged {
        /// The table; empty: the schema.
        table: String,
        /// How.
        divergence: Divergence,
    },
    /// The payload cannot be read, or is of a version or format that this build does not know.
    Unreadable(DecodeError),
    /// The record was made for another place.
    Misplaced {
        /// By the record.
        expected: Position,
        /// Of the entry.
        found: Position,
    },
    /// The change names what cannot be: a table that was never created, a column out of range.
    Nonsense(String),
    /// A failure of this node's own.
    Storage(StorageError),
}

impl ApplyError {
    /// Whether the replica is damaged, or is not what the leader has: it must be seeded anew.
    pub fn is_damage(&self) -> bool {
        match self {
            ApplyError::Storage(error) => error.is_damage(),
            _ => true,
        }
    }

    /// As [`StorageError::is_full`].
    pub fn is_full(&self) -> bool {
        matches!(self, ApplyError::Storage(error) if error.is_full())
    }

    /// Whether this node must stop serving the database: everything but a full disk.
    pub fn is_fatal(&self) -> bool {
        match self {
            ApplyError::Storage(error) => error.is_fatal(),
            _ => true,
        }
    }
}

impl From<SqliteError> for ApplyError {
    fn from(error: SqliteError) -> ApplyError {
        ApplyError::Storage(StorageError::Sqlite(error))
    }
}

impl From<StorageError> for ApplyError {
    fn from(error: StorageError) -> ApplyError {
        ApplyError::Storage(error)
    }
}

impl From<DecodeError> for ApplyError {
    fn from(error: DecodeError) -> ApplyError {
        ApplyError::Unreadable(error)
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApplyError::Diverged { table, divergence } => {
                let name = if table.is_empty() { "the schema" } else { table };
                match divergence {
                    Divergence::Fingerprint { expected, found } => {
                        write!(
                            f,
                            "{name} diverged: fingerprint {found}, the leader's is {expected}"
                        )
                    }
                    Divergence::RowMissing => write!(f, "{name} diverged: a row of the leader's is missing"),
                    Divergence::Refused(error) => write!(f, "{name} diverged: {error}"),
                    Divergence::Statement { sql, error } => {
                        write!(f, "a statement of the leader's fails here: {error}: {sql}")
                    }
                }
            }
            ApplyError::Unreadable(error) => write!(f, "unreadable record: {error}"),
            ApplyError::Misplaced { expected, found } => {
                write!(f, "the record of {expected} stands at {found}")
            }
            ApplyError::Nonsense(what) => write!(f, "impossible change: {what}"),
            ApplyError::Storage(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ApplyError {}
