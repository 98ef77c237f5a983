//! I8, strong reads: registers are linearizable. Versions give the order of all writes to a key, so that it is enough
//! to compare it with real time: whatever began after an operation ended stands at or after it, a write strictly
//! after.

use std::collections::BTreeMap;

use super::history::{Call, History};
use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::{Observation, Outcome};
use crate::workload::{Action, Guarantee, Kind, Rows, integer, register};

#[derive(Default)]
pub(super) struct Linearizable {
    history: History,
    /// Version and key by value, at the end.
    written: BTreeMap<i64, (i64, i64)>,
}

/// An operation on one register: when, and which version it made or saw.
struct Point {
    version: i64,
    invoked: Time,
    returned: Option<Time>,
    is_write: bool,
}

impl Checker for Linearizable {
    fn name(&self) -> &'static str {
        "linearizable"
    }

    fn observe(&mut self, at: Time, observation: &Observation) -> Verdict {
        self.history.observe(at, observation);
        if let Observation::Final { tables, .. } = observation {
            self.written = written(&tables["history"]);
        }
        Ok(())
    }

    fn finish(&mut self) -> Verdict {
        let mut points: BTreeMap<i64, Vec<Point>> = BTreeMap::new();
        for call in self.history.calls.values() {
            if let Action::Register(action) = &call.what.action
                && let Some(point) = self.point(call, action)?
            {
                points.entry(action.key()).or_default().push(point);
            }
        }
        points
            .iter_mut()
            .try_for_each(|(key, points)| check(*key, points))
    }
}

impl Linearizable {
    /// Where a call stands; `None` when it did nothing, or promises nothing.
    fn point(&self, call: &Call, action: &register::Action) -> Result<Option<Point>, String> {
        // Who is answered early cannot count on others to see it before it is committed.
        let returned = call.done_at().filter(|_| !call.what.kind.is_early());
        let seen = match &call.returned {
            Some((_, Outcome::Done { answer, .. })) => register::Action::seen(answer),
            _ => None,
        };
        if let Some(seen) = seen
            && self.written.get(&seen.value) != Some(&(seen.version, action.key()))
        {
            return Err(format!(
                "{seen:?} of register {} is not in its history",
                action.key()
            ));
        }
        let point = |version, is_write| Point {
            version,
            invoked: call.invoked,
            returned,
            is_write,
        };
        Ok(match (action, call.what.kind) {
            (register::Action::Write { value, .. }, _) => {
                self.written.get(value).map(|(version, _)| point(*version, true))
            }
            (_, Kind::Read(Guarantee::Strong)) if returned.is_some() => {
                Some(point(seen.map_or(0, |seen| seen.version), false))
            }
            // Weaker reads may be old; what they saw must still have been there.
            _ => None,
        })
    }
}

/// Sweeps through time: `finished` is the highest version among operations that had ended.
fn check(key: i64, points: &mut [Point]) -> Verdict {
    let mut ends: Vec<(Time, i64)> = points
        .iter()
        .filter_map(|point| Some((point.returned?, point.version)))
        .collect();
    ends.sort();
    points.sort_by_key(|point| point.invoked);
    let mut ends = ends.into_iter().peekable();
    let mut finished = 0;
    for point in points.iter() {
        while let Some((_, version)) = ends.next_if(|(end, _)| *end < point.invoked) {
            finished = finished.max(version);
        }
        let too_old = point.version < finished || (point.is_write && point.version == finished);
        if too_old {
            let what = if point.is_write { "write" } else { "strong read" };
            return Err(format!(
                "a {what} of register {key}, begun at {}, stands at version {}; version {finished} had been seen before",
                point.invoked, point.version
            ));
        }
    }
    check_future(key, points)
}

/// A read cannot have seen a write that began after it ended.
fn check_future(key: i64, points: &[Point]) -> Verdict {
    let began: BTreeMap<i64, Time> = points
        .iter()
        .filter(|point| point.is_write)
        .map(|point| (point.version, point.invoked))
        .collect();
    for point in points.iter().filter(|point| !point.is_write && point.version > 0) {
        if began.get(&point.version) > point.returned.as_ref() {
            return Err(format!(
                "a read of register {key} saw version {} before it was written",
                point.version
            ));
        }
    }
    Ok(())
}

fn written(rows: &Rows) -> BTreeMap<i64, (i64, i64)> {
    rows.iter()
        .filter_map(|row| Some((integer(row, 2)?, (integer(row, 1)?, integer(row, 0)?))))
        .collect()
}
