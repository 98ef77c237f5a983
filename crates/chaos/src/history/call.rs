//! Operations from their beginning to their end: what checkers look at.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::event::{Event, Kind};
use super::operation::Operation;

/// One operation. Moments are places in the history: nothing else orders events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Who.
    pub process: u64,
    /// Where.
    pub node: u64,
    /// What its reads promised.
    pub strong: bool,
    /// The place of its `invoke`.
    pub invoked: u64,
    /// The place of its end; `None` when nobody knows whether it has one.
    pub completed: Option<u64>,
    /// The time of its `invoke`, in nanoseconds.
    pub invoked_ns: u64,
    /// The time when the client stopped to wait, in nanoseconds.
    pub completed_ns: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// As told where it is `ok`, else as asked.
    #[serde(flatten)]
    pub operation: Operation,
    /// Why it is not `ok`.
    pub error: Option<String>,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was acknowledged.
    Ok,
    /// It has not happened.
    Fail,
    /// Nobody knows.
    Info,
}

/// Events that are no history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Malformed {
    /// A process began an operation within another.
    Nested {
        /// The place of the second `invoke`.
        index: u64,
    },
    /// An operation ended that had not begun.
    EndWithoutBegin {
        /// The place of its end.
        index: u64,
    },
    /// Events are not in the order of their numbers.
    OutOfOrder {
        /// The number that is not greater than the one before.
        index: u64,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Nested { index } => write!(f, "event {index} begins within another of its process"),
            Malformed::EndWithoutBegin { index } => write!(f, "event {index} ends what has not begun"),
            Malformed::OutOfOrder { index } => write!(f, "event {index} is not after the one before it"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Pairs beginnings and ends. An operation without an end, of a run that was cut short, is unknown.
pub fn calls(events: &[Event]) -> Result<Vec<Call>, Malformed> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: HashMap<u64, usize> = HashMap::new();
    let mut before = None;
    for event in events {
        let index = event.index;
        if before >= Some(index) {
            return Err(Malformed::OutOfOrder { index });
        }
        before = Some(index);
        if event.kind == Kind::Invoke {
            if open.insert(event.process, calls.len()).is_some() {
                return Err(Malformed::Nested { index });
            }
            calls.push(begun(event));
        } else {
            let at = open.remove(&event.process);
            let at = at.ok_or(Malformed::EndWithoutBegin { index })?;
            end(&mut calls[at], event);
        }
    }
    Ok(calls)
}

fn begun(event: &Event) -> Call {
    Call {
        process: event.process,
        node: event.node,
        strong: event.strong,
        invoked: event.index,
        completed: None,
        invoked_ns: event.time,
        completed_ns: None,
        outcome: Outcome::Info,
        operation: event.operation.clone(),
        error: None,
    }
}

fn end(call: &mut Call, event: &Event) {
    call.completed_ns = Some(event.time);
    call.error.clone_from(&event.error);
    match event.kind {
        Kind::Ok => {
            call.outcome = Outcome::Ok;
            call.completed = Some(event.index);
            call.operation = event.operation.clone();
        }
        Kind::Fail => {
            call.outcome = Outcome::Fail;
            call.completed = Some(event.index);
        }
        Kind::Info | Kind::Invoke => {}
    }
}

/// A line for the reader of a verdict.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |ns: u64| ns as f64 / 1e6;
        let end = self
            .completed_ns
            .map_or("…".to_owned(), |ns| format!("{:.3}", ms(ns)));
        let outcome = match self.outcome {
            Outcome::Ok => "ok",
            Outcome::Fail => "fail",
            Outcome::Info => "unknown",
        };
        let (process, node, index) = (self.process, self.node, self.invoked);
        write!(
            f,
            "[{index}] process {process} at node {node}, {:.3}–{end} ms, {outcome}: {}",
            ms(self.invoked_ns),
            self.operation
        )?;
        if let Some(error) = &self.error {
            write!(f, " ({error})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(index: u64, kind: Kind, process: u64) -> Event {
        Event {
            index,
            kind,
            process,
            node: 1,
            strong: true,
            operation: Operation::Add(1),
            time: index,
            error: None,
        }
    }

    #[test]
    fn an_operation_without_an_end_is_unknown() {
        let events = [
            event(0, Kind::Invoke, 1),
            event(1, Kind::Invoke, 2),
            event(2, Kind::Ok, 1),
        ];
        let calls = calls(&events).expect("a history");
        assert_eq!((calls[0].outcome, calls[0].completed), (Outcome::Ok, Some(2)));
        assert_eq!((calls[1].outcome, calls[1].completed), (Outcome::Info, None));
    }

    #[test]
    fn what_is_no_history_is_named() {
        let nested = [event(0, Kind::Invoke, 1), event(1, Kind::Invoke, 1)];
        assert_eq!(calls(&nested), Err(Malformed::Nested { index: 1 }));
        let unbegun = [event(4, Kind::Ok, 1)];
        assert_eq!(calls(&unbegun), Err(Malformed::EndWithoutBegin { index: 4 }));
        let disordered = [event(4, Kind::Invoke, 1), event(3, Kind::Ok, 1)];
        assert_eq!(calls(&disordered), Err(Malformed::OutOfOrder { index: 3 }));
    }
}
