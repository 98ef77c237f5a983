//! The driver of a connection, as `bellwether_pg::connection` asks for it, and a replica by rote behind it: what it
//! answers follows from one byte.

use std::collections::BTreeMap;

use bellwether_pg::backend::{Authentication, Status};
use bellwether_pg::connection::{Config, CursorId, Run, Scope, Welcome};
use bellwether_pg::frontend::CancelKey;
use bellwether_pg::{Connection, Request, RowEncoder, infer};
use bellwether_types::lexer;
use bellwether_types::{ClusterId, CommandTag, DatabaseId, ErrorKind, Position, SqlError, ValueRef};

use crate::sql::{Tables, columns_of};

const VALUES: [ValueRef<'static>; 6] = [
    ValueRef::Null,
    ValueRef::Integer(-7),
    ValueRef::Real(1.5),
    ValueRef::Text(b"text"),
    ValueRef::Blob(&[0, 255]),
    ValueRef::Integer(i64::MAX),
];

/// Everything that the server may send.
const BACKEND_TAGS: &[u8] = b"123CDEIKNRSTZnstvGAd";

pub(super) struct Driver {
    connection: Connection,
    rule: Rule,
    may_lose: bool,
    is_let_in: bool,
    in_transaction: bool,
    savepoints: Vec<String>,
    /// With how many columns they answer.
    cursors: BTreeMap<CursorId, usize>,
    /// What was sent.
    output: Vec<u8>,
    requests: usize,
    commits: u64,
}

impl Driver {
    pub(super) fn new(rule: u8, has_small_limit: bool, may_lose: bool) -> Driver {
        let mut config = Config::new(ClusterId(7));
        config.max_message_bytes = if has_small_limit { 10_000 } else { 1 << 20 };
        Driver {
            connection: Connection::new(config),
            rule: Rule::new(rule),
            may_lose,
            is_let_in: false,
            in_transaction: false,
            savepoints: Vec::new(),
            cursors: BTreeMap::new(),
            output: Vec::new(),
            requests: 0,
            commits: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_let_in && !self.is_closed()
    }

    fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// Takes bytes from the client and does all that they ask for.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.connection.receive(bytes);
        self.drain();
        if self.may_lose && self.rule.is_one_in(8) && !self.is_closed() {
            self.connection
                .lose_transaction(SqlError::new(ErrorKind::Internal, "the writer was taken away"));
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(request) = self.connection.next_request() {
            self.requests += 1;
            self.handle(request);
            self.send_if(self.connection.output().len() > 1 << 16);
        }
        self.send_if(self.connection.must_flush());
        let held_back = messages(self.connection.output());
        if self.is_open() {
            assert!(
                held_back.is_some_and(|held| !held.contains(&b'Z')),
                "ReadyForQuery is flushed"
            );
            let is_idle = self.connection.status() == Status::Idle;
            assert_eq!(
                is_idle, !self.in_transaction,
                "the client knows whether a transaction is open"
            );
        }
    }

    fn send_if(&mut self, due: bool) {
        if due {
            self.output.extend_from_slice(self.connection.output());
            self.connection.sent();
        }
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Authenticate(_) | Request::Password(_) => self.let_in(),
            Request::Cancel(_) | Request::Terminate => assert!(self.is_closed()),
            Request::Describe { sql } => self.describe(&sql),
            Request::StartTls => unreachable!("it is not offered"),
            Request::Govern(_) => self.connection.done(),
            Request::Begin { .. } => {
                assert!(!self.in_transaction, "BEGIN within a transaction");
                if self.answer() {
                    self.in_transaction = true;
                }
            }
            Request::Commit | Request::Rollback => {
                assert!(self.in_transaction, "nothing to end");
                self.in_transaction = false;
                self.savepoints.clear();
                self.cursors.clear();
                self.advance();
                self.answer();
            }
            Request::Savepoint(name) => {
                assert!(self.in_transaction);
                if self.answer() {
                    self.savepoints.push(name);
                }
            }
            Request::RollbackTo(name) => {
                let at = self.savepoint(&name);
                self.cursors.clear();
                if self.answer() {
                    self.savepoints.truncate(at + 1);
                }
            }
            Request::Release(name) => {
                let at = self.savepoint(&name);
                if self.answer() {
                    self.savepoints.truncate(at);
                }
            }
            Request::Run(run) => self.run(run),
            Request::Fetch { cursor, max_rows } => {
                let columns = self.cursors.remove(&cursor).expect("a cursor that is open");
                self.rows(columns, max_rows.map(|max| max.get()), Some(cursor), "SELECT");
            }
            Request::CloseCursor(cursor) => {
                self.cursors.remove(&cursor);
            }
        }
    }

    fn let_in(&mut self) {
        if self.rule.is_one_in(16) {
            return self.connection.fail(refused());
        }
        if self.rule.is_one_in(8) {
            return self.connection.challenge(&Authentication::CleartextPassword);
        }
        self.is_let_in = true;
        let key = CancelKey { pid: 1, secret: 2 };
        let in_hot_standby = self.rule.is_one_in(2);
        self.connection.accept(&Welcome::new(key, in_hot_standby));
    }

    /// `done`, or now and then `fail`; whether it was done.
    fn answer(&mut self) -> bool {
        let is_done = !self.rule.is_one_in(8);
        if is_done {
            self.connection.done();
        } else {
            self.connection.fail(refused());
        }
        is_done
    }

    fn advance(&mut self) {
        self.commits += 1;
        let position = Position::new(1, self.commits);
        let settings = self.connection.settings_mut();
        settings.advance_token(DatabaseId(1), position);
        settings.set_in_hot_standby(self.commits.is_multiple_of(3));
    }

    /// Where the newest savepoint of that name is, as SQLite compares names.
    fn savepoint(&self, name: &str) -> usize {
        assert!(self.in_transaction);
        let found = self
            .savepoints
            .iter()
            .rposition(|other| other.eq_ignore_ascii_case(name));
        found.expect("the savepoint exists")
    }

    fn describe(&mut self, sql: &str) {
        if self.rule.is_one_in(8) {
            return self.connection.fail(refused());
        }
        let columns = columns_of(self.columns(sql));
        self.connection
            .described(infer::describe(sql, &columns, &Tables).into());
    }

    /// How many columns a statement answers: mostly the same each time.
    fn columns(&mut self, sql: &str) -> usize {
        let answers =
            matches!(lexer::verb(sql).as_deref(), Some("SELECT" | "PRAGMA")) || sql.contains("RETURNING");
        let drift = usize::from(self.rule.is_one_in(16));
        if answers { sql.len() % 4 + 1 + drift } else { 0 }
    }

    fn run(&mut self, run: Run) {
        assert_eq!(
            run.scope == Scope::Transaction,
            self.in_transaction,
            "in the transaction that is open"
        );
        assert_eq!(
            lexer::split(&run.statement.sql).len().max(1),
            1,
            "one statement at a time"
        );
        let highest = lexer::tokens(&run.statement.sql)
            .filter_map(|token| token.parameter_number())
            .max();
        assert!(
            run.statement.parameters.len() >= highest.unwrap_or(0) as usize,
            "every parameter has a value"
        );
        if self.rule.is_one_in(8) {
            return self.connection.fail(refused());
        }
        if run.scope == Scope::Single {
            self.advance();
        }
        let columns = columns_of(self.columns(&run.statement.sql));
        if let Some(fields) = infer::describe(&run.statement.sql, &columns, &Tables).fields {
            let encoder = RowEncoder::new(fields, &run.formats);
            if let Err(error) = encoder.and_then(|encoder| self.connection.start_rows(encoder)) {
                return self.connection.fail(error);
            }
        }
        self.rows(
            columns.len(),
            run.max_rows.map(|max| max.get()),
            run.cursor,
            &run.verb,
        );
    }

    fn rows(&mut self, columns: usize, max_rows: Option<u32>, cursor: Option<CursorId>, verb: &str) {
        let count = if columns == 0 { 0 } else { self.rule.rows() };
        for row in 0..count {
            if max_rows.is_some_and(|max| row >= max) {
                self.cursors.extend(cursor.map(|cursor| (cursor, columns)));
                return self.connection.suspended();
            }
            let values = (0..columns).map(|column| VALUES[(row as usize + column) % VALUES.len()]);
            if let Err(error) = self.connection.row(values) {
                return self.connection.fail(error);
            }
        }
        self.connection
            .complete(CommandTag::counted(verb, u64::from(count)));
    }

    /// No byte costs more than a few requests.
    pub(super) fn check_requests(&self, bytes: usize) {
        assert!(
            self.requests <= 64 + 8 * bytes,
            "{} requests for {bytes} bytes",
            self.requests
        );
    }

    /// All that was sent is messages; how many ReadyForQuery are among them.
    pub(super) fn check_output(&mut self) -> usize {
        self.send_if(true);
        let tags = messages(&self.output).expect("whole messages of known kinds");
        tags.iter().filter(|tag| **tag == b'Z').count()
    }
}

fn refused() -> SqlError {
    SqlError::new(ErrorKind::Internal, "refused").with_hint("try again")
}

/// The kinds of the messages; none if the bytes are not whole messages.
fn messages(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut tags = Vec::new();
    while let Some((&tag, rest)) = bytes.split_first() {
        let len = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        if len < 4 || !BACKEND_TAGS.contains(&tag) {
            return None;
        }
        bytes = rest.get(len..)?;
        tags.push(tag);
    }
    Some(tags)
}

/// SplitMix64 (Steele, Lea, Flood 2014) of one byte; 0 never refuses.
struct Rule {
    state: u64,
    is_kind: bool,
}

impl Rule {
    fn new(seed: u8) -> Rule {
        Rule {
            state: u64::from(seed),
            is_kind: seed == 0,
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn is_one_in(&mut self, many: u64) -> bool {
        !self.is_kind && self.next().is_multiple_of(many)
    }

    fn rows(&mut self) -> u32 {
        (self.next() % 5) as u32
    }
}
