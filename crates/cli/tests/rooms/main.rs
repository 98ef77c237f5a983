//! The architecture as a test: which room may lean on which, what each may name, and how large things may grow.
//!
//! `ARCHITECTURE.md` says why. Whoever needs an edge, a part or an exception adds it here, in a commit that says so.

mod documents;
mod rules;
mod source;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use source::{Source, sources};

/// Every room and the rooms that it may lean on. Arrows point one way: nobody leans on a room above its own line.
const ROOMS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("log", &["types"]),
    ("consensus", &["types"]),
    ("storage", &["types"]),
    ("session", &["types"]),
    ("http", &["types"]),
    ("pg", &["types", "session"]),
    ("node", &["types", "consensus", "session"]),
    (
        "server",
        &["types", "log", "node", "storage", "session", "pg", "http"],
    ),
    ("cli", &["types", "server", "http"]),
    ("sim", &["types", "log", "node", "storage", "session"]),
    ("bench", &[]),
    ("chaos", &[]),
];

/// Parts from the registry that belong to some rooms alone.
const PARTS: &[(&str, &[&str])] = &[
    ("chacha20", &["storage"]),
    ("rusqlite", &["storage", "bench"]), // bench: plain SQLite as a peer
    ("libsqlite3-sys", &["storage"]),
    ("raft", &["consensus"]),
    ("raft-proto", &["consensus"]),
    ("slog", &["consensus"]),
    ("pgwire", &["pg"]),
    ("regex", &["pg"]),
    ("md-5", &["pg"]),
    ("sqlparser", &["pg", "session", "storage"]),
    ("tokio", &["server", "cli", "bench", "chaos"]),
    ("tokio-postgres", &["cli", "bench", "chaos"]),
    ("tracing", &["server", "cli"]),
    ("tracing-subscriber", &["cli"]),
    ("clap", &["cli", "sim", "bench", "chaos"]),
    ("rustyline", &["cli"]),
    ("comfy-table", &["cli", "bench", "chaos"]),
    ("libc", &["storage", "server", "cli", "bench", "chaos"]),
    ("serde", &["http", "server", "cli", "bench", "chaos"]),
    ("serde_json", &["http", "server", "cli", "bench", "chaos"]),
    ("hdrhistogram", &["bench", "chaos"]),
    ("rustls", &["server", "cli"]),
    ("tokio-rustls", &["server", "cli"]),
    ("rcgen", &["server"]),
];

/// Parts without state, I/O, time or chance, which any room may use.
const PURE_PARTS: &[&str] = &[
    "base64",
    "bytes",
    "crc32c",
    "hmac",
    "pbkdf2",
    "sha2",
    "stringprep",
    "subtle",
    "xxhash-rust",
];

/// Rooms that may use further parts, because they are where the outside world is touched.
const OUTER_ROOMS: &[&str] = &["server", "cli", "sim", "bench", "chaos"];

fn root() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize()
        .expect("this crate is two levels below the root")
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .expect("`cargo metadata --no-deps --offline` succeeds")
}

fn room(package: &str) -> Option<&str> {
    package.strip_prefix("bellwether-")
}

/// What production code of a package leans on. What only its tests use is free.
fn dependencies(package: &Package) -> BTreeSet<&str> {
    let production = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development);
    production.map(|dependency| dependency.name.as_str()).collect()
}

/// All complaints at once, so that one run shows everything there is to do.
fn assert_none(complaints: Vec<String>) {
    assert!(
        complaints.is_empty(),
        "{} broken:\n  {}",
        complaints.len(),
        complaints.join("\n  ")
    );
}

#[test]
fn every_crate_is_a_room_of_the_table_and_cargo_test_at_the_root_runs_them_all() {
    let metadata = metadata();
    let names: BTreeSet<&str> = metadata
        .packages
        .iter()
        .filter_map(|package| room(&package.name))
        .collect();
    let table: BTreeSet<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    assert_eq!(names, table, "the workspace's crates against ROOMS in this file");

    let members: BTreeSet<_> = metadata.workspace_members.iter().collect();
    let default: BTreeSet<_> = metadata.workspace_default_members.iter().collect();
    assert_eq!(
        members, default,
        "crates that `cargo test` at the root leaves out"
    );
    assert_eq!(members.len(), ROOMS.len());

    let directories = std::fs::read_dir(root().join("crates")).expect("there are crates");
    assert_eq!(
        directories.count(),
        ROOMS.len(),
        "directories below crates/ that are no crates"
    );

    let untested = metadata.packages.iter().flat_map(|package| {
        let targets = package
            .targets
            .iter()
            .filter(|target| !target.test && !target.is_custom_build() && !target.is_example());
        targets.map(|target| {
            format!(
                "{}: target {} has its tests switched off",
                package.name, target.name
            )
        })
    });
    assert_none(untested.collect());
}

#[test]
fn rooms_lean_only_on_the_rooms_that_the_table_allows() {
    let allowed: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let mut complaints = Vec::new();
    for package in &metadata().packages {
        let Some(room_name) = room(&package.name) else {
            continue;
        };
        for below in dependencies(package).into_iter().filter_map(room) {
            if !allowed[room_name].contains(&below) {
                complaints.push(format!("{room_name} leans on {below}"));
            }
        }
    }
    assert_none(complaints);
}

#[test]
fn the_table_of_rooms_points_one_way() {
    for (at, (room, below)) in ROOMS.iter().enumerate() {
        for name in *below {
            let stands = ROOMS
                .iter()
                .position(|(room, _)| room == name)
                .expect("a room of the table");
            assert!(
                stands < at,
                "{room} leans on {name}, which stands below it in the table"
            );
        }
    }
}

#[test]
fn parts_from_the_registry_stay_in_their_rooms() {
    let owned: BTreeMap<_, _> = PARTS.iter().copied().collect();
    let mut complaints = Vec::new();
    for package in &metadata().packages {
        let Some(room_name) = room(&package.name) else {
            continue;
        };
        for part in dependencies(package)
            .into_iter()
            .filter(|part| room(part).is_none())
        {
            let allowed = match owned.get(part) {
                Some(rooms) => rooms.contains(&room_name),
                None => PURE_PARTS.contains(&part) || OUTER_ROOMS.contains(&room_name),
            };
            if !allowed {
                complaints.push(format!("{room_name} uses {part}, which is not for it"));
            }
        }
    }
    assert_none(complaints);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let mut complaints = Vec::new();
    for package in &metadata().packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("the manifest is text");
        if !manifest.contains("[lints]\nworkspace = true") {
            complaints.push(format!("{} lacks `[lints] workspace = true`", package.name));
        }
    }
    assert_none(complaints);
}

/// Applies a rule to each source file.
fn check(rule: impl Fn(&Source) -> Vec<String>) {
    let sources = sources(&root().join("crates"));
    assert!(sources.len() > ROOMS.len(), "the sources were not found");
    assert_none(sources.iter().flat_map(rule).collect());
}

#[test]
fn only_outer_rooms_touch_sockets_environment_clock_and_chance() {
    check(rules::outside_world);
}

#[test]
fn pure_rooms_have_no_threads_files_processes_or_unordered_maps() {
    check(rules::impure_names);
}

#[test]
fn libraries_have_no_erased_errors() {
    check(rules::erased_errors);
}

#[test]
fn production_code_does_not_unwrap() {
    check(rules::unwraps);
}

#[test]
fn nothing_is_left_to_do_ignored_or_printed_for_debugging() {
    check(rules::left_overs);
}

#[test]
fn tests_do_not_sleep() {
    check(rules::sleeping_tests);
}

#[test]
fn types_are_not_named_after_nothing() {
    check(rules::empty_names);
}

#[test]
fn files_and_functions_stay_small() {
    check(rules::size);
}

#[test]
fn every_path_that_a_document_names_exists() {
    assert_none(documents::missing_paths(&root()));
}

#[test]
fn the_two_commands_of_the_readme_are_what_runs() {
    let read = |path: &str| {
        std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let readme = read("README.md");
    for command in ["cargo run --release -- up", "cargo test"] {
        assert!(
            readme.lines().any(|line| line.trim() == command),
            "README.md lacks the line `{command}`"
        );
    }
    assert!(
        read(".ci/run").lines().any(|line| line == "cargo test"),
        ".ci/run lacks the line `cargo test`"
    );
}
