//! What is known in memory of the entries on disk: enough to find any of them with one short read.
//!
//! Bounded by the log's length on disk: a block for each 16 KiB and each superseded suffix, a term for each
//! change of term. Built by applying frames in the order of the log, at recovery and while appending alike.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use bellwether_types::position::{LogIndex, Position, Term};
use bellwether_types::{Configuration, Payload};

use crate::error::Flaw;
use crate::frame::Content;

/// The most bytes that are skipped to find an entry, but for one frame's.
const BLOCK_BYTES: u32 = 16 << 10;

/// Consecutive live entries within one segment, with nothing superseded between them.
#[derive(Debug, Clone, Copy)]
struct Block {
    first: LogIndex,
    sequence: u64,
    offset: u32,
}

/// A segment file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub sequence: u64,
    /// Of its checksums.
    pub seed: u32,
    /// Where the written frames end.
    pub end: u32,
    /// How long the file is.
    pub file_bytes: u32,
}

/// Where to read: live entries through `last` from `offset` on, all before `end`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub sequence: u64,
    pub seed: u32,
    pub offset: u32,
    pub end: u32,
    pub last: LogIndex,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Index {
    base: Position,
    last: Position,
    terms: Vec<(LogIndex, Term)>,
    configurations: Vec<(LogIndex, Configuration)>,
    blocks: VecDeque<Block>,
    extents: VecDeque<Extent>,
    /// Whether the next entry may join the last block.
    block_is_open: bool,
    /// Counts what makes bytes found earlier stale: superseding, cutting, resetting.
    generation: u64,
}

impl Index {
    /// An empty log after `base`.
    pub fn new(base: Position) -> Index {
        Index {
            base,
            last: base,
            terms: Vec::new(),
            configurations: Vec::new(),
            blocks: VecDeque::new(),
            extents: VecDeque::new(),
            block_is_open: false,
            generation: 0,
        }
    }

    pub fn base(&self) -> Position {
        self.base
    }

    pub fn last(&self) -> Position {
        self.last
    }

    pub fn terms(&self) -> &[(LogIndex, Term)] {
        &self.terms
    }

    /// What entries say of the group, ascending.
    pub fn configurations(&self) -> &[(LogIndex, Configuration)] {
        &self.configurations
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn extents(&self) -> &VecDeque<Extent> {
        &self.extents
    }

    /// Whether it still counts.
    pub fn has_segment(&self, sequence: u64) -> bool {
        self.extents.iter().any(|extent| extent.sequence == sequence)
    }

    /// The term of the entry at `index`, or of the base.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        if index < self.base.index || index > self.last.index {
            return None;
        }
        let later = self.terms.partition_point(|(start, _)| *start <= index);
        Some(self.terms[later - 1].1)
    }

    /// Frames that follow are in this segment.
    pub fn start_segment(&mut self, extent: Extent) {
        self.extents.push_back(extent);
        self.block_is_open = false;
    }

    /// The last segment has grown.
    pub fn grow(&mut self, end: u32, file_bytes: u32) {
        let extent = self
            .extents
            .back_mut()
            .expect("a log has a segment from its creation on");
        extent.end = end;
        extent.file_bytes = file_bytes;
    }

    /// Takes over what the frame at `offset` of the last segment says. Errors, changing nothing, when it
    /// cannot follow what came before.
    pub fn apply(&mut self, offset: u32, content: &Content<'_>) -> Result<(), Flaw> {
        match *content {
            Content::HardState(_) | Content::Mark => Ok(()),
            Content::Entry { position, payload } => {
                self.check_order(self.last, position)?;
                self.push(position, offset, payload);
                Ok(())
            }
            Content::Supersede {
                kept,
                position,
                payload,
            } => {
                // What lies below the base was cut away, and with it the entry that `kept` names.
                let is_known = kept.index >= self.base.index;
                if kept.index >= self.last.index || (is_known && self.term_at(kept.index) != Some(kept.term))
                {
                    return Err(Flaw::Order {
                        after: self.last,
                        found: kept,
                    });
                }
                self.check_order(kept, position)?;
                self.supersede(kept);
                self.push(position, offset, payload);
                Ok(())
            }
        }
    }

    fn check_order(&self, before: Position, position: Position) -> Result<(), Flaw> {
        let is_next = before.index.0.checked_add(1) == Some(position.index.0);
        if is_next && position.term >= before.term {
            return Ok(());
        }
        Err(Flaw::Order {
            after: before,
            found: position,
        })
    }

    fn push(&mut self, position: Position, offset: u32, payload: &[u8]) {
        let sequence = self
            .extents
            .back()
            .expect("a log has a segment from its creation on")
            .sequence;
        let joins = self.block_is_open
            && self
                .blocks
                .back()
                .is_some_and(|block| offset - block.offset < BLOCK_BYTES);
        if !joins {
            self.blocks.push_back(Block {
                first: position.index,
                sequence,
                offset,
            });
            self.block_is_open = true;
        }
        if self.terms.last().is_none_or(|(_, term)| *term != position.term) {
            self.terms.push((position.index, position.term));
        }
        if let Some(configuration) = Payload::configuration_in(payload) {
            self.configurations.push((position.index, configuration));
        }
        self.last = position;
    }

    /// All after `kept` is void. A `kept` below the base happens only at recovery: the entries between were
    /// superseded, then their predecessors cut away, and the segments of the superseded ones are still there.
    fn supersede(&mut self, kept: Position) {
        while self.blocks.back().is_some_and(|block| block.first > kept.index) {
            self.blocks.pop_back();
        }
        while self.terms.last().is_some_and(|(start, _)| *start > kept.index) {
            self.terms.pop();
        }
        self.configurations.retain(|(index, _)| *index <= kept.index);
        if kept.index < self.base.index {
            self.base = kept;
        }
        self.last = kept;
        self.block_is_open = false;
        self.generation += 1;
    }

    /// The oldest segment, if it is not the last one and all its live entries have an index of at most
    /// `through`.
    pub fn cuttable(&self, through: LogIndex) -> Option<Extent> {
        let oldest = self.extents.front().filter(|_| self.extents.len() > 1)?;
        (self.last_within(oldest.sequence) <= through).then_some(*oldest)
    }

    /// The last live entry in this segment or before it.
    fn last_within(&self, sequence: u64) -> LogIndex {
        let block = self.blocks.partition_point(|block| block.sequence <= sequence);
        match self.blocks.get(block) {
            Some(later) => LogIndex(later.first.0 - 1),
            None => self.last.index,
        }
    }

    /// Forgets the oldest segment and its entries.
    pub fn cut_oldest(&mut self) {
        let oldest = self
            .extents
            .front()
            .expect("only what `cuttable` named is cut")
            .sequence;
        let index = self.last_within(oldest);
        if let Some(term) = self.term_at(index) {
            self.base = Position { term, index };
        }
        let kept = self.blocks.partition_point(|block| block.sequence <= oldest);
        self.blocks.drain(..kept);
        self.configurations.retain(|(at, _)| *at > index);
        let first = self.base.index.next();
        if self.base == self.last {
            self.terms.clear();
        } else {
            let started = self.terms.partition_point(|(start, _)| *start <= first);
            self.terms.drain(..started - 1);
            self.terms[0].0 = first;
        }
        self.extents.pop_front();
        self.generation += 1;
    }

    /// The log starts after `base`, in a segment to come.
    pub fn reset(&mut self, base: Position) {
        let generation = self.generation + 1;
        *self = Index {
            generation,
            ..Index::new(base)
        };
    }

    /// Where to read the entry at `index`; none when the log has none there.
    pub fn locate(&self, index: LogIndex) -> Option<Stretch> {
        if index <= self.base.index || index > self.last.index {
            return None;
        }
        let at = self.blocks.partition_point(|block| block.first <= index) - 1;
        let block = self.blocks[at];
        let next = self.blocks.get(at + 1);
        let oldest = self.extents.front()?.sequence;
        let extent = self.extents[usize::try_from(block.sequence - oldest).ok()?];
        Some(Stretch {
            sequence: block.sequence,
            seed: extent.seed,
            offset: block.offset,
            end: next
                .filter(|next| next.sequence == block.sequence)
                .map_or(extent.end, |next| next.offset),
            last: next.map_or(self.last.index, |next| LogIndex(next.first.0 - 1)),
        })
    }
}

/// The index, shared by the one who appends and those who read. Never locked during I/O.
#[derive(Debug)]
pub(crate) struct SharedIndex(Mutex<Index>);

impl SharedIndex {
    pub fn new(index: Index) -> SharedIndex {
        SharedIndex(Mutex::new(index))
    }

    pub fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().expect("nothing panics while the index is locked")
    }
}

#[cfg(test)]
mod tests {
    use bellwether_types::{NodeId, Timestamp};

    use super::*;

    fn segment(sequence: u64) -> Extent {
        Extent {
            sequence,
            seed: 0,
            end: 0,
            file_bytes: 0,
        }
    }

    fn entry(term: u64, index: u64) -> Content<'static> {
        Content::Entry {
            position: Position::new(term, index),
            payload: &[],
        }
    }

    fn filled(entries: &[(u64, u64)]) -> Index {
        let mut index = Index::new(Position::ZERO);
        index.start_segment(segment(1));
        for (at, (term, place)) in entries.iter().enumerate() {
            index
                .apply(at as u32 * 8, &entry(*term, *place))
                .expect("entries in order");
        }
        index
    }

    #[test]
    fn terms_are_known_from_the_base_to_the_last_entry() {
        let index = filled(&[(1, 1), (1, 2), (4, 3)]);
        let terms: Vec<_> = (0..5)
            .map(|at| index.term_at(LogIndex(at)).map(|term| term.0))
            .collect();
        assert_eq!(terms, [Some(0), Some(1), Some(1), Some(4), None]);
    }

    #[test]
    fn a_gap_a_repetition_and_a_lower_term_are_out_of_order() {
        let mut index = filled(&[(2, 1), (2, 2)]);
        for wrong in [entry(2, 4), entry(2, 2), entry(1, 3)] {
            assert!(
                matches!(index.apply(64, &wrong), Err(Flaw::Order { .. })),
                "{wrong:?}"
            );
        }
        assert_eq!(index.last(), Position::new(2, 2));
    }

    #[test]
    fn superseding_replaces_the_suffix_and_its_terms() {
        let mut index = filled(&[(1, 1), (1, 2), (2, 3), (3, 4)]);
        let kept = Position::new(1, 2);
        let new = Content::Supersede {
            kept,
            position: Position::new(5, 3),
            payload: &[],
        };
        index.apply(64, &new).expect("in order");
        assert_eq!(index.terms(), [(LogIndex(1), Term(1)), (LogIndex(3), Term(5))]);
        assert_eq!(index.locate(LogIndex(3)).map(|stretch| stretch.offset), Some(64));
        assert_eq!(
            index.locate(LogIndex(2)).map(|stretch| stretch.last),
            Some(LogIndex(2))
        );
        assert!(index.locate(LogIndex(4)).is_none());
    }

    #[test]
    fn configurations_are_those_of_the_entries_that_are_kept() {
        let configure = |term: u64, at: u64, voters: u64| {
            let payload = Payload::Configure {
                position: Position::new(term, at),
                timestamp: Timestamp(1),
                origin: NodeId(1),
                configuration: Configuration::of_voters((1..=voters).map(NodeId)),
            };
            payload.to_bytes()
        };
        let known = |index: &Index| {
            let known = index.configurations().iter();
            known
                .map(|(at, known)| (at.0, known.voters.len()))
                .collect::<Vec<_>>()
        };
        let mut index = filled(&[(1, 1)]);
        for (at, voters) in [(2, 3), (3, 4), (4, 5)] {
            let payload = configure(1, at, voters);
            let content = Content::Entry {
                position: Position::new(1, at),
                payload: &payload,
            };
            index.apply(at as u32 * 200, &content).expect("in order");
        }
        assert_eq!(known(&index), [(2, 3), (3, 4), (4, 5)]);
        let payload = configure(2, 4, 3);
        let new = Content::Supersede {
            kept: Position::new(1, 3),
            position: Position::new(2, 4),
            payload: &payload,
        };
        index.start_segment(segment(2));
        index.apply(64, &new).expect("in order");
        assert_eq!(known(&index), [(2, 3), (3, 4), (4, 3)]);
        index.cut_oldest();
        assert_eq!((index.base(), known(&index)), (Position::new(1, 3), vec![(4, 3)]));
        index.reset(Position::new(2, 9));
        assert_eq!(known(&index), []);
    }

    #[test]
    fn a_segment_whose_entries_were_all_superseded_is_cut_with_its_predecessor() {
        let mut index = filled(&[(1, 1), (1, 2)]);
        index.start_segment(segment(2));
        index.apply(0, &entry(1, 3)).expect("in order");
        index.start_segment(segment(3));
        let new = Content::Supersede {
            kept: Position::new(1, 2),
            position: Position::new(2, 3),
            payload: &[],
        };
        index.apply(0, &new).expect("in order");
        assert!(index.cuttable(LogIndex(1)).is_none());
        while index.cuttable(LogIndex(2)).is_some() {
            index.cut_oldest();
        }
        assert_eq!((index.base(), index.extents().len()), (Position::new(1, 2), 1));
        assert_eq!(index.terms(), [(LogIndex(3), Term(2))]);
    }
}
