//! What a node counts, from its `GET /metrics`.
//!
//! Bounded in time and bytes. A series that is not there reads as absent, so that an older or newer node is no error.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long connecting, writing and each read may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// Counters of one node, or the difference or sum of some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Groups of transactions executed: one record and one fsync each.
    pub groups: f64,
    /// Transactions in those.
    pub grouped_transactions: f64,
    /// fsyncs of the log.
    pub fsyncs: f64,
    /// The time they took.
    pub fsync_seconds: f64,
    /// Groups held for their quorum.
    pub commit_waits: f64,
    /// The time they were held.
    pub commit_wait_seconds: f64,
    /// Bytes appended to the log.
    pub log_bytes: f64,
    /// Messages to other nodes.
    pub peer_messages: f64,
}

impl Metrics {
    fn parse(text: &str) -> Metrics {
        let series = series(text);
        let value = |name: &str| series.get(name).copied().unwrap_or_default();
        Metrics {
            groups: value("bellwether_group_transactions_count"),
            grouped_transactions: value("bellwether_group_transactions_sum"),
            fsyncs: value("bellwether_log_fsync_seconds_count"),
            fsync_seconds: value("bellwether_log_fsync_seconds_sum"),
            commit_waits: value("bellwether_commit_wait_seconds_count"),
            commit_wait_seconds: value("bellwether_commit_wait_seconds_sum"),
            log_bytes: value("bellwether_log_appended_bytes_total"),
            peer_messages: value("bellwether_peer_messages_total{direction=\"out\"}"),
        }
    }

    /// Both together.
    pub fn plus(&self, other: &Metrics) -> Metrics {
        self.with(other, |a, b| a + b)
    }

    /// What came since `earlier`.
    pub fn minus(&self, earlier: &Metrics) -> Metrics {
        self.with(earlier, |a, b| a - b)
    }

    fn with(&self, other: &Metrics, combine: impl Fn(f64, f64) -> f64) -> Metrics {
        Metrics {
            groups: combine(self.groups, other.groups),
            grouped_transactions: combine(self.grouped_transactions, other.grouped_transactions),
            fsyncs: combine(self.fsyncs, other.fsyncs),
            fsync_seconds: combine(self.fsync_seconds, other.fsync_seconds),
            commit_waits: combine(self.commit_waits, other.commit_waits),
            commit_wait_seconds: combine(self.commit_wait_seconds, other.commit_wait_seconds),
            log_bytes: combine(self.log_bytes, other.log_bytes),
            peer_messages: combine(self.peer_messages, other.peer_messages),
        }
    }
}

/// Asks a node.
pub fn scrape(http: SocketAddr) -> io::Result<Metrics> {
    let mut stream = TcpStream::connect_timeout(&http, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(
        format!("GET /metrics HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("the answer is not HTTP"))?;
    if head.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(head.lines().next().unwrap_or_default()));
    }
    Ok(Metrics::parse(body))
}

/// Prometheus' text: `name{label="value"} number`, comments aside.
fn series(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name, value.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP bellwether_group_transactions Transactions in one group.
# TYPE bellwether_group_transactions histogram
bellwether_group_transactions_bucket{le=\"+Inf\"} 3
bellwether_group_transactions_sum 60
bellwether_group_transactions_count 3
bellwether_log_fsync_seconds_sum 0.5
bellwether_log_fsync_seconds_count 4
bellwether_peer_messages_total{direction=\"in\"} 8
bellwether_peer_messages_total{direction=\"out\"} 9
";

    #[test]
    fn the_series_that_matter_are_read() {
        let metrics = Metrics::parse(TEXT);
        assert_eq!((metrics.groups, metrics.grouped_transactions), (3.0, 60.0));
        assert_eq!((metrics.fsyncs, metrics.fsync_seconds), (4.0, 0.5));
        assert_eq!(metrics.peer_messages, 9.0);
        assert_eq!(metrics.log_bytes, 0.0);
    }

    #[test]
    fn a_difference_and_its_beginning_add_up() {
        let metrics = Metrics::parse(TEXT);
        let doubled = metrics.plus(&metrics);
        assert_eq!(doubled.fsyncs, 8.0);
        assert_eq!(doubled.minus(&metrics), metrics);
    }

    #[test]
    fn only_a_good_answer_is_taken() {
        for (answer, good) in [
            (
                "HTTP/1.1 200 OK\r\n\r\nbellwether_log_fsync_seconds_count 4\n",
                true,
            ),
            ("HTTP/1.1 503 No\r\n\r\n", false),
            ("SSH-2.0", false),
        ] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            let http = listener.local_addr().expect("bound");
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("a client");
                let read = stream.read(&mut [0; 1024]).expect("a request");
                assert!(read > 0);
                stream.write_all(answer.as_bytes()).expect("the client reads");
            });
            assert_eq!(scrape(http).is_ok(), good, "{answer}");
            server.join().expect("the listener's assertions hold");
        }
    }
}
