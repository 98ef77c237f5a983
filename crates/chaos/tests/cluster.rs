//! The program as its users run it: real clusters are broken for a few seconds, and nothing is found.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Cargo puts the workspace's programs side by side; with `-p bellwether-chaos` alone it does not build this one.
fn bellwether() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_bellwether-chaos")).with_file_name("bellwether");
    if !program.is_file() {
        println!("skipped: {} is not there (cargo build)", program.display());
        return None;
    }
    Some(program)
}

fn chaos(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether-chaos"));
    command.args(arguments).output().expect("the program starts")
}

/// What it printed; of a run that did not succeed, this is the test's failure.
#[track_caller]
fn succeeded(output: &Output) -> String {
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn nothing_is_found_in_a_cluster_whose_nodes_are_killed_frozen_and_parted() {
    if bellwether().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let faults = ["kill-leader", "pause-node", "partition-halves"];
    // Short enough that each fault is struck once even if all waits are the longest that can be drawn.
    let output = chaos(&[
        "run",
        "--nemesis",
        &faults.join(","),
        "--seconds",
        "5",
        "--fault-ms",
        "450",
        "--log-format",
        "mixed",
        "--out",
        text(dir.path()),
    ]);
    println!("{}", succeeded(&output));
    for workload in ["register", "list-append", "bank", "set"] {
        let path = dir.path().join(format!("{workload}-1/history.jsonl"));
        let history = std::fs::read_to_string(&path).expect("a history");
        for fault in faults {
            assert!(history.contains(&format!("\"{fault}\"")), "{workload}: {fault}");
        }
        let verdicts = succeeded(&chaos(&["check", "--json", text(&path)]));
        let verdicts: Value = serde_json::from_str(&verdicts).expect("JSON");
        assert_eq!(verdicts[0]["good"], true);
        assert!(verdicts[0]["counts"]["ok"].as_u64() > Some(100), "{verdicts}");
    }
}

#[test]
fn nothing_is_found_while_nodes_join_lose_their_votes_and_lead_in_turn() {
    if bellwether().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let faults = ["switchover", "member-demote", "member-join"];
    let named = faults.join(",");
    let arguments = "run --workload list-append --log-format statement --seconds 8 --fault-ms 500 --nemesis";
    let arguments: Vec<&str> = arguments
        .split(' ')
        .chain([&named, "--out", text(dir.path())])
        .collect();
    println!("{}", succeeded(&chaos(&arguments)));
    let path = dir.path().join("list-append-1/history.jsonl");
    let history = std::fs::read_to_string(&path).expect("a history");
    for fault in faults {
        assert!(history.contains(&format!("\"{fault}\"")), "{fault}");
    }
}

/// The whole way, from a broken promise to the verdict: reads that promise nothing, judged as if they were strong,
/// while what nodes tell one another is late.
#[test]
fn reads_that_are_not_what_they_claim_are_found() {
    if bellwether().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let arguments = "run --workload list-append --reads pretended --nemesis slow-network --seconds 3 --fault-ms 700 --out";
    let arguments: Vec<&str> = arguments.split(' ').chain([text(dir.path())]).collect();
    let output = chaos(&arguments);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{stdout}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(stdout.contains("G-single-"), "{stdout}");
}

#[test]
fn a_failover_is_measured_and_loses_nothing() {
    if bellwether().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (json, svg) = (dir.path().join("results.json"), dir.path().join("results.svg"));
    let output = chaos(&[
        "failover",
        "--times",
        "1",
        "--out",
        text(&json),
        "--svg",
        text(&svg),
    ]);
    assert!(succeeded(&output).contains("all are at every node"));
    let results: Value = serde_json::from_slice(&std::fs::read(&json).expect("results")).expect("JSON");
    let round = &results["rounds"][0];
    assert!(
        round["fresh_ms"].as_f64() >= round["first_ms"].as_f64(),
        "{results}"
    );
    assert_ne!(round["leader"], round["next"]);
    let svg = std::fs::read_to_string(&svg).expect("a picture");
    assert!(svg.contains("<path"), "{svg}");
}

#[test]
fn a_bad_history_is_exit_code_1_and_shows_what_is_wrong() {
    let histories = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    let good = histories.join("bank-good.jsonl");
    let bad = histories.join("list-append-bad-g-single.jsonl");
    let output = chaos(&["check", text(&good), text(&bad)]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    for part in ["good", "1 VIOLATION", "G-single", "was not yet seen in list 2"] {
        assert!(stdout.contains(part), "{part:?} in:\n{stdout}");
    }
}

#[test]
fn what_is_no_history_is_named() {
    let output = chaos(&["check", env!("CARGO_MANIFEST_PATH")]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("line 1 is no header"), "{stderr}");
}
