//! One node's process: how it is started, watched and signalled.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use bellwether_server::Member;
use bellwether_types::ClusterId;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::data_dir::{DataDir, NodeDir};
use crate::failure::Failure;

/// What every child does as its supervisor says; one value for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    Run,
    /// SIGTERM: stop cleanly.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// What to start for each node.
pub struct Program {
    path: PathBuf,
    cluster: ClusterId,
    members: Vec<Member>,
    dirs: Vec<NodeDir>,
    secret: PathBuf,
    hba: Option<PathBuf>,
    log_level: String,
}

impl Program {
    /// This same program, as `serve`.
    pub fn new(
        data_dir: &DataDir,
        members: Vec<Member>,
        hba: Option<PathBuf>,
        log_level: String,
    ) -> Result<Program, Failure> {
        let path = std::env::current_exe()
            .map_err(|error| Failure::new("the path of this program is not known").because(error))?;
        let dirs = members
            .iter()
            .map(|member| data_dir.node_dir(member.node))
            .collect::<Result<_, _>>()?;
        Ok(Program {
            cluster: data_dir.cluster()?,
            secret: data_dir.secret()?,
            hba,
            path,
            members,
            dirs,
            log_level,
        })
    }

    /// The nodes, in the order of their numbers.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The log file of the node at `at` in `members`.
    pub fn log_path(&self, at: usize) -> PathBuf {
        self.dirs[at].log_path()
    }

    /// Starts the node at `at` in `members`.
    pub fn spawn(&self, at: usize) -> io::Result<Child> {
        let member = &self.members[at];
        let log = self.dirs[at].open_log()?;
        let mut command = Command::new(&self.path);
        command
            .arg("serve")
            .args(["--cluster", &self.cluster.to_string()])
            .args(["--node", &member.node.to_string()])
            .arg("--data-dir")
            .arg(self.dirs[at].path())
            .arg("--secret-file")
            .arg(&self.secret)
            .args(
                self.hba
                    .iter()
                    .flat_map(|rules| ["--hba".as_ref(), rules.as_os_str()]),
            )
            .args(["--listen-pg", &member.addresses.pg.to_string()])
            .args(["--listen-http", &member.addresses.http.to_string()])
            .args(["--listen-peer", &member.addresses.peer.to_string()])
            .args(["--log-level", &self.log_level])
            .args(
                self.members
                    .iter()
                    .flat_map(|member| ["--member".to_owned(), member.to_string()]),
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A group of its own: the terminal's Ctrl-C goes to the supervisor alone, which stops the nodes in order.
            .process_group(0)
            .kill_on_drop(true);
        die_with_parent(&mut command);
        command.spawn()
    }
}

/// Asks Linux to send SIGTERM to the child when this process ends, however it ends.
#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let ask = move || {
        // SAFETY: prctl with these arguments touches no memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before it was asked.
        if std::os::unix::process::parent_id() != parent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure calls prctl and getppid, which are async-signal-safe, and
    // allocates nothing.
    unsafe { command.pre_exec(ask) };
}

/// Elsewhere a supervisor that is killed leaves its nodes running.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}

/// Waits for the child's end and passes orders on to it meanwhile.
pub async fn tend(mut child: Child, mut orders: watch::Receiver<Order>) -> io::Result<ExitStatus> {
    signal(&child, *orders.borrow_and_update());
    loop {
        tokio::select! {
            status = child.wait() => return status,
            Ok(()) = orders.changed() => signal(&child, *orders.borrow_and_update()),
        }
    }
}

fn signal(child: &Child, order: Order) {
    let number = match order {
        Order::Run => return,
        Order::Terminate => libc::SIGTERM,
        Order::Kill => libc::SIGKILL,
    };
    // No id: it has ended and been waited for, so its number may belong to another process by now.
    if let Some(id) = child.id() {
        // SAFETY: `kill` touches no memory. The child is not waited for yet, so the id is still its own.
        unsafe { libc::kill(id as libc::pid_t, number) };
    }
}

/// How a process ended, in words.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "it stopped by itself".to_owned(),
        (Some(code), _) => format!("it exited with code {code}"),
        (None, Some(number)) => format!("it was killed by {}", signal_name(number)),
        (None, None) => status.to_string(),
    }
}

fn signal_name(number: i32) -> String {
    let name = match number {
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGHUP => "SIGHUP",
        libc::SIGILL => "SIGILL",
        libc::SIGINT => "SIGINT",
        libc::SIGKILL => "SIGKILL",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXFSZ => "SIGXFSZ",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

/// What the node said last: its error, if it had the time to write one. `since`: the log's length at its start.
pub fn last_words(log: &Path, since: u64) -> Option<String> {
    const TAIL_BYTES: u64 = 4 << 10;
    let mut file = File::open(log).ok()?;
    let len = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(since.max(len.saturating_sub(TAIL_BYTES))))
        .ok()?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    let lines: Vec<&str> = tail.lines().collect();
    let start = lines
        .iter()
        .rposition(|line| line.starts_with("error:") || line.contains("panicked at"))?;
    Some(lines[start..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_in_words() {
        assert_eq!(
            describe(ExitStatus::from_raw(libc::SIGKILL)),
            "it was killed by SIGKILL"
        );
        assert_eq!(describe(ExitStatus::from_raw(3 << 8)), "it exited with code 3");
        assert_eq!(describe(ExitStatus::from_raw(0)), "it stopped by itself");
    }

    #[test]
    fn last_words_are_the_error_of_this_run_and_not_of_an_earlier_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log.txt");
        let earlier = "INFO up\nerror: the disk is full\n  really\n";
        std::fs::write(&path, earlier).expect("written");
        assert_eq!(
            last_words(&path, 0).as_deref(),
            Some("error: the disk is full\n  really")
        );
        assert_eq!(last_words(&path, earlier.len() as u64), None);
        assert_eq!(last_words(&dir.path().join("absent"), 0), None);
    }
}
