//! Commands that the connection itself carries out: transactions, settings, prepared statements.

use std::sync::Arc;

use bellwether_session::SetScope;
use bellwether_types::lexer::{self, Token};
use bellwether_types::{CommandTag, ErrorKind, SqlError, Statement, ValueRef};

use super::{Connection, Ending, Purpose, Request, Rows, Run, Scope, Step, Transaction, Waiting};
use crate::backend::Severity;
use crate::command::{Command, TransactionModes};
use crate::row::{Field, Formats, RowEncoder};
use crate::types::Type;

/// Codes of warnings; errors have theirs in `sqlstate`.
const ACTIVE_TRANSACTION: &str = "25001";
const NO_ACTIVE_TRANSACTION: &str = "25P01";

/// Savepoints a transaction may have at once.
const MAX_SAVEPOINTS: usize = 1_000;

/// The greatest `$n` in a statement; 0 if there is none.
pub(crate) fn highest_parameter(sql: &str) -> usize {
    if !sql.contains('$') {
        return 0;
    }
    let highest = lexer::tokens(sql)
        .filter_map(|token: Token<'_>| token.parameter_number())
        .max();
    highest.map_or(0, |number| number as usize)
}

/// The columns of a command that the connection answers itself; `None`: no rows.
pub(super) fn local_fields(command: &Command) -> Option<Arc<[Field]>> {
    let text = |name: &str| Field::new(name, Type::Text);
    match command {
        Command::Show(name) => Some(Arc::from([text(name)])),
        Command::ShowAll => Some(Arc::from([text("name"), text("setting"), text("description")])),
        _ => None,
    }
}

impl Connection {
    pub(super) fn refuse_when_failed(&mut self, command: &Command) -> Result<(), SqlError> {
        if self.transaction == Transaction::Failed && !command.is_allowed_when_failed() {
            return Err(self.transaction_failed());
        }
        Ok(())
    }

    /// Why the transaction takes no more commands: the driver's reason once, then that it has failed.
    pub(super) fn transaction_failed(&mut self) -> SqlError {
        self.lost.take().unwrap_or_else(|| {
            SqlError::new(
                ErrorKind::TransactionFailed,
                "current transaction is aborted, commands ignored until end of transaction block",
            )
        })
    }

    /// A statement of the transaction that is open, or a transaction of its own: all of its rows, as text.
    pub(super) fn run(&self, statement: Statement, verb: impl Into<String>) -> Run {
        Run {
            statement,
            verb: verb.into(),
            scope: match self.transaction {
                Transaction::None => Scope::Single,
                _ => Scope::Transaction,
            },
            read_only: self.settings.values().read_only(),
            formats: Formats::Text,
            max_rows: None,
            cursor: None,
            holds: false,
        }
    }

    /// Has it run for its rows, which are no portal's.
    pub(super) fn ask_rows(&mut self, run: Run, purpose: Purpose) -> Request {
        self.waiting = Waiting::Rows(Box::new(Rows {
            portal: None,
            cursor: None,
            encoder: None,
            describe: purpose.is_statement(),
            purpose,
        }));
        Request::Run(run)
    }

    pub(super) fn begin_implicit(&mut self) -> Request {
        self.waiting = Waiting::Begin {
            tag: None,
            read_only: None,
        };
        Request::Begin {
            implicit: true,
            read_only: self.settings.values().read_only(),
        }
    }

    /// Everything but SQL. `formats`: of a portal, which was described before; `None`: of a simple query. `is_last`:
    /// nothing follows that belongs to the same transaction.
    pub(super) fn execute_command(
        &mut self,
        command: &Command,
        formats: Option<&Formats>,
        is_last: bool,
    ) -> Result<Step, SqlError> {
        self.settings.begin();
        match command {
            Command::Empty => self.output.empty_query(),
            Command::Begin { modes, tag } => return self.begin(*modes, tag),
            Command::Commit => return Ok(self.commit()),
            Command::Rollback => return Ok(self.rollback()),
            Command::Savepoint(name) => return self.savepoint(name),
            Command::RollbackTo(name) => {
                self.find_savepoint(name)?;
                self.waiting = Waiting::RollbackTo(name.clone());
                return Ok(Step::Ask(Request::RollbackTo(name.clone())));
            }
            Command::Release(name) => {
                self.find_savepoint(name)?;
                self.waiting = Waiting::Release(name.clone());
                return Ok(Step::Ask(Request::Release(name.clone())));
            }
            Command::Set { scope, name, value } => self.set(*scope, name, value.as_deref())?,
            Command::SetTransaction(modes) => self.set_transaction(*modes)?,
            Command::SetCharacteristics(modes) => self.set_characteristics(*modes)?,
            Command::Show(name) => {
                let (_, value) = self.settings.show(name)?;
                self.answer_rows(command, vec![vec![value]], formats)?;
            }
            Command::ShowAll => {
                let rows = self.settings.show_all().into_iter();
                let rows = rows
                    .map(|(name, value, description)| vec![name, value, description])
                    .collect();
                self.answer_rows(command, rows, formats)?;
            }
            Command::Reset(name) => {
                self.settings.reset(SetScope::Session, name)?;
                self.complete_command(CommandTag::plain("RESET"));
            }
            Command::ResetAll => {
                self.settings.reset_all();
                self.complete_command(CommandTag::plain("RESET"));
            }
            Command::DiscardAll => self.discard_all()?,
            Command::Prepare(prepare) => return self.prepare(prepare),
            Command::Execute(execute) => return self.execute(execute, is_last),
            Command::Deallocate(name) => self.deallocate(name.as_deref())?,
            Command::Listen(channel) => {
                self.channels.listen(channel)?;
                self.complete_command(CommandTag::plain("LISTEN"));
            }
            Command::Unlisten(channel) => {
                self.channels.unlisten(channel.as_deref());
                self.complete_command(CommandTag::plain("UNLISTEN"));
            }
            Command::Notify { channel, payload } => return self.notify_others(channel, payload, is_last),
            Command::Nothing { tag } => self.complete_command(CommandTag::plain(tag)),
            Command::Declare(declare) => return self.declare(declare, Vec::new()),
            Command::Fetch(fetch) => return self.fetch_cursor(fetch, formats),
            Command::Close(name) => self.close_cursor(name.as_deref())?,
            Command::Copy(copy) => return self.copy(copy, is_last),
            Command::Cluster(command) => return self.govern(command),
            Command::Sql { .. } => unreachable!("callers run SQL themselves"),
        }
        Ok(Step::Done)
    }

    fn begin(&mut self, modes: TransactionModes, tag: &'static str) -> Result<Step, SqlError> {
        match self.transaction {
            Transaction::None => {
                let read_only = modes
                    .read_only
                    .unwrap_or(self.settings.values().default_transaction_read_only);
                self.waiting = Waiting::Begin {
                    tag: Some(tag),
                    read_only: modes.read_only,
                };
                return Ok(Step::Ask(Request::Begin {
                    implicit: false,
                    read_only,
                }));
            }
            // What ran before in this query belongs to it, as in PostgreSQL.
            Transaction::Implicit => {
                self.transaction = Transaction::Explicit;
                self.apply_modes(modes)?;
            }
            _ => self.warn(ACTIVE_TRANSACTION, "there is already a transaction in progress"),
        }
        self.complete_command(CommandTag::plain(tag));
        Ok(Step::Done)
    }

    /// Inside a transaction.
    pub(super) fn apply_modes(&mut self, modes: TransactionModes) -> Result<(), SqlError> {
        for (name, value) in [
            ("transaction_read_only", modes.read_only),
            ("transaction_deferrable", modes.deferrable),
        ] {
            if let Some(value) = value {
                self.settings
                    .set(SetScope::Local, name, if value { "on" } else { "off" })?;
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Step {
        match self.transaction {
            Transaction::Failed => {
                self.waiting = Waiting::Rollback(Ending::Command("ROLLBACK"));
                return Step::Ask(Request::Rollback);
            }
            Transaction::None => {
                self.warn(NO_ACTIVE_TRANSACTION, "there is no transaction in progress");
                self.settings.commit();
                self.channels.commit();
                self.complete_command(CommandTag::plain("COMMIT"));
                return Step::Done;
            }
            Transaction::Implicit => self.warn(NO_ACTIVE_TRANSACTION, "there is no transaction in progress"),
            _ => {}
        }
        self.waiting = Waiting::Commit(Ending::Command("COMMIT"));
        Step::Ask(Request::Commit)
    }

    fn rollback(&mut self) -> Step {
        match self.transaction {
            Transaction::None => {
                self.warn(NO_ACTIVE_TRANSACTION, "there is no transaction in progress");
                self.settings.rollback();
                self.channels.rollback();
                self.complete_command(CommandTag::plain("ROLLBACK"));
                return Step::Done;
            }
            Transaction::Implicit => self.warn(NO_ACTIVE_TRANSACTION, "there is no transaction in progress"),
            _ => {}
        }
        self.waiting = Waiting::Rollback(Ending::Command("ROLLBACK"));
        Step::Ask(Request::Rollback)
    }

    fn savepoint(&mut self, name: &str) -> Result<Step, SqlError> {
        if self.transaction != Transaction::Explicit {
            return Err(SqlError::new(
                ErrorKind::TransactionState,
                "SAVEPOINT can only be used in transaction blocks",
            ));
        }
        if self.savepoints.len() >= MAX_SAVEPOINTS {
            return Err(SqlError::new(ErrorKind::ProgramLimit, "too many savepoints")
                .with_hint("RELEASE those that are no longer needed."));
        }
        self.waiting = Waiting::Savepoint(name.to_owned());
        Ok(Step::Ask(Request::Savepoint(name.to_owned())))
    }

    /// The newest savepoint of that name; names compare as SQLite compares them.
    pub(super) fn find_savepoint(&self, name: &str) -> Result<usize, SqlError> {
        if !matches!(self.transaction, Transaction::Explicit | Transaction::Failed) {
            let message = "savepoints can only be used in transaction blocks";
            return Err(SqlError::new(ErrorKind::TransactionState, message));
        }
        let found = self
            .savepoints
            .iter()
            .rposition(|savepoint| savepoint.eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            SqlError::new(
                ErrorKind::UndefinedSavepoint,
                format!("savepoint \"{name}\" does not exist"),
            )
        })
    }

    fn set(&mut self, scope: SetScope, name: &str, value: Option<&str>) -> Result<(), SqlError> {
        match value {
            Some(value) => self.settings.set(scope, name, value)?,
            None => self.settings.reset(scope, name)?,
        }
        if scope == SetScope::Local && self.transaction == Transaction::None {
            self.warn(
                NO_ACTIVE_TRANSACTION,
                "SET LOCAL can only be used in transaction blocks",
            );
        }
        self.complete_command(CommandTag::plain("SET"));
        Ok(())
    }

    fn set_transaction(&mut self, modes: TransactionModes) -> Result<(), SqlError> {
        if self.transaction == Transaction::None {
            self.warn(
                NO_ACTIVE_TRANSACTION,
                "SET TRANSACTION can only be used in transaction blocks",
            );
        } else {
            self.apply_modes(modes)?;
        }
        self.complete_command(CommandTag::plain("SET"));
        Ok(())
    }

    fn set_characteristics(&mut self, modes: TransactionModes) -> Result<(), SqlError> {
        let values = [
            ("default_transaction_read_only", modes.read_only),
            ("default_transaction_deferrable", modes.deferrable),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                self.settings
                    .set(SetScope::Session, name, if value { "on" } else { "off" })?;
            }
        }
        self.complete_command(CommandTag::plain("SET"));
        Ok(())
    }

    fn discard_all(&mut self) -> Result<(), SqlError> {
        if self.transaction != Transaction::None {
            let message = "DISCARD ALL cannot run inside a transaction block";
            return Err(SqlError::new(ErrorKind::TransactionState, message));
        }
        self.settings.reset_all();
        self.channels.unlisten(None);
        self.statements.clear();
        self.portals.clear();
        self.complete_command(CommandTag::plain("DISCARD ALL"));
        Ok(())
    }

    fn deallocate(&mut self, name: Option<&str>) -> Result<(), SqlError> {
        let tag = match name {
            None => {
                self.statements.retain(|name, _| name.is_empty());
                "DEALLOCATE ALL"
            }
            Some(name) if self.statements.remove(name).is_some() => "DEALLOCATE",
            Some(name) => {
                let message = format!("prepared statement \"{name}\" does not exist");
                return Err(SqlError::new(ErrorKind::UndefinedStatement, message));
            }
        };
        self.complete_command(CommandTag::plain(tag));
        Ok(())
    }

    /// Rows of texts, by the same encoder as everyone's.
    fn answer_rows(
        &mut self,
        command: &Command,
        rows: Vec<Vec<String>>,
        formats: Option<&Formats>,
    ) -> Result<(), SqlError> {
        let fields = local_fields(command).expect("callers answer commands that have rows");
        let encoder = RowEncoder::new(Arc::clone(&fields), formats.unwrap_or(&Formats::Text))?;
        if formats.is_none() {
            self.output.row_description(&fields, &Formats::Text);
        }
        for row in &rows {
            let values = row.iter().map(|text| ValueRef::Text(text.as_bytes()));
            encoder.encode(values, self.output.bytes_mut())?;
        }
        self.complete_command(CommandTag::plain("SHOW"));
        Ok(())
    }

    fn warn(&mut self, code: &str, message: &str) {
        self.notice(
            Severity::Warning,
            code,
            &SqlError::new(ErrorKind::TransactionState, message),
        );
    }

    /// Tells the client something that is no failure, unless `client_min_messages` is above it. `notice.kind` is
    /// not told: `code` is.
    pub fn notice(&mut self, severity: Severity, code: &str, notice: &SqlError) {
        let least = match self.settings.values().client_min_messages {
            "error" => Severity::Error,
            "warning" => Severity::Warning,
            _ => Severity::Notice,
        };
        if severity >= least {
            self.output.notice(severity, code, notice);
        }
    }
}
