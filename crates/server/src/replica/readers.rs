//! The pool of read connections of one database.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bellwether_storage::{Files, OpenError, Reader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Read connections open at one time. Beyond them a read waits for one to come back; each may cache 8 MiB.
const READERS_MAX: usize = 128;

/// Steps of SQLite's virtual machine between two looks at the clock: a fraction of a millisecond.
pub(super) const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Readers {
    pool: Arc<Pool>,
}

struct Pool {
    files: Files,
    idle: Mutex<Vec<(u64, Reader)>>,
    permits: Arc<Semaphore>,
    /// Grows when the file was replaced: older connections read the old one.
    generation: AtomicU64,
}

impl Readers {
    pub fn new(files: Files) -> Readers {
        Readers {
            pool: Arc::new(Pool {
                files,
                idle: Mutex::default(),
                permits: Arc::new(Semaphore::new(READERS_MAX)),
                generation: AtomicU64::new(0),
            }),
        }
    }

    /// One, when there is one to be had.
    pub async fn get(&self) -> Result<PooledReader, OpenError> {
        let permit = Arc::clone(&self.pool.permits)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let generation = self.pool.generation.load(Ordering::Acquire);
        let idle = self
            .pool
            .idle
            .lock()
            .expect("no holder of this lock panics")
            .pop();
        let reader = match idle {
            Some((born, reader)) if born == generation => reader,
            _ => {
                let mut reader = Reader::open(&self.pool.files)?;
                reader.on_progress(STEPS_BETWEEN_LOOKS, crate::patience::look);
                reader
            }
        };
        Ok(PooledReader {
            reader: Some(reader),
            generation,
            pool: Arc::clone(&self.pool),
            _permit: permit,
        })
    }

    /// What they read.
    pub fn files(&self) -> &Files {
        &self.pool.files
    }

    /// The file is replaced.
    pub fn renew(&self) {
        self.pool.generation.fetch_add(1, Ordering::AcqRel);
        self.pool
            .idle
            .lock()
            .expect("no holder of this lock panics")
            .clear();
    }
}

/// A reader on loan.
pub(crate) struct PooledReader {
    reader: Option<Reader>,
    generation: u64,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Deref for PooledReader {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        self.reader.as_ref().expect("given back only on drop")
    }
}

impl DerefMut for PooledReader {
    fn deref_mut(&mut self) -> &mut Reader {
        self.reader.as_mut().expect("given back only on drop")
    }
}

impl Drop for PooledReader {
    fn drop(&mut self) {
        let Some(mut reader) = self.reader.take() else {
            return;
        };
        reader.end_snapshot();
        if self.generation == self.pool.generation.load(Ordering::Acquire) {
            self.pool
                .idle
                .lock()
                .expect("no holder of this lock panics")
                .push((self.generation, reader));
        }
    }
}
