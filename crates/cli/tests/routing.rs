//! Clients that look for the right node themselves: libpq's and a driver's lists of hosts, and HAProxy with the
//! configuration that Patroni's documentation has, each before and after a failover.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use bellwether_types::NodeId;
use support::cluster::{Cluster, DATABASE};
use support::programs::{is_installed, postgresql_program};
use support::{free_range, run, until, wait_for};
use tokio_postgres::NoTls;

/// psql with every node in its connection string, in the order of their numbers.
fn psql_of_all(cluster: &Cluster, attributes: &str) -> Option<Command> {
    let nodes: Vec<SocketAddr> = cluster.ids().into_iter().map(|node| cluster.pg(node)).collect();
    let mut psql = postgresql_program("psql", nodes[0])?;
    let hosts: Vec<String> = nodes.iter().map(|node| node.ip().to_string()).collect();
    let ports: Vec<String> = nodes.iter().map(|node| node.port().to_string()).collect();
    let string = format!(
        "host={} port={} user=postgres dbname={DATABASE} connect_timeout=5 target_session_attrs={attributes}",
        hosts.join(","),
        ports.join(",")
    );
    psql.args(["-X", "-At", "-q", "-d", &string, "-c", "\\echo :PORT"]);
    Some(psql)
}

/// The node that psql gets, if any takes it.
fn node_found(cluster: &Cluster, attributes: &str) -> Option<NodeId> {
    let output = psql_of_all(cluster, attributes)?.output().expect("psql starts");
    let port = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    cluster
        .ids()
        .into_iter()
        .find(|node| cluster.pg(*node).port().to_string() == port)
}

#[test]
fn libpq_finds_the_node_it_asks_for_also_after_a_failover() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_ready();
    if psql_of_all(&cluster, "any").is_none() {
        return;
    }
    for _ in 0..2 {
        let leader = cluster.wait_for_leader();
        wait_for("every kind of session finds its node", || {
            let leads = |attributes| node_found(&cluster, attributes).map(|node| node == leader);
            let expected = [
                ("any", None),
                ("read-write", Some(true)),
                ("primary", Some(true)),
                ("read-only", Some(false)),
                ("standby", Some(false)),
                ("prefer-standby", Some(false)),
            ];
            let mut right = expected.iter().map(|(attributes, expected)| match expected {
                None => leads(attributes).is_some(),
                some => leads(attributes) == *some,
            });
            right.all(|right| right).then_some(())
        });
        cluster.kill(leader);
        cluster.wait_for_leader_other_than(leader);
        cluster.start_node(leader);
        cluster.wait_until_ready();
    }
}

#[test]
fn a_driver_finds_the_leader_among_hosts_in_any_order_also_after_a_failover() {
    run(async {
        let mut cluster = Cluster::start(3);
        cluster.wait_until_ready();
        let mut config = tokio_postgres::Config::new();
        config.user("postgres").dbname(DATABASE);
        config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        config.load_balance_hosts(tokio_postgres::config::LoadBalanceHosts::Random);
        for node in cluster.ids() {
            let address = cluster.pg(node);
            config.host(address.ip().to_string()).port(address.port());
        }
        let write = async || {
            let (client, connection) = config.connect(NoTls).await.ok()?;
            tokio::spawn(connection);
            client
                .batch_execute("CREATE TABLE IF NOT EXISTS t(a)")
                .await
                .ok()?;
            client.execute("INSERT INTO t VALUES (1)", &[]).await.ok()
        };
        for _ in 0..5 {
            assert_eq!(write().await, Some(1));
        }
        let leader = cluster.wait_for_leader();
        cluster.kill(leader);
        until("a write at the new leader", write).await;
    });
}

/// HAProxy in front of the nodes: one port for the leader, one for the followers.
struct Proxy {
    child: Child,
    _directory: tempfile::TempDir,
    leader: SocketAddr,
    followers: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    fn start(cluster: &Cluster) -> Option<Proxy> {
        if !is_installed(
            "haproxy",
            Command::new("haproxy").arg("-v"),
            "Debian has it in haproxy",
        ) {
            return None;
        }
        let port = free_range(2);
        let [leader, followers] = [port, port + 1].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("haproxy.cfg");
        let mut file = std::fs::File::create(&path).expect("a new file");
        let defaults = "global\n maxconn 100\ndefaults\n mode tcp\n retries 2\n timeout client 30m\n timeout connect 4s\n \
                        timeout server 30m\n timeout check 5s\n";
        file.write_all(defaults.as_bytes()).expect("written");
        for (name, address, path) in [
            ("primary", leader, "/primary"),
            ("replicas", followers, "/replica"),
        ] {
            write!(
                file,
                "listen {name}\n bind {address}\n option httpchk OPTIONS {path}\n http-check expect status 200\n \
                 default-server inter 200ms fall 1 rise 1 on-marked-down shutdown-sessions\n"
            )
            .expect("written");
            for node in cluster.ids() {
                let (pg, http) = (cluster.pg(node), cluster.http(node));
                writeln!(
                    file,
                    " server node{node} {pg} maxconn 100 check port {}",
                    http.port()
                )
                .expect("written");
            }
        }
        drop(file);
        let child = Command::new("haproxy")
            .arg("-f")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy starts");
        Some(Proxy {
            child,
            _directory: directory,
            leader,
            followers,
        })
    }
}

/// What a new session at an address is told of its node: whether it follows.
async fn follows(address: SocketAddr) -> Option<bool> {
    let string = format!(
        "host={} port={} user=postgres dbname={DATABASE}",
        address.ip(),
        address.port()
    );
    let (client, connection) = tokio_postgres::connect(&string, NoTls).await.ok()?;
    tokio::spawn(connection);
    let messages = client.simple_query("SHOW in_hot_standby").await.ok()?;
    messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(|text| text == "on"),
        _ => None,
    })
}

#[test]
fn haproxy_sends_writers_to_the_leader_and_readers_to_followers_also_after_a_failover() {
    run(async {
        let mut cluster = Cluster::start(3);
        cluster.wait_until_ready();
        let Some(proxy) = Proxy::start(&cluster) else {
            return;
        };
        for _ in 0..2 {
            until("the leader behind one port", async || {
                (follows(proxy.leader).await == Some(false)).then_some(())
            })
            .await;
            until("a follower behind the other", async || {
                (follows(proxy.followers).await == Some(true)).then_some(())
            })
            .await;
            let leader = cluster.wait_for_leader();
            cluster.kill(leader);
            cluster.wait_for_leader_other_than(leader);
            cluster.start_node(leader);
            cluster.wait_until_ready();
        }
    });
}

/// The members as a node lists them: name, role and state.
fn listed(cluster: &Cluster, node: NodeId) -> Vec<String> {
    let mut stream = TcpStream::connect(cluster.http(node)).expect("it listens");
    stream
        .write_all(b"GET /cluster HTTP/1.0\r\n\r\n")
        .expect("it takes a request");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("it answers");
    let (_, body) = said.split_once("\r\n\r\n").expect("a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let line = |member: &serde_json::Value| {
        format!("{} {} {}", member["name"], member["role"], member["state"]).replace('"', "")
    };
    body["members"]
        .as_array()
        .expect("a list")
        .iter()
        .map(line)
        .collect()
}

#[test]
fn every_node_lists_the_cluster_also_those_that_are_gone() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_ready();
    let lines = |leader: NodeId, gone: Option<NodeId>| -> Vec<String> {
        let role = |node| match node {
            _ if Some(node) == gone => "replica unreachable",
            _ if node == leader => "leader running",
            _ => "quorum_standby streaming",
        };
        [1, 2, 3]
            .map(|node| format!("node{node} {}", role(NodeId(node))))
            .to_vec()
    };
    let leader = cluster.wait_for_leader();
    for node in cluster.ids() {
        assert_eq!(listed(&cluster, node), lines(leader, None));
    }
    cluster.kill(leader);
    let next = cluster.wait_for_leader_other_than(leader);
    for node in cluster.ids().into_iter().filter(|node| *node != leader) {
        wait_for("the list is of the new reign", || {
            (listed(&cluster, node) == lines(next, Some(leader))).then_some(())
        });
    }
}
