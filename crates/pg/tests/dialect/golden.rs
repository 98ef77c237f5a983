//! What programs send to PostgreSQL 15, as its log has it: each text is translated, or refused with a hint.

use crate::database::{open, translated};

#[test]
fn explore() {
    let connection = open();
    for entry in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/statements")).expect("dir")
    {
        let path = entry.expect("entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let (mut fine, mut refused) = (0, 0);
        for sql in text.split("\n;;\n") {
            match translated(sql) {
                Err(error) => {
                    refused += 1;
                    println!(
                        "REFUSED {}: {error} ({:?})\n    {}",
                        path.display(),
                        error.hint,
                        sql.chars().take(150).collect::<String>().replace('\n', " ")
                    );
                }
                Ok(translation) => {
                    for statement in &translation.statements {
                        match connection.prepare(statement) {
                            Ok(_) => fine += 1,
                            Err(error) => {
                                let text = error.to_string();
                                let text = text.split(" in ").next().unwrap_or_default();
                                if text.contains("no such table") {
                                    fine += 1;
                                    continue;
                                }
                                println!(
                                    "ERROR {}: {text}\n    {}\n    => {statement}",
                                    path.display(),
                                    sql.replace('\n', " ")
                                );
                            }
                        }
                    }
                }
            }
        }
        println!("{} fine {fine} refused {refused}", path.display());
    }
}
