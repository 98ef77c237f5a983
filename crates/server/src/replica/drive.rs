//! Who drives a replica's machine: whoever brings it work.
//!
//! Machine and log belong to one [`Driver`] behind a lock. A thread that brings an input and finds the lock free takes
//! everything that has arrived and drives until nothing is left: a peer's message is written, synced and answered on the
//! thread that has read it, a group is proposed and synced on the one that has executed it. Who finds the lock taken
//! leaves its input: the holder looks again after it has let go. The log thread keeps the time, and drives what those
//! bring who must not wait for a disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use super::driver::{BATCH_MAX, Driver, Input, LogFailed};
use super::fatal;
use super::inbox::Inbox;
use crate::stop::Stop;

/// Inputs that may wait for one machine. Peers' messages beyond them are dropped, which Raft bears.
const INPUT_MAX: usize = 8192;

/// Batches that a thread drives before it leaves the rest to the log thread: it has work of its own.
const TURNS_MAX: usize = 4;

/// See the module.
pub(crate) struct Drive {
    inbox: Inbox<Input>,
    /// `None` once it has stopped.
    driver: Mutex<Option<Driver>>,
    name: &'static str,
    stop: Arc<Stop>,
}

impl Drive {
    pub fn new(driver: Driver, name: &'static str, stop: Arc<Stop>) -> Arc<Drive> {
        Arc::new(Drive {
            inbox: Inbox::new(INPUT_MAX),
            driver: Mutex::new(Some(driver)),
            name,
            stop,
        })
    }

    /// For the log thread to drive; false when there is no room, or the machine has stopped.
    pub fn offer(&self, input: Input) -> bool {
        let is_in = self.inbox.offer(input);
        self.inbox.wake();
        is_in
    }

    /// From a peer's connection, and driven there: as [`Drive::offer`].
    pub fn deliver(&self, input: Input) -> bool {
        let is_in = self.inbox.offer(input);
        self.drive();
        is_in
    }

    /// From a thread of the replica, and driven there: waits for room; false when the machine has stopped.
    pub fn send(&self, input: Input) -> bool {
        self.send_within(input, Duration::MAX)
    }

    /// As [`Drive::send`]; false also when there is no room for so long.
    pub fn send_within(&self, input: Input, patience: Duration) -> bool {
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

    fn drive(&self) {
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
    fn step(&self, driver: &mut MutexGuard<'_, Option<Driver>>) {
        let Some(running) = driver.as_mut() else { return };
        let step = catch_unwind(AssertUnwindSafe(|| running.step(self.inbox.take(BATCH_MAX))));
        match step {
            Ok(Ok(true)) => return self.inbox.set_alarm(running.wakes_at()),
            Ok(Ok(false)) => {}
            Ok(Err(LogFailed(what))) => fatal(&self.stop, self.name, what),
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
