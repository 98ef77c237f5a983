//! What no client should send.

use bellwether_pg::Connection;
use bellwether_types::{CommandTag, ErrorKind, SqlError};
use proptest::prelude::*;

use super::check;
use super::client::*;
use super::server::Server;

#[test]
fn an_unknown_message_ends_the_connection() {
    check(
        &[raw(b'?', b""), query("SELECT 1")],
        "< ErrorResponse FATAL 08P01: invalid frontend message type 63",
    );
}

#[test]
fn a_message_above_the_limit_ends_the_connection_before_it_is_received() {
    let header = |tag: u8, length: i32| [vec![tag], length.to_be_bytes().to_vec()].concat();
    check(
        &[header(b'Q', 20_001)],
        "< ErrorResponse FATAL 08P01: invalid message length 20001: the limit is 20000 bytes",
    );
    check(
        &[header(b'S', 10_001)],
        "< ErrorResponse FATAL 08P01: invalid message length 10001: the limit is 10000 bytes",
    );
    check(
        &[header(b'Q', -5)],
        "< ErrorResponse FATAL 08P01: invalid message length -5: the limit is 20000 bytes",
    );
}

#[test]
fn text_that_is_not_utf8_fails_its_message_only() {
    check(
        &[
            raw(b'Q', b"SELECT '\xFF'\0"),
            [raw(b'P', b"\0\xFF\0\0\0"), sync()].concat(),
            query("SELECT rows 0"),
        ],
        "
        < ErrorResponse ERROR 22021: invalid byte sequence for encoding \"UTF8\"
        < ReadyForQuery I
        < ErrorResponse ERROR 22021: invalid byte sequence for encoding \"UTF8\"
        < ReadyForQuery I
          Run Single SELECT: SELECT rows 0
        < RowDescription n:20 t:25
        < CommandComplete SELECT 0
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_message_that_ends_early_or_late_fails_alone() {
    check(
        &[
            raw(b'Q', b"SELECT 1"),
            raw(b'Q', b"SELECT 1\0x"),
            [raw(b'P', b"\0\0\xFF\xFF"), sync()].concat(),
            [raw(b'B', b"\0\0\0\0\0\x01\0\0\0\x09x\0\0"), sync()].concat(),
            [raw(b'D', b"X\0"), sync()].concat(),
        ],
        "
        < ErrorResponse ERROR 08P01: insufficient data left in message
        < ReadyForQuery I
        < ErrorResponse ERROR 08P01: invalid message format: bytes are left after its content
        < ReadyForQuery I
        < ErrorResponse ERROR 08P01: insufficient data left in message
        < ReadyForQuery I
        < ErrorResponse ERROR 08P01: insufficient data left in message
        < ReadyForQuery I
        < ErrorResponse ERROR 08P01: invalid message subtype 88
        < ReadyForQuery I
        ",
    );
}

#[test]
fn function_calls_are_refused_and_copy_data_out_of_place_is_dropped() {
    check(
        &[
            raw(b'F', b"\0\0\0\0"),
            raw(b'd', b"data"),
            raw(b'c', b""),
            raw(b'f', b"why\0"),
            query(""),
        ],
        "
        < ErrorResponse ERROR 0A000: function calls by oid are not supported
        < ReadyForQuery I
        < EmptyQueryResponse
        < ReadyForQuery I
        ",
    );
}

#[test]
fn a_password_that_nobody_asked_for_ends_the_connection() {
    check(
        &[password("x")],
        "< ErrorResponse FATAL 08P01: a password was sent that nobody asked for",
    );
}

#[test]
fn a_client_that_leaves_is_not_answered() {
    check(&[terminate(), query("SELECT 1")], "  Terminate");
}

#[test]
fn statements_and_parameters_have_limits() {
    check(
        &[
            [parse("", "INSERT $40000", &[]), sync()].concat(),
            [parse("", "INSERT $99999999999", &[]), sync()].concat(),
        ],
        "
        < ErrorResponse ERROR 54000: $40000 is too high: the limit is 32766 parameters
        < ReadyForQuery I
          Describe INSERT $99999999999
        < ParseComplete
        < ReadyForQuery I
        ",
    );
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec!["", "a", "b"]);
    let sql = prop::sample::select(vec![
        "SELECT rows 3",
        "INSERT a",
        "SELECT fail",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT s",
        "ROLLBACK TO s",
        "RELEASE s",
        "SET application_name = 'x'",
        "SHOW application_name",
        "",
        "INSERT $1",
        "SELECT rows 1 unfit",
        "DISCARD ALL",
        "INSERT a; SELECT rows 2; COMMIT; INSERT b",
        "BEGIN; INSERT a; SELECT fail; COMMIT",
    ]);
    prop_oneof![
        sql.clone().prop_map(query),
        (name.clone(), sql).prop_map(|(name, sql)| parse(name, sql, &[])),
        (name.clone(), name.clone(), prop::bool::ANY).prop_map(|(portal, name, given)| bind(
            portal,
            name,
            if given { &["1"] } else { &[] }
        )),
        name.clone().prop_map(describe_portal),
        name.clone().prop_map(describe_statement),
        (name.clone(), 0i32..3).prop_map(|(name, max_rows)| execute(name, max_rows)),
        name.clone().prop_map(close_portal),
        name.prop_map(close_statement),
        Just(sync()),
        Just(flush()),
        (
            prop::sample::select(b"PBDECQHdcfF".as_slice()),
            prop::collection::vec(any::<u8>(), 0..12)
        )
            .prop_map(|(tag, body)| raw(tag, &body)),
    ]
}

/// Each `Begin` is ended once before the next, and nothing runs in a transaction that is not open.
fn check_transactions(trace: &str) -> Result<(), TestCaseError> {
    let mut open = false;
    for line in trace.lines().filter_map(|line| line.strip_prefix("  ")) {
        let verb = line.split(' ').take(2).collect::<Vec<_>>();
        match verb.as_slice() {
            ["Begin", _] => {
                prop_assert!(!open, "begun twice:\n{}", trace);
                open = true;
            }
            ["Commit" | "Rollback"] => {
                prop_assert!(open, "ended twice:\n{}", trace);
                open = false;
            }
            ["Run", scope] => prop_assert_eq!(open, *scope == "Transaction", "{}", trace),
            _ => {}
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_answered_before_and_after_login(bytes in prop::collection::vec(any::<u8>(), 0..200), logged_in in any::<bool>()) {
        let mut server = Server::new();
        if logged_in {
            server.receive(&login());
        }
        server.receive(&bytes);
    }

    #[test]
    fn any_messages_in_any_order_keep_transactions_paired(messages in prop::collection::vec(any_message(), 0..30)) {
        let mut server = Server::new();
        server.receive(&login());
        server.receive(&messages.concat());
        check_transactions(&server.trace)?;
    }

    #[test]
    fn any_messages_end_in_a_status_that_tells_the_truth(messages in prop::collection::vec(any_message(), 0..20), cut in 1usize..9) {
        let mut server = Server::new();
        server.receive(&login());
        for packet in messages.concat().chunks(cut) {
            server.receive(packet);
        }
        server.receive(&sync());
        prop_assert!(!server.connection.is_closed());
        check_transactions(&server.trace)?;
        let begun = server.trace.matches("  Begin ").count();
        let ended = server.trace.matches("  Commit\n").count() + server.trace.matches("  Rollback\n").count();
        let status = server.trace.trim_end().chars().last();
        prop_assert_eq!(begun > ended, status != Some('I'), "{}", server.trace);
    }
}

proptest! {
    #[test]
    fn whatever_fails_the_connection_goes_on(
        messages in prop::collection::vec(any_message(), 0..20),
        failures in prop::collection::vec(any::<bool>(), 0..20),
    ) {
        let mut server = Server::new();
        server.receive(&login());
        server.failures = failures;
        server.receive(&messages.concat());
        prop_assert!(!server.connection.is_closed());
        server.failures.clear();
        server.receive(&sync());
        server.trace.clear();
        server.receive(&query(""));
        prop_assert!(server.trace.starts_with("< EmptyQueryResponse\n"), "{}", server.trace);
        prop_assert!(server.trace.contains("< ReadyForQuery "), "{}", server.trace);
    }
}

#[test]
fn a_closed_connection_takes_and_gives_nothing() {
    let mut connection = Connection::new(super::server::config());
    connection.receive(&(-1i32).to_be_bytes());
    assert_eq!(connection.next_request(), None);
    connection.receive(&login());
    assert_eq!(connection.next_request(), None);
    assert!(connection.is_closed() && connection.must_flush());
}

#[test]
fn an_answer_that_comes_after_the_end_is_ignored() {
    let mut server = super::session(&[]);
    server.connection.receive(&query("INSERT a"));
    assert!(server.connection.next_request().is_some());
    let error = SqlError::new(
        ErrorKind::ShuttingDown,
        "terminating connection due to administrator command",
    );
    server.connection.abort(&error);
    server.connection.complete(CommandTag::counted("INSERT", 1));
    server.connection.done();
    server
        .connection
        .fail(SqlError::new(ErrorKind::Internal, "too late"));
    assert_eq!(
        super::decode::print(server.connection.output()),
        "< ErrorResponse FATAL 57P01: terminating connection due to administrator command\n"
    );
}
