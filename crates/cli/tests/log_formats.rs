//! `bellwether.log_format`: changed while the cluster runs, for all nodes, and for the leaders to come.

mod support;

use support::cluster::Cluster;
use support::{execute, refusal, run, until};
use tokio_postgres::{Client, SimpleQueryMessage};

const FORMAT: &str = "bellwether.log_format";

async fn cluster_with_table() -> Cluster {
    let cluster = Cluster::start(3);
    let client = cluster.connect_to_leader().await;
    let create =
        "CREATE TABLE sheep (id INTEGER PRIMARY KEY, name TEXT, at TEXT DEFAULT CURRENT_TIMESTAMP, luck INT)";
    client.batch_execute(create).await.expect("a new table");
    cluster
}

async fn set_format(client: &Client, format: &str) {
    execute(
        client,
        &format!("ALTER DATABASE postgres SET {FORMAT} = '{format}'"),
    )
    .await;
}

async fn one(client: &Client, sql: &str) -> String {
    let rows = client.simple_query(sql).await.expect(sql);
    let row = rows.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    row.unwrap_or_else(|| panic!("no row of {sql}"))
}

/// How many statements the leader wrote as such.
async fn statements(leader: &Client) -> i64 {
    let sql = "SELECT as_statements FROM bellwether.statement_safety WHERE flag = 'safe'";
    one(leader, sql).await.parse().expect("a number")
}

#[test]
fn the_format_is_changed_online_shown_at_every_node_and_kept_over_a_failover() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let follower = cluster.connect_to_follower().await;
        assert_eq!(one(&follower, &format!("SHOW {FORMAT}")).await, "row");
        set_format(&follower, "statement").await;
        for node in cluster.ids() {
            let client = cluster.connect(node).await.expect("let in");
            until("every node writes statements", async || {
                let shown = one(&client, &format!("SHOW {FORMAT}")).await;
                (shown == "statement").then_some(())
            })
            .await;
        }
        let leader = cluster.wait_for_leader();
        let before = statements(&cluster.connect(leader).await.expect("let in")).await;
        execute(
            &follower,
            "INSERT INTO sheep (name, luck) VALUES ('Dolly', random()), ('Shaun', random())",
        )
        .await;
        let after = statements(&cluster.connect(leader).await.expect("let in")).await;
        assert_eq!(after, before + 1);
        cluster.assert_equal_fingerprints();
        cluster.kill(leader);
        let next = cluster.wait_for_leader_other_than(leader);
        let client = cluster.connect(next).await.expect("let in");
        execute(
            &client,
            "UPDATE sheep SET luck = random() + changes(), at = now()",
        )
        .await;
        assert!(statements(&client).await > 0, "the next leader goes on in it");
        cluster.start_node(leader);
        cluster.wait_until_ready();
        cluster.assert_equal_fingerprints();
        execute(&client, &format!("ALTER DATABASE postgres RESET {FORMAT}")).await;
        assert_eq!(one(&client, &format!("SHOW {FORMAT}")).await, "row");
    });
}

#[test]
fn what_might_differ_is_refused_in_statements_and_sent_as_rows_in_mixed() {
    run(async {
        let cluster = cluster_with_table().await;
        let client = cluster.connect_to_leader().await;
        execute(
            &client,
            "CREATE TABLE flock (name TEXT); INSERT INTO sheep (name) VALUES ('Dolly'), ('Shaun')",
        )
        .await;
        set_format(&client, "statement").await;
        let copy = "INSERT INTO flock SELECT name FROM sheep";
        let error = client.batch_execute(copy).await.expect_err("unsafe");
        let error = error.as_db_error().expect("of the server");
        assert_eq!(error.code().code(), "0A000");
        assert!(
            error
                .detail()
                .is_some_and(|detail| detail.starts_with("scan_order_rowids: ")),
            "{error:?}"
        );
        assert!(
            error.hint().is_some_and(|hint| hint.contains("'mixed'")),
            "{error:?}"
        );
        assert_eq!(one(&client, "SELECT count(*) FROM flock").await, "0");
        set_format(&client, "mixed").await;
        execute(&client, copy).await;
        assert_eq!(one(&client, "SELECT count(*) FROM flock").await, "2");
        let counted = "SELECT as_rows || ' ' || refused FROM bellwether.statement_safety WHERE flag = 'scan_order_rowids'";
        assert_eq!(one(&client, counted).await, "1 1");
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn what_a_session_is_goes_with_its_statements_and_what_only_a_node_knows_does_not() {
    run(async {
        let cluster = cluster_with_table().await;
        let client = cluster.connect_to_follower().await;
        execute(&client, "CREATE TABLE told (a, b, c, d)").await;
        set_format(&client, "statement").await;
        execute(&client, "SET application_name = 'flock'").await;
        let sql = "INSERT INTO told VALUES (current_user, pg_backend_pid(), current_setting('application_name'), \
                   inet_client_port())";
        execute(&client, sql).await;
        let leader = cluster.connect_to_leader().await;
        assert!(statements(&leader).await > 0);
        assert_eq!(
            one(&leader, "SELECT a || ' ' || c FROM told").await,
            "postgres flock"
        );
        cluster.assert_equal_fingerprints();
        for function in [
            "has_table_privilege('told', 'select')",
            "pg_get_userbyid(10)",
            "version()",
        ] {
            let sql = format!("INSERT INTO told (a) VALUES ({function})");
            let error = client.batch_execute(&sql).await.expect_err("unsafe");
            let error = error.as_db_error().expect("of the server");
            let detail = error.detail().unwrap_or_default();
            assert!(detail.starts_with("node_function: "), "{function}: {error:?}");
        }
    });
}

#[test]
fn the_format_is_for_superusers_and_a_databases() {
    run(async {
        let cluster = cluster_with_table().await;
        let client = cluster.connect_to_leader().await;
        for (sql, expected) in [
            (format!("ALTER DATABASE postgres SET {FORMAT} = 'morse'"), "22023"),
            (format!("ALTER DATABASE nowhere SET {FORMAT} = 'mixed'"), "3D000"),
            (format!("ALTER SYSTEM SET {FORMAT} = 'mixed'"), "55P02"),
            (format!("SET {FORMAT} = 'mixed'"), "55P02"),
            ("PRAGMA bellwether_log_format = mixed".to_owned(), "42501"),
        ] {
            let (code, message) = refusal(client.batch_execute(&sql).await);
            assert_eq!(code, expected, "{sql}: {message}");
        }
        assert_eq!(one(&client, &format!("SHOW {FORMAT}")).await, "row");
    });
}

/// One of the traps that others' statement replication fell into: see `storage`'s tests for the rest.
#[test]
fn trap_7_the_zone_that_a_node_is_started_in() {
    run(async {
        let mut cluster = Cluster::prepare(3);
        for (node, zone) in cluster
            .ids()
            .into_iter()
            .zip(["America/New_York", "Asia/Tokyo", "UTC"])
        {
            cluster.start_node_in(node, &[("TZ", zone)]);
        }
        cluster.wait_until_ready();
        let client = cluster.connect_to_leader().await;
        execute(&client, "CREATE TABLE t (a, b)").await;
        set_format(&client, "statement").await;
        execute(
            &client,
            "INSERT INTO t VALUES (datetime('now', 'localtime'), datetime('now'))",
        )
        .await;
        assert_eq!(one(&client, "SELECT a = b FROM t").await, "t");
        assert!(statements(&client).await > 0);
        cluster.assert_equal_fingerprints();
    });
}
