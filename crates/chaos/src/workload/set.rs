//! Elements that are added one by one and never removed. Nothing in the table forbids one twice: what is done twice
//! must show.

use super::Shared;
use crate::history::Operation;
use crate::random::Random;
use crate::session::{Session, Trouble};

/// Reads show everything, so that there are few.
const READS_PERCENT: usize = 4;

pub(super) fn tables() -> Vec<String> {
    vec!["CREATE TABLE elements (element INTEGER NOT NULL)".to_owned()]
}

pub(super) fn draw(random: &mut Random, shared: &Shared) -> Operation {
    if random.percent(READS_PERCENT) {
        Operation::Elements(None)
    } else {
        Operation::Add(shared.new_value())
    }
}

pub(super) async fn perform(session: &Session, operation: &Operation) -> Result<Operation, Trouble> {
    match operation {
        Operation::Add(element) => {
            session
                .execute(&format!("INSERT INTO elements VALUES ({element})"))
                .await?;
            Ok(operation.clone())
        }
        Operation::Elements(_) => {
            let answer = session.execute("SELECT element FROM elements").await?;
            Ok(Operation::Elements(Some(answer.integers(0)?)))
        }
        _ => Err(Trouble::declined("no operation of a set")),
    }
}
