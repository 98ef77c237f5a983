//! The PostgreSQL door: sockets around `bellwether_pg::Connection`, and its requests done by a session.

mod describe;
mod dialect;
mod limit;
mod login;
mod memory;
mod notify;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_node::Role;
use bellwether_pg::backend::{Output, Severity, Status};
use bellwether_pg::connection::{Config, CursorId, Run, Startup};
use bellwether_pg::frontend::CancelKey;
use bellwether_pg::{Connection, Request, RowEncoder, sqlstate};
use bellwether_types::function::Endpoint;
use bellwether_types::{ErrorKind, Facts, LogFormat, SqlError, Statement};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use limit::{TimeLimit, check_result};

use crate::govern::govern;
use crate::lock::{Admission, ConnectionPermit, Login, Roles, Stream};
use crate::node::Node;
use crate::random::{no_randomness, random_array};
use crate::replica::{Listener, Reign, SavepointAction};
use crate::session::{Cancel, PARKED_BYTES, Rows, Session, SessionFacts};
use crate::sockets::accept;

/// More output than this goes to the socket before more rows are fetched.
const OUTPUT_BYTES: usize = 64 << 10;

/// Who connects must be let in within this time.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that are not let in yet, beyond those allowed: they may be cancel requests.
const STARTING_MAX: usize = 64;

/// When the node stops, who waits for a leader hears so long what it knows; then nothing is waited for, so that there is
/// time left to say so.
const CANCEL_GRACE: Duration = Duration::from_millis(200);

/// A client that is closed on has so long to stop sending.
const GOODBYE: Duration = Duration::from_secs(2);

/// What needs the writer only where a transaction has it already.
const ANY_READ: &str = "SELECT";

/// What cancel requests are looked up in.
type Cancels = Mutex<BTreeMap<i32, Registered>>;

/// A client that was let in.
struct Registered {
    secret: i32,
    cancel: Arc<Cancel>,
    /// Of its socket, open while it is registered.
    socket: RawFd,
    /// Its role.
    user: String,
}

/// Between looks whether clients with a statement running are still there.
const VANISHED_PERIOD: Duration = Duration::from_secs(1);

/// Cancels the statements of clients that hung up, or whose role is gone; of all, when the node stops.
async fn watch_vanished(node: Arc<Node>, cancels: Arc<Cancels>) {
    loop {
        let stopping = tokio::select! {
            () = node.stop.asked() => true,
            () = tokio::time::sleep(VANISHED_PERIOD) => false,
        };
        for client in cancels.lock().expect("no holder of this lock panics").values() {
            let is_unwanted = || has_hung_up(client.socket) || login::must_end(&node, &client.user);
            if stopping || (client.cancel.is_running() && is_unwanted()) {
                client.cancel.cancel();
            }
        }
        if stopping {
            return;
        }
    }
}

fn has_hung_up(socket: RawFd) -> bool {
    let mut poll = libc::pollfd {
        fd: socket,
        events: libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: one descriptor, which is open while its client is registered.
    let ready = unsafe { libc::poll(&mut poll, 1, 0) };
    ready == 1 && poll.revents & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0
}

/// Serves until stopped; then waits for the clients to be told.
pub(crate) async fn accept_pg(node: Arc<Node>, listener: TcpListener) {
    let cancels: Arc<Cancels> = Arc::default();
    let watching = tokio::spawn(watch_vanished(Arc::clone(&node), Arc::clone(&cancels)));
    let mut clients = tokio::task::JoinSet::new();
    let memory = memory::InputMemory::default();
    loop {
        let stream = tokio::select! {
            () = node.stop.asked() => break,
            Some(_) = clients.join_next() => continue,
            stream = accept(&listener, "a client") => stream,
        };
        let room = node.config.max_connections;
        if clients.len() >= room + STARTING_MAX {
            node.metrics.connections_refused.increment();
            turn_away(&stream);
            continue;
        }
        let (node, cancels) = (Arc::clone(&node), Arc::clone(&cancels));
        let is_one_too_many = clients.len() >= room;
        let share = memory.share();
        clients.spawn(async move {
            let opening = tokio::time::timeout(STARTUP_TIMEOUT, login::open_stream(&node, stream));
            match opening.await {
                Ok(Ok(Some((stream, binding)))) => {
                    let mut client = Client::new(node, cancels, stream, binding, share);
                    client.is_one_too_many = is_one_too_many;
                    client.run().await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a client's connection could not be opened"),
                Ok(Ok(None)) | Err(_) => {}
            }
        });
    }
    // It ends by itself, once it has cancelled what runs.
    let _ = watching.await;
    let told = async { while clients.join_next().await.is_some() {} };
    if tokio::time::timeout(CANCEL_GRACE, told).await.is_err() {
        for client in cancels.lock().expect("no holder of this lock panics").values() {
            client.cancel.end();
        }
    }
    while clients.join_next().await.is_some() {}
}

/// A last word to a client for whom there is not even a place to say who it is. Lost, when the socket takes nothing.
fn turn_away(stream: &TcpStream) {
    let mut output = Output::default();
    output.error(Severity::Fatal, &too_many());
    let _ = stream.try_write(output.as_slice());
}

fn too_many() -> SqlError {
    SqlError::new(ErrorKind::TooManyConnections, "sorry, too many clients already")
        .with_hint("Close some, use a pool, or raise --max-connections.")
}

/// One connection.
struct Client {
    node: Arc<Node>,
    cancels: Arc<Cancels>,
    /// `None` only while it becomes one with TLS.
    stream: Option<Stream>,
    /// The hash of the certificate that the client was shown.
    binding: Option<Vec<u8>>,
    connection: Connection,
    session: Option<Session>,
    cursors: BTreeMap<CursorId, Open>,
    known: describe::KnownFields,
    translations: dialect::Translations,
    key: Option<CancelKey>,
    /// Under way.
    login: Option<(Box<Login>, Startup)>,
    /// Counts this session as one of its role's.
    permit: Option<ConnectionPermit>,
    /// Tells when roles change.
    roles: Option<watch::Receiver<Arc<Roles>>>,
    input: memory::Share,
    /// While the session listens to channels.
    listener: Option<Listener>,
    /// Of its replica: tells when the role changes.
    reign: Option<watch::Receiver<Reign>>,
    /// Of its replica, too.
    log_format: Option<watch::Receiver<LogFormat>>,
    /// There is no room for another client, though for a cancel request.
    is_one_too_many: bool,
    /// It ends the connection because it wants no more of it.
    has_said_goodbye: bool,
}

/// A result that is read in pieces.
struct Open {
    rows: Rows,
    /// The next row is fetched already: how else to know that there is one?
    has_row: bool,
    /// Of rows read before they were fetched.
    parked_bytes: usize,
    /// Of its rows, to the client.
    sent_bytes: u64,
    /// It outlives its transaction: all of its rows are read.
    is_held: bool,
}

impl Open {
    /// A result of which nothing was sent; waits for its first row.
    async fn of(mut rows: Rows) -> Result<Open, SqlError> {
        let has_row = rows.next().await?;
        Ok(Open {
            rows,
            has_row,
            parked_bytes: 0,
            sent_bytes: 0,
            is_held: false,
        })
    }
}

impl Client {
    fn new(
        node: Arc<Node>,
        cancels: Arc<Cancels>,
        stream: Stream,
        binding: Option<Vec<u8>>,
        input: memory::Share,
    ) -> Client {
        let connection = Connection::new(Config {
            offers_tls: node.lock.tls.is_some() && !stream.is_tls(),
            ..Config::new(node.identity.cluster)
        });
        Client {
            node,
            cancels,
            stream: Some(stream),
            binding,
            connection,
            session: None,
            cursors: BTreeMap::new(),
            known: describe::KnownFields::default(),
            translations: dialect::Translations::default(),
            key: None,
            login: None,
            permit: None,
            roles: None,
            input,
            listener: None,
            reign: None,
            log_format: None,
            is_one_too_many: false,
            has_said_goodbye: false,
        }
    }

    async fn run(mut self) {
        if let Err(error) = self.serve().await {
            tracing::debug!(%error, "a client's connection ended");
        }
        self.cursors.clear();
        if let Some(key) = self.key {
            self.cancels
                .lock()
                .expect("no holder of this lock panics")
                .remove(&key.pid);
            self.node.metrics.connections_open.decrement();
        }
        if let Some(session) = self.session.take() {
            session.close(self.has_said_goodbye).await;
        }
    }

    async fn serve(&mut self) -> std::io::Result<()> {
        let deadline = tokio::time::Instant::now() + STARTUP_TIMEOUT;
        let mut buffer = vec![0; 16 << 10];
        loop {
            while let Some(request) = self.connection.next_request() {
                self.handle(request).await?;
                self.flush_if(self.connection.output().len() > OUTPUT_BYTES)
                    .await?;
            }
            self.follow_channels();
            self.tell_notifications().await?;
            self.flush_if(self.connection.must_flush()).await?;
            if self.connection.is_closed() {
                return self.say_goodbye(&mut buffer).await;
            }
            let held = self.input.set(self.connection.received_bytes());
            if let Err(error) = held {
                self.connection.abort(&error);
                continue;
            }
            let read = self.wait_for_input(&mut buffer, deadline).await?;
            match read {
                Some(0) => return Ok(()),
                Some(read) => self.connection.receive(&buffer[..read]),
                None => {}
            }
        }
    }

    /// Closes so that the last word arrives: a socket closed with unread input is reset, and what was written is lost.
    async fn say_goodbye(&mut self, buffer: &mut [u8]) -> std::io::Result<()> {
        let stream = self.stream.as_mut().ok_or(std::io::ErrorKind::NotConnected)?;
        let drain = async {
            stream.shutdown().await?;
            while stream.read(buffer).await? > 0 {}
            Ok(())
        };
        tokio::time::timeout(GOODBYE, drain).await.unwrap_or(Ok(()))
    }

    /// Bytes read; `None`: nothing, but something else is to be told.
    async fn wait_for_input(
        &mut self,
        buffer: &mut [u8],
        deadline: tokio::time::Instant,
    ) -> std::io::Result<Option<usize>> {
        let stream = self.stream.as_mut().ok_or(std::io::ErrorKind::NotConnected)?;
        let (Some(reign), Some(log_format), Some(roles)) =
            (&mut self.reign, &mut self.log_format, &mut self.roles)
        else {
            let read = tokio::time::timeout_at(deadline, stream.read(buffer)).await;
            return read.map_or(Ok(Some(0)), |read| read.map(Some));
        };
        tokio::select! {
            read = stream.read(buffer) => return read.map(Some),
            _ = roles.changed() => self.check_role(),
            () = heard(&self.listener) => {}
            () = self.node.stop.asked() => {
                let error = SqlError::new(
                    ErrorKind::ShuttingDown,
                    "terminating connection due to administrator command",
                );
                self.connection.abort(&error);
            }
            _ = reign.changed() => {
                let follows = reign.borrow_and_update().role != Role::Leader;
                self.connection.settings_mut().set_in_hot_standby(follows);
            }
            _ = log_format.changed() => {
                let format = *log_format.borrow_and_update();
                self.connection.settings_mut().set_log_format(format);
            }
        }
        Ok(None)
    }

    async fn flush_if(&mut self, due: bool) -> std::io::Result<()> {
        if due {
            let stream = self.stream.as_mut().ok_or(std::io::ErrorKind::NotConnected)?;
            stream.write_all(self.connection.output()).await?;
            stream.flush().await?;
            self.connection.sent();
        }
        Ok(())
    }

    async fn handle(&mut self, request: Request) -> std::io::Result<()> {
        match request {
            Request::Authenticate(startup) => self.let_in(startup).await,
            Request::Password(message) => self.take_proof(&message).await,
            Request::StartTls => return self.start_tls().await,
            Request::Govern(command) => {
                let settings = self.connection.settings();
                match govern(&self.node, settings.user(), *command, settings).await {
                    Ok(told) => {
                        self.check_role();
                        for text in told {
                            let notice = SqlError::new(ErrorKind::Internal, text);
                            self.connection.notice(Severity::Notice, "00000", &notice);
                        }
                        self.connection.done()
                    }
                    Err(error) => self.fail(error).await,
                }
            }
            Request::Cancel(key) => self.cancel(key),
            Request::CloseCursor(cursor) => self.close_cursor(cursor).await,
            Request::Terminate => self.has_said_goodbye = true,
            Request::Run(run) => return self.run_statement(run).await,
            Request::Fetch { cursor, max_rows } => {
                let Some(open) = self.cursors.remove(&cursor) else {
                    self.fail(SqlError::new(ErrorKind::UndefinedCursor, "the cursor is closed"))
                        .await;
                    return Ok(());
                };
                let limit = self.limit_time();
                return self
                    .send_rows(open, max_rows.map(|max| max.get()), Some(cursor), &limit)
                    .await;
            }
            Request::Describe { sql } => {
                let described = match self.park_cursors(ANY_READ).await {
                    Ok(()) => self.describe(&sql).await,
                    Err(error) => Err(error),
                };
                match described {
                    Ok(description) => self.connection.described(description),
                    Err(error) => self.fail(error).await,
                }
            }
            Request::Begin { read_only, .. } => {
                self.session().begin(read_only);
                self.connection.done();
            }
            Request::Commit => match self.commit().await {
                Ok(()) => self.connection.done(),
                Err(error) => self.fail(error).await,
            },
            Request::Rollback => {
                self.cursors.retain(|_, open| open.is_held);
                self.session().rollback().await;
                self.connection.done();
            }
            Request::Savepoint(name) => self.savepoint(&name, SavepointAction::Set).await,
            Request::RollbackTo(name) => match self.close_cursors().await {
                Ok(()) => self.savepoint(&name, SavepointAction::RollbackTo).await,
                Err(error) => self.fail(error).await,
            },
            Request::Release(name) => self.savepoint(&name, SavepointAction::Release).await,
        }
        Ok(())
    }

    fn session(&mut self) -> &mut Session {
        self.session
            .as_mut()
            .expect("requests come only after the client was let in")
    }

    async fn savepoint(&mut self, name: &str, action: SavepointAction) {
        let done = match self.park_cursors(ANY_READ).await {
            Ok(()) => {
                let session = self.session.as_mut().expect("let in");
                session.savepoint(name, action, self.connection.settings()).await
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => self.connection.done(),
            Err(error) => self.fail(error).await,
        }
    }

    /// Tells a failure, and the session about it. When what a transaction came to is not known and the connection is
    /// about to be ended, this is its end.
    async fn fail(&mut self, mut error: SqlError) {
        let is_unknown = error.kind == ErrorKind::UnknownOutcome;
        let is_last = is_unknown && self.is_unwanted();
        if is_last {
            error.kind = ErrorKind::UnknownResolution;
            error.message = "terminating connection before its last transaction was answered".to_owned();
        }
        self.node
            .metrics
            .client_errors
            .count(sqlstate::sqlstate(error.kind));
        if is_unknown && let Some(session) = &mut self.session {
            session.tell_id();
        }
        match is_last {
            true => self.connection.abort(&error),
            false => self.connection.fail(error),
        }
        if self.connection.status() != Status::Idle
            && let Some(session) = &mut self.session
        {
            session.fail().await;
        }
    }

    /// Whether the node is stopping, or the client's role may not stay.
    fn is_unwanted(&self) -> bool {
        self.node.stop.is_asked() || login::must_end(&self.node, self.connection.settings().user())
    }

    /// The session's key, and whether this node's replica follows.
    fn open_session(
        &mut self,
        admission: &Admission,
        startup: &Startup,
    ) -> Result<(CancelKey, bool), SqlError> {
        let replica = self
            .node
            .replicas
            .get(admission.database)
            .cloned()
            .ok_or_else(|| {
                SqlError::new(
                    ErrorKind::UndefinedDatabase,
                    "this node has no replica of the database",
                )
            })?;
        let secret = i32::from_le_bytes(random_array().map_err(no_randomness)?);
        let number = (self.node.number() & 0x3FFF_FFFF) as i32;
        let key = CancelKey { pid: number, secret };
        let mut reign = replica.reign.clone();
        let in_hot_standby = reign.borrow_and_update().role != Role::Leader;
        self.reign = Some(reign);
        self.log_format = Some(replica.published.log_format());
        let facts = self.facts(startup, key.pid);
        let session = Session::new(Arc::clone(&self.node), replica, facts)?;
        let cancel = Arc::clone(&session.cancel);
        self.cancels
            .lock()
            .expect("no holder of this lock panics")
            .insert(
                key.pid,
                Registered {
                    secret,
                    cancel,
                    socket: self.stream.as_ref().map_or(-1, AsRawFd::as_raw_fd),
                    user: admission.user.clone(),
                },
            );
        self.session = Some(session);
        self.key = Some(key);
        self.node.metrics.connections_accepted.increment();
        self.node.metrics.connections_open.increment();
        Ok((key, in_hot_standby))
    }

    fn facts(&self, startup: &Startup, pid: i32) -> SessionFacts {
        let endpoint = |address: std::io::Result<SocketAddr>| {
            let address = address.ok()?;
            Some(Endpoint {
                address: address.ip().to_string(),
                port: address.port(),
            })
        };
        let uptime_us = i64::try_from(self.node.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let facts = Facts {
            user: startup.user.clone(),
            database: startup.database.clone(),
            backend_pid: pid,
            client: self
                .stream
                .as_ref()
                .and_then(|stream| endpoint(stream.tcp().peer_addr())),
            server: self
                .stream
                .as_ref()
                .and_then(|stream| endpoint(stream.tcp().local_addr())),
            ..Facts::default()
        };
        SessionFacts::new(self.node.identity.cluster, uptime_us, facts)
    }

    fn cancel(&self, key: CancelKey) {
        let cancels = self.cancels.lock().expect("no holder of this lock panics");
        if let Some(client) = cancels.get(&key.pid)
            && client.secret == key.secret
        {
            client.cancel.cancel();
        }
    }

    async fn close_cursor(&mut self, cursor: CursorId) {
        if let Some(mut open) = self.cursors.remove(&cursor) {
            // Should it fail, so will the transaction's next statement.
            let _ = open.rows.discard_rest().await;
            let session = self.session.as_mut().expect("let in");
            session.finish(open.rows, self.connection.settings_mut());
        }
    }

    async fn close_cursors(&mut self) -> Result<(), SqlError> {
        let all = std::mem::take(&mut self.cursors).into_iter();
        let (held, ended): (BTreeMap<_, _>, BTreeMap<_, _>) = all.partition(|(_, open)| open.is_held);
        self.cursors = held;
        for mut open in ended.into_values() {
            open.rows.discard_rest().await?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), SqlError> {
        let closed = self.close_cursors().await;
        let session = self.session.as_mut().expect("let in");
        match closed {
            Ok(()) => session.commit(self.connection.settings_mut()).await,
            Err(error) => {
                session.rollback().await;
                Err(error)
            }
        }
    }

    /// Reads the rest of open results before another statement takes the writer, or needs it.
    async fn park_cursors(&mut self, sql: &str) -> Result<(), SqlError> {
        let session = self.session.as_mut().expect("let in");
        if self.cursors.is_empty() || !session.takes_writer(sql) {
            return Ok(());
        }
        let mut left = PARKED_BYTES.saturating_sub(self.cursors.values().map(|open| open.parked_bytes).sum());
        for open in self.cursors.values_mut() {
            let (prior, bytes) = open.rows.park(open.has_row, left).await?;
            open.parked_bytes += bytes;
            left -= bytes;
            if let Some(prior) = prior {
                session.note_read(prior);
            }
        }
        Ok(())
    }

    async fn run_statement(&mut self, run: Run) -> std::io::Result<()> {
        let limit = self.limit_time();
        let started = self.start(&run).await;
        let Run {
            statement: Statement { sql, .. },
            formats,
            max_rows,
            cursor,
            holds,
            ..
        } = run;
        let started = match started {
            Ok(open) if holds => self.read_whole(open).await,
            started => started,
        };
        let open = match started {
            Ok(open) => open,
            Err(error) => {
                self.fail(limit.explain(error)).await;
                return Ok(());
            }
        };
        if !open.rows.columns().is_empty() {
            let fields = self.fields(&sql, open.rows.columns()).await;
            let encoder = fields.and_then(|fields| RowEncoder::new(fields, &formats));
            if let Err(error) = encoder.and_then(|encoder| self.connection.start_rows(encoder)) {
                self.fail(error).await;
                return Ok(());
            }
        }
        if let (true, Some(cursor)) = (holds, cursor) {
            self.cursors.insert(cursor, open);
            self.connection.suspended();
            return Ok(());
        }
        self.send_rows(open, max_rows.map(|max| max.get()), cursor, &limit)
            .await
    }

    fn limit_time(&self) -> TimeLimit {
        let cancel = session_cancel(&self.key, &self.cancels);
        TimeLimit::start(self.connection.settings().values(), cancel)
    }

    async fn send_rows(
        &mut self,
        mut open: Open,
        max_rows: Option<u32>,
        cursor: Option<CursorId>,
        limit: &TimeLimit,
    ) -> std::io::Result<()> {
        let columns = open.rows.columns().len();
        let mut sent = 0;
        while open.has_row {
            if max_rows.is_some_and(|max| sent >= max) {
                if let Some(cursor) = cursor {
                    self.cursors.insert(cursor, open);
                }
                self.connection.suspended();
                return Ok(());
            }
            let before = self.connection.output().len();
            let rows = &open.rows;
            let encoded = self.connection.row((0..columns).map(|column| rows.value(column)));
            open.sent_bytes += (self.connection.output().len() - before) as u64;
            let values = self.connection.settings().values();
            if let Err(error) = encoded.and_then(|()| check_result(values, open.sent_bytes)) {
                self.fail(error).await;
                return Ok(());
            }
            sent += 1;
            let is_due = self.connection.output().len() > OUTPUT_BYTES;
            self.flush_if(is_due).await?;
            // A client that reads slowly takes time as well.
            let in_time = if is_due { limit.check() } else { Ok(()) };
            let more = match in_time {
                Ok(()) => open.rows.next().await.map_err(|error| limit.explain(error)),
                Err(error) => Err(error),
            };
            match more {
                Ok(more) => open.has_row = more,
                Err(error) => {
                    self.fail(error).await;
                    return Ok(());
                }
            }
        }
        self.node.metrics.rows_sent.add(u64::from(sent));
        let session = self.session.as_mut().expect("let in");
        let mut tag = session.finish(open.rows, self.connection.settings_mut());
        if tag.verb == "SELECT" {
            // Of this answer only: the pieces before have told theirs.
            tag.rows = Some(u64::from(sent));
        }
        self.connection.complete(tag);
        Ok(())
    }
}

/// Resolves when there is something to tell to a client that listens.
async fn heard(listener: &Option<Listener>) {
    match listener {
        Some(listener) => listener.arrived().await,
        None => std::future::pending().await,
    }
}

/// The switch that cancel requests for this client work.
fn session_cancel(key: &Option<CancelKey>, cancels: &Cancels) -> Option<Arc<Cancel>> {
    let cancels = cancels.lock().expect("no holder of this lock panics");
    key.and_then(|key| cancels.get(&key.pid))
        .map(|client| Arc::clone(&client.cancel))
}
