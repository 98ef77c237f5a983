//! Real nodes for end-to-end tests: processes of the built program on free ports of loopback, in a directory of
//! their own, killed when the test ends.
//!
//! Nothing here waits for a fixed time: [`wait_for`] asks until the answer is right or the deadline has passed, and
//! a test that fails prints the end of every node's log.

#![allow(dead_code, reason = "each test binary uses another part")]

#[path = "../../src/ask.rs"]
mod ask;
pub mod cluster;
pub mod gate;
pub mod load;
pub mod peer;
pub mod programs;
pub mod recorder;
pub mod shared;
pub mod supervised;
pub mod wire;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bellwether_http::NodeStatus;

/// How long any condition may take to come true. Generous: machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long to leave the nodes alone between two questions.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(20);

/// What a node says about itself; `None` when it does not answer.
pub fn status(http: SocketAddr) -> Option<NodeStatus> {
    ask::ask(http).ok()
}

/// A page of a node's HTTP door, with its head.
#[track_caller]
pub fn page(http: SocketAddr, path: &str) -> String {
    let page = ask::exchange(http, path).expect("a node that answers");
    String::from_utf8(page).expect("text")
}

/// Asks until there is an answer. Panics after [`PATIENCE`], naming what was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {} s in vain: {what}",
            PATIENCE.as_secs()
        );
        std::thread::park_timeout(BETWEEN_QUESTIONS);
    }
}

/// How long a whole test may take.
const TEST_PATIENCE: Duration = Duration::from_secs(60);

/// Runs an asynchronous test; one that hangs fails.
#[track_caller]
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let done = runtime.block_on(async { tokio::time::timeout(TEST_PATIENCE, test).await });
    // Whatever it has left running may not hold up the next test.
    runtime.shutdown_background();
    assert!(
        done.is_ok(),
        "the test did not end within {} s",
        TEST_PATIENCE.as_secs()
    );
}

/// Statements that must not fail, and whose rows nobody wants.
pub async fn execute(client: &tokio_postgres::Client, sql: &str) {
    client.batch_execute(sql).await.expect(sql);
}

/// As [`wait_for`], where the answer is a client's.
pub async fn until<T>(what: &str, mut answer: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    let mut questions = tokio::time::interval(BETWEEN_QUESTIONS);
    loop {
        questions.tick().await;
        if let Some(answer) = answer().await {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {} s in vain: {what}",
            PATIENCE.as_secs()
        );
    }
}

/// The SQLSTATE of what must fail.
#[track_caller]
pub fn sqlstate<T>(result: Result<T, tokio_postgres::Error>) -> String {
    refusal(result).0
}

/// SQLSTATE and message of what must fail.
#[track_caller]
pub fn refusal<T>(result: Result<T, tokio_postgres::Error>) -> (String, String) {
    match result {
        Ok(_) => panic!("it was accepted"),
        Err(error) => match error.as_db_error() {
            Some(error) => (error.code().code().to_owned(), error.message().to_owned()),
            None => panic!("the server gave no error of its own: {error:?}"),
        },
    }
}

/// Ports below those that systems hand out by themselves (Linux: from 32768), so that no connection takes one
/// between its being found free and its being used.
const PORTS: std::ops::Range<u32> = 10_000..32_000;

/// How many ports this process has given out, or found taken.
static GIVEN: AtomicU32 = AtomicU32::new(0);

/// The first of `count` ports in a row that are free and were not given to another test. Processes begin at
/// different places; should one lose a race all the same, its node says so in the log, which the test prints.
pub fn free_range(count: u16) -> u16 {
    let begin = std::process::id().wrapping_mul(97) % PORTS.len() as u32;
    wait_for("free ports in a row", || {
        let given = GIVEN.fetch_add(u32::from(count), Ordering::Relaxed);
        // The circle is as long for every count: two ranges would meet otherwise.
        let place = begin.wrapping_add(given) % PORTS.len() as u32;
        let first = (PORTS.start + place) as u16;
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        // Past the circle's end are those that are given next.
        let is_whole = place + u32::from(count) <= PORTS.len() as u32;
        let is_free = is_whole && (first..first + count).map(bind).all(|bound| bound.is_ok());
        is_free.then_some(first)
    })
}

/// The program under test.
pub fn bellwether() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bellwether"))
}

/// Sends a signal to a child that has not been waited for.
pub fn send_signal(process: u32, signal: libc::c_int) {
    // SAFETY: `kill` touches no memory; callers hold the child, so the number is still its own.
    let sent = unsafe { libc::kill(process as libc::pid_t, signal) };
    assert_eq!(
        sent,
        0,
        "signal {signal} to process {process}: {}",
        std::io::Error::last_os_error()
    );
}

/// Prints the end of a log, for the reader of a failed test.
pub fn print_log(name: &str, path: &Path) {
    const SHOWN_LINES: usize = 40;
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    println!("--- {name}: {}", path.display());
    for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
        println!("{line}");
    }
}
