//! SQLite with the functions that translated texts call.

use bellwether_pg::dialect::{self, Translation};
use bellwether_pg::functions::FUNCTIONS;
use bellwether_types::{Call, SqlError, Value, ValueRef};
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value as Held, ValueRef as HeldRef};

/// An empty database in memory.
pub fn open() -> Connection {
    let connection = Connection::open_in_memory().expect("memory");
    for function in FUNCTIONS {
        let Call::Pure(call) = function.call else {
            panic!("{} is not pure", function.name)
        };
        let max = function.arguments.max;
        let counts: Vec<i32> = match max {
            Some(max) => (function.arguments.min..=max).map(i32::from).collect(),
            None => vec![-1],
        };
        let flags = FunctionFlags::SQLITE_UTF8
            | FunctionFlags::SQLITE_DETERMINISTIC
            | FunctionFlags::SQLITE_INNOCUOUS;
        for count in counts {
            connection
                .create_scalar_function(function.name, count, flags, move |context| answer(context, call))
                .expect("registered");
        }
    }
    // The storage's own, which tells what the session says.
    connection
        .create_scalar_function("statement_epoch", 0, FunctionFlags::SQLITE_UTF8, |_| {
            Ok(981_173_106.789)
        })
        .expect("registered");
    connection
}

fn answer(
    context: &Context<'_>,
    call: fn(&[ValueRef<'_>]) -> Result<Value, SqlError>,
) -> rusqlite::Result<Held> {
    let args: Vec<ValueRef<'_>> = (0..context.len())
        .map(|index| match context.get_raw(index) {
            HeldRef::Null => ValueRef::Null,
            HeldRef::Integer(number) => ValueRef::Integer(number),
            HeldRef::Real(number) => ValueRef::Real(number),
            HeldRef::Text(text) => ValueRef::Text(text),
            HeldRef::Blob(bytes) => ValueRef::Blob(bytes),
        })
        .collect();
    match call(&args) {
        Ok(Value::Null) => Ok(Held::Null),
        Ok(Value::Integer(number)) => Ok(Held::Integer(number)),
        Ok(Value::Real(number)) => Ok(Held::Real(number)),
        Ok(Value::Text(text)) => Ok(Held::Text(text)),
        Ok(Value::Blob(bytes)) => Ok(Held::Blob(bytes)),
        Err(error) => Err(rusqlite::Error::UserFunctionError(error.to_string().into())),
    }
}

/// A text's translation; the text itself if there is none.
pub fn translated(sql: &str) -> Result<Translation, SqlError> {
    let translation = dialect::translate(sql)?;
    Ok(translation.unwrap_or_else(|| Translation {
        statements: vec![sql.to_owned()],
        ..Translation::default()
    }))
}

/// Runs a text as a session would; the last statement's rows, columns with `|` between.
pub fn run(connection: &Connection, sql: &str) -> Result<Vec<String>, String> {
    let translation = translated(sql).map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    for statement in &translation.statements {
        rows = query(connection, statement).map_err(|error| format!("{error}\n  {statement}"))?;
    }
    Ok(rows)
}

fn query(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut printed = Vec::new();
    while let Some(row) = rows.next()? {
        let values: Vec<String> = (0..columns)
            .map(|index| match row.get_ref_unwrap(index) {
                HeldRef::Null => "NULL".to_owned(),
                HeldRef::Integer(number) => number.to_string(),
                HeldRef::Real(number) => format!("{number:?}"),
                HeldRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                HeldRef::Blob(bytes) => format!(
                    "x'{}'",
                    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
                ),
            })
            .collect();
        printed.push(values.join("|"));
    }
    Ok(printed)
}
