//! A node whose log cannot be had any more gets an image of the database, and whichever side dies meanwhile, what has
//! arrived is not fetched again.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bellwether_http::{Role, SeedingStatus};
use bellwether_types::NodeId;
use support::cluster::{Cluster, DATABASE};
use support::gate::Gate;
use support::{run, until, wait_for};

const MIB: u64 = 1 << 20;

/// What is written: several segments of the log, of which all but the last are given up.
const ROWS: u64 = 48;
const ROW_BYTES: u64 = 1_000_000;

/// A gate that lets so much through lets so many chunks through, of a mebibyte each; the first may be packed a little.
const HALF: u64 = 19 * MIB + MIB / 2;
const CHUNKS_OF_HALF: u64 = 19;

/// A cluster whose log does not reach back to its beginning, with a database that cannot be packed.
async fn grown(nodes: u16) -> Cluster {
    let cluster = Cluster::start_with(nodes, &["--log-keep", "1"]);
    let client = cluster.connect_to_leader().await;
    client
        .batch_execute("CREATE TABLE noise (id INTEGER PRIMARY KEY, content BYTEA)")
        .await
        .expect("a table");
    for row in 0..ROWS {
        let insert = format!("INSERT INTO noise VALUES ({row}, randomblob({ROW_BYTES}))");
        client.batch_execute(&insert).await.expect("a row");
    }
    for node in cluster.ids() {
        wait_for("a log that was cut", || {
            (cluster.replica(node)?.log_first.0 > 1).then_some(())
        });
    }
    cluster
}

/// A number that a node counts; `None` when it does not answer.
fn metric(cluster: &Cluster, node: NodeId, name: &str) -> Option<u64> {
    let mut stream = TcpStream::connect(cluster.http(node)).ok()?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let line = answer.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

/// Bytes of images that came to a node since its process began.
#[track_caller]
fn came(cluster: &Cluster, node: NodeId) -> u64 {
    let name = "bellwether_seeding_bytes_total{direction=\"in\"}";
    wait_for("a node's metrics", || metric(cluster, node, name))
}

/// Lets a node join that reaches `source` through a gate, and waits until half of the image has come.
async fn join_half(cluster: &mut Cluster, source: NodeId, by: NodeId) -> (NodeId, Gate, SeedingStatus) {
    let gate = Gate::open(cluster.peer(source), HALF).await;
    let via = format!("{source}={}", gate.address());
    let node = cluster.join(by, &["--via", &via]);
    let cluster = &*cluster;
    let half = until("half of an image", async || {
        let seeding = cluster.replica(node)?.seeding?;
        (seeding.received_bytes >= CHUNKS_OF_HALF * MIB).then_some(seeding)
    })
    .await;
    assert_eq!(half.received_bytes, CHUNKS_OF_HALF * MIB);
    assert!(half.total_bytes > ROWS * ROW_BYTES, "{half:?}");
    (node, gate, half)
}

#[track_caller]
fn wait_until_votes(cluster: &Cluster, node: NodeId) {
    wait_for("a vote", || {
        let replica = cluster.replica(node)?;
        (replica.serving && replica.role != Role::Learner).then_some(())
    });
}

fn part(cluster: &Cluster, node: NodeId) -> PathBuf {
    let databases = cluster.data_dir(node).join("databases");
    let directories = std::fs::read_dir(databases).expect("databases");
    let files = directories.flat_map(|directory| std::fs::read_dir(directory.expect("an entry").path()));
    let mut paths = files.flatten().map(|file| file.expect("an entry").path());
    let is_part = |path: &PathBuf| {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        name.contains("-incoming-") && !name.ends_with("-sums")
    };
    paths.find(is_part).expect("a part of an image")
}

fn log_says(cluster: &Cluster, node: NodeId, what: &str) -> bool {
    let log = std::fs::read(cluster.log_path(node)).expect("a log");
    String::from_utf8_lossy(&log).contains(what)
}

#[test]
fn a_node_joins_a_cluster_whose_log_does_not_reach_back() {
    run(async {
        let mut cluster = grown(1).await;
        let new = cluster.join(NodeId(1), &[]);
        wait_until_votes(&cluster, new);
        cluster.assert_equal_fingerprints();
        let total = came(&cluster, new);
        assert!(total > ROWS * ROW_BYTES, "{total}");
        let out = "bellwether_seeding_bytes_total{direction=\"out\"}";
        assert_eq!(metric(&cluster, NodeId(1), out), Some(total));
    });
}

#[test]
fn a_node_that_is_killed_half_way_goes_on_where_it_was() {
    run(async {
        let mut cluster = grown(1).await;
        let (new, gate, half) = join_half(&mut cluster, NodeId(1), NodeId(1)).await;
        let list = cluster
            .node_command(new, &["list"])
            .output()
            .expect("the program runs");
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        let percent = half.received_bytes * 100 / half.total_bytes;
        assert!(list.contains(&format!("seeding {percent} %")), "{list}");
        let gauge = format!("bellwether_seeding_total_bytes{{database=\"{DATABASE}\"}}");
        assert_eq!(metric(&cluster, new, &gauge), Some(half.total_bytes));
        cluster.kill(new);
        gate.allow(u64::MAX);
        cluster.start_node(new);
        wait_until_votes(&cluster, new);
        assert_eq!(came(&cluster, new), half.total_bytes - half.received_bytes);
        assert!(log_says(&cluster, new, "goes on with an image"));
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn a_connection_that_breaks_half_way_costs_nothing() {
    run(async {
        let mut cluster = grown(3).await;
        let source = cluster.wait_for_leader();
        let (new, gate, half) = join_half(&mut cluster, source, source).await;
        gate.break_all();
        gate.allow(u64::MAX);
        wait_until_votes(&cluster, new);
        assert_eq!(came(&cluster, new), half.total_bytes);
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn a_byte_that_rots_in_a_part_is_found_and_it_is_fetched_again_from_there() {
    run(async {
        let mut cluster = grown(1).await;
        let (new, gate, half) = join_half(&mut cluster, NodeId(1), NodeId(1)).await;
        cluster.kill(new);
        let part = File::options()
            .read(true)
            .write(true)
            .open(part(&cluster, new))
            .expect("the part");
        let mut byte = [0];
        part.read_exact_at(&mut byte, 5 * MIB + 17).expect("a byte");
        part.write_all_at(&[byte[0] ^ 1], 5 * MIB + 17).expect("a byte");
        gate.allow(u64::MAX);
        cluster.start_node(new);
        wait_until_votes(&cluster, new);
        assert_eq!(came(&cluster, new), half.total_bytes - 5 * MIB);
        cluster.assert_equal_fingerprints();
    });
}

#[test]
fn when_the_source_is_killed_half_way_another_node_gives_an_image_anew() {
    run(async {
        let mut cluster = grown(3).await;
        let source = cluster.wait_for_leader();
        let other = cluster.followers()[0];
        let (new, gate, half) = join_half(&mut cluster, source, other).await;
        cluster.kill(source);
        gate.allow(u64::MAX);
        gate.break_all();
        cluster.wait_for_leader_other_than(source);
        wait_for("the node that joins to serve", || {
            let replica = cluster.replica(new)?;
            (replica.serving && replica.applied.index.0 > ROWS).then_some(())
        });
        assert!(came(&cluster, new) >= half.total_bytes + half.received_bytes);
        assert!(log_says(&cluster, new, "another one is begun"));
        cluster.start_node(source);
        cluster.wait_until_ready();
        cluster.assert_equal_fingerprints();
    });
}
