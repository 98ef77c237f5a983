//! Circles of transactions, each told by the worst name that fits it and by the fewest transactions.

use super::Transaction;
use super::graph::{Edge, Graph, Kinds, Reason, Walk};
use crate::checker::verdict::{Anomaly, CycleKind, OrderKind, Violation};
use crate::history::Call;

/// Places at which a circle is begun to be looked for within one knot; the shortest of what they give is told.
const BEGINNINGS_MAX: usize = 64;

/// Writes over what was read that are tried in one knot. Of a larger knot a G-single may be told as a G2.
const OVERWRITES_MAX: usize = 1_000;

/// One violation for each knot of transactions: breaking that circle may leave others, which a person sees next time.
pub(super) fn find(graph: &Graph, transactions: &[Transaction<'_>]) -> Vec<Violation> {
    let all: Vec<usize> = (0..graph.len()).collect();
    let knots = graph.knots(Kinds::ALL, &all);
    let worst = |knot: &Vec<usize>| {
        let (anomaly, walk) = worst(graph, knot)?;
        Some(violation(anomaly, &walk, graph, transactions))
    };
    knots.iter().filter_map(worst).collect()
}

/// The first that is there: with data alone, then with processes, then with time; writes alone, then with reads, then
/// with one write over what was read, then with several.
fn worst(graph: &Graph, knot: &[usize]) -> Option<(Anomaly, Walk)> {
    let writes = Kinds::WW;
    let reads = writes.and(Kinds::WR);
    let orders = [
        (OrderKind::Data, None),
        (OrderKind::Process, Some(Kinds::PROCESS)),
        (OrderKind::Realtime, Some(Kinds::PROCESS.and(Kinds::REALTIME))),
    ];
    for (order, more) in orders {
        let with = |kinds: Kinds| more.map_or(kinds, |more| kinds.and(more));
        let all = with(reads.and(Kinds::RW));
        let found = circle(graph, knot, with(writes))
            .map(|walk| (CycleKind::G0, walk))
            .or_else(|| circle(graph, knot, with(reads)).map(|walk| (CycleKind::G1c, walk)))
            .or_else(|| circle_with_one(graph, knot, with(reads)).map(|walk| (CycleKind::GSingle, walk)))
            .or_else(|| circle(graph, knot, all).map(|walk| (CycleKind::G2, walk)));
        if let Some((kind, walk)) = found {
            return Some((Anomaly::Cycle(kind, order), walk));
        }
    }
    None
}

/// A short circle over edges of these kinds.
fn circle(graph: &Graph, knot: &[usize], kinds: Kinds) -> Option<Walk> {
    let inner = graph.knots(kinds, knot);
    let inner = inner.into_iter().min_by_key(Vec::len)?;
    let mut is_in = vec![false; graph.len()];
    for &vertex in &inner {
        is_in[vertex] = true;
    }
    let real = inner.iter().filter(|vertex| **vertex < graph.transactions);
    let walks = real
        .take(BEGINNINGS_MAX)
        .filter_map(|&vertex| graph.shortest(vertex, vertex, kinds, |vertex| is_in[vertex]));
    walks.min_by_key(|walk| shown_len(walk, graph))
}

/// A short circle of one write over what was read, and edges of these kinds.
fn circle_with_one(graph: &Graph, knot: &[usize], kinds: Kinds) -> Option<Walk> {
    let mut is_in = vec![false; graph.len()];
    for &vertex in knot {
        is_in[vertex] = true;
    }
    let overwrites = knot.iter().flat_map(|&from| {
        let edges = graph.edges(from, Kinds::RW).filter(|edge| is_in[edge.to]);
        edges.map(move |edge| (from, edge))
    });
    let walks = overwrites.take(OVERWRITES_MAX).filter_map(|(from, edge)| {
        let mut walk = graph.shortest(edge.to, from, kinds, |vertex| is_in[vertex])?;
        walk.insert(0, (from, edge));
        Some(walk)
    });
    walks
        .take(BEGINNINGS_MAX)
        .min_by_key(|walk| shown_len(walk, graph))
}

fn shown_len(walk: &Walk, graph: &Graph) -> usize {
    walk.iter().filter(|(from, _)| *from < graph.transactions).count()
}

/// Steps from transaction to transaction: vertices that stand for several are left out, with the reason that counts.
fn steps(walk: &Walk, graph: &Graph) -> Vec<(usize, Reason, usize)> {
    let is_real = |vertex: usize| vertex < graph.transactions;
    let start = walk.iter().position(|(from, _)| is_real(*from)).unwrap_or(0);
    let turned: Vec<&(usize, Edge)> = walk[start..].iter().chain(&walk[..start]).collect();
    let mut steps = Vec::new();
    let mut begun = None;
    for (from, edge) in turned {
        if is_real(*from) {
            begun = Some(*from);
        }
        if let (true, Some(from)) = (is_real(edge.to), begun) {
            steps.push((from, edge.reason, edge.to));
        }
    }
    steps
}

fn violation(anomaly: Anomaly, walk: &Walk, graph: &Graph, transactions: &[Transaction<'_>]) -> Violation {
    let steps = steps(walk, graph);
    let place = |vertex: usize| transactions[vertex].call.invoked;
    let lines: Vec<String> = steps
        .iter()
        .map(|(from, reason, to)| format!("[{}] before [{}], {reason}", place(*from), place(*to)))
        .collect();
    let explanation = format!("transactions go in a circle:\n{}", lines.join("\n"));
    let calls: Vec<&Call> = steps.iter().map(|(from, ..)| transactions[*from].call).collect();
    Violation::new(anomaly, explanation, &calls)
}
