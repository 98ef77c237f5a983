//! The core's view of the log: the newest part in memory, the older part by request to the driver.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use bellwether_types::{Configuration, Entry, HardState, LogIndex, NodeId, Position, Term};
use raft::eraftpb::{ConfState, Snapshot};
use raft::{GetEntriesContext, RaftState, StorageError};

use crate::message::entry_into_core;

/// Entries below the commit index are kept in memory up to so many bytes, so that a follower a little behind is
/// served without reading the disk. 16 MiB is about a second of full load.
const CACHE_BYTES: usize = 16 << 20;

/// A request to the driver: read entries that are no longer in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch {
    /// The first wanted.
    pub from: LogIndex,
    /// One past the last wanted.
    pub to: LogIndex,
    /// At most so many bytes of payload, but at least one entry.
    pub max_bytes: usize,
}

/// Invariants: `terms` covers `base.index ..= last`; `entries` is a consecutive run that ends at `last` and
/// contains everything that is not both committed and durable; `fetched` is consecutive and lies below `entries`.
pub(crate) struct Window {
    /// As at start, both: the core keeps its own.
    hard_state: HardState,
    configuration: Configuration,
    /// Just before the first entry of the log on disk.
    base: Position,
    last: LogIndex,
    /// Where each term starts, ascending; the first is the base's own.
    terms: Vec<Position>,
    entries: VecDeque<Entry>,
    entries_bytes: usize,
    fetched: Vec<Entry>,
    wanted: RefCell<Option<(Fetch, GetEntriesContext)>>,
}

impl Window {
    pub(crate) fn new(
        hard_state: HardState,
        configuration: Configuration,
        base: Position,
        last: LogIndex,
        terms: &[(LogIndex, Term)],
        tail: Vec<Entry>,
    ) -> Window {
        let mut window = Window {
            hard_state,
            configuration,
            base,
            last,
            terms: vec![base],
            entries: VecDeque::new(),
            entries_bytes: 0,
            fetched: Vec::new(),
            wanted: RefCell::new(None),
        };
        window.terms.extend(
            terms
                .iter()
                .filter(|(_, term)| *term > base.term)
                .map(|(index, term)| Position {
                    term: *term,
                    index: *index,
                }),
        );
        for entry in tail {
            window.push(entry);
        }
        window
    }

    pub(crate) fn base(&self) -> Position {
        self.base
    }

    /// The term at `index`, for `base.index ..= last`.
    pub(crate) fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index < self.base.index || index > self.last {
            return None;
        }
        let after = self.terms.partition_point(|start| start.index <= index);
        Some(self.terms[after - 1].term)
    }

    fn push(&mut self, entry: Entry) {
        let known = self.terms.last().expect("the base's term is always there").term;
        if entry.position.term > known {
            self.terms.push(entry.position);
        }
        self.last = self.last.max(entry.position.index);
        self.entries_bytes += entry.size_bytes();
        self.entries.push_back(entry);
    }

    /// Entries that the core wants persisted; an overlap replaces the suffix.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let first = first.position.index;
        assert!(
            first > self.base.index && first <= self.last.next(),
            "the core appends without a gap"
        );
        while self
            .entries
            .back()
            .is_some_and(|entry| entry.position.index >= first)
        {
            let removed = self.entries.pop_back().expect("just seen");
            self.entries_bytes -= removed.size_bytes();
        }
        while self.terms.len() > 1 && self.terms.last().is_some_and(|start| start.index >= first) {
            self.terms.pop();
        }
        if self.last >= first {
            self.last = LogIndex(first.0 - 1);
            self.fetched.clear();
        }
        for entry in entries {
            self.push(entry.clone());
        }
    }

    /// Forgets old entries at or below `through` (committed and durable here) beyond the cache's size.
    pub(crate) fn trim(&mut self, through: LogIndex) {
        while self.entries_bytes > CACHE_BYTES
            && self
                .entries
                .front()
                .is_some_and(|entry| entry.position.index <= through)
        {
            let removed = self.entries.pop_front().expect("just seen");
            self.entries_bytes -= removed.size_bytes();
        }
    }

    /// The log on disk now starts after `through`.
    pub(crate) fn cut_prefix(&mut self, through: LogIndex) {
        let Some(term) = self.term_at(through) else { return };
        self.base = Position { term, index: through };
        let keep_from = self.terms.partition_point(|start| start.index <= through);
        self.terms.splice(..keep_from, [self.base]);
        self.fetched.clear();
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.position.index <= through)
        {
            let removed = self.entries.pop_front().expect("just seen");
            self.entries_bytes -= removed.size_bytes();
        }
    }

    /// Everything before and at `base` came with a snapshot.
    pub(crate) fn reset(&mut self, base: Position) {
        self.base = base;
        self.last = base.index;
        self.terms = vec![base];
        self.entries.clear();
        self.entries_bytes = 0;
        self.fetched.clear();
    }

    /// What the core asked for and did not get.
    pub(crate) fn take_wanted(&mut self) -> Option<(Fetch, GetEntriesContext)> {
        self.wanted.borrow_mut().take()
    }

    pub(crate) fn set_fetched(&mut self, entries: Vec<Entry>) {
        self.fetched = entries;
    }

    /// Entries from `low` to before `high` that are in memory, from the front, if `low` is.
    pub(crate) fn slice(&self, low: LogIndex, high: LogIndex, max_bytes: usize) -> Option<Vec<Entry>> {
        let in_memory = |first: &Entry| first.position.index <= low;
        let mut size = 0;
        let fits = |entry: &&Entry| {
            let first = size == 0;
            size += entry.size_bytes();
            entry.position.index < high && (first || size <= max_bytes)
        };
        if self.entries.front().is_some_and(in_memory) {
            let skip = (low.0 - self.entries[0].position.index.0) as usize;
            return Some(self.entries.iter().skip(skip).take_while(fits).cloned().collect());
        }
        let last = self.fetched.last()?.position.index;
        if self.fetched.first().is_some_and(in_memory) && low <= last {
            let skip = (low.0 - self.fetched[0].position.index.0) as usize;
            return Some(self.fetched.iter().skip(skip).take_while(fits).cloned().collect());
        }
        None
    }
}

pub(crate) fn conf_state(configuration: &Configuration) -> ConfState {
    let ids = |nodes: &BTreeSet<NodeId>| nodes.iter().map(|node| node.0).collect();
    ConfState {
        voters: ids(&configuration.voters),
        learners: ids(&configuration.learners),
        ..Default::default()
    }
}

pub(crate) fn configuration_of(state: &ConfState) -> Configuration {
    let nodes = |ids: &[u64]| ids.iter().map(|id| NodeId(*id)).collect();
    Configuration {
        voters: nodes(&state.voters),
        learners: nodes(&state.learners),
    }
}

impl raft::Storage for Window {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let hard_state = raft::eraftpb::HardState {
            term: self.hard_state.term.0,
            vote: self.hard_state.vote.map_or(0, |node| node.0),
            commit: self.hard_state.commit.0,
            ..Default::default()
        };
        Ok(RaftState::new(hard_state, conf_state(&self.configuration)))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<raft::eraftpb::Entry>> {
        let (low, high) = (LogIndex(low), LogIndex(high));
        if low <= self.base.index {
            return Err(StorageError::Compacted.into());
        }
        let max_bytes = max_size
            .into()
            .map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        if let Some(entries) = self.slice(low, high, max_bytes) {
            return Ok(entries.into_iter().map(entry_into_core).collect());
        }
        assert!(context.can_async(), "what is above the commit index is in memory");
        let fetch = Fetch {
            from: low,
            to: high,
            max_bytes,
        };
        let mut wanted = self.wanted.borrow_mut();
        if wanted.is_none() {
            *wanted = Some((fetch, context));
        }
        Err(StorageError::LogTemporarilyUnavailable.into())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.base.index.0 {
            return Err(StorageError::Compacted.into());
        }
        match self.term_at(LogIndex(index)) {
            Some(term) => Ok(term.0),
            None => Err(StorageError::Unavailable.into()),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.index.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last.0)
    }

    /// Metadata only: the content is fetched apart by the receiver. Any position at or after the base's and
    /// at or below the commit index will do; the base is the oldest one that this log can continue from.
    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        if request_index > self.base.index.0 || self.base.index.0 == 0 {
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.index = self.base.index.0;
        metadata.term = self.base.term.0;
        Ok(snapshot)
    }
}
