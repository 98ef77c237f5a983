//! Processes as Linux shows them in `/proc`: who began whom, and the CPU time they took. Elsewhere nothing is known.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// How often a child that ends is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// CPU time, in user and kernel mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cpu {
    own_us: u64,
    /// Of its children that have ended and were waited for.
    waited_us: u64,
}

impl Cpu {
    fn of(process: u32) -> Option<Cpu> {
        let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        Cpu::parse(&text, tick_us())
    }

    /// Fields 14 to 17 of proc(5)'s `/proc/pid/stat`. The second is the program's name, which may hold anything.
    fn parse(stat: &str, tick_us: u64) -> Option<Cpu> {
        let after_name = stat.rsplit_once(')')?.1;
        let mut ticks = after_name.split_whitespace().skip(11);
        let mut next = || ticks.next()?.parse::<u64>().ok();
        let (user, system, waited_user, waited_system) = (next()?, next()?, next()?, next()?);
        Some(Cpu {
            own_us: (user + system) * tick_us,
            waited_us: (waited_user + waited_system) * tick_us,
        })
    }
}

/// The length of a tick of `/proc`'s clock.
pub fn tick_us() -> u64 {
    // SAFETY: sysconf touches no memory.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    1_000_000 / u64::try_from(per_second).unwrap_or(100).max(1)
}

/// The processes that a process has begun, whichever of its threads did, and not yet waited for.
pub fn children(process: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten();
    let lists =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let text: Vec<String> = lists.collect();
    let numbers = text.iter().flat_map(|list| list.split_whitespace());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// A process, its children, theirs, and so on.
pub fn tree(root: u32) -> Vec<u32> {
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(process) = tree.get(next) {
        tree.extend(children(*process));
        next += 1;
    }
    tree
}

/// CPU time of a process and all below it, of those too that have ended. `None` when it does not run.
pub fn tree_cpu_us(root: u32) -> Option<u64> {
    Cpu::of(root)?;
    let cpus = tree(root).into_iter().filter_map(Cpu::of);
    Some(cpus.map(|cpu| cpu.own_us + cpu.waited_us).sum())
}

/// CPU time of this process, and of its children that have ended.
pub fn own_cpu_us() -> Option<(u64, u64)> {
    Cpu::of(std::process::id()).map(|cpu| (cpu.own_us, cpu.waited_us))
}

/// Asks a child to end with a signal, and kills it when it does not within a time.
pub fn end(child: &mut Child, signal: libc::c_int, within: Duration) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    // SAFETY: `kill` touches no memory; the child has not been waited for, so the number is still its own.
    unsafe { libc::kill(child.id() as libc::pid_t, signal) };
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    // Either fails when it has ended just now, which is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}

/// The end of the file that a process prints to.
pub fn last_words(path: &Path) -> String {
    const SHOWN_LINES: usize = 15;
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_with_a_strange_name_is_read() {
        let stat = "77 (a) b (c)) S 1 77 77 0 -1 4194304 1 2 3 4 150 50 7 3 20 0 9 0 100 1 2";
        let expected = Cpu {
            own_us: 2_000_000,
            waited_us: 100_000,
        };
        assert_eq!(Cpu::parse(stat, 10_000), Some(expected));
        assert_eq!(Cpu::parse("77 (a) S 1", 10_000), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_tree_holds_what_a_child_began() {
        // The shell's own child reads what this process writes: both end when that ends. Not as descriptor 0, which a
        // shell gives to what it begins in the background as an empty file.
        let mut shell = Command::new("sh")
            .args(["-c", "exec 3<&0; cat <&3 & echo began; wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut said = String::new();
        let mut output = BufReader::new(shell.stdout.take().expect("piped"));
        output.read_line(&mut said).expect("the shell says something");
        assert_eq!(said.trim(), "began");
        let below = tree(shell.id());
        assert!(tree(std::process::id()).contains(&shell.id()));
        assert!(tree_cpu_us(shell.id()).is_some());
        drop(shell.stdin.take());
        shell.wait().expect("it ends");
        assert_eq!(below.len(), 2, "{below:?}");
        assert_eq!(tree_cpu_us(below[0]), None);
    }
}
