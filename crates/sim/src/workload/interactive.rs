//! Transactions of several statements, with time to think between them: they read lists, then append to some, then
//! commit, roll back, or are left alone by their client.

use bellwether_types::Statement;

use super::{Rows, list, sql};
use crate::random::Random;

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// In order.
    pub steps: Vec<Step>,
    /// So many statements at least run apart from others, writes too, to be compared when the transaction takes the
    /// writer or commits.
    pub apart: usize,
    /// Then.
    pub end: End,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Reads a list.
    Read {
        /// Which.
        key: String,
    },
    /// Appends to one.
    Append {
        /// Which.
        key: String,
        /// Unique in the run.
        element: i64,
    },
    /// Leaves the mark in the ledger.
    Mark {
        /// Unique in the run.
        mark: i64,
    },
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// COMMIT.
    Commit,
    /// ROLLBACK.
    Rollback,
    /// The client is gone.
    Vanish,
}

impl Action {
    pub(crate) fn draw(lists: &mut list::Generator, random: &mut Random, mark: i64) -> Action {
        let mut steps = Vec::new();
        let reads = |steps: &mut Vec<Step>, lists: &list::Generator, random: &mut Random, least| {
            for _ in 0..random.range(least, 3) {
                let key = lists.key(random);
                steps.push(Step::Read { key });
            }
        };
        reads(&mut steps, lists, random, 1);
        for (key, element) in lists.append(random, mark).appends {
            steps.push(Step::Append { key, element });
            reads(&mut steps, lists, random, 0);
        }
        steps.push(Step::Mark { mark });
        let end = random.weighted(&[(7, End::Commit), (1, End::Rollback), (1, End::Vanish)]);
        Action {
            steps,
            apart: [0, 0, 3, usize::MAX][mark.rem_euclid(4) as usize],
            end,
        }
    }

    /// What each list read was when it was read; `None` when the answer is not a whole one's.
    pub fn seen(&self, answer: &[Rows]) -> Option<Vec<(String, Vec<i64>)>> {
        if answer.len() != self.steps.len() {
            return None;
        }
        Some(
            self.steps
                .iter()
                .zip(answer)
                .filter_map(|(step, rows)| match step {
                    Step::Read { key } => {
                        let elements = rows.first().map_or_else(Vec::new, |row| list::elements(row, 0));
                        Some((key.clone(), elements))
                    }
                    Step::Append { .. } | Step::Mark { .. } => None,
                })
                .collect(),
        )
    }

    /// Keys and elements.
    pub fn appends(&self) -> impl Iterator<Item = (&str, i64)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Append { key, element } => Some((key.as_str(), *element)),
            Step::Read { .. } | Step::Mark { .. } => None,
        })
    }
}

impl Step {
    /// Its SQL.
    pub fn statement(&self) -> Statement {
        match self {
            Step::Read { key } => list::read(key),
            Step::Append { key, element } => list::append(key, *element),
            Step::Mark { mark } => sql(
                "INSERT INTO ledger(mark) VALUES ($1)",
                [super::IntoValue::into_value(*mark)],
            ),
        }
    }

    /// Whether it takes the writer.
    pub fn writes(&self) -> bool {
        !matches!(self, Step::Read { .. })
    }
}
