//! What a lost transaction changed, for people and their programs: as JSON, and as SQL.

use std::sync::Arc;

use bellwether_storage::{Decoded, Operation, RowChange};
use bellwether_types::Value;
use bellwether_types::lexer::{self, TokenKind, quoted_name};
use serde_json::{Map, Number, json};

/// An array, a change an object: `{"insert": table, "values": {…}}`, `{"update": table, "key": {…}, "values": {…}}`,
/// `{"delete": table, "key": {…}}`, `{"schema": sql}`, `{"statement": sql, "parameters": […]}`. Blobs are `{"blob": hexadecimal}`.
pub(super) fn json(changes: &[Decoded]) -> String {
    serde_json::Value::Array(changes.iter().map(json_of_change).collect()).to_string()
}

fn json_of_change(change: &Decoded) -> serde_json::Value {
    match change {
        Decoded::Schema(sql) => json!({ "schema": sql }),
        Decoded::Statement { sql, parameters, .. } => {
            json!({ "statement": sql, "parameters": parameters.iter().map(json_of).collect::<Vec<_>>() })
        }
        Decoded::Row(change) => {
            let (table, key, values) = (&change.relation.name, object(&change.key), object(&change.values));
            match change.operation {
                Operation::Insert => json!({ "insert": table, "values": values }),
                Operation::Update => json!({ "update": table, "key": key, "values": values }),
                Operation::Delete => json!({ "delete": table, "key": key }),
            }
        }
    }
}

/// Of changes that cannot be told: how many bytes they are in the log.
pub(super) fn json_of_unknown(bytes: u64) -> String {
    json!([{ "unknown": true, "bytes": bytes }]).to_string()
}

fn object(values: &[(Arc<str>, Value)]) -> serde_json::Value {
    let values = values
        .iter()
        .map(|(name, value)| (name.to_string(), json_of(value)));
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
pub(super) fn sql(changes: &[Decoded]) -> String {
    let statements: Vec<String> = changes.iter().map(statement).collect();
    format!("BEGIN;\n{}\nCOMMIT;\n", statements.join("\n"))
}

fn statement(change: &Decoded) -> String {
    match change {
        Decoded::Schema(sql) => format!("{};", sql.trim_end().trim_end_matches(';')),
        Decoded::Statement { sql, parameters, .. } => format!("{};", bound(sql, parameters).trim()),
        Decoded::Row(change) => row_statement(change),
    }
}

fn row_statement(change: &RowChange) -> String {
    let table = quoted_name(&change.relation.name);
    let found = || conditions(&change.key).join(" AND ");
    match change.operation {
        Operation::Insert => {
            let columns: Vec<String> = change.values.iter().map(|(name, _)| quoted_name(name)).collect();
            let literals: Vec<String> = change.values.iter().map(|(_, value)| literal(value)).collect();
            format!(
                "INSERT INTO {table} ({}) VALUES ({});",
                columns.join(", "),
                literals.join(", ")
            )
        }
        Operation::Update => {
            let set = assignments(&change.values).join(", ");
            format!("UPDATE {table} SET {set} WHERE {};", found())
        }
        Operation::Delete => format!("DELETE FROM {table} WHERE {};", found()),
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

fn assignments(values: &[(Arc<str>, Value)]) -> Vec<String> {
    let values = values.iter();
    values
        .map(|(name, value)| format!("{} = {}", quoted_name(name), literal(value)))
        .collect()
}

fn conditions(key: &[(Arc<str>, Value)]) -> Vec<String> {
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
    use bellwether_storage::Named;
    use bellwether_types::{Relation, Rowid};

    use super::*;

    fn named(values: Vec<(&str, Value)>) -> Named {
        values
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect()
    }

    fn change(operation: Operation, table: &str, key: Named, values: Named) -> Decoded {
        let relation = Relation {
            name: table.to_owned(),
            columns: Vec::new(),
            rowid: Rowid::None,
            primary: Vec::new(),
        };
        Decoded::Row(RowChange {
            operation,
            relation: Arc::new(relation),
            key,
            key_after: None,
            values,
            before: None,
            after: None,
            is_image: false,
        })
    }

    fn changes() -> Vec<Decoded> {
        let values = named(vec![
            ("a", Value::Integer(-1)),
            ("b c", Value::Text("it's".to_owned())),
            ("d", Value::Blob(vec![0, 255])),
            ("e", Value::Real(1.0)),
            ("f", Value::Real(f64::NEG_INFINITY)),
        ]);
        let id = named(vec![("id", Value::Integer(7))]);
        let key = named(vec![("x", Value::Null), ("y", Value::Text("z".to_owned()))]);
        vec![
            Decoded::Schema("CREATE TABLE t(a, b)".to_owned()),
            change(Operation::Insert, "it's \"t\"", Named::new(), values),
            change(Operation::Update, "t", id, named(vec![("a", Value::Null)])),
            change(Operation::Delete, "t", key, Named::new()),
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
        let statement = Decoded::Statement {
            sql: "UPDATE t SET a = $2, b = '$1' /* $1 */ WHERE k = $1 ; -- the end".to_owned(),
            parameters: vec![Value::Integer(7), Value::Text("it's".to_owned())],
            has_images: false,
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
