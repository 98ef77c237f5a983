//! list-append: transactions are serializable, and their order agrees with what clients could know of it. After
//! Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations" (VLDB 2020).
//!
//! Elements are unique and lists only grow, so a read shows the order of all appends before it. From this follow
//! dependencies between transactions, and a circle of them cannot be.
//!
//! What the order must agree with:
//! - each process: its operations took effect in turn (read-your-writes and monotonic reads among others);
//! - time, for transactions that write and for `strong` reads: whatever ended before they began is before them. A
//!   `session` read may show an older moment and has only its process.
//!
//! With strong reads alone this is strict serializability; of session reads it is strong session serializability.

mod cycles;
mod dependencies;
mod graph;
mod reads;

use std::collections::{BTreeMap, HashMap};

use super::verdict::Verdict;
use super::{foreign, written_twice};
use crate::history::{Call, Operation, Outcome, Step};

/// Judges all transactions.
pub fn check(calls: &[Call], verdict: &mut Verdict) {
    let transactions: Vec<Transaction<'_>> = calls.iter().filter_map(Transaction::of).collect();
    verdict.extend(
        calls
            .iter()
            .filter(|call| Transaction::of(call).is_none())
            .map(foreign),
    );
    let appends = transactions.iter().flat_map(|transaction| {
        let appends = transaction.steps.iter().filter_map(|step| match step {
            Step::Append(key, element) => Some((*key, *element)),
            Step::Read(..) => None,
        });
        appends.map(|element| (element, transaction.call))
    });
    let twice = written_twice(appends);
    if !twice.is_empty() {
        verdict.extend(twice);
        return;
    }
    let lists = Lists::of(&transactions);
    verdict.extend(reads::check(&transactions, &lists));
    let orders = reads::orders(&transactions, verdict);
    let shown = reads::shown(&transactions);
    verdict.extend(reads::lost(&transactions, &shown));
    let graph = dependencies::graph(&transactions, &lists, &orders, &shown);
    verdict.extend(cycles::find(&graph, &transactions));
}

/// A transaction and what it did.
pub(crate) struct Transaction<'a> {
    pub call: &'a Call,
    pub steps: &'a [Step],
}

impl<'a> Transaction<'a> {
    fn of(call: &'a Call) -> Option<Transaction<'a>> {
        match &call.operation {
            Operation::Txn(steps) => Some(Transaction { call, steps }),
            _ => None,
        }
    }

    fn is_ok(&self) -> bool {
        self.call.outcome == Outcome::Ok
    }

    /// Keys and lists of the reads that were answered. Before its own appends to the key: of the others' making alone.
    fn reads_of_others(&self) -> impl Iterator<Item = (i64, &'a [i64])> {
        let answered: &'a [Step] = if self.is_ok() { self.steps } else { &[] };
        let mut appended: HashMap<i64, usize> = HashMap::new();
        answered.iter().filter_map(move |step| match step {
            Step::Append(key, _) => {
                *appended.entry(*key).or_default() += 1;
                None
            }
            // A read after own appends shows what others did, and then these; whether it does is looked at elsewhere.
            Step::Read(key, list) => {
                let list = list.as_deref()?;
                let own = appended.get(key).copied().unwrap_or_default();
                Some((*key, &list[..list.len().saturating_sub(own)]))
            }
        })
    }
}

/// Who appended what.
pub(crate) struct Lists {
    /// The transaction of an element of a list.
    writers: HashMap<(i64, i64), usize>,
    /// Elements that a later append of the same transaction to the same list follows.
    intermediate: HashMap<(i64, i64), i64>,
}

impl Lists {
    fn of(transactions: &[Transaction<'_>]) -> Lists {
        let mut lists = Lists {
            writers: HashMap::new(),
            intermediate: HashMap::new(),
        };
        for (at, transaction) in transactions.iter().enumerate() {
            let mut last: HashMap<i64, i64> = HashMap::new();
            for step in transaction.steps {
                let Step::Append(key, element) = step else {
                    continue;
                };
                lists.writers.insert((*key, *element), at);
                if let Some(before) = last.insert(*key, *element) {
                    lists.intermediate.insert((*key, before), *element);
                }
            }
        }
        lists
    }

    fn writer(&self, key: i64, element: i64) -> Option<usize> {
        self.writers.get(&(key, element)).copied()
    }
}

/// The longest list that was read of each key, with the transaction that read it.
pub(crate) type Orders<'a> = BTreeMap<i64, (&'a [i64], usize)>;
