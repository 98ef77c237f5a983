//! A cluster under `bellwether up`, as a user starts it.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::{bellwether, free_range, print_log, send_signal, wait_for};

/// A supervisor; killed, and its nodes with it, when dropped.
pub struct Supervised {
    dir: PathBuf,
    ports: [u16; 3],
    child: Child,
}

impl Supervised {
    /// Starts `up` with `nodes` nodes on free ports, and more arguments. Its output goes to `up.txt` in `dir`.
    pub fn start(dir: &Path, nodes: u16, arguments: &[&str]) -> Supervised {
        // Three ranges from one, so that they do not overlap.
        let first = free_range(nodes * 3);
        let ports = [first, first + nodes, first + nodes * 2];
        let output = File::create(dir.join("up.txt")).expect("a file");
        let mut command = Supervised::command(dir, nodes, ports);
        command.args(arguments).stdin(Stdio::null());
        let child = command
            .stdout(output.try_clone().expect("a descriptor"))
            .stderr(output)
            .spawn();
        Supervised {
            dir: dir.to_owned(),
            ports,
            child: child.expect("the built program starts"),
        }
    }

    /// `up` on a directory and ports, PostgreSQL's, HTTP's and the peers'.
    pub fn command(dir: &Path, nodes: u16, ports: [u16; 3]) -> Command {
        let mut command = bellwether();
        command
            .args(["up", "--nodes", &nodes.to_string()])
            .arg("--data-dir")
            .arg(dir.join("data"));
        for (option, port) in ["--pg-port", "--http-port", "--peer-port"].into_iter().zip(ports) {
            command.args([option, &port.to_string()]);
        }
        command
    }

    /// PostgreSQL's, HTTP's and the peers' first port.
    pub fn ports(&self) -> [u16; 3] {
        self.ports
    }

    /// A node's HTTP address.
    pub fn http(&self, node: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[1] + node - 1))
    }

    /// What it has printed.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.dir.join("up.txt")).unwrap_or_default()
    }

    /// Waits until it has printed a line that contains `text`, and gives the line.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str) -> String {
        wait_for(&format!("a line with {text:?}"), || {
            self.output()
                .lines()
                .find(|line| line.contains(text))
                .map(str::to_owned)
        })
    }

    /// The process of a node, from the table that it prints when all are up.
    #[track_caller]
    pub fn node_process(&self, node: u16) -> u32 {
        let line = self.wait_for_line(&format!("-p {} -U postgres", self.ports[0] + node - 1));
        let pid = line
            .split_whitespace()
            .last()
            .expect("a table's line has columns");
        pid.parse().unwrap_or_else(|_| panic!("no process in {line:?}"))
    }

    /// Sends the supervisor a signal.
    pub fn signal(&self, signal: libc::c_int) {
        send_signal(self.child.id(), signal);
    }

    /// Waits for the supervisor's end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the supervisor's end", || {
            self.child.try_wait().expect("it was started here")
        })
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Either may fail when it has ended, which is what is wanted. Its nodes get SIGTERM from the system.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            print_log("up", &self.dir.join("up.txt"));
            for node in 1..=9 {
                let log = self.dir.join(format!("data/node-{node}/log.txt"));
                if log.exists() {
                    print_log(&format!("node {node}"), &log);
                }
            }
        }
    }
}
