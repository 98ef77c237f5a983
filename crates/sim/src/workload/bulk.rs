//! Transactions larger than a log entry: they travel as several, and become visible at once.

use bellwether_types::Statement;

use super::{IntoValue, sql};
use crate::random::Random;

pub(crate) const TABLE: &str = "CREATE TABLE bulk(batch INTEGER, number INTEGER, body BLOB)";

/// Bytes of each row.
const ROW_BYTES: i64 = 20_000;

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Inserts so many rows, after removing those there were.
    Fill {
        /// Unique in the run.
        batch: i64,
        /// How many.
        rows: i64,
    },
}

impl Action {
    pub(crate) fn draw(random: &mut Random, batch: i64) -> Action {
        Action::Fill {
            batch,
            rows: random.range(60, 500) as i64,
        }
    }

    pub(crate) fn statements(&self) -> Vec<Statement> {
        let Action::Fill { batch, rows } = self;
        vec![
            sql("DELETE FROM bulk", []),
            sql(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2) \
                 INSERT INTO bulk SELECT $1, i, zeroblob($3) FROM n",
                [batch.into_value(), rows.into_value(), ROW_BYTES.into_value()],
            ),
        ]
    }
}
