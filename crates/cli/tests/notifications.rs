//! LISTEN and NOTIFY: whoever listens, at whichever node, hears what was committed, once and in order.

mod support;

use bellwether_types::NodeId;
use futures_util::StreamExt;
use support::cluster::{Cluster, DATABASE};
use support::shared::shared_cluster;
use support::{PATIENCE, execute, run, sqlstate};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Notification};

/// A session, and what it is told.
async fn listener(cluster: &Cluster, node: NodeId) -> (Client, mpsc::UnboundedReceiver<Notification>) {
    let pg = cluster.pg(node);
    let mut config = Config::new();
    config
        .host(pg.ip().to_string())
        .port(pg.port())
        .user("postgres")
        .dbname(DATABASE);
    let (client, mut connection) = config.connect(NoTls).await.expect("let in");
    let (sender, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message {
                let _ = sender.send(notification);
            }
        }
    });
    (client, told)
}

async fn next(told: &mut mpsc::UnboundedReceiver<Notification>) -> (String, String) {
    let notification = tokio::time::timeout(PATIENCE, told.recv())
        .await
        .expect("told in time")
        .expect("the connection lives");
    (
        notification.channel().to_owned(),
        notification.payload().to_owned(),
    )
}

fn pair(channel: &str, payload: &str) -> (String, String) {
    (channel.to_owned(), payload.to_owned())
}

#[test]
fn every_node_hears_what_any_node_tells_in_the_order_of_commits() {
    run(async {
        let cluster = shared_cluster();
        let mut listeners = Vec::new();
        for node in cluster.ids() {
            let (client, told) = listener(&cluster, node).await;
            execute(&client, "LISTEN orders").await;
            listeners.push((client, told));
        }
        let tellers = [
            cluster.connect_to_leader().await,
            cluster.connect_to_follower().await,
        ];
        for number in 0..20 {
            let teller = &tellers[number % 2];
            match number % 3 {
                0 => execute(teller, &format!("NOTIFY orders, '{number}'")).await,
                1 => execute(teller, &format!("SELECT pg_notify('orders', '{number}')")).await,
                _ => {
                    let notify = "SELECT pg_notify('orders', $1)";
                    let text = number.to_string();
                    teller.query(notify, &[&text]).await.expect(notify);
                }
            }
        }
        for (_, told) in &mut listeners {
            for number in 0..20 {
                assert_eq!(next(told).await, pair("orders", &number.to_string()));
            }
        }
    });
}

#[test]
fn what_is_rolled_back_is_told_to_nobody_and_what_is_committed_only_then() {
    run(async {
        let cluster = shared_cluster();
        let (client, mut told) = listener(&cluster, cluster.followers()[0]).await;
        execute(&client, "LISTEN \"Jobs\"; LISTEN jobs").await;
        for teller in [
            cluster.connect_to_leader().await,
            cluster.connect_to_follower().await,
        ] {
            execute(&teller, "BEGIN; NOTIFY jobs, 'taken back'; ROLLBACK").await;
            execute(
                &teller,
                "BEGIN; NOTIFY jobs, 'first'; SAVEPOINT s; NOTIFY jobs, 'gone'",
            )
            .await;
            execute(&teller, "ROLLBACK TO s; NOTIFY \"Jobs\"; NOTIFY jobs, 'first'").await;
            assert!(told.is_empty(), "not committed yet");
            execute(&teller, "COMMIT").await;
            assert_eq!(next(&mut told).await, pair("jobs", "first"));
            assert_eq!(next(&mut told).await, pair("Jobs", ""));
        }
    });
}

#[test]
fn a_session_hears_what_it_listens_to_and_only_while_it_does() {
    run(async {
        let cluster = shared_cluster();
        let teller = cluster.connect_to_leader().await;
        for node in cluster.ids() {
            let (client, mut told) = listener(&cluster, node).await;
            execute(
                &client,
                "BEGIN; LISTEN a; ROLLBACK; LISTEN b; BEGIN; LISTEN c; SAVEPOINT s; LISTEN d",
            )
            .await;
            execute(&client, "ROLLBACK TO s; COMMIT").await;
            for channel in ["a", "b", "c", "d", "B"] {
                execute(&teller, &format!("SELECT pg_notify('{channel}', '1')")).await;
            }
            assert_eq!(next(&mut told).await, pair("b", "1"));
            assert_eq!(next(&mut told).await, pair("c", "1"));
            // Within a transaction it is told nothing.
            execute(&client, "BEGIN; UNLISTEN b").await;
            execute(&teller, "NOTIFY b, '2'; NOTIFY c, '2'").await;
            execute(&client, "SELECT 1; COMMIT").await;
            execute(&teller, "NOTIFY b, '3'; NOTIFY c, '3'").await;
            // What came before UNLISTEN was committed may be told or not, as in PostgreSQL.
            let mut heard = next(&mut told).await;
            if heard == pair("b", "2") {
                heard = next(&mut told).await;
            }
            assert_eq!(heard, pair("c", "2"));
            assert_eq!(next(&mut told).await, pair("c", "3"));
            execute(&client, "DISCARD ALL").await;
            execute(&teller, "NOTIFY c, '4'").await;
            execute(&client, "LISTEN e").await;
            execute(&teller, "NOTIFY e").await;
            assert_eq!(next(&mut told).await, pair("e", ""));
        }
    });
}

#[test]
fn who_listens_sees_the_row_that_it_was_told_of() {
    run(async {
        let cluster = shared_cluster();
        let teller = cluster.connect_to_leader().await;
        execute(&teller, "CREATE TABLE parcels (id INTEGER PRIMARY KEY)").await;
        let trigger = "CREATE TRIGGER parcel_comes AFTER INSERT ON parcels BEGIN SELECT pg_notify('parcels', new.id); END";
        execute(&teller, trigger).await;
        let mut listeners = Vec::new();
        for node in cluster.ids() {
            let (client, told) = listener(&cluster, node).await;
            execute(
                &client,
                "SET bellwether.read_consistency = eventual; LISTEN parcels",
            )
            .await;
            listeners.push((client, told));
        }
        for id in 1..=50_i64 {
            execute(&teller, &format!("INSERT INTO parcels VALUES ({id})")).await;
            for (client, told) in &mut listeners {
                assert_eq!(next(told).await, pair("parcels", &id.to_string()));
                let seen = client
                    .query_one("SELECT max(id) FROM parcels", &[])
                    .await
                    .expect("a row");
                assert_eq!(seen.get::<_, i64>(0), id);
            }
        }
    });
}

#[test]
fn what_cannot_be_told_is_refused() {
    run(async {
        let cluster = shared_cluster();
        for client in [
            cluster.connect_to_leader().await,
            cluster.connect_to_follower().await,
        ] {
            let code = async |sql: &str| sqlstate(client.batch_execute(sql).await);
            let long = "x".repeat(8_000);
            assert_eq!(code(&format!("NOTIFY c, '{long}'")).await, "22023");
            assert_eq!(code("SELECT pg_notify('', 'x')").await, "22023");
            assert_eq!(code("BEGIN READ ONLY; NOTIFY c").await, "25006");
            execute(&client, "ROLLBACK").await;
        }
    });
}

#[test]
fn a_session_goes_on_hearing_after_the_leader_was_killed() {
    run(async {
        let mut cluster = Cluster::start(3);
        let old = cluster.wait_for_leader();
        let survivor = cluster.followers()[0];
        let (client, mut told) = listener(&cluster, survivor).await;
        execute(&client, "LISTEN news").await;
        let teller = cluster.connect(survivor).await.expect("let in");
        execute(&teller, "NOTIFY news, 'before'").await;
        assert_eq!(next(&mut told).await, pair("news", "before"));
        cluster.kill(old);
        for number in 0..10 {
            // Sent at once: the node holds it until another leads, and executes it once.
            execute(&teller, &format!("NOTIFY news, '{number}'")).await;
        }
        for number in 0..10 {
            assert_eq!(next(&mut told).await, pair("news", &number.to_string()));
        }
    });
}
