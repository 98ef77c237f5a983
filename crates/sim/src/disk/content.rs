//! The bytes of one file, and what a power loss leaves of them.

use crate::random::Random;

/// What programs see, what a power loss leaves for certain, and what is between.
#[derive(Default)]
pub(super) struct Bytes {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    unsynced: Vec<Change>,
}

/// Not synced.
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { len: usize },
}

/// How merciful a power loss is.
#[derive(Clone, Copy)]
pub(super) enum Mood {
    /// Nothing that was not synced is there.
    LoseAll,
    /// The disk had just written everything.
    KeepAll,
    /// Each file keeps all, or loses all.
    ByFile,
    /// Each file keeps what was written up to some moment, the last of it torn.
    InOrder,
    /// Each write survives, vanishes or tears by itself.
    Mixed,
}

impl Mood {
    pub(super) fn draw(random: &mut Random) -> Mood {
        random.weighted(&[
            (3, Mood::LoseAll),
            (1, Mood::KeepAll),
            (7, Mood::ByFile),
            (5, Mood::InOrder),
            (3, Mood::Mixed),
        ])
    }

    pub(super) fn keeps(self, random: &mut Random) -> bool {
        match self {
            Mood::LoseAll => false,
            Mood::KeepAll => true,
            Mood::ByFile | Mood::InOrder | Mood::Mixed => random.per_mille(500),
        }
    }
}

impl Bytes {
    pub(super) fn lose_power(&mut self, mood: Mood, random: &mut Random) {
        let count = self.unsynced.len() as u64;
        let whole = random.range(0, count + 1);
        for (number, change) in (0..).zip(std::mem::take(&mut self.unsynced)) {
            let kept = match mood {
                Mood::InOrder if number < whole => Some(change),
                Mood::InOrder if number > whole => None,
                Mood::InOrder | Mood::Mixed => change.torn(random),
                _ => Some(change).filter(|_| mood.keeps(random)),
            };
            if let Some(change) = kept {
                change.apply(&mut self.durable);
            }
        }
        self.live.clone_from(&self.durable);
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn fail_to_sync(&mut self, random: &mut Random) {
        for change in std::mem::take(&mut self.unsynced) {
            if let Some(change) = change.torn(random) {
                change.apply(&mut self.durable);
            }
        }
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.unsynced.push(change);
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*offset..end].copy_from_slice(bytes);
            }
            Change::Truncate { len } => to.resize(*len, 0),
        }
    }

    /// What is left of it when the power fails meanwhile: all, nothing, or a stretch of bytes.
    fn torn(self, random: &mut Random) -> Option<Change> {
        match (random.range(0, 5), self) {
            (0 | 1, change) => Some(change),
            (2, Change::Write { offset, bytes }) if bytes.len() > 1 => {
                let start = random.range(0, bytes.len() as u64) as usize;
                let end = random.range(start as u64, bytes.len() as u64 + 1) as usize;
                let (start, end) = if random.per_mille(500) {
                    (0, end)
                } else {
                    (start, end)
                };
                let bytes = bytes[start..end].to_vec();
                (!bytes.is_empty()).then_some(Change::Write {
                    offset: offset + start,
                    bytes,
                })
            }
            _ => None,
        }
    }
}
