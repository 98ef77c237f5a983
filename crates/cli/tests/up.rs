//! What a user of `bellwether up` and `bellwether status` sees: nodes as processes that are watched, restarted,
//! refused and stopped.

mod support;

use support::supervised::Supervised;
use support::{bellwether, send_signal, status, wait_for};

#[test]
fn a_cluster_starts_says_how_to_connect_and_stops_without_leaving_processes() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut up = Supervised::start(dir.path(), 3, &[]);
    let line = up.wait_for_line("psql -h 127.0.0.1");
    assert!(
        line.contains(&format!("-p {} -U postgres postgres", up.ports()[0])),
        "{line}"
    );
    let processes = [1, 2, 3].map(|node| up.node_process(node));

    up.signal(libc::SIGINT);
    assert!(up.wait().success(), "{}", up.output());
    for (node, process) in [1, 2, 3].into_iter().zip(processes) {
        assert!(!is_running(process), "process {process} of node {node} is left");
        assert!(status(up.http(node)).is_none());
    }
}

#[test]
fn a_node_that_dies_is_named_and_started_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Supervised::start(dir.path(), 3, &[]);
    let process = up.node_process(2);
    send_signal(process, libc::SIGKILL);
    up.wait_for_line(&format!("node 2 (pid {process}) died: it was killed by SIGKILL"));
    up.wait_for_line("node 2 is started again");
    up.wait_for_line("node 2 is back");
}

#[test]
fn a_node_that_dies_is_left_when_that_was_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut up = Supervised::start(dir.path(), 1, &["--no-restart"]);
    send_signal(up.node_process(1), libc::SIGKILL);
    assert!(!up.wait().success());
    assert!(up.output().contains("every node has died"), "{}", up.output());
}

#[test]
fn a_second_cluster_on_the_same_directory_or_ports_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Supervised::start(dir.path(), 1, &[]);
    up.wait_for_line("psql");
    let refusal = |dir: &std::path::Path| {
        let output = Supervised::command(dir, 1, up.ports())
            .output()
            .expect("the built program starts");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(refusal(dir.path()).contains("is in use"));
    let other = tempfile::tempdir().expect("a directory");
    assert!(refusal(other.path()).contains("cannot be used"));
}

#[test]
#[cfg(target_os = "linux")]
fn nodes_do_not_outlive_a_supervisor_that_is_killed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut up = Supervised::start(dir.path(), 3, &[]);
    let processes = [1, 2, 3].map(|node| up.node_process(node));
    up.signal(libc::SIGKILL);
    up.wait();
    wait_for("the nodes' end", || {
        (!processes.into_iter().any(is_running)).then_some(())
    });
}

#[test]
fn status_shows_every_node_and_fails_while_one_is_down() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Supervised::start(dir.path(), 3, &["--no-restart"]);
    let process = up.node_process(3);
    let report = || {
        let http_port = up.ports()[1].to_string();
        let output = bellwether()
            .args(["status", "--json", "--http-port", &http_port])
            .output();
        let output = output.expect("the built program starts");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), report)
    };
    let (_, healthy) = wait_for("no problem", || {
        Some(report()).filter(|(code, _)| *code == Some(0))
    });
    assert_eq!(healthy["nodes"].as_array().map(Vec::len), Some(3));
    assert_eq!(healthy["nodes"][2]["status"]["node"], 3);

    send_signal(process, libc::SIGKILL);
    up.wait_for_line("node 3 (pid");
    let (code, broken) = report();
    assert_eq!(code, Some(1));
    assert_eq!(broken["problems"][0], "node 3: down");
}

/// Whether there is a process of that number. A zombie, whose parent has not noticed yet, is none.
fn is_running(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .trim_start()
        .chars()
        .next();
    state.is_some_and(|state| state != 'Z')
}
