//! Programs that others wrote: psql, pgbench, psycopg. Where one is absent its tests skip, with the reason printed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::cluster::DATABASE;

/// A program of PostgreSQL (`psql`, `pgbench`), told to connect to a node; `None` when it does not work here.
pub fn postgresql_program(name: &str, node: SocketAddr) -> Option<Command> {
    // Debian's wrapper is in PATH without the program that it starts.
    let version = Command::new(name).arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) {
        println!("skipped: {name} is not installed (Debian has it in postgresql-client and postgresql)");
        return None;
    }
    let mut command = Command::new(name);
    command
        .env("PGHOST", node.ip().to_string())
        .env("PGPORT", node.port().to_string())
        .env("PGUSER", "postgres")
        .env("PGDATABASE", DATABASE)
        .env("PGCONNECT_TIMEOUT", "10")
        .env("LC_ALL", "C");
    Some(command)
}

/// A python that has psycopg; `None` when there is none.
pub fn python_with_psycopg() -> Option<Command> {
    let check = Command::new("python3").args(["-c", "import psycopg"]).output();
    if !check.is_ok_and(|output| output.status.success()) {
        println!("skipped: no psycopg for the python3 in PATH (pip install 'psycopg[binary]')");
        return None;
    }
    Some(Command::new("python3"))
}

/// A file of `tests/data`.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// What a program that must succeed has printed.
#[track_caller]
pub fn stdout(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// What a program that must fail has said.
#[track_caller]
pub fn complaint(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    assert!(!output.status.success(), "{command:?} succeeded");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
