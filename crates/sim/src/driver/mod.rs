//! One node: the pure machine, and everything that its numbered duties ask of a driver, each part with its own
//! latency. What the server does with threads is done here with events.
//!
//! Like the machine it is given events and hands back actions; it owns no clock and no network. Planted bugs
//! ([`crate::bug::Bug`]) live here.

mod acknowledge;
mod audit;
mod checkpoints;
mod context;
mod duties;
mod early;
mod effects;
mod gateway;
mod holder;
mod log_thread;
mod reads;
mod scrub;
mod seeding;
mod start;
mod talks;
mod writer_thread;

use std::collections::BTreeMap;

use bellwether_log::ReadError;
use bellwether_node::{ANNOUNCE_MS, Event, Replica, Role, Step};
use bellwether_storage::checkpoint::Checkpointer;
use bellwether_storage::files::Files;
use bellwether_types::{Configuration, NodeId, Position, RequestId, SessionId, Term};

use self::acknowledge::Acknowledger;
pub use self::context::{Action, Context, NodeEvent, Request};
use self::duties::Duties;
use self::early::EarlySessions;
use self::gateway::{Fence, Gateway};
use self::log_thread::LogThread;
use self::reads::Reads;
use self::seeding::{Progress, Seeding};
pub use self::start::{DATABASE, Settings, start};
use self::talks::Talks;
use self::writer_thread::{Command, Output, Submission, WriterThread, refusal};
use crate::bug::Bug;
use crate::clock::Time;
use crate::fault::CrashPoint;
use crate::observation::Observation;
use crate::peer::{Attempt, Part, PeerMessage, Reply, decode_consensus};
use crate::workload::{self, Guarantee, Kind};

/// Transactions that wait for one writer; more are sent away, and come again.
const WAITING_MAX: usize = 64;

/// Between looks whether the group is as it is wanted.
const STEP_TICKS: u64 = 10;

/// One process.
pub struct Driver {
    node: NodeId,
    replica: Replica,
    duties: Duties,
    log: LogThread,
    writer: WriterThread,
    checkpointer: Option<Checkpointer>,
    reads: Reads,
    gateway: Gateway,
    talks: Talks,
    acknowledger: Acknowledger,
    early: EarlySessions,
    fence: Fence,
    /// Since when the log has had no room, or when that was last looked at.
    full_since: Option<Time>,
    seeding: Seeding,
    /// Answers of groups that wrote nothing, until this node is known to have led still.
    confirmations: BTreeMap<u64, Vec<(Submission, Reply)>>,
    tickets: u64,
    ticks: u64,
    /// An `AnnounceDue` is under way.
    is_announcing: bool,
    /// What the group is wanted to be.
    wanted: Option<Configuration>,
    files: Files,
    retained: u64,
    checkpoint_every_us: u64,
    reported: (Role, Term),
}

impl Driver {
    /// What the machine says of itself.
    pub fn status(&self) -> bellwether_node::Status {
        self.replica.status()
    }

    /// Something happened.
    pub fn handle(&mut self, event: NodeEvent, context: &mut Context<'_>) {
        match event {
            NodeEvent::Tick => self.handle_tick(context),
            NodeEvent::AnnounceDue => {
                self.is_announcing = false;
                self.feed(Event::Announce, context);
            }
            NodeEvent::Peer { from, message } => self.handle_peer(from, message, context),
            NodeEvent::Request(request) => self.handle_request(request, context),
            NodeEvent::LogSynced => {
                if let Some(ticket) = self.log.handle_synced(context) {
                    self.handle_persisted(ticket, context);
                }
            }
            NodeEvent::LogRead {
                purpose,
                from,
                to,
                max_bytes,
            } => {
                match self.log.reader.read(from, to, max_bytes) {
                    Err(error @ ReadError::Corrupt { .. }) => context.stop(format!("the log: {error}")),
                    // Any other error is "no longer there": what is asked for was cut meanwhile.
                    read => {
                        let entries = read.unwrap_or_default();
                        self.feed(Event::Fetched { purpose, entries }, context);
                    }
                }
            }
            NodeEvent::WriterDone => {
                let outputs = self.writer.handle_done(context);
                self.take_outputs(outputs, context);
            }
            NodeEvent::Starved => {
                let outputs = self.writer.handle_starved(context);
                self.take_outputs(outputs, context);
            }
            NodeEvent::HolderIdle { activity } => {
                let outputs = self.writer.handle_idle(activity, context);
                self.take_outputs(outputs, context);
            }
            NodeEvent::Talk { request, number } => {
                let status = self.replica.status();
                self.talks
                    .handle_time(request, number, &status, self.node, &self.files, context);
            }
            NodeEvent::SessionOver { session } => self.handle_session_over(session),
            NodeEvent::Transfer { to } => {
                self.writer.is_handing_over = true;
                self.feed(Event::Transfer { to }, context);
            }
            NodeEvent::Wanted(configuration) => self.wanted = Some(configuration),
            NodeEvent::ReadStep { ticket } => self.reads.handle_step(ticket, context),
            NodeEvent::ScrubDue => self.scrub(context),
            NodeEvent::CheckpointDue => self.begin_checkpoint(context),
            NodeEvent::CheckpointDone { upto } => self.end_checkpoint(upto, context),
            NodeEvent::SnapshotPiece { peer, next } => {
                if !self.log.is_blocked && !self.replica.status().seeding {
                    self.seeding.give(&self.files, peer, next, context);
                }
            }
            NodeEvent::SnapshotOverdue { attempt, received } => {
                if self.seeding.handle_overdue(attempt, received, context) {
                    self.feed(Event::SnapshotFailed, context);
                }
            }
        }
        self.advance(context);
    }

    /// What may go on after any event.
    fn advance(&mut self, context: &mut Context<'_>) {
        self.look_for_damage(context);
        let status = self.replica.status();
        if status.is_full {
            let outputs = self.writer.refuse_waiting();
            self.take_outputs(outputs, context);
        }
        self.acknowledge(context);
        for request in self.early.poll(&self.replica, context) {
            self.begin(request, context);
        }
        self.talks.expire(&status, context);
        for (request, apart) in self.talks.poll_commits() {
            self.gateway.push(request, Some(apart));
        }
        let mut attempts = self.gateway.poll_attempts(&status, self.node, context);
        attempts.extend(self.talks.poll_attempts());
        self.tell_ended_sessions(&status, context);
        for (leader, attempt) in attempts {
            if leader == self.node {
                self.submit(self.node, attempt, context);
            } else {
                context
                    .actions
                    .push(Action::Send(leader, PeerMessage::Forward(Box::new(attempt))));
            }
        }
        self.reads.advance(self.serving(), context);
        if !self.is_announcing && self.replica.owes_announcement() {
            self.is_announcing = true;
            context.after(ANNOUNCE_MS * 1000, NodeEvent::AnnounceDue);
        }
    }

    /// Best effort: without a leader nobody hears it.
    fn tell_ended_sessions(&mut self, status: &bellwether_node::Status, context: &mut Context<'_>) {
        let talks = &self.talks;
        for session in self.gateway.poll_ended(|session| talks.has(session), context) {
            let term = status.term;
            match status.role {
                Role::Leader => self.end_session(term, session, context),
                Role::Follower { leader: Some(leader) } => {
                    let message = PeerMessage::EndSession { term, session };
                    context.actions.push(Action::Send(leader, message));
                }
                Role::Follower { leader: None } | Role::Candidate => {}
            }
        }
    }

    /// At the leader. One of another term is not heard: attempts of this one may be on their way.
    fn end_session(&mut self, term: Term, session: SessionId, context: &Context<'_>) {
        let status = self.replica.status();
        if status.role != Role::Leader || status.term != term {
            return;
        }
        if !context.has(Bug::EndSessionTooEarly) {
            self.fence.end_session(term, session);
        }
        self.writer.end_session(session);
    }

    /// Through where this replica serves reads; `None` while it is being seeded.
    fn serving(&self) -> Option<Position> {
        let status = self.replica.status();
        let applied = Position {
            term: status.term,
            index: status.applied,
        };
        (!status.seeding).then_some(applied)
    }

    fn handle_tick(&mut self, context: &mut Context<'_>) {
        self.ticks += 1;
        context.after(bellwether_node::TICK_MS * 1000, NodeEvent::Tick);
        self.feed(Event::Tick, context);
        if self.ticks.is_multiple_of(STEP_TICKS) {
            self.take_step(context);
        }
        self.gateway.expire(context);
        self.seeding.expire(context.now);
    }

    /// At the leader: towards the group that is wanted.
    fn take_step(&mut self, context: &mut Context<'_>) {
        let wanted = self.wanted.as_ref();
        match wanted.and_then(|wanted| self.replica.next_step(wanted)) {
            Some(Step::Configure(configuration)) => self.writer.configure(configuration, context),
            Some(Step::HandOver(to)) => {
                self.writer.is_handing_over = true;
                self.feed(Event::Transfer { to }, context);
            }
            None => {}
        }
    }

    fn handle_peer(&mut self, from: NodeId, message: PeerMessage, context: &mut Context<'_>) {
        match message {
            PeerMessage::Consensus(bytes) => match decode_consensus(&bytes) {
                Some(message) => {
                    let status = self.replica.status();
                    if status.role == Role::Leader && status.term == message.term {
                        context.observe(Observation::Heard {
                            node: self.node,
                            from,
                        });
                    }
                    self.feed(Event::Message(message), context);
                }
                None => context
                    .actions
                    .push(Action::Broken("a message cannot be decoded".to_owned())),
            },
            PeerMessage::Forward(attempt) => self.submit(from, *attempt, context),
            PeerMessage::EndSession { term, session } => self.end_session(term, session, context),
            PeerMessage::Reply {
                request,
                number,
                reply,
            } => {
                self.take_reply(request, number, reply, context);
            }
            PeerMessage::AskSnapshot { at_least, next } => {
                let status = self.replica.status();
                let applied = (!status.seeding).then_some(status.applied);
                self.seeding.handle_ask(from, at_least, next, applied, context);
            }
            PeerMessage::Snapshot(piece) => match self.seeding.handle_piece(&self.files, piece, context) {
                Progress::Going => {}
                Progress::Staged(position, configuration) => self.feed(
                    Event::SnapshotStaged {
                        position,
                        configuration,
                    },
                    context,
                ),
                Progress::Failed => self.feed(Event::SnapshotFailed, context),
            },
        }
    }

    fn handle_session_over(&mut self, session: SessionId) {
        self.early.end_session(session);
        self.gateway.end_session(session);
    }

    fn handle_request(&mut self, request: Request, context: &mut Context<'_>) {
        if let Some(request) = self.early.admit(request, context) {
            self.begin(request, context);
        }
    }

    fn begin(&mut self, request: Request, context: &mut Context<'_>) {
        self.tickets += 1;
        let ticket = self.tickets;
        match request.what.kind {
            Kind::Write { .. } => match &request.what.action {
                workload::Action::Interactive(script) => {
                    let script = script.clone();
                    self.talks.push(request, script, context);
                }
                _ => self.gateway.push(request, None),
            },
            Kind::Read(Guarantee::Eventual) => self.reads.push_ready(ticket, request, context),
            Kind::Read(Guarantee::Session) if context.has(Bug::IgnoreToken) => {
                self.reads.push_ready(ticket, request, context);
            }
            Kind::Read(Guarantee::Session) => self.reads.push_session(ticket, request, context),
            Kind::Read(Guarantee::Strong)
                if context.has(Bug::StrongReadAtDeposedLeader)
                    && self.replica.status().role == Role::Leader =>
            {
                self.reads.push_ready(ticket, request, context);
            }
            Kind::Read(Guarantee::Strong) => {
                self.reads.push_strong(ticket, request, context);
                self.feed(Event::ReadIndex { ticket }, context);
            }
        }
    }

    /// At the leader: takes an attempt, or says that it cannot. One that was superseded gets no answer.
    fn submit(&mut self, origin: NodeId, attempt: Attempt, context: &mut Context<'_>) {
        let status = self.replica.status();
        let submission = Submission { origin, attempt };
        if status.role != Role::Leader || status.term != submission.attempt.term {
            return self.reply(submission, Reply::NotLeader, context);
        }
        if !self.fence.admit(&submission.attempt) {
            return;
        }
        if status.is_full && matches!(submission.attempt.part, Part::Whole | Part::Open { .. }) {
            let reply = refusal(&submission);
            return self.reply(submission, reply, context);
        }
        let is_asked_again = self.writer.is_held_by(submission.attempt.request);
        match submission.attempt.part {
            Part::Whole => {}
            Part::Open { .. } if !is_asked_again => {}
            // It is committed, and its answer waits for standbys.
            Part::Commit if self.acknowledger.has(submission.attempt.request) => return,
            _ => return self.writer.submit_step(submission, context),
        }
        if self.writer.waiting() >= WAITING_MAX {
            return self.reply(submission, Reply::NotLeader, context);
        }
        self.writer.submit(submission, context);
    }

    fn take_reply(&mut self, request: RequestId, number: u32, reply: Reply, context: &mut Context<'_>) {
        let early = &mut self.early;
        if !self.talks.handle_reply(request, number, &reply, early, context) {
            self.gateway.handle_reply(request, number, reply, early, context);
        }
    }

    fn handle_persisted(&mut self, ticket: u64, context: &mut Context<'_>) {
        if context.has(Bug::CommitBeforeQuorum)
            && let Some(position) = self.writer.proposed()
        {
            let outputs = self.writer.commit(position, None, context);
            self.take_outputs(outputs, context);
        }
        self.feed(Event::Persisted { ticket }, context);
    }

    fn take_outputs(&mut self, outputs: Vec<Output>, context: &mut Context<'_>) {
        for output in outputs {
            match output {
                Output::Propose {
                    at,
                    payload,
                    remaining,
                    early,
                    asks_progress,
                } => {
                    self.duties.propose(at, remaining);
                    self.feed(
                        Event::Propose {
                            at,
                            payload,
                            remaining,
                            asks_progress,
                        },
                        context,
                    );
                    if early && remaining == 0 && self.replica.status().last == at {
                        self.writer.command(Command::Proposed(at), context);
                    }
                }
                Output::Applied { through } => {
                    context.crash_point(CrashPoint::Committed);
                    if self.replica.status().persisted < through {
                        context.crash_point(CrashPoint::SqliteAhead);
                    }
                    self.duties.applied(through);
                    self.feed(Event::Applied { through }, context);
                }
                Output::ApplyFailed { applied } => {
                    self.duties.apply_failed(applied);
                    self.feed(Event::ApplyFailed { applied }, context);
                }
                Output::Replies(replies) => {
                    for (submission, reply) in replies {
                        self.reply(submission, reply, context);
                    }
                }
                Output::Executed(replies) => self.take_executed(replies, context),
                Output::Confirm(replies) => {
                    self.tickets += 1;
                    self.confirmations.insert(self.tickets, replies);
                    self.feed(Event::ReadIndex { ticket: self.tickets }, context);
                }
                Output::Damaged { words, is_divergence } => self.tell_damaged(words, is_divergence, context),
                Output::Install => self.install(context),
            }
        }
    }

    fn install(&mut self, context: &mut Context<'_>) {
        self.reads.close(context);
        self.talks.close(context);
        self.checkpointer = None;
        self.seeding.install(context);
        if context.crash_point(CrashPoint::SnapshotPlaced) {
            return;
        }
        // It was of the file before.
        self.files.damage.take();
        self.writer.reopen(&self.files, context);
        self.reads.open(&self.files, context);
        self.checkpointer = Checkpointer::open(&self.files).ok();
        let mut position = self.writer.position();
        if context.has(Bug::SkipRecordAfterSnapshot) {
            position.index = position.index.next();
        }
        self.duties.installed(position);
        self.feed(Event::SnapshotInstalled { position }, context);
        self.log.is_blocked = false;
        self.log.maybe_start(context);
    }

    /// The group, as far as this node knows.
    pub fn configuration(&self) -> &Configuration {
        self.replica.configuration()
    }

    /// For the bounds' checker.
    pub fn load(&self, disk_bytes: u64) -> Observation {
        Observation::Load {
            node: self.node,
            waiting: self.writer.waiting(),
            disk_bytes,
        }
    }
}
