//! Who follows whom, and how far: at the leader `pg_stat_replication` and `pg_replication_slots`, at a follower
//! `pg_stat_wal_receiver`. A slot is what the leader knows of a member; there are no others.

use bellwether_types::extension::{RowKey, View};
use bellwether_types::replication::StandbyFacts;
use bellwether_types::standby::standby_name;
use bellwether_types::{NodeId, Position, Value};

use super::role::{DATABASE_ID, role_id};
use super::value::{count, flag, interval, number, oid, or_null, text, timestamp};
use super::{Definition, OWNER_NAME};

pub(super) const STANDBYS: Definition = Definition::of_session(standby_rows, standby_value);
pub(super) const SLOTS: Definition = Definition::of_session(standby_rows, slot_value);
pub(super) const RECEIVER: Definition = Definition::of_session(
    |view| {
        let upstream = view.facts.replication.upstream.iter();
        upstream.map(|_| RowKey::default()).collect()
    },
    receiver_value,
);

/// `bellwether.statement_safety`.
pub(super) const STATEMENTS: Definition = Definition::of_session(
    |view| {
        let lines = view.facts.replication.statements.len() as u32;
        (0..lines).map(|at| RowKey([at, 0, 0])).collect()
    },
    statements_value,
);

fn statements_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let line = view.facts.replication.statements.get(row.0[0] as usize)?;
    let statements = |count: u64| number(i64::try_from(count).unwrap_or(i64::MAX));
    Some(match column {
        "flag" => text(line.flag),
        "reason" => text(line.reason),
        "as_statements" => statements(line.as_statements),
        "as_rows" => statements(line.as_rows),
        "refused" => statements(line.refused),
        _ => return None,
    })
}

fn standby_rows(view: &View<'_>) -> Vec<RowKey> {
    let standbys = view.facts.replication.standbys.len() as u32;
    (0..standbys).map(|at| RowKey([at, 0, 0])).collect()
}

fn standby<'a>(view: &'a View<'_>, row: RowKey) -> Option<&'a StandbyFacts> {
    view.facts.replication.standbys.get(row.0[0] as usize)
}

fn lsn(position: Position) -> Value {
    text(position.to_string())
}

/// Nodes have no process here: their numbers stand for it.
fn process(node: NodeId) -> Value {
    number(i64::try_from(node.0).unwrap_or(i64::MAX))
}

fn standby_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let standby = standby(view, row)?;
    Some(match column {
        "pid" => process(standby.node),
        "usesysid" => or_null(role_id(view.facts, OWNER_NAME).map(oid)),
        "usename" => text(OWNER_NAME),
        "application_name" => text(standby_name(standby.node)),
        "client_addr" => or_null(standby.address.clone().map(text)),
        "state" => text(standby.state),
        "sent_lsn" => lsn(standby.sent),
        "write_lsn" => lsn(standby.written),
        "flush_lsn" => lsn(standby.flushed),
        "replay_lsn" => lsn(standby.replayed),
        "write_lag" => or_null(standby.lags[0].map(interval)),
        "flush_lag" => or_null(standby.lags[1].map(interval)),
        "replay_lag" => or_null(standby.lags[2].map(interval)),
        "reply_time" => or_null(standby.heard_ms.map(|ms| timestamp(ms.cast_signed() * 1_000))),
        "sync_priority" => count(standby.priority),
        "sync_state" => text(standby.sync_state.name()),
        "sync_degraded" => flag(standby.is_degraded),
        _ => return None,
    })
}

fn slot_value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    let standby = standby(view, row)?;
    Some(match column {
        "slot_name" => text(standby_name(standby.node)),
        "slot_type" => text("physical"),
        "datoid" => number(DATABASE_ID),
        "database" => text(view.facts.database.as_str()),
        "temporary" | "two_phase" => flag(false),
        "active" => flag(standby.is_there),
        "active_pid" if standby.is_there => process(standby.node),
        "restart_lsn" => lsn(standby.flushed),
        "wal_status" => text(if standby.is_kept { "reserved" } else { "lost" }),
        _ => return None,
    })
}

fn receiver_value(view: &View<'_>, _: RowKey, column: &str) -> Option<Value> {
    let upstream = view.facts.replication.upstream.as_ref()?;
    let term = |position: Position| number(i64::try_from(position.term.0).unwrap_or(i64::MAX));
    Some(match column {
        "pid" => process(upstream.node),
        "status" => text("streaming"),
        "written_lsn" => lsn(upstream.written),
        "flushed_lsn" => lsn(upstream.flushed),
        "received_tli" => term(upstream.flushed),
        "latest_end_lsn" => lsn(upstream.latest_end),
        "slot_name" => text(standby_name(upstream.node)),
        "sender_host" => or_null(upstream.address.as_ref().map(|(host, _)| text(host.as_str()))),
        "sender_port" => or_null(upstream.address.as_ref().map(|(_, port)| number(*port))),
        "conninfo" => text(format!("node {}", upstream.leader)),
        _ => return None,
    })
}
