//! What a load balancer, Prometheus and a person see at a node's HTTP address.

use bellwether_http::{
    DatabaseStatus, MemberView, Metrics, NodeStatus, PATHS, Request, Response, Role, SeedingStatus,
    parse_request, respond, respond_cluster, respond_to_stranger,
};
use bellwether_types::{Fingerprint, LogIndex, NodeId, Position, Term};

fn database(role: Role) -> DatabaseStatus {
    DatabaseStatus {
        name: "postgres".to_owned(),
        role,
        term: Term(5),
        leader: Some(NodeId(2)),
        position: Position::new(5, 44),
        commit: Position::new(5, 43),
        applied: Position::new(5, 42),
        lag_records: Some(1),
        lag_bytes: Some(2_048),
        lag_ms: Some(12),
        fingerprint: Fingerprint(0xBEE),
        log_first: LogIndex(1),
        log_bytes: 65_536,
        serving: true,
        problem: None,
        seeding: None,
    }
}

fn node(databases: Vec<DatabaseStatus>) -> NodeStatus {
    NodeStatus {
        node: NodeId(2),
        version: "0.1.0".to_owned(),
        cluster: "00000000000000000000000000000abc".to_owned(),
        uptime_ms: 61_500,
        databases,
        lost_writes: 3,
        members: Vec::new(),
    }
}

fn get(target: &str, status: &NodeStatus) -> Response {
    respond(&Request::get(target), status, &Metrics::default().snapshot())
}

fn statuses(status: &NodeStatus) -> String {
    let paths = [
        "/health",
        "/primary",
        "/leader",
        "/read-write",
        "/",
        "/replica",
        "/read-only",
        "/readiness",
        "/liveness",
        "/quorum",
        "/read-only-quorum",
        "/sync",
        "/read-only-sync",
        "/async",
    ];
    let codes = paths.map(|path| format!("{path} {}", get(path, status).status));
    codes.join(", ")
}

#[test]
fn a_leader_takes_writes_and_is_no_replica() {
    assert_eq!(
        statuses(&node(vec![database(Role::Leader)])),
        "/health 200, /primary 200, /leader 200, /read-write 200, / 200, /replica 503, /read-only 200, \
         /readiness 200, /liveness 200, /quorum 503, /read-only-quorum 200, /sync 503, /read-only-sync 200, \
         /async 503"
    );
}

#[test]
fn a_follower_takes_reads_and_names_the_leader() {
    let follower = node(vec![database(Role::Follower)]);
    assert_eq!(
        statuses(&follower),
        "/health 200, /primary 503, /leader 503, /read-write 503, / 503, /replica 200, /read-only 200, \
         /readiness 200, /liveness 200, /quorum 200, /read-only-quorum 200, /sync 503, /read-only-sync 503, \
         /async 503"
    );
    let body = get("/primary", &follower).body;
    assert_eq!(
        body,
        "{\"state\":\"running\",\"node\":2,\"database\":\"postgres\",\"role\":\"follower\",\"term\":5,\"leader\":2,\
         \"reason\":\"a follower; node 2 leads\"}\n"
    );
}

#[test]
fn a_replica_that_does_not_serve_says_why_and_a_starting_node_lives_but_is_not_healthy() {
    let mut diverged = database(Role::Follower);
    diverged.serving = false;
    diverged.problem = Some("table \"t\" diverged".to_owned());
    let response = get("/health", &node(vec![diverged]));
    assert_eq!(response.status, 503);
    assert!(
        response
            .body
            .contains(r#"database \"postgres\": table \"t\" diverged"#),
        "{}",
        response.body
    );

    let starting = node(Vec::new());
    assert_eq!(get("/liveness", &starting).status, 200);
    assert_eq!(get("/health", &starting).status, 503);
    assert_eq!(get("/replica", &starting).status, 503);
}

#[test]
fn a_replica_without_a_leader_serves_but_is_not_ready() {
    let mut leaderless = database(Role::Candidate);
    leaderless.leader = None;
    let status = node(vec![leaderless]);
    assert_eq!(get("/health", &status).status, 200);
    assert_eq!(get("/readiness", &status).status, 503);
    assert_eq!(get("/replica", &status).status, 503);
}

#[test]
fn a_lag_limit_is_compared_in_bytes_and_an_unknown_lag_is_too_much() {
    let mut follower = database(Role::Follower);
    let with_lag = |follower: &DatabaseStatus, lag: &str| {
        get(&format!("/replica?lag={lag}"), &node(vec![follower.clone()])).status
    };
    assert_eq!(with_lag(&follower, "2kB"), 200);
    assert_eq!(with_lag(&follower, "2047"), 503);
    assert_eq!(with_lag(&follower, "much"), 400);
    follower.lag_bytes = None;
    assert_eq!(with_lag(&follower, "1TB"), 503);
}

#[test]
fn another_database_is_asked_about_by_name() {
    let mut other = database(Role::Leader);
    other.name = "shop".to_owned();
    let status = node(vec![database(Role::Follower), other]);
    assert_eq!(get("/primary", &status).status, 503);
    assert_eq!(get("/primary?database=shop", &status).status, 200);
    assert_eq!(get("/primary?database=absent", &status).status, 503);
}

#[test]
fn an_unknown_path_lists_the_known_ones_and_all_of_those_answer() {
    let status = node(vec![database(Role::Leader)]);
    let response = get("/nothing", &status);
    assert_eq!(response.status, 404);
    for path in PATHS {
        assert!(response.body.contains(path), "{path} is not listed");
        if *path != "/cluster" {
            assert_ne!(get(path, &status).status, 404, "{path}");
        }
    }
}

#[test]
fn only_reading_methods_are_allowed_and_a_head_is_measured_but_not_sent() {
    let status = node(vec![database(Role::Leader)]);
    let with_method = |method: &str| {
        let mut request = Request::get("/status");
        request.method = method.to_owned();
        respond(&request, &status, &Metrics::default().snapshot())
    };
    let refused = with_method("POST");
    assert_eq!(refused.status, 405);
    assert_eq!(refused.headers, [("Allow", "GET, HEAD, OPTIONS".to_owned())]);

    let head = String::from_utf8(with_method("HEAD").to_bytes(true)).expect("text");
    let body_bytes = with_method("GET").body.len();
    assert!(
        head.contains(&format!("Content-Length: {body_bytes}\r\n")),
        "{head}"
    );
    assert!(head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn a_status_reads_back_and_a_newer_node_may_say_more() {
    let status = node(vec![database(Role::Leader), database(Role::Learner)]);
    let body = get("/status", &status).body;
    assert_eq!(
        serde_json::from_str::<NodeStatus>(&body).expect("reads back"),
        status
    );
    let more = body.replacen('{', "{\"zone\":\"b\",", 1);
    assert_eq!(
        serde_json::from_str::<NodeStatus>(&more).expect("reads back"),
        status
    );
    assert_eq!(body, include_str!("golden/status.json"));
}

#[test]
fn metrics_are_in_the_text_format_with_labels_escaped() {
    let metrics = Metrics::default();
    metrics.transactions_committed.add(7);
    metrics.connections_open.set(3);
    metrics.client_errors.count("23505");
    metrics.log_fsync_us.observe(90);
    metrics.log_fsync_us.observe(2_500);
    metrics.log_fsync_us.observe(60_000_000);
    metrics.group_transactions.observe(3);
    let mut odd = database(Role::Follower);
    odd.name = "a\"b\\c\nd".to_owned();
    odd.lag_ms = None;
    odd.seeding = Some(SeedingStatus {
        received_bytes: 5,
        total_bytes: 9,
    });
    let status = node(vec![database(Role::Leader), odd]);
    let response = respond(&Request::get("/metrics"), &status, &metrics.snapshot());
    assert_eq!(response.content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(
        response.body,
        include_str!("golden/metrics.txt"),
        "\n{}",
        response.body
    );
}

#[test]
fn bytes_that_are_no_request_are_answered_too() {
    let error = parse_request(b"\x16\x03\x01 TLS hello\r\n\r\n").expect_err("refused");
    let text = String::from_utf8(Response::bad_request(error).to_bytes(false)).expect("text");
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
    assert!(text.contains("Connection: close\r\n"), "{text}");
}

#[test]
fn a_stranger_hears_whether_to_send_traffic_and_the_role_and_nothing_else() {
    let status = node(vec![database(Role::Leader)]);
    let told = |target, tls| respond_to_stranger(&Request::get(target), &status, tls);
    let primary = told("/primary", false);
    assert_eq!(
        (primary.status, primary.body.as_str()),
        (200, "{\"role\":\"leader\"}\n")
    );
    let replica = told("/replica?lag=1MB", false);
    assert_eq!(
        (replica.status, replica.body.as_str()),
        (503, "{\"role\":\"leader\"}\n")
    );
    for target in ["/status", "/metrics", "/nowhere"] {
        let (plain, tls) = (told(target, false), told(target, true));
        assert_eq!((plain.status, tls.status), (403, 401), "{target}");
        assert!(tls.headers.iter().any(|(name, _)| *name == "WWW-Authenticate"));
        assert!(
            !plain.body.contains("abc") && !tls.body.contains("abc"),
            "{target}"
        );
    }
}

#[test]
fn a_node_describes_itself_in_patronis_words() {
    let follower = node(vec![database(Role::Follower)]);
    assert_eq!(
        get("/patroni", &follower).body,
        "{\"state\":\"running\",\"role\":\"replica\",\"server_version\":150000,\"timeline\":5,\
         \"xlog\":{\"received_location\":87960930222124,\"replayed_location\":87960930222122},\
         \"database_system_identifier\":\"00000000000000000000000000000abc\",\
         \"patroni\":{\"version\":\"0.1.0\",\"scope\":\"00000000000000000000000000000abc\",\"name\":\"node2\"}}\n"
    );
}

#[test]
fn the_cluster_is_listed_with_those_that_do_not_answer() {
    let member = |number: u16, status: Option<NodeStatus>| MemberView {
        node: NodeId(u64::from(number)),
        pg_host: "127.0.0.1".to_owned(),
        pg_port: 5432 + number,
        http: format!("127.0.0.1:{}", 8007 + number),
        status,
    };
    let members = [
        member(1, Some(node(vec![database(Role::Leader)]))),
        member(2, Some(node(vec![database(Role::Follower)]))),
        member(3, None),
    ];
    let listed = respond_cluster(&Request::get("/cluster"), &node(vec![]), &members);
    let listed: serde_json::Value = serde_json::from_str(&listed.body).expect("JSON");
    let line = |member: &serde_json::Value| {
        let of = |key: &str| member[key].to_string().replace('"', "");
        format!(
            "{} {} {} {} lag {}",
            of("name"),
            of("role"),
            of("state"),
            of("port"),
            of("lag")
        )
    };
    let lines: Vec<String> = listed["members"]
        .as_array()
        .expect("a list")
        .iter()
        .map(line)
        .collect();
    assert_eq!(
        lines,
        [
            "node1 leader running 5433 lag null",
            "node2 quorum_standby streaming 5434 lag 2048",
            "node3 replica unreachable 5435 lag unknown"
        ]
    );
    assert_eq!(listed["members"][1]["api_url"], "http://127.0.0.1:8009/patroni");
}
