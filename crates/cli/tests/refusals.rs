//! What a node refuses to start on: directories of others, addresses that others can reach.

mod support;

use std::path::Path;
use std::process::Command;

use bellwether_types::NodeId;
use support::cluster::{CLUSTER, Cluster};
use support::programs::complaint;
use support::{run, wait_for};

const NODE: NodeId = NodeId(1);

/// A cluster of one that has been up and is stopped.
fn stopped_cluster() -> Cluster {
    let mut cluster = Cluster::start(1);
    cluster.stop(NODE);
    cluster
}

#[test]
fn the_directory_of_another_node_or_cluster_is_refused_and_left_as_it_is() {
    let cluster = stopped_cluster();
    let dir = cluster.data_dir(NODE);
    let said = complaint(&mut cluster.command(NODE, &dir, "bad"));
    assert!(
        said.contains("is of another node, cluster or version") && said.contains("--data-dir"),
        "{said}"
    );

    let other = Cluster::prepare(2);
    let said = complaint(&mut other.command(NodeId(2), &dir, CLUSTER));
    assert!(said.contains("is of another node, cluster or version"), "{said}");
    assert_starts_again(cluster);
}

#[test]
fn a_directory_of_another_version_is_refused_and_left_as_it_is() {
    let cluster = stopped_cluster();
    let dir = cluster.data_dir(NODE);
    let identity = dir.join("identity");
    let own = std::fs::read_to_string(&identity).expect("it is text");
    // An older version has no checksum.
    let (lines, _) = own.split_once("checksum ").expect("its last line");
    std::fs::write(&identity, lines.replacen("layout ", "layout 99", 1)).expect("writable");
    let said = complaint(&mut cluster.command(NODE, &dir, CLUSTER));
    assert!(said.contains("version") && said.contains("layout 99"), "{said}");
    std::fs::write(&identity, own).expect("writable");
    assert_starts_again(cluster);
}

#[track_caller]
fn assert_starts_again(mut cluster: Cluster) {
    cluster.start_node(NODE);
    cluster.wait_until_ready();
}

#[test]
fn a_directory_in_use_is_refused() {
    let cluster = Cluster::start(1);
    let dir = cluster.data_dir(NODE);
    let other = Cluster::prepare(1);
    let said = complaint(&mut other.command(NODE, &dir, CLUSTER));
    assert!(said.contains("is used by another process"), "{said}");
    assert!(cluster.replica(NODE).is_some(), "the first one goes on");
}

#[test]
fn what_is_no_directory_or_not_writable_is_refused() {
    let cluster = Cluster::prepare(1);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    std::fs::write(&file, "text").expect("writable");
    let said = complaint(&mut cluster.command(NODE, &file, CLUSTER));
    assert!(said.contains(&file.display().to_string()), "{said}");
    let said = complaint(&mut cluster.command(NODE, Path::new("/proc/nowhere"), CLUSTER));
    assert!(said.contains("/proc/nowhere"), "{said}");
}

#[test]
fn rules_that_are_open_to_other_machines_are_refused_beyond_loopback_with_the_reason() {
    let cluster = Cluster::prepare(1);
    let dir = tempfile::tempdir().expect("a directory");
    let rules = dir.path().join("hba");
    for rule in [
        "host all all all trust",
        "host all all 0.0.0.0/0 scram-sha-256",
        "hostssl all all ::/0 trust",
    ] {
        std::fs::write(&rules, format!("local all all trust\n{rule}\n")).expect("writable");
        for address in ["0.0.0.0:0", "192.0.2.1:5433", "[::]:5433"] {
            let mut command = without(&cluster, "--listen-pg");
            let said = complaint(command.args(["--listen-pg", address, "--hba"]).arg(&rules));
            assert!(
                said.contains("is not a loopback address")
                    && said.contains("line 2")
                    && said.contains("hostssl"),
                "{said}"
            );
        }
    }
    assert!(!cluster.data_dir(NODE).exists(), "nothing was begun");
}

/// The command of the node, but for one option.
fn without(cluster: &Cluster, option: &str) -> Command {
    let whole = cluster.command(NODE, &cluster.data_dir(NODE), CLUSTER);
    let mut command = Command::new(whole.get_program());
    let mut arguments = whole.get_args();
    while let Some(argument) = arguments.next() {
        if argument == option {
            arguments.next();
        } else {
            command.arg(argument);
        }
    }
    command
}

#[test]
fn a_secret_that_is_missing_short_or_for_all_to_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = Cluster::prepare(1);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("secret");
    let said = |path: &Path| {
        let mut command = without(&cluster, "--secret-file");
        complaint(command.arg("--secret-file").arg(path))
    };
    assert!(said(&path).contains("holds no secret"));
    support::cluster::write_private(&path, "short");
    assert!(said(&path).contains("it has 5 bytes"));
    support::cluster::write_private(&path, support::cluster::SECRET);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("ours");
    assert!(said(&path).contains("chmod 600"));
    let said = complaint(&mut without(&cluster, "--secret-file"));
    assert!(said.contains("--secret-file"), "{said}");
}

#[test]
fn a_port_in_use_is_refused_and_named() {
    let cluster = Cluster::start(1);
    let dir = tempfile::tempdir().expect("a directory");
    let said = complaint(&mut cluster.command(NODE, &dir.path().join("other"), CLUSTER));
    assert!(said.contains("cannot listen on 127.0.0.1:"), "{said}");
}

#[test]
fn a_log_that_is_damaged_in_the_middle_is_refused_by_file_and_offset_where_sqlite_does_not_hold_it() {
    run(async {
        let mut cluster = Cluster::start(1);
        let client = cluster.connect_to_leader().await;
        client
            .batch_execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB)")
            .await
            .expect("created");
        for _ in 0..20 {
            client
                .batch_execute("INSERT INTO t (x) VALUES (randomblob(5000))")
                .await
                .expect("inserted");
        }
        cluster.kill(NODE);
        let segment = largest_segment(&cluster.data_dir(NODE));
        let mut bytes = std::fs::read(&segment).expect("a segment");
        let middle = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .expect("it is not empty")
            / 2;
        bytes[middle] ^= 0xff;
        std::fs::write(&segment, &bytes).expect("writable");
        // SQLite's files, out of the way.
        let replica = segment.ancestors().nth(2).expect("the replica's directory");
        let aside = replica.join("aside");
        std::fs::create_dir(&aside).expect("a new directory");
        let moved = sqlite_files(replica);
        for name in &moved {
            std::fs::rename(replica.join(name), aside.join(name)).expect("moved");
        }
        let said = complaint(&mut cluster.command(NODE, &cluster.data_dir(NODE), CLUSTER));
        let name = segment.file_name().expect("a file").to_string_lossy();
        assert!(
            said.contains(name.as_ref()) && said.contains("corrupt at byte"),
            "{said}"
        );

        for name in sqlite_files(replica) {
            std::fs::remove_file(replica.join(name)).expect("removed");
        }
        for name in &moved {
            std::fs::rename(aside.join(name), replica.join(name)).expect("moved back");
        }
        bytes[middle] ^= 0xff;
        std::fs::write(&segment, &bytes).expect("writable");
        cluster.start_node(NODE);
        cluster.wait_until_ready();
        let client = cluster.connect_to_leader().await;
        let count = client
            .query_one("SELECT count(*) FROM t", &[])
            .await
            .expect("read");
        assert_eq!(count.get::<_, i64>(0), 20, "it lost nothing by refusing");
    });
}

fn sqlite_files(replica: &Path) -> Vec<std::ffi::OsString> {
    let files = std::fs::read_dir(replica).expect("a directory");
    let names = files.map(|file| file.expect("an entry").file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with("data.sqlite"))
        .collect()
}

/// The segment with the most in it, of any database.
fn largest_segment(dir: &Path) -> std::path::PathBuf {
    let mut segments = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.parent().is_some_and(|parent| parent.ends_with("log")) {
                let bytes = std::fs::read(&path).expect("a file");
                segments.push((bytes.iter().filter(|byte| **byte != 0).count(), path));
            }
        }
    }
    segments.into_iter().max().expect("a log has segments").1
}

#[test]
fn a_node_that_is_asked_to_stop_stops_though_a_query_runs_for_ever() {
    run(async {
        let mut cluster = Cluster::start(1);
        let client = cluster.connect_to_leader().await;
        let endless =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let query = tokio::spawn(async move { client.batch_execute(endless).await });
        let other = cluster.connect_to_leader().await;
        other.batch_execute("SELECT 1").await.expect("served beside it");
        cluster.stop(NODE);
        assert!(query.await.expect("the task ends").is_err());
        wait_for("the port to be free", || {
            std::net::TcpListener::bind(cluster.pg(NODE)).ok()
        });
    });
}
