//! Roles, passwords and rights: at the leader and at a follower, by real clients.

mod support;

use std::process::Command;

use bellwether_types::NodeId;
use support::cluster::{Cluster, DATABASE};
use support::programs::{complaint, postgresql_program, stdout};
use support::{execute, refusal, run, sqlstate, until};
use tokio_postgres::{Client, Config, NoTls};

/// The superuser is trusted, all others need a password.
const RULES: &str = "host all postgres all trust\nhost all mallory all reject\nhost postgres all 127.0.0.1/32 scram-sha-256\n";

/// A cluster with these rules, and the directory that they are in.
fn start(nodes: u16) -> (Cluster, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let rules = dir.path().join("hba");
    std::fs::write(&rules, RULES).expect("writable");
    let cluster = Cluster::start_with(nodes, &["--hba", rules.to_str().expect("text")]);
    (cluster, dir)
}

async fn log_in(
    cluster: &Cluster,
    node: NodeId,
    user: &str,
    password: Option<&str>,
) -> Result<Client, tokio_postgres::Error> {
    log_in_to(cluster, node, user, password, DATABASE).await
}

async fn log_in_to(
    cluster: &Cluster,
    node: NodeId,
    user: &str,
    password: Option<&str>,
    database: &str,
) -> Result<Client, tokio_postgres::Error> {
    let pg = cluster.pg(node);
    let mut config = Config::new();
    config
        .host(pg.ip().to_string())
        .port(pg.port())
        .user(user)
        .dbname(database);
    if let Some(password) = password {
        config.password(password);
    }
    let (client, connection) = config.connect(NoTls).await?;
    // How it ended shows at the client's next use.
    tokio::spawn(async move { connection.await.ok() });
    Ok(client)
}

/// Waits until a role that was made elsewhere can log in at a node.
async fn logged_in(cluster: &Cluster, node: NodeId, user: &str, password: &str) -> Client {
    until("a login", async || {
        log_in(cluster, node, user, Some(password)).await.ok()
    })
    .await
}

#[test]
fn a_role_made_at_a_follower_logs_in_at_every_node_with_its_password_only() {
    run(async {
        let (cluster, _dir) = start(3);
        let follower = cluster.followers()[0];
        let root = cluster.connect(follower).await.expect("trusted");
        execute(&root, "CREATE USER ada PASSWORD 'pencil'").await;
        // At once where it was made.
        log_in(&cluster, follower, "ada", Some("pencil"))
            .await
            .expect("made here");
        for node in cluster.ids() {
            logged_in(&cluster, node, "ada", "pencil").await;
            let wrong = refusal(log_in(&cluster, node, "ada", Some("Pencil")).await);
            assert_eq!(wrong.0, "28P01");
            let unknown = refusal(log_in(&cluster, node, "nobody", Some("pencil")).await);
            assert_eq!(unknown, ("28P01".to_owned(), wrong.1.replace("ada", "nobody")));
            let rejected = refusal(log_in(&cluster, node, "mallory", Some("x")).await);
            assert!(
                rejected.0 == "28000" && rejected.1.contains("rejects"),
                "{rejected:?}"
            );
            let elsewhere = refusal(log_in_to(&cluster, node, "ada", Some("pencil"), "bellwether").await);
            assert!(
                elsewhere.0 == "28000" && elsewhere.1.contains("no pg_hba entry"),
                "{elsewhere:?}"
            );
        }
        execute(&root, "ALTER ROLE ada PASSWORD 'crayon'").await;
        assert_eq!(
            sqlstate(log_in(&cluster, follower, "ada", Some("pencil")).await),
            "28P01"
        );
        log_in(&cluster, follower, "ada", Some("crayon"))
            .await
            .expect("the new one");
        execute(&root, "ALTER ROLE ada VALID UNTIL '2001-01-01'").await;
        assert_eq!(
            sqlstate(log_in(&cluster, follower, "ada", Some("crayon")).await),
            "28P01"
        );
        execute(&root, "ALTER ROLE ada VALID UNTIL 'infinity' NOLOGIN").await;
        let refused = refusal(log_in(&cluster, follower, "ada", Some("crayon")).await);
        assert!(
            refused.0 == "28000" && refused.1.contains("not permitted to log in"),
            "{refused:?}"
        );
    });
}

#[test]
fn a_password_in_clear_is_neither_in_the_data_nor_in_the_log() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let rules = dir.path().join("hba");
        std::fs::write(&rules, RULES).expect("writable");
        let options = ["--hba", rules.to_str().expect("text"), "--log-level", "trace"];
        let mut cluster = Cluster::start_with(1, &options);
        let root = cluster.connect(NodeId(1)).await.expect("trusted");
        execute(&root, "CREATE USER ada PASSWORD 'unmistakable-1'").await;
        let prepared = root
            .execute("ALTER USER ada PASSWORD 'unmistakable-2'", &[])
            .await;
        prepared.expect("by the extended protocol, too");
        root.batch_execute("CREATE USER ada PASSWORD 'unmistakable-3'")
            .await
            .expect_err("she exists");
        log_in(&cluster, NodeId(1), "ada", Some("unmistakable-2"))
            .await
            .expect("it is hers");
        drop(root);
        cluster.stop(NodeId(1));
        let found = Command::new("grep")
            .args(["-rlF", "unmistakable"])
            .arg(cluster.data_dir(NodeId(1)))
            .arg(cluster.log_path(NodeId(1)))
            .output()
            .expect("grep is everywhere");
        assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    });
}

#[test]
fn a_role_may_do_what_it_was_granted_at_the_leader_and_at_a_follower() {
    run(async {
        let (cluster, _dir) = start(3);
        let root = cluster.connect_to_leader().await;
        execute(
            &root,
            "CREATE TABLE t (a INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)",
        )
        .await;
        execute(&root, "CREATE USER nothing PASSWORD 'x'; CREATE USER reader PASSWORD 'x'; CREATE USER writer PASSWORD 'x'").await;
        execute(
            &root,
            "GRANT pg_read_all_data TO reader; GRANT pg_write_all_data TO writer",
        )
        .await;
        for node in cluster.ids() {
            let nothing = logged_in(&cluster, node, "nothing", "x").await;
            execute(
                &nothing,
                "SELECT 1; SET statement_timeout = 0; SHOW statement_timeout",
            )
            .await;
            for sql in [
                "SELECT * FROM t",
                "INSERT INTO t VALUES (9)",
                "SELECT 1 IN t",
                "COPY t TO STDOUT",
            ] {
                assert_eq!(sqlstate(nothing.batch_execute(sql).await), "42501", "{sql}");
            }
            assert_eq!(sqlstate(nothing.prepare("SELECT * FROM t").await), "42501");
            let reader = logged_in(&cluster, node, "reader", "x").await;
            until("the grant", async || {
                reader.batch_execute("SELECT * FROM t").await.ok()
            })
            .await;
            for sql in [
                "INSERT INTO t VALUES (9)",
                "BEGIN; UPDATE t SET a = 2; COMMIT",
                "WITH x AS (SELECT 1) DELETE FROM t",
                "CREATE TABLE u (a)",
                "PRAGMA user_version = 7",
                "VACUUM",
                "CREATE ROLE other",
                "GRANT pg_write_all_data TO reader",
            ] {
                assert_eq!(sqlstate(reader.batch_execute(sql).await), "42501", "{sql}");
                reader.batch_execute("ROLLBACK").await.expect("always taken");
            }
            let writer = logged_in(&cluster, node, "writer", "x").await;
            until("the grant", async || {
                writer.batch_execute("UPDATE t SET a = 1").await.ok()
            })
            .await;
            let refused = log_in_to(&cluster, node, "writer", Some("x"), "bellwether").await;
            assert_eq!(sqlstate(refused), "28000");
            assert_eq!(sqlstate(writer.batch_execute("DROP ROLE reader").await), "42501");
            execute(&writer, "ALTER ROLE writer PASSWORD 'x'").await;
        }
        // An open session hears of it.
        let reader = log_in(&cluster, cluster.followers()[0], "reader", Some("x"))
            .await
            .expect("known");
        execute(&root, "REVOKE pg_read_all_data FROM reader").await;
        until("the revocation", async || {
            reader.batch_execute("SELECT * FROM t").await.err()
        })
        .await;
    });
}

#[test]
fn sessions_of_a_role_that_is_dropped_or_locked_end() {
    run(async {
        let (cluster, _dir) = start(3);
        let root = cluster.connect_to_leader().await;
        execute(
            &root,
            "CREATE USER ada PASSWORD 'x'; CREATE USER bob PASSWORD 'x'",
        )
        .await;
        execute(&root, "GRANT pg_read_all_data TO bob").await;
        let follower = cluster.followers()[0];
        let ada = logged_in(&cluster, follower, "ada", "x").await;
        let bob = logged_in(&cluster, follower, "bob", "x").await;
        let endless =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let running =
            tokio::spawn(async move { bob.batch_execute(endless).await.expect_err("it has no end") });
        execute(&root, "DROP ROLE ada; ALTER ROLE bob NOLOGIN").await;
        until("the end of the session", async || ada.is_closed().then_some(())).await;
        running.await.expect("it ends with its role");
        assert_eq!(
            sqlstate(log_in(&cluster, follower, "ada", Some("x")).await),
            "28P01"
        );
    });
}

#[test]
fn limits_settings_and_databases_of_a_role_hold() {
    run(async {
        let (cluster, _dir) = start(1);
        let node = NodeId(1);
        let root = cluster.connect(node).await.expect("trusted");
        execute(&root, "CREATE USER ada PASSWORD 'x' CONNECTION LIMIT 1").await;
        execute(&root, "ALTER ROLE ada SET statement_timeout = '7s'").await;
        assert_eq!(
            sqlstate(
                root.batch_execute("ALTER ROLE ada SET statement_timeout = 'soon'")
                    .await
            ),
            "22023"
        );
        let ada = log_in(&cluster, node, "ada", Some("x")).await.expect("the first");
        let shown = ada
            .query_one("SHOW statement_timeout", &[])
            .await
            .expect("a setting");
        assert_eq!(shown.get::<_, &str>(0), "7s");
        let shown = ada.query_one("SHOW is_superuser", &[]).await.expect("a setting");
        assert_eq!(shown.get::<_, &str>(0), "off");
        assert_eq!(sqlstate(log_in(&cluster, node, "ada", Some("x")).await), "53300");
        drop(ada);
        until("the place", async || {
            log_in(&cluster, node, "ada", Some("x")).await.ok()
        })
        .await;
        execute(
            &root,
            "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; CREATE USER bob PASSWORD 'x'",
        )
        .await;
        assert_eq!(sqlstate(log_in(&cluster, node, "bob", Some("x")).await), "42501");
        execute(&root, "GRANT CONNECT ON DATABASE postgres TO bob").await;
        log_in(&cluster, node, "bob", Some("x")).await.expect("granted");
    });
}

#[test]
fn what_would_lock_everybody_out_or_is_not_there_is_refused() {
    run(async {
        let (cluster, _dir) = start(1);
        let root = cluster.connect(NodeId(1)).await.expect("trusted");
        for (sql, code) in [
            ("ALTER ROLE postgres NOLOGIN", "23000"),
            ("ALTER ROLE postgres NOSUPERUSER", "23000"),
            ("DROP ROLE postgres", "55006"),
            ("DROP ROLE nobody", "42704"),
            ("ALTER ROLE nobody LOGIN", "42704"),
            ("GRANT pg_monitor TO nobody", "42704"),
            ("CREATE ROLE postgres", "42710"),
            ("CREATE ROLE ada PASSWORD ''", "22023"),
            (
                "CREATE ROLE ada PASSWORD 'md5a3556571e93b0d20722ba62be61e8c2d'",
                "0A000",
            ),
            ("GRANT CONNECT ON DATABASE nowhere TO postgres", "3D000"),
            ("GRANT CONNECT ON DATABASE bellwether TO PUBLIC", "0A000"),
            ("BEGIN; CREATE ROLE ada", "25P01"),
        ] {
            assert_eq!(sqlstate(root.batch_execute(sql).await), code, "{sql}");
            execute(&root, "ROLLBACK").await;
        }
        execute(
            &root,
            "DROP ROLE IF EXISTS nobody; CREATE ROLE ada SUPERUSER LOGIN; ALTER ROLE postgres NOSUPERUSER",
        )
        .await;
        let refused = sqlstate(root.batch_execute("ALTER ROLE postgres SUPERUSER").await);
        assert_eq!(refused, "42501", "a superuser no more");
    });
}

#[test]
fn whoever_guesses_is_slowed_down() {
    run(async {
        let (cluster, _dir) = start(1);
        let node = NodeId(1);
        let root = cluster.connect(node).await.expect("trusted");
        execute(
            &root,
            "CREATE USER ada PASSWORD 'x'; CREATE USER bob PASSWORD 'x'",
        )
        .await;
        for _ in 0..4 {
            assert_eq!(
                sqlstate(log_in(&cluster, node, "ada", Some("guess")).await),
                "28P01"
            );
        }
        let started = std::time::Instant::now();
        log_in(&cluster, node, "ada", Some("x"))
            .await
            .expect("in the end");
        assert!(
            started.elapsed() >= std::time::Duration::from_millis(400),
            "{:?}",
            started.elapsed()
        );
        // A line of guesses is refused instead of growing.
        let guesses = (0..40).map(|_| log_in(&cluster, node, "ada", Some("guess")));
        let ends: Vec<_> = futures_util::future::join_all(guesses)
            .await
            .into_iter()
            .map(sqlstate)
            .collect();
        assert!(ends.iter().any(|code| code == "28000"), "{ends:?}");
        // The failures so far are forgiven by none, and yet bob gets in.
        log_in(&cluster, node, "bob", Some("x"))
            .await
            .expect("with patience");
    });
}

#[test]
fn the_shell_takes_its_password_from_the_environment() {
    run(async {
        let (cluster, _dir) = start(1);
        let node = NodeId(1);
        let root = cluster.connect(node).await.expect("trusted");
        execute(&root, "CREATE USER ada PASSWORD 'pencil'").await;
        let ask = |password: &str| {
            let mut sql = support::bellwether();
            sql.args(["sql", "--user", "ada", "-c", "SELECT current_user", "--pg-port"]);
            sql.arg(cluster.pg(node).port().to_string())
                .env("PGPASSWORD", password);
            sql
        };
        assert!(stdout(&mut ask("pencil")).contains("ada"));
        let said = complaint(&mut ask("crayon"));
        assert!(said.contains("password authentication failed"), "{said}");
    });
}

#[test]
fn psql_logs_in_with_its_password_at_every_node() {
    run(async {
        let (cluster, _dir) = start(3);
        let root = cluster.connect_to_leader().await;
        execute(&root, "CREATE USER ada PASSWORD 'pencil'").await;
        for node in cluster.ids() {
            logged_in(&cluster, node, "ada", "pencil").await;
            let ask = |password: &str| {
                let mut psql = postgresql_program("psql", cluster.pg(node))?;
                psql.args(["-XAtwc", "SELECT current_user"]);
                psql.env("PGUSER", "ada").env("PGPASSWORD", password);
                Some(psql)
            };
            let Some(mut right) = ask("pencil") else { return };
            assert_eq!(stdout(&mut right), "ada\n");
            let said = complaint(&mut ask("crayon").expect("just seen"));
            assert!(
                said.contains("password authentication failed for user \"ada\""),
                "{said}"
            );
        }
    });
}

#[test]
fn the_catalog_tells_of_roles_and_rights_at_every_node() {
    run(async {
        let (cluster, _dir) = start(3);
        let root = cluster.connect_to_follower().await;
        for sql in [
            "CREATE USER reader PASSWORD 'pencil' CONNECTION LIMIT 7 VALID UNTIL '2100-01-01 00:00:00+00'",
            "GRANT pg_read_all_data TO reader",
            "ALTER ROLE reader SET statement_timeout = '5s'",
            "CREATE ROLE nobody",
            "CREATE TABLE shown (id INTEGER PRIMARY KEY)",
        ] {
            execute(&root, sql).await;
        }
        for node in cluster.ids() {
            let reader = logged_in(&cluster, node, "reader", "pencil").await;
            let one = async |sql: &str| -> String { reader.query_one(sql, &[]).await.expect(sql).get(0) };
            let described = "SELECT rolsuper || ' ' || rolcanlogin || ' ' || rolconnlimit || ' ' || rolconfig \
                             FROM pg_roles WHERE rolname = current_user";
            until("the settings are known", async || {
                (one(described).await == "0 1 7 {\"statement_timeout=5s\"}").then_some(())
            })
            .await;
            let member = "SELECT g.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid \
                          JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = 'reader'";
            assert_eq!(one(member).await, "pg_read_all_data");
            let names = "SELECT group_concat(usename, ' ') FROM (SELECT usename FROM pg_user ORDER BY 1)";
            assert_eq!(one(names).await, "postgres reader");
            for (asked, expected) in [
                ("has_table_privilege('shown', 'SELECT')", true),
                ("has_table_privilege('shown', 'INSERT')", false),
                ("has_table_privilege('postgres', 'shown', 'INSERT')", true),
                ("has_table_privilege('nobody', 'shown', 'SELECT')", false),
                ("pg_has_role('pg_read_all_data', 'MEMBER')", true),
                ("pg_has_role('pg_write_all_data', 'MEMBER')", false),
            ] {
                let row = reader
                    .query_one(&format!("SELECT {asked}"), &[])
                    .await
                    .expect(asked);
                assert_eq!(row.get::<_, bool>(0), expected, "{asked}");
            }
            let Some(mut psql) = postgresql_program("psql", cluster.pg(node)) else {
                continue;
            };
            let listed = stdout(psql.args(["-U", "postgres", "-d", DATABASE, "-At", "-c", "\\du"]));
            for line in [
                "postgres|Superuser, Create role, Create DB, Bypass RLS|{}",
                "nobody|Cannot login|{}",
            ] {
                assert!(listed.contains(line), "{listed}");
            }
            assert!(
                listed.contains("7 connections") && listed.contains("{pg_read_all_data}"),
                "{listed}"
            );
        }
    });
}

#[test]
fn a_role_takes_no_more_time_and_bytes_than_a_superuser_lets_it() {
    run(async {
        let (cluster, _dir) = start(3);
        let root = cluster.connect_to_leader().await;
        for sql in [
            "CREATE USER guest PASSWORD 'pencil'",
            "GRANT pg_write_all_data TO guest",
            "ALTER ROLE guest SET bellwether.result_limit = '64kB'",
            "ALTER ROLE guest SET bellwether.statement_limit = '200ms'",
            "CREATE TABLE heavy (id INTEGER PRIMARY KEY, wool TEXT)",
            "INSERT INTO heavy SELECT n, hex(zeroblob(500)) FROM generate_series(1, 100) AS g(n)",
        ] {
            execute(&root, sql).await;
        }
        for node in cluster.ids() {
            let guest = until("the limits are known", async || {
                let guest = log_in(&cluster, node, "guest", Some("pencil")).await.ok()?;
                let limit = guest
                    .query_one("SHOW bellwether.statement_limit", &[])
                    .await
                    .ok()?;
                (limit.get::<_, String>(0) == "200ms").then_some(guest)
            })
            .await;
            let code = async |sql: &str| sqlstate(guest.batch_execute(sql).await);
            assert_eq!(code("SELECT * FROM heavy").await, "54000");
            execute(&guest, "SELECT * FROM heavy LIMIT 30").await;
            let endless =
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
            assert_eq!(code(endless).await, "57014");
            assert_eq!(
                code(&format!("INSERT INTO heavy (wool) {endless}")).await,
                "57014"
            );
            // Neither is theirs to change.
            execute(&guest, "SET statement_timeout = 0").await;
            assert_eq!(code("SET bellwether.statement_limit = 0").await, "42501");
            assert_eq!(code("SET bellwether.result_limit = '1GB'").await, "42501");
            assert_eq!(
                code("ALTER ROLE guest SET bellwether.result_limit = 0").await,
                "42501"
            );
            execute(&guest, "RESET ALL").await;
            assert_eq!(code(endless).await, "57014");
        }
    });
}
