//! Asks nodes for their status: `GET /status` over a plain connection.
//!
//! Bounded in time and bytes: a node that hangs or babbles does not hold up its caller.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bellwether_http::NodeStatus;

/// How long connecting, writing and each read may take. On loopback a node that lives answers in milliseconds.
const TIMEOUT: Duration = Duration::from_millis(1_000);

/// The largest answer that is read: thousands of databases.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// Why a node gave no status.
#[derive(Debug)]
pub enum NoStatus {
    /// Nothing listens there, or it did not answer in time.
    Unreachable(io::Error),
    /// It answers with another HTTP status.
    Refused(String),
    /// What it answers is no status.
    NotAStatus(String),
}

impl fmt::Display for NoStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoStatus::Unreachable(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                f.write_str("down")
            }
            NoStatus::Unreachable(error)
                if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) =>
            {
                write!(f, "no answer within {} ms", TIMEOUT.as_millis())
            }
            NoStatus::Unreachable(error) => write!(f, "unreachable: {error}"),
            NoStatus::Refused(status_line) => write!(f, "answers {status_line:?}"),
            NoStatus::NotAStatus(reason) => write!(f, "answers something else: {reason}"),
        }
    }
}

/// One node.
pub fn ask(address: SocketAddr) -> Result<NodeStatus, NoStatus> {
    let answer = exchange(address, "/status").map_err(NoStatus::Unreachable)?;
    let not_a_status = |reason: &str| NoStatus::NotAStatus(reason.to_owned());
    let answer = String::from_utf8(answer).map_err(|_| not_a_status("not text"))?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| not_a_status("not HTTP"))?;
    let status_line = head.lines().next().unwrap_or_default();
    if status_line.split(' ').nth(1) != Some("200") {
        return Err(NoStatus::Refused(status_line.to_owned()));
    }
    serde_json::from_str(body).map_err(|error| NoStatus::NotAStatus(error.to_string()))
}

/// All at once; the answers are in the order of the addresses.
pub fn ask_all(addresses: &[SocketAddr]) -> Vec<Result<NodeStatus, NoStatus>> {
    std::thread::scope(|scope| {
        let asking: Vec<_> = addresses
            .iter()
            .map(|address| scope.spawn(|| ask(*address)))
            .collect();
        let answers = asking
            .into_iter()
            .map(|thread| thread.join().expect("`ask` does not panic"));
        answers.collect()
    })
}

/// Sends the request and reads to the end, which `Connection: close` asks for.
/// What a node's HTTP door says of a path, head and body.
pub fn exchange(address: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Asks a listener that answers one request with these bytes.
    fn ask_one_that_says(answer: &'static str) -> Result<NodeStatus, NoStatus> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 1024];
            let read = stream.read(&mut request).expect("a request");
            assert!(request[..read].starts_with(b"GET /status HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).expect("the client reads");
        });
        let outcome = ask(address);
        server.join().expect("the listener's assertions hold");
        outcome
    }

    #[test]
    fn a_status_is_read() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\
                      {\"node\":3,\"version\":\"0.1.0\",\"cluster\":\"\",\"uptime_ms\":5,\"databases\":[],\"members\":[]}";
        let status = ask_one_that_says(answer).expect("a status");
        assert_eq!((status.node.0, status.uptime_ms), (3, 5));
    }

    #[test]
    fn what_is_no_status_is_told_apart_from_no_node() {
        assert!(matches!(
            ask_one_that_says("SSH-2.0-OpenSSH"),
            Err(NoStatus::NotAStatus(_))
        ));
        assert!(matches!(
            ask_one_that_says("HTTP/1.1 200 OK\r\n\r\n{}"),
            Err(NoStatus::NotAStatus(_))
        ));
        assert!(matches!(
            ask_one_that_says("HTTP/1.1 503 No\r\n\r\n"),
            Err(NoStatus::Refused(_))
        ));
        let refused = NoStatus::Unreachable(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(refused.to_string(), "down");
    }
}
