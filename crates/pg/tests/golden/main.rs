//! Golden scripts of the protocol: what a client sends, what the driver is asked (indented), what the client gets
//! (`<`). Each script is run twice: as written, and byte by byte, where the answers must be the same.

#![allow(clippy::result_large_err, reason = "as in the crate")]

mod client;
mod commands;
mod cursors;
mod decode;
mod extended;
mod server;
mod simple;
mod startup;
mod transactions;
mod wrong;

use server::Server;

/// A logged-in session's trace, one packet after the other; the login is left out.
fn session(packets: &[Vec<u8>]) -> Server {
    let mut server = Server::new();
    server.receive(&client::login());
    server.trace.clear();
    for packet in packets {
        server.receive(packet);
    }
    server
}

fn answers(trace: &str) -> Vec<&str> {
    trace.lines().filter(|line| line.starts_with('<')).collect()
}

/// Compares the trace with what is expected.
#[track_caller]
fn check_once(packets: &[Vec<u8>], expected: &str) {
    let trace = session(packets).trace;
    let expected: String = expected
        .lines()
        .map(|line| line.strip_prefix("        ").unwrap_or(line).to_owned() + "\n")
        .collect();
    let expected = expected.trim_matches('\n');
    assert_eq!(
        trace.trim_end(),
        expected.trim_end(),
        "\n--- the trace was:\n{trace}"
    );
}

/// The same, and that the answers do not depend on how the bytes arrive.
#[track_caller]
fn check(packets: &[Vec<u8>], expected: &str) {
    check_once(packets, expected);
    let bytes: Vec<Vec<u8>> = packets.concat().into_iter().map(|byte| vec![byte]).collect();
    assert_eq!(
        answers(&session(&bytes).trace),
        answers(&session(packets).trace),
        "byte by byte"
    );
}
