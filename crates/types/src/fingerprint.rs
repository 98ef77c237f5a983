//! An order-independent hash of logical content, kept incrementally.

use std::fmt;

use crate::codec::Encoder;

/// A 128-bit sum of row hashes: adding and taking away rows in any order gives the same sum for the same rows.
/// A table's is the sum over its rows, a database's the sum over its tables. Zero for no rows.
///
/// Against accidents, not against an adversary: a sum of XXH3 hashes can be forged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    /// Of one row, given its canonical encoding.
    pub fn of_row(encoded: &[u8]) -> Fingerprint {
        Fingerprint(xxhash_rust::xxh3::xxh3_128(encoded))
    }

    /// With a row (or table) more.
    #[must_use]
    pub fn plus(self, other: Fingerprint) -> Fingerprint {
        Fingerprint(self.0.wrapping_add(other.0))
    }

    /// With a row (or table) less.
    #[must_use]
    pub fn minus(self, other: Fingerprint) -> Fingerprint {
        Fingerprint(self.0.wrapping_sub(other.0))
    }

    /// 16 bytes.
    pub fn encode(self, out: &mut Encoder) {
        out.u128(self.0);
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
