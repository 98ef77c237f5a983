//! Answers and errors as text, the way psql shows them.

use std::fmt::Write;
use std::time::Duration;

use bellwether_types::{CommandTag, lexer};
use comfy_table::{Cell, CellAlignment, Table, presets};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::{DbError, ErrorPosition};

/// Characters of a statement's line that are shown around an error's position.
const SHOWN_CHARS: usize = 60;

/// Prints each statement's rows or tag; the whole took `elapsed`.
pub fn answer(sql: &str, messages: &[SimpleQueryMessage], elapsed: Duration) {
    let mut verbs = lexer::split(sql).into_iter().map(lexer::verb);
    let mut result: Option<Rows> = None;
    let mut last = None;
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                result = Some(Rows::new(columns.iter().map(|column| column.name())));
            }
            SimpleQueryMessage::Row(row) => {
                if let Some(result) = &mut result {
                    result.add((0..row.len()).map(|at| row.get(at)));
                }
            }
            SimpleQueryMessage::CommandComplete(rows) => {
                let verb = verbs.next().flatten().unwrap_or_default();
                last.replace(match result.take() {
                    Some(result) => result.finish(*rows),
                    None => tag(verb, *rows),
                })
                .into_iter()
                .for_each(|earlier| println!("{earlier}"));
            }
            // The library may grow other messages; none of today's is left.
            _ => {}
        }
    }
    if let Some(last) = last {
        println!("{last} {:.1} ms", elapsed.as_secs_f64() * 1e3);
    }
}

/// The tag of a statement without rows. The library hands over its count alone, 0 where there is none.
fn tag(verb: String, rows: u64) -> String {
    match verb.as_str() {
        "INSERT" | "UPDATE" | "DELETE" | "SELECT" => CommandTag::counted(&verb, rows).to_string(),
        _ => verb,
    }
}

/// A result being gathered. Rows are held in memory, as the library does.
struct Rows {
    table: Table,
    /// Which columns hold nothing but numbers so far: those are aligned to the right.
    numeric: Vec<bool>,
}

impl Rows {
    fn new<'a>(names: impl Iterator<Item = &'a str>) -> Rows {
        let names: Vec<String> = names.map(printable).collect();
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        let numeric = vec![true; names.len()];
        table.set_header(names);
        Rows { table, numeric }
    }

    fn add<'a>(&mut self, values: impl Iterator<Item = Option<&'a str>>) {
        let mut cells = Vec::with_capacity(self.numeric.len());
        for (at, value) in values.enumerate() {
            self.numeric[at] &= value.is_none_or(|text| text.parse::<f64>().is_ok());
            cells.push(Cell::new_owned(value.map_or("NULL".to_owned(), printable)));
        }
        self.table.add_row(cells);
    }

    fn finish(mut self, rows: u64) -> String {
        for (at, _) in self.numeric.iter().enumerate().filter(|(_, numeric)| **numeric) {
            if let Some(column) = self.table.column_mut(at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        format!(
            "{}\n({rows} {})",
            self.table,
            if rows == 1 { "row" } else { "rows" }
        )
    }
}

/// Without what would move the cursor or change colours: a value must not drive the terminal.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => out.push(character),
            control if control.is_control() => {
                write!(out, "\\x{:02X}", u32::from(control)).expect("a String grows")
            }
            other => out.push(other),
        }
    }
    out
}

/// An error or notice about `sql`, over several lines.
pub fn error(sql: &str, error: &DbError) -> String {
    let mut out = format!("{}:  {}", error.severity(), printable(error.message()));
    if let Some(ErrorPosition::Original(position)) = error.position() {
        out.push_str(&caret(sql, *position as usize));
    }
    let more = [
        ("DETAIL", error.detail()),
        ("HINT", error.hint()),
        ("CONTEXT", error.where_()),
    ];
    for (name, text) in more {
        if let Some(text) = text {
            write!(out, "\n{name}:  {}", printable(text)).expect("a String grows");
        }
    }
    out
}

/// The line of `sql` that holds the character `position` (from 1), and a caret under it. Empty when there is none.
fn caret(sql: &str, position: usize) -> String {
    let Some(before) = position
        .checked_sub(1)
        .filter(|before| *before <= sql.chars().count())
    else {
        return String::new();
    };
    let line_number = sql
        .chars()
        .take(before)
        .filter(|character| *character == '\n')
        .count();
    let line: Vec<char> = sql
        .split('\n')
        .nth(line_number)
        .unwrap_or_default()
        .chars()
        .collect();
    let line_start: usize = sql
        .split('\n')
        .take(line_number)
        .map(|line| line.chars().count() + 1)
        .sum();
    let column = before - line_start;
    let from = if line.len() <= SHOWN_CHARS {
        0
    } else {
        column.saturating_sub(SHOWN_CHARS / 2)
    };
    let to = line.len().min(from + SHOWN_CHARS);
    let flat = |character: &char| if character.is_control() { ' ' } else { *character };
    let shown: String = line[from..to].iter().map(flat).collect();
    let head = format!("LINE {}: {}", line_number + 1, if from > 0 { "..." } else { "" });
    let tail = if to < line.len() { "..." } else { "" };
    let indent = head.chars().count() + column - from;
    format!("\n{head}{shown}{tail}\n{:indent$}^", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_under_the_character_that_the_position_counts() {
        assert_eq!(
            caret("SELECT * FORM t", 10),
            "\nLINE 1: SELECT * FORM t\n                 ^"
        );
        assert_eq!(caret("SELECT 'é',\n  nope", 15), "\nLINE 2:   nope\n          ^");
        assert_eq!(caret("SELECT 1", 9), "\nLINE 1: SELECT 1\n                ^");
        assert_eq!(caret("SELECT 1", 0), "");
        assert_eq!(caret("SELECT 1", 99), "");
    }

    #[test]
    fn a_long_line_is_cut_around_its_error() {
        let sql = format!("{}nope{}", "a, ".repeat(50), ", b".repeat(50));
        let text = caret(&sql, 151);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].starts_with("LINE 1: ...") && lines[1].ends_with("..."),
            "{text}"
        );
        let at = lines[2].find('^').expect("a caret");
        assert!(lines[1][at..].starts_with("nope"), "{text}");
    }

    #[test]
    fn a_value_cannot_drive_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\r\u{9b}"), "a\\x1B[2Jb\\x0D\\x9B");
        assert_eq!(printable("two\nlines\té"), "two\nlines\té");
    }

    #[test]
    fn null_is_told_from_empty_text_and_numbers_stand_right() {
        let mut result = Rows::new(["id", "name"].into_iter());
        result.add([Some("1"), Some("")].into_iter());
        result.add([Some("200"), None].into_iter());
        let text = result.finish(2);
        assert!(text.contains("│   1 ┆      │"), "{text}");
        assert!(text.contains("│ 200 ┆ NULL │"), "{text}");
        assert!(text.ends_with("(2 rows)"), "{text}");
    }
}
