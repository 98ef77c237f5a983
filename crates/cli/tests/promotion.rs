//! Nodes that go on alone: an asynchronous cluster without its leader, and one that has lost its majority.

mod support;

use std::process::Command;

use bellwether_types::NodeId;
use support::cluster::Cluster;
use support::supervised::Supervised;
use support::{bellwether, execute, run, until, wait_for};
use tokio_postgres::Client;

async fn ids(client: &Client) -> Vec<i64> {
    let rows = client.query("SELECT id FROM sheep ORDER BY id", &[]).await;
    let rows = rows.expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}

fn promote(cluster: &Cluster, node: NodeId, options: &[&str]) -> Command {
    let mut command = bellwether();
    let dir = cluster.data_dir(node);
    command.args(["promote", "--data-dir"]).arg(dir).args(options);
    command
}

/// What a command that must fail says.
#[track_caller]
fn refused(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn done(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const CREATE: &str = "CREATE TABLE sheep (id INTEGER PRIMARY KEY)";

#[test]
fn a_learner_goes_on_without_its_leader_and_what_that_alone_had_is_told() {
    run(async {
        let mut cluster = Cluster::start(1);
        let leader = NodeId(1);
        let [second, third] = [(); 2].map(|()| cluster.join(leader, &["--learner"]));
        cluster.wait_until_ready();
        let client = cluster.connect(leader).await.expect("let in");
        execute(&client, CREATE).await;
        execute(&client, "INSERT INTO sheep VALUES (1)").await;
        cluster.assert_equal_fingerprints();
        let said = refused(&mut promote(&cluster, second, &["--yes"]));
        assert!(said.contains("used by another process"), "{said}");
        cluster.kill(third);
        cluster.kill(second);
        let said = refused(&mut promote(&cluster, second, &["--yes"]));
        assert!(said.contains("has a leader"), "{said}");
        // The leader waits for nobody, at the default durability.
        execute(&client, "INSERT INTO sheep VALUES (2)").await;
        drop(client);
        cluster.kill(leader);
        let said = done(&mut promote(&cluster, second, &["--yes"]));
        assert!(said.contains("For ever removed: 1 3"), "{said}");
        cluster.start_node(second);
        let client = until("it leads", async || {
            let client = cluster.connect(second).await.ok()?;
            client.batch_execute("INSERT INTO sheep VALUES (3)").await.ok()?;
            Some(client)
        })
        .await;
        assert_eq!(ids(&client).await, [1, 3]);
        // Those of before come back, hear of it, and end.
        for old in [leader, third] {
            cluster.start_node(old);
            assert!(!cluster.forget(old).success(), "node {old}");
            let log = std::fs::read_to_string(cluster.log_path(old)).expect("a log");
            assert!(log.contains("removed from the cluster"), "{log}");
        }
        let old_dir = cluster.data_dir(leader);
        let old_dir = old_dir.to_str().expect("text");
        let fourth = cluster.join(second, &["--salvage", old_dir]);
        cluster.wait_until_ready();
        let sql = "SELECT durability, changes::text, origin FROM bellwether.lost_writes WHERE database = 'postgres'";
        let lost = until("the ledger", async || {
            let rows = client.query(sql, &[]).await.expect("rows");
            (!rows.is_empty()).then_some(rows)
        })
        .await;
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].get::<_, String>(0), "on");
        assert_eq!(
            lost[0].get::<_, String>(1),
            r#"[{"insert":"sheep","values":{"id":2}}]"#
        );
        assert_eq!(lost[0].get::<_, i64>(2), 1);
        // Two voters: both are needed, and both lead.
        until("it votes", async || {
            let output = cluster.node_command(second, &["list"]).output().expect("it runs");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            (text.matches("voter").count() >= 4).then_some(())
        })
        .await;
        execute(&client, &format!("CALL bellwether.switchover({fourth})")).await;
        execute(&client, "INSERT INTO sheep VALUES (4)").await;
        // A restart tells nothing twice.
        execute(&client, "CALL bellwether.forget_lost_writes()").await;
        cluster.kill(fourth);
        cluster.start_node(fourth);
        cluster.wait_until_ready();
        cluster.assert_equal_fingerprints();
        assert!(client.query(sql, &[]).await.expect("rows").is_empty());
    });
}

#[test]
fn a_cluster_that_has_lost_its_majority_goes_on_with_one_node_and_grows_again() {
    run(async {
        let mut cluster = Cluster::start(3);
        let client = cluster.connect_to_leader().await;
        execute(&client, CREATE).await;
        execute(&client, "INSERT INTO sheep VALUES (1)").await;
        cluster.assert_equal_fingerprints();
        let [first, second, last] = [1, 2, 3].map(NodeId);
        for node in [first, second, last] {
            cluster.kill(node);
        }
        let json = done(&mut promote(&cluster, last, &["--yes", "--json"]));
        let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(report["node"], 3);
        assert_eq!(report["removed"], serde_json::json!([1, 2]));
        assert_eq!(report["databases"][1]["voters"], serde_json::json!([1, 2, 3]));
        cluster.start_node(last);
        let client = until("it leads", async || {
            let client = cluster.connect(last).await.ok()?;
            client.batch_execute("INSERT INTO sheep VALUES (2)").await.ok()?;
            Some(client)
        })
        .await;
        // A majority of before, together again: each hears that it was removed, and neither goes on.
        cluster.start_node(first);
        cluster.start_node(second);
        for old in [first, second] {
            let ended = cluster.forget(old);
            assert!(!ended.success(), "node {old}");
        }
        let [fourth, fifth] = [(); 2].map(|()| cluster.join(last, &[]));
        cluster.wait_until_ready();
        until("three voters", async || {
            let status = cluster.status(fourth)?;
            let voters = status.members.iter().filter(|member| member.standing == "voter");
            (voters.count() == 3).then_some(())
        })
        .await;
        assert_eq!(ids(&client).await, [1, 2]);
        wait_for("all vote", || {
            let output = cluster.node_command(last, &["list"]).output().expect("it runs");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            (text.matches("voter").count() >= 6).then_some(())
        });
        cluster.kill(last);
        cluster.wait_for_leader_other_than(last);
        let client = cluster.connect(fifth).await.expect("let in");
        execute(&client, "INSERT INTO sheep VALUES (3)").await;
        assert_eq!(ids(&client).await, [1, 2, 3]);
    });
}

#[test]
fn an_asynchronous_cluster_is_one_word() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let up = Supervised::start(dir.path(), 3, &["--async", "--no-restart"]);
    for node in [2, 3] {
        let process = up.node_process(node);
        support::send_signal(process, libc::SIGKILL);
    }
    let address = ["--pg-port", &up.ports()[0].to_string()];
    let sql = [
        "-c",
        "CREATE TABLE t (a); INSERT INTO t VALUES (1); SELECT count(*) FROM t",
    ];
    let said = done(bellwether().arg("sql").args(address).args(sql));
    assert!(said.contains('1'), "{said}");
    drop(up);
    let again = Supervised::command(dir.path(), 3, [1, 4, 7])
        .arg("--async")
        .output();
    let again = again.expect("it runs");
    assert!(!again.status.success());
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("holds one already"), "{said}");
}
