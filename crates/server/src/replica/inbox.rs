//! A bounded queue with many senders, whose receivers take turns: one of them sleeps until there is something, or until
//! it is time.
//!
//! A lock and a condition variable: nobody spins, which on a machine that is busy takes the time of those who are
//! waited for.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// See the module.
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    taken: Condvar,
    capacity: usize,
}

struct State<T> {
    queue: VecDeque<T>,
    /// Nobody will take anything out any more.
    is_closed: bool,
    /// When the sleeper is to wake though there is nothing.
    alarm: Instant,
    /// Until when it sleeps; `None`: it is awake.
    sleeps_until: Option<Instant>,
}

impl<T> Inbox<T> {
    /// For at most `capacity`.
    pub fn new(capacity: usize) -> Inbox<T> {
        Inbox {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                is_closed: false,
                alarm: Instant::now(),
                sleeps_until: None,
            }),
            arrived: Condvar::new(),
            taken: Condvar::new(),
            capacity,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Puts in, and wakes nobody; false when there is no room, or it is closed.
    pub fn offer(&self, item: T) -> bool {
        self.put(self.lock(), item)
    }

    fn put(&self, mut state: MutexGuard<'_, State<T>>, item: T) -> bool {
        let takes = !state.is_closed && state.queue.len() < self.capacity;
        if takes {
            state.queue.push_back(item);
        }
        takes
    }

    /// As [`Inbox::offer`], but waits for room, for a thread that may; false when there is none for so long.
    pub fn send(&self, item: T, patience: Duration) -> bool {
        let full = |state: &mut State<T>| !state.is_closed && state.queue.len() >= self.capacity;
        let waited = self.taken.wait_timeout_while(self.lock(), patience, full);
        self.put(waited.expect("no holder of this lock panics").0, item)
    }

    pub fn is_empty(&self) -> bool {
        self.lock().queue.is_empty()
    }

    /// Up to `max` items that are there, in order.
    pub fn take(&self, max: usize) -> Vec<T> {
        let mut state = self.lock();
        let was_full = state.queue.len() >= self.capacity;
        let count = state.queue.len().min(max);
        let items = state.queue.drain(..count).collect();
        drop(state);
        if was_full {
            self.taken.notify_all();
        }
        items
    }

    /// Waits until there is something, until the alarm goes off, or until it is closed.
    pub fn wait(&self) {
        let mut state = self.lock();
        while state.queue.is_empty() && !state.is_closed {
            let left = state.alarm.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state.sleeps_until = Some(state.alarm);
            let waited = self.arrived.wait_timeout(state, left);
            state = waited.expect("no holder of this lock panics").0;
        }
        state.sleeps_until = None;
    }

    /// Lets the sleeper look whether there is something.
    pub fn wake(&self) {
        if self.lock().sleeps_until.is_some() {
            self.arrived.notify_one();
        }
    }

    /// Sets the alarm, instead of the one before.
    pub fn set_alarm(&self, alarm: Instant) {
        let mut state = self.lock();
        state.alarm = alarm;
        // One that has become later it finds when it wakes.
        if state.sleeps_until.is_some_and(|until| alarm < until) {
            drop(state);
            self.arrived.notify_one();
        }
    }

    /// Drops what is there, and takes nothing more: what waits for an answer hears that there is none.
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let left = std::mem::take(&mut state.queue);
        drop(state);
        drop(left);
        self.arrived.notify_all();
        self.taken.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn items_come_out_in_order_and_no_more_than_asked_for() {
        let inbox = Inbox::new(3);
        assert!((1..=3).all(|item| inbox.offer(item)));
        assert!(!inbox.offer(4), "it is full");
        assert_eq!(inbox.take(2), [1, 2]);
        assert!(inbox.offer(4));
        assert_eq!(inbox.take(9), [3, 4]);
        assert!(inbox.is_empty() && inbox.take(9).is_empty());
    }

    #[test]
    fn a_sender_waits_for_room_and_a_sleeper_for_items() {
        let inbox = Arc::new(Inbox::new(1));
        inbox.set_alarm(Instant::now() + Duration::from_secs(60));
        let sends = Arc::clone(&inbox);
        let thread = std::thread::spawn(move || {
            (0..1_000).all(|item| {
                let is_in = sends.send(item, Duration::from_secs(60));
                sends.wake();
                is_in
            })
        });
        let mut seen = Vec::new();
        while seen.len() < 1_000 {
            inbox.wait();
            seen.extend(inbox.take(9));
        }
        assert_eq!(seen, Vec::from_iter(0..1_000));
        assert!(thread.join().expect("it does not panic"));
    }

    #[test]
    fn an_alarm_that_is_set_earlier_wakes_the_sleeper() {
        let inbox = Arc::new(Inbox::<()>::new(1));
        inbox.set_alarm(Instant::now() + Duration::from_secs(3600));
        let sleeps = Arc::clone(&inbox);
        let thread = std::thread::spawn(move || sleeps.wait());
        inbox.set_alarm(Instant::now());
        thread.join().expect("it wakes");
    }

    #[test]
    fn a_closed_inbox_drops_what_waits_and_lets_senders_go() {
        let inbox = Arc::new(Inbox::new(1));
        let item = Arc::new(());
        assert!(inbox.offer(Arc::clone(&item)));
        let waiting = {
            let (inbox, item) = (Arc::clone(&inbox), Arc::clone(&item));
            std::thread::spawn(move || inbox.send(item, Duration::from_secs(60)))
        };
        inbox.close();
        assert!(!waiting.join().expect("it does not panic"));
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(!inbox.offer(item));
        inbox.wait();
    }
}
