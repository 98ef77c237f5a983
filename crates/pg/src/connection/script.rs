//! Simple queries: any number of statements in one message, one implicit transaction unless they say otherwise.

use std::ops::Range;

use bellwether_types::{CommandTag, ErrorKind, SqlError, Statement, lexer};

use super::execute::highest_parameter;
use super::{Connection, Ending, Purpose, Request, Step, Transaction, Waiting};
use crate::command::Command;

/// The statements of a simple query, and how far they have been run.
#[derive(Debug)]
pub(super) struct Script {
    sql: String,
    pieces: Vec<Range<usize>>,
    next: usize,
    /// The statement that is run, or that something is asked for before.
    current: usize,
    held: Option<CommandTag>,
}

impl Script {
    fn new(sql: &str) -> Script {
        let base = sql.as_ptr().addr();
        let range = |piece: &str| {
            let start = piece.as_ptr().addr() - base;
            start..start + piece.len()
        };
        let pieces = lexer::split(sql).into_iter().map(range).collect();
        Script {
            sql: sql.to_owned(),
            pieces,
            next: 0,
            current: 0,
            held: None,
        }
    }

    /// Whether the last statement has been begun.
    pub(super) fn is_over(&self) -> bool {
        self.next == self.pieces.len()
    }

    fn is_at_last(&self) -> bool {
        self.next + 1 == self.pieces.len()
    }

    /// Keeps the last statement's completion until its transaction is committed.
    pub(super) fn hold(&mut self, tag: CommandTag) {
        self.held = Some(tag);
    }

    pub(super) fn take_held(&mut self) -> Option<CommandTag> {
        self.held.take()
    }

    /// Moves an error's position from the failed statement's text to the whole query's.
    pub(super) fn place(&self, mut error: SqlError) -> SqlError {
        let failed = self.pieces.get(self.current);
        if let (Some(position), Some(piece)) = (error.position, failed) {
            let before = self
                .sql
                .get(..piece.start)
                .map_or(0, |before| before.chars().count());
            error.position = Some(position.saturating_add(u32::try_from(before).unwrap_or(u32::MAX)));
        }
        error
    }
}

impl Connection {
    pub(super) fn start_script(&mut self, sql: &str) -> Result<Step, SqlError> {
        self.statements.remove("");
        self.forget_portal("");
        let script = Script::new(sql);
        if script.pieces.is_empty() {
            self.output.empty_query();
            self.owes_ready = true;
        } else {
            self.script = Some(script);
        }
        Ok(Step::Done)
    }

    pub(super) fn step_script(&mut self) -> Step {
        let result = self.step_statement();
        result.unwrap_or_else(|error| {
            self.failed(error);
            Step::Done
        })
    }

    fn step_statement(&mut self) -> Result<Step, SqlError> {
        let script = self
            .script
            .as_mut()
            .expect("a script is stepped while there is one");
        let Some(piece) = script.pieces.get(script.next).cloned() else {
            return Ok(self.end_script());
        };
        let is_last = script.is_at_last();
        script.current = script.next;
        script.next += 1;
        let text = script.sql[piece].to_owned();
        let command = Command::parse(&text)?;
        let Command::Sql { verb } = command else {
            self.refuse_when_failed(&command)?;
            let step = self.execute_command(&command, None, is_last)?;
            if matches!(step, Step::AskFirst(_)) {
                self.script.as_mut().expect("still there").next -= 1;
            }
            return Ok(step);
        };
        if highest_parameter(&text) > 0 {
            let message = "there are no parameters in a simple query";
            return Err(SqlError::new(ErrorKind::WrongParameterCount, message)
                .with_hint("Use the extended protocol, or write the values into the text."));
        }
        if self.transaction == Transaction::Failed {
            return Err(self.transaction_failed());
        }
        self.settings.begin();
        if self.transaction == Transaction::None && !is_last {
            self.script.as_mut().expect("still there").next -= 1;
            return Ok(Step::AskFirst(self.begin_implicit()));
        }
        let run = self.run(Statement::new(text), verb);
        Ok(Step::Ask(self.ask_rows(run, Purpose::Query)))
    }

    fn end_script(&mut self) -> Step {
        if self.transaction == Transaction::Implicit {
            self.waiting = Waiting::Commit(Ending::Script);
            return Step::Ask(Request::Commit);
        }
        self.script = None;
        self.owes_ready = true;
        Step::Done
    }
}
