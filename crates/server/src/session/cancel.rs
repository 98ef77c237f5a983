//! What a cancel request reaches: whatever its session is doing at that moment.

use std::sync::Mutex;

use bellwether_storage::InterruptHandle;
use tokio::sync::Notify;

/// Shared between a session and the door that hears cancel requests.
#[derive(Default)]
pub(crate) struct Cancel {
    reading: Mutex<Option<InterruptHandle>>,
    /// Wakes a session that waits: for the writer, for a position, for a leader.
    waiting: Notify,
}

impl Cancel {
    /// A read is running that this handle interrupts.
    pub fn set_read(&self, handle: InterruptHandle) {
        *self.reading.lock().expect("no holder of this lock panics") = Some(handle);
    }

    /// Nothing is running.
    pub fn clear(&self) {
        *self.reading.lock().expect("no holder of this lock panics") = None;
    }

    /// Stops what runs now; nothing, when nothing does.
    pub fn cancel(&self) {
        if let Some(handle) = &*self.reading.lock().expect("no holder of this lock panics") {
            handle.interrupt();
        }
        self.waiting.notify_waiters();
    }

    /// Returns when a cancel comes after this was first polled.
    pub async fn cancelled(&self) {
        self.waiting.notified().await;
    }
}
