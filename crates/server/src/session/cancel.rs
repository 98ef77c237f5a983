//! What a cancel request reaches: whatever its session is doing at that moment.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwether_storage::InterruptHandle;
use tokio::sync::Notify;

use crate::replica::Canceller;

/// Shared between a session and the door that hears cancel requests.
#[derive(Default)]
pub(crate) struct Cancel {
    running: Mutex<Option<Running>>,
    /// Wakes a session that waits: for the writer, for a position, for a leader.
    waiting: Notify,
    is_over: AtomicBool,
    over: Notify,
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

    /// Nobody can wait any longer, not even for what others know: the node ends.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.over.notify_waiters();
    }

    /// Whether [`Cancel::end`] was called.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Returns once [`Cancel::end`] was called.
    pub async fn ended(&self) {
        // Before the look: what comes after it is not missed.
        let over = self.over.notified();
        if !self.is_over() {
            over.await;
        }
    }

    /// Returns when a cancel comes after this was first polled.
    pub async fn cancelled(&self) {
        self.waiting.notified().await;
    }
}
