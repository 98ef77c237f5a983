//! Planned changes of the leader: clients notice no more than a pause.

mod support;

use std::time::Instant;

use bellwether_types::NodeId;
use support::cluster::Cluster;
use support::load::{CREATE, Load, Told, rows};
use support::{refusal, run, until};
use tokio_postgres::Client;

async fn cluster_with_table() -> Cluster {
    let cluster = Cluster::start(3);
    let client = cluster.connect_to_leader().await;
    client.batch_execute(CREATE).await.expect("a new table");
    cluster.assert_equal_fingerprints();
    cluster
}

#[track_caller]
fn assert_nobody_noticed(told: &Told) {
    told.print();
    assert_eq!(told.broken, Vec::<NodeId>::new(), "connections");
    assert!(told.failed.is_empty(), "{:?}", told.failed);
    assert!(told.unknown.is_empty(), "{:?}", told.unknown);
}

async fn assert_kept(cluster: &Cluster, told: &Told) {
    cluster.assert_equal_fingerprints();
    for node in cluster.ids() {
        told.assert_kept(&rows(cluster, node).await, node);
    }
}

#[test]
fn leadership_goes_round_under_load_and_no_statement_or_transaction_fails() {
    run(async {
        let cluster = cluster_with_table().await;
        let load = Load::start(&cluster, &cluster.ids()).await;
        for node in [1, 2, 3, 1, 2, 3] {
            load.wait_for_commits(50).await;
            let client = cluster.connect(NodeId(node % 3 + 1)).await.expect("let in");
            let begun = Instant::now();
            let call = format!("CALL bellwether.switchover({node})");
            client.batch_execute(&call).await.expect("it takes over");
            println!("node {node} leads after {} ms", begun.elapsed().as_millis());
            assert_eq!(cluster.wait_for_leader(), NodeId(node));
        }
        load.wait_for_commits(50).await;
        let told = load.stop().await;
        assert_nobody_noticed(&told);
        assert_kept(&cluster, &told).await;
    });
}

/// A session at the leader whose transaction holds the writer.
async fn holder(cluster: &Cluster) -> Client {
    let holder = cluster.connect_to_leader().await;
    let begin = "BEGIN; INSERT INTO written VALUES (1, 'holder')";
    holder.batch_execute(begin).await.expect("it has the writer");
    holder
}

/// Switches over from a follower, patient for so many milliseconds.
async fn switch_over(cluster: &Cluster, drain_ms: u64) -> Result<(), tokio_postgres::Error> {
    let client = cluster.connect_to_follower().await;
    let set = format!("SET bellwether.drain_timeout = '{drain_ms}ms'");
    client.batch_execute(&set).await.expect("a setting");
    client.batch_execute("CALL bellwether.switchover()").await
}

#[test]
fn a_transaction_that_ends_in_time_commits_and_what_comes_meanwhile_waits() {
    run(async {
        let cluster = cluster_with_table().await;
        let old = cluster.wait_for_leader();
        let holder = holder(&cluster).await;
        let other = cluster.connect(old).await.expect("let in");
        let switching = switch_over(&cluster, 20_000);
        let ending = async {
            // Whoever waits for the writer while it is drained is served by the next leader.
            let waiting = other.batch_execute("INSERT INTO written VALUES (2, 'other')");
            let mut waiting = std::pin::pin!(waiting);
            tokio::select! {
                done = &mut waiting => panic!("the writer is held: {done:?}"),
                () = until_it_is_asked_often(&cluster) => {}
            }
            holder.batch_execute("COMMIT").await.expect("it ends in time");
            waiting.await
        };
        let (switched, waited) = tokio::join!(switching, ending);
        switched.expect("another node leads");
        waited.expect("executed by the next leader");
        assert_ne!(cluster.wait_for_leader(), old);
        cluster.assert_equal_fingerprints();
        let rows = rows(&cluster, old).await;
        assert_eq!((rows.get(&1), rows.get(&2)), (Some(&1), Some(&1)));
    });
}

/// For as long as it takes to ask a follower something a hundred times.
async fn until_it_is_asked_often(cluster: &Cluster) {
    let client = cluster.connect_to_follower().await;
    for _ in 0..100 {
        client.query_one("SELECT 1", &[]).await.expect("a row");
    }
}

#[test]
fn a_transaction_that_does_not_end_gets_40001_and_nothing_of_it_is_there() {
    run(async {
        let cluster = cluster_with_table().await;
        let old = cluster.wait_for_leader();
        let holder = holder(&cluster).await;
        switch_over(&cluster, 100).await.expect("another node leads");
        let (code, message) = refusal(
            holder
                .batch_execute("INSERT INTO written VALUES (3, 'holder')")
                .await,
        );
        assert_eq!(code, "40001", "{message}");
        holder.batch_execute("ROLLBACK").await.expect("the end of it");
        holder
            .batch_execute("INSERT INTO written VALUES (4, 'holder')")
            .await
            .expect("as ever");
        assert_ne!(cluster.wait_for_leader(), old);
        cluster.assert_equal_fingerprints();
        let rows = rows(&cluster, old).await;
        assert_eq!((rows.get(&1), rows.get(&3), rows.get(&4)), (None, None, Some(&1)));
    });
}

#[test]
fn who_cannot_lead_is_refused_and_the_leader_leads_on() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let leader = cluster.wait_for_leader();
        let dead = cluster.followers()[0];
        cluster.kill(dead);
        let client = cluster.connect(leader).await.expect("let in");
        let call = format!("CALL bellwether.switchover({dead})");
        // For half a second it is not known to be dead.
        let refused = until("the refusal", async || {
            let refused = client.batch_execute(&call).await.err()?;
            let refused = refused.as_db_error()?.clone();
            (refused.code().code() == "55000").then(|| refused.message().to_owned())
        })
        .await;
        assert!(refused.contains(&format!("node {dead} cannot lead")), "{refused}");
        let sql = "INSERT INTO written VALUES (5, 'client')";
        client.batch_execute(sql).await.expect("as ever");
    });
}

#[test]
fn a_rolling_restart_is_a_pause_for_the_clients_of_other_nodes() {
    run(async {
        let mut cluster = cluster_with_table().await;
        for node in cluster.ids() {
            let others: Vec<NodeId> = cluster.ids().into_iter().filter(|other| *other != node).collect();
            let load = Load::start(&cluster, &others).await;
            load.wait_for_commits(50).await;
            let own = cluster.connect(node).await.expect("let in");
            // It leads when it is stopped.
            let client = cluster.connect(others[0]).await.expect("let in");
            let call = format!("CALL bellwether.switchover({node})");
            client.batch_execute(&call).await.expect("it takes over");
            cluster.stop(node);
            let told = until("word of the end", async || {
                own.batch_execute("SELECT 1").await.err()
            })
            .await;
            assert!(
                own.is_closed() || told.code().is_some_and(|code| code.code() == "57P01"),
                "{told:?}"
            );
            load.wait_for_commits(50).await;
            cluster.start_node(node);
            cluster.wait_until_ready();
            load.wait_for_commits(50).await;
            let told = load.stop().await;
            assert_nobody_noticed(&told);
        }
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn a_clean_stop_says_57p01_to_whoever_is_there() {
    run(async {
        let mut cluster = Cluster::start(1);
        let node = NodeId(1);
        let mut wire = support::wire::Wire::log_in(cluster.pg(node));
        cluster.stop(node);
        let rest = String::from_utf8_lossy(&wire.raw_rest()).into_owned();
        assert!(rest.contains("57P01"), "{rest}");
    });
}
