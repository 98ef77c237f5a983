//! Who must come before whom: vertices, edges with their reasons, and what goes in a circle.

use std::collections::{HashMap, VecDeque};
use std::fmt;

/// Why one transaction comes before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The second appended behind what the first had appended.
    WriteWrite { key: i64, before: i64, after: i64 },
    /// The second read what the first appended last.
    WriteRead { key: i64, element: i64 },
    /// The second appended what the first did not see.
    ReadWrite { key: i64, element: i64 },
    /// One process did one after the other.
    Process,
    /// The first had ended when the second began.
    Realtime,
    /// From or to a vertex that stands for several transactions; the edge at its other side has the reason.
    Through,
}

/// A set of kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub const WW: Kinds = Kinds(1);
    pub const WR: Kinds = Kinds(2);
    pub const RW: Kinds = Kinds(4);
    pub const PROCESS: Kinds = Kinds(8);
    pub const REALTIME: Kinds = Kinds(16);
    pub const ALL: Kinds = Kinds(31);

    pub const fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    fn has(self, kind: Kinds) -> bool {
        self.0 & kind.0 == kind.0
    }
}

/// An edge to a vertex.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub to: usize,
    pub reason: Reason,
    pub kind: Kinds,
}

/// Vertices are numbers; those below `transactions` are transactions, the others stand for several.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub transactions: usize,
    edges: Vec<Vec<Edge>>,
}

/// A way through the graph: edges with the vertex that each leaves.
pub(super) type Walk = Vec<(usize, Edge)>;

impl Graph {
    pub fn new(transactions: usize) -> Graph {
        Graph {
            transactions,
            edges: vec![Vec::new(); transactions],
        }
    }

    /// A further vertex, for no transaction.
    pub fn add_vertex(&mut self) -> usize {
        self.edges.push(Vec::new());
        self.edges.len() - 1
    }

    /// From a vertex to another; one to itself says nothing and is left out.
    pub fn add(&mut self, from: usize, to: usize, reason: Reason, kind: Kinds) {
        if from != to {
            self.edges[from].push(Edge { to, reason, kind });
        }
    }

    pub fn len(&self) -> usize {
        self.edges.len()
    }

    pub fn edges(&self, from: usize, kinds: Kinds) -> impl Iterator<Item = Edge> {
        self.edges[from]
            .iter()
            .copied()
            .filter(move |edge| kinds.has(edge.kind))
    }

    /// The strongly connected components of more than one vertex, over edges of some kinds between some vertices
    /// (Tarjan 1972, with a stack of its own: histories are longer than a thread's stack is deep).
    pub fn knots(&self, kinds: Kinds, vertices: &[usize]) -> Vec<Vec<usize>> {
        Tarjan::new(self, kinds, vertices).run(vertices)
    }

    /// The shortest way, within some vertices.
    pub fn shortest(
        &self,
        from: usize,
        to: usize,
        kinds: Kinds,
        within: impl Fn(usize) -> bool,
    ) -> Option<Walk> {
        let mut came: HashMap<usize, (usize, Edge)> = HashMap::new();
        let mut next = VecDeque::from([from]);
        while let Some(at) = next.pop_front() {
            for edge in self.edges(at, kinds) {
                if !within(edge.to) || came.contains_key(&edge.to) {
                    continue;
                }
                came.insert(edge.to, (at, edge));
                if edge.to == to {
                    return Some(walk_back(&came, from, to));
                }
                next.push_back(edge.to);
            }
        }
        None
    }
}

fn walk_back(came: &HashMap<usize, (usize, Edge)>, from: usize, to: usize) -> Walk {
    let mut walk = vec![came[&to]];
    while let Some(&(at, _)) = walk.last().filter(|(at, _)| *at != from) {
        walk.push(came[&at]);
    }
    walk.reverse();
    walk
}

struct Tarjan<'a> {
    graph: &'a Graph,
    kinds: Kinds,
    is_in: Vec<bool>,
    /// From 1; 0: not met.
    number: Vec<usize>,
    low: Vec<usize>,
    is_stacked: Vec<bool>,
    stack: Vec<usize>,
    met: usize,
    knots: Vec<Vec<usize>>,
}

impl<'a> Tarjan<'a> {
    fn new(graph: &'a Graph, kinds: Kinds, vertices: &[usize]) -> Tarjan<'a> {
        let len = graph.len();
        let mut is_in = vec![false; len];
        for &vertex in vertices {
            is_in[vertex] = true;
        }
        Tarjan {
            graph,
            kinds,
            is_in,
            number: vec![0; len],
            low: vec![0; len],
            is_stacked: vec![false; len],
            stack: Vec::new(),
            met: 0,
            knots: Vec::new(),
        }
    }

    fn run(mut self, vertices: &[usize]) -> Vec<Vec<usize>> {
        for &vertex in vertices {
            if self.number[vertex] == 0 {
                self.visit(vertex);
            }
        }
        self.knots
    }

    fn meet(&mut self, vertex: usize) {
        self.met += 1;
        self.number[vertex] = self.met;
        self.low[vertex] = self.met;
        self.is_stacked[vertex] = true;
        self.stack.push(vertex);
    }

    fn visit(&mut self, root: usize) {
        self.meet(root);
        let mut path = vec![(root, 0)];
        while let Some((at, next)) = path.last_mut() {
            let (vertex, place) = (*at, *next);
            *next += 1;
            let Some(edge) = self.graph.edges[vertex].get(place) else {
                path.pop();
                if let Some((above, _)) = path.last() {
                    self.low[*above] = self.low[*above].min(self.low[vertex]);
                }
                self.leave(vertex);
                continue;
            };
            if !self.kinds.has(edge.kind) || !self.is_in[edge.to] {
                continue;
            }
            if self.number[edge.to] == 0 {
                self.meet(edge.to);
                path.push((edge.to, 0));
            } else if self.is_stacked[edge.to] {
                self.low[vertex] = self.low[vertex].min(self.number[edge.to]);
            }
        }
    }

    /// A vertex whose edges have all been followed; the first of its component takes that off the stack.
    fn leave(&mut self, vertex: usize) {
        if self.low[vertex] != self.number[vertex] {
            return;
        }
        let start = self
            .stack
            .iter()
            .rposition(|stacked| *stacked == vertex)
            .expect("a vertex that was met and not taken is on the stack");
        let knot = self.stack.split_off(start);
        for &taken in &knot {
            self.is_stacked[taken] = false;
        }
        if knot.len() > 1 {
            self.knots.push(knot);
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::WriteWrite { key, before, after } => {
                write!(f, "ww: in list {key}, {before} stands before {after}")
            }
            Reason::WriteRead { key, element } => write!(f, "wr: {element} was read in list {key}"),
            Reason::ReadWrite { key, element } => write!(f, "rw: {element} was not yet seen in list {key}"),
            Reason::Process => f.write_str("process: the same process did it next"),
            Reason::Realtime => f.write_str("realtime: it began when the other had ended"),
            Reason::Through => f.write_str("and so"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(usize, usize, Kinds)]) -> Graph {
        let mut graph = Graph::new(6);
        for (from, to, kind) in edges {
            graph.add(*from, *to, Reason::Process, *kind);
        }
        graph
    }

    #[test]
    fn what_goes_in_a_circle_is_found_by_kind() {
        let graph = graph(&[
            (0, 1, Kinds::WW),
            (1, 2, Kinds::WW),
            (2, 0, Kinds::RW),
            (3, 4, Kinds::WW),
            (4, 3, Kinds::WR),
            (2, 3, Kinds::WW),
            (5, 5, Kinds::WW),
        ]);
        let all: Vec<usize> = (0..6).collect();
        let sorted = |kinds| {
            let mut knots = graph.knots(kinds, &all);
            knots.iter_mut().for_each(|knot| knot.sort_unstable());
            knots.sort();
            knots
        };
        assert_eq!(sorted(Kinds::ALL), [vec![0, 1, 2], vec![3, 4]]);
        assert_eq!(sorted(Kinds::WW.and(Kinds::WR)), [vec![3, 4]]);
        assert_eq!(sorted(Kinds::WW), Vec::<Vec<usize>>::new());
        let walk = graph.shortest(0, 0, Kinds::ALL, |_| true).expect("a circle");
        let on: Vec<usize> = walk.iter().map(|(from, _)| *from).collect();
        assert_eq!(on, [0, 1, 2]);
        assert!(graph.shortest(0, 0, Kinds::ALL, |vertex| vertex != 1).is_none());
    }

    #[test]
    fn a_chain_as_long_as_a_history_needs_no_deep_stack() {
        let len = 300_000;
        let mut graph = Graph::new(len);
        for at in 0..len {
            graph.add(at, (at + 1) % len, Reason::Process, Kinds::WW);
        }
        let all: Vec<usize> = (0..len).collect();
        assert_eq!(graph.knots(Kinds::ALL, &all).len(), 1);
    }
}
