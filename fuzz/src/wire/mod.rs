//! PostgreSQL's wire protocol: a `bellwether_pg::Connection` fed by a client that says anything, and answered by a
//! driver that keeps its duties.
//!
//! Checked besides that nothing panics: the driver is asked for nothing that its transaction, savepoints and cursors
//! do not allow ([`driver`]); what is sent is whole messages of known kinds; whoever sends Query or Sync gets one
//! ReadyForQuery, flushed; and no byte costs more than a bounded number of requests.

#![allow(
    clippy::result_large_err,
    reason = "an SqlError is rare and moved once, its fields are read where it is made"
)]

mod client;
mod driver;

use crate::source::Source;
use client::Client;
use driver::Driver;

/// Byte 0: half of all values begin inside a session (bit 0), composed messages or raw bytes (bit 1), how the bytes
/// are cut (bits 2 and 3), small message limit (bit 4), transactions get lost (bit 5). Byte 1: how the driver
/// answers. Then the client's choices or bytes.
pub fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let shape = source.byte();
    let mut driver = Driver::new(source.byte(), shape & 16 != 0, shape & 32 != 0);
    let is_inside = shape & 1 == 0;
    let is_composed = shape & 2 == 0;
    let mut client = Client::default();
    if is_inside {
        client.startup("");
    }
    if is_composed {
        client.compose(&mut source, is_inside);
    } else {
        client.raw(source.rest());
    }
    let bytes = client.bytes();
    for chunk in cut(bytes, shape >> 2 & 3) {
        driver.receive(chunk);
    }
    driver.check_requests(bytes.len());
    if is_inside {
        let ready = driver.check_output();
        if is_composed && driver.is_open() {
            let (least, most) = client.ready_due();
            assert!(
                (least..=most).contains(&ready),
                "{ready} ReadyForQuery, not {least} to {most}"
            );
        }
    }
}

/// Whole, byte by byte, or in pieces that meet messages anywhere.
fn cut(bytes: &[u8], how: u8) -> impl Iterator<Item = &[u8]> {
    let size = match how {
        0 => bytes.len(),
        1 if bytes.len() <= 1_000 => 1,
        2 => 7,
        _ => 61,
    };
    bytes.chunks(size.max(1))
}

/// Sessions as drivers hold them, composed and raw, and other openings.
pub fn seeds() -> Vec<Vec<u8>> {
    client::seeds()
}
