//! One statement of a client's, run in its transaction and captured.

use bellwether_types::{CommandTag, ErrorKind, SqlError, Statement, ValueRef};

use crate::alteration::Alteration;
use crate::cursor::check_utf8;
use crate::error::{StorageError, foreign_key_violation};
use crate::group::RowSink;
use crate::kind::{self, StatementKind};
use crate::rebuild;
use crate::schema;
use crate::session::SessionState;
use crate::statement::Prepared;
use crate::transaction::{OpenTransaction, internal, without_traces};
use crate::writer::WriteConnection;

/// Runs it; rows go to the sink. From when it is compiled on the transaction counts as failed; the caller takes that
/// back when it has succeeded. A text that is no statement has done nothing.
pub(crate) fn run_statement(
    connection: &mut WriteConnection,
    open: &mut OpenTransaction,
    statement: &Statement,
    rows: &mut dyn RowSink,
) -> Result<CommandTag, SqlError> {
    if let Some(tag) = run_session_pragma(connection, open, &statement.sql)? {
        return Ok(tag);
    }
    if let Some(alteration) = Alteration::read(&statement.sql)
        && let Some(tag) = rebuild::alter(connection, open, &alteration)?
    {
        return Ok(tag);
    }
    run_part(connection, open, statement, rows)
}

/// From here on the transaction counts as failed until the statement has succeeded.
pub(crate) fn begin_parts(open: &mut OpenTransaction) {
    open.is_failed = true;
}

/// A statement that SQLite runs as it stands.
pub(crate) fn run_part(
    connection: &mut WriteConnection,
    open: &mut OpenTransaction,
    statement: &Statement,
    rows: &mut dyn RowSink,
) -> Result<CommandTag, SqlError> {
    let database = connection.database.clone();
    let mut prepared = database.client_statement(&statement.sql)?;
    open.is_failed = true;
    match prepared.kind() {
        StatementKind::Transaction => {
            let text = format!("{} cannot run as a statement of a transaction", prepared.verb());
            return Err(SqlError::new(ErrorKind::TransactionState, text));
        }
        StatementKind::Vacuum => {
            let text = "VACUUM cannot run inside a transaction block";
            return Err(SqlError::new(ErrorKind::TransactionState, text));
        }
        StatementKind::Schema => {
            schema::check_names(&statement.sql, prepared.verb())?;
            connection.check_settled()?;
        }
        _ => {}
    }
    // SAFETY: the parameters live until `give_back` has forgotten them, or the statement is finalised.
    unsafe { prepared.bind_client(statement, true)? };
    let is_schema = prepared.kind() == StatementKind::Schema;
    let plan = match prepared.kind() {
        StatementKind::Write => connection.plan(open, &mut prepared, statement)?,
        _ => None,
    };
    database.begin_statement();
    connection.hook.capture().set_in_schema_statement(is_schema);
    let running = database.run_for(open.request);
    database.take_notified(true);
    let result = run_rows(&mut prepared, rows);
    let notified = database.take_notified(false);
    // Ended before it may not be interrupted any more: an interrupt of nothing is forgotten.
    prepared.reset();
    drop(running);
    connection.hook.capture().set_in_schema_statement(false);
    let result = result.and_then(|count| {
        connection.hook.capture().notify(notified)?;
        let tag = after_statement(connection, open, &prepared, count)?;
        if prepared.kind() == StatementKind::Write {
            connection.write(plan.as_ref(), statement)?;
        }
        Ok(tag)
    });
    connection.hook.capture().close_window();
    database.give_back(prepared);
    result
}

/// The counters, the schema; the tag.
fn after_statement(
    connection: &mut WriteConnection,
    open: &mut OpenTransaction,
    prepared: &Prepared,
    rows: u64,
) -> Result<CommandTag, SqlError> {
    let database = connection.database.clone();
    connection.hook.finish_blob_writes().map_err(internal)?;
    let tag = match prepared.kind() {
        StatementKind::Write => {
            database.counters().changed();
            open.has_written = true;
            CommandTag::counted(prepared.verb(), u64::try_from(database.changes()).unwrap_or(0))
        }
        StatementKind::Schema => {
            open.has_written = true;
            without_traces(&database, || {
                schema::capture(&database, &connection.hook, prepared.text(), prepared.verb())
            })?;
            CommandTag::plain(prepared.verb())
        }
        _ if prepared.verb() == "SELECT" => CommandTag::counted("SELECT", rows),
        _ => CommandTag::plain(prepared.verb()),
    };
    connection
        .hook
        .capture()
        .check()
        .map_err(StorageError::into_sql_error)?;
    Ok(tag)
}

fn run_rows(prepared: &mut Prepared, rows: &mut dyn RowSink) -> Result<u64, SqlError> {
    let mut has_row = prepared.step_client()?;
    if prepared.column_count() == 0 {
        return Ok(0);
    }
    rows.columns(&prepared.columns())?;
    let mut count = 0;
    while has_row {
        let values: Vec<ValueRef<'_>> = (0..prepared.column_count())
            .map(|column| prepared.value(column))
            .collect();
        for value in &values {
            if let ValueRef::Text(text) = value {
                check_utf8(text)?;
            }
        }
        rows.row(&values)?;
        count += 1;
        has_row = prepared.step_client()?;
    }
    Ok(count)
}

/// A switch of the session, set without asking SQLite to compile anything: it would act at once, or not at all.
fn run_session_pragma(
    connection: &mut WriteConnection,
    open: &mut OpenTransaction,
    sql: &str,
) -> Result<Option<CommandTag>, SqlError> {
    // Cheap enough for every statement: other first words are told by their first letter.
    if !sql
        .trim_start()
        .get(..1)
        .is_none_or(|first| "pP-/;".contains(first))
    {
        return Ok(None);
    }
    let Ok((_, StatementKind::SessionPragma)) = kind::classify(sql) else {
        return Ok(None);
    };
    let Some(setting) = kind::pragma_setting(sql) else {
        return Ok(None);
    };
    if setting.name == "defer_foreign_keys" {
        // Who stops deferring wants to know.
        if !setting.is_on() && connection.database.has_unresolved_foreign_keys() {
            return Err(foreign_key_violation());
        }
        open.defers_foreign_keys = true;
        let on = u8::from(setting.is_on());
        let sql = format!("PRAGMA defer_foreign_keys = {on}");
        connection.database.execute(&sql).map_err(internal)?;
    } else {
        open.session.set(&setting);
        if setting.name == "recursive_triggers" {
            let session = connection.session(open);
            connection
                .take_session(&SessionState {
                    // Inside a transaction SQLite leaves this one as it is; the session's next transaction has it.
                    foreign_keys: connection.foreign_keys,
                    ..session
                })
                .map_err(StorageError::into_sql_error)?;
        }
    }
    open.tag = CommandTag::plain("PRAGMA");
    Ok(Some(CommandTag::plain("PRAGMA")))
}
