//! Checkpoints and what follows from them: the log's front may go.

use bellwether_node::Event;
use bellwether_types::{LogIndex, Position};

use super::{Context, Driver, NodeEvent};
use crate::bug::Bug;
use crate::fault::CrashPoint;

/// So many checkpoints of a thousand also try to restart the WAL.
const RESTARTS_PER_MILLE: u64 = 300;

impl Driver {
    pub(super) fn schedule_checkpoint(&self, context: &mut Context<'_>) {
        let delay_us = context
            .random
            .range(self.checkpoint_every_us / 2, self.checkpoint_every_us * 2);
        context.after(delay_us, NodeEvent::CheckpointDue);
    }

    pub(super) fn begin_checkpoint(&mut self, context: &mut Context<'_>) {
        let status = self.replica.status();
        // With the term of the entry itself: positions are ordered by term first.
        let upto = self.log.position_at(status.commit.min(status.persisted));
        let delay_us = context.sync_us();
        context.after(delay_us, NodeEvent::CheckpointDone { upto });
    }

    /// Ends a checkpoint: now SQLite's files hold what they hold.
    pub(super) fn end_checkpoint(&mut self, upto: Position, context: &mut Context<'_>) {
        self.schedule_checkpoint(context);
        if context.has(Bug::CutLogPastCheckpoint) {
            return self.handle_checkpointed(self.replica.status().applied, context);
        }
        let Some(checkpointer) = &mut self.checkpointer else {
            return;
        };
        let upto = match context.has(Bug::CheckpointPastLog) {
            true => Position::new(u64::MAX, u64::MAX),
            false => upto,
        };
        let mut done = checkpointer.checkpoint(upto);
        // More often than a product would, which waits until the WAL is long.
        let restarts = context.random.per_mille(RESTARTS_PER_MILLE) || context.has(Bug::CheckpointPastLog);
        if done.is_ok() && restarts {
            done = checkpointer.restart(upto);
        }
        if self.writer.position().index > self.replica.status().persisted
            && context.crash_point(CrashPoint::CheckpointedAhead)
        {
            return;
        }
        match done {
            Ok(checkpointed) => self.handle_checkpointed(checkpointed.through.index, context),
            Err(error) if error.is_damage() => self.tell_damaged(error.to_string(), false, context),
            Err(error) if error.is_fatal() => context.stop(format!("SQLite: {error}")),
            // Next time.
            Err(_) => {}
        }
    }

    pub(super) fn handle_checkpointed(&mut self, through: LogIndex, context: &mut Context<'_>) {
        if context.crash_point(CrashPoint::Checkpointed) {
            return;
        }
        self.duties.checkpointed(through);
        self.feed(Event::Checkpointed { through }, context);
        let from = LogIndex(through.0.saturating_sub(self.retained) + 1);
        self.feed(Event::Retain { from }, context);
    }
}
