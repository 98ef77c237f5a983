//! psql and pgbench, as their users run them, at the leader and at a follower.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use bellwether_types::NodeId;
use support::cluster::Cluster;
use support::programs::{complaint, data, postgresql_program, stdout};
use support::shared::shared_cluster;

/// A table per node, so that tests can do the same at each.
fn leader_and_follower(cluster: &Cluster) -> [NodeId; 2] {
    [cluster.wait_for_leader(), cluster.followers()[0]]
}

/// Without the user's settings, without alignment, stopping at the first error.
fn psql(node: SocketAddr) -> Option<Command> {
    let mut psql = postgresql_program("psql", node)?;
    psql.args(["-X", "-At", "-q", "-v", "ON_ERROR_STOP=1"]);
    Some(psql)
}

/// What psql prints for a script given by `-c`.
#[track_caller]
fn answer(node: SocketAddr, sql: &str) -> String {
    let mut psql = psql(node).expect("looked for before");
    stdout(psql.args(["-c", sql])).trim_end().to_owned()
}

#[test]
fn psql_runs_a_script_in_sqlites_dialect_and_every_node_has_it() {
    let cluster = shared_cluster();
    for node in leader_and_follower(&cluster) {
        let Some(mut psql) = psql(cluster.pg(node)) else {
            return;
        };
        stdout(psql.arg("-f").arg(data("flock.sql")));
        cluster.assert_equal_fingerprints();
        for reader in cluster.ids() {
            let reader = cluster.pg(reader);
            assert_eq!(
                answer(
                    reader,
                    "SELECT Name, Price, [First Owner] FROM Sheep ORDER BY SheepId"
                ),
                "Dolly; the 'first'|13.86|nobody; yet\nZażółć — Shaun's \"cousin\"|0.99|nobody; yet\n|200|nobody; yet"
            );
            let mothers =
                "SELECT s.Name, count(*) FROM Lamb l JOIN Sheep s ON s.SheepId = l.MotherId GROUP BY 1";
            assert_eq!(answer(reader, mothers), "Dolly; the 'first'|4");
        }
    }
}

/// The real script of that name is not ours to ship; who has it can name it.
#[test]
fn psql_loads_the_chinook_script_as_it_is() {
    let Some(script) = std::env::var_os("CHINOOK_SQL") else {
        println!("skipped: CHINOOK_SQL does not name the Chinook script for SQLite");
        return;
    };
    let cluster = shared_cluster();
    let Some(mut psql) = psql(cluster.pg(cluster.followers()[0])) else {
        return;
    };
    stdout(psql.arg("-f").arg(&script));
    cluster.assert_equal_fingerprints();
    for reader in cluster.ids() {
        let tables = "SELECT (SELECT count(*) FROM Track), (SELECT count(*) FROM InvoiceLine), \
                      (SELECT count(*) FROM PlaylistTrack), (SELECT round(sum(Total), 2) FROM Invoice)";
        assert_eq!(answer(cluster.pg(reader), tables), "3503|2240|8715|2328.6");
    }
}

#[test]
fn psql_runs_several_statements_of_one_argument_as_one_transaction() {
    let cluster = shared_cluster();
    for node in leader_and_follower(&cluster) {
        let pg = cluster.pg(node);
        if psql(pg).is_none() {
            return;
        }
        let script =
            format!("CREATE TABLE c_{node} (id INTEGER PRIMARY KEY); INSERT INTO c_{node} VALUES (1), (2)");
        answer(pg, &script);
        let failing = format!("INSERT INTO c_{node} VALUES (3); INSERT INTO c_{node} VALUES (1)");
        let said = complaint(psql(pg).expect("looked for before").args(["-c", &failing]));
        assert!(said.contains("ERROR:"), "{said}");
        assert_eq!(
            answer(pg, &format!("SELECT group_concat(id) FROM c_{node}")),
            "1,2"
        );
    }
}

#[test]
fn psql_prepares_and_executes() {
    let cluster = shared_cluster();
    for node in leader_and_follower(&cluster) {
        let pg = cluster.pg(node);
        let Some(mut psql) = psql(pg) else { return };
        answer(
            pg,
            &format!("CREATE TABLE folded_{node} (id INTEGER PRIMARY KEY, name TEXT)"),
        );
        let script = format!(
            "PREPARE fold (int, text) AS INSERT INTO folded_{node} VALUES ($1, upper($2)) RETURNING id, name;
             EXECUTE fold(1, 'dolly'); EXECUTE fold('2', 'cot' || 'ty');
             PREPARE named AS SELECT name FROM folded_{node} WHERE id = $1 OR id = $1 + 1 ORDER BY id;
             EXECUTE named(max(1, abs(-1)));
             DEALLOCATE named"
        );
        let said = stdout(psql.args(["-qAt", "-c", &script]));
        assert_eq!(said, "1|DOLLY\n2|COTTY\nDOLLY\nCOTTY\n");
    }
}

#[test]
fn psql_points_at_the_error() {
    let cluster = shared_cluster();
    for node in leader_and_follower(&cluster) {
        // SQLite names the token that it could not take: the one after the alias FRM. The other text is translated.
        for (sql, code, token) in [
            ("SELECT 1 FRM sqlite_schema WHERE x", "42601", "sqlite_schema"),
            (
                "SELECT 'é'::text, 1::int4, nosuch FROM sqlite_schema",
                "42703",
                "nosuch",
            ),
            ("SELECT 'é'; PREPARE p AS SELECT 1 + nosuch", "42703", "nosuch"),
        ] {
            let Some(mut psql) = psql(cluster.pg(node)) else {
                return;
            };
            let said = complaint(psql.args(["-v", "VERBOSITY=verbose", "-c", sql]));
            let line = format!("LINE 1: {sql}");
            assert!(said.contains(code) && said.contains(&line), "{said}");
            let marker = said.lines().find(|line| line.trim() == "^").unwrap_or_default();
            let before = |line: &str, end: usize| line[..end].chars().count();
            let expected = line.find(token).map(|end| before(&line, end));
            assert_eq!(marker.find('^'), expected, "{said}");
        }
    }
}

#[test]
fn psql_creates_a_trigger_by_argument_and_is_told_so_when_it_cuts_one() {
    let cluster = shared_cluster();
    for node in leader_and_follower(&cluster) {
        let pg = cluster.pg(node);
        let Some(mut interactive) = psql(pg) else { return };
        answer(
            pg,
            &format!("CREATE TABLE shorn_{node} (id INTEGER PRIMARY KEY, times INTEGER DEFAULT 0)"),
        );
        answer(
            pg,
            &format!("CREATE TABLE shearings_{node} (sheep INTEGER, note TEXT)"),
        );
        let trigger = format!(
            "CREATE TRIGGER shear_{node} AFTER UPDATE ON shorn_{node} BEGIN \
             INSERT INTO shearings_{node} VALUES (new.id, 'a;b'); \
             DELETE FROM shearings_{node} WHERE note = 'never'; END"
        );
        answer(pg, &trigger);
        answer(
            pg,
            &format!("INSERT INTO shorn_{node} (id) VALUES (1), (2); UPDATE shorn_{node} SET times = 1"),
        );
        for reader in cluster.ids() {
            let token = answer(pg, "SHOW bellwether.session_token");
            let reads = format!(
                "SET bellwether.session_token = '{token}'; SET bellwether.read_consistency = strong; \
                 SELECT count(*) FROM shearings_{node} WHERE note = 'a;b'"
            );
            assert_eq!(answer(cluster.pg(reader), &reads), "2");
        }
        // From a file psql cuts at the semicolons.
        let dir = tempfile::tempdir().expect("a directory");
        let script = dir.path().join("trigger.sql");
        std::fs::write(&script, trigger.replace("TRIGGER shear_", "TRIGGER cut_") + ";\n").expect("a file");
        let said = complaint(interactive.arg("-f").arg(&script));
        assert!(said.contains("HINT") && said.contains("-c"), "{said}");
    }
}

#[test]
fn pgbench_runs_scripts_in_every_mode_at_leader_and_follower() {
    let cluster = shared_cluster();
    let leader = cluster.pg(cluster.wait_for_leader());
    let Some(_) = postgresql_program("pgbench", leader) else {
        return;
    };
    let create = "CREATE TABLE bench_accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL); \
                  CREATE TABLE bench_history (account INTEGER, delta INTEGER, at TEXT); \
                  CREATE TABLE bench_upserts (k INTEGER PRIMARY KEY, v INTEGER)";
    answer(leader, create);
    answer(
        leader,
        "INSERT INTO bench_accounts WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) \
         SELECT i, 0 FROM n",
    );
    let mut transactions = 0;
    for node in leader_and_follower(&cluster) {
        for mode in ["simple", "extended", "prepared"] {
            let clients = 4;
            run_pgbench(cluster.pg(node), mode, &data("upsert.pgbench"), clients, 25);
            run_pgbench(cluster.pg(node), mode, &data("transfer.pgbench"), clients, 25);
            run_pgbench(cluster.pg(node), mode, &data("read.pgbench"), clients, 100);
            transactions += clients * 25;
        }
    }
    let strong = "SET bellwether.read_consistency = strong; SELECT count(*), sum(delta) FROM bench_history";
    let sums = answer(leader, strong);
    let (count, delta) = sums.split_once('|').expect("two columns");
    assert_eq!(count, transactions.to_string(), "every transaction is there once");
    assert_eq!(answer(leader, "SELECT sum(balance) FROM bench_accounts"), delta);
    let upserts = answer(leader, "SELECT sum(v) FROM bench_upserts");
    assert_eq!(upserts, transactions.to_string());
    cluster.assert_equal_fingerprints();
}

/// Fails unless every transaction succeeded, tried again where it had to be.
#[track_caller]
fn run_pgbench(node: SocketAddr, mode: &str, script: &Path, clients: u32, transactions: u32) {
    let mut pgbench = postgresql_program("pgbench", node).expect("looked for before");
    pgbench.args(["-n", "-M", mode, "--max-tries=1000"]);
    pgbench.args(["-c", &clients.to_string(), "-t", &transactions.to_string()]);
    let report = stdout(pgbench.arg("-f").arg(script));
    let all = clients * transactions;
    assert!(
        report.contains(&format!("number of transactions actually processed: {all}/{all}")),
        "{mode} {script:?}: {report}"
    );
}

#[test]
fn pgbench_fills_its_own_tables_and_runs_its_own_scripts_in_every_mode() {
    let cluster = shared_cluster();
    for node in leader_and_follower(&cluster) {
        let Some(mut fill) = postgresql_program("pgbench", cluster.pg(node)) else {
            return;
        };
        // By the client, with primary keys and VACUUM; then by the server.
        let generated = if node == cluster.wait_for_leader() {
            "dtgvp"
        } else {
            "dtGvp"
        };
        stdout(fill.args(["-i", "-q", "-s", "1", "-I", generated]));
        cluster.assert_equal_fingerprints();
        for (script, mode) in [
            ("tpcb-like", "simple"),
            ("simple-update", "extended"),
            ("select-only", "prepared"),
        ] {
            let mut run = postgresql_program("pgbench", cluster.pg(node)).expect("looked for before");
            let told = stdout(run.args([
                "-n",
                "-b",
                script,
                "-M",
                mode,
                "-c",
                "4",
                "-t",
                "25",
                "--max-tries=5",
            ]));
            assert!(
                told.contains("number of transactions actually processed: 100/100"),
                "{script} {mode}: {told}"
            );
        }
        let balanced = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) - (SELECT sum(delta) FROM pgbench_history), \
                        (SELECT count(*) FROM pgbench_history)";
        assert_eq!(
            answer(
                cluster.pg(node),
                &format!("SET bellwether.read_consistency = strong; {balanced}")
            ),
            "0|200"
        );
    }
}

/// Every listing that psql 15 has, also of what there is none of.
#[test]
fn every_listing_of_psql_is_answered() {
    const LISTINGS: &str = "d dS da dA dAc dAf dAo dAp db dc dC dconfig dd ddp dD des det deu dew df dF dFd dFp dFt \
        dg di dl dL dm dn do dO dp dP drds dRp dRs ds dS dt dT du dv dE dx dX dy l lo_list z";
    let cluster = shared_cluster();
    for node in leader_and_follower(&cluster) {
        let Some(mut psql) = postgresql_program("psql", cluster.pg(node)) else {
            return;
        };
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1"]);
        for listing in LISTINGS.split_whitespace() {
            psql.arg("-c").arg(format!("\\{listing}"));
            // With details too, where psql has them; but of foreign servers and partitions they ask with functions that are
            // not there, and where there is nothing to list some count as failed.
            let has_none = ["des", "det", "deu", "dew", "dP", "dF", "dFp", "dRp", "dx", "z"];
            if !has_none.contains(&listing) {
                psql.arg("-c").arg(format!("\\{listing}+"));
            }
        }
        stdout(&mut psql);
    }
}

#[test]
fn psql_describes_what_another_session_has_just_made() {
    let cluster = shared_cluster();
    for node in leader_and_follower(&cluster) {
        if psql(cluster.pg(node)).is_none() {
            return;
        }
        let name = format!("described_{node}");
        answer(
            cluster.pg(node),
            &format!(
                "CREATE TABLE {name} (id INTEGER PRIMARY KEY, t VARCHAR(20) NOT NULL DEFAULT 'x', other INTEGER REFERENCES {name}); \
                 CREATE UNIQUE INDEX {name}_t ON {name} (t); CREATE VIEW {name}_view AS SELECT t FROM {name}"
            ),
        );
        let strong = "SET bellwether.read_consistency = strong";
        let describe = |command: &str| {
            let mut psql = postgresql_program("psql", cluster.pg(node)).expect("looked for before");
            stdout(psql.args(["-X", "-A", "-q", "-c", strong, "-c", command]))
        };
        let table = describe(&format!("\\d {name}"));
        for part in [
            "id|bigint||not null|",
            "t|character varying(20)||not null|'x'",
            &format!("\"{name}_pkey\" PRIMARY KEY, btree (id)"),
            &format!("\"{name}_t\" UNIQUE, btree (t)"),
            &format!("FOREIGN KEY (other) REFERENCES {name}(id)"),
        ] {
            assert!(table.contains(part), "{part} in {table}");
        }
        assert!(describe("\\dt").contains(&format!("public|{name}|table|postgres")));
        assert!(describe("\\dv").contains(&format!("public|{name}_view|view|postgres")));
        assert!(describe("\\di").contains(&format!("public|{name}_t|index|postgres|{name}")));
        assert!(describe("\\du").contains("postgres|Superuser"));
        assert!(describe("\\l").contains("postgres|postgres|UTF8"));
    }
}
