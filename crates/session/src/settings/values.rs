//! The settings that a client can change, as typed fields.

use std::collections::BTreeMap;

use crate::guarantee::Guarantee;
use crate::transaction_mode::TransactionMode;
use bellwether_types::Durability;

/// A duration as PostgreSQL's settings hold it; 0 switches a timeout off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Milliseconds(pub u32);

/// A size as PostgreSQL's settings hold it; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kilobytes(pub u32);

impl Kilobytes {
    /// The same in bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0) << 10
    }
}

/// The settings that a client can change. Text fields hold what SHOW prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// What reads promise.
    pub read_consistency: Guarantee,
    /// How transactions of several statements write.
    pub transaction_mode: TransactionMode,
    /// When COMMIT is answered.
    pub synchronous_commit: Durability,
    /// How long a read waits for this replica to reach the session's position.
    pub wait_timeout: Milliseconds,
    /// How long a planned switchover waits for transactions that hold the writer.
    pub drain_timeout: Milliseconds,
    /// A statement that runs longer is cancelled; 0: never.
    pub statement_timeout: Milliseconds,
    /// The same, for superusers to set.
    pub statement_limit: Milliseconds,
    /// A statement that answers more is ended; for superusers to set.
    pub result_limit: Kilobytes,
    /// How long a transaction waits for the writer; 0: for ever.
    pub lock_timeout: Milliseconds,
    /// How long a transaction may hold the writer without a word; 0: for ever.
    pub idle_in_transaction_session_timeout: Milliseconds,
    /// Free text, shown where sessions are listed.
    pub application_name: String,
    /// -15 to 3; all of them print the shortest digits that read back exactly.
    pub extra_float_digits: i32,
    /// A list of names, of which only `public` holds tables.
    pub search_path: String,
    /// Whether transactions are read-only unless they say otherwise.
    pub default_transaction_read_only: bool,
    /// Whether transactions are deferrable unless they say otherwise; without effect.
    pub default_transaction_deferrable: bool,
    /// What the running transaction says; `None`: nothing.
    pub transaction_read_only: Option<bool>,
    /// What the running transaction says; without effect.
    pub transaction_deferrable: bool,
    /// Notices below this level are not sent.
    pub client_min_messages: &'static str,
    /// Names with a dot that are nobody's, kept as PostgreSQL keeps placeholders.
    pub custom: BTreeMap<String, String>,
}

impl Values {
    /// Whether a statement may only read: what the transaction says, else the default.
    pub fn read_only(&self) -> bool {
        self.transaction_read_only
            .unwrap_or(self.default_transaction_read_only)
    }
}

impl Default for Values {
    fn default() -> Values {
        Values {
            read_consistency: Guarantee::default(),
            transaction_mode: TransactionMode::default(),
            synchronous_commit: Durability::default(),
            wait_timeout: Milliseconds(5_000),
            drain_timeout: Milliseconds(10_000),
            statement_timeout: Milliseconds(0),
            statement_limit: Milliseconds(0),
            result_limit: Kilobytes(0),
            lock_timeout: Milliseconds(0),
            idle_in_transaction_session_timeout: Milliseconds(10_000),
            application_name: String::new(),
            extra_float_digits: 1,
            search_path: "\"$user\", public".to_owned(),
            default_transaction_read_only: false,
            default_transaction_deferrable: false,
            transaction_read_only: None,
            transaction_deferrable: false,
            client_min_messages: "notice",
            custom: BTreeMap::new(),
        }
    }
}
