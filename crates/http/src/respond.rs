//! Every path that a node answers, and what it answers.
//!
//! The health paths are Patroni's, so that a load balancer set up for it works here: 200 says "send me that
//! traffic", 503 says "do not", and the JSON body says why. They speak of the database `postgres` unless the
//! query says `database=NAME`.

use serde::Serialize;

use crate::metrics::MetricsSnapshot;
use crate::patroni::{ClusterView, MemberView, NodeView};
use crate::prometheus;
use crate::request::{BadRequest, Request};
use crate::status::{DatabaseStatus, NodeStatus, Role};

/// The paths, as a 404 lists them.
pub const PATHS: &[&str] = &[
    "/",
    "/async",
    "/cluster",
    "/health",
    "/leader",
    "/liveness",
    "/metrics",
    "/patroni",
    "/primary",
    "/quorum",
    "/read-only",
    "/read-only-quorum",
    "/read-only-sync",
    "/read-write",
    "/readiness",
    "/replica",
    "/status",
    "/sync",
];

/// Those that tell more than health.
const TELLING: [&str; 4] = ["/status", "/metrics", "/patroni", "/cluster"];

/// The database that health paths speak of by default: what a fresh cluster has and clients connect to.
const DEFAULT_DATABASE: &str = "postgres";

const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 200, 400, 401, 403, 404, 405, 413, 431, 503.
    pub status: u16,
    /// Of the body.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body; for HEAD and OPTIONS it is only measured, not sent.
    pub body: String,
    /// Whether `to_bytes` leaves the body out.
    pub head_only: bool,
}

/// Answers a request from what the node knows of itself.
pub fn respond(request: &Request, status: &NodeStatus, metrics: &MetricsSnapshot) -> Response {
    read_only(request, || match request.path.as_str() {
        "/status" => Response::json(200, status),
        "/metrics" => Response::new(200, PROMETHEUS, prometheus::render(status, metrics)),
        "/patroni" => Response::json(200, &NodeView::of(status, status.database(named(request)))),
        _ => health(request, status),
    })
}

/// Answers `/cluster` from what all nodes say.
pub fn respond_cluster(request: &Request, status: &NodeStatus, members: &[MemberView]) -> Response {
    read_only(request, || {
        Response::json(200, &ClusterView::of(&status.cluster, members, named(request)))
    })
}

/// The database that the request is about.
fn named(request: &Request) -> &str {
    request.parameter("database").unwrap_or(DEFAULT_DATABASE)
}

fn read_only(request: &Request, answer: impl FnOnce() -> Response) -> Response {
    if !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS") {
        let mut response = Response::error(405, &format!("{} is not allowed here", request.method));
        response.headers.push(("Allow", "GET, HEAD, OPTIONS".to_owned()));
        return response;
    }
    let mut response = answer();
    response.head_only = request.method != "GET";
    response
}

/// Answers somebody on another machine who has not proven to be a role that may see more: health paths say yes or
/// no and the role, nothing else is told.
pub fn respond_to_stranger(request: &Request, status: &NodeStatus, over_tls: bool) -> Response {
    read_only(request, || {
        let is_health = !TELLING.contains(&request.path.as_str());
        if is_health && PATHS.contains(&request.path.as_str()) {
            let verdict = health(request, status);
            if !matches!(verdict.status, 200 | 503) {
                return verdict;
            }
            let role = status.database(named(request)).map(|database| database.role);
            return Response::json(verdict.status, &Told { role });
        }
        if !over_tls {
            return Response::error(403, "from other machines this is answered over https only");
        }
        let message = "name and password of a superuser or a member of pg_monitor are needed";
        let mut response = Response::error(401, message);
        let challenge = "Basic realm=\"bellwether\", charset=\"UTF-8\"".to_owned();
        response.headers.push(("WWW-Authenticate", challenge));
        response
    })
}

/// What strangers are told.
#[derive(Serialize)]
struct Told {
    role: Option<Role>,
}

fn health(request: &Request, status: &NodeStatus) -> Response {
    match request.path.as_str() {
        "/liveness" => verdict(request, status, |_| None),
        "/health" => verdict(request, status, |_| status.not_serving_because()),
        "/" | "/primary" | "/leader" | "/read-write" => verdict(request, status, not_leader),
        "/readiness" => within_lag(request, status, not_ready),
        "/replica" => within_lag(request, status, not_replica),
        "/quorum" => verdict(request, status, not_voter),
        "/read-only-quorum" => verdict(request, status, |database| match database.role {
            Role::Leader => database.not_serving_because(),
            _ => not_voter(database),
        }),
        // Commits wait for any majority, never for a certain node.
        "/sync" => verdict(request, status, |_| Some(NO_SYNC.to_owned())),
        "/read-only-sync" => verdict(request, status, |database| match database.role {
            Role::Leader => database.not_serving_because(),
            _ => Some(NO_SYNC.to_owned()),
        }),
        "/async" => within_lag(request, status, not_learner),
        "/read-only" => within_lag(request, status, DatabaseStatus::not_serving_because),
        _ => not_found(&request.path),
    }
}

/// What a health path says, for load balancers and for people.
#[derive(Serialize)]
struct Verdict<'a> {
    state: &'static str,
    node: u64,
    database: &'a str,
    role: Option<Role>,
    term: Option<u64>,
    leader: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// 200 when `objection` has none. A database that the node does not have is an objection itself, but for the
/// paths that ask about the process.
fn verdict(
    request: &Request,
    status: &NodeStatus,
    objection: impl Fn(&DatabaseStatus) -> Option<String>,
) -> Response {
    let name = named(request);
    let database = status.database(name);
    let reason = match (request.path.as_str(), database) {
        ("/liveness", _) => None,
        ("/health", _) => status.not_serving_because(),
        (_, None) => Some(format!("no database {name:?} is open on this node")),
        (_, Some(database)) => objection(database),
    };
    let code = if reason.is_none() { 200 } else { 503 };
    let body = Verdict {
        state: if status.databases.is_empty() {
            "starting"
        } else {
            "running"
        },
        node: status.node.0,
        database: name,
        role: database.map(|database| database.role),
        term: database.map(|database| database.term.0),
        leader: database.and_then(|database| database.leader).map(|node| node.0),
        reason,
    };
    Response::json(code, &body)
}

/// The same with Patroni's `lag=` in bytes, kB, MB, GB or TB: a replica further behind, or that does not know
/// how far, objects.
fn within_lag(
    request: &Request,
    status: &NodeStatus,
    objection: impl Fn(&DatabaseStatus) -> Option<String>,
) -> Response {
    let Some(text) = request.parameter("lag") else {
        return verdict(request, status, objection);
    };
    let Some(limit_bytes) = parse_bytes(text) else {
        return Response::error(
            400,
            &format!("lag={text:?} is not a size: write 1048576, 512kB, 16MB or 1GB"),
        );
    };
    verdict(request, status, |database| {
        objection(database).or_else(|| match database.lag_bytes {
            Some(lag_bytes) if lag_bytes <= limit_bytes => None,
            Some(lag_bytes) => Some(format!("{lag_bytes} bytes behind, more than {limit_bytes}")),
            None => Some("how far it is behind is not known".to_owned()),
        })
    })
}

fn not_leader(database: &DatabaseStatus) -> Option<String> {
    match (database.role, database.leader) {
        (Role::Leader, _) => database.not_serving_because(),
        (role, Some(leader)) => Some(format!("a {role}; node {leader} leads")),
        (role, None) => Some(format!("a {role}; no leader is known")),
    }
}

fn not_replica(database: &DatabaseStatus) -> Option<String> {
    match database.role {
        Role::Follower | Role::Learner => database.not_serving_because(),
        role @ (Role::Leader | Role::Candidate) => Some(format!("a {role}")),
    }
}

const NO_SYNC: &str = "no standby is the synchronous one: any majority of the voters is (see /quorum)";

fn not_voter(database: &DatabaseStatus) -> Option<String> {
    match database.role {
        Role::Follower => database.not_serving_because(),
        role => Some(format!("a {role}")),
    }
}

fn not_learner(database: &DatabaseStatus) -> Option<String> {
    match database.role {
        Role::Learner => database.not_serving_because(),
        role => Some(format!("a {role}")),
    }
}

fn not_ready(database: &DatabaseStatus) -> Option<String> {
    let leaderless = || database.leader.is_none().then(|| "no leader is known".to_owned());
    database.not_serving_because().or_else(leaderless)
}

/// PostgreSQL's way to write sizes. Units are powers of 1024.
fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "" | "B" => 0,
        "kB" => 10,
        "MB" => 20,
        "GB" => 30,
        "TB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn not_found(path: &str) -> Response {
    #[derive(Serialize)]
    struct NotFound<'a> {
        error: String,
        paths: &'a [&'a str],
    }
    let error = format!("nothing at {path:?}");
    Response::json(404, &NotFound { error, paths: PATHS })
}

impl Response {
    fn new(status: u16, content_type: &'static str, body: String) -> Response {
        Response {
            status,
            content_type,
            headers: Vec::new(),
            body,
            head_only: false,
        }
    }

    fn json(status: u16, body: &impl Serialize) -> Response {
        let mut text = serde_json::to_string(body).expect("these structures have only text keys");
        text.push('\n');
        Response::new(status, JSON, text)
    }

    fn error(status: u16, error: &str) -> Response {
        #[derive(Serialize)]
        struct Failure<'a> {
            error: &'a str,
        }
        Response::json(status, &Failure { error })
    }

    /// The answer to bytes that are no request.
    pub fn bad_request(error: BadRequest) -> Response {
        Response::error(error.status(), &error.to_string())
    }

    /// As it goes over the wire, in HTTP/1.1.
    pub fn to_bytes(&self, keep_alive: bool) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: {}\r\n",
            self.status,
            reason_phrase(self.status),
            self.content_type,
            self.body.len(),
            if keep_alive { "keep-alive" } else { "close" },
        );
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        if !self.head_only {
            head.push_str(&self.body);
        }
        head.into_bytes()
    }
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::parse_bytes;

    #[test]
    fn sizes_are_written_as_postgresql_writes_them() {
        assert_eq!(parse_bytes("1048576"), Some(1 << 20));
        assert_eq!(parse_bytes("16MB"), Some(16 << 20));
        assert_eq!(parse_bytes("1kB"), Some(1 << 10));
        for text in ["", "MB", "1mb", "-1", "1.5MB", "99999999TB"] {
            assert_eq!(parse_bytes(text), None, "{text:?}");
        }
    }
}
