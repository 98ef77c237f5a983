//! What a client has seen of a result, in 16 bytes.

use bellwether_storage::Cursor;
use bellwether_types::Fingerprint;
use bellwether_types::codec::Encoder;

/// Rows in their order: a chain of hashes.
#[derive(Debug, Default, Clone)]
pub(crate) struct RowDigest {
    chain: Fingerprint,
    rows: u64,
    row: Encoder,
}

impl RowDigest {
    /// The row on which the cursor stands.
    pub fn add(&mut self, cursor: &Cursor) {
        self.row.clear();
        self.row.u128(self.chain.0);
        for column in 0..cursor.columns().len() {
            cursor.value(column).encode(&mut self.row);
        }
        self.chain = Fingerprint::of_row(self.row.as_slice());
        self.rows += 1;
    }

    /// How many rows were added.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Of everything added.
    pub fn finish(&self) -> u128 {
        self.chain.0
    }
}
