//! When commits are answered: `synchronous_commit`, `synchronous_standby_names`.

mod support;

use bellwether_types::NodeId;
use support::cluster::Cluster;
use support::{execute, page, refusal, run, until};
use tokio_postgres::Client;

async fn cluster_with_table() -> Cluster {
    let cluster = Cluster::start(3);
    let client = cluster.connect_to_leader().await;
    let create = "CREATE TABLE sheep (id INTEGER PRIMARY KEY, name TEXT)";
    client.batch_execute(create).await.expect("a new table");
    cluster.assert_equal_fingerprints();
    cluster
}

async fn shown(client: &Client, name: &str) -> String {
    let row = client.query_one(&format!("SHOW {name}"), &[]).await;
    row.expect("a setting").get(0)
}

async fn insert(client: &Client, id: i64) -> Result<u64, tokio_postgres::Error> {
    let sql = format!("INSERT INTO sheep VALUES ({id}, 'sheep {id}')");
    client.execute(&sql, &[]).await
}

/// SQLSTATE and detail of what must fail.
#[track_caller]
fn detailed<T>(result: Result<T, tokio_postgres::Error>) -> (String, String) {
    let error = result.err().expect("a refusal");
    let error = error.as_db_error().expect("of the server");
    let detail = error.detail().unwrap_or_default().to_owned();
    (error.code().code().to_owned(), detail)
}

async fn count(client: &Client) -> i64 {
    let row = client.query_one("SELECT count(*) FROM sheep", &[]).await;
    row.expect("a count").get(0)
}

/// Of one node's metrics.
fn metric(cluster: &Cluster, node: NodeId, name: &str) -> u64 {
    let text = page(cluster.http(node), "/metrics");
    let line = text
        .lines()
        .find(|line| line.split([' ', '{']).next() == Some(name));
    let value = line.and_then(|line| line.rsplit(' ').next());
    let value = value.and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn below_on_a_commit_is_answered_while_no_other_node_hears_of_it() {
    run(async {
        let cluster = cluster_with_table().await;
        for (id, durability) in [(1, "off"), (2, "local")] {
            cluster.wait_until_ready();
            let client = cluster.connect_to_leader().await;
            execute(&client, &format!("SET synchronous_commit = {durability}")).await;
            assert_eq!(shown(&client, "synchronous_commit").await, durability);
            let followers = cluster.followers();
            followers.iter().for_each(|node| cluster.pause(*node));
            let answered = insert(&client, id).await;
            followers.iter().for_each(|node| cluster.resume(*node));
            answered.expect(durability);
            assert_eq!(count(&client).await, id, "its own write is waited for");
        }
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn on_waits_for_the_quorum_and_who_gives_up_hears_that_nobody_knows() {
    run(async {
        let cluster = cluster_with_table().await;
        for (id, sql) in [
            (1, "INSERT INTO sheep VALUES (1, 'Dolly')"),
            (2, "BEGIN; INSERT INTO sheep VALUES (2, 'Shaun'); COMMIT"),
        ] {
            cluster.wait_until_ready();
            let client = cluster.connect_to_leader().await;
            execute(&client, "SET statement_timeout = '200ms'").await;
            let followers = cluster.followers();
            followers.iter().for_each(|node| cluster.pause(*node));
            let (code, detail) = detailed(client.batch_execute(sql).await);
            followers.iter().for_each(|node| cluster.resume(*node));
            assert_eq!(code, "40003", "{detail}");
            println!("{detail}");
            let client = cluster.connect_to_leader().await;
            // The leader's log has it, so whoever leads next commits it; or the leader has stayed one.
            until("it is there", async || (count(&client).await == id).then_some(())).await;
        }
    });
}

#[test]
fn a_rule_is_waited_for_besides_the_quorum_at_whatever_node_the_client_is() {
    run(async {
        let cluster = cluster_with_table().await;
        let leader = cluster.connect_to_leader().await;
        execute(
            &leader,
            "ALTER SYSTEM SET synchronous_standby_names = 'any 2 (*)'",
        )
        .await;
        assert_eq!(shown(&leader, "synchronous_standby_names").await, "ANY 2 (*)");
        let followers = cluster.followers();
        let other = cluster.connect(followers[1]).await.expect("let in");
        insert(&leader, 1).await.expect("all nodes have it");
        cluster.pause(followers[0]);
        for (id, client) in [(2, &leader), (3, &other)] {
            execute(client, "SET statement_timeout = '300ms'").await;
            let (code, detail) = detailed(insert(client, id).await);
            assert_eq!(code, "40003", "{detail}");
            assert!(detail.contains("A quorum has committed it"), "{detail}");
            execute(client, "SET statement_timeout = 0").await;
            assert_eq!(count(client).await, id, "it is committed");
            execute(client, "SET synchronous_commit = local").await;
            execute(client, &format!("UPDATE sheep SET name = 'x' WHERE id = {id}")).await;
            execute(client, "RESET synchronous_commit").await;
        }
        let late = tokio::spawn(async move { insert(&other, 4).await });
        cluster.resume(followers[0]);
        late.await.expect("no panic").expect("all nodes have it");
        cluster.pause(followers[0]);
        execute(&leader, "ALTER SYSTEM RESET synchronous_standby_names").await;
        assert_eq!(shown(&leader, "synchronous_standby_names").await, "");
        insert(&leader, 5).await.expect("the quorum has it");
        cluster.resume(followers[0]);
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn degrading_is_asked_for_and_told() {
    run(async {
        let cluster = cluster_with_table().await;
        let at = cluster.wait_for_leader();
        let leader = cluster.connect(at).await.expect("let in");
        execute(
            &leader,
            "ALTER SYSTEM SET synchronous_standby_names = 'ANY 2 (*)'",
        )
        .await;
        execute(
            &leader,
            "ALTER SYSTEM SET bellwether.sync_degrade_after = '100ms'",
        )
        .await;
        let frozen = cluster.followers()[0];
        cluster.pause(frozen);
        assert_eq!(metric(&cluster, at, "bellwether_sync_degraded"), 0);
        insert(&leader, 1)
            .await
            .expect("after a while with the quorum alone");
        insert(&leader, 2).await.expect("at once");
        assert_eq!(metric(&cluster, at, "bellwether_sync_degraded"), 1);
        assert_eq!(metric(&cluster, at, "bellwether_sync_degradations_total"), 1);
        let log = std::fs::read_to_string(cluster.log_path(at)).expect("a log");
        assert!(log.contains("synchronous standbys are missing"), "{log}");
        cluster.resume(frozen);
        until("they are waited for again", async || {
            (metric(&cluster, at, "bellwether_sync_degraded") == 0).then_some(())
        })
        .await;
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn after_remote_apply_every_chosen_node_shows_it_at_once() {
    run(async {
        let cluster = cluster_with_table().await;
        let leader = cluster.connect_to_leader().await;
        execute(
            &leader,
            "ALTER SYSTEM SET synchronous_standby_names = 'ANY 2 (*)'",
        )
        .await;
        execute(&leader, "SET synchronous_commit = remote_apply").await;
        let mut readers = Vec::new();
        for node in cluster.followers() {
            let reader = cluster.connect(node).await.expect("let in");
            execute(&reader, "SET bellwether.read_consistency = eventual").await;
            readers.push(reader);
        }
        for id in 1..=30 {
            insert(&leader, id).await.expect("applied everywhere");
            for reader in &readers {
                assert_eq!(count(reader).await, id);
            }
        }
        // And received, for who asks for less.
        execute(&leader, "SET synchronous_commit = remote_write").await;
        insert(&leader, 31).await.expect("received everywhere");
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn a_durability_is_a_sessions_a_transactions_a_roles_a_databases_or_the_clusters() {
    run(async {
        let cluster = cluster_with_table().await;
        let leader = cluster.wait_for_leader();
        let client = cluster.connect_to_follower().await;
        execute(&client, "BEGIN; SET LOCAL synchronous_commit = off").await;
        assert_eq!(shown(&client, "synchronous_commit").await, "off");
        execute(&client, "INSERT INTO sheep VALUES (1, 'Dolly'); COMMIT").await;
        assert_eq!(shown(&client, "synchronous_commit").await, "on");
        for (sql, expected) in [
            ("ALTER SYSTEM SET synchronous_commit = 'local'", "local"),
            ("ALTER DATABASE postgres SET synchronous_commit = 'off'", "off"),
            (
                "ALTER ROLE postgres SET synchronous_commit = 'remote_apply'",
                "remote_apply",
            ),
            ("ALTER ROLE postgres RESET synchronous_commit", "off"),
            ("ALTER DATABASE postgres RESET ALL", "local"),
            ("ALTER SYSTEM RESET ALL", "on"),
        ] {
            execute(&client, sql).await;
            let new = cluster.connect(leader).await.expect("let in");
            // The leader's node has read it once its session sees the change.
            until(sql, async || {
                let new = cluster.connect(leader).await.expect("let in");
                (shown(&new, "synchronous_commit").await == expected).then_some(())
            })
            .await;
            assert_eq!(shown(&new, "is_superuser").await, "on");
        }
        for (sql, expected) in [
            ("SET synchronous_standby_names = '*'", "55P02"),
            (
                "ALTER DATABASE postgres SET synchronous_standby_names = '*'",
                "55P02",
            ),
            (
                "ALTER SYSTEM SET synchronous_standby_names = 'walreceiver'",
                "22023",
            ),
            ("ALTER SYSTEM SET synchronous_commit = 'perhaps'", "22023"),
            ("ALTER SYSTEM SET nonsense = 1", "42704"),
            ("ALTER DATABASE nowhere SET synchronous_commit = 'off'", "3D000"),
        ] {
            let (code, message) = refusal(client.batch_execute(sql).await);
            assert_eq!(code, expected, "{sql}: {message}");
        }
        execute(&client, "CREATE ROLE ada LOGIN").await;
        let (code, _) = {
            let (ada, connection) = tokio_postgres::Config::new()
                .host(cluster.pg(leader).ip().to_string())
                .port(cluster.pg(leader).port())
                .user("ada")
                .dbname("postgres")
                .connect(tokio_postgres::NoTls)
                .await
                .expect("let in");
            tokio::spawn(connection);
            refusal(
                ada.batch_execute("ALTER SYSTEM SET synchronous_commit = 'off'")
                    .await,
            )
        };
        assert_eq!(code, "42501");
    });
}
