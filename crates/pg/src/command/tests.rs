use bellwether_session::SetScope;
use bellwether_types::ErrorKind;

use super::{Command, TransactionModes};

fn parse(sql: &str) -> Command {
    Command::parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn set(name: &str, value: &str) -> Command {
    Command::Set {
        scope: SetScope::Session,
        name: name.to_owned(),
        value: Some(value.to_owned()),
    }
}

#[test]
fn both_dialects_ways_to_begin_are_understood() {
    let modes = |read_only, deferrable| TransactionModes {
        read_only,
        deferrable,
    };
    for (sql, expected) in [
        ("BEGIN", modes(None, None)),
        ("begin work;", modes(None, None)),
        ("BEGIN IMMEDIATE TRANSACTION", modes(None, None)),
        ("BEGIN EXCLUSIVE", modes(None, None)),
        ("BEGIN READ ONLY", modes(Some(true), None)),
        (
            "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE",
            modes(Some(false), None),
        ),
        (
            "BEGIN ISOLATION LEVEL READ UNCOMMITTED READ ONLY NOT DEFERRABLE",
            modes(Some(true), Some(false)),
        ),
    ] {
        let Command::Begin { modes, .. } = parse(sql) else {
            panic!("{sql}")
        };
        assert_eq!(modes, expected, "{sql}");
    }
}

#[test]
fn transactions_end_in_many_words() {
    for sql in ["COMMIT", "END", "END TRANSACTION", "commit work and no chain"] {
        assert_eq!(parse(sql), Command::Commit, "{sql}");
    }
    for sql in ["ROLLBACK", "ABORT WORK", "rollback transaction;"] {
        assert_eq!(parse(sql), Command::Rollback, "{sql}");
    }
    assert_eq!(
        parse("ROLLBACK TO SAVEPOINT \"A b\""),
        Command::RollbackTo("A b".into())
    );
    assert_eq!(parse("ROLLBACK WORK TO a"), Command::RollbackTo("a".into()));
    assert_eq!(parse("RELEASE SAVEPOINT A"), Command::Release("a".into()));
    assert_eq!(parse("SAVEPOINT s1"), Command::Savepoint("s1".into()));
}

#[test]
fn settings_are_set_in_many_spellings() {
    assert_eq!(
        parse("SET statement_timeout = 500"),
        set("statement_timeout", "500")
    );
    assert_eq!(
        parse("SET SESSION DateStyle TO ISO, MDY"),
        set("datestyle", "iso, mdy")
    );
    assert_eq!(
        parse("SET bellwether.read_consistency TO 'strong'"),
        set("bellwether.read_consistency", "strong")
    );
    assert_eq!(
        parse("SET extra_float_digits TO -1"),
        set("extra_float_digits", "-1")
    );
    assert_eq!(
        parse("SET search_path = \"$user\", public"),
        set("search_path", "\"$user\", public")
    );
    assert_eq!(parse("SET search_path = ''"), set("search_path", ""));
    assert_eq!(parse("SET TIME ZONE 'UTC'"), set("TimeZone", "UTC"));
    assert_eq!(parse("SET NAMES 'utf8'"), set("client_encoding", "utf8"));
    let default = Command::Set {
        scope: SetScope::Local,
        name: "a.b".into(),
        value: None,
    };
    assert_eq!(parse("SET LOCAL a.b TO DEFAULT"), default);
    let modes = TransactionModes {
        read_only: Some(true),
        deferrable: None,
    };
    assert_eq!(parse("SET TRANSACTION READ ONLY"), Command::SetTransaction(modes));
    assert_eq!(
        parse("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE"),
        Command::SetCharacteristics(modes)
    );
    assert_eq!(
        parse("SHOW TRANSACTION ISOLATION LEVEL"),
        Command::Show("transaction_isolation".into())
    );
    assert_eq!(
        parse("SHOW bellwether.session_token"),
        Command::Show("bellwether.session_token".into())
    );
    assert_eq!(parse("RESET ALL"), Command::ResetAll);
}

#[test]
fn what_pools_send_to_clean_up_is_accepted() {
    assert_eq!(parse("DISCARD ALL"), Command::DiscardAll);
    assert_eq!(parse("DEALLOCATE ALL"), Command::Deallocate(None));
    assert_eq!(
        parse("DEALLOCATE PREPARE s"),
        Command::Deallocate(Some("s".into()))
    );
    assert_eq!(parse("UNLISTEN *"), Command::Unlisten(None));
    assert_eq!(parse("LISTEN Jobs"), Command::Listen("jobs".to_owned()));
    let notify = |channel: &str, payload: &str| Command::Notify {
        channel: channel.to_owned(),
        payload: payload.to_owned(),
    };
    assert_eq!(parse("NOTIFY jobs"), notify("jobs", ""));
    assert_eq!(parse("NOTIFY \"Jobs\", 'it''s 7';"), notify("Jobs", "it's 7"));
    assert_eq!(
        parse(&format!("NOTIFY {}", "x".repeat(70))),
        notify(&"x".repeat(63), "")
    );
    assert_eq!(parse("CLOSE ALL"), Command::Close(None));
}

#[test]
fn sql_is_left_to_sqlite() {
    assert_eq!(
        parse("-- a\nselect 1"),
        Command::Sql {
            verb: "SELECT".into()
        }
    );
    assert_eq!(
        parse("VACUUM"),
        Command::Sql {
            verb: "VACUUM".into()
        }
    );
    assert_eq!(parse("?"), Command::Sql { verb: String::new() });
    assert_eq!(parse("; /* */ ;"), Command::Empty);
    assert_eq!(parse(" /* */ "), Command::Empty);
}

#[test]
fn what_is_not_supported_says_so_and_what_is_misspelled_says_where() {
    for (sql, kind) in [
        ("COPY t FROM '/tmp/t'", ErrorKind::NotSupported),
        ("COPY t FROM STDIN WHERE a > 1", ErrorKind::NotSupported),
        ("COPY t FROM STDIN (FORMAT xml)", ErrorKind::InvalidSetting),
        ("COPY t FROM STDIN CSV QUOTE ','", ErrorKind::InvalidSetting),
        ("COPY (SELECT 1) FROM STDIN", ErrorKind::Syntax),
        ("COPY (SELECT 1 TO STDOUT", ErrorKind::Syntax),
        ("DECLARE c SCROLL CURSOR FOR SELECT 1", ErrorKind::NotSupported),
        ("DECLARE c CURSOR FOR", ErrorKind::Syntax),
        ("FETCH BACKWARD 1 FROM c", ErrorKind::WrongState),
        ("FETCH -1 FROM c", ErrorKind::WrongState),
        ("LISTEN", ErrorKind::Syntax),
        ("NOTIFY x 'y'", ErrorKind::Syntax),
        ("NOTIFY x, 7", ErrorKind::Syntax),
        ("COMMIT AND CHAIN", ErrorKind::NotSupported),
        ("COMMIT PREPARED 'x'", ErrorKind::NotSupported),
        ("SET ROLE r", ErrorKind::NotSupported),
        (
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b",
            ErrorKind::Syntax,
        ),
        ("BEGIN NOW", ErrorKind::Syntax),
        ("SET a", ErrorKind::Syntax),
        ("SET a = 5s", ErrorKind::Syntax),
        ("SET a = -x", ErrorKind::Syntax),
        ("ROLLBACK TO", ErrorKind::Syntax),
        ("START", ErrorKind::Syntax),
    ] {
        assert_eq!(Command::parse(sql).expect_err(sql).kind, kind, "{sql}");
    }
    assert_eq!(
        Command::parse("BEGIN /* ä */ NOW").expect_err("NOW").position,
        Some(15)
    );
}

#[test]
fn copy_says_the_same_in_all_its_forms() {
    for (one, other) in [
        (
            "COPY t FROM STDIN",
            "copy t from stdin with (format text, null '\\N', delimiter E'\\t')",
        ),
        (
            "COPY t (a, \"B c\") FROM STDIN CSV HEADER",
            "COPY t(a,\"B c\") FROM STDIN (FORMAT csv, HEADER true)",
        ),
        (
            "COPY t TO STDOUT WITH CSV DELIMITER ';' QUOTE AS '''' FORCE QUOTE *",
            "COPY t TO STDOUT (FORMAT 'csv', DELIMITER ';', QUOTE '''', FORCE_QUOTE *)",
        ),
        (
            "COPY BINARY t FROM STDIN",
            "COPY t FROM STDIN WITH (FORMAT BINARY, FREEZE)",
        ),
        (
            "COPY t FROM STDIN CSV FORCE NOT NULL a, b",
            "COPY t FROM STDIN (FORMAT csv, FORCE_NOT_NULL (a, b), ENCODING 'utf-8')",
        ),
    ] {
        let [one, other] = [one, other].map(|sql| Command::parse(sql).expect(sql));
        assert_eq!(one, other);
    }
    let query = Command::parse("COPY (SELECT (1), ')' FROM t) TO STDOUT;").expect("a query");
    let Command::Copy(copy) = query else {
        panic!("{query:?}")
    };
    assert_eq!(copy.select(), "SELECT (1), ')' FROM t");
}
