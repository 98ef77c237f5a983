//! The machine's loop: an event goes in, after room for its entries was found; what comes out is done, or begun.

use std::collections::VecDeque;

use bellwether_node::{Effect, Event, Fetch, Message, MessageKind, Persist, Role};
use bellwether_types::Position;

use super::Driver;
use super::context::{Action, Context, NodeEvent};
use super::writer_thread::Command;
use crate::bug::Bug;
use crate::clock::Time;
use crate::observation::{Observation, Promise};
use crate::peer::{PeerMessage, Reply};

/// A log without room is asked again this often, for this much.
const ROOM_PAUSE_US: u64 = 500_000;
const ROOM_BYTES: usize = 4 << 10;

impl Driver {
    /// Gives the machine an event, after room for its entries was found, and does what it asks.
    pub(super) fn feed(&mut self, event: Event, context: &mut Context<'_>) {
        self.reserve(&event, context);
        self.feed_at_once(event, context);
    }

    /// Room for the entries of an event, or word to the machine that there is none.
    fn reserve(&mut self, event: &Event, context: &mut Context<'_>) {
        let looks_again = |since: Time| context.now.since_us(since) >= ROOM_PAUSE_US;
        let payloads = match event {
            Event::Propose { payload, .. } => vec![payload.len()],
            Event::Message(message) if message.needs_room() => {
                message.entries.iter().map(|entry| entry.payload.len()).collect()
            }
            Event::Tick if self.full_since.is_some_and(looks_again) => vec![ROOM_BYTES],
            _ => return,
        };
        let had_room = self.full_since.is_none();
        let has_room = self.log.reserve(payloads, context);
        self.full_since = (!has_room).then_some(context.now);
        if has_room != had_room {
            self.feed_at_once(Event::LogRoom { has_room }, context);
        }
    }

    fn feed_at_once(&mut self, event: Event, context: &mut Context<'_>) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for effect in self.replica.handle(event, context.now.ms()) {
                if let Err(words) = self.duties.check(&effect) {
                    context.actions.push(Action::Broken(words));
                }
                events.extend(self.perform(effect, context));
            }
        }
        let status = self.replica.status();
        if status.role == Role::Leader && self.reported != (status.role, status.term) {
            context.observe(Observation::Elected {
                node: self.node,
                term: status.term,
            });
        }
        self.reported = (status.role, status.term);
    }

    /// Does it, or begins to. Answers an event only where a planted bug does not wait.
    fn perform(&mut self, effect: Effect, context: &mut Context<'_>) -> Option<Event> {
        match effect {
            Effect::Persist(persist) => return self.persist(persist, context),
            Effect::Send(message) => self.send(&message, context),
            Effect::Fetch { purpose, fetch } => {
                let delay_us = context.random.latency_us(200) * context.disk_factor;
                let Fetch { from, to, max_bytes } = fetch;
                context.after(
                    delay_us,
                    NodeEvent::LogRead {
                        purpose,
                        from,
                        to,
                        max_bytes,
                    },
                );
            }
            Effect::Apply { entries } => {
                self.writer.command(
                    Command::Apply {
                        entries,
                        is_committed: true,
                    },
                    context,
                );
            }
            Effect::Lead { next } => self.lead(next, context),
            Effect::NextPayload => self.writer.command(Command::NextPayload, context),
            Effect::Commit { position, next } => {
                self.writer.command(Command::Commit { position, next }, context)
            }
            Effect::Follow => self.writer.command(Command::Follow, context),
            Effect::Refuse => self.writer.command(Command::Refuse, context),
            Effect::RoleChanged { .. } | Effect::Configured(_) => {}
            Effect::ReadReady { ticket } => self.handle_index(ticket, true, context),
            Effect::ReadRefused { ticket } => self.handle_index(ticket, false, context),
            Effect::CutLog { through } => self.log.cut(through, context),
            Effect::FetchSnapshot { from, at_least } => {
                let members = self.replica.configuration().members();
                let others = members.filter(|node| *node != self.node);
                self.seeding.ask(from, others, at_least, context);
            }
            Effect::InstallSnapshot { position } => {
                context.observe(Observation::Installing {
                    node: self.node,
                    position,
                });
                self.log.is_blocked = true;
                self.writer.command(Command::Install, context);
            }
            Effect::Dropped { reason, .. } if reason.is_innocent() => {}
            Effect::Dropped { from, reason } => {
                context.actions.push(Action::Broken(format!(
                    "a message of node {from} was dropped: {reason}"
                )));
            }
        }
        None
    }

    fn persist(&mut self, persist: Persist, context: &mut Context<'_>) -> Option<Event> {
        let ticket = persist.ticket;
        let entries = persist.entries.clone();
        context.observe(Observation::Received {
            node: self.node,
            base: persist.reset,
            positions: entries.iter().map(|entry| entry.position).collect(),
        });
        self.log.persist(persist, context);
        if context.has(Bug::ApplyUncommitted) && self.reported.0 != Role::Leader && !entries.is_empty() {
            let is_committed = false;
            self.writer.command(
                Command::Apply {
                    entries,
                    is_committed,
                },
                context,
            );
        }
        context
            .has(Bug::AckBeforeFsync)
            .then_some(Event::Persisted { ticket })
    }

    fn lead(&mut self, next: Position, context: &mut Context<'_>) {
        let (base, log) = self.log.positions();
        context.observe(Observation::Leads {
            node: self.node,
            term: next.term,
            base,
            log,
        });
        self.writer.command(Command::Lead { next }, context);
    }

    fn handle_index(&mut self, ticket: u64, is_confirmed: bool, context: &mut Context<'_>) {
        if self.reads.handle_index(ticket, is_confirmed, context) {
            return;
        }
        for (submission, reply) in self.confirmations.remove(&ticket).unwrap_or_default() {
            match reply {
                _ if !is_confirmed => self.reply(submission, Reply::NotLeader, context),
                // Its own record stands somewhere before.
                Reply::Done {
                    deduplicated: true, ..
                } => self.take_executed(vec![(submission, reply)], context),
                _ => self.reply(submission, reply, context),
            }
        }
    }

    fn send(&self, message: &Message, context: &mut Context<'_>) {
        let promise = match message.kind {
            MessageKind::VoteReply if !message.reject => Some(Promise::Vote {
                term: message.term,
                candidate: message.to,
            }),
            MessageKind::Vote => Some(Promise::Vote {
                term: message.term,
                candidate: message.from,
            }),
            MessageKind::AppendReply if !message.reject => Some(Promise::Holds {
                through: message.log.index,
            }),
            _ => None,
        };
        if let Some(promise) = promise {
            context.observe(Observation::Promised {
                node: self.node,
                promise,
            });
        }
        context
            .actions
            .push(Action::Send(message.to, PeerMessage::of_consensus(message)));
    }
}
