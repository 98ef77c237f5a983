//! What became of transactions whose answer was lost: `pg_xact_status`, at any node.

mod support;

use support::cluster::Cluster;
use support::{execute, refusal, run, until};
use tokio_postgres::Client;

async fn cluster_with_table() -> Cluster {
    let cluster = Cluster::start(3);
    let client = cluster.connect_to_leader().await;
    let create = "CREATE TABLE sheep (id INTEGER PRIMARY KEY)";
    client.batch_execute(create).await.expect("a new table");
    cluster.assert_equal_fingerprints();
    cluster
}

async fn id_of_current(client: &Client) -> String {
    let row = client.query_one("SELECT pg_current_xact_id()", &[]).await;
    row.expect("an id").get(0)
}

async fn status(client: &Client, id: &str) -> Option<String> {
    let row = client.query_one("SELECT pg_xact_status($1)", &[&id]).await;
    row.expect("a status").get(0)
}

async fn count(client: &Client) -> i64 {
    let row = client.query_one("SELECT count(*) FROM sheep", &[]).await;
    row.expect("a count").get(0)
}

/// All nodes say this.
async fn assert_status(cluster: &Cluster, id: &str, expected: Option<&str>) {
    for node in cluster.ids() {
        let client = cluster.connect(node).await.expect("let in");
        assert_eq!(
            status(&client, id).await.as_deref(),
            expected,
            "{id} at node {node}"
        );
    }
}

#[test]
fn a_commit_whose_answer_was_lost_is_told_by_every_node_and_over_a_failover() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let client = cluster.connect_to_follower().await;
        execute(&client, "BEGIN").await;
        let committed = id_of_current(&client).await;
        execute(&client, "INSERT INTO sheep VALUES (1); COMMIT").await;
        drop(client);
        let client = cluster.connect_to_leader().await;
        execute(&client, "BEGIN; INSERT INTO sheep VALUES (2)").await;
        let rolled_back = id_of_current(&client).await;
        execute(&client, "ROLLBACK").await;
        drop(client);
        assert_status(&cluster, &committed, Some("committed")).await;
        assert_status(&cluster, &rolled_back, Some("aborted")).await;
        let old = cluster.wait_for_leader();
        cluster.kill(old);
        cluster.wait_for_leader_other_than(old);
        cluster.start_node(old);
        cluster.wait_until_ready();
        assert_status(&cluster, &committed, Some("committed")).await;
        assert_status(&cluster, &rolled_back, Some("aborted")).await;
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn the_status_of_a_wait_that_was_given_up_is_the_truth() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let client = cluster.connect_to_leader().await;
        execute(&client, "SET statement_timeout = '200ms'").await;
        let old = cluster.wait_for_leader();
        let followers = cluster.followers();
        followers.iter().for_each(|node| cluster.pause(*node));
        let error = client
            .execute("INSERT INTO sheep VALUES (1)", &[])
            .await
            .expect_err("no quorum");
        let error = error.as_db_error().expect("of the server");
        assert_eq!(error.code().code(), "40003", "{error}");
        let hint = error.hint().expect("what to do");
        let id = hint.split('\'').nth(1).expect("an id").to_owned();
        // Whether a follower's socket has it already is chance.
        cluster.kill(old);
        followers.iter().for_each(|node| cluster.resume(*node));
        cluster.wait_for_leader_other_than(old);
        let client = cluster.connect(followers[0]).await.expect("let in");
        let told = status(&client, &id).await;
        let is_there = count(&client).await == 1;
        let expected = if is_there { "committed" } else { "aborted" };
        assert_eq!(told.as_deref(), Some(expected));
        cluster.start_node(old);
        cluster.wait_until_ready();
        assert_status(&cluster, &id, Some(expected)).await;
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn what_a_cancelled_commit_waits_for_is_seen_by_nobody() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let client = cluster.connect_to_leader().await;
        let reader = cluster.connect_to_leader().await;
        execute(&reader, "SET bellwether.read_consistency = eventual").await;
        execute(&client, "SET statement_timeout = '200ms'").await;
        let old = cluster.wait_for_leader();
        let followers = cluster.followers();
        followers.iter().for_each(|node| cluster.pause(*node));
        let refused = client.execute("INSERT INTO sheep VALUES (1)", &[]).await;
        assert_eq!(refusal(refused).0, "40003");
        assert_eq!(count(&reader).await, 0, "no quorum has it, as far as is known");
        // What the frozen followers' sockets have is theirs; the record is on no other disk.
        cluster.kill(old);
        followers.iter().for_each(|node| cluster.kill(*node));
        followers.iter().for_each(|node| cluster.start_node(*node));
        cluster.wait_for_leader_other_than(old);
        let client = cluster.connect(followers[0]).await.expect("let in");
        assert_eq!(count(&client).await, 0, "nobody saw it, so it may be gone");
        cluster.start_node(old);
        cluster.wait_until_ready();
        assert_eq!(count(&client).await, 0);
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn who_is_told_that_a_transaction_is_aborted_is_told_the_truth_for_ever() {
    run(async {
        let cluster = cluster_with_table().await;
        let client = cluster.connect_to_follower().await;
        execute(&client, "SET bellwether.transaction_mode = optimistic; BEGIN").await;
        let id = id_of_current(&client).await;
        execute(&client, "INSERT INTO sheep VALUES (1)").await;
        // It was not given to the leader yet.
        assert_status(&cluster, &id, Some("aborted")).await;
        let (code, message) = refusal(client.batch_execute("COMMIT").await);
        assert_eq!(code, "40001", "{message}");
        let other = cluster.connect_to_leader().await;
        assert_eq!(count(&other).await, 0);
        // One that has the writer cannot be ruled out.
        execute(&client, "BEGIN").await;
        execute(&client, "CREATE TABLE goats (id INTEGER PRIMARY KEY)").await;
        let row = client
            .query_one("SELECT pg_current_xact_id_if_assigned()", &[])
            .await
            .expect("a row");
        let id: Option<String> = row.get(0);
        let id = id.expect("it writes");
        execute(&client, "SET application_name = 'shepherd'").await;
        let row = client
            .query_one("SELECT current_setting('application_name')", &[])
            .await
            .expect("a row");
        assert_eq!(
            row.get::<_, String>(0),
            "shepherd",
            "also in a transaction that writes"
        );
        for asker in [&client, &other] {
            assert_eq!(status(asker, &id).await.as_deref(), Some("in progress"));
        }
        execute(&client, "COMMIT").await;
        assert_status(&cluster, &id, Some("committed")).await;
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn what_nobody_knows_is_said_to_be_unknown() {
    run(async {
        let cluster = cluster_with_table().await;
        let client = cluster.connect_to_leader().await;
        execute(&client, "BEGIN").await;
        let first = id_of_current(&client).await;
        execute(&client, "INSERT INTO sheep VALUES (1); COMMIT").await;
        execute(&client, "INSERT INTO sheep VALUES (2)").await;
        // Its session went on, and is remembered by its last transaction.
        assert_eq!(status(&client, &first).await, None);
        let of_1970 = format!("{}:1", "0".repeat(32));
        assert_eq!(status(&client, &of_1970).await, None);
        let of_the_future = format!("f{}:1", &first[1..32]);
        for (id, expected) in [(of_the_future.as_str(), "22023"), ("12", "0A000")] {
            let (code, message) = refusal(client.query("SELECT pg_xact_status($1)", &[&id]).await);
            assert_eq!(code, expected, "{message}");
        }
        let row = client
            .query_one("SELECT pg_xact_status(NULL)", &[])
            .await
            .expect("a row");
        assert_eq!(row.get::<_, Option<String>>(0), None);
    });
}

#[test]
fn a_leader_tells_of_its_standbys_and_a_follower_of_its_leader() {
    run(async {
        let cluster = cluster_with_table().await;
        let leader = cluster.connect_to_leader().await;
        let at = cluster.wait_for_leader();
        execute(
            &leader,
            "ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (*)'",
        )
        .await;
        execute(&leader, "INSERT INTO sheep VALUES (1)").await;
        let sql = "SELECT application_name, state, sync_state, sync_priority, sync_degraded, \
                   sent_lsn = replay_lsn AND flush_lsn = write_lsn AND replay_lsn = flush_lsn \
                   FROM pg_stat_replication ORDER BY pid";
        let names: Vec<String> = cluster
            .followers()
            .iter()
            .map(|node| format!("node_{node}"))
            .collect();
        until("both stream, and have all", async || {
            let rows = leader.query(sql, &[]).await.expect("rows");
            let told: Vec<(String, String, bool, bool)> = rows
                .iter()
                .map(|row| (row.get(0), row.get(1), row.get(4), row.get(5)))
                .collect();
            let expected: Vec<_> = names
                .iter()
                .map(|name| (name.clone(), "streaming".to_owned(), false, true))
                .collect();
            (told == expected).then_some(())
        })
        .await;
        let rows = leader.query(sql, &[]).await.expect("rows");
        let states: Vec<(String, i32)> = rows.iter().map(|row| (row.get(2), row.get(3))).collect();
        assert_eq!(
            states.iter().filter(|(state, _)| state == "sync").count(),
            1,
            "{states:?}"
        );
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE write_lag >= '00:00:00' \
                   AND flush_lag >= '00:00:00' AND replay_lag BETWEEN '00:00:00' AND '00:01:00' \
                   AND reply_time BETWEEN '2020-01-01' AND '9999-12-31'";
        until("it has seen how long each takes", async || {
            execute(
                &leader,
                "INSERT INTO sheep VALUES ((SELECT max(id) + 1 FROM sheep))",
            )
            .await;
            let count: i64 = leader.query_one(sql, &[]).await.expect("a row").get(0);
            (count == 2).then_some(())
        })
        .await;
        let slots = leader
            .query(
                "SELECT slot_name, active, wal_status FROM pg_replication_slots",
                &[],
            )
            .await
            .expect("rows");
        assert_eq!(slots.len(), 2);
        assert!(slots.iter().all(|row| row.get::<_, bool>(1)));
        let none = leader.query("SELECT * FROM pg_stat_wal_receiver", &[]).await;
        assert!(none.expect("no rows").is_empty(), "a leader receives nothing");
        let follower = cluster.connect_to_follower().await;
        let row = follower
            .query_one(
                "SELECT status, sender_host, sender_port FROM pg_stat_wal_receiver",
                &[],
            )
            .await
            .expect("a row");
        assert_eq!(row.get::<_, String>(0), "streaming");
        assert_eq!(row.get::<_, String>(1), cluster.pg(at).ip().to_string());
        assert_eq!(row.get::<_, i32>(2), i32::from(cluster.pg(at).port()));
        let none = follower.query("SELECT * FROM pg_stat_replication", &[]).await;
        assert!(none.expect("no rows").is_empty(), "a follower sends nothing");
    });
}
