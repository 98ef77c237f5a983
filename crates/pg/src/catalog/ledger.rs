//! `bellwether.lost_writes`: answered transactions that are gone.

use bellwether_types::Value;
use bellwether_types::extension::{RowKey, View};

use super::Definition;
use super::value::{number, text, timestamp};

pub(super) const LOST_WRITES: Definition = Definition::of_session(
    |view| {
        let lines = view.facts.lost_writes.len() as u32;
        (0..lines).map(|at| RowKey([at, 0, 0])).collect()
    },
    value,
);

fn value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let write = view.facts.lost_writes.get(row.0[0] as usize)?;
    Some(match column {
        "database" => text(write.database.as_str()),
        "position" => text(write.position.to_string()),
        "origin" => number(i64::try_from(write.origin.0).unwrap_or(i64::MAX)),
        "time" => timestamp(
            i64::try_from(write.time_ms)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000),
        ),
        "session" => text(write.request.session.to_string()),
        "transaction_id" => text(write.request.to_string()),
        "durability" => text(write.durability.name()),
        "changes" => text(write.changes.as_str()),
        "script" => text(write.script.as_str()),
        _ => return None,
    })
}
