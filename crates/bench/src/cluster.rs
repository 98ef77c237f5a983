//! A cluster of this run's own: `bellwether up` as a child, in a fresh directory and on free ports.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::failure::Failure;
use crate::peer::served::Started;
use crate::ports::free_ports;
use crate::process;

/// How long the nodes may take to stop; `up` itself kills them after ten seconds.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// Running nodes. Stopped, and their data removed, when it is dropped.
pub struct Cluster {
    dir: TempDir,
    nodes: u16,
    first_port: u16,
    up: Child,
}

impl Cluster {
    /// Starts `up` of the given program. It does not wait until the nodes serve.
    pub fn start(program: &Path, nodes: u16, parent: &Path) -> Result<Cluster, Failure> {
        let unusable = |error| Failure::new(format!("{} cannot be used", parent.display())).because(error);
        let dir = tempfile::Builder::new()
            .prefix("bellwether-bench-")
            .tempdir_in(parent)
            .map_err(unusable)?;
        let output = File::create(dir.path().join("up.txt")).map_err(unusable)?;
        let errors = output.try_clone().map_err(unusable)?;
        let first_port = free_ports(nodes * 3)?;
        let mut command = Command::new(program);
        command.arg("up").args(["--nodes", &nodes.to_string()]);
        command.arg("--data-dir").arg(dir.path().join("data"));
        for (option, range) in [("--pg-port", 0), ("--http-port", 1), ("--peer-port", 2)] {
            command.args([option, &(first_port + range * nodes).to_string()]);
        }
        // A group of its own: Ctrl-C at the terminal ends this process, which then stops the cluster in order.
        command.process_group(0);
        let up = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| {
                Failure::new(format!("{} cannot be run", program.display()))
                    .because(error)
                    .hint("build it with `cargo build --release`, or name it with --binary")
            })?;
        Ok(Cluster {
            dir,
            nodes,
            first_port,
            up,
        })
    }

    /// Where each node takes PostgreSQL clients.
    pub fn pg(&self) -> Vec<SocketAddr> {
        self.range(0)
    }

    /// Where each node serves HTTP.
    pub fn http(&self) -> Vec<SocketAddr> {
        self.range(1)
    }

    fn range(&self, range: u16) -> Vec<SocketAddr> {
        let first = self.first_port + range * self.nodes;
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        (first..first + self.nodes).map(at).collect()
    }
}

impl Started for Cluster {
    fn processes(&self) -> Vec<Option<u32>> {
        let mut processes = vec![None; self.nodes.into()];
        for child in process::children(self.up.id()) {
            let command_line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            let place = node_number(&command_line).and_then(|node| processes.get_mut(node.checked_sub(1)?));
            if let Some(place) = place {
                *place = Some(child);
            }
        }
        processes
    }

    fn roots(&self) -> Vec<u32> {
        vec![self.up.id()]
    }

    fn ended(&mut self) -> Option<Failure> {
        let status = self.up.try_wait().ok().flatten()?;
        Some(Failure::new(format!("the cluster has ended ({status})")).because(self.last_words()))
    }

    fn last_words(&self) -> String {
        process::last_words(&self.dir.path().join("up.txt"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Its nodes end with it.
        process::end(&mut self.up, libc::SIGTERM, STOP_WITHIN);
    }
}

/// The N of `--node N` in a process's command line, whose arguments end with a zero byte each.
fn node_number(command_line: &[u8]) -> Option<usize> {
    let mut arguments = command_line.split(|byte| *byte == 0);
    arguments.find(|argument| *argument == b"--node")?;
    std::str::from_utf8(arguments.next()?).ok()?.parse().ok()
}

/// The program beside this one.
pub fn default_program() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()
        .map_err(|error| Failure::new("the path of this program is not known").because(error))?;
    let program = own.with_file_name("bellwether");
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure::new(format!("{} is not there", program.display()))
        .because("the cluster's program is looked for beside this one")
        .hint("build it with `cargo build --release`, or name it with --binary"))
}

/// A source file of this tree that was changed after `program` was built: whoever forgets to build measures what was.
pub fn newer_source(program: &Path) -> Option<String> {
    let built = std::fs::metadata(program)
        .and_then(|metadata| metadata.modified())
        .ok()?;
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let rooms = std::fs::read_dir(crates)
        .ok()?
        .filter_map(|room| Some(room.ok()?.path()));
    let served = rooms.filter(|room| !["bench", "sim"].iter().any(|other| room.ends_with(other)));
    served
        .filter_map(|room| newer_below(&room.join("src"), built))
        .next()
}

fn newer_below(dir: &Path, than: SystemTime) -> Option<String> {
    std::fs::read_dir(dir)
        .ok()?
        .filter_map(Result::ok)
        .find_map(|entry| {
            let (path, metadata) = (entry.path(), entry.metadata().ok()?);
            if metadata.is_dir() {
                return newer_below(&path, than);
            }
            (metadata.modified().ok()? > than).then(|| path.display().to_string())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_number_is_read_from_its_command_line() {
        let line = b"/usr/bin/bellwether\0serve\0--cluster\0abc\0--node\x002\0--data-dir\0/x\0";
        assert_eq!(node_number(line), Some(2));
        assert_eq!(node_number(b"pgbench\0--nodes\x003\0"), None);
        assert_eq!(node_number(b"x\0--node\0"), None);
        assert_eq!(node_number(b""), None);
    }

    #[test]
    fn a_source_changed_after_the_program_was_built_is_found() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("deep")).expect("created");
        std::fs::write(dir.path().join("deep/a.rs"), "").expect("written");
        let hour = Duration::from_secs(3_600);
        let newer = newer_below(dir.path(), SystemTime::now() - hour).expect("it was written just now");
        assert!(newer.ends_with("deep/a.rs"), "{newer}");
        assert_eq!(newer_below(dir.path(), SystemTime::now() + hour), None);
    }

    #[test]
    fn a_program_that_cannot_be_run_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let failure = Cluster::start(Path::new("/nonexistent/bellwether"), 3, dir.path()).err();
        let failure = failure.expect("it cannot be run").to_string();
        assert!(failure.contains("/nonexistent/bellwether"), "{failure}");
    }
}
