//! What a read promises at each node, and what carries a session's view from one node to another.

mod support;

use support::shared::shared_cluster;
use support::{execute, refusal, run, sqlstate};
use tokio_postgres::{Client, SimpleQueryMessage};

async fn integer(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.expect(sql).get(0)
}

/// What the session has seen.
async fn token(client: &Client) -> String {
    let row = client.query_one("SHOW bellwether.session_token", &[]).await;
    row.expect("shown").get(0)
}

/// Enough for a replica that is late now and then to be caught.
const ROUNDS: i64 = 40;

#[test]
fn a_session_reads_its_own_writes_at_the_node_that_it_wrote_through() {
    run(async {
        let cluster = shared_cluster();
        for node in cluster.ids() {
            let client = cluster.connect(node).await.expect("let in");
            execute(
                &client,
                &format!("CREATE TABLE own_{node} (id INTEGER PRIMARY KEY)"),
            )
            .await;
            for round in 1..=ROUNDS {
                execute(&client, &format!("INSERT INTO own_{node} VALUES ({round})")).await;
                let seen = integer(&client, &format!("SELECT count(*) FROM own_{node}")).await;
                assert_eq!(seen, round, "node {node}");
            }
        }
    });
}

#[test]
fn a_token_carries_read_your_writes_to_another_node() {
    run(async {
        let cluster = shared_cluster();
        let writer = cluster.connect_to_leader().await;
        execute(&writer, "CREATE TABLE carried (id INTEGER PRIMARY KEY)").await;
        let mut readers = Vec::new();
        for node in cluster.followers() {
            readers.push(cluster.connect(node).await.expect("let in"));
        }
        for round in 1..=ROUNDS {
            execute(&writer, &format!("INSERT INTO carried VALUES ({round})")).await;
            let token = token(&writer).await;
            for reader in &readers {
                execute(reader, &format!("SET bellwether.session_token = '{token}'")).await;
                assert_eq!(integer(reader, "SELECT count(*) FROM carried").await, round);
            }
        }
    });
}

#[test]
fn a_token_moves_when_something_is_committed_and_not_otherwise() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        execute(&client, "CREATE TABLE moving (id INTEGER PRIMARY KEY)").await;
        let before = token(&client).await;
        execute(&client, "BEGIN; INSERT INTO moving VALUES (1); ROLLBACK").await;
        assert_eq!(token(&client).await, before);
        execute(&client, "BEGIN; INSERT INTO moving VALUES (1); COMMIT").await;
        assert_ne!(token(&client).await, before);
    });
}

#[test]
fn nonsense_for_a_token_is_refused() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        for nonsense in [
            "x",
            "-1",
            "ffffffff",
            "'; DROP TABLE moving",
            "0/0",
            &"9".repeat(10_000),
        ] {
            let set = format!(
                "SET bellwether.session_token = '{}'",
                nonsense.replace('\'', "''")
            );
            assert_eq!(sqlstate(client.batch_execute(&set).await), "22023", "{nonsense}");
        }
        assert_eq!(integer(&client, "SELECT count(*)").await, 1);
    });
}

#[test]
fn a_strong_read_sees_every_commit_that_was_answered_before() {
    run(async {
        let cluster = shared_cluster();
        let writer = cluster.connect_to_leader().await;
        execute(&writer, "CREATE TABLE strongly (id INTEGER PRIMARY KEY)").await;
        let mut readers = Vec::new();
        for node in cluster.ids() {
            let reader = cluster.connect(node).await.expect("let in");
            execute(&reader, "SET bellwether.read_consistency = strong").await;
            readers.push((node, reader));
        }
        for round in 1..=ROUNDS {
            execute(&writer, &format!("INSERT INTO strongly VALUES ({round})")).await;
            for (node, reader) in &readers {
                let seen = integer(reader, "SELECT count(*) FROM strongly").await;
                assert_eq!(seen, round, "node {node}");
            }
        }
    });
}

#[test]
fn a_strong_read_at_a_follower_that_is_far_behind_is_answered_by_the_leader() {
    run(async {
        let cluster = shared_cluster();
        let writer = cluster.connect_to_leader().await;
        execute(
            &writer,
            "CREATE TABLE behind (id INTEGER PRIMARY KEY, content TEXT)",
        )
        .await;
        let reader = cluster.connect_to_follower().await;
        execute(&reader, "SET bellwether.read_consistency = strong").await;
        execute(&reader, "SET bellwether.wait_timeout = '1ms'").await;
        // A transaction that takes a follower much longer.
        let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) \
            INSERT INTO behind SELECT i, 'row ' || i FROM n";
        execute(&writer, many).await;
        assert_eq!(integer(&reader, "SELECT count(*) FROM behind").await, 100_000);
    });
}

#[test]
fn a_transaction_at_a_follower_that_is_far_behind_reads_nothing_old() {
    run(async {
        let cluster = shared_cluster();
        let writer = cluster.connect_to_leader().await;
        execute(
            &writer,
            "CREATE TABLE trailing (id INTEGER PRIMARY KEY, content TEXT)",
        )
        .await;
        let reader = cluster.connect_to_follower().await;
        execute(&reader, "SET bellwether.read_consistency = strong").await;
        execute(&reader, "SET bellwether.wait_timeout = '1ms'").await;
        let count = "SELECT count(*) FROM trailing";
        for round in 1..=3 {
            // A transaction that takes a follower much longer.
            let many = format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) \
                INSERT INTO trailing (content) SELECT 'row ' || i || ' of {round}' FROM n"
            );
            execute(&writer, &many).await;
            execute(&reader, "BEGIN READ ONLY").await;
            match reader.query_one(count, &[]).await {
                Ok(row) => assert_eq!(row.get::<_, i64>(0), round * 50_000),
                Err(error) => assert_eq!(sqlstate::<()>(Err(error)), "57014"),
            }
            execute(&reader, "ROLLBACK; BEGIN").await;
            // As text: what it is made of is not asked before.
            let read = reader
                .simple_query(count)
                .await
                .expect("the leader's writer answers");
            assert!(
                matches!(&read[1], SimpleQueryMessage::Row(row) if row.get(0) == Some(&(round * 50_000).to_string()))
            );
            execute(&reader, "COMMIT").await;
        }
    });
}

#[test]
fn an_eventual_read_never_goes_beyond_what_is_committed_and_arrives_in_the_end() {
    run(async {
        let cluster = shared_cluster();
        let writer = cluster.connect_to_leader().await;
        execute(&writer, "CREATE TABLE eventually (id INTEGER PRIMARY KEY)").await;
        let reader = cluster.connect_to_follower().await;
        execute(&reader, "SET bellwether.read_consistency = eventual").await;
        for round in 1..=ROUNDS {
            execute(&writer, &format!("INSERT INTO eventually VALUES ({round})")).await;
        }
        support::until("the replica to have all of it", async || {
            let rows = reader.query("SELECT count(*) FROM eventually", &[]).await;
            // The table itself may not have arrived.
            let seen: i64 = rows.ok()?.first()?.get(0);
            assert!(seen <= ROUNDS);
            (seen == ROUNDS).then_some(())
        })
        .await;
    });
}

#[test]
fn a_guarantee_that_does_not_exist_is_refused_with_those_that_do() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        let (code, message) = refusal(
            client
                .batch_execute("SET bellwether.read_consistency = psychic")
                .await,
        );
        assert_eq!(code, "22023", "{message}");
        let set = client.batch_execute("SET bellwether.no_such_setting = 1").await;
        assert_eq!(sqlstate(set), "42704");
    });
}

#[test]
fn a_transaction_reads_one_snapshot_that_has_the_sessions_own_writes() {
    run(async {
        let cluster = shared_cluster();
        let writer = cluster.connect_to_leader().await;
        let reader = cluster.connect_to_follower().await;
        execute(&reader, "CREATE TABLE pinned (id INTEGER PRIMARY KEY)").await;
        for round in 0..ROUNDS {
            execute(&reader, "INSERT INTO pinned DEFAULT VALUES").await;
            execute(&reader, "BEGIN").await;
            let seen = integer(&reader, "SELECT count(*) FROM pinned").await;
            assert_eq!(seen, round * 2 + 1);
            execute(&writer, "INSERT INTO pinned DEFAULT VALUES").await;
            assert_eq!(integer(&reader, "SELECT count(*) FROM pinned").await, seen);
            execute(&reader, "COMMIT").await;
            let token = token(&writer).await;
            execute(&reader, &format!("SET bellwether.session_token = '{token}'")).await;
        }
    });
}

#[test]
fn a_transaction_knows_the_tables_that_its_session_has_just_created() {
    run(async {
        let cluster = shared_cluster();
        let mut client = cluster.connect_to_follower().await;
        for round in 0..ROUNDS {
            execute(
                &client,
                &format!("CREATE TABLE fresh_{round} (id INTEGER PRIMARY KEY)"),
            )
            .await;
            let transaction = client.transaction().await.expect("begun");
            let insert = format!("INSERT INTO fresh_{round} VALUES ($1)");
            transaction
                .execute(&insert, &[&round])
                .await
                .expect("the table is known");
            transaction.commit().await.expect("committed");
        }
    });
}
