//! SET, SET LOCAL, RESET and SHOW as a client sees them.

use bellwether_session::{SetScope, Settings, Token};
use bellwether_types::{ClusterId, DatabaseId, ErrorKind, Position};

const CLUSTER: ClusterId = ClusterId(7);

fn settings() -> Settings {
    Settings::new(CLUSTER, "alice")
}

fn show(settings: &Settings, name: &str) -> String {
    settings
        .show(name)
        .unwrap_or_else(|error| panic!("SHOW {name}: {error}"))
        .1
}

#[test]
fn defaults_are_shown_as_postgresql_shows_them() {
    let settings = settings();
    for (name, value) in [
        ("datestyle", "ISO, MDY"),
        ("TIMEZONE", "UTC"),
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("transaction_isolation", "serializable"),
        ("transaction_read_only", "off"),
        ("search_path", "\"$user\", public"),
        ("session_authorization", "alice"),
        ("in_hot_standby", "off"),
        ("bellwether.read_consistency", "session"),
        ("bellwether.wait_timeout", "5s"),
        ("server_encoding", "UTF8"),
    ] {
        assert_eq!(show(&settings, name), value, "{name}");
    }
    assert_eq!(settings.show("timezone").expect("exists").0, "TimeZone");
}

#[test]
fn a_set_outside_a_transaction_lasts() {
    let mut settings = settings();
    settings
        .set(SetScope::Session, "Statement_Timeout", "90s")
        .expect("valid");
    assert_eq!(show(&settings, "statement_timeout"), "90s");
    settings
        .reset(SetScope::Session, "statement_timeout")
        .expect("exists");
    assert_eq!(show(&settings, "statement_timeout"), "0");
}

#[test]
fn a_set_is_undone_when_its_transaction_is_rolled_back() {
    let mut settings = settings();
    settings
        .set(SetScope::Session, "lock_timeout", "1s")
        .expect("valid");
    settings.begin();
    settings
        .set(SetScope::Session, "lock_timeout", "2s")
        .expect("valid");
    settings.rollback();
    assert_eq!(show(&settings, "lock_timeout"), "1s");
    settings.begin();
    settings
        .set(SetScope::Session, "lock_timeout", "3s")
        .expect("valid");
    settings.commit();
    assert_eq!(show(&settings, "lock_timeout"), "3s");
}

#[test]
fn set_local_ends_with_the_transaction_and_needs_one() {
    let mut settings = settings();
    settings
        .set(SetScope::Local, "lock_timeout", "9s")
        .expect("valid");
    assert_eq!(show(&settings, "lock_timeout"), "0");
    settings.begin();
    settings
        .set(SetScope::Local, "lock_timeout", "2s")
        .expect("valid");
    settings
        .set(SetScope::Session, "statement_timeout", "3s")
        .expect("valid");
    assert_eq!(
        (
            show(&settings, "lock_timeout"),
            show(&settings, "statement_timeout")
        ),
        ("2s".into(), "3s".into())
    );
    settings.commit();
    assert_eq!(
        (
            show(&settings, "lock_timeout"),
            show(&settings, "statement_timeout")
        ),
        ("0".into(), "3s".into())
    );
}

#[test]
fn a_set_after_a_set_local_of_the_same_name_wins() {
    let mut settings = settings();
    settings.begin();
    settings
        .set(SetScope::Local, "lock_timeout", "2s")
        .expect("valid");
    settings
        .set(SetScope::Session, "lock_timeout", "3s")
        .expect("valid");
    assert_eq!(show(&settings, "lock_timeout"), "3s");
    settings.commit();
    assert_eq!(show(&settings, "lock_timeout"), "3s");
}

#[test]
fn a_savepoint_takes_settings_back_too() {
    let mut settings = settings();
    settings.begin();
    settings
        .set(SetScope::Session, "lock_timeout", "1s")
        .expect("valid");
    settings.savepoint("a");
    settings
        .set(SetScope::Session, "lock_timeout", "2s")
        .expect("valid");
    settings.savepoint("b");
    settings
        .set(SetScope::Session, "lock_timeout", "3s")
        .expect("valid");
    settings.release("B");
    settings.rollback_to("A");
    assert_eq!(show(&settings, "lock_timeout"), "1s");
    settings
        .set(SetScope::Session, "lock_timeout", "4s")
        .expect("valid");
    settings.rollback_to("a");
    assert_eq!(
        show(&settings, "lock_timeout"),
        "1s",
        "the savepoint stays after ROLLBACK TO"
    );
    settings.commit();
    assert_eq!(show(&settings, "lock_timeout"), "1s");
}

#[test]
fn reset_returns_to_the_connections_option() {
    let mut settings = settings();
    settings.start("application_name", "café").expect("valid");
    settings
        .set(SetScope::Session, "application_name", "b")
        .expect("valid");
    settings
        .reset(SetScope::Session, "application_name")
        .expect("exists");
    assert_eq!(show(&settings, "application_name"), "caf?");
    settings
        .set(SetScope::Session, "application_name", "c")
        .expect("valid");
    settings.reset_all();
    assert_eq!(show(&settings, "application_name"), "caf?");
}

#[test]
fn read_only_of_a_transaction_ends_with_it() {
    let mut settings = settings();
    settings
        .set(SetScope::Session, "default_transaction_read_only", "on")
        .expect("valid");
    assert!(settings.values().read_only());
    settings.begin();
    settings
        .set(SetScope::Session, "transaction_read_only", "off")
        .expect("valid");
    assert!(!settings.values().read_only());
    settings.commit();
    assert!(settings.values().read_only());
}

#[test]
fn what_cannot_be_honoured_is_refused_with_the_right_kind() {
    let mut settings = settings();
    for (name, value, kind) in [
        ("synchronous_standby_names", "*", ErrorKind::ClusterSetting),
        ("bellwether.sync_degrade_after", "1s", ErrorKind::ClusterSetting),
        ("synchronous_commit", "sometimes", ErrorKind::InvalidSetting),
        ("client_encoding", "LATIN1", ErrorKind::NotSupported),
        ("TimeZone", "Europe/Berlin", ErrorKind::NotSupported),
        ("DateStyle", "German", ErrorKind::NotSupported),
        ("standard_conforming_strings", "off", ErrorKind::NotSupported),
        ("search_path", "mine, public", ErrorKind::NotSupported),
        ("transaction_isolation", "chaos", ErrorKind::InvalidSetting),
        ("bellwether.read_consistency", "owner", ErrorKind::NotSupported),
        ("bellwether.wait_timeout", "soon", ErrorKind::InvalidSetting),
        ("bellwether.unknown", "1", ErrorKind::UndefinedSetting),
        ("nonsense", "1", ErrorKind::UndefinedSetting),
        ("a..b", "1", ErrorKind::UndefinedSetting),
        ("server_version", "1", ErrorKind::InvalidSetting),
        ("in_hot_standby", "on", ErrorKind::InvalidSetting),
        ("extra_float_digits", "4", ErrorKind::InvalidSetting),
        ("bellwether.session_token", "x", ErrorKind::InvalidSetting),
    ] {
        let error = settings.set(SetScope::Session, name, value).expect_err(name);
        assert_eq!(error.kind, kind, "{name} = {value}: {error}");
    }
}

#[test]
fn what_drivers_send_at_connect_is_accepted() {
    let mut settings = settings();
    for (name, value) in [
        ("extra_float_digits", "3"),
        ("client_encoding", "'UTF-8'".trim_matches('\'')),
        ("DateStyle", "ISO"),
        ("timezone", "GMT"),
        ("search_path", ""),
        ("default_transaction_isolation", "read committed"),
        ("client_min_messages", "WARNING"),
        ("standard_conforming_strings", "true"),
        ("synchronous_commit", "on"),
        ("my.app.user", "42"),
    ] {
        settings
            .set(SetScope::Session, name, value)
            .unwrap_or_else(|error| panic!("{name} = {value}: {error}"));
    }
    assert_eq!(show(&settings, "MY.app.user"), "42");
    assert_eq!(show(&settings, "default_transaction_isolation"), "serializable");
}

#[test]
fn a_token_that_is_set_is_merged_and_survives_rollback() {
    let mut settings = settings();
    settings.advance_token(DatabaseId(1), Position::new(1, 9));
    let mut token = Token::new(CLUSTER);
    token.advance(DatabaseId(1), Position::new(1, 5));
    token.advance(DatabaseId(2), Position::new(1, 5));
    settings.begin();
    settings
        .set(SetScope::Session, "bellwether.session_token", &token.to_string())
        .expect("valid");
    settings.rollback();
    assert_eq!(settings.token().position(DatabaseId(1)), Position::new(1, 9));
    assert_eq!(settings.token().position(DatabaseId(2)), Position::new(1, 5));
    settings.reset_all();
    assert_eq!(settings.token(), &Token::new(CLUSTER));
}

#[test]
fn show_all_lists_every_setting_once_and_by_name() {
    let all = settings().show_all();
    let names: Vec<_> = all.iter().map(|(name, ..)| name.to_ascii_lowercase()).collect();
    assert!(names.is_sorted() && names.len() > 25, "{names:?}");
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(all.iter().all(|(_, _, description)| description.ends_with('.')));
}

#[test]
fn every_reported_setting_has_a_value_and_changes_are_noticed_by_the_revision() {
    let mut settings = settings();
    assert_eq!(settings.reported().count(), 13);
    let before = settings.revision();
    settings.set_in_hot_standby(false);
    assert_eq!(settings.revision(), before);
    settings.set_in_hot_standby(true);
    assert!(settings.revision() > before);
}
