//! The extended protocol.

use super::client::*;
use super::{check, check_once};

const INT8: u32 = 20;

#[test]
fn one_round_trip_asks_the_driver_once() {
    let packet = [
        parse("", "SELECT rows 2 WHERE $1", &[INT8]),
        bind("", "", &["5"]),
        describe_portal(""),
        execute("", 0),
        sync(),
    ];
    check(
        &[packet.concat()],
        "
        < ParseComplete
        < BindComplete
          Run Single SELECT: SELECT rows 2 WHERE $1 (5)
        < RowDescription n:20 t:25
        < DataRow 1 | row 1
        < DataRow 2 | NULL
        < CommandComplete SELECT 2
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_named_statement_is_prepared_described_and_run_again() {
    check(
        &[
            [
                parse("s", "SELECT rows 1 WHERE $2 = $1", &[0, 25]),
                describe_statement("s"),
                sync(),
            ]
            .concat(),
            [bind("", "s", &["5", "x"]), execute("", 0), sync()].concat(),
            [bind("", "s", &["6", "y"]), execute("", 0), sync()].concat(),
        ],
        "
          Describe SELECT rows 1 WHERE $2 = $1
        < ParseComplete
        < ParameterDescription 20 25
        < RowDescription n:20 t:25
        < ReadyForQuery I
        < BindComplete
          Run Single SELECT: SELECT rows 1 WHERE $2 = $1 (5, 'x')
        < DataRow 1 | row 1
        < CommandComplete SELECT 1
        < ReadyForQuery I
        < BindComplete
          Run Single SELECT: SELECT rows 1 WHERE $2 = $1 (6, 'y')
        < DataRow 1 | row 1
        < CommandComplete SELECT 1
        < ReadyForQuery I
        ",
    );
}

#[test]
fn types_that_nobody_said_are_asked_for_before_parameters_are_read() {
    check(
        &[[
            parse("", "INSERT $1", &[]),
            bind("", "", &["5"]),
            execute("", 0),
            sync(),
        ]
        .concat()],
        "
        < ParseComplete
          Describe INSERT $1
        < BindComplete
          Run Single INSERT: INSERT $1 (5)
        < CommandComplete INSERT 0 1
        < token 1@1.1
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_statement_without_rows_is_described_as_having_none() {
    check(
        &[
            [
                parse("", "INSERT a", &[]),
                bind("", "", &[]),
                describe_portal(""),
                execute("", 0),
                sync(),
            ]
            .concat(),
            [parse("", "INSERT a", &[]), describe_statement(""), sync()].concat(),
        ],
        "
        < ParseComplete
        < BindComplete
          Run Single INSERT: INSERT a
        < NoData
        < CommandComplete INSERT 0 1
        < token 1@1.1
        < ReadyForQuery I
          Describe INSERT a
        < ParseComplete
        < ParameterDescription 
        < NoData
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_statement_that_is_only_prepared_is_checked_at_once() {
    check(
        &[[parse("s", "SELECT fail", &[]), sync()].concat()],
        "
          Describe SELECT fail
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [P 3] [s public] [t t]
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_statement_that_is_run_at_once_is_checked_by_running_it() {
    // Byte by byte the error comes at Parse already: clients skip to Sync either way.
    check_once(
        &[[
            parse("", "SELECT fail", &[]),
            bind("", "", &[]),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]
        .concat()],
        "
        < ParseComplete
        < BindComplete
          Run Single SELECT: SELECT fail
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [P 3] [s public] [t t]
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_pipeline_is_one_transaction_committed_at_sync() {
    let one = [parse("", "INSERT a", &[]), bind("", "", &[]), execute("", 0)].concat();
    check(
        &[[one.clone(), one, sync()].concat()],
        "
        < ParseComplete
        < BindComplete
          Begin implicitly
          Run Transaction INSERT: INSERT a
        < CommandComplete INSERT 0 1
        < ParseComplete
        < BindComplete
          Run Transaction INSERT: INSERT a
        < CommandComplete INSERT 0 1
          Commit
        < token 1@1.1
        < ReadyForQuery I
        ",
    );
}

#[test]
fn an_error_in_a_pipeline_takes_it_back_and_skips_to_sync() {
    check(
        &[[
            parse("a", "INSERT a", &[]),
            bind("", "a", &[]),
            execute("", 0),
            parse("b", "INSERT b", &[]),
            bind("", "b", &["surplus"]),
            execute("", 0),
            query("SELECT rows 1"),
            sync(),
            bind("", "a", &[]),
            execute("", 0),
            sync(),
        ]
        .concat()],
        "
        < ParseComplete
        < BindComplete
          Begin implicitly
          Run Transaction INSERT: INSERT a
        < CommandComplete INSERT 0 1
        < ParseComplete
        < ErrorResponse ERROR 08P01: bind message supplies 1 parameters, but prepared statement \"b\" requires 0
          Rollback
        < ReadyForQuery I
        < BindComplete
          Run Single INSERT: INSERT a
        < CommandComplete INSERT 0 1
        < token 1@1.1
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_portal_gives_its_rows_in_pieces() {
    check(
        &[
            query("BEGIN"),
            [
                parse("", "SELECT rows 5", &[]),
                bind("p", "", &[]),
                describe_portal("p"),
                execute("p", 2),
                sync(),
            ]
            .concat(),
            [execute("p", 2), sync()].concat(),
            [execute("p", 2), execute("p", 2), sync()].concat(),
            query("COMMIT"),
            [execute("p", 2), sync()].concat(),
        ],
        "
          Begin explicitly
        < CommandComplete BEGIN
        < ReadyForQuery T
        < ParseComplete
        < BindComplete
          Run Transaction SELECT: SELECT rows 5, at most 2, keep the rest
        < RowDescription n:20 t:25
        < DataRow 1 | row 1
        < DataRow 2 | NULL
        < PortalSuspended
        < ReadyForQuery T
          Fetch at most 2
        < DataRow 3 | row 3
        < DataRow 4 | row 4
        < PortalSuspended
        < ReadyForQuery T
          Fetch at most 2
        < DataRow 5 | row 5
        < CommandComplete SELECT 1
        < CommandComplete SELECT 0
        < ReadyForQuery T
          Commit
        < CommandComplete COMMIT
        < ReadyForQuery I
        < ErrorResponse ERROR 34000: portal \"p\" does not exist
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_row_limit_without_a_transaction_keeps_nothing() {
    check(
        &[
            [
                parse("", "SELECT rows 5", &[]),
                bind("", "", &[]),
                execute("", 1),
                sync(),
            ]
            .concat(),
            [execute("", 1), sync()].concat(),
        ],
        "
        < ParseComplete
        < BindComplete
          Run Single SELECT: SELECT rows 5, at most 1
        < DataRow 1 | row 1
        < PortalSuspended
        < ReadyForQuery I
        < ErrorResponse ERROR 34000: portal \"\" does not exist
        < ReadyForQuery I
        ",
    );
}

#[test]
fn closing_or_replacing_a_suspended_portal_closes_its_cursor() {
    let open = |name| {
        [
            parse("", "SELECT rows 5", &[]),
            bind(name, "", &[]),
            execute(name, 1),
            sync(),
        ]
        .concat()
    };
    check(
        &[
            query("BEGIN"),
            open("p"),
            [close_portal("p"), close_portal("p"), sync()].concat(),
            open(""),
            query("ROLLBACK"),
        ],
        "
          Begin explicitly
        < CommandComplete BEGIN
        < ReadyForQuery T
        < ParseComplete
        < BindComplete
          Run Transaction SELECT: SELECT rows 5, at most 1, keep the rest
        < DataRow 1 | row 1
        < PortalSuspended
        < ReadyForQuery T
        < CloseComplete
          CloseCursor
        < CloseComplete
        < ReadyForQuery T
        < ParseComplete
        < BindComplete
          Run Transaction SELECT: SELECT rows 5, at most 1, keep the rest
        < DataRow 1 | row 1
        < PortalSuspended
        < ReadyForQuery T
          CloseCursor
          Rollback
        < CommandComplete ROLLBACK
        < ReadyForQuery I
        ",
    );
}

#[test]
fn several_portals_are_described_and_run_in_the_order_asked() {
    check(
        &[[
            parse("s", "SELECT rows 1", &[]),
            bind("a", "s", &[]),
            bind("b", "s", &[]),
            describe_portal("a"),
            execute("b", 0),
            execute("a", 0),
            sync(),
        ]
        .concat()],
        "
        < ParseComplete
        < BindComplete
        < BindComplete
          Describe SELECT rows 1
        < RowDescription n:20 t:25
          Begin implicitly
          Run Transaction SELECT: SELECT rows 1
        < DataRow 1 | row 1
        < CommandComplete SELECT 1
          Run Transaction SELECT: SELECT rows 1
        < DataRow 1 | row 1
        < CommandComplete SELECT 1
          Commit
        < ReadyForQuery I
        ",
    );
}

#[test]
fn binary_parameters_are_read_and_binary_results_are_sent() {
    check(
        &[[
            parse("", "SELECT rows 1 WHERE $1", &[INT8]),
            bind_as("", "", &[Some(&7i64.to_be_bytes())], [1, 1]),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]
        .concat()],
        "
        < ParseComplete
        < BindComplete
          Run Single SELECT: SELECT rows 1 WHERE $1 (7)
        < RowDescription n:20b t:25b
        < DataRow [0, 0, 0, 0, 0, 0, 0, 1] | row 1
        < CommandComplete SELECT 1
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_null_parameter_is_null_in_any_format() {
    check(
        &[[
            parse("", "INSERT $1", &[INT8]),
            bind_as("", "", &[None], [1, 0]),
            execute("", 0),
            sync(),
        ]
        .concat()],
        "
        < ParseComplete
        < BindComplete
          Run Single INSERT: INSERT $1 (NULL)
        < CommandComplete INSERT 0 1
        < token 1@1.1
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_parameter_that_is_not_of_its_type_is_refused_by_number() {
    check(
        &[[
            parse("", "INSERT $1", &[INT8]),
            bind("", "", &["five"]),
            execute("", 0),
            sync(),
        ]
        .concat()],
        "
        < ParseComplete
        < ErrorResponse ERROR 22P02: parameter $1: invalid input syntax for type int8: \"five\"
        < ReadyForQuery I
        ",
    );
}

#[test]
fn statements_and_portals_that_are_not_there_are_named() {
    check(
        &[
            [bind("", "gone", &[]), sync()].concat(),
            [describe_statement(""), sync()].concat(),
            [execute("gone", 0), sync()].concat(),
            [close_statement("gone"), sync()].concat(),
        ],
        "
        < ErrorResponse ERROR 26000: prepared statement \"gone\" does not exist
        < ReadyForQuery I
        < ErrorResponse ERROR 26000: unnamed prepared statement does not exist
        < ReadyForQuery I
        < ErrorResponse ERROR 34000: portal \"gone\" does not exist
        < ReadyForQuery I
        < CloseComplete
        < ReadyForQuery I
        ",
    );
}

#[test]
fn names_are_taken_once_and_the_unnamed_statement_any_time() {
    check(
        &[
            [parse("s", "INSERT a", &[]), parse("s", "INSERT b", &[]), sync()].concat(),
            [parse("", "INSERT a", &[]), parse("", "INSERT b", &[]), sync()].concat(),
            [close_statement("s"), parse("s", "INSERT c", &[]), sync()].concat(),
        ],
        "
          Describe INSERT a
        < ParseComplete
        < ErrorResponse ERROR 42P05: prepared statement \"s\" already exists
        < ReadyForQuery I
          Describe INSERT a
        < ParseComplete
          Describe INSERT b
        < ParseComplete
        < ReadyForQuery I
        < CloseComplete
          Describe INSERT c
        < ParseComplete
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_prepared_statement_is_one_statement() {
    check(
        &[[parse("", "INSERT a; INSERT b", &[]), sync()].concat()],
        "
        < ErrorResponse ERROR 42601: cannot insert multiple commands into a prepared statement
        < ReadyForQuery I
        ",
    );
}

#[test]
fn an_empty_statement_has_no_data_and_is_answered_as_empty() {
    check(
        &[[
            parse("", "", &[]),
            bind("", "", &[]),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]
        .concat()],
        "
        < ParseComplete
        < BindComplete
        < NoData
        < EmptyQueryResponse
        < ReadyForQuery I
        ",
    );
}

#[test]
fn columns_that_changed_since_they_were_described_are_an_error() {
    check(
        &[
            [parse("s", "SELECT rows 1 changed", &[]), describe_statement("s"), sync()].concat(),
            [bind("", "s", &[]), execute("", 0), sync()].concat(),
        ],
        "
          Describe SELECT rows 1 changed
        < ParseComplete
        < ParameterDescription 
        < RowDescription n:20 t:25
        < ReadyForQuery I
        < BindComplete
          Run Single SELECT: SELECT rows 1 changed
        < ErrorResponse ERROR 0A000: cached plan must not change result type [H The schema has changed since the statement was prepared: prepare it again.]
        < ReadyForQuery I
        ",
    );
}

#[test]
fn transactions_work_in_the_extended_protocol_too() {
    let run = |sql| {
        [
            parse("", sql, &[]),
            bind("", "", &[]),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]
        .concat()
    };
    check(
        &[run("BEGIN"), run("INSERT a"), run("COMMIT")],
        "
        < ParseComplete
        < BindComplete
        < NoData
          Begin explicitly
        < CommandComplete BEGIN
        < ReadyForQuery T
        < ParseComplete
        < BindComplete
          Run Transaction INSERT: INSERT a
        < NoData
        < CommandComplete INSERT 0 1
        < ReadyForQuery T
        < ParseComplete
        < BindComplete
        < NoData
          Commit
        < CommandComplete COMMIT
        < token 1@1.1
        < ReadyForQuery I
        ",
    );
}

#[test]
fn flush_sends_what_is_ready_without_ending_the_pipeline() {
    let mut server = super::session(&[parse("", "INSERT a", &[])]);
    server.connection.receive(&flush());
    assert!(!server.connection.must_flush());
    server.connection.receive(&describe_statement(""));
    assert_eq!(server.connection.next_request(), None);
    assert!(server.connection.must_flush());
}
