//! A bank: money moves between accounts and is never made or lost. Overdrafts fail, for certain.

use bellwether_types::Statement;

use super::{IntoValue, Rows, integer, sql};
use crate::random::Random;

const ACCOUNTS_COUNT: i64 = 5;
const OPENING_BALANCE: i64 = 100;

/// What all balances sum up to, always.
pub const TOTAL: i64 = ACCOUNTS_COUNT * OPENING_BALANCE;

pub(crate) const ACCOUNTS: &str =
    "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0))";
pub(crate) const TRANSFERS: &str = "CREATE TABLE transfer(id INTEGER PRIMARY KEY AUTOINCREMENT, \
     debit INTEGER NOT NULL REFERENCES account(id), credit INTEGER NOT NULL REFERENCES account(id), \
     amount INTEGER NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)";
pub(crate) const FUNDS: &str = "INSERT INTO account VALUES (0,100),(1,100),(2,100),(3,100),(4,100)";

/// What is done at the bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Moves money.
    Transfer {
        /// From this account.
        debit: i64,
        /// To that one.
        credit: i64,
        /// So much.
        amount: i64,
    },
    /// Reads all balances.
    Balances,
}

impl Action {
    pub(crate) fn transfer(random: &mut Random) -> Action {
        let accounts = ACCOUNTS_COUNT as u64;
        let debit = random.range(0, accounts);
        let credit = (debit + random.range(1, accounts)) % accounts;
        // Seldom to an account that does not exist: the foreign key refuses.
        let credit = if random.per_mille(30) { 99 } else { credit };
        Action::Transfer {
            debit: debit as i64,
            credit: credit as i64,
            amount: random.range(1, 90) as i64,
        }
    }

    pub(crate) fn statements(&self) -> Vec<Statement> {
        let Action::Transfer {
            debit,
            credit,
            amount,
        } = self
        else {
            return vec![sql("SELECT id, balance FROM account ORDER BY id", [])];
        };
        vec![
            sql(
                "UPDATE account SET balance = balance - $2 WHERE id = $1",
                [debit.into_value(), amount.into_value()],
            ),
            sql(
                "UPDATE account SET balance = balance + $2 WHERE id = $1",
                [credit.into_value(), amount.into_value()],
            ),
            sql(
                "INSERT INTO transfer(debit, credit, amount) VALUES ($1, $2, $3)",
                [debit.into_value(), credit.into_value(), amount.into_value()],
            ),
        ]
    }
}

/// The sum of all balances in rows of (id, balance).
pub fn total(rows: &Rows) -> i64 {
    rows.iter().filter_map(|row| integer(row, 1)).sum()
}
