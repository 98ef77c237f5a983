//! What goes to the terminal.

use std::io::Write;

use comfy_table::{Table, presets};

/// Prints a line. That nobody reads any more is no reason to stop a cluster, so a failed write is ignored.
pub fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Ends this process quietly when the reader of its output has gone (`bellwether status | head`), as other
/// command-line programs do. The runtime ignores the signal by default and panics instead.
pub fn end_with_the_reader() {
    // SAFETY: SIG_DFL installs no handler of ours; called before any other thread is started.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// A table without lines, for what is read at a glance and cut with `awk`.
pub fn plain_table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table
}

/// 1536 as `1.5 kB`; units are powers of 1024, as PostgreSQL prints sizes.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::human_bytes;

    #[test]
    fn sizes_are_printed_in_the_largest_unit_that_fits() {
        assert_eq!(human_bytes(0), "0 B");
        assert_eq!(human_bytes(1023), "1023 B");
        assert_eq!(human_bytes(1536), "1.5 kB");
        assert_eq!(human_bytes(3 << 30), "3.0 GB");
        assert_eq!(human_bytes(u64::MAX), "16777216.0 TB");
    }
}
