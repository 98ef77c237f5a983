//! About the session and the server.

use bellwether_session::settings::SERVER_VERSION;
use bellwether_types::{ErrorKind, Facts, SqlError, Value};

use super::{Answer, Args, maybe, number_of};
use crate::catalog::role::UTF8;
use crate::catalog::session::setting as value_of;
use crate::catalog::value::{flag, number, text, timestamp};

pub(super) fn version(_: Args<'_, '_>, _: &Facts) -> Answer {
    Ok(text(format!("PostgreSQL {SERVER_VERSION}")))
}

pub(super) fn database(_: Args<'_, '_>, facts: &Facts) -> Answer {
    Ok(text(facts.database.as_str()))
}

pub(super) fn schema(_: Args<'_, '_>, _: &Facts) -> Answer {
    Ok(text("public"))
}

/// With those that are searched without being named, or not. SQLite looks into `public` first.
pub(super) fn schemas(args: Args<'_, '_>, _: &Facts) -> Answer {
    let is_implicit = number_of(args[0]).map(|number| number != 0);
    let is_implicit = is_implicit.unwrap_or(matches!(args[0].as_str(), Some("t" | "true")));
    Ok(text(if is_implicit {
        "{pg_catalog,public}"
    } else {
        "{public}"
    }))
}

/// What `pg_xact_status` takes.
pub(super) fn transaction(_: Args<'_, '_>, facts: &Facts) -> Answer {
    Ok(text(facts.transaction.as_str()))
}

/// NULL until the transaction writes.
pub(super) fn transaction_if_writing(args: Args<'_, '_>, facts: &Facts) -> Answer {
    match facts.has_writer {
        true => transaction(args, facts),
        false => Ok(Value::Null),
    }
}

/// `committed`, `aborted` or `in progress`; NULL for one that is too old to be known. Nodes are asked before the statement
/// runs, about what stands in its text or in its parameters.
pub(super) fn transaction_status(args: Args<'_, '_>, facts: &Facts) -> Answer {
    let Some(id) = args[0].as_str() else {
        return Ok(Value::Null);
    };
    match facts.outcomes.get(id) {
        Some(outcome) if outcome.is_empty() => Ok(Value::Null),
        Some(outcome) => Ok(text(outcome.as_str())),
        None => Err(SqlError::new(
            ErrorKind::NotSupported,
            format!("\"{id}\" cannot be asked about here"),
        )
        .with_hint(
            "Name the transaction as the error did, as a literal or a parameter: pg_xact_status('…:1').",
        )),
    }
}

pub(super) fn user(_: Args<'_, '_>, facts: &Facts) -> Answer {
    Ok(text(facts.user.as_str()))
}

/// With a second argument that is true an unknown one is NULL.
pub(super) fn setting(args: Args<'_, '_>, facts: &Facts) -> Answer {
    let Some(name) = args[0].as_str() else {
        return Ok(Value::Null);
    };
    match (value_of(facts, name), args.get(1)) {
        (Some(value), _) => Ok(text(value)),
        (None, Some(flag)) if number_of(*flag) == Some(1) => Ok(Value::Null),
        (None, _) => Err(SqlError::new(
            ErrorKind::UndefinedSetting,
            format!("unrecognized configuration parameter \"{name}\""),
        )),
    }
}

/// A function changes nothing: to set what is set already is harmless, else SET is the way.
pub(super) fn set_config(args: Args<'_, '_>, facts: &Facts) -> Answer {
    let (Some(name), Some(value)) = (args[0].as_str(), args[1].as_str()) else {
        return Ok(Value::Null);
    };
    match value_of(facts, name) {
        Some(known) if known == value => Ok(text(value)),
        _ => Err(SqlError::new(
            ErrorKind::NotSupported,
            format!("set_config cannot change \"{name}\""),
        )
        .with_hint(format!("Use SET {name} = '{value}'."))),
    }
}

pub(super) fn backend_pid(_: Args<'_, '_>, facts: &Facts) -> Answer {
    Ok(number(facts.backend_pid))
}

pub(super) fn is_in_recovery(_: Args<'_, '_>, facts: &Facts) -> Answer {
    Ok(flag(facts.is_in_recovery))
}

pub(super) fn server_started(_: Args<'_, '_>, facts: &Facts) -> Answer {
    Ok(timestamp(facts.server_started_at_us))
}

pub(super) fn no_object(_: Args<'_, '_>, _: &Facts) -> Answer {
    Ok(number(0))
}

pub(super) fn server_address(_: Args<'_, '_>, facts: &Facts) -> Answer {
    maybe(facts.server.as_ref().map(|server| text(server.address.as_str())))
}

pub(super) fn server_port(_: Args<'_, '_>, facts: &Facts) -> Answer {
    maybe(facts.server.as_ref().map(|server| number(server.port)))
}

pub(super) fn client_address(_: Args<'_, '_>, facts: &Facts) -> Answer {
    maybe(facts.client.as_ref().map(|client| text(client.address.as_str())))
}

pub(super) fn client_port(_: Args<'_, '_>, facts: &Facts) -> Answer {
    maybe(facts.client.as_ref().map(|client| number(client.port)))
}

pub(super) fn encoding(_: Args<'_, '_>, _: &Facts) -> Answer {
    Ok(text("UTF8"))
}

/// There is one encoding.
pub(super) fn encoding_to_char(args: Args<'_, '_>, _: &Facts) -> Answer {
    maybe(number_of(args[0]).map(|encoding| text(if encoding == i64::from(UTF8) { "UTF8" } else { "" })))
}

pub(super) fn char_to_encoding(args: Args<'_, '_>, _: &Facts) -> Answer {
    maybe(args[0].as_str().map(|name| {
        let is_utf8 = ["utf8", "utf-8", "unicode"].contains(&name.to_ascii_lowercase().as_str());
        number(if is_utf8 { i64::from(UTF8) } else { -1 })
    }))
}

/// Nowhere but beside the database.
pub(super) fn tablespace_location(args: Args<'_, '_>, _: &Facts) -> Answer {
    maybe(number_of(args[0]).map(|_| text("")))
}
