//! Who listens to which channels of a database at this node, and what is on its way to them.
//!
//! The writer tells each committed record's notifications here, once it is visible to reads; sessions take them from
//! their mailbox when their client is between transactions. Nobody waits for a slow client: a mailbox is bounded, and
//! one that overflows ends its session, for a notification is never left out silently.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use bellwether_types::Notification;

/// What may wait for one session, by [`Notification::size_bytes`].
const MAILBOX_BYTES: usize = 8 << 20;

/// Of one database.
#[derive(Default)]
pub(crate) struct Listeners {
    mailboxes: Mutex<BTreeMap<u64, Arc<Mailbox>>>,
}

/// What waits for a session.
#[derive(Default)]
pub(crate) struct Mailbox {
    content: Mutex<Content>,
    arrived: tokio::sync::Notify,
}

#[derive(Default)]
struct Content {
    channels: Arc<BTreeSet<String>>,
    waiting: VecDeque<Notification>,
    waiting_bytes: usize,
    has_overflowed: bool,
}

/// More came than a mailbox holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// A session that listens, until it is dropped.
pub(crate) struct Listener {
    number: u64,
    listeners: Arc<Listeners>,
    mailbox: Arc<Mailbox>,
}

impl Listeners {
    /// A session that listens to nothing yet. `number` is its own at this node.
    pub fn join(self: &Arc<Self>, number: u64) -> Listener {
        let mailbox = Arc::<Mailbox>::default();
        self.mailboxes().insert(number, Arc::clone(&mailbox));
        Listener {
            number,
            listeners: Arc::clone(self),
            mailbox,
        }
    }

    /// What a record tells, in order.
    pub fn tell(&self, notifications: &[Notification]) {
        if notifications.is_empty() {
            return;
        }
        for mailbox in self.mailboxes().values() {
            mailbox.put(notifications);
        }
    }

    fn mailboxes(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Mailbox>>> {
        self.mailboxes.lock().expect("no holder of this lock panics")
    }
}

impl Mailbox {
    fn put(&self, notifications: &[Notification]) {
        let mut content = self.content();
        let before = content.waiting.len();
        for notification in notifications {
            if content.has_overflowed || !content.channels.contains(&notification.channel) {
                continue;
            }
            content.waiting_bytes += notification.size_bytes();
            if content.waiting_bytes > MAILBOX_BYTES {
                content.has_overflowed = true;
                content.waiting = VecDeque::new();
                break;
            }
            content.waiting.push_back(notification.clone());
        }
        let has_news = content.has_overflowed || content.waiting.len() > before;
        drop(content);
        if has_news {
            self.arrived.notify_one();
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().expect("no holder of this lock panics")
    }
}

impl Listener {
    /// From now on; what waits already stays.
    pub fn set_channels(&self, channels: Arc<BTreeSet<String>>) {
        self.mailbox.content().channels = channels;
    }

    /// The oldest that waits.
    pub fn take(&self) -> Result<Option<Notification>, Overflow> {
        let mut content = self.mailbox.content();
        if content.has_overflowed {
            return Err(Overflow);
        }
        let taken = content.waiting.pop_front();
        if let Some(taken) = &taken {
            content.waiting_bytes -= taken.size_bytes();
        }
        Ok(taken)
    }

    /// Resolves when something has come since it last resolved.
    pub async fn arrived(&self) {
        self.mailbox.arrived.notified().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.listeners.mailboxes().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(channel: &str, payload: String) -> Notification {
        Notification {
            sender: 7,
            channel: channel.to_owned(),
            payload,
        }
    }

    fn listening(listeners: &Arc<Listeners>, number: u64, channel: &str) -> Listener {
        let listener = listeners.join(number);
        listener.set_channels(Arc::new(BTreeSet::from([channel.to_owned()])));
        listener
    }

    #[test]
    fn each_hears_its_own_channels_in_order() {
        let listeners = Arc::<Listeners>::default();
        let (jobs, news) = (listening(&listeners, 1, "jobs"), listening(&listeners, 2, "news"));
        let told = ["1", "2"].map(|payload| notification("jobs", payload.to_owned()));
        listeners.tell(&told);
        assert_eq!(jobs.take(), Ok(Some(told[0].clone())));
        assert_eq!(jobs.take(), Ok(Some(told[1].clone())));
        assert_eq!(jobs.take(), Ok(None));
        assert_eq!(news.take(), Ok(None));
    }

    #[test]
    fn who_has_left_is_forgotten() {
        let listeners = Arc::<Listeners>::default();
        drop(listening(&listeners, 1, "jobs"));
        assert!(listeners.mailboxes().is_empty());
    }

    #[test]
    fn a_mailbox_that_nobody_empties_overflows_and_keeps_nothing() {
        let listeners = Arc::<Listeners>::default();
        let listener = listening(&listeners, 1, "jobs");
        let large = notification("jobs", "x".repeat(MAILBOX_BYTES / 4));
        (0..5).for_each(|_| listeners.tell(std::slice::from_ref(&large)));
        assert_eq!(listener.take(), Err(Overflow));
        assert!(listener.mailbox.content().waiting.is_empty());
    }

    #[test]
    fn what_was_taken_makes_room() {
        let listeners = Arc::<Listeners>::default();
        let listener = listening(&listeners, 1, "jobs");
        let large = notification("jobs", "x".repeat(MAILBOX_BYTES / 2));
        for _ in 0..10 {
            listeners.tell(std::slice::from_ref(&large));
            assert!(listener.take().is_ok_and(|taken| taken.is_some()));
        }
    }
}
