//! Nodes that die, freeze and come back while clients write: nothing that was acknowledged is lost or done twice.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use bellwether_types::NodeId;
use support::cluster::Cluster;
use support::load::{CREATE, Load, Told, rows};
use support::{run, sqlstate, until};

/// Commits before and after each blow.
const COMMITS: usize = 100;

async fn cluster_with_table() -> Cluster {
    let cluster = Cluster::start(3);
    let client = cluster.connect_to_leader().await;
    client.batch_execute(CREATE).await.expect("a new table");
    // The writers at the followers must find it.
    cluster.assert_equal_fingerprints();
    cluster
}

/// That every node has what the writers were told, and the same.
async fn assert_kept_everywhere(cluster: &Cluster, told: &Told) {
    told.print();
    cluster.assert_equal_fingerprints();
    for node in cluster.ids() {
        told.assert_kept(&rows(cluster, node).await, node);
    }
}

#[test]
fn a_leader_killed_under_load_costs_no_connection_of_others_and_no_acknowledged_write() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let leader = cluster.wait_for_leader();
        let survivors = cluster.followers();
        let load = Load::start(&cluster, &survivors).await;
        load.wait_for_commits(COMMITS).await;

        let killed = Instant::now();
        cluster.kill(leader);
        load.wait_for_commits(1).await;
        println!(
            "the next commit was answered {} ms after the kill",
            killed.elapsed().as_millis()
        );
        let successor = cluster.wait_for_leader_other_than(leader);
        assert!(survivors.contains(&successor));
        load.wait_for_commits(COMMITS).await;

        cluster.start_node(leader);
        cluster.wait_until_ready();
        load.wait_for_commits(COMMITS).await;
        let told = load.stop().await;
        assert_eq!(
            told.broken,
            Vec::<NodeId>::new(),
            "connections of nodes that stayed"
        );
        assert_kept_everywhere(&cluster, &told).await;
    });
}

#[test]
fn leaders_killed_one_after_another_leave_the_same_content_everywhere() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let mut all = Vec::new();
        for _ in 0..3 {
            let leader = cluster.wait_for_leader();
            // At the leader too: what its clients do not know must be the only doubt.
            let load = Load::start(&cluster, &cluster.ids()).await;
            load.wait_for_commits(COMMITS).await;
            cluster.kill(leader);
            cluster.wait_for_leader_other_than(leader);
            load.wait_for_commits(COMMITS / 2).await;
            cluster.start_node(leader);
            cluster.wait_until_ready();
            let told = load.stop().await;
            assert!(
                told.broken.iter().all(|node| *node == leader),
                "{:?}",
                told.broken
            );
            all.push(told);
            let client = cluster.connect_to_leader().await;
            let told = all.last().expect("just pushed");
            assert_kept_everywhere(&cluster, told).await;
            client
                .batch_execute("DELETE FROM written")
                .await
                .expect("for the next round");
            cluster.assert_equal_fingerprints();
        }
    });
}

#[test]
fn all_nodes_killed_at_once_come_back_with_every_acknowledged_write() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let load = Load::start(&cluster, &cluster.ids()).await;
        load.wait_for_commits(COMMITS * 2).await;
        for node in cluster.ids() {
            cluster.kill(node);
        }
        let told = load.stop().await;
        for node in cluster.ids() {
            cluster.start_node(node);
        }
        cluster.wait_until_ready();
        assert_kept_everywhere(&cluster, &told).await;
        let client = cluster.connect_to_leader().await;
        client
            .batch_execute("INSERT INTO written VALUES (-1, 'after')")
            .await
            .expect("it goes on");
    });
}

#[test]
fn a_frozen_leader_answers_no_stale_strong_read_when_it_wakes() {
    run(async {
        let cluster = cluster_with_table().await;
        let leader = cluster.wait_for_leader();
        let survivors = cluster.followers();
        let mut readers: Vec<tokio_postgres::Client> = Vec::new();
        for _ in 0..8 {
            let reader = cluster.connect(leader).await.expect("let in");
            let set = "SET bellwether.read_consistency = strong; SET bellwether.wait_timeout = '20s'";
            reader.batch_execute(set).await.expect("set");
            readers.push(reader);
        }
        let load = Load::start(&cluster, &survivors).await;
        load.wait_for_commits(COMMITS).await;

        cluster.pause(leader);
        cluster.wait_for_leader_other_than(leader);
        load.wait_for_commits(COMMITS).await;
        let before = load.told();
        // Asked while it is frozen, so that they are the first thing it sees.
        let asked: Vec<_> = readers
            .into_iter()
            .map(|reader| {
                tokio::spawn(async move { reader.query("SELECT DISTINCT id FROM written", &[]).await })
            })
            .collect();
        load.wait_for_commits(COMMITS).await;
        cluster.resume(leader);
        for answer in asked {
            // An error is honest, too.
            if let Ok(rows) = answer.await.expect("no reader panics") {
                let seen: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
                let missing = before.committed.keys().filter(|id| !seen.contains(id)).count();
                assert_eq!(missing, 0, "commits that were answered before the read was asked");
            }
        }
        load.wait_for_commits(COMMITS).await;
        let told = load.stop().await;
        assert_eq!(told.broken, Vec::<NodeId>::new());
        assert_kept_everywhere(&cluster, &told).await;
    });
}

#[test]
fn without_a_majority_only_reads_that_promise_nothing_are_answered() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let leader = cluster.wait_for_leader();
        let left = cluster.followers()[0];
        let client = cluster.connect(left).await.expect("let in");
        client
            .batch_execute("INSERT INTO written VALUES (1, 'before')")
            .await
            .expect("inserted");
        // By the session's own guarantee this node has applied it then.
        let count = "SELECT count(*) FROM written";
        client.query_one(count, &[]).await.expect("read");
        let strong = cluster.connect(left).await.expect("let in");
        let set = "SET bellwether.read_consistency = strong; SET bellwether.wait_timeout = '500ms'";
        strong.batch_execute(set).await.expect("set");
        let lost: Vec<NodeId> = cluster.ids().into_iter().filter(|node| *node != left).collect();
        for node in &lost {
            cluster.kill(*node);
        }
        client
            .batch_execute("SET bellwether.read_consistency = eventual")
            .await
            .expect("set");
        let seen: i64 = client.query_one(count, &[]).await.expect("read").get(0);
        assert_eq!(seen, 1);
        let (write, read) = tokio::join!(
            client.batch_execute("INSERT INTO written VALUES (2, 'alone')"),
            strong.batch_execute(count),
        );
        // Sent and lost, or never sent.
        let write = sqlstate(write);
        assert!(["57P03", "40003"].contains(&write.as_str()), "{write}");
        assert_eq!(sqlstate(read), "57P03");

        cluster.start_node(leader);
        until("a majority's leader", async || {
            client
                .batch_execute("INSERT INTO written VALUES (3, 'together')")
                .await
                .ok()
        })
        .await;
        for node in lost.into_iter().filter(|node| *node != leader) {
            cluster.start_node(node);
        }
        cluster.wait_until_ready();
        cluster.assert_equal_fingerprints();
        let rows = rows(&cluster, left).await;
        assert_eq!((rows.get(&1), rows.get(&3)), (Some(&1), Some(&1)));
        assert!(
            write == "40003" || !rows.contains_key(&2),
            "what was said to have failed was done"
        );
    });
}

#[test]
fn a_follower_that_was_frozen_or_dead_catches_up() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let leader = cluster.wait_for_leader();
        let [frozen, dead] = cluster.followers()[..] else {
            panic!("two followers of three nodes")
        };
        let load = Load::start(&cluster, &[leader]).await;
        load.wait_for_commits(COMMITS).await;
        cluster.pause(frozen);
        load.wait_for_commits(COMMITS * 5).await;
        cluster.resume(frozen);
        cluster.kill(dead);
        load.wait_for_commits(COMMITS * 5).await;
        cluster.start_node(dead);
        load.wait_for_commits(COMMITS).await;
        let told = load.stop().await;
        assert_eq!(
            told.failed.len() + told.unknown.len() + told.broken.len(),
            0,
            "{told:?}"
        );
        assert_eq!(cluster.wait_for_leader(), leader, "the leader stayed");
        assert_kept_everywhere(&cluster, &told).await;
    });
}

#[test]
fn nodes_stopped_and_started_in_turn_lose_nothing() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let load = Load::start(&cluster, &cluster.ids()).await;
        for node in cluster.ids() {
            load.wait_for_commits(COMMITS).await;
            cluster.stop(node);
            cluster.start_node(node);
            cluster.wait_until_ready();
            if cluster.ids().last() != Some(&node) {
                load.wait_for_commits(COMMITS / 2).await;
            }
        }
        let told = load.stop().await;
        assert_kept_everywhere(&cluster, &told).await;
    });
}

#[test]
fn a_read_waits_out_an_election() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let leader = cluster.wait_for_leader();
        let mut readers = Vec::new();
        for node in cluster.followers() {
            for consistency in ["strong", "session"] {
                let reader = cluster.connect(node).await.expect("let in");
                let set = format!("SET bellwether.read_consistency = {consistency}");
                reader.batch_execute(&set).await.expect("set");
                readers.push(reader);
            }
        }
        cluster.kill(leader);
        // Again and again until there is a leader, and once more.
        let mut is_over = false;
        while !is_over {
            is_over = cluster.leader().is_some_and(|successor| successor != leader);
            for reader in &readers {
                reader
                    .query_one("SELECT count(*) FROM written", &[])
                    .await
                    .expect("in a while");
            }
        }
    });
}

/// Changes the schema, one statement after the other, each anew until it is done; what was done.
async fn change_schema(client: tokio_postgres::Client, done: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let statements = [
            format!("CREATE TABLE made_{number} AS SELECT {number} AS number"),
            format!("ALTER TABLE made_{number} ADD COLUMN added INTEGER DEFAULT {number}"),
            format!("CREATE INDEX index_{number} ON made_{number} (number)"),
        ];
        for statement in statements {
            client.batch_execute(&statement).await.expect("held, not failed");
        }
        done.store(number + 1, Ordering::Relaxed);
    }
}

#[test]
fn a_schema_that_changes_while_leaders_die_is_the_same_everywhere_and_changed_once() {
    run(async {
        let mut cluster = cluster_with_table().await;
        let (done, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let leader = cluster.wait_for_leader();
        let client = cluster.connect_to_follower().await;
        let changes = tokio::spawn(change_schema(client, Arc::clone(&done), Arc::clone(&stop)));
        let many = async |more: usize| {
            let goal = done.load(Ordering::Relaxed) + more;
            until("changes of the schema", async || {
                (done.load(Ordering::Relaxed) >= goal).then_some(())
            })
            .await;
        };
        many(10).await;
        cluster.kill(leader);
        many(10).await;
        cluster.start_node(leader);
        cluster.wait_until_ready();
        stop.store(true, Ordering::Relaxed);
        changes.await.expect("no statement failed");
        let tables = done.load(Ordering::Relaxed) as i64;
        cluster.assert_equal_fingerprints();
        for node in cluster.ids() {
            let client = cluster.connect(node).await.expect("let in");
            let count = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'made_%' AND sql LIKE '%added%'";
            let count: i64 = client.query_one(count, &[]).await.expect("a count").get(0);
            assert_eq!(count, tables, "node {node}");
        }
    });
}
