//! Clients that mean no good, or are very unlucky: whatever one does, the node's memory is bounded and nobody else is
//! disturbed.

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bellwether_types::NodeId;
use support::cluster::Cluster;
use support::shared::shared_cluster;
use support::wire::{Wire, message, startup};
use support::{PATIENCE, run, until, wait_for};

/// What a client of its own notices.
const UNDISTURBED: Duration = Duration::from_secs(5);

/// Somebody else writes and reads at a node, in a moment.
async fn assert_undisturbed(cluster: &Cluster, node: NodeId, table: &str) {
    let began = Instant::now();
    let client = cluster.connect(node).await.expect("let in");
    let write = format!("INSERT INTO {table} VALUES (NULL)");
    client.batch_execute(&write).await.expect("written");
    let read = format!("SELECT count(*) FROM {table}");
    client.query_one(&read, &[]).await.expect("read");
    assert!(
        began.elapsed() < UNDISTURBED,
        "others wait for {:?}",
        began.elapsed()
    );
}

async fn table(cluster: &Cluster, name: &str) {
    let client = cluster.connect_to_leader().await;
    let create = format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY)");
    client.batch_execute(&create).await.expect("a new table");
}

/// Resident memory of a node's process, in MiB.
fn memory_mib(cluster: &Cluster, node: NodeId) -> u64 {
    let process = cluster.process(node);
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("Linux tells");
    let kib = line
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    kib.expect("a number") / 1024
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &[sql.as_bytes(), &[0]].concat())
}

/// Parse of an unnamed statement.
fn parse(sql: &str) -> Vec<u8> {
    message(b'P', &[&[0], sql.as_bytes(), &[0, 0, 0]].concat())
}

/// Bind of the unnamed statement without parameters, and Execute of its portal.
fn bind_and_execute(max_rows: u32) -> Vec<u8> {
    let bind = message(b'B', &[0, 0, 0, 0, 0, 0, 0, 0]);
    let execute = message(b'E', &[&[0], &max_rows.to_be_bytes()[..]].concat());
    [bind, execute].concat()
}

/// Everything that a session can be in the middle of, as what was sent last.
fn states(table: &str) -> Vec<(&'static str, Vec<u8>)> {
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let insert = format!("INSERT INTO {table} VALUES (NULL)");
    vec![
        ("idle", Vec::new()),
        ("a message without its end", query("SELECT 1")[..8].to_vec()),
        ("a statement was prepared, and no Sync", parse("SELECT 1")),
        ("an open transaction", query("BEGIN; SELECT 1")),
        (
            "an open transaction that holds the writer",
            query(&format!("BEGIN; {insert}")),
        ),
        (
            "a failed transaction",
            query(&format!("BEGIN; {insert}; SAVEPOINT s; SELECT nonsense")),
        ),
        (
            "an implicit transaction of a pipeline",
            [parse(&insert), bind_and_execute(0)].concat(),
        ),
        (
            "a portal with rows left",
            [parse(endless), bind_and_execute(5), message(b'H', &[])].concat(),
        ),
        ("a result without end", query(endless)),
        (
            "a query without an answer",
            query(&endless.replace("SELECT i FROM n", "SELECT count(*) FROM n")),
        ),
        (
            "a write without an end",
            query(&format!("INSERT INTO {table} {endless}")),
        ),
        ("rows to copy", query(&format!("COPY {table} FROM STDIN"))),
        (
            "rows copied, and no end",
            [
                query(&format!("COPY {table} FROM STDIN")),
                message(b'd', b"1000000\n1000001\n"),
            ]
            .concat(),
        ),
        (
            "a copy to the client",
            query(&format!("COPY ({endless}) TO STDOUT")),
        ),
        ("listening", query("LISTEN anything")),
    ]
}

#[test]
fn a_client_that_vanishes_in_any_state_leaves_nothing_behind() {
    run(async {
        let cluster = shared_cluster();
        table(&cluster, "vanished").await;
        for node in [cluster.wait_for_leader(), cluster.followers()[0]] {
            for (state, sent) in states("vanished") {
                let mut wire = Wire::log_in(cluster.pg(node));
                wire.send(&sent);
                drop(wire);
                println!("node {node}: {state}");
                assert_undisturbed(&cluster, node, "vanished").await;
            }
            // In the middle of coming in, too.
            let whole = startup(&[("user", "postgres"), ("database", "postgres")]);
            for end in [0, 3, 4, 8, whole.len() - 1, whole.len()] {
                let mut wire = Wire::connect(cluster.pg(node));
                wire.send(&whole[..end]);
                drop(wire);
            }
            assert_undisturbed(&cluster, node, "vanished").await;
        }
        let client = cluster.connect_to_leader().await;
        let copied = "SELECT count(*) FROM vanished WHERE id >= 1000000";
        let count = client.query_one(copied, &[]).await.expect("a count");
        assert_eq!(count.get::<_, i64>(0), 0, "what was not committed is not there");
    });
}

#[test]
fn a_client_that_reads_nothing_costs_no_memory_and_nobody_waits_for_it() {
    run(async {
        let cluster = shared_cluster();
        table(&cluster, "unread").await;
        for node in [cluster.wait_for_leader(), cluster.followers()[0]] {
            let before = memory_mib(&cluster, node);
            // 10 GiB each, if somebody read it.
            let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10240) \
                        SELECT hex(zeroblob(524288)) FROM n";
            let mut deaf: Vec<Wire> = Vec::new();
            for sql in [
                rows.to_owned(),
                format!("COPY ({rows}) TO STDOUT"),
                format!("BEGIN; {rows}"),
            ] {
                let mut wire = Wire::log_in(cluster.pg(node));
                wire.send(&query(&sql));
                deaf.push(wire);
            }
            for _ in 0..20 {
                assert_undisturbed(&cluster, node, "unread").await;
            }
            let after = memory_mib(&cluster, node);
            assert!(after < before + 128, "{before} MiB before, {after} MiB after");
        }
    });
}

#[test]
fn a_writer_that_reads_nothing_gives_the_writer_back() {
    run(async {
        let cluster = shared_cluster();
        table(&cluster, "hoarded").await;
        for node in [cluster.wait_for_leader(), cluster.followers()[0]] {
            let mut wire = Wire::log_in(cluster.pg(node));
            wire.send(&query("SET idle_in_transaction_session_timeout = '300ms'"));
            wire.wait_for(b'Z');
            wire.send(&query(
                "BEGIN; INSERT INTO hoarded VALUES (NULL); \
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT hex(zeroblob(65536)) FROM n",
            ));
            assert_undisturbed(&cluster, node, "hoarded").await;
        }
    });
}

#[test]
fn a_message_of_a_gigabyte_is_refused_at_its_first_bytes() {
    run(async {
        let cluster = shared_cluster();
        table(&cluster, "huge").await;
        let node = cluster.followers()[0];
        let before = memory_mib(&cluster, node);
        for tag in [b'Q', b'P', b'B', b'd', b'p', b'X'] {
            let mut wire = Wire::log_in(cluster.pg(node));
            wire.send(&[&[tag][..], &(1_i32 << 30).to_be_bytes()].concat());
            wire.send(&[b'x'; 4096]);
            let said = wire.wait_for(b'E');
            assert_eq!(said.error().0, "08P01");
        }
        assert!(memory_mib(&cluster, node) < before + 64);
        assert_undisturbed(&cluster, node, "huge").await;
    });
}

#[test]
fn thousands_of_connections_are_refused_without_harm() {
    run(async {
        let cluster = Cluster::start_with(1, &["--max-connections", "20"]);
        let node = NodeId(1);
        until("let in", async || cluster.connect(node).await.ok()).await;
        table(&cluster, "crowded").await;
        let before = memory_mib(&cluster, node);
        let hello = startup(&[("user", "postgres"), ("database", "postgres")]);
        // Of every ten one says who it is; the others say nothing.
        let mut crowd: Vec<std::net::TcpStream> = Vec::new();
        for number in 0..1_000 {
            let Ok(mut stream) = std::net::TcpStream::connect(cluster.pg(node)) else {
                break;
            };
            if number % 10 == 0 {
                use std::io::Write as _;
                // Refused perhaps, and closed.
                stream.write_all(&hello).ok();
            }
            crowd.push(stream);
        }
        assert!(memory_mib(&cluster, node) < before + 64);
        drop(crowd);
        wait_for_room(&cluster, node).await;
        assert_undisturbed(&cluster, node, "crowded").await;
    });
}

async fn wait_for_room(cluster: &Cluster, node: NodeId) {
    until("room", async || cluster.connect(node).await.ok()).await;
}

#[test]
fn a_client_that_sends_a_byte_at_a_time_is_served_or_sent_away_in_time() {
    let cluster = shared_cluster();
    let address: SocketAddr = cluster.pg(cluster.followers()[0]);
    // Once let in, slowness is nobody's business.
    let mut wire = Wire::log_in(address);
    for byte in query("SELECT 1") {
        wire.send(&[byte]);
    }
    wire.wait_for(b'Z');
    // Before, there is a limit, whatever drips in.
    let whole = startup(&[("user", "postgres"), ("database", "postgres")]);
    let mut wire = Wire::connect(address);
    let began = Instant::now();
    let mut sent = 0;
    wait_for("being sent away", || {
        // As slowly as the limit allows without ever coming to an end.
        if sent + 1 < whole.len() && began.elapsed() > Duration::from_millis(200 * sent as u64) {
            wire.send(&whole[sent..=sent]);
            sent += 1;
        }
        wire.is_closed().then_some(())
    });
    assert!(began.elapsed() < PATIENCE);
}
