//! A client's session, whatever door it came through: transactions, where statements run, what was seen.
//!
//! A transaction reads from a snapshot of this node's replica and takes the leader's writer at its first write,
//! not at BEGIN; what it read before is then read again there and compared (see `replica::Answered`). An optimistic one
//! does not even write there before COMMIT (`apart`). A write that meets a failover is held and retried under the same
//! request id, which the leader deduplicates: executed at most once. What cannot be known in time is reported as
//! unknown.

mod apart;
mod cancel;
mod facts;
mod rights;
mod rows;
mod told;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_node::Role;
use bellwether_pg::catalog;
use bellwether_session::{Decision, Guarantee, ReplicaState, Settings, route};
use bellwether_storage::{Description, SessionState};
use bellwether_types::{
    Call, CommandTag, Environment, ErrorKind, Facts, Position, RequestId, SessionId, SqlError, Statement,
    Term, lexer,
};
use tokio::sync::{mpsc, oneshot};

use apart::Apart;
pub(crate) use cancel::Cancel;
pub(crate) use facts::SessionFacts;
use rights::HeldRights;
use rows::Watch;
pub(crate) use rows::{PARKED_BYTES, Rows};
pub(crate) use write::FAILOVER_WAIT;
use write::Patience;

use crate::forward::no_leader;
use crate::node::Node;
use crate::random::{no_randomness, random_array};
use crate::replica::{
    Answered, OpenTransaction, ReadAtLeader, Refusal, ReplicaHandle, SavepointAction, unix_ms, unreadable,
};

/// Statements that are kept for comparison; a transaction that ran more of them takes the writer with its next one.
const ANSWERED_MAX: usize = 1000;

/// Between looks whether an election has ended.
const ELECTION_PAUSE: Duration = Duration::from_millis(10);

/// Pieces of a result under way from the writer.
const PIECES_MAX: usize = 4;

/// An open transaction.
struct Open {
    request: RequestId,
    /// SQL's `now`.
    began_ms: i64,
    read_only: bool,
    /// Replayed on the writer when it is taken; oldest first.
    savepoints: Vec<String>,
    stage: Stage,
    /// What the leader was last told of the session, once it has the transaction.
    facts: Arc<Facts>,
}

enum Stage {
    /// Nothing was executed.
    Fresh,
    /// In a snapshot, and in a private copy of it.
    Apart(Apart),
    /// Holding the writer.
    Writing(OpenTransaction),
    /// Over but for the client's ROLLBACK.
    Ended,
}

/// One client's.
pub(crate) struct Session {
    node: Arc<Node>,
    pub replica: Arc<ReplicaHandle>,
    pub id: SessionId,
    /// Of the last request; 0 before the first.
    sequence: u64,
    /// What chance is drawn from, with the number of the statement.
    chance: [u8; 32],
    statements: u64,
    state: SessionState,
    facts: SessionFacts,
    rights: HeldRights,
    open: Option<Open>,
    /// Its last transaction, answered before a quorum had it: not looked after yet.
    early: Option<(RequestId, Position)>,
    /// Clients can ask about its transactions later.
    has_told_id: bool,
    /// Its last optimistic transaction was in conflict with another: the next one takes the writer.
    must_hold: bool,
    pub cancel: Arc<Cancel>,
}

impl Session {
    /// Its id and its chance are random.
    pub fn new(
        node: Arc<Node>,
        replica: Arc<ReplicaHandle>,
        mut facts: SessionFacts,
    ) -> Result<Session, SqlError> {
        let id = SessionId::new(unix_ms(), random_array().map_err(no_randomness)?);
        let chance = random_array().map_err(no_randomness)?;
        facts.follow(node.lock.book.subscribe());
        let rights = HeldRights::new(&node, facts.user());
        Ok(Session {
            node,
            replica,
            id,
            sequence: 0,
            chance,
            statements: 0,
            state: SessionState::default(),
            facts,
            rights,
            open: None,
            early: None,
            has_told_id: false,
            must_hold: false,
            cancel: Arc::default(),
        })
    }

    /// BEGIN, or the first of several statements that belong together.
    pub fn begin(&mut self, read_only: bool) {
        let request = self.next_request();
        self.open = Some(Open {
            request,
            began_ms: unix_ms().cast_signed(),
            // Who may not write never takes the writer.
            read_only: read_only || !self.rights.may_write(),
            savepoints: Vec::new(),
            stage: Stage::Fresh,
            facts: Arc::default(),
        });
    }

    fn next_request(&mut self) -> RequestId {
        self.sequence += 1;
        RequestId {
            session: self.id,
            sequence: self.sequence,
        }
    }

    /// COMMIT. However it ends, the transaction is over.
    pub async fn commit(&mut self, settings: &mut Settings) -> Result<(), SqlError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let durability = settings.values().synchronous_commit;
        match open.stage {
            Stage::Writing(transaction) => {
                let position = self
                    .commit_at_leader(open.request, transaction, durability)
                    .await?;
                self.must_hold = false;
                self.note_answer(open.request, position, durability);
                self.saw(settings, position);
            }
            Stage::Apart(apart) => self.commit_apart(open.request, apart, settings).await?,
            Stage::Fresh | Stage::Ended => {}
        }
        Ok(())
    }

    /// ROLLBACK.
    pub async fn rollback(&mut self) {
        if let Some(Open {
            stage: Stage::Writing(transaction),
            ..
        }) = self.open.take()
        {
            self.roll_back(transaction).await;
        }
    }

    /// Lost with its leader is rolled back too.
    async fn roll_back(&mut self, transaction: OpenTransaction) {
        let term = transaction.term();
        if let Ok(state) = self.unless_superseded(term, transaction.rollback()).await {
            self.state = state;
        }
    }

    /// A statement of the open transaction failed. When nothing can be saved of it any more, the writer need not
    /// wait for the client's ROLLBACK.
    pub async fn fail(&mut self) {
        self.cancel.clear();
        if let Some(open) = &mut self.open
            && open.savepoints.is_empty()
            && let Stage::Writing(transaction) = std::mem::replace(&mut open.stage, Stage::Ended)
        {
            self.roll_back(transaction).await;
        }
    }

    /// SAVEPOINT, RELEASE, ROLLBACK TO; the name is known to exist for the latter two.
    pub async fn savepoint(
        &mut self,
        name: &str,
        action: SavepointAction,
        settings: &Settings,
    ) -> Result<(), SqlError> {
        if self.has_written_apart() {
            self.take_writer(Patience::new(settings), settings).await?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Stage::Writing(transaction) = &open.stage {
            let replica = Arc::clone(&self.replica);
            let term = transaction.term();
            tokio::select! {
                saved = transaction.savepoint(name.to_owned(), action) => saved.map_err(told)?,
                () = replica.superseded(term) => return Err(crate::replica::leader_lost()),
            }
        }
        let place = open
            .savepoints
            .iter()
            .rposition(|known| known.eq_ignore_ascii_case(name));
        match (action, place) {
            (SavepointAction::Set, _) => open.savepoints.push(name.to_owned()),
            (SavepointAction::RollbackTo, Some(place)) => open.savepoints.truncate(place + 1),
            (SavepointAction::Release, Some(place)) => open.savepoints.truncate(place),
            (_, None) => {}
        }
        Ok(())
    }

    /// Executes one statement; rows are pulled from the answer. What fails in a transaction must be told to
    /// [`Session::fail`].
    pub async fn execute(
        &mut self,
        mut statement: Statement,
        read_only: bool,
        settings: &mut Settings,
    ) -> Result<Rows, SqlError> {
        // Deferring foreign keys is the open transaction's own, on the writer; every other switch is the session's.
        let defers = self.open.is_some() && is_deferring(&statement.sql);
        if !defers && let Some(pragma) = self.state.run_pragma(&statement.sql) {
            pragma?;
            return Ok(Rows::empty(CommandTag::plain("PRAGMA")));
        }
        let reads = !defers && is_read(&statement.sql);
        self.rights.check(&statement.sql, reads)?;
        if is_vacuum_into(&statement.sql) {
            return Err(SqlError::new(
                ErrorKind::Forbidden,
                "VACUUM INTO reaches outside the database",
            ));
        }
        if !reads && (read_only || self.open.as_ref().is_some_and(|open| open.read_only)) {
            let verb = lexer::verb(&statement.sql).unwrap_or_default();
            let message = format!("cannot execute {verb} in a read-only transaction");
            return Err(SqlError::new(ErrorKind::ReadOnly, message));
        }
        if self.open.is_some() && lexer::verb(&statement.sql).as_deref() == Some("VACUUM") {
            let message = "VACUUM cannot run inside a transaction block";
            return Err(SqlError::new(ErrorKind::TransactionState, message));
        }
        let is_eventual = settings.values().read_consistency == Guarantee::Eventual;
        if !(reads && self.open.is_none() && is_eventual) {
            self.look_after_early().await?;
        }
        if ["pg_", told::LEDGER, told::SAFETY]
            .iter()
            .any(|words| lexer::mentions(&statement.sql, words))
        {
            self.note_cluster(&statement).await?;
        }
        statement.environment = Some(self.environment());
        match &self.open {
            Some(_) => self.execute_in_transaction(statement, reads, settings).await,
            None if reads => self.read(statement, settings).await,
            None => self.write(statement, settings).await,
        }
    }

    /// Of the next statement: the transaction's time, a chance of its own.
    fn environment(&mut self) -> Environment {
        self.statements += 1;
        let now_ms = unix_ms().cast_signed();
        let mut seed = self.chance;
        for (byte, number) in seed.iter_mut().zip(self.statements.to_le_bytes()) {
            *byte ^= number;
        }
        Environment {
            transaction_ms: self.open.as_ref().map_or(now_ms, |open| open.began_ms),
            statement_ms: now_ms,
            seed,
        }
    }

    async fn execute_in_transaction(
        &mut self,
        statement: Statement,
        reads: bool,
        settings: &mut Settings,
    ) -> Result<Rows, SqlError> {
        let open = self.open.as_ref().expect("seen by the caller");
        let writing = matches!(open.stage, Stage::Writing(_));
        let is_full = matches!(&open.stage, Stage::Apart(apart) if apart.answered.len() >= ANSWERED_MAX);
        let read_only = open.read_only;
        if !writing && (read_only || !is_full) {
            if reads && !self.has_written_apart() {
                if self.take_snapshot(settings).await? {
                    return self.read_snapshot(statement, settings).await;
                }
                if read_only {
                    return Err(apart::too_far_behind());
                }
            } else if self.may_write_apart(settings)
                && let Some(rows) = self.run_apart(&statement, settings).await?
            {
                return Ok(rows);
            }
        }
        if !writing {
            self.take_writer(Patience::new(settings), settings).await?;
        }
        let facts = self.facts.current(settings);
        let Some(Open {
            stage: Stage::Writing(transaction),
            facts: told,
            ..
        }) = &mut self.open
        else {
            return Err(crate::replica::leader_lost());
        };
        let news = (!Arc::ptr_eq(told, &facts)).then(|| Arc::clone(&facts));
        *told = facts;
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let (reply, ended) = oneshot::channel();
        self.cancel.set_step(transaction.canceller());
        transaction.start(statement, news, sender, reply).await;
        let reign = self.replica.reign.clone();
        Ok(Rows::streamed(
            pieces,
            ended,
            transaction.fate(),
            Watch {
                reign,
                term: transaction.term(),
            },
        ))
    }

    /// Whether BEGIN was, and neither COMMIT nor ROLLBACK.
    pub fn is_in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// Takes the writer for the open transaction, before it writes: every lock that there is. Without one there is
    /// nothing to lock for. `waits`: as long as `lock_timeout` says; else not at all (55P03).
    pub async fn lock(&mut self, waits: bool, settings: &mut Settings) -> Result<(), SqlError> {
        let is_due = self
            .open
            .as_ref()
            .is_some_and(|open| !open.read_only && !matches!(open.stage, Stage::Writing(_)));
        if is_due {
            let patience = match waits {
                true => Patience::new(settings),
                false => Patience::none(),
            };
            self.take_writer(patience, settings).await?;
        }
        Ok(())
    }

    /// Where it reads and writes.
    pub fn replica(&self) -> &ReplicaHandle {
        &self.replica
    }

    /// Whether a statement of the open transaction takes the writer, or has it.
    pub fn takes_writer(&self, sql: &str) -> bool {
        match &self.open {
            Some(Open {
                stage: Stage::Writing(_),
                ..
            }) => true,
            Some(_) => !is_read(sql),
            None => false,
        }
    }

    /// A result was read to its end before its client has fetched it all.
    pub fn note_read(&mut self, answered: Answered) {
        if let Some(Open {
            stage: Stage::Apart(apart),
            read_only: false,
            ..
        }) = &mut self.open
            && reads_database(&answered.statement.sql)
        {
            apart.answered.push(answered);
        }
    }

    /// The rows were fetched, or the client closed them: the tag, and the bookkeeping.
    pub fn finish(&mut self, rows: Rows, settings: &mut Settings) -> CommandTag {
        self.cancel.clear();
        let (tag, answered, position, state) = rows.finish();
        if let Some(position) = position {
            self.saw(settings, position);
        }
        if let Some(state) = state {
            self.state = state;
        }
        if let Some(answered) = answered {
            self.note_read(answered);
        }
        tag
    }

    fn saw(&self, settings: &mut Settings, position: Position) {
        settings.advance_token(self.replica.database, position);
    }

    /// Waits until this replica may answer: true. False: ask the leader. An election is waited out, for
    /// `bellwether.wait_timeout`.
    async fn wait_to_read(&self, settings: &Settings) -> Result<bool, SqlError> {
        let values = settings.values();
        let deadline = Instant::now() + Duration::from_millis(u64::from(values.wait_timeout.0));
        loop {
            let reign = *self.replica.reign.borrow();
            let role = match reign.role {
                Role::Leader => bellwether_session::Role::Leader,
                Role::Follower { .. } | Role::Candidate => bellwether_session::Role::Follower,
            };
            let state = ReplicaState {
                role,
                applied: self.replica.published.applied(),
                leader_known: reign.leader.is_some(),
                serving: !reign.seeding,
            };
            let seen = settings.token().position(self.replica.database);
            let left = deadline.saturating_duration_since(Instant::now());
            match route(values.read_consistency, seen, &state) {
                Decision::Serve => return Ok(true),
                Decision::Wait { position } => return Ok(self.replica.wait_applied(position, left).await),
                Decision::AskLeader => return Ok(false),
                Decision::ReadIndex => {
                    let confirmed = tokio::time::timeout(left, self.replica.confirm_read()).await;
                    match confirmed {
                        // What the session was answered early is behind what was confirmed.
                        Ok(true) => return Ok(self.replica.wait_applied(seen, left).await),
                        // This replica is behind: what it lacks, its leader has.
                        Err(_) if self.replica.reign.borrow().follows() => return Ok(false),
                        _ => {}
                    }
                }
                Decision::Refuse(refusal) => {
                    if left.is_zero() || !matches!(refusal, bellwether_session::Refusal::NoLeader) {
                        return Err(refusal.into());
                    }
                    // Whoever it is: what to do is decided anew.
                    let _ = self.replica.wait_leader(left).await;
                }
            }
            if Instant::now() >= deadline {
                return Err(no_leader());
            }
            tokio::time::sleep(ELECTION_PAUSE).await;
        }
    }

    /// A read outside of transactions.
    async fn read(&mut self, statement: Statement, settings: &Settings) -> Result<Rows, SqlError> {
        if !self.wait_to_read(settings).await? {
            return self.read_at_leader(statement, settings).await;
        }
        let mut reader = self
            .replica
            .readers
            .get()
            .await
            .map_err(|error| unreadable(&error))?;
        reader.set_session(&self.state);
        reader.set_facts(&self.facts.current(settings));
        let cursor = reader.open_cursor(&statement)?;
        self.cancel.set_read(reader.interrupt_handle());
        Ok(Rows::of_replica(cursor, reader, Arc::clone(&self.replica)))
    }

    async fn read_at_leader(&mut self, statement: Statement, settings: &Settings) -> Result<Rows, SqlError> {
        let timeout = Duration::from_millis(u64::from(settings.values().wait_timeout.0));
        let (leader, _) = self.replica.wait_leader(timeout).await.ok_or_else(no_leader)?;
        self.node.metrics.statements_forwarded.increment();
        let asked = ReadAtLeader {
            statement,
            seen: settings.token().position(self.replica.database),
            session: self.state,
            facts: self.facts.current(settings),
        };
        let (pieces, ended) = if leader == self.node.identity.node {
            let (sender, pieces) = mpsc::channel(PIECES_MAX);
            let (reply, ended) = oneshot::channel();
            let replica = Arc::clone(&self.replica);
            tokio::spawn(async move {
                let result = replica.read_at_leader(asked, sender).await;
                // The client may have left.
                let _ = reply.send(result);
            });
            (pieces, ended)
        } else {
            self.node.forward.read(leader, self.replica.database, asked)
        };
        Ok(Rows::of_leader(pieces, ended))
    }

    /// Columns and parameters, without executing. In a transaction that holds the writer, as that sees the schema.
    pub async fn describe(&mut self, sql: &str, settings: &Settings) -> Result<Description, SqlError> {
        // What a statement is made of is no more theirs than what it answers.
        self.rights.check(sql, true)?;
        if let Some(Open {
            stage: Stage::Writing(transaction),
            ..
        }) = &self.open
        {
            return self
                .unless_superseded(transaction.term(), transaction.describe(sql.to_owned()))
                .await
                .map_err(told);
        }
        // The session's own DDL must be seen; a snapshot that was taken has waited for it.
        let has_snapshot = matches!(
            &self.open,
            Some(Open {
                stage: Stage::Apart(_),
                ..
            })
        );
        let is_near = has_snapshot || self.wait_to_read(settings).await?;
        let mut reader = self
            .replica
            .readers
            .get()
            .await
            .map_err(|error| unreadable(&error))?;
        match reader.describe(sql) {
            // What it lacks may have come since.
            Err(_) if !is_near => Err(apart::too_far_behind()),
            described => described,
        }
    }

    /// What a leader answers, unless another reign has begun meanwhile.
    async fn unless_superseded<T>(
        &self,
        term: Term,
        answer: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        tokio::select! {
            answer = answer => answer,
            () = self.replica.superseded(term) => Err(Refusal::Unknown),
        }
    }

    /// The client is told the id of a transaction: it may ask what became of that when the session is over.
    pub fn tell_id(&mut self) {
        self.has_told_id = true;
    }

    /// The client is gone. Unless it said goodbye and was never told an id, what became of its last transaction is
    /// remembered for an hour.
    pub async fn close(mut self, has_said_goodbye: bool) {
        self.open = None;
        if self.sequence == 0 || self.has_told_id || !has_said_goodbye {
            return;
        }
        let leader = self.replica.reign.borrow().leader;
        match leader {
            Some(leader) if leader == self.node.identity.node => self.replica.end_session(self.id).await,
            Some(leader) => {
                self.node
                    .forward
                    .end_session(leader, self.replica.database, self.id)
                    .await
            }
            None => {}
        }
    }
}

/// Whether a statement only reads, by its verb: the schema that it names may be newer than this replica's.
fn is_read(sql: &str) -> bool {
    match lexer::verb(sql).as_deref() {
        Some("SELECT" | "VALUES") => !lexer::mentions(sql, "pg_notify"),
        Some("EXPLAIN") => true,
        Some("PRAGMA") => !is_setting_pragma(sql),
        _ => false,
    }
}

/// Whether what a read answers may depend on the tables or on the schema. What does not is never compared: the leader
/// may know it otherwise, such as whether it is in recovery.
fn reads_database(sql: &str) -> bool {
    let reads_schema = |token: lexer::Token<'_>| {
        let name = token.unquoted();
        let mut functions = catalog::FUNCTIONS.iter();
        functions.any(|known| matches!(known.call, Call::Schema(_)) && known.name.eq_ignore_ascii_case(&name))
    };
    lexer::verb(sql).as_deref() != Some("SELECT")
        || lexer::may_read_tables(sql)
        || lexer::significant(sql).any(reads_schema)
}

/// Whether a read may answer what the session's own writes came to.
fn reads_counters(sql: &str) -> bool {
    const COUNTERS: [&str; 3] = ["last_insert_rowid", "changes", "total_changes"];
    lexer::significant(sql).any(|token| {
        let name = token.unquoted();
        COUNTERS.iter().any(|counter| counter.eq_ignore_ascii_case(&name))
    })
}

/// `PRAGMA user_version = 7`, `PRAGMA application_id(7)`: they change the file.
fn is_setting_pragma(sql: &str) -> bool {
    let is_kept = |token: lexer::Token<'_>| token.is_word("user_version") || token.is_word("application_id");
    sql.contains('=') || (sql.contains('(') && lexer::significant(sql).any(is_kept))
}

fn is_vacuum_into(sql: &str) -> bool {
    lexer::verb(sql).as_deref() == Some("VACUUM")
        && lexer::significant(sql).any(|token| token.is_word("INTO"))
}

/// `PRAGMA defer_foreign_keys`, in whichever form.
fn is_deferring(sql: &str) -> bool {
    lexer::verb(sql).as_deref() == Some("PRAGMA")
        && lexer::significant(sql).any(|token| token.is_word("defer_foreign_keys"))
}

/// A refusal inside an open transaction, for the client: the transaction is over, and nothing of it remains.
fn told(refusal: Refusal) -> SqlError {
    match refusal {
        Refusal::Failed(error) => error,
        Refusal::NotLeader | Refusal::Unknown => crate::replica::leader_lost(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_writes_came_to_is_told_from_other_answers_without_a_table() {
        assert!(reads_counters("SELECT \"Last_Insert_Rowid\"()") && reads_counters("SELECT 1 + changes()"));
        assert!(!reads_counters("SELECT random(), now()"));
    }

    #[test]
    fn what_names_no_table_is_not_read_from_the_database() {
        for sql in ["SELECT random()", "SELECT datetime('now'), current_user"] {
            assert!(!reads_database(sql), "{sql}");
        }
        for sql in [
            "SELECT a FROM t",
            "SELECT \"PG_get_viewdef\"(16384)",
            "PRAGMA table_info(t)",
            "EXPLAIN SELECT 1",
        ] {
            assert!(reads_database(sql), "{sql}");
        }
    }
}
