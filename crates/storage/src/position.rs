//! The position that a replica's file stores about itself.

use bellwether_types::Position;
use rusqlite::{Connection, OptionalExtension};

/// Of the last record that the connection's snapshot contains; zero when the file is new.
pub(crate) fn stored_position(connection: &Connection) -> rusqlite::Result<Position> {
    let exists = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_bellwether_position'";
    if connection.query_row(exists, [], |_| Ok(())).optional()?.is_none() {
        return Ok(Position::ZERO);
    }
    let mut stored = connection.prepare_cached("SELECT term, log_index FROM _bellwether_position")?;
    let position = stored.query_row([], |row| {
        let (term, index): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok(Position::new(term.cast_unsigned(), index.cast_unsigned()))
    });
    Ok(position.optional()?.unwrap_or(Position::ZERO))
}
