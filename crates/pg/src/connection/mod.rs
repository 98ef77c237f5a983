//! One client's connection as a state machine: bytes in, requests out, answers in, bytes out.
//!
//! The driver's duties, in a loop:
//!
//! 1. Read from the socket, pass what came to [`Connection::receive`]. End of file: roll back what is open.
//! 2. While [`Connection::next_request`] gives a [`Request`], do it, and answer it by the method that the
//!    request names, before asking for the next. A failure is answered by [`Connection::fail`], whatever the
//!    request was. Any number of [`Connection::rows`] may come before a result's end; when
//!    [`Connection::output`] is longer than 64 KiB write it to the socket and call [`Connection::sent`]: that is
//!    the backpressure.
//! 3. When there is no request: if [`Connection::must_flush`], write all output, call [`Connection::sent`]. If
//!    [`Connection::is_closed`], close the socket. Go to 1.
//!
//! Transactions: each [`Request::Begin`] is followed by exactly one [`Request::Commit`] or
//! [`Request::Rollback`], unless the connection ends. In between, [`Run::scope`] is `Transaction`. Cursors end
//! with their transaction, and at [`Request::RollbackTo`].
//! Notifications: what the session listens to ([`Connection::take_channels`]) is told to it by
//! [`Connection::notify`] whenever [`Connection::takes_notifications`].
//! Positions: advance the token ([`Connection::settings_mut`]) before answering what committed; it is reported
//! with the next ReadyForQuery.

mod answer;
mod channels;
mod copy;
mod cursor;
mod execute;
mod extended;
mod govern;
mod prepare;
mod request;
mod script;
mod startup;

pub(crate) use channels::MAX_CHANNEL_BYTES;
pub(crate) use execute::highest_parameter;
pub use request::{Config, CursorId, Request, Run, Scope, Startup, Welcome};

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use bellwether_session::Settings;
use bellwether_session::settings::SESSION_TOKEN;
use bellwether_types::{CommandTag, ErrorKind, SqlError, Value};

use crate::backend::{Output, Severity, Status};
use crate::command::Command;
use crate::copy::Layout;
use crate::frontend::{Frontend, FrontendError, tag};
use crate::input::{Frame, Input};
use crate::row::{Description, Field, Formats, RowEncoder};
use crate::types::Oid;

/// A connection. See the module's text for how it is driven.
#[derive(Debug)]
pub struct Connection {
    config: Config,
    input: Input,
    output: Output,
    must_flush: bool,
    phase: Phase,
    startup: Option<startup::Pending>,
    settings: Settings,
    channels: channels::Channels,
    reports: Reports,
    transaction: Transaction,
    /// Names of savepoints in the transaction, oldest first.
    savepoints: Vec<String>,
    statements: BTreeMap<String, Arc<Prepared>>,
    portals: BTreeMap<String, Portal>,
    /// A portal whose description is sent with its rows, since its Execute follows at once.
    describe_with_rows: Option<String>,
    script: Option<script::Script>,
    /// Rows come in.
    copying: Option<Box<copy::CopyIn>>,
    waiting: Waiting,
    /// The answer to the last `Request::Describe`, for the message that asked.
    description: Option<Arc<Description>>,
    /// The arguments of the EXECUTE that asked for them.
    computed: Option<Vec<Value>>,
    /// After an error in the extended protocol: messages up to Sync are dropped.
    skip_to_sync: bool,
    /// A simple query is over: ReadyForQuery is due.
    owes_ready: bool,
    closing: VecDeque<CursorId>,
    next_cursor: u64,
    /// Why the driver gave up the open transaction; told at the next statement.
    lost: Option<SqlError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Authenticating,
    Open,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    /// Opened because several statements belong together.
    Implicit,
    /// An implicit one that failed: rolled back before anything else happens.
    ImplicitFailed,
    /// Opened by BEGIN.
    Explicit,
    /// Opened by BEGIN, failed; the client must end it.
    Failed,
}

/// What was reported by ParameterStatus, and at which revisions of settings and token.
#[derive(Debug, Default)]
struct Reports {
    revision: u64,
    token_revision: u64,
    values: Vec<(&'static str, String)>,
}

/// A prepared statement.
#[derive(Debug)]
struct Prepared {
    sql: String,
    command: Command,
    /// What the client said at Parse; 0 and missing ones are inferred.
    client_types: Vec<Oid>,
    parameter_count: usize,
    described: OnceLock<Arc<Description>>,
}

#[derive(Debug)]
struct Portal {
    prepared: Arc<Prepared>,
    parameters: Vec<Value>,
    formats: Formats,
    progress: PortalProgress,
    /// The columns that the client was told, by Describe of the portal or of its statement.
    told: Option<Arc<[Field]>>,
    /// The client has sent its statement as it is: errors have their places there.
    is_as_sent: bool,
    /// `None`: it ends with its transaction.
    held: Option<Held>,
}

/// A cursor WITH HOLD.
#[derive(Debug)]
struct Held {
    /// The transaction that declared it.
    is_committed: bool,
}

#[derive(Debug)]
enum PortalProgress {
    Ready,
    Suspended {
        cursor: CursorId,
        encoder: Option<RowEncoder>,
    },
    Done {
        had_rows: bool,
    },
}

/// Which answer is due.
#[derive(Debug)]
enum Waiting {
    Nothing,
    Authentication,
    /// Of a text that so many characters of the client's statement stand before; `None`: the client has not sent it.
    Description {
        before: Option<u32>,
    },
    Begin {
        tag: Option<&'static str>,
        read_only: Option<bool>,
    },
    Rows(Box<Rows>),
    /// Something about the cluster is done; it completes with this tag.
    Cluster(&'static str),
    /// Rows of a COPY are inserted.
    Copy,
    Commit(Ending),
    Rollback(Ending),
    Savepoint(String),
    RollbackTo(String),
    Release(String),
}

/// A result on its way.
#[derive(Debug)]
struct Rows {
    /// `None`: of a simple query.
    portal: Option<String>,
    cursor: Option<CursorId>,
    encoder: Option<RowEncoder>,
    /// RowDescription (or NoData) is due before the result.
    describe: bool,
    purpose: Purpose,
}

/// What a result is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Purpose {
    /// A statement as the client has sent it, or a portal's of one.
    Query,
    /// EXECUTE, and portals of texts that are only a part of what the client has sent.
    Execute,
    /// COPY TO: rows are written so.
    Copy(Layout),
    /// FETCH: it is complete when so many rows were given.
    Fetch { limit: Option<NonZeroU32> },
    /// MOVE: the same without the rows.
    Move { limit: Option<NonZeroU32> },
    /// NOTIFY: its row is nothing.
    Notify,
    /// DECLARE … WITH HOLD: its rows are kept.
    Hold,
    /// What EXECUTE gives its statement: one row.
    Arguments,
}

impl Purpose {
    /// The rows are the client's, as they come.
    fn is_statement(&self) -> bool {
        matches!(self, Purpose::Query | Purpose::Execute)
    }

    /// For CommandComplete.
    fn verb(&self) -> &'static str {
        match self {
            Purpose::Query | Purpose::Execute => "SELECT",
            Purpose::Copy(_) => "COPY",
            Purpose::Fetch { .. } => "FETCH",
            Purpose::Move { .. } => "MOVE",
            Purpose::Notify => "NOTIFY",
            Purpose::Hold => "DECLARE CURSOR",
            Purpose::Arguments => "EXECUTE",
        }
    }
}

/// What ends a transaction, and so what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// A command: it completes with this tag.
    Command(&'static str),
    /// The end of a simple query: its last statement's completion was held back.
    Script,
    /// Sync: ReadyForQuery.
    Sync,
    /// A failure, which is already reported.
    Failure,
}

/// What became of a message or statement.
enum Step {
    /// All is done.
    Done,
    /// The driver is asked; its answer finishes it.
    Ask(Request),
    /// The driver is asked; then the same is tried again.
    AskFirst(Request),
}

impl Connection {
    /// Of a client that has said nothing yet.
    pub fn new(config: Config) -> Connection {
        let settings = Settings::new(config.cluster, "");
        Connection {
            config,
            input: Input::default(),
            output: Output::default(),
            must_flush: false,
            phase: Phase::Opening,
            startup: None,
            settings,
            channels: channels::Channels::default(),
            reports: Reports::default(),
            transaction: Transaction::None,
            savepoints: Vec::new(),
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            describe_with_rows: None,
            script: None,
            copying: None,
            waiting: Waiting::Nothing,
            description: None,
            computed: None,
            skip_to_sync: false,
            owes_ready: false,
            closing: VecDeque::new(),
            next_cursor: 1,
            lost: None,
        }
    }

    /// Takes bytes from the client. Cheap; nothing is understood before `next_request`.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.phase != Phase::Closed {
            self.input.push(bytes);
        }
    }

    /// Bytes that were received and not understood yet.
    pub fn received_bytes(&self) -> usize {
        self.input.len()
    }

    /// What to do next; `None` if more bytes are needed, an answer is due, or the connection is closed.
    pub fn next_request(&mut self) -> Option<Request> {
        while matches!(self.waiting, Waiting::Nothing) {
            if let Some(cursor) = self.closing.pop_front() {
                return Some(Request::CloseCursor(cursor));
            }
            let request = match self.phase {
                Phase::Closed => return None,
                Phase::Opening => self.step_opening()?,
                Phase::Authenticating => self.step_authentication()?,
                Phase::Open if self.transaction == Transaction::ImplicitFailed => {
                    self.waiting = Waiting::Rollback(Ending::Failure);
                    Step::Ask(Request::Rollback)
                }
                Phase::Open if self.has_rows_to_copy() => self.step_copy(),
                Phase::Open if self.copying.is_some() => self.step_message()?,
                Phase::Open if self.script.is_some() => self.step_script(),
                Phase::Open if self.owes_ready => {
                    self.ready();
                    Step::Done
                }
                Phase::Open => self.step_message()?,
            };
            if let Step::Ask(request) | Step::AskFirst(request) = request {
                return Some(request);
            }
        }
        None
    }

    /// What is to be sent. Write it when it is longer than 64 KiB, or when `must_flush`.
    pub fn output(&self) -> &[u8] {
        self.output.as_slice()
    }

    /// Whether the client waits for what is in `output`.
    pub fn must_flush(&self) -> bool {
        self.must_flush && !self.output.is_empty()
    }

    /// All of `output` was written.
    pub fn sent(&mut self) {
        self.output.clear();
        self.must_flush = false;
    }

    /// Whether to close the socket once `output` is written.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// The session's settings and token.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// To advance the token, and to tell that the replica's role changed. Reported with the next ReadyForQuery.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// The transaction's status as clients are told it.
    pub fn status(&self) -> Status {
        match self.transaction {
            Transaction::None => Status::Idle,
            Transaction::Implicit | Transaction::Explicit => Status::Transaction,
            Transaction::ImplicitFailed | Transaction::Failed => Status::Failed,
        }
    }

    /// Whether the client is silent between two statements: when timeouts of idle sessions count.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Open
            && matches!(self.waiting, Waiting::Nothing)
            && self.script.is_none()
            && self.copying.is_none()
    }

    fn step_message(&mut self) -> Option<Step> {
        let frame = match self.input.message(self.config.max_message_bytes) {
            Ok(frame) => frame?,
            Err(error) => {
                self.abort(&error.into());
                return Some(Step::Done);
            }
        };
        if self.skip_to_sync && !matches!(frame.tag, tag::SYNC | tag::TERMINATE) {
            self.input.consume(&frame);
            return Some(Step::Done);
        }
        // The message borrows from the buffer, its handling from the rest.
        let mut input = std::mem::take(&mut self.input);
        let result = match Frontend::decode(frame.tag, input.body(&frame)) {
            Ok(message) => self.handle_message(message, &frame),
            Err(error) => {
                self.malformed(frame.tag, error);
                Ok(Step::Done)
            }
        };
        let step = result.unwrap_or_else(|error| {
            self.failed(error);
            Step::Done
        });
        if !matches!(step, Step::AskFirst(_)) {
            input.consume(&frame);
        }
        if self.phase != Phase::Closed {
            self.input = input;
        }
        Some(step)
    }

    fn handle_message(&mut self, message: Frontend<'_>, frame: &Frame) -> Result<Step, SqlError> {
        match message {
            Frontend::Terminate => {
                self.phase = Phase::Closed;
                Ok(Step::Ask(Request::Terminate))
            }
            message if self.copying.is_some() => self.copy_message(&message),
            Frontend::Query { sql } => self.start_script(sql),
            Frontend::Parse { name, sql, types } => self.parse(name, sql, types, frame.next_tag),
            Frontend::Bind(bind) => self.bind(&bind),
            Frontend::Describe(target) => self.describe(target, frame.next_tag),
            Frontend::Execute { portal, max_rows } => self.execute_portal(portal, max_rows, frame.next_tag),
            Frontend::Close(target) => {
                self.close(target);
                Ok(Step::Done)
            }
            Frontend::Flush => {
                self.must_flush = true;
                Ok(Step::Done)
            }
            Frontend::Sync => Ok(self.sync()),
            // Left over from a COPY that failed: dropped, as the protocol says.
            Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail(_) => Ok(Step::Done),
            Frontend::FunctionCall => {
                self.owes_ready = true;
                self.report_failure(&SqlError::new(
                    ErrorKind::NotSupported,
                    "function calls by oid are not supported",
                ));
                Ok(Step::Done)
            }
            Frontend::Password(_) => {
                let message = "a password was sent that nobody asked for";
                self.abort(&SqlError::new(ErrorKind::Protocol, message));
                Ok(Step::Done)
            }
        }
    }

    /// A message that is framed well and has wrong content.
    fn malformed(&mut self, tag: u8, error: FrontendError) {
        if error.is_fatal() {
            return self.abort(&error.into());
        }
        self.report_failure(&error.into());
        match tag {
            tag::QUERY | tag::FUNCTION_CALL => self.owes_ready = true,
            _ => self.skip_to_sync = true,
        }
    }

    /// A statement or message failed.
    fn failed(&mut self, error: SqlError) {
        self.copying = None;
        match self.script.take() {
            Some(script) => {
                self.report_failure(&script.place(error));
                self.owes_ready = true;
            }
            None => {
                self.report_failure(&error);
                self.skip_to_sync = true;
                // A client that has sent Flush, not Sync, waits for this before it goes on.
                self.must_flush = true;
            }
        }
    }

    /// Tells the failure, and what it does to the transaction and to the settings.
    fn report_failure(&mut self, error: &SqlError) {
        self.describe_with_rows = None;
        self.description = None;
        self.computed = None;
        self.output.error(Severity::Error, error);
        match self.transaction {
            Transaction::None => {
                self.settings.rollback();
                self.channels.rollback();
            }
            Transaction::Implicit => self.transaction = Transaction::ImplicitFailed,
            Transaction::Explicit => self.transaction = Transaction::Failed,
            Transaction::ImplicitFailed | Transaction::Failed => {}
        }
    }

    /// Tells settings that changed and that the server waits.
    fn ready(&mut self) {
        self.owes_ready = false;
        if self.transaction == Transaction::None {
            self.settings.commit();
            self.channels.commit();
            self.end_portals(true);
        }
        self.report_settings();
        self.output.ready_for_query(self.status());
        self.must_flush = true;
    }

    fn report_settings(&mut self) {
        let is_first = self.reports.values.is_empty();
        if is_first || self.settings.revision() != self.reports.revision {
            let values: Vec<_> = self.settings.reported().collect();
            for (index, (name, value)) in values.iter().enumerate() {
                if self
                    .reports
                    .values
                    .get(index)
                    .is_none_or(|(_, reported)| reported != value)
                {
                    self.output.parameter_status(name, value);
                }
            }
            self.reports.revision = self.settings.revision();
            self.reports.values = values;
        }
        if is_first || self.settings.token_revision() != self.reports.token_revision {
            self.output
                .parameter_status(SESSION_TOKEN, &self.settings.token().to_string());
            self.reports.token_revision = self.settings.token_revision();
        }
    }

    /// The transaction is over, however it ended.
    fn end_transaction(&mut self, committed: bool) {
        self.transaction = Transaction::None;
        self.savepoints.clear();
        self.end_portals(committed);
        self.lost = None;
        if committed {
            self.settings.commit();
            self.channels.commit();
        } else {
            self.settings.rollback();
            self.channels.rollback();
        }
    }

    /// A command is complete. The last of an implicit transaction is told only when that is committed.
    fn complete_command(&mut self, tag: CommandTag) {
        match &mut self.script {
            Some(script) if script.is_over() && self.transaction == Transaction::Implicit => script.hold(tag),
            _ => self.output.command_complete(&tag),
        }
    }
}
