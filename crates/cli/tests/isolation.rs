//! Two sessions in each other's way: what a transaction may see, who waits for whom, and what must not leak.

mod support;

use support::cluster::Cluster;
use support::shared::shared_cluster;
use support::wire::{Wire, message, text};
use support::{execute, run, sqlstate, until};
use tokio_postgres::{CancelToken, Client, NoTls, SimpleQueryMessage};

/// Changes the schema, and waits until every node knows: a session of another node promises nothing about it.
async fn create(cluster: &Cluster, client: &Client, sql: &str) {
    execute(client, sql).await;
    cluster.assert_equal_fingerprints();
}

/// The one integer that a query gives.
async fn integer(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.expect(sql).get(0)
}

/// A PRAGMA's value.
async fn pragma(client: &Client, name: &str) -> String {
    let answers = client.simple_query(&format!("PRAGMA {name}")).await.expect(name);
    let row = answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    row.expect("a value").to_owned()
}

/// Two sessions at the leader, then one at a follower and one at the leader, both ways.
async fn pairs(cluster: &Cluster) -> [(Client, Client); 3] {
    [
        (
            cluster.connect_to_leader().await,
            cluster.connect_to_leader().await,
        ),
        (
            cluster.connect_to_follower().await,
            cluster.connect_to_leader().await,
        ),
        (
            cluster.connect_to_leader().await,
            cluster.connect_to_follower().await,
        ),
    ]
}

#[test]
fn of_two_transactions_that_read_what_the_other_writes_one_must_retry() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(
            &cluster,
            &client,
            "CREATE TABLE on_call (name TEXT PRIMARY KEY, on_duty INTEGER)",
        )
        .await;
        for (first, second) in pairs(&cluster).await {
            execute(&client, "REPLACE INTO on_call VALUES ('Alice', 1), ('Bob', 1)").await;
            let on_duty = "SELECT count(*) FROM on_call WHERE on_duty = 1";
            for session in [&first, &second] {
                execute(session, "SET bellwether.read_consistency = strong; BEGIN").await;
                assert_eq!(integer(session, on_duty).await, 2);
            }
            execute(
                &first,
                "UPDATE on_call SET on_duty = 0 WHERE name = 'Alice'; COMMIT",
            )
            .await;
            let update = "UPDATE on_call SET on_duty = 0 WHERE name = 'Bob'";
            assert_eq!(sqlstate(second.batch_execute(update).await), "40001");
            execute(&second, "ROLLBACK").await;
            assert_eq!(integer(&client, on_duty).await, 1, "one of them is on duty");
        }
    });
}

#[test]
fn a_transaction_goes_on_when_others_changed_what_it_did_not_read() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(
            &cluster,
            &client,
            "CREATE TABLE apart (id INTEGER PRIMARY KEY, n INTEGER)",
        )
        .await;
        execute(&client, "INSERT INTO apart VALUES (1, 1), (2, 2)").await;
        for (first, second) in pairs(&cluster).await {
            execute(&first, "SET bellwether.read_consistency = strong; BEGIN").await;
            assert_eq!(integer(&first, "SELECT n FROM apart WHERE id = 1").await, 1);
            execute(&second, "UPDATE apart SET n = n + 1 WHERE id = 2").await;
            execute(&first, "UPDATE apart SET n = 1 WHERE id = 1; COMMIT").await;
        }
        assert_eq!(integer(&client, "SELECT n FROM apart WHERE id = 2").await, 5);
    });
}

#[test]
fn a_transaction_that_asked_for_the_time_or_for_chance_writes_all_the_same() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(&cluster, &client, "CREATE TABLE diced (at TEXT)").await;
        for (first, _) in pairs(&cluster).await {
            execute(&first, "BEGIN").await;
            integer(&first, "SELECT random()").await;
            execute(&first, "SELECT strftime('%f', 'now'), hex(randomblob(8)), now()").await;
            execute(&first, "INSERT INTO diced VALUES (now()); COMMIT").await;
        }
        assert_eq!(integer(&client, "SELECT count(*) FROM diced").await, 3);
    });
}

#[test]
fn concurrent_increments_are_never_lost() {
    run(async {
        const SESSIONS: i64 = 6;
        const INCREMENTS: i64 = 15;
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(
            &cluster,
            &client,
            "CREATE TABLE counter (n INTEGER); INSERT INTO counter VALUES (0)",
        )
        .await;
        let nodes = cluster.ids();
        let mut sessions = tokio::task::JoinSet::new();
        for session in 0..SESSIONS {
            let client = cluster
                .connect(nodes[session as usize % nodes.len()])
                .await
                .expect("let in");
            sessions.spawn(async move {
                let mut done = 0;
                while done < INCREMENTS {
                    match increment(&client).await {
                        Ok(()) => done += 1,
                        Err(error) => {
                            assert_eq!(sqlstate(Err::<(), _>(error)), "40001");
                            execute(&client, "ROLLBACK").await;
                        }
                    }
                }
            });
        }
        while let Some(ended) = sessions.join_next().await {
            ended.expect("no session fails");
        }
        let client = cluster.connect_to_leader().await;
        assert_eq!(
            integer(&client, "SELECT n FROM counter").await,
            SESSIONS * INCREMENTS
        );
    });
}

/// By reading, adding outside of SQL, and writing.
async fn increment(client: &Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("BEGIN").await?;
    let n: i64 = client.query_one("SELECT n FROM counter", &[]).await?.get(0);
    client.execute("UPDATE counter SET n = $1", &[&(n + 1)]).await?;
    client.batch_execute("COMMIT").await
}

#[test]
fn the_writer_is_taken_at_the_first_write_not_at_begin() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(&cluster, &client, "CREATE TABLE late (id INTEGER PRIMARY KEY)").await;
        for (first, second) in pairs(&cluster).await {
            execute(&second, "SET lock_timeout = '10s'").await;
            execute(&first, "BEGIN").await;
            integer(&first, "SELECT count(*) FROM sqlite_schema WHERE name = 'nobody'").await;
            execute(&second, "INSERT INTO late DEFAULT VALUES").await;
            execute(&first, "INSERT INTO late DEFAULT VALUES").await;

            execute(&second, "SET lock_timeout = '100ms'").await;
            let insert = "INSERT INTO late DEFAULT VALUES";
            assert_eq!(sqlstate(second.batch_execute(insert).await), "55P03");
            execute(&second, "BEGIN").await;
            integer(&second, "SELECT count(*) FROM late").await;
            assert_eq!(sqlstate(second.batch_execute(insert).await), "55P03");
            execute(&second, "ROLLBACK").await;
            execute(&first, "COMMIT").await;
            execute(&second, insert).await;
        }
        assert_eq!(integer(&client, "SELECT count(*) FROM late").await, 9);
    });
}

#[test]
fn a_single_statement_waits_no_longer_than_lock_timeout() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(&cluster, &client, "CREATE TABLE patient (id INTEGER PRIMARY KEY)").await;
        for (holder, waiter) in pairs(&cluster).await {
            execute(&holder, "BEGIN; INSERT INTO patient DEFAULT VALUES").await;
            execute(&waiter, "SET lock_timeout = '100ms'").await;
            for _ in 0..2 {
                let insert = waiter.batch_execute("INSERT INTO patient DEFAULT VALUES").await;
                assert_eq!(sqlstate(insert), "55P03");
            }
            execute(&holder, "COMMIT").await;
        }
        assert_eq!(integer(&client, "SELECT count(*) FROM patient").await, 3);
    });
}

#[test]
fn a_waiting_transaction_goes_on_when_the_holder_ends() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(&cluster, &client, "CREATE TABLE queue (id INTEGER PRIMARY KEY)").await;
        for (holder, waiter) in pairs(&cluster).await {
            execute(&holder, "BEGIN; INSERT INTO queue DEFAULT VALUES").await;
            let waiting = waiter.batch_execute("BEGIN; INSERT INTO queue DEFAULT VALUES; COMMIT");
            let ending = async {
                // Any number of statements of the holder come before the waiter's turn.
                for _ in 0..5 {
                    execute(&holder, "INSERT INTO queue DEFAULT VALUES").await;
                }
                holder.batch_execute("COMMIT").await
            };
            let (waited, ended) = tokio::join!(waiting, ending);
            waited.expect("its turn came");
            ended.expect("committed");
        }
        assert_eq!(integer(&client, "SELECT count(*) FROM queue").await, 21);
    });
}

#[test]
fn an_idle_holder_loses_the_writer_and_is_told() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(&cluster, &client, "CREATE TABLE idle (id INTEGER PRIMARY KEY)").await;
        for (holder, waiter) in pairs(&cluster).await {
            let hold =
                "SET idle_in_transaction_session_timeout = '100ms'; BEGIN; INSERT INTO idle VALUES (1)";
            execute(&holder, hold).await;
            execute(&waiter, "INSERT INTO idle VALUES (2)").await;
            assert_eq!(sqlstate(holder.batch_execute("SELECT 1").await), "25P03");
            assert_eq!(sqlstate(holder.batch_execute("SELECT 1").await), "25P02");
            execute(&holder, "ROLLBACK").await;
            execute(&holder, "DELETE FROM idle WHERE id = 2").await;
            assert_eq!(integer(&holder, "SELECT count(*) FROM idle").await, 0);
            execute(&holder, hold).await;
            execute(&waiter, "INSERT INTO idle VALUES (2)").await;
            assert_eq!(
                sqlstate(holder.batch_execute("COMMIT").await),
                "25P03",
                "never as if committed"
            );
            execute(&waiter, "DELETE FROM idle").await;
        }
    });
}

#[test]
fn a_holder_that_disconnects_frees_the_writer_and_leaves_nothing() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(&cluster, &client, "CREATE TABLE gone (id INTEGER PRIMARY KEY)").await;
        for node in [cluster.wait_for_leader(), cluster.followers()[0]] {
            for says_goodbye in [true, false] {
                let mut holder = Wire::log_in(cluster.pg(node));
                holder
                    .query("SET idle_in_transaction_session_timeout = 0; BEGIN; INSERT INTO gone VALUES (1)");
                if says_goodbye {
                    holder.send(&message(b'X', &[]));
                }
                drop(holder);
                execute(
                    &client,
                    "SET lock_timeout = '20s'; INSERT INTO gone VALUES (2); DELETE FROM gone WHERE id = 2",
                )
                .await;
                assert_eq!(integer(&client, "SELECT count(*) FROM gone").await, 0);
            }
            // In the middle of a statement, too.
            let mut holder = Wire::log_in(cluster.pg(node));
            holder.query("BEGIN; INSERT INTO gone VALUES (1)");
            holder.send(&message(
                b'Q',
                &text("INSERT INTO gone SELECT value FROM (SELECT 3 AS value); COMMI"),
            ));
            drop(holder);
            execute(
                &client,
                "INSERT INTO gone VALUES (2); DELETE FROM gone WHERE id = 2",
            )
            .await;
            assert_eq!(integer(&client, "SELECT count(*) FROM gone").await, 0);
        }
    });
}

#[test]
fn nobody_sees_what_is_not_committed() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(&cluster, &client, "CREATE TABLE unseen (id INTEGER PRIMARY KEY)").await;
        for (writer, _) in pairs(&cluster).await {
            execute(
                &writer,
                "BEGIN; DELETE FROM unseen; INSERT INTO unseen VALUES (1), (2)",
            )
            .await;
            let count = "SELECT count(*) FROM unseen";
            assert_eq!(integer(&writer, count).await, 2, "its own writes");
            for node in cluster.ids() {
                let other = cluster.connect(node).await.expect("let in");
                for consistency in ["eventual", "session", "strong"] {
                    execute(
                        &other,
                        &format!("SET bellwether.read_consistency = {consistency}"),
                    )
                    .await;
                    assert_eq!(integer(&other, count).await, 0, "{consistency} at node {node}");
                }
            }
            execute(&writer, "ROLLBACK").await;
        }
    });
}

#[test]
fn a_read_only_transaction_sees_one_snapshot_and_writes_nothing() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(
            &cluster,
            &client,
            "CREATE TABLE snapshot (id INTEGER PRIMARY KEY)",
        )
        .await;
        for (reader, writer) in pairs(&cluster).await {
            let count = "SELECT count(*) FROM snapshot";
            // Not in one query with BEGIN: the ROLLBACK would take it back.
            execute(&reader, "SET bellwether.read_consistency = strong").await;
            execute(&reader, "BEGIN READ ONLY").await;
            let before = integer(&reader, count).await;
            execute(&writer, "INSERT INTO snapshot DEFAULT VALUES").await;
            assert_eq!(integer(&reader, count).await, before);
            let insert = "INSERT INTO snapshot DEFAULT VALUES";
            assert_eq!(sqlstate(reader.batch_execute(insert).await), "25006");
            assert_eq!(sqlstate(reader.batch_execute(count).await), "25P02");
            execute(&reader, "ROLLBACK").await;
            assert_eq!(integer(&reader, count).await, before + 1);

            execute(&reader, "SET default_transaction_read_only = on").await;
            assert_eq!(sqlstate(reader.batch_execute(insert).await), "25006");
            assert_eq!(
                sqlstate(reader.batch_execute("DROP TABLE snapshot").await),
                "25006"
            );
            execute(
                &reader,
                "BEGIN READ WRITE; INSERT INTO snapshot DEFAULT VALUES; ROLLBACK",
            )
            .await;
            execute(
                &reader,
                "SET default_transaction_read_only = off; BEGIN; SET TRANSACTION READ ONLY",
            )
            .await;
            assert_eq!(sqlstate(reader.batch_execute(insert).await), "25006");
            execute(&reader, "ROLLBACK").await;
        }
    });
}

#[test]
fn a_reader_does_not_wait_for_a_writer() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(&cluster, &client, "CREATE TABLE held (id INTEGER PRIMARY KEY)").await;
        for (holder, reader) in pairs(&cluster).await {
            execute(&holder, "BEGIN; INSERT INTO held VALUES (1)").await;
            execute(&reader, "SET statement_timeout = '10s'").await;
            assert_eq!(integer(&reader, "SELECT count(*) FROM held").await, 0);
            execute(&reader, "BEGIN").await;
            assert_eq!(integer(&reader, "SELECT count(*) FROM held").await, 0);
            execute(&reader, "COMMIT").await;
            execute(&holder, "ROLLBACK").await;
        }
    });
}

#[test]
fn last_insert_rowid_and_changes_are_the_sessions_own() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(&cluster, &client, "CREATE TABLE rowids (id INTEGER PRIMARY KEY)").await;
        for (first, second) in pairs(&cluster).await {
            assert_eq!(integer(&first, "SELECT last_insert_rowid()").await, 0);
            execute(&first, "INSERT INTO rowids VALUES (100), (101), (102)").await;
            assert_eq!(
                integer(&second, "SELECT last_insert_rowid()").await,
                0,
                "nothing was inserted here"
            );
            assert_eq!(integer(&second, "SELECT changes()").await, 0);
            assert_eq!(integer(&second, "SELECT total_changes()").await, 0);
            execute(&second, "INSERT INTO rowids VALUES (7)").await;
            for _ in 0..3 {
                assert_eq!(integer(&first, "SELECT last_insert_rowid()").await, 102);
                assert_eq!(integer(&second, "SELECT last_insert_rowid()").await, 7);
                assert_eq!(integer(&first, "SELECT changes()").await, 3);
                assert_eq!(integer(&second, "SELECT changes()").await, 1);
            }
            // The writer answers these: it has just served the other session.
            execute(&second, "BEGIN; DELETE FROM rowids WHERE id = 7").await;
            assert_eq!(integer(&second, "SELECT last_insert_rowid()").await, 7);
            assert_eq!(integer(&second, "SELECT changes()").await, 1);
            execute(&second, "COMMIT").await;
            execute(&first, "BEGIN; DELETE FROM rowids WHERE id > 1000").await;
            assert_eq!(integer(&first, "SELECT last_insert_rowid()").await, 102);
            assert_eq!(integer(&first, "SELECT changes()").await, 0);
            assert_eq!(integer(&first, "SELECT total_changes()").await, 3);
            execute(&first, "COMMIT; DELETE FROM rowids").await;
        }
    });
}

#[test]
fn foreign_keys_are_checked_for_the_session_that_asked() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(&cluster, &client, "CREATE TABLE ewes (id INTEGER PRIMARY KEY)").await;
        create(
            &cluster,
            &client,
            "CREATE TABLE lambs (ewe INTEGER REFERENCES ewes)",
        )
        .await;
        for (strict, lax) in pairs(&cluster).await {
            execute(&strict, "PRAGMA foreign_keys = on").await;
            execute(&lax, "PRAGMA foreign_keys = off").await;
            for _ in 0..3 {
                assert_eq!(
                    sqlstate(strict.batch_execute("INSERT INTO lambs VALUES (1)").await),
                    "23503"
                );
                execute(&lax, "INSERT INTO lambs VALUES (1)").await;
                assert_eq!(pragma(&strict, "foreign_keys").await, "1");
                assert_eq!(pragma(&lax, "foreign_keys").await, "0");
            }
            execute(&lax, "BEGIN; INSERT INTO lambs VALUES (2); COMMIT").await;
            execute(&strict, "BEGIN").await;
            assert_eq!(
                sqlstate(strict.batch_execute("INSERT INTO lambs VALUES (2)").await),
                "23503"
            );
            execute(&strict, "ROLLBACK").await;
            execute(&lax, "DELETE FROM lambs").await;
        }
    });
}

#[test]
fn deferring_foreign_keys_ends_with_the_transaction_that_asked() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(&cluster, &client, "CREATE TABLE rams (id INTEGER PRIMARY KEY)").await;
        create(
            &cluster,
            &client,
            "CREATE TABLE horns (ram INTEGER REFERENCES rams)",
        )
        .await;
        for (first, second) in pairs(&cluster).await {
            for session in [&first, &second] {
                execute(session, "PRAGMA foreign_keys = on").await;
            }
            execute(
                &first,
                "BEGIN; PRAGMA defer_foreign_keys = on; INSERT INTO horns VALUES (1)",
            )
            .await;
            execute(&first, "INSERT INTO rams VALUES (1); COMMIT").await;
            for session in [&first, &second] {
                assert_eq!(
                    sqlstate(session.batch_execute("INSERT INTO horns VALUES (2)").await),
                    "23503"
                );
                execute(session, "BEGIN; DELETE FROM horns").await;
                let code = sqlstate(session.batch_execute("INSERT INTO horns VALUES (2)").await);
                assert_eq!(code, "23503", "at once");
                execute(session, "ROLLBACK").await;
            }
            execute(
                &first,
                "BEGIN; PRAGMA defer_foreign_keys = on; INSERT INTO horns VALUES (3)",
            )
            .await;
            assert_eq!(
                sqlstate(first.batch_execute("COMMIT").await),
                "23503",
                "still violated at the end"
            );
            execute(&first, "ROLLBACK; DELETE FROM horns; DELETE FROM rams").await;
        }
    });
}

#[test]
fn one_of_many_that_fails_fails_alone() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(&cluster, &client, "CREATE TABLE flock (id INTEGER PRIMARY KEY)").await;
        create(
            &cluster,
            &client,
            "CREATE TABLE tags (sheep INTEGER REFERENCES flock DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
        let mut sessions = tokio::task::JoinSet::new();
        for session in 0..12_i64 {
            let client = cluster.connect_to_leader().await;
            sessions.spawn(async move {
                execute(&client, "PRAGMA foreign_keys = on").await;
                for round in 0..20 {
                    let id = session * 100 + round;
                    let result = match session % 3 {
                        0 => client.execute("INSERT INTO flock VALUES ($1)", &[&id]).await,
                        1 => {
                            client
                                .execute("INSERT INTO tags VALUES ($1)", &[&(100_000 + id)])
                                .await
                        }
                        // Takes back SQLite's whole transaction, and with it what others did in the same group.
                        _ => {
                            client
                                .execute("INSERT OR ROLLBACK INTO flock VALUES ($1), ($1)", &[&id])
                                .await
                        }
                    };
                    match session % 3 {
                        0 => assert_eq!(result.expect("inserted"), 1),
                        1 => assert_eq!(sqlstate(result), "23503"),
                        _ => assert_eq!(sqlstate(result), "23505"),
                    }
                }
            });
        }
        while let Some(ended) = sessions.join_next().await {
            ended.expect("each got its own answer");
        }
        assert_eq!(integer(&client, "SELECT count(*) FROM flock").await, 80);
        assert_eq!(integer(&client, "SELECT count(*) FROM tags").await, 0);
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn what_a_cancelled_wait_wanted_is_never_done() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(
            &cluster,
            &client,
            "CREATE TABLE given_up (id INTEGER PRIMARY KEY)",
        )
        .await;
        for (waiter, holder) in pairs(&cluster).await {
            execute(&holder, "BEGIN; INSERT INTO given_up VALUES (1)").await;
            let token = waiter.cancel_token();
            let (ended, ()) = tokio::join!(
                waiter.batch_execute("INSERT INTO given_up VALUES (2)"),
                cancel_repeatedly(&token)
            );
            assert_eq!(sqlstate(ended), "57014");
            // It holds the writer still: the wait ended because it was cancelled.
            execute(&holder, "COMMIT").await;
            execute(&client, "INSERT INTO given_up VALUES (3)").await;
            assert_eq!(
                integer(&client, "SELECT count(*) FROM given_up WHERE id = 2").await,
                0
            );
            execute(&client, "DELETE FROM given_up").await;
        }
    });
}

/// A request that comes before the statement finds nothing to stop; so there are several.
async fn cancel_repeatedly(token: &CancelToken) {
    let mut requests = 0;
    until("a few requests to cancel", async || {
        token
            .cancel_query(NoTls)
            .await
            .expect("the node takes requests to cancel");
        requests += 1;
        (requests == 10).then_some(())
    })
    .await;
}

#[test]
fn lock_timeout_counts_waiting_and_not_running() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        create(&cluster, &client, "CREATE TABLE long (n INTEGER)").await;
        for client in [client, cluster.connect_to_follower().await] {
            execute(&client, "SET lock_timeout = '50ms'").await;
            // Takes several times as long.
            let insert = "INSERT INTO long WITH RECURSIVE n(i) AS \
                          (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT count(*) FROM n";
            execute(&client, insert).await;
        }
    });
}

/// By any level's name and in either mode it is the same: every transaction is serializable.
#[test]
fn a_transaction_of_any_level_reads_what_it_wrote_and_of_others_one_snapshot() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        let table = "CREATE TABLE pairs (name TEXT PRIMARY KEY, value INTEGER NOT NULL)";
        create(&cluster, &client, table).await;
        let (one, both) = (
            "SELECT value FROM pairs WHERE name = 'mine'",
            "SELECT min(value) + 1000 * max(value) FROM pairs WHERE name <> 'mine'",
        );
        let levels = [
            "READ UNCOMMITTED",
            "READ COMMITTED",
            "REPEATABLE READ",
            "SERIALIZABLE",
        ];
        for (level, mode) in levels.into_iter().flat_map(|level| {
            let modes = ["pessimistic", "optimistic"];
            modes.map(|mode| (level, mode))
        }) {
            for (first, second) in pairs(&cluster).await {
                let reset = "REPLACE INTO pairs VALUES ('left', 1), ('right', 1), ('mine', 0)";
                execute(&second, reset).await;
                let begin = format!(
                    "SET bellwether.read_consistency = strong; SET bellwether.transaction_mode = {mode}; \
                     BEGIN ISOLATION LEVEL {level}"
                );
                execute(&first, &begin).await;
                assert_eq!(integer(&first, both).await, 1001, "{level} {mode}");
                execute(&second, "UPDATE pairs SET value = 2 WHERE name <> 'mine'").await;
                assert_eq!(integer(&first, both).await, 1001, "{level} {mode}: one snapshot");
                execute(&first, "ROLLBACK").await;

                execute(&first, &format!("BEGIN ISOLATION LEVEL {level}")).await;
                execute(&first, "UPDATE pairs SET value = value + 1 WHERE name = 'mine'").await;
                assert_eq!(integer(&first, one).await, 1, "{level} {mode}: its own write");
                execute(
                    &first,
                    "SAVEPOINT s; UPDATE pairs SET value = 7 WHERE name = 'mine'",
                )
                .await;
                assert_eq!(integer(&first, one).await, 7, "{level} {mode}");
                execute(&first, "ROLLBACK TO s").await;
                assert_eq!(integer(&first, one).await, 1, "{level} {mode}");
                assert_eq!(integer(&second, one).await, 0, "{level} {mode}: nobody else's");
                execute(&first, "COMMIT").await;
                execute(&second, "SET bellwether.read_consistency = strong").await;
                assert_eq!(integer(&second, one).await, 1, "{level} {mode}");
            }
        }
    });
}
