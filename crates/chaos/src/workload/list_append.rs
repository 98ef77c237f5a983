//! Transactions of appends to lists and reads of them: one step by itself, or several between BEGIN and COMMIT.

use super::Shared;
use crate::history::{Operation, Step};
use crate::random::Random;
use crate::session::{Session, Trouble};

/// Lists in use at a time: few, so that clients meet.
const LISTS: i64 = 4;

/// After so many elements other lists take their place, or reads would grow without end.
const ELEMENTS_OF_LISTS: i64 = 160;

/// Of one transaction.
const STEPS_MAX: usize = 4;

/// Lists that one of the final reads shows: a snapshot of several, and not too long.
const LISTS_OF_FINAL_READ: usize = 4;

pub(super) fn tables() -> Vec<String> {
    vec!["CREATE TABLE lists (key INTEGER PRIMARY KEY, elements TEXT NOT NULL)".to_owned()]
}

pub(super) fn draw(random: &mut Random, shared: &Shared) -> Operation {
    let steps = if random.percent(50) {
        1
    } else {
        2 + random.below(STEPS_MAX - 1)
    };
    Operation::Txn((0..steps).map(|_| draw_step(random, shared)).collect())
}

fn draw_step(random: &mut Random, shared: &Shared) -> Step {
    let age = shared.last_value() / ELEMENTS_OF_LISTS;
    let key = age * LISTS + random.below(LISTS as usize) as i64;
    if random.percent(50) {
        Step::Append(key, shared.new_value())
    } else {
        Step::Read(key, None)
    }
}

pub(super) async fn perform(session: &Session, steps: &[Step]) -> Result<Operation, Trouble> {
    if let [step] = steps {
        return Ok(Operation::Txn(vec![perform_step(session, step).await?]));
    }
    let done = async {
        let mut done = Vec::with_capacity(steps.len());
        for step in steps {
            done.push(perform_step(session, step).await?);
        }
        Ok(done)
    };
    session.transaction(done).await.map(Operation::Txn)
}

async fn perform_step(session: &Session, step: &Step) -> Result<Step, Trouble> {
    match step {
        Step::Append(key, element) => {
            let sql = format!(
                "INSERT INTO lists VALUES ({key}, '{element}') \
                 ON CONFLICT (key) DO UPDATE SET elements = elements || ',' || excluded.elements"
            );
            session.execute(&sql).await?;
            Ok(step.clone())
        }
        Step::Read(key, _) => {
            let sql = format!("SELECT elements FROM lists WHERE key = {key}");
            let answer = session.execute(&sql).await?;
            let text = answer
                .rows
                .first()
                .and_then(|row| row.first()?.as_deref())
                .unwrap_or_default();
            Ok(Step::Read(*key, Some(parse(text)?)))
        }
    }
}

fn parse(text: &str) -> Result<Vec<i64>, Trouble> {
    let elements = text.split(',').filter(|element| !element.is_empty());
    let elements: Result<Vec<i64>, _> = elements.map(str::parse).collect();
    elements.map_err(|_| Trouble {
        is_definite: false,
        reason: format!("a list that is none: {text:?}"),
    })
}

pub(super) fn final_reads(shared: &Shared) -> Vec<Operation> {
    let ages = shared.last_value() / ELEMENTS_OF_LISTS + 1;
    let lists: Vec<i64> = (0..ages * LISTS).collect();
    let read = |keys: &[i64]| Operation::Txn(keys.iter().map(|key| Step::Read(*key, None)).collect());
    lists.chunks(LISTS_OF_FINAL_READ).map(read).collect()
}
