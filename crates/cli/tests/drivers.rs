//! Drivers and ORMs that others wrote, unmodified, at the leader and at a follower: each runs a script of its own
//! (`tests/data/drivers`), and what it asks is kept in `tests/golden`, so that a new version's new questions show.

mod support;

use std::net::SocketAddr;
use std::process::Command;

use support::programs::{data, go_with_pgx, java_with_jdbc, node_script, python_with, stdout};
use support::recorder::Recorder;
use support::shared::shared_cluster;

/// Runs a client at the leader and at a follower. It is told where to connect and what to name its tables with, and
/// says "done" when all went as it should. `command` is `None` where the client is to be left out.
#[track_caller]
fn converse(client: &str, command: impl Fn(SocketAddr, &str) -> Option<Command>) {
    let cluster = shared_cluster();
    for node in [cluster.wait_for_leader(), cluster.followers()[0]] {
        let recorder = Recorder::start(cluster.pg(node));
        let own = format!("node{node}");
        let Some(mut command) = command(recorder.address(), &own) else {
            return;
        };
        let said = stdout(&mut command);
        assert_eq!(said.lines().last(), Some("done"), "{said}");
        recorder.check(client, &own);
    }
    cluster.assert_equal_fingerprints();
}

/// A script in python.
#[track_caller]
fn converse_in_python(client: &str, modules: &str) {
    converse(client, |address, own| {
        let mut python = python_with(client, modules)?;
        python
            .arg(data(&format!("drivers/{client}_session.py")))
            .args([&address.port().to_string(), own]);
        Some(python)
    });
}

#[test]
fn psycopg_connects_prepares_queries_and_runs_transactions() {
    converse_in_python("psycopg", "psycopg");
}

#[test]
fn asyncpg_exchanges_every_type_in_binary_and_arrays() {
    converse_in_python("asyncpg", "asyncpg");
}

#[test]
fn sqlalchemy_makes_tables_reads_them_back_and_keeps_objects() {
    converse_in_python("sqlalchemy", "sqlalchemy, greenlet, psycopg, asyncpg");
}

#[test]
fn django_migrates_its_applications_and_serves_its_admin() {
    converse_in_python("django", "django, psycopg");
}

/// A script for node.
#[track_caller]
fn converse_in_javascript(client: &str, package: &str, script: &str) {
    converse(client, |address, own| {
        let mut node = node_script(package, script)?;
        node.args([&address.port().to_string(), own]);
        Some(node)
    });
}

#[test]
fn node_postgres_exchanges_values_and_pools_its_sessions() {
    converse_in_javascript("node-postgres", "pg", "pg_session.mjs");
}

#[test]
fn drizzle_makes_its_schema_reads_it_back_and_keeps_rows() {
    converse_in_javascript("drizzle", "drizzle-kit", "drizzle_session.mjs");
}

#[test]
fn pgjdbc_batches_reads_by_cursor_and_describes_the_database() {
    converse("pgjdbc", |address, own| {
        let mut java = java_with_jdbc()?;
        java.arg(data("drivers/JdbcSession.java"))
            .args([&address.port().to_string(), own]);
        Some(java)
    });
}

#[test]
fn pgx_exchanges_binary_values_batches_copies_and_listens() {
    converse("pgx", |address, own| {
        let mut pgx = go_with_pgx("drivers/pgx/session.go")?;
        pgx.args([&address.port().to_string(), own]);
        Some(pgx)
    });
}
