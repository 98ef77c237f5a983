//! Histories written by hand, each of which shows one thing: what is wrong is named, what is right passes.

use std::path::{Path, PathBuf};

use bellwether_chaos::checker::{Verdict, judge};
use bellwether_chaos::history::file;

/// A history's name, and the anomalies that its judge must name; without any it is good.
const HISTORIES: &[(&str, &[&str])] = &[
    ("register-good-concurrent", &[]),
    ("register-good-unknown-happened-late", &[]),
    ("register-good-unknown-never-happened", &[]),
    ("register-good-unknown-cas-chain", &[]),
    ("register-bad-stale-read", &["not-linearizable"]),
    ("register-bad-lost-write", &["not-linearizable"]),
    ("register-bad-lost-update", &["not-linearizable"]),
    ("register-bad-value-comes-back", &["not-linearizable"]),
    ("register-bad-phantom", &["phantom"]),
    ("register-bad-aborted-read", &["G1a aborted-read"]),
    ("register-bad-future-read", &["future-read"]),
    ("list-append-good-serial", &[]),
    ("list-append-good-unknown", &[]),
    ("list-append-good-concurrent-orders", &[]),
    ("list-append-good-unseen-append", &[]),
    ("list-append-good-session-stale-read", &[]),
    ("list-append-bad-g0", &["G0"]),
    ("list-append-bad-g1a", &["G1a aborted-read"]),
    ("list-append-bad-g1b", &["G1b intermediate-read", "G-single"]),
    ("list-append-bad-g1c", &["G1c"]),
    ("list-append-bad-g-single", &["G-single"]),
    ("list-append-bad-lost-update", &["G-single"]),
    ("list-append-bad-lost-update-unseen", &["G2"]),
    ("list-append-bad-g2-write-skew", &["G2"]),
    ("list-append-bad-long-fork", &["G2"]),
    ("list-append-bad-realtime-stale", &["G-single-realtime"]),
    ("list-append-bad-realtime-order", &["G0-realtime"]),
    ("list-append-bad-lost-append", &["lost", "G-single-realtime"]),
    ("list-append-bad-session-read-your-writes", &["G-single-process"]),
    ("list-append-bad-session-monotonic-reads", &["G-single-process"]),
    ("list-append-bad-session-writes-in-time", &["G-single-realtime"]),
    ("list-append-bad-incompatible-order", &["incompatible-order"]),
    ("list-append-bad-duplicate", &["duplicate", "G0"]),
    ("list-append-bad-internal", &["internal"]),
    ("list-append-bad-internal-reads", &["internal", "G-single"]),
    ("list-append-bad-phantom", &["phantom"]),
    ("list-append-bad-future-read", &["future-read", "G1c-realtime"]),
    ("list-append-bad-element-gone", &["G-single-process"]),
    ("bank-good", &[]),
    ("bank-good-unknown", &[]),
    ("bank-bad-wrong-sum", &["wrong-sum", "wrong-balance"]),
    ("bank-bad-negative", &["negative-balance"]),
    ("bank-bad-missing-account", &["wrong-accounts", "wrong-balance"]),
    ("bank-bad-lost-transfer", &["wrong-balance"]),
    ("bank-bad-repeated-transfer", &["wrong-balance"]),
    ("set-good", &[]),
    ("set-good-session-stale", &[]),
    ("set-bad-lost", &["lost"]),
    ("set-bad-resurrected", &["resurrected"]),
    ("set-bad-stale", &["stale-read"]),
    ("set-bad-duplicate", &["duplicate"]),
    ("set-bad-phantom", &["phantom"]),
    ("set-bad-failed-add", &["G1a aborted-read"]),
    ("set-bad-future", &["future-read"]),
    ("set-bad-session-own-write", &["session"]),
    ("set-bad-session-monotonic", &["session"]),
    ("set-bad-session-lost-after-unknown", &["lost"]),
];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories")
}

fn verdict(name: &str) -> Verdict {
    let history = file::read(&directory().join(name).with_extension("jsonl"));
    let history = history.unwrap_or_else(|error| panic!("{name}: {error}"));
    judge(&history).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_anomaly_is_named_and_nothing_else() {
    let mut wrong = Vec::new();
    for (name, expected) in HISTORIES {
        let verdict = verdict(name);
        let mut found: Vec<String> = verdict
            .violations
            .iter()
            .map(|violation| violation.anomaly.to_string())
            .collect();
        found.dedup();
        if &found != expected {
            let shown: Vec<String> = verdict.violations.iter().map(ToString::to_string).collect();
            wrong.push(format!(
                "{name}: expected {expected:?}, found\n{}",
                shown.join("\n")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_history_of_the_directory_is_judged() {
    let mut there: Vec<String> = std::fs::read_dir(directory())
        .expect("the directory is there")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    there.sort();
    let mut listed: Vec<String> = HISTORIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    listed.sort();
    assert_eq!(there, listed);
}

#[test]
fn a_violation_shows_the_operations_and_why() {
    let verdict = verdict("list-append-bad-g-single");
    let text = verdict.violations[0].to_string();
    for part in [
        "wr: 1 was read in list 1",
        "rw: 1 was not yet seen in list 2",
        "process 0 at node 1",
        "process 1 at node 2",
    ] {
        assert!(text.contains(part), "{part:?} in:\n{text}");
    }
}
