//! A bar for the image of a database that a joining node gets, on a terminal, in the last line of stderr.
//!
//! The log goes to stderr as well: each of its lines takes the bar's place, and the bar is drawn again below it.

use std::io::{self, Write};

use bellwether_server::Seeding;

use crate::output::human_bytes;

/// Cells of the bar itself.
const CELLS: u64 = 24;

/// Back to the beginning of the line, which is emptied (ECMA-48: CR, EL).
const EMPTY_LINE: &[u8] = b"\r\x1b[K";

/// Draws it, in the place of the one before; with the last one the line is ended.
pub fn draw(seeding: &Seeding) {
    let mut text = EMPTY_LINE.to_vec();
    text.extend_from_slice(line(seeding).as_bytes());
    if seeding.image.received_bytes == seeding.image.total_bytes {
        text.push(b'\n');
    }
    // A terminal that is gone is no reason to stop.
    let _ = io::stderr().lock().write_all(&text);
}

fn line(seeding: &Seeding) -> String {
    let percent = seeding.image.percent();
    let full = (percent * CELLS / 100) as usize;
    let left = match seeding.left() {
        Some(left) => format!("{}:{:02} left", left.as_secs() / 60, left.as_secs() % 60),
        None => "waiting".to_owned(),
    };
    format!(
        "{} [{}{}] {percent:3} %  {} of {}  {}/s  {left}",
        seeding.database,
        "#".repeat(full),
        "-".repeat(CELLS as usize - full),
        human_bytes(seeding.image.received_bytes),
        human_bytes(seeding.image.total_bytes),
        human_bytes(seeding.bytes_per_second()),
    )
}

/// Stderr for the log of a node that draws.
pub struct AboveTheBar;

impl Write for AboveTheBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = io::stderr().lock();
        out.write_all(EMPTY_LINE)?;
        out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bellwether_http::SeedingStatus;

    use super::*;

    #[test]
    fn a_bar_says_how_much_is_here_how_fast_it_comes_and_when_all_will_be() {
        let seeding = Seeding {
            database: "postgres",
            image: SeedingStatus {
                received_bytes: 512 << 20,
                total_bytes: 1 << 30,
            },
            begun_at_bytes: 256 << 20,
            elapsed: Duration::from_secs(4),
        };
        assert_eq!(
            line(&seeding),
            "postgres [############------------]  50 %  512.0 MB of 1.0 GB  64.0 MB/s  0:08 left"
        );
        let begins = Seeding {
            begun_at_bytes: 512 << 20,
            ..seeding
        };
        assert!(line(&begins).ends_with("0 B/s  waiting"), "{}", line(&begins));
    }
}
