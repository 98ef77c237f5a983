//! `pg_trigger`, and what a trigger's text tells.

use bellwether_types::extension::{RowKey, View};
use bellwether_types::schema::{Relation, Trigger};
use bellwether_types::{Schema, Value, lexer};

use super::Definition;
use super::value::{number, oid, text};

pub(super) const TRIGGER: Definition = Definition::of_schema(rows, value, &["oid", "tgrelid"]);

/// Bits of `tgtype`.
const ROW: i64 = 1;
const BEFORE: i64 = 1 << 1;
const INSERT: i64 = 1 << 2;
const DELETE: i64 = 1 << 3;
const UPDATE: i64 = 1 << 4;
const INSTEAD: i64 = 1 << 6;

/// When a trigger fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Firing {
    /// BEFORE, AFTER, INSTEAD OF.
    pub(super) timing: &'static str,
    /// INSERT, UPDATE, DELETE.
    pub(super) event: &'static str,
}

/// From CREATE TRIGGER's text: the timing stands before the event, and that before ON.
pub(super) fn firing(sql: &str) -> Firing {
    let mut firing = Firing {
        timing: "BEFORE",
        event: "",
    };
    for token in lexer::significant(sql) {
        if token.is_word("ON") || token.is_word("BEGIN") {
            break;
        }
        if token.is_word("AFTER") {
            firing.timing = "AFTER";
        } else if token.is_word("INSTEAD") {
            firing.timing = "INSTEAD OF";
        }
        if let Some(event) = ["INSERT", "UPDATE", "DELETE"]
            .into_iter()
            .find(|event| token.is_word(event))
        {
            firing.event = event;
        }
    }
    firing
}

/// Keys of all triggers: relation, place.
pub(super) fn rows(schema: &Schema) -> Vec<RowKey> {
    let of = |(relation, at): (&Relation, u32)| {
        (0..relation.triggers.len() as u32).map(move |place| RowKey([at, place, 0]))
    };
    schema.relations().iter().zip(0..).flat_map(of).collect()
}

/// Behind a key.
pub(super) fn trigger_of(schema: &Schema, row: RowKey) -> (&Relation, &Trigger) {
    let relation = &schema.relations()[row.0[0] as usize];
    (relation, &relation.triggers[row.0[1] as usize])
}

fn value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let (relation, trigger) = trigger_of(view.schema, row);
    Some(match column {
        "oid" => oid(trigger.id),
        "tgrelid" => oid(relation.id),
        "tgname" => text(trigger.name.as_str()),
        "tgtype" => {
            let firing = firing(&trigger.sql);
            let timing = match firing.timing {
                "BEFORE" => BEFORE,
                "INSTEAD OF" => INSTEAD,
                _ => 0,
            };
            let event = match firing.event {
                "INSERT" => INSERT,
                "DELETE" => DELETE,
                _ => UPDATE,
            };
            number(ROW | timing | event)
        }
        "tgenabled" => text("O"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_triggers_text_tells_when_it_fires() {
        for (sql, timing, event) in [
            (
                "CREATE TRIGGER g AFTER UPDATE OF a ON t BEGIN SELECT 1; END",
                "AFTER",
                "UPDATE",
            ),
            (
                "create trigger \"after\" delete on t begin select 1; end",
                "BEFORE",
                "DELETE",
            ),
            (
                "CREATE TRIGGER g INSTEAD OF INSERT ON v BEGIN SELECT 1; END",
                "INSTEAD OF",
                "INSERT",
            ),
        ] {
            assert_eq!(firing(sql), Firing { timing, event }, "{sql}");
        }
    }
}
