//! Looks for what changed behind the replica's back.

use bellwether_node::Event;
use bellwether_storage::scrub::{Depth, Progress, Scrub, ScrubError};

use super::{Context, Driver, NodeEvent};
use crate::bug::Bug;
use crate::observation::Observation;

/// From one look to the next, about.
const EVERY_US: u64 = 8_000_000;

impl Driver {
    pub(super) fn schedule_scrub(&self, context: &mut Context<'_>) {
        let delay_us = context.random.range(EVERY_US / 2, EVERY_US * 2);
        context.after(delay_us, NodeEvent::ScrubDue);
    }

    /// A whole one at once.
    pub fn scrub(&mut self, context: &mut Context<'_>) {
        self.schedule_scrub(context);
        if self.log.is_blocked || context.has(Bug::IgnoreScrub) {
            return;
        }
        match self.look() {
            Ok(None) => {}
            Ok(Some(words)) => self.tell_damaged(words, true, context),
            Err(error) if error.is_damage() => self.tell_damaged(error.to_string(), false, context),
            // Next time.
            Err(_) => {}
        }
    }

    fn look(&self) -> Result<Option<String>, ScrubError> {
        let mut scrub = Scrub::start(&self.files, Depth::Rows)?;
        loop {
            match scrub.step(u64::MAX)? {
                Progress::Scanned { .. } => {}
                Progress::Differs(difference) => return Ok(Some(difference.to_string())),
                Progress::Finished { .. } => return Ok(None),
            }
        }
    }

    /// Whoever met a page that is not what was written, and whatever became of that.
    pub(super) fn look_for_damage(&mut self, context: &mut Context<'_>) {
        let met = self.files.damage.take().map(|fault| fault.to_string());
        if let Some(words) = context.damaged.take().or(met) {
            self.tell_damaged(words, false, context);
        }
    }

    pub(super) fn tell_damaged(&mut self, words: String, is_divergence: bool, context: &mut Context<'_>) {
        context.observe(Observation::Damaged {
            is_divergence,
            node: self.node,
            words,
        });
        self.feed(Event::Damaged, context);
    }
}
