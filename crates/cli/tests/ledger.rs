//! The ledger of lost writes: what clients were answered for, and what went with its leader.

mod support;

use bellwether_types::NodeId;
use support::cluster::Cluster;
use support::{execute, page, refusal, run, until};
use tokio_postgres::Client;

const CREATE: &str = "CREATE TABLE sheep (id INTEGER PRIMARY KEY, name TEXT, wool BLOB)";

/// What every node says of the ledger, once it has so many lines.
async fn ledger(cluster: &Cluster, lines: usize) -> Vec<Vec<String>> {
    let sql = "SELECT database, origin::text, durability, changes::text, script, transaction_id, position \
               FROM bellwether.lost_writes ORDER BY position, transaction_id";
    let mut told = Vec::new();
    for node in cluster.ids() {
        let client = cluster.connect(node).await.expect("let in");
        let rows = until("the ledger", async || {
            let rows = client.query(sql, &[]).await.expect("rows");
            (rows.len() == lines).then_some(rows)
        })
        .await;
        let text = |row: &tokio_postgres::Row| (0..7).map(|column| row.get(column)).collect();
        told.push(rows.iter().map(text).collect::<Vec<Vec<String>>>());
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    told.remove(0)
}

/// What the leader answers for while its followers read nothing goes with it; they go on without, and it comes back. Which
/// node that was, and a client of another.
async fn lose_with_the_leader(
    cluster: &mut Cluster,
    client: &Client,
    write: impl AsyncFnOnce(&Client),
) -> (NodeId, Client) {
    cluster.assert_equal_fingerprints();
    let old = cluster.wait_for_leader();
    let followers = cluster.followers();
    execute(client, "SET synchronous_commit = local").await;
    followers.iter().for_each(|node| cluster.pause(*node));
    write(client).await;
    cluster.kill(old);
    followers.iter().for_each(|node| cluster.kill(*node));
    followers.iter().for_each(|node| cluster.start_node(*node));
    cluster.wait_for_leader_other_than(old);
    let client = cluster.connect(followers[0]).await.expect("let in");
    execute(&client, "INSERT INTO sheep VALUES (7, 'Shaun', NULL)").await;
    cluster.start_node(old);
    cluster.wait_until_ready();
    (old, client)
}

#[test]
fn what_was_answered_below_on_and_lost_with_its_leader_is_told_by_every_node() {
    run(async {
        let mut cluster = Cluster::start(3);
        let client = cluster.connect_to_leader().await;
        execute(&client, CREATE).await;
        execute(&client, "INSERT INTO sheep VALUES (1, 'Dolly', x'00')").await;
        let sql = "BEGIN; UPDATE sheep SET name = 'it''s Dolly' WHERE id = 1; \
                   INSERT INTO sheep VALUES (2, NULL, x'ff00'); DELETE FROM sheep WHERE id = 3; COMMIT";
        let write = async |client: &Client| execute(client, sql).await;
        let (old, client) = lose_with_the_leader(&mut cluster, &client, write).await;
        let told = ledger(&cluster, 1).await;
        let [database, origin, durability, changes, script, transaction, _] = &told[0][..] else {
            panic!("{told:?}");
        };
        assert_eq!((database.as_str(), durability.as_str()), ("postgres", "local"));
        assert_eq!(*origin, old.to_string());
        assert_eq!(
            *changes,
            r#"[{"key":{"id":1},"update":"sheep","values":{"name":"it's Dolly"}},{"insert":"sheep","values":{"id":2,"name":null,"wool":{"blob":"ff00"}}}]"#
        );
        let status: Option<String> = client
            .query_one("SELECT pg_xact_status($1)", &[transaction])
            .await
            .expect("a row")
            .get(0);
        assert_eq!(status.as_deref(), Some("aborted"));
        for node in cluster.ids() {
            until("its metric", async || {
                page(cluster.http(node), "/metrics")
                    .contains("bellwether_lost_writes 1")
                    .then_some(())
            })
            .await;
            assert_eq!(cluster.status(node).expect("a status").lost_writes, 1);
        }
        // The script does it again.
        execute(&client, script).await;
        let rows = client
            .query("SELECT id, name FROM sheep ORDER BY id", &[])
            .await
            .expect("rows");
        let rows: Vec<(i64, Option<String>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(
            rows,
            [
                (1, Some("it's Dolly".to_owned())),
                (2, None),
                (7, Some("Shaun".to_owned()))
            ]
        );
        execute(&client, "CALL bellwether.forget_lost_writes()").await;
        assert!(ledger(&cluster, 0).await.is_empty());
        // A restart tells nothing twice.
        cluster.kill(old);
        cluster.start_node(old);
        cluster.wait_until_ready();
        cluster.assert_equal_fingerprints();
        assert!(ledger(&cluster, 0).await.is_empty());
    });
}

#[test]
fn what_is_lost_of_a_log_of_statements_is_told_as_the_statements() {
    run(async {
        let mut cluster = Cluster::start(3);
        let client = cluster.connect_to_leader().await;
        execute(&client, CREATE).await;
        execute(&client, "INSERT INTO sheep VALUES (1, 'Dolly', x'00')").await;
        execute(
            &client,
            "ALTER DATABASE postgres SET bellwether.log_format = 'statement'",
        )
        .await;
        let sql = "UPDATE sheep SET name = $1 WHERE id = $2";
        let write = async |client: &Client| {
            let updated = client.execute(sql, &[&"it's Dolly", &1_i64]).await;
            assert_eq!(updated.expect("answered"), 1);
        };
        let (_, client) = lose_with_the_leader(&mut cluster, &client, write).await;
        let told = ledger(&cluster, 1).await;
        assert_eq!(
            told[0][3],
            format!(r#"[{{"parameters":["it's Dolly",1],"statement":"{sql}"}}]"#)
        );
        execute(&client, &told[0][4]).await;
        let row = client.query_one("SELECT name FROM sheep WHERE id = 1", &[]).await;
        assert_eq!(row.expect("a row").get::<_, String>(0), "it's Dolly");
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn a_session_hears_that_what_it_was_answered_early_is_lost_before_it_goes_on() {
    run(async {
        let mut cluster = Cluster::start(3);
        let client = cluster.connect_to_leader().await;
        execute(&client, CREATE).await;
        cluster.assert_equal_fingerprints();
        let old = cluster.wait_for_leader();
        let followers = cluster.followers();
        execute(&client, "SET synchronous_commit = local").await;
        followers.iter().for_each(|node| cluster.pause(*node));
        execute(&client, "INSERT INTO sheep VALUES (1, 'Dolly', NULL)").await;
        cluster.pause(old);
        followers.iter().for_each(|node| cluster.kill(*node));
        followers.iter().for_each(|node| cluster.start_node(*node));
        let other = until("another leader", async || {
            let other = cluster.connect(followers[0]).await.ok()?;
            let sql = "INSERT INTO sheep VALUES (2, 'Shaun', NULL)";
            other.batch_execute(sql).await.ok()?;
            Some(other)
        })
        .await;
        cluster.resume(old);
        let (code, message) = refusal(
            client
                .batch_execute("INSERT INTO sheep VALUES (3, 'Timmy', NULL)")
                .await,
        );
        assert_eq!(code, "40000", "{message}");
        // It has heard of it, and goes on.
        execute(&client, "INSERT INTO sheep VALUES (4, 'Shirley', NULL)").await;
        for reader in [&client, &other] {
            execute(reader, "SET bellwether.read_consistency = strong").await;
            let rows = reader.query("SELECT id FROM sheep ORDER BY id", &[]).await;
            let ids: Vec<i64> = rows.expect("rows").iter().map(|row| row.get(0)).collect();
            assert_eq!(ids, [2, 4]);
        }
        assert_eq!(ledger(&cluster, 1).await[0][2], "local");
    });
}

#[test]
fn a_strong_read_sees_what_its_session_was_answered_early_wherever_it_reads() {
    run(async {
        let cluster = Cluster::start(3);
        let leader = cluster.connect_to_leader().await;
        execute(&leader, CREATE).await;
        cluster.assert_equal_fingerprints();
        let follower = cluster.connect_to_follower().await;
        for client in [&leader, &follower] {
            execute(client, "SET synchronous_commit = off").await;
            execute(client, "SET bellwether.read_consistency = strong").await;
            execute(client, "DELETE FROM sheep").await;
            for id in 1..=100_i64 {
                let sql = format!("INSERT INTO sheep VALUES ({id}, NULL, NULL)");
                execute(client, &sql).await;
                let row = client.query_one("SELECT count(*) FROM sheep", &[]).await;
                assert_eq!(row.expect("a count").get::<_, i64>(0), id);
            }
        }
    });
}
