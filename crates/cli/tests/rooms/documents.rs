//! Documents that name files which are not there any more.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a path that a document names may begin.
const TOP: &[&str] = &[".cargo/", ".ci/", "crates/", "docs/", "fuzz/"];

/// A complaint for each path that a Markdown file of the tree names and that does not exist. Taken for paths:
/// targets of links, and code spans that begin as a path of the tree does or end as a source or document does.
pub fn missing_paths(root: &Path) -> Vec<String> {
    let mut documents = Vec::new();
    collect(root, &mut documents);
    assert!(
        !documents.is_empty(),
        "there is no document below {}",
        root.display()
    );
    documents.sort();
    let mut complaints = Vec::new();
    for document in documents {
        let text =
            fs::read_to_string(&document).unwrap_or_else(|error| panic!("{}: {error}", document.display()));
        let here = document.parent().expect("a file is in a directory");
        for path in paths(&text) {
            if !root.join(&path).exists() && !here.join(&path).exists() {
                let shown = document.strip_prefix(root).unwrap_or(&document);
                complaints.push(format!("{} names {path}", shown.display()));
            }
        }
    }
    complaints
}

fn collect(dir: &Path, documents: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("a directory entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if !["target", ".git", "bellwether-data", "node_modules"].contains(&name.as_str()) {
                collect(&path, documents);
            }
        } else if name.ends_with(".md") {
            documents.push(path);
        }
    }
}

fn paths(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in outside_fences(text) {
        let spans = line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|span| looks_like_path(span));
        found.extend(spans.flat_map(expand_braces));
        let targets = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next());
        let local = targets.filter(|target| !target.is_empty() && !target.contains(':'));
        found.extend(local.map(str::to_owned));
    }
    found
}

/// Lines that are not inside a block of ``` fences: those show commands and output.
fn outside_fences(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

fn looks_like_path(span: &str) -> bool {
    let plain = span
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || "._-/{},".contains(character));
    let is_file = [".rs", ".md", ".toml"].iter().any(|end| span.ends_with(end));
    plain && (TOP.iter().any(|top| span.starts_with(top)) || is_file)
}

/// `a/{b,c}.rs` is `a/b.rs` and `a/c.rs`.
fn expand_braces(span: &str) -> Vec<String> {
    let Some((before, rest)) = span.split_once('{') else {
        return vec![span.to_owned()];
    };
    let (choices, after) = rest.split_once('}').unwrap_or((rest, ""));
    choices
        .split(',')
        .map(|choice| format!("{before}{choice}{after}"))
        .collect()
}

#[test]
fn paths_are_found_in_spans_and_links_but_not_in_commands() {
    let text = "See `crates/a/{b,c}.rs`, [here](docs/x.md#part) and [there](https://example.org/y.md).\n\
                `cargo test`, `GET /status`, `a.rs`\n```\n`crates/not.rs`\n```\n";
    assert_eq!(
        paths(text),
        ["crates/a/b.rs", "crates/a/c.rs", "docs/x.md", "a.rs"]
    );
}
