//! LISTEN: from the replica's mailbox to the client.

use std::sync::Arc;

use bellwether_types::{ErrorKind, SqlError};

use super::Client;
use crate::replica::Overflow;

impl Client {
    /// Listens to what the session listens to now: before the client is told that it does.
    pub(super) fn follow_channels(&mut self) {
        let Some(channels) = self.connection.take_channels() else {
            return;
        };
        if channels.is_empty() {
            self.listener = None;
            return;
        }
        let (Some(session), Some(key)) = (&self.session, &self.key) else {
            return;
        };
        let listener = self.listener.get_or_insert_with(|| {
            session
                .replica()
                .listeners
                .join(u64::from(key.pid.unsigned_abs()))
        });
        listener.set_channels(Arc::clone(&channels));
    }

    /// Tells the client what waits for it, if this is a moment for that.
    pub(super) async fn tell_notifications(&mut self) -> std::io::Result<()> {
        while self.connection.takes_notifications()
            && let Some(listener) = &self.listener
        {
            match listener.take() {
                Ok(Some(notification)) => self.connection.notify(&notification),
                Ok(None) => break,
                Err(Overflow) => {
                    let message = "terminating connection: it does not take its notifications";
                    let error = SqlError::new(ErrorKind::ProgramLimit, message).with_hint(
                        "Read from the connection, and keep transactions of sessions that LISTEN short.",
                    );
                    self.connection.abort(&error);
                }
            }
            self.flush_if(self.connection.output().len() > super::OUTPUT_BYTES)
                .await?;
        }
        Ok(())
    }
}
