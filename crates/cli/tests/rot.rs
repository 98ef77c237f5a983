//! Bits that flip on a node's disk, one at a time and anywhere: the node repairs what it has from what it has besides or
//! from the other nodes, or refuses to start, naming the file and what to do. It never panics and never answers wrongly.
//!
//! A bit is flipped at random; a test that fails prints its seed, and `BELLWETHER_ROT_SEED` repeats it.

mod support;

use std::path::{Path, PathBuf};
use std::process::Output;

use bellwether_types::NodeId;
use support::cluster::{CLUSTER, Cluster};
use support::{bellwether, run, wait_for};
use tokio_postgres::Client;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn seeded() -> Random {
        let wanted = std::env::var("BELLWETHER_ROT_SEED").ok();
        let seed = wanted.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            use std::hash::{BuildHasher, Hasher};
            std::hash::RandomState::new().build_hasher().finish()
        });
        println!("BELLWETHER_ROT_SEED={seed}");
        Random(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

/// Where in a file.
#[derive(Debug, Clone, Copy)]
enum Part {
    Anywhere,
    /// Before the zeros that are written ahead.
    Written,
    /// Its first bytes, where headers and hard states are.
    Front,
}

/// What is flipped: of one file of a replica, or of the node.
#[derive(Debug, Clone, Copy)]
struct Target {
    file: &'static str,
    part: Part,
    /// Whether the node must come back by itself.
    must_start: bool,
    times: usize,
}

const fn target(file: &'static str, part: Part, must_start: bool, times: usize) -> Target {
    Target {
        file,
        part,
        must_start,
        times,
    }
}

/// Of database 1, `postgres`. `oldest` and `newest` are log segments.
const TARGETS: &[Target] = &[
    target("databases/1/log/oldest", Part::Written, true, 2),
    target("databases/1/log/newest", Part::Written, false, 6),
    target("databases/1/log/newest", Part::Front, false, 3),
    target("databases/0/log/newest", Part::Written, false, 3),
    target("databases/1/data.sqlite", Part::Anywhere, true, 5),
    target("databases/1/data.sqlite", Part::Front, true, 2),
    target("databases/0/data.sqlite", Part::Anywhere, true, 2),
    target("databases/1/data.sqlite-wal", Part::Written, true, 5),
    target("databases/1/data.sqlite-shm", Part::Anywhere, true, 1),
    target("databases/1/data.sqlite-doublewrite-0", Part::Written, true, 2),
    target("databases/1/data.sqlite-doublewrite-1", Part::Written, true, 2),
    target("identity", Part::Anywhere, false, 3),
    target("members", Part::Anywhere, false, 3),
];

fn resolve(data_dir: &Path, file: &str) -> Option<PathBuf> {
    let path = data_dir.join(file);
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return None;
    };
    let name = name.to_str()?;
    if name != "oldest" && name != "newest" {
        return path.exists().then_some(path);
    }
    let listed = std::fs::read_dir(directory).expect("a log's directory");
    let mut segments: Vec<PathBuf> = listed.map(|entry| entry.expect("listed").path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    segments.sort();
    match name {
        "oldest" if segments.len() > 1 => segments.first().cloned(),
        "oldest" => None,
        _ => segments.last().cloned(),
    }
}

/// Flips a bit; where, or nothing when there is no byte to be flipped.
fn flip(path: &Path, part: Part, random: &mut Random) -> Option<u64> {
    use std::os::unix::fs::FileExt;
    let bytes = std::fs::read(path).expect("readable");
    let written = bytes.iter().rposition(|byte| *byte != 0)? as u64 + 1;
    let bit = random.below(
        8 * match part {
            Part::Anywhere => bytes.len() as u64,
            Part::Written => written,
            Part::Front => written.min(200),
        },
    );
    let at = bit / 8;
    let flipped = bytes[at as usize] ^ (1 << (bit % 8));
    let file = std::fs::File::options().write(true).open(path).expect("writable");
    file.write_all_at(&[flipped], at).expect("written");
    Some(at)
}

/// 20 MiB, so that every log has more than one segment.
async fn fill(client: &Client) {
    for _ in 0..5 {
        let sql = "INSERT INTO filler VALUES (randomblob(4000000))";
        client.batch_execute(sql).await.expect("inserted");
    }
    client.batch_execute("DELETE FROM filler").await.expect("deleted");
}

/// Acknowledged rows, one record each.
async fn write(client: &Client, next: &mut i64, rows: usize) {
    for _ in 0..rows {
        let sql = format!("INSERT INTO written VALUES ({next})");
        client.batch_execute(&sql).await.expect("acknowledged");
        *next += 1;
    }
}

async fn assert_has_all(cluster: &Cluster, node: NodeId, rows: i64) {
    let client = cluster.connect(node).await.expect("let in");
    client
        .batch_execute("SET bellwether.read_consistency = eventual")
        .await
        .expect("a setting");
    let counted = client
        .query_one("SELECT count(*), max(id) FROM written", &[])
        .await
        .expect("a row");
    let (count, last): (i64, i64) = (counted.get(0), counted.get(1));
    assert_eq!((count, last), (rows, rows - 1), "rows of node {node}");
}

fn assert_no_panic(cluster: &Cluster, node: NodeId, context: &str) {
    let log = std::fs::read_to_string(cluster.log_path(node)).expect("a log");
    let panicked = log.lines().find(|line| line.contains("panicked"));
    assert_eq!(panicked, None, "{context}");
}

/// Keeps a copy of a node's directory, to put it back.
fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("listed");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("known").is_dir() {
            true => copy_directory(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("copied")),
        }
    }
}

/// Whether the node serves again. If not it has refused to start, has named the file and said what to do.
fn starts(cluster: &mut Cluster, node: NodeId, path: &Path, context: &str) -> bool {
    let mut command = cluster.command(node, &cluster.data_dir(node), CLUSTER);
    let log = std::fs::File::options()
        .append(true)
        .open(cluster.log_path(node))
        .expect("a log");
    let mut child = command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the built program starts");
    let ended = wait_for(context, || {
        if let Some(ended) = child.try_wait().expect("it was started here") {
            return Some(Some(ended));
        }
        let status = cluster.status(node)?;
        let serves = status.databases.len() == 2 && status.databases.iter().all(|database| database.serving);
        serves.then_some(None)
    });
    let Some(ended) = ended else {
        cluster.adopt(node, child);
        return true;
    };
    assert_eq!(ended.code(), Some(1), "{context}");
    let said = std::fs::read_to_string(cluster.log_path(node)).expect("a log");
    let said = said.lines().last().unwrap_or_default();
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(said.contains(name), "{context}: {said}");
    assert!(said.contains("bellwether node remove"), "{context}: {said}");
    false
}

#[test]
fn a_flipped_bit_is_repaired_or_refused_wherever_it_is() {
    run(async {
        let mut random = Random::seeded();
        let mut cluster = Cluster::start(3);
        let victim = NodeId(3);
        let client = cluster.connect(NodeId(1)).await.expect("let in");
        let create = "CREATE TABLE filler (bytes BYTEA); CREATE TABLE written (id INTEGER PRIMARY KEY)";
        client.batch_execute(create).await.expect("new tables");
        let mut next = 0;
        write(&client, &mut next, 50).await;
        let (mut repaired, mut refused) = (0, 0);
        for target in TARGETS {
            for _ in 0..target.times {
                if target.file.ends_with("oldest") {
                    fill(&client).await;
                }
                write(&client, &mut next, 5).await;
                let data_dir = cluster.data_dir(victim);
                if target.file.contains("newest") {
                    wait_until_logs_rest(&data_dir);
                }
                cluster.kill(victim);
                let Some(path) = resolve(&data_dir, target.file) else {
                    println!("there is no {} at the moment", target.file);
                    cluster.start_node(victim);
                    cluster.wait_until_ready();
                    break;
                };
                let sound = std::fs::read(&path).expect("readable");
                let copy = tempfile::tempdir().expect("a directory");
                copy_directory(&data_dir, copy.path());
                let at = flip(&path, target.part, &mut random);
                let context = format!("byte {at:?} of {} of {}", sound.len(), path.display());
                if starts(&mut cluster, victim, &path, &context) {
                    repaired += 1;
                } else {
                    refused += 1;
                    println!("refused: {context}");
                    assert!(!target.must_start, "{context}");
                    // Nobody has changed anything else: with the right byte it is what it was.
                    std::fs::remove_dir_all(&data_dir).expect("removed");
                    copy_directory(copy.path(), &data_dir);
                    cluster.start_node(victim);
                }
                assert_no_panic(&cluster, victim, &context);
                cluster.wait_until_ready();
            }
            cluster.assert_equal_fingerprints();
            assert_has_all(&cluster, victim, next).await;
        }
        println!("{repaired} repaired, {refused} refused");
        // A page of the last flips that nobody has read since is healed now.
        for arguments in [&["--full", "--repair"][..], &["--full"]] {
            let output = verify(&cluster, NodeId(1), arguments);
            assert!(output.status.success(), "{}", text(&output));
        }
    });
}

fn verify(cluster: &Cluster, at: NodeId, arguments: &[&str]) -> Output {
    let output = bellwether()
        .arg("verify")
        .args(["--pg-port", &cluster.pg(at).port().to_string()])
        .args(arguments)
        .output();
    output.expect("the built program runs")
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[test]
fn rot_under_a_running_node_is_found_by_verify_and_healed() {
    run(async {
        let mut random = Random::seeded();
        let mut cluster = Cluster::start(3);
        let client = cluster.connect_to_leader().await;
        client
            .batch_execute("CREATE TABLE written (id INTEGER PRIMARY KEY)")
            .await
            .expect("a new table");
        let mut next = 0;
        write(&client, &mut next, 100).await;
        let sound = verify(&cluster, NodeId(2), &["--full"]);
        assert!(sound.status.success(), "{}", text(&sound));
        assert_eq!(text(&sound).matches(" sound").count(), 6, "{}", text(&sound));

        // The log of a follower, and of the leader.
        for node in [cluster.followers()[0], cluster.wait_for_leader()] {
            let path = resolve(&cluster.data_dir(node), "databases/1/log/newest").expect("a segment");
            let at = flip(&path, Part::Written, &mut random);
            let found = verify(&cluster, NodeId(1), &[]);
            let said = text(&found);
            assert_eq!(found.status.code(), Some(1), "byte {at:?}: {said}");
            assert!(
                said.contains("log damaged") && said.contains(&*path.to_string_lossy()),
                "{said}"
            );
            let repaired = verify(&cluster, NodeId(1), &["--repair"]);
            assert!(repaired.status.success(), "{}", text(&repaired));
            assert!(text(&repaired).contains("repaired"), "{}", text(&repaired));
            assert!(verify(&cluster, NodeId(1), &[]).status.success());
        }

        // A page, which is checked when it is read: whoever finds it first has it healed.
        let node = cluster.followers()[1];
        let path = cluster.data_dir(node).join("databases/1/data.sqlite");
        wait_for("the database in its file", || {
            let pages = std::fs::metadata(&path).ok()?.len() / 4096;
            (pages >= 5).then_some(())
        });
        flip_last_page(&path);
        let healed = verify(&cluster, NodeId(1), &["--full", "--repair"]);
        assert!(healed.status.success(), "{}", text(&healed));
        let healed = verify(&cluster, NodeId(1), &["--full"]);
        assert!(healed.status.success(), "{}", text(&healed));
        write(&client, &mut next, 5).await;
        cluster.assert_equal_fingerprints();
        assert_has_all(&cluster, node, next).await;

        // A node that is down is a line, and a problem.
        cluster.kill(NodeId(3));
        let down = verify(&cluster, NodeId(1), &["--json"]);
        assert_eq!(down.status.code(), Some(1));
        assert!(text(&down).contains("cannot be reached"), "{}", text(&down));
        for node in [NodeId(1), NodeId(2)] {
            assert_no_panic(&cluster, node, "while it ran");
        }
    });
}

/// Once a log has not grown for a while its end is sealed: what is flipped then is never taken for a torn write.
#[track_caller]
fn wait_until_logs_rest(data_dir: &Path) {
    let read = || {
        ["databases/0/log/newest", "databases/1/log/newest"].map(|log| {
            let bytes = std::fs::read(resolve(data_dir, log)?).ok()?;
            bytes.iter().rposition(|byte| *byte != 0)
        })
    };
    let (mut seen, mut times) = (read(), 0);
    wait_for("logs that rest", || {
        let now = read();
        times = if now == seen { times + 1 } else { 0 };
        seen = now;
        (times > 40).then_some(())
    });
}

fn flip_last_page(path: &Path) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("ours");
    let at = file.metadata().expect("a file").len() - 2_000;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 4], at).expect("written");
}

#[test]
fn a_load_is_never_taken_for_a_difference() {
    run(async {
        let cluster = Cluster::start(3);
        let client = cluster.connect_to_leader().await;
        client
            .batch_execute(support::load::CREATE)
            .await
            .expect("a new table");
        cluster.assert_equal_fingerprints();
        let load = support::load::Load::start(&cluster, &cluster.ids()).await;
        for round in 0..6 {
            load.wait_for_commits(50).await;
            let arguments: &[&str] = if round % 2 == 0 { &[] } else { &["--full"] };
            let output = tokio::task::block_in_place(|| verify(&cluster, NodeId(1 + round % 3), arguments));
            assert!(output.status.success(), "round {round}: {}", text(&output));
        }
        let told = load.stop().await;
        assert!(told.failed.is_empty(), "{:?}", told.failed);
    });
}

#[test]
fn only_superusers_verify() {
    run(async {
        let cluster = Cluster::start(1);
        let client = cluster.connect(NodeId(1)).await.expect("let in");
        client
            .batch_execute("CREATE ROLE reader LOGIN; SET ROLE reader")
            .await
            .ok();
        let output = bellwether()
            .args(["verify", "--user", "reader"])
            .args(["--pg-port", &cluster.pg(NodeId(1)).port().to_string()])
            .output()
            .expect("the built program runs");
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output).contains("is for superusers"), "{}", text(&output));
    });
}
