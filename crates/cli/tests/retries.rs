//! Writes whose answer was lost on its way: the client's node asks again, and the client is answered as if nothing had
//! happened; or it hears, as the last word on its connection, what to ask about.

mod support;

use bellwether_types::NodeId;
use support::cluster::Cluster;
use support::wire::{Message, Wire, message, text};
use support::{execute, page, run, until, wait_for};
use tokio_postgres::Client;

/// Every kind of value.
const INSERT: &str = "INSERT INTO sheep (id, weight, price, name, fleece, mother) VALUES \
    (1, 62.5, 12.30, 'Dolly', x'00ff', NULL), (2, -0.0, NULL, '', x'', 1) RETURNING *, id + 1, name AS called";

const TWO: &str = "INSERT INTO sheep (id, name) VALUES (3, 'Shaun') RETURNING id, name; \
    UPDATE sheep SET name = 'Timmy' WHERE id = 3 RETURNING name";

async fn cluster_with_table() -> Cluster {
    let cluster = Cluster::start(3);
    let client = cluster.connect_to_leader().await;
    execute(
        &client,
        "CREATE TABLE sheep (id INTEGER PRIMARY KEY, weight DOUBLE PRECISION, price NUMERIC(7, 2), \
         name VARCHAR(20), fleece BYTEA, mother BIGINT)",
    )
    .await;
    cluster.assert_equal_fingerprints();
    cluster
}

async fn count(client: &Client) -> i64 {
    let row = client.query_one("SELECT count(*) FROM sheep", &[]).await;
    row.expect("a count").get(0)
}

/// What a simple query is answered, but for the settings that are told with it: tokens differ.
fn answer(wire: &mut Wire) -> Vec<Message> {
    let mut messages = Vec::new();
    loop {
        let message = wire.next().expect("an answer");
        match message.tag {
            b'Z' => return messages,
            b'S' => {}
            _ => messages.push(message),
        }
    }
}

fn ask(wire: &mut Wire, sql: &str) {
    wire.send(&message(b'Q', &text(sql)));
}

/// The client's node has the record, so a quorum has; the leader has not answered: it waits for its other follower.
#[test]
fn a_write_whose_leader_died_before_it_answered_is_answered_with_its_rows() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let leader = cluster.wait_for_leader();
        let [near, standby] = cluster.followers()[..] else {
            panic!("two followers of three nodes")
        };
        let mut wires = [INSERT, TWO].map(|sql| (sql, Wire::log_in(cluster.pg(near))));
        let expected: Vec<Vec<Message>> = wires
            .iter_mut()
            .map(|(sql, wire)| {
                ask(wire, sql);
                answer(wire)
            })
            .collect();
        for (told, rows) in expected.iter().zip([2, 2]) {
            let is_row = |message: &&Message| message.tag == b'D';
            assert_eq!(told.iter().filter(is_row).count(), rows, "{told:?}");
        }
        let client = cluster.connect(leader).await.expect("let in");
        execute(&client, "DELETE FROM sheep").await;
        let rule = format!("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (node_{standby})'");
        execute(&client, &rule).await;
        let watcher = cluster.connect(near).await.expect("let in");
        execute(&watcher, "SET bellwether.read_consistency = eventual").await;
        until("the rule is known, and all is gone", async || {
            let shown = client.query_one("SHOW synchronous_standby_names", &[]).await;
            let is_set = !shown.expect("a setting").get::<_, String>(0).is_empty();
            (is_set && count(&watcher).await == 0).then_some(())
        })
        .await;

        cluster.pause(standby);
        for ((sql, wire), there) in wires.iter_mut().zip([2, 3]) {
            ask(wire, sql);
            until("a quorum has it", async || {
                (count(&watcher).await == there).then_some(())
            })
            .await;
        }
        cluster.kill(leader);
        cluster.resume(standby);
        for ((sql, wire), expected) in wires.iter_mut().zip(&expected) {
            assert_eq!(answer(wire), *expected, "{sql}");
        }
        assert_eq!(count(&watcher).await, 3, "executed once");
        cluster.start_node(leader);
        cluster.wait_until_ready();
        cluster.assert_equal_fingerprints();
    });
}

/// Of one node's statements that it has sent to the leader.
fn forwarded(cluster: &Cluster, node: NodeId) -> u64 {
    let page = page(cluster.http(node), "/metrics");
    let line = page
        .lines()
        .find(|line| line.starts_with("bellwether_statements_total{at=\"leader\"}"));
    let value = line.and_then(|line| line.rsplit(' ').next());
    let value = value.and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("no such metric in {page}"))
}

#[test]
fn a_node_that_stops_names_the_transactions_of_which_it_does_not_know_the_outcome() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let leader = cluster.wait_for_leader();
        let [near, other] = cluster.followers()[..] else {
            panic!("two followers of three nodes")
        };
        let [mut committing, mut writing, mut idle, mut open] =
            std::array::from_fn(|_| Wire::log_in(cluster.pg(near)));
        open.query("BEGIN; SELECT 1");
        committing.query("BEGIN; INSERT INTO sheep (id) VALUES (1)");
        let before = forwarded(&cluster, near);
        cluster.pause(leader);
        cluster.pause(other);
        ask(&mut committing, "COMMIT");
        ask(&mut writing, "INSERT INTO sheep (id) VALUES (2)");
        wait_for("it is on its way", || {
            (forwarded(&cluster, near) > before).then_some(())
        });
        cluster.stop(near);
        for silent in [&mut idle, &mut open] {
            let last = silent.wait_for(b'E');
            assert_eq!(last.field(b'C'), "57P01");
            assert_eq!(silent.rest(), []);
        }
        let mut ids = Vec::new();
        for busy in [&mut committing, &mut writing] {
            let last = busy.wait_for(b'E');
            assert_eq!(
                (last.field(b'C'), last.field(b'S')),
                ("08007".to_owned(), "FATAL".to_owned())
            );
            let hint = last.field(b'H');
            let id = hint.split('\'').nth(1).expect("an id").to_owned();
            assert!(last.field(b'D').contains(&id), "{last:?}");
            assert_eq!(busy.rest(), [], "nothing comes after it");
            ids.push(id);
        }
        cluster.resume(leader);
        cluster.resume(other);
        cluster.start_node(near);
        cluster.wait_until_ready();
        let client = cluster.connect_to_leader().await;
        let mut committed = 0;
        for id in &ids {
            let row = client.query_one("SELECT pg_xact_status($1)", &[id]).await;
            let status: Option<String> = row.expect("a status").get(0);
            let status = status.expect("it is known");
            assert!(["committed", "aborted"].contains(&status.as_str()), "{status}");
            committed += i64::from(status == "committed");
        }
        assert_eq!(count(&client).await, committed);
        cluster.assert_equal_fingerprints();
    });
}
