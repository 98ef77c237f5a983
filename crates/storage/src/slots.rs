//! Replication slots: how far readers of the log from outside have come. While there is one, changes have whole images
//! of their rows, and each node keeps what the slots have not confirmed (within its bounds).
//!
//! A slot is made, moved and dropped by a record, so every replica knows it at the same position and a new leader goes
//! on with it. Kept in `_bellwether_slot`.

use bellwether_types::replication::Slots;
use bellwether_types::{ErrorKind, LogIndex, Position, SqlError, Term, ValueRef};
use rusqlite::ffi;

use crate::capture::Hook;
use crate::database::Database;
use crate::error::{SqliteError, StorageError};
use crate::relations::PENDING;
use crate::statement::Prepared;

/// The PRAGMA by which a node changes a slot: `'create NAME'`, `'drop NAME'`, `'advance NAME POSITION'`. SQLite knows
/// nothing of it.
pub(crate) const SLOT: &str = "bellwether_slot";

/// As PostgreSQL's `max_replication_slots` is by default.
const SLOTS_MAX: usize = 10;

/// As PostgreSQL's names.
const NAME_BYTES_MAX: usize = 63;

/// Of a slot that the open group makes: after that group's record.
const UNSETTLED: Position = Position {
    term: Term(0),
    index: LogIndex(u64::MAX),
};

/// What becomes of a slot.
enum SlotChange<'a> {
    Create(&'a str),
    Drop(&'a str),
    Advance(&'a str, Position),
}

impl SlotChange<'_> {
    fn read(text: &str) -> Option<SlotChange<'_>> {
        let mut words = text.split(' ');
        let (verb, name) = (words.next()?, words.next()?);
        let change = match (verb, words.next()) {
            ("create", None) => SlotChange::Create(name),
            ("drop", None) => SlotChange::Drop(name),
            ("advance", Some(position)) => SlotChange::Advance(name, position.parse().ok()?),
            _ => return None,
        };
        words.next().is_none().then_some(change)
    }
}

/// 42602 unless PostgreSQL would take the name for a slot.
fn check_name(name: &str) -> Result<(), SqlError> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(());
    }
    let message = format!("replication slot name \"{name}\" is not valid");
    Err(SqlError::new(ErrorKind::InvalidName, message).with_hint(format!(
        "Replication slot names have lower case letters, numbers and underscores only, {NAME_BYTES_MAX} at most."
    )))
}

fn undefined(name: &str) -> SqlError {
    let message = format!("replication slot \"{name}\" does not exist");
    SqlError::new(ErrorKind::UndefinedSlot, message).with_hint("See pg_replication_slots.")
}

fn internal(error: SqliteError) -> SqlError {
    StorageError::Sqlite(error).into_sql_error()
}

/// At leader and follower alike: in SQLite's file and in memory, both until the group is rolled back.
pub(crate) fn change(database: &Database, hook: &Hook, text: &str) -> Result<(), SqlError> {
    let malformed = || {
        SqlError::new(
            ErrorKind::InvalidSetting,
            format!("{text:?} is no change of a slot"),
        )
    };
    let change = SlotChange::read(text).ok_or_else(malformed)?;
    let mut slots = Slots::clone(hook.capture().slots());
    match change {
        SlotChange::Create(name) => {
            check_name(name)?;
            if slots.contains_key(name) {
                let message = format!("replication slot \"{name}\" already exists");
                return Err(SqlError::new(ErrorKind::DuplicateSlot, message));
            }
            if slots.len() >= SLOTS_MAX {
                let message = "all replication slots are in use";
                return Err(SqlError::new(ErrorKind::TooManySlots, message)
                    .with_detail(format!("A database has {SLOTS_MAX} at most."))
                    .with_hint("Drop one that nobody reads."));
            }
            slots.insert(name.to_owned(), UNSETTLED);
            write(database, name, UNSETTLED).map_err(internal)?;
        }
        SlotChange::Drop(name) => {
            slots.remove(name).ok_or_else(|| undefined(name))?;
            let sql = "DELETE FROM _bellwether_slot WHERE name = ?1";
            let mut line = Prepared::internal(database, sql).map_err(internal)?;
            line.bind(1, ValueRef::Text(name.as_bytes())).map_err(internal)?;
            line.run().map_err(internal)?;
        }
        SlotChange::Advance(name, position) => {
            let confirmed = slots.get_mut(name).ok_or_else(|| undefined(name))?;
            // Told twice, or late by another reader.
            if position.index <= confirmed.index {
                return Ok(());
            }
            *confirmed = position;
            write(database, name, position).map_err(internal)?;
        }
    }
    hook.capture().set_slots(slots);
    Ok(())
}

/// As [`change`], where it has been done before: at the leader.
pub(crate) fn apply(database: &Database, hook: &Hook, text: &str) -> Result<(), SqliteError> {
    change(database, hook, text).map_err(|error| SqliteError {
        code: ffi::SQLITE_ERROR,
        message: error.message,
        offset: None,
    })
}

fn write(database: &Database, name: &str, position: Position) -> Result<(), SqliteError> {
    database.execute(
        "CREATE TABLE IF NOT EXISTS _bellwether_slot(
            name TEXT PRIMARY KEY, term INTEGER NOT NULL, log_index INTEGER NOT NULL) WITHOUT ROWID",
    )?;
    let sql = "INSERT OR REPLACE INTO _bellwether_slot VALUES (?1, ?2, ?3)";
    let mut line = Prepared::internal(database, sql)?;
    let index = match position {
        UNSETTLED => PENDING,
        position => position.index.0.cast_signed(),
    };
    line.bind(1, ValueRef::Text(name.as_bytes()))?;
    line.bind(2, ValueRef::Integer(position.term.0.cast_signed()))?;
    line.bind(3, ValueRef::Integer(index))?;
    line.run()
}

/// All of them, as of the last record committed.
pub(crate) fn read(database: &Database) -> Result<Slots, SqliteError> {
    let sql = "SELECT 1 FROM main.sqlite_schema WHERE name = '_bellwether_slot'";
    if !Prepared::internal(database, sql)?.step()? {
        return Ok(Slots::new());
    }
    let mut lines = Prepared::internal(database, "SELECT name, term, log_index FROM _bellwether_slot")?;
    let mut slots = Slots::new();
    while lines.step()? {
        let position = Position::new(lines.integer(1).cast_unsigned(), lines.integer(2).cast_unsigned());
        slots.insert(lines.string(0).unwrap_or_default().to_owned(), position);
    }
    Ok(slots)
}

/// The group's record stands there: the slots that it makes begin after it.
pub(crate) fn settle(database: &Database, hook: &Hook, position: Position) -> Result<(), SqliteError> {
    let mut slots = Slots::clone(hook.capture().slots());
    let mut has_new = false;
    for (name, confirmed) in &mut slots {
        if *confirmed == UNSETTLED {
            *confirmed = position;
            write(database, name, position)?;
            has_new = true;
        }
    }
    if has_new {
        hook.capture().set_slots(slots);
    }
    Ok(())
}
