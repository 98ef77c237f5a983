//! Registers: every key's operations have one order that agrees with time and explains every read.
//!
//! The search is just-in-time linearization (Wing and Gong 1993; Lowe, "Testing for linearizability", 2017), each key
//! by itself (Horn and Kroening, "P-compositionality", 2015): it goes through the events and keeps every state that
//! the register can be in, together with the open operations that have taken effect; when an operation ends, it must
//! have taken effect in one of them.
//!
//! Values are unique, which keeps those states few. A value is in the register once, for one stretch, so:
//! - how many operations must still see it is known (`owed`), and it cannot be overwritten before;
//! - an operation of unknown outcome has happened exactly if its value was seen by one that has; the others are left
//!   out, since a write that nobody sees explains nothing;
//! - a read of the present value, and a write that nobody sees while nothing is owed, may take effect at once: that
//!   never forbids what another order would allow.
//!
//! Reads with the guarantee `session` promise no place in time and stay out of the search; that they show what was
//! written before they ended is looked at.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::verdict::{Anomaly, Verdict, Violation};
use super::{foreign, written_twice};
use crate::history::{Call, Operation, Outcome};

/// A history with more states at one moment is given up, and said to be.
const STATES_MAX: usize = 200_000;

/// A value, or none yet.
type Value = Option<i64>;

/// Judges every key.
pub fn check(calls: &[Call], verdict: &mut Verdict) {
    let mut keys: BTreeMap<i64, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        match call.operation {
            Operation::Read(key, _) | Operation::Write(key, _) | Operation::Cas(key, _) => {
                keys.entry(key).or_default().push(call);
            }
            _ => verdict.add(foreign(call)),
        }
    }
    for (key, calls) in keys {
        verdict.extend(check_key(key, &calls));
    }
    if verdict.counts.session_reads > 0 {
        verdict.note("session reads were not searched: a register shows no order of its values".to_owned());
    }
}

fn written(call: &Call) -> Option<i64> {
    match call.operation {
        Operation::Write(_, value) | Operation::Cas(_, (_, value)) => Some(value),
        _ => None,
    }
}

/// What an operation that happened has found in the register; `None` when it did not look.
fn seen(call: &Call) -> Option<Value> {
    match call.operation {
        Operation::Read(_, value) => Some(value),
        Operation::Cas(_, (old, _)) => Some(Some(old)),
        _ => None,
    }
}

fn check_key(key: i64, calls: &[&Call]) -> Vec<Violation> {
    let writes = calls
        .iter()
        .filter_map(|&call| Some(((key, written(call)?), call)));
    let twice = written_twice(writes);
    if !twice.is_empty() {
        return twice;
    }
    let writers: HashMap<i64, &Call> = calls
        .iter()
        .filter_map(|&call| Some((written(call)?, call)))
        .collect();
    let impossible = impossible_reads(key, calls, &writers);
    if !impossible.is_empty() {
        return impossible;
    }
    Search::new(key, happened(calls, &writers))
        .run()
        .err()
        .into_iter()
        .collect()
}

/// Reads of what nobody wrote, what was not written, and what was not written yet.
fn impossible_reads(key: i64, calls: &[&Call], writers: &HashMap<i64, &Call>) -> Vec<Violation> {
    let mut found = Vec::new();
    let acknowledged = calls.iter().filter(|call| call.outcome == Outcome::Ok);
    for &call in acknowledged {
        let Some(Some(value)) = seen(call) else { continue };
        match writers.get(&value) {
            None => found.push(Violation::new(
                Anomaly::Phantom,
                format!("nobody wrote {value} to register {key}"),
                &[call],
            )),
            Some(&writer) if writer.outcome == Outcome::Fail => found.push(Violation::new(
                Anomaly::AbortedRead,
                format!("{value} was seen in register {key}, and its write failed"),
                &[writer, call],
            )),
            Some(&writer) if Some(writer.invoked) > call.completed => found.push(Violation::new(
                Anomaly::Future,
                format!("{value} was seen in register {key} before it was written"),
                &[call, writer],
            )),
            Some(_) => {}
        }
    }
    found
}

/// The operations that took effect: acknowledged ones, and unknown ones whose value was seen by one of these.
fn happened<'a>(calls: &[&'a Call], writers: &HashMap<i64, &'a Call>) -> Vec<&'a Call> {
    let is_searched = |call: &&Call| call.outcome == Outcome::Ok && (call.strong || call.operation.writes());
    let mut happened: Vec<&Call> = calls.iter().copied().filter(is_searched).collect();
    let mut places: HashSet<u64> = happened.iter().map(|call| call.invoked).collect();
    let mut next = 0;
    while let Some(&call) = happened.get(next) {
        next += 1;
        let writer = seen(call).flatten().and_then(|value| writers.get(&value));
        if let Some(&writer) = writer.filter(|writer| places.insert(writer.invoked)) {
            happened.push(writer);
        }
    }
    happened.sort_by_key(|call| call.invoked);
    happened
}

/// One way in which things can stand.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    register: Register,
    /// Open operations that have taken effect, in order.
    done: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Register {
    /// Holds a value that so many operations must still see.
    Holds { value: Value, owed: usize },
    /// Everybody has seen what it holds: it can be overwritten, and what it holds does not matter.
    Free,
}

struct Search<'a> {
    key: i64,
    calls: Vec<&'a Call>,
    /// How many operations see a value.
    observers: HashMap<Value, usize>,
    /// Begun, not ended.
    open: Vec<usize>,
    states: HashSet<State>,
}

impl<'a> Search<'a> {
    fn new(key: i64, calls: Vec<&'a Call>) -> Search<'a> {
        let mut observers: HashMap<Value, usize> = HashMap::new();
        for value in calls.iter().filter_map(|call| seen(call)) {
            *observers.entry(value).or_default() += 1;
        }
        let mut search = Search {
            key,
            calls,
            observers,
            open: Vec::new(),
            states: HashSet::new(),
        };
        let register = search.holding(None);
        search.states.insert(State {
            register,
            done: Vec::new(),
        });
        search
    }

    fn holding(&self, value: Value) -> Register {
        match self.observers.get(&value) {
            Some(&owed) => Register::Holds { value, owed },
            None => Register::Free,
        }
    }

    fn run(mut self) -> Result<(), Violation> {
        let begins = self
            .calls
            .iter()
            .enumerate()
            .map(|(at, call)| (call.invoked, at, false));
        let ends = self
            .calls
            .iter()
            .enumerate()
            .filter_map(|(at, call)| Some((call.completed?, at, true)));
        let mut events: Vec<(u64, usize, bool)> = begins.chain(ends).collect();
        events.sort_unstable();
        for (_, at, is_end) in events {
            if is_end {
                self.end(at)?;
            } else {
                self.open.push(at);
            }
        }
        Ok(())
    }

    /// Keeps the ways in which the operation has taken effect.
    fn end(&mut self, at: usize) -> Result<(), Violation> {
        let mut with: HashSet<State> = HashSet::new();
        let mut met: HashSet<State> = HashSet::new();
        let mut unvisited: Vec<State> = self.states.iter().cloned().collect();
        while let Some(mut state) = unvisited.pop() {
            self.settle(&mut state);
            if let Ok(place) = state.done.binary_search(&at) {
                state.done.remove(place);
                with.insert(state);
            } else if met.insert(state.clone()) {
                unvisited.extend(self.open.iter().filter_map(|&open| self.step(&state, open)));
            }
            if met.len() + with.len() > STATES_MAX {
                return Err(self.given_up(at));
            }
        }
        if with.is_empty() {
            return Err(self.unexplained(at));
        }
        self.open.retain(|&open| open != at);
        self.states = with;
        self.forget();
        Ok(())
    }

    /// Lets everything take effect that can do so at once without forbidding anything.
    fn settle(&self, state: &mut State) {
        for &at in &self.open {
            let Err(place) = state.done.binary_search(&at) else {
                continue;
            };
            let call = self.calls[at];
            let takes_effect = match (&mut state.register, &call.operation) {
                (Register::Holds { value, owed }, Operation::Read(_, read)) if value == read => {
                    *owed -= 1;
                    true
                }
                _ => false,
            };
            if takes_effect {
                state.done.insert(place, at);
            }
            if matches!(state.register, Register::Holds { owed: 0, .. }) {
                state.register = Register::Free;
            }
        }
        if state.register != Register::Free {
            return;
        }
        for &at in &self.open {
            let is_unseen = matches!(self.calls[at].operation, Operation::Write(_, value) if !self.observers.contains_key(&Some(value)));
            if let (true, Err(place)) = (is_unseen, state.done.binary_search(&at)) {
                state.done.insert(place, at);
            }
        }
    }

    /// What comes of an open operation's taking effect; `None` when it cannot.
    fn step(&self, state: &State, at: usize) -> Option<State> {
        let place = state.done.binary_search(&at).err()?;
        let register = match (state.register, &self.calls[at].operation) {
            (Register::Free, Operation::Write(_, value)) => self.holding(Some(*value)),
            (Register::Holds { value, owed: 1 }, Operation::Cas(_, (old, new))) if value == Some(*old) => {
                self.holding(Some(*new))
            }
            _ => return None,
        };
        let mut done = state.done.clone();
        done.insert(place, at);
        Some(State { register, done })
    }

    /// Operations without an end that have taken effect in every state.
    fn forget(&mut self) {
        let endless = |at: &usize| self.calls[*at].completed.is_none();
        let over: Vec<usize> = self
            .open
            .iter()
            .copied()
            .filter(endless)
            .filter(|at| {
                self.states
                    .iter()
                    .all(|state| state.done.binary_search(at).is_ok())
            })
            .collect();
        if over.is_empty() {
            return;
        }
        self.open.retain(|at| !over.contains(at));
        let states = std::mem::take(&mut self.states);
        self.states = states
            .into_iter()
            .map(|mut state| {
                state.done.retain(|at| !over.contains(at));
                state
            })
            .collect();
    }

    fn unexplained(&self, at: usize) -> Violation {
        let held: HashSet<String> = self.states.iter().map(|state| shown(state.register)).collect();
        let mut held: Vec<String> = held.into_iter().collect();
        held.sort();
        held.truncate(8);
        let call = self.calls[at];
        let explanation = format!(
            "no order explains [{}] on register {}: just before, the register {}",
            call.invoked,
            self.key,
            held.join(" or ")
        );
        Violation::new(Anomaly::NotLinearizable, explanation, &self.around(at))
    }

    fn given_up(&self, at: usize) -> Violation {
        let explanation = format!(
            "register {} can be in more than {STATES_MAX} states at [{}]: given up",
            self.key, self.calls[at].invoked
        );
        Violation::new(Anomaly::Unjudgeable, explanation, &[self.calls[at]])
    }

    /// The operation, those open with it, the writer of what it saw, and the last that ended before.
    fn around(&self, at: usize) -> Vec<&'a Call> {
        const ENDED_BEFORE: usize = 4;
        let call = self.calls[at];
        let mut ended: Vec<&Call> = self
            .calls
            .iter()
            .copied()
            .filter(|other| other.completed.is_some_and(|end| Some(end) < call.completed))
            .collect();
        ended.sort_by_key(|call| call.completed);
        let mut shown: Vec<&Call> = ended.split_off(ended.len().saturating_sub(ENDED_BEFORE));
        shown.extend(self.open.iter().map(|&open| self.calls[open]));
        let value = seen(call).flatten();
        shown.extend(
            self.calls
                .iter()
                .copied()
                .filter(|writer| value.is_some() && written(writer) == value),
        );
        shown.sort_by_key(|call| call.invoked);
        shown.dedup_by_key(|call| call.invoked);
        shown
    }
}

fn shown(register: Register) -> String {
    match register {
        Register::Holds { value: None, owed } => format!("held nothing yet, which {owed} must still see"),
        Register::Holds {
            value: Some(value),
            owed,
        } => format!("held {value}, which {owed} must still see"),
        Register::Free => "held what nobody sees any more".to_owned(),
    }
}
