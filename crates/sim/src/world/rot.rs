//! Bit rot.

use bellwether_types::NodeId;

use super::World;
use crate::driver::DATABASE;
use crate::observation::Observation;
use crate::random::Random;
use crate::workload::cold;

/// SQLite's default.
const PAGE_BYTES: usize = 4096;

impl World {
    /// A byte of the log that was followed by much.
    pub(crate) fn rot_log(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("nodes are never removed");
        let is_log = |path: &std::path::Path| path.starts_with("/node/log");
        let rot = node.disk.rot(is_log, early_byte, &mut node.random);
        self.trace
            .note(self.now, format_args!("{id} log rots: {}", rot.is_some()));
        self.node(id).rot.extend(rot);
    }

    pub(super) fn heal_rot(&mut self, id: NodeId) {
        for rot in std::mem::take(&mut self.node(id).rot) {
            rot.heal();
        }
    }

    /// A byte of a page; of one that is never read as often as of any. Never at so many nodes at a time that a majority
    /// has no sound copy: nobody could be seeded any more.
    pub(crate) fn rot_database(&mut self, id: NodeId) {
        let mut rotten = 0;
        for (other, node) in &mut self.nodes {
            let disk = node.disk.clone();
            node.database_rot.retain(|rot| rot.is_there(&disk));
            rotten += usize::from(*other != id && !node.database_rot.is_empty());
        }
        let voters = self.founding.voters.len().min(self.wanted.voters.len());
        let minority = (voters - 1) / 2;
        if rotten >= minority {
            return;
        }
        let node = self.nodes.get_mut(&id).expect("nodes are never removed");
        let is_database = |path: &std::path::Path| path == std::path::Path::new(DATABASE);
        let choose = match node.random.per_mille(500) {
            true => byte_of_cold_page,
            false => byte_of_any_page,
        };
        let rot = node.disk.rot(is_database, choose, &mut node.random);
        self.trace
            .note(self.now, format_args!("{id} database rots: {}", rot.is_some()));
        if rot.is_some() {
            self.node(id).database_rot.extend(rot);
            self.counts.rotted += 1;
            self.observe(&Observation::Rotted { node: id });
        }
    }
}

/// In the first half of what was written.
fn early_byte(bytes: &[u8], random: &mut Random) -> Option<usize> {
    let written = bytes.iter().rposition(|byte| *byte != 0)?;
    (written > 2).then(|| random.range(0, written as u64 / 2) as usize)
}

fn byte_of_any_page(bytes: &[u8], random: &mut Random) -> Option<usize> {
    (!bytes.is_empty()).then(|| random.range(0, bytes.len() as u64) as usize)
}

fn byte_of_cold_page(bytes: &[u8], random: &mut Random) -> Option<usize> {
    let is_cold = |page: &[u8]| {
        page.windows(cold::MARKER.len())
            .any(|window| window == cold::MARKER)
    };
    let cold: Vec<usize> = bytes
        .chunks(PAGE_BYTES)
        .enumerate()
        // The first page holds the schema, where the table's text is.
        .filter(|(number, page)| *number > 0 && is_cold(page))
        .map(|(number, _)| number)
        .collect();
    if cold.is_empty() {
        return None;
    }
    Some(random.pick(&cold) * PAGE_BYTES + random.range(0, PAGE_BYTES as u64) as usize)
}
