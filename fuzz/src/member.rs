//! A replica's machine among members that lie: messages that decode and say what no sound member would.
//!
//! The machine is driven by its numbered duties over a log in memory. It may drop a message, fall behind or fetch a
//! snapshot; it may not panic, nor ask of its driver what contradicts the log it had written.

use bellwether_node::{Effect, Event, Message, MessageKind, Recovered, RecoveredLog, Replica, Role, TICK_MS};
use bellwether_types::{
    Configuration, Decoder, Encoder, Entry, LogIndex, NodeId, Payload, Position, Term, Timestamp,
};
use bytes::Bytes;

use crate::source::Source;

const ME: NodeId = NodeId(1);
const STEPS_MAX: usize = 120;

/// Steps: a byte says what happens, the next ones how.
pub fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let mut member = Member::new();
    for _ in 0..STEPS_MAX {
        if source.is_empty() {
            return;
        }
        member.step(&mut source);
    }
}

struct Member {
    replica: Replica,
    now_ms: u64,
    base: Position,
    entries: Vec<Entry>,
    /// Written and not yet told durable.
    ticket: Option<u64>,
    applied: LogIndex,
    next: Option<Position>,
    fetching_snapshot: Option<Position>,
    /// The latest term in which another member gave this one its vote.
    voted_for: Term,
}

impl Member {
    fn new() -> Member {
        let log = RecoveredLog {
            founding: Configuration::of_voters([ME, NodeId(2), NodeId(3)]),
            ..RecoveredLog::default()
        };
        let recovered = Recovered {
            log,
            applied: Position::ZERO,
        };
        Member {
            replica: Replica::new(ME, recovered),
            now_ms: 0,
            base: Position::ZERO,
            entries: Vec::new(),
            ticket: None,
            applied: LogIndex(0),
            next: None,
            fetching_snapshot: None,
            voted_for: Term(0),
        }
    }

    fn step(&mut self, source: &mut Source<'_>) {
        let kind = source.byte();
        match kind % 16 {
            0 | 1 => {
                for _ in 0..=kind / 16 {
                    self.now_ms += TICK_MS;
                    self.handle(Event::Tick);
                    if self.replica.owes_announcement() {
                        self.handle(Event::Announce);
                    }
                }
            }
            2 | 3 => {
                if let Some(ticket) = self.ticket.take() {
                    self.handle(Event::Persisted { ticket });
                }
            }
            4 => {
                if let Some(at) = self.next {
                    let payload = match kind > 128 {
                        true => configure(at, source),
                        false => Bytes::from_static(b"payload"),
                    };
                    self.next = None;
                    self.handle(Event::Propose {
                        at,
                        payload,
                        remaining: 0,
                        asks_progress: true,
                    });
                }
            }
            5 => {
                let ticket = u64::from(source.byte());
                self.handle(Event::ReadIndex { ticket });
            }
            6 => match self.fetching_snapshot.take() {
                Some(_) if kind > 128 => self.handle(Event::SnapshotFailed),
                Some(position) => {
                    let configuration = configuration(source);
                    self.handle(Event::SnapshotStaged {
                        position,
                        configuration,
                    });
                }
                None => self.handle(Event::Unreachable(NodeId(2))),
            },
            7 => {
                self.handle(Event::Checkpointed {
                    through: self.applied,
                });
                self.handle(Event::Retain {
                    from: LogIndex(source.number()),
                });
            }
            _ => {
                let message = self.message(source);
                if message.kind == MessageKind::VoteReply && !message.reject && message.to == ME {
                    self.voted_for = self.voted_for.max(message.term);
                }
                self.handle(Event::Message(over_the_wire(&message)));
            }
        }
    }

    /// Mostly from a member, of a term near ours and about places near our log's end.
    fn message(&self, source: &mut Source<'_>) -> Message {
        let status = self.replica.status();
        let near = |source: &mut Source<'_>, center: u64| match source.byte() {
            255 => u64::MAX,
            254 => u64::MAX - 1,
            253 => 0,
            offset => center.saturating_add(u64::from(offset % 8)).saturating_sub(3),
        };
        let kind = match source.byte() {
            250.. => MessageKind::Progress,
            number => KINDS[usize::from(number) % KINDS.len()],
        };
        let from = NodeId(u64::from(source.byte() % 8) / 2 + 1);
        let to = if source.byte() == 200 { NodeId(2) } else { ME };
        let term = Term(near(source, status.term.0));
        let log = Position::new(
            near(source, status.last.term.0),
            near(source, status.last.index.0),
        );
        let commit = LogIndex(near(source, status.commit.0));
        let flags = source.byte();
        let mut position = log;
        let entries = (0..flags & 3).map(|_| {
            let shape = source.byte();
            let raise = u64::from(shape == 1);
            position = Position::new(
                position.term.0.saturating_add(raise),
                position.index.0.wrapping_add(1),
            );
            Entry {
                position,
                payload: match shape > 200 {
                    true => configure(position, source),
                    false => Bytes::from_static(b"entry"),
                },
            }
        });
        let carries = matches!(
            kind,
            MessageKind::Append | MessageKind::ReadIndex | MessageKind::ReadIndexReply
        );
        let entries = if carries { entries.collect() } else { Vec::new() };
        Message {
            kind,
            from,
            to,
            term,
            log,
            entries,
            commit,
            leader_commit: LogIndex(0),
            commit_term: Term(near(source, status.commit_term.0)),
            reject: flags & 4 != 0,
            reject_hint: LogIndex(near(source, status.last.index.0)),
            is_full: false,
            asks_progress: flags & 16 != 0,
            applied: commit,
            request_snapshot: LogIndex(if flags & 8 != 0 { source.number() } else { 0 }),
            context: source.take(usize::from(flags >> 4)).to_vec(),
        }
    }

    fn handle(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.replica.handle(event, self.now_ms) {
                events.extend(self.obey(effect));
            }
        }
        let status = self.replica.status();
        assert!(
            status.commit <= status.last.index,
            "what is committed is in the log"
        );
        assert!(self.replica.settled().index <= status.persisted);
    }

    /// Does what the machine wants; the event that answers it at once.
    fn obey(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Persist(persist) => {
                if let Some(base) = persist.reset {
                    self.base = base;
                    self.entries.clear();
                }
                for entry in persist.entries {
                    self.write(entry);
                }
                self.ticket = Some(persist.ticket);
                None
            }
            Effect::Fetch { purpose, fetch } => {
                let entries = self
                    .entries
                    .iter()
                    .filter(|entry| (fetch.from..fetch.to).contains(&entry.position.index));
                let entries = entries.cloned().collect();
                Some(Event::Fetched { purpose, entries })
            }
            Effect::Apply { entries } => {
                let first = entries.first().expect("at least one").position.index;
                assert_eq!(first, self.applied.next(), "applied in order");
                for entry in &entries {
                    assert!(self.entries.contains(entry), "only what is in the log is applied");
                }
                self.applied = entries.last().expect("at least one").position.index;
                Some(Event::Applied {
                    through: self.applied,
                })
            }
            Effect::Commit { position, next } => {
                self.applied = position.index;
                self.next = Some(next);
                Some(Event::Applied {
                    through: self.applied,
                })
            }
            Effect::Lead { next } => {
                self.next = Some(next);
                None
            }
            Effect::Follow | Effect::Refuse => {
                self.next = None;
                None
            }
            Effect::FetchSnapshot { from, at_least } => {
                assert_ne!(from, ME, "a snapshot from itself");
                self.fetching_snapshot = Some(at_least);
                None
            }
            Effect::InstallSnapshot { position } => {
                self.applied = position.index;
                Some(Event::SnapshotInstalled { position })
            }
            Effect::CutLog { through } => {
                assert!(through <= self.applied);
                let cut = self
                    .entries
                    .iter()
                    .rev()
                    .find(|entry| entry.position.index <= through);
                self.base = cut.map_or(self.base, |entry| entry.position);
                self.entries.retain(|entry| entry.position.index > through);
                None
            }
            Effect::Send(message) => {
                // A read that came to the wrong node is passed on as it is.
                let is_passed_on = message.kind == MessageKind::ReadIndex;
                assert!(
                    is_passed_on || (message.from == ME && message.to != ME),
                    "{message:?}"
                );
                over_the_wire(&message);
                None
            }
            Effect::RoleChanged { role, term } => {
                // Whoever is alone elects itself.
                let is_alone = self.replica.configuration().voters.len() == 1;
                let is_elected = role != Role::Leader || is_alone || self.voted_for >= term;
                assert!(
                    is_elected,
                    "leader of term {term:?} without another member's vote"
                );
                None
            }
            Effect::Configured(configuration) => {
                assert_eq!(configuration, *self.replica.configuration());
                assert!(!configuration.voters.is_empty());
                None
            }
            Effect::NextPayload
            | Effect::ReadReady { .. }
            | Effect::ReadRefused { .. }
            | Effect::Dropped { .. } => None,
        }
    }

    fn write(&mut self, entry: Entry) {
        let index = entry.position.index;
        assert!(index > self.applied, "what is applied is never replaced");
        self.entries.retain(|held| held.position.index < index);
        let last = self.entries.last().map_or(self.base, |held| held.position);
        assert_eq!(index, last.index.next(), "no gap");
        self.entries.push(entry);
    }
}

/// Any group of some of five nodes, or of nobody.
fn configuration(source: &mut Source<'_>) -> Configuration {
    let of = |mask: u8| (1..=5).filter(move |node| mask & (1 << node) != 0).map(NodeId);
    let voters = Configuration::of_voters(of(source.byte()));
    of(source.byte())
        .filter(|node| !voters.voters.contains(node))
        .fold(voters.clone(), Configuration::with_learner)
}

fn configure(position: Position, source: &mut Source<'_>) -> Bytes {
    let payload = Payload::Configure {
        position,
        timestamp: Timestamp(1),
        origin: NodeId(2),
        configuration: configuration(source),
    };
    payload.to_bytes()
}

const KINDS: [MessageKind; 13] = [
    MessageKind::Append,
    MessageKind::AppendReply,
    MessageKind::Vote,
    MessageKind::VoteReply,
    MessageKind::Snapshot,
    MessageKind::Heartbeat,
    MessageKind::HeartbeatReply,
    MessageKind::TransferLeader,
    MessageKind::TimeoutNow,
    MessageKind::ReadIndex,
    MessageKind::ReadIndexReply,
    MessageKind::PreVote,
    MessageKind::PreVoteReply,
];

fn over_the_wire(message: &Message) -> Message {
    let mut out = Encoder::new();
    message.encode(&mut out);
    let mut input = Decoder::new(out.as_slice());
    let read = Message::decode(&mut input).expect("it was written just now");
    assert_eq!(&read, message);
    read
}

/// A follower that is led, an election that is won, an offer of a snapshot: as sound members would have it.
pub fn seeds() -> Vec<Vec<u8>> {
    let first_append = [8, 0, 2, 0, 4, 3, 3, 3, 1, 1, 3, 3];
    let append = [8, 0, 2, 0, 3, 3, 3, 3, 1, 0, 3, 3];
    let heartbeat = [8, 5, 2, 0, 3, 3, 3, 4, 0, 3, 3];
    let snapshot = [8, 4, 2, 0, 4, 4, 7, 3, 0, 3, 3];
    let ticks = [0xF0, 0xF0, 0xF0, 0xF0];
    let pre_vote_reply = [8, 12, 2, 0, 4, 3, 3, 3, 0, 3, 3];
    let vote_reply = [8, 3, 2, 0, 3, 3, 3, 3, 0, 3, 3];
    let acknowledged = [8, 1, 2, 0, 3, 3, 3, 3, 0, 3, 3];
    let led = [
        first_append.as_slice(),
        &[2],
        &heartbeat,
        &append,
        &[2],
        &heartbeat,
    ]
    .concat();
    let elected = [
        ticks.as_slice(),
        &[2],
        &pre_vote_reply,
        &[2],
        &vote_reply,
        &[2],
        &acknowledged,
    ]
    .concat();
    let leading = [elected.as_slice(), &[4, 2], &acknowledged].concat();
    let seeded = [first_append.as_slice(), &[2], &snapshot, &[6, 2], &heartbeat].concat();
    vec![led, elected, leading, seeded]
}
