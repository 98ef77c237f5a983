//! Bytes that were synced and are not what they were.

use std::path::Path;
use std::sync::Arc;

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
    /// Whether the byte is wrong still, in a file that has a name.
    pub fn is_there(&self, disk: &SimDisk) -> bool {
        let shared = lock(&disk.shared);
        let has_name = shared
            .live
            .values()
            .any(|content| Arc::ptr_eq(content, &self.content));
        has_name && lock(&self.content).live.get(self.offset) == Some(&self.bad)
    }

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

#[cfg(test)]
mod tests {
    use bellwether_types::disk::Disk;

    use super::*;

    #[test]
    fn a_byte_that_rots_stays_wrong_over_a_power_loss_until_it_heals() {
        let disk = SimDisk::default();
        let path = Path::new("/d/a");
        let mount = disk.mount();
        let mut file = mount.open(path, true).expect("a file");
        file.write_at(0, b"abc").expect("a write");
        assert!(
            disk.rot(|_| true, |_, _| Some(0), &mut Random::new(1)).is_none(),
            "not synced"
        );
        file.sync().expect("a sync");
        mount.sync_dir(Path::new("/d")).expect("a sync");
        let rot = disk
            .rot(|_| true, |_, _| Some(1), &mut Random::new(1))
            .expect("synced");
        disk.kill();
        disk.lose_power(&mut Random::new(1));
        let read = || {
            let mut bytes = [0; 3];
            let mut file = disk.mount().open(path, false).expect("the file");
            file.read_at(0, &mut bytes).expect("a read");
            bytes
        };
        let rotten = read();
        assert_eq!((rotten[0], rotten[2]), (b'a', b'c'));
        assert_ne!(rotten[1], b'b');
        rot.heal();
        assert_eq!(&read(), b"abc");
    }
}
