//! Statements in PostgreSQL's accent: SQLite sees a text first, and what it does not know is translated.
//!
//! A text that is SQLite's costs nothing. One that is not is refused once by SQLite, wherever it runs, before it has
//! done anything; then it is translated, and the client's connection remembers the translation.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_pg::backend::Severity;
use bellwether_pg::connection::Run;
use bellwether_pg::dialect::{self, Lock, Translation};
use bellwether_types::{Column, CommandTag, ErrorKind, SqlError, Statement, Value, lexer};

use super::describe::REMEMBERED_MAX_BYTES;
use super::{Client, Open};
use crate::session::{PARKED_BYTES, Rows};

/// Texts that are remembered; then all are forgotten.
const KNOWN_MAX: usize = 256;

/// What a notice is told with: successful_completion.
const NOTICE: &str = "00000";

/// What texts mean; `None`: that SQLite is to be asked.
#[derive(Default)]
pub(super) struct Translations {
    by_sql: BTreeMap<String, Option<Arc<Translation>>>,
}

impl Translations {
    pub fn get(&self, sql: &str) -> Option<&Arc<Translation>> {
        self.by_sql.get(sql)?.as_ref()
    }

    fn remember(&mut self, sql: &str, translation: Option<Arc<Translation>>) {
        if sql.len() > REMEMBERED_MAX_BYTES {
            return;
        }
        if self.by_sql.len() >= KNOWN_MAX {
            self.by_sql.clear();
        }
        self.by_sql.insert(sql.to_owned(), translation);
    }

    /// Translates a text, remembers it. `None`: it is not PostgreSQL's either.
    fn find(&mut self, sql: &str) -> Result<Option<Arc<Translation>>, SqlError> {
        if let Some(known) = self.get(sql) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(translation) = dialect::translate(sql)? else {
            return Ok(None);
        };
        let translation = Arc::new(translation);
        self.remember(sql, Some(Arc::clone(&translation)));
        Ok(Some(translation))
    }

    /// Before SQLite sees a text: known already, or one that SQLite would misread.
    pub fn before(&mut self, sql: &str) -> Result<Option<Arc<Translation>>, SqlError> {
        match self.by_sql.get(sql) {
            Some(known) => Ok(known.clone()),
            None if dialect::needs_translation(sql) => self.find(sql),
            None => {
                self.remember(sql, None);
                Ok(None)
            }
        }
    }

    /// After SQLite has refused a text: its translation, or what the client is told.
    pub fn after(&mut self, sql: &str, error: SqlError) -> Result<Arc<Translation>, SqlError> {
        let may_be_accent = matches!(
            error.kind,
            ErrorKind::Syntax
                | ErrorKind::UndefinedFunction
                | ErrorKind::UndefinedColumn
                | ErrorKind::UndefinedTable
        );
        match may_be_accent {
            true => self.find(sql)?.ok_or(error),
            false => Err(error),
        }
    }
}

impl Client {
    /// Begins a statement, up to its first row.
    pub(super) async fn start(&mut self, run: &Run) -> Result<Open, SqlError> {
        let sql = &run.statement.sql;
        if let Some(translation) = self.translations.before(sql)? {
            return self.start_translated(run, &translation).await;
        }
        match self.start_statement(run.statement.clone(), run.read_only).await {
            Ok(open) => Ok(open),
            Err(error) => {
                let translation = self.translations.after(sql, error)?;
                self.start_translated(run, &translation).await
            }
        }
    }

    async fn start_statement(&mut self, statement: Statement, read_only: bool) -> Result<Open, SqlError> {
        self.park_cursors(&statement.sql).await?;
        let session = self.session.as_mut().expect("let in");
        let rows = session
            .execute(statement, read_only, self.connection.settings_mut())
            .await?;
        Open::of(rows).await
    }

    /// All of its statements, or none.
    async fn start_translated(&mut self, run: &Run, translation: &Translation) -> Result<Open, SqlError> {
        for notice in &translation.notices {
            let mut told = SqlError::new(ErrorKind::NotSupported, notice.message.clone());
            told.detail.clone_from(&notice.detail);
            self.connection.notice(Severity::Notice, NOTICE, &told);
        }
        let session = self.session.as_mut().expect("let in");
        if let Some(lock) = translation.lock {
            let waits = lock != Lock::NoWait;
            session.lock(waits, self.connection.settings_mut()).await?;
        }
        let tag = own_tag(&run.statement.sql);
        let opens = translation.statements.len() > 1 && !session.is_in_transaction();
        if opens {
            session.begin(run.read_only);
        }
        let started = self.start_each(run, translation).await;
        let session = self.session.as_mut().expect("let in");
        let open = match started {
            Ok(open) if opens => {
                session.commit(self.connection.settings_mut()).await?;
                open
            }
            Ok(open) => open,
            Err(error) => {
                if opens {
                    session.rollback().await;
                }
                return Err(error);
            }
        };
        Ok(match tag {
            Some(verb) => Open {
                rows: open.rows.tagged(CommandTag::plain(&verb)),
                ..open
            },
            None => open,
        })
    }

    /// The rows of all of them, in order, are the answer, and their counts add up.
    async fn start_each(&mut self, run: &Run, translation: &Translation) -> Result<Open, SqlError> {
        let only = translation.statements.len() == 1;
        let mut whole = Whole::default();
        for (index, sql) in translation.statements.iter().enumerate() {
            let statement = part(sql, &run.statement.parameters);
            let started = self.start_statement(statement, run.read_only).await;
            let mut open = started.map_err(|error| placed(error, translation, index, &run.statement.sql))?;
            if only {
                return Ok(open);
            }
            whole.take_rows(&mut open).await?;
            let session = self.session.as_mut().expect("let in");
            let tag = session.finish(open.rows, self.connection.settings_mut());
            whole.add(tag);
        }
        let tag = whole.tag.unwrap_or_else(|| CommandTag::plain("SELECT"));
        let rows = Rows::whole(whole.columns, whole.rows, tag);
        Open::of(rows).await
    }
}

impl Client {
    /// Reads all rows of a result, to be kept when its transaction is over. What is held at once is bounded.
    pub(super) async fn read_whole(&mut self, mut open: Open) -> Result<Open, SqlError> {
        if open.rows.columns().is_empty() {
            return Err(SqlError::new(
                ErrorKind::NotSupported,
                "a cursor needs a query that answers rows",
            ));
        }
        let held: usize = self.cursors.values().map(|open| open.parked_bytes).sum();
        let mut whole = Whole {
            bytes: held,
            ..Whole::default()
        };
        whole.take_rows(&mut open).await?;
        let session = self.session.as_mut().expect("let in");
        let tag = session.finish(open.rows, self.connection.settings_mut());
        let parked_bytes = whole.bytes - held;
        Ok(Open {
            parked_bytes,
            is_held: true,
            ..Open::of(Rows::whole(whole.columns, whole.rows, tag)).await?
        })
    }
}

/// All that several statements have answered, or one that is kept.
#[derive(Default)]
struct Whole {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
    bytes: usize,
    tag: Option<CommandTag>,
}

impl Whole {
    async fn take_rows(&mut self, open: &mut Open) -> Result<(), SqlError> {
        if !open.rows.columns().is_empty() {
            self.columns = open.rows.columns().to_vec();
        }
        while open.has_row {
            let row = (0..self.columns.len()).map(|column| open.rows.value(column).to_value());
            let row = row.collect::<Result<Vec<_>, _>>()?;
            self.bytes += row.iter().map(Value::size_bytes).sum::<usize>();
            if self.bytes > PARKED_BYTES {
                let message = format!("the statement answers more than {PARKED_BYTES} bytes");
                return Err(SqlError::new(ErrorKind::ProgramLimit, message).with_hint(
                    "Ask for fewer rows; several statements, or a cursor without HOLD, have no such limit.",
                ));
            }
            self.rows.push(row);
            open.has_row = open.rows.next().await?;
        }
        Ok(())
    }

    fn add(&mut self, tag: CommandTag) {
        let before = self.tag.take().and_then(|tag| tag.rows);
        let rows = match (before, tag.rows) {
            (None, None) => None,
            (before, rows) => Some(before.unwrap_or(0) + rows.unwrap_or(0)),
        };
        self.tag = Some(CommandTag { rows, ..tag });
    }
}

/// An error in a statement of a translation, placed in the client's text, if it is certain where.
pub(super) fn placed(error: SqlError, translation: &Translation, index: usize, client_sql: &str) -> SqlError {
    let position = error.position.and_then(|position| {
        let statement = translation.statements.get(index)?;
        let characters = usize::try_from(position).ok()?.checked_sub(1)?;
        let (at, _) = statement.char_indices().nth(characters)?;
        translation.position(client_sql, index, at)
    });
    SqlError { position, ..error }
}

/// A statement of a translation with as many parameters as it has.
fn part(sql: &str, parameters: &[Value]) -> Statement {
    let numbers = lexer::tokens(sql).filter_map(|token| token.parameter_number());
    let highest = numbers.max().unwrap_or(0) as usize;
    Statement::bound(sql, parameters.iter().take(highest).cloned().collect())
}

/// What the client's text is called when it is done, where the translation's statements are called otherwise.
fn own_tag(sql: &str) -> Option<String> {
    let verb = lexer::verb(sql)?;
    match verb.as_str() {
        "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "WITH" | "VALUES" | "TABLE" | "REPLACE" => None,
        "TRUNCATE" => Some("TRUNCATE TABLE".to_owned()),
        "LOCK" => Some("LOCK TABLE".to_owned()),
        "SET" => Some("SET CONSTRAINTS".to_owned()),
        _ => Some(verb),
    }
}
