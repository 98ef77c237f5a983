//! The one way into a replica's driver: a bounded queue with many senders and one receiver.
//!
//! A lock and a condition variable: nobody spins, which on a machine that is busy takes the time of those who are
//! waited for.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A queue for at most `capacity`.
pub(crate) fn inbox<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            queue: VecDeque::new(),
            is_closed: false,
            is_waiting: false,
        }),
        arrived: Condvar::new(),
        taken: Condvar::new(),
        capacity,
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

struct Shared<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    taken: Condvar,
    capacity: usize,
}

struct State<T> {
    queue: VecDeque<T>,
    /// The receiver is gone.
    is_closed: bool,
    /// The receiver sleeps.
    is_waiting: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("no holder of this lock panics")
    }

    fn push(&self, mut state: MutexGuard<'_, State<T>>, item: T) {
        state.queue.push_back(item);
        let wakes = std::mem::take(&mut state.is_waiting);
        drop(state);
        if wakes {
            self.arrived.notify_one();
        }
    }
}

/// Puts in.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Sender<T> {
    /// False when there is no room, or the receiver is gone.
    pub fn offer(&self, item: T) -> bool {
        let state = self.0.lock();
        let takes = !state.is_closed && state.queue.len() < self.0.capacity;
        if takes {
            self.0.push(state, item);
        }
        takes
    }

    /// Waits for room, for a thread that may; false when the receiver is gone.
    pub fn send(&self, item: T) -> bool {
        self.send_within(item, Duration::MAX)
    }

    /// As [`Sender::send`]; false also when there is no room for so long.
    pub fn send_within(&self, item: T, patience: Duration) -> bool {
        let full = |state: &mut State<T>| !state.is_closed && state.queue.len() >= self.0.capacity;
        let waited = self.0.taken.wait_timeout_while(self.0.lock(), patience, full);
        let state = waited.expect("no holder of this lock panics").0;
        let takes = !state.is_closed && state.queue.len() < self.0.capacity;
        if takes {
            self.0.push(state, item);
        }
        takes
    }
}

/// Takes out.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

impl<T> Receiver<T> {
    /// Up to `max` items, in order; waits until `deadline` for the first. None: it has passed.
    pub fn take(&self, deadline: Instant, max: usize) -> Vec<T> {
        let mut state = self.0.lock();
        while state.queue.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Vec::new();
            }
            state.is_waiting = true;
            let waited = self.0.arrived.wait_timeout(state, left);
            state = waited.expect("no holder of this lock panics").0;
        }
        state.is_waiting = false;
        let was_full = state.queue.len() >= self.0.capacity;
        let count = state.queue.len().min(max);
        let items = state.queue.drain(..count).collect();
        drop(state);
        if was_full {
            self.0.taken.notify_all();
        }
        items
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        // What waits for an answer hears that there is none.
        let left = std::mem::take(&mut state.queue);
        drop(state);
        drop(left);
        self.0.taken.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn items_come_out_in_order_and_no_more_than_asked_for() {
        let (sender, receiver) = inbox(3);
        assert!((1..=3).all(|item| sender.offer(item)));
        assert!(!sender.offer(4), "it is full");
        assert_eq!(receiver.take(soon(), 2), [1, 2]);
        assert!(sender.offer(4));
        assert_eq!(receiver.take(soon(), 9), [3, 4]);
        assert!(receiver.take(Instant::now(), 9).is_empty());
    }

    #[test]
    fn a_sender_waits_for_room_and_a_receiver_for_items() {
        let (sender, receiver) = inbox(1);
        let thread = std::thread::spawn(move || (0..1_000).all(|item| sender.send(item)));
        let mut seen = Vec::new();
        while seen.len() < 1_000 {
            seen.extend(receiver.take(soon(), 9));
        }
        assert_eq!(seen, Vec::from_iter(0..1_000));
        assert!(thread.join().expect("it does not panic"));
    }

    #[test]
    fn a_receiver_that_goes_drops_what_waits_and_lets_senders_go() {
        let (sender, receiver) = inbox(1);
        let item = Arc::new(());
        assert!(sender.offer(Arc::clone(&item)));
        let waiting = {
            let (sender, item) = (sender.clone(), Arc::clone(&item));
            std::thread::spawn(move || sender.send(item))
        };
        drop(receiver);
        assert!(!waiting.join().expect("it does not panic") || Arc::strong_count(&item) == 1);
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(!sender.offer(item));
    }
}
