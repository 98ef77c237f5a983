//! Whatever the log was doing when the power failed: all that was synced is there, and what is there beyond
//! it is a prefix of what was written.

mod common;

use std::collections::BTreeMap;

use bellwether_log::{Log, OpenError, Recovered, WriteError};
use bellwether_types::entry::{Entry, HardState};
use bellwether_types::id::NodeId;
use bellwether_types::position::{LogIndex, Position, Term};
use common::{MemoryDisk, Random, entry, open};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    /// Entries after the last one, or after the one `back` before it.
    Append {
        back: u64,
        count: u64,
        payload_bytes: usize,
        new_term: bool,
    },
    SetHardState {
        new_term: bool,
        vote: u64,
        commit_back: u64,
    },
    Sync,
    Seal,
    /// Through the last entry but so many.
    Cut {
        back: u64,
    },
    /// To a snapshot so far behind the last entry.
    Reset {
        ahead: u64,
    },
    /// The process is killed; the machine lives on.
    Kill,
}

/// What the log should hold.
#[derive(Debug, Clone, PartialEq)]
struct Model {
    base: Position,
    last: Position,
    entries: BTreeMap<u64, Entry>,
    hard_state: HardState,
}

impl Model {
    fn empty() -> Model {
        let (base, last) = (Position::ZERO, Position::ZERO);
        Model {
            base,
            last,
            entries: BTreeMap::new(),
            hard_state: HardState::default(),
        }
    }

    fn position_at(&self, index: u64) -> Position {
        if index == self.base.index.0 {
            self.base
        } else {
            self.entries[&index].position
        }
    }

    fn append(&mut self, entry: &Entry) {
        self.entries.retain(|index, _| *index < entry.position.index.0);
        self.entries.insert(entry.position.index.0, entry.clone());
        self.last = entry.position;
    }
}

/// The log, and each state it may legally be found in after a crash: those since the last sync.
struct Run {
    disk: MemoryDisk,
    log: Option<Log>,
    history: Vec<Model>,
    /// Nothing before this index of the history may be found.
    synced: usize,
    /// Entries through here are never superseded.
    committed: u64,
    /// Entries through here may be cut.
    cut_through: u64,
}

impl Run {
    fn now(&self) -> &Model {
        self.history.last().expect("never empty")
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("open while steps run")
    }

    fn step(&mut self, step: &Step) -> Result<(), WriteError> {
        match *step {
            Step::Append {
                back,
                count,
                payload_bytes,
                new_term,
            } => {
                let now = self.now().clone();
                let lowest = self.committed.max(now.base.index.0);
                let kept = now.last.index.0.saturating_sub(back).max(lowest);
                let term = now.last.term.0.max(1) + u64::from(new_term || back > 0);
                let payload = |index: u64| vec![(index * 31 + term) as u8 | 1; payload_bytes];
                let entries: Vec<_> = (kept + 1..=kept + count)
                    .map(|index| entry(term, index, &payload(index)))
                    .collect();
                let mut model = now;
                for entry in &entries {
                    model.append(entry);
                    self.history.push(model.clone());
                }
                self.log().append(&entries)
            }
            Step::SetHardState {
                new_term,
                vote,
                commit_back,
            } => {
                let mut model = self.now().clone();
                let term = Term(model.hard_state.term.0 + u64::from(new_term));
                let vote = (vote > 0).then_some(NodeId(vote));
                let commit = model
                    .last
                    .index
                    .0
                    .saturating_sub(commit_back)
                    .max(model.hard_state.commit.0);
                model.hard_state = HardState {
                    term,
                    vote,
                    commit: LogIndex(commit),
                };
                self.committed = self.committed.max(commit);
                let state = model.hard_state;
                self.history.push(model);
                self.log().set_hard_state(state)
            }
            Step::Sync => self.log().sync().map(|()| self.synced = self.history.len() - 1),
            Step::Seal => self.log().seal().map(|()| self.synced = self.history.len() - 1),
            Step::Cut { back } => {
                let through = self.now().last.index.0.saturating_sub(back);
                self.cut_through = self.cut_through.max(through);
                self.committed = self.committed.max(through);
                self.log().cut_prefix(LogIndex(through))
            }
            Step::Reset { ahead } => {
                let mut model = self.now().clone();
                let base = Position::new(model.last.term.0.max(1), model.last.index.0 + ahead);
                (model.base, model.last) = (base, base);
                model.entries.clear();
                self.history.push(model);
                self.log().reset(base)?;
                self.synced = self.history.len() - 1;
                (self.committed, self.cut_through) = (base.index.0, base.index.0);
                Ok(())
            }
            Step::Kill => {
                self.log = None;
                let Ok((mut log, recovered)) = open(&self.disk) else {
                    return Err(WriteError::Stopped);
                };
                let now = self.now().clone();
                check_equal(&mut log, &recovered, &now, self.cut_through).expect("a kill loses nothing");
                self.settle(log, now);
                Ok(())
            }
        }
    }

    /// What was found is what there is, and durable.
    fn settle(&mut self, log: Log, model: Model) {
        // A commit index or a cut that was lost binds nobody.
        self.committed = model.hard_state.commit.max(log.base().index).0;
        self.cut_through = log.base().index.0;
        self.log = Some(log);
        self.history = vec![model];
        self.synced = 0;
    }

    /// Opens after a power loss, perhaps after more of them during the opening itself; or after a disk that
    /// failed for a while, without any.
    fn recover(&mut self, random: &mut Random) {
        self.log = None;
        self.disk.set_fuse(None);
        if random.below(4) > 0 {
            self.disk = self.disk.crash(random);
        }
        for _ in 0..random.below(3) {
            self.disk.set_fuse(Some(random.below(8) as u64));
            match open(&self.disk) {
                Ok(_) | Err(OpenError::Io(_)) => self.disk = self.disk.crash(random),
                Err(error) => panic!("refused after a crash during opening: {error}"),
            }
        }
        self.disk.set_fuse(None);
        let (mut log, recovered) = open(&self.disk).unwrap_or_else(|error| panic!("refused: {error}"));
        let mut differences = Vec::new();
        for model in self.history[self.synced..].iter().rev() {
            match check_equal(&mut log, &recovered, model, self.cut_through) {
                Ok(()) => {
                    let model = model.clone();
                    return self.settle(log, model);
                }
                Err(difference) => differences.push(difference),
            }
        }
        panic!("{recovered:?} is none of the legal states: {differences:#?}");
    }
}

fn check_equal(log: &mut Log, recovered: &Recovered, model: &Model, cut_through: u64) -> Result<(), String> {
    let base = recovered.base.index.0;
    if recovered.last != model.last {
        return Err(format!("last {} instead of {}", recovered.last, model.last));
    }
    if base < model.base.index.0 || base > model.base.index.0.max(cut_through) {
        return Err(format!(
            "base {base}, from {} on and cut through {cut_through}",
            model.base.index
        ));
    }
    if recovered.base != model.position_at(base) {
        return Err(format!(
            "base {} instead of {}",
            recovered.base,
            model.position_at(base)
        ));
    }
    let expected: Vec<Entry> = model
        .entries
        .range(base + 1..)
        .map(|(_, entry)| entry.clone())
        .collect();
    let found = log
        .read(recovered.first, LogIndex(u64::MAX), usize::MAX)
        .map_err(|error| error.to_string())?;
    if found != expected {
        return Err(format!("entries {found:?} instead of {expected:?}"));
    }
    let mut terms: Vec<(LogIndex, Term)> = Vec::new();
    for Entry { position, .. } in &expected {
        if terms.last().is_none_or(|(_, term)| *term != position.term) {
            terms.push((position.index, position.term));
        }
    }
    if recovered.terms != terms {
        return Err(format!("terms {:?} instead of {terms:?}", recovered.terms));
    }
    let commit = model
        .hard_state
        .commit
        .clamp(recovered.base.index, recovered.last.index);
    let hard_state = HardState {
        commit,
        ..model.hard_state
    };
    if recovered.hard_state != hard_state {
        return Err(format!("{:?} instead of {hard_state:?}", recovered.hard_state));
    }
    Ok(())
}

fn steps() -> impl Strategy<Value = Step> {
    let append = (0u64..6, 1u64..6, 0usize..150, any::<bool>());
    prop_oneof![
        6 => append.clone().prop_map(|(_, count, payload_bytes, new_term)| {
            Step::Append { back: 0, count, payload_bytes, new_term }
        }),
        3 => append.prop_map(|(back, count, payload_bytes, new_term)| {
            Step::Append { back, count, payload_bytes, new_term }
        }),
        2 => (any::<bool>(), 0u64..4, 0u64..10).prop_map(|(new_term, vote, commit_back)| {
            Step::SetHardState { new_term, vote, commit_back }
        }),
        4 => Just(Step::Sync),
        1 => Just(Step::Seal),
        2 => (0u64..20).prop_map(|back| Step::Cut { back }),
        1 => (0u64..9).prop_map(|ahead| Step::Reset { ahead }),
        1 => Just(Step::Kill),
    ]
}

/// Steps until the power fails: after so many calls to the disk, or at their end.
fn rounds() -> impl Strategy<Value = Vec<(Vec<Step>, Option<u64>)>> {
    let fuse = prop_oneof![Just(None), (0u64..60).prop_map(Some)];
    prop::collection::vec((prop::collection::vec(steps(), 1..25), fuse), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn synced_is_there_and_the_rest_is_a_prefix(rounds in rounds(), seed in any::<u64>()) {
        let mut random = Random(seed);
        let disk = MemoryDisk::default();
        let (log, _) = open(&disk).expect("a new log");
        let mut run =
            Run { disk, log: Some(log), history: vec![Model::empty()], synced: 0, committed: 0, cut_through: 0 };
        for (steps, fuse) in rounds {
            run.disk.set_fuse(fuse);
            for step in &steps {
                match run.step(step) {
                    Ok(()) => {}
                    Err(error) if fuse.is_some() && error.is_fatal() => break,
                    Err(error) => panic!("{step:?}: {error}"),
                }
            }
            run.recover(&mut random);
        }
    }
}
