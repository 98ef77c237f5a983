//! Short queries run on the thread that serves their client, which spares two thread switches; a long one must not keep
//! the other clients of that thread waiting.
//!
//! SQLite calls back while it runs. When a step has taken too long, the runtime is told that this thread blocks, and
//! gives its other tasks to another one; the query goes on where it is.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// What a thread's other clients bear without noticing.
const PATIENCE: Duration = Duration::from_millis(1);

thread_local! {
    /// When the step under way began, and after how long to look again.
    static STEP: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Runs one step of a query.
pub(crate) fn with_patience<T>(step: impl FnOnce() -> T) -> T {
    STEP.set(Some((Instant::now(), PATIENCE)));
    let result = step();
    STEP.set(None);
    result
}

/// Called by SQLite in between.
pub(crate) fn look() {
    let Some((began, patience)) = STEP.get() else {
        return;
    };
    if began.elapsed() < patience {
        return;
    }
    // The other thread takes over while this one is away for a moment; should it be late, it is asked again.
    STEP.set(Some((began, patience * 4)));
    tokio::task::block_in_place(|| std::thread::park_timeout(Duration::from_micros(50)));
}
