//! The thread that moves SQLite's WAL into its main file, never past what the log has durably.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bellwether_node::Event;
use bellwether_storage::{CheckpointError, Checkpointed, Checkpointer, Files, OpenError};
use bellwether_types::Position;

use super::drive::Drive;
use super::driver::{Driver, Input};
use super::fatal;
use crate::stop::Stop;

/// Between checkpoints: at full load a few thousand frames, so that a WAL is a few dozen MiB at most.
const PERIOD: Duration = Duration::from_millis(200);

/// Between two times when what was appended to the WAL goes on to the disk, under a load.
const WRITE_BEHIND_PERIOD: Duration = Duration::from_millis(20);

/// Shared by the checkpoint thread and the writer, which restarts the WAL between two groups when asked to.
pub(crate) struct Checkpoints {
    checkpointer: Mutex<Option<Checkpointer>>,
    restart_wanted: AtomicBool,
}

impl Checkpoints {
    pub fn open(files: &Files) -> Result<Arc<Checkpoints>, OpenError> {
        Ok(Arc::new(Checkpoints {
            checkpointer: Mutex::new(Some(Checkpointer::open(files)?)),
            restart_wanted: AtomicBool::new(false),
        }))
    }

    /// The writer, between groups: moves what is left of the WAL, so that the next write starts it anew. `position`
    /// is SQLite's, `settled` the last one committed and durable in the log *now*. Put off while a checkpoint runs, or
    /// while the log has yet to catch up.
    pub fn maybe_restart(&self, position: Position, settled: Position) -> Result<(), CheckpointError> {
        if !self.restart_wanted.load(Ordering::Acquire) || position.index > settled.index {
            return Ok(());
        }
        if let Ok(mut checkpointer) = self.checkpointer.try_lock()
            && let Some(checkpointer) = &mut *checkpointer
        {
            self.restart_wanted.store(false, Ordering::Release);
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

    fn write_behind(&self) {
        let mut checkpointer = self.checkpointer.lock().expect("no holder of this lock panics");
        if let Some(checkpointer) = &mut *checkpointer {
            checkpointer.write_behind();
        }
    }

    /// Waits for the next checkpoint; under a load what there is to write goes on meanwhile.
    fn rest(&self, period: Duration, is_loaded: bool) {
        let mut left = period;
        while is_loaded && left > WRITE_BEHIND_PERIOD {
            std::thread::park_timeout(WRITE_BEHIND_PERIOD);
            self.write_behind();
            left -= WRITE_BEHIND_PERIOD;
        }
        std::thread::park_timeout(left);
    }

    fn checkpoint(&self, settled: Position) -> Result<Option<Checkpointed>, CheckpointError> {
        let mut checkpointer = self.checkpointer.lock().expect("no holder of this lock panics");
        let Some(checkpointer) = &mut *checkpointer else {
            return Ok(None);
        };
        let checkpointed = checkpointer.checkpoint(settled)?;
        if checkpointed.wants_restart() {
            self.restart_wanted.store(true, Ordering::Release);
        }
        Ok(Some(checkpointed))
    }
}

/// Until the node stops or the driver is gone.
pub(crate) fn run(
    name: &'static str,
    checkpoints: Arc<Checkpoints>,
    drive: Arc<Drive<Driver>>,
    stop: Arc<Stop>,
) {
    let (reply, settled) = mpsc::sync_channel(1);
    let mut period = PERIOD;
    let mut fails = false;
    let (mut frames, mut frames_left) = (0, u32::MAX);
    let mut is_loaded = false;
    while !stop.is_asked() {
        checkpoints.rest(period, is_loaded);
        if !drive.send(Input::Durable(reply.clone())) {
            return;
        }
        let Ok(settled) = settled.recv_timeout(Duration::from_secs(5)) else {
            continue;
        };
        match checkpoints.checkpoint(settled) {
            Ok(Some(checkpointed)) => {
                // Much is left when the writer is faster than the period: again at once; but not while a reader holds a
                // snapshot, and nothing can be moved.
                let gets_on = checkpointed.wal_frames_left < frames_left;
                frames_left = checkpointed.wal_frames_left;
                is_loaded = frames != checkpointed.wal_frames;
                frames = checkpointed.wal_frames;
                period = if checkpointed.wants_another() && gets_on {
                    Duration::ZERO
                } else {
                    PERIOD
                };
                // A driver that is gone ends the loop above.
                let through = checkpointed.through.index;
                let _ = drive.send(Input::Event(Event::Checkpointed { through }));
                fails = false;
            }
            Ok(None) => {}
            Err(error) if error.is_damage() => {
                if !std::mem::replace(&mut fails, true) {
                    tracing::error!(database = name, %error, "damaged: this replica is seeded anew");
                    // A driver that is gone has no replica to seed.
                    let _ = drive.send(Input::Event(Event::Damaged));
                }
            }
            Err(error) if error.is_fatal() => return fatal(&stop, name, error),
            // Once: it is tried again in a moment, for as long as the disk is full.
            Err(error) if !std::mem::replace(&mut fails, true) => {
                tracing::warn!(database = name, %error, "a checkpoint failed and will be tried again");
            }
            Err(_) => {}
        }
    }
}
