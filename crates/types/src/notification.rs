//! NOTIFY: a word to whoever listens, committed with its transaction.

use crate::codec::{DecodeError, Decoder, Encoder};

/// What a transaction tells on a channel. It is part of the record, so it reaches the listeners of every node, in the
/// order of commits, once the node has applied it; what is rolled back is told to nobody.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Notification {
    /// The `backend_pid` of the session that tells.
    pub sender: i32,
    /// To whom: those that LISTEN to this name.
    pub channel: String,
    /// What; empty for none.
    pub payload: String,
}

impl Notification {
    /// What it takes in memory and in a record, about.
    pub fn size_bytes(&self) -> usize {
        self.channel.len() + self.payload.len() + 16
    }

    /// Appends all fields.
    pub fn encode(&self, out: &mut Encoder) {
        out.i64(i64::from(self.sender));
        out.str(&self.channel);
        out.str(&self.payload);
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Notification, DecodeError> {
        Ok(Notification {
            // Written from 32 bits; anything else is nobody's number.
            sender: i32::try_from(input.i64()?).unwrap_or_default(),
            channel: input.str()?.to_owned(),
            payload: input.str()?.to_owned(),
        })
    }
}
