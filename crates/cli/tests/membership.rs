//! Nodes that join, move, learn, vote and leave while the cluster runs.

mod support;

use std::process::Output;

use bellwether_http::Role;
use bellwether_types::NodeId;
use support::cluster::Cluster;
use support::load::{CREATE, Load, rows};
use support::{refusal, run, until, wait_for};

/// Runs a command about nodes at this one.
#[track_caller]
fn node(cluster: &Cluster, at: NodeId, arguments: &[&str]) -> Output {
    let output = cluster.node_command(at, arguments).output();
    output.expect("the built program runs")
}

#[track_caller]
fn assert_done(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

#[track_caller]
fn wait_until_votes(cluster: &Cluster, node: NodeId, votes: bool) {
    wait_for("a node's vote", || {
        let status = cluster.status(node)?;
        let so = status
            .databases
            .iter()
            .all(|database| (database.role != Role::Learner) == votes && database.serving);
        so.then_some(())
    });
}

#[test]
fn one_node_grows_to_three_under_load_and_then_the_first_may_die() {
    run(async {
        let mut cluster = Cluster::start(1);
        let first = NodeId(1);
        let client = cluster.connect_to_leader().await;
        client.batch_execute(CREATE).await.expect("a new table");
        let load = Load::start(&cluster, &[first]).await;
        load.wait_for_commits(50).await;
        let second = cluster.join(first, &[]);
        let third = cluster.join(second, &[]);
        wait_until_votes(&cluster, second, true);
        wait_until_votes(&cluster, third, true);
        load.wait_for_commits(50).await;
        let told = load.stop().await;
        assert_eq!(told.broken, Vec::<NodeId>::new(), "nobody hears of it");
        cluster.assert_equal_fingerprints();
        told.assert_kept(&rows(&cluster, third).await, third);

        cluster.kill(first);
        let leader = cluster.wait_for_leader_other_than(first);
        let client = cluster
            .connect(leader)
            .await
            .expect("the new leader lets clients in");
        let sql = "CREATE TABLE after_it (id INTEGER PRIMARY KEY)";
        client.batch_execute(sql).await.expect("two of three are enough");
    });
}

#[test]
fn a_dead_node_is_replaced_and_the_new_one_has_everything() {
    run(async {
        let mut cluster = Cluster::start(3);
        let dead = cluster.followers()[0];
        let client = cluster.connect_to_leader().await;
        client.batch_execute(CREATE).await.expect("a new table");
        cluster.kill(dead);
        let leader = cluster.wait_for_leader();
        let new = cluster.join(leader, &[]);
        wait_until_votes(&cluster, new, true);
        assert_done(&node(&cluster, leader, &["remove", &dead.to_string()]));
        assert_done(&node(&cluster, leader, &["remove", &dead.to_string()]));
        // It comes back, and is told.
        cluster.start_node(dead);
        let ended = cluster.forget(dead);
        assert_eq!(ended.code(), Some(1));
        cluster.assert_equal_fingerprints();
        // Three again: one of them may die.
        let other = cluster.followers().into_iter().find(|node| *node != new);
        cluster.kill(other.expect("three nodes"));
        let sql = "CREATE TABLE with_two (id INTEGER PRIMARY KEY)";
        client.batch_execute(sql).await.expect("two of three are enough");
    });
}

#[test]
fn a_leader_that_is_removed_under_load_hands_over_first_and_stops() {
    run(async {
        let mut cluster = Cluster::start(3);
        let leader = cluster.wait_for_leader();
        let others = cluster.followers();
        let client = cluster
            .connect(others[0])
            .await
            .expect("a follower lets clients in");
        client.batch_execute(CREATE).await.expect("a new table");
        cluster.assert_equal_fingerprints();
        let load = Load::start(&cluster, &others).await;
        load.wait_for_commits(100).await;
        assert_done(&node(&cluster, others[0], &["remove", &leader.to_string()]));
        assert_eq!(cluster.forget(leader).code(), Some(1));
        load.wait_for_commits(100).await;
        let told = load.stop().await;
        assert_eq!(
            told.broken,
            Vec::<NodeId>::new(),
            "connections of nodes that stayed"
        );
        cluster.assert_equal_fingerprints();
        for node in cluster.ids() {
            told.assert_kept(&rows(&cluster, node).await, node);
        }
    });
}

#[test]
fn a_learner_answers_reads_and_has_no_vote_until_it_is_promoted() {
    run(async {
        let mut cluster = Cluster::start(1);
        let first = NodeId(1);
        let client = cluster.connect_to_leader().await;
        client
            .batch_execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
            .await
            .expect("a table");
        let learner = cluster.join(first, &["--learner"]);
        wait_until_votes(&cluster, learner, false);
        let at_learner = cluster.connect(learner).await.expect("a learner lets clients in");
        at_learner
            .batch_execute("INSERT INTO t VALUES (1)")
            .await
            .expect("sent to the leader");
        let row = at_learner
            .query_one("SELECT count(*) FROM t", &[])
            .await
            .expect("a read");
        assert_eq!(row.get::<_, i64>(0), 1);
        // It does not count: the leader goes on alone.
        cluster.kill(learner);
        client
            .batch_execute("INSERT INTO t VALUES (2)")
            .await
            .expect("one of one is enough");
        cluster.start_node(learner);
        wait_until_votes(&cluster, learner, false);

        let list = String::from_utf8(node(&cluster, learner, &["list"]).stdout).expect("text");
        assert!(
            list.lines().any(|line| line.contains("learner  learner")),
            "{list}"
        );
        assert_done(&node(&cluster, learner, &["promote", &learner.to_string()]));
        wait_until_votes(&cluster, learner, true);
        assert_done(&node(&cluster, first, &["demote", &learner.to_string()]));
        wait_until_votes(&cluster, learner, false);
        let refused = node(&cluster, first, &["demote", "1"]);
        let stderr = String::from_utf8(refused.stderr).expect("text");
        assert!(stderr.contains("node 1 is the only one that votes"), "{stderr}");
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn a_node_that_moved_is_found_where_it_is_now() {
    run(async {
        let mut cluster = Cluster::start(3);
        let moved = cluster.followers()[0];
        cluster.stop(moved);
        cluster.relocate(moved);
        cluster.start_node(moved);
        cluster.wait_until_ready();
        let client = cluster.connect(moved).await.expect("it lets clients in");
        let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY)";
        client.batch_execute(sql).await.expect("a table");
        let http = cluster.http(moved);
        for at in cluster.ids() {
            wait_for("word of the new address", || {
                let members = cluster.status(at)?.members;
                members.iter().any(|member| member.http == http).then_some(())
            });
        }
        // All at once, as when a cluster is carried to other machines.
        let all = cluster.ids();
        all.iter().for_each(|node| cluster.stop(*node));
        all.iter().for_each(|node| cluster.relocate(*node));
        all.iter().for_each(|node| cluster.start_node(*node));
        cluster.wait_until_ready();
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn who_changes_nodes_must_be_a_superuser_and_name_one_that_is_there() {
    run(async {
        let cluster = Cluster::start(1);
        let client = cluster.connect_to_leader().await;
        let refused = refusal(client.batch_execute("CALL bellwether.remove_node(7)").await);
        assert_eq!(
            refused,
            ("42704".to_owned(), "there is no node 7 in the cluster".to_owned())
        );
        let refused = refusal(client.batch_execute("CALL bellwether.explode(1)").await);
        assert_eq!(refused.0, "42883");
        let (code, _) = refusal(
            client
                .batch_execute("BEGIN; CALL bellwether.promote_node(1)")
                .await,
        );
        assert!(code.starts_with("25"), "{code}");
        client.batch_execute("ROLLBACK").await.expect("the end of it");
        client
            .batch_execute("CREATE ROLE ada LOGIN")
            .await
            .expect("a role");
        let ada = until("ada's session", async || {
            let mut config = tokio_postgres::Config::new();
            let pg = cluster.pg(NodeId(1));
            config
                .host(pg.ip().to_string())
                .port(pg.port())
                .user("ada")
                .dbname("postgres");
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.ok()?;
            tokio::spawn(async move { connection.await.ok() });
            Some(client)
        })
        .await;
        let (code, _) = refusal(ada.batch_execute("CALL bellwether.remove_node(1)").await);
        assert_eq!(code, "42501");
    });
}

#[test]
fn a_node_without_the_secret_or_at_an_address_that_is_taken_does_not_join() {
    run(async {
        let mut cluster = Cluster::start(1);
        let first = NodeId(1);
        let joined = cluster.join(first, &["--learner"]);
        wait_until_votes(&cluster, joined, false);
        // The data directory of a node is lost, and it is started once more as if it were new.
        cluster.kill(joined);
        std::fs::remove_dir_all(cluster.data_dir(joined)).expect("a directory");
        let output = cluster.command(joined, &cluster.data_dir(joined), "b0b").output();
        let output = output.expect("the built program runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            stderr.contains("another node of the cluster has this address"),
            "{stderr}"
        );
        assert!(stderr.contains("bellwether node remove"), "{stderr}");

        let elsewhere = tempfile::tempdir().expect("a directory");
        let secret = elsewhere.path().join("secret");
        support::cluster::write_private(&secret, "another secret, of 32 and more characters");
        let mut command = support::bellwether();
        let port = support::free_range(3);
        command
            .args(["serve", "--join", &cluster.peer(first).to_string(), "--data-dir"])
            .arg(elsewhere.path().join("data"))
            .arg("--secret-file")
            .arg(&secret)
            .args(["--listen-peer", &format!("127.0.0.1:{port}")])
            .args(["--listen-pg", &format!("127.0.0.1:{}", port + 1)])
            .args(["--listen-http", &format!("127.0.0.1:{}", port + 2)]);
        let output = command.output().expect("the built program runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("secret was not proven"), "{stderr}");
        let leads = cluster.replica(first).map(|replica| replica.role);
        assert!(matches!(
            leads,
            Some(Role::Leader | Role::Follower | Role::Candidate)
        ));
    });
}
