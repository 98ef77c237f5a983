//! The background scrub: recomputes the fingerprints from the rows, a little at a time, and finds what changed behind
//! the replica's back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_node::Event;
use bellwether_storage::Files;
use bellwether_storage::scrub::{Depth, Progress, Scrub};

use super::drive::Drive;
use super::driver::{Driver, Input};
use crate::stop::Stop;

/// Rows looked at between two pauses: about a millisecond's work.
const STEP_ROWS: u64 = 1_000;

/// After each step: a few per cent of one core while a scrub runs.
const STEP_PAUSE: Duration = Duration::from_millis(20);

/// From the end of one scrub to the beginning of the next.
const PERIOD: Duration = Duration::from_secs(60);

/// Between looks whether the node stops.
const NAP: Duration = Duration::from_millis(500);

/// Everything the thread owns.
pub(crate) struct Scrubber {
    pub name: &'static str,
    pub files: Files,
    pub drive: Arc<Drive<Driver>>,
    pub stop: Arc<Stop>,
}

impl Scrubber {
    /// Until the node stops.
    pub fn run(self) {
        while self.rest() {
            if let Err(error) = self.scrub_once() {
                tracing::warn!(database = self.name, %error, "a scrub could not be finished");
            }
        }
    }

    /// False when the node stops.
    fn rest(&self) -> bool {
        let until = Instant::now() + PERIOD;
        while !self.stop.is_asked() && Instant::now() < until {
            std::thread::park_timeout(NAP);
        }
        !self.stop.is_asked()
    }

    fn scrub_once(&self) -> Result<(), bellwether_storage::scrub::ScrubError> {
        let mut scrub = Scrub::start(&self.files, Depth::Rows)?;
        while !self.stop.is_asked() {
            match scrub.step(STEP_ROWS) {
                Ok(Progress::Scanned { .. }) => {}
                Ok(Progress::Finished { .. }) => {
                    tracing::debug!(database = self.name, "scrubbed: sound");
                    return Ok(());
                }
                Ok(Progress::Differs(difference)) => return self.report(difference),
                Err(error) if error.is_damage() => return self.report(error),
                Err(error) => return Err(error),
            }
            std::thread::park_timeout(STEP_PAUSE);
        }
        Ok(())
    }

    fn report<T>(&self, what: impl std::fmt::Display) -> Result<(), T> {
        tracing::error!(database = self.name, %what, "the scrub found damage: this replica is seeded anew");
        // A driver that is gone has no replica to seed.
        let _ = self.drive.send(Input::Event(Event::Damaged));
        Ok(())
    }
}
