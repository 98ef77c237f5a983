//! What writers were told, and when.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::time::Instant;

use crate::cluster::Node;

/// An acknowledged write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    pub id: i64,
    /// Through which it went.
    pub node: Node,
    /// When it was first tried.
    pub begun: Instant,
    pub acked: Instant,
    /// From 1.
    pub attempts: u32,
}

/// Of all writers.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    last_id: AtomicI64,
    is_stopped: AtomicBool,
    acks: Mutex<Vec<Ack>>,
}

impl Ledger {
    /// What to write next; `None` when it is over.
    pub fn next_id(&self) -> Option<i64> {
        (!self.is_stopped()).then(|| self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    pub fn enter(&self, ack: Ack) {
        self.acks().push(ack);
    }

    /// Acknowledged after a moment through some nodes, in order.
    pub fn since(&self, moment: Instant, nodes: &[Node]) -> Vec<Ack> {
        let acks = self.acks();
        let is_meant = |ack: &&Ack| ack.acked > moment && nodes.contains(&ack.node);
        // Writers enter what they took the time of before: a little out of order, and the latest are at the end.
        let mut since: Vec<Ack> = acks.iter().filter(is_meant).copied().collect();
        since.sort_by_key(|ack| ack.acked);
        since
    }

    pub fn acknowledged(&self) -> Vec<i64> {
        self.acks().iter().map(|ack| ack.id).collect()
    }

    fn acks(&self) -> std::sync::MutexGuard<'_, Vec<Ack>> {
        self.acks.lock().expect("nobody panics while writing")
    }
}
