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
fn what_sql_prepares_it_executes_with_values_bound() {
    check(
        &[
            query("EXECUTE x"),
            query("PREPARE x (int) AS SELECT $1 + $1; EXECUTE x(41)"),
            query("EXECUTE x(1, 2)"),
            query("PREPARE x AS SELECT 1"),
            [parse("", "EXECUTE x('7')", &[]), bind("", "", &[]), execute("", 0), sync()].concat(),
            [bind("", "x", &["8"]), execute("", 0), sync()].concat(),
            query("DEALLOCATE x"),
            query("EXECUTE x(1)"),
        ],
        "
        < ErrorResponse ERROR 26000: prepared statement \"x\" does not exist
        < ReadyForQuery I
          Describe SELECT $1 + $1
        < CommandComplete PREPARE
          Run Single SELECT: SELECT $1 + $1 (41)
        < CommandComplete SELECT 1
        < ReadyForQuery I
        < ErrorResponse ERROR 08P01: wrong number of parameters for prepared statement \"x\" [D Expected 1 parameters but got 2.]
        < ReadyForQuery I
        < ErrorResponse ERROR 42P05: prepared statement \"x\" already exists
        < ReadyForQuery I
        < ParseComplete
        < BindComplete
          Run Single SELECT: SELECT $1 + $1 (7)
        < CommandComplete SELECT 1
        < ReadyForQuery I
        < BindComplete
          Run Single SELECT: SELECT $1 + $1 (8)
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
fn statements_of_both_kinds_share_their_names_and_their_number() {
    let many: Vec<Vec<u8>> = (0..9_999)
        .map(|n| parse(&n.to_string(), "SELECT 1", &[]))
        .collect();
    let trace = super::session(&[
        [many.concat(), sync()].concat(),
        query("PREPARE \"7\" AS SELECT 1"),
        query("PREPARE last AS SELECT 1"),
        query("PREPARE more AS SELECT 1"),
        [parse("last", "SELECT 1", &[]), sync()].concat(),
        [parse("more", "SELECT 1", &[]), sync()].concat(),
    ])
    .trace;
    let full = "54000: too many prepared statements [H DEALLOCATE those that are no longer used.]";
    let errors: Vec<&str> = trace.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(
        errors,
        [
            "< ErrorResponse ERROR 42P05: prepared statement \"7\" already exists",
            &format!("< ErrorResponse ERROR {full}"),
            "< ErrorResponse ERROR 42P05: prepared statement \"last\" already exists",
            &format!("< ErrorResponse ERROR {full}"),
        ]
    );
}

#[test]
fn constants_are_read_as_the_types_that_are_declared_or_inferred() {
    check(
        &[
            query(
                "PREPARE x (text, bool, date, numeric, int[]) AS INSERT $1, $2, $3, $4, $5; \
                 EXECUTE x('it''s', 't', '2024-2-1', -1.50, '{1, 2}'); EXECUTE x(NULL, TRUE, NULL, +3, NULL)",
            ),
            // The driver infers that all are int8.
            query("PREPARE y AS INSERT $1, $2; EXECUTE y('12', 1.5)"),
            query("EXECUTE y('x', 1)"),
        ],
        "
          Describe INSERT $1, $2, $3, $4, $5
        < CommandComplete PREPARE
          Begin implicitly
          Run Transaction INSERT: INSERT $1, $2, $3, $4, $5 ('it's', 1, '2024-02-01', -1.5, '{1,2}')
        < CommandComplete INSERT 0 1
          Run Transaction INSERT: INSERT $1, $2, $3, $4, $5 (NULL, 1, NULL, 3, NULL)
          Commit
        < CommandComplete INSERT 0 1
        < token 1@1.1
        < ReadyForQuery I
          Describe INSERT $1, $2
        < CommandComplete PREPARE
          Run Single INSERT: INSERT $1, $2 (12, 1.5)
        < CommandComplete INSERT 0 1
        < token 1@1.2
        < ReadyForQuery I
        < ErrorResponse ERROR 22P02: parameter $1: invalid input syntax for type int8: \"x\"
        < ReadyForQuery I
        ",
    );
}

#[test]
fn arguments_that_are_no_constants_are_computed_once_and_alone() {
    check(
        &[
            query("PREPARE x (int, unknown) AS DELETE $1, $1::numeric(5,2), $2"),
            query("EXECUTE x(id -- all\n, 1 + 1)"),
            query("SELECT 1; EXECUTE x(now(), 2)"),
            query("EXECUTE x((SELECT a FROM t), 2)"),
            [
                parse("", "EXECUTE x(random(), 2)", &[]),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ]
            .concat(),
            query("EXECUTE x(fail(), 2)"),
            query("EXECUTE x($1, 2)"),
            query("BEGIN; EXECUTE x(1 + 1, 2)"),
        ],
        "
          Describe DELETE $1, $1::numeric(5,2), $2
        < CommandComplete PREPARE
        < ReadyForQuery I
          Run Single SELECT: SELECT (id)::int4, (1 + 1)
          Run Single DELETE: DELETE $1, $1::numeric(5,2), $2 ('7', 7)
        < CommandComplete DELETE 1
        < token 1@1.1
        < ReadyForQuery I
          Begin implicitly
          Run Transaction SELECT: SELECT 1
        < CommandComplete SELECT 1
          Run Transaction SELECT: SELECT (now())::int4, (2)
          Run Transaction DELETE: DELETE $1, $1::numeric(5,2), $2 ('7', 7)
          Commit
        < CommandComplete DELETE 1
        < token 1@1.2
        < ReadyForQuery I
        < ErrorResponse ERROR 0A000: cannot use subquery in EXECUTE parameter [H Write it into the statement that is prepared.]
        < ReadyForQuery I
        < ParseComplete
          Run Single SELECT: SELECT (random())::int4, (2)
        < BindComplete
          Run Single DELETE: DELETE $1, $1::numeric(5,2), $2 ('7', 7)
        < CommandComplete DELETE 1
        < token 1@1.3
        < ReadyForQuery I
          Run Single SELECT: SELECT (fail())::int4, (2)
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [s public] [t t]
        < ReadyForQuery I
        < ErrorResponse ERROR 08P01: there are no parameters in the arguments of EXECUTE [H Bind the values to the prepared statement itself, by its name.]
        < ReadyForQuery I
          Begin explicitly
        < CommandComplete BEGIN
          Run Transaction SELECT: SELECT (1 + 1)::int4, (2)
          Run Transaction DELETE: DELETE $1, $1::numeric(5,2), $2 ('7', 7)
        < CommandComplete DELETE 1
        < ReadyForQuery T
        ",
    );
}

#[test]
fn an_error_has_its_place_in_what_the_client_has_sent_or_none() {
    check(
        &[
            query("SELECT 'é'; PREPARE x AS SELECT fail"),
            [
                parse("", "PREPARE 🐑 AS SELECT fail", &[]),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ]
            .concat(),
            query("PREPARE x AS SELECT rows 1; EXECUTE x; SELECT fail"),
            query("COPY (SELECT fail) TO STDOUT; COPY t FROM STDIN"),
            query("COPY fail FROM STDIN"),
            query("BEGIN; DECLARE c CURSOR FOR SELECT fail; FETCH c"),
        ],
        "
          Begin implicitly
          Run Transaction SELECT: SELECT 'é'
        < CommandComplete SELECT 1
          Describe SELECT fail
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [P 28] [s public] [t t]
          Rollback
        < ReadyForQuery I
        < ParseComplete
        < BindComplete
          Describe SELECT fail
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [P 16] [s public] [t t]
        < ReadyForQuery I
          Describe SELECT rows 1
        < CommandComplete PREPARE
          Begin implicitly
          Run Transaction SELECT: SELECT rows 1
        < RowDescription n:20 t:25
        < DataRow 1 | row 1
        < CommandComplete SELECT 1
          Run Transaction SELECT: SELECT fail
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [P 42] [s public] [t t]
          Rollback
        < ReadyForQuery I
          Begin implicitly
          Run Transaction SELECT: SELECT fail
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [s public] [t t]
          Rollback
        < ReadyForQuery I
          Describe SELECT * FROM fail
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [s public] [t t]
        < ReadyForQuery I
          Begin explicitly
        < CommandComplete BEGIN
        < CommandComplete DECLARE CURSOR
          Run Transaction SELECT: SELECT fail, at most 1, keep the rest
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [s public] [t t]
        < ReadyForQuery E
        ",
    );
}

#[test]
fn an_error_of_a_text_that_execute_runs_has_no_place() {
    // Bound at once, it is not looked at before it is run.
    super::check_once(
        &[
            [parse("y", "SELECT fail", &[]), bind("y", "y", &[]), sync()].concat(),
            query("EXECUTE y"),
            [
                parse("", "EXECUTE y", &[]),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ]
            .concat(),
        ],
        "
        < ParseComplete
        < BindComplete
        < ReadyForQuery I
          Run Single SELECT: SELECT fail
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [s public] [t t]
        < ReadyForQuery I
        < ParseComplete
        < BindComplete
          Run Single SELECT: SELECT fail
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [s public] [t t]
        < ReadyForQuery I
        ",
    );
}

#[test]
fn an_argument_has_one_value() {
    check(
        &[
            query("PREPARE x AS SELECT rows 1 WHERE $1"),
            query("EXECUTE x(rows 2)"),
            query("EXECUTE x(rows 0)"),
        ],
        "
          Describe SELECT rows 1 WHERE $1
        < CommandComplete PREPARE
        < ReadyForQuery I
          Run Single SELECT: SELECT (rows 2)
        < ErrorResponse ERROR 0A000: set-returning functions are not allowed in EXECUTE parameters [H Write them into the statement that is prepared.]
        < ReadyForQuery I
          Run Single SELECT: SELECT (rows 0)
        < ErrorResponse ERROR 0A000: set-returning functions are not allowed in EXECUTE parameters [H Write them into the statement that is prepared.]
        < ReadyForQuery I
        ",
    );
}

#[test]
fn an_execute_is_described_as_its_statement() {
    check(
        &[
            query("PREPARE x (int) AS SELECT rows 3 WHERE $1"),
            [
                parse("e", "EXECUTE x(5)", &[]),
                describe_statement("e"),
                bind_as("p", "e", &[], [0, 1]),
                describe_portal("p"),
                execute("p", 2),
                execute("p", 0),
                sync(),
            ]
            .concat(),
            query("BEGIN"),
            [bind("p", "e", &[]), sync()].concat(),
            query("FETCH 1 FROM p"),
            [parse("", "EXECUTE e", &[]), describe_statement(""), sync()].concat(),
        ],
        "
          Describe SELECT rows 3 WHERE $1
        < CommandComplete PREPARE
        < ReadyForQuery I
        < ParseComplete
          Describe SELECT rows 3 WHERE $1
        < ParameterDescription 
        < RowDescription n:20 t:25
        < BindComplete
        < RowDescription n:20b t:25b
          Begin implicitly
          Run Transaction SELECT: SELECT rows 3 WHERE $1 (5), at most 2, keep the rest
        < DataRow [0, 0, 0, 0, 0, 0, 0, 1] | row 1
        < DataRow [0, 0, 0, 0, 0, 0, 0, 2] | NULL
        < PortalSuspended
          Fetch the rest
        < DataRow [0, 0, 0, 0, 0, 0, 0, 3] | row 3
        < CommandComplete SELECT 1
          Commit
        < ReadyForQuery I
          Begin explicitly
        < CommandComplete BEGIN
        < ReadyForQuery T
        < BindComplete
        < ReadyForQuery T
          Run Transaction SELECT: SELECT rows 3 WHERE $1 (5), at most 1, keep the rest
        < RowDescription n:20 t:25
        < DataRow 1 | row 1
        < CommandComplete FETCH 1
        < ReadyForQuery T
        < ParseComplete
        < ErrorResponse ERROR 0A000: prepared statement \"e\" cannot be run by EXECUTE [H Bind it by the protocol, or send its text.]
        < ReadyForQuery E
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
