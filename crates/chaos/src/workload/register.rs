//! Rows that are read, written, and compared and set, each by one statement.

use super::Shared;
use crate::history::Operation;
use crate::random::Random;
use crate::session::{Session, Trouble};

/// Registers in use at a time: few, so that clients meet.
const KEYS: i64 = 4;

/// After so many values others take their place, so that reads of nothing are tried too.
const VALUES_OF_KEYS: i64 = 300;

pub(super) fn tables() -> Vec<String> {
    vec!["CREATE TABLE registers (key INTEGER PRIMARY KEY, value INTEGER NOT NULL)".to_owned()]
}

pub(super) fn draw(random: &mut Random, shared: &Shared, seen: Option<(i64, i64)>) -> Operation {
    let age = shared.last_value() / VALUES_OF_KEYS;
    let key = age * KEYS + random.below(KEYS as usize) as i64;
    match (random.below(10), seen) {
        (0..4, _) => Operation::Read(key, None),
        // What was seen last is there often enough.
        (4..7, Some((key, value))) => Operation::Cas(key, (value, shared.new_value())),
        _ => Operation::Write(key, shared.new_value()),
    }
}

pub(super) async fn perform(session: &Session, operation: &Operation) -> Result<Operation, Trouble> {
    match operation {
        Operation::Read(key, _) => {
            let sql = format!("SELECT value FROM registers WHERE key = {key}");
            let values = session.execute(&sql).await?.integers(0)?;
            Ok(Operation::Read(*key, values.first().copied()))
        }
        Operation::Write(key, value) => {
            let sql = format!(
                "INSERT INTO registers VALUES ({key}, {value}) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            );
            session.execute(&sql).await?;
            Ok(operation.clone())
        }
        Operation::Cas(key, (old, new)) => {
            let sql = format!("UPDATE registers SET value = {new} WHERE key = {key} AND value = {old}");
            match session.execute(&sql).await?.count {
                0 => Err(Trouble::declined("another value is there")),
                _ => Ok(operation.clone()),
            }
        }
        _ => Err(Trouble::declined("no operation of registers")),
    }
}

pub(super) fn final_reads(shared: &Shared) -> Vec<Operation> {
    let ages = shared.last_value() / VALUES_OF_KEYS + 1;
    (0..ages * KEYS).map(|key| Operation::Read(key, None)).collect()
}
