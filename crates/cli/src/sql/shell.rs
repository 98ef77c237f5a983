//! The interactive shell: a prompt, a history, statements over several lines.

use std::path::PathBuf;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::connection::Connection;
use super::script::is_complete;
use crate::failure::Failure;

const HELP: &str = r"Statements end with a semicolon and may take several lines.
  \d         list tables and views
  \d NAME    show how a table, view, index or trigger was created
  \?         this help
  \q         quit (or Ctrl-D)
Ctrl-C discards what is typed, or cancels the statement that runs.";

const LIST: &str = "SELECT name, type FROM sqlite_schema \
                    WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";

/// Reads and runs until the person quits.
pub fn run(connection: &mut Connection) -> Result<(), Failure> {
    let unusable = |error: ReadlineError| Failure::new("the terminal cannot be used").because(error);
    let mut editor = DefaultEditor::new().map_err(unusable)?;
    let history = history_path();
    if let Some(path) = &history {
        // There is none before the first session.
        let _ = editor.load_history(path);
    }
    println!(
        "bellwether {} at {}. \\? for help.",
        env!("CARGO_PKG_VERSION"),
        connection.target().address()
    );
    let mut pending = String::new();
    loop {
        let prompt = prompt(&connection.target().database, pending.is_empty());
        match editor.readline(&prompt) {
            Ok(line) if pending.is_empty() && line.trim_start().starts_with('\\') => {
                remember(&mut editor, &line);
                if !command(connection, line.trim()) {
                    break;
                }
            }
            Ok(line) => {
                pending.push_str(&line);
                pending.push('\n');
                if is_complete(&pending) {
                    let text = std::mem::take(&mut pending);
                    remember(&mut editor, text.trim_end());
                    connection.run(&text);
                } else if pending.trim().is_empty() {
                    pending.clear();
                }
            }
            Err(ReadlineError::Interrupted) => pending.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(unusable(error)),
        }
    }
    if let Some(path) = history
        && let Err(error) = editor.save_history(&path)
    {
        eprintln!("the history could not be saved in {}: {error}", path.display());
    }
    Ok(())
}

fn prompt(database: &str, fresh: bool) -> String {
    format!("{database}{} ", if fresh { "=>" } else { "->" })
}

fn remember(editor: &mut DefaultEditor, text: &str) {
    if text.to_ascii_uppercase().contains("PASSWORD") {
        // The history is a file.
        return;
    }
    // A line that is not remembered is no reason to stop.
    let _ = editor.add_history_entry(text);
}

/// Runs a backslash command; `false` to quit.
fn command(connection: &mut Connection, line: &str) -> bool {
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match (name, argument.trim().trim_end_matches(';')) {
        ("\\q", _) => return false,
        ("\\?", _) => println!("{HELP}"),
        ("\\d" | "\\dt", "") => {
            connection.run(LIST);
        }
        ("\\d", object) => {
            let object = object.replace('\'', "''");
            connection.run(&format!(
                "SELECT sql FROM sqlite_schema WHERE lower('{object}') IN (lower(name), lower(tbl_name)) \
                 AND sql IS NOT NULL ORDER BY rootpage"
            ));
        }
        _ => println!("there is no {name} here; \\? lists what there is"),
    }
    true
}

/// In the user's state directory; `None` without a home. Created with its parents.
fn history_path() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let dir = state.join("bellwether");
    std::fs::create_dir_all(&dir).ok()?;
    Some(dir.join("sql_history"))
}
