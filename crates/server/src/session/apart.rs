//! A transaction before it has the writer: in one snapshot of this node's replica. An optimistic one also writes there,
//! in a private copy (`bellwether_storage::Reader::begin_workspace`), and never holds the writer over its client's
//! time to think: COMMIT sends all of its statements, with what each was answered, to the leader, which runs them as
//! one of a group and compares. Until then nothing of it has left this node, so a failover does not disturb it.

use std::sync::Arc;

use bellwether_session::{Settings, TransactionMode};
use bellwether_storage::{ClientTransaction, Seen, SessionState, StorageError};
use bellwether_types::{ErrorKind, Facts, RequestId, SqlError, Statement};
use tokio::sync::Mutex;

use super::{Open, Rows, Session, Stage, is_read, reads_counters, reads_database};
use crate::patience::with_patience;
use crate::replica::{Answered, PooledReader, leader_lost, unreadable};

/// In a snapshot.
pub(super) struct Apart {
    reader: Arc<Mutex<PooledReader>>,
    /// In order.
    pub answered: Vec<Answered>,
    /// What its session was when it wrote first, if it did.
    written: Option<Written>,
}

struct Written {
    session: SessionState,
    facts: Arc<Facts>,
}

impl Session {
    /// The open transaction has written, and has not got the writer.
    pub(super) fn has_written_apart(&self) -> bool {
        matches!(
            &self.open,
            Some(Open {
                stage: Stage::Apart(Apart { written: Some(_), .. }),
                ..
            })
        )
    }

    /// Whether a statement of the open transaction need not take the writer.
    pub(super) fn may_write_apart(&self, settings: &Settings) -> bool {
        settings.values().transaction_mode == TransactionMode::Optimistic
            && !self.must_hold
            && self.open.as_ref().is_some_and(|open| open.savepoints.is_empty())
    }

    /// The open transaction's one snapshot, if it has none yet. False: this replica is too far behind for it.
    pub(super) async fn take_snapshot(&mut self, settings: &mut Settings) -> Result<bool, SqlError> {
        if !matches!(
            &self.open,
            Some(Open {
                stage: Stage::Fresh,
                ..
            })
        ) {
            return Ok(true);
        }
        if !self.wait_to_read(settings).await? {
            return Ok(false);
        }
        let reader = self.replica.readers.get().await;
        let mut reader = reader.map_err(|error| unreadable(&error))?;
        reader.begin_snapshot().map_err(StorageError::into_sql_error)?;
        self.saw(settings, self.replica.published.visible());
        let open = self.open.as_mut().expect("just seen");
        open.stage = Stage::Apart(Apart {
            reader: Arc::new(Mutex::new(reader)),
            answered: Vec::new(),
            written: None,
        });
        Ok(true)
    }

    /// In a transaction that has written nothing: from its snapshot.
    pub(super) async fn read_snapshot(
        &mut self,
        statement: Statement,
        settings: &Settings,
    ) -> Result<Rows, SqlError> {
        let Some(Open {
            stage: Stage::Apart(apart),
            ..
        }) = &self.open
        else {
            return Err(leader_lost());
        };
        let mut reader = Arc::clone(&apart.reader).lock_owned().await;
        reader.set_session(&self.state);
        reader.set_facts(&self.facts.current(settings));
        let cursor = reader.open_cursor(&statement)?;
        self.cancel.set_read(reader.interrupt_handle());
        drop(reader);
        Ok(Rows::of_snapshot(cursor, statement))
    }

    /// A statement in the private copy. `None`: the writer has to do it, after all that was done there.
    pub(super) async fn run_apart(
        &mut self,
        statement: &Statement,
        settings: &mut Settings,
    ) -> Result<Option<Rows>, SqlError> {
        if !self.take_snapshot(settings).await? {
            return Ok(None);
        }
        let facts = self.facts.current(settings);
        let Some(Open {
            stage: Stage::Apart(apart),
            ..
        }) = &mut self.open
        else {
            return Ok(None);
        };
        let mut reader = Arc::clone(&apart.reader).lock_owned().await;
        match &apart.written {
            None => {
                if let Err(error) = reader.begin_workspace(&self.state, &facts) {
                    tracing::warn!(%error, "no private copy for a transaction");
                    return Ok(None);
                }
                let session = self.state;
                apart.written = Some(Written { session, facts });
            }
            // All of it runs again as of one session.
            Some(written) if !Arc::ptr_eq(&written.facts, &facts) || written.session != self.state => {
                return Ok(None);
            }
            Some(_) => {}
        }
        let Some(result) = with_patience(|| reader.run_apart(statement)) else {
            return Ok(None);
        };
        if !is_read(&statement.sql) || reads_database(&statement.sql) || reads_counters(&statement.sql) {
            apart.answered.push(Answered {
                statement: statement.clone(),
                seen: Seen::of(&result),
            });
        }
        Ok(Some(Rows::whole(result.columns, result.rows, result.tag)))
    }

    /// COMMIT.
    pub(super) async fn commit_apart(
        &mut self,
        request: RequestId,
        apart: Apart,
        settings: &mut Settings,
    ) -> Result<(), SqlError> {
        let Some(Written { session, facts }) = apart.written else {
            return Ok(());
        };
        // Before it waits for the leader: snapshots hold back checkpoints.
        drop(apart.reader);
        let (statements, seen) = apart
            .answered
            .into_iter()
            .map(|Answered { statement, seen }| (statement, seen))
            .unzip();
        let transaction = ClientTransaction {
            request,
            statements,
            seen,
            session,
            facts,
            durability: settings.values().synchronous_commit,
        };
        let durability = transaction.durability;
        let committed = self.write_at_leader(request, &transaction, settings).await;
        self.must_hold = matches!(&committed, Err(error) if error.kind == ErrorKind::Serialization);
        let done = committed?;
        self.state = done.answer.session;
        self.note_answer(request, done.position, durability);
        self.saw(settings, done.position);
        Ok(())
    }
}

impl Apart {
    /// What the writer has to do again.
    pub fn into_answered(self) -> Vec<Answered> {
        self.answered
    }
}

/// Of what cannot be left to the leader: one snapshot for all of a transaction's reads, what a statement is made of.
pub(super) fn too_far_behind() -> SqlError {
    SqlError::new(
        ErrorKind::WaitTimeout,
        "this replica did not come as far as the session must see",
    )
    .with_detail("It waited for bellwether.wait_timeout.")
    .with_hint("Try again, or ask another node.")
}
