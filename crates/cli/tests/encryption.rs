//! TLS at every door: channel binding, certificates that are checked, peers that must prove the secret, and what
//! other machines are told.

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_types::NodeId;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use support::cluster::{Cluster, SECRET, write_private};
use support::peer::Peer;
use support::programs::{complaint, postgresql_program, stdout};
use support::{run, wait_for};

/// A certificate for localhost, signed by an authority of its own.
struct Authority {
    dir: tempfile::TempDir,
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let dir = tempfile::tempdir().expect("a directory");
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        // Another name than its certificates have: a certificate that names itself as its issuer is its own root.
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, "authority");
        let key = rcgen::KeyPair::generate().expect("a key");
        let issuer = rcgen::CertifiedIssuer::self_signed(parameters, key).expect("an authority");
        std::fs::write(dir.path().join("root.crt"), issuer.pem()).expect("writable");
        let authority = Authority { dir, issuer };
        authority.issue();
        authority
    }

    /// Writes a new certificate and key for the server.
    fn issue(&self) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let parameters = rcgen::CertificateParams::new(names).expect("names");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("signed");
        write_private(&self.path("server.key"), &key.serialize_pem());
        std::fs::write(self.path("server.crt"), certificate.pem()).expect("writable");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What `serve` is started with.
    fn options(&self, rules: &str) -> Vec<String> {
        std::fs::write(self.path("hba"), rules).expect("writable");
        let mut options = Vec::new();
        for (option, name) in [
            ("--tls-cert", "server.crt"),
            ("--tls-key", "server.key"),
            ("--hba", "hba"),
        ] {
            options.extend([option.to_owned(), self.path(name).display().to_string()]);
        }
        options
    }

    fn start(&self, nodes: u16, rules: &str) -> Cluster {
        let options = self.options(rules);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        Cluster::start_with(nodes, &options)
    }
}

/// A TLS connection that trusts the certificates in a file, and says these protocols.
fn tls(address: SocketAddr, roots: &Path, alpn: &[&[u8]]) -> StreamOwned<ClientConnection, TcpStream> {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(roots).expect("a file of certificates") {
        store.add(root.expect("a certificate")).expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let stream = TcpStream::connect(address).expect("the node listens");
    stream
        .set_read_timeout(Some(support::PATIENCE))
        .expect("a socket's option");
    StreamOwned::new(connection, stream)
}

const TLS_ONLY: &str = "host all postgres all trust\nhostssl all all all scram-sha-256\n";

#[test]
fn psql_checks_the_certificate_and_binds_the_password_to_it() {
    run(async {
        let authority = Authority::new();
        let cluster = authority.start(3, TLS_ONLY);
        let root = cluster.connect_to_leader().await;
        root.batch_execute("CREATE USER ada PASSWORD 'pencil'")
            .await
            .expect("a superuser");
        for node in cluster.ids() {
            let ask = |mode: &str, binding: &str, certificate: &str| {
                let mut psql = postgresql_program("psql", cluster.pg(node))?;
                psql.args(["-XAtwc", "SELECT current_user"]);
                psql.env("PGUSER", "ada").env("PGPASSWORD", "pencil");
                psql.env("PGHOST", "localhost").env("PGHOSTADDR", "127.0.0.1");
                psql.env("PGSSLMODE", mode).env("PGCHANNELBINDING", binding);
                psql.env("PGSSLROOTCERT", authority.path(certificate));
                Some(psql)
            };
            let Some(mut bound) = ask("verify-full", "require", "root.crt") else {
                return;
            };
            wait_for("the role", || {
                bound.output().expect("psql").status.success().then_some(())
            });
            assert_eq!(stdout(&mut bound), "ada\n");
            let plain = complaint(&mut ask("disable", "disable", "root.crt").expect("just seen"));
            assert!(
                plain.contains("no pg_hba entry") && plain.contains("no encryption"),
                "{plain}"
            );
            let other = Authority::new();
            let mut psql = ask("verify-full", "require", "root.crt").expect("just seen");
            let said = complaint(psql.env("PGSSLROOTCERT", other.path("root.crt")));
            assert!(said.contains("SSL error"), "{said}");
        }
    });
}

#[test]
fn a_client_may_begin_with_tls_if_it_says_what_it_will_speak() {
    run(async {
        let authority = Authority::new();
        let cluster = authority.start(1, TLS_ONLY);
        let startup = support::wire::startup(&[("user", "postgres"), ("database", "postgres")]);
        let mut direct = tls(
            cluster.pg(NodeId(1)),
            &authority.path("root.crt"),
            &[b"postgresql"],
        );
        direct.write_all(&startup).expect("a handshake");
        let mut answer = [0; 9];
        direct.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"R\0\0\0\x08\0\0\0\0", "AuthenticationOk");
        for alpn in [&[][..], &[&b"http/1.1"[..]][..]] {
            let mut other = tls(cluster.pg(NodeId(1)), &authority.path("root.crt"), alpn);
            let answered = other
                .write_all(&startup)
                .and_then(|()| other.read_exact(&mut answer));
            assert!(answered.is_err(), "{alpn:?}");
        }
    });
}

#[test]
fn a_certificate_that_changes_is_read_again_and_a_broken_one_leaves_the_old() {
    run(async {
        let authority = Authority::new();
        let cluster = authority.start(1, TLS_ONLY);
        let shown = || {
            let mut stream = tls(
                cluster.pg(NodeId(1)),
                &authority.path("root.crt"),
                &[b"postgresql"],
            );
            stream
                .write_all(&support::wire::startup(&[("user", "postgres")]))
                .expect("a handshake");
            stream.conn.peer_certificates().expect("shown")[0].to_vec()
        };
        let first = shown();
        std::fs::write(authority.path("server.crt"), "nonsense").expect("ours");
        wait_for("a complaint", || {
            shown();
            let log = std::fs::read_to_string(cluster.log_path(NodeId(1))).expect("a log");
            log.contains("the old one stays").then_some(())
        });
        assert_eq!(shown(), first);
        authority.issue();
        wait_for("the new certificate", || (shown() != first).then_some(()));
    });
}

#[test]
fn a_peer_without_the_secret_gets_a_refusal_and_nothing_else() {
    run(async {
        let cluster = Cluster::start(3);
        let (node, other) = (NodeId(1), NodeId(2));
        let connect = |cluster_id| Peer::connect(cluster.peer(node), cluster_id, other, node);
        let mut wrong = connect(0xb0b);
        wrong.prove(b"another secret, of 32 and more characters, too");
        let said = wrong.rest();
        assert!(said.contains("the cluster's secret was not proven"), "{said}");
        // Even what cluster and node it is, it hears only with the secret.
        let mut stranger = connect(0xbad);
        stranger.prove(b"");
        assert_eq!(stranger.rest(), said);
        // A proof for another connection's nonce is none.
        let (first, mut second) = (connect(0xb0b), connect(0xb0b));
        let proof = support::peer::frame(&first.proof(SECRET.as_bytes()));
        second.send(&proof);
        assert!(second.rest().contains("was not proven"));
        let mut silent = connect(0xb0b);
        assert_eq!(silent.rest(), "");
    });
}

/// An address of this machine that is not loopback; nothing is sent to find it.
fn address_of_this_machine() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    let is_of_others = !address.is_loopback() && !address.is_unspecified();
    if !is_of_others {
        println!("skipped: this machine has no address but loopback");
    }
    is_of_others.then_some(address)
}

/// What HTTP answers: status line to body.
fn http(mut stream: impl Read + Write, path: &str, authorization: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).expect("it listens");
    let mut answer = Vec::new();
    // A server may end TLS without a word after the answer.
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn beyond_loopback_everything_is_encrypted_and_asks_for_proof() {
    let Some(host) = address_of_this_machine() else {
        return;
    };
    run(async {
        // No rules and no certificate are given: what is made and what is default must do.
        let cluster = Cluster::start_at(host, 3, &[]);
        let root = cluster.connect_to_leader().await;
        for sql in [
            "CREATE TABLE t (a)",
            "CREATE USER ada PASSWORD 'pencil'",
            "GRANT pg_monitor TO ada",
        ] {
            root.batch_execute(sql)
                .await
                .expect("peers have found one another over TLS");
        }
        let node = cluster.followers()[0];
        let [pg, web, peer] = [cluster.pg(node), cluster.http(node), cluster.peer(node)]
            .map(|address| SocketAddr::new(host, address.port()));
        // PostgreSQL's door.
        if let Some(mut psql) = postgresql_program("psql", pg) {
            psql.args(["-XAtwc", "SELECT current_user"]).env("PGUSER", "ada");
            psql.env("PGPASSWORD", "pencil")
                .env("PGSSLMODE", "require")
                .env("PGCHANNELBINDING", "require");
            wait_for("the role", || {
                psql.output().expect("psql").status.success().then_some(())
            });
            let said = complaint(
                psql.env("PGSSLMODE", "disable")
                    .env("PGCHANNELBINDING", "disable"),
            );
            assert!(said.contains("no pg_hba entry"), "{said}");
        }
        // HTTP's.
        let plain = || TcpStream::connect(web).expect("it listens");
        let health = http(plain(), "/readiness", "");
        assert!(
            health.starts_with("HTTP/1.1 200") && health.ends_with("{\"role\":\"follower\"}\n"),
            "{health}"
        );
        let right = "Authorization: Basic YWRhOnBlbmNpbA==\r\n";
        assert!(http(plain(), "/status", right).starts_with("HTTP/1.1 403"));
        let secure = || {
            tls(
                web,
                &cluster.data_dir(node).join("tls/server.crt"),
                &[b"http/1.1"],
            )
        };
        assert!(http(secure(), "/status", "").starts_with("HTTP/1.1 401"));
        assert!(http(secure(), "/metrics", "Authorization: Basic YWRhOng=\r\n").starts_with("HTTP/1.1 401"));
        let status = http(secure(), "/status", right);
        assert!(
            status.starts_with("HTTP/1.1 200") && status.contains("\"fingerprint\""),
            "{status}"
        );
        // The peers': without TLS nothing is heard at all.
        let mut stream = TcpStream::connect(peer).expect("it listens");
        stream
            .set_read_timeout(Some(support::PATIENCE))
            .expect("a socket's option");
        stream.write_all(&[0x40; 64]).expect("a socket's buffer");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        assert_eq!(answer, Vec::<u8>::new());
    });
}
