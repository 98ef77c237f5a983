//! When clients of the leader hear of their transactions: when the machine's [`Progress`] allows it, as in the server.
//!
//! One that is answered early comes when its record is in the log here, all others when they are committed. Whoever waits
//! when the reign ends is told to ask the next leader.

use bellwether_node::{Progress, Replica};
use bellwether_types::{Durability, LogIndex, RequestId, StandbyRule};

use super::Driver;
use super::context::{Action, Context};
use super::writer_thread::Submission;
use crate::bug::Bug;
use crate::observation::Observation;
use crate::peer::{Attempt, Part, PeerMessage, Reply};

struct Waiting {
    submission: Submission,
    index: LogIndex,
    reply: Reply,
}

/// Of one node.
pub(super) struct Acknowledger {
    rule: StandbyRule,
    progress: Progress,
    waiting: Vec<Waiting>,
}

impl Acknowledger {
    pub fn new(rule: StandbyRule) -> Acknowledger {
        Acknowledger {
            rule,
            progress: Progress::default(),
            waiting: Vec::new(),
        }
    }

    /// It was executed, and its record is this entry of the log here. A session waits for its last attempt only.
    pub fn push(&mut self, submission: Submission, index: LogIndex, reply: Reply) {
        let session = submission.attempt.request.session;
        self.waiting
            .retain(|waiting| waiting.submission.attempt.request.session != session);
        self.waiting.push(Waiting {
            submission,
            index,
            reply,
        });
    }

    /// Whether an attempt of it waits: its answer comes.
    pub fn has(&self, request: RequestId) -> bool {
        let is_it = |waiting: &Waiting| waiting.submission.attempt.request == request;
        self.waiting.iter().any(is_it)
    }

    /// Those that may be answered now.
    pub fn poll(&mut self, replica: &Replica, context: &Context<'_>) -> Vec<(Submission, Reply)> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        replica.note_progress(&mut self.progress);
        let mut replies = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            let Waiting {
                submission,
                index,
                reply,
            } = waiting;
            let asked = submission.attempt.durability;
            let knows_enough = asked == Durability::On && self.rule.is_empty();
            if !knows_enough && self.progress.reign != Some(submission.attempt.term) {
                replies.push((submission, Reply::NotLeader));
            } else if knows_enough || self.allows(index, asked, context) {
                replies.push((submission, reply));
            } else {
                self.waiting.push(Waiting {
                    submission,
                    index,
                    reply,
                });
            }
        }
        replies
    }

    fn allows(&self, index: LogIndex, asked: Durability, context: &Context<'_>) -> bool {
        let nobody = StandbyRule::default();
        let (durability, rule) = match (asked, context.bug) {
            (Durability::On, Some(Bug::IgnoreStandbyRule)) => (asked, &nobody),
            (Durability::Local, Some(Bug::AnswerLocalBeforeFsync)) => (Durability::Off, &self.rule),
            (Durability::RemoteApply, Some(Bug::AnswerApplyAtFsync)) => (Durability::On, &self.rule),
            _ => (asked, &self.rule),
        };
        self.progress.allows(index, durability, rule)
    }
}

impl Driver {
    /// What was done is answered when its durability allows, what failed at once.
    pub(super) fn take_executed(&mut self, replies: Vec<(Submission, Reply)>, context: &mut Context<'_>) {
        for (submission, reply) in replies {
            match reply {
                Reply::Done { position, .. } => self.acknowledger.push(submission, position.index, reply),
                Reply::Failed(_) | Reply::NotLeader => self.reply(submission, reply, context),
            }
        }
    }

    /// Answers those that may be answered now.
    pub(super) fn acknowledge(&mut self, context: &mut Context<'_>) {
        for (submission, reply) in self.acknowledger.poll(&self.replica, context) {
            self.reply(submission, reply, context);
        }
    }

    pub(super) fn reply(&mut self, submission: Submission, reply: Reply, context: &mut Context<'_>) {
        let Attempt {
            request,
            number,
            part,
            durability,
            ..
        } = submission.attempt;
        if let (Reply::Done { position, .. }, Part::Whole | Part::Commit) = (&reply, part) {
            context.observe(Observation::Acknowledged {
                node: self.node,
                position: *position,
                durability,
            });
        }
        if submission.origin == self.node {
            self.take_reply(request, number, reply, context);
        } else {
            let message = PeerMessage::Reply {
                request,
                number,
                reply,
            };
            context.actions.push(Action::Send(submission.origin, message));
        }
    }
}

/// Whether word from others is waited for before a transaction of this durability is answered: they tell at once then.
pub(super) fn asks_progress(durability: Durability) -> bool {
    matches!(durability, Durability::RemoteWrite | Durability::RemoteApply)
}
