//! Questions that the writer answers between groups and within a transaction, without changing anything; and the answer
//! that is made to stay true.

use bellwether_types::{
    CommandTag, ErrorKind, LogIndex, Outcome, Position, RequestId, SqlError, Term, ValueRef,
};

use crate::error::StorageError;
use crate::reader::{self, Description};
use crate::session::SessionState;
use crate::statement::Prepared;
use crate::writer::Writer;

/// The tag of a request that was ruled out. No transaction that changed something has it.
const RULED_OUT: &str = "ROLLBACK";

/// Whether the request that was remembered with this tag was ruled out, not executed.
pub(crate) fn is_ruled_out(tag: &CommandTag) -> bool {
    tag.verb == RULED_OUT
}

/// 40001: somebody asked what became of it before it was executed, and was told that it never would be.
pub fn ruled_out(request: RequestId) -> SqlError {
    SqlError::new(ErrorKind::Serialization, "the transaction was rolled back")
        .with_detail(format!(
            "Somebody asked for the status of {request} before it was executed, and was told that it is aborted."
        ))
        .with_hint("Run it again.")
}

impl Writer {
    /// What became of a request, between groups, as far as SQLite knows here. At a leader that has applied everything
    /// before its reign what is [`Outcome::Open`] was not committed; it can still be, until it is ruled out.
    pub fn outcome(&mut self, request: RequestId) -> Result<Outcome, SqlError> {
        let database = self.connection.database.clone();
        let _gate = database.enter();
        let failed = |error| StorageError::from(error).into_sql_error();
        let sql = "SELECT sequence, tag_verb, tag_rows, term, log_index FROM _bellwether_request WHERE session = ?1";
        let mut line = Prepared::internal(&database, sql).map_err(failed)?;
        line.bind(1, ValueRef::Blob(&request.session.0.to_le_bytes()))
            .map_err(failed)?;
        if !line.step().map_err(failed)? {
            return Ok(Outcome::Open { is_known: false });
        }
        let sequence = line.integer(0).cast_unsigned();
        if sequence > request.sequence {
            return Ok(Outcome::GoneOn);
        }
        if sequence < request.sequence {
            return Ok(Outcome::Open { is_known: true });
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
        let tag = CommandTag { verb, rows };
        Ok(match is_ruled_out(&tag) {
            true => Outcome::RuledOut(position),
            false => Outcome::Committed(tag, position),
        })
    }

    /// The open transaction, of which nothing was executed, joins the group as one that never will be: its request is
    /// remembered as such.
    pub fn rule_out(&mut self) -> Result<SessionState, SqlError> {
        self.finish_as(Some(CommandTag::plain(RULED_OUT)))
    }

    /// Compiles without running, as the open transaction sees the schema.
    pub fn describe(&mut self, sql: &str) -> Result<Description, SqlError> {
        reader::describe(&self.connection.database, sql)
    }
}
