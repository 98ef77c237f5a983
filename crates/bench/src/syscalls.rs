//! System calls of running processes, counted by `perf stat` while a client runs: a counter in the kernel, which
//! slows a call down by some tens of nanoseconds, where strace would stop the process twice for each.

use std::path::Path;
use std::process::Command;

/// Counts the entry of every call.
const EVENT: &str = "raw_syscalls:sys_enter";

/// Whether calls can be counted here; `Err` says why not.
pub fn available() -> Result<(), String> {
    let output = Command::new("perf")
        .args(["stat", "-x", ",", "-e", EVENT, "--", "true"])
        .output();
    let output = output.map_err(|error| format!("perf cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    match total(&text) {
        Some(count) if count > 0 => Ok(()),
        _ => Err(format!("perf does not count {EVENT} here: {}", text.trim())),
    }
}

/// The beginning of a command line: a program named after it runs as it would alone, while the calls of some
/// processes, and of those that they begin, are counted into a file.
pub fn counting(processes: &[u32], into: &Path) -> Command {
    let list: Vec<String> = processes.iter().map(u32::to_string).collect();
    let mut command = Command::new("perf");
    command.args(["stat", "-x", ",", "-e", EVENT, "-p", &list.join(",")]);
    command.arg("-o").arg(into).arg("--");
    command
}

/// The sum of what perf-stat(1) wrote with `-x ,`: lines of `count,unit,event,…`, or words for a count that is not
/// known, which makes the sum unknown.
pub fn total(text: &str) -> Option<u64> {
    let counts = text.lines().filter_map(|line| {
        let mut fields = line.split(',');
        let count = fields.next()?;
        (fields.nth(1)? == EVENT).then_some(count)
    });
    let counts: Vec<u64> = counts.map(|count| count.parse().ok()).collect::<Option<_>>()?;
    (!counts.is_empty()).then(|| counts.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_and_what_was_not_counted_is_not_zero() {
        let text = "# started on Mon\n\n144,,raw_syscalls:sys_enter,1868276,100.00,,\n";
        assert_eq!(total(text), Some(144));
        assert_eq!(total("<not counted>,,raw_syscalls:sys_enter,0,0.00,,\n"), None);
        assert_eq!(total("event syntax error\n"), None);
    }

    #[test]
    fn the_program_comes_after_what_counts() {
        let command = counting(&[7, 8], Path::new("/tmp/x"));
        let arguments: Vec<_> = command
            .get_args()
            .map(|argument| argument.to_string_lossy())
            .collect();
        assert!(
            arguments.join(" ").ends_with("-p 7,8 -o /tmp/x --"),
            "{arguments:?}"
        );
    }
}
