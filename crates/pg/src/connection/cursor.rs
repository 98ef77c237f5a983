//! SQL's cursors: DECLARE, FETCH, MOVE, CLOSE. A cursor is a portal by another name, as in PostgreSQL: it ends with its
//! transaction, reads forward, and shows what its transaction saw when it was first fetched from. One that is declared
//! WITH HOLD is read whole when it is declared, and stays until it is closed or its transaction is rolled back.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use bellwether_types::{CommandTag, ErrorKind, SqlError, Value, lexer};

use super::execute::highest_parameter;
use super::{Connection, Held, Portal, PortalProgress, Prepared, Purpose, Request, Rows, Step, Transaction};
use crate::command::{Command, Count, Declare, Fetch};
use crate::row::{Formats, RowEncoder};

impl Connection {
    pub(super) fn declare(&mut self, declare: &Declare, parameters: Vec<Value>) -> Result<Step, SqlError> {
        if self.transaction == Transaction::None && !declare.is_held {
            let message = "DECLARE CURSOR can only be used in transaction blocks";
            return Err(SqlError::new(ErrorKind::TransactionState, message));
        }
        if self.portals.contains_key(&declare.name) {
            let message = format!("cursor \"{}\" already exists", declare.name);
            return Err(SqlError::new(ErrorKind::DuplicateCursor, message));
        }
        self.check_portal_count()?;
        // Types were told with the parameters themselves.
        let sql = declare.query.clone();
        if highest_parameter(&sql) > parameters.len() {
            let message = "there are no parameters in a simple query";
            return Err(SqlError::new(ErrorKind::WrongParameterCount, message));
        }
        let verb = lexer::verb(&sql).unwrap_or_default();
        let prepared = Prepared {
            parameter_count: parameters.len(),
            client_types: Vec::new(),
            command: Command::Sql { verb: verb.clone() },
            described: OnceLock::new(),
            sql,
        };
        let portal = Portal {
            prepared: Arc::new(prepared),
            parameters,
            formats: if declare.is_binary {
                Formats::Binary
            } else {
                Formats::Text
            },
            told: None,
            is_as_sent: false,
            progress: PortalProgress::Ready,
            held: declare.is_held.then_some(Held {
                is_committed: self.transaction == Transaction::None,
            }),
        };
        let sql = portal.prepared.sql.clone();
        self.portals.insert(declare.name.clone(), portal);
        if declare.is_held {
            return Ok(self.run_portal(&declare.name, &sql, &verb, None, (Purpose::Hold, false)));
        }
        self.complete_command(CommandTag::plain("DECLARE CURSOR"));
        Ok(Step::Done)
    }

    /// `formats`: as asked by the portal of the FETCH itself; `None`: of a simple query.
    pub(super) fn fetch_cursor(
        &mut self,
        fetch: &Fetch,
        formats: Option<&Formats>,
    ) -> Result<Step, SqlError> {
        let describes = (self.describe_with_rows.take().is_some() || formats.is_none()) && !fetch.moves;
        let (sql, verb) = self.query_of_cursor(&fetch.name)?;
        let portal = self.portals.get_mut(&fetch.name).expect("seen just now");
        let limit = match fetch.count {
            Count::All => None,
            Count::Rows(count) => Some(count),
        };
        let purpose = match fetch.moves {
            true => Purpose::Move { limit },
            false => Purpose::Fetch { limit },
        };
        if let Some(formats) = formats.filter(|_| portal.formats != Formats::Binary) {
            portal.formats = formats.clone();
        }
        match std::mem::replace(&mut portal.progress, PortalProgress::Done { had_rows: true }) {
            PortalProgress::Ready => {
                portal.progress = PortalProgress::Ready;
                let limit = limit.or(NonZeroU32::new(u32::MAX));
                Ok(self.run_portal(&fetch.name, &sql, &verb, limit, (purpose, describes)))
            }
            PortalProgress::Suspended { cursor, encoder } => {
                let encoder = match encoder {
                    Some(encoder) => {
                        if describes {
                            self.output.row_description(encoder.fields(), &portal.formats);
                        }
                        Some(RowEncoder::new(Arc::clone(encoder.fields()), &portal.formats)?)
                    }
                    None => None,
                };
                self.waiting = super::Waiting::Rows(Box::new(Rows {
                    portal: Some(fetch.name.clone()),
                    cursor: Some(cursor),
                    encoder,
                    describe: false,
                    purpose,
                }));
                let max_rows = limit;
                Ok(Step::Ask(Request::Fetch { cursor, max_rows }))
            }
            PortalProgress::Done { .. } => {
                if describes && let Some(fields) = &portal.told {
                    self.output.row_description(fields, &portal.formats);
                }
                self.complete_command(CommandTag::counted(purpose.verb(), 0));
                Ok(Step::Done)
            }
        }
    }

    /// A transaction is over: its portals are, too. Those held stay, unless they were declared in one that was rolled
    /// back.
    pub(super) fn end_portals(&mut self, committed: bool) {
        for (name, mut portal) in std::mem::take(&mut self.portals) {
            match (&mut portal.held, &portal.progress) {
                (Some(held), _) if committed || held.is_committed => {
                    held.is_committed = true;
                    self.portals.insert(name, portal);
                }
                (Some(_), PortalProgress::Suspended { cursor, .. }) => self.closing.push_back(*cursor),
                _ => {}
            }
        }
    }

    /// The text and the verb behind the cursor that a FETCH names. A portal of a command that the connection carries
    /// out itself is no cursor.
    pub(super) fn query_of_cursor(&self, name: &str) -> Result<(String, String), SqlError> {
        let prepared = self.portals.get(name).map(|portal| &*portal.prepared);
        let query = prepared.and_then(|prepared| Some((prepared.sql.clone(), prepared.verb()?.to_owned())));
        query.ok_or_else(|| undefined_cursor(name))
    }

    /// CLOSE; `None`: all.
    pub(super) fn close_cursor(&mut self, name: Option<&str>) -> Result<(), SqlError> {
        let tag = match name {
            None => {
                let names: Vec<String> = self.portals.keys().cloned().collect();
                names.iter().for_each(|name| self.forget_portal(name));
                "CLOSE CURSOR ALL"
            }
            Some(name) if self.portals.contains_key(name) => {
                self.forget_portal(name);
                "CLOSE CURSOR"
            }
            Some(name) => return Err(undefined_cursor(name)),
        };
        self.complete_command(CommandTag::plain(tag));
        Ok(())
    }
}

fn undefined_cursor(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::UndefinedCursor,
        format!("cursor \"{name}\" does not exist"),
    )
}
