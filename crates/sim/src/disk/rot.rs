//! Bytes that were synced and are not what they were.

use std::path::Path;

use super::{Content, SimDisk, lock};
use crate::random::Random;

/// A byte that reads wrong, also after a power loss.
pub struct Rot {
    content: Content,
    offset: usize,
    good: u8,
    bad: u8,
}

impl SimDisk {
    /// Turns bits of one synced byte, in one of the files that `is_meant`, at a place that `choose` finds in what is
    /// durable there.
    pub fn rot(
        &self,
        is_meant: impl Fn(&Path) -> bool,
        choose: impl Fn(&[u8], &mut Random) -> Option<usize>,
        random: &mut Random,
    ) -> Option<Rot> {
        let shared = lock(&self.shared);
        let meant = shared.durable.iter().filter(|(path, _)| is_meant(path));
        let meant: Vec<Content> = meant.map(|(_, content)| Content::clone(content)).collect();
        if meant.is_empty() {
            return None;
        }
        let content = Content::clone(random.pick(&meant));
        let mut bytes = lock(&content);
        let offset = choose(&bytes.durable, random)?;
        let good = bytes.durable[offset];
        let bad = good ^ (1 << random.range(0, 8));
        // What was written since is in memory still, and comes to the disk whole.
        let is_same = bytes.live.get(offset) == Some(&good);
        bytes.durable[offset] = bad;
        if is_same {
            bytes.live[offset] = bad;
        }
        drop(bytes);
        Some(Rot {
            content,
            offset,
            good,
            bad,
        })
    }
}

impl Rot {
    /// It reads right again, unless it was written since.
    pub fn heal(self) {
        let mut bytes = lock(&self.content);
        let bytes = &mut *bytes;
        for side in [&mut bytes.live, &mut bytes.durable] {
            if let Some(byte) = side.get_mut(self.offset)
                && *byte == self.bad
            {
                *byte = self.good;
            }
        }
    }
}
