//! Transfers between accounts: read both, then write both, as programs do that know no better. Only a database that
//! keeps transactions apart keeps the sum.

use crate::history::{Bank, Operation};
use crate::random::Random;
use crate::session::{Session, Trouble};

/// What every run begins with. Few accounts, so that clients meet; little money, so that some transfers are declined.
pub const BANK: Bank = Bank {
    accounts: 6,
    balance: 20,
};

const AMOUNT_MAX: usize = 10;

pub(super) fn tables() -> Vec<String> {
    let accounts = (0..BANK.accounts).map(|account| format!("({account}, {})", BANK.balance));
    let accounts: Vec<String> = accounts.collect();
    vec![
        "CREATE TABLE accounts (account INTEGER PRIMARY KEY, balance INTEGER NOT NULL)".to_owned(),
        format!("INSERT INTO accounts VALUES {}", accounts.join(", ")),
    ]
}

pub(super) fn draw(random: &mut Random) -> Operation {
    if random.percent(40) {
        return Operation::Balances(None);
    }
    let accounts = BANK.accounts as usize;
    let from = random.below(accounts);
    let to = (from + 1 + random.below(accounts - 1)) % accounts;
    Operation::Transfer {
        from: from as i64,
        to: to as i64,
        amount: 1 + random.below(AMOUNT_MAX) as i64,
    }
}

pub(super) async fn perform(session: &Session, operation: &Operation) -> Result<Operation, Trouble> {
    match operation {
        Operation::Balances(_) => {
            let answer = session
                .execute("SELECT account, balance FROM accounts ORDER BY account")
                .await?;
            let balances = answer.integers(0)?.into_iter().zip(answer.integers(1)?).collect();
            Ok(Operation::Balances(Some(balances)))
        }
        Operation::Transfer { from, to, amount } => {
            let transfer = transfer(session, *from, *to, *amount);
            session.transaction(transfer).await?;
            Ok(operation.clone())
        }
        _ => Err(Trouble::declined("no operation of a bank")),
    }
}

async fn transfer(session: &Session, from: i64, to: i64, amount: i64) -> Result<(), Trouble> {
    let from_balance = balance(session, from).await?;
    let to_balance = balance(session, to).await?;
    if from_balance < amount {
        return Err(Trouble::declined("there is not enough"));
    }
    for (account, balance) in [(from, from_balance - amount), (to, to_balance + amount)] {
        let sql = format!("UPDATE accounts SET balance = {balance} WHERE account = {account}");
        session.execute(&sql).await?;
    }
    Ok(())
}

async fn balance(session: &Session, account: i64) -> Result<i64, Trouble> {
    let sql = format!("SELECT balance FROM accounts WHERE account = {account}");
    let balances = session.execute(&sql).await?.integers(0)?;
    balances
        .first()
        .copied()
        .ok_or_else(|| Trouble::declined("there is no such account"))
}
