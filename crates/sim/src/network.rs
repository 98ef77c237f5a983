//! Links between nodes: loss, delay, duplication, reordering, and cuts in one or both directions.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_types::NodeId;

use crate::random::Random;

/// A one-way link.
pub type Link = (NodeId, NodeId);

/// How a link behaves.
#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// Messages lost, of a thousand.
    pub loss_per_mille: u64,
    /// Messages that arrive twice, of a thousand.
    pub doubled_per_mille: u64,
    /// How long a small message usually takes, in microseconds. Each takes its own time, so they overtake.
    pub delay_us: u64,
}

/// Bytes that a link carries in a microsecond: 1 Gbit/s.
const BYTES_PER_US: u64 = 125;

/// All links.
pub struct Network {
    random: Random,
    quality: Quality,
    worse: BTreeMap<Link, Quality>,
    cut: BTreeSet<Link>,
    /// Messages delivered, and lost or cut.
    pub delivered: u64,
    /// Messages that never arrive.
    pub lost: u64,
}

impl Network {
    /// With all links alike.
    pub fn new(random: Random, quality: Quality) -> Network {
        Network {
            random,
            quality,
            worse: BTreeMap::new(),
            cut: BTreeSet::new(),
            delivered: 0,
            lost: 0,
        }
    }

    /// After how many microseconds copies of a message arrive: none, one, seldom two.
    pub fn send(&mut self, from: NodeId, to: NodeId, size_bytes: usize) -> Vec<u64> {
        let quality = self.worse.get(&(from, to)).copied().unwrap_or(self.quality);
        if self.is_cut(from, to) || self.random.per_mille(quality.loss_per_mille) {
            self.lost += 1;
            return Vec::new();
        }
        let copies = 1 + u64::from(self.random.per_mille(quality.doubled_per_mille));
        self.delivered += copies;
        let transfer_us = size_bytes as u64 / BYTES_PER_US;
        (0..copies)
            .map(|_| transfer_us + 1 + self.random.latency_us(quality.delay_us))
            .collect()
    }

    /// Whether nothing passes this way. Also asked on arrival: a cut takes what is under way along.
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Nothing passes any more.
    pub fn cut(&mut self, links: &[Link]) {
        self.cut.extend(links);
    }

    /// Passes again.
    pub fn mend(&mut self, links: &[Link]) {
        for link in links {
            self.cut.remove(link);
            self.worse.remove(link);
        }
    }

    /// Behaves like this for a while.
    pub fn worsen(&mut self, links: &[Link], quality: Quality) {
        self.worse.extend(links.iter().map(|link| (*link, quality)));
    }

    /// All links are whole.
    pub fn mend_all(&mut self) {
        self.cut.clear();
        self.worse.clear();
    }
}
