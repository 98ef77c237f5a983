//! A failed statement, as a fact. Mapped to a SQLSTATE in one place, the `pg` room.

use std::fmt;

use crate::codec::{DecodeError, Decoder, Encoder};

macro_rules! error_kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What went wrong. Numbers are frozen: they travel between nodes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum ErrorKind {
            $($(#[$doc])* $name = $number,)*
        }

        impl ErrorKind {
            /// Every kind, for tests that map them all.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];

            fn from_number(number: u8) -> Result<ErrorKind, DecodeError> {
                match number {
                    $($number => Ok(ErrorKind::$name),)*
                    other => Err(DecodeError::UnknownTag { what: "error kind", tag: u64::from(other) }),
                }
            }
        }
    };
}

error_kinds! {
    /// The text is not SQL.
    Syntax = 1,
    /// No such table or view.
    UndefinedTable = 2,
    /// No such column.
    UndefinedColumn = 3,
    /// No such function, or not with so many arguments.
    UndefinedFunction = 4,
    /// A table, view or index of that name exists.
    DuplicateTable = 5,
    /// A column of that name exists.
    DuplicateColumn = 6,
    /// A name that could mean two columns.
    AmbiguousColumn = 7,
    /// UNIQUE or PRIMARY KEY.
    UniqueViolation = 10,
    /// NOT NULL.
    NotNullViolation = 11,
    /// FOREIGN KEY.
    ForeignKeyViolation = 12,
    /// CHECK.
    CheckViolation = 13,
    /// RAISE in a trigger, or another constraint.
    IntegrityViolation = 14,
    /// A value of another type than a STRICT column's, or than the described type of a result.
    DatatypeMismatch = 15,
    /// A parameter's text is not of its type.
    InvalidText = 16,
    /// Division, cast, overflow: a number does not fit.
    OutOfRange = 17,
    /// Bytes that are not UTF-8 where text is needed.
    NotUtf8 = 18,
    /// Not built, with a hint of what to use instead.
    NotSupported = 20,
    /// Not allowed: reaches outside the database, or a dangerous PRAGMA.
    Forbidden = 21,
    /// A write in a read-only transaction.
    ReadOnly = 22,
    /// A limit was reached: size of a value, of a result, of a statement, number of columns.
    ProgramLimit = 23,
    /// Too many connections.
    TooManyConnections = 24,
    /// A command that a failed transaction does not take.
    TransactionFailed = 30,
    /// No transaction is open (or one is, where none may be).
    TransactionState = 31,
    /// No savepoint of that name.
    UndefinedSavepoint = 32,
    /// What was read before the first write has changed since, or the writer was lost: try again.
    Serialization = 33,
    /// The writer was not free within `lock_timeout`.
    LockTimeout = 34,
    /// The transaction held the writer and was silent for too long.
    IdleInTransaction = 35,
    /// Cancelled by the client.
    Cancelled = 36,
    /// `statement_timeout`.
    StatementTimeout = 37,
    /// The replica did not reach the position in time.
    WaitTimeout = 38,
    /// A position of another branch of the log or of another cluster.
    WrongBranch = 39,
    /// No leader is known.
    NoLeader = 40,
    /// It may have been committed: the id to ask about is in the detail.
    UnknownOutcome = 41,
    /// This node is stopping.
    ShuttingDown = 42,
    /// No such database.
    UndefinedDatabase = 43,
    /// No such role, or not allowed in.
    InvalidAuthorization = 44,
    /// No such setting.
    UndefinedSetting = 45,
    /// A setting does not take that value.
    InvalidSetting = 46,
    /// No such prepared statement.
    UndefinedStatement = 47,
    /// No such portal.
    UndefinedCursor = 48,
    /// A prepared statement of that name exists.
    DuplicateStatement = 49,
    /// The client broke the protocol.
    Protocol = 50,
    /// No space is left on the disk of the leader.
    DiskFull = 51,
    /// This replica's content is damaged or diverged; it does not serve.
    DataCorrupted = 52,
    /// The disk failed.
    Io = 53,
    /// Memory.
    OutOfMemory = 54,
    /// Our mistake.
    Internal = 55,
    /// A portal of that name exists.
    DuplicateCursor = 56,
    /// A number of parameters other than the statement has.
    WrongParameterCount = 57,
    /// Data of a COPY that are no rows.
    BadCopy = 58,
    /// What it names is not in the state that this needs.
    WrongState = 59,
    /// The connection ends, and its last transaction may have been committed: the id to ask about is in the detail.
    UnknownResolution = 60,
    /// The password is wrong, or the role has none.
    InvalidPassword = 70,
    /// No such role, where one is to be changed.
    UndefinedRole = 71,
    /// A role of that name exists.
    DuplicateRole = 72,
    /// No such node, where one is to be changed.
    UndefinedNode = 74,
    /// A setting of the whole cluster, which no session changes for itself.
    ClusterSetting = 75,
    /// A transaction that was answered early went with its leader: its session hears of it before it goes on.
    TransactionLost = 76,
    /// No such replication slot.
    UndefinedSlot = 77,
    /// A replication slot of that name exists.
    DuplicateSlot = 78,
    /// No more replication slots.
    TooManySlots = 79,
    /// A name that may not be.
    InvalidName = 80,
    /// The log does not go back so far here.
    LogCut = 81,
    /// The role cannot go: it asks itself, or is the last of its kind.
    RoleInUse = 73,
}

/// A failed statement, told to the client: what happened, why, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// The fact.
    pub kind: ErrorKind,
    /// What happened, one line, lower case, no full stop: PostgreSQL's style.
    pub message: String,
    /// Why, a sentence.
    pub detail: Option<String>,
    /// What to do, a sentence.
    pub hint: Option<String>,
    /// Where in the statement's text: *characters*, from 1.
    pub position: Option<u32>,
    /// The table concerned.
    pub table: Option<String>,
    /// The column concerned.
    pub column: Option<String>,
    /// The constraint concerned.
    pub constraint: Option<String>,
}

impl SqlError {
    /// With a message and nothing else.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> SqlError {
        SqlError {
            kind,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            table: None,
            column: None,
            constraint: None,
        }
    }

    /// With a detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> SqlError {
        self.detail = Some(detail.into());
        self
    }

    /// With a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> SqlError {
        self.hint = Some(hint.into());
        self
    }

    /// Appends all fields.
    pub fn encode(&self, out: &mut Encoder) {
        let SqlError {
            kind,
            message,
            detail,
            hint,
            position,
            table,
            column,
            constraint,
        } = self;
        out.u8(*kind as u8);
        out.str(message);
        for text in [detail, hint, table, column, constraint] {
            out.option(text.as_deref(), |out, text| out.str(text));
        }
        out.option(*position, |out, position| out.u64(u64::from(position)));
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<SqlError, DecodeError> {
        let mut error = SqlError::new(ErrorKind::from_number(input.u8()?)?, input.str()?);
        let texts = [
            &mut error.detail,
            &mut error.hint,
            &mut error.table,
            &mut error.column,
            &mut error.constraint,
        ];
        for text in texts {
            *text = input.option(|input| input.str().map(str::to_owned))?;
        }
        error.position = input.option(|input| input.u32("error position"))?;
        Ok(error)
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

impl std::error::Error for SqlError {}
