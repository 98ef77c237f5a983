//! A leader's heartbeats while it waits for its disk.
//!
//! Whoever drives a machine writes its log, and says nothing meanwhile. A checkpoint's writes make an fsync last half a
//! second, the time from which on a leader is given up; so the last heartbeats are said again by a thread that waits for
//! nothing, for a second at most: a leader whose disk is stuck is replaced all the same. To the machine they are messages
//! that the network has doubled. What they say stays true: that this node has led in this term, and what was committed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use bellwether_node::{HEARTBEAT_TICKS, Message, MessageKind};
use bellwether_types::NodeId;
use tokio::runtime::Handle;

use super::driver::TICK;
use super::start::spawn;
use crate::node::Replicas;
use crate::peer::Links;
use crate::stop::Stop;

/// As the machine says them.
const PERIOD: Duration = TICK.saturating_mul(HEARTBEAT_TICKS as u32);

/// A step of the machine that takes longer is taken for stuck.
const STUCK: Duration = Duration::from_secs(1);

/// What is due is looked for so often. Also, a message of a peer is read so much later at most, be the disk as slow as it
/// likes.
const LOOKS: Duration = Duration::from_millis(20);

/// Of one machine.
#[derive(Default)]
pub(crate) struct Pulse {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The newest to each member, as long as this node leads.
    heartbeats: BTreeMap<NodeId, Message>,
    said: Option<Instant>,
    /// Since when the machine has been at one step.
    busy_since: Option<Instant>,
}

impl Pulse {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// A step begins.
    pub fn begin(&self, now: Instant) {
        self.lock().busy_since = Some(now);
    }

    /// The step has ended.
    pub fn end(&self) {
        self.lock().busy_since = None;
    }

    /// The machine sends this.
    pub fn note(&self, message: &Message, now: Instant) {
        if message.kind == MessageKind::Heartbeat {
            let mut state = self.lock();
            state.heartbeats.insert(message.to, message.clone());
            state.said = Some(now);
        }
    }

    /// Another leads, or the group is another.
    pub fn forget(&self) {
        self.lock().heartbeats.clear();
    }

    /// What is to be said again now.
    fn due(&self, now: Instant) -> Vec<Message> {
        let mut state = self.lock();
        let State { said, busy_since, .. } = &*state;
        let since = |then: Instant| now.saturating_duration_since(then);
        let is_due = busy_since.is_some_and(|begun| since(begun) <= STUCK)
            && said.is_some_and(|said| since(said) >= PERIOD);
        if !is_due {
            return Vec::new();
        }
        state.said = Some(now);
        state.heartbeats.values().cloned().collect()
    }
}

/// A thread that says what is due, until stopped; and that keeps peers' sockets watched. These are watched by whichever
/// thread of their runtime had nothing to do last, and by nobody while that one waits for a disk: work from outside wakes
/// another, which then watches.
pub(crate) fn keep(replicas: Arc<Replicas>, links: Arc<Links>, peers: Handle, stop: &Arc<Stop>) {
    let until = Arc::clone(stop);
    spawn(stop, "node", "pulse", move || {
        while !until.is_asked() {
            thread::sleep(LOOKS);
            peers.spawn(async {});
            let now = Instant::now();
            for replica in replicas.iter() {
                for heartbeat in replica.pulse.due(now) {
                    links.send(replica.database, &heartbeat);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use bellwether_types::{LogIndex, Term};

    use super::*;

    fn heartbeat(to: u64, commit: u64) -> Message {
        let message = Message::new(MessageKind::Heartbeat, NodeId(1), NodeId(to), Term(3));
        Message {
            commit: LogIndex(commit),
            ..message
        }
    }

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    /// The machine has sent heartbeats, and has begun a step.
    fn leading(start: Instant) -> Pulse {
        let pulse = Pulse::default();
        for (to, commit) in [(2, 7), (3, 7), (2, 8)] {
            pulse.note(&heartbeat(to, commit), start);
        }
        pulse.begin(start);
        pulse
    }

    #[test]
    fn a_leader_that_waits_says_its_newest_heartbeats_again_once_in_a_period() {
        let start = Instant::now();
        let pulse = leading(start);
        let said = |ms| pulse.due(after(start, ms));
        assert_eq!(said(40), [], "the machine has just said them");
        let newest = [heartbeat(2, 8), heartbeat(3, 7)];
        assert_eq!(said(50), newest);
        assert_eq!(said(60), []);
        assert_eq!(said(110), newest);
    }

    #[test]
    fn a_leader_that_is_stuck_says_nothing_more() {
        let start = Instant::now();
        let pulse = leading(start);
        assert_eq!(pulse.due(after(start, 1_000)).len(), 2);
        assert_eq!(pulse.due(after(start, 1_060)), []);
        pulse.end();
        pulse.begin(after(start, 1_100));
        assert_eq!(pulse.due(after(start, 1_160)).len(), 2, "it has gone on");
    }

    #[test]
    fn between_steps_the_machine_speaks_for_itself() {
        let start = Instant::now();
        let pulse = leading(start);
        pulse.end();
        assert_eq!(pulse.due(after(start, 200)), []);
    }

    #[test]
    fn who_leads_no_more_says_nothing() {
        let start = Instant::now();
        let pulse = leading(start);
        pulse.forget();
        assert_eq!(pulse.due(after(start, 200)), []);
    }

    #[test]
    fn only_heartbeats_are_said_again() {
        let start = Instant::now();
        let pulse = Pulse::default();
        let append = Message::new(MessageKind::Append, NodeId(1), NodeId(2), Term(3));
        pulse.note(&append, start);
        pulse.begin(start);
        assert_eq!(pulse.due(after(start, 200)), []);
    }
}
