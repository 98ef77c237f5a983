//! Settings, and what is known of sessions: the one that asks.

use bellwether_session::Settings;
use bellwether_types::extension::{RowKey, View};
use bellwether_types::{ClusterId, Facts, Value};

use super::Definition;
use super::role::{DATABASE_ID, role_id};
use super::value::{flag, number, oid, or_null, text, timestamp};

pub(super) const SETTINGS: Definition = Definition::of_session(
    |view| {
        (0..settings(view.facts).len() as u32)
            .map(|at| RowKey([at, 0, 0]))
            .collect()
    },
    setting_value,
);
pub(super) const ACTIVITY: Definition = Definition::of_session(|_| vec![RowKey::default()], activity_value);
pub(super) const TIME_ZONES: Definition =
    Definition::of_schema(|_| vec![RowKey::default()], time_zone_value, &[]);

/// A cluster stands in a token, which is not shown here.
const NO_CLUSTER: ClusterId = ClusterId(0);

/// Name, value, description, and whether the value is a fresh session's.
pub(super) fn settings(facts: &Facts) -> Vec<(String, String, String, bool)> {
    let fresh = Settings::new(NO_CLUSTER, &facts.user).show_all();
    let row = |(name, value, description): (String, String, String)| {
        let changed = facts.settings.get(&name.to_ascii_lowercase());
        let is_fresh = changed.is_none();
        (name, changed.cloned().unwrap_or(value), description, is_fresh)
    };
    fresh.into_iter().map(row).collect()
}

/// The value of one.
pub(super) fn setting(facts: &Facts, name: &str) -> Option<String> {
    if let Some(value) = facts.settings.get(&name.to_ascii_lowercase()) {
        return Some(value.clone());
    }
    let fresh = Settings::new(NO_CLUSTER, &facts.user);
    fresh.show(name).ok().map(|(_, value)| value)
}

fn setting_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let (name, value, description, is_fresh) = settings(view.facts).into_iter().nth(row.0[0] as usize)?;
    Some(match column {
        "name" => text(name),
        "setting" => text(value),
        "category" => text("Bellwether"),
        "short_desc" => text(description),
        "context" => text("user"),
        "vartype" => text("string"),
        "source" => text(if is_fresh { "default" } else { "session" }),
        "boot_val" | "reset_val" => {
            let fresh = Settings::new(NO_CLUSTER, &view.facts.user);
            or_null(fresh.show(&name).ok().map(|(_, value)| text(value)))
        }
        "pending_restart" => flag(false),
        _ => return None,
    })
}

fn activity_value(view: &View<'_>, _: RowKey, column: &str) -> Option<Value> {
    let facts = view.facts;
    Some(match column {
        "datid" => number(DATABASE_ID),
        "datname" => text(facts.database.as_str()),
        "pid" => number(facts.backend_pid),
        "usesysid" => or_null(role_id(facts, &facts.user).map(oid)),
        "usename" => text(facts.user.as_str()),
        "application_name" => text(setting(facts, "application_name").unwrap_or_default()),
        "client_addr" => or_null(facts.client.as_ref().map(|client| text(client.address.as_str()))),
        "client_port" => or_null(facts.client.as_ref().map(|client| number(client.port))),
        "backend_start" => timestamp(facts.session_started_at_us),
        "state" => text("active"),
        "backend_type" => text("client backend"),
        _ => return None,
    })
}

fn time_zone_value(_: &View<'_>, _: RowKey, column: &str) -> Option<Value> {
    Some(match column {
        "name" | "abbrev" => text("UTC"),
        "utc_offset" => text("00:00:00"),
        "is_dst" => flag(false),
        _ => return None,
    })
}
