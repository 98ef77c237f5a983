//! Bank: money moves and is neither made nor lost. Every read of all accounts shows one moment: balances add up to
//! what they were, none is below zero. The last read shows what the transfers make of the beginning.

use std::collections::{BTreeMap, BTreeSet};

use super::foreign;
use super::verdict::{Anomaly, Verdict, Violation};
use crate::history::{Bank, Call, Operation, Outcome};

/// Judges every read.
pub fn check(calls: &[Call], bank: Option<Bank>, verdict: &mut Verdict) {
    let Some(bank) = bank else {
        let reason = "the header does not say what the bank began with".to_owned();
        verdict.add(Violation::new(Anomaly::Unjudgeable, reason, &[]));
        return;
    };
    for call in calls {
        match &call.operation {
            Operation::Balances(Some(balances)) if call.outcome == Outcome::Ok => {
                verdict.extend(check_read(call, balances, bank));
            }
            Operation::Balances(_) | Operation::Transfer { .. } => {}
            _ => verdict.add(foreign(call)),
        }
    }
    match last_read(calls) {
        Some((read, balances)) => verdict.extend(check_last(calls, read, balances, bank)),
        None => {
            verdict.note("no strong read began after every transfer: balances were not recounted".to_owned())
        }
    }
}

fn check_read(call: &Call, balances: &[(i64, i64)], bank: Bank) -> Vec<Violation> {
    let accounts: BTreeSet<i64> = balances.iter().map(|(account, _)| *account).collect();
    let mut found = Vec::new();
    if accounts.len() != balances.len() || !accounts.into_iter().eq(0..bank.accounts) {
        let explanation = format!("there are accounts 0 to {}", bank.accounts - 1);
        found.push(Violation::new(Anomaly::WrongAccounts, explanation, &[call]));
    }
    let sum: i64 = balances.iter().map(|(_, balance)| balance).sum();
    let expected = bank.accounts * bank.balance;
    if sum != expected {
        let explanation = format!("balances add up to {sum}, not to {expected}");
        found.push(Violation::new(Anomaly::WrongSum, explanation, &[call]));
    }
    if let Some((account, balance)) = balances.iter().find(|(_, balance)| *balance < 0) {
        let explanation = format!("account {account} has {balance}");
        found.push(Violation::new(Anomaly::Negative, explanation, &[call]));
    }
    found
}

/// The last strong read, if it began after every transfer had ended that has an end, and none began later.
fn last_read(calls: &[Call]) -> Option<(&Call, &[(i64, i64)])> {
    let transfers = || calls.iter().filter(|call| call.operation.writes());
    let last_end = transfers().filter_map(|call| call.completed).max();
    let last_begin = transfers().map(|call| call.invoked).max();
    let strong = calls
        .iter()
        .rev()
        .filter(|call| call.outcome == Outcome::Ok && call.strong);
    strong
        .filter(|call| Some(call.invoked) > last_end.max(last_begin))
        .find_map(|call| match &call.operation {
            Operation::Balances(Some(balances)) => Some((call, &balances[..])),
            _ => None,
        })
}

/// Counts anew. An account of a transfer that nobody knows the outcome of is left out.
fn check_last(calls: &[Call], read: &Call, balances: &[(i64, i64)], bank: Bank) -> Vec<Violation> {
    let mut expected: BTreeMap<i64, i64> = (0..bank.accounts)
        .map(|account| (account, bank.balance))
        .collect();
    for call in calls {
        let Operation::Transfer { from, to, amount } = call.operation else {
            continue;
        };
        match call.outcome {
            Outcome::Ok => {
                expected.entry(from).and_modify(|balance| *balance -= amount);
                expected.entry(to).and_modify(|balance| *balance += amount);
            }
            Outcome::Info => {
                expected.remove(&from);
                expected.remove(&to);
            }
            Outcome::Fail => {}
        }
    }
    let wrong = balances
        .iter()
        .filter_map(|(account, balance)| Some((account, balance, expected.get(account)?)));
    wrong
        .filter(|(_, balance, expected)| balance != expected)
        .map(|(account, balance, expected)| {
            let explanation =
                format!("by its acknowledged transfers account {account} has {expected}, not {balance}");
            Violation::new(Anomaly::WrongBalance, explanation, &[read])
        })
        .collect()
}
