//! One place that says: stop. Asked by a signal, or because a part of the node cannot go on.

use std::sync::Mutex;

use tokio::sync::watch;

/// Cheap to share behind `Arc`.
pub(crate) struct Stop {
    asked: watch::Sender<bool>,
    failure: Mutex<Option<String>>,
}

impl Stop {
    pub fn new() -> Stop {
        Stop {
            asked: watch::Sender::new(false),
            failure: Mutex::new(None),
        }
    }

    /// In good order.
    pub fn ask(&self) {
        self.asked.send_replace(true);
    }

    /// Because of this; the first failure is the one reported.
    pub fn fail(&self, what: String) {
        self.failure
            .lock()
            .expect("no holder of this lock panics")
            .get_or_insert(what);
        self.ask();
    }

    pub fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Returns once it was asked.
    pub async fn asked(&self) {
        let mut asked = self.asked.subscribe();
        // An error means that the sender is gone, and with it the node.
        let _ = asked.wait_for(|asked| *asked).await;
    }

    pub fn failure(&self) -> Option<String> {
        self.failure
            .lock()
            .expect("no holder of this lock panics")
            .clone()
    }
}
