//! A sealed group: what is proposed for it, read back piece by piece.

use bellwether_types::entry::MAX_PAYLOAD_BYTES;
use bellwether_types::record::{KEPT_RESULTS_BYTES_MAX, NOTIFICATIONS_BYTES_MAX};
use bellwether_types::{Format, Notification, Payload, Position, Record, SessionId, TableId, Timestamp};
use bytes::Bytes;

use crate::capture::buffer::ChangeBuffer;
use crate::error::StorageError;
use crate::group::Group;
use crate::relations;
use crate::slots;
use crate::writer::WriteConnection;

/// Bytes of a chunk's body, and the most in a record's: a quarter of what an entry takes. Only bodies are cut, so a
/// quarter each are for notifications and for kept results, and the last one for all other lists.
const CHUNK_BYTES: usize = 1 << 20;

const _: () = assert!(
    CHUNK_BYTES + NOTIFICATIONS_BYTES_MAX + KEPT_RESULTS_BYTES_MAX <= MAX_PAYLOAD_BYTES / 4 * 3,
    "an entry holds a record"
);

/// Executed, written into the open SQLite transaction, not yet committed.
pub(crate) struct SealedGroup {
    /// Taken when it is handed out.
    record: Option<Box<Record>>,
    position: Position,
    timestamp: Timestamp,
    ended_sessions: usize,
    chunks: u64,
    next_chunk: u64,
    /// Of the record's own body.
    last_bytes: usize,
}

impl SealedGroup {
    /// Writes position, sums and requests.
    pub(crate) fn new(
        connection: &mut WriteConnection,
        group: &Group,
        ended: &[SessionId],
        next: Position,
    ) -> Result<SealedGroup, StorageError> {
        let (captured_bytes, fingerprints, notifications, format) = {
            let mut capture = connection.hook.capture();
            capture.check()?;
            let notifications = capture.notifications().to_vec();
            let format = match capture.statements() {
                0 => Format::Row,
                _ => Format::Statement,
            };
            (capture.buffer.len(), capture.touched(), notifications, format)
        };
        let chunks = captured_bytes.saturating_sub(1) / CHUNK_BYTES as u64;
        let mut position = next;
        position.index.0 += chunks;
        let record = Record {
            position,
            origin: group.start.origin,
            timestamp: group.start.timestamp,
            format,
            transactions: group.transactions.clone(),
            ended_sessions: ended.to_vec(),
            notifications,
            fingerprints,
            chunks,
            body: Bytes::new(),
        };
        write_down(connection, &record)?;
        let sealed = SealedGroup {
            position,
            timestamp: record.timestamp,
            ended_sessions: ended.len(),
            chunks,
            next_chunk: 0,
            last_bytes: usize::try_from(captured_bytes - chunks * CHUNK_BYTES as u64).unwrap_or(usize::MAX),
            record: Some(Box::new(record)),
        };
        sealed.check_size()
    }

    fn check_size(self) -> Result<SealedGroup, StorageError> {
        let Some(record) = &self.record else {
            return Ok(self);
        };
        // 16 + 30 + verb and numbers, 16, and 16 + 5 bytes an item.
        let verbs: usize = record
            .transactions
            .iter()
            .map(|transaction| transaction.tag.verb.len() + 64 + transaction.result.size_bytes())
            .sum();
        let lists = verbs + record.ended_sessions.len() * 16 + record.fingerprints.len() * 24;
        let notifications: usize = record.notifications.iter().map(Notification::size_bytes).sum();
        let size_bytes = lists + notifications + self.last_bytes + 256;
        if size_bytes > MAX_PAYLOAD_BYTES {
            return Err(StorageError::RecordTooLarge { size_bytes });
        }
        Ok(self)
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    pub(crate) fn ended_sessions(&self) -> usize {
        self.ended_sessions
    }

    /// Entries.
    pub(crate) fn count(&self) -> u64 {
        self.chunks + 1
    }

    pub(crate) fn next_payload(&mut self, buffer: &mut ChangeBuffer) -> Result<Option<Bytes>, StorageError> {
        let mut read = |len| {
            buffer
                .read(len)
                .map(Bytes::from)
                .map_err(|error| StorageError::Spill(error.to_string()))
        };
        if self.next_chunk < self.chunks {
            let body = read(CHUNK_BYTES)?;
            let sequence = self.next_chunk;
            self.next_chunk += 1;
            return Ok(Some(Payload::Chunk { sequence, body }.to_bytes()));
        }
        let Some(mut record) = self.record.take() else {
            return Ok(None);
        };
        record.body = read(self.last_bytes)?;
        Ok(Some(Payload::Record(record).to_bytes()))
    }
}

/// What the record says goes into SQLite with it: the leader's and the follower's way alike.
pub(crate) fn write_down(connection: &mut WriteConnection, record: &Record) -> Result<(), StorageError> {
    let kept: Vec<bool> = record
        .fingerprints
        .iter()
        .map(|(table, _)| is_kept(connection, *table))
        .collect::<Vec<_>>();
    let internal = &mut connection.internal;
    for ((table, sum), is_kept) in record.fingerprints.iter().zip(kept) {
        debug_assert!(is_kept || *table != TableId(0), "the schema is always kept");
        internal.write_fingerprint(*table, is_kept.then_some(*sum))?;
    }
    // First: a session taken for gone may have a transaction in this very record.
    for session in &record.ended_sessions {
        internal.forget_request(*session)?;
    }
    for transaction in &record.transactions {
        internal.write_request(transaction, record.position, record.timestamp)?;
    }
    internal.write_position(record.position, record.timestamp)?;
    if connection.hook.capture().schema_statements() > 0 {
        relations::settle(&connection.database, record.position.index)?;
        slots::settle(&connection.database, &connection.hook, record.position)?;
    }
    Ok(())
}

/// `TableId(0)` or a table that the catalog knows: its line in the fingerprint table stays.
fn is_kept(connection: &WriteConnection, table: TableId) -> bool {
    table == TableId(0) || connection.hook.capture().catalog().tables.contains_key(&table)
}
