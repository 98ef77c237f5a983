//! Simple queries.

use super::check;
use super::client::*;

#[test]
fn one_statement_is_a_transaction_of_its_own() {
    check(
        &[query("SELECT rows 2;")],
        "
          Run Single SELECT: SELECT rows 2
        < RowDescription n:20 t:25
        < DataRow 1 | row 1
        < DataRow 2 | NULL
        < CommandComplete SELECT 2
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_statement_without_rows_is_told_by_its_verb() {
    check(
        &[query("insert into t values (1)"), query("CREATE TABLE t (a)")],
        "
          Run Single INSERT: insert into t values (1)
        < CommandComplete INSERT 0 1
        < token 1@1.1
        < ReadyForQuery I
          Run Single CREATE TABLE: CREATE TABLE t (a)
        < CommandComplete CREATE TABLE
        < token 1@1.2
        < ReadyForQuery I
        ",
    );
}

#[test]
fn an_empty_result_still_has_columns() {
    check(
        &[query("SELECT rows 0")],
        "
          Run Single SELECT: SELECT rows 0
        < RowDescription n:20 t:25
        < CommandComplete SELECT 0
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_query_of_nothing_is_answered_as_empty() {
    for sql in ["", " ; -- a comment\n;"] {
        check(&[query(sql)], "< EmptyQueryResponse\n< ReadyForQuery I");
    }
}

#[test]
fn several_statements_are_one_transaction_whose_last_is_told_after_the_commit() {
    check(
        &[query("INSERT a; UPDATE b; SELECT rows 1")],
        "
          Begin implicitly
          Run Transaction INSERT: INSERT a
        < CommandComplete INSERT 0 1
          Run Transaction UPDATE: UPDATE b
        < CommandComplete UPDATE 1
          Run Transaction SELECT: SELECT rows 1
        < RowDescription n:20 t:25
        < DataRow 1 | row 1
          Commit
        < CommandComplete SELECT 1
        < token 1@1.1
        < ReadyForQuery I
        ",
    );
}

#[test]
fn an_error_in_the_middle_takes_back_what_ran_before_and_skips_the_rest() {
    check(
        &[query("INSERT a; SELECT fail; INSERT c"), query("SELECT rows 0")],
        "
          Begin implicitly
          Run Transaction INSERT: INSERT a
        < CommandComplete INSERT 0 1
          Run Transaction SELECT: SELECT fail
        < ErrorResponse ERROR 23505: made to fail [D Why.] [H What.] [P 13] [s public] [t t]
          Rollback
        < ReadyForQuery I
          Run Single SELECT: SELECT rows 0
        < RowDescription n:20 t:25
        < CommandComplete SELECT 0
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_commit_that_fails_is_told_instead_of_the_last_statements_completion() {
    check(
        &[query("INSERT uncommittable; INSERT b")],
        "
          Begin implicitly
          Run Transaction INSERT: INSERT uncommittable
        < CommandComplete INSERT 0 1
          Run Transaction INSERT: INSERT b
          Commit
        < ErrorResponse ERROR 40003: it may have been committed
        < ReadyForQuery I
        ",
    );
}

#[test]
fn begin_and_commit_inside_a_query_divide_it() {
    check(
        &[query("INSERT a; BEGIN; INSERT b; COMMIT; INSERT c; INSERT d")],
        "
          Begin implicitly
          Run Transaction INSERT: INSERT a
        < CommandComplete INSERT 0 1
        < CommandComplete BEGIN
          Run Transaction INSERT: INSERT b
        < CommandComplete INSERT 0 1
          Commit
        < CommandComplete COMMIT
          Begin implicitly
          Run Transaction INSERT: INSERT c
        < CommandComplete INSERT 0 1
          Run Transaction INSERT: INSERT d
          Commit
        < CommandComplete INSERT 0 1
        < token 1@1.2
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_value_that_does_not_fit_its_column_is_an_error_that_names_it() {
    check(
        &[query("SELECT rows 1 unfit")],
        "
          Run Single SELECT: SELECT rows 1 unfit
        < RowDescription n:20 t:25
        < ErrorResponse ERROR 42804: column \"n\": text does not fit type int8 [H CAST the expression to the type that its values have.] [c n]
        < ReadyForQuery I
        ",
    );
}

#[test]
fn parameters_have_no_place_in_a_simple_query() {
    check(
        &[query("SELECT $1")],
        "
        < ErrorResponse ERROR 08P01: there are no parameters in a simple query [H Use the extended protocol, or write the values into the text.]
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_trigger_that_psql_has_cut_is_refused_with_a_hint() {
    check(
        &[query("CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b;")],
        "
        < ErrorResponse ERROR 42601: CREATE TRIGGER is cut off inside its body [D The client has split it at a semicolon between BEGIN and END, as psql does.] [H Send it with psql -c, or with a driver.]
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_whole_trigger_is_one_statement() {
    check(
        &[query(
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; END;",
        )],
        "
          Run Single CREATE TRIGGER: CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; END
        < CommandComplete CREATE TRIGGER
        < token 1@1.1
        < ReadyForQuery I
        ",
    );
}
