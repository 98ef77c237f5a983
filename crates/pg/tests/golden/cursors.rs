//! SQL's cursors, and COPY.

use super::check;
use super::client::*;

fn copy_data(text: &str) -> Vec<u8> {
    raw(b'd', text.as_bytes())
}

#[test]
fn a_cursor_gives_its_rows_in_pieces() {
    check(
        &[
            query("BEGIN; DECLARE c CURSOR FOR SELECT rows 5"),
            query("FETCH 2 FROM c"),
            query("MOVE FORWARD 1 IN c; FETCH ALL c"),
            query("FETCH c"),
            query("CLOSE c"),
            query("FETCH c"),
        ],
        r#"
          Begin explicitly
        < CommandComplete BEGIN
        < CommandComplete DECLARE CURSOR
        < ReadyForQuery T
          Run Transaction SELECT: SELECT rows 5, at most 2, keep the rest
        < RowDescription n:20 t:25
        < DataRow 1 | row 1
        < DataRow 2 | NULL
        < CommandComplete FETCH 2
        < ReadyForQuery T
          Fetch at most 1
        < CommandComplete MOVE 1
        < RowDescription n:20 t:25
          Fetch the rest
        < DataRow 4 | row 4
        < DataRow 5 | row 5
        < CommandComplete FETCH 2
        < ReadyForQuery T
        < RowDescription n:20 t:25
        < CommandComplete FETCH 0
        < ReadyForQuery T
        < CommandComplete CLOSE CURSOR
        < ReadyForQuery T
        < ErrorResponse ERROR 34000: cursor "c" does not exist
        < ReadyForQuery E
        "#,
    );
}

#[test]
fn a_cursor_needs_a_transaction() {
    check(
        &[query("DECLARE c CURSOR FOR SELECT rows 5")],
        r#"
        < ErrorResponse ERROR 25P01: DECLARE CURSOR can only be used in transaction blocks
        < ReadyForQuery I
        "#,
    );
}

#[test]
fn a_driver_reads_a_cursor_by_the_extended_protocol() {
    check(
        &[
            query("BEGIN"),
            [
                parse("", "DECLARE \"C 1\" CURSOR FOR SELECT rows 3 WHERE $1", &[20]),
                bind("", "", &["5"]),
                execute("", 0),
                sync(),
            ]
            .concat(),
            [
                parse("", "FETCH FORWARD 2 FROM \"C 1\"", &[]),
                bind("", "", &[]),
                describe_portal(""),
                execute("", 0),
                sync(),
            ]
            .concat(),
            [
                parse("f", "FETCH ALL FROM \"C 1\"", &[]),
                describe_statement("f"),
                bind("", "f", &[]),
                execute("", 0),
                sync(),
            ]
            .concat(),
        ],
        r#"
          Begin explicitly
        < CommandComplete BEGIN
        < ReadyForQuery T
        < ParseComplete
        < BindComplete
        < CommandComplete DECLARE CURSOR
        < ReadyForQuery T
        < ParseComplete
        < BindComplete
          Run Transaction SELECT: SELECT rows 3 WHERE $1 (5), at most 2, keep the rest
        < RowDescription n:20 t:25
        < DataRow 1 | row 1
        < DataRow 2 | NULL
        < CommandComplete FETCH 2
        < ReadyForQuery T
        < ParseComplete
          Describe SELECT rows 3 WHERE $1
        < ParameterDescription 
        < RowDescription n:20 t:25
        < BindComplete
          Fetch the rest
        < DataRow 3 | row 3
        < CommandComplete FETCH 1
        < ReadyForQuery T
        "#,
    );
}

#[test]
fn a_portal_of_a_command_is_no_cursor() {
    for fetch in ["FETCH 1 FROM p", "MOVE ALL IN p"] {
        check(
            &[
                query("BEGIN"),
                [parse("s", "SHOW timezone", &[]), bind("p", "s", &[]), sync()].concat(),
                query(fetch),
            ],
            r#"
          Begin explicitly
        < CommandComplete BEGIN
        < ReadyForQuery T
        < ParseComplete
        < BindComplete
        < ReadyForQuery T
        < ErrorResponse ERROR 34000: cursor "p" does not exist
        < ReadyForQuery E
            "#,
        );
    }
}

#[test]
fn a_portal_of_a_fetch_fetches_not_from_itself() {
    check(
        &[
            query("BEGIN"),
            [
                parse("", "FETCH 1 FROM p", &[]),
                bind("p", "", &[]),
                describe_portal("p"),
                sync(),
            ]
            .concat(),
            query("ROLLBACK; BEGIN"),
            [
                parse("", "FETCH 1 FROM p", &[]),
                bind("p", "", &[]),
                execute("p", 0),
                sync(),
            ]
            .concat(),
        ],
        r#"
          Begin explicitly
        < CommandComplete BEGIN
        < ReadyForQuery T
        < ParseComplete
        < BindComplete
        < ErrorResponse ERROR 34000: cursor "p" does not exist
        < ReadyForQuery E
          Rollback
        < CommandComplete ROLLBACK
          Begin explicitly
        < CommandComplete BEGIN
        < ReadyForQuery T
        < ParseComplete
        < BindComplete
        < ErrorResponse ERROR 34000: cursor "p" does not exist
        < ReadyForQuery E
        "#,
    );
}

#[test]
fn a_portal_of_a_command_is_closed_as_a_cursor_is() {
    check(
        &[
            query("BEGIN"),
            [parse("", "SHOW timezone", &[]), bind("p", "", &[]), sync()].concat(),
            query("CLOSE p"),
        ],
        r#"
          Begin explicitly
        < CommandComplete BEGIN
        < ReadyForQuery T
        < ParseComplete
        < BindComplete
        < ReadyForQuery T
        < CommandComplete CLOSE CURSOR
        < ReadyForQuery T
        "#,
    );
}

#[test]
fn rows_copied_in_are_inserted_many_at_a_time() {
    check(
        &[
            query("COPY \"rows 2\" FROM STDIN"),
            copy_data("1\ta\n2"),
            copy_data("\tb\n"),
            raw(b'c', b""),
            query("SELECT rows 1"),
        ],
        r#"
          Describe SELECT * FROM "rows 2"
        < CopyInResponse 0: 0 0
          Begin implicitly
          Run Transaction INSERT: INSERT INTO "rows 2" ("n", "t") VALUES ($1, $2), ($3, $4) (1, 'a', 2, 'b')
          Commit
        < CommandComplete COPY 2
        < token 1@1.1
        < ReadyForQuery I
          Run Single SELECT: SELECT rows 1
        < RowDescription n:20 t:25
        < DataRow 1 | row 1
        < CommandComplete SELECT 1
        < ReadyForQuery I
        "#,
    );
}

#[test]
fn a_copy_that_fails_takes_no_more_data_and_is_rolled_back() {
    check(
        &[
            query("COPY \"rows 2\" FROM STDIN"),
            copy_data("1\ta\nx\tb\n"),
            copy_data("3\tc\n"),
            raw(b'c', b""),
            query("COPY \"rows 2\" FROM STDIN"),
            raw(b'f', b"no more\0"),
            query("SELECT rows 1"),
        ],
        r#"
          Describe SELECT * FROM "rows 2"
        < CopyInResponse 0: 0 0
        < ErrorResponse ERROR 22P02: invalid input syntax for type int8: "x" [D COPY "rows 2", line 2, column n] [c n]
        < ReadyForQuery I
          Describe SELECT * FROM "rows 2"
        < CopyInResponse 0: 0 0
        < ErrorResponse ERROR 57014: COPY from stdin failed: no more
        < ReadyForQuery I
          Run Single SELECT: SELECT rows 1
        < RowDescription n:20 t:25
        < DataRow 1 | row 1
        < CommandComplete SELECT 1
        < ReadyForQuery I
        "#,
    );
}

#[test]
fn a_driver_copies_by_the_extended_protocol() {
    check(
        &[
            [
                parse("", "COPY \"rows 2\" (n, t) FROM STDIN", &[]),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ]
            .concat(),
            copy_data("1\ta\n"),
            raw(b'c', b""),
            sync(),
        ],
        r#"
        < ParseComplete
        < BindComplete
          Describe SELECT n, t FROM "rows 2"
        < CopyInResponse 0: 0 0
          Begin implicitly
          Run Transaction INSERT: INSERT INTO "rows 2" ("n", "t") VALUES ($1, $2) (1, 'a')
        < CommandComplete COPY 1
          Commit
        < token 1@1.1
        < ReadyForQuery I
        "#,
    );
}

#[test]
fn rows_are_copied_out_by_a_query_or_of_a_table() {
    check(
        &[
            query("COPY (SELECT rows 2) TO STDOUT (FORMAT csv, HEADER)"),
            query("COPY \"rows 2\" (n, t) TO STDOUT"),
        ],
        r#"
          Run Single SELECT: SELECT rows 2
        < CopyOutResponse 0: 0 0
        < CopyData "n,t\n"
        < CopyData "1,row 1\n"
        < CopyData "2,\n"
        < CopyDone
        < CommandComplete COPY 2
        < ReadyForQuery I
          Run Single SELECT: SELECT n, t FROM "rows 2"
        < CopyOutResponse 0: 0 0
        < CopyData "1\trow 1\n"
        < CopyData "2\t\\N\n"
        < CopyDone
        < CommandComplete COPY 2
        < ReadyForQuery I
        "#,
    );
}
