//! What one statement may take: time, and bytes of result.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bellwether_session::Values;
use bellwether_types::{ErrorKind, SqlError};

use crate::session::Cancel;

/// A statement that does not hear the first time is told again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Cancels a statement that takes too long, from its first step to its last row; until it is dropped.
pub(super) struct TimeLimit {
    ends: Option<Instant>,
    /// Whether the statement is still the one that was meant.
    armed: Arc<Mutex<bool>>,
    timer: Option<tokio::task::JoinHandle<()>>,
}

impl TimeLimit {
    /// `statement_timeout`, and for all but superusers `bellwether.statement_limit`.
    pub fn start(values: &Values, cancel: Option<Arc<Cancel>>) -> TimeLimit {
        let limits = [values.statement_timeout.0, values.statement_limit.0];
        let Some(limit_ms) = limits.into_iter().filter(|limit| *limit > 0).min() else {
            return TimeLimit {
                ends: None,
                armed: Arc::default(),
                timer: None,
            };
        };
        let limit = Duration::from_millis(u64::from(limit_ms));
        let armed = Arc::new(Mutex::new(true));
        let meant = Arc::clone(&armed);
        // On a task of its own: the statement may keep this one's thread.
        let timer = tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            loop {
                {
                    let meant = meant.lock().expect("no holder of this lock panics");
                    match &cancel {
                        Some(cancel) if *meant => cancel.cancel(),
                        _ => return,
                    }
                }
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        });
        TimeLimit {
            ends: Some(Instant::now() + limit),
            armed,
            timer: Some(timer),
        }
    }

    /// An error when the time is up.
    pub fn check(&self) -> Result<(), SqlError> {
        match self.ends {
            Some(ends) if Instant::now() >= ends => Err(timed_out()),
            _ => Ok(()),
        }
    }

    /// Why a statement was cancelled.
    pub fn explain(&self, error: SqlError) -> SqlError {
        match error.kind {
            ErrorKind::Cancelled if self.check().is_err() => timed_out(),
            _ => error,
        }
    }
}

impl Drop for TimeLimit {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            *self.armed.lock().expect("no holder of this lock panics") = false;
            timer.abort();
        }
    }
}

fn timed_out() -> SqlError {
    SqlError::new(
        ErrorKind::StatementTimeout,
        "canceling statement due to statement timeout",
    )
}

/// `bellwether.result_limit`, of all rows that were sent of a result.
pub(super) fn check_result(values: &Values, sent_bytes: u64) -> Result<(), SqlError> {
    let limit = values.result_limit;
    if limit.0 == 0 || sent_bytes <= limit.bytes() {
        return Ok(());
    }
    let message = format!("the result is larger than {} kB", limit.0);
    Err(SqlError::new(ErrorKind::ProgramLimit, message)
        .with_detail("bellwether.result_limit is set for this role.")
        .with_hint("Ask for fewer rows, or have a superuser raise the limit: ALTER ROLE … SET bellwether.result_limit."))
}
