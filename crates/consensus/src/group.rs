//! One member of one group.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bellwether_types::configuration::MEMBERS_MAX;
use bellwether_types::{Configuration, Entry, HardState, LogIndex, NodeId, Payload, Position, Term};
use bytes::Bytes;
use raft::eraftpb::ConfChangeType;
use raft::{GetEntriesContext, RawNode, ReadOnlyOption, StateRole};

use crate::drop_reason::DropReason;
use crate::message::{Message, MessageKind, entry_of_core, payload_into_core};
use crate::standbys::{Owed, Standby, Standbys};
use crate::timing::{
    ELECTION_MARGIN_TICKS, ELECTION_SPREAD_TICKS, ELECTION_TICKS, HEARTBEAT_TICKS, SNAPSHOT_REOFFER_TICKS,
    TICK_MS,
};
use crate::window::{Fetch, Window, conf_state, configuration_of};

/// At most so many bytes of entries in one append, unless one entry alone is larger.
const APPEND_BYTES: u64 = 1 << 20;
/// At most so many appends under way to one follower: with [`APPEND_BYTES`], 32 MiB a follower.
const APPENDS_IN_FLIGHT: usize = 32;

/// What the log held at start, and who was in the group.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// The group as it was founded, before any record says it. Empty: this node has not joined.
    pub founding: Configuration,
    /// The group as the applied state has it, if it does.
    pub configuration: Option<Configuration>,
    /// What entries of the log say of the group, ascending. Of those at or before `hard_state.commit` the last one
    /// counts, if there is one.
    pub configurations: Vec<(LogIndex, Configuration)>,
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
    /// A configuration that may not follow the present one, that another one comes before, or in which this node has no
    /// vote: a leader hands over before it goes.
    NotAStep,
}

/// One member of one group. See the crate's documentation.
pub struct Group {
    pub(crate) core: RawNode<Window>,
    node: NodeId,
    /// In effect: as of what is committed and durable here.
    configuration: Configuration,
    /// A record said it.
    is_recorded: bool,
    /// Of entries that are not.
    coming: VecDeque<(LogIndex, Configuration)>,
    /// Messages that must not leave before the ticket is durable.
    withheld: VecDeque<(u64, Vec<Message>)>,
    /// Tickets given out and not durable yet.
    outstanding: VecDeque<u64>,
    /// A reset of the log is under way, until this ticket is durable: the core cannot stand for election meanwhile.
    pub(crate) resetting: Option<u64>,
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
    /// Who has what.
    standbys: Standbys,
    output: Output,
}

impl Group {
    /// The member `node`, which knows what its log held.
    ///
    /// Panics when `recovered` contradicts itself (a commit index beyond the log): the log room never answers
    /// such a thing.
    pub fn new(node: NodeId, recovered: Recovered) -> Group {
        let commit = recovered.hard_state.commit.max(recovered.base.index);
        let mut hard_state = recovered.hard_state;
        hard_state.commit = commit;
        hard_state.term = hard_state.term.max(recovered.base.term);
        assert!(commit <= recovered.last, "the commit index is within the log");
        let (known, coming): (VecDeque<_>, VecDeque<_>) = recovered
            .configurations
            .into_iter()
            .partition(|(index, _)| *index <= commit);
        let recorded = known.into_iter().last().map(|(_, configuration)| configuration);
        let recorded = recorded.or(recovered.configuration);
        let is_recorded = recorded.is_some();
        let configuration = recorded.unwrap_or(recovered.founding);
        let core_config = raft::Config {
            id: node.0,
            election_tick: ELECTION_TICKS,
            // Where in between, `tick` says.
            min_election_tick: ELECTION_TICKS,
            max_election_tick: election_ticks(MEMBERS_MAX) + 1,
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
            configuration.clone(),
            recovered.base,
            recovered.last,
            &recovered.terms,
            recovered.tail,
        );
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let core = RawNode::new(&core_config, window, &logger).expect("the configuration is valid");
        Group {
            core,
            node,
            configuration,
            is_recorded,
            coming,
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
            standbys: Standbys::default(),
            output: Output::default(),
        }
    }

    /// One tick ([`crate::TICK_MS`]) has passed.
    pub fn tick(&mut self) {
        if self.resetting.is_some() {
            return;
        }
        // The core draws another one whenever it begins to wait.
        let rank = self.configuration.voters.range(..self.node).count();
        self.core
            .raft
            .set_randomized_election_timeout(election_ticks(rank));
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
        let is_told = |node| self.told.get(&node).is_some_and(|told| *told >= self.commit());
        self.core.raft.state == StateRole::Leader
            && !self
                .configuration
                .members()
                .all(|node| node == self.node || is_told(node))
    }

    /// Tells all members how far the log is committed; those that cannot be reached hear it with a later message.
    pub fn announce(&mut self) {
        if self.core.raft.state != StateRole::Leader {
            return;
        }
        self.core.ping();
        let commit = self.commit();
        self.told
            .extend(self.configuration.members().map(|node| (node, commit)));
        self.drain_core();
    }

    /// A snapshot that was offered lies ready, of this position and the group as it was there. If it is of use, the log is
    /// to start anew after it ([`Persist::reset`]).
    pub fn handle_snapshot(
        &mut self,
        mut offer: Message,
        position: Position,
        configuration: Configuration,
    ) -> Result<(), DropReason> {
        offer.log = position;
        self.check(&offer)?;
        if configuration.voters.is_empty() {
            return Err(DropReason::EmptySnapshot);
        }
        // It may be of before this node was added; the core takes none that it is not in.
        let configuration = match configuration.contains(self.node) {
            true => configuration,
            false => configuration.with_learner(self.node),
        };
        let mut offer = offer.into_core();
        let metadata = offer.mut_snapshot().mut_metadata();
        *metadata.mut_conf_state() = conf_state(&configuration);
        let step = self.core.step(offer);
        self.drain_core();
        step.map_err(|_| DropReason::RefusedByCore)
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
        if self.core.raft.state == StateRole::Leader && message.term == self.term() {
            self.standbys.heard(&message, self.ticks);
        }
        if message.kind == MessageKind::Progress {
            return Ok(());
        }
        let asked = (message.asks_progress).then(|| Owed {
            leader: message.from,
            term: message.term,
            through: message
                .entries
                .last()
                .map_or(LogIndex(0), |last| last.position.index),
        });
        let step = self.core.step(message.into_core());
        if let Some(asked) = asked.filter(|asked| asked.term == self.term()) {
            self.standbys.owe(asked);
        }
        self.drain_core();
        step.map_err(|_| DropReason::RefusedByCore)
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
        let with_room = self.configuration.voters.difference(&self.full).count();
        !self.has_room || with_room < self.configuration.quorum()
    }

    /// At the leader: the voter that would lose the least time in its place, of those with space in their logs.
    pub fn heir(&self) -> Option<NodeId> {
        let mut fit = self.progress();
        fit.retain(|(node, _)| self.configuration.voters.contains(node) && !self.full.contains(node));
        fit.into_iter()
            .max_by_key(|(_, matched)| *matched)
            .map(|(node, _)| node)
    }

    /// What SQLite has here; whoever asked is told.
    pub fn set_applied(&mut self, applied: LogIndex) {
        if let Some(owed) = self.standbys.set_applied(applied) {
            let message = self.progress_message(&owed, owed.through);
            self.output.messages.push(message);
        }
    }

    fn progress_message(&self, owed: &Owed, received: LogIndex) -> Message {
        let log = Position {
            term: owed.term,
            index: received,
        };
        Message::progress(self.node, owed.leader, log, self.standbys.applied)
    }

    /// At the leader: the other members, by number, and what each is known to have.
    pub fn standbys(&self) -> impl Iterator<Item = Standby> {
        let me = self.node;
        self.configuration
            .members()
            .filter(move |node| *node != me)
            .filter_map(|node| {
                let progress = self.core.raft.prs().get(node.0)?;
                Some(self.standbys.of(node, progress, self.ticks))
            })
    }

    /// At the leader: for how long that member has not been heard, to a tick; `None`: it was not in this reign.
    pub fn silent_for(&self, node: NodeId) -> Option<Duration> {
        let ticks = self.standbys.silent_for(node, self.ticks)?;
        Some(Duration::from_millis(ticks * TICK_MS))
    }

    /// Appends to the log at the leader; the answer is where. `asks_progress`: the others say at once when they have it.
    pub fn propose(&mut self, payload: Bytes, asks_progress: bool) -> Result<Position, ProposeError> {
        if self.core.raft.state != StateRole::Leader || self.core.raft.lead_transferee.is_some() {
            return Err(ProposeError::NotLeader);
        }
        if self.is_full() {
            return Err(ProposeError::NoRoom);
        }
        if let Some(configuration) = Payload::configuration_in(&payload) {
            // The core would put an empty entry in its place.
            let is_step = self.configuration.is_step_to(&configuration);
            if self.is_configuring() || !is_step || !configuration.voters.contains(&self.node) {
                return Err(ProposeError::NotAStep);
            }
        }
        self.propose_to_core(payload)?;
        let position = Position::new(self.core.raft.term, self.core.raft.raft_log.last_index());
        if asks_progress {
            self.standbys.asks_through = position.index;
        }
        self.drain_core();
        Ok(position)
    }

    /// `RawNode::propose` takes a vector and would copy the payload: the same step with shared bytes.
    fn propose_to_core(&mut self, payload: Bytes) -> Result<(), ProposeError> {
        let mut message = raft::eraftpb::Message::default();
        message.set_msg_type(raft::eraftpb::MessageType::MsgPropose);
        message.from = self.node.0;
        message.entries = vec![payload_into_core(payload)].into();
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
        let settled = self.settled();
        while self.coming.front().is_some_and(|(index, _)| *index <= settled) {
            let (index, configuration) = self.coming.pop_front().expect("just seen");
            self.core.advance_apply_to(index.0);
            self.configure(configuration);
        }
        if settled.0 > self.core.raft.raft_log.applied {
            self.core.advance_apply_to(settled.0);
        }
    }

    /// The last entry that is committed and durable here.
    fn settled(&self) -> LogIndex {
        self.commit().min(self.persisted())
    }

    /// From now on the group is this. The core takes a difference at a time; voters are added first, so that there are some.
    fn configure(&mut self, next: Configuration) {
        self.is_recorded = true;
        let before = std::mem::replace(&mut self.configuration, next);
        let next = &self.configuration;
        let added = |kind, nodes: &BTreeSet<NodeId>, old: &BTreeSet<NodeId>| {
            let added: Vec<_> = nodes.difference(old).map(|node| (kind, *node)).collect();
            added
        };
        let mut changes = added(ConfChangeType::AddNode, &next.voters, &before.voters);
        changes.extend(added(
            ConfChangeType::AddLearnerNode,
            &next.learners,
            &before.learners,
        ));
        let gone = before.members().filter(|node| !next.contains(*node));
        changes.extend(gone.map(|node| (ConfChangeType::RemoveNode, node)));
        for (kind, node) in changes {
            let change = raft::eraftpb::ConfChange {
                change_type: kind,
                node_id: node.0,
                ..Default::default()
            };
            let changed = self.core.apply_conf_change(&change);
            changed.expect("one change at a time, and voters remain");
        }
        self.full.retain(|node| self.configuration.contains(*node));
        self.told.retain(|node, _| self.configuration.contains(*node));
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

    /// This node.
    pub fn node(&self) -> NodeId {
        self.node
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

    /// The group: as of what is committed and durable here.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// Whether another configuration is on its way, or may be: none follows before it is in effect.
    pub fn is_configuring(&self) -> bool {
        self.core.raft.has_pending_conf() || !self.coming.is_empty()
    }

    /// Whether a record said it, so that whoever gets the log knows it. Else it is only how the group was founded.
    pub fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// At the leader: each other member and the last entry that it is known to hold durably.
    pub fn progress(&self) -> Vec<(NodeId, LogIndex)> {
        let me = self.node.0;
        let progress = self.core.raft.prs().iter().filter(|(id, _)| **id != me);
        let mut progress: Vec<_> = progress
            .map(|(id, progress)| (NodeId(*id), LogIndex(progress.matched)))
            .collect();
        progress.sort();
        progress
    }

    /// At the leader: whether a member was heard of within an election timeout, and misses so many committed entries at
    /// most.
    pub fn is_current(&self, node: NodeId, missing_max: u64) -> bool {
        let commit = self.commit().0;
        let progress = self.core.raft.prs().get(node.0);
        progress.is_some_and(|progress| progress.recent_active && progress.matched + missing_max >= commit)
    }

    /// Entries from `from` to before `to` that are in memory; `None` when the first is not.
    pub fn entries_in_memory(&self, from: LogIndex, to: LogIndex, max_bytes: usize) -> Option<Vec<Entry>> {
        self.core.store().slice(from, to, max_bytes)
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
                        message.applied = self.standbys.applied;
                    }
                    MessageKind::Append | MessageKind::Heartbeat => {
                        message.leader_commit = self.commit();
                        message.asks_progress = self.standbys.asks(&message.entries);
                    }
                    _ => {}
                }
                message
            })
            .collect()
    }

    /// Keeps what is to be persisted; an overlap replaces the suffix.
    fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        self.coming.retain(|(index, _)| *index < first.position.index);
        let configurations = entries.iter().filter_map(|entry| {
            let configuration = Payload::configuration_in(&entry.payload)?;
            Some((entry.position.index, configuration))
        });
        self.coming.extend(configurations);
        self.core.mut_store().append(entries);
    }

    /// The log starts anew after this, unless it is nothing; and the group is what it says.
    fn take_snapshot(&mut self, snapshot: &raft::eraftpb::Snapshot) -> Option<Position> {
        if snapshot.is_empty() {
            return None;
        }
        let metadata = snapshot.get_metadata();
        let base = Position::new(metadata.term, metadata.index);
        self.configuration = configuration_of(metadata.get_conf_state());
        self.is_recorded = true;
        self.coming.clear();
        self.core.mut_store().reset(base);
        Some(base)
    }

    /// Confirmed, with what each may see.
    fn take_reads(&mut self, reads: Vec<raft::ReadState>) {
        let ours = reads.into_iter().filter_map(|read| {
            let id = <[u8; 8]>::try_from(read.request_ctx.as_slice()).ok()?;
            Some((u64::from_le_bytes(id), LogIndex(read.index)))
        });
        self.output.reads.extend(ours);
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
            let reset = self.take_snapshot(ready.snapshot());
            self.append(&entries);
            self.newest = ready.number();
            self.take_reads(ready.take_read_states());
            let at_once = ready.take_messages();
            let after = ready.take_persisted_messages();
            let at_once = self.of_core(at_once);
            self.output.messages.extend(at_once);
            let after = self.of_core(after);
            for reply in after.iter().filter(|message| message.is_acceptance()) {
                if let Some(owed) = self.standbys.owed_to(reply) {
                    self.output
                        .messages
                        .push(self.progress_message(owed, reply.log.index));
                }
            }
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
            self.standbys.forget();
        }
        let settled = self.settled();
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

/// How long the voter of this rank waits.
fn election_ticks(rank: usize) -> usize {
    ELECTION_TICKS + ELECTION_MARGIN_TICKS + rank * ELECTION_SPREAD_TICKS
}
