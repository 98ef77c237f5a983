//! What a source file may not say. Each rule answers with complaints, `path:line: what`.

use crate::source::{Source, functions, has_word};

/// Rooms where the outside world is touched: sockets, environment, clock, chance.
const OUTER: &[&str] = &["server", "cli", "bench", "chaos"];

/// Rooms that are functions of their arguments, without files and threads too.
const PURE: &[&str] = &["types", "consensus", "node", "session", "pg", "http"];

/// Runs seeds until its time is up: the only place of the simulator that knows a clock.
const SIMULATOR_PROGRAM: &str = "sim/src/main.rs";

/// Programs: an error may end as text there.
const PROGRAMS: &[&str] = &["cli", "sim", "bench", "chaos"];

const MAX_FILE_LINES: usize = 800;
const MAX_FUNCTION_LINES: usize = 70;

/// Functions that are longer, with the number of lines that they must not exceed. This list only shrinks.
const LONGER_FUNCTIONS: &[(&str, &str, usize)] = &[];

/// A complaint for each line of `code` that names one of `words`.
fn lines_with(source: &Source, code: &str, words: &[&str]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (line, number) in code.lines().zip(1..) {
        for word in words.iter().filter(|word| has_word(line, word)) {
            complaints.push(format!("{}:{number}: {word}", source.path));
        }
    }
    complaints
}

fn unless(excused: bool, complaints: impl FnOnce() -> Vec<String>) -> Vec<String> {
    if excused { Vec::new() } else { complaints() }
}

/// `std::{` too: a group of modules hides what it names from these checks.
pub fn outside_world(source: &Source) -> Vec<String> {
    let words = [
        "std::net",
        "std::env",
        "SystemTime",
        "Instant",
        "tokio",
        "rand",
        "getrandom",
        "RandomState",
        "std::{",
    ];
    let excused = OUTER.contains(&source.room.as_str()) || source.path == SIMULATOR_PROGRAM;
    unless(excused, || lines_with(source, &source.production, &words))
}

pub fn impure_names(source: &Source) -> Vec<String> {
    let words = [
        "std::thread",
        "thread",
        "std::fs",
        "std::process",
        "HashMap",
        "HashSet",
        "println",
        "eprintln",
    ];
    unless(!PURE.contains(&source.room.as_str()), || {
        lines_with(source, &source.production, &words)
    })
}

pub fn erased_errors(source: &Source) -> Vec<String> {
    let words = ["Box<dyn Error", "Box<dyn std::error::Error", "anyhow", "eyre"];
    unless(PROGRAMS.contains(&source.room.as_str()), || {
        lines_with(source, &source.production, &words)
    })
}

pub fn unwraps(source: &Source) -> Vec<String> {
    lines_with(source, &source.production, &[".unwrap()", ".unwrap_unchecked()"])
}

pub fn left_overs(source: &Source) -> Vec<String> {
    let words = ["todo!", "unimplemented!", "dbg!", "#[ignore"];
    source
        .code()
        .into_iter()
        .flat_map(|code| lines_with(source, code, &words))
        .collect()
}

pub fn sleeping_tests(source: &Source) -> Vec<String> {
    lines_with(source, &source.tests, &["sleep", "sleep_until", "sleep_ms"])
}

pub fn empty_names(source: &Source) -> Vec<String> {
    const SUFFIXES: &[&str] = &["Manager", "Service", "Helper", "Util", "Utils"];
    let mut complaints = Vec::new();
    for (line, number) in source.production.lines().zip(1..) {
        let mut words = line.split(|character: char| !character.is_alphanumeric() && character != '_');
        let declares = words.any(|word| matches!(word, "struct" | "enum" | "trait" | "type"));
        let name = words.next().unwrap_or_default();
        if declares && SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
            complaints.push(format!("{}:{number}: {name} says nothing", source.path));
        }
    }
    complaints
}

pub fn size(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = source.text.lines().count();
    if lines > MAX_FILE_LINES {
        complaints.push(format!(
            "{}: {lines} lines, more than {MAX_FILE_LINES}",
            source.path
        ));
    }
    for (name, line, lines) in functions(&source.production) {
        let excused = LONGER_FUNCTIONS
            .iter()
            .find(|(path, function, _)| *path == source.path && *function == name);
        let most = excused.map_or(MAX_FUNCTION_LINES, |(_, _, lines)| *lines);
        if lines > most {
            complaints.push(format!(
                "{}:{line}: {name} has {lines} lines, more than {most}",
                source.path
            ));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn complaints(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
        rule(&Source::new(Path::new(path), text.to_owned(), false))
    }

    #[test]
    fn each_rule_sees_what_it_forbids_and_says_where() {
        type Rule = fn(&Source) -> Vec<String>;
        let cases: [(Rule, &str, &str); 12] = [
            (outside_world, "storage/src/a.rs", "use std::net::TcpStream;"),
            (
                outside_world,
                "sim/src/a.rs",
                "let t = std::time::Instant::now();",
            ),
            (outside_world, "log/src/a.rs", "use std::{fs, env};"),
            (impure_names, "node/src/a.rs", "use std::collections::HashMap;"),
            (impure_names, "pg/src/a.rs", "thread::spawn(f);"),
            (
                erased_errors,
                "log/src/a.rs",
                "fn f() -> Result<(), Box<dyn std::error::Error>>;",
            ),
            (unwraps, "cli/src/a.rs", "x.unwrap();"),
            (left_overs, "cli/tests/a.rs", "#[ignore = \"slow\"]"),
            (left_overs, "cli/src/a.rs", "todo!()"),
            (sleeping_tests, "cli/tests/a.rs", "std::thread::sleep(d);"),
            (
                sleeping_tests,
                "cli/src/a.rs",
                "#[cfg(test)] mod tests { fn f() { time::sleep(d) } }",
            ),
            (empty_names, "cli/src/a.rs", "pub struct LogManager;"),
        ];
        for (rule, path, line) in cases {
            let found = complaints(rule, path, &format!("\n{line}\n"));
            assert_eq!(found.len(), 1, "{line}: {found:?}");
            assert!(found[0].starts_with(&format!("{path}:2: ")), "{found:?}");
        }
    }

    #[test]
    fn what_is_allowed_passes() {
        let nothing: Vec<String> = Vec::new();
        assert_eq!(
            complaints(outside_world, "server/src/a.rs", "use std::net::TcpStream;"),
            nothing
        );
        assert_eq!(
            complaints(outside_world, "log/tests/a.rs", "use std::env;"),
            nothing
        );
        assert_eq!(
            complaints(
                impure_names,
                "node/src/a.rs",
                "// no HashMap here, nor \"HashMap\""
            ),
            nothing
        );
        assert_eq!(
            complaints(
                unwraps,
                "cli/src/a.rs",
                "#[cfg(test)]\nmod tests { fn f() { x.unwrap() } }"
            ),
            nothing
        );
        assert_eq!(
            complaints(sleeping_tests, "cli/src/a.rs", "time::sleep(d)"),
            nothing
        );
    }

    #[test]
    fn a_long_file_and_a_long_function_are_seen() {
        let body = "    x();\n".repeat(MAX_FUNCTION_LINES - 1);
        assert_eq!(
            complaints(size, "log/src/a.rs", &format!("fn f() {{\n{body}}}\n")).len(),
            1
        );
        assert_eq!(
            complaints(size, "log/src/a.rs", &format!("fn f() {{\n{}}}\n", &body[9..])).len(),
            0
        );
        assert_eq!(
            complaints(size, "log/src/a.rs", &"\n".repeat(MAX_FILE_LINES + 1)).len(),
            1
        );
    }
}
