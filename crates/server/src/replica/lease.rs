//! The write connection in the hands of the session whose transaction holds it.
//!
//! Between an interactive transaction's first write and its end the writer thread has nothing to do but its
//! statements. The session runs the short ones on the thread that serves its client: that spares two thread switches
//! each, which cost more than the statement. The writer thread takes the connection back for everything else (the
//! end of the transaction, a long result, a command of the machine) and waits for the statement under way.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use bellwether_storage::{NoRows, Writer};
use bellwether_types::{ErrorKind, Facts, SqlError, Statement, StatementResult, lexer};

use crate::patience::with_patience;

/// A result with more than this goes by way of the writer thread, piece by piece.
const ROWS_MAX: usize = 256;
const ROWS_BYTES_MAX: usize = 64 << 10;

/// Where the connection is while it is lent.
#[derive(Default)]
pub(crate) struct Lease {
    lent: Mutex<Option<Lent>>,
}

struct Lent {
    /// Whose it is.
    transaction: u64,
    writer: Writer,
    /// When its last statement ended.
    last: Instant,
}

/// Why a statement is not run here.
pub(crate) enum NotHere {
    /// The writer thread has to do it. Nothing was done.
    Elsewhere,
    /// It failed; whether the whole group went with it.
    Failed { error: SqlError, lost: bool },
}

impl Lease {
    fn lent(&self) -> MutexGuard<'_, Option<Lent>> {
        self.lent.lock().expect("no holder of this lock panics")
    }

    /// From the writer thread.
    pub fn lend(&self, transaction: u64, writer: Writer, last: Instant) {
        *self.lent() = Some(Lent {
            transaction,
            writer,
            last,
        });
    }

    /// From the writer thread, which has lent it: waits for the statement under way. Also says when the last one ended.
    pub fn take_back(&self) -> (Writer, Instant) {
        let lent = self
            .lent()
            .take()
            .expect("the writer thread lent it, and takes it back once");
        (lent.writer, lent.last)
    }

    /// From the session: runs the statement, if it is a short one and the transaction still has the connection.
    pub fn run(
        &self,
        transaction: u64,
        statement: &Statement,
        facts: Option<&Arc<Facts>>,
    ) -> Result<StatementResult, NotHere> {
        let is_query = match lexer::verb(&statement.sql).as_deref() {
            Some("SELECT" | "VALUES") => true,
            Some("INSERT" | "UPDATE" | "DELETE" | "REPLACE")
                if !lexer::mentions(&statement.sql, "RETURNING") =>
            {
                false
            }
            _ => return Err(NotHere::Elsewhere),
        };
        let mut lent = self.lent();
        let Some(lent) = lent.as_mut().filter(|lent| lent.transaction == transaction) else {
            return Err(NotHere::Elsewhere);
        };
        if let Some(facts) = facts {
            lent.writer.set_facts(facts);
        }
        let result = with_patience(|| match is_query {
            true => query(&mut lent.writer, statement),
            false => change(&mut lent.writer, statement),
        });
        lent.last = Instant::now();
        result
    }
}

/// Reads change nothing: one that turns out long is begun again by the writer thread.
fn query(writer: &mut Writer, statement: &Statement) -> Result<StatementResult, NotHere> {
    match writer.query(statement, ROWS_MAX, ROWS_BYTES_MAX) {
        Ok(Some(result)) => Ok(result),
        Ok(None) => Err(NotHere::Elsewhere),
        // It writes after all, by pg_notify().
        Err(error) if error.kind == ErrorKind::ReadOnly => Err(NotHere::Elsewhere),
        Err(error) => Err(NotHere::Failed { error, lost: false }),
    }
}

fn change(writer: &mut Writer, statement: &Statement) -> Result<StatementResult, NotHere> {
    match writer.execute(statement, &mut NoRows) {
        Ok(tag) => Ok(StatementResult {
            columns: Vec::new(),
            rows: Vec::new(),
            tag,
        }),
        Err(error) => Err(NotHere::Failed {
            error,
            lost: writer.is_group_lost(),
        }),
    }
}
