//! What a driver sees: tokio-postgres against the leader and against a follower, which behave the same.

mod support;

use bellwether_types::NodeId;
use support::cluster::Cluster;
use support::shared::{Turn, shared_cluster};
use support::{refusal, run, sqlstate, until};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// A session at the leader and one at a follower, in turn.
async fn at_leader_and_follower(cluster: &Cluster) -> [(NodeId, Client); 2] {
    let leader = cluster.wait_for_leader();
    let follower = cluster.followers()[0];
    let connect = async |node| (node, cluster.connect(node).await.expect("let in"));
    [connect(leader).await, connect(follower).await]
}

/// A table of its own for a test at a node.
async fn table(client: &Client, name: &str, node: NodeId, columns: &str) -> String {
    let name = format!("{name}_{node}");
    let create = format!("CREATE TABLE {name} ({columns})");
    client.batch_execute(&create).await.expect("a new table");
    name
}

/// The one integer that a query gives.
async fn integer(client: &Client, sql: &str) -> i64 {
    let row = client.query_one(sql, &[]).await.expect(sql);
    row.get(0)
}

#[test]
fn values_of_every_type_come_back_as_they_went() {
    run(async {
        let cluster = shared_cluster();
        for (node, client) in at_leader_and_follower(&cluster).await {
            let columns = "id INTEGER PRIMARY KEY, n INTEGER, x REAL, t TEXT, b BLOB, f BOOLEAN";
            let table = table(&client, "kinds", node, columns).await;
            let insert = format!("INSERT INTO {table} VALUES ($1, $2, $3, $4, $5, $6)");
            let insert = client.prepare(&insert).await.expect("prepared");
            let expected = [
                Type::INT8,
                Type::INT8,
                Type::FLOAT8,
                Type::TEXT,
                Type::BYTEA,
                Type::BOOL,
            ];
            assert_eq!(insert.params(), expected);
            let blob: &[u8] = &[0, 255, 39, 92];
            for (id, n) in [(1_i64, i64::MIN), (2, i64::MAX), (3, 0)] {
                let added = client
                    .execute(&insert, &[&id, &n, &0.1_f64, &"Dölly 🐑 '\"\\", &blob, &true])
                    .await;
                assert_eq!(added.expect("inserted"), 1);
            }
            let nulls = client.execute(
                &insert,
                &[
                    &4_i64,
                    &None::<i64>,
                    &None::<f64>,
                    &None::<&str>,
                    &None::<&[u8]>,
                    &None::<bool>,
                ],
            );
            assert_eq!(nulls.await.expect("inserted"), 1);

            let select = client
                .prepare(&format!("SELECT * FROM {table} ORDER BY id"))
                .await
                .expect("prepared");
            let types: Vec<Type> = select
                .columns()
                .iter()
                .map(|column| column.type_().clone())
                .collect();
            assert_eq!(types, expected);
            let rows = client.query(&select, &[]).await.expect("read");
            assert_eq!(rows.len(), 4);
            assert_eq!(rows[0].get::<_, i64>("n"), i64::MIN);
            assert_eq!(rows[1].get::<_, i64>("n"), i64::MAX);
            assert_eq!(rows[2].get::<_, f64>("x"), 0.1);
            assert_eq!(rows[2].get::<_, &str>("t"), "Dölly 🐑 '\"\\");
            assert_eq!(rows[2].get::<_, &[u8]>("b"), blob);
            assert!(rows[2].get::<_, bool>("f"));
            assert_eq!(rows[3].get::<_, Option<i64>>("n"), None);
            assert_eq!(rows[3].get::<_, Option<&[u8]>>("b"), None);
        }
    });
}

#[test]
fn parameters_bind_by_their_number() {
    run(async {
        let cluster = shared_cluster();
        for (_, client) in at_leader_and_follower(&cluster).await {
            let row = client
                .query_typed("SELECT $2, $1, $2", &[(&"one", Type::TEXT), (&"two", Type::TEXT)])
                .await
                .expect("read");
            let values: Vec<&str> = (0..3).map(|column| row[0].get(column)).collect();
            assert_eq!(values, ["two", "one", "two"]);
        }
    });
}

#[test]
fn a_committed_transaction_is_seen_and_a_rolled_back_one_is_not() {
    run(async {
        let cluster = shared_cluster();
        for (node, mut client) in at_leader_and_follower(&cluster).await {
            let table = table(&client, "ends", node, "id INTEGER PRIMARY KEY").await;
            let insert = format!("INSERT INTO {table} VALUES ($1)");
            let count = format!("SELECT count(*) FROM {table}");

            let transaction = client.transaction().await.expect("begun");
            transaction.execute(&insert, &[&1_i64]).await.expect("inserted");
            transaction.commit().await.expect("committed");
            let transaction = client.transaction().await.expect("begun");
            transaction.execute(&insert, &[&2_i64]).await.expect("inserted");
            let seen: i64 = transaction.query_one(&count, &[]).await.expect("read").get(0);
            assert_eq!(seen, 2, "a transaction sees its own writes");
            transaction.rollback().await.expect("rolled back");
            assert_eq!(integer(&client, &count).await, 1);
        }
    });
}

#[test]
fn savepoints_take_back_what_came_after_them_also_a_failure() {
    run(async {
        let cluster = shared_cluster();
        for (node, mut client) in at_leader_and_follower(&cluster).await {
            let table = table(&client, "savepoints", node, "id INTEGER PRIMARY KEY").await;
            let insert = format!("INSERT INTO {table} VALUES ($1)");
            let mut transaction = client.transaction().await.expect("begun");
            transaction.execute(&insert, &[&1_i64]).await.expect("inserted");

            let savepoint = transaction.savepoint("a").await.expect("taken");
            savepoint.execute(&insert, &[&2_i64]).await.expect("inserted");
            savepoint.rollback().await.expect("rolled back to");

            let mut savepoint = transaction.savepoint("b").await.expect("taken");
            savepoint.execute(&insert, &[&3_i64]).await.expect("inserted");
            let inner = savepoint.savepoint("c").await.expect("taken");
            assert_eq!(sqlstate(inner.execute(&insert, &[&3_i64]).await), "23505");
            inner.rollback().await.expect("rolled back to");
            savepoint.commit().await.expect("released");

            transaction.execute(&insert, &[&4_i64]).await.expect("inserted");
            transaction.commit().await.expect("committed");
            let ids = format!("SELECT group_concat(id) FROM (SELECT id FROM {table} ORDER BY id)");
            let ids = client.query_one(&ids, &[]).await.expect("read");
            assert_eq!(ids.get::<_, &str>(0), "1,3,4");
        }
    });
}

#[test]
fn a_failed_transaction_takes_nothing_but_its_end() {
    run(async {
        let cluster = shared_cluster();
        for (node, client) in at_leader_and_follower(&cluster).await {
            let table = table(&client, "failed", node, "id INTEGER PRIMARY KEY").await;
            client
                .batch_execute(&format!("BEGIN; INSERT INTO {table} VALUES (1)"))
                .await
                .expect("inserted");
            assert_eq!(sqlstate(client.batch_execute("SELECT nonsense").await), "42703");
            assert_eq!(sqlstate(client.batch_execute("SELECT 1").await), "25P02");
            assert_eq!(sqlstate(client.query("SELECT 1", &[]).await), "25P02");
            client
                .batch_execute("COMMIT")
                .await
                .expect("COMMIT ends it as ROLLBACK");
            assert_eq!(
                integer(&client, &format!("SELECT count(*) FROM {table}")).await,
                0
            );
        }
    });
}

#[test]
fn a_pipeline_is_answered_in_order() {
    run(async {
        let cluster = shared_cluster();
        for (node, client) in at_leader_and_follower(&cluster).await {
            let table = table(&client, "pipeline", node, "id INTEGER PRIMARY KEY").await;
            let insert = client
                .prepare(&format!("INSERT INTO {table} VALUES ($1) RETURNING id * 2"))
                .await;
            let insert = insert.expect("prepared");
            // Polled together, all are sent before the first is answered.
            let (one, two, again, three) = tokio::join!(
                client.query_one(&insert, &[&1_i64]),
                client.query_one(&insert, &[&2_i64]),
                client.query_one(&insert, &[&2_i64]),
                client.query_one(&insert, &[&3_i64]),
            );
            assert_eq!(one.expect("inserted").get::<_, i64>(0), 2);
            assert_eq!(two.expect("inserted").get::<_, i64>(0), 4);
            assert_eq!(sqlstate(again), "23505");
            assert_eq!(three.expect("inserted").get::<_, i64>(0), 6);
        }
    });
}

#[test]
fn a_portal_gives_its_rows_in_pieces() {
    run(async {
        let cluster = shared_cluster();
        for (node, mut client) in at_leader_and_follower(&cluster).await {
            let table = table(&client, "portal", node, "id INTEGER PRIMARY KEY").await;
            let fill = format!(
                "INSERT INTO {table} WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
             SELECT i FROM n"
            );
            assert_eq!(client.execute(&fill, &[]).await.expect("inserted"), 1000);
            let transaction = client.transaction().await.expect("begun");
            let select = format!("SELECT id FROM {table} ORDER BY id");
            let portal = transaction.bind(&select, &[]).await.expect("bound");
            let other = transaction.bind(&select, &[]).await.expect("bound");
            let mut seen = Vec::new();
            loop {
                let rows = transaction.query_portal(&portal, 300).await.expect("read");
                if rows.is_empty() {
                    break;
                }
                seen.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
                let first = transaction
                    .query_portal(&other, 1)
                    .await
                    .expect("two portals at once");
                assert!(first.len() <= 1);
            }
            assert_eq!(seen, Vec::from_iter(1..=1000));
            transaction.commit().await.expect("committed");
        }
    });
}

/// The integers that FETCH gives by the simple protocol.
async fn fetch(client: &Client, sql: &str) -> Vec<i64> {
    let messages = client.simple_query(sql).await.expect(sql);
    let number = |message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).and_then(|text| text.parse().ok()),
        _ => None,
    };
    messages.into_iter().filter_map(number).collect()
}

#[test]
fn cursors_show_what_was_there_when_they_were_opened_whatever_their_transaction_writes_meanwhile() {
    run(async {
        let cluster = shared_cluster();
        for (node, client) in at_leader_and_follower(&cluster).await {
            let table = table(&client, "cursor", node, "id INTEGER PRIMARY KEY").await;
            let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n";
            client
                .batch_execute(&format!("INSERT INTO {table} {numbers}"))
                .await
                .expect("inserted");
            // One is read before the writer is taken, one after.
            client
                .batch_execute(&format!(
                    "BEGIN; DECLARE early CURSOR FOR SELECT id FROM {table} ORDER BY id"
                ))
                .await
                .expect("declared");
            assert_eq!(fetch(&client, "FETCH 2 FROM early").await, [1, 2]);
            let write = format!("DELETE FROM {table} WHERE id = 3");
            assert_eq!(client.execute(&write, &[]).await.expect("deleted"), 1);
            client
                .batch_execute(&format!(
                    "DECLARE late CURSOR FOR SELECT id FROM {table} ORDER BY id"
                ))
                .await
                .expect("declared");
            assert_eq!(fetch(&client, "FETCH 3 FROM late").await, [1, 2, 4]);
            let write = format!("INSERT INTO {table} VALUES (0), (5001) RETURNING id");
            assert_eq!(client.query(&write, &[]).await.expect("inserted").len(), 2);
            client.batch_execute("SAVEPOINT s").await.expect("a savepoint");
            assert_eq!(fetch(&client, "FETCH 2 FROM early").await, [3, 4]);
            assert_eq!(
                fetch(&client, "FETCH ALL FROM late").await,
                Vec::from_iter(5..=5000)
            );
            assert_eq!(fetch(&client, "FETCH ALL FROM early").await.len(), 4996);
            client.batch_execute("COMMIT").await.expect("committed");
            assert_eq!(
                integer(&client, &format!("SELECT count(*) FROM {table}")).await,
                5001
            );
        }
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn a_write_is_done_whole_though_nobody_fetches_all_it_returns() {
    run(async {
        let cluster = shared_cluster();
        for (node, mut client) in at_leader_and_follower(&cluster).await {
            let table = table(&client, "returned", node, "id INTEGER PRIMARY KEY, t TEXT").await;
            let fill = format!(
                "INSERT INTO {table} WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
                 SELECT i, 'a text that takes some room' FROM n RETURNING *"
            );
            let transaction = client.transaction().await.expect("begun");
            let portal = transaction.bind(&fill, &[]).await.expect("bound");
            assert_eq!(
                transaction.query_portal(&portal, 10).await.expect("read").len(),
                10
            );
            transaction.commit().await.expect("committed");
            assert_eq!(
                integer(&client, &format!("SELECT count(*) FROM {table}")).await,
                20_000
            );
        }
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn a_running_query_is_cancelled_and_its_session_goes_on() {
    run(async {
        let cluster = shared_cluster();
        for (node, client) in at_leader_and_follower(&cluster).await {
            let endless =
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
            let token = client.cancel_token();
            let (result, ()) = tokio::join!(client.query_one(endless, &[]), cancel_until_done(&token));
            let (code, message) = refusal(result);
            assert_eq!(
                (code.as_str(), message.contains("cancel")),
                ("57014", true),
                "node {node}: {message}"
            );
            assert_eq!(integer(&client, "SELECT count(*)").await, 1);
        }
    });
}

/// A request that comes before the query has begun finds nothing to stop; so there are several.
async fn cancel_until_done(token: &tokio_postgres::CancelToken) {
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
fn a_statement_that_takes_too_long_is_stopped() {
    run(async {
        let cluster = shared_cluster();
        for (node, client) in at_leader_and_follower(&cluster).await {
            client
                .batch_execute("SET statement_timeout = '100ms'")
                .await
                .expect("set");
            let endless =
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
            assert_eq!(
                sqlstate(client.query_one(endless, &[]).await),
                "57014",
                "node {node}"
            );
            let table = format!("too_long_{node}");
            let write = format!("CREATE TABLE {table} AS {endless}");
            assert_eq!(
                sqlstate(client.batch_execute(&write).await),
                "57014",
                "node {node}"
            );
            client
                .batch_execute("RESET statement_timeout")
                .await
                .expect("reset");
            let count = format!("SELECT count(*) FROM sqlite_schema WHERE name = '{table}'");
            assert_eq!(integer(&client, &count).await, 0, "node {node}");
        }
    });
}

#[test]
fn several_statements_in_one_query_are_one_transaction() {
    run(async {
        let cluster = shared_cluster();
        for (node, client) in at_leader_and_follower(&cluster).await {
            let table = table(&client, "several", node, "id INTEGER PRIMARY KEY").await;
            let script = format!(
                "INSERT INTO {table} VALUES (1); INSERT INTO {table} VALUES (2), (3); SELECT * FROM {table}"
            );
            let answers = client.simple_query(&script).await.expect("all of it");
            let counts: Vec<u64> = answers
                .iter()
                .filter_map(|answer| match answer {
                    SimpleQueryMessage::CommandComplete(count) => Some(*count),
                    _ => None,
                })
                .collect();
            assert_eq!(counts, [1, 2, 3]);
            let failing = format!("INSERT INTO {table} VALUES (4); INSERT INTO {table} VALUES (1)");
            assert_eq!(sqlstate(client.batch_execute(&failing).await), "23505");
            assert_eq!(
                integer(&client, &format!("SELECT count(*) FROM {table}")).await,
                3
            );
        }
    });
}

#[test]
fn violated_constraints_have_the_codes_that_drivers_look_for() {
    run(async {
        let cluster = shared_cluster();
        for (node, client) in at_leader_and_follower(&cluster).await {
            let columns = "id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, age INTEGER CHECK (age >= 0)";
            let parent = table(&client, "flock", node, columns).await;
            let columns = format!("parent INTEGER REFERENCES {parent} DEFERRABLE INITIALLY DEFERRED");
            let child = table(&client, "lambs", node, &columns).await;
            let fails = async |sql: String| sqlstate(client.batch_execute(&sql).await);
            client
                .batch_execute(&format!("INSERT INTO {parent} VALUES (1, 'Dolly', 6)"))
                .await
                .expect("inserted");
            assert_eq!(
                fails(format!("INSERT INTO {parent} VALUES (1, 'Shaun', 6)")).await,
                "23505"
            );
            assert_eq!(
                fails(format!("INSERT INTO {parent} VALUES (2, 'Dolly', 6)")).await,
                "23505"
            );
            assert_eq!(
                fails(format!("INSERT INTO {parent} VALUES (2, NULL, 6)")).await,
                "23502"
            );
            assert_eq!(
                fails(format!("INSERT INTO {parent} VALUES (2, 'Shaun', -1)")).await,
                "23514"
            );
            assert_eq!(fails(format!("SELECT * FROM {parent}_2")).await, "42P01");
            assert_eq!(fails(format!("SELECT nick FROM {parent}")).await, "42703");
            assert_eq!(fails(format!("CREATE TABLE {parent} (id)")).await, "42P07");
            assert_eq!(fails("SELEC 1".to_owned()).await, "42601");
            client
                .batch_execute("PRAGMA foreign_keys = on")
                .await
                .expect("set");
            assert_eq!(fails(format!("INSERT INTO {child} VALUES (9)")).await, "23503");
            client
                .batch_execute(&format!("BEGIN; INSERT INTO {child} VALUES (2)"))
                .await
                .expect("deferred");
            client
                .batch_execute(&format!("INSERT INTO {parent} VALUES (2, 'Shaun', 1); COMMIT"))
                .await
                .expect("satisfied");
        }
    });
}

#[test]
fn the_schema_can_change_while_statements_are_prepared() {
    run(async {
        let cluster = shared_cluster();
        for (node, client) in at_leader_and_follower(&cluster).await {
            let table = table(&client, "changing", node, "id INTEGER PRIMARY KEY").await;
            let insert = client
                .prepare(&format!("INSERT INTO {table} (id) VALUES ($1)"))
                .await
                .expect("prepared");
            let select = client
                .prepare(&format!("SELECT * FROM {table}"))
                .await
                .expect("prepared");
            client.execute(&insert, &[&1_i64]).await.expect("inserted");
            client
                .batch_execute(&format!("ALTER TABLE {table} ADD COLUMN name TEXT DEFAULT 'x'"))
                .await
                .expect("altered");
            client.execute(&insert, &[&2_i64]).await.expect("inserted");
            let (code, message) = refusal(client.query(&select, &[]).await);
            assert_eq!(
                (code.as_str(), message.as_str()),
                ("0A000", "cached plan must not change result type")
            );
            assert_eq!(
                client
                    .query(&format!("SELECT * FROM {table}"), &[])
                    .await
                    .expect("read")
                    .len(),
                2
            );
        }
    });
}

/// The rows that a simple query gives, columns joined by `|`, a NULL as nothing.
async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let answers = client.simple_query(sql).await.expect(sql);
    let rows = answers.iter().filter_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| {
        let values: Vec<&str> = (0..row.len()).map(|at| row.get(at).unwrap_or_default()).collect();
        values.join("|")
    })
    .collect()
}

#[test]
fn a_column_has_one_name_however_it_is_asked_for() {
    run(async {
        let cluster = shared_cluster();
        for (node, client) in at_leader_and_follower(&cluster).await {
            let table = table(&client, "called", node, "id INTEGER PRIMARY KEY, Name TEXT").await;
            let insert = format!("INSERT INTO {table} VALUES (1, 'Dolly')");
            client.batch_execute(&insert).await.expect("inserted");
            let queries = [
                format!("SELECT name FROM {table}"),
                format!("SELECT (name), ({table}.id) FROM {table}"),
                format!("SELECT (SELECT name FROM {table} WHERE id = 1)"),
                format!(
                    "INSERT INTO {table} (name) VALUES ('x') RETURNING (SELECT max(1)), (SELECT name FROM {table})"
                ),
            ];
            for sql in &queries {
                let answers = client.simple_query(sql).await.expect(sql);
                let simple = answers.iter().find_map(|answer| match answer {
                    SimpleQueryMessage::Row(row) => Some(row.columns()),
                    _ => None,
                });
                let simple: Vec<&str> = simple
                    .expect("a row")
                    .iter()
                    .map(|column| column.name())
                    .collect();
                let prepared = client.prepare(&format!("{sql} -- again")).await.expect(sql);
                let described: Vec<&str> = prepared.columns().iter().map(|column| column.name()).collect();
                assert_eq!(simple, described, "{sql}");
                // More than are remembered.
                for other in 0..300 {
                    let other = format!("SELECT {other}");
                    client.simple_query(&other).await.expect("answered");
                }
                assert_eq!(client.query(&prepared, &[]).await.expect(sql).len(), 1);
            }
        }
    });
}

#[test]
fn execute_binds_what_its_arguments_are() {
    run(async {
        let cluster = shared_cluster();
        for (_, client) in at_leader_and_follower(&cluster).await {
            let cases = [
                ("", "SELECT $1::int + 1, $1::text", "'41'", "42|41"),
                ("", "SELECT $1::numeric(5,2)", "1.239", "1.24"),
                ("", "SELECT $1::date", "'2024-2-1'", "2024-02-01"),
                ("(text)", "SELECT $1::double precision * 2", "'1.5'", "3"),
                (
                    "(int -- one\n, text)",
                    "SELECT $1 + 1, $2",
                    "1 -- one\n, 'a' || 'b' --\n",
                    "2|ab",
                ),
                ("(int)", "SELECT $1, typeof($2)", "1.5 + 1, x'00'", "3|blob"),
                ("(float, int)", "SELECT typeof($1), $1", "2, 3", "real|2"),
                ("(int[])", "SELECT 2 = ANY ($1)", "ARRAY[1, 2]", "t"),
                (
                    "(date, bool)",
                    "SELECT $1, $2::bool",
                    "DATE '2024-2-1', 'yes'",
                    "2024-02-01|t",
                ),
                ("(json)", "SELECT $1 ->> 'a'", "'{\"a\": 7}'", "7"),
                ("", "SELECT now() - INTERVAL '1 day' < $1", "now()", "t"),
            ];
            for (types, statement, arguments, expected) in cases {
                let prepare = format!("PREPARE s {types} AS {statement}");
                let script = format!("{prepare}; EXECUTE s({arguments}); DEALLOCATE s");
                assert_eq!(rows(&client, &script).await, [expected], "{script}");
            }
            let twice = "PREPARE s AS SELECT $1 = $1; EXECUTE s(random()); DEALLOCATE s";
            assert_eq!(rows(&client, twice).await, ["t"], "computed once");
        }
    });
}

#[test]
fn arguments_of_execute_see_no_columns_and_are_of_no_transaction() {
    run(async {
        let cluster = shared_cluster();
        for (node, client) in at_leader_and_follower(&cluster).await {
            let table = table(&client, "argued", node, "id INTEGER PRIMARY KEY, at TEXT").await;
            let prepare = format!(
                "INSERT INTO {table} (id) VALUES (1), (2), (3); \
                 PREPARE d (int) AS DELETE FROM {table} WHERE id = $1; \
                 PREPARE i AS INSERT INTO {table} VALUES ($1, $2) RETURNING id"
            );
            client.batch_execute(&prepare).await.expect("prepared");
            for (sql, code) in [
                ("EXECUTE d(id)", "42703"),
                ("EXECUTE d((SELECT 1))", "0A000"),
                ("EXECUTE d('x')", "22P02"),
                ("EXECUTE d(3000000000)", "22003"),
                ("EXECUTE d(generate_series(1, 3))", "0A000"),
                ("EXECUTE d($1)", "08P01"),
                ("PREPARE p (interval) AS SELECT $1", "0A000"),
            ] {
                assert_eq!(sqlstate(client.batch_execute(sql).await), code, "{sql}");
            }
            // Outside of a transaction, in one that writes, and in one that has not written yet.
            assert_eq!(rows(&client, "EXECUTE i(4, now())").await, ["4"]);
            let script = "BEGIN; EXECUTE d(1); EXECUTE i(5, now())";
            assert_eq!(rows(&client, script).await, ["5"]);
            client.batch_execute("ROLLBACK; BEGIN").await.expect("as it was");
            let script = "EXECUTE i(5 + random() % 1, now()); COMMIT";
            assert_eq!(rows(&client, script).await, ["5"]);
            let all = format!("SELECT group_concat(id) FROM {table}");
            assert_eq!(rows(&client, &all).await, ["1,2,3,4,5"]);
        }
    });
}

#[test]
fn what_one_node_was_told_every_node_knows() {
    run(async {
        let cluster: Turn = shared_cluster();
        let follower = cluster.connect_to_follower().await;
        let script = "CREATE TABLE everywhere (id INTEGER PRIMARY KEY, name TEXT); \
                  INSERT INTO everywhere (name) VALUES ('Dolly'), ('Shaun')";
        follower.batch_execute(script).await.expect("done at the leader");
        cluster.assert_equal_fingerprints();
        for node in cluster.ids() {
            let client = cluster.connect(node).await.expect("let in");
            assert_eq!(
                integer(&client, "SELECT count(*) FROM everywhere").await,
                2,
                "node {node}"
            );
        }
    });
}
