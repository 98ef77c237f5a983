//! Lists that only grow, and transactions that append to some and read others: the order of elements in each list
//! is the order of the transactions.

use std::collections::BTreeMap;

use bellwether_types::{Statement, Value};

use super::{IntoValue, Rows, sql};
use crate::random::Random;

/// Lists in use at a time.
const LISTS: u64 = 4;

/// After so many appends a list is full and another takes its place, or rows would grow without bound.
const APPENDS_MAX: u64 = 40;

pub(crate) const TABLE: &str =
    "CREATE TABLE list(key TEXT PRIMARY KEY, elements TEXT NOT NULL DEFAULT '') WITHOUT ROWID";

/// Appends and reads, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// What is appended: key and element, which is unique in the run.
    pub appends: Vec<(String, i64)>,
    /// Keys read after that.
    pub reads: Vec<String>,
}

/// Chooses lists.
#[derive(Debug, Default)]
pub(crate) struct Generator {
    appends: u64,
}

impl Generator {
    pub(crate) fn append(&mut self, random: &mut Random, element: i64) -> Action {
        self.appends += 1;
        let mut appends = vec![(self.key(random), element)];
        let other = self.key(random);
        if random.per_mille(300) && other != appends[0].0 {
            appends.push((other, element));
        }
        let reads = if random.per_mille(500) {
            vec![self.key(random)]
        } else {
            Vec::new()
        };
        Action { appends, reads }
    }

    pub(crate) fn read(&mut self, random: &mut Random) -> Action {
        let reads = vec![self.key(random), self.key(random)];
        Action {
            appends: Vec::new(),
            reads,
        }
    }

    pub(crate) fn key(&self, random: &mut Random) -> String {
        let age = self.appends / (APPENDS_MAX * LISTS);
        format!("list-{}", age * LISTS + random.range(0, LISTS))
    }
}

impl Action {
    pub(crate) fn statements(&self) -> Vec<Statement> {
        self.appends
            .iter()
            .map(|(key, element)| append(key, *element))
            .chain(self.reads.iter().map(|key| read(key)))
            .collect()
    }

    /// The lists read, with their keys; `None` when the answer has no rows: a retry's that read none.
    pub fn seen(&self, answer: &[Rows]) -> Option<Vec<(String, Vec<i64>)>> {
        let answers = answer.get(self.appends.len()..self.appends.len() + self.reads.len())?;
        Some(
            self.reads
                .iter()
                .zip(answers)
                .map(|(key, rows)| {
                    let read = rows.first().map_or_else(Vec::new, |row| elements(row, 0));
                    (key.clone(), read)
                })
                .collect(),
        )
    }
}

/// Appends to a list.
pub(crate) fn append(key: &str, element: i64) -> Statement {
    sql(
        "INSERT INTO list VALUES ($1, $2 || ',') \
         ON CONFLICT(key) DO UPDATE SET elements = elements || excluded.elements",
        [key.to_owned().into_value(), element.into_value()],
    )
}

/// Reads a list.
pub(crate) fn read(key: &str) -> Statement {
    sql(
        "SELECT elements FROM list WHERE key = $1",
        [key.to_owned().into_value()],
    )
}

/// All lists, of rows of (key, elements).
pub fn all(rows: &Rows) -> BTreeMap<String, Vec<i64>> {
    let list = |row: &Vec<Value>| match &row[0] {
        Value::Text(key) => Some((key.clone(), elements(row, 1))),
        _ => None,
    };
    rows.iter().filter_map(list).collect()
}

/// The elements in a column of a row.
pub fn elements(row: &[Value], column: usize) -> Vec<i64> {
    match row.get(column) {
        Some(Value::Text(text)) => text
            .split_terminator(',')
            .filter_map(|part| part.parse().ok())
            .collect(),
        _ => Vec::new(),
    }
}
