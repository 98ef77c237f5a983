//! Who drives a replica's machine: whoever brings it work.
//!
//! Machine and log belong to one [`super::driver::Driver`] behind a lock. A thread that brings an input and finds the lock
//! free takes what has arrived and drives it, up to four batches; the rest is the log thread's. So a peer's message is
//! written, synced and answered on the thread that has read it, a group is proposed and synced on the one that has
//! executed it. Who finds the lock taken leaves its input: the holder looks again after it has let go. The log thread
//! keeps the time, and drives what those bring who must not wait for a disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use super::fatal;
use super::inbox::Inbox;
use crate::stop::Stop;

/// Inputs that may wait for one machine. Peers' messages beyond them are dropped, which Raft bears.
const INPUT_MAX: usize = 8192;

/// Batches that a thread drives before it leaves the rest to the log thread: it has work of its own.
const TURNS_MAX: usize = 4;

/// Inputs handled at a time, before the log is synced once for all of them.
const BATCH_MAX: usize = 256;

/// What is driven.
pub(crate) trait Driven {
    type Input;
    /// Handles what has arrived, and what is due by now; false once it has stopped. An error: it cannot go on.
    fn step(&mut self, batch: Vec<Self::Input>) -> Result<bool, String>;
    /// When something is due, if nothing arrives before.
    fn wakes_at(&self) -> Instant;
}

/// See the module.
pub(crate) struct Drive<D: Driven> {
    inbox: Inbox<D::Input>,
    /// `None` once it has stopped.
    driver: Mutex<Option<D>>,
    name: &'static str,
    stop: Arc<Stop>,
}

impl<D: Driven> Drive<D> {
    pub fn new(driver: D, name: &'static str, stop: Arc<Stop>) -> Arc<Drive<D>> {
        Arc::new(Drive {
            inbox: Inbox::new(INPUT_MAX),
            driver: Mutex::new(Some(driver)),
            name,
            stop,
        })
    }

    /// For the log thread to drive; false when there is no room, or the machine has stopped.
    pub fn offer(&self, input: D::Input) -> bool {
        let is_in = self.inbox.offer(input);
        self.inbox.wake();
        is_in
    }

    /// For whoever drives next: as [`Drive::offer`].
    pub fn leave(&self, input: D::Input) -> bool {
        self.inbox.offer(input)
    }

    /// From a thread of the replica, and driven there: waits for room; false when the machine has stopped.
    pub fn send(&self, input: D::Input) -> bool {
        self.send_within(input, Duration::MAX)
    }

    /// As [`Drive::send`]; false also when there is no room for so long.
    pub fn send_within(&self, input: D::Input, patience: Duration) -> bool {
        let is_in = self.inbox.send(input, patience);
        self.drive();
        is_in
    }

    /// The log thread: until stopped.
    pub fn keep_time(&self) {
        loop {
            let mut driver = self.driver.lock().expect("no holder of this lock panics");
            if driver.is_none() {
                return;
            }
            self.step(&mut driver);
            drop(driver);
            self.inbox.wait();
        }
    }

    /// On this thread, unless another is at it: what has arrived, several times.
    pub fn drive(&self) {
        for _ in 0..TURNS_MAX {
            if self.inbox.is_empty() {
                return;
            }
            match self.driver.try_lock() {
                Ok(mut driver) => self.step(&mut driver),
                // It is behind what is in the inbox, and looks there once more.
                Err(TryLockError::WouldBlock) => return,
                Err(TryLockError::Poisoned(_)) => unreachable!("no holder of this lock panics"),
            }
        }
        self.inbox.wake();
    }

    /// Drives what has arrived, and what is due.
    fn step(&self, driver: &mut MutexGuard<'_, Option<D>>) {
        let Some(running) = driver.as_mut() else { return };
        let step = catch_unwind(AssertUnwindSafe(|| running.step(self.inbox.take(BATCH_MAX))));
        match step {
            Ok(Ok(true)) => return self.inbox.set_alarm(running.wakes_at()),
            Ok(Ok(false)) => {}
            Ok(Err(what)) => fatal(&self.stop, self.name, what),
            Err(_) => fatal(
                &self.stop,
                self.name,
                "the machine has panicked: this is a mistake of ours",
            ),
        }
        **driver = None;
        self.inbox.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    /// Counts what it is given; stops when it is all.
    struct Counter {
        left: usize,
        counted: Arc<AtomicUsize>,
    }

    impl Driven for Counter {
        type Input = Result<(), String>;

        fn step(&mut self, batch: Vec<Self::Input>) -> Result<bool, String> {
            assert!(batch.len() <= BATCH_MAX);
            for input in batch {
                input?;
                self.left -= 1;
                self.counted.fetch_add(1, Ordering::SeqCst);
                // So that others find the lock taken, and leave their inputs.
                thread::yield_now();
            }
            Ok(self.left > 0)
        }

        /// Nothing is ever due: who is missed stays missed.
        fn wakes_at(&self) -> Instant {
            Instant::now() + Duration::from_secs(3600)
        }
    }

    #[test]
    fn nobody_who_finds_another_driving_is_missed() {
        const SENDERS: usize = 3;
        const ROUNDS: usize = 3_000;
        let counted = Arc::new(AtomicUsize::new(0));
        let counter = Counter {
            left: SENDERS * ROUNDS + 1,
            counted: Arc::clone(&counted),
        };
        let drive = Drive::new(counter, "counter", Arc::new(Stop::new()));
        let together = Barrier::new(SENDERS);
        thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (drive, counted, together) = (&drive, &counted, &together);
                scope.spawn(move || {
                    for round in 1..=ROUNDS {
                        together.wait();
                        assert!(match sender {
                            0 => drive.leave(Ok(())),
                            _ => drive.send(Ok(())),
                        });
                        if sender == 0 {
                            drive.drive();
                        }
                        together.wait();
                        // The log thread does not run: who was missed now stays missed.
                        assert_eq!(counted.load(Ordering::SeqCst), SENDERS * round);
                    }
                });
            }
        });
    }

    #[test]
    fn the_log_thread_drives_what_is_only_offered() {
        let counted = Arc::new(AtomicUsize::new(0));
        let counter = Counter {
            left: 100,
            counted: Arc::clone(&counted),
        };
        let drive = Drive::new(counter, "counter", Arc::new(Stop::new()));
        thread::scope(|scope| {
            scope.spawn(|| (0..100).for_each(|_| assert!(drive.offer(Ok(())))));
            scope.spawn(|| drive.keep_time());
        });
        assert_eq!(counted.load(Ordering::SeqCst), 100);
        assert!(!drive.send(Ok(())), "it has stopped");
    }

    #[test]
    fn a_machine_that_fails_stops_the_node_and_takes_nothing_more() {
        for (input, wanted) in [
            (Err("the disk is gone".to_owned()), "the disk is gone"),
            (Ok(()), "panicked"),
        ] {
            let stop = Arc::new(Stop::new());
            let counter = Counter {
                left: 0,
                counted: Arc::default(),
            };
            let drive = Drive::new(counter, "counter", Arc::clone(&stop));
            assert!(drive.leave(input));
            drive.drive();
            let why = stop.failure().expect("it is told");
            assert!(why.contains(wanted), "{why}");
            assert!(!drive.offer(Ok(())));
            drive.keep_time();
        }
    }
}
