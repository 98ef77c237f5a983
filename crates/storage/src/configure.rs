//! Who is in the group, kept with the content: an image of a replica says whose it was at its position.

use bellwether_types::{Configuration, Position, Timestamp};

use crate::database::Database;
use crate::error::{SqliteError, StorageError};
use crate::internal;
use crate::statement::Prepared;
use crate::writer::{Phase, Writer};

impl Writer {
    /// The group as the last record that said it did; `None` before the first.
    pub fn configuration(&self) -> Result<Option<Configuration>, StorageError> {
        let database = self.connection.database.clone();
        let _gate = database.enter();
        let lines = Prepared::internal(&database, internal::SELECT_CONFIGURATION)?;
        Ok(internal::read_configuration(lines)?)
    }

    /// Writes down that the record at `position`, which says this of the group, is applied. Between groups and records.
    pub fn configure(
        &mut self,
        position: Position,
        timestamp: Timestamp,
        configuration: &Configuration,
    ) -> Result<(), StorageError> {
        self.discard();
        if !matches!(self.phase, Phase::Idle) {
            return Err(StorageError::OutOfOrder("a configuration while a group is open"));
        }
        self.write_down(position, timestamp, |database| {
            internal::write_configuration(database, configuration)
        })
    }

    /// A position at which no table changes, and this with it.
    pub(crate) fn write_down(
        &mut self,
        position: Position,
        timestamp: Timestamp,
        and: impl FnOnce(&Database) -> Result<(), SqliteError>,
    ) -> Result<(), StorageError> {
        let database = self.connection.database.clone();
        let _gate = database.enter();
        let internal = &mut self.connection.internal;
        let write = || -> Result<(), SqliteError> {
            internal.begin.run()?;
            and(&database)?;
            internal.write_position(position, timestamp)?;
            internal.commit.run()
        };
        if let Err(error) = write() {
            if !database.is_autocommit() {
                internal.rollback.run()?;
            }
            return Err(error.into());
        }
        (self.position, self.timestamp) = (position, timestamp);
        Ok(())
    }
}
