//! What becomes of a group that is proposed, and of what others proposed: COMMIT, ROLLBACK, apply, and what is done
//! when there is no space for it.

use bellwether_storage::{ApplyError, StorageError};
use bellwether_types::{Durability, Entry, Payload, Position};
use bytes::Bytes;

use super::super::acknowledge::asks_progress;
use super::super::context::{Action, Context, NodeEvent};
use super::replayed;
use super::{Held, Output, Submission, WriterThread, not_leader, refusal, told, visible};
use crate::bug::Bug;
use crate::observation::{Logged, Observation};
use crate::peer::Reply;
use crate::workload::told::marks;

/// Until committed records for which there was no space are tried again.
const STARVED_US: u64 = 200_000;

impl WriterThread {
    pub(super) fn propose_next(&mut self, context: &mut Context<'_>) -> Vec<Output> {
        let (Some(_), Some(writer)) = (&self.held, &mut self.writer) else {
            return Vec::new();
        };
        let payload = match writer.next_payload() {
            Ok(Some(payload)) => payload,
            Ok(None) => {
                context
                    .actions
                    .push(Action::Broken("a sealed group ran out of payloads".to_owned()));
                return Vec::new();
            }
            Err(error) => {
                context.stop(format!("SQLite: {error}"));
                return Vec::new();
            }
        };
        self.propose(payload, context)
    }

    /// A payload of the group that is held.
    pub fn propose(&mut self, payload: Bytes, context: &mut Context<'_>) -> Vec<Output> {
        let Some(held) = &mut self.held else {
            return Vec::new();
        };
        let at = held.next;
        held.next.index = at.index.next();
        held.remaining -= 1;
        held.logged.push(Logged::at(at, &payload));
        if context.has(Bug::TellBeforeCommit) {
            context.observe(Observation::Told {
                node: self.node,
                position: at,
                marks: told_by(&payload),
            });
        }
        let mut outputs = vec![held.proposal(at, payload)];
        if context.has(Bug::AnswerBeforeCommit) && held.remaining == 0 {
            outputs.push(Output::Replies(std::mem::take(&mut held.replies)));
        }
        outputs
    }

    /// COMMITs what is held. `next` is absent when a planted bug does it too early.
    pub fn commit(
        &mut self,
        position: Position,
        next: Option<Position>,
        context: &mut Context<'_>,
    ) -> Vec<Output> {
        let (Some(held), Some(writer)) = (&mut self.held, &mut self.writer) else {
            context.actions.push(Action::Broken(format!(
                "Commit at {position} without a held group"
            )));
            return Vec::new();
        };
        if !held.is_committed {
            if held.barrier.is_some() {
                return match self.pass_barrier(position, context) {
                    Ok(()) => self.commit(position, next, context),
                    Err(error) => self.fail_commit(error, context),
                };
            }
            if let Err(error) = writer.commit() {
                return self.fail_commit(error, context);
            }
            held.is_committed = true;
            if writer.position() != position {
                let words = format!(
                    "committed at {}, the record stands at {position}",
                    writer.position()
                );
                context.actions.push(Action::Broken(words));
            }
            context.observe(visible(self.node, writer));
            if !context.has(Bug::TellBeforeCommit) {
                context.observe(told(self.node, writer));
            }
        }
        let mut outputs = vec![Output::Executed(std::mem::take(&mut held.replies))];
        if let Some(next) = next {
            context.observe(Observation::Applied {
                node: self.node,
                entries: std::mem::take(&mut held.logged),
            });
            self.held = None;
            self.next = Some(next);
            outputs.push(Output::Applied {
                through: position.index,
            });
        }
        outputs
    }

    /// The record that is held is in the log here: who asks for less than a quorum is answered before it is committed.
    pub(super) fn take_early(&mut self, at: Position) -> Vec<Output> {
        let is_proposed = self.proposed() == Some(at);
        let Some(held) = self.held.as_mut().filter(|_| is_proposed) else {
            return Vec::new();
        };
        let is_early = |(submission, reply): &(Submission, Reply)| {
            let is_new = matches!(reply, Reply::Done { deduplicated, .. } if !deduplicated);
            is_new && submission.attempt.durability.is_early()
        };
        let (early, rest) = std::mem::take(&mut held.replies).into_iter().partition(is_early);
        held.replies = rest;
        vec![Output::Executed(early)]
    }

    pub(super) fn follow(&mut self, context: &mut Context<'_>) -> Vec<Output> {
        self.next = None;
        let mut homeless: Vec<Submission> = self.waiting.drain(..).collect();
        if let (Some(held), Some(writer)) = (self.held.take(), &mut self.writer) {
            let keeps = context.has(Bug::KeepGroupAfterFollow)
                || (context.has(Bug::KeepGroupWhenHandingOver) && self.is_handing_over);
            let ended = match keeps && held.barrier.is_none() {
                true if held.remaining == 0 => writer.commit(),
                _ if held.is_committed => Ok(()),
                _ => writer.rollback(),
            };
            if let Err(error) = ended {
                context.stop(format!("SQLite: {error}"));
            }
            context.observe(visible(self.node, writer));
            homeless.extend(held.replies.into_iter().map(|(submission, _)| submission));
        }
        vec![not_leader(homeless)]
    }

    /// The log has no room for what is held.
    pub(super) fn refuse(&mut self, context: &mut Context<'_>) -> Vec<Output> {
        self.next = None;
        let Some(held) = self.held.take() else {
            return Vec::new();
        };
        self.roll_back(context);
        let replies = held
            .replies
            .into_iter()
            .map(|(submission, _)| refused(submission));
        vec![Output::Replies(replies.collect())]
    }

    /// Nothing can be written for want of space: nobody waits for it.
    pub fn refuse_waiting(&mut self) -> Vec<Output> {
        vec![Output::Replies(self.waiting.drain(..).map(refused).collect())]
    }

    /// What is held is committed, and SQLite could not COMMIT it.
    fn fail_commit(&mut self, error: StorageError, context: &mut Context<'_>) -> Vec<Output> {
        if error.is_damage() {
            return vec![Output::Damaged {
                words: error.to_string(),
                is_divergence: matches!(error, StorageError::Diverged { .. }),
            }];
        }
        if !error.is_full() {
            context.stop(format!("SQLite: {error}"));
            return Vec::new();
        }
        self.roll_back(context);
        let held = self.held.take().expect("it was to be committed");
        let homeless = held.replies.into_iter().map(|(submission, _)| submission);
        let mut outputs = vec![not_leader(homeless.collect())];
        outputs.extend(self.starve(context));
        outputs
    }

    fn roll_back(&mut self, context: &mut Context<'_>) {
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.rollback()
        {
            context.stop(format!("SQLite: {error}"));
        }
    }

    /// Nothing is done until it is tried again.
    fn starve(&mut self, context: &mut Context<'_>) -> Vec<Output> {
        self.next = None;
        self.is_starving = true;
        context.after(STARVED_US, NodeEvent::Starved);
        self.refuse_waiting()
    }

    pub fn handle_starved(&mut self, context: &mut Context<'_>) -> Vec<Output> {
        self.is_starving = false;
        self.maybe_start(context);
        let applied = self.position().index;
        vec![Output::ApplyFailed { applied }]
    }

    pub(super) fn apply(
        &mut self,
        entries: Vec<Entry>,
        is_committed: bool,
        context: &mut Context<'_>,
    ) -> Vec<Output> {
        let Some(writer) = &mut self.writer else {
            return Vec::new();
        };
        for entry in &entries {
            let skips = context.has(Bug::SkipRecord) && self.node.0 == 2 && context.random.per_mille(20);
            if skips && !entry.payload.is_empty() {
                continue;
            }
            let before = writer.position();
            let misread = replayed::misread(entry, context.bug.filter(|_| self.node.0 == 2));
            match writer.apply(misread.as_ref().unwrap_or(entry)) {
                Ok(()) => {}
                Err(error) if error.is_full() => {
                    let reached = writer.position().index;
                    let there = entries.iter().filter(|entry| entry.position.index <= reached);
                    let entries = there.map(Logged::of).collect();
                    context.observe(Observation::Applied {
                        node: self.node,
                        entries,
                    });
                    return self.starve(context);
                }
                Err(ApplyError::Storage(error)) if !error.is_damage() => {
                    context.stop(format!("SQLite: {error}"));
                    return Vec::new();
                }
                Err(error) => {
                    let is_file = matches!(&error, ApplyError::Storage(StorageError::Sqlite(_)));
                    return vec![Output::Damaged {
                        words: format!("{} at {}", error, entry.position),
                        is_divergence: !is_file,
                    }];
                }
            }
            if writer.position() != before {
                context.observe(visible(self.node, writer));
                if context.has(Bug::LoseNotifications) && context.random.per_mille(20) {
                    writer.take_notifications();
                }
                context.observe(told(self.node, writer));
            }
        }
        if !is_committed {
            return Vec::new();
        }
        let through = entries.last().expect("an Apply has entries").position.index;
        let entries = entries.iter().map(Logged::of).collect();
        context.observe(Observation::Applied {
            node: self.node,
            entries,
        });
        vec![Output::Applied { through }]
    }
}

impl Held {
    /// Its payload there, and what its clients wait for. A record that is no group is nobody's before it is committed.
    fn proposal(&self, at: Position, payload: Bytes) -> Output {
        let is_group = self.barrier.is_none();
        let mut durabilities = self.replies.iter().map(|(asker, _)| asker.attempt.durability);
        Output::Propose {
            at,
            payload,
            remaining: self.remaining,
            early: is_group && durabilities.clone().any(Durability::is_early),
            asks_progress: is_group && durabilities.any(asks_progress),
        }
    }
}

fn told_by(payload: &[u8]) -> Vec<i64> {
    match Payload::from_bytes(payload) {
        Ok(Payload::Record(record)) => marks(&record.notifications),
        _ => Vec::new(),
    }
}

fn refused(submission: Submission) -> (Submission, Reply) {
    let reply = refusal(&submission);
    (submission, reply)
}
