//! What a cancel request reaches: whatever its session is doing at that moment.

use std::sync::Mutex;

use bellwether_storage::InterruptHandle;
use tokio::sync::Notify;

use crate::replica::Canceller;

/// Shared between a session and the door that hears cancel requests.
#[derive(Default)]
pub(crate) struct Cancel {
    running: Mutex<Option<Running>>,
    /// Wakes a session that waits: for the writer, for a position, for a leader.
    waiting: Notify,
}

/// What is to be stopped.
enum Running {
    Read(InterruptHandle),
    Step(Canceller),
}

impl Cancel {
    /// A read is running that this handle interrupts.
    pub fn set_read(&self, handle: InterruptHandle) {
        *self.running.lock().expect("no holder of this lock panics") = Some(Running::Read(handle));
    }

    /// A statement is running in a transaction that holds the writer.
    pub fn set_step(&self, canceller: Canceller) {
        *self.running.lock().expect("no holder of this lock panics") = Some(Running::Step(canceller));
    }

    /// Nothing is running.
    pub fn clear(&self) {
        *self.running.lock().expect("no holder of this lock panics") = None;
    }

    /// Whether something is.
    pub fn is_running(&self) -> bool {
        self.running
            .lock()
            .expect("no holder of this lock panics")
            .is_some()
    }

    /// Stops what runs now; nothing, when nothing does.
    pub fn cancel(&self) {
        match &*self.running.lock().expect("no holder of this lock panics") {
            Some(Running::Read(handle)) => handle.interrupt(),
            Some(Running::Step(canceller)) => {
                canceller.cancel();
            }
            None => {}
        }
        self.waiting.notify_waiters();
    }

    /// Returns when a cancel comes after this was first polled.
    pub async fn cancelled(&self) {
        self.waiting.notified().await;
    }
}
