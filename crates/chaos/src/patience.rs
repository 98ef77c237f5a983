//! Waiting for another process, which tells nobody that it has started, leads or has caught up: it can only be asked
//! again, for so long.

use std::time::Duration;

use tokio::time::{self, Instant};

/// How long it is left alone between two questions.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(20);

/// For one answer.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    ends: Instant,
}

impl Patience {
    /// From now on.
    pub fn of(of: Duration) -> Patience {
        Patience {
            ends: Instant::now() + of,
        }
    }

    /// Waits until the next question is due; false, at once, when the time is over.
    pub async fn lasts(&self) -> bool {
        if Instant::now() >= self.ends {
            return false;
        }
        time::sleep(BETWEEN_QUESTIONS).await;
        true
    }
}
