//! The machine.

use std::time::Duration;

use bellwether_consensus::{self as consensus, Fetch, Group, Message, MessageKind, ProposeError, Role};
use bellwether_types::{Configuration, Entry, LogIndex, NodeId, Position, Term};

use crate::event::{Effect, Event, FetchPurpose};
use crate::progress::Progress;
use crate::reads::Reads;
use crate::steps::{Step, next_step};

/// Entries handed over for applying at once, in bytes of payload: bounds memory and the time until a role change
/// is heard by the writer.
const APPLY_BYTES: usize = 4 << 20;

/// A learner that misses no more gets its vote: some tens of milliseconds of full load.
const CURRENT_MISSING_MAX: u64 = 64;

/// A group of several payloads keeps at most so many of them uncommitted: bounds memory at the leader, and how
/// long other followers' catch-up waits.
const PAYLOADS_IN_FLIGHT: u64 = 8;

/// What a node holds when it starts.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// Of the log. `tail` holds at least the entries after `max(hard_state.commit, applied.index)`.
    pub log: consensus::Recovered,
    /// SQLite's position: of the last record committed there. Within the log, or its base.
    pub applied: Position,
}

/// What the writer is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Applying, as a follower.
    Following,
    /// Elected in `term`; what came before is not applied yet.
    CatchingUp { term: Term },
    /// Executing groups in `term`.
    Leading { term: Term, held: Option<Held> },
}

/// The group in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    /// Of the last payload proposed.
    last: Position,
    /// Payloads of the group not proposed yet.
    remaining: u64,
    /// Whether [`Effect::NextPayload`] was given and not answered.
    asked: bool,
    /// Whether [`Effect::Commit`] was given and not answered.
    committing: bool,
}

/// A snapshot on its way.
#[derive(Debug)]
enum Seeding {
    /// Asked for. `offer`: the leader's message, when the log cannot be followed any more.
    Fetching { offer: Option<Message> },
    /// Here, and of a place that this node does not know to be committed yet.
    Staged(Staged),
    /// Being put in place.
    Installing,
}

/// A snapshot that is here.
#[derive(Debug, Clone)]
struct Staged {
    position: Position,
    configuration: Configuration,
}

/// A replica as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// This node's role in the group.
    pub role: Role,
    /// The present term.
    pub term: Term,
    /// The last entry of the log here.
    pub last: Position,
    /// The last index known committed.
    pub commit: LogIndex,
    /// Its term.
    pub commit_term: Term,
    /// The last index that it has heard to be committed, whether or not the log here has it.
    pub known_commit: LogIndex,
    /// The last index durable in the log here.
    pub persisted: LogIndex,
    /// The last index applied in SQLite.
    pub applied: LogIndex,
    /// The position just before the first entry kept.
    pub base: Position,
    /// Whether the writer executes groups.
    pub leading: bool,
    /// Whether this node takes entries: not with a full disk.
    pub has_room: bool,
    /// At the leader: nothing can be written for want of space, here or at a quorum, and no other could lead.
    pub is_full: bool,
    /// Whether a snapshot is being fetched or installed, so that nothing is served.
    pub seeding: bool,
}

/// One replica of one database. See the crate's documentation.
pub struct Replica {
    group: Group,
    phase: Phase,
    applied: LogIndex,
    /// An `Apply` is outstanding.
    applying: bool,
    /// A `Fetch` for applying is outstanding.
    fetching: bool,
    log_has_room: bool,
    /// SQLite found no space for what is committed.
    starved: bool,
    checkpointed: LogIndex,
    damaged: bool,
    seeding: Option<Seeding>,
    reads: Reads,
    reported: (Role, Term),
    configured: Configuration,
    effects: Vec<Effect>,
}

impl Replica {
    /// The replica at `node`, which holds what was recovered. What SQLite holds is committed, whatever the hint in the log
    /// says.
    pub fn new(node: NodeId, recovered: Recovered) -> Replica {
        let mut log = recovered.log;
        let applied = recovered.applied.index.max(log.base.index);
        log.hard_state.commit = log.hard_state.commit.max(applied);
        let group = Group::new(node, log);
        let reported = (group.role(), group.term());
        let configured = group.configuration().clone();
        Replica {
            group,
            phase: Phase::Following,
            applied,
            applying: false,
            fetching: false,
            log_has_room: true,
            starved: false,
            checkpointed: LogIndex(0),
            damaged: false,
            seeding: None,
            reads: Reads::default(),
            reported,
            configured,
            effects: Vec::new(),
        }
    }

    /// The whole interface. `now_ms` is the driver's monotonic clock, only ever compared with itself.
    pub fn handle(&mut self, event: Event, now_ms: u64) -> Vec<Effect> {
        match event {
            Event::Tick => self.group.tick(),
            Event::Announce => self.group.announce(),
            Event::Message(message) => self.handle_message(message),
            Event::Unreachable(node) => self.group.report_unreachable(node),
            Event::Persisted { ticket } => self.group.handle_persisted(ticket),
            Event::Fetched {
                purpose: FetchPurpose::Replicate,
                entries,
            } => self.group.handle_fetched(entries),
            Event::Fetched {
                purpose: FetchPurpose::Apply,
                entries,
            } => self.handle_fetched_to_apply(entries),
            Event::Applied { through } => self.handle_applied(through),
            Event::ApplyFailed { applied } => self.handle_apply_failed(applied),
            Event::LogRoom { has_room } => {
                self.log_has_room = has_room;
                self.set_room();
            }
            Event::Propose {
                at,
                payload,
                remaining,
                asks_progress,
            } => self.handle_propose(at, payload, remaining, asks_progress),
            Event::Checkpointed { through } => self.checkpointed = self.checkpointed.max(through),
            Event::Retain { from } => self.handle_retain(from),
            Event::ReadIndex { ticket } => self.reads.push(ticket, now_ms),
            Event::Transfer { to } => self.group.transfer(to),
            Event::SnapshotStaged {
                position,
                configuration,
            } => self.handle_staged(Staged {
                position,
                configuration,
            }),
            Event::SnapshotFailed => self.handle_snapshot_failed(),
            Event::SnapshotInstalled { position } => self.handle_installed(position),
            Event::Damaged => self.damaged = true,
        }
        self.advance(now_ms);
        std::mem::take(&mut self.effects)
    }

    /// The others do not know yet how far the log is committed: unless something is proposed within
    /// [`crate::ANNOUNCE_MS`], the driver gives [`Event::Announce`].
    pub fn owes_announcement(&self) -> bool {
        self.group.owes_announcement()
    }

    /// As others see it.
    pub fn status(&self) -> Status {
        Status {
            role: self.group.role(),
            term: self.group.term(),
            last: self.group.last(),
            commit: self.group.commit(),
            commit_term: self.group.term_at(self.group.commit()).unwrap_or_default(),
            known_commit: self.group.known_commit(),
            persisted: self.group.persisted(),
            applied: self.applied,
            base: self.group.base(),
            leading: matches!(self.phase, Phase::Leading { .. }),
            has_room: self.group.has_room(),
            is_full: self.is_full(),
            seeding: self.damaged || self.seeding.is_some(),
        }
    }

    /// The last position that is committed and durable in the log here: how far a checkpoint may go.
    pub fn settled(&self) -> Position {
        let index = self.group.commit().min(self.group.persisted());
        Position {
            term: self.group.term_at(index).unwrap_or_default(),
            index,
        }
    }

    /// The group, as far as this node knows.
    pub fn configuration(&self) -> &Configuration {
        self.group.configuration()
    }

    /// At the leader: who can lead next, of another node or of all; it is there and misses next to nothing.
    pub fn heir(&self, wanted: Option<NodeId>) -> Option<NodeId> {
        let heir = wanted.or_else(|| self.group.heir())?;
        let is_fit = self.group.configuration().voters.contains(&heir)
            && heir != self.group.node()
            && self.group.is_current(heir, CURRENT_MISSING_MAX);
        (self.group.role() == Role::Leader && is_fit).then_some(heir)
    }

    /// Whether a record said so, and not only those who founded it.
    pub fn is_recorded(&self) -> bool {
        self.group.is_recorded()
    }

    /// At the leader: the next step towards the group that is wanted. The first of all is to record the group as it was
    /// founded.
    pub fn next_step(&self, wanted: &Configuration) -> Option<Step> {
        if !matches!(self.phase, Phase::Leading { .. }) || self.group.is_configuring() {
            return None;
        }
        let present = self.group.configuration();
        if !self.group.is_recorded() {
            return Some(Step::Configure(present.clone()));
        }
        let is_current = |node| self.group.is_current(node, CURRENT_MISSING_MAX);
        next_step(self.group.node(), present, wanted, is_current)
    }

    /// At the leader: who has what. In place, since it is asked for often; whether anything is other than it was.
    pub fn note_progress(&self, progress: &mut Progress) -> bool {
        let reign = (self.group.role() == Role::Leader).then(|| self.group.term());
        if reign.is_none() {
            return progress.reign.take().is_some();
        }
        let (last, persisted) = (self.group.last().index, self.group.persisted());
        let commit = self.group.commit();
        let configuration = self.group.configuration();
        let is_same = progress.reign == reign
            && (progress.last, progress.persisted, progress.commit) == (last, persisted, commit)
            && progress.configuration == *configuration
            && self.group.standbys().eq(progress.standbys.iter().copied());
        if is_same {
            return false;
        }
        progress.reign = reign;
        (progress.last, progress.persisted, progress.commit) = (last, persisted, commit);
        progress.configuration.clone_from(configuration);
        progress.standbys.clear();
        progress.standbys.extend(self.group.standbys());
        true
    }

    /// At the leader: for how long that member has not been heard, to a tick; `None`: it was not in this reign.
    pub fn silent_for(&self, node: NodeId) -> Option<Duration> {
        self.group.silent_for(node)
    }

    /// Where that entry stands; an entry that this log no longer has is of the term just before it.
    pub fn position_at(&self, index: LogIndex) -> Position {
        let base = self.group.base();
        let term = self.group.term_at(index).unwrap_or(base.term);
        Position { term, index }
    }

    fn handle_message(&mut self, message: Message) {
        let from = message.from;
        // One of what is committed here comes late; the group says so to whoever sent it.
        let is_news = message.log.index > self.group.commit();
        if message.kind == MessageKind::Snapshot && message.term >= self.group.term() && is_news {
            return match self.group.check(&message) {
                Ok(()) => self.handle_snapshot_offer(message),
                Err(reason) => self.effects.push(Effect::Dropped { from, reason }),
            };
        }
        if let Err(reason) = self.group.handle_message(message) {
            self.effects.push(Effect::Dropped { from, reason });
        }
    }

    fn handle_applied(&mut self, through: LogIndex) {
        assert!(
            through <= self.group.commit(),
            "only committed entries are applied"
        );
        self.applied = self.applied.max(through);
        self.starved = false;
        self.set_room();
        match &mut self.phase {
            Phase::Leading { held, .. } if held.is_some_and(|held| held.committing) => *held = None,
            _ => self.applying = false,
        }
    }

    /// A leader that could not COMMIT what its group committed applies it like anybody else, once there is space.
    fn handle_apply_failed(&mut self, applied: LogIndex) {
        self.applied = applied;
        self.starved = true;
        self.set_room();
        match self.phase {
            Phase::Leading {
                term,
                held: Some(Held { committing: true, .. }),
            } => self.phase = Phase::CatchingUp { term },
            _ => self.applying = false,
        }
    }

    /// A node whose SQLite finds no space takes no entries either: its log would grow without an end.
    fn set_room(&mut self) {
        self.group.set_room(self.log_has_room && !self.starved);
    }

    fn is_full(&self) -> bool {
        self.group.role() == Role::Leader
            && self.group.is_full()
            && (self.group.has_room() || self.group.heir().is_none())
    }

    /// A leader without space hands over to a node that has some, if one is known.
    fn maybe_hand_over(&mut self) {
        let must =
            self.group.role() == Role::Leader && !self.group.has_room() && !self.group.is_transferring();
        if must && let Some(heir) = self.group.heir() {
            self.group.transfer(heir);
        }
    }

    fn handle_fetched_to_apply(&mut self, entries: Vec<Entry>) {
        self.fetching = false;
        let expected = self.applied.next();
        match entries.first() {
            Some(first) if first.position.index == expected => self.apply(entries),
            // What is to be applied is not in the log any more: only a snapshot helps.
            None => self.damaged = true,
            // Of a place that a snapshot has overtaken.
            Some(_) => {}
        }
    }

    fn handle_propose(&mut self, at: Position, payload: bytes::Bytes, remaining: u64, asks_progress: bool) {
        let next = self.next_position();
        let Phase::Leading { term, held } = &mut self.phase else {
            return;
        };
        if at.term != *term {
            return; // of an earlier reign: its `Follow` is on the way to the writer
        }
        assert_eq!(at, next, "nothing but the writer proposes, one payload at a time");
        assert!(
            held.is_none_or(|held| held.asked && held.remaining == remaining + 1),
            "a group in flight proposes its next payload when asked"
        );
        match self.group.propose(payload, asks_progress) {
            Ok(position) => {
                *held = Some(Held {
                    last: position,
                    remaining,
                    asked: false,
                    committing: false,
                });
            }
            // Nothing of this group is in the log, or only its chunks, which are then abandoned.
            Err(error) => {
                self.phase = Phase::CatchingUp { term: at.term };
                let is_refused = match error {
                    ProposeError::NoRoom => self.is_full(),
                    ProposeError::NotAStep => true,
                    ProposeError::NotLeader => false,
                };
                self.effects.push(match is_refused {
                    true => Effect::Refuse,
                    false => Effect::Follow,
                });
            }
        }
    }

    fn handle_retain(&mut self, from: LogIndex) {
        let through = LogIndex(from.0.saturating_sub(1))
            .min(self.checkpointed)
            .min(self.applied);
        if through > self.group.base().index {
            self.group.cut_prefix(through);
            self.effects.push(Effect::CutLog { through });
        }
    }

    fn next_position(&self) -> Position {
        Position {
            term: self.group.term(),
            index: self.group.last().index.next(),
        }
    }

    /// Everything that may have become possible.
    fn advance(&mut self, now_ms: u64) {
        self.group.set_applied(self.applied);
        self.drain_group();
        self.change_role();
        self.advance_held();
        self.advance_apply();
        self.advance_seeding();
        self.maybe_hand_over();
        self.maybe_lead();
        self.advance_reads(now_ms);
        self.drain_group();
    }

    fn drain_group(&mut self) {
        let output = self.group.poll_output();
        self.effects
            .extend(output.persist.into_iter().map(Effect::Persist));
        self.effects.extend(output.messages.into_iter().map(Effect::Send));
        for (id, index) in output.reads {
            self.reads.handle_answer(id, index);
        }
        if let Some(fetch) = output.fetch {
            self.effects.push(Effect::Fetch {
                purpose: FetchPurpose::Replicate,
                fetch,
            });
        }
    }

    fn change_role(&mut self) {
        let now = (self.group.role(), self.group.term());
        let reign = match &self.phase {
            Phase::Following => None,
            Phase::CatchingUp { term } | Phase::Leading { term, .. } => Some(*term),
        };
        let leads = now.0 == Role::Leader;
        if reign.is_some_and(|term| !leads || term != now.1) {
            if let Phase::Leading { held, .. } = &self.phase {
                // A COMMIT under way is completed; until then it counts as an `Apply`.
                self.applying = held.is_some_and(|held| held.committing);
                self.effects.push(Effect::Follow);
            }
            self.phase = Phase::Following;
        }
        if leads && self.phase == Phase::Following {
            self.phase = Phase::CatchingUp { term: now.1 };
        }
        if *self.group.configuration() != self.configured {
            self.configured = self.group.configuration().clone();
            self.effects.push(Effect::Configured(self.configured.clone()));
        }
        if now != self.reported {
            self.reported = now;
            self.effects.push(Effect::RoleChanged {
                role: now.0,
                term: now.1,
            });
        }
    }

    /// The group in flight: more payloads, or COMMIT.
    fn advance_held(&mut self) {
        let commit = self.group.commit();
        let next = self.next_position();
        let Phase::Leading { held: Some(held), .. } = &mut self.phase else {
            return;
        };
        if held.remaining > 0 {
            if !held.asked && held.last.index.0 < commit.0 + PAYLOADS_IN_FLIGHT {
                held.asked = true;
                self.effects.push(Effect::NextPayload);
            }
        } else if !held.committing && commit >= held.last.index {
            held.committing = true;
            self.effects.push(Effect::Commit {
                position: held.last,
                next,
            });
        }
    }

    /// While not leading: hands over what is committed and durable here.
    fn advance_apply(&mut self) {
        let settled = self.group.commit().min(self.group.persisted());
        let blocked = self.applying || self.fetching || self.damaged || self.seeding.is_some();
        let leading = matches!(self.phase, Phase::Leading { .. });
        if blocked || leading || self.applied >= settled {
            return;
        }
        let (from, to) = (self.applied.next(), settled.next());
        match self.group.entries_in_memory(from, to, APPLY_BYTES) {
            Some(entries) => self.apply(entries),
            None => {
                self.fetching = true;
                let fetch = Fetch {
                    from,
                    to,
                    max_bytes: APPLY_BYTES,
                };
                self.effects.push(Effect::Fetch {
                    purpose: FetchPurpose::Apply,
                    fetch,
                });
            }
        }
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        let last = entries.last().expect("at least the one asked for").position.index;
        assert!(last <= self.group.commit(), "only committed entries are applied");
        self.applying = true;
        self.effects.push(Effect::Apply { entries });
    }

    /// A leader executes only after everything before its reign is applied, its own first entry included.
    fn maybe_lead(&mut self) {
        let Phase::CatchingUp { term } = self.phase else {
            return;
        };
        let last = self.group.last();
        let idle = !self.applying && !self.fetching && !self.damaged && self.seeding.is_none();
        if idle && !self.group.is_transferring() && last.term == term && self.applied >= last.index {
            self.phase = Phase::Leading { term, held: None };
            self.effects.push(Effect::Lead {
                next: self.next_position(),
            });
        }
    }

    fn advance_reads(&mut self, now_ms: u64) {
        if let Some(id) = self.reads.poll_ask(now_ms) {
            self.group.read_index(id);
            self.drain_group();
        }
        if !self.damaged && self.seeding.is_none() {
            let ready = self.reads.poll_ready(self.applied);
            self.effects
                .extend(ready.into_iter().map(|ticket| Effect::ReadReady { ticket }));
        }
        let refused = self.reads.poll_refused(now_ms);
        self.effects
            .extend(refused.into_iter().map(|ticket| Effect::ReadRefused { ticket }));
    }
}

/// Re-seeding: by the leader's offer, when the log cannot be followed any more, or because of damage.
impl Replica {
    fn handle_snapshot_offer(&mut self, offer: Message) {
        let (from, at_least) = (offer.from, offer.log);
        let staged = match &self.seeding {
            None if !self.applying => None,
            Some(Seeding::Staged(staged)) => Some(staged.clone()),
            _ => return,
        };
        self.seeding = Some(Seeding::Fetching { offer: Some(offer) });
        match staged {
            // It was asked for because of damage, and the log will never reach its place.
            Some(staged) if staged.position.index >= at_least.index => self.handle_staged(staged),
            _ => self.effects.push(Effect::FetchSnapshot { from, at_least }),
        }
    }

    /// A damaged replica asks whoever leads; a leader that is damaged hands over first.
    fn advance_seeding(&mut self) {
        if let Some(Seeding::Staged(Staged { position, .. })) = self.seeding
            && position.index <= self.group.commit()
        {
            self.install(position);
        }
        // An `Apply` that found the damage is never answered; another one is done before the snapshot is put in place.
        if !self.damaged || self.seeding.is_some() || self.fetching {
            return;
        }
        match self.group.role() {
            Role::Follower { leader: Some(from) } => {
                self.seeding = Some(Seeding::Fetching { offer: None });
                let at_least = Position {
                    term: Term(0),
                    index: self.applied,
                };
                self.effects.push(Effect::FetchSnapshot { from, at_least });
            }
            Role::Leader => {
                if let Some(heir) = self.group.heir() {
                    self.group.transfer(heir);
                }
            }
            Role::Follower { leader: None } | Role::Candidate => {}
        }
    }

    fn handle_staged(&mut self, staged: Staged) {
        let position = staged.position;
        let Some(Seeding::Fetching { offer }) = self.seeding.take() else {
            return;
        };
        match offer {
            // Of a leader whose reign is over: the present one offers its own.
            Some(offer) if offer.term < position.term.max(self.group.term()) => {}
            Some(offer) => {
                let from = offer.from;
                let is_news = position.index > self.group.commit();
                let taken = self.group.handle_snapshot(offer, position, staged.configuration);
                match taken {
                    Ok(()) if is_news && self.group.base() == position => self.install(position),
                    Ok(()) => {}
                    Err(reason) => self.effects.push(Effect::Dropped { from, reason }),
                }
            }
            // Without an offer the log is followed on from the snapshot's place, which it reaches or has.
            None => self.seeding = Some(Seeding::Staged(staged)),
        }
    }

    /// The effect goes before the `Persist` that resets the log.
    fn install(&mut self, position: Position) {
        self.seeding = Some(Seeding::Installing);
        self.effects.push(Effect::InstallSnapshot { position });
    }

    fn handle_snapshot_failed(&mut self) {
        if let Some(Seeding::Fetching { .. }) = self.seeding {
            self.seeding = None;
        }
    }

    fn handle_installed(&mut self, position: Position) {
        self.seeding = None;
        self.damaged = false;
        self.applying = false;
        self.starved = false;
        self.set_room();
        self.applied = position.index;
        self.checkpointed = position.index;
    }
}
