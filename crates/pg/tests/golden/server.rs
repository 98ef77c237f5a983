//! A driver whose database is made up: what a statement does is told by its text. Prints what it is asked and
//! what the client gets.
//!
//! `… rows N …` answers N rows of (n int8, t text); a text with `fail` in it fails; `unfit` answers a row that
//! does not fit its column; `changed` answers other columns than were described; `SELECT (…), (…)` computes texts
//! '7', `rows N` times; others are done, one row each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bellwether_pg::connection::{Config, Run, Scope, Welcome};
use bellwether_pg::frontend::CancelKey;
use bellwether_pg::types::Type;
use bellwether_pg::{Connection, Description, Field, Request, RowEncoder};
use bellwether_types::{ClusterId, CommandTag, DatabaseId, ErrorKind, Position, SqlError, Value, ValueRef};

pub struct Server {
    pub connection: Connection,
    cursors: BTreeMap<u64, (i64, i64)>,
    /// Written and not yet committed.
    is_dirty: bool,
    commits: u64,
    /// Requests to fail, whatever they ask: true for each that does. Then all are done.
    pub failures: Vec<bool>,
    pub trace: String,
}

pub fn config() -> Config {
    Config {
        max_message_bytes: 20_000,
        ..Config::new(ClusterId(1))
    }
}

pub fn welcome() -> Welcome {
    Welcome::new(CancelKey { pid: 7, secret: 99 }, false)
}

pub fn fields() -> Arc<[Field]> {
    Arc::from([Field::new("n", Type::Int8), Field::new("t", Type::Text)])
}

fn failure() -> SqlError {
    let mut error = SqlError::new(ErrorKind::UniqueViolation, "made to fail")
        .with_detail("Why.")
        .with_hint("What.");
    error.position = Some(3);
    error.table = Some("t".to_owned());
    error
}

fn row_count(sql: &str) -> Option<i64> {
    // A table that is copied into has a name like that.
    if sql.starts_with("INSERT INTO \"rows") {
        return None;
    }
    let (_, after) = sql.split_once("rows ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

impl Server {
    pub fn new() -> Server {
        let connection = Connection::new(config());
        Server {
            connection,
            cursors: BTreeMap::new(),
            is_dirty: false,
            commits: 0,
            failures: Vec::new(),
            trace: String::new(),
        }
    }

    /// Receives bytes, does all that is asked, prints what is answered.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.connection.receive(bytes);
        while let Some(request) = self.connection.next_request() {
            self.print_answers();
            let _ = writeln!(self.trace, "  {}", print_request(&request));
            self.carry_out(request);
        }
        self.print_answers();
    }

    fn print_answers(&mut self) {
        self.trace += &super::decode::print(self.connection.output());
        self.connection.sent();
    }

    fn carry_out(&mut self, request: Request) {
        let is_answered = !matches!(
            request,
            Request::Cancel(_) | Request::Terminate | Request::CloseCursor(_) | Request::StartTls
        );
        if is_answered && self.failures.pop().unwrap_or(false) {
            return self
                .connection
                .fail(SqlError::new(ErrorKind::NoLeader, "made to fail"));
        }
        let connection = &mut self.connection;
        match request {
            Request::Authenticate(startup) if startup.user == "nobody" => {
                connection.fail(SqlError::new(
                    ErrorKind::InvalidAuthorization,
                    "role \"nobody\" does not exist",
                ));
            }
            Request::Authenticate(startup) if startup.user == "bob" => {
                connection.challenge(&bellwether_pg::backend::Authentication::CleartextPassword);
            }
            Request::Authenticate(_) | Request::Password(_) => connection.accept(&welcome()),
            Request::Describe { sql } if sql.contains("fail") => connection.fail(failure()),
            Request::Describe { sql } => connection.described(Arc::new(Description {
                parameters: vec![Type::Int8.oid(); 8],
                fields: row_count(&sql).map(|_| fields()),
            })),
            Request::Run(run) => self.run(&run),
            Request::Fetch { cursor, max_rows } => {
                let (next, last) = self.cursors[&cursor.0];
                self.answer(
                    next,
                    last,
                    max_rows.map_or(i64::MAX, |max| max.get().into()),
                    Some(cursor.0),
                );
            }
            Request::Commit if self.trace.contains("uncommittable") => {
                self.is_dirty = false;
                connection.fail(SqlError::new(
                    ErrorKind::UnknownOutcome,
                    "it may have been committed",
                ));
            }
            Request::Commit => {
                self.cursors.clear();
                self.commit();
                self.connection.done();
            }
            Request::Rollback | Request::RollbackTo(_) => {
                self.cursors.clear();
                self.is_dirty = false;
                connection.done();
            }
            Request::Begin { .. } | Request::Savepoint(_) | Request::Release(_) | Request::Govern(_) => {
                connection.done()
            }
            Request::CloseCursor(cursor) => {
                self.cursors
                    .remove(&cursor.0)
                    .expect("only open cursors are closed");
            }
            Request::StartTls => connection.tls_started(),
            Request::Cancel(_) | Request::Terminate => {}
        }
    }

    fn run(&mut self, run: &Run) {
        let sql = &run.statement.sql;
        if sql.contains("fail") {
            return self.connection.fail(failure());
        }
        self.is_dirty |= run.verb != "SELECT";
        if run.scope == Scope::Single {
            self.commit();
        }
        if sql.starts_with("SELECT (") {
            return self.compute(run, sql.matches(", (").count() + 1);
        }
        let Some(count) = row_count(sql) else {
            let rows = matches!(run.verb.as_str(), "SELECT" | "INSERT" | "UPDATE" | "DELETE").then_some(1);
            return self.connection.complete(CommandTag {
                verb: run.verb.clone(),
                rows,
            });
        };
        let fields = if sql.contains("changed") {
            Arc::from([Field::new("x", Type::Bool)])
        } else {
            fields()
        };
        let started =
            RowEncoder::new(fields, &run.formats).and_then(|encoder| self.connection.start_rows(encoder));
        if let Err(error) = started {
            return self.connection.fail(error);
        }
        if sql.contains("unfit") {
            let error = self
                .connection
                .row([ValueRef::Text(b"abc"), ValueRef::Null])
                .expect_err("does not fit");
            return self.connection.fail(error);
        }
        let max_rows = run.max_rows.map_or(i64::MAX, |max| max.get().into());
        self.answer(1, count, max_rows, run.cursor.map(|cursor| cursor.0));
    }

    fn compute(&mut self, run: &Run, count: usize) {
        let fields: Vec<Field> = (0..count).map(|_| Field::new("?column?", Type::Text)).collect();
        let encoder = RowEncoder::new(fields.into(), &run.formats).expect("all text");
        self.connection.start_rows(encoder).expect("asked for");
        let rows = row_count(&run.statement.sql).unwrap_or(1);
        for _ in 0..rows {
            let row = (0..count).map(|_| ValueRef::Text(b"7"));
            if let Err(error) = self.connection.row(row) {
                return self.connection.fail(error);
            }
        }
        self.connection
            .complete(CommandTag::counted("SELECT", rows as u64));
    }

    fn commit(&mut self) {
        if std::mem::take(&mut self.is_dirty) {
            self.commits += 1;
            let position = Position::new(1, self.commits);
            self.connection
                .settings_mut()
                .advance_token(DatabaseId(1), position);
        }
    }

    fn answer(&mut self, first: i64, last: i64, max_rows: i64, cursor: Option<u64>) {
        let end = last.min(first.saturating_add(max_rows - 1));
        for n in first..=end {
            let text = format!("row {n}");
            let values = [
                ValueRef::Integer(n),
                if n == 2 {
                    ValueRef::Null
                } else {
                    ValueRef::Text(text.as_bytes())
                },
            ];
            self.connection.row(values).expect("fits");
        }
        if let Some(cursor) = cursor {
            self.cursors.insert(cursor, (end + 1, last));
        }
        // Like PostgreSQL, which does not look for a row after the last one asked for.
        match end - first + 1 == max_rows {
            true => self.connection.suspended(),
            false => self
                .connection
                .complete(CommandTag::counted("SELECT", (end - first + 1).max(0) as u64)),
        }
    }
}

fn print_request(request: &Request) -> String {
    match request {
        Request::Run(run) => {
            let mut text = format!("Run {:?} {}: {}", run.scope, run.verb, run.statement.sql);
            if !run.statement.parameters.is_empty() {
                let values: Vec<_> = run.statement.parameters.iter().map(print_value).collect();
                let _ = write!(text, " ({})", values.join(", "));
            }
            if run.read_only {
                text += ", read-only";
            }
            if let Some(max_rows) = run.max_rows {
                let _ = write!(text, ", at most {max_rows}");
            }
            if run.cursor.is_some() {
                text += ", keep the rest";
            }
            text
        }
        Request::Fetch {
            max_rows: Some(max_rows),
            ..
        } => format!("Fetch at most {max_rows}"),
        Request::Fetch { .. } => "Fetch the rest".to_owned(),
        Request::CloseCursor(_) => "CloseCursor".to_owned(),
        Request::Authenticate(startup) => format!("Authenticate {} for {}", startup.user, startup.database),
        Request::Govern(command) => command.tag().to_owned(),
        Request::Describe { sql } => format!("Describe {sql}"),
        Request::Begin { implicit, read_only } => {
            let kind = if *implicit { "implicitly" } else { "explicitly" };
            format!("Begin {kind}{}", if *read_only { ", read-only" } else { "" })
        }
        Request::Cancel(key) => format!("Cancel {}/{}", key.pid, key.secret),
        other => format!("{other:?}"),
    }
}

fn print_value(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => format!("'{text}'"),
        Value::Blob(bytes) => format!("{bytes:x?}"),
    }
}
