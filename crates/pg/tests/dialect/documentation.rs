//! `docs/dialect.md` says what is so: every row of its table is tried.

use bellwether_pg::dialect::translate;
use bellwether_types::ErrorKind;

const DOCUMENT: &str = include_str!("../../../../docs/dialect.md");

/// Words that begin a statement; other examples are expressions.
const STATEMENTS: [&str; 18] = [
    "(SELECT ",
    "SELECT ",
    "TABLE ",
    "WITH ",
    "EXPLAIN ",
    "INSERT ",
    "UPDATE ",
    "DELETE ",
    "MERGE ",
    "TRUNCATE ",
    "CREATE ",
    "ALTER ",
    "DROP ",
    "VACUUM ",
    "ANALYZE ",
    "LOCK ",
    "COPY ",
    "SET ",
];

/// The code spans of a cell.
fn spans(cell: &str) -> Vec<String> {
    let cell = cell.replace("\\|", "|");
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What is said to become of an example, and what becomes of it.
fn check(example: &str, said: &str, remarks: &str) -> Result<(), String> {
    let is_statement = STATEMENTS.iter().any(|word| example.starts_with(word));
    let sql = if is_statement {
        example.to_owned()
    } else {
        format!("SELECT {example}")
    };
    let translated = translate(&sql);
    match (said, translated) {
        ("SQLite's", Ok(None)) => Ok(()),
        ("refused", Err(error)) if error.kind == ErrorKind::NotSupported && error.hint.is_some() => Ok(()),
        (_, Ok(Some(translation))) => {
            let statements: Vec<String> = translation
                .statements
                .iter()
                .map(|statement| {
                    let expression = statement
                        .strip_prefix("SELECT ")
                        .filter(|_| !is_statement)
                        .unwrap_or(statement);
                    let unnamed = expression.rfind(" AS \"").filter(|_| !is_statement);
                    expression[..unnamed.unwrap_or(expression.len())].to_owned()
                })
                .collect();
            let says_notice = remarks.to_lowercase().contains("with a notice");
            if !translation.statements.is_empty() && spans(said) != statements {
                return Err(format!("{example}: {statements:?}"));
            }
            if translation.statements.is_empty() && said != "nothing" {
                return Err(format!("{example}: nothing is left to do"));
            }
            if says_notice == translation.notices.is_empty() && !remarks.contains("ALWAYS") {
                return Err(format!("{example}: {:?}", translation.notices));
            }
            if remarks.starts_with("Takes the writer") != translation.lock.is_some() {
                return Err(format!("{example}: {:?}", translation.lock));
            }
            Ok(())
        }
        (_, other) => Err(format!("{example}: {other:?}")),
    }
}

#[test]
fn every_row_of_the_table_is_true() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in DOCUMENT.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<String> = line
            .replace("\\|", "\u{1}")
            .split('|')
            .map(|cell| cell.trim().replace('\u{1}', "\\|"))
            .collect();
        let [_, example, said, remarks, _] = cells.as_slice() else {
            panic!("not three cells: {line}")
        };
        for example in spans(example) {
            count += 1;
            wrong.extend(check(&example, said, remarks).err());
        }
    }
    assert!(count > 100, "{count} examples were found");
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
