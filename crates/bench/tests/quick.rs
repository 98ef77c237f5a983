//! The program as its users run it, for one second of each: that it measures, writes down, checks what was
//! acknowledged and leaves nothing behind. How quick anything is, no test says.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A quick run in a directory of its own; what it wrote down. `None` when something that it needs is not installed,
/// which is printed.
fn measured(dir: &TempDir, arguments: &[&str]) -> Option<Value> {
    let json = dir.path().join("results.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether-bench"));
    command.args(["--quick", "--clients", "2"]).args(arguments);
    command.arg("--dir").arg(dir.path()).arg("--json").arg(&json);
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if stderr.contains("was not found") {
        println!("skipped: {stderr}");
        return None;
    }
    assert!(status.success(), "{arguments:?}: {status}\n{stdout}\n{stderr}");
    assert!(
        stdout.contains("every acknowledged transaction is there"),
        "{stdout}"
    );
    let text = std::fs::read_to_string(&json).expect("results were written");
    std::fs::remove_file(&json).expect("they can be removed");
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .expect("the directory is there")
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    Some(serde_json::from_str(&text).expect("JSON"))
}

/// What ran, in order, each with transactions and without failures.
fn workloads(results: &Value) -> Vec<&str> {
    let lines = results["measurements"].as_array().expect("a list");
    for line in lines {
        assert!(line["transactions"].as_u64() > Some(0), "{line}");
        assert!(line["latency"]["p999_ms"].as_f64() > Some(0.0), "{line}");
        assert_eq!(line["failed"], 0, "{line}");
        assert_eq!(line["clients_lost"], 0, "{line}");
    }
    let names = lines
        .iter()
        .map(|line| line["workload"].as_str().expect("a name"));
    names.collect()
}

const ALL: [&str; 7] = [
    "upsert",
    "insert",
    "tpcb",
    "tpcb-optimistic",
    "read-leader",
    "read-follower",
    "read-mostly",
];

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn every_workload_runs_within_this_process() {
    let dir = directory();
    let results = measured(&dir, &["--peers", "sqlite"]).expect("SQLite needs nothing");
    assert_eq!(workloads(&results), ALL);
}

/// Cargo puts the workspace's programs side by side; with `-p bellwether-bench` alone it does not build this one.
fn bellwether() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_bellwether-bench")).with_file_name("bellwether");
    if !program.is_file() {
        println!("skipped: {} is not there (cargo build)", program.display());
        return None;
    }
    Some(program)
}

#[test]
fn every_workload_runs_at_a_cluster() {
    let Some(program) = bellwether() else { return };
    let dir = directory();
    let program = program.to_str().expect("a path in UTF-8");
    let Some(results) = measured(&dir, &["--peers", "bellwether", "--binary", program]) else {
        return;
    };
    assert_eq!(workloads(&results), ALL);
    let upsert = &results["measurements"][0];
    assert!(
        upsert["usage"]["leader"]["groups"].as_f64() > Some(0.0),
        "{upsert}"
    );
}

#[test]
fn every_workload_runs_at_postgresql_with_a_standby() {
    let dir = directory();
    let Some(results) = measured(&dir, &["--peers", "postgres", "--nodes", "2"]) else {
        return;
    };
    assert_eq!(workloads(&results), ALL);
    let description = results["peers"][0][1].as_str().expect("a text");
    for setting in [
        "synchronous_standby_names = ANY 1 (*)",
        "synchronous_commit = on",
        "fsync = on",
        "full_page_writes = on",
    ] {
        assert!(description.contains(setting), "{setting} in {description}");
    }
}

#[test]
fn results_that_cannot_be_read_are_named() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether-bench"));
    command.args(["document", "/nonexistent/results.json"]);
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("error: /nonexistent/results.json cannot be read"),
        "{stderr}"
    );
}
