//! The extended protocol: prepared statements, portals, pipelines.
//!
//! A message that needs the driver's word first (types, an implicit transaction) is left in the buffer and tried
//! again. Asking is avoided where the next message shows that the answer comes anyway: a statement that is bound
//! at once is not checked first, a portal that is executed at once is described with its rows, and a statement
//! with Sync right behind it is a transaction of its own.

use std::collections::btree_map::Entry;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use bellwether_types::{CommandTag, ErrorKind, SqlError, Statement, Value, lexer};

use super::execute::{highest_parameter, local_fields};
use super::prepare::Call;
use super::{
    Connection, CursorId, Ending, Portal, PortalProgress, Prepared, Purpose, Request, Rows, Run, Scope, Step,
    Transaction, Waiting,
};
use crate::command::{Command, Fetch};
use crate::frontend::{Bind, Target, tag};
use crate::row::{Field, Formats};
use crate::types::{Format, Oid, Type, parameter};

/// Prepared statements a connection may hold, and portals: enough for any pool, too few to fill memory with.
pub(super) const MAX_STATEMENTS: usize = 10_000;
const MAX_PORTALS: usize = 1_000;

/// The greatest parameter number, SQLite's own limit.
const MAX_PARAMETERS: usize = 32_766;

impl Prepared {
    /// The columns, if they are known; `Some(None)`: there are none.
    fn fields(&self) -> Option<Option<Arc<[Field]>>> {
        match &self.command {
            Command::Sql { .. } | Command::Execute(_) | Command::Fetch(Fetch { moves: false, .. }) => {
                self.described.get().map(|description| description.fields.clone())
            }
            local => Some(local_fields(local)),
        }
    }

    /// The type of the parameter at `index`, from 0; text if nobody knows.
    pub(super) fn parameter_type(&self, index: usize) -> Oid {
        let said = self.client_types.get(index).copied().unwrap_or_default();
        let inferred = || {
            self.described
                .get()
                .and_then(|description| description.parameters.get(index).copied())
        };
        [Some(said), inferred()]
            .into_iter()
            .flatten()
            .find(|oid| *oid != Oid(0))
            .unwrap_or(Type::Text.oid())
    }

    pub(super) fn all_types_said(&self) -> bool {
        self.client_types.len() >= self.parameter_count && self.client_types.iter().all(|oid| *oid != Oid(0))
    }
}

impl Connection {
    pub(super) fn parse(
        &mut self,
        name: &str,
        sql: &str,
        client_types: Vec<Oid>,
        next_tag: Option<u8>,
    ) -> Result<Step, SqlError> {
        self.check_statement_name(name)?;
        if lexer::split(sql).len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(SqlError::new(ErrorKind::Syntax, message));
        }
        let command = Command::parse(sql)?;
        self.refuse_when_failed(&command)?;
        let text = match &command {
            // Those in its text are not this statement's.
            Command::Prepare(_) | Command::Execute(_) => "",
            _ => sql,
        };
        let parameter_count = count_parameters(text, &client_types)?;
        let described = OnceLock::new();
        if matches!(command, Command::Sql { .. }) && next_tag != Some(tag::BIND) {
            match self.description.take() {
                Some(description) => described.set(description).expect("set once"),
                None => return Ok(self.ask_description(sql, Some(0))),
            }
        }
        let prepared = Prepared {
            sql: sql.to_owned(),
            command,
            client_types,
            parameter_count,
            described,
        };
        self.statements.insert(name.to_owned(), Arc::new(prepared));
        self.output.parse_complete();
        Ok(Step::Done)
    }

    /// `before`: the characters of the client's statement before it; `None`: the client has not sent it.
    pub(super) fn ask_description(&mut self, sql: &str, before: Option<u32>) -> Step {
        self.waiting = Waiting::Description { before };
        Step::AskFirst(Request::Describe { sql: sql.to_owned() })
    }

    /// The statement's description is there, or was asked for.
    pub(super) fn describe_first(&mut self, prepared: &Prepared) -> Result<Option<Step>, SqlError> {
        if prepared.described.get().is_some() {
            return Ok(None);
        }
        let (sql, before) = match &prepared.command {
            Command::Sql { .. } => (prepared.sql.clone(), Some(0)),
            Command::Execute(execute) => (self.statement_to_execute(&execute.name)?.sql.clone(), None),
            Command::Fetch(fetch) if !fetch.moves => (self.query_of_cursor(&fetch.name)?.0, None),
            _ => return Ok(None),
        };
        Ok(match self.description.take() {
            Some(description) => {
                prepared.described.get_or_init(|| description);
                None
            }
            None => Some(self.ask_description(&sql, before)),
        })
    }

    pub(super) fn statement(&self, name: &str) -> Result<Arc<Prepared>, SqlError> {
        self.statements.get(name).cloned().ok_or_else(|| {
            let message = match name {
                "" => "unnamed prepared statement does not exist".to_owned(),
                name => format!("prepared statement \"{name}\" does not exist"),
            };
            SqlError::new(ErrorKind::UndefinedStatement, message)
        })
    }

    pub(super) fn bind(&mut self, bind: &Bind<'_>) -> Result<Step, SqlError> {
        let prepared = self.statement(bind.statement)?;
        self.refuse_when_failed(&prepared.command)?;
        if bind.parameters.len() != prepared.parameter_count {
            let message = format!(
                "bind message supplies {} parameters, but prepared statement \"{}\" requires {}",
                bind.parameters.len(),
                bind.statement,
                prepared.parameter_count
            );
            return Err(SqlError::new(ErrorKind::WrongParameterCount, message));
        }
        if prepared.parameter_count > 0
            && !prepared.all_types_said()
            && let Some(ask) = self.describe_first(&prepared)?
        {
            return Ok(ask);
        }
        if !bind.portal.is_empty() && self.portals.contains_key(bind.portal) {
            let message = format!("portal \"{}\" already exists", bind.portal);
            return Err(SqlError::new(ErrorKind::DuplicateCursor, message));
        }
        self.forget_portal(bind.portal);
        self.check_portal_count()?;
        let is_as_sent = !matches!(prepared.command, Command::Execute(_));
        let (prepared, parameters) = match &prepared.command {
            Command::Execute(execute) => match self.call(execute)? {
                Call::Ready { prepared, parameters } => (prepared, parameters),
                Call::After(step) => return Ok(step),
            },
            _ => {
                let parameters = decode_parameters(&prepared, bind)?;
                (prepared, parameters)
            }
        };
        let portal = Portal {
            parameters,
            formats: Formats::from_codes(&bind.result_formats)?,
            told: prepared.fields().flatten(),
            prepared,
            is_as_sent,
            progress: PortalProgress::Ready,
            held: None,
        };
        if let Some(fields) = &portal.told {
            portal.formats.check(fields)?;
        }
        self.portals.insert(bind.portal.to_owned(), portal);
        self.output.bind_complete();
        Ok(Step::Done)
    }

    pub(super) fn describe(&mut self, target: Target<'_>, next_tag: Option<u8>) -> Result<Step, SqlError> {
        let (prepared, formats) = match target {
            Target::Statement(name) => (self.statement(name)?, Formats::Text),
            Target::Portal(name) => {
                let portal = self.portal(name)?;
                (Arc::clone(&portal.prepared), portal.formats.clone())
            }
        };
        self.refuse_when_failed(&prepared.command)?;
        if let Target::Portal(name) = target
            && prepared.fields().is_none()
            && next_tag == Some(tag::EXECUTE)
        {
            self.describe_with_rows = Some(name.to_owned());
            return Ok(Step::Done);
        }
        if let Some(ask) = self.describe_first(&prepared)? {
            return Ok(ask);
        }
        let fields = prepared.fields().flatten();
        if let Some(fields) = &fields {
            formats.check(fields)?;
        }
        match target {
            Target::Statement(_) => {
                let types: Vec<Oid> = (0..prepared.parameter_count)
                    .map(|index| prepared.parameter_type(index))
                    .collect();
                self.output.parameter_description(&types);
            }
            Target::Portal(name) => self.portal_mut(name)?.told.clone_from(&fields),
        }
        match fields {
            Some(fields) => self.output.row_description(&fields, &formats),
            None => self.output.no_data(),
        }
        Ok(Step::Done)
    }

    pub(super) fn check_portal_count(&self) -> Result<(), SqlError> {
        if self.portals.len() < MAX_PORTALS {
            return Ok(());
        }
        Err(SqlError::new(ErrorKind::ProgramLimit, "too many open portals"))
    }

    fn portal(&self, name: &str) -> Result<&Portal, SqlError> {
        self.portals.get(name).ok_or_else(|| undefined_portal(name))
    }

    fn portal_mut(&mut self, name: &str) -> Result<&mut Portal, SqlError> {
        self.portals.get_mut(name).ok_or_else(|| undefined_portal(name))
    }

    /// Another portal's description may be due before this one is run; `describe` asks for it now, and again with its
    /// answer.
    fn describe_another(&mut self, name: &str) -> Result<Option<Step>, SqlError> {
        let Some(described) = self.describe_with_rows.take_if(|described| described != name) else {
            return Ok(None);
        };
        match self.describe(Target::Portal(&described), None)? {
            Step::AskFirst(request) => {
                self.describe_with_rows = Some(described);
                Ok(Some(Step::AskFirst(request)))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn execute_portal(
        &mut self,
        name: &str,
        max_rows: i32,
        next_tag: Option<u8>,
    ) -> Result<Step, SqlError> {
        if let Some(ask) = self.describe_another(name)? {
            return Ok(ask);
        }
        let portal = self.portal(name)?;
        let prepared = Arc::clone(&portal.prepared);
        self.refuse_when_failed(&prepared.command)?;
        let max_rows = u32::try_from(max_rows).ok().and_then(NonZeroU32::new);
        match &self.portal(name)?.progress {
            PortalProgress::Done { had_rows: true } => {
                self.output.command_complete(&CommandTag::counted("SELECT", 0));
                return Ok(Step::Done);
            }
            PortalProgress::Done { had_rows: false } => {
                let message = format!("portal \"{name}\" cannot be run again");
                return Err(SqlError::new(ErrorKind::UndefinedCursor, message));
            }
            PortalProgress::Suspended { .. } => return Ok(self.fetch(name, max_rows)),
            PortalProgress::Ready => {}
        }
        let Command::Sql { verb } = &prepared.command else {
            let formats = self.portal(name)?.formats.clone();
            let is_alone = next_tag == Some(tag::SYNC);
            let step = match &prepared.command {
                Command::Declare(declare) => {
                    let parameters = std::mem::take(&mut self.portal_mut(name)?.parameters);
                    self.declare(declare, parameters)?
                }
                command => self.execute_command(command, Some(&formats), is_alone)?,
            };
            if !matches!(step, Step::AskFirst(_))
                && let Some(portal) = self.portals.get_mut(name)
            {
                portal.progress = PortalProgress::Done { had_rows: false };
            }
            return Ok(step);
        };
        self.settings.begin();
        let is_alone = next_tag == Some(tag::SYNC);
        if self.transaction == Transaction::None && !is_alone {
            return Ok(Step::AskFirst(self.begin_implicit()));
        }
        let describe = self.describe_with_rows.take().is_some();
        let purpose = match self.portal(name)?.is_as_sent {
            true => Purpose::Query,
            false => Purpose::Execute,
        };
        Ok(self.run_portal(name, &prepared.sql, verb, max_rows, (purpose, describe)))
    }

    pub(super) fn run_portal(
        &mut self,
        name: &str,
        sql: &str,
        verb: &str,
        max_rows: Option<NonZeroU32>,
        (purpose, describe): (Purpose, bool),
    ) -> Step {
        let portal = self.portals.get_mut(name).expect("execute_portal has found it");
        let statement = Statement::bound(sql, std::mem::take(&mut portal.parameters));
        let formats = portal.formats.clone();
        portal.progress = PortalProgress::Done { had_rows: false };
        let mut run = Run {
            formats,
            max_rows,
            holds: purpose == Purpose::Hold,
            ..self.run(statement, verb)
        };
        if run.holds || run.scope == Scope::Transaction && max_rows.is_some() {
            self.next_cursor += 1;
            run.cursor = Some(CursorId(self.next_cursor));
        }
        let rows = Rows {
            portal: Some(name.to_owned()),
            cursor: run.cursor,
            encoder: None,
            describe,
            purpose,
        };
        self.waiting = Waiting::Rows(Box::new(rows));
        Step::Ask(Request::Run(run))
    }

    fn fetch(&mut self, name: &str, max_rows: Option<NonZeroU32>) -> Step {
        let portal = self.portals.get_mut(name).expect("execute_portal has found it");
        let progress = std::mem::replace(&mut portal.progress, PortalProgress::Done { had_rows: true });
        let PortalProgress::Suspended { cursor, encoder } = progress else {
            unreachable!("only suspended portals are fetched from");
        };
        let rows = Rows {
            portal: Some(name.to_owned()),
            cursor: Some(cursor),
            encoder,
            describe: false,
            purpose: Purpose::Query,
        };
        self.waiting = Waiting::Rows(Box::new(rows));
        Step::Ask(Request::Fetch { cursor, max_rows })
    }

    pub(super) fn close(&mut self, target: Target<'_>) {
        match target {
            Target::Statement(name) => drop(self.statements.remove(name)),
            Target::Portal(name) => self.forget_portal(name),
        }
        self.output.close_complete();
    }

    /// Drops a portal, and asks the driver to drop the rest of its result.
    pub(super) fn forget_portal(&mut self, name: &str) {
        if let Entry::Occupied(portal) = self.portals.entry(name.to_owned())
            && let PortalProgress::Suspended { cursor, .. } = portal.remove().progress
        {
            self.closing.push_back(cursor);
        }
    }

    pub(super) fn sync(&mut self) -> Step {
        self.skip_to_sync = false;
        if self.transaction == Transaction::Implicit {
            self.waiting = Waiting::Commit(Ending::Sync);
            return Step::Ask(Request::Commit);
        }
        self.owes_ready = true;
        Step::Done
    }
}

/// How many parameters a statement has, of which these types were said.
pub(super) fn count_parameters(sql: &str, types: &[Oid]) -> Result<usize, SqlError> {
    let count = highest_parameter(sql).max(types.len());
    if count > MAX_PARAMETERS {
        let message = format!("${count} is too high: the limit is {MAX_PARAMETERS} parameters");
        return Err(SqlError::new(ErrorKind::ProgramLimit, message));
    }
    Ok(count)
}

fn undefined_portal(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::UndefinedCursor,
        format!("portal \"{name}\" does not exist"),
    )
}

fn decode_parameters(prepared: &Prepared, bind: &Bind<'_>) -> Result<Vec<Value>, SqlError> {
    if !matches!(bind.parameter_formats.len(), 0 | 1) && bind.parameter_formats.len() != bind.parameters.len()
    {
        let message = format!(
            "bind message has {} parameter formats but {} parameters",
            bind.parameter_formats.len(),
            bind.parameters.len()
        );
        return Err(SqlError::new(ErrorKind::Protocol, message));
    }
    let formats = Formats::from_codes(&bind.parameter_formats)?;
    let decode = |(index, bytes): (usize, &Option<&[u8]>)| {
        let format: Format = formats.of(index);
        match bytes {
            None => Ok(Value::Null),
            Some(bytes) => parameter::decode(prepared.parameter_type(index), format, bytes)
                .map_err(|error| of_parameter(index, error)),
        }
    };
    bind.parameters.iter().enumerate().map(decode).collect()
}

pub(super) fn of_parameter(index: usize, mut error: SqlError) -> SqlError {
    error.message = format!("parameter ${}: {}", index + 1, error.message);
    error
}
