//! How the newtypes of `types` look in JSON: numbers as numbers, positions and fingerprints as their text.

use std::fmt;

use bellwether_types::{Fingerprint, LogIndex, NodeId, Position, Term};
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;

macro_rules! as_number {
    ($module:ident, $type:ident) => {
        pub(crate) mod $module {
            use super::*;

            pub fn serialize<S: Serializer>(value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u64(value.0)
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                u64::deserialize(deserializer).map($type)
            }
        }
    };
}

as_number!(node, NodeId);
as_number!(term, Term);
as_number!(log_index, LogIndex);

/// A node that may be unknown: a number or null.
pub(crate) mod maybe_node {
    use super::*;

    pub fn serialize<S: Serializer>(value: &Option<NodeId>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(node) => serializer.serialize_some(&node.0),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NodeId>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(NodeId))
    }
}

/// `HEX/HEX`, as `pg_lsn` prints.
pub(crate) mod position {
    use super::*;

    pub fn serialize<S: Serializer>(value: &Position, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Position, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}

/// 32 hexadecimal digits.
pub(crate) mod fingerprint {
    use super::*;

    pub fn serialize<S: Serializer>(value: &Fingerprint, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Fingerprint, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16)
            .map(Fingerprint)
            .map_err(|_| Error::custom(NotAFingerprint(text)))
    }
}

struct NotAFingerprint(String);

impl fmt::Display for NotAFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid fingerprint {:?}: expected hexadecimal digits", self.0)
    }
}
