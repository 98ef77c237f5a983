//! What no well-behaved client or peer sends: each gets a clear error, and nobody else notices.

mod support;

use std::net::SocketAddr;

use bellwether_types::NodeId;
use support::cluster::{Cluster, SECRET};
use support::peer::{Peer, frame};
use support::shared::{Turn, shared_cluster};
use support::wire::{Message, Wire, message, startup, text};
use support::{refusal, run, sqlstate};
use tokio_postgres::Client;

/// The cluster, with a client at each node that must notice nothing.
struct Bystanders {
    cluster: Turn,
    clients: Vec<Client>,
}

impl Bystanders {
    async fn new() -> Bystanders {
        let cluster = shared_cluster();
        let mut clients = Vec::new();
        for node in cluster.ids() {
            let client = cluster.connect(node).await.expect("let in");
            let create = "CREATE TABLE IF NOT EXISTS bystanders (n INTEGER)";
            client.batch_execute(create).await.expect("created");
            clients.push(client);
        }
        // New sessions look for it, too.
        cluster.assert_equal_fingerprints();
        Bystanders { cluster, clients }
    }

    /// One PostgreSQL address of a leader and one of a follower.
    fn addresses(&self) -> [SocketAddr; 2] {
        [self.cluster.wait_for_leader(), self.cluster.followers()[0]].map(|node| self.cluster.pg(node))
    }

    /// That the old connections and new ones are served.
    async fn assert_undisturbed(self) {
        for client in &self.clients {
            client
                .execute("INSERT INTO bystanders VALUES (1)", &[])
                .await
                .expect("served");
        }
        for node in self.cluster.ids() {
            let client = self.cluster.connect(node).await.expect("let in");
            client
                .batch_execute("SELECT count(*) FROM bystanders")
                .await
                .expect("served");
        }
        self.cluster.assert_equal_fingerprints();
    }
}

/// SQLSTATE and message of what must be refused.
async fn refused(client: &Client, sql: &str) -> (String, String) {
    let result = client.batch_execute(sql).await;
    assert!(result.is_err(), "accepted: {sql}");
    refusal(result)
}

/// The only message with which a server may end a connection: an error of severity FATAL.
#[track_caller]
fn last_word(messages: &[Message]) -> (String, String) {
    let last = messages.last().expect("the server has a last word");
    assert_eq!(last.field(b'V'), "FATAL", "{last:?}");
    last.error()
}

#[test]
fn garbage_instead_of_a_startup_message_is_refused() {
    run(async {
        let bystanders = Bystanders::new().await;
        let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let tls = [&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01][..], &[0; 200]].concat();
        let length = |length: u32| length.to_be_bytes().to_vec();
        for address in bystanders.addresses() {
            for bytes in [
                http.to_vec(),
                tls.clone(),
                vec![0; 64],
                vec![0xff; 64],
                [length(7), length(7)].concat(),
                length(1 << 30),
            ] {
                let mut wire = Wire::connect(address);
                wire.send(&bytes);
                wire.finish();
                let messages = wire.rest();
                assert!(!messages.is_empty(), "no word about {:?}", &bytes[..4]);
                let (code, text) = last_word(&messages);
                assert!(["08P01", "0A000"].contains(&code.as_str()), "{code} {text}");
                assert!(!text.is_empty());
            }
            // Nothing, or not enough for anything: there is nobody to talk to.
            for bytes in [&[][..], &[0], &[0, 0, 0, 8, 0]] {
                let mut wire = Wire::connect(address);
                wire.send(bytes);
                wire.finish();
                assert!(wire.rest().len() <= 1);
            }
        }
        bystanders.assert_undisturbed().await;
    });
}

#[test]
fn a_startup_message_that_asks_for_what_there_is_not_is_refused() {
    run(async {
        let bystanders = Bystanders::new().await;
        for address in bystanders.addresses() {
            let ask = |parameters: &[(&str, &str)]| {
                let mut wire = Wire::connect(address);
                wire.send(&startup(parameters));
                last_word(&wire.rest())
            };
            let (code, text) = ask(&[("user", "postgres"), ("database", "no\u{1F411}where")]);
            assert_eq!(
                (code.as_str(), text.as_str()),
                ("3D000", "database \"no\u{1F411}where\" does not exist")
            );
            let (code, text) = ask(&[("user", "Robert'); DROP TABLE roles"), ("database", "postgres")]);
            assert_eq!(code, "28000");
            assert!(text.contains("Robert'); DROP TABLE roles"), "{text}");
            assert_eq!(ask(&[("database", "postgres")]).0, "28000");
            let huge = "x".repeat(9_000);
            assert!(["28000", "08P01"].contains(&ask(&[("user", &huge)]).0.as_str()));
            let option = |name: &str, value: &str| {
                ask(&[("user", "postgres"), ("database", "postgres"), (name, value)])
            };
            assert_eq!(option("no_such_setting", "1").0, "42704");
            assert_eq!(option("statement_timeout", "soon").0, "22023");
            assert_eq!(option("client_encoding", "LATIN1").0, "0A000");
            assert_eq!(option("replication", "true").0, "0A000");
        }
        bystanders.assert_undisturbed().await;
    });
}

#[test]
fn garbage_after_the_login_ends_that_connection_alone() {
    run(async {
        let bystanders = Bystanders::new().await;
        for address in bystanders.addresses() {
            let unknown = message(b'!', b"what is this");
            let too_short = [&b"Q"[..], &3_u32.to_be_bytes()].concat();
            let too_long = [&b"Q"[..], &u32::MAX.to_be_bytes(), &[b' '; 1000]].concat();
            let much_too_long = [&b"P"[..], &(1_u32 << 30).to_be_bytes(), &[b' '; 1000]].concat();
            for bytes in [unknown, too_short, too_long, much_too_long, vec![0xff; 4096]] {
                let mut wire = Wire::log_in(address);
                wire.send(&bytes);
                let (code, _) = last_word(&wire.rest());
                assert_eq!(code, "08P01", "{:?}", &bytes[..5]);
            }
        }
        bystanders.assert_undisturbed().await;
    });
}

#[test]
fn a_message_with_a_wrong_content_is_an_error_and_the_connection_goes_on() {
    run(async {
        let bystanders = Bystanders::new().await;
        for address in bystanders.addresses() {
            let mut wire = Wire::log_in(address);
            for (body, expected) in [
                (b"SELECT 1".to_vec(), "08P01"),
                (b"SELECT 1\0 and more\0".to_vec(), "08P01"),
                (b"SELECT '\xff\xfe'\0".to_vec(), "22021"),
                (b"SELECT '\xc3'\0".to_vec(), "22021"),
            ] {
                wire.send(&message(b'Q', &body));
                assert_eq!(wire.wait_for(b'E').error().0, expected, "{body:?}");
                wire.wait_for(b'Z');
            }
            // Counts that promise more than there is: in Parse, Bind, Execute, Describe.
            for (tag, body) in [
                (b'P', [text(""), text("SELECT 1"), vec![0xff, 0xff]].concat()),
                (b'B', [text(""), text(""), vec![0x7f, 0xff, 0, 0]].concat()),
                (
                    b'B',
                    [text(""), text(""), vec![0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 0]].concat(),
                ),
                (b'B', [text(""), text("nobody"), vec![0, 0, 0, 0, 0, 0]].concat()),
                (b'E', text("nobody")),
                (b'D', [vec![b'X'], text("")].concat()),
                (b'C', vec![b'S']),
                (b'F', vec![0; 12]),
            ] {
                wire.send(&[message(tag, &body), message(b'S', &[])].concat());
                wire.wait_for(b'E');
                wire.wait_for(b'Z');
            }
            wire.query("SELECT 1");
        }
        bystanders.assert_undisturbed().await;
    });
}

#[test]
fn a_message_cut_off_in_the_middle_does_nothing() {
    run(async {
        let bystanders = Bystanders::new().await;
        for address in bystanders.addresses() {
            let whole = message(b'Q', &text("INSERT INTO bystanders VALUES (-1)"));
            for length in [1, 5, whole.len() - 1] {
                let mut wire = Wire::log_in(address);
                wire.send(&whole[..length]);
                wire.finish();
                wire.rest();
            }
            // A transaction, and half of its end.
            let mut wire = Wire::log_in(address);
            wire.query("BEGIN; INSERT INTO bystanders VALUES (-1)");
            wire.send(&message(b'Q', &text("COMMIT"))[..7]);
            wire.finish();
            wire.rest();
        }
        let done = bystanders.clients[0]
            .query_one("SELECT count(*) FROM bystanders WHERE n < 0", &[])
            .await;
        assert_eq!(done.expect("read").get::<_, i64>(0), 0);
        bystanders.assert_undisturbed().await;
    });
}

#[test]
fn sql_does_not_reach_outside_its_database() {
    run(async {
        let bystanders = Bystanders::new().await;
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("stolen.db").display().to_string();
        for client in &bystanders.clients {
            for sql in [
                format!("ATTACH '{file}' AS stolen"),
                "ATTACH ':memory:' AS more".to_owned(),
                format!("VACUUM INTO '{file}'"),
                "SELECT load_extension('libc.so.6')".to_owned(),
                "PRAGMA writable_schema = on".to_owned(),
                "PRAGMA journal_mode = delete".to_owned(),
                "PRAGMA synchronous = off".to_owned(),
                "PRAGMA wal_autocheckpoint = 1".to_owned(),
                "PRAGMA wal_checkpoint(truncate)".to_owned(),
                "PRAGMA locking_mode = exclusive".to_owned(),
                "PRAGMA temp_store_directory = '/tmp'".to_owned(),
                "PRAGMA page_size = 512".to_owned(),
                "PRAGMA page_size(512)".to_owned(),
                "PRAGMA mmap_size = 1".to_owned(),
                "PRAGMA schema_version = 1".to_owned(),
                "PRAGMA trusted_schema = on".to_owned(),
                "PRAGMA hard_heap_limit = 1".to_owned(),
                "SELECT * FROM pragma_wal_checkpoint".to_owned(),
                "CREATE TEMP TABLE mine (id)".to_owned(),
                "CREATE TABLE temp.mine (id)".to_owned(),
                "INSERT INTO sqlite_schema VALUES ('table', 'x', 'x', 0, '')".to_owned(),
                "DELETE FROM sqlite_schema".to_owned(),
                "SELECT * FROM sqlite_dbpage".to_owned(),
                "SELECT writefile('/tmp/x', 'y')".to_owned(),
                "SELECT edit('x')".to_owned(),
                "COPY bystanders FROM '/etc/passwd'".to_owned(),
                "SELECT pg_read_file('/etc/passwd')".to_owned(),
            ] {
                let (code, message) = refused(client, &sql).await;
                assert!(
                    ["42501", "0A000", "42883", "42601", "42P01"].contains(&code.as_str()),
                    "{sql}: {code} {message}"
                );
            }
        }
        assert!(!std::path::Path::new(&file).exists());
        bystanders.assert_undisturbed().await;
    });
}

#[test]
fn the_products_own_tables_are_nobodys() {
    run(async {
        let bystanders = Bystanders::new().await;
        let client = &bystanders.clients[0];
        let tables = client
            .query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '\\_bellwether\\_%' ESCAPE '\\'", &[])
            .await
            .expect("the schema is readable");
        for table in tables
            .iter()
            .map(|row| row.get::<_, String>(0))
            .chain(["_bellwether_mine".to_owned()])
        {
            for sql in [
                format!("DELETE FROM {table}"),
                format!("DROP TABLE {table}"),
                format!("INSERT INTO {table} DEFAULT VALUES"),
                format!("ALTER TABLE {table} RENAME TO mine"),
                format!("CREATE TABLE {table} (id)"),
                format!("ALTER TABLE bystanders RENAME TO {table}"),
                format!("CREATE TRIGGER spy AFTER INSERT ON {table} BEGIN SELECT 1; END"),
                format!(
                    "CREATE TRIGGER spy AFTER INSERT ON bystanders BEGIN DELETE FROM {table}; END; INSERT INTO bystanders VALUES (1)"
                ),
                format!("CREATE VIEW {table} AS SELECT 1"),
            ] {
                let (code, message) = refused(client, &sql).await;
                assert!(
                    ["42501", "0A000", "42P01", "42P07"].contains(&code.as_str()),
                    "{sql}: {code} {message}"
                );
            }
        }
        bystanders.assert_undisturbed().await;
    });
}

#[test]
fn a_value_of_twenty_megabytes_is_stored_everywhere() {
    run(async {
        let bystanders = Bystanders::new().await;
        let follower = bystanders.cluster.connect_to_follower().await;
        follower
            .batch_execute("CREATE TABLE big (id INTEGER PRIMARY KEY, b BLOB)")
            .await
            .expect("created");
        let blob: Vec<u8> = (0..20_u32 << 20).map(|byte| (byte % 251) as u8).collect();
        follower
            .execute("INSERT INTO big VALUES (1, $1)", &[&blob])
            .await
            .expect("inserted");
        for client in &bystanders.clients {
            client
                .batch_execute("SET bellwether.read_consistency = strong")
                .await
                .expect("set");
            let row = client
                .query_one("SELECT length(b), hex(substr(b, -3)), b FROM big", &[])
                .await
                .expect("read");
            assert_eq!(row.get::<_, i64>(0), 20 << 20);
            assert!(row.get::<_, &[u8]>(2) == blob, "byte by byte");
        }
        follower.batch_execute("DELETE FROM big").await.expect("deleted");
        bystanders.assert_undisturbed().await;
    });
}

#[test]
fn what_is_larger_than_any_limit_is_refused() {
    run(async {
        let bystanders = Bystanders::new().await;
        for client in &bystanders.clients[..2] {
            let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
            let wide = format!("SELECT {}", vec!["1"; 5_000].join(", "));
            let long_chain = format!("SELECT {}", vec!["1"; 5_000].join(" + "));
            let compound = vec!["SELECT 1"; 2_000].join(" UNION ALL ");
            for sql in [
                deep,
                wide,
                long_chain,
                compound,
                "SELECT zeroblob(2000000000)".to_owned(),
            ] {
                let (code, message) = refused(client, &sql).await;
                let known = ["54000", "42601", "53200", "22003"].contains(&code.as_str());
                assert!(known, "{}…: {code} {message}", &sql[..20]);
            }
            let parameters = format!("SELECT ${}", 40_000);
            let refused = sqlstate(client.prepare(&parameters).await);
            assert!(
                ["08P01", "54000", "42601"].contains(&refused.as_str()),
                "{refused}"
            );
        }
        bystanders.assert_undisturbed().await;
    });
}

#[test]
fn a_peers_port_takes_no_garbage_and_no_stranger() {
    run(async {
        let bystanders = Bystanders::new().await;
        let cluster = &bystanders.cluster;
        for node in cluster.ids() {
            let peer = cluster.peer(node);
            for bytes in [
                vec![0; 8],
                vec![0xff; 4096],
                b"GET / HTTP/1.1\r\n\r\n".to_vec(),
                frame(b"hello"),
                vec![],
            ] {
                let mut wire = Wire::connect(peer);
                wire.send(&bytes);
                wire.finish();
                wire.raw_rest();
            }
            let hello = |cluster: u128, from: NodeId, to: NodeId| {
                let mut peer = Peer::connect(peer, cluster, from, to);
                peer.prove(SECRET.as_bytes());
                peer.rest()
            };
            let other = NodeId(node.0 % 3 + 1);
            assert!(hello(0xbad, other, node).contains("this is cluster"));
            assert!(hello(0xb0b, node, other).contains("this is node"));
            assert!(hello(0xb0b, NodeId(0), node).contains("node 0 is none"));
            // Let in, and then nonsense: whole frames of it, a wrong checksum, a length without end.
            for nonsense in [frame(&[0xff; 100]), vec![0x55; 64], vec![0xff; 64], frame(&[])] {
                let mut peer = Peer::connect(peer, 0xb0b, other, node);
                peer.prove(SECRET.as_bytes());
                peer.send(&nonsense);
                peer.rest();
            }
        }
        let leader = cluster.wait_for_leader();
        assert!(cluster.replica(leader).is_some());
        bystanders.assert_undisturbed().await;
    });
}

#[test]
fn clients_beyond_the_limit_are_refused_until_others_leave() {
    run(async {
        let cluster = Cluster::start_with(1, &["--max-connections", "5"]);
        let node = NodeId(1);
        let mut clients = Vec::new();
        support::until("five clients", async || {
            clients.extend(cluster.connect(node).await.ok());
            (clients.len() == 5).then_some(())
        })
        .await;
        let (code, message) = refusal(cluster.connect(node).await);
        assert_eq!(code, "53300", "{message}");
        // A request to cancel needs no room.
        let endless =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let token = clients[0].cancel_token();
        let cancel = support::until("the cancelling", async || {
            token.cancel_query(tokio_postgres::NoTls).await.ok();
            None::<()>
        });
        tokio::select! {
            ended = clients[0].batch_execute(endless) => assert_eq!(sqlstate(ended), "57014"),
            () = cancel => {}
        }
        drop(clients.pop());
        let again = support::until("room", async || cluster.connect(node).await.ok()).await;
        again.batch_execute("SELECT 1").await.expect("served");
    });
}
