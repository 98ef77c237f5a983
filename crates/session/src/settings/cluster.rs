//! Settings that are the cluster's, not a session's: ALTER SYSTEM changes them, for everybody.

use bellwether_types::{SqlError, StandbyRule};

use super::parse::{milliseconds, print_milliseconds};
use super::values::Milliseconds;

const STANDBY_NAMES: &str = "synchronous_standby_names";
const DEGRADE_AFTER: &str = "bellwether.sync_degrade_after";

/// Their names, with what they are.
pub const OF_CLUSTER: [(&str, &str); 2] = [
    (
        STANDBY_NAMES,
        "Which nodes commits wait for besides the quorum: ANY k (...), FIRST k (...), * or nothing.",
    ),
    (
        DEGRADE_AFTER,
        "After so long without those nodes commits wait for the quorum alone, until they are back; 0: never.",
    ),
];

/// Their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterValues {
    /// Whom commits wait for besides the quorum.
    pub synchronous_standby_names: StandbyRule,
    /// How long they wait for them before they go on without; 0: for ever.
    pub sync_degrade_after: Milliseconds,
}

/// Whether it is one of them.
pub fn is_of_cluster(name: &str) -> bool {
    OF_CLUSTER
        .iter()
        .any(|(known, _)| known.eq_ignore_ascii_case(name))
}

impl ClusterValues {
    /// One of `OF_CLUSTER`; others are left alone.
    pub fn assign(&mut self, name: &str, text: &str) -> Result<(), SqlError> {
        if name.eq_ignore_ascii_case(STANDBY_NAMES) {
            self.synchronous_standby_names = text.parse()?;
        } else if name.eq_ignore_ascii_case(DEGRADE_AFTER) {
            self.sync_degrade_after = milliseconds(DEGRADE_AFTER, text)?;
        }
        Ok(())
    }

    /// SHOW: the name as it is spelt, and the value.
    pub fn show(&self, name: &str) -> Option<(String, String)> {
        let (name, _) = OF_CLUSTER
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        let value = match *name {
            STANDBY_NAMES => self.synchronous_standby_names.to_string(),
            _ => print_milliseconds(self.sync_degrade_after),
        };
        Some(((*name).to_owned(), value))
    }
}
