//! VACUUM: committed as a record of its own first, then run by every replica by itself; nothing of it is in the log.
//!
//! SQLite gives new rowids to the rows of a table that has neither an INTEGER PRIMARY KEY nor an index
//! (sqlite.org/lang_vacuum.html): in the order of the old ones, from 1, so equal replicas stay equal. Their
//! fingerprints change; all are computed anew. A crash between VACUUM and the position runs it again, which changes
//! nothing more. Tables with a key of their own keep their sums, which are compared.

use bellwether_types::record::Transaction;
use bellwether_types::{Fingerprint, Position, TableId, Timestamp};

use crate::catalog::Key;
use crate::error::{SqliteError, StorageError};
use crate::files::{ConnectionRole, sqlite_facts};
use crate::writer::{Phase, Writer, not_opened};

impl Writer {
    /// Runs VACUUM and writes down that the record at `position` is applied. Takes as long as the database is large,
    /// and as much disk again while it runs; readers keep their snapshots. Between groups and records.
    pub fn vacuum(
        &mut self,
        position: Position,
        timestamp: Timestamp,
        transaction: &Transaction,
    ) -> Result<(), StorageError> {
        self.discard();
        if !matches!(self.phase, Phase::Idle) {
            return Err(StorageError::OutOfOrder("VACUUM while a group is open"));
        }
        self.run_vacuum()?;
        let sums = self.recompute_fingerprints()?;
        self.compare_keyed(&sums)?;
        {
            let database = self.connection.database.clone();
            let _gate = database.enter();
            let internal = &mut self.connection.internal;
            let write_down = || {
                internal.begin.run()?;
                for (table, _, sum) in sums {
                    internal.write_fingerprint(table, Some(sum))?;
                }
                internal.write_request(transaction, position, timestamp)?;
                internal.write_position(position, timestamp)?;
                internal.commit.run()
            };
            if let Err(error) = write_down() {
                if !database.is_autocommit() {
                    internal.rollback.run()?;
                }
                return Err(error.into());
            }
        }
        // What is in memory (sums, compiled statements) is of the time before.
        let ended_sessions = std::mem::take(&mut self.ended_sessions);
        let safety = self.safety_counts();
        *self = Writer::open(&self.files.clone()).map_err(not_opened)?;
        self.ended_sessions = ended_sessions;
        self.connection.hook.capture().safety = safety;
        Ok(())
    }

    /// All sums are about to be written anew: rows that changed behind the replica's back must not become right by
    /// that. Tables whose rowids VACUUM may change, or changed before a crash, cannot be compared.
    fn compare_keyed(&self, sums: &[(TableId, String, Fingerprint)]) -> Result<(), StorageError> {
        let capture = self.connection.hook.capture();
        for (id, name, found) in sums {
            let is_keyed = match capture.catalog().tables.get(id) {
                Some(table) => matches!(table.key, Key::IntegerPrimary(_) | Key::Primary(_)),
                None => *id == TableId(0),
            };
            let kept = capture.sums().get(id).copied().unwrap_or_default();
            if is_keyed && kept != *found {
                return Err(StorageError::Diverged {
                    table: name.clone(),
                    kept,
                    found: *found,
                });
            }
        }
        Ok(())
    }

    /// On a connection of its own: VACUUM attaches a file, which clients' connections cannot.
    fn run_vacuum(&self) -> Result<(), StorageError> {
        let connection = self.files.connect(ConnectionRole::Writer).map_err(not_opened)?;
        connection.execute_batch("VACUUM").map_err(|error| {
            let (code, message) = sqlite_facts(&error);
            StorageError::Sqlite(SqliteError {
                // The bindings' own errors have no code.
                code: if code == 0 {
                    rusqlite::ffi::SQLITE_ERROR
                } else {
                    code
                },
                message,
                offset: None,
            })
        })
    }
}
