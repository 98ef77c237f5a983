//! COPY through a driver, at the leader and at a follower, which behave the same.

mod support;

use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt};
use support::cluster::Cluster;
use support::run;
use support::shared::shared_cluster;
use tokio_postgres::{Client, Error};

/// A session at the leader and one at a follower, each with the name of a table of its own.
async fn at_leader_and_follower(cluster: &Cluster, name: &str, columns: &str) -> [(String, Client); 2] {
    let leader = cluster.wait_for_leader();
    let follower = cluster.followers()[0];
    let connect = async |node| {
        let client = cluster.connect(node).await.expect("let in");
        let table = format!("{name}_{node}");
        let create = format!("CREATE TABLE {table} ({columns})");
        client.batch_execute(&create).await.expect("a new table");
        (table, client)
    };
    [connect(leader).await, connect(follower).await]
}

/// Sends data in pieces of 1,000 bytes; the answer is how many rows there were.
async fn copy_in(client: &Client, sql: &str, data: &[u8]) -> Result<u64, Error> {
    let sink = client.copy_in(sql).await?;
    let mut sink = std::pin::pin!(sink);
    for piece in data.chunks(1_000) {
        sink.send(Bytes::copy_from_slice(piece)).await?;
    }
    sink.finish().await
}

async fn copy_out(client: &Client, sql: &str) -> Result<Vec<u8>, Error> {
    let stream = client.copy_out(sql).await?;
    let pieces: Vec<Bytes> = stream.try_collect().await?;
    Ok(pieces.concat())
}

async fn count(client: &Client, table: &str) -> i64 {
    let row = client
        .query_one(&format!("SELECT count(*) FROM {table}"), &[])
        .await;
    row.expect("counted").get(0)
}

#[test]
fn rows_go_in_and_come_out_the_same_in_every_format() {
    run(async {
        let cluster = shared_cluster();
        let columns = "id INTEGER PRIMARY KEY, x REAL, t TEXT, b BLOB, f BOOLEAN";
        for (table, client) in at_leader_and_follower(&cluster, "formats", columns).await {
            let text = b"1\t0.5\ttab\\t, \"line\\nend\\\\\t\\\\x00ff\tt\n2\t\\N\t\t\\\\x\tf\n-3\t-1e+300\t\\N\t\\N\t\\N\n";
            let copied = copy_in(&client, &format!("COPY {table} FROM STDIN"), text).await;
            assert_eq!(copied.expect("rows"), 3);
            let ordered = format!("COPY (SELECT * FROM {table} ORDER BY abs(id)) TO STDOUT");
            assert_eq!(copy_out(&client, &ordered).await.expect("rows"), text);
            for options in [
                "(FORMAT csv, HEADER)",
                "(FORMAT csv, NULL 'none', QUOTE '''')",
                "(FORMAT binary)",
            ] {
                let data = copy_out(&client, &format!("{ordered} {options}"))
                    .await
                    .expect(options);
                client
                    .batch_execute(&format!("DELETE FROM {table}"))
                    .await
                    .expect("deleted");
                let copied = copy_in(&client, &format!("COPY {table} FROM STDIN {options}"), &data).await;
                assert_eq!(copied.expect(options), 3);
                assert_eq!(
                    copy_out(&client, &ordered).await.expect("rows"),
                    text,
                    "{options}"
                );
            }
        }
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn many_rows_go_in_as_one_transaction_or_not_at_all() {
    run(async {
        let cluster = shared_cluster();
        for (table, client) in
            at_leader_and_follower(&cluster, "many", "id INTEGER PRIMARY KEY, t TEXT").await
        {
            let mut data: String = (0..20_000).map(|id| format!("{id}\trow {id}\n")).collect();
            let copy = format!("COPY {table} FROM STDIN");
            assert_eq!(
                copy_in(&client, &copy, data.as_bytes()).await.expect("rows"),
                20_000
            );
            client
                .batch_execute(&format!("DELETE FROM {table}"))
                .await
                .expect("deleted");

            data.push_str("7\ta key that is there\n");
            let error = copy_in(&client, &copy, data.as_bytes())
                .await
                .expect_err("a second 7");
            assert_eq!(error.code().expect("told").code(), "23505");
            assert_eq!(count(&client, &table).await, 0);

            let error = copy_in(&client, &copy, b"1\tx\n2\n")
                .await
                .expect_err("half a row");
            let told = error.as_db_error().expect("told");
            assert_eq!(told.code().code(), "22P04");
            assert_eq!(
                told.detail(),
                Some(format!("COPY {table}, line 2: \"2\"").as_str())
            );
            assert_eq!(count(&client, &table).await, 0);
        }
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn a_copy_belongs_to_the_transaction_around_it() {
    run(async {
        let cluster = shared_cluster();
        for (table, mut client) in at_leader_and_follower(&cluster, "within", "id INTEGER PRIMARY KEY").await
        {
            let copy = format!("COPY {table} FROM STDIN");
            let transaction = client.transaction().await.expect("begun");
            let sink = transaction.copy_in(&copy).await.expect("wanted");
            let mut sink = std::pin::pin!(sink);
            sink.send(Bytes::from_static(b"1\n2\n")).await.expect("sent");
            assert_eq!(sink.finish().await.expect("rows"), 2);
            let seen = transaction
                .copy_out(&format!("COPY {table} TO STDOUT"))
                .await
                .expect("rows");
            let seen: Vec<Bytes> = seen.try_collect().await.expect("rows");
            assert_eq!(seen.concat(), b"1\n2\n");
            transaction.rollback().await.expect("rolled back");
            assert_eq!(count(&client, &table).await, 0);
        }
    });
}

#[test]
fn a_client_that_gives_up_leaves_no_rows_and_goes_on() {
    run(async {
        let cluster = shared_cluster();
        for (table, client) in at_leader_and_follower(&cluster, "given_up", "id INTEGER PRIMARY KEY").await {
            let copy = format!("COPY {table} FROM STDIN");
            let sink = client.copy_in::<_, Bytes>(&copy).await.expect("wanted");
            let mut sink = Box::pin(sink);
            let rows: String = (0..5_000).map(|id| format!("{id}\n")).collect();
            sink.send(Bytes::from(rows)).await.expect("sent");
            // Dropped without an end: the driver sends CopyFail.
            drop(sink);
            assert_eq!(count(&client, &table).await, 0);
        }
    });
}
