//! Linearizable reads by read index (Ongaro's dissertation §6.4), in rounds: reads that arrive while a round is
//! under way wait for the next, so that any number of readers costs one round trip at a time.

use bellwether_types::LogIndex;

/// A round unanswered for so long is asked again: the core drops requests while no leader is known, or before a
/// new leader has committed its first entry.
const RETRY_MS: u64 = 100;

/// A read unanswered for so long is refused: longer than a failover takes, shorter than a client's patience.
const REFUSE_MS: u64 = 10_000;

#[derive(Debug, Clone, Copy)]
struct Read {
    ticket: u64,
    since_ms: u64,
}

#[derive(Debug)]
struct Round {
    id: u64,
    asked_ms: u64,
    reads: Vec<Read>,
}

/// The pending reads of one replica.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    next_id: u64,
    queued: Vec<Read>,
    round: Option<Round>,
    /// Confirmed at this index; served once it is applied.
    confirmed: Vec<(LogIndex, u64)>,
}

impl Reads {
    pub(crate) fn push(&mut self, ticket: u64, now_ms: u64) {
        self.queued.push(Read {
            ticket,
            since_ms: now_ms,
        });
    }

    /// The id to ask the group under, when a round must be started or asked again.
    pub(crate) fn poll_ask(&mut self, now_ms: u64) -> Option<u64> {
        match &mut self.round {
            Some(round) if now_ms < round.asked_ms + RETRY_MS => return None,
            // A retry may also take in who came since: their read begins after this asking.
            Some(round) => round.reads.append(&mut self.queued),
            None if self.queued.is_empty() => return None,
            None => {
                let reads = std::mem::take(&mut self.queued);
                self.round = Some(Round {
                    id: 0,
                    asked_ms: 0,
                    reads,
                });
            }
        }
        let round = self.round.as_mut().expect("just made or seen");
        self.next_id += 1;
        round.id = self.next_id;
        round.asked_ms = now_ms;
        Some(round.id)
    }

    /// The group answered.
    pub(crate) fn handle_answer(&mut self, id: u64, index: LogIndex) {
        if let Some(round) = self.round.take_if(|round| round.id == id) {
            self.confirmed
                .extend(round.reads.iter().map(|read| (index, read.ticket)));
        }
    }

    /// Tickets that may be served now.
    pub(crate) fn poll_ready(&mut self, applied: LogIndex) -> Vec<u64> {
        let mut ready = Vec::new();
        self.confirmed.retain(|(index, ticket)| {
            let waits = *index > applied;
            if !waits {
                ready.push(*ticket);
            }
            waits
        });
        ready
    }

    /// Tickets that waited too long for a leader.
    pub(crate) fn poll_refused(&mut self, now_ms: u64) -> Vec<u64> {
        let mut refused = Vec::new();
        let mut keep = |read: &Read| {
            let expired = now_ms >= read.since_ms + REFUSE_MS;
            if expired {
                refused.push(read.ticket);
            }
            !expired
        };
        self.queued.retain(&mut keep);
        if let Some(round) = &mut self.round {
            round.reads.retain(&mut keep);
        }
        self.round.take_if(|round| round.reads.is_empty());
        refused
    }
}
