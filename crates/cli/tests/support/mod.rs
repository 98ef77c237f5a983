//! Real nodes for end-to-end tests: processes of the built program on free ports of loopback, in a directory of
//! their own, killed when the test ends.
//!
//! Nothing here waits for a fixed time: [`wait_for`] asks until the answer is right or the deadline has passed, and
//! a test that fails prints the end of every node's log.

#![allow(dead_code, reason = "each test binary uses another part")]

#[path = "../../src/ask.rs"]
mod ask;
pub mod cluster;
pub mod supervised;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
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

/// Ports below those that systems hand out by themselves (Linux: from 32768), so that no connection takes one
/// between its being found free and its being used.
const PORTS: std::ops::Range<u32> = 10_000..32_000;

/// Ports that this process has given out.
static GIVEN: AtomicU32 = AtomicU32::new(0);

/// The first of `count` ports in a row that are free and were not given to another test. Processes begin at
/// different places; should one lose a race all the same, its node says so in the log, which the test prints.
pub fn free_range(count: u16) -> u16 {
    let begin = std::process::id().wrapping_mul(97);
    wait_for("free ports in a row", || {
        let given = GIVEN.fetch_add(u32::from(count), Ordering::Relaxed);
        let room = PORTS.end - PORTS.start - u32::from(count);
        let first = (PORTS.start + begin.wrapping_add(given) % room) as u16;
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let bound: Result<Vec<_>, _> = (first..first + count).map(bind).collect();
        bound.ok().map(|_| first)
    })
}

/// The program under test.
pub fn bellwether() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bellwether"))
}

/// A program of PostgreSQL (`psql`, `pgbench`); `None`, with the reason printed, when it is not installed.
pub fn postgresql_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        println!(
            "skipped: {name} is not installed (Debian has it in postgresql-client and postgresql-contrib)"
        );
    }
    found
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
