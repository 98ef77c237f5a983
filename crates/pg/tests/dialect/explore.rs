use crate::database::{open, run};
#[test]
fn cases() {
    let connection = open();
    let text = std::fs::read_to_string("/tmp/dialect/cases.sql").expect("cases");
    for sql in text.lines() {
        match run(&connection, sql) {
            Ok(rows) => println!("@@{}", rows.join(" ; ")),
            Err(error) => println!("@@ERR {}", error.replace('\n', " ")),
        }
    }
}
