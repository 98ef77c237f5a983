//! From the first byte to the first ReadyForQuery.

use super::client::*;
use super::server::Server;

#[track_caller]
fn check(packets: &[Vec<u8>], expected: &str) {
    let mut server = Server::new();
    packets.iter().for_each(|packet| server.receive(packet));
    let mut bytewise = Server::new();
    packets
        .concat()
        .into_iter()
        .for_each(|byte| bytewise.receive(&[byte]));
    assert_eq!(server.trace, bytewise.trace);
    let expected: Vec<_> = expected
        .trim()
        .lines()
        .map(|line| line.strip_prefix("        ").unwrap_or(line))
        .collect();
    assert_eq!(
        server.trace.trim().lines().collect::<Vec<_>>(),
        expected,
        "\n{}",
        server.trace
    );
}

#[test]
fn a_client_is_told_no_encryption_and_then_all_parameters() {
    check(
        &[ssl_request(), login()],
        "
        < no encryption
          Authenticate alice for shop
        < AuthenticationOk
        < ParameterStatus application_name = 
        < ParameterStatus client_encoding = UTF8
        < ParameterStatus DateStyle = ISO, MDY
        < ParameterStatus default_transaction_read_only = off
        < ParameterStatus in_hot_standby = off
        < ParameterStatus integer_datetimes = on
        < ParameterStatus IntervalStyle = postgres
        < ParameterStatus is_superuser = on
        < ParameterStatus server_encoding = UTF8
        < ParameterStatus server_version = 15.0 (Bellwether 0.1.0)
        < ParameterStatus session_authorization = alice
        < ParameterStatus standard_conforming_strings = on
        < ParameterStatus TimeZone = UTC
        < token 
        < BackendKeyData 7/99
        < ReadyForQuery I
        ",
    );
}

/// The lines that differ from a plain login.
fn told(parameters: &[(&str, &str)], minor: u16) -> String {
    let mut server = Server::new();
    server.receive(&startup(minor, parameters));
    server.trace
}

#[test]
fn options_become_settings_that_are_reported() {
    let trace = told(
        &[
            ("user", "a"),
            ("application_name", "app"),
            (
                "options",
                r"-c statement_timeout=5s --default-transaction-read-only=on",
            ),
        ],
        0,
    );
    assert!(
        trace.contains("ParameterStatus application_name = app\n"),
        "{trace}"
    );
    assert!(
        trace.contains("ParameterStatus default_transaction_read_only = on\n"),
        "{trace}"
    );
}

#[test]
fn a_newer_minor_version_and_unknown_options_are_negotiated_down() {
    let trace = told(&[("user", "a"), ("_pq_.wonder", "1")], 2);
    assert!(
        trace.starts_with(
            "< NegotiateProtocolVersion 3.0 _pq_.wonder\n  Authenticate a for a\n< AuthenticationOk\n"
        ),
        "{trace}"
    );
}

#[test]
fn a_wrong_option_is_fatal() {
    check(
        &[startup(0, &[("user", "a"), ("options", "-c nonsense=1")])],
        "
          Authenticate a for a
        < ErrorResponse FATAL 42704: unrecognized configuration parameter \"nonsense\"
        ",
    );
}

#[test]
fn a_client_without_a_name_or_with_another_purpose_is_refused() {
    check(
        &[startup(0, &[("database", "a")])],
        "< ErrorResponse FATAL 28000: no PostgreSQL user name specified in startup packet",
    );
    check(
        &[startup(0, &[("user", "a"), ("replication", "database")])],
        "< ErrorResponse FATAL 0A000: replication connections are not supported",
    );
    check(
        &[opening(2, 0, b"x")],
        "< ErrorResponse FATAL 0A000: unsupported frontend protocol 2.0: server supports 3.0",
    );
}

#[test]
fn the_driver_may_refuse() {
    check(
        &[
            startup(0, &[("user", "nobody"), ("database", "shop")]),
            query("SELECT 1"),
        ],
        "
          Authenticate nobody for shop
        < ErrorResponse FATAL 28000: role \"nobody\" does not exist
        ",
    );
}

#[test]
fn the_driver_may_ask_for_a_password() {
    let mut server = Server::new();
    server.receive(&startup(0, &[("user", "bob")]));
    assert_eq!(
        server.trace,
        "  Authenticate bob for bob\n< AuthenticationCleartextPassword\n"
    );
    server.trace.clear();
    server.receive(&password("secret"));
    assert!(
        server
            .trace
            .starts_with("  Password([115, 101, 99, 114, 101, 116, 0])\n< AuthenticationOk\n")
    );
}

#[test]
fn a_statement_instead_of_a_password_is_fatal() {
    check(
        &[startup(0, &[("user", "bob")]), query("SELECT 1")],
        "
          Authenticate bob for bob
        < AuthenticationCleartextPassword
        < ErrorResponse FATAL 08P01: expected a password message ('p'), got type 81
        ",
    );
}

#[test]
fn a_cancel_request_ends_its_connection() {
    check(&[cancel(7, 99), query("SELECT 1")], "Cancel 7/99");
}

#[test]
fn an_overlong_or_negative_opening_is_refused_before_it_is_received() {
    for length in [10_001i32, 3, -1, i32::MAX] {
        let mut server = Server::new();
        server.receive(&length.to_be_bytes());
        let expected = format!(
            "< ErrorResponse FATAL 08P01: invalid message length {length}: the limit is 10000 bytes\n"
        );
        assert_eq!(server.trace, expected);
        assert!(server.connection.is_closed());
    }
}

/// A server that has TLS, and what it does with these packets.
fn with_tls(packets: &[Vec<u8>]) -> String {
    let mut server = Server::new();
    server.connection = bellwether_pg::Connection::new(bellwether_pg::connection::Config {
        offers_tls: true,
        ..super::server::config()
    });
    packets.iter().for_each(|packet| server.receive(packet));
    server.trace
}

#[test]
fn a_client_that_asks_for_tls_gets_it_once() {
    let trace = with_tls(&[ssl_request(), ssl_request(), login()]);
    let expected =
        "< encryption\n  StartTls\n< no encryption\n  Authenticate alice for shop\n< AuthenticationOk\n";
    assert!(trace.starts_with(expected), "{trace}");
}

#[test]
fn what_was_sent_in_clear_behind_the_request_for_tls_is_never_taken_for_the_clients() {
    let trace = with_tls(&[[ssl_request(), login()].concat()]);
    assert!(
        trace.contains("received unencrypted data after SSL request"),
        "{trace}"
    );
    assert!(!trace.contains("Authenticat"), "{trace}");
}
