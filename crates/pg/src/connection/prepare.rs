//! SQL's PREPARE and EXECUTE: texts that the session keeps by name, beside the statements of the extended protocol,
//! with which they share their names.

use std::borrow::Cow;
use std::sync::Arc;

use bellwether_types::{CommandTag, ErrorKind, SqlError};

use super::extended::MAX_STATEMENTS;
use super::{Connection, Step};
use crate::command::{Command, Prepare};

impl Connection {
    /// What a text is. An EXECUTE is what it stands for: the prepared text with its arguments.
    pub(super) fn understand<'s>(&self, sql: &'s str) -> Result<(Cow<'s, str>, Command), SqlError> {
        match Command::parse(sql)? {
            Command::Execute(execute) => {
                let Some(prepare) = self.texts.get(&execute.name) else {
                    let message = format!("prepared statement \"{}\" does not exist", execute.name);
                    return Err(SqlError::new(ErrorKind::UndefinedStatement, message));
                };
                let sql = prepare.with(&execute.arguments)?;
                let command = Command::parse(&sql)?;
                Ok((Cow::Owned(sql), command))
            }
            command => Ok((Cow::Borrowed(sql), command)),
        }
    }

    /// Described first, so that a statement that cannot be compiled is refused now.
    pub(super) fn prepare(&mut self, prepare: &Prepare) -> Result<Step, SqlError> {
        if self.texts.contains_key(&prepare.name) || self.statements.contains_key(&prepare.name) {
            let message = format!("prepared statement \"{}\" already exists", prepare.name);
            return Err(SqlError::new(ErrorKind::DuplicateStatement, message));
        }
        if self.texts.len() >= MAX_STATEMENTS {
            return Err(
                SqlError::new(ErrorKind::ProgramLimit, "too many prepared statements")
                    .with_hint("DEALLOCATE those that are no longer used."),
            );
        }
        if self.description.take().is_none() {
            return Ok(self.ask_description(&prepare.sql));
        }
        self.texts.insert(prepare.name.clone(), Arc::new(prepare.clone()));
        self.complete_command(CommandTag::plain("PREPARE"));
        Ok(Step::Done)
    }
}
