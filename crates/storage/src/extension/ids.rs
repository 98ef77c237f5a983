//! Numbers for objects that have no id of their own: from their names, so equal on every replica and the same again
//! after a restart.

use std::collections::HashSet;

use bellwether_types::{ObjectId, TableId};
use xxhash_rust::xxh3::xxh3_64;

/// PostgreSQL's first number for objects that are not its own.
const FIRST_TABLE: u32 = 16_384;
/// Names are spread over what is left below 2³¹, beyond which drivers read negative numbers.
const FIRST_NAMED: u32 = 1 << 30;

/// Gives each number once.
#[derive(Debug, Default)]
pub(super) struct Ids {
    given: HashSet<u32>,
}

/// Of a table that the catalog knows.
pub(super) fn of_table(table: TableId) -> ObjectId {
    ObjectId(FIRST_TABLE + table.0)
}

impl Ids {
    /// By what it is and what it is called. Names that fall on the same number take the next free one: the order of
    /// asking decides, which is that of names.
    pub(super) fn of_name(&mut self, what: &str, name: &str) -> ObjectId {
        let hash = xxh3_64(format!("{what}\0{name}").as_bytes());
        let mut number = FIRST_NAMED + (hash % u64::from(FIRST_NAMED)) as u32;
        while !self.given.insert(number) {
            number = if number == (FIRST_NAMED << 1) - 1 {
                FIRST_NAMED
            } else {
                number + 1
            };
        }
        ObjectId(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number_and_shares_it_with_none() {
        let (mut ids, mut again) = (Ids::default(), Ids::default());
        let mut seen = HashSet::new();
        for name in 0..20_000 {
            let id = ids.of_name("index", &name.to_string());
            assert_eq!(id, again.of_name("index", &name.to_string()));
            assert!(seen.insert(id) && (1 << 30..1u32 << 31).contains(&id.0));
        }
    }
}
