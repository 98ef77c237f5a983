//! `pg_notify`.

use bellwether_types::{ErrorKind, Facts, Notification, SqlError};

use super::Args;
use crate::connection::MAX_CHANNEL_BYTES;
use crate::functions::as_text;

/// As in PostgreSQL: shorter than this.
const PAYLOAD_BYTES: usize = 8_000;

pub(super) fn notify(args: Args<'_, '_>, facts: &Facts) -> Result<Notification, SqlError> {
    let invalid = |message: &str| SqlError::new(ErrorKind::InvalidSetting, message);
    let channel = as_text(&args[0])?;
    let payload = as_text(&args[1])?;
    if channel.is_empty() {
        return Err(invalid("channel name cannot be empty"));
    }
    if channel.len() > MAX_CHANNEL_BYTES {
        return Err(invalid("channel name too long"));
    }
    if payload.len() >= PAYLOAD_BYTES {
        return Err(
            invalid("payload string too long").with_hint("Write it to a table, and notify of its key.")
        );
    }
    Ok(Notification {
        sender: facts.backend_pid,
        channel: channel.into_owned(),
        payload: payload.into_owned(),
    })
}
