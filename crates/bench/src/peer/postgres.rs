//! PostgreSQL with streaming standbys, as someone would set it up who asks of it what a Bellwether cluster gives: no
//! COMMIT returns before a second server has it on disk.
//!
//! A primary and its standbys in a fresh directory and on free ports. PostgreSQL refuses to run as root; then the
//! cluster is `postgres`'s, or `nobody`'s where there is no such user.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::served::Started;
use crate::failure::Failure;
use crate::patience::Patience;
use crate::pg::{Address, Session};
use crate::pgbench::debian_paths;
use crate::ports::free_ports;
use crate::process;

/// How long a server may take to stop once it was asked to, open connections or not.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// How long starting, and a standby's first contact, may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the servers are started with beyond PostgreSQL's defaults.
const SETTINGS: [(&str, &str); 8] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("synchronous_standby_names", "ANY 1 (*)"),
    ("synchronous_commit", "on"),
    ("fsync", "on"),
    ("shared_buffers", "512MB"),
    // Checkpoints by time, every five minutes, and not by how much is written.
    ("max_wal_size", "4GB"),
    // As many clients as --clients takes, and some.
    ("max_connections", "1050"),
];

/// Those that decide what a COMMIT costs and promises, as a server itself has them.
pub const SHOWN_SETTINGS: [&str; 9] = [
    "synchronous_standby_names",
    "synchronous_commit",
    "fsync",
    "full_page_writes",
    "wal_level",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
];

/// Running servers. Stopped, and their data removed, when it is dropped.
pub struct Postgres {
    programs: PathBuf,
    owner: Option<Owner>,
    first_port: u16,
    /// The primary, then its standbys. Before `dir`, which may go when they have.
    servers: Vec<Child>,
    dir: TempDir,
}

/// Whom the files belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    user: u32,
    group: u32,
}

impl Postgres {
    /// A primary and standbys that it waits for, of as many servers in all.
    pub async fn start(servers: u16, parent: &Path) -> Result<Postgres, Failure> {
        let programs = find_programs()?;
        let unusable = |error| Failure::new(format!("{} cannot be used", parent.display())).because(error);
        let dir = tempfile::Builder::new()
            .prefix("bellwether-bench-postgres-")
            .tempdir_in(parent)
            .map_err(unusable)?;
        let owner = unprivileged()?;
        if let Some(owner) = owner {
            chown(dir.path(), Some(owner.user), Some(owner.group)).map_err(unusable)?;
        }
        let mut postgres = Postgres {
            programs,
            owner,
            first_port: free_ports(servers)?,
            servers: Vec::new(),
            dir,
        };
        let primary = postgres.data(0);
        let initdb = [
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ];
        postgres.run("initdb", |command| {
            command.args(initdb).arg("--pgdata").arg(primary)
        })?;
        postgres.start_server(0)?;
        postgres.wait_until(0, "SELECT 1", 1).await?;
        for standby in 1..servers {
            let (data, port) = (postgres.data(standby), postgres.first_port.to_string());
            postgres.run("pg_basebackup", |command| {
                command
                    .args(["--host=127.0.0.1", "--username=postgres", "--port", &port])
                    .args([
                        "--wal-method=stream",
                        "--checkpoint=fast",
                        "--write-recovery-conf",
                    ])
                    .arg("--pgdata")
                    .arg(data)
            })?;
            postgres.start_server(standby)?;
        }
        let streaming =
            "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'quorum'";
        postgres.wait_until(0, streaming, i64::from(servers) - 1).await?;
        Ok(postgres)
    }

    /// Where each server takes clients; the primary first.
    pub fn pg(&self) -> Vec<SocketAddr> {
        let at = |server| SocketAddr::from((Ipv4Addr::LOCALHOST, self.first_port + server as u16));
        (0..self.servers.len()).map(at).collect()
    }

    fn data(&self, server: u16) -> PathBuf {
        self.dir.path().join(format!("server{server}"))
    }

    fn output(&self, server: usize) -> PathBuf {
        self.dir.path().join(format!("server{server}.txt"))
    }

    /// A program of PostgreSQL's, to be run as the files' owner, in a group of its own: Ctrl-C at the terminal ends
    /// this process, which then stops the servers in order.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .current_dir(self.dir.path())
            .process_group(0)
            .stdin(Stdio::null());
        if let Some(owner) = self.owner {
            command.uid(owner.user).gid(owner.group);
        }
        command
    }

    fn run(&self, program: &str, with: impl FnOnce(&mut Command) -> &mut Command) -> Result<(), Failure> {
        let mut command = self.command(program);
        let output = with(&mut command)
            .output()
            .map_err(|error| self.not_run(program, error))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure::new(format!("{program} failed ({})", output.status))
            .because(String::from_utf8_lossy(&output.stderr).trim())
            .hint("its user must be able to reach the directory: name another with --dir"))
    }

    fn not_run(&self, program: &str, error: std::io::Error) -> Failure {
        Failure::new(format!("{} cannot be run", self.programs.join(program).display())).because(error)
    }

    fn start_server(&mut self, server: u16) -> Result<(), Failure> {
        let path = self.output(server.into());
        let unusable = |error| Failure::new(format!("{} cannot be used", path.display())).because(error);
        let output = File::create(&path).map_err(unusable)?;
        let errors = output.try_clone().map_err(unusable)?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data(server));
        command.args(["-p", &(self.first_port + server).to_string()]);
        // Seen in process titles, and as the standby's name at the primary.
        command.args(["-c", &format!("cluster_name=server{server}")]);
        for (name, value) in SETTINGS {
            command.args(["-c", &format!("{name}={value}")]);
        }
        let child = command.stdout(output).stderr(errors).spawn();
        self.servers
            .push(child.map_err(|error| self.not_run("postgres", error))?);
        Ok(())
    }

    async fn wait_until(&mut self, server: u16, sql: &str, expected: i64) -> Result<(), Failure> {
        let address = Address {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: self.first_port + server,
        };
        let patience = Patience::of(PATIENCE);
        loop {
            let found = match Session::connect(&address).await {
                Ok(session) => session.number(sql).await,
                Err(failure) => Err(failure),
            };
            let why = match found {
                Ok(found) if found == expected => return Ok(()),
                Ok(found) => format!("{found} where {expected} is wanted: {sql}"),
                Err(failure) => failure.to_string(),
            };
            if let Some(failure) = self.ended() {
                return Err(failure);
            }
            if !patience.lasts().await {
                let what = format!("PostgreSQL is not ready after {} s", patience.seconds());
                return Err(Failure::new(what).because(format!("{why}\n{}", self.last_words())));
            }
        }
    }
}

impl Started for Postgres {
    fn processes(&self) -> Vec<Option<u32>> {
        self.servers.iter().map(|server| Some(server.id())).collect()
    }

    fn roots(&self) -> Vec<u32> {
        self.servers.iter().map(Child::id).collect()
    }

    fn ended(&mut self) -> Option<Failure> {
        for (number, server) in self.servers.iter_mut().enumerate() {
            if let Ok(Some(status)) = server.try_wait() {
                let failure = Failure::new(format!("PostgreSQL's server {number} has ended ({status})"));
                return Some(failure.because(process::last_words(&self.output(number))));
            }
        }
        None
    }

    fn last_words(&self) -> String {
        let words = (0..self.servers.len()).map(|server| process::last_words(&self.output(server)));
        words.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The primary first: it waits until its standbys have everything. SIGINT ends connections, too.
        for server in &mut self.servers {
            process::end(server, libc::SIGINT, STOP_WITHIN);
        }
    }
}

/// Where `initdb`, `postgres` and `pg_basebackup` are: Debian keeps them out of `PATH`; its newest version, else.
fn find_programs() -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = debian_paths().into_iter().chain(std::env::split_paths(&path));
    dirs.into_iter().find(|dir| has_programs(dir)).ok_or_else(|| {
        Failure::new("PostgreSQL's server was not found")
            .because(
                "initdb, postgres and pg_basebackup are looked for in /usr/lib/postgresql/*/bin and in PATH",
            )
            .hint("install it (postgresql-15 on Debian 12), or leave it out: --peers bellwether,sqlite")
    })
}

fn has_programs(dir: &Path) -> bool {
    let programs = ["initdb", "postgres", "pg_basebackup"];
    programs.iter().all(|program| dir.join(program).is_file())
}

/// Whom to run as: `None` for whoever runs this, unless that is root.
fn unprivileged() -> Result<Option<Owner>, Failure> {
    // SAFETY: geteuid touches no memory and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let owner = owner(&passwd, "postgres").or_else(|| owner(&passwd, "nobody"));
    owner.map(Some).ok_or_else(|| {
        Failure::new("PostgreSQL does not run as root")
            .because("there is neither a user postgres nor a user nobody to run it as")
            .hint("run this program as another user")
    })
}

/// A user of passwd(5)'s file: `name:password:user:group:…`.
fn owner(passwd: &str, name: &str) -> Option<Owner> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let (user, group) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        found.then_some(Owner { user, group })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_alone_is_no_server() {
        let dir = tempfile::tempdir().expect("a directory");
        for program in ["pgbench", "initdb", "pg_basebackup"] {
            std::fs::write(dir.path().join(program), "").expect("written");
        }
        assert!(!has_programs(dir.path()));
        std::fs::write(dir.path().join("postgres"), "").expect("written");
        assert!(has_programs(dir.path()));
    }

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\npostgresx:x:7:7::/:\npostgres:x:101:104:,,:/var:/bin/sh\n";
        let expected = Owner {
            user: 101,
            group: 104,
        };
        assert_eq!(owner(passwd, "postgres"), Some(expected));
        assert_eq!(owner(passwd, "nobody"), None);
        assert_eq!(owner("postgres:x\n", "postgres"), None);
    }
}
