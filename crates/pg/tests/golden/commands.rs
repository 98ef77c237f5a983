//! SET, SHOW, RESET and the commands of pools.

use super::check;
use super::client::*;

#[test]
fn a_setting_is_set_shown_and_reset() {
    check(
        &[query(
            "SET statement_timeout = '90s'; SHOW statement_timeout; RESET statement_timeout; SHOW Statement_Timeout",
        )],
        "
        < CommandComplete SET
        < RowDescription statement_timeout:25
        < DataRow 90s
        < CommandComplete SHOW
        < CommandComplete RESET
        < RowDescription statement_timeout:25
        < DataRow 0
        < CommandComplete SHOW
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_reported_setting_is_reported_when_it_changes() {
    check(
        &[
            query("SET application_name = 'x'"),
            query("SET application_name = 'x'"),
            query("SET lock_timeout = 1"),
        ],
        "
        < CommandComplete SET
        < ParameterStatus application_name = x
        < ReadyForQuery I
        < CommandComplete SET
        < ReadyForQuery I
        < CommandComplete SET
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_set_in_a_transaction_that_is_rolled_back_never_was() {
    check(
        &[
            query("BEGIN; SET application_name = 'x'"),
            query("ROLLBACK"),
            query("SHOW application_name"),
        ],
        "
          Begin explicitly
        < CommandComplete BEGIN
        < CommandComplete SET
        < ParameterStatus application_name = x
        < ReadyForQuery T
          Rollback
        < CommandComplete ROLLBACK
        < ParameterStatus application_name = 
        < ReadyForQuery I
        < RowDescription application_name:25
        < DataRow 
        < CommandComplete SHOW
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_set_in_a_query_that_fails_never_was() {
    check(
        &[
            query("SET lock_timeout = 5; SELECT fail"),
            query("SHOW lock_timeout"),
        ],
        "
        < CommandComplete SET
          Run Single SELECT: SELECT fail
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [P 25] [s public] [t t]
        < ReadyForQuery I
        < RowDescription lock_timeout:25
        < DataRow 0
        < CommandComplete SHOW
        < ReadyForQuery I
        ",
    );
}

#[test]
fn set_local_lasts_as_long_as_the_transaction() {
    check(
        &[
            query("SET LOCAL lock_timeout = 5"),
            query("BEGIN; SET LOCAL lock_timeout = 5; SHOW lock_timeout; COMMIT; SHOW lock_timeout"),
        ],
        "
        < NoticeResponse WARNING 25P01: SET LOCAL can only be used in transaction blocks
        < CommandComplete SET
        < ReadyForQuery I
          Begin explicitly
        < CommandComplete BEGIN
        < CommandComplete SET
        < RowDescription lock_timeout:25
        < DataRow 5ms
        < CommandComplete SHOW
          Commit
        < CommandComplete COMMIT
        < RowDescription lock_timeout:25
        < DataRow 0
        < CommandComplete SHOW
        < ReadyForQuery I
        ",
    );
}

#[test]
fn show_is_described_before_it_is_run() {
    check(
        &[[
            parse("", "SHOW TimeZone", &[]),
            bind("", "", &[]),
            describe_portal(""),
            execute("", 0),
            sync(),
        ]
        .concat()],
        "
        < ParseComplete
        < BindComplete
        < RowDescription timezone:25
        < DataRow UTC
        < CommandComplete SHOW
        < ReadyForQuery I
        ",
    );
}

#[test]
fn unknown_settings_and_commands_are_errors() {
    check(
        &[
            query("SET nonsense = 1"),
            query("SHOW nonsense"),
            query("BEGIN NOW"),
        ],
        "
        < ErrorResponse ERROR 42704: unrecognized configuration parameter \"nonsense\"
        < ReadyForQuery I
        < ErrorResponse ERROR 42704: unrecognized configuration parameter \"nonsense\"
        < ReadyForQuery I
        < ErrorResponse ERROR 42601: syntax error at or near \"NOW\" [P 7]
        < ReadyForQuery I
        ",
    );
}

#[test]
fn what_sql_prepares_it_executes_with_arguments_in_their_places() {
    check(
        &[
            query("EXECUTE x"),
            query("PREPARE x (int) AS SELECT $1 + 1; EXECUTE x(41)"),
            query("EXECUTE x(1, 2)"),
            query("PREPARE x AS SELECT 1"),
            [parse("", "EXECUTE x('7')", &[]), bind("", "", &[]), execute("", 0), sync()].concat(),
            query("DEALLOCATE x"),
            query("EXECUTE x(1)"),
        ],
        "
        < ErrorResponse ERROR 26000: prepared statement \"x\" does not exist
        < ReadyForQuery I
          Describe SELECT $1 + 1
        < CommandComplete PREPARE
          Run Single SELECT: SELECT (41)::int + 1
        < CommandComplete SELECT 1
        < ReadyForQuery I
        < ErrorResponse ERROR 08P01: wrong number of parameters for prepared statement \"x\" [D Expected 1 parameters but got 2.]
        < ReadyForQuery I
        < ErrorResponse ERROR 42P05: prepared statement \"x\" already exists
        < ReadyForQuery I
        < ParseComplete
        < BindComplete
          Run Single SELECT: SELECT ('7')::int + 1
        < CommandComplete SELECT 1
        < ReadyForQuery I
        < CommandComplete DEALLOCATE
        < ReadyForQuery I
        < ErrorResponse ERROR 26000: prepared statement \"x\" does not exist
        < ReadyForQuery I
        ",
    );
}

#[test]
fn discard_all_forgets_statements_and_settings_outside_transactions_only() {
    check(
        &[
            [parse("s", "INSERT a", &[]), sync()].concat(),
            query("SET application_name = 'x'"),
            query("DISCARD ALL"),
            [bind("", "s", &[]), sync()].concat(),
            query("BEGIN; DISCARD ALL"),
        ],
        "
          Describe INSERT a
        < ParseComplete
        < ReadyForQuery I
        < CommandComplete SET
        < ParameterStatus application_name = x
        < ReadyForQuery I
        < CommandComplete DISCARD ALL
        < ParameterStatus application_name = 
        < ReadyForQuery I
        < ErrorResponse ERROR 26000: prepared statement \"s\" does not exist
        < ReadyForQuery I
          Begin explicitly
        < CommandComplete BEGIN
        < ErrorResponse ERROR 25P01: DISCARD ALL cannot run inside a transaction block
        < ReadyForQuery E
        ",
    );
}

#[test]
fn deallocate_forgets_one_statement_or_all() {
    check(
        &[
            [parse("s", "INSERT a", &[]), parse("t", "INSERT a", &[]), sync()].concat(),
            query("DEALLOCATE s"),
            query("DEALLOCATE s"),
            query("DEALLOCATE ALL"),
        ],
        "
          Describe INSERT a
        < ParseComplete
          Describe INSERT a
        < ParseComplete
        < ReadyForQuery I
        < CommandComplete DEALLOCATE
        < ReadyForQuery I
        < ErrorResponse ERROR 26000: prepared statement \"s\" does not exist
        < ReadyForQuery I
        < CommandComplete DEALLOCATE ALL
        < ReadyForQuery I
        ",
    );
}

#[test]
fn the_replicas_role_is_reported_when_it_changes() {
    let mut server = super::session(&[]);
    server.connection.settings_mut().set_in_hot_standby(true);
    server.receive(&query(""));
    assert_eq!(
        server.trace,
        "< EmptyQueryResponse\n< ParameterStatus in_hot_standby = on\n< ReadyForQuery I\n"
    );
}
