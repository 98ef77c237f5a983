//! What single reads show: elements that must not be there, and the order of those that must.

use std::collections::{HashMap, HashSet};

use super::{Lists, Orders, Transaction};
use crate::checker::verdict::{Anomaly, Verdict, Violation};
use crate::history::{Outcome, Step};

/// Elements that a read must not show, and transactions that do not see themselves.
pub(super) fn check(transactions: &[Transaction<'_>], lists: &Lists) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, transaction) in transactions
        .iter()
        .enumerate()
        .filter(|(_, transaction)| transaction.is_ok())
    {
        found.extend(internal(transaction));
        for step in transaction.steps {
            if let Step::Read(key, Some(list)) = step {
                found.extend(duplicate(transaction, *key, list));
                found.extend(foreign_elements(transactions, at, lists, *key, list));
                found.extend(intermediate(transactions, at, lists, *key, list));
            }
        }
    }
    found
}

/// A transaction's reads of a list agree with its own reads and appends before.
fn internal(transaction: &Transaction<'_>) -> Option<Violation> {
    /// What is known of a list within the transaction.
    enum Known {
        Whole(Vec<i64>),
        End(Vec<i64>),
    }
    let mut known: HashMap<i64, Known> = HashMap::new();
    for step in transaction.steps {
        match step {
            Step::Append(key, element) => match known.entry(*key).or_insert_with(|| Known::End(Vec::new())) {
                Known::Whole(list) | Known::End(list) => list.push(*element),
            },
            Step::Read(key, Some(list)) => {
                let wrong = match known.get(key) {
                    Some(Known::Whole(expected)) if list != expected => Some(format!("is not {expected:?}")),
                    Some(Known::End(expected)) if !list.ends_with(expected) => {
                        Some(format!("does not end with {expected:?}"))
                    }
                    _ => None,
                };
                if let Some(wrong) = wrong {
                    let explanation = format!(
                        "by what the transaction did before, a read of list {key} is wrong: {list:?} {wrong}"
                    );
                    return Some(Violation::new(
                        Anomaly::Internal,
                        explanation,
                        &[transaction.call],
                    ));
                }
                known.insert(*key, Known::Whole(list.clone()));
            }
            Step::Read(_, None) => {}
        }
    }
    None
}

fn duplicate(transaction: &Transaction<'_>, key: i64, list: &[i64]) -> Option<Violation> {
    let mut met = HashSet::new();
    let twice = list.iter().find(|element| !met.insert(**element))?;
    let explanation = format!("element {twice} is in list {key} twice");
    Some(Violation::new(
        Anomaly::Duplicate,
        explanation,
        &[transaction.call],
    ))
}

/// Elements of nobody, of transactions that failed, and of those that began later.
fn foreign_elements(
    transactions: &[Transaction<'_>],
    at: usize,
    lists: &Lists,
    key: i64,
    list: &[i64],
) -> Vec<Violation> {
    let reader = transactions[at].call;
    let judge = |&element: &i64| {
        let Some(writer) = lists.writer(key, element) else {
            let explanation = format!("nobody appended {element} to list {key}");
            return Some(Violation::new(Anomaly::Phantom, explanation, &[reader]));
        };
        let writer = transactions[writer].call;
        if writer.outcome == Outcome::Fail {
            let explanation = format!("{element} is in list {key}, and its transaction failed");
            return Some(Violation::new(
                Anomaly::AbortedRead,
                explanation,
                &[writer, reader],
            ));
        }
        if Some(writer.invoked) > reader.completed {
            let explanation = format!("{element} was in list {key} before its transaction began");
            return Some(Violation::new(Anomaly::Future, explanation, &[reader, writer]));
        }
        None
    };
    list.iter().filter_map(judge).collect()
}

/// A list that ends within another transaction.
fn intermediate(
    transactions: &[Transaction<'_>],
    at: usize,
    lists: &Lists,
    key: i64,
    list: &[i64],
) -> Option<Violation> {
    let last = *list.last()?;
    let writer = lists.writer(key, last).filter(|writer| *writer != at)?;
    let next = lists.intermediate.get(&(key, last))?;
    let explanation =
        format!("list {key} ends with {last}, after which the same transaction appended {next}");
    let calls = [transactions[writer].call, transactions[at].call];
    Some(Violation::new(Anomaly::IntermediateRead, explanation, &calls))
}

/// The order of each list's elements, by its longest read. All other reads must be its beginning.
pub(super) fn orders<'a>(transactions: &[Transaction<'a>], verdict: &mut Verdict) -> Orders<'a> {
    let mut orders: Orders<'a> = Orders::new();
    let reads = || {
        let answered = transactions
            .iter()
            .enumerate()
            .filter(|(_, transaction)| transaction.is_ok());
        answered.flat_map(|(at, transaction)| transaction.steps.iter().map(move |step| (at, step)))
    };
    for (at, step) in reads() {
        if let Step::Read(key, Some(list)) = step {
            let longest = orders.entry(*key).or_insert((&[], at));
            if list.len() > longest.0.len() {
                *longest = (list, at);
            }
        }
    }
    for (at, step) in reads() {
        if let Step::Read(key, Some(list)) = step {
            let (longest, reader) = orders[key];
            if !longest.starts_with(list) {
                let explanation =
                    format!("two reads of list {key}, neither of which is the other's beginning");
                let calls = [transactions[at].call, transactions[reader].call];
                verdict.add(Violation::new(Anomaly::IncompatibleOrder, explanation, &calls));
            }
        }
    }
    orders
}

/// Everything that any answered read shows: key and element.
pub(super) fn shown(transactions: &[Transaction<'_>]) -> HashSet<(i64, i64)> {
    let mut shown = HashSet::new();
    for transaction in transactions.iter().filter(|transaction| transaction.is_ok()) {
        for step in transaction.steps {
            if let Step::Read(key, Some(list)) = step {
                shown.extend(list.iter().map(|element| (*key, *element)));
            }
        }
    }
    shown
}

/// Acknowledged appends that no read shows, although a strong one of the list began later.
pub(super) fn lost(transactions: &[Transaction<'_>], shown: &HashSet<(i64, i64)>) -> Vec<Violation> {
    let mut last_strong: HashMap<i64, usize> = HashMap::new();
    for (at, transaction) in transactions.iter().enumerate() {
        if transaction.call.strong {
            last_strong.extend(transaction.reads_of_others().map(|(key, _)| (key, at)));
        }
    }
    let mut found = Vec::new();
    for transaction in transactions.iter().filter(|transaction| transaction.is_ok()) {
        for step in transaction.steps {
            let Step::Append(key, element) = step else {
                continue;
            };
            let reader = last_strong.get(key).map(|reader| transactions[*reader].call);
            let later = reader.filter(|reader| Some(reader.invoked) > transaction.call.completed);
            if let (false, Some(reader)) = (shown.contains(&(*key, *element)), later) {
                let explanation = format!("{element} was appended to list {key}, and no read shows it");
                found.push(Violation::new(
                    Anomaly::Lost,
                    explanation,
                    &[transaction.call, reader],
                ));
            }
        }
    }
    found
}
