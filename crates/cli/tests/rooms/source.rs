//! Rust sources as code alone: comments and literals blanked, production apart from tests, lines kept.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One file.
pub struct Source {
    /// The crate's directory name: `log`, `storage` …
    pub room: String,
    /// Below `crates/`, for complaints.
    pub path: String,
    /// As written.
    pub text: String,
    /// Code that is in the product; the rest is blank.
    pub production: String,
    /// Code that is in tests; the rest is blank.
    pub tests: String,
}

impl Source {
    /// All code.
    pub fn code(&self) -> [&str; 2] {
        [&self.production, &self.tests]
    }
}

impl Source {
    /// As read from `path`, below `crates/`.
    pub fn new(path: &Path, text: String, in_test_module: bool) -> Source {
        let mut parts = path.iter().map(|part| part.to_string_lossy().into_owned());
        let room = parts.next().expect("a crate's directory");
        let in_product = parts.next().is_some_and(|dir| dir == "src") && !in_test_module;
        let code = code_only(&text);
        let (production, tests) = if in_product {
            split_tests(&code)
        } else {
            (blank(&code), code)
        };
        let path = path.display().to_string();
        Source {
            room,
            path,
            text,
            production,
            tests,
        }
    }
}

/// Every `.rs` file below `crates`, by path.
pub fn sources(crates: &Path) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(crates, &mut paths);
    paths.sort();
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        files.push((path, text));
    }
    let test_modules: BTreeSet<PathBuf> = files
        .iter()
        .flat_map(|(path, text)| test_modules(path, &code_only(text)))
        .collect();
    let read = |(path, text): (PathBuf, String)| {
        let in_test_module = path.ancestors().any(|above| test_modules.contains(above));
        Source::new(
            path.strip_prefix(crates).expect("collected below it"),
            text,
            in_test_module,
        )
    };
    files.into_iter().map(read).collect()
}

fn collect(dir: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Files and directories of modules that are declared `#[cfg(test)] mod name;`.
fn test_modules(path: &Path, code: &str) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap_or_default();
    let parent = path.parent().expect("a file is in a directory");
    let own_dir = if ["lib", "main", "mod"].iter().any(|name| stem == *name) {
        parent.to_owned()
    } else {
        parent.join(stem)
    };
    let mut modules = Vec::new();
    for (at, marker) in code.match_indices("#[cfg(test)]") {
        let declared = code[at + marker.len()..]
            .split([';', '{'])
            .next()
            .unwrap_or_default();
        if let Some(name) = declared
            .trim()
            .rsplit("mod ")
            .next()
            .filter(|_| declared.contains("mod "))
        {
            modules.push(own_dir.join(format!("{}.rs", name.trim())));
            modules.push(own_dir.join(name.trim()));
        }
    }
    modules
}

/// Splits code at its `#[cfg(test)]` items: what is in one half is blank in the other.
fn split_tests(code: &str) -> (String, String) {
    let mut production = String::with_capacity(code.len());
    let mut tests = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        let end = start + item_len(&rest[start..]);
        production.push_str(&rest[..start]);
        tests.push_str(&blank(&rest[..start]));
        production.push_str(&blank(&rest[start..end]));
        tests.push_str(&rest[start..end]);
        rest = &rest[end..];
    }
    production.push_str(rest);
    tests.push_str(&blank(rest));
    (production, tests)
}

/// The length of the item at the start: up to the semicolon, or the brace that closes its body.
fn item_len(code: &str) -> usize {
    let mut depth = 0usize;
    for (at, character) in code.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn blank(code: &str) -> String {
    code.chars()
        .map(|character| if character == '\n' { '\n' } else { ' ' })
        .collect()
}

/// The text with comments and the insides of literals blanked.
pub fn code_only(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let len = literal_or_comment_len(&characters, at);
        if len == 0 {
            code.push(characters[at]);
            at += 1;
        } else {
            let end = (at + len).min(characters.len());
            code.extend(
                characters[at..end]
                    .iter()
                    .map(|character| if *character == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    code
}

/// How many characters the comment or literal at `at` has; 0 when there is none.
fn literal_or_comment_len(text: &[char], at: usize) -> usize {
    let next = text.get(at + 1).copied().unwrap_or('\0');
    let in_word = at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_');
    match text[at] {
        '/' if next == '/' => text[at..]
            .iter()
            .position(|character| *character == '\n')
            .unwrap_or(text.len() - at),
        '/' if next == '*' => block_comment_len(&text[at..]),
        '"' => string_len(&text[at..]),
        'r' if !in_word || text[at - 1] == 'b' => raw_string_len(&text[at..]),
        '\'' if next == '\\' => escaped_char_len(&text[at..]),
        '\'' if text.get(at + 2) == Some(&'\'') => 3,
        _ => 0,
    }
}

/// `'\n'`, `'\''`, `'\u{1F}'`: up to the first quote after the escaped character.
fn escaped_char_len(text: &[char]) -> usize {
    let after = text.get(3..).unwrap_or_default();
    after
        .iter()
        .position(|character| *character == '\'')
        .map_or(text.len(), |end| end + 4)
}

fn block_comment_len(text: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at + 1 < text.len() {
        match (text[at], text[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn string_len(text: &[char]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// `r"…"`, `r#"…"#` …; 0 when the `r` begins a word.
fn raw_string_len(text: &[char]) -> usize {
    let hashes = text[1..]
        .iter()
        .take_while(|character| **character == '#')
        .count();
    if text.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let close: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let body = 2 + hashes;
    let end = text[body..]
        .windows(close.len())
        .position(|window| window == close);
    end.map_or(text.len(), |end| body + end + close.len())
}

/// Whether `word` stands in the line, not as a part of a longer word. It may hold punctuation, which needs no
/// boundary: `.unwrap()`, `std::env`.
pub fn has_word(line: &str, word: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let goes_on_before = word.starts_with(is_word) && line[..at].ends_with(is_word);
        let goes_on_after = word.ends_with(is_word) && line[at + word.len()..].starts_with(is_word);
        !goes_on_before && !goes_on_after
    })
}

/// Name, first line (from 1) and number of lines of each function with a body.
pub fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code[..at].ends_with(|character: char| character.is_alphanumeric() || character == '_') {
            continue;
        }
        let rest = &code[at + 3..];
        let name: String = rest
            .chars()
            .take_while(|character| character.is_alphanumeric() || *character == '_')
            .collect();
        if name.is_empty() {
            continue;
        }
        if let Some(body) = body_start(rest) {
            let end = body + item_len(&rest[body..]);
            let line = code[..at].matches('\n').count() + 1;
            found.push((name, line, rest[..end].matches('\n').count() + 1));
        }
    }
    found
}

/// Where the body's brace is; `None` for a declaration alone.
fn body_start(signature: &str) -> Option<usize> {
    let mut depth = 0i32;
    for (at, character) in signature.char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(at),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn comments_and_literals_are_blanked_and_lines_kept() {
    let text = "a(\"x\\\"HashMap\"); // HashMap\n/* Hash /* Map */ */ b('\"', '\\'', '\\u{1F}', r#\"\"Map\"\"#, b\"x\") 'life: c\n";
    let code = code_only(text);
    assert_eq!(
        code.split_whitespace().collect::<Vec<_>>().join(" "),
        "a( ); b( , , , , b ) 'life: c"
    );
    assert_eq!(code.matches('\n').count(), text.matches('\n').count());
    assert_eq!(code.chars().count(), text.chars().count());
}

#[test]
fn tests_are_told_from_production() {
    let (production, tests) = split_tests(
        "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { c() } }\nfn d() {}\n#[cfg(test)]\nmod e;\n",
    );
    assert!(production.contains("fn a") && production.contains("fn d") && !production.contains("fn b"));
    assert!(tests.contains("fn b") && tests.contains("mod e") && !tests.contains("fn d"));
    assert_eq!(production.matches('\n').count(), 6);
    let modules = test_modules(
        Path::new("x/src/lib.rs"),
        "#[cfg(test)]\npub(crate) mod testing;\nmod other;",
    );
    assert_eq!(modules[0], Path::new("x/src/testing.rs"));
}

#[test]
fn functions_are_measured_to_their_closing_brace() {
    let code = "impl X {\n    fn one(&self) -> [u8; 2] {\n        { 1 }\n    }\n    fn declared(&self);\n}\nconst fn two() {}\n";
    assert_eq!(
        functions(code),
        [("one".to_owned(), 2, 3), ("two".to_owned(), 7, 1)]
    );
}

#[test]
fn words_are_whole() {
    assert!(has_word("use std::env;", "std::env"));
    assert!(!has_word("use std::environment;", "std::env"));
    assert!(!has_word("MyHashMap", "HashMap"));
    assert!(has_word("x.unwrap();", ".unwrap()"));
}
