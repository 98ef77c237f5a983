//! One cluster for all tests of a file, taken in turns: starting one costs more than most tests.
//!
//! Tests keep to tables of their own and leave every node running.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::cluster::Cluster;

static CLUSTER: Mutex<Option<Cluster>> = Mutex::new(None);

/// The cluster, until dropped; other tests of the file wait meanwhile.
pub struct Turn(MutexGuard<'static, Option<Cluster>>);

/// Waits for this test's turn; the first one starts the cluster.
#[track_caller]
pub fn shared_cluster() -> Turn {
    // A test that failed leaves a cluster that its successors can judge by themselves.
    let mut cluster = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    match &*cluster {
        Some(cluster) => cluster.wait_until_ready(),
        None => {
            // SAFETY: the function lives as long as the process and does not unwind into its caller.
            assert_eq!(
                unsafe { libc::atexit(stop) },
                0,
                "no room for another exit handler"
            );
            *cluster = Some(Cluster::start(3));
        }
    }
    Turn(cluster)
}

/// Statics are not dropped; the nodes must not outlive the tests all the same.
extern "C" fn stop() {
    let cluster = match CLUSTER.try_lock() {
        Ok(mut cluster) => cluster.take(),
        Err(TryLockError::Poisoned(cluster)) => cluster.into_inner().take(),
        Err(TryLockError::WouldBlock) => None,
    };
    drop(cluster);
}

impl Deref for Turn {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.0.as_ref().expect("started before the turn began")
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(cluster) = &*self.0
        {
            cluster.print_logs();
        }
    }
}
