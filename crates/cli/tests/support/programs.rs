//! Programs that others wrote: psql, pgbench, drivers. A test whose program is absent is left out, and says what to
//! install; where `BELLWETHER_CLIENTS` is `all`, as in `.ci/run`, it fails.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::cluster::DATABASE;

/// Whether a client works here: `check` succeeds.
#[track_caller]
pub fn is_installed(client: &str, check: &mut Command, install: &str) -> bool {
    if check.output().is_ok_and(|output| output.status.success()) {
        return true;
    }
    let all = std::env::var_os("BELLWETHER_CLIENTS").is_some_and(|clients| clients == "all");
    assert!(!all, "{client} is not installed: {install}, as .ci/run does");
    // Past the harness, which keeps to itself what a test that passes has printed.
    let _ = writeln!(
        std::io::stderr(),
        "left out: {client} is not installed ({install})"
    );
    false
}

/// A program of PostgreSQL (`psql`, `pgbench`), told to connect to a node; `None`: to be left out.
#[track_caller]
pub fn postgresql_program(name: &str, node: SocketAddr) -> Option<Command> {
    // Debian's wrapper is in PATH without the program that it starts.
    let install = "Debian has it in postgresql-client and postgresql";
    if !is_installed(name, Command::new(name).arg("--version"), install) {
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

/// A directory beside those of cargo.
fn installed(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target")
        .join(kind)
}

/// A python that has these packages: the one in PATH, or that of `.ci/run`; `None`: to be left out.
#[track_caller]
pub fn python_with(client: &str, modules: &str) -> Option<Command> {
    let own = installed("ci-python/bin/python");
    let python = if own.exists() { own } else { "python3".into() };
    let install = "pip install -r crates/cli/tests/data/drivers/requirements.txt";
    let mut check = Command::new(&python);
    let is_there = is_installed(client, check.args(["-c", &format!("import {modules}")]), install);
    is_there.then(|| {
        let mut python = Command::new(python);
        // Sets are gone through in one order.
        python.env("PYTHONHASHSEED", "0");
        python
    })
}

/// A script of `tests/data/drivers/node`, beside the packages that it needs; `None`: to be left out.
#[track_caller]
pub fn node_script(client: &str, name: &str) -> Option<Command> {
    let install =
        "npm ci in target/ci-node, with the package.json and package-lock.json of tests/data/drivers/node";
    let directory = installed("ci-node");
    let mut check = Command::new("node");
    check.arg("-e").arg(format!("require.resolve('{client}')"));
    if !is_installed(client, check.current_dir(&directory), install) {
        return None;
    }
    // Where JavaScript looks for packages is told by where the script is.
    let scripts = std::fs::read_dir(data("drivers/node")).expect("it is there");
    for script in scripts.map(|entry| entry.expect("readable").path()) {
        std::fs::copy(&script, directory.join(script.file_name().expect("a file"))).expect("copied");
    }
    let mut node = Command::new("node");
    node.arg(directory.join(name));
    Some(node)
}

/// Java with PostgreSQL's driver; `None`: to be left out.
#[track_caller]
pub fn java_with_jdbc() -> Option<Command> {
    const DRIVER: &str = "/usr/share/java/postgresql.jar";
    let install = "Debian has it in libpostgresql-jdbc-java and default-jdk-headless";
    let mut check = Command::new("sh");
    check.args(["-c", &format!("javac -version && test -e {DRIVER}")]);
    is_installed("pgjdbc", &mut check, install).then(|| {
        let mut java = Command::new("java");
        java.args(["-cp", DRIVER]);
        java
    })
}

/// A program in Go that uses pgx, compiled; `None`: to be left out.
#[track_caller]
pub fn go_with_pgx(source: &str) -> Option<Command> {
    // Where Debian puts what it packages of Go.
    const PACKAGES: &str = "/usr/share/gocode";
    let install = "Debian has it in golang-go and golang-github-jackc-pgx-v4-dev";
    let mut check = Command::new("sh");
    check.args([
        "-c",
        &format!("go version && test -e {PACKAGES}/src/github.com/jackc/pgx/v4"),
    ]);
    if !is_installed("pgx", &mut check, install) {
        return None;
    }
    let program = installed("tests").join("pgx_session");
    let mut build = Command::new("go");
    build
        .env("GO111MODULE", "off")
        .env("GOPATH", PACKAGES)
        .env("GOFLAGS", "")
        .args(["build", "-o"])
        .args([&program, &data(source)]);
    stdout(&mut build);
    Some(Command::new(program))
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
