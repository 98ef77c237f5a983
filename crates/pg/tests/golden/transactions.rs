//! Transactions: status, failure, savepoints, modes.

use bellwether_pg::Request;
use bellwether_types::{CommandTag, ErrorKind, SqlError};

use super::check;
use super::client::*;

#[test]
fn the_status_byte_follows_the_transaction() {
    check(
        &[query("BEGIN"), query("SELECT fail"), query("SELECT rows 1"), query("COMMIT")],
        "
          Begin explicitly
        < CommandComplete BEGIN
        < ReadyForQuery T
          Run Transaction SELECT: SELECT fail
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [P 3] [s public] [t t]
        < ReadyForQuery E
        < ErrorResponse ERROR 25P02: current transaction is aborted, commands ignored until end of transaction block
        < ReadyForQuery E
          Rollback
        < CommandComplete ROLLBACK
        < ReadyForQuery I
        ",
    );
}

#[test]
fn beginning_twice_and_ending_nothing_are_warnings() {
    check(
        &[
            query("COMMIT"),
            query("ROLLBACK"),
            query("BEGIN; BEGIN"),
            query("END"),
        ],
        "
        < NoticeResponse WARNING 25P01: there is no transaction in progress
        < CommandComplete COMMIT
        < ReadyForQuery I
        < NoticeResponse WARNING 25P01: there is no transaction in progress
        < CommandComplete ROLLBACK
        < ReadyForQuery I
          Begin explicitly
        < CommandComplete BEGIN
        < NoticeResponse WARNING 25001: there is already a transaction in progress
        < CommandComplete BEGIN
        < ReadyForQuery T
          Commit
        < CommandComplete COMMIT
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_savepoint_brings_a_failed_transaction_back() {
    check(
        &[
            query("BEGIN; SAVEPOINT a; SAVEPOINT b"),
            query("INSERT fail"),
            query("ROLLBACK TO SAVEPOINT A"),
            query("RELEASE b"),
            query("ROLLBACK TO a; RELEASE a; COMMIT"),
        ],
        "
          Begin explicitly
        < CommandComplete BEGIN
          Savepoint(\"a\")
        < CommandComplete SAVEPOINT
          Savepoint(\"b\")
        < CommandComplete SAVEPOINT
        < ReadyForQuery T
          Run Transaction INSERT: INSERT fail
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [P 3] [s public] [t t]
        < ReadyForQuery E
          RollbackTo(\"a\")
        < CommandComplete ROLLBACK
        < ReadyForQuery T
        < ErrorResponse ERROR 3B001: savepoint \"b\" does not exist
        < ReadyForQuery E
          RollbackTo(\"a\")
        < CommandComplete ROLLBACK
          Release(\"a\")
        < CommandComplete RELEASE
          Commit
        < CommandComplete COMMIT
        < ReadyForQuery I
        ",
    );
}

#[test]
fn savepoints_need_a_transaction_that_was_asked_for() {
    check(
        &[query("SAVEPOINT a"), query("INSERT a; RELEASE a")],
        "
        < ErrorResponse ERROR 25P01: SAVEPOINT can only be used in transaction blocks
        < ReadyForQuery I
          Begin implicitly
          Run Transaction INSERT: INSERT a
        < CommandComplete INSERT 0 1
        < ErrorResponse ERROR 25P01: savepoints can only be used in transaction blocks
          Rollback
        < ReadyForQuery I
        ",
    );
}

#[test]
fn read_only_is_of_the_transaction_or_by_default() {
    check(
        &[
            query("BEGIN READ ONLY; INSERT a; COMMIT"),
            query("SET default_transaction_read_only = on"),
            query("INSERT b"),
            query("BEGIN; SET TRANSACTION READ WRITE; INSERT c"),
        ],
        "
          Begin explicitly, read-only
        < CommandComplete BEGIN
          Run Transaction INSERT: INSERT a, read-only
        < CommandComplete INSERT 0 1
          Commit
        < CommandComplete COMMIT
        < token 1@1.1
        < ReadyForQuery I
        < CommandComplete SET
        < ParameterStatus default_transaction_read_only = on
        < ReadyForQuery I
          Run Single INSERT: INSERT b, read-only
        < CommandComplete INSERT 0 1
        < token 1@1.2
        < ReadyForQuery I
          Begin explicitly, read-only
        < CommandComplete BEGIN
        < CommandComplete SET
          Run Transaction INSERT: INSERT c
        < CommandComplete INSERT 0 1
        < ReadyForQuery T
        ",
    );
}

#[test]
fn a_commit_that_fails_ends_the_transaction() {
    check(
        &[
            query("BEGIN; INSERT uncommittable"),
            query("COMMIT"),
            query("SELECT rows 0"),
        ],
        "
          Begin explicitly
        < CommandComplete BEGIN
          Run Transaction INSERT: INSERT uncommittable
        < CommandComplete INSERT 0 1
        < ReadyForQuery T
          Commit
        < ErrorResponse ERROR 40003: it may have been committed
        < ReadyForQuery I
          Run Single SELECT: SELECT rows 0
        < RowDescription n:20 t:25
        < CommandComplete SELECT 0
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_transaction_that_was_lost_tells_why_once() {
    let mut server = super::session(&[query("BEGIN")]);
    let error = SqlError::new(
        ErrorKind::IdleInTransaction,
        "the writer was taken from a silent transaction",
    );
    server.connection.lose_transaction(error);
    server.trace.clear();
    for sql in ["INSERT a", "INSERT b", "ROLLBACK"] {
        server.receive(&query(sql));
    }
    let expected = "\
< ErrorResponse ERROR 25P03: the writer was taken from a silent transaction
< ReadyForQuery E
< ErrorResponse ERROR 25P02: current transaction is aborted, commands ignored until end of transaction block
< ReadyForQuery E
  Rollback
< CommandComplete ROLLBACK
< ReadyForQuery I
";
    assert_eq!(server.trace, expected);
}

#[test]
fn a_failed_transaction_prepares_nothing_but_its_end() {
    check(
        &[
            query("BEGIN; SELECT fail"),
            [parse("", "SELECT rows 1", &[]), sync()].concat(),
            [parse("", "ROLLBACK", &[]), bind("", "", &[]), execute("", 0), sync()].concat(),
        ],
        "
          Begin explicitly
        < CommandComplete BEGIN
          Run Transaction SELECT: SELECT fail
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [P 10] [s public] [t t]
        < ReadyForQuery E
        < ErrorResponse ERROR 25P02: current transaction is aborted, commands ignored until end of transaction block
        < ReadyForQuery E
        < ParseComplete
        < BindComplete
          Rollback
        < CommandComplete ROLLBACK
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_rollback_that_fails_after_a_failure_is_not_told_again() {
    let mut server = super::session(&[]);
    server
        .connection
        .receive(&[query("INSERT a; SELECT fail"), query("")].concat());
    while let Some(request) = server.connection.next_request() {
        match request {
            Request::Begin { .. } => server.connection.done(),
            Request::Run(run) if run.verb == "INSERT" => {
                server.connection.complete(CommandTag::counted("INSERT", 1))
            }
            _ => server
                .connection
                .fail(SqlError::new(ErrorKind::NoLeader, "no leader")),
        }
    }
    assert_eq!(
        super::decode::print(server.connection.output()),
        "\
< CommandComplete INSERT 0 1
< ErrorResponse ERROR 57P03: no leader
< ReadyForQuery I
< EmptyQueryResponse
< ReadyForQuery I
"
    );
}
