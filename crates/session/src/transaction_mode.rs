//! How transactions of several statements write: the values of `bellwether.transaction_mode`.

use std::str::FromStr;

use bellwether_types::{ErrorKind, SqlError};

/// How the statements of a transaction between BEGIN and COMMIT write. Serializable either way; a statement outside of
/// BEGIN and COMMIT is not concerned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransactionMode {
    /// From its first write to its end the transaction has the database's one writer, and others wait. Only what it
    /// read before can make it fail (40001).
    #[default]
    Pessimistic,
    /// It writes in a private copy of its snapshot, beside others, and is run again at COMMIT: what it was answered must
    /// be so again, else COMMIT fails (40001). What a private copy cannot do takes the writer.
    Optimistic,
}

impl TransactionMode {
    /// All.
    pub const ALL: [TransactionMode; 2] = [TransactionMode::Pessimistic, TransactionMode::Optimistic];

    /// As the setting spells it.
    pub fn name(self) -> &'static str {
        match self {
            TransactionMode::Pessimistic => "pessimistic",
            TransactionMode::Optimistic => "optimistic",
        }
    }
}

impl FromStr for TransactionMode {
    type Err = SqlError;

    fn from_str(text: &str) -> Result<TransactionMode, SqlError> {
        let name = text.trim().to_ascii_lowercase();
        let mut all = TransactionMode::ALL.into_iter();
        all.find(|mode| mode.name() == name).ok_or_else(|| {
            let message = format!("invalid value for parameter \"bellwether.transaction_mode\": \"{text}\"");
            SqlError::new(ErrorKind::InvalidSetting, message)
                .with_hint("Available values: pessimistic, optimistic.")
        })
    }
}
