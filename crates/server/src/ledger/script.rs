//! What a lost transaction changed, for people and their programs: as JSON, and as SQL.

use bellwether_storage::Explained;
use bellwether_types::Value;
use bellwether_types::lexer::{self, TokenKind, quoted_name};
use serde_json::{Map, Number, json};

/// An array, a change an object: `{"insert": table, "values": {…}}`, `{"update": table, "key": {…}, "values": {…}}`,
/// `{"delete": table, "key": {…}}`, `{"schema": sql}`, `{"statement": sql, "parameters": […]}`. Blobs are `{"blob": hexadecimal}`.
pub(super) fn json(changes: &[Explained]) -> String {
    let change = |change: &Explained| match change {
        Explained::Schema(sql) => json!({ "schema": sql }),
        Explained::Statement { sql, parameters } => {
            json!({ "statement": sql, "parameters": parameters.iter().map(json_of).collect::<Vec<_>>() })
        }
        Explained::Insert { table, values } => json!({ "insert": table, "values": object(values) }),
        Explained::Update { table, key, values } => {
            json!({ "update": table, "key": object(key), "values": object(values) })
        }
        Explained::Delete { table, key } => json!({ "delete": table, "key": object(key) }),
    };
    serde_json::Value::Array(changes.iter().map(change).collect()).to_string()
}

/// Of changes that cannot be told: how many bytes they are in the log.
pub(super) fn json_of_unknown(bytes: u64) -> String {
    json!([{ "unknown": true, "bytes": bytes }]).to_string()
}

fn object(values: &[(String, Value)]) -> serde_json::Value {
    let values = values.iter().map(|(name, value)| (name.clone(), json_of(value)));
    serde_json::Value::Object(values.collect::<Map<_, _>>())
}

fn json_of(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(number) => Number::from(*number).into(),
        // JSON has no infinities.
        Value::Real(number) => {
            Number::from_f64(*number).map_or_else(|| number.to_string().into(), Into::into)
        }
        Value::Text(text) => text.clone().into(),
        Value::Blob(bytes) => json!({ "blob": hex(bytes) }),
    }
}

/// One transaction; what cannot be done again as it is stands in comments.
pub(super) fn sql(changes: &[Explained]) -> String {
    let statements: Vec<String> = changes.iter().map(statement).collect();
    format!("BEGIN;\n{}\nCOMMIT;\n", statements.join("\n"))
}

fn statement(change: &Explained) -> String {
    match change {
        Explained::Schema(sql) => format!("{};", sql.trim_end().trim_end_matches(';')),
        Explained::Statement { sql, parameters } => format!("{};", bound(sql, parameters).trim()),
        Explained::Insert { table, values } => {
            let columns: Vec<String> = values.iter().map(|(name, _)| quoted_name(name)).collect();
            let literals: Vec<String> = values.iter().map(|(_, value)| literal(value)).collect();
            format!(
                "INSERT INTO {} ({}) VALUES ({});",
                quoted_name(table),
                columns.join(", "),
                literals.join(", ")
            )
        }
        Explained::Update { table, key, values } => format!(
            "UPDATE {} SET {} WHERE {};",
            quoted_name(table),
            assignments(values).join(", "),
            conditions(key).join(" AND ")
        ),
        Explained::Delete { table, key } => {
            format!(
                "DELETE FROM {} WHERE {};",
                quoted_name(table),
                conditions(key).join(" AND ")
            )
        }
    }
}

/// A statement with its parameters' values in their places.
fn bound(sql: &str, parameters: &[Value]) -> String {
    let mut highest = 0;
    let mut text = String::new();
    for token in lexer::tokens(sql) {
        match token.kind {
            // A comment at the end would hide what follows.
            TokenKind::Comment => text.push(' '),
            TokenKind::Semicolon => {}
            TokenKind::Parameter => {
                let numbered = token.parameter_number();
                let numbered = numbered.or_else(|| token.text.strip_prefix('?')?.parse().ok());
                let number = numbered.unwrap_or(highest + 1);
                highest = highest.max(number);
                let value = parameters.get((number as usize).wrapping_sub(1));
                text.push_str(&value.map_or_else(|| token.text.to_owned(), literal));
            }
            _ => text.push_str(token.text),
        }
    }
    text
}

fn assignments(values: &[(String, Value)]) -> Vec<String> {
    let values = values.iter();
    values
        .map(|(name, value)| format!("{} = {}", quoted_name(name), literal(value)))
        .collect()
}

fn conditions(key: &[(String, Value)]) -> Vec<String> {
    key.iter()
        .map(|(name, value)| match value {
            Value::Null => format!("{} IS NULL", quoted_name(name)),
            _ => format!("{} = {}", quoted_name(name), literal(value)),
        })
        .collect()
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) if number.is_infinite() => {
            format!("{}9e999", if *number < 0.0 { "-" } else { "" })
        }
        // With a point or an exponent, and exactly.
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Blob(bytes) => format!("x'{}'", hex(bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes() -> Vec<Explained> {
        let named = |name: &str, value| (name.to_owned(), value);
        vec![
            Explained::Schema("CREATE TABLE t(a, b)".to_owned()),
            Explained::Insert {
                table: "it's \"t\"".to_owned(),
                values: vec![
                    named("a", Value::Integer(-1)),
                    named("b c", Value::Text("it's".to_owned())),
                    named("d", Value::Blob(vec![0, 255])),
                    named("e", Value::Real(1.0)),
                    named("f", Value::Real(f64::NEG_INFINITY)),
                ],
            },
            Explained::Update {
                table: "t".to_owned(),
                key: vec![named("id", Value::Integer(7))],
                values: vec![named("a", Value::Null)],
            },
            Explained::Delete {
                table: "t".to_owned(),
                key: vec![named("x", Value::Null), named("y", Value::Text("z".to_owned()))],
            },
        ]
    }

    #[test]
    fn the_script_says_again_what_was_said() {
        let expected = "BEGIN;\n\
            CREATE TABLE t(a, b);\n\
            INSERT INTO \"it's \"\"t\"\"\" (\"a\", \"b c\", \"d\", \"e\", \"f\") VALUES (-1, 'it''s', x'00ff', 1.0, -9e999);\n\
            UPDATE \"t\" SET \"a\" = NULL WHERE \"id\" = 7;\n\
            DELETE FROM \"t\" WHERE \"x\" IS NULL AND \"y\" = 'z';\n\
            COMMIT;\n";
        assert_eq!(sql(&changes()), expected);
    }

    #[test]
    fn a_statement_has_its_parameters_values_in_their_places() {
        let statement = Explained::Statement {
            sql: "UPDATE t SET a = $2, b = '$1' /* $1 */ WHERE k = $1 ; -- the end".to_owned(),
            parameters: vec![Value::Integer(7), Value::Text("it's".to_owned())],
        };
        assert_eq!(
            sql(std::slice::from_ref(&statement)),
            "BEGIN;\nUPDATE t SET a = 'it''s', b = '$1'   WHERE k = 7;\nCOMMIT;\n"
        );
        let told: serde_json::Value = serde_json::from_str(&json(&[statement])).expect("JSON");
        assert_eq!(told[0]["parameters"], serde_json::json!([7, "it's"]));
    }

    #[test]
    fn the_changes_are_json() {
        let told: serde_json::Value = serde_json::from_str(&json(&changes())).expect("JSON");
        assert_eq!(told[0]["schema"], "CREATE TABLE t(a, b)");
        assert_eq!(told[1]["values"]["d"]["blob"], "00ff");
        assert_eq!(told[1]["values"]["f"], "-inf");
        assert_eq!(told[2]["key"]["id"], 7);
        assert_eq!(told[2]["values"]["a"], serde_json::Value::Null);
        assert_eq!(told[3]["delete"], "t");
    }
}
