//! Set: an element that was acknowledged is in every strong read that begins later, once, for ever. A session's reads
//! may be old, but never older than what its process has added or seen.

use std::collections::{HashMap, HashSet};

use super::verdict::{Anomaly, Verdict, Violation};
use super::{foreign, written_twice};
use crate::history::{Call, Operation, Outcome};

struct Judge<'a> {
    /// Who added an element.
    adders: HashMap<i64, &'a Call>,
    /// Reads that were answered, by their beginning.
    reads: Vec<Read<'a>>,
    /// When an element was first known to be there: its add was acknowledged, or a read that shows it was.
    known: HashMap<i64, u64>,
}

struct Read<'a> {
    call: &'a Call,
    end: u64,
    elements: &'a [i64],
}

/// Judges every read.
pub fn check(calls: &[Call], verdict: &mut Verdict) {
    let adds = || {
        calls.iter().filter_map(|call| match call.operation {
            Operation::Add(element) => Some((element, call)),
            _ => None,
        })
    };
    verdict.extend(written_twice(adds().map(|(element, call)| ((0, element), call))));
    let mut judge = Judge {
        adders: adds().collect(),
        reads: Vec::new(),
        known: HashMap::new(),
    };
    for call in calls {
        match (&call.operation, call.completed) {
            (Operation::Elements(Some(elements)), Some(end)) if call.outcome == Outcome::Ok => {
                judge.reads.push(Read { call, end, elements });
            }
            (Operation::Elements(_) | Operation::Add(_), _) => {}
            _ => verdict.add(foreign(call)),
        }
    }
    for read in &judge.reads {
        verdict.extend(judge.shown_wrongly(read));
    }
    judge.learn();
    verdict.extend(judge.missing_in_strong_reads());
    verdict.extend(judge.missing_in_processes(calls));
    judge.note_figures(calls, verdict);
}

impl<'a> Judge<'a> {
    /// Elements that a read must not show.
    fn shown_wrongly(&self, read: &Read<'a>) -> Vec<Violation> {
        let mut met = HashSet::new();
        let mut found = Vec::new();
        for element in read.elements {
            if !met.insert(element) {
                let explanation = format!("element {element} is there twice");
                found.push(Violation::new(Anomaly::Duplicate, explanation, &[read.call]));
            }
            let Some(&adder) = self.adders.get(element) else {
                let explanation = format!("nobody added {element}");
                found.push(Violation::new(Anomaly::Phantom, explanation, &[read.call]));
                continue;
            };
            if adder.outcome == Outcome::Fail {
                let explanation = format!("{element} is there, and its add failed");
                found.push(Violation::new(
                    Anomaly::AbortedRead,
                    explanation,
                    &[adder, read.call],
                ));
            } else if adder.invoked > read.end {
                let explanation = format!("{element} was there before it was added");
                found.push(Violation::new(Anomaly::Future, explanation, &[read.call, adder]));
            }
        }
        found
    }

    fn learn(&mut self) {
        for (element, adder) in &self.adders {
            if let (Outcome::Ok, Some(end)) = (adder.outcome, adder.completed) {
                self.known.insert(*element, end);
            }
        }
        for read in &self.reads {
            for element in read.elements {
                let known = self.known.entry(*element).or_insert(read.end);
                *known = read.end.min(*known);
            }
        }
    }

    /// One violation per element, by its first absence.
    fn missing_in_strong_reads(&self) -> Vec<Violation> {
        let mut by_known: Vec<(u64, i64)> = self.known.iter().map(|(element, at)| (*at, *element)).collect();
        by_known.sort_unstable();
        let mut reported = HashSet::new();
        let mut found = Vec::new();
        for read in self.reads.iter().filter(|read| read.call.strong) {
            let expected = by_known.partition_point(|(at, _)| *at < read.call.invoked);
            let there: HashSet<i64> = read.elements.iter().copied().collect();
            let present = there
                .iter()
                .filter(|element| self.known[*element] < read.call.invoked)
                .count();
            if present == expected {
                continue;
            }
            let missing = by_known[..expected]
                .iter()
                .filter(|(_, element)| !there.contains(element));
            for (_, element) in missing {
                if reported.insert(*element) {
                    found.push(self.missing(*element, read));
                }
            }
        }
        found
    }

    fn missing(&self, element: i64, read: &Read<'a>) -> Violation {
        let shows = |other: &&Read<'a>| other.elements.contains(&element);
        let before = self
            .reads
            .iter()
            .filter(shows)
            .find(|other| other.end < read.call.invoked);
        let after = self
            .reads
            .iter()
            .filter(shows)
            .find(|other| other.end > read.call.invoked);
        let (anomaly, what) = match (before, after) {
            (_, None) => (
                Anomaly::Lost,
                "is not in a later strong read, nor in any after that",
            ),
            (Some(_), Some(_)) => (
                Anomaly::Resurrected,
                "was seen, is not in a later strong read, and comes back",
            ),
            (None, Some(_)) => (
                Anomaly::Stale,
                "is not in a strong read that began after it was acknowledged",
            ),
        };
        let adder = self.adders.get(&element).copied();
        let witnesses = [
            adder,
            before.map(|read| read.call),
            Some(read.call),
            after.map(|read| read.call),
        ];
        let calls: Vec<&Call> = witnesses.into_iter().flatten().collect();
        Violation::new(anomaly, format!("element {element} {what}"), &calls)
    }

    /// Read-your-writes and monotonic reads of each process; its strong reads count as what it has seen.
    fn missing_in_processes(&self, calls: &'a [Call]) -> Vec<Violation> {
        let mut reads = self.reads.iter().peekable();
        let mut seen: HashMap<u64, HashMap<i64, &'a Call>> = HashMap::new();
        let mut found = Vec::new();
        for call in calls {
            let of_process = seen.entry(call.process).or_default();
            if let (Operation::Add(element), Outcome::Ok) = (&call.operation, call.outcome) {
                of_process.insert(*element, call);
            }
            let Some(read) = reads.next_if(|read| read.call.invoked == call.invoked) else {
                continue;
            };
            let there: HashSet<i64> = read.elements.iter().copied().collect();
            let gone = of_process.iter().find(|(element, _)| !there.contains(element));
            if let (false, Some((element, since))) = (call.strong, gone) {
                let explanation = format!(
                    "process {} knew {element} and does not see it any more",
                    call.process
                );
                found.push(Violation::new(Anomaly::Session, explanation, &[since, call]));
            }
            of_process.extend(there.into_iter().map(|element| (element, call)));
        }
        found
    }

    fn note_figures(&self, calls: &[Call], verdict: &mut Verdict) {
        let last_strong = self.reads.iter().rev().find(|read| read.call.strong);
        let judged_until = last_strong.map_or(0, |read| read.call.invoked);
        let unread = self.known.values().filter(|known| **known > judged_until).count();
        if unread > 0 {
            verdict.note(format!(
                "{unread} elements were known after the last strong read began: not judged"
            ));
        }
        if let Some(ns) = self.stalest_ns(calls) {
            verdict.note(format!(
                "the oldest session read was {:.1} ms behind an acknowledged add",
                ns as f64 / 1e6
            ));
        }
    }

    /// How long before a session read's beginning an element that it lacks had been acknowledged, at most.
    fn stalest_ns(&self, calls: &[Call]) -> Option<u64> {
        let mut acknowledged: Vec<(u64, i64)> = calls
            .iter()
            .filter(|call| call.outcome == Outcome::Ok)
            .filter_map(|call| match call.operation {
                Operation::Add(element) => Some((call.completed_ns?, element)),
                _ => None,
            })
            .collect();
        acknowledged.sort_unstable();
        let stale = self
            .reads
            .iter()
            .filter(|read| !read.call.strong)
            .filter_map(|read| {
                let there: HashSet<&i64> = read.elements.iter().collect();
                let before = acknowledged.partition_point(|(at, _)| *at < read.call.invoked_ns);
                let (at, _) = acknowledged[..before]
                    .iter()
                    .find(|(_, element)| !there.contains(element))?;
                Some(read.call.invoked_ns - at)
            });
        stale.max()
    }
}
