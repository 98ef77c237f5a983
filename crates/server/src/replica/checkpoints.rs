//! The thread that moves SQLite's WAL into its main file, never past what the log has durably.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_node::Event;
use bellwether_storage::{CheckpointError, Checkpointer, Files, OpenError};
use bellwether_types::Position;

use super::driver::Input;
use super::fatal;
use crate::stop::Stop;

/// Between checkpoints: at full load a few thousand frames, so that a WAL is a few dozen MiB at most.
const PERIOD: Duration = Duration::from_millis(200);

/// Shared by the checkpoint thread and the writer, which restarts the WAL between two groups when asked to.
pub(crate) struct Checkpoints {
    checkpointer: Mutex<Option<Checkpointer>>,
    restart_wanted: AtomicBool,
    settled: Mutex<Position>,
}

impl Checkpoints {
    pub fn open(files: &Files) -> Result<Arc<Checkpoints>, OpenError> {
        Ok(Arc::new(Checkpoints {
            checkpointer: Mutex::new(Some(Checkpointer::open(files)?)),
            restart_wanted: AtomicBool::new(false),
            settled: Mutex::new(Position::ZERO),
        }))
    }

    /// The writer, between groups. Skipped while a checkpoint runs; the next one asks again.
    pub fn maybe_restart(&self) -> Result<(), CheckpointError> {
        if !self.restart_wanted.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let settled = *self.settled.lock().expect("no holder of this lock panics");
        if let Ok(mut checkpointer) = self.checkpointer.try_lock()
            && let Some(checkpointer) = &mut *checkpointer
        {
            checkpointer.restart(settled)?;
        }
        Ok(())
    }

    /// Closes its connections: the file is about to be replaced.
    pub fn close(&self) {
        *self.checkpointer.lock().expect("no holder of this lock panics") = None;
    }

    /// Opens them again.
    pub fn reopen(&self, files: &Files) -> Result<(), OpenError> {
        let checkpointer = Checkpointer::open(files)?;
        *self.checkpointer.lock().expect("no holder of this lock panics") = Some(checkpointer);
        Ok(())
    }

    fn checkpoint(&self, settled: Position) -> Result<Option<Position>, CheckpointError> {
        *self.settled.lock().expect("no holder of this lock panics") = settled;
        let mut checkpointer = self.checkpointer.lock().expect("no holder of this lock panics");
        let Some(checkpointer) = &mut *checkpointer else {
            return Ok(None);
        };
        let checkpointed = checkpointer.checkpoint(settled)?;
        if checkpointed.wants_restart() {
            self.restart_wanted.store(true, Ordering::Release);
        }
        Ok(Some(checkpointed.through))
    }
}

/// Until the node stops or the driver is gone.
pub(crate) fn run(
    name: &'static str,
    checkpoints: Arc<Checkpoints>,
    driver: crossbeam_channel::Sender<Input>,
    stop: Arc<Stop>,
) {
    let (reply, settled) = crossbeam_channel::bounded(1);
    while !stop.is_asked() {
        std::thread::park_timeout(PERIOD);
        if driver.send(Input::Durable(reply.clone())).is_err() {
            return;
        }
        let Ok(settled) = settled.recv_timeout(Duration::from_secs(5)) else {
            continue;
        };
        match checkpoints.checkpoint(settled) {
            Ok(Some(through)) => {
                // A driver that is gone ends the loop above.
                let _ = driver.send(Input::Event(Event::Checkpointed {
                    through: through.index,
                }));
            }
            Ok(None) => {}
            Err(error) if error.is_fatal() => return fatal(&stop, name, error),
            Err(error) => {
                tracing::warn!(database = name, %error, "a checkpoint failed and will be tried again")
            }
        }
    }
}
