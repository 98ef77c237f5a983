//! What a session has seen, as a text that a client can carry from one node to another.

use std::collections::BTreeMap;
use std::fmt;

use bellwether_types::{ClusterId, DatabaseId, DecodeError, Decoder, Encoder, ErrorKind, Position, SqlError};

/// Opens the text form; the digit is the format's version.
const PREFIX: &str = "bw1-";

/// Longest text accepted: about 4,000 databases. A token grows with the databases a session has touched.
const MAX_TEXT_BYTES: usize = 128 * 1024;

/// What a session has seen: at most one position per database, none means "nothing yet".
///
/// Printed as `bw1-` and lower-case hexadecimal digits of: cluster, number of databases, each with its position
/// in ascending order, CRC32C of all that (little-endian). Opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Where the positions are of. Those of another cluster mean nothing here.
    pub cluster: ClusterId,
    /// The highest position seen of each database.
    pub positions: BTreeMap<DatabaseId, Position>,
}

impl Token {
    /// Nothing seen yet.
    pub fn new(cluster: ClusterId) -> Token {
        Token {
            cluster,
            positions: BTreeMap::new(),
        }
    }

    /// What was seen of a database; [`Position::ZERO`] if nothing was.
    pub fn position(&self, database: DatabaseId) -> Position {
        self.positions.get(&database).copied().unwrap_or_default()
    }

    /// Remembers that `position` was seen. Never goes back. Answers whether the token changed.
    pub fn advance(&mut self, database: DatabaseId, position: Position) -> bool {
        if position <= self.position(database) {
            return false;
        }
        self.positions.insert(database, position);
        true
    }

    /// Remembers all that another token of the same cluster has seen.
    pub fn merge(&mut self, other: &Token) -> Result<(), TokenError> {
        if other.cluster != self.cluster {
            return Err(TokenError::OtherCluster {
                expected: self.cluster,
                found: other.cluster,
            });
        }
        for (&database, &position) in &other.positions {
            self.advance(database, position);
        }
        Ok(())
    }

    /// Reads a text form and refuses one of another cluster than `cluster`. An empty text is "nothing seen".
    pub fn parse(text: &str, cluster: ClusterId) -> Result<Token, TokenError> {
        if text.is_empty() {
            return Ok(Token::new(cluster));
        }
        if text.len() > MAX_TEXT_BYTES {
            return Err(TokenError::TooLong { bytes: text.len() });
        }
        let digits = text.strip_prefix(PREFIX).ok_or(TokenError::NotAToken)?;
        let token = Token::decode(&from_hex(digits)?).map_err(TokenError::Damaged)?;
        if token.cluster != cluster {
            return Err(TokenError::OtherCluster {
                expected: cluster,
                found: token.cluster,
            });
        }
        Ok(token)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.u128(self.cluster.0);
        out.u64(self.positions.len() as u64);
        for (database, position) in &self.positions {
            out.u64(u64::from(database.0));
            position.encode(&mut out);
        }
        let checksum = crc32c::crc32c(out.as_slice());
        out.fixed_u32(checksum);
        out.into_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Token, DecodeError> {
        let content_len = bytes.len().checked_sub(4).ok_or(DecodeError::Truncated)?;
        let (content, checksum) = bytes.split_at(content_len);
        if Decoder::new(checksum).fixed_u32()? != crc32c::crc32c(content) {
            return Err(DecodeError::Checksum);
        }
        let mut input = Decoder::new(content);
        let mut token = Token::new(ClusterId(input.u128()?));
        for _ in 0..input.count()? {
            let database = DatabaseId(input.u32("database id")?);
            token.positions.insert(database, Position::decode(&mut input)?);
        }
        input.finish()?;
        Ok(token)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
        let bytes = self.encode();
        let digits: String = bytes
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 0xF)])
            .collect();
        write!(f, "{PREFIX}{digits}")
    }
}

fn from_hex(digits: &str) -> Result<Vec<u8>, TokenError> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(TokenError::NotAToken),
    };
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(TokenError::Damaged(DecodeError::Truncated));
    }
    pairs
        .iter()
        .map(|&[high, low]| Ok(nibble(high)? << 4 | nibble(low)?))
        .collect()
}

/// Why a text is not this cluster's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenError {
    /// Neither the prefix nor hexadecimal digits.
    NotAToken,
    /// Longer than any token.
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Cut off or changed on its way.
    Damaged(DecodeError),
    /// Of another cluster.
    OtherCluster {
        /// This cluster.
        expected: ClusterId,
        /// The token's.
        found: ClusterId,
    },
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::NotAToken => write!(f, "not a session token: it does not look like {PREFIX}0123abcd"),
            TokenError::TooLong { bytes } => write!(f, "not a session token: it is {bytes} bytes long"),
            TokenError::Damaged(error) => write!(f, "the session token is damaged: {error}"),
            TokenError::OtherCluster { expected, found } => {
                write!(
                    f,
                    "the session token is of cluster {found}, this is cluster {expected}"
                )
            }
        }
    }
}

impl std::error::Error for TokenError {}

impl From<TokenError> for SqlError {
    fn from(error: TokenError) -> SqlError {
        let kind = match error {
            TokenError::OtherCluster { .. } => ErrorKind::WrongBranch,
            TokenError::NotAToken | TokenError::TooLong { .. } | TokenError::Damaged(_) => {
                ErrorKind::InvalidSetting
            }
        };
        SqlError::new(kind, error.to_string()).with_hint(
            "Pass the value that the server reported as bellwether.session_token, or an empty text.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLUSTER: ClusterId = ClusterId(0xC0FFEE);

    fn token(positions: &[(u32, u64, u64)]) -> Token {
        let mut token = Token::new(CLUSTER);
        for &(database, term, index) in positions {
            token.advance(DatabaseId(database), Position::new(term, index));
        }
        token
    }

    #[test]
    fn a_token_never_goes_back() {
        let mut token = token(&[(1, 2, 9)]);
        assert!(!token.advance(DatabaseId(1), Position::new(2, 9)));
        assert!(!token.advance(DatabaseId(1), Position::new(1, 50)));
        assert!(token.advance(DatabaseId(1), Position::new(3, 10)));
        assert_eq!(token.position(DatabaseId(1)), Position::new(3, 10));
        assert_eq!(token.position(DatabaseId(2)), Position::ZERO);
    }

    #[test]
    fn merging_takes_the_later_position_of_each_database() {
        let mut merged = token(&[(1, 1, 5), (2, 1, 1)]);
        merged
            .merge(&token(&[(1, 1, 3), (2, 1, 7), (3, 1, 1)]))
            .expect("same cluster");
        assert_eq!(merged, token(&[(1, 1, 5), (2, 1, 7), (3, 1, 1)]));
    }

    #[test]
    fn the_text_form_is_frozen() {
        let text = token(&[(1, 2, 300)]).to_string();
        assert_eq!(
            text,
            "bw1-eeffc0000000000000000000000000000101".to_owned() + "02ac02" + &text[text.len() - 8..]
        );
        assert_eq!(Token::parse(&text, CLUSTER), Ok(token(&[(1, 2, 300)])));
    }

    #[test]
    fn a_token_of_another_cluster_is_of_the_wrong_branch() {
        let error = Token::parse(&token(&[]).to_string(), ClusterId(1)).expect_err("another cluster");
        assert_eq!(SqlError::from(error).kind, ErrorKind::WrongBranch);
    }

    #[test]
    fn what_is_not_a_token_is_refused_with_its_reason() {
        for (text, reason) in [
            ("hello", "not a session token: it does not look like bw1-0123abcd"),
            (
                "bw2-00",
                "not a session token: it does not look like bw1-0123abcd",
            ),
            (
                "bw1-0",
                "the session token is damaged: the bytes end before the value does",
            ),
            (
                "bw1-00",
                "the session token is damaged: the bytes end before the value does",
            ),
            (
                "bw1-0000000000",
                "the session token is damaged: checksum mismatch",
            ),
        ] {
            let error = Token::parse(text, CLUSTER).expect_err(text);
            assert_eq!(error.to_string(), reason, "{text}");
        }
        assert_eq!(Token::parse("", CLUSTER), Ok(Token::new(CLUSTER)));
    }

    proptest! {
        #[test]
        fn every_token_survives_its_text(positions in prop::collection::vec(any::<(u32, u64, u64)>(), 0..20)) {
            let token = token(&positions);
            prop_assert_eq!(Token::parse(&token.to_string(), CLUSTER), Ok(token));
        }

        #[test]
        fn one_changed_digit_is_noticed(index in any::<u64>(), at in 4usize..40, digit in 0u32..16) {
            let text = token(&[(1, 1, index)]).to_string();
            let digit = char::from_digit(digit, 16).expect("below 16");
            let mut changed: Vec<char> = text.chars().collect();
            prop_assume!(changed[at] != digit);
            changed[at] = digit;
            prop_assert!(Token::parse(&changed.into_iter().collect::<String>(), CLUSTER).is_err());
        }

        #[test]
        fn any_text_is_answered(text in "(bw1-)?([0-9a-f]{0,80}|\\PC{0,20})") {
            let _ = Token::parse(&text, CLUSTER);
        }
    }
}
