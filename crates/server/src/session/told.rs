//! What a statement asks of the cluster, found out before it runs: SQL's functions and tables cannot wait for other nodes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bellwether_storage::ClientTransaction;
use bellwether_types::lexer::{self, TokenKind};
use bellwether_types::{Durability, ErrorKind, Outcome, Position, RequestId, SqlError, Statement, Value};

use super::write::{FAILOVER_WAIT, Patience};
use super::{ELECTION_PAUSE, Open, Session, Stage};
use crate::forward::no_leader;
use crate::ledger;
use crate::replica::{FORGET_AFTER, Refusal, unix_ms};

/// Tables about replication.
const TABLES: [&str; 4] = [
    "pg_stat_replication",
    "pg_stat_wal_receiver",
    "pg_replication_slots",
    SAFETY,
];

/// The view of what became of statements in the log.
pub(super) const SAFETY: &str = "statement_safety";

/// The view of answered transactions that are gone.
pub(super) const LEDGER: &str = "lost_writes";

/// Functions that tell the id of the running transaction.
const ID_FUNCTIONS: [&str; 2] = ["pg_current_xact_id", "pg_current_xact_id_if_assigned"];

/// Transactions that one statement may ask about.
const ASKED_MAX: usize = 16;

/// How long an answer is waited for.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// How far the nodes' clocks may be apart at most, for a transaction of an unknown session to be called aborted.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(300);

impl Session {
    /// Of what the statement names.
    pub(super) async fn note_cluster(&mut self, statement: &Statement) -> Result<(), SqlError> {
        let sql = statement.sql.as_str();
        if TABLES.iter().any(|table| lexer::mentions(sql, table)) {
            let members = self.node.members.current();
            let replication = self.replica.replication(self.node.identity.node, &members);
            self.facts.set_replication(replication.await);
        }
        if lexer::mentions(sql, LEDGER) {
            let lost = ledger::lost_writes(self.node.system()).await?;
            self.facts.set_lost_writes(lost);
        }
        if ID_FUNCTIONS.iter().any(|function| lexer::mentions(sql, function)) {
            self.has_told_id = true;
            let is_writing = matches!(
                &self.open,
                Some(Open {
                    stage: Stage::Writing(_),
                    ..
                })
            );
            let current = self.current_request();
            self.facts.set_transaction(current, is_writing);
        }
        if lexer::mentions(sql, "pg_xact_status") {
            let mut outcomes = BTreeMap::new();
            for (text, request) in requests_in(statement) {
                let outcome = self.ask_outcome(request).await?;
                outcomes.insert(text, outcome.to_owned());
            }
            self.facts.set_outcomes(outcomes);
        }
        Ok(())
    }

    /// Of the open transaction, or of the statement that is a transaction of its own.
    fn current_request(&self) -> RequestId {
        self.open.as_ref().map_or(
            RequestId {
                session: self.id,
                sequence: self.sequence + 1,
            },
            |open| open.request,
        )
    }

    /// `committed`, `aborted` (and then it never will be committed), `in progress`; empty: nobody knows any more.
    async fn ask_outcome(&self, request: RequestId) -> Result<&'static str, SqlError> {
        if request.session == self.id && request.sequence >= self.current_request().sequence {
            return Ok("in progress");
        }
        let (now_ms, began_ms) = (unix_ms(), request.session.began_ms());
        if began_ms > now_ms + CLOCKS_APART_MAX.as_millis() as u64 {
            let message = format!("transaction {request} is in the future");
            return Err(SqlError::new(ErrorKind::InvalidSetting, message));
        }
        let is_old = now_ms.saturating_sub(began_ms) >= (FORGET_AFTER - CLOCKS_APART_MAX).as_millis() as u64;
        match self.look_for(request).await? {
            Some(Outcome::Committed(..)) => return Ok("committed"),
            Some(Outcome::RuledOut(_)) => return Ok("aborted"),
            Some(Outcome::GoneOn) => return Ok(""),
            Some(Outcome::Open { is_known: false }) if is_old => return Ok(""),
            Some(Outcome::Open { .. }) => {}
            None => return Ok("in progress"),
        }
        // What is not committed now may be under way still; from here on it is one or the other.
        let ruling_out = ClientTransaction::ruling_out(request);
        match self
            .write_with(request, &ruling_out, Patience::until(ASK_WITHIN))
            .await
        {
            Ok(done) if done.answer.results.is_empty() => Ok("aborted"),
            Ok(_) => Ok("committed"),
            Err(error) if error.kind == ErrorKind::LockTimeout => Ok("in progress"),
            Err(error) => Err(error),
        }
    }

    /// A transaction was answered. Below `on` the session's next statement looks whether it is there.
    pub(super) fn note_answer(&mut self, request: RequestId, position: Position, durability: Durability) {
        self.early = durability.is_early().then_some((request, position));
    }

    /// Waits until what was answered early is committed. 40000, once: it never will be, and the session would go on over it.
    pub(super) async fn look_after_early(&mut self) -> Result<(), SqlError> {
        let Some((request, position)) = self.early else {
            return Ok(());
        };
        let is_settled = tokio::select! {
            is_settled = self.replica.wait_applied(position, FAILOVER_WAIT) => is_settled,
            () = self.cancel.cancelled() => return Err(super::write::cancelled()),
        };
        if !is_settled {
            return Err(no_leader());
        }
        // Of its own reign everything before is there, too.
        if self.replica.published.applied().term != position.term {
            match self.look_for(request).await?.ok_or_else(no_leader)? {
                Outcome::Committed(..) => {}
                Outcome::RuledOut(_) | Outcome::Open { .. } | Outcome::GoneOn => {
                    self.early = None;
                    return Err(lost(request));
                }
            }
        }
        self.early = None;
        Ok(())
    }

    /// As whoever leads knows it; `None`: it does not say.
    async fn look_for(&self, request: RequestId) -> Result<Option<Outcome>, SqlError> {
        let deadline = Instant::now() + ASK_WITHIN;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (leader, term) = self.replica.wait_leader(left).await.ok_or_else(no_leader)?;
            let outcome = tokio::select! {
                outcome = self.node.outcome(leader, &self.replica, request, Durability::On) => outcome,
                () = self.replica.superseded(term) => Err(Refusal::Unknown),
                () = self.cancel.cancelled() => return Err(super::write::cancelled()),
                () = tokio::time::sleep(left) => return Ok(None),
            };
            match outcome {
                Ok(outcome) => return Ok(Some(outcome)),
                Err(Refusal::Failed(error)) => return Err(error),
                Err(Refusal::Unknown | Refusal::NotLeader) if Instant::now() < deadline => {
                    tokio::time::sleep(ELECTION_PAUSE).await;
                }
                Err(Refusal::Unknown | Refusal::NotLeader) => return Ok(None),
            }
        }
    }
}

/// 40000.
fn lost(request: RequestId) -> SqlError {
    let message = "an earlier transaction of this session is lost";
    SqlError::new(ErrorKind::TransactionLost, message)
        .with_detail(format!(
            "Transaction {request} was answered before a majority had it, and went with its leader. Nothing of this statement was done."
        ))
        .with_hint("See bellwether.lost_writes for what it was. The session can go on.")
}

/// Literals and parameters that name transactions.
fn requests_in(statement: &Statement) -> Vec<(String, RequestId)> {
    let literals = lexer::significant(&statement.sql)
        .filter(|token| token.kind == TokenKind::Text)
        .map(|token| token.text.trim_matches('\'').to_owned());
    let parameters = statement.parameters.iter().filter_map(|value| match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    });
    let named = literals.chain(parameters).filter_map(|text| {
        let request = RequestId::parse(&text)?;
        Some((text, request))
    });
    named.take(ASKED_MAX).collect()
}
