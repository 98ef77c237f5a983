//! The thread that owns the log: writes what waits, syncs once, tells; cuts.

use std::collections::VecDeque;

use bellwether_log::{Log, LogReader, WriteError};
use bellwether_node::Persist;
use bellwether_types::{HardState, LogIndex, NodeId, Position};

use super::context::{Context, NodeEvent};
use crate::bug::Bug;
use crate::fault::CrashPoint;
use crate::observation::{Logged, Observation};

enum Job {
    Persist(Persist),
    Cut(LogIndex),
}

/// The log and what waits for it.
pub(super) struct LogThread {
    node: NodeId,
    log: Log,
    /// For whoever reads beside it.
    pub reader: LogReader,
    queue: VecDeque<Job>,
    /// Written, and being synced.
    syncing: Vec<Persist>,
    /// Written while others are being synced.
    written: Vec<Persist>,
    /// More is not reserved at a time: what waits is written first.
    reserved_max_bytes: usize,
    /// While a snapshot is put in place: what resets the log must wait.
    pub is_blocked: bool,
    /// The newest ticket given to it.
    newest: u64,
    /// By a planted bug something was taken for written that is not.
    unwritten: bool,
}

impl LogThread {
    pub fn new(node: NodeId, log: Log, segment_bytes: u32) -> LogThread {
        LogThread {
            node,
            reader: log.reader(),
            log,
            queue: VecDeque::new(),
            syncing: Vec::new(),
            written: Vec::new(),
            reserved_max_bytes: segment_bytes as usize / 4,
            is_blocked: false,
            newest: 0,
            unwritten: false,
        }
    }

    pub fn persist(&mut self, persist: Persist, context: &mut Context<'_>) {
        self.newest = persist.ticket;
        self.queue.push_back(Job::Persist(persist));
        self.maybe_start(context);
    }

    pub fn cut(&mut self, through: LogIndex, context: &mut Context<'_>) {
        self.queue.push_back(Job::Cut(through));
        self.maybe_start(context);
    }

    /// Finds room for entries before the machine hears of them. Whether there is some.
    pub fn reserve(&mut self, payload_bytes: Vec<usize>, context: &mut Context<'_>) -> bool {
        if self.log.reserved_bytes() > self.reserved_max_bytes && !self.is_blocked {
            self.write_waiting(context);
            // Of entries that the machine did not take.
            self.log.release();
        }
        match self.log.reserve(payload_bytes) {
            Ok(()) => true,
            Err(error) => {
                if error.is_fatal() {
                    context.stop(format!("the log: {error}"));
                }
                context.has(Bug::IgnoreFullDisk)
            }
        }
    }

    /// Takes all that waits, when idle.
    pub fn maybe_start(&mut self, context: &mut Context<'_>) {
        if !self.syncing.is_empty() || self.is_blocked {
            return;
        }
        self.write_waiting(context);
        self.syncing = std::mem::take(&mut self.written);
        if !self.syncing.is_empty() {
            let delay_us = context.sync_us();
            context.after(delay_us, NodeEvent::LogSynced);
        }
    }

    fn write_waiting(&mut self, context: &mut Context<'_>) {
        let mut points = Vec::new();
        while let Some(job) = self.queue.pop_front() {
            let done = match job {
                Job::Persist(persist) => {
                    points.extend(self.crash_points(&persist));
                    let written = self.write(&persist, context.bug);
                    self.written.push(persist);
                    written
                }
                Job::Cut(through) => {
                    context.observe(Observation::LogCut {
                        node: self.node,
                        through,
                    });
                    points.push(CrashPoint::LogCut);
                    self.log.cut_prefix(through)
                }
            };
            if let Err(error) = done {
                if context.has(Bug::IgnoreFullDisk) && matches!(error, WriteError::Full { .. }) {
                    self.unwritten = true;
                    continue;
                }
                return context.stop(format!("the log: {error}"));
            }
        }
        for point in points {
            context.crash_point(point);
        }
    }

    /// What a power loss would hit once this is written.
    fn crash_points(&self, persist: &Persist) -> Vec<CrashPoint> {
        let mut points = Vec::new();
        if persist
            .entries
            .first()
            .is_some_and(|first| first.position.index <= self.log.last().index)
        {
            points.push(CrashPoint::LogReplaced);
        }
        let vote = |state: HardState| (state.term, state.vote);
        if persist
            .hard_state
            .is_some_and(|state| vote(state) != vote(self.log.hard_state()))
        {
            points.push(CrashPoint::VoteWritten);
        }
        points
    }

    fn write(&mut self, persist: &Persist, bug: Option<Bug>) -> Result<(), WriteError> {
        let hard_state = persist
            .hard_state
            .filter(|_| bug != Some(Bug::VoteWithoutPersisting));
        if let Some(base) = persist.reset {
            self.log.reset(base)?;
        }
        // Entries first: after a crash the log is a prefix of what was written, and a commit index must not be there
        // without the entries that it is about, but with those that they replace.
        if bug != Some(Bug::HardStateBeforeEntries) {
            self.log.append(&persist.entries)?;
        }
        if let Some(state) = hard_state {
            self.log.set_hard_state(state)?;
        }
        if bug == Some(Bug::HardStateBeforeEntries) {
            self.log.append(&persist.entries)?;
        }
        Ok(())
    }

    /// Answers the ticket that is durable now.
    pub fn handle_synced(&mut self, context: &mut Context<'_>) -> Option<u64> {
        let written = std::mem::take(&mut self.syncing);
        match self.log.sync() {
            Ok(()) if self.unwritten => {}
            Ok(()) => {
                for persist in &written {
                    context.observe(self.durable(persist, context.has(Bug::VoteWithoutPersisting)));
                }
            }
            Err(_) if context.has(Bug::IgnoreFailedSync) => {}
            Err(error) => {
                context.stop(format!("the log: {error}"));
                return None;
            }
        }
        let ticket = written.last().map(|persist| persist.ticket);
        self.maybe_start(context);
        match context.has(Bug::SendBeforePersist) {
            true => Some(self.newest),
            false => ticket,
        }
    }

    fn durable(&self, persist: &Persist, without_hard_state: bool) -> Observation {
        Observation::Durable {
            node: self.node,
            reset: persist.reset,
            hard_state: persist.hard_state.filter(|_| !without_hard_state),
            entries: persist.entries.iter().map(Logged::of).collect(),
        }
    }

    /// The position at an index of the log, its last one if it is shorter.
    pub fn position_at(&self, index: LogIndex) -> Position {
        match self.log.term_at(index) {
            Some(term) => Position { term, index },
            None => self.log.last(),
        }
    }

    /// Base, and all positions that the log holds.
    pub fn positions(&self) -> (Position, Vec<Position>) {
        let (first, last) = (self.log.first().0, self.log.last().index.0);
        (
            self.log.base(),
            (first..=last)
                .map(|index| self.position_at(LogIndex(index)))
                .collect(),
        )
    }
}
