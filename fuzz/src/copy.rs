//! COPY FROM STDIN: the same rows and the same end, however the client cuts its data.

#![allow(
    clippy::result_large_err,
    reason = "an SqlError is rare and moved once, its fields are read where it is made"
)]

use bellwether_pg::connection::{Config, Welcome};
use bellwether_pg::frontend::CancelKey;
use bellwether_pg::{Connection, Request, infer};
use bellwether_types::{ClusterId, CommandTag, Value, lexer};

use crate::sql::{Tables, columns_of};

/// How the data are to be read.
const COMMANDS: [&str; 8] = [
    "COPY t FROM STDIN",
    "COPY t FROM STDIN (FORMAT csv)",
    "COPY t FROM STDIN (FORMAT csv, HEADER, DELIMITER ';', NULL 'nil')",
    "COPY t FROM STDIN (FORMAT csv, QUOTE '''', ESCAPE '\\')",
    "COPY t FROM STDIN WITH (FORMAT binary)",
    "COPY t FROM STDIN (DELIMITER '|', NULL '')",
    "COPY t FROM STDIN (HEADER match)",
    "COPY t FROM STDIN (FORMAT csv, FORCE_NULL (column0))",
];

/// Byte 0: the command. Byte 1: how many columns. Byte 2: how long the pieces are. Then the data.
pub fn run(input: &[u8]) {
    let [command, columns, size, data @ ..] = input else {
        return;
    };
    let command = COMMANDS[usize::from(*command) % COMMANDS.len()];
    let columns = usize::from(*columns % 7) + 1;
    let whole = copy(command, columns, [data].into_iter());
    let pieces = copy(command, columns, data.chunks(usize::from(*size % 16) + 1));
    assert_eq!(whole, pieces, "{command}");
}

/// What is inserted, and how it ended: the tag or the error's kind.
fn copy<'a>(
    command: &str,
    columns: usize,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Value>, Option<char>) {
    let mut connection = Connection::new(Config::new(ClusterId(7)));
    let mut values = Vec::new();
    let startup = b"\0\x03\0\0user\0a\0\0";
    connection.receive(&(startup.len() as u32 + 4).to_be_bytes());
    connection.receive(startup);
    serve(&mut connection, columns, &mut values);
    send(&mut connection, b'Q', &[command.as_bytes(), &[0]].concat());
    serve(&mut connection, columns, &mut values);
    connection.sent();
    for piece in pieces {
        send(&mut connection, b'd', piece);
        serve(&mut connection, columns, &mut values);
    }
    send(&mut connection, b'c', b"");
    serve(&mut connection, columns, &mut values);
    // The first word of the end: an error, or that it is complete.
    let end = connection.output().first().map(|tag| char::from(*tag));
    if end == Some('E') {
        // How much was inserted before is taken back anyhow.
        values.clear();
    }
    (values, end)
}

fn send(connection: &mut Connection, tag: u8, body: &[u8]) {
    connection.receive(&[tag]);
    connection.receive(&(body.len() as u32 + 4).to_be_bytes());
    connection.receive(body);
}

/// Does all that is asked for, without fail.
fn serve(connection: &mut Connection, columns: usize, values: &mut Vec<Value>) {
    while let Some(request) = connection.next_request() {
        match request {
            Request::Authenticate(_) => {
                let key = CancelKey { pid: 1, secret: 2 };
                connection.accept(&Welcome::new(key, false));
            }
            Request::Describe { sql } => {
                let columns = columns_of(columns);
                connection.described(infer::describe(&sql, &columns, &Tables).into());
            }
            Request::Run(run) => {
                assert_eq!(lexer::verb(&run.statement.sql).as_deref(), Some("INSERT"));
                let rows = run.statement.parameters.len() / columns;
                assert_eq!(run.statement.parameters.len(), rows * columns, "whole rows");
                values.extend(run.statement.parameters);
                connection.complete(CommandTag::counted("INSERT", rows as u64));
            }
            Request::Begin { .. } | Request::Commit | Request::Rollback => connection.done(),
            other => unreachable!("COPY asks for no {other:?}"),
        }
    }
}

/// Data in each form.
pub fn seeds() -> Vec<Vec<u8>> {
    let data: [&[u8]; 6] = [
        b"1\tDolly\t0.5\n\\N\tit\\'s\\t\\x41\t\\\\N\n\\.\n",
        b"1,\"a \"\"b\"\"\nc\",\r\n,\"\",x\r\n",
        b"a;b;c\nnil;\"nil\";1\n",
        b"1,'it\\'s',x\n",
        b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x04text\xff\xff",
        b"1|2|\n||\n",
    ];
    let each = |(number, data): (usize, &&[u8])| {
        let columns = if number == 4 { 0 } else { 2 };
        [&[number as u8, columns, 3], *data].concat()
    };
    data.iter().enumerate().map(each).collect()
}
