//! From lists, processes and time to who came before whom.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::graph::{Graph, Kinds, Reason};
use super::{Lists, Orders, Transaction};
use crate::history::Step;

/// So many appends that no read shows are put after a transaction that is one of them itself.
const UNSEEN_MAX: usize = 64;

/// Edges between all transactions that happened: acknowledged ones, and unknown ones of which something was seen.
pub(super) fn graph(
    transactions: &[Transaction<'_>],
    lists: &Lists,
    orders: &Orders<'_>,
    shown: &HashSet<(i64, i64)>,
) -> Graph {
    let mut graph = Graph::new(transactions.len());
    for (key, (list, _)) in orders {
        add_writes(&mut graph, lists, *key, list);
    }
    add_reads(&mut graph, transactions, lists, orders);
    add_unseen(
        &mut graph,
        transactions,
        lists,
        orders,
        &unseen(transactions, orders, shown),
    );
    let happened = happened(transactions, lists, orders);
    add_processes(&mut graph, transactions, &happened);
    add_time(&mut graph, transactions, &happened);
    graph
}

/// Each element's transaction before the next element's.
fn add_writes(graph: &mut Graph, lists: &Lists, key: i64, list: &[i64]) {
    for pair in list.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        if let (Some(first), Some(second)) = (lists.writer(key, before), lists.writer(key, after)) {
            graph.add(
                first,
                second,
                Reason::WriteWrite { key, before, after },
                Kinds::WW,
            );
        }
    }
}

/// The last element's transaction before the reader, the reader before the next element's.
fn add_reads(graph: &mut Graph, transactions: &[Transaction<'_>], lists: &Lists, orders: &Orders<'_>) {
    for (reader, transaction) in transactions.iter().enumerate() {
        for (key, list) in transaction.reads_of_others() {
            let order = orders[&key].0;
            if !order.starts_with(list) {
                continue; // reported as an incompatible order
            }
            if let Some(&element) = list.last()
                && let Some(writer) = lists.writer(key, element)
            {
                graph.add(writer, reader, Reason::WriteRead { key, element }, Kinds::WR);
            }
            if let Some(&element) = order.get(list.len())
                && let Some(writer) = lists.writer(key, element)
            {
                graph.add(reader, writer, Reason::ReadWrite { key, element }, Kinds::RW);
            }
        }
    }
}

/// Acknowledged appends that the longest read does not show come after all that it shows, and after all who read it.
/// One vertex stands between the many of both sides.
fn add_unseen(
    graph: &mut Graph,
    transactions: &[Transaction<'_>],
    lists: &Lists,
    orders: &Orders<'_>,
    unseen: &Unseen,
) {
    let mut ends: BTreeMap<i64, usize> = BTreeMap::new();
    for (key, appends) in unseen {
        let end = graph.add_vertex();
        ends.insert(*key, end);
        let last = orders[key].0.last();
        for (element, writer) in appends {
            let (key, element) = (*key, *element);
            if let Some(&before) = last
                && let Some(last) = lists.writer(key, before)
            {
                let after = element;
                graph.add(
                    last,
                    *writer,
                    Reason::WriteWrite { key, before, after },
                    Kinds::WW,
                );
            }
            graph.add(end, *writer, Reason::ReadWrite { key, element }, Kinds::RW);
        }
    }
    for (reader, transaction) in transactions.iter().enumerate() {
        for (key, list) in transaction.reads_of_others() {
            let Some(&end) = ends.get(&key).filter(|_| list.len() == orders[&key].0.len()) else {
                continue;
            };
            let appends = &unseen[&key];
            if appends.iter().all(|(_, writer)| *writer != reader) {
                // As data, of whatever is looked for: the edge behind it says what it is.
                graph.add(reader, end, Reason::Through, Kinds::WR);
                continue;
            }
            // It is on both sides, and not before itself. Two such transactions are a violation, so there are few.
            for (element, writer) in appends.iter().take(UNSEEN_MAX) {
                let element = *element;
                graph.add(reader, *writer, Reason::ReadWrite { key, element }, Kinds::RW);
            }
        }
    }
}

/// By key: acknowledged appends that no read shows, with their transactions.
type Unseen = BTreeMap<i64, Vec<(i64, usize)>>;

/// Only of lists that were read.
fn unseen(transactions: &[Transaction<'_>], orders: &Orders<'_>, shown: &HashSet<(i64, i64)>) -> Unseen {
    let mut unseen = Unseen::new();
    for (writer, transaction) in transactions
        .iter()
        .enumerate()
        .filter(|(_, transaction)| transaction.is_ok())
    {
        for step in transaction.steps {
            let Step::Append(key, element) = *step else {
                continue;
            };
            if orders.contains_key(&key) && !shown.contains(&(key, element)) {
                unseen.entry(key).or_default().push((element, writer));
            }
        }
    }
    unseen
}

fn happened(transactions: &[Transaction<'_>], lists: &Lists, orders: &Orders<'_>) -> Vec<bool> {
    let mut happened: Vec<bool> = transactions.iter().map(Transaction::is_ok).collect();
    for (key, (list, _)) in orders {
        for element in *list {
            if let Some(writer) = lists.writer(*key, *element) {
                happened[writer] = true;
            }
        }
    }
    happened
}

/// One process's transactions in turn.
fn add_processes(graph: &mut Graph, transactions: &[Transaction<'_>], happened: &[bool]) {
    let mut last: HashMap<u64, usize> = HashMap::new();
    for (at, transaction) in transactions.iter().enumerate().filter(|(at, _)| happened[*at]) {
        if let Some(before) = last.insert(transaction.call.process, at) {
            graph.add(before, at, Reason::Process, Kinds::PROCESS);
        }
    }
}

/// Everything that had ended before everything that begins later and promises to come after it. Moments are a chain
/// of vertices, one for each end, so that there are as many edges as events.
fn add_time(graph: &mut Graph, transactions: &[Transaction<'_>], happened: &[bool]) {
    let mut events: Vec<(u64, usize, bool)> = Vec::new();
    for (at, transaction) in transactions.iter().enumerate().filter(|(at, _)| happened[*at]) {
        let writes = transaction.call.operation.writes();
        if transaction.call.strong || writes {
            events.push((transaction.call.invoked, at, false));
        }
        events.extend(transaction.call.completed.map(|end| (end, at, true)));
    }
    events.sort_unstable();
    let mut moment: Option<usize> = None;
    for (_, at, is_end) in events {
        if is_end {
            let next = graph.add_vertex();
            if let Some(moment) = moment {
                graph.add(moment, next, Reason::Through, Kinds::REALTIME);
            }
            graph.add(at, next, Reason::Through, Kinds::REALTIME);
            moment = Some(next);
        } else if let Some(moment) = moment {
            graph.add(moment, at, Reason::Realtime, Kinds::REALTIME);
        }
    }
}
