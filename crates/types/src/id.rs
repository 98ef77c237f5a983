//! Identifiers. Each is a newtype, so that a node is never taken for a database.

use std::fmt;

/// A process of the cluster. Never zero; given once by configuration and written into the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A database: one SQLite file replicated as a unit by its own group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseId(pub u32);

impl DatabaseId {
    /// The system database: members, roles, settings, the list of databases. On every node.
    pub const SYSTEM: DatabaseId = DatabaseId(0);
    /// The database `postgres`, which a fresh cluster has, as after `initdb`.
    pub const POSTGRES: DatabaseId = DatabaseId(1);
}

/// A cluster. Drawn at random when it is founded; peers and data directories of another one are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u128);

/// A client's session, made by the node that accepted the connection; unique in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u128);

impl SessionId {
    /// 48 bits of time before 80 of chance, as in RFC 9562's UUIDs of version 7.
    pub fn new(unix_ms: u64, chance: [u8; 10]) -> SessionId {
        let mut bytes = [0; 16];
        bytes[..10].copy_from_slice(&chance);
        SessionId(u128::from_le_bytes(bytes) | (u128::from(unix_ms) << 80))
    }

    /// When it began, by the clock of its node, in milliseconds since 1970.
    pub fn began_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }
}

/// Names one transaction of a session, so that a retry is recognised: executed at most once.
/// `sequence` grows by one with each transaction of the session and starts at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// Whose.
    pub session: SessionId,
    /// The how-manieth, from 1.
    pub sequence: u64,
}

/// A table for life: kept over RENAME, never reused within a database. Starts at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// `session:sequence`, the id a client is given to ask about an unknown outcome.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.session, self.sequence)
    }
}

impl RequestId {
    /// As its `Display` writes it; `None`: it is something else.
    pub fn parse(text: &str) -> Option<RequestId> {
        let (session, sequence) = text.split_once(':')?;
        let is_hex = session.len() == 32 && session.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_number = sequence.bytes().all(|byte| byte.is_ascii_digit());
        let session = u128::from_str_radix(session, 16).ok().filter(|_| is_hex)?;
        let sequence = sequence
            .parse()
            .ok()
            .filter(|sequence| is_number && *sequence > 0)?;
        Some(RequestId {
            session: SessionId(session),
            sequence,
        })
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_request_is_read_as_it_is_written() {
        let request = RequestId {
            session: SessionId::new(1_795_000_000_000, [7; 10]),
            sequence: 12,
        };
        assert_eq!(request.session.began_ms(), 1_795_000_000_000);
        let text = request.to_string();
        assert_eq!(RequestId::parse(&text), Some(request), "{text}");
        for wrong in [
            "",
            ":",
            "12",
            &text[1..],
            &text.replace(":12", ":0"),
            &text.replace(":12", ":+1"),
            &text.replace(":12", ":18446744073709551616"),
            &format!("+{}", &text[1..]),
            &format!("0{text}"),
        ] {
            assert_eq!(RequestId::parse(wrong), None, "{wrong}");
        }
    }
}
