//! What the driver answers to requests.

use std::sync::Arc;

use bellwether_types::{CommandTag, ErrorKind, SqlError, ValueRef};

use super::prepare::not_one_row;
use super::{Connection, Ending, Phase, PortalProgress, Purpose, Rows, Transaction, Waiting};
use crate::backend::Severity;
use crate::command::TransactionModes;
use crate::copy;
use crate::row::{Description, Formats, RowEncoder};
use crate::types::Format;

impl Waiting {
    /// Moves an error's position from the text that was asked about to the client's statement, if it is a part of that.
    fn place(&self, mut error: SqlError) -> SqlError {
        let before = match self {
            Waiting::Description { before } => *before,
            Waiting::Rows(rows) => (rows.purpose == Purpose::Query).then_some(0),
            _ => None,
        };
        let moved = error.position.zip(before);
        error.position = moved.map(|(position, before)| position.saturating_add(before));
        error
    }
}

impl Connection {
    /// Answers `Describe`.
    pub fn described(&mut self, description: Arc<Description>) {
        debug_assert!(
            self.is_closed() || matches!(self.waiting, Waiting::Description { .. }),
            "no description was asked for"
        );
        self.waiting = Waiting::Nothing;
        self.description = Some(description);
    }

    /// Begins the answer to a `Run` that gives rows, before the first of them, also when there will be none. An
    /// error (the columns are not those that the client was told) is for `fail`.
    pub fn start_rows(&mut self, encoder: RowEncoder) -> Result<(), SqlError> {
        let Waiting::Rows(rows) = &mut self.waiting else {
            return Err(out_of_turn("rows"));
        };
        let portal = rows.portal.as_ref().and_then(|name| self.portals.get_mut(name));
        let formats = match portal {
            Some(portal) => {
                if portal.told.as_ref().is_some_and(|told| told != encoder.fields()) {
                    return Err(SqlError::new(
                        ErrorKind::NotSupported,
                        "cached plan must not change result type",
                    )
                    .with_hint(
                        "The schema has changed since the statement was prepared: prepare it again.",
                    ));
                }
                portal.progress = PortalProgress::Done { had_rows: true };
                if !rows.purpose.is_statement() {
                    portal.told = Some(Arc::clone(encoder.fields()));
                }
                portal.formats.clone()
            }
            None => Formats::Text,
        };
        if let Purpose::Copy(layout) = &rows.purpose {
            let format = if layout.is_binary() {
                Format::Binary
            } else {
                Format::Text
            };
            self.output.copy_out_response(format, encoder.fields().len());
            copy::put_header(layout, &encoder, self.output.bytes_mut());
        }
        if std::mem::take(&mut rows.describe) {
            self.output.row_description(encoder.fields(), &formats);
        }
        rows.encoder = Some(encoder);
        Ok(())
    }

    /// Rows that the encoder has encoded, on another thread perhaps: any number of whole messages.
    pub fn rows(&mut self, messages: &[u8]) {
        debug_assert!(
            self.is_closed() || matches!(self.waiting, Waiting::Rows(_)),
            "no rows were asked for"
        );
        self.output.append(messages);
    }

    /// One row. An error (a value that does not fit its column) is for `fail`.
    pub fn row<'v>(&mut self, values: impl IntoIterator<Item = ValueRef<'v>>) -> Result<(), SqlError> {
        let Waiting::Rows(rows) = &self.waiting else {
            return Err(out_of_turn("a row"));
        };
        let encoder = rows.encoder.as_ref().ok_or_else(|| out_of_turn("a row"))?;
        match &rows.purpose {
            Purpose::Copy(layout) => copy::put_row(layout, encoder, values, self.output.bytes_mut()),
            Purpose::Move { .. } | Purpose::Notify | Purpose::Hold => Ok(()),
            Purpose::Query | Purpose::Execute | Purpose::Fetch { .. } => {
                encoder.encode(values, self.output.bytes_mut())
            }
            Purpose::Arguments => self.take_arguments(values),
        }
    }

    /// Ends the answer to `Run` or `Fetch`: all rows were given (`tag` counts those of this answer only), or there
    /// are none to give.
    pub fn complete(&mut self, tag: CommandTag) {
        if matches!(self.waiting, Waiting::Copy) {
            self.waiting = Waiting::Nothing;
            return;
        }
        let Some(rows) = self.end_rows() else { return };
        if rows.purpose == Purpose::Arguments {
            if self.computed.is_none() {
                self.failed(not_one_row());
            }
            return;
        }
        if let Purpose::Copy(layout) = &rows.purpose {
            if rows.encoder.is_none() {
                let message = "COPY TO needs a query that answers rows";
                return self.failed(SqlError::new(ErrorKind::NotSupported, message));
            }
            copy::put_end(layout, self.output.bytes_mut());
            self.output.copy_done();
        }
        self.complete_command(match rows.purpose {
            Purpose::Query | Purpose::Execute => tag,
            Purpose::Hold => CommandTag::plain("DECLARE CURSOR"),
            Purpose::Notify => CommandTag::plain("NOTIFY"),
            other => CommandTag::counted(other.verb(), tag.rows.unwrap_or(0)),
        });
    }

    /// Ends the answer to `Run` or `Fetch`: `max_rows` were given and there are more.
    pub fn suspended(&mut self) {
        let Some(rows) = self.end_rows() else { return };
        let portal = rows.portal.as_ref().and_then(|name| self.portals.get_mut(name));
        if let (Some(portal), Some(cursor)) = (portal, rows.cursor) {
            portal.progress = PortalProgress::Suspended {
                cursor,
                encoder: rows.encoder,
            };
        }
        match rows.purpose {
            Purpose::Fetch { limit } | Purpose::Move { limit } => {
                let given = limit.map_or(0, |limit| u64::from(limit.get()));
                self.complete_command(CommandTag::counted(rows.purpose.verb(), given));
            }
            Purpose::Hold => self.complete_command(CommandTag::plain("DECLARE CURSOR")),
            Purpose::Query | Purpose::Execute | Purpose::Copy(_) | Purpose::Notify | Purpose::Arguments => {
                self.output.portal_suspended()
            }
        }
    }

    /// What was due before the end, if a result is on its way at all.
    fn end_rows(&mut self) -> Option<Box<Rows>> {
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Rows(rows) => {
                // A simple query tells columns or nothing; a described portal is told that there are none.
                if rows.describe && rows.portal.is_some() {
                    self.output.no_data();
                }
                Some(rows)
            }
            other => {
                debug_assert!(self.is_closed(), "no result was asked for");
                self.waiting = other;
                None
            }
        }
    }

    /// Answers everything about transactions: `Begin`, `Commit`, `Rollback`, `Savepoint`, `RollbackTo`, `Release`;
    /// and `Govern`.
    pub fn done(&mut self) {
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Begin { tag: None, .. } => self.transaction = Transaction::Implicit,
            Waiting::Begin {
                tag: Some(tag),
                read_only,
            } => {
                self.transaction = Transaction::Explicit;
                let modes = TransactionModes {
                    read_only,
                    deferrable: None,
                };
                self.apply_modes(modes).expect("on and off are valid");
                self.complete_command(CommandTag::plain(tag));
            }
            Waiting::Cluster(tag) => self.complete_command(CommandTag::plain(tag)),
            Waiting::Commit(ending) => {
                self.end_transaction(true);
                self.end(ending);
            }
            Waiting::Rollback(ending) => {
                self.end_transaction(false);
                self.end(ending);
            }
            Waiting::Savepoint(name) => {
                self.settings.savepoint(&name);
                self.channels.savepoint();
                self.savepoints.push(name);
                self.complete_command(CommandTag::plain("SAVEPOINT"));
            }
            Waiting::RollbackTo(name) => {
                if let Ok(at) = self.find_savepoint(&name) {
                    self.savepoints.truncate(at + 1);
                    self.channels.rollback_to(at);
                }
                self.settings.rollback_to(&name);
                self.portals.retain(|_, portal| {
                    portal.held.is_some() || !matches!(portal.progress, PortalProgress::Suspended { .. })
                });
                self.transaction = Transaction::Explicit;
                self.lost = None;
                self.complete_command(CommandTag::plain("ROLLBACK"));
            }
            Waiting::Release(name) => {
                if let Ok(at) = self.find_savepoint(&name) {
                    self.savepoints.truncate(at);
                    self.channels.release(at);
                }
                self.settings.release(&name);
                self.complete_command(CommandTag::plain("RELEASE"));
            }
            other => {
                debug_assert!(self.is_closed(), "nothing was asked that ends like this");
                self.waiting = other;
            }
        }
    }

    fn end(&mut self, ending: Ending) {
        match ending {
            Ending::Command(tag) => self.complete_command(CommandTag::plain(tag)),
            Ending::Script => {
                if let Some(tag) = self.script.as_mut().and_then(|script| script.take_held()) {
                    self.output.command_complete(&tag);
                }
            }
            Ending::Sync => self.owes_ready = true,
            Ending::Failure => {}
        }
    }

    /// Answers any request: it failed. Before the client is let in, that ends the connection.
    pub fn fail(&mut self, error: SqlError) {
        let error = self.waiting.place(error);
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Copy => self.copy_failed(error),
            Waiting::Nothing => debug_assert!(self.is_closed(), "nothing was asked that could fail: {error}"),
            Waiting::Authentication => self.abort(&error),
            // The client has been told of a failure already, and the transaction is over.
            Waiting::Rollback(Ending::Failure) => self.end_transaction(false),
            // Committed or not, it is over.
            Waiting::Commit(ending) | Waiting::Rollback(ending) => {
                self.end_transaction(false);
                self.failed(error);
                if ending == Ending::Sync {
                    self.skip_to_sync = false;
                    self.owes_ready = true;
                }
            }
            Waiting::Rows(rows) => {
                if let (Purpose::Hold, Some(name)) = (&rows.purpose, &rows.portal) {
                    self.portals.remove(name);
                }
                self.failed(error);
            }
            _ => self.failed(error),
        }
    }

    /// The open transaction was lost while the client was silent: the writer was taken from it, or leadership
    /// changed. The client is told at its next statement. Ask for the next request afterwards: ROLLBACK comes as
    /// one all the same, at once or when the client sends it.
    pub fn lose_transaction(&mut self, error: SqlError) {
        match self.transaction {
            Transaction::Explicit => {
                self.transaction = Transaction::Failed;
                self.lost = Some(error);
            }
            // Its end is due by itself: the client has sent the beginning of a pipeline without Sync.
            Transaction::Implicit => self.failed(error),
            Transaction::None | Transaction::ImplicitFailed | Transaction::Failed => {}
        }
    }

    /// Ends the connection, at any moment, with a last word. Roll back what is open; an answer that is still due
    /// is ignored.
    pub fn abort(&mut self, error: &SqlError) {
        if self.phase != Phase::Closed {
            self.output.error(Severity::Fatal, error);
        }
        self.phase = Phase::Closed;
        self.waiting = Waiting::Nothing;
        self.input.clear();
        self.must_flush = true;
    }
}

fn out_of_turn(what: &str) -> SqlError {
    SqlError::new(
        ErrorKind::Internal,
        format!("{what} came without a request for it"),
    )
}
