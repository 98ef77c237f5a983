//! Questions that the writer answers between groups and within a transaction, without changing anything.

use bellwether_types::{CommandTag, ErrorKind, LogIndex, Position, RequestId, SqlError, Term, ValueRef};

use crate::error::StorageError;
use crate::reader::{self, Description};
use crate::statement::Prepared;
use crate::writer::Writer;

impl Writer {
    /// What became of a request, between groups: its last tag and its record's position; `None` when it is not
    /// committed in SQLite. At a leader that has applied everything before its reign it then never will be.
    pub fn outcome(&mut self, request: RequestId) -> Result<Option<(CommandTag, Position)>, SqlError> {
        let database = self.connection.database.clone();
        let _gate = database.enter();
        let failed = |error| StorageError::from(error).into_sql_error();
        let sql = "SELECT sequence, tag_verb, tag_rows, term, log_index FROM _bellwether_request WHERE session = ?1";
        let mut line = Prepared::internal(&database, sql).map_err(failed)?;
        line.bind(1, ValueRef::Blob(&request.session.0.to_le_bytes()))
            .map_err(failed)?;
        if !line.step().map_err(failed)? {
            return Ok(None);
        }
        let sequence = line.integer(0).cast_unsigned();
        if sequence > request.sequence {
            let message = "the session has gone on since";
            return Err(SqlError::new(ErrorKind::UnknownOutcome, message));
        }
        if sequence < request.sequence {
            return Ok(None);
        }
        let verb = match line.value(1) {
            ValueRef::Text(verb) => String::from_utf8_lossy(verb).into_owned(),
            _ => String::new(),
        };
        let rows = match line.value(2) {
            ValueRef::Integer(rows) => Some(rows.cast_unsigned()),
            _ => None,
        };
        let position = Position {
            term: Term(line.integer(3).cast_unsigned()),
            index: LogIndex(line.integer(4).cast_unsigned()),
        };
        Ok(Some((CommandTag { verb, rows }, position)))
    }

    /// Compiles without running, as the open transaction sees the schema.
    pub fn describe(&mut self, sql: &str) -> Result<Description, SqlError> {
        reader::describe(&self.connection.database, sql)
    }
}
