//! One member of one group.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bellwether_types::{Entry, HardState, LogIndex, NodeId, Position, Term};
use bytes::Bytes;
use raft::{GetEntriesContext, RawNode, ReadOnlyOption, StateRole};

use crate::drop_reason::DropReason;
use crate::message::{Message, MessageKind, entry_of_core};
use crate::timing::{ELECTION_SPREAD_TICKS, ELECTION_TICKS, HEARTBEAT_TICKS, SNAPSHOT_REOFFER_TICKS};
use crate::window::{Fetch, Window};

/// At most so many bytes of entries in one append, unless one entry alone is larger.
const APPEND_BYTES: u64 = 1 << 20;
/// At most so many appends under way to one follower: with [`APPEND_BYTES`], 32 MiB a follower.
const APPENDS_IN_FLIGHT: usize = 32;

/// Who is in the group.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// All voters, this node among them.
    pub voters: Vec<NodeId>,
}

/// What the log held at start.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// As last persisted.
    pub hard_state: HardState,
    /// The position just before the first entry kept.
    pub base: Position,
    /// The last index of the log.
    pub last: LogIndex,
    /// Where each term starts among the entries kept, ascending.
    pub terms: Vec<(LogIndex, Term)>,
    /// The entries above `hard_state.commit`, all of them.
    pub tail: Vec<Entry>,
}

/// What this node is in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Proposes.
    Leader,
    /// Follows the named leader, or none yet.
    Follower {
        /// The leader of the present term, once heard of.
        leader: Option<NodeId>,
    },
    /// Stands for election, or asks whether it could win one.
    Candidate,
}

/// To be written to the log and fsynced, in the order given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persist {
    /// To be handed back by [`Group::handle_persisted`] when everything up to here is durable.
    pub ticket: u64,
    /// Absent: unchanged.
    pub hard_state: Option<HardState>,
    /// To be appended; the first one's index may be below the log's end, whose suffix it then replaces.
    pub entries: Vec<Entry>,
    /// The log is to be emptied and to start after this position, before `entries`.
    pub reset: Option<Position>,
}

/// Everything that became due since the last call.
#[derive(Debug, Default)]
pub struct Output {
    /// In order.
    pub persist: Vec<Persist>,
    /// May be sent at once; order between messages to one node should be kept but need not be.
    pub messages: Vec<Message>,
    /// (id, index): a read asked for under this id is linearizable at or after this index.
    pub reads: Vec<(u64, LogIndex)>,
    /// Entries wanted from disk; to be answered by [`Group::handle_fetched`].
    pub fetch: Option<Fetch>,
}

/// Why nothing was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProposeError {
    /// This node does not lead, or hands leadership over.
    NotLeader,
    /// This node's log finds no space, or the logs of so many others that no quorum is left.
    NoRoom,
}

/// One member of one group. See the crate's documentation.
pub struct Group {
    core: RawNode<Window>,
    config: Config,
    /// Messages that must not leave before the ticket is durable.
    withheld: VecDeque<(u64, Vec<Message>)>,
    /// Tickets given out and not durable yet.
    outstanding: VecDeque<u64>,
    /// A reset of the log is under way, until this ticket is durable: the core cannot stand for election meanwhile.
    resetting: Option<u64>,
    /// The newest ticket of the core, whether or not it needs the disk.
    newest: u64,
    /// The commit index as last handed out for persisting: a hint, so it travels with the next real write.
    unsaved_hard_state: Option<HardState>,
    fetching: Option<GetEntriesContext>,
    /// As a leader said last.
    leader_commit: LogIndex,
    /// Whether this node's log finds space for entries.
    has_room: bool,
    /// At the leader: the members that said that theirs does not.
    full: BTreeSet<NodeId>,
    ticks: u64,
    /// At the leader: the commit index that each member was told last.
    told: BTreeMap<NodeId, LogIndex>,
    output: Output,
}

impl Group {
    /// A member that knows what its log held.
    ///
    /// Panics when `recovered` contradicts itself (a commit index beyond the log): the log room never answers
    /// such a thing.
    pub fn new(config: Config, recovered: Recovered) -> Group {
        let rank = config.voters.iter().filter(|voter| **voter < config.node).count();
        let timeout = ELECTION_TICKS + rank * ELECTION_SPREAD_TICKS;
        let commit = recovered.hard_state.commit.max(recovered.base.index);
        let mut hard_state = recovered.hard_state;
        hard_state.commit = commit;
        hard_state.term = hard_state.term.max(recovered.base.term);
        assert!(commit <= recovered.last, "the commit index is within the log");
        let core_config = raft::Config {
            id: config.node.0,
            election_tick: ELECTION_TICKS,
            min_election_tick: timeout,
            max_election_tick: timeout + 1,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied: commit.0,
            max_size_per_msg: APPEND_BYTES,
            max_inflight_msgs: APPENDS_IN_FLIGHT,
            check_quorum: true,
            pre_vote: true,
            read_only_option: ReadOnlyOption::Safe,
            batch_append: false,
            // It travels with the next entry; else `announce` tells it.
            skip_bcast_commit: true,
            ..raft::Config::default()
        };
        let window = Window::new(
            hard_state,
            config.voters.clone(),
            recovered.base,
            recovered.last,
            &recovered.terms,
            recovered.tail,
        );
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let core = RawNode::new(&core_config, window, &logger).expect("the configuration is valid");
        Group {
            core,
            config,
            withheld: VecDeque::new(),
            outstanding: VecDeque::new(),
            resetting: None,
            newest: 0,
            unsaved_hard_state: None,
            fetching: None,
            leader_commit: LogIndex(0),
            has_room: true,
            full: BTreeSet::new(),
            ticks: 0,
            told: BTreeMap::new(),
            output: Output::default(),
        }
    }

    /// One tick ([`crate::TICK_MS`]) has passed.
    pub fn tick(&mut self) {
        if self.resetting.is_some() {
            return;
        }
        self.core.tick();
        self.ticks += 1;
        if self.ticks.is_multiple_of(SNAPSHOT_REOFFER_TICKS) {
            self.reoffer_snapshots();
        }
        self.drain_core();
    }

    /// The core waits for ever for the fate of a snapshot that it offered. Offering it again is harmless: the
    /// receiver ignores it while it is busy with one, and tells by an append reply when it is done.
    fn reoffer_snapshots(&mut self) {
        let waiting: Vec<u64> = self
            .core
            .raft
            .prs()
            .iter()
            .filter(|(_, progress)| progress.state == raft::ProgressState::Snapshot)
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.core.report_snapshot(id, raft::SnapshotStatus::Failure);
        }
    }

    /// At the leader: some member was not told how far the log is committed, and will not be before the next entry or
    /// heartbeat. After a moment without either, [`Group::announce`].
    pub fn owes_announcement(&self) -> bool {
        let is_told = |voter: &NodeId| self.told.get(voter).is_some_and(|told| *told >= self.commit());
        self.core.raft.state == StateRole::Leader
            && !self
                .config
                .voters
                .iter()
                .all(|voter| *voter == self.config.node || is_told(voter))
    }

    /// Tells all members how far the log is committed; those that cannot be reached hear it with a later message.
    pub fn announce(&mut self) {
        if self.core.raft.state != StateRole::Leader {
            return;
        }
        self.core.ping();
        let commit = self.commit();
        for voter in &self.config.voters {
            self.told.insert(*voter, commit);
        }
        self.drain_core();
    }

    /// A message of a member arrived. Wrong ones are dropped; the answer says why.
    pub fn handle_message(&mut self, message: Message) -> Result<(), DropReason> {
        self.check(&message)?;
        if message.needs_room() && !self.has_room {
            return Err(DropReason::NoRoom);
        }
        match message.kind {
            MessageKind::AppendReply | MessageKind::HeartbeatReply if message.is_full => {
                self.full.insert(message.from);
            }
            MessageKind::AppendReply | MessageKind::HeartbeatReply => {
                self.full.remove(&message.from);
            }
            MessageKind::Append | MessageKind::Heartbeat if message.term >= self.term() => {
                self.leader_commit = message.leader_commit;
            }
            _ => {}
        }
        let step = self.core.step(message.into_core());
        self.drain_core();
        match step {
            Ok(()) => Ok(()),
            Err(_) => Err(DropReason::RefusedByCore),
        }
    }

    /// Whether this node's log finds space for entries; until told otherwise it does. Without, entries of the
    /// leader are not taken, and the leader is told.
    pub fn set_room(&mut self, has_room: bool) {
        self.has_room = has_room;
    }

    /// As last set.
    pub fn has_room(&self) -> bool {
        self.has_room
    }

    /// At the leader: nothing can be proposed for want of space, here or at so many others that no quorum is left.
    pub fn is_full(&self) -> bool {
        let members = self.config.voters.len();
        !self.has_room || members - self.full.len() <= members / 2
    }

    /// At the leader: the member that would lose the least time in its place, of those with space in their logs.
    pub fn heir(&self) -> Option<NodeId> {
        let fit = self
            .progress()
            .into_iter()
            .filter(|(node, _)| !self.full.contains(node));
        fit.max_by_key(|(_, matched)| *matched).map(|(node, _)| node)
    }

    /// Appends to the log at the leader; the answer is where.
    pub fn propose(&mut self, payload: Bytes) -> Result<Position, ProposeError> {
        if self.core.raft.state != StateRole::Leader || self.core.raft.lead_transferee.is_some() {
            return Err(ProposeError::NotLeader);
        }
        if self.is_full() {
            return Err(ProposeError::NoRoom);
        }
        self.propose_to_core(payload)?;
        let position = Position::new(self.core.raft.term, self.core.raft.raft_log.last_index());
        self.drain_core();
        Ok(position)
    }

    /// `RawNode::propose` takes a vector and would copy the payload: the same step with shared bytes.
    fn propose_to_core(&mut self, payload: Bytes) -> Result<(), ProposeError> {
        let entry = raft::eraftpb::Entry {
            data: payload,
            ..Default::default()
        };
        let mut message = raft::eraftpb::Message::default();
        message.set_msg_type(raft::eraftpb::MessageType::MsgPropose);
        message.from = self.config.node.0;
        message.entries = vec![entry].into();
        self.core.raft.step(message).map_err(|_| ProposeError::NotLeader)
    }

    /// Everything up to and with the ticket is durable.
    pub fn handle_persisted(&mut self, ticket: u64) {
        while self.outstanding.front().is_some_and(|due| *due <= ticket) {
            self.outstanding.pop_front();
        }
        self.resetting.take_if(|reset| *reset <= ticket);
        self.release_persisted();
        self.drain_core();
        self.advance_applied();
    }

    /// The core counts as applied what is committed and durable here: it hands out nothing to apply, and an election
    /// looks at what lies between. After a snapshot that is all of it.
    fn advance_applied(&mut self) {
        let settled = self.commit().min(self.persisted()).0;
        if settled > self.core.raft.raft_log.applied {
            self.core.advance_apply_to(settled);
        }
    }

    /// Tells the core what is durable: everything before the oldest write under way.
    fn release_persisted(&mut self) {
        let through = self.outstanding.front().map_or(self.newest, |ticket| ticket - 1);
        self.core.on_persist_ready(through);
        while self.withheld.front().is_some_and(|(due, _)| *due <= through) {
            let (_, messages) = self.withheld.pop_front().expect("just seen");
            self.output.messages.extend(messages);
        }
    }

    /// The driver read what [`Output::fetch`] asked for; empty when the log no longer has it.
    pub fn handle_fetched(&mut self, entries: Vec<Entry>) {
        let Some(context) = self.fetching.take() else {
            return;
        };
        if !entries.is_empty() {
            self.core.mut_store().set_fetched(entries);
            self.core.on_entries_fetched(context);
        }
        self.drain_core();
    }

    /// Asks from which index on a read under this id is linearizable. May never be answered: ask again.
    pub fn read_index(&mut self, id: u64) {
        self.core.read_index(id.to_le_bytes().to_vec());
        self.drain_core();
    }

    /// Hands leadership over; proposals are refused until it is done or an election timeout has passed.
    pub fn transfer(&mut self, to: NodeId) {
        self.core.transfer_leader(to.0);
        self.drain_core();
    }

    /// Whether leadership is being handed over.
    pub fn is_transferring(&self) -> bool {
        self.core.raft.lead_transferee.is_some()
    }

    /// A message to this node could not be delivered.
    pub fn report_unreachable(&mut self, node: NodeId) {
        self.core.report_unreachable(node.0);
        self.drain_core();
    }

    /// The log on disk now starts after `through`.
    pub fn cut_prefix(&mut self, through: LogIndex) {
        self.core.mut_store().cut_prefix(through);
    }

    /// Takes what became due.
    pub fn poll_output(&mut self) -> Output {
        std::mem::take(&mut self.output)
    }

    /// What this node is.
    pub fn role(&self) -> Role {
        match self.core.raft.state {
            StateRole::Leader => Role::Leader,
            StateRole::Follower => {
                let leader = self.core.raft.leader_id;
                Role::Follower {
                    leader: (leader != 0).then_some(NodeId(leader)),
                }
            }
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
        }
    }

    /// The present term.
    pub fn term(&self) -> Term {
        Term(self.core.raft.term)
    }

    /// The last entry known committed. Entries up to here may be applied once this node has them durably.
    pub fn commit(&self) -> LogIndex {
        LogIndex(self.core.raft.raft_log.committed)
    }

    /// The last entry that this node has heard to be committed, whether or not it has it.
    pub fn known_commit(&self) -> LogIndex {
        self.commit().max(self.leader_commit)
    }

    /// The last entry durable here.
    pub fn persisted(&self) -> LogIndex {
        LogIndex(self.core.raft.raft_log.persisted)
    }

    /// The position just before the first entry kept.
    pub fn base(&self) -> Position {
        self.core.store().base()
    }

    /// The last entry, durable or not.
    pub fn last(&self) -> Position {
        let index = LogIndex(self.core.raft.raft_log.last_index());
        Position {
            term: self.term_at(index).unwrap_or_default(),
            index,
        }
    }

    /// The term at an index of the log kept.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        self.core.store().term_at(index)
    }

    /// All voters.
    pub fn voters(&self) -> &[NodeId] {
        &self.config.voters
    }

    /// At the leader: each other member and the last entry that it is known to hold durably.
    pub fn progress(&self) -> Vec<(NodeId, LogIndex)> {
        let me = self.config.node.0;
        let progress = self.core.raft.prs().iter().filter(|(id, _)| **id != me);
        let mut progress: Vec<_> = progress
            .map(|(id, progress)| (NodeId(*id), LogIndex(progress.matched)))
            .collect();
        progress.sort();
        progress
    }

    /// Entries from `from` to before `to` that are in memory; `None` when the first is not.
    pub fn entries_in_memory(&self, from: LogIndex, to: LogIndex, max_bytes: usize) -> Option<Vec<Entry>> {
        self.core.store().slice(from, to, max_bytes)
    }

    /// Why a message must not reach the core: it would panic, or it is not from a member.
    pub fn check(&self, message: &Message) -> Result<(), DropReason> {
        check_numbers(message)?;
        if message.to != self.config.node {
            return Err(DropReason::WrongAddressee);
        }
        if message.from == self.config.node && message.kind == MessageKind::ReadIndex {
            return Err(DropReason::ReadCameBack);
        }
        if message.from == self.config.node || !self.config.voters.contains(&message.from) {
            return Err(DropReason::NotAMember);
        }
        let last = LogIndex(self.core.raft.raft_log.last_index());
        match message.kind {
            MessageKind::Append => self.check_append(message),
            MessageKind::Heartbeat if message.term >= self.term() && message.commit > last => {
                Err(DropReason::CommitBeyondLog)
            }
            MessageKind::AppendReply if !message.reject && message.log.index > last => {
                Err(DropReason::AcknowledgesTooMuch)
            }
            MessageKind::Snapshot if message.log.index.0 == 0 => Err(DropReason::EmptySnapshot),
            MessageKind::Snapshot if message.voters != self.config.voters => Err(DropReason::OtherMembers),
            MessageKind::TransferLeader => Err(DropReason::NotAMembersToAsk),
            MessageKind::TimeoutNow if self.resetting.is_some() => Err(DropReason::BeingSeeded),
            MessageKind::VoteReply if self.persisted() < last => Err(DropReason::UnaskedVote),
            _ => Ok(()),
        }
    }

    /// Appends follow each other.
    fn check_append(&self, message: &Message) -> Result<(), DropReason> {
        let mut previous = message.log;
        for entry in &message.entries {
            let follows =
                entry.position.index == previous.index.next() && entry.position.term >= previous.term;
            if !follows || entry.position.term.0 == 0 {
                return Err(DropReason::NotConsecutive);
            }
            if entry.position.term > message.term {
                return Err(DropReason::EntryOfLaterTerm);
            }
            let committed = entry.position.index <= self.commit();
            let known = self.term_at(entry.position.index);
            if committed
                && message.term >= self.term()
                && known.is_some_and(|term| term != entry.position.term)
            {
                return Err(DropReason::ContradictsCommitted);
            }
            previous = entry.position;
        }
        Ok(())
    }

    /// The core's messages, but for entries to members that would not take them: they are asked for again when
    /// these have space.
    fn of_core(&self, messages: Vec<raft::eraftpb::Message>) -> Vec<Message> {
        let messages = messages.into_iter().filter_map(Message::of_core);
        messages
            .filter(|message| !(message.needs_room() && self.full.contains(&message.to)))
            .map(|mut message| {
                match message.kind {
                    MessageKind::AppendReply | MessageKind::HeartbeatReply => {
                        message.is_full = !self.has_room;
                    }
                    MessageKind::Append | MessageKind::Heartbeat => message.leader_commit = self.commit(),
                    _ => {}
                }
                message
            })
            .collect()
    }

    /// Moves what the core has ready into `output`. Committed entries are not taken from here: the commit index
    /// says it, and the entries are in the window or on disk.
    fn drain_core(&mut self) {
        while self.core.has_ready() {
            let mut ready = self.core.ready();
            let hard_state = ready.hs().map(|state| HardState {
                term: Term(state.term),
                vote: (state.vote != 0).then_some(NodeId(state.vote)),
                commit: LogIndex(state.commit),
            });
            let entries: Vec<Entry> = ready.take_entries().into_iter().map(entry_of_core).collect();
            let reset = (!ready.snapshot().is_empty()).then(|| {
                let metadata = ready.snapshot().get_metadata();
                Position::new(metadata.term, metadata.index)
            });
            let window = self.core.mut_store();
            if let Some(base) = reset {
                window.reset(base);
            }
            window.append(&entries);
            self.newest = ready.number();
            for read in ready.take_read_states() {
                if let Ok(id) = <[u8; 8]>::try_from(read.request_ctx.as_slice()) {
                    self.output
                        .reads
                        .push((u64::from_le_bytes(id), LogIndex(read.index)));
                }
            }
            let at_once = ready.take_messages();
            let after = ready.take_persisted_messages();
            let at_once = self.of_core(at_once);
            self.output.messages.extend(at_once);
            let after = self.of_core(after);
            for message in self.output.messages.iter().chain(&after) {
                if matches!(message.kind, MessageKind::Append | MessageKind::Heartbeat) {
                    self.told.insert(message.to, message.leader_commit);
                }
            }
            if !after.is_empty() {
                self.withheld.push_back((self.newest, after));
            }
            self.unsaved_hard_state = hard_state.or(self.unsaved_hard_state);
            if ready.must_sync() {
                let hard_state = self.unsaved_hard_state.take();
                self.outstanding.push_back(self.newest);
                self.resetting = reset.map(|_| self.newest).or(self.resetting);
                self.output.persist.push(Persist {
                    ticket: self.newest,
                    hard_state,
                    entries,
                    reset,
                });
            }
            self.core.advance_append_async(ready);
            self.advance_applied();
            if self.outstanding.is_empty() {
                self.release_persisted();
            }
        }
        if self.core.raft.state != StateRole::Leader {
            self.full.clear();
        }
        let settled = self.commit().min(self.persisted());
        let window = self.core.mut_store();
        window.trim(settled);
        if self.fetching.is_none()
            && let Some((fetch, context)) = window.take_wanted()
        {
            self.fetching = Some(context);
            self.output.fetch = Some(fetch);
        }
    }
}

/// Far above what a log reaches ([`Position::to_lsn`]), and far below where adding one overflows.
const NUMBER_MAX: u64 = 1 << 60;

/// Numbers that the core takes for something else, or computes with unchecked: term 0 marks its own messages, and is
/// what it answers for places beyond the log.
fn check_numbers(message: &Message) -> Result<(), DropReason> {
    let numbers = [
        message.term.0,
        message.log.term.0,
        message.log.index.0,
        message.commit.0,
        message.leader_commit.0,
        message.commit_term.0,
        message.reject_hint.0,
        message.request_snapshot.0,
    ];
    if numbers.iter().any(|number| *number > NUMBER_MAX) {
        return Err(DropReason::NumberTooLarge);
    }
    if (message.term.0 == 0) != (message.kind == MessageKind::ReadIndex) {
        return Err(DropReason::WrongTerm);
    }
    let carries = match message.kind {
        MessageKind::Append => true,
        MessageKind::ReadIndex | MessageKind::ReadIndexReply => message.entries.len() == 1,
        _ => message.entries.is_empty(),
    };
    if !carries {
        return Err(DropReason::WrongEntries);
    }
    let places = matches!(message.kind, MessageKind::Append | MessageKind::Snapshot);
    if places && (message.log.term.0 == 0) != (message.log.index.0 == 0) {
        return Err(DropReason::WrongPlace);
    }
    if places && message.log.term > message.term {
        return Err(DropReason::WrongPlace);
    }
    Ok(())
}
