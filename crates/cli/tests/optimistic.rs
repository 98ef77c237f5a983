//! Transactions of `bellwether.transaction_mode = optimistic`: side by side, and compared at COMMIT.

mod support;

use support::cluster::Cluster;
use support::shared::shared_cluster;
use support::{execute, run, sqlstate};
use tokio_postgres::Client;

/// The one integer that a query gives.
async fn integer(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.expect(sql).get(0)
}

/// A table of its own, known to every node, and sessions at the leader, at a follower, at the leader.
async fn sessions(cluster: &Cluster, create: &str) -> [Client; 3] {
    let client = cluster.connect_to_leader().await;
    execute(&client, create).await;
    cluster.assert_equal_fingerprints();
    let sessions = [
        client,
        cluster.connect_to_follower().await,
        cluster.connect_to_leader().await,
    ];
    for session in &sessions {
        execute(session, "SET bellwether.transaction_mode = optimistic").await;
    }
    sessions
}

#[test]
fn transactions_that_write_the_same_row_do_not_wait_for_each_other_and_all_commit() {
    run(async {
        let cluster = shared_cluster();
        let sessions = sessions(
            &cluster,
            "CREATE TABLE tally (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO tally VALUES (0, 0), (1, 0), (2, 0)",
        )
        .await;
        // Every session is in the middle of its transaction at the same time.
        for (own, session) in sessions.iter().enumerate() {
            execute(session, "BEGIN; UPDATE tally SET n = n + 1 WHERE id = 0").await;
            let done = session
                .execute("UPDATE tally SET n = n + 5 WHERE id = $1", &[&(own as i64)])
                .await;
            assert_eq!(done.expect("an update"), 1);
        }
        let own = integer(&sessions[1], "SELECT n FROM tally WHERE id = 1").await;
        assert_eq!(own, 5, "it sees its own change");
        let other = cluster.connect_to_leader().await;
        assert_eq!(
            integer(&other, "SELECT sum(n) FROM tally").await,
            0,
            "nobody else does"
        );
        // The first has changed what no other was answered.
        for session in [&sessions[2], &sessions[1], &sessions[0]] {
            execute(session, "COMMIT").await;
        }
        assert_eq!(integer(&sessions[0], "SELECT n FROM tally WHERE id = 0").await, 8);
        assert_eq!(
            integer(&sessions[1], "SELECT n FROM tally WHERE id = 1").await,
            5,
            "its own write is seen at a follower"
        );
    });
}

#[test]
fn who_was_answered_what_another_changed_fails_at_commit_and_gets_through_the_second_time() {
    run(async {
        let cluster = shared_cluster();
        let [leader, follower, other] = sessions(
            &cluster,
            "CREATE TABLE hot (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO hot VALUES (1, 0)",
        )
        .await;
        let change = "UPDATE hot SET n = n + 1 WHERE id = 1";
        let read = "SELECT n FROM hot WHERE id = 1";
        for session in [&leader, &follower] {
            let before = integer(&other, read).await;
            execute(
                session,
                &format!("SET bellwether.read_consistency = strong; BEGIN; {change}"),
            )
            .await;
            assert_eq!(integer(session, read).await, before + 1);
            execute(&other, change).await;
            assert_eq!(sqlstate(session.batch_execute("COMMIT").await), "40001");
            assert_eq!(integer(&other, read).await, before + 1, "nothing of it remains");
            // Now it takes the writer, and others wait.
            execute(session, &format!("BEGIN; {change}")).await;
            execute(&other, "SET lock_timeout = '50ms'").await;
            assert_eq!(sqlstate(other.batch_execute(change).await), "55P03");
            execute(&other, "RESET lock_timeout").await;
            assert_eq!(integer(session, read).await, before + 2);
            execute(session, "COMMIT").await;
            // And the one after that does not.
            execute(session, &format!("BEGIN; {change}")).await;
            execute(&other, "SET lock_timeout = '5s'").await;
            execute(&other, "UPDATE hot SET n = n WHERE id = 2").await;
            execute(session, "ROLLBACK").await;
        }
    });
}

#[test]
fn what_a_private_copy_cannot_do_is_done_by_the_writer_after_all_that_came_before() {
    run(async {
        let cluster = shared_cluster();
        let [leader, follower, other] = sessions(
            &cluster,
            "CREATE TABLE mixed (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)",
        )
        .await;
        for session in [&leader, &follower] {
            execute(&other, "DELETE FROM mixed").await;
            execute(session, "BEGIN; INSERT INTO mixed VALUES (1, 10)").await;
            // RETURNING: others must not come in between.
            let returned = integer(session, "INSERT INTO mixed (n) VALUES (20) RETURNING id").await;
            assert_eq!(returned, 2);
            execute(session, "SAVEPOINT before; INSERT INTO mixed VALUES (3, 30)").await;
            execute(session, "ROLLBACK TO before; COMMIT").await;
            assert_eq!(integer(session, "SELECT sum(n) FROM mixed").await, 30);

            // A savepoint after a change that was made apart.
            execute(session, "BEGIN; INSERT INTO mixed VALUES (4, 40); SAVEPOINT here").await;
            let duplicate = session.batch_execute("INSERT INTO mixed VALUES (4, 0)").await;
            assert_eq!(sqlstate(duplicate), "23505");
            execute(
                session,
                "ROLLBACK TO here; INSERT INTO mixed VALUES (5, 50); COMMIT",
            )
            .await;
            assert_eq!(integer(session, "SELECT sum(n) FROM mixed").await, 120);

            // An error is the writer's, and leaves nothing.
            execute(session, "BEGIN; INSERT INTO mixed VALUES (6, 60)").await;
            let missing = session.batch_execute("INSERT INTO mixed VALUES (7, NULL)").await;
            assert_eq!(sqlstate(missing), "23502");
            assert_eq!(sqlstate(session.batch_execute("SELECT 1").await), "25P02");
            execute(session, "COMMIT").await;
            assert_eq!(integer(session, "SELECT sum(n) FROM mixed").await, 120);
        }
        execute(
            &leader,
            "BEGIN; INSERT INTO mixed VALUES (8, 80); CREATE TABLE mixed_more (a); COMMIT",
        )
        .await;
        assert_eq!(integer(&leader, "SELECT count(*) FROM mixed_more").await, 0);
    });
}

#[test]
fn the_time_and_chance_are_asked_for_without_harm_and_an_id_that_was_told_is_the_id() {
    run(async {
        let cluster = shared_cluster();
        let [leader, follower, other] =
            sessions(&cluster, "CREATE TABLE given (id INTEGER PRIMARY KEY, at TEXT)").await;
        for session in [&leader, &follower] {
            execute(
                session,
                "BEGIN; INSERT INTO given (at) VALUES (now()); SELECT random(), now(); COMMIT",
            )
            .await;
            execute(session, "BEGIN; INSERT INTO given (at) VALUES (now())").await;
            let id = integer(session, "SELECT last_insert_rowid()").await;
            execute(&other, "INSERT INTO given (at) VALUES ('another')").await;
            assert_eq!(
                sqlstate(session.batch_execute("COMMIT").await),
                "40001",
                "{id} is taken"
            );
            execute(session, "BEGIN; INSERT INTO given (at) VALUES ('again')").await;
            let id = integer(session, "SELECT last_insert_rowid()").await;
            execute(session, "COMMIT").await;
            let at = session
                .query_one("SELECT at FROM given WHERE id = $1", &[&id])
                .await;
            assert_eq!(at.expect("the row").get::<_, String>(0), "again");
        }
    });
}

#[test]
fn increments_that_are_read_back_are_never_lost_whatever_node_they_come_from() {
    run(async {
        const INCREMENTS: i64 = 12;
        let cluster = shared_cluster();
        let [leader, ..] = sessions(
            &cluster,
            "CREATE TABLE race (n INTEGER); INSERT INTO race VALUES (0)",
        )
        .await;
        let nodes = cluster.ids();
        let mut racing = tokio::task::JoinSet::new();
        for place in 0..6 {
            let session = cluster.connect(nodes[place % nodes.len()]).await.expect("let in");
            racing.spawn(async move {
                execute(&session, "SET bellwether.transaction_mode = optimistic").await;
                let mut seen = Vec::new();
                while seen.len() < INCREMENTS as usize {
                    match increment(&session).await {
                        Ok(after) => seen.push(after),
                        Err(error) => {
                            assert_eq!(sqlstate::<()>(Err(error)), "40001");
                            execute(&session, "ROLLBACK").await;
                        }
                    }
                }
                seen
            });
        }
        let mut all: Vec<i64> = racing.join_all().await.concat();
        all.sort_unstable();
        let expected: Vec<i64> = (1..=6 * INCREMENTS).collect();
        assert_eq!(all, expected, "each was answered a number of its own");
        assert_eq!(integer(&leader, "SELECT n FROM race").await, 6 * INCREMENTS);
    });
}

async fn increment(session: &Client) -> Result<i64, tokio_postgres::Error> {
    session.batch_execute("BEGIN; UPDATE race SET n = n + 1").await?;
    let after = session.query_one("SELECT n FROM race", &[]).await?.get(0);
    session.batch_execute("COMMIT").await?;
    Ok(after)
}

#[test]
fn a_transaction_that_is_open_when_the_leader_dies_commits_at_the_next_one() {
    run(async {
        let mut cluster = Cluster::start(3);
        let old = cluster.wait_for_leader();
        let follower = cluster.followers()[0];
        let client = cluster.connect(follower).await.expect("let in");
        execute(&client, "CREATE TABLE kept (id INTEGER PRIMARY KEY, n INTEGER)").await;
        execute(&client, "SET bellwether.transaction_mode = optimistic").await;
        execute(
            &client,
            "BEGIN; INSERT INTO kept VALUES (1, 1); INSERT INTO kept VALUES (2, 2)",
        )
        .await;
        assert_eq!(integer(&client, "SELECT count(*) FROM kept").await, 2);
        cluster.kill(old);
        execute(&client, "UPDATE kept SET n = n + 1 WHERE id = 2; COMMIT").await;
        assert_eq!(integer(&client, "SELECT sum(n) FROM kept").await, 4);
        cluster.wait_for_leader_other_than(old);
    });
}

#[test]
fn a_transaction_has_one_time_and_may_read_chance_before_it_writes() {
    run(async {
        let cluster = shared_cluster();
        let sessions = sessions(&cluster, "CREATE TABLE drawn (id INTEGER PRIMARY KEY, n INTEGER)").await;
        for (own, session) in sessions.iter().enumerate() {
            for mode in ["pessimistic", "optimistic"] {
                execute(session, &format!("SET bellwether.transaction_mode = {mode}")).await;
                execute(session, "BEGIN").await;
                let sql = "SELECT now()::text, random(), gen_random_uuid()::text, count(*) FROM drawn";
                let first = session.query_one(sql, &[]).await.expect("a row");
                // Until the clock has gone on.
                let clock = "SELECT clock_timestamp()::text > now()::text";
                while !session
                    .query_one(clock, &[])
                    .await
                    .expect("a row")
                    .get::<_, bool>(0)
                {}
                let insert = format!("INSERT INTO drawn(n) VALUES ({own}) RETURNING now()::text");
                let written: String = session.query_one(&insert, &[]).await.expect("a row").get(0);
                let second = session.query_one(sql, &[]).await.expect("a row");
                execute(session, "COMMIT").await;
                assert_eq!(first.get::<_, String>(0), second.get::<_, String>(0), "{mode}");
                assert_eq!(first.get::<_, String>(0), written, "{mode}");
                assert_ne!(first.get::<_, i64>(1), second.get::<_, i64>(1));
                assert_ne!(first.get::<_, String>(2), second.get::<_, String>(2));
                let after: String = session.query_one(sql, &[]).await.expect("a row").get(0);
                assert!(after > written, "{after} after {written}");
            }
        }
    });
}
