//! LISTEN, UNLISTEN, NOTIFY.
//!
//! What a session listens to changes when its transaction is committed, and is taken back with it, savepoints
//! included. What was told is told on to the client between transactions only, as in PostgreSQL.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_types::{ErrorKind, Notification, SqlError, Statement, Value};

use super::{Connection, Purpose, Step, Transaction};

/// A channel's name is an identifier of PostgreSQL: of at most 63 bytes.
pub(crate) const MAX_CHANNEL_BYTES: usize = 63;

/// Channels that a session may listen to.
const MAX_CHANNELS: usize = 1_000;

/// The channels of a session.
#[derive(Debug, Default)]
pub(super) struct Channels {
    current: Arc<BTreeSet<String>>,
    /// As they will be after the transaction.
    pending: Option<Arc<BTreeSet<String>>>,
    /// As `pending` was at each savepoint, oldest first.
    at_savepoints: Vec<Option<Arc<BTreeSet<String>>>>,
    /// `current` is another than the driver knows.
    is_news: bool,
}

impl Channels {
    pub fn listen(&mut self, channel: &str) -> Result<(), SqlError> {
        let pending = self.pending.get_or_insert_with(|| Arc::clone(&self.current));
        if pending.len() >= MAX_CHANNELS && !pending.contains(channel) {
            let message = format!("a session can listen to {MAX_CHANNELS} channels at most");
            return Err(SqlError::new(ErrorKind::ProgramLimit, message));
        }
        Arc::make_mut(pending).insert(channel.to_owned());
        Ok(())
    }

    /// `None`: to nothing any more.
    pub fn unlisten(&mut self, channel: Option<&str>) {
        let pending = self.pending.get_or_insert_with(|| Arc::clone(&self.current));
        match channel {
            Some(channel) => drop(Arc::make_mut(pending).remove(channel)),
            None => *pending = Arc::default(),
        }
    }

    pub fn commit(&mut self) {
        self.at_savepoints.clear();
        if let Some(pending) = self.pending.take()
            && pending != self.current
        {
            self.current = pending;
            self.is_news = true;
        }
    }

    pub fn rollback(&mut self) {
        self.at_savepoints.clear();
        self.pending = None;
    }

    pub fn savepoint(&mut self) {
        self.at_savepoints.push(self.pending.clone());
    }

    /// To the savepoint at this place, which stays.
    pub fn rollback_to(&mut self, at: usize) {
        self.at_savepoints.truncate(at + 1);
        if let Some(pending) = self.at_savepoints.last() {
            self.pending.clone_from(pending);
        }
    }

    /// Forgets the savepoint at this place, and those after it.
    pub fn release(&mut self, at: usize) {
        self.at_savepoints.truncate(at);
    }
}

impl Connection {
    /// The channels that the session listens to, if they are others than at the last call. To be asked before
    /// output is written: a client that was told that it listens, does.
    pub fn take_channels(&mut self) -> Option<Arc<BTreeSet<String>>> {
        std::mem::take(&mut self.channels.is_news).then(|| Arc::clone(&self.channels.current))
    }

    /// Whether `notify` may be called: the client is not in a transaction, nor in the middle of an answer.
    pub fn takes_notifications(&self) -> bool {
        self.is_idle() && self.transaction == Transaction::None && !self.owes_ready && !self.skip_to_sync
    }

    /// Tells the client what it listens to.
    pub fn notify(&mut self, notification: &Notification) {
        debug_assert!(self.takes_notifications(), "not in the middle of something");
        if self.channels.current.contains(&notification.channel) {
            self.output.notification(notification);
            self.must_flush = true;
        }
    }

    /// NOTIFY is a statement like any other: committed with its transaction.
    pub(super) fn notify_others(
        &mut self,
        channel: &str,
        payload: &str,
        is_last: bool,
    ) -> Result<Step, SqlError> {
        if self.transaction == Transaction::None && !is_last {
            return Ok(Step::AskFirst(self.begin_implicit()));
        }
        let parameters = [channel, payload].map(|text| Value::Text(text.to_owned()));
        let statement = Statement::bound("SELECT pg_notify($1, $2)", parameters.to_vec());
        Ok(Step::Ask(
            self.ask_rows(self.run(statement, "NOTIFY"), Purpose::Notify),
        ))
    }
}
