//! Which settings exist: one row each, with how it is shown and what it accepts.

use bellwether_types::{Durability, ErrorKind, SqlError};

use super::parse::{
    boolean, kilobytes, milliseconds, name_list, on_off, one_of, print_kilobytes, print_milliseconds,
};
use super::values::Values;
use super::{SERVER_VERSION, SERVER_VERSION_NUM, invalid, not_supported};
use crate::transaction_mode::TransactionMode;

/// The setting that carries the session's token.
pub const SESSION_TOKEN: &str = "bellwether.session_token";

/// The setting that tells in what the database's log is written.
pub const LOG_FORMAT: &str = "bellwether.log_format";

/// Settings that [`super::Settings`] itself holds, with their description: no SET changes them, but the token's.
pub const OF_SESSION: [(&str, &str); 5] = [
    (
        SESSION_TOKEN,
        "What this session has seen; setting it makes reads wait for that.",
    ),
    (
        LOG_FORMAT,
        "In what this database's log is written; ALTER DATABASE changes it.",
    ),
    ("in_hot_standby", "Whether this node's replica follows a leader."),
    ("is_superuser", "Whether the user was a superuser at login."),
    ("session_authorization", "The session's user."),
];

/// What ParameterStatus reports besides the token: PostgreSQL's set.
pub const REPORTED: [&str; 13] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

type Show = fn(&Values) -> String;
type Assign = fn(&mut Values, &str, &str) -> Result<(), SqlError>;
type Restore = fn(&mut Values, &Values);

enum Kind {
    /// A field of [`Values`].
    Field {
        show: Show,
        assign: Assign,
        restore: Restore,
    },
    /// One value for ever; SET takes it and what `accepts` maps to it, else the hint says why not.
    Constant {
        value: &'static str,
        accepts: fn(&str) -> Answer,
        hint: &'static str,
    },
    /// Cannot be SET at all.
    ReadOnly { value: &'static str },
}

/// What a setting of one value says to a proposed one.
enum Answer {
    Same,
    /// PostgreSQL knows it, we do not.
    NotSupported,
    Invalid,
}

struct Definition {
    name: &'static str,
    description: &'static str,
    kind: Kind,
}

macro_rules! field {
    ($name:literal, $field:ident, $description:literal, $show:expr, $parse:expr) => {
        Definition {
            name: $name,
            description: $description,
            kind: Kind::Field {
                show: |values| $show(&values.$field),
                assign: |values, name, text| {
                    values.$field = $parse(name, text)?;
                    Ok(())
                },
                restore: |values, initial| values.$field.clone_from(&initial.$field),
            },
        }
    };
}

macro_rules! constant {
    ($name:literal, $value:expr, $description:literal, $accepts:expr, $hint:literal) => {
        Definition {
            name: $name,
            description: $description,
            kind: Kind::Constant {
                value: $value,
                accepts: $accepts,
                hint: $hint,
            },
        }
    };
}

macro_rules! read_only {
    ($name:literal, $value:expr, $description:literal) => {
        Definition {
            name: $name,
            description: $description,
            kind: Kind::ReadOnly { value: $value },
        }
    };
}

const MESSAGE_LEVELS: [&str; 9] = [
    "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error",
];

static SETTINGS: &[Definition] = &[
    field!(
        "application_name",
        application_name,
        "Shown where sessions are listed.",
        String::clone,
        |_: &str, text: &str| {
            // PostgreSQL replaces what is not printable ASCII, so that logs stay readable.
            Ok::<_, SqlError>(
                text.chars()
                    .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
                    .collect(),
            )
        }
    ),
    field!(
        "bellwether.drain_timeout",
        drain_timeout,
        "How long a switchover waits for transactions that hold the writer; they get 40001 then.",
        |value: &_| print_milliseconds(*value),
        milliseconds
    ),
    field!(
        "bellwether.read_consistency",
        read_consistency,
        "What a read promises: strong, session or eventual.",
        ToString::to_string,
        |_: &str, text: &str| text.parse()
    ),
    field!(
        "bellwether.result_limit",
        result_limit,
        "A statement that answers more bytes is ended; 0 is no limit. Superusers set it, for roles.",
        |value: &_| print_kilobytes(*value),
        kilobytes
    ),
    field!(
        "bellwether.statement_limit",
        statement_limit,
        "A statement that runs longer is cancelled, whatever statement_timeout says. Superusers set it, for roles.",
        |value: &_| print_milliseconds(*value),
        milliseconds
    ),
    field!(
        "bellwether.transaction_mode",
        transaction_mode,
        "How transactions write: pessimistic (one at a time) or optimistic (side by side, checked at COMMIT).",
        |value: &TransactionMode| value.name().to_owned(),
        |_: &str, text: &str| text.parse()
    ),
    field!(
        "bellwether.wait_timeout",
        wait_timeout,
        "How long a read waits for this replica to reach the session's position.",
        |value: &_| print_milliseconds(*value),
        milliseconds
    ),
    constant!(
        "bytea_output",
        "hex",
        "How bytea is printed.",
        |text| of_words(text, &["hex"], &["escape"]),
        "Only hex is available."
    ),
    constant!(
        "client_encoding",
        "UTF8",
        "The client's character set.",
        // Letters and digits count, as PostgreSQL reads it; asyncpg sends quotes, too.
        |text| match text
            .to_ascii_lowercase()
            .replace(|letter: char| !letter.is_ascii_alphanumeric(), "")
            .as_str()
        {
            "utf8" | "unicode" => Answer::Same,
            _ => Answer::NotSupported,
        },
        "Only UTF8 is available."
    ),
    field!(
        "client_min_messages",
        client_min_messages,
        "Notices below this level are not sent.",
        |value: &&'static str| (*value).to_owned(),
        |name: &str, text: &str| one_of(name, text, &MESSAGE_LEVELS)
    ),
    constant!(
        "DateStyle",
        "ISO, MDY",
        "How dates are printed and read.",
        |text| match name_list(text)
            .iter()
            .all(|word| matches!(word.as_str(), "iso" | "mdy" | "us" | "default"))
        {
            true => Answer::Same,
            false => Answer::NotSupported,
        },
        "Only ISO, MDY is available."
    ),
    read_only!(
        "default_table_access_method",
        "heap",
        "Every table is SQLite's; tools look whether a table's access method is the usual one."
    ),
    field!(
        "default_transaction_deferrable",
        default_transaction_deferrable,
        "Accepted, without effect: no read-only transaction waits here.",
        |value: &bool| on_off(*value).to_owned(),
        boolean
    ),
    constant!(
        "default_transaction_isolation",
        "serializable",
        "Every transaction is serializable; weaker levels are accepted and get that.",
        isolation,
        "Available values: serializable, repeatable read, read committed, read uncommitted."
    ),
    field!(
        "default_transaction_read_only",
        default_transaction_read_only,
        "Whether transactions may only read unless they say otherwise.",
        |value: &bool| on_off(*value).to_owned(),
        boolean
    ),
    field!(
        "extra_float_digits",
        extra_float_digits,
        "Accepted, without effect: floats are printed with the shortest digits that read back exactly.",
        i32::to_string,
        |name: &str, text: &str| match text.trim().parse() {
            Ok(digits @ -15..=3) => Ok(digits),
            _ => Err(invalid(name, text).with_hint("A whole number from -15 to 3.")),
        }
    ),
    field!(
        "idle_in_transaction_session_timeout",
        idle_in_transaction_session_timeout,
        "How long a transaction may hold the writer without a word.",
        |value: &_| print_milliseconds(*value),
        milliseconds
    ),
    read_only!(
        "integer_datetimes",
        "on",
        "Timestamps are whole numbers of microseconds."
    ),
    constant!(
        "IntervalStyle",
        "postgres",
        "How intervals are printed.",
        |text| of_words(
            text,
            &["postgres"],
            &["postgres_verbose", "sql_standard", "iso_8601"]
        ),
        "Only postgres is available."
    ),
    field!(
        "lock_timeout",
        lock_timeout,
        "How long a transaction waits for the writer.",
        |value: &_| print_milliseconds(*value),
        milliseconds
    ),
    read_only!(
        "max_identifier_length",
        "63",
        "Longer names work here; clients are told PostgreSQL's limit."
    ),
    read_only!(
        "max_index_keys",
        "32",
        "Drivers ask for the longest key that they must look for; longer ones work."
    ),
    field!(
        "search_path",
        search_path,
        "There is one schema, public.",
        String::clone,
        |_: &str, text: &str| match name_list(text)
            .iter()
            .all(|name| matches!(name.as_str(), "" | "$user" | "public" | "pg_catalog"))
        {
            true => Ok(text.to_owned()),
            false => Err(not_supported("search_path", text, "The one schema is public.")),
        }
    ),
    read_only!("server_encoding", "UTF8", "The server's character set."),
    read_only!(
        "server_version",
        SERVER_VERSION,
        "The PostgreSQL version whose protocol is spoken, and ours."
    ),
    read_only!("server_version_num", SERVER_VERSION_NUM, "The same as a number."),
    constant!(
        "standard_conforming_strings",
        "on",
        "Backslashes in literals are plain characters.",
        |text| match boolean("standard_conforming_strings", text) {
            Ok(true) => Answer::Same,
            Ok(false) => Answer::NotSupported,
            Err(_) => Answer::Invalid,
        },
        "Only on is available."
    ),
    field!(
        "statement_timeout",
        statement_timeout,
        "A statement that runs longer is cancelled.",
        |value: &_| print_milliseconds(*value),
        milliseconds
    ),
    field!(
        "synchronous_commit",
        synchronous_commit,
        "When COMMIT is answered: off, local, remote_write, on or remote_apply.",
        |value: &Durability| value.name().to_owned(),
        |_: &str, text: &str| text.parse()
    ),
    constant!(
        "TimeZone",
        "UTC",
        "The session's time zone.",
        |text| match text.trim().trim_matches('\'').to_ascii_lowercase().as_str() {
            "utc" | "gmt" | "zulu" | "universal" | "etc/utc" | "etc/gmt" | "etc/zulu" | "etc/universal"
            | "z" | "0" | "+00" | "+00:00" | "default" => Answer::Same,
            _ => Answer::NotSupported,
        },
        "Only UTC is available; convert in the application."
    ),
    field!(
        "transaction_deferrable",
        transaction_deferrable,
        "Accepted, without effect: no read-only transaction waits here.",
        |value: &bool| on_off(*value).to_owned(),
        boolean
    ),
    constant!(
        "transaction_isolation",
        "serializable",
        "Every transaction is serializable; weaker levels are accepted and get that.",
        isolation,
        "Available values: serializable, repeatable read, read committed, read uncommitted."
    ),
    Definition {
        name: "transaction_read_only",
        description: "Whether the running transaction may only read.",
        kind: Kind::Field {
            show: |values| on_off(values.read_only()).to_owned(),
            assign: |values, name, text| {
                values.transaction_read_only = Some(boolean(name, text)?);
                Ok(())
            },
            restore: |values, _| values.transaction_read_only = None,
        },
    },
];

fn of_words(text: &str, same: &[&str], known: &[&str]) -> Answer {
    let is_in = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text.trim()));
    match (is_in(same), is_in(known)) {
        (true, _) => Answer::Same,
        (false, true) => Answer::NotSupported,
        (false, false) => Answer::Invalid,
    }
}

fn isolation(text: &str) -> Answer {
    of_words(
        text,
        &[
            "serializable",
            "repeatable read",
            "read committed",
            "read uncommitted",
        ],
        &[],
    )
}

fn find(name: &str) -> Option<&'static Definition> {
    SETTINGS
        .iter()
        .find(|definition| definition.name.eq_ignore_ascii_case(name))
}

/// Whether only a superuser may change a setting: it bounds what a role may take.
pub fn is_for_superusers(name: &str) -> bool {
    ["bellwether.result_limit", "bellwether.statement_limit"]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name))
}

/// Whether a setting ends with the transaction however it was SET.
pub fn belongs_to_transaction(name: &str) -> bool {
    ["transaction_read_only", "transaction_deferrable"]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name))
}

/// A placeholder's name: two or more names with dots between, of a class that is not ours.
fn is_custom(name: &str) -> bool {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$')
    };
    let class = name.split('.').next().unwrap_or_default();
    name.contains('.') && name.split('.').all(is_name) && !class.eq_ignore_ascii_case("bellwether")
}

fn undefined(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::UndefinedSetting,
        format!("unrecognized configuration parameter \"{name}\""),
    )
}

fn unchangeable(name: &str) -> SqlError {
    SqlError::new(
        ErrorKind::InvalidSetting,
        format!("parameter \"{name}\" cannot be changed"),
    )
}

/// SET on `values`.
pub fn assign(values: &mut Values, name: &str, text: &str) -> Result<(), SqlError> {
    let Some(definition) = find(name) else {
        return assign_unlisted(values, name, text);
    };
    match &definition.kind {
        Kind::Field { assign, .. } => assign(values, definition.name, text),
        Kind::Constant { value, .. } if text.eq_ignore_ascii_case(value) => Ok(()),
        Kind::Constant { accepts, hint, .. } => match accepts(text) {
            Answer::Same => Ok(()),
            Answer::NotSupported => Err(not_supported(definition.name, text, hint)),
            Answer::Invalid => Err(invalid(definition.name, text).with_hint(*hint)),
        },
        Kind::ReadOnly { .. } => Err(unchangeable(definition.name)),
    }
}

/// Placeholders a session may keep, and their bytes: enough for any tool, too few to fill memory with.
const MAX_CUSTOM: usize = 256;
const MAX_CUSTOM_BYTES: usize = 64 * 1024;

fn assign_unlisted(values: &mut Values, name: &str, text: &str) -> Result<(), SqlError> {
    if OF_SESSION
        .iter()
        .any(|(known, _)| known.eq_ignore_ascii_case(name))
    {
        if name.eq_ignore_ascii_case(LOG_FORMAT) {
            let message = format!("parameter \"{LOG_FORMAT}\" cannot be changed now");
            return Err(
                SqlError::new(ErrorKind::ClusterSetting, message).with_hint(format!(
                    "It is the database's: ALTER DATABASE … SET {LOG_FORMAT} = …."
                )),
            );
        }
        return Err(unchangeable(name));
    }
    if !is_custom(name) {
        return Err(undefined(name));
    }
    if name.len() + text.len() > MAX_CUSTOM_BYTES || values.custom.len() >= MAX_CUSTOM {
        return Err(SqlError::new(
            ErrorKind::ProgramLimit,
            "too many or too long settings without a definition",
        ));
    }
    values.custom.insert(name.to_ascii_lowercase(), text.to_owned());
    Ok(())
}

/// RESET on `values`.
pub fn restore(values: &mut Values, initial: &Values, name: &str) -> Result<(), SqlError> {
    match find(name).map(|definition| &definition.kind) {
        Some(Kind::Field { restore, .. }) => restore(values, initial),
        Some(Kind::Constant { .. }) => {}
        Some(Kind::ReadOnly { .. }) => return Err(unchangeable(name)),
        None if is_custom(name) => {
            let name = name.to_ascii_lowercase();
            // A placeholder stays known after RESET, empty, as in PostgreSQL.
            let value = initial.custom.get(&name).cloned().unwrap_or_default();
            values.custom.insert(name, value);
        }
        None => return Err(undefined(name)),
    }
    Ok(())
}

fn shown(definition: &Definition, values: &Values) -> String {
    match definition.kind {
        Kind::Field { show, .. } => show(values),
        Kind::Constant { value, .. } | Kind::ReadOnly { value } => value.to_owned(),
    }
}

/// SHOW.
pub fn show(values: &Values, name: &str) -> Result<(String, String), SqlError> {
    if let Some(definition) = find(name) {
        return Ok((definition.name.to_owned(), shown(definition, values)));
    }
    let lower = name.to_ascii_lowercase();
    let value = values.custom.get(&lower).ok_or_else(|| undefined(name))?;
    Ok((lower, value.clone()))
}

/// Every setting of the table: name, value, description.
pub fn all(values: &Values) -> impl Iterator<Item = (String, String, &'static str)> {
    let rows = SETTINGS.iter();
    rows.map(|definition| {
        (
            definition.name.to_owned(),
            shown(definition, values),
            definition.description,
        )
    })
}
